//! When the next call may go. Knows rates, quotas and pauses; must not know who asks.

use std::borrow::Cow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use crate::observer::Vendor;
use crate::policy::{LimiterRule, MissingQuota, Quota, Rate};

/// The end of time, for waits that no clock reaches.
const FOREVER: Duration = Duration::from_secs(86_400 * 365 * 10);
/// Quotas remembered at a time; a vendor has a handful.
const MOST: usize = 32;

#[derive(Debug, Default)]
struct State {
    /// Theoretical arrival time of the next call at the steady rate (GCRA).
    steady: Option<Instant>,
    /// No call before then: a `Retry-After`.
    paused: Option<Instant>,
    /// What the vendor said of each of its quotas, counted down by our own calls since.
    quotas: Vec<Known>,
    /// The vendor has sent quota headers before.
    heard: bool,
}

/// One quota that has not ended.
#[derive(Debug)]
struct Known {
    name: Cow<'static, str>,
    remaining: u64,
    ends: Instant,
    /// How often to ask whether it has come back, where its end is far or not told.
    ask_every: Option<Duration>,
    /// Little is left: the rest is spread over the time until it ends.
    slow: bool,
    /// The next place in the spread.
    next: Option<Instant>,
    /// How bad it was when somebody was told.
    told: Option<Scarcity>,
}

/// What a call is for, where turns are scarce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A token: handed out beside the quotas.
    Token,
    /// A job.
    Job,
    /// A sync or a reconciliation, which can wait: it takes a turn that no job has taken.
    Upkeep,
}

/// How short a quota is whose end is far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scarcity {
    /// What is left is spread.
    Low,
    /// Nothing is left, and only now and then a call asks.
    Spent,
}

/// A quota with a far end that has become scarce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scarce {
    pub name: Cow<'static, str>,
    pub remaining: u64,
    pub how: Scarcity,
}

impl std::fmt::Display for Scarce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, remaining, how } = self;
        match how {
            Scarcity::Low => write!(f, "{remaining} calls of the quota `{name}` remain: they are spread"),
            Scarcity::Spent => write!(f, "the quota `{name}` is used up: work waits until it comes back"),
        }
    }
}

impl Known {
    /// The time between two calls of an even spread, or between two questions.
    fn gap(&self, now: Instant) -> Duration {
        let remaining = u32::try_from(self.remaining.max(1)).unwrap_or(u32::MAX);
        let even = self.ends.saturating_duration_since(now) / remaining;
        self.ask_every.map_or(even, |most| even.min(most))
    }

    /// When the next call may go, as far as this quota goes.
    fn opens(&self) -> Option<Instant> {
        if self.remaining == 0 && self.ask_every.is_none() { Some(self.ends) } else { self.next }
    }

    fn opens_for(&self, purpose: Purpose, now: Instant) -> Option<Instant> {
        match purpose {
            Purpose::Token => None,
            // Half of a gap late, or else its schedule could take every turn from the jobs.
            Purpose::Upkeep if self.ask_every.is_some() => self.opens().map(|at| at + self.gap(now) / 2),
            _ => self.opens(),
        }
    }

    fn take(&mut self, now: Instant) {
        self.next = self.slow.then(|| now + self.gap(now));
        self.remaining = self.remaining.saturating_sub(1);
    }

    /// What nobody has been told of it yet.
    fn news(&mut self) -> Option<Scarce> {
        self.ask_every?;
        let how = match self.remaining {
            _ if !self.slow => None,
            0 => Some(Scarcity::Spent),
            _ => Some(Scarcity::Low),
        };
        let worse = how > self.told;
        if worse || how.is_none() {
            self.told = how;
        }
        how.filter(|_| worse).map(|how| Scarce { name: self.name.clone(), remaining: self.remaining, how })
    }
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

