//! Faults as data: ordered rules of *when* and *what*.
//!
//! Knows: the shape of a rule and how it is written. Must not know: counters, chance or sockets;
//! `schedule` decides whether a rule bites, the world carries it out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::expr::Expr;
use crate::time::{At, Span};

/// One rule. Rules are tried in the order of the file; the first that bites wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it applies to: `billing`, `billing POST /v1/invoices`, `webhook crm`,
    /// `webhook crm deal.creation`, or `subject`.
    pub on: Target,
    /// What it does.
    #[serde(rename = "do")]
    pub act: Act,
    /// Only inside this window of drill time: `30s..10m`, `10m..`, `..5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Only on these attempts of one operation (same method, target and idempotency key, or same
    /// body where there is no key): `1`, `1..2`, `3..`. For a webhook: attempts of one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Counts>,
    /// Only on these calls, counted over all that match the rule: `1`, `5..8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Counts>,
    /// Only on this share of what matches, drawn under the seed: `30%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Only where this holds. Variables: `request` (method, path, headers, query, body) or
    /// `event` (the webhook event).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Expr>,
}

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
    /// The connection is reset (RST by SO_LINGER 0) at this moment.
    Reset(Moment),
    /// The connection is closed (FIN) without a response: an empty reply.
    Close(Moment),
    /// No response ever comes; the connection stays open.
    Hang(Moment),
    /// The response body ends after this many bytes, against its Content-Length.
    Truncate(AfterBytes),
    /// The response body stops after this many bytes and the connection stays open.
    Stall(AfterBytes),
    /// The response body drips.
    SlowBody(Drip),
    /// Bytes that are not HTTP come instead of a response.
    Garbage,
    /// The vendor closes each kept-alive connection just as the client sends on it again.
    StaleKeepAlive,

    // -- response --------------------------------------------------------------------------
    /// The vendor answers with an error of its own dialect.
    Error(ErrorReply),
    /// The vendor answers with exactly this, whatever was asked.
    Reply(Reply),
    /// The vendor applies the request and takes this long to answer.
    Latency(Span),
    /// Header fields of the true response are set, or removed with `null`.
    Headers(BTreeMap<String, Option<String>>),

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
    /// The subject's wall clock is off by this much from now on (`+10m`, `-10m`).
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
    /// Made with the new secret of a roll that is under way. Must be accepted.
    RolledSecret,
    /// A true signature over a body spelled unusually (spaces, escapes, key order): only a
    /// receiver that verifies the raw bytes accepts it. Must be accepted.
    UnusualSpelling,
}

impl BadSignature {
    /// Whether a sound receiver refuses such a delivery.
    pub fn must_be_refused(self) -> bool {
        !matches!(self, BadSignature::RolledSecret | BadSignature::UnusualSpelling)
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

/// A signed offset of the subject's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// True if the subject's clock runs behind.
    pub behind: bool,
    /// By how much.
    pub by: Span,
}

/// What a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Calls to a vendor, of one operation or all.
    Calls {
        /// The vendor's alias in the scenario.
        vendor: String,
        /// The method; any if absent.
        method: Option<String>,
        /// The path pattern, with `{name}` for one segment and a final `*` for the rest; any if absent.
        path: Option<String>,
    },
    /// Webhook events of a vendor, of one type or all.
    Webhook {
        /// The vendor's alias in the scenario.
        vendor: String,
        /// The event type; any if absent.
        event: Option<String>,
    },
    /// The subject itself.
    Subject,
}

impl Target {
    /// The vendor it names, if any.
    pub fn vendor(&self) -> Option<&str> {
        match self {
            Target::Calls { vendor, .. } | Target::Webhook { vendor, .. } => Some(vendor),
            Target::Subject => None,
        }
    }

    /// Whether a call with this method and path is meant.
    pub fn matches_call(&self, alias: &str, called: &str, at: &str) -> bool {
        let Target::Calls { vendor, method, path } = self else { return false };
        vendor == alias
            && method.as_deref().is_none_or(|m| m == called)
            && path.as_deref().is_none_or(|p| path_matches(p, at))
    }
}

/// Whether `path` fits `pattern`: `{name}` stands for one segment, a final `*` for any rest.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), _) => return true,
            (Some(w), Some(g)) if w == g || (w.starts_with('{') && w.ends_with('}') && !g.is_empty()) => {}
            _ => return false,
        }
    }
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["subject"] => Ok(Target::Subject),
            ["webhook", vendor] => Ok(Target::Webhook { vendor: (*vendor).into(), event: None }),
            ["webhook", vendor, event] => {
                Ok(Target::Webhook { vendor: (*vendor).into(), event: Some((*event).into()) })
            }
            [vendor] => Ok(Target::Calls { vendor: (*vendor).into(), method: None, path: None }),
            [vendor, method, path] if METHODS.contains(method) && path.starts_with('/') => {
                Ok(Target::Calls {
                    vendor: (*vendor).into(),
                    method: Some((*method).into()),
                    path: Some((*path).into()),
                })
            }
            [vendor, path] if path.starts_with('/') => {
                Ok(Target::Calls { vendor: (*vendor).into(), method: None, path: Some((*path).into()) })
            }
            _ => Err(format!(
                "`{text}` names nothing a fault can be on; write a vendor's alias, `ALIAS METHOD /path`, \
                 `webhook ALIAS [event.type]`, or `subject`"
            )),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Calls { vendor, method, path } => {
                f.write_str(vendor)?;
                for part in [method, path].into_iter().flatten() {
                    write!(f, " {part}")?;
                }
                Ok(())
            }
            Target::Webhook { vendor, event } => {
                write!(f, "webhook {vendor}")?;
                event.iter().try_for_each(|e| write!(f, " {e}"))
            }
            Target::Subject => f.write_str("subject"),
        }
    }
}

