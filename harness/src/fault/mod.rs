//! Faults as data: ordered rules of *when* and *what*.
//!
//! Knows: the shape of a rule and how it is written. Must not know: counters, chance or sockets;
//! `schedule` decides whether a rule bites, the world carries it out.

mod act;
mod drift;
mod point;
mod protocol;
mod text;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::expr::Expr;

pub use act::*;
pub use drift::*;
pub use point::*;
pub use text::*;

/// One rule. Rules are tried in the order of the file; the first that bites wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it applies to: `billing`, `billing POST /v1/invoices`, `webhook crm`,
    /// `webhook crm deal.creation`, or `subject`.
    pub on: Target,
    /// What it does.
    #[serde(rename = "do")]
    pub act: Act,
    /// Only inside this window of drill time: `30s..10m`, `10m..`, `..5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Only on these attempts of one operation (same method, target and idempotency key, or same
    /// body where there is no key): `1`, `1..2`, `3..`. For a webhook: attempts of one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Counts>,
    /// Only on these calls, counted over all that match the rule: `1`, `5..8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Counts>,
    /// Only on this share of what matches, drawn under the seed: `30%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Only where this holds. Variables: `request` (method, path, headers, query, body) or
    /// `event` (the webhook event).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expr>,
}
