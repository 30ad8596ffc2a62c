//! The scenario: the specification of a drill, as data.
//!
//! Knows: what a drill file may say, and what it means when it says nothing. Must not know: how
//! any of it is carried out or judged.

mod acts;
mod expect;
mod fits;
mod fragment;
mod located;
mod misfit;
mod nearest;
mod program;
mod program_review;
mod review;
pub mod schema;
mod several;
mod text;
mod workload;
mod yaml;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use acts::{ActEntry, acts};
pub use expect::*;
pub use fragment::{rules, steps};
pub use misfit::Misfit;
pub(crate) use misfit::misfit;
pub use nearest::{nearest, or_nearest};
pub use program::*;
pub use review::{Sources, VendorFacts, review};
pub use text::{Document, Mistake, parse, parse_base};
pub use workload::{Action, Given, Step};

use crate::fault::Rule;
use crate::time::Span;

/// A drill file: one promise, put to the test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The promise that it tests, as a sentence.
    pub drill: String,
    /// Why the promise matters: what goes wrong at 2 am when it is broken.
    pub why: String,
    /// The family it belongs to.
    pub family: Family,
    /// Another file, relative to this one, whose `vendors`, `subject` and `expect` hold here too
    /// wherever this file does not say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// The vendors of the drill, by the alias under which the rest of the file speaks of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vendors: BTreeMap<String, VendorUse>,
    /// Settings for the subject.
    #[serde(default, skip_serializing_if = "SubjectUse::is_default")]
    pub subject: SubjectUse,
    /// What the vendors hold at the start: `crm.deals: { count: 20 }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, Given>,
    /// What happens at the vendors and to the subject, and when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workload: Vec<Step>,
    /// Ordered fault rules; the first that bites wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Rule>,
    /// When the disturbance ends: from here on no fault bites, and the ledgers must come to agree.
    /// By default the end of the last fault window and workload step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heal_at: Option<Span>,
    /// When the drill ends. By default it ends `converges.within` after it heals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Span>,
    /// What must hold.
    #[serde(default)]
    pub expect: Expect,
}

/// What a drill file can take over from another: everything but its own story.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// See [`Scenario::vendors`].
    #[serde(default)]
    pub vendors: BTreeMap<String, VendorUse>,
    /// See [`Scenario::subject`].
    #[serde(default)]
    pub subject: SubjectUse,
    /// See [`Scenario::expect`].
    #[serde(default)]
    pub expect: Expect,
}

impl Scenario {
    /// Vendors of which nothing is asked.
    pub fn of(vendors: BTreeMap<String, VendorUse>) -> Scenario {
        Scenario {
            drill: "vendors are served".to_owned(),
            why: "whoever calls them tests something".to_owned(),
            family: Family::Other,
            extends: None,
            vendors,
            subject: SubjectUse::default(),
            given: BTreeMap::new(),
            workload: Vec::new(),
            faults: Vec::new(),
            heal_at: None,
            ends_at: None,
            expect: Expect::default(),
        }
    }

    /// Fills what this scenario leaves unsaid from `base`. What it says itself wins; maps are
    /// joined key by key, sections of `expect` are taken whole.
    pub fn inherit(&mut self, base: Base) {
        for (alias, vendor) in base.vendors {
            self.vendors.entry(alias).or_insert(vendor);
        }
        for (key, value) in base.subject.settings {
            self.subject.settings.entry(key).or_insert(value);
        }
        if self.subject.file.is_none() && self.subject.program.is_none() {
            self.subject.file = base.subject.file;
            self.subject.program = base.subject.program;
        }
        self.expect.inherit(base.expect);
    }
}

/// The drill families: what the drill is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Token expiry, revoked grants, rotated keys.
    Auth,
    /// 429s, quotas, limits.
    RateLimit,
    /// Timeouts that breed retries that breed throttling.
    Cascade,
    /// Contract changes.
    Drift,
    /// Deliveries to the subject.
    Webhook,
    /// Exactly-once effects.
    Idempotency,
    /// Backoff, deadlines, timeouts.
    Retry,
    /// The circuit breaker.
    Breaker,
    /// Do the ledgers agree in the end?
    Reconciliation,
    /// Kill and restart.
    Crash,
    /// Does what the subject says of itself agree with the wire?
    Observability,
    /// None of these.
    Other,
}

/// Which vendor stands behind an alias.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum VendorUse {
    /// A folder of `contracts/`, as it is.
    Named(String),
    /// A folder of `contracts/`, with changes.
    Changed(ChangedVendor),
}

/// A vendor with some of its behaviour changed for this drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangedVendor {
    /// The folder of `contracts/`.
    pub vendor: String,
    /// Merged into its `vendor.yaml` (RFC 7396 merge patch).
    #[serde(default)]
    pub with: Value,
    /// Recorded exchanges that answer in place of the vendor's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixtures: Option<FixtureUse>,
}

/// A run of recorded exchanges, and how a vendor answers from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FixtureUse {
    /// The file, relative to the scenario's.
    pub run: String,
    /// In which order its exchanges answer.
    #[serde(default)]
    pub mode: ReplayMode,
}

/// In which order recorded exchanges answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayMode {
    /// The same request gets the same answer, as often as it comes and in any order. Where a run
    /// has several answers to one request, the first.
    #[default]
    Exact,
    /// Each exchange answers in its turn. A request that repeats the one before it (a retry) gets
    /// the same answer again, unless the run has its own repeat there.
    Sequence,
}

/// By hand, and not untagged, so that a mistake inside the map keeps its place and its message.
impl<'de> Deserialize<'de> for VendorUse {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<VendorUse, D::Error> {
        struct NameOrMap;
        impl<'de> Visitor<'de> for NameOrMap {
            type Value = VendorUse;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a vendor's name, or `{ vendor: NAME, with: … }`")
            }
            fn visit_str<E>(self, name: &str) -> Result<VendorUse, E> {
                Ok(VendorUse::Named(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<VendorUse, A::Error> {
                ChangedVendor::deserialize(MapAccessDeserializer::new(map)).map(VendorUse::Changed)
            }
        }
        d.deserialize_any(NameOrMap)
    }
}

impl VendorUse {
    /// The folder of `contracts/` it names.
    pub fn name(&self) -> &str {
        match self {
            VendorUse::Named(name) => name,
            VendorUse::Changed(changed) => &changed.vendor,
        }
    }
}

/// Settings that the subject is started with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubjectUse {
    /// Settings by name, as the subject knows them (environment variables for a program).
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// A program that this drill is for, described in a file of its own, relative to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// A program that this drill is for, described here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Box<Program>>,
}

impl SubjectUse {
    fn is_default(&self) -> bool {
        *self == SubjectUse::default()
    }
}
