//! Defects in retries, waits and timeouts.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use integration_core::AttemptOutcome;
use integration_core::policy::{
    AttemptFacts, Backoff, FullJitter, RetryAfterReader, RetryRule, Rfc9110RetryAfter, Timeouts,
    TransientOnly,
};

use super::Defect;

/// Tries everything again.
struct Everything;

impl RetryRule for Everything {
    fn again(&self, _: &AttemptFacts<'_>) -> bool {
        true
    }
}

/// Tries nothing again that failed for a while.
struct NotTransient;

impl RetryRule for NotTransient {
    fn again(&self, facts: &AttemptFacts<'_>) -> bool {
        matches!(facts.outcome, AttemptOutcome::Status(429)) && TransientOnly.again(facts)
    }
}

/// The envelope itself, without chance.
struct NoJitter;

impl Backoff for NoJitter {
    fn delay(&self, failed: u32, _: f64) -> Duration {
        FullJitter::default().envelope(failed)
    }
}

/// No wait.
struct NoWait;

impl Backoff for NoWait {
    fn delay(&self, _: u32, _: f64) -> Duration {
        Duration::ZERO
    }
}

/// Grows tenfold, and on.
struct NoCap;

impl Backoff for NoCap {
    fn delay(&self, failed: u32, unit: f64) -> Duration {
        Duration::from_secs(5 * 10u64.pow(failed.min(6))).mul_f64(unit)
    }
}

/// Sees no Retry-After.
struct Deaf;

impl RetryAfterReader for Deaf {
    fn read(&self, _: &HeaderMap, _: jiff::Timestamp) -> Option<Duration> {
        None
    }
}

/// Understands seconds only.
struct SecondsOnly;

impl RetryAfterReader for SecondsOnly {
    fn read(&self, headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
        let text = headers.get("retry-after")?.to_str().ok()?;
        text.trim().parse::<u64>().ok()?;
        Rfc9110RetryAfter.read(headers, now)
    }
}

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "retries_400",
        bug: "retries 400 and 422",
        drill: "retry/a_refused_request_is_not_repeated",
        check: "retries",
        plant: |_, p| p.retry = Arc::new(Everything),
    },
    Defect {
        name: "never_retries_503",
        bug: "never retries a 503 or a reset",
        drill: "retry/transient_failures_are_tried_again",
        check: "reconciliation",
        plant: |_, p| {
            p.retry = Arc::new(NotTransient);
            p.queue.attempts = 1;
        },
    },
    Defect {
        name: "no_jitter",
        bug: "no jitter: aligned retries",
        drill: "retry/retries_back_off_with_full_jitter",
        check: "backoff",
        plant: |_, p| p.backoff = Arc::new(NoJitter),
    },
    Defect {
        name: "no_backoff",
        bug: "no backoff: tight loop",
        drill: "retry/retries_back_off_with_full_jitter",
        check: "backoff",
        plant: |_, p| p.backoff = Arc::new(NoWait),
    },
    Defect {
        name: "no_cap",
        bug: "backoff without a cap",
        drill: "retry/retries_back_off_with_full_jitter",
        check: "backoff",
        plant: |_, p| p.backoff = Arc::new(NoCap),
    },
    Defect {
        name: "ignores_retry_after",
        bug: "ignores Retry-After",
        drill: "rate_limit/retry_after_in_seconds_is_honoured",
        check: "retry_after",
        plant: |_, p| p.retry_after = Arc::new(Deaf),
    },
    Defect {
        name: "ignores_retry_after_dates",
        bug: "ignores the date form of Retry-After",
        drill: "rate_limit/retry_after_as_a_date_is_honoured",
        check: "retry_after",
        plant: |_, p| p.retry_after = Arc::new(SecondsOnly),
    },
    Defect {
        name: "obeys_an_absurd_retry_after",
        bug: "obeys an absurd Retry-After for ever",
        drill: "rate_limit/an_absurd_retry_after_is_capped",
        check: "retry_after",
        plant: |_, p| p.patience.retry_after_cap = None,
    },
    Defect {
        name: "nested_retries",
        bug: "nested retries multiply attempts",
        drill: "cascade/retries_do_not_multiply",
        check: "backoff",
        plant: |_, p| {
            p.patience.repeats = 4;
            p.patience.deadline = None;
            p.patience.budget = None;
        },
    },
    Defect {
        name: "no_retry_budget",
        bug: "no retry budget: refusals multiply the load",
        drill: "cascade/refusals_do_not_double_the_load",
        check: "load",
        plant: |_, p| p.patience.budget = None,
    },
    Defect {
        name: "no_deadline",
        bug: "no overall deadline",
        drill: "retry/an_operation_has_a_deadline",
        check: "backoff",
        plant: |_, p| {
            p.patience.deadline = None;
            p.patience.attempts = 9;
            p.patience.budget = None;
            p.breaker.failures = None;
        },
    },
    Defect {
        name: "timeout_covers_the_head_only",
        bug: "a timeout that covers only the headers: hangs on a dripping body",
        drill: "retry/a_dripping_body_is_given_up",
        check: "liveness",
        plant: |_, p| {
            p.timeouts.body = None;
            p.timeouts.body_idle = None;
            p.timeouts.attempt = None;
            p.patience.deadline = None;
        },
    },
    Defect {
        name: "no_timeout",
        bug: "no timeout at all",
        drill: "retry/a_hung_call_is_given_up",
        check: "liveness",
        plant: |_, p| {
            p.timeouts = Timeouts { connect: None, head: None, body_idle: None, body: None, attempt: None };
            p.patience.deadline = None;
        },
    },
];
