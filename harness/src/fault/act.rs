//! What a fault does, and where it can be done.
//!
//! Knows: the acts, how each is written, and the points of a drill at which each may be asked for.
//! Must not know: how one is carried out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::drift::Mutation;
use super::text::Skew;
use crate::time::Span;

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Act {
    // -- connection ------------------------------------------------------------------------
    /// Connections are refused (RST to the SYN), and open ones reset, for the rule's window.
    Refuse,
    /// Packets vanish for the rule's window: a connect is never answered (its SYN meets a full
    /// backlog), and a request on an open connection is never read.
    BlackHole,
    /// Connections of the rule's window are taken up this late: the handshake is done, and nothing
    /// that the client sends is read until then.
    SlowAccept(Span),
    /// Over TLS: connections of the rule's window are greeted with a certificate that a client must
    /// not accept.
    Certificate(BadCertificate),
    /// The connection is reset when the head of a request has come, before its body is read: the
    /// vendor never knew of it. Over HTTP/2, its stream is.
    ResetRequest,
    /// The connection is reset (RST by SO_LINGER 0) at this moment. Over HTTP/2, the stream of the
    /// call is (RST_STREAM with INTERNAL_ERROR), and the others on its connection go on.
    Reset(Moment),
    /// The connection is closed (FIN) without a response: an empty reply. Over HTTP/2, every call that
    /// is open on it goes with it.
    Close(Moment),
    /// No response ever comes; the connection stays open.
    Hang(Moment),
    /// The response body ends after this many bytes, against its Content-Length or its last chunk.
    /// Over HTTP/2, which has no chunks, its stream ends there.
    Truncate(Truncation),
    /// The Content-Length is not that of the body.
    ContentLength(Lie),
    /// Interim responses (1xx) come before the true one, in this order: `[100, 103]`.
    Interim(#[schemars(inner(range(min = 100, max = 199)))] Vec<u16>),
    /// The response body stops after this many bytes and the connection stays open.
    Stall(AfterBytes),
    /// The response body drips.
    SlowBody(Drip),
    /// Bytes that are not HTTP come instead of a response, and the connection is closed. Over HTTP/2,
    /// every call that is open on it goes with it.
    Garbage,
    /// The vendor closes each kept-alive connection just as the client sends on it again. Over HTTP/2,
    /// if no other call is open on it, and without GOAWAY.
    StaleKeepAlive,
    /// Over HTTP/2: the vendor says that it takes no more on this connection (GOAWAY), and closes it
    /// once what it took is answered.
    Goaway(Goaway),

    // -- response --------------------------------------------------------------------------
    /// The vendor answers with an error of its own dialect.
    Error(ErrorReply),
    /// The vendor answers with exactly this, whatever was asked.
    Reply(Reply),
    /// The vendor applies the request and takes this long to answer.
    Latency(Span),
    /// Header fields of the true response are set, or removed with `null`.
    Headers(BTreeMap<String, Option<String>>),

    // -- drift -----------------------------------------------------------------------------
    /// The vendor changed without notice: its answer, its webhook payload (before it is signed), or
    /// what it wants of a request is no longer what it was.
    Drift(Mutation),

    // -- webhook ---------------------------------------------------------------------------
    /// The event is delivered this many times in all.
    Duplicate(Copies),
    /// The event is held back by a drawn span, so that later ones overtake it.
    Reorder(Within),
    /// The event is held back by this span.
    Delay(Span),
    /// The event is never delivered.
    Drop,
    /// Events of the window are held and delivered together at its end.
    Burst,
    /// The delivery is signed wrongly.
    Signature(BadSignature),
    /// The event's type is replaced by one the subject cannot know.
    UnknownType,
    /// An event that cannot be understood joins the delivery.
    Poison,
    /// The delivery never reaches the subject; the vendor sees a failed attempt.
    Unreachable,
    /// The delivery reaches the subject and its answer never reaches the vendor, which sees a
    /// failed attempt and delivers the same events again.
    LostAck,

    // -- subject ---------------------------------------------------------------------------
    /// SIGKILL: everything the subject runs stops at once; it starts again on the same state.
    Kill(Outage),
    /// SIGTERM: the subject may finish what it is doing; it starts again on the same state.
    Stop(Outage),
    /// SIGSTOP: the subject stands still, its connections open, and then goes on (SIGCONT) as if
    /// nothing had been. Only a program can be paused.
    Pause(Rest),
    /// The subject's wall clock is off by this much (`+10m`, `-10m`) until the window of the rule ends, or
    /// the drill heals; then it is right again.
    ClockSkew(Skew),
}

/// When, relative to the vendor applying the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// The vendor never applied it: a retry is the first to take effect.
    BeforeApplied,
    /// The vendor is still at work on it (for two seconds) when the client loses it: an early
    /// retry meets a request in progress.
    WhileApplying,
    /// The vendor applied it; only the answer is lost.
    AfterApplied,
    /// The vendor applied it, and the client loses the connection inside the response body.
    DuringResponse,
}

