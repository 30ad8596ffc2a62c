//! When the next call may go. Knows rates, quotas and pauses; must not know who asks.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use crate::observer::Vendor;
use crate::policy::{LimiterRule, MissingQuota, Quota, Rate};

/// The end of time, for waits that no clock reaches.
const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 10);

#[derive(Debug, Default)]
struct State {
    /// Theoretical arrival time of the next call at the steady rate (GCRA).
    steady: Option<Instant>,
    /// No call before then: a `Retry-After`, or a quota used up.
    paused: Option<Instant>,
    /// The tightest quota known: what remains, when it ends, and whether it is being spread.
    quota: Option<(u64, Instant, bool)>,
    /// Next place in a quota that is being spread.
    spread: Option<Instant>,
    /// The vendor has sent quota headers before.
    heard: bool,
}

/// Spaces the calls to one vendor.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Option<Rate>,
    rule: LimiterRule,
    state: Mutex<State>,
}

impl Limiter {
    pub(crate) fn new(vendor: Vendor, rule: LimiterRule) -> Self {
        Self { rate: rule.rate(vendor), rule, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.lock().paused.filter(|until| *until > Instant::now())
    }

    /// Takes a turn now (`None`), or says when to ask again; refuses what cannot be before `deadline`.
    pub(crate) fn turn(&self, deadline: Option<Instant>) -> Result<Option<Instant>, Failure> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.quota.is_some_and(|(_, ends, _)| ends <= now) {
            state.quota = None;
            state.spread = None;
        }
        let mut at = state.paused.unwrap_or(now).max(state.spread.unwrap_or(now));
        if let Some((0, ends, _)) = state.quota {
            at = at.max(ends);
        }
        if let (Some(rate), Some(steady)) = (self.rate, state.steady) {
            let burst = Duration::from_secs_f64(f64::from(rate.burst.saturating_sub(1)) / rate.per_second);
            at = at.max(steady.checked_sub(burst).unwrap_or(now));
        }
        if at > now {
            if deadline.is_some_and(|deadline| at >= deadline) {
                return Err(Failure::Held { until: Some(at), why: "rate limit" });
            }
            return Ok(Some(at));
        }
        if let Some(rate) = self.rate {
            let interval = Duration::from_secs_f64(1.0 / rate.per_second);
            state.steady = Some(state.steady.unwrap_or(now).max(now) + interval);
        }
        if let Some((remaining, ends, slow)) = state.quota {
            if slow {
                let gap = ends.duration_since(now) / u32::try_from(remaining.max(1)).unwrap_or(u32::MAX);
                state.spread = Some(now + gap);
            }
            state.quota = Some((remaining.saturating_sub(1), ends, slow));
        }
        Ok(None)
    }

    /// No call for this long.
    pub(crate) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait.min(FOREVER);
        let mut state = self.lock();
        state.paused = Some(state.paused.map_or(until, |before| before.max(until)));
    }

    /// Takes in the quotas of an answer.
    pub(crate) fn learn(&self, quotas: &[Quota]) {
        let now = Instant::now();
        let longest = self.rule.longest_window;
        let believed = |quota: &&Quota| {
            quota.resets_in.is_some_and(|ends| longest.is_none_or(|longest| ends <= longest))
        };
        let slow = |quota: &Quota| {
            quota.remaining == 0
                || quota
                    .limit
                    .is_some_and(|limit| quota.remaining as f64 <= limit as f64 * self.rule.slow_below)
        };
        let tightest = quotas.iter().filter(believed).max_by_key(|quota| (slow(quota), quota.resets_in));
        let mut state = self.lock();
        match tightest {
            Some(quota) => {
                let ends = now + quota.resets_in.unwrap_or_default().min(FOREVER);
                let slow = slow(quota);
                state.heard = true;
                state.quota = Some((quota.remaining, ends, slow));
                state.spread = slow.then(|| {
                    let gap =
                        ends.duration_since(now) / u32::try_from(quota.remaining.max(1)).unwrap_or(u32::MAX);
                    state.spread.unwrap_or(now).min(now + gap).max(now)
                });
            }
            None => {
                if let (true, MissingQuota::Hold(wait)) = (state.heard, self.rule.missing) {
                    state.paused = Some(now + wait.min(FOREVER));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> LimiterRule {
        LimiterRule { hubspot: None, stripe: None, ..LimiterRule::default() }
    }

    fn quota(remaining: u64, seconds: u64) -> Quota {
        Quota { limit: Some(100), remaining, resets_in: Some(Duration::from_secs(seconds)) }
    }

    async fn take(limiter: &Limiter) -> Duration {
        let start = Instant::now();
        while let Some(at) = limiter.turn(None).unwrap_or_else(|_| panic!("held")) {
            tokio::time::sleep_until(at).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_tenth_of_a_quota_is_spread_over_its_window() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        limiter.learn(&[quota(50, 10)]);
        assert_eq!(take(&limiter).await, Duration::ZERO);
        limiter.learn(&[quota(10, 10)]);
        take(&limiter).await;
        assert_eq!(take(&limiter).await, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_used_up_is_waited_out_and_headers_that_vanish_stall_nothing() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        limiter.learn(&[quota(0, 7)]);
        assert_eq!(take(&limiter).await, Duration::from_secs(7));
        limiter.learn(&[]);
        assert_eq!(take(&limiter).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unbelievable_window_is_ignored() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        limiter.learn(&[quota(0, 1_700_000_000)]);
        assert_eq!(take(&limiter).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_own_ceiling_holds_with_its_burst() {
        let rule =
            LimiterRule { hubspot: Some(Rate { per_second: 2.0, burst: 3 }), ..LimiterRule::default() };
        let limiter = Limiter::new(Vendor::HubSpot, rule);
        for _ in 0..3 {
            assert_eq!(take(&limiter).await, Duration::ZERO);
        }
        assert_eq!(take(&limiter).await, Duration::from_millis(500));
        assert_eq!(take(&limiter).await, Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_beyond_the_deadline_holds_the_call() {
        let limiter = Limiter::new(Vendor::Stripe, free());
        limiter.pause(Duration::from_secs(200));
        let deadline = Instant::now() + Duration::from_secs(90);
        assert!(matches!(limiter.turn(Some(deadline)), Err(Failure::Held { until: Some(_), .. })));
    }
}
