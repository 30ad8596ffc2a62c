//! The trace: what happened in a drill, append-only, in drill time.
//!
//! Knows: the kinds of events and their order. Must not know: who writes them, or what they
//! prove. Nothing in it varies by machine: no port, no path, no wall clock.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fault::{BadCertificate, ErrorKind, Moment};
use crate::seed::Seed;
use crate::time::{At, Span};
use crate::wire::{Protocol, Request, Response};

/// The alias of a vendor, shared.
pub type Alias = Arc<str>;

/// Numbers an exchange between subject and vendor, from zero in order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u32);

/// Numbers a webhook delivery attempt, from zero in order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(pub u32);

/// Points at an event of the trace; findings cite these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub u32);

/// A whole drill, as it happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// What was run.
    pub head: Head,
    /// What happened, in order; the index is the [`EventId`].
    pub events: Vec<Event>,
}

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// The drill's promise.
    pub drill: String,
    /// The seed.
    pub seed: Seed,
    /// The wall-clock time at which the drill pretends to start.
    pub epoch: jiff::Timestamp,
    /// When the disturbance ends.
    pub heals_at: At,
    /// When the drill ends.
    pub ends_at: At,
    /// How the real clock went, where the drill ran by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real: Option<RealTime>,
}

/// A drill in real time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealTime {
    /// How much faster than its scenario says.
    pub scale: u32,
    /// Whether the subject scales its own waits too, and so the promises about them are scaled.
    pub waits_scaled: bool,
    /// When the subject was ready and the scenario began: its moments count from here.
    pub begins_at: At,
    /// The latest that a timer of firedrill itself rang during the drill: what this machine's
    /// scheduling adds to any wait, and so the tolerance of what judges time.
    pub noise: Span,
    /// How long after the disturbance the ledgers were to agree, where this run allowed less than
    /// the scenario promises.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promised: Option<Span>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: At,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// The kinds of things that happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// A request of the subject reached a vendor, whole.
    Request {
        /// Its number.
        call: CallId,
        /// The vendor.
        vendor: Alias,
        /// The connection it came on, numbered per vendor in order of acceptance.
        connection: u32,
        /// What was spoken there; not written where it is HTTP/1.1.
        #[serde(default, skip_serializing_if = "Protocol::is_usual")]
        protocol: Protocol,
        /// The request. `host` is the vendor's true host.
        request: Request,
        /// What kind of operation it is, if the vendor knows it.
        operation: Option<Operation>,
    },
    /// The exchange ended, one way or another.
    Answer {
        /// Its number.
        call: CallId,
        /// How it ended on the wire.
        outcome: Outcome,
        /// What the vendor said, also where the client did not get all of it.
        response: Option<Response>,
        /// Whether the vendor applied the request.
        applied: bool,
        /// Whether the vendor gave back the saved answer to an earlier request.
        replayed: bool,
        /// What the vendor told the client.
        told: Told,
        /// The fault that hit it.
        fault: Option<FaultRef>,
    },
    /// A record came to be, changed, or went, at a vendor. These are the ledgers.
    Change {
        /// The vendor.
        vendor: Alias,
        /// The collection.
        collection: Arc<str>,
        /// The record's id.
        id: Arc<str>,
        /// What became of it.
        change: ChangeKind,
        /// The record from now on; for a deleted one, as it last was.
        record: Arc<Value>,
        /// Who did it.
        by: Cause,
    },
    /// A connection fault was seen by a client although no request came of it.
    Connection {
        /// The vendor.
        vendor: Alias,
        /// What the client met.
        outcome: Outcome,
        /// How many connects met it.
        count: u32,
        /// The fault.
        fault: Option<FaultRef>,
    },
    /// A TLS handshake that failed, was done under a certificate that a client must not accept, or came to
    /// nothing: the client left without a request.
    Handshake {
        /// The vendor.
        vendor: Alias,
        /// How it ended.
        ended: Handshake,
        /// What is wrong with the certificate that the vendor showed, if anything is.
        certificate: Option<BadCertificate>,
        /// The connection, numbered as in requests, where the handshake was ever done.
        connection: Option<u32>,
        /// What the vendor was told, or met, where it failed or the client left.
        error: Option<String>,
        /// The fault.
        fault: Option<FaultRef>,
    },
    /// A vendor has something to tell the subject.
    Emission {
        /// The vendor.
        vendor: Alias,
        /// The event, as the subject will see it.
        event: WebhookEvent,
        /// The fault that hit it before it was ever sent (dropped, delayed, copied).
        fault: Option<FaultRef>,
    },
    /// A vendor sends a webhook delivery.
    Delivery {
        /// Its number.
        delivery: DeliveryId,
        /// The vendor.
        vendor: Alias,
        /// The attempt, from 1.
        attempt: u32,
        /// Ids of the events in it.
        events: Vec<Arc<str>>,
        /// The request. `host` is the subject's public host.
        request: Request,
        /// The fault that hit it.
        fault: Option<FaultRef>,
        /// Whether a sound receiver refuses it.
        must_be_refused: bool,
    },
    /// The delivery ended.
    Delivered {
        /// Its number.
        delivery: DeliveryId,
        /// How.
        outcome: Outcome,
        /// What the subject answered.
        response: Option<Response>,
        /// When the vendor will try again.
        retry_at: Option<At>,
    },
    /// The vendor gave up on an event.
    GivenUp {
        /// The vendor.
        vendor: Alias,
        /// The event's id.
        event_id: Arc<str>,
    },
    /// The vendor gave up on the subject's endpoint and sends nothing more.
    Disabled {
        /// The vendor.
        vendor: Alias,
    },
    /// A fault rule bit. Always recorded, also where it is cited elsewhere.
    Fault(FaultRef),
    /// A fault rule chose a call to which it cannot be done: nothing was done to it.
    Unfit {
        /// The call.
        call: CallId,
        /// The fault.
        fault: FaultRef,
        /// Why it cannot be.
        why: String,
    },
    /// Something happened to the subject.
    Subject(SubjectEvent),
    /// A workload step was carried out.
    Step {
        /// Which, in the order of the file.
        step: u32,
        /// What, as written there.
        action: String,
        /// The records it touched.
        records: Vec<Arc<str>>,
        /// What went wrong, if something did.
        error: Option<String>,
    },
    /// A vendor's credentials changed, by the workload or by the vendor itself.
    Credential {
        /// The vendor.
        vendor: Alias,
        /// What happened: `rolled`, `revoked`, `issued`, `expired`, ….
        change: String,
        /// Whether the subject was given the new one by its operator at this moment.
        handed_over: bool,
    },
    /// The subject raised an alert, or something came where its alerts go.
    Alert {
        /// The alert, as it was posted; what can be read of anything else, as text.
        body: Value,
        /// Why it cannot be read as an alert, if it cannot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unread: Option<String>,
        /// When it began to come, if it never came whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began: Option<At>,
    },
    /// A line of the subject's log.
    Log {
        /// The level, lower case.
        level: String,
        /// The line.
        line: String,
    },
    /// What the subject says of itself at the end.
    Exposed {
        /// What: `metrics`, `dead_letters`, `quarantine`, `health`.
        what: String,
        /// What it said.
        response: Option<Response>,
    },
    /// The subject's own count of its attempts on the network, by vendor and outcome.
    Attempts {
        /// Attempts by `vendor outcome`.
        counts: BTreeMap<String, u64>,
    },
    /// The disturbance ended.
    Healed,
    /// The drill ended.
    Ended,
    /// firedrill itself did something wrong; no verdict can be trusted.
    HarnessFault {
        /// What.
        message: String,
    },
}

