//! The vendor: a stateful model of a third-party API, as a pure function of its state, the time
//! and what it is asked.
//!
//! Knows: what every vendor can be asked. Must not know: sockets, clocks, faults' timing, or any
//! one vendor by name.

mod actions;
pub mod auth;
mod changing;
mod described;
pub mod encoding;
pub mod errors;
mod file;
pub mod filter;
mod generated;
mod hooks;
pub mod idempotency;
mod keeping;
mod model;
mod operate;
mod pace;
pub mod paging;
pub mod rate_limit;
mod reading;
mod shown;
pub mod spec;
pub mod store;
pub mod template;
pub mod value;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::contract::Contract;
use crate::fault::{BadSignature, ErrorKind, ErrorReply, Mutation};
use crate::scenario::Given;
use crate::time::{At, Span};
use crate::trace::{ChangeKind, Drifted, Operation, Told, WebhookEvent};
use crate::wire::{Request, Response};

pub use file::{VendorFile, bundled, bundled_names, open};

/// The status of what is not there (RFC 9110 §15.5.5).
const NOT_FOUND: u16 = 404;

/// A third-party API, as firedrill plays it.
///
/// Deterministic: equal calls in equal order give equal answers. What it needs of chance and wall
/// time it derives from the seed and epoch that it was built with.
pub trait Vendor {
    /// Facts about the API that do not change in a drill.
    fn profile(&self) -> &Profile;

    /// Which operation a request is; `None` if the API has no such thing.
    fn operation(&self, request: &Request) -> Option<Operation>;

    /// Handles a request that arrived at `now` and stays in progress for `takes`. The answer to a HEAD
    /// has the body of the GET's, which whoever sends it leaves out.
    fn step(&mut self, now: At, request: &Request, takes: Span) -> Reaction;

    /// Answers a request with an error in the vendor's own dialect. With `error.moment` before
    /// application (the default) nothing else happens; after it, the request is applied first and
    /// an idempotency layer keeps this error as its answer.
    fn fail(&mut self, now: At, request: &Request, error: &ErrorReply) -> Reaction;

    /// Refuses a request for want of a field that the vendor has come to require, in its own
    /// dialect. A vendor without words for that says that the request is wrong.
    fn lacks(&mut self, now: At, request: &Request, _field: &str) -> Reaction {
        let error = ErrorReply {
            kind: ErrorKind::InvalidRequest,
            status: None,
            retry_after: None,
            headers: BTreeMap::new(),
            moment: None,
        };
        self.fail(now, request, &error)
    }

    /// Answers a request that no recording answers: as what is not there, in the vendor's own dialect,
    /// and with `why` where the dialect has a place for words.
    fn unrecorded(&mut self, now: At, request: &Request, _why: &str) -> Reaction {
        let error = ErrorReply {
            kind: ErrorKind::NotFound,
            status: Some(NOT_FOUND),
            retry_after: None,
            headers: BTreeMap::new(),
            moment: None,
        };
        self.fail(now, request, &error)
    }

    /// From now on gives no page of more than `most` items, whatever is asked; `None` lifts that.
    /// If the bound now lifted or replaced left anything out, gives the last page from which it did,
    /// as it would have been; a vendor without pages never does.
    fn cap_pages(&mut self, _most: Option<u64>) -> Option<Uncapped> {
        None
    }

    /// Fills a collection before the drill begins.
    ///
    /// # Errors
    /// If there is no such collection; the message names the nearest.
    fn give(&mut self, collection: &str, given: &Given) -> Result<Vec<Change>, String>;

    /// Carries out an action of the workload (`deals.close`, `oauth.revoke`) on the records `ids`
    /// (none for an account's action).
    ///
    /// # Errors
    /// If there is no such action or record; the message names the nearest.
    fn act(
        &mut self,
        now: At,
        noun: &str,
        verb: &str,
        ids: &[Arc<str>],
        set: &BTreeMap<String, Value>,
    ) -> Result<Reaction, String>;

    /// Whether an action makes its own records, instead of acting on records that are there.
    fn makes_records(&self, _noun: &str, _verb: &str) -> bool {
        false
    }

    /// The live records of a collection, oldest first; `None` if there is no such collection.
    fn records(&self, collection: &str) -> Option<Vec<Arc<Value>>>;

    /// What an operator hands to an integration: `refresh_token`, `api_key`, `webhook_secret`, ….
    fn credentials(&self) -> BTreeMap<String, String>;

    /// Makes the request that delivers `events` to the subject's public `url`.
    fn delivery(
        &mut self,
        now: At,
        events: &[WebhookEvent],
        attempt: u32,
        url: &str,
        signature: Option<BadSignature>,
    ) -> Request;

    /// As [`Vendor::delivery`] with good signatures, from a vendor whose payloads changed before
    /// they are signed. A vendor that cannot change them leaves `drift.done` empty.
    fn drifted_delivery(
        &mut self,
        now: At,
        events: &[WebhookEvent],
        attempt: u32,
        url: &str,
        _drift: &mut DeliveryDrift<'_>,
    ) -> Request {
        self.delivery(now, events, attempt, url, None)
    }

    /// How long the vendor waits after failed attempt number `attempt` (from 1) before the next
    /// one; `None` when it gives up. `response` is what the subject answered, if anything.
    fn redelivery(&mut self, attempt: u32, response: Option<&Response>) -> Option<Span>;

