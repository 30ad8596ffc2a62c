//! What fits which protocol: some faults can be done over one version of HTTP alone.
//!
//! Knows: the acts, and what a version of HTTP has no words for. Must not know: how one is carried
//! out.

use std::collections::BTreeMap;

use super::act::Act;
use crate::wire::{FIELDS_OF_HTTP1, Protocol};

impl Act {
    /// Why it cannot be done to a call that came by `protocol`; nothing if it can.
    pub fn unfit(&self, protocol: Protocol) -> Option<String> {
        match (protocol, self) {
            (Protocol::Http1, Act::Goaway(_)) => {
                Some("HTTP/1.1 has no GOAWAY; the subject must speak HTTP/2 to be told so".to_owned())
            }
            (Protocol::Http2, Act::Truncate(cut)) if cut.chunked => Some(
                "HTTP/2 has no chunks (RFC 9113 §8.1); `truncate` without `chunked` cuts its body".to_owned(),
            ),
            (Protocol::Http2, Act::Interim(statuses)) if statuses.contains(&101) => {
                Some("HTTP/2 has no 101 (RFC 9113 §8.6)".to_owned())
            }
            (Protocol::Http2, Act::Headers(changes)) => no_field(set(changes)),
            (Protocol::Http2, Act::Reply(reply)) => no_field(reply.headers.keys()),
            (Protocol::Http2, Act::Error(reply)) => no_field(set(&reply.headers)),
            _ => None,
        }
    }
}

/// The fields that are set, and not removed.
fn set(changes: &BTreeMap<String, Option<String>>) -> impl Iterator<Item = &String> {
    changes.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name)
}

fn no_field<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<String> {
    let name = names.find(|name| FIELDS_OF_HTTP1.iter().any(|f| f.eq_ignore_ascii_case(name)))?;
    Some(format!("HTTP/2 has no field `{name}` (RFC 9113 §8.2.2)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Goaway, Truncation};

    #[test]
    fn a_version_of_http_is_asked_only_for_what_it_has() {
        let chunked = |chunked| Act::Truncate(Truncation { after: 1, chunked });
        for (act, one, two) in [
            (Act::Goaway(Goaway::Answered), false, true),
            (chunked(true), true, false),
            (chunked(false), true, true),
            (Act::Interim(vec![103, 101]), true, false),
            (Act::Interim(vec![103]), true, true),
            (Act::Headers([("Upgrade".to_owned(), Some("x".to_owned()))].into()), true, false),
            (Act::Headers([("Upgrade".to_owned(), None)].into()), true, true),
            (Act::Garbage, true, true),
        ] {
            let fits = (act.unfit(Protocol::Http1).is_none(), act.unfit(Protocol::Http2).is_none());
            assert_eq!(fits, (one, two), "{act:?}");
        }
    }
}
