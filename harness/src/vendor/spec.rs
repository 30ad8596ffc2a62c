//! A vendor as it is written down: the words of `contracts/<vendor>/vendor.yaml`.
//!
//! Knows: what such a file may say, and what it means when it says nothing. Must not know: how
//! any of it is carried out.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use crate::fault::ErrorKind;

use super::auth::AuthSpec;
use super::encoding::ParamSpec;
use super::errors::ErrorsSpec;
use super::filter::SearchDialect;
use super::idempotency::IdempotencySpec;
use super::paging::{PagingChange, PagingSpec};
use super::rate_limit::RateSpec;
use super::template::Template;
use super::value::Path;
use super::webhook::WebhookSpec;

/// A whole vendor file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The vendor's name: its folder.
    pub vendor: String,
    /// Where the behaviour was read, for people.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The origin it is known under.
    pub origin: String,
    /// How callers prove who they are.
    pub auth: AuthSpec,
    /// How request bodies are written.
    #[serde(default)]
    pub encoding: Encoding,
    /// What happens to parameters that the operation does not know.
    #[serde(default)]
    pub unknown_parameters: UnknownParameters,
    /// The idempotency layer.
    #[serde(default)]
    pub idempotency: IdempotencySpec,
    /// The rate limits.
    #[serde(default)]
    pub rate_limit: RateSpec,
    /// How lists are paged.
    #[serde(default)]
    pub paging: PagingSpec,
    /// What every response carries.
    #[serde(default)]
    pub responses: ResponsesSpec,
    /// How errors look.
    #[serde(default)]
    pub errors: ErrorsSpec,
    /// The ledgers.
    pub collections: IndexMap<String, CollectionSpec>,
    /// What can be called: `POST /v1/invoices/{id}/finalize`.
    pub operations: IndexMap<String, OperationSpec>,
    /// What the workload can do to records, by collection and verb.
    #[serde(default)]
    pub actions: IndexMap<String, IndexMap<String, ActionSpec>>,
    /// The webhooks it sends.
    #[serde(default)]
    pub webhooks: Option<WebhookSpec>,
}

/// How request bodies are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// JSON.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`, nesting written in brackets.
    Form,
}

/// What happens to parameters that an operation does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownParameters {
    /// They are ignored.
    #[default]
    Ignore,
    /// The request is refused.
    Refuse,
}

/// What every response carries.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponsesSpec {
    /// The content type of JSON bodies.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Header fields; `{request_id}` is the answer's own id.
    #[serde(default)]
    pub headers: IndexMap<String, Template>,
    /// Those of the header fields above that repeat the request's field of that name, where it has one.
    #[serde(default)]
    pub echo: Vec<String>,
    /// How an answer's id looks.
    #[serde(default)]
    pub request_id: Option<Template>,
    /// Whether reads carry an ETag and honour If-None-Match (RFC 9110 §13.1.2).
    #[serde(default)]
    pub etag: bool,
}

/// A ledger.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionSpec {
    /// What one record is called: `deal`.
    pub one: String,
    /// How ids look; without it they are ascending numbers.
    #[serde(default)]
    pub id: IdSpec,
    /// A new record. Roots: `id`, `seq`, `params`, and each record referred to by its name.
    pub template: Template,
    /// Fields that are set anew whenever the record changes.
    #[serde(default)]
    pub touch: IndexMap<Path, Template>,
    /// How start data is made up, in order. Roots: `record` (so far), `seq`.
    #[serde(default)]
    pub seeded: IndexMap<Path, Template>,
    /// What follows from the records of another collection that refer to this one.
    #[serde(default)]
    pub sums: Vec<SumSpec>,
    /// What remains of a deleted record for those who read it; without it, it is not found.
    #[serde(default)]
    pub tombstone: Option<Template>,
    /// Records of other collections that go with a deleted one, by the field that refers to it.
    #[serde(default)]
    pub cascade: BTreeMap<String, Path>,
    /// Which properties a read shows when it names none (HubSpot).
    #[serde(default)]
    pub shown: Option<ShownSpec>,
}

/// How ids look.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum IdSpec {
    /// Ascending numbers in text, with drawn gaps.
    Number {
        /// The first is about this.
        from: u64,
        /// Gaps are drawn up to this.
        #[serde(default = "one")]
        gap: u64,
        /// Whether the id is a JSON number in records.
        #[serde(default)]
        json: bool,
    },
    /// Drawn text.
    Text(Template),
}

fn one() -> u64 {
    1
}

impl Default for IdSpec {
    fn default() -> IdSpec {
        IdSpec::Number { from: 1, gap: 1, json: false }
    }
}

/// Fields of a record that follow from the records which refer to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumSpec {
    /// The other collection.
    pub of: String,
    /// Its field that holds this record's id.
    pub by: Path,
    /// Fields that hold the sum, and what is summed.
    #[serde(default)]
    pub sum: BTreeMap<Path, Path>,
    /// Fields that hold the first record's value, where there is a record.
    #[serde(default)]
    pub first: BTreeMap<Path, Path>,
    /// A field that holds a list with one entry for each record (root: `item`).
    #[serde(default)]
    pub list: BTreeMap<Path, Template>,
}

