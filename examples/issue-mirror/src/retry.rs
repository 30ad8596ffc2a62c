//! What an answer says about trying again, and how long to wait.
//!
//! Knows: GitHub's limits ("Rate limits for the REST API", "Best practices") and backoff. Must not
//! know: how a call is made. Time and chance are handed in.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use crate::policy::Retries;

/// What to do after an answer that is not the one wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Trying again would not help.
    GiveUp,
    /// Try again, by one's own backoff.
    BackOff,
    /// Try again, but not before this long from now.
    Wait(Duration),
    /// A secondary limit without a word on when: at least a minute, then backoff.
    Secondary,
}

/// Reads status and header fields; `now` is the wall clock.
pub(crate) fn advice(status: u16, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Advice {
    let limited = status == 429 || (status == 403 && is_limit(headers, body));
    if !limited && status < 500 {
        return Advice::GiveUp;
    }
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
    if let Some(wait) = text("retry-after").and_then(|v| retry_after(v, now)) {
        return Advice::Wait(wait);
    }
    if limited && text("x-ratelimit-remaining") == Some("0") {
        // Epoch seconds, not a span. One more, because the clock's fraction is cut off.
        let reset = text("x-ratelimit-reset").and_then(|v| v.parse::<u32>().ok());
        let reset = reset.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(s) + 1));
        if let Some(wait) = reset.map(|r| r.duration_since(now).unwrap_or_default()) {
            return Advice::Wait(wait);
        }
    }
    if limited && status == 403 { Advice::Secondary } else { Advice::BackOff }
}

/// A 403 is a limit if it says so; else it is a missing permission.
fn is_limit(headers: &HeaderMap, body: &[u8]) -> bool {
    headers.contains_key("retry-after")
        || headers.get("x-ratelimit-remaining").is_some_and(|v| v == "0")
        || String::from_utf8_lossy(body).to_ascii_lowercase().contains("rate limit")
}

/// Seconds or an HTTP-date (RFC 9110 §10.2.3); None for what is neither.
fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

/// The wait after failed attempt number `attempt` (from 1); `draw` is uniform in [0, 1). None if
/// the call has been tried often enough, or GitHub asks for more patience than there is.
pub(crate) fn wait(retries: &Retries, attempt: u32, advice: Advice, draw: f64) -> Option<Duration> {
    const SECONDARY: Duration = Duration::from_secs(60);
    if attempt >= retries.attempts {
        return None;
    }
    let doubled = retries.base.saturating_mul(2u32.saturating_pow(attempt - 1));
    let backoff = doubled.min(retries.cap).mul_f64(draw.clamp(0.0, 1.0));
    match advice {
        Advice::GiveUp => None,
        Advice::BackOff => Some(backoff),
        Advice::Secondary => Some(SECONDARY.saturating_mul(2u32.saturating_pow(attempt - 1)) + backoff),
        Advice::Wait(asked) if asked > retries.patience => None,
        // A little later than asked, so that many clients do not come back in one moment.
        Advice::Wait(asked) => Some(asked + backoff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    fn given(status: u16, fields: &[(&'static str, &'static str)], body: &str) -> Advice {
        let headers =
            fields.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect::<HeaderMap>();
        advice(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH + Duration::from_secs(1_000))
    }

    #[test]
    fn limits_say_when_to_come_back() {
        let secs = |s| Advice::Wait(Duration::from_secs(s));
        assert_eq!(given(429, &[("retry-after", "30")], ""), secs(30));
        assert_eq!(given(503, &[("retry-after", "Thu, 01 Jan 1970 00:17:40 GMT")], ""), secs(60));
        let empty = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1100")];
        assert_eq!(given(403, &empty, ""), secs(101), "the reset is a moment, not a span");
        let secondary = r#"{"message": "You have exceeded a secondary rate limit."}"#;
        assert_eq!(given(403, &[], secondary), Advice::Secondary);
        assert_eq!(given(403, &[], r#"{"message": "Resource not accessible"}"#), Advice::GiveUp);
        assert_eq!(given(404, &[], ""), Advice::GiveUp);
        assert_eq!(given(502, &[("retry-after", "soon")], ""), Advice::BackOff);
    }

    #[test]
    fn waits_stay_inside_their_envelope_and_attempts_are_counted() {
        let retries = Policy::mended().retries.unwrap();
        assert_eq!(wait(&retries, 1, Advice::BackOff, 0.5), Some(Duration::from_millis(500)));
        assert_eq!(wait(&retries, 5, Advice::BackOff, 1.0), Some(Duration::from_secs(16)));
        assert_eq!(wait(&retries, 6, Advice::BackOff, 0.0), None);
        assert_eq!(wait(&retries, 1, Advice::Wait(Duration::from_secs(86_400)), 0.0), None);
        assert_eq!(wait(&retries, 1, Advice::Secondary, 0.0), Some(Duration::from_secs(60)));
    }
}
