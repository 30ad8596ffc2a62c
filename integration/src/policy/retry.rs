//! Whether and when to try again. Knows one attempt's outcome and how long to wait; must not know what is being written.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use crate::observer::{AttemptOutcome, Vendor};

/// What is known about a failed attempt when deciding on another.
#[derive(Debug, Clone, Copy)]
pub struct AttemptFacts<'a> {
    /// Whom it was for.
    pub vendor: Vendor,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Whether repeating is harmless: a read, or a write under an idempotency key.
    pub safe: bool,
    /// The vendor's error code, such as `idempotency_key_in_use`.
    pub code: Option<&'a str>,
    /// `Stripe-Should-Retry`, when sent.
    pub should_retry: Option<bool>,
    /// The attempt that failed, from 1.
    pub attempt: u32,
}

/// Decides whether a failed attempt is worth another.
pub trait RetryRule: Send + Sync {
    /// `true` to try again, within attempts, deadline and budget.
    fn again(&self, facts: &AttemptFacts<'_>) -> bool;
}

/// The default: transient failures of harmless requests. The vendor's `Stripe-Should-Retry` has the last word.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransientOnly;

impl RetryRule for TransientOnly {
    fn again(&self, facts: &AttemptFacts<'_>) -> bool {
        match facts.outcome {
            AttemptOutcome::ConnectRefused | AttemptOutcome::ConnectTimeout => true,
            AttemptOutcome::Status(_) if facts.should_retry == Some(false) => false,
            AttemptOutcome::Status(429) => true,
            AttemptOutcome::Status(400 | 401 | 403 | 404 | 422) => {
                facts.safe && facts.should_retry == Some(true)
            }
            AttemptOutcome::Status(409) => {
                facts.safe
                    && (facts.should_retry == Some(true)
                        || matches!(facts.code, Some("idempotency_key_in_use" | "lock_timeout")))
            }
            AttemptOutcome::Status(408 | 500 | 502 | 503 | 504) => facts.safe,
            AttemptOutcome::Status(_) => facts.safe && facts.should_retry == Some(true),
            AttemptOutcome::Reset
            | AttemptOutcome::Timeout
            | AttemptOutcome::Truncated
            | AttemptOutcome::Garbage => facts.safe,
        }
    }
}

/// How long to wait between attempts.
pub trait Backoff: Send + Sync {
    /// The wait before the attempt after `failed` (1 for the first attempt), given a uniform `unit` in `0.0..1.0`.
    fn delay(&self, failed: u32, unit: f64) -> Duration;
}

/// Exponential growth up to a cap, with full jitter: uniform between nothing and the whole delay
/// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FullJitter {
    /// The envelope of the first delay.
    pub base: Duration,
    /// The largest envelope.
    pub cap: Duration,
}

impl Default for FullJitter {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(20) }
    }
}

impl FullJitter {
    /// The envelope after `failed` attempts: `min(cap, base · 2^(failed-1))`.
    pub fn envelope(&self, failed: u32) -> Duration {
        let factor = 2u32.checked_pow(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

impl Backoff for FullJitter {
    fn delay(&self, failed: u32, unit: f64) -> Duration {
        self.envelope(failed).mul_f64(unit.clamp(0.0, 1.0))
    }
}

/// How long one operation (one logical call, with its retries) may go on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Attempts of one operation, the first included.
    pub attempts: u32,
    /// Time for one operation with all its attempts and waits; `None` for no limit.
    pub deadline: Option<Duration>,
    /// The longest `Retry-After` that is obeyed as it stands; above it, this. `None` obeys anything.
    pub retry_after_cap: Option<Duration>,
    /// Times that a worker repeats a whole operation that gave up, at once. 0: retries belong to one layer.
    pub repeats: u32,
    /// Retries are held to this share of recent first attempts, per vendor; `None` for no budget.
    pub budget: Option<RetryBudget>,
}

/// A bound on what retries add to a vendor's load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// Retries earned by each first attempt.
    pub share: f64,
    /// Retries that are always on hand at first, and the most that can be saved up.
    pub floor: f64,
    /// Retries earned back each second, up to the floor, so that a quiet vendor is not starved.
    pub per_second: f64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            deadline: Some(Duration::from_secs(90)),
            retry_after_cap: Some(Duration::from_secs(300)),
            repeats: 0,
            budget: Some(RetryBudget { share: 0.2, floor: 20.0, per_second: 0.5 }),
        }
    }
}