/// Which properties a read shows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShownSpec {
    /// The object that is narrowed: `properties`.
    pub under: String,
    /// The query parameter (or body field) that names properties.
    pub param: String,
    /// Shown when none are named.
    pub default: Vec<String>,
    /// Shown always.
    #[serde(default)]
    pub always: Vec<String>,
}

/// Kinds of operations, as a vendor file names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Does {
    /// Reads one record.
    Read,
    /// Reads a page of records.
    List,
    /// Finds records by a query.
    Search,
    /// Reads several records by id.
    BatchRead,
    /// Makes a record.
    Create,
    /// Changes a record.
    Update,
    /// Moves a record to another state.
    Transition,
    /// Removes a record.
    Delete,
    /// Trades a credential for a token.
    Token,
}

/// Something that can be called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationSpec {
    /// What it does.
    pub does: Does,
    /// The collection.
    #[serde(default)]
    pub of: Option<String>,
    /// The name under which webhooks speak of it: `finalize`.
    #[serde(default)]
    pub named: Option<String>,
    /// Its parameters, from the body or the query.
    #[serde(default)]
    pub params: IndexMap<String, ParamSpec>,
    /// Whether further parameters are stored as they are.
    #[serde(default)]
    pub open: bool,
    /// Variables of the path beside `id`: stored in, and matched with, fields of the record.
    #[serde(default)]
    pub path: IndexMap<String, PathVarSpec>,
    /// The field that `{id}` is looked up in, if not the record's id.
    #[serde(default)]
    pub find_by: Option<Path>,
    /// What must hold. Roots: `record`, `params`, and each record referred to.
    #[serde(default)]
    pub require: Vec<Condition>,
    /// Fields it sets. Roots: `record`, `params`, `id`, `seq`.
    #[serde(default)]
    pub set: IndexMap<Path, Template>,
    /// Records of another collection that a new one takes in.
    #[serde(default)]
    pub adopt: Option<AdoptSpec>,
    /// A body other than the record. Roots: `record`, `params`.
    #[serde(default)]
    pub reply: Option<Template>,
    /// Whether the body is empty.
    #[serde(default)]
    pub empty: bool,
    /// The status of success.
    #[serde(default)]
    pub status: Option<u16>,
    /// Whether a credential is needed.
    #[serde(default = "yes")]
    pub auth: bool,
    /// The rate limit it falls under: `none`, or a name in `rate_limit.also`.
    #[serde(default)]
    pub limit: Option<String>,
    /// Paging that differs from the vendor's.
    #[serde(default)]
    pub paging: Option<PagingChange>,
    /// Query parameters that filter a list, with the field each compares.
    #[serde(default)]
    pub filters: IndexMap<String, Path>,
    /// How a search is written.
    #[serde(default)]
    pub search: Option<SearchDialect>,
}

fn yes() -> bool {
    true
}

/// A variable of the path.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathVarSpec {
    /// The field of the record that holds it.
    pub to: Path,
    /// The collection whose record it names, which must exist.
    #[serde(default)]
    pub of: Option<String>,
    /// The field of that record, if not its id.
    #[serde(default)]
    pub by: Option<Path>,
}

/// Something that must hold before an operation is carried out.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What is looked at: `invoice.status`.
    pub that: String,
    /// It must be one of these.
    #[serde(default)]
    pub is: Option<Vec<Value>>,
    /// It must be none of these.
    #[serde(default)]
    pub is_not: Option<Vec<Value>>,
    /// It must be the same as this; both missing or null is fine.
    #[serde(default)]
    pub same_as: Option<String>,
    /// The error otherwise.
    #[serde(rename = "else")]
    pub otherwise: Refused,
}

/// An error that an operation ends in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// Which kind.
    pub kind: ErrorKind,
    /// A status other than the kind's.
    #[serde(default)]
    pub status: Option<u16>,
    /// Its words, over those of the kind.
    #[serde(default)]
    pub say: IndexMap<String, Template>,
}

/// Records of another collection that a new record takes in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptSpec {
    /// The other collection.
    pub of: String,
    /// The field that then holds the new record's id; only records where it is null are taken.
    pub by: Path,
    /// Fields of theirs that must equal a field of the new record.
    #[serde(default)]
    pub matching: BTreeMap<Path, Path>,
    /// Only when these parameters have these values.
    #[serde(default)]
    pub when: BTreeMap<String, Value>,
}

/// Something that the workload can do to a record.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionSpec {
    /// What it does: create, update, delete or transition.
    pub does: Does,
    /// The name under which webhooks speak of it.
    #[serde(default)]
    pub named: Option<String>,
    /// What must hold.
    #[serde(default)]
    pub require: Vec<Condition>,
    /// Fields it sets. Roots: `record`, `id`.
    #[serde(default)]
    pub set: IndexMap<Path, Template>,
    /// Fields it sets only where the scenario sets nothing itself.
    #[serde(default)]
    pub set_by_default: IndexMap<Path, Template>,
}
