//! The circuit breaker. Knows three states and who may probe; must not know what is sent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Failure;
use crate::observer::AttemptOutcome;
use crate::policy::{BreakerRule, ProbeRelease};

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Option<Instant> },
    HalfOpen { probes: u32 },
}

/// What a dispatcher may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Anything.
    Ready,
    /// One job, when nothing else is running.
    Probe,
    /// Nothing until then; `None`: until further notice.
    Wait(Option<Instant>),
}

/// One vendor's breaker.
#[derive(Debug)]
pub(crate) struct Breaker {
    rule: BreakerRule,
    state: Mutex<(State, Option<Instant>)>,
}

/// The right to make one attempt.
#[must_use]
pub(crate) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
    settled: bool,
}

impl Breaker {
    pub(crate) fn new(rule: BreakerRule) -> Self {
        Self { rule, state: Mutex::new((State::Closed { failures: 0 }, None)) }
    }

    fn lock(&self) -> MutexGuard<'_, (State, Option<Instant>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails fast while no attempt would be admitted.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.readiness() {
            Readiness::Wait(until) => Err(Failure::Held { until, why: "breaker open" }),
            _ => Ok(()),
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        match self.lock().0 {
            State::Closed { .. } => Readiness::Ready,
            State::Open { until: Some(until) } if until <= Instant::now() => Readiness::Probe,
            State::Open { until } => Readiness::Wait(until),
            State::HalfOpen { probes } if probes < self.rule.probes => Readiness::Probe,
            State::HalfOpen { .. } => Readiness::Wait(None),
        }
    }

    /// Admits an attempt, as a probe when half open.
    pub(crate) fn admit(&self) -> Result<Permit<'_>, Failure> {
        let mut state = self.lock();
        let probe = match state.0 {
            State::Closed { .. } => false,
            State::Open { until: Some(until) } if until <= Instant::now() => {
                state.0 = State::HalfOpen { probes: 1 };
                true
            }
            State::HalfOpen { probes } if probes < self.rule.probes => {
                state.0 = State::HalfOpen { probes: probes + 1 };
                true
            }
            State::Open { until } => return Err(Failure::Held { until, why: "breaker open" }),
            State::HalfOpen { .. } => {
                let soon = Instant::now() + std::time::Duration::from_secs(1);
                return Err(Failure::Held { until: Some(soon), why: "breaker half open" });
            }
        };
        Ok(Permit { breaker: self, probe, settled: false })
    }

    /// 0 closed, 1 half open, 2 open.
    pub(crate) fn gauge(&self) -> i64 {
        match self.lock().0 {
            State::Closed { .. } => 0,
            State::HalfOpen { .. } => 1,
            State::Open { .. } => 2,
        }
    }

    /// Since when it has not been closed.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        self.lock().1
    }

    fn settle(&self, probe: bool, outcome: AttemptOutcome) {
        let failed = self.rule.counts.is_failure(outcome);
        let mut state = self.lock();
        match (state.0, probe) {
            (State::Closed { failures }, false) if failed => {
                let failures = failures.saturating_add(1);
                state.0 = State::Closed { failures };
                if self.rule.failures.is_some_and(|limit| failures >= limit) {
                    self.open(&mut state);
                }
            }
            (State::Closed { .. }, false) => state.0 = State::Closed { failures: 0 },
            (State::HalfOpen { .. }, true) if failed => self.open(&mut state),
            (State::HalfOpen { .. }, true) => {
                let success = matches!(outcome, AttemptOutcome::Status(200..=299));
                if success || self.rule.release == ProbeRelease::OnAnyEnd {
                    *state = (State::Closed { failures: 0 }, None);
                    tracing::info!("breaker closed");
                }
            }
            // An answer to a question from before the breaker opened says nothing about now.
            _ => {}
        }
    }

    fn open(&self, state: &mut (State, Option<Instant>)) {
        let now = Instant::now();
        state.0 = State::Open { until: self.rule.open_for.map(|rest| now + rest) };
        state.1 = state.1.or(Some(now));
        tracing::warn!("breaker open");
    }

    fn abandon(&self) {
        let mut state = self.lock();
        if let State::HalfOpen { probes } = state.0
            && self.rule.release == ProbeRelease::OnAnyEnd
        {
            state.0 = State::HalfOpen { probes: probes.saturating_sub(1) };
        }
    }
}

impl Permit<'_> {
    /// Tells the breaker how the attempt ended.
    pub(crate) fn settle(mut self, outcome: AttemptOutcome) {
        self.settled = true;
        self.breaker.settle(self.probe, outcome);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.settled && self.probe {
            self.breaker.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn fail(breaker: &Breaker, outcome: AttemptOutcome) {
        breaker.admit().unwrap_or_else(|_| panic!("not admitted")).settle(outcome);
    }

    async fn half_open() -> Breaker {
        let breaker = Breaker::new(BreakerRule::default());
        for _ in 0..5 {
            fail(&breaker, AttemptOutcome::Reset);
        }
        assert!(breaker.admit().is_err());
        tokio::time::advance(Duration::from_secs(30)).await;
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_open_it_and_own_mistakes_do_not() {
        let breaker = Breaker::new(BreakerRule::default());
        for _ in 0..20 {
            fail(&breaker, AttemptOutcome::Status(400));
            fail(&breaker, AttemptOutcome::Status(429));
        }
        for _ in 0..4 {
            fail(&breaker, AttemptOutcome::Status(503));
        }
        fail(&breaker, AttemptOutcome::Status(200));
        for _ in 0..5 {
            assert_eq!(breaker.readiness(), Readiness::Ready);
            fail(&breaker, AttemptOutcome::Status(503));
        }
        assert_eq!(breaker.gauge(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_one_probe_is_let_through() {
        let breaker = half_open().await;
        let probe = breaker.admit().unwrap_or_else(|_| panic!("no probe"));
        assert!(breaker.admit().is_err());
        probe.settle(AttemptOutcome::Status(404));
        assert_eq!(breaker.readiness(), Readiness::Ready);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_probe_makes_room_and_a_failed_one_opens_again() {
        let breaker = half_open().await;
        drop(breaker.admit());
        fail(&breaker, AttemptOutcome::Timeout);
        assert!(matches!(breaker.readiness(), Readiness::Wait(Some(_))));
        assert!(breaker.open_since().is_some());
    }
}
