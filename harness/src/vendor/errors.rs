//! Errors in a vendor's own words.
//!
//! Knows: how an error kind becomes a status, header fields and a body, and what a Retry-After
//! field says (RFC 9110 §10.2.3). Must not know: why a request is refused.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::fault::{ErrorKind, ErrorReply};
use crate::time::{At, Span};
use crate::trace::Told;
use crate::wire::{Headers, Response};

use super::template::{Scope, Template};

/// How errors look.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorsSpec {
    /// The body; the root `error` holds what is said.
    #[serde(default)]
    pub body: Option<Template>,
    /// Whether fields that are null are left out of bodies.
    #[serde(default)]
    pub prune: bool,
    /// Header fields of every error.
    #[serde(default)]
    pub headers: IndexMap<String, Template>,
    /// The field that carries the vendor's word on whether to retry, lower case.
    #[serde(default)]
    pub should_retry_header: Option<String>,
    /// What is said, by kind.
    #[serde(default)]
    pub kinds: BTreeMap<ErrorKind, Said>,
    /// What is said in particular cases, over what is said of the kind.
    #[serde(default)]
    pub cases: BTreeMap<Case, Said>,
}

/// What one kind of error says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// The status code.
    #[serde(default)]
    pub status: Option<u16>,
    /// Words for the body: `code`, `message`, …. The root `error` holds what happened.
    #[serde(default)]
    pub say: IndexMap<String, Template>,
    /// Further header fields.
    #[serde(default)]
    pub headers: IndexMap<String, Template>,
    /// A body of its own; a text makes an HTML page.
    #[serde(default)]
    pub body: Option<Template>,
    /// The vendor's word on whether to retry.
    #[serde(default)]
    pub should_retry: Option<bool>,
}

/// Reasons for which a vendor refuses a request by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// There is no such operation.
    NoRoute,
    /// No credential came.
    NoCredential,
    /// The credential is unknown.
    BadCredential,
    /// The credential was good once.
    StaleCredential,
    /// A header field that must be there is not.
    MissingHeader,
    /// The body cannot be read.
    MalformedBody,
    /// A parameter that the operation does not know.
    UnknownParameter,
    /// A parameter that must be there is not.
    MissingParameter,
    /// A parameter of the wrong type.
    InvalidParameter,
    /// The record of the path is not there.
    NoRecord,
    /// A record that a parameter names is not there.
    NoReferenced,
    /// The record's state does not allow it.
    WrongState,
    /// A cursor that leads nowhere.
    BadCursor,
    /// A search query that cannot be read.
    BadQuery,
    /// The idempotency key is missing.
    KeyMissing,
    /// The idempotency key cannot be read, or is too long.
    KeyInvalid,
    /// The key came with other parameters before.
    KeyMismatch,
    /// The key is at work.
    KeyInUse,
    /// The limit of the window is spent.
    WindowSpent,
    /// The day's quota is spent.
    DaySpent,
    /// Too many calls at a time, or in a burst.
    Burst,
    /// The client of a token request is not known.
    BadClient,
    /// The refresh token is not, or no longer, good.
    BadGrant,
    /// The kind of grant is not known.
    UnsupportedGrant,
}

impl Case {
    /// The kind of error it is.
    pub fn kind(self) -> ErrorKind {
        match self {
            Case::NoRoute | Case::NoRecord => ErrorKind::NotFound,
            Case::NoCredential | Case::BadCredential | Case::StaleCredential => ErrorKind::Unauthorized,
            Case::MissingHeader => ErrorKind::Forbidden,
            Case::KeyMismatch => ErrorKind::IdempotencyMismatch,
            Case::KeyInUse => ErrorKind::IdempotencyInUse,
            Case::WindowSpent | Case::DaySpent => ErrorKind::RateLimited,
            Case::Burst => ErrorKind::SecondaryRateLimited,
            Case::BadGrant => ErrorKind::InvalidGrant,
            _ => ErrorKind::InvalidRequest,
        }
    }
}

/// A request refused, before it is put into words. Boxed, since few requests are.
#[derive(Clone, Debug)]
pub struct Refusal(Box<Reason>);

/// Why a request is refused.
#[derive(Clone, Debug)]
pub struct Reason {
    /// The kind of error.
    pub kind: ErrorKind,
    /// The case, if it is one of the vendor's own.
    pub case: Option<Case>,
    /// What happened: `param`, `id`, ….
    pub facts: Map<String, Value>,
    /// A status over the dialect's.
    pub status: Option<u16>,
    /// Words over the dialect's.
    pub words: Map<String, Value>,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn kind(kind: ErrorKind) -> Refusal {
        Refusal(Box::new(Reason { kind, case: None, facts: Map::new(), status: None, words: Map::new() }))
    }