/// Reads how long a vendor asked us to stay away.
pub trait RetryAfterReader: Send + Sync {
    /// The wait from now, or `None` when the header is absent or cannot be understood.
    fn read(&self, headers: &HeaderMap, now: Timestamp) -> Option<Duration>;
}

/// RFC 9110 §10.2.3, seconds or any of the three HTTP-date forms; decimals are tolerated, nonsense is ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rfc9110RetryAfter;

impl RetryAfterReader for Rfc9110RetryAfter {
    fn read(&self, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
        let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
        if text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            let seconds: f64 = text.parse().ok()?;
            return Duration::try_from_secs_f64(seconds).ok().or(Some(Duration::MAX));
        }
        let at = httpdate::parse_http_date(text).ok()?;
        let at = at.duration_since(std::time::UNIX_EPOCH).ok()?;
        let now = Duration::from_millis(u64::try_from(now.as_millisecond()).ok()?);
        Some(at.saturating_sub(now))
    }
}

/// How long each stage of one attempt may take; `None` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection.
    pub connect: Option<Duration>,
    /// From the start of the attempt to the response's head.
    pub head: Option<Duration>,
    /// Between two pieces of the body.
    pub body_idle: Option<Duration>,
    /// For the whole body.
    pub body: Option<Duration>,
    /// For the whole attempt.
    pub attempt: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(Duration::from_secs(5)),
            head: Some(Duration::from_secs(15)),
            body_idle: Some(Duration::from_secs(30)),
            body: Some(Duration::from_secs(30)),
            attempt: Some(Duration::from_secs(60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        Rfc9110RetryAfter.read(&headers, "2026-01-02T03:04:05Z".parse().unwrap())
    }

    #[test]
    fn seconds_decimals_and_all_three_dates_are_read() {
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("2.0"), Some(Duration::from_secs(2)));
        for date in
            ["Fri, 02 Jan 2026 03:04:35 GMT", "Friday, 02-Jan-26 03:04:35 GMT", "Fri Jan  2 03:04:35 2026"]
        {
            assert_eq!(read(date), Some(Duration::from_secs(30)), "{date}");
        }
        assert_eq!(read("Fri, 02 Jan 2026 03:04:00 GMT"), Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_ignored() {
        for text in ["-3", "soon", "", "1.2.3", "."] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    fn facts(outcome: AttemptOutcome, safe: bool) -> AttemptFacts<'static> {
        AttemptFacts { vendor: Vendor::Stripe, outcome, safe, code: None, should_retry: None, attempt: 1 }
    }

    #[test]
    fn own_mistakes_are_not_retried_and_transient_failures_are() {
        for status in [400, 401, 403, 404, 409, 422] {
            assert!(!TransientOnly.again(&facts(AttemptOutcome::Status(status), true)), "{status}");
        }
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(TransientOnly.again(&facts(AttemptOutcome::Status(status), true)), "{status}");
        }
        assert!(TransientOnly.again(&facts(AttemptOutcome::Reset, true)));
        assert!(!TransientOnly.again(&facts(AttemptOutcome::Reset, false)));
        let told = AttemptFacts { should_retry: Some(false), ..facts(AttemptOutcome::Status(503), true) };
        assert!(!TransientOnly.again(&told));
    }

    proptest! {
        #[test]
        fn a_delay_never_leaves_its_envelope(failed in 1u32..200, unit in 0.0f64..1.0) {
            let backoff = FullJitter::default();
            let delay = backoff.delay(failed, unit);
            prop_assert!(delay <= backoff.envelope(failed));
            prop_assert!(backoff.envelope(failed) <= backoff.cap);
            prop_assert!(backoff.envelope(failed) <= backoff.envelope(failed + 1));
        }

        #[test]
        fn no_header_value_panics(text in "[ -~]{0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn whole_seconds_are_read_exactly(seconds in 0u64..4_000_000) {
            prop_assert_eq!(read(&seconds.to_string()), Some(Duration::from_secs(seconds)));
        }
    }
}