/// A window of drill time; the end is exclusive, an absent end is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment inside.
    pub from: At,
    /// The first moment after it.
    pub to: Option<At>,
}

impl Window {
    /// Whether `at` lies inside.
    pub fn contains(&self, at: At) -> bool {
        at >= self.from && self.to.is_none_or(|to| at < to)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let bad = || format!("`{text}` is not a window of time; write `30s..10m`, `10m..` or `..5m`");
        let (from, to) = text.split_once("..").ok_or_else(bad)?;
        let end = |t: &str| t.trim().parse::<Span>().map(|s| At(s.0)).map_err(|_| bad());
        let from = if from.trim().is_empty() { At::START } else { end(from)? };
        let to = if to.trim().is_empty() { None } else { Some(end(to)?) };
        if to.is_some_and(|to| to <= from) {
            return Err(format!("the window `{text}` ends before it begins"));
        }
        Ok(Window { from, to })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.from)?;
        self.to.iter().try_for_each(|to| write!(f, "{to}"))
    }
}

/// A range of counts from one, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The first.
    pub first: u32,
    /// The last; open if absent.
    pub last: Option<u32>,
}

impl Counts {
    /// Whether the `n`th (from one) is meant.
    pub fn contains(&self, n: u32) -> bool {
        n >= self.first && self.last.is_none_or(|l| n <= l)
    }
}

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Counts, String> {
        let bad = || {
            format!("`{text}` is not a range of counts; write `1`, `1..2` or `3..` (from 1, ends included)")
        };
        let number = |t: &str| t.trim().parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(bad);
        let (first, last) = match text.split_once("..") {
            None => (number(text)?, Some(number(text)?)),
            Some((f, l)) => {
                let first = if f.trim().is_empty() { 1 } else { number(f)? };
                (first, if l.trim().is_empty() { None } else { Some(number(l)?) })
            }
        };
        if last.is_some_and(|l| l < first) {
            return Err(format!("the range `{text}` ends before it begins"));
        }
        Ok(Counts { first, last })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(l) if l == self.first => write!(f, "{l}"),
            Some(l) => write!(f, "{}..{l}", self.first),
            None => write!(f, "{}..", self.first),
        }
    }
}

/// A share, from 0 to 1, written in percent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        text.trim()
            .strip_suffix('%')
            .and_then(|n| n.trim().parse::<f64>().ok())
            .filter(|n| (0.0..=100.0).contains(n))
            .map(|n| Share(n / 100.0))
            .ok_or_else(|| format!("`{text}` is not a share; write it in percent, such as `30%`"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

impl FromStr for Skew {
    type Err = String;

    fn from_str(text: &str) -> Result<Skew, String> {
        let bad = || format!("`{text}` is not a clock skew; write `+10m` (ahead) or `-10m` (behind)");
        let (behind, rest) = match text.trim().split_at_checked(1) {
            Some(("+", rest)) => (false, rest),
            Some(("-", rest)) => (true, rest),
            _ => return Err(bad()),
        };
        Ok(Skew { behind, by: rest.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.behind { '-' } else { '+' }, self.by)
    }
}

/// Types written as text: serde and JSON Schema by way of `FromStr` and `Display`. A bare YAML
/// number is read as its text, so `attempts: 1` works.
macro_rules! written_as_text {
    ($($t:ident: $pattern:literal, $about:literal;)*) => {$(
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$t, D::Error> {
                Cow::<str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $t {
            fn schema_name() -> Cow<'static, str> { stringify!($t).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["string", "integer"], "pattern": $pattern, "description": $about })
            }
        }
    )*};
}

written_as_text! {
    Target: r"^\S+( \S+){0,2}$",
        "ALIAS, `ALIAS METHOD /path`, `webhook ALIAS [event.type]`, or `subject`.";
    Window: r"^.*\.\..*$", "A window of drill time: `30s..10m`, `10m..`, `..5m`.";
    Counts: r"^[0-9]*(\.\.[0-9]*)?$", "A range of counts from one, both ends included: `1`, `1..2`, `3..`.";
    Share: r"^[0-9.]+ ?%$", "A share in percent: `30%`.";
    Skew: r"^[+-].+$", "A clock skew: `+10m` ahead, `-10m` behind.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_back_as_written() {
        for text in [
            "billing",
            "billing POST /v1/invoices",
            "billing /v1/invoices/{id}",
            "webhook crm",
            "webhook crm deal.creation",
            "subject",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert!("billing FETCH /v1".parse::<Target>().is_err());
    }

    #[test]
    fn a_path_pattern_matches_whole_segments() {
        assert!(path_matches("/v1/invoices/{id}/finalize", "/v1/invoices/in_1/finalize"));
        assert!(!path_matches("/v1/invoices/{id}", "/v1/invoices/in_1/finalize"));
        assert!(!path_matches("/v1/invoices/{id}", "/v1/invoices/"));
        assert!(path_matches("/v1/*", "/v1/a/b"));
        assert!(!path_matches("/v1/invoices", "/v1/invoice"));
    }

    #[test]
    fn windows_and_counts_include_what_they_say() {
        let w: Window = "30s..1m".parse().unwrap();
        assert!(w.contains(At(30_000_000)) && !w.contains(At(60_000_000)));
        let c: Counts = "2..".parse().unwrap();
        assert!(!c.contains(1) && c.contains(9));
        assert!("0".parse::<Counts>().is_err());
        assert!("5..2".parse::<Counts>().is_err());
    }
}
