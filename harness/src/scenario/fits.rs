//! What fits what, in words for the author of a file: kinds of targets, patterns and paths.
//!
//! Knows: how targets are written. Must not know: any one scenario.

use crate::fault::Kind;

/// The variables that CEL's macros bind: `x` in `list.exists(x, x > 1)`.
pub(super) fn bound_by_macros(source: &str) -> Vec<&str> {
    [".map(", ".filter(", ".all(", ".exists(", ".exists_one("]
        .iter()
        .flat_map(|name| source.match_indices(name).map(|(at, found)| &source[at + found.len()..]))
        .filter_map(|rest| rest.split_once(',').map(|(variable, _)| variable.trim()))
        .collect()
}

/// Whether some path fits both patterns.
pub(super) fn may_meet(a: &str, b: &str) -> bool {
    let wild = |s: &str| s.starts_with('{') && s.ends_with('}');
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) | (Some("*"), _) | (_, Some("*")) => return true,
            (Some(x), Some(y)) if x == y || wild(x) || wild(y) => {}
            _ => return false,
        }
    }
}

/// A kind of target in words.
pub(super) fn called(kind: Kind) -> &'static str {
    match kind {
        Kind::Calls => "calls to a vendor",
        Kind::Webhook => "webhook deliveries",
        Kind::Subject => "the subject",
    }
}

/// A target of this kind, as a file would write it.
pub(super) fn example(kind: Kind, vendor: Option<&str>) -> String {
    let vendor = vendor.unwrap_or("ALIAS");
    match kind {
        Kind::Calls => format!("{vendor}` or `on: {vendor} POST /path"),
        Kind::Webhook => format!("webhook {vendor}"),
        Kind::Subject => "subject".to_owned(),
    }
}
