//! What the vendors hold at the start, and what happens when.
//!
//! Knows: steps and start data as written. Must not know: which collections and actions a vendor
//! has; its vendor file says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::expr::Expr;
use crate::time::Span;

/// Records that a collection holds when the drill starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// How many; the vendor file says how one is made up.
    pub count: u32,
    /// Whether the fields that the vendor file makes up are drawn from the vendor's contract
    /// instead: names in all scripts, amounts from nothing to the huge, currencies with no, two and
    /// three decimals, and now and then null where the contract allows it. The same under the same
    /// seed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generated: bool,
    /// Fields of each, by path: `properties.amount: "12.30"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// Fields in which they differ, by path: the nth record takes the nth value, round and round.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub each: BTreeMap<String, Vec<Value>>,
}

/// Something that happens, once or again and again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When first.
    #[serde(default)]
    pub at: Span,
    /// What: `crm.deals.close`, `crm.oauth.revoke`, `billing.keys.roll`, `job sync`, or
    /// `crm.quota.spend` with `set: { calls: 20 }`: calls that others of the account make.
    #[serde(rename = "do")]
    pub action: Action,
    /// How often in all. By default once; with `every` and without `times`, until every record
    /// of the collection had its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// The pause between two times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// How many records each time takes, in the order of the collection, each its turn (default 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<u32>,
    /// Only records for which this holds take part; the variable is the record's name (`deal`).
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub only: Option<Expr>,
    /// Fields that the action sets, by path, over those of the vendor file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// Not before this holds. Variables: each vendor alias, with its collections as lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expr>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An action of a vendor's collection (`crm.deals.close`), which the vendor file names, or of the
    /// vendor's own accounts (`crm.oauth.revoke`, `billing.keys.roll`, `crm.quota.spend`).
    Vendor {
        /// The vendor's alias.
        vendor: String,
        /// The collection or account.
        noun: String,
        /// The action.
        verb: String,
    },
    /// A job of the subject is triggered.
    Job(String),
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Action, String> {
        let bad = || {
            format!(
                "`{text}` is not something that can happen; write `ALIAS.collection.action` or `job NAME`"
            )
        };
        if let Some(job) = text.strip_prefix("job ") {
            let job = job.trim();
            return if job.is_empty() { Err(bad()) } else { Ok(Action::Job(job.to_owned())) };
        }
        match text.split('.').collect::<Vec<_>>().as_slice() {
            [vendor, noun, verb] if [vendor, noun, verb].iter().all(|w| !w.is_empty()) => {
                Ok(Action::Vendor { vendor: (*vendor).into(), noun: (*noun).into(), verb: (*verb).into() })
            }
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Vendor { vendor, noun, verb } => write!(f, "{vendor}.{noun}.{verb}"),
            Action::Job(name) => write!(f, "job {name}"),
        }
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Action, D::Error> {
        Cow::<str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Action {
    fn schema_name() -> Cow<'static, str> {
        "Action".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^(job \S+|[^.\s]+\.[^.\s]+\.[^.\s]+)$",
            "description": "`ALIAS.collection.action`, or `job NAME`."
        })
    }
}