    /// Whether it gave up on the subject's endpoint, not only on an event, and sends nothing more.
    fn has_disabled_webhooks(&self) -> bool {
        false
    }

    /// An event of the type `kind` about a record as it is, though nothing happened to it: what an
    /// operator's "send a test event" does. `property` is the field that the event tells of, where
    /// events of the type tell of one.
    ///
    /// # Errors
    /// If there is no such record, or no such type of event; the message names the nearest.
    fn event(
        &mut self,
        _now: At,
        kind: &str,
        _collection: &str,
        _id: &str,
        _property: Option<&str>,
    ) -> Result<WebhookEvent, String> {
        Err(format!("this vendor cannot make an event `{kind}` unprompted"))
    }

    /// All that it remembers, to be kept between runs; `None` if it cannot be kept.
    fn save(&self) -> Option<Value> {
        None
    }

    /// Remembers what it saved in an earlier run, instead of anything else. Gives what it holds.
    ///
    /// # Errors
    /// If another vendor saved it, or another version of this one.
    fn restore(&mut self, _saved: Value) -> Result<Vec<Change>, String> {
        Err("this vendor cannot take up what was kept of it".to_owned())
    }

    /// An event of a type that the subject cannot know, made from `like`.
    fn unknown_event(&mut self, like: &WebhookEvent) -> WebhookEvent;

    /// An event that cannot be understood, to be delivered beside `like`.
    fn poison_event(&mut self, like: &WebhookEvent) -> WebhookEvent;
}

/// How the payloads of a delivery changed without notice.
#[derive(Debug)]
pub struct DeliveryDrift<'a> {
    /// The change.
    pub mutation: &'a Mutation,
    /// The turn of a systematic one.
    pub turn: u64,
    /// The only type of event that it is about; all, if absent.
    pub kind: Option<&'a str>,
    /// What came of it, once the delivery is written.
    pub done: Option<Drifted>,
}

impl DeliveryDrift<'_> {
    /// Whether an event of this type is meant.
    pub fn means(&self, event: &WebhookEvent) -> bool {
        self.kind.is_none_or(|kind| kind == &*event.kind)
    }
}

/// A page as it would have been, had its vendor not capped it.
#[derive(Clone, Debug, PartialEq)]
pub struct Uncapped {
    /// Its body.
    pub body: Value,
    /// Its Link field (RFC 8288), if it has one.
    pub link: Option<String>,
}

/// Facts about an API that do not change in a drill.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The vendor's name: its folder in `contracts/`.
    pub name: String,
    /// The origin it is known under: `https://api.stripe.com`. The world puts the true address in
    /// its place on the wire, and takes it back in the trace.
    pub origin: String,
    /// The header field that carries an idempotency key, lower case, if the API knows one.
    pub idempotency_header: Option<String>,
    /// How long an idempotency key is remembered.
    pub idempotency_kept: Option<Span>,
    /// Collections, with the name of one record: `deals` → `deal`.
    pub collections: BTreeMap<String, String>,
    /// Webhook behaviour, if the vendor sends any.
    pub webhooks: Option<WebhookProfile>,
    /// The vendor's own description, if there is one: what calls and answers are held against.
    pub contract: Option<Arc<Contract>>,
}

/// How a vendor delivers webhooks.
#[derive(Clone, Debug, PartialEq)]
pub struct WebhookProfile {
    /// How long it waits for an answer.
    pub timeout: Span,
    /// The most events in one delivery.
    pub batch: usize,
    /// How long it gathers events for one delivery.
    pub gather: Span,
    /// Bytes of the event id that a delivery shows, for subjects that dedup by it: the pointer
    /// into one event's payload (`/eventId`).
    pub id_pointer: String,
    /// Whether a signature says, and covers, when it was made.
    pub dated: bool,
}

/// What a vendor does in answer to something.
#[derive(Clone, Debug, Default)]
pub struct Reaction {
    /// The response, if it was a request.
    pub response: Option<Response>,
    /// Whether the request was applied (for a read: answered from the ledger).
    pub applied: bool,
    /// Whether the answer is a saved one.
    pub replayed: bool,
    /// What the response tells the client.
    pub told: Told,
    /// What changed in the ledgers, in order.
    pub changes: Vec<Change>,
    /// What the vendor has to tell its subscribers.
    pub emissions: Vec<WebhookEvent>,
    /// Credentials that changed: what happened (`rolled`, `revoked`, `issued`), and whether the
    /// operator hands the new ones to the subject.
    pub credentials: Vec<CredentialChange>,
}

impl Reaction {
    /// Takes in what came about right after this, without a request of its own.
    pub fn follow(&mut self, next: Reaction) {
        self.changes.extend(next.changes);
        self.emissions.extend(next.emissions);
        self.credentials.extend(next.credentials);
    }
}

/// A change of a vendor's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialChange {
    /// What happened: `issued`, `rolled`, `revoked`, ….
    pub change: String,
    /// Whether the operator hands the new ones to the subject at this moment.
    pub handed_over: bool,
}

/// A change of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The collection.
    pub collection: Arc<str>,
    /// The record.
    pub id: Arc<str>,
    /// What became of it.
    pub change: ChangeKind,
    /// The record from now on; for a deleted one, as it last was.
    pub record: Arc<Value>,
}

#[cfg(test)]
mod tests;