    /// A refusal for this reason.
    pub fn case(case: Case) -> Refusal {
        let mut refusal = Refusal::kind(case.kind());
        refusal.case = Some(case);
        refusal
    }

    /// With one more fact for the words.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Refusal {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

impl std::ops::Deref for Refusal {
    type Target = Reason;
    fn deref(&self) -> &Reason {
        &self.0
    }
}

impl std::ops::DerefMut for Refusal {
    fn deref_mut(&mut self) -> &mut Reason {
        &mut self.0
    }
}

/// The status most vendors give a kind of error.
fn usual_status(kind: ErrorKind) -> u16 {
    match kind {
        ErrorKind::RateLimited | ErrorKind::LockTimeout => 429,
        ErrorKind::SecondaryRateLimited | ErrorKind::Forbidden => 403,
        ErrorKind::Unauthorized => 401,
        ErrorKind::InvalidGrant | ErrorKind::InvalidRequest => 400,
        ErrorKind::Unprocessable | ErrorKind::IdempotencyMismatch => 422,
        ErrorKind::NotFound => 404,
        ErrorKind::IdempotencyInUse => 409,
        ErrorKind::ServerError => 500,
        ErrorKind::BadGateway => 502,
        ErrorKind::Unavailable => 503,
        ErrorKind::GatewayTimeout => 504,
    }
}

fn usual_words(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::RateLimited => "Too many requests.",
        ErrorKind::SecondaryRateLimited => "A secondary rate limit was exceeded.",
        ErrorKind::LockTimeout => "The object is locked at the moment.",
        ErrorKind::Unauthorized => "The credential is not valid.",
        ErrorKind::Forbidden => "The credential does not permit this.",
        ErrorKind::InvalidGrant => "The grant is invalid, expired or revoked.",
        ErrorKind::InvalidRequest => "The request is invalid.",
        ErrorKind::Unprocessable => "The request cannot be processed.",
        ErrorKind::NotFound => "There is no such resource.",
        ErrorKind::IdempotencyInUse => "A request with this idempotency key is in progress.",
        ErrorKind::IdempotencyMismatch => "The idempotency key was used with other parameters.",
        ErrorKind::ServerError => "Internal server error.",
        ErrorKind::BadGateway => "Bad gateway.",
        ErrorKind::Unavailable => "Service unavailable.",
        ErrorKind::GatewayTimeout => "Gateway timeout.",
    }
}

impl ErrorsSpec {
    /// Puts a refusal into the vendor's words. `told.retry_at` is filled by [`retry_after`] once
    /// all header fields are known.
    pub fn put(&self, refusal: &Refusal, scope: &mut Scope<'_>) -> (Response, Told) {
        let said: Vec<&Said> = [self.kinds.get(&refusal.kind), refusal.case.and_then(|c| self.cases.get(&c))]
            .into_iter()
            .flatten()
            .collect();
        let facts = Value::Object(refusal.facts.clone());
        let mut words = refusal.facts.clone();
        let status = refusal
            .status
            .or_else(|| said.iter().rev().find_map(|s| s.status))
            .unwrap_or_else(|| usual_status(refusal.kind));
        let mut headers = Headers::default();
        let mut body = self.body.as_ref();
        {
            let mut roots = scope.roots.to_vec();
            roots.push(("error", &facts));
            let mut inner = Scope { now: scope.now, epoch: scope.epoch, roots: &roots, chance: scope.chance };
            for (name, template) in said.iter().flat_map(|s| &s.say) {
                words.insert(name.clone(), template.fill(&mut inner));
            }
            for (name, template) in self.headers.iter().chain(said.iter().flat_map(|s| &s.headers)) {
                if let Some(text) = template.text(&mut inner) {
                    headers.set(name, text);
                }
            }
        }
        if let Some(own) = said.iter().rev().find_map(|s| s.body.as_ref()) {
            body = Some(own);
        }
        words.extend(refusal.words.clone());
        words.entry("message").or_insert_with(|| json!(usual_words(refusal.kind)));
        words.entry("status").or_insert_with(|| json!(status));
        let words = Value::Object(words);
        let mut roots = scope.roots.to_vec();
        roots.push(("error", &words));
        let mut inner = Scope { now: scope.now, epoch: scope.epoch, roots: &roots, chance: scope.chance };
        let mut body =
            body.map_or_else(|| json!({ "error": words.clone() }), |template| template.fill(&mut inner));
        let mut response = match &body {
            Value::String(page) => Response {
                status,
                headers: Headers::of([("content-type", "text/html")]),
                body: page.clone().into(),
            },
            _ => {
                if self.prune {
                    prune(&mut body);
                }
                Response::json(status, &body)
            }
        };
        for (name, value) in headers.0 {
            response.headers.set(&name, value);
        }
        let mut told = Told { error: Some(refusal.kind), ..Told::default() };
        if let (Some(header), Some(word)) =
            (&self.should_retry_header, said.iter().rev().find_map(|s| s.should_retry))
        {
            response.headers.set(header, word.to_string());
            told.should_retry = Some(word);
        }
        (response, told)
    }
}

