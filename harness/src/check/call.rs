//! One exchange, request and answer joined.
//!
//! Knows: how an exchange looked to the client. Must not know: any vendor or any promise.

use super::sameness::Numbers;
use crate::fault::ErrorKind;
use crate::time::At;
use crate::trace::{EventId, FaultRef, Operation, OperationKind, Outcome, Quota, Told};
use crate::wire::{Request, Response};

/// How an exchange ended for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// 2xx or 3xx, whole.
    Success,
    /// The caller's own fault: 4xx other than those below.
    Caller,
    /// The credential was refused.
    Unauthorized,
    /// The idempotency key is at work elsewhere.
    InUse,
    /// Too many requests.
    Limited,
    /// 5xx, or an error in the body of a success.
    Broken,
    /// No whole answer reached the client: the effect is uncertain.
    Lost,
    /// The vendor said that it did not process the request.
    Unprocessed,
    /// The subject was gone before the answer came.
    Gone,
    /// Still open when the drill ended.
    Open,
}

impl Ending {
    /// Whether the same request may well succeed later.
    pub fn is_transient(self) -> bool {
        matches!(self, Ending::Limited | Ending::Broken | Ending::Lost | Ending::Unprocessed)
    }

    /// Whether the client cannot know if the request was applied.
    pub fn is_uncertain(self) -> bool {
        matches!(self, Ending::Broken | Ending::Lost | Ending::Gone | Ending::Open)
    }
}

/// One exchange.
#[derive(Clone, Debug)]
pub(super) struct Call<'t> {
    pub vendor: &'t str,
    pub request: &'t Request,
    pub operation: Option<&'t Operation>,
    /// When the request had arrived, whole.
    pub arrived: At,
    /// Its event.
    pub asked: EventId,
    /// When the exchange ended; the drill's end if it never did.
    pub ended: At,
    /// Its event.
    pub answered: Option<EventId>,
    pub outcome: Outcome,
    pub response: Option<&'t Response>,
    pub applied: bool,
    pub replayed: bool,
    pub told: Option<&'t Told>,
    pub fault: Option<&'t FaultRef>,
    /// The idempotency key it carries, if the vendor has a header field for it.
    pub key: Option<&'t str>,
    /// A digest of the body.
    pub digest: u128,
    /// What it has in common with other calls.
    pub same: Numbers,
    /// How it ended for the client.
    pub ending: Ending,
}

impl<'t> Call<'t> {
    /// The status that the client saw.
    pub fn status(&self) -> Option<u16> {
        if self.outcome == Outcome::Answered { self.response.map(|r| r.status) } else { None }
    }

    /// Which error the vendor said, or the wire shows.
    pub fn error(&self) -> Option<ErrorKind> {
        if let Some(error) = self.told.and_then(|t| t.error) {
            return Some(error);
        }
        Some(match self.response?.status {
            400 => ErrorKind::InvalidRequest,
            401 => ErrorKind::Unauthorized,
            403 => ErrorKind::Forbidden,
            404 => ErrorKind::NotFound,
            422 => ErrorKind::Unprocessable,
            429 => ErrorKind::RateLimited,
            500 => ErrorKind::ServerError,
            502 => ErrorKind::BadGateway,
            503 => ErrorKind::Unavailable,
            504 => ErrorKind::GatewayTimeout,
            _ => return None,
        })
    }

    /// The moment before which the client was asked not to come back, if the answer reached it.
    pub fn retry_at(&self) -> Option<At> {
        if self.outcome == Outcome::Answered { self.told?.retry_at } else { None }
    }