/// What kind of operation a call is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Its name in the vendor file: `POST /v1/invoices`.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: OperationKind,
    /// The collection it is about.
    pub collection: Option<Arc<str>>,
}

/// Kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Reads one record.
    Read,
    /// Reads a page of records.
    List,
    /// Makes a record: not safe to repeat without an idempotency key.
    Create,
    /// Changes a record.
    Update,
    /// Removes a record.
    Delete,
    /// Moves a record to another state.
    Transition,
    /// Trades a credential for a token.
    Token,
}

impl OperationKind {
    /// Whether it writes.
    pub fn writes(self) -> bool {
        !matches!(self, OperationKind::Read | OperationKind::List | OperationKind::Token)
    }
}

/// How an exchange ended on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole response was written.
    Answered,
    /// The connection, or its HTTP/2 stream, was reset.
    Reset,
    /// The connection was closed without a response.
    Closed,
    /// The response body was cut short.
    Truncated,
    /// Not HTTP.
    Garbage,
    /// The client gave up and closed the connection.
    Abandoned,
    /// The subject was killed or stopped meanwhile.
    SubjectGone,
    /// Still open when the drill ended.
    Open,
    /// The connection was refused.
    Refused,
    /// The connect was never answered.
    ConnectTimeout,
    /// The vendor said that it did not process the request, so that it may be sent again at once
    /// (RFC 9113 §8.7).
    Unprocessed,
    /// For a delivery: the vendor's own timeout passed.
    TimedOut,
}

/// How a TLS handshake ended, as the vendor saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handshake {
    /// It was done. Many a client verifies the certificate only after that; see [`Handshake::Left`].
    Done,
    /// The client refused the certificate, and said so (an alert, RFC 8446 §6.2).
    Refused,
    /// The client left, or spoke no TLS.
    BrokenOff,
    /// It had been done, and the client left before it began any request: it may have refused the
    /// certificate then, or not have needed the connection.
    Left,
}