fn prune(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, v| !v.is_null());
        map.values_mut().for_each(prune);
    }
}

/// Changes an error as a fault rule wants it.
pub fn override_error(error: &ErrorReply, response: &mut Response, now: At, epoch: jiff::Timestamp) {
    if let Some(status) = error.status {
        response.status = status;
    }
    if let Some(text) = &error.retry_after {
        response.headers.set("retry-after", retry_after_text(text, now, epoch));
    }
    for (name, value) in &error.headers {
        match value {
            Some(value) => response.headers.set(name, value.clone()),
            None => {
                response.headers.remove(name);
            }
        }
    }
}

/// Writes a Retry-After field as a fault rule asks for it: a span (`30s`, `2m`) becomes whole
/// seconds, rounded up; `date+30s`, `rfc850+30s` and `asctime+30s` become the HTTP-dates of
/// RFC 9110 §5.6.7; anything else stays as it is.
fn retry_after_text(text: &str, now: At, epoch: jiff::Timestamp) -> String {
    let Some((form, span)) = text.split_once('+') else {
        // A number without a unit is the field's own form, true or not (`17`, `-5`, `2.0`).
        let spelled = text.ends_with(|c: char| c.is_ascii_alphabetic());
        return match text.parse::<Span>() {
            Ok(span) if spelled => span.0.div_ceil(1_000_000).to_string(),
            _ => text.to_owned(),
        };
    };
    let Ok(span) = span.parse::<Span>() else { return text.to_owned() };
    let at = (now + span).on_wall(epoch);
    match form {
        "date" => at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        "rfc850" => at.strftime("%A, %d-%b-%y %H:%M:%S GMT").to_string(),
        "asctime" => at.strftime("%a %b %e %H:%M:%S %Y").to_string(),
        _ => text.to_owned(),
    }
}

/// The moment that a Retry-After field names, if it is a valid one (RFC 9110 §10.2.3): whole
/// seconds from now, or an HTTP-date. Negative, decimal or other text names none.
pub fn retry_after(response: &Response, now: At, epoch: jiff::Timestamp) -> Option<At> {
    let text = response.headers.get("retry-after")?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let seconds: u64 = text.parse().unwrap_or(u64::MAX);
        return Some(now + Span(seconds.saturating_mul(1_000_000)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date = jiff::Timestamp::try_from(date).ok()?;
    let micros = date.as_microsecond().saturating_sub(epoch.as_microsecond());
    Some(At(u64::try_from(micros).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> (Response, Option<At>) {
        let epoch = "2026-03-02T03:04:05Z".parse().unwrap();
        let now = At(500_000);
        let mut response = Response::json(429, &json!({}));
        let reply = ErrorReply {
            kind: ErrorKind::RateLimited,
            status: Some(418),
            retry_after: Some(text.to_owned()),
            headers: BTreeMap::new(),
            moment: None,
        };
        override_error(&reply, &mut response, now, epoch);
        let at = retry_after(&response, now, epoch);
        (response, at)
    }

    #[test]
    fn the_three_http_dates_name_the_same_second() {
        for (text, written) in [
            ("date+30s", "Mon, 02 Mar 2026 03:04:35 GMT"),
            ("rfc850+30s", "Monday, 02-Mar-26 03:04:35 GMT"),
            ("asctime+30s", "Mon Mar  2 03:04:35 2026"),
        ] {
            let (response, at) = with(text);
            assert_eq!(response.headers.get("retry-after"), Some(written));
            assert_eq!(at, Some(At(30_000_000)), "{text}");
            assert_eq!(response.status, 418);
        }
    }

    #[test]
    fn a_span_is_written_in_whole_seconds() {
        for (span, written, at) in [("30s", "30", 30), ("2m", "120", 120), ("1500ms", "2", 2)] {
            let (response, told) = with(span);
            assert_eq!(response.headers.get("retry-after"), Some(written));
            assert_eq!(told, Some(At(500_000) + Span::secs(at)));
        }
    }

    #[test]
    fn seconds_count_from_the_answer_and_nonsense_names_no_moment() {
        assert_eq!(with("17").1, Some(At(17_500_000)));
        assert_eq!(with("31536000").1, Some(At(31_536_000_500_000)));
        for text in ["-5", "soon", "2.0", ""] {
            let (response, at) = with(text);
            assert_eq!((response.headers.get("retry-after"), at), (Some(text), None));
        }
    }
}
