//! What a subject did about one record after its last change.
//!
//! Knows: which deliveries and calls name a record. Must not know: what should have been done.

use memchr::memmem;

use super::evidence::Evidence;
use crate::time::At;
use crate::trace::EventId;

/// What came after the last change of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trail {
    /// Calls about it, or it came in an answer.
    Seen,
    /// A webhook about it was acknowledged, and nothing was asked or written about it since.
    Acknowledged(At, EventId),
    /// Its vendor was asked, last by this call, and no answer showed it.
    Overlooked(At, EventId),
    /// Its vendor was never asked for anything.
    NeverAsked,
}

/// The trail of the record `id` of `vendor` since `since`.
pub(super) fn trail(e: &Evidence<'_>, vendor: &str, id: &str, since: At) -> Trail {
    let finder = memmem::Finder::new(id);
    let named = |text: &[u8]| finder.find(text).is_some();
    let later = &e.calls[e.calls.partition_point(|c| c.arrived < since)..];
    let asked = later.iter().any(|c| named(c.request.target.as_bytes()) || named(&c.request.body));
    let shown = later.iter().any(|c| c.response.is_some_and(|r| named(&r.body)));
    if asked || shown {
        return Trail::Seen;
    }
    let about = |event: &std::sync::Arc<str>| {
        e.events.get(&**event).is_some_and(|(_, event)| event.record.as_deref() == Some(id))
    };
    let told =
        e.deliveries.iter().rev().find(|d| {
            d.vendor == vendor && d.sent >= since && d.acknowledged() && d.events.iter().any(about)
        });
    if let Some(delivery) = told {
        return Trail::Acknowledged(delivery.ended, delivery.asked);
    }
    match later.iter().rev().find(|c| c.vendor == vendor && !c.is_token()) {
        Some(last) => Trail::Overlooked(last.arrived, last.asked),
        None => Trail::NeverAsked,
    }
}
