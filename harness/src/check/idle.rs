//! Standstills: stretches without a call to a vendor although work was waiting for it.
//!
//! Knows: pauses, lives, and what is known of waiting work. Must not know: what may justify a
//! pause; its caller says.

use super::call::Call;
use super::evidence::Evidence;
use super::lives::Stretch;
use crate::time::{At, Span};
use crate::trace::EventId;

/// A standstill.
pub(super) struct Stall<'e> {
    pub vendor: &'e str,
    /// Since when nothing justified it.
    pub from: At,
    pub to: At,
    /// The last call before.
    pub last: &'e Call<'e>,
    /// The first call after.
    pub next: Option<EventId>,
}

/// The standstills of more than `limit` that began with a call after which a vendor may be left
/// alone until the moment that `excused_until` gives; `None` where such a call starts none.
pub(super) fn after<'e>(
    e: &'e Evidence<'e>,
    limit: Span,
    excused_until: impl Fn(&Call<'_>) -> Option<At>,
) -> Vec<Stall<'e>> {
    let mut stalls = Vec::new();
    for (vendor, indices) in &e.by_vendor {
        let mut excused = At::START;
        for (n, index) in indices.iter().enumerate() {
            let last = &e.calls[*index];
            let starts = excused_until(last);
            excused = excused.max(starts.unwrap_or(last.ended)).max(last.ended);
            let next = indices.get(n + 1).map(|i| &e.calls[*i]);
            let to = next.map_or(e.ends_at, |c| c.arrived);
            if starts.is_none() || to.since(excused) <= limit {
                continue;
            }
            if let Some((from, to)) = waiting(e, last, next, (excused, to), limit)
                && !e.unseen_calls(vendor, from, to)
            {
                let next = next.map(|c| c.asked);
                stalls.push(Stall { vendor, from, to, last, next });
            }
        }
    }
    stalls
}

/// The part of a pause in which work was waiting for more than `limit`, as far as can be known:
/// the ledgers disagreed all that time, or, where nothing is promised of them, what failed before
/// was not set aside.
fn waiting(
    e: &Evidence<'_>,
    last: &Call<'_>,
    next: Option<&Call<'_>>,
    (from, to): Stretch,
    limit: Span,
) -> Option<Stretch> {
    let up = |(a, b): &Stretch| b.since(*a) > limit && e.lives.up_throughout(*a, *b);
    if let Some(agreement) = e.agreement() {
        let first = agreement.pending.partition_point(|(_, end)| *end <= from);
        let within = agreement.pending[first..].iter().take_while(|(start, _)| *start < to);
        return within.map(|(a, b)| ((*a).max(from), (*b).min(to))).find(up);
    }
    let body = String::from_utf8_lossy(&last.request.body);
    let aside = super::evidence::words(&body).any(|w| e.exposed.set_aside(w).is_some());
    let same = next.is_none_or(|n| n.request.target == last.request.target && n.key == last.key);
    (!last.succeeded() && !aside && same).then_some((from, to)).filter(up)
}