    /// The quotas it was told, if the answer reached it.
    pub fn quotas(&self) -> &'t [Quota] {
        match self.told {
            Some(told) if self.outcome == Outcome::Answered => &told.quotas,
            _ => &[],
        }
    }

    /// When the last of the quotas resets that it was told are used up.
    pub fn spent_until(&self) -> Option<At> {
        self.quotas().iter().filter(|q| q.remaining == 0).map(|q| q.resets_at).max()
    }

    /// Its operation's kind, if known.
    pub fn kind(&self) -> Option<OperationKind> {
        self.operation.map(|o| o.kind)
    }

    /// Whether it trades a credential for a token.
    pub fn is_token(&self) -> bool {
        self.kind() == Some(OperationKind::Token)
    }

    /// Whether it reads without changing anything, as far as can be told.
    pub fn reads(&self) -> bool {
        match self.kind() {
            Some(kind) => matches!(kind, OperationKind::Read | OperationKind::List),
            None => matches!(self.request.method.as_str(), "GET" | "HEAD"),
        }
    }

    /// Whether it makes a record, as far as can be told.
    pub fn creates(&self) -> bool {
        match self.kind() {
            Some(kind) => kind == OperationKind::Create,
            None => self.request.method == "POST" && self.key.is_some(),
        }
    }

    /// Whether it succeeded for the client.
    pub fn succeeded(&self) -> bool {
        self.ending == Ending::Success
    }

    /// The operation by name: `billing POST /v1/invoices`.
    pub fn name(&self) -> String {
        match self.operation {
            Some(operation) => format!("{} {}", self.vendor, operation.name),
            None => format!("{} {} {}", self.vendor, self.request.method, self.request.path()),
        }
    }

    /// What the client got, in a few words: `503`, `a reset`.
    pub fn got(&self) -> String {
        match (self.outcome, self.response) {
            (Outcome::Answered, Some(r)) => r.status.to_string(),
            (Outcome::Answered, None) => "an answer".into(),
            (Outcome::Reset, _) => "a reset".into(),
            (Outcome::Closed, _) => "a closed connection".into(),
            (Outcome::Truncated, _) => "a truncated body".into(),
            (Outcome::Garbage, _) => "garbage".into(),
            (Outcome::Unprocessed, _) => "a refusal to process it".into(),
            (Outcome::Abandoned, _) => "no answer in time".into(),
            (Outcome::SubjectGone, _) => "nothing (the subject was gone)".into(),
            (Outcome::Open, _) => "nothing yet".into(),
            (other, _) => format!("{other:?}").to_lowercase(),
        }
    }

    /// Its events.
    pub fn cite(&self) -> Vec<EventId> {
        std::iter::once(self.asked).chain(self.answered).collect()
    }

    /// Whether the vendor left the connection so that the same request may follow at once on another:
    /// what many an HTTP library sends again by itself.
    pub fn invites_repeat(&self) -> bool {
        self.hit_by("stale_keep_alive") || self.ending == Ending::Unprocessed
    }

    /// Whether a fault of this act hit it.
    pub fn hit_by(&self, act: &str) -> bool {
        self.fault.is_some_and(|f| &*f.act == act)
    }
}

/// Reads the ending off the wire and what the vendor told.
pub(super) fn ending(outcome: Outcome, response: Option<&Response>, told: Option<&Told>) -> Ending {
    match outcome {
        Outcome::Answered => {}
        Outcome::SubjectGone => return Ending::Gone,
        Outcome::Open => return Ending::Open,
        Outcome::Unprocessed => return Ending::Unprocessed,
        _ => return Ending::Lost,
    }
    let Some(status) = response.map(|r| r.status) else { return Ending::Lost };
    use ErrorKind as E;
    match told.and_then(|t| t.error) {
        Some(E::RateLimited | E::SecondaryRateLimited | E::LockTimeout) => return Ending::Limited,
        Some(E::Unauthorized) => return Ending::Unauthorized,
        Some(E::IdempotencyInUse) => return Ending::InUse,
        Some(E::ServerError | E::BadGateway | E::Unavailable | E::GatewayTimeout) => return Ending::Broken,
        Some(_) => return Ending::Caller,
        None => {}
    }
    match status {
        ..400 => Ending::Success,
        401 => Ending::Unauthorized,
        408 | 425 => Ending::Broken,
        429 => Ending::Limited,
        400..500 => Ending::Caller,
        _ => Ending::Broken,
    }
}
