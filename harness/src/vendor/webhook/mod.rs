//! Webhooks: which events a change makes, and how deliveries are written.
//!
//! Knows: event rules and payloads as data. Must not know: when deliveries are sent.

pub mod retry;
pub mod sign;
pub mod spelling;

use serde::Deserialize;
use serde_json::Value;

use crate::time::Span;

use super::template::Template;
use super::value::Path;

use retry::RetrySpec;
use sign::SignSpec;

/// The webhooks of a vendor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// Whether an endpoint is registered, so that anything is sent at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How deliveries are signed.
    pub sign: SignSpec,
    /// How long the vendor waits for an answer.
    #[serde(default = "ten_seconds")]
    pub timeout: Span,
    /// The most events in one delivery.
    #[serde(default = "one")]
    pub batch: usize,
    /// How long it gathers events for one delivery.
    #[serde(default)]
    pub gather: Span,
    /// Whether a delivery's body is a list, also of one event.
    #[serde(default)]
    pub list: bool,
    /// The pointer to the event's id in its payload.
    pub id_pointer: String,
    /// The pointer to the event's type in its payload.
    pub kind_pointer: String,
    /// The field of the payload that counts attempts from zero, if there is one.
    #[serde(default)]
    pub attempt_field: Option<String>,
    /// Header fields of a delivery. Roots: `event`, `delivery`.
    #[serde(default)]
    pub headers: indexmap::IndexMap<String, Template>,
    /// When failed deliveries are tried again.
    #[serde(default)]
    pub retry: RetrySpec,
    /// When the vendor gives up on the endpoint itself and sends nothing more.
    #[serde(default)]
    pub disable: DisableSpec,
    /// Whether changes that come through the API emit events too.
    #[serde(default = "yes")]
    pub own_changes: bool,
    /// How an event id looks.
    pub event_id: Template,
    /// Which events there are; all that fit are sent.
    pub events: Vec<EventSpec>,
    /// A type that no subject knows.
    #[serde(default = "unknown")]
    pub unknown_kind: String,
    /// The payload of an event. Roots: `event` (`id`, `kind`, `id_number`), `record`, `record_id`,
    /// `property` (`name`, `value`), `source` (`api` or `vendor`).
    pub payload: Template,
}

/// What makes a vendor give up on an endpoint for good.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisableSpec {
    /// Answers that do so at once (410 for Standard Webhooks).
    #[serde(default)]
    pub on: Vec<u16>,
    /// So many events that it gave up on (Shopify deletes the subscription); never, if zero.
    #[serde(default)]
    pub after: u32,
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn unknown() -> String {
    "firedrill.unknown".to_owned()
}

/// One type of event.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// `created`, `changed`, `deleted`, or the name of an operation or action (`finalize`).
    pub on: String,
    /// The collection.
    pub of: String,
    /// The type: `deal.creation`.
    pub kind: String,
    /// For changes: one event for each field that changed under this object.
    #[serde(default)]
    pub each: Option<Path>,
    /// Fields that make no event of their own.
    #[serde(default)]
    pub except: Vec<String>,
    /// The payload, if not the vendor's usual one.
    #[serde(default)]
    pub payload: Option<Template>,
}

/// The fields under `under` in which two versions of a record differ, with their new values.
pub fn changed_fields<'v>(under: &Path, before: &Value, after: &'v Value) -> Vec<(String, &'v Value)> {
    let old = under.get(before).and_then(Value::as_object);
    let Some(new) = under.get(after).and_then(Value::as_object) else { return Vec::new() };
    new.iter()
        .filter(|(name, value)| old.and_then(|o| o.get(*name)).unwrap_or(&Value::Null) != *value)
        .map(|(name, value)| (name.clone(), value))
        .collect()
}
