//! What the control API takes and gives, as data.
//!
//! Knows: shapes. Must not know: how anything is done. Their JSON Schemas are the components of the
//! API's description, so what they say in comments is read by users.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::Rule;
use crate::time::Span;

/// All that is served, and where.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Overview {
    /// The base URL of this API.
    pub control: String,
    /// The vendors, by alias.
    pub vendors: BTreeMap<String, Served>,
    /// The vendors' time.
    pub time: Time,
    /// The certificate to trust, where vendors are met over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The file in which the state is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The folder in which the trace is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// Why the trace can no longer be kept, if that is so: it lacks what has happened since. A reset begins
    /// it anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_trouble: Option<String>,
}

/// A vendor that is served.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Served {
    /// Which vendor it is: a folder of `contracts/`.
    pub vendor: String,
    /// Its base URL, without a final slash.
    pub url: String,
    /// What its operator hands over: `api_key`, `refresh_token`, `webhook_secret`, ….
    pub credentials: BTreeMap<String, String>,
    /// Where its webhooks go, if anywhere.
    pub webhooks: Option<String>,
    /// Its collections, with the number of records in each.
    pub collections: BTreeMap<String, u64>,
    /// What can be made to happen: collections and accounts, each with its actions.
    pub actions: BTreeMap<String, Vec<String>>,
    /// The types of its webhook events.
    pub events: Vec<String>,
}

/// Where webhooks go.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// An `http://` URL; the vendor's signature covers it as it stands.
    #[schemars(regex(pattern = r"^http://"))]
    pub url: String,
}

/// The vendors' time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Time {
    /// On the wall (RFC 3339).
    #[schemars(extend("format" = "date-time"))]
    pub now: String,
    /// In microseconds since the start, as the trace counts.
    pub at: u64,
    /// By how much it was put forward in all.
    pub advanced: Span,
}

/// How far time is put forward.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Advance {
    /// The span.
    pub by: Span,
}

/// A fault rule that is armed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Armed {
    /// Its number, which the trace cites.
    pub id: u32,
    /// The rule. Its window counts from the moment at which it was armed.
    pub rule: Rule,
    /// When it was armed, in microseconds since the start.
    pub armed_at: u64,
    /// The calls, events or deliveries that it is about and met so far.
    pub met: u32,
    /// How often it bit. Not known where the kernel alone meets the client (`refuse`, `black_hole`).
    pub bites: Option<u32>,
}

/// The fault rules that are armed, in the order in which they are tried; the first that bites wins.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Faults {
    /// The rules.
    pub faults: Vec<Armed>,
}

/// What was made to happen.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Done {
    /// One entry a step.
    pub steps: Vec<StepDone>,
}

/// What came of one step.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StepDone {
    /// What, as it was asked for.
    #[serde(rename = "do")]
    pub action: String,
    /// The records that it touched.
    pub records: Vec<String>,
}

/// An event that did not happen, to be told all the same.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Emit {
    /// The vendor's alias.
    pub vendor: String,
    /// The type of event: `deal.creation`.
    pub event: String,
    /// The id of the record that it is about.
    pub record: String,
    /// The field that it tells of, where events of the type tell of one; the first by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
}

/// An event on its way.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Emitted {
    /// Its id.
    pub id: String,
    /// Its type.
    pub event: String,
    /// Its payload.
    pub payload: Value,
}

/// How many records each collection of each vendor holds.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Ledgers {
    /// By alias and collection.
    pub ledgers: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The live records of a collection, oldest first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Records {
    /// The records.
    pub records: Vec<Value>,
}

/// A part of the trace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Page {
    /// Events, each with its number.
    pub events: Vec<Entry>,
    /// The `since` that goes on after this part.
    pub next: u64,
    /// Whether there is more now.
    pub more: bool,
}

/// An event of the trace.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Entry {
    /// Its number, from 0.
    pub n: u64,
    /// When, in microseconds since the start.
    pub at: u64,
    /// What kind of event it is: `request`, `answer`, `change`, `delivery`, `delivered`, `fault`, ….
    pub kind: String,
    /// What it says beside that, by kind.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// Why something was refused.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Refused {
    /// Each mistake; the first comes first.
    pub errors: Vec<Problem>,
}

/// One mistake.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// What is wrong, and what was expected.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line of the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The same for a person: the line with a caret under the mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}