/// What becomes of the call at which a vendor leaves a connection (RFC 9113 §6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goaway {
    /// It is the last that is answered there.
    Answered,
    /// It was not processed, and the vendor says so: it may be sent again at once, whatever it is.
    Unprocessed,
}

/// Certificates that a client must not accept (RFC 5280 §6, RFC 9525).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BadCertificate {
    /// It was good until 2021.
    Expired,
    /// It is another host's.
    WrongHost,
}

/// Ways in which a Content-Length is false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lie {
    /// It promises 16 bytes that never come; the connection stays open.
    Longer,
    /// It is half of the body's: the rest comes where the client expects the next response. Over
    /// HTTP/2, on the same stream, which is malformed by it (RFC 9113 §8.1.1).
    Shorter,
}

/// Where a response body ends too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Truncation {
    /// Bytes of the body that still come through.
    pub after: u64,
    /// Whether the body comes in chunks (RFC 9112 §7.1), without the last one, instead of with a
    /// Content-Length.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chunked: bool,
}

/// A number of body bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AfterBytes {
    /// Bytes of the body that still come through.
    pub after: u64,
}

/// A body that comes in small pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drip {
    /// Bytes a piece.
    pub bytes: u32,
    /// The pause before each piece.
    pub every: Span,
}

/// A kind of error, said in the vendor's own dialect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorReply {
    /// Which error; the vendor file says how it looks.
    pub kind: ErrorKind,
    /// A status code instead of the dialect's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A Retry-After field: a span in whole seconds, or any text (`Wed, 21 Oct 2026 07:28:00 GMT`).
    /// `date+30s`, `rfc850+30s` and `asctime+30s` give the three HTTP-date forms that far ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// Header fields to set, or to remove with `null`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Option<String>>,
    /// When the vendor says so: before it touched anything (the default), or after it applied the
    /// request, in which case an idempotency layer saves and replays this very answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
}

/// Errors every vendor can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Too many requests (usually 429).
    RateLimited,
    /// A secondary or burst limit (GitHub's 403, HubSpot's other policies).
    SecondaryRateLimited,
    /// Something is locked for the moment (Stripe's 429 `lock_timeout`).
    LockTimeout,
    /// The credential is not, or no longer, good (usually 401).
    Unauthorized,
    /// The credential may not do this (usually 403).
    Forbidden,
    /// The refresh token is not, or no longer, good (RFC 6749 §5.2).
    InvalidGrant,
    /// The request is wrong (usually 400).
    InvalidRequest,
    /// The request is understood and cannot be done (usually 422).
    Unprocessable,
    /// There is no such thing (404).
    NotFound,
    /// The same idempotency key is at work in another request (usually 409).
    IdempotencyInUse,
    /// The same idempotency key came with other parameters (usually 400 or 422).
    IdempotencyMismatch,
    /// The vendor broke (500).
    ServerError,
    /// A gateway before the vendor could not reach it (502).
    BadGateway,
    /// The vendor is down or shedding load (503).
    Unavailable,
    /// A gateway waited too long for the vendor (504).
    GatewayTimeout,
}

/// A response given literally.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub json: Option<serde_json::Value>,
    /// A text body (`text/html` unless `headers` says otherwise).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whether the vendor applied the request all the same; not by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub applied: bool,
}

/// How often one event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// Deliveries of the same event in all.
    pub times: u32,
    /// The extra ones come at drawn moments within this span.
    pub within: Span,
}

/// An upper bound on a drawn span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Within {
    /// The longest it is held back.
    pub within: Span,
}

/// Ways of signing a webhook wrongly (or rightly, but not as usual).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BadSignature {
    /// Made with a secret the subject never had. Must be refused.
    WrongSecret,
    /// No signature at all. Must be refused.
    Missing,
    /// A true signature over a body that was changed afterwards. Must be refused.
    TamperedBody,
    /// A true signature with a timestamp outside the vendor's tolerance. Must be refused.
    OldTimestamp,
    /// A true signature made four fifths of the vendor's tolerance ago, as of a delivery that was long on
    /// its way, or by a clock that is behind. Must be accepted.
    LateTimestamp,
    /// Made with the new secret of a roll that is under way. Must be accepted.
    RolledSecret,
    /// A true signature over a body spelled unusually (spaces, escapes, key order): only a
    /// receiver that verifies the raw bytes accepts it. Must be accepted.
    UnusualSpelling,
}

impl BadSignature {
    /// Whether a sound receiver refuses such a delivery.
    pub fn must_be_refused(self) -> bool {
        use BadSignature as S;
        !matches!(self, S::LateTimestamp | S::RolledSecret | S::UnusualSpelling)
    }
}

/// How the subject goes away and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// On a vendor call: at this moment of it (default `after_applied`). On a webhook delivery:
    /// always right after the subject's acknowledgement. On `subject`: at the window's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<Moment>,
    /// How long until it is started again on the same state.
    pub restart_after: Span,
    /// For a stop: how long it may take before it is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
}

/// How long the subject stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    /// From the moment at which the rule bites.
    #[serde(rename = "for")]
    pub lasts: Span,
}
