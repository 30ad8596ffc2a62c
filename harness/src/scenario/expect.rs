//! What must hold: one section a property.
//!
//! Knows: the parameters of each promise and their defaults. Must not know: how a check judges it.
//! A section that is absent is not promised; what every integration owes (stable idempotency keys,
//! no retry of the unretryable, no leaked secrets, refused forgeries, no hang) needs no section.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::expr::Expr;
use crate::fault::Share;
use crate::time::Span;

/// The promises of a drill. What the drill's own file promises must be put to the test, or the drill is
/// unknown; what it takes over with `extends` need not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// Each source record has exactly one effect, and the two agree field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agree: Option<Agree>,
    /// What no two live records may share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unique: Vec<Unique>,
    /// How soon after healing the ledgers must agree and the subject be quiet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converges: Option<Converges>,
    /// How retries are spaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// What a vendor's Retry-After is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<RetryAfter>,
    /// How a quota told in response headers is spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaUse>,
    /// The circuit breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// Credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Webhook reception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Bounds on the load that the vendors bear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// The longest that the subject waits for one answer before it gives up on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Failures that must be said loudly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// What the subject's metrics must say, compared with the wire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
    /// What the subject shows of itself must equal what the vendors hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed: Vec<Exposed>,
    /// Rules by which this integration is not judged, each with the reason. What breaks them is counted
    /// and shown as waived; what could not be judged stays unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waive: Vec<Waiver>,
    /// Sections that a shared base promises and this drill does not: `without: [backoff]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Sections that were taken over from a base file. What a drill promises itself must be put to the
    /// test; what it shares with others need not be in each of them.
    #[serde(skip)]
    pub inherited: BTreeSet<&'static str>,
}

impl Expect {
    /// Takes from `base` each section that is absent here and not waived by `without`.
    pub fn inherit(&mut self, base: Expect) {
        let waived = std::mem::take(&mut self.without);
        macro_rules! take {
            ($($section:ident unless $absent:ident),*) => {$(
                let section = stringify!($section);
                if self.$section.$absent() && !waived.iter().any(|w| w == section) {
                    if !base.$section.$absent() {
                        self.inherited.insert(section);
                    }
                    self.$section = base.$section;
                }
            )*};
        }
        take!(agree unless is_none, converges unless is_none, backoff unless is_none);
        take!(retry_after unless is_none, quota unless is_none, breaker unless is_none, auth unless is_none);
        take!(webhook unless is_none, load unless is_none, timeout unless is_none);
        take!(unique unless is_empty, alerts unless is_empty, metrics unless is_empty);
        take!(exposed unless is_empty, waive unless is_empty);
        self.without = waived;
    }
}

/// A rule by which an integration is not judged, because it keeps the promise another way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The rule, as its finding shows it: `idempotency/no_key`.
    pub rule: String,
    /// Why it does not bind this integration, for whoever reads the report.
    pub because: String,
}

/// Two ledgers agree: every source record for which `where` holds has exactly one live effect, and
/// nothing else has one. At no moment, not only at the end, may one source have two live effects.
///
/// Expressions see the source and target record under the names that their vendor files give them
/// (`deal`, `invoice`), and may call `minor_units(amount, currency)`, `epoch_seconds(iso)` and
/// `lower(text)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agree {
    /// The source collection: `crm.deals`.
    pub from: String,
    /// Which source records must have an effect.
    #[serde(rename = "where")]
    pub only: Expr,
    /// The target collection: `billing.invoices`.
    pub to: String,
    /// Which target records count as an effect (a void invoice does not). All, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Expr>,
    /// The source's key, computed from a target record: `invoice.metadata.deal_id`.
    pub key: Expr,
    /// The source's key, computed from a source record; its id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_key: Option<Expr>,
    /// Value in the target record → value computed from the source record. Both are expressions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Expr>,
    /// Source records that may lack their effect if the subject shows them as dead-lettered or
    /// quarantined with a reason.
    #[serde(default)]
    pub may_set_aside: bool,
}

/// No two live records of a collection share a value, at any moment: one customer for each address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unique {
    /// The collection: `billing.customers`.
    pub of: String,
    /// What only one record may have, computed from a record under the name that its vendor file
    /// gives it: `customer.email`. Records for which it is null or empty may be many.
    pub by: Expr,
    /// Which records count. All, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Expr>,
}

/// Convergence after the disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Converges {
    /// How long after healing.
    pub within: Span,
}

/// Exponential backoff with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The envelope of the first wait.
    pub base: Span,
    /// The largest envelope.
    pub cap: Span,
    /// How much the envelope grows each attempt (default 2).
    #[serde(default = "two")]
    pub factor: f64,
    /// How the wait is drawn from the envelope.
    #[serde(default)]
    pub jitter: Jitter,
    /// Attempts of one operation in all, the first included.
    pub attempts: u32,
    /// A pause at least this long starts a new operation, to which the count of attempts and the
    /// envelope start anew: the shortest after which a job is taken up again, be it by its queue or
    /// because a breaker lets calls through again.
    pub rest: Span,
    /// The longest from the first to the last attempt of one operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// What a queue or a scheduler may add to a wait (default 250ms).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Span>,
}