    /// Until when every call waits: for a `Retry-After`, or for a quota whose end is far.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        let paused = self.lock().paused.filter(|until| *until > Instant::now());
        paused.max(self.scarce_until())
    }

    /// Until when a quota whose end is far keeps calls away.
    pub(crate) fn scarce_until(&self) -> Option<Instant> {
        let now = Instant::now();
        let state = self.lock();
        let far = state.quotas.iter().filter(|known| known.ask_every.is_some());
        far.filter_map(Known::opens).filter(|until| *until > now).max()
    }

    /// Takes a turn now (`None`), or says when to ask again; refuses what cannot be before `deadline`.
    pub(crate) fn turn(
        &self,
        purpose: Purpose,
        deadline: Option<Instant>,
    ) -> Result<Option<Instant>, Failure> {
        let now = Instant::now();
        let mut state = self.lock();
        state.quotas.retain(|known| known.ends > now);
        let opens = state.quotas.iter().filter_map(|known| known.opens_for(purpose, now)).max();
        let mut at = state.paused.unwrap_or(now).max(opens.unwrap_or(now));
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
        if purpose != Purpose::Token {
            state.quotas.iter_mut().for_each(|known| known.take(now));
        }
        Ok(None)
    }

    /// No call for this long.
    pub(crate) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait.min(FOREVER);
        let mut state = self.lock();
        state.paused = Some(state.paused.map_or(until, |before| before.max(until)));
    }

    /// Takes in the quotas of an answer; gives the one that has become scarce until an end that is far.
    pub(crate) fn learn(&self, quotas: Vec<Quota>) -> Option<Scarce> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut believed = false;
        let mut news = None;
        for quota in quotas {
            let Some((left, ask_every)) = self.reach(&quota) else { continue };
            believed = true;
            let slow = quota.remaining == 0
                || quota
                    .limit
                    .is_some_and(|limit| quota.remaining as f64 <= limit as f64 * self.rule.slow_below);
            let place = state.quotas.iter().position(|known| known.name == quota.name);
            let before = place.map(|place| state.quotas.swap_remove(place));
            let mut known = Known {
                name: quota.name,
                remaining: quota.remaining,
                ends: now + left.min(FOREVER),
                ask_every,
                slow,
                next: None,
                told: before.as_ref().and_then(|before| before.told),
            };
            known.next = slow.then(|| {
                let gap = now + known.gap(now);
                let first = if known.remaining == 0 { gap } else { now };
                before.and_then(|before| before.next).unwrap_or(first).min(gap).max(now)
            });
            news = known.news().or(news);
            if state.quotas.len() == MOST {
                state.quotas.swap_remove(0);
            }
            state.quotas.push(known);
        }
        if believed {
            state.heard = true;
        } else if let (true, MissingQuota::Hold(wait)) = (state.heard, self.rule.missing) {
            state.paused = Some(now + wait.min(FOREVER));
        }
        news
    }

    /// How long a quota lasts at most, and how often to ask whether it has come back; `None` for one that
    /// cannot be believed.
    fn reach(&self, quota: &Quota) -> Option<(Duration, Option<Duration>)> {
        let rule = &self.rule;
        match quota.resets_in {
            None => Some((rule.day, Some(rule.ask_every))),
            Some(left) if rule.longest_window.is_none_or(|longest| left <= longest) => Some((left, None)),
            Some(left) => (left <= rule.day).then_some((left, Some(rule.ask_every))),
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
        let resets_in = Some(Duration::from_secs(seconds));
        Quota { name: "window".into(), limit: Some(100), remaining, resets_in }
    }

    fn day(remaining: u64) -> Quota {
        Quota { name: "day".into(), limit: Some(10_000), remaining, resets_in: None }
    }

    fn learn(limiter: &Limiter, quotas: &[Quota]) -> Option<(u64, Scarcity)> {
        limiter.learn(quotas.to_vec()).map(|scarce| (scarce.remaining, scarce.how))
    }

    async fn take(limiter: &Limiter) -> Duration {
        let start = Instant::now();
        while let Some(at) = limiter.turn(Purpose::Job, None).unwrap_or_else(|_| panic!("held")) {
            tokio::time::sleep_until(at).await;
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_tenth_of_a_quota_is_spread_over_its_window() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        learn(&limiter, &[quota(50, 10)]);
        assert_eq!(take(&limiter).await, Duration::ZERO);
        learn(&limiter, &[quota(10, 10)]);
        take(&limiter).await;
        assert_eq!(take(&limiter).await, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_quota_used_up_is_waited_out_and_headers_that_vanish_stall_nothing() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        learn(&limiter, &[quota(0, 7)]);
        assert_eq!(take(&limiter).await, Duration::from_secs(7));
        learn(&limiter, &[]);
        assert_eq!(take(&limiter).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn the_tightest_of_several_quotas_is_heeded_in_whatever_order_they_come() {
        let burst = || Quota { name: "burst".into(), ..quota(95, 1) };
        for both in [[burst(), quota(0, 600)], [quota(0, 600), burst()]] {
            let limiter = Limiter::new(Vendor::HubSpot, free());
            learn(&limiter, &both);
            assert_eq!(take(&limiter).await, Duration::from_secs(600));
        }
        let limiter = Limiter::new(Vendor::HubSpot, free());
        learn(&limiter, &[Quota { name: "burst".into(), ..quota(0, 3) }, quota(10, 10)]);
        assert_eq!(take(&limiter).await, Duration::from_secs(3), "both are low");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_of_a_day_is_spread_over_a_day_and_said_once() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        assert_eq!(learn(&limiter, &[day(5_000)]), None);
        assert_eq!(take(&limiter).await, Duration::ZERO);
        assert_eq!(learn(&limiter, &[day(864)]), Some((864, Scarcity::Low)));
        take(&limiter).await;
        assert_eq!(learn(&limiter, &[day(864)]), None);
        assert_eq!(take(&limiter).await, Duration::from_secs(100));
        assert_eq!(learn(&limiter, &[day(10_000)]), None);
        assert_eq!(take(&limiter).await, Duration::ZERO);
        assert_eq!(learn(&limiter, &[day(900)]), Some((900, Scarcity::Low)), "the next day is another");
    }

    #[tokio::test(start_paused = true)]
    async fn a_day_that_is_spent_is_asked_about_now_and_then() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        assert_eq!(learn(&limiter, &[quota(90, 10), day(0)]), Some((0, Scarcity::Spent)));
        let soon = Some(Instant::now() + Duration::from_secs(90));
        assert!(matches!(limiter.turn(Purpose::Job, soon), Err(Failure::Held { until: Some(_), .. })));
        assert!(matches!(limiter.turn(Purpose::Token, soon), Ok(None)), "a token costs nothing");
        for _ in 0..3 {
            assert_eq!(take(&limiter).await, Duration::from_secs(900));
            assert_eq!(learn(&limiter, &[day(0)]), None);
            assert!(limiter.paused_until() > soon);
        }
        assert_eq!(take(&limiter).await, Duration::from_secs(900));
        learn(&limiter, &[day(10_000)]);
        assert_eq!(limiter.paused_until(), None);
        assert_eq!(take(&limiter).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn upkeep_leaves_a_scarce_turn_to_the_jobs() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        learn(&limiter, &[day(0)]);
        let wait = |purpose| limiter.turn(purpose, None).ok().flatten().map(|at| at - Instant::now());
        assert_eq!(wait(Purpose::Job), Some(Duration::from_secs(900)));
        assert_eq!(wait(Purpose::Upkeep), Some(Duration::from_secs(1350)));
        tokio::time::advance(Duration::from_secs(1350)).await;
        assert_eq!(wait(Purpose::Upkeep), None, "no job wanted it");
    }

    #[tokio::test(start_paused = true)]
    async fn an_unbelievable_window_is_ignored() {
        let limiter = Limiter::new(Vendor::HubSpot, free());
        learn(&limiter, &[quota(0, 1_700_000_000)]);
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
        assert!(matches!(
            limiter.turn(Purpose::Job, Some(deadline)),
            Err(Failure::Held { until: Some(_), .. })
        ));
    }
}
