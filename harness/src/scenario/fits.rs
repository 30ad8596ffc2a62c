//! What fits what: acts and the targets they can be on, patterns and paths.
//!
//! Knows: the table of acts and kinds of targets. Must not know: any one scenario.

use crate::fault::{Act, Target};

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

/// The kinds of targets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Calls,
    Webhook,
    Subject,
}

impl Kind {
    pub fn of(target: &Target) -> Kind {
        match target {
            Target::Calls { .. } => Kind::Calls,
            Target::Webhook { .. } => Kind::Webhook,
            Target::Subject => Kind::Subject,
        }
    }

    pub fn called(self) -> &'static str {
        match self {
            Kind::Calls => "calls to a vendor",
            Kind::Webhook => "webhook deliveries",
            Kind::Subject => "the subject",
        }
    }

    pub fn example(self, vendor: Option<&str>) -> String {
        let vendor = vendor.unwrap_or("ALIAS");
        match self {
            Kind::Calls => format!("{vendor}` or `on: {vendor} POST /path"),
            Kind::Webhook => format!("webhook {vendor}"),
            Kind::Subject => "subject".to_owned(),
        }
    }
}

/// What an act can be on; the first is the usual one.
pub(super) fn fits(act: &Act) -> &'static [Kind] {
    match act {
        Act::Refuse
        | Act::BlackHole
        | Act::Reset(_)
        | Act::Close(_)
        | Act::Hang(_)
        | Act::Truncate(_)
        | Act::Stall(_)
        | Act::SlowBody(_)
        | Act::Garbage
        | Act::StaleKeepAlive
        | Act::Error(_)
        | Act::Reply(_)
        | Act::Latency(_)
        | Act::Headers(_) => &[Kind::Calls],
        Act::Duplicate(_)
        | Act::Reorder(_)
        | Act::Delay(_)
        | Act::Drop
        | Act::Burst
        | Act::Signature(_)
        | Act::UnknownType
        | Act::Poison
        | Act::Unreachable
        | Act::LostAck => &[Kind::Webhook],
        Act::Kill(_) | Act::Stop(_) | Act::Pause(_) | Act::ClockSkew(_) => {
            &[Kind::Subject, Kind::Calls, Kind::Webhook]
        }
    }
}

/// The act as the file names it.
pub(super) fn word(act: &Act) -> String {
    match serde_json::to_value(act) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
