//! Where a field that is missing may have gone: renamed, or moved to another place.
//!
//! Knows: that a new field of the same shape is more than chance. Must not know: messages. It is
//! a guess, and worded as one.

use serde_json::Value;

use super::Contract;
use super::convert::{Direction, below};
use super::document::unescape;
use super::unknown::Stranger;
use super::violation::Violation;

/// So many missing fields are looked for in one message.
const SOUGHT: usize = 50;
/// How deep unknown fields are searched.
const DEEP: usize = 6;
/// From which likeness of names on a field of the same shape counts as renamed.
const ALIKE: f64 = 0.45;

/// Says at each missing field where it may have gone.
pub(super) fn explain(
    contract: &Contract,
    direction: Direction,
    violations: &mut [Violation],
    strangers: &[Stranger<'_>],
) {
    if strangers.is_empty() {
        return;
    }
    for violation in violations.iter_mut().filter(|v| v.rule == "contract/required").take(SOUGHT) {
        violation.moved = guess(contract, direction, violation, strangers);
    }
}

fn guess(
    contract: &Contract,
    direction: Direction,
    missing: &Violation,
    strangers: &[Stranger<'_>],
) -> Option<String> {
    let (parent, name) = missing.pointer.rsplit_once('/')?;
    let name = unescape(name);
    let schema = missing.schema.strip_suffix("/required")?;
    let schema = below(&format!("{schema}/properties"), &name);
    let fits = |value: &Value| contract.fits(&schema, direction, value).unwrap_or(false);

    let beside: Vec<(&Stranger<'_>, String)> = strangers
        .iter()
        .filter_map(|s| {
            let (at, name) = s.pointer.rsplit_once('/')?;
            (at == parent).then(|| (s, unescape(name)))
        })
        .collect();
    let alike = |other: &str| strsim::jaro_winkler(&plain(&name), &plain(other));
    let related = |other: &str| {
        let (a, b) = (plain(&name), plain(other));
        alike(other) >= 0.8
            || strsim::normalized_levenshtein(&a, &b) >= ALIKE
            || a.contains(&b)
            || b.contains(&a)
    };
    let renamed = beside
        .iter()
        .filter(|(s, other)| related(other) && fits(s.value))
        .max_by(|a, b| alike(&a.1).total_cmp(&alike(&b.1)));
    if let Some((stranger, _)) = renamed {
        return Some(format!("possibly renamed to `{}`, which has its shape", stranger.pointer));
    }
    // The same name somewhere else.
    let moved = strangers.iter().find_map(|s| {
        let own = unescape(s.pointer.rsplit('/').next()?);
        if own == name && fits(s.value) {
            Some(s.pointer.clone())
        } else {
            within(s.value, &s.pointer, &name, &fits, 0)
        }
    });
    if let Some(pointer) = moved {
        return Some(format!("possibly moved to `{pointer}`, which has its name and shape"));
    }
    match beside[..] {
        [(stranger, _)] if fits(stranger.value) && !stranger.value.is_null() => Some(format!(
            "possibly renamed to `{}`, the only new field beside it, which has its shape",
            stranger.pointer
        )),
        _ => None,
    }
}

fn within(
    value: &Value,
    at: &str,
    name: &str,
    fits: &dyn Fn(&Value) -> bool,
    depth: usize,
) -> Option<String> {
    if depth >= DEEP {
        return None;
    }
    match value {
        Value::Object(members) => members.iter().find_map(|(key, member)| {
            let pointer = below(at, key);
            if key == name && fits(member) {
                Some(pointer)
            } else {
                within(member, &pointer, name, fits, depth + 1)
            }
        }),
        Value::Array(items) => {
            let first = items.first()?;
            within(first, &format!("{at}/0"), name, fits, depth + 1)
        }
        _ => None,
    }
}

/// Case and separators are how one vendor's names differ from another's, not what they mean.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
