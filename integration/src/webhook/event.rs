//! One event of a delivery. Knows types and identities; must not know signatures.

use serde_json::{Map, Value};

use crate::context::Context;
use crate::policy::{DealSource, EventIdentity, UnseenDeal};
use crate::shape::{self, Shape};
use crate::store::{Enqueue, NewEvent, Quarantined};

/// The subscription types that concern a deal's invoice.
const KINDS: &[&str] =
    &["deal.creation", "deal.propertyChange", "deal.deletion", "deal.privacyDeletion", "deal.restore"];

/// What an event turned out to be.
#[derive(Debug)]
pub(super) enum Read {
    Event(NewEvent),
    Unknown,
    Malformed(Quarantined),
    Ignored,
}

pub(super) fn read(ctx: &Context, value: Value) -> Result<Read, rusqlite::Error> {
    let kind = value["subscriptionType"].as_str().unwrap_or_default().to_owned();
    if !kind.is_empty() && !KINDS.contains(&kind.as_str()) {
        return Ok(Read::Unknown);
    }
    if let Err(reason) = shape::check(Shape::Event, &value) {
        let payload = if ctx.policies.validation.keep_payload { value.to_string() } else { String::new() };
        return Ok(Read::Malformed(Quarantined {
            source: "webhook".into(),
            subject: text(&value["objectId"]),
            reason,
            payload,
        }));
    }
    let deal_id = text(&value["objectId"]);
    if ctx.policies.intake.unseen == UnseenDeal::Drop
        && kind != "deal.creation"
        && !ctx.store.knows_deal(&deal_id)?
    {
        return Ok(Read::Ignored);
    }
    let event_id = text(&value["eventId"]);
    let identity = match ctx.policies.dedup.identity {
        EventIdentity::EventId => event_id,
        EventIdentity::Delivery => format!("{event_id}/{}", text(&value["attemptNumber"])),
        EventIdentity::Change => format!("{deal_id}/{kind}/{}", text(&value["propertyName"])),
        EventIdentity::Deal => deal_id.clone(),
        EventIdentity::None => String::new(),
    };
    let mut job = Enqueue::deal(&deal_id, ctx.now_ms());
    if ctx.policies.freshness.source == DealSource::EventPayload
        && let Some(name) = value["propertyName"].as_str()
    {
        job.overlay = Map::from_iter([(name.to_owned(), value["propertyValue"].clone())]);
    }
    Ok(Read::Event(NewEvent {
        identity,
        kind,
        occurred_ms: shape::whole(&value["occurredAt"]).unwrap_or_default(),
        payload: value.to_string(),
        job,
    }))
}

/// An id as text, be it a number or a string.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