fn two() -> f64 {
    2.0
}

/// Kinds of jitter (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Uniform between zero and the envelope.
    #[default]
    Full,
    /// Uniform between half the envelope and the envelope.
    Equal,
    /// Any spread at all.
    Any,
}

/// Retry-After (RFC 9110 §10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryAfter {
    /// The longest wait that is obeyed; a vendor that asks for more may be asked again after it.
    pub obeyed_up_to: Span,
    /// The longest that a call may be put off although no vendor asked for it (absurd, negative
    /// and malformed values included).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_idle_longer_than: Option<Span>,
}

/// Spending a quota.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaUse {
    /// Once the remaining share is at or below this, calls are spread instead of sent at full speed.
    pub slow_at: Share,
    /// How many calls may still run into the limit. One that asks, every few minutes at most, whether a
    /// window of more than an hour has ended is not counted.
    #[serde(default)]
    pub rejections: u32,
    /// The longest standstill while the vendor's quota was not exhausted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub never_idle_longer_than: Option<Span>,
}

/// A circuit breaker (Nygard, "Release It!").
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// Consecutive failures after which it opens.
    pub opens_after: u32,
    /// Calls that may already be under way when it opens.
    #[serde(default)]
    pub in_flight: u32,
    /// How long it stays open before a probe.
    pub open_for: Span,
    /// Probes at a time while half open.
    #[serde(default = "one")]
    pub probes: u32,
    /// How soon after the vendor is well again calls must flow.
    pub recovers_within: Span,
}

fn one() -> u32 {
    1
}

/// Credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Refreshes that may happen for one expiry (default 1: single flight).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refreshes_per_expiry: Option<u32>,
    /// Whether a token is refreshed before it expires, so that expiry never costs a 401.
    #[serde(default)]
    pub proactive: bool,
    /// Token requests that may follow an `invalid_grant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_after_invalid_grant: Option<u32>,
    /// How soon after a rotated credential was put in place it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotation_within: Option<Span>,
    /// Calls with a credential that the vendor had already refused, before the subject stops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_after_refusal: Option<u32>,
}

/// Webhook reception.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// How soon a delivery is acknowledged.
    pub ack_within: Span,
    /// Whether every acknowledged event shows its effect at the end although the subject was
    /// killed meanwhile and no other path was open.
    #[serde(default)]
    pub durable: bool,
    /// How soon after it acknowledged a new event about a record whose effect is out of date the
    /// subject makes a call about that record, instead of leaving it to the next sweep. Not judged
    /// while calls fail or the subject is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acts_within: Option<Span>,
    /// Whether a copy of an event whose work was done sets nothing off: no call about its record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub knows_copies: bool,
}

/// Bounds on load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The vendor that bears it; each, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Calls in the disturbed part of the drill per call that the work needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amplification: Option<f64>,
    /// Calls a second, over any ten seconds, while catching up after the disturbance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<f64>,
    /// Calls at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
}

/// Patience with a single call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeout {
    /// From the request to the last byte of the answer, or to giving up.
    pub overall: Span,
}

/// A failure that must be said loudly, by an alert to the drill's alert receiver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// A word that the alert's kind or message contains.
    pub about: String,
    /// The moment from which the failure lasts.
    pub from: Span,
    /// How soon after it.
    pub within: Span,
    /// That no such alert comes at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never: bool,
    /// How many such alerts may come in that time: one trouble is not an alert for each failed attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
}

/// A metric compared with the wire at the end of the drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// A Prometheus selector: `name` or `name{label="value"}`; samples that match are summed.
    pub metric: String,
    /// What it must equal. Variables: `calls` (list of `{vendor, method, path, operation, status,
    /// outcome, attempt, operation_kind}`), `deliveries` (list of `{vendor, status, attempt,
    /// duplicate, events}`), `dead_letters` and `quarantine` (lists of what the subject shows there),
    /// and each vendor alias with its collections.
    pub equals: Expr,
}

/// Something that the subject shows by a GET at the end of the drill, compared with the ledgers:
/// the promise of a subject that writes to a store of its own and not to a vendor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exposed {
    /// What: the name under which the subject shows it, as JSON.
    pub what: String,
    /// The value to compare, computed from `exposed` (the JSON shown) and the variables of
    /// `equals`; all that is shown, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Expr>,
    /// What it must equal. Variables: each vendor alias with its collections as they are at the
    /// end, and `calls` (list of `{vendor, method, path, status, outcome}`).
    pub equals: Expr,
}