/// What a vendor told the client in one answer, apart from the payload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Which error it was, if any; also set where the wire shows another status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorKind>,
    /// The moment before which the client was asked not to come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<At>,
    /// What is left of each quota.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Quota>,
    /// The vendor's explicit word on whether to retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub should_retry: Option<bool>,
    /// For a token answer: when the access token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires: Option<At>,
    /// The credential used was one the vendor had already refused, revoked or let expire.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale_credential: bool,
    /// firedrill's own word on this answer, which no client sees: why no recording answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A quota as told in header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Calls a window.
    pub limit: u64,
    /// Calls left in this window.
    pub remaining: u64,
    /// When the window ends, whether or not the client is told.
    pub resets_at: At,
    /// The length of the window: no two quotas of a vendor share it.
    pub window: Span,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It was there when the drill began.
    Given,
    /// It came to be.
    Created,
    /// It changed.
    Updated,
    /// It went.
    Deleted,
}

/// Who changed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The scenario's start data or workload.
    Scenario,
    /// A call of the subject.
    Call(CallId),
}

/// Something that a vendor tells its subscribers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookEvent {
    /// Its id, the same over all deliveries.
    pub id: Arc<str>,
    /// Its type: `deal.propertyChange`.
    pub kind: Arc<str>,
    /// The collection it is about.
    pub collection: Option<Arc<str>>,
    /// The record it is about.
    pub record: Option<Arc<str>>,
    /// When it happened.
    pub occurred: At,
    /// The payload of this one event.
    pub payload: Arc<Value>,
}

/// A fault rule that bit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRef {
    /// Which rule, in the order of the file.
    pub rule: u32,
    /// What it did, in a word: `reset`, `error`.
    pub act: Arc<str>,
    /// When, relative to the vendor applying the request, where that matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
    /// What it changed in a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<Arc<Drifted>>,
}

/// A change of a message that its vendor made without notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    /// The change in words: `remove /properties/amount`.
    pub change: String,
    /// The difference between the message as it was and as it was sent: a JSON Patch (RFC 6902) over
    /// `{ "status": 200, "headers": { … }, "encoding": "utf8", "body": … }`. Header fields have lower
    /// case names; `encoding` is how the bytes spell the body's text; `body` is the value of a JSON
    /// body, or the fields of a form. A webhook has no status. Of a refused request nobody can tell
    /// what else it would have got: its patch puts the status and the body of the refusal.
    pub patch: Value,
}

/// What happened to the subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum SubjectEvent {
    /// It was started, for the nth time (from 1).
    Started {
        /// Which time.
        incarnation: u32,
    },
    /// It takes webhooks and triggers.
    Ready,
    /// It gave no address for the webhooks of a vendor whose webhooks the drill disturbs.
    TakesNoWebhooks {
        /// The vendor.
        vendor: Alias,
    },
    /// It was killed.
    Killed,
    /// It was asked to stop.
    Stopping,
    /// It stopped as asked.
    Stopped,
    /// It did not stop in time and was killed.
    Overstayed,
    /// It ended by itself.
    Exited {
        /// With which error, if any.
        error: Option<String>,
    },
    /// Its wall clock was moved; microseconds, negative if behind.
    ClockSkewed {
        /// By how much in all.
        micros: i64,
    },
    /// A job was triggered.
    Triggered {
        /// Which.
        job: String,
        /// By which step of the workload.
        #[serde(default)]
        step: u32,
        /// Whether the subject took it.
        accepted: bool,
        /// Why the subject could not even be asked: it was not there, or has no such job. A subject that
        /// was asked and declined (it is busy, the run failed) did so for reasons of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unasked: Option<String>,
        /// Why a subject that was asked did not do it, where it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed: Option<String>,
    },
    /// It was made to stand still (SIGSTOP).
    Paused,
    /// It was let go on (SIGCONT).
    Resumed,
    /// It was busy without ever waiting, so that virtual time stood still, and was killed.
    Spinning,
    /// It wrote more than is kept: its log in this trace is not whole.
    Flooded {
        /// Lines until then.
        lines: u64,
        /// Bytes until then.
        bytes: u64,
    },
    /// Others kept one of its threads waiting for a processor, within about a second, for longer than
    /// is bearable: what it does late may not be its own doing.
    Starved {
        /// How long.
        waited: Span,
    },
    /// It could not even be started: why, is the error with which its life ends.
    NotStarted,
    /// A run of a job began.
    Runs,
    /// A run of a job came to its end.
    Ran {
        /// With this exit code; none if a signal ended it.
        code: Option<i32>,
        /// If that is not 0: the last that it wrote.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<String>,
    },
    /// Tasks of an earlier life were still there when it was started again.
    Outlived {
        /// How many.
        tasks: u64,
    },
    /// A call came although the subject was gone: something outlived it.
    Straggler {
        /// The call.
        call: CallId,
    },
}

impl Trace {
    /// Writes the trace as JSON lines: the head, then one event a line.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write_jsonl(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, &self.head)?;
        out.write_all(b"\n")?;
        for event in &self.events {
            serde_json::to_writer(&mut out, event)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    /// The event that `id` points at.
    pub fn event(&self, id: EventId) -> Option<&Event> {
        self.events.get(id.0 as usize)
    }

    /// Events with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (EventId, &Event)> {
        (0u32..).map(EventId).zip(&self.events)
    }
}
