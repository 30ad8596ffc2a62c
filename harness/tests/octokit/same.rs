//! When an answer is the recorded one, and what each kind of failure looks like to a client.
//!
//! Knows: which header fields are the connection's own. Must not know: drills.

use std::error::Error as _;
use std::fmt::Debug;
use std::io::ErrorKind::ConnectionReset;
use std::time::SystemTime;

use firedrill::fixture::{Body, Exchange};
use firedrill::time::Span;
use firedrill::wire::{FieldText, Headers};
use libtest_mimic::Failed;
use serde_json::Value;

use crate::asker::{Seen, bytes};

pub fn equal<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) -> Result<(), Failed> {
    ensure(found == expected, &format!("{what}: found {found:?}, expected {expected:?}"))
}

pub fn ensure(holds: bool, otherwise: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// Status, body and every header field are the recorded ones, but for the connection's own and
/// for moments, which keep their distance from the answer's own date.
pub fn unchanged(seen: &Seen, recorded: &Exchange) -> Result<(), String> {
    check(seen, recorded).map_err(|e| format!("{:?}", e.message()))
}

fn check(seen: &Seen, recorded: &Exchange) -> Result<(), Failed> {
    let answer = seen.answer()?;
    let expected = &recorded.response;
    equal("the status", &answer.status, &expected.status)?;
    match &expected.body {
        Some(Body::Json(value)) => {
            equal("the body", &serde_json::from_slice::<Value>(&answer.body)?, value)?;
        }
        other => equal("the body", &answer.body, &bytes(other.as_ref()))?,
    }
    let coded = matches!(expected.body, Some(Body::Base64(_)));
    let own = |name: &str| {
        matches!(name, "connection" | "content-length" | "transfer-encoding" | "date" | "keep-alive")
            || matches!(name, "x-ratelimit-reset" | "expires")
            || (name == "content-encoding" && !coded)
    };
    let fields = |headers: &Headers| -> Vec<(FieldText, FieldText)> {
        let mut fields: Vec<_> = headers.0.iter().filter(|(name, _)| !own(name)).cloned().collect();
        // Stable: the values of one field keep their order.
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields
    };
    equal("the header fields", &fields(&answer.headers), &fields(&expected.headers))?;
    equal("the quota's reset", &ahead(&answer.headers), &ahead(&expected.headers))?;
    ensure(answer.headers.get("date").is_some(), "the answer has no date")
}

/// How long after the answer the quota is full again, in seconds.
fn ahead(headers: &Headers) -> Option<i64> {
    let date = httpdate::parse_http_date(headers.get("date")?).ok()?;
    let date = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let reset: i64 = headers.get("x-ratelimit-reset")?.parse().ok()?;
    Some(reset - i64::try_from(date.as_secs()).ok()?)
}

/// An error in GitHub's own words.
pub fn dialect(seen: &Seen, status: u16, message: &str, wait: Span) -> Result<(), Failed> {
    let answer = seen.answer()?;
    equal("the status", &answer.status, &status)?;
    let header = |name: &str| answer.headers.get(name);
    equal("the type", &header("content-type"), &Some("application/json; charset=utf-8"))?;
    equal("the media type", &header("x-github-media-type"), &Some("github.v3; format=json"))?;
    ensure(header("x-github-request-id").is_some_and(|id| id.split(':').count() == 5), "no request id")?;
    let seconds = wait.duration().as_secs().to_string();
    equal("Retry-After", &header("retry-after"), &Some(&*seconds))?;
    let body: Value = serde_json::from_slice(&answer.body)?;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    ensure(text("message").starts_with(message), &format!("the message is `{}`", text("message")))?;
    let link = text("documentation_url");
    ensure(link.starts_with("https://docs.github.com/"), &format!("the documentation is at `{link}`"))
}

/// The primary limit shows that the quota is spent, and until when (in epoch seconds).
pub fn spent(seen: &Seen) -> Result<(), Failed> {
    let headers = &seen.answer()?.headers;
    for name in ["limit", "used", "resource"] {
        ensure(headers.get(&format!("x-ratelimit-{name}")).is_some(), &format!("no x-ratelimit-{name}"))?;
    }
    equal("remaining", &headers.get("x-ratelimit-remaining"), &Some("0"))?;
    ensure(ahead(headers).is_some_and(|s| s >= 0), "the quota's reset lies in the past")
}

/// The kernel's own word that the connection was reset.
pub fn is_reset(error: &reqwest::Error) -> Result<(), Failed> {
    let mut cause = error.source();
    while let Some(e) = cause {
        if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ConnectionReset) {
            return Ok(());
        }
        cause = e.source();
    }
    Err(format!("no reset: {error:?}").into())
}

/// The message ended before its end.
pub fn is_cut_short(error: &reqwest::Error) -> Result<(), Failed> {
    let mut cause = error.source();
    let mut said = error.to_string();
    while let Some(e) = cause {
        said = format!("{said}: {e}");
        cause = e.source();
    }
    let short = said.contains("end of file before message length reached")
        || said.contains("connection closed before message completed");
    ensure(short, &format!("not cut short: {said}"))
}
