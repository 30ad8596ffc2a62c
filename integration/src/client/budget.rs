//! How many retries a vendor may be burdened with. Knows a token bucket; must not know requests.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::policy::RetryBudget;

/// Retries earned by first attempts and, slowly, by time.
#[derive(Debug)]
pub(crate) struct Budget {
    rule: RetryBudget,
    state: Mutex<(f64, Option<Instant>)>,
}

impl Budget {
    pub(crate) fn new(rule: RetryBudget) -> Self {
        Self { rule, state: Mutex::new((rule.floor, None)) }
    }

    /// A first attempt was made.
    pub(crate) fn earn(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = (state.0 + self.rule.share).min(self.rule.floor);
    }

    /// A retry is wanted: `false` when there is none left.
    pub(crate) fn spend(&self) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = state.1.map_or(0.0, |last| now.duration_since(last).as_secs_f64());
        state.0 = (state.0 + rested * self.rule.per_second).min(self.rule.floor);
        state.1 = Some(now);
        if state.0 < 1.0 {
            return false;
        }
        state.0 -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_calls_beyond_the_floor() {
        let budget = Budget::new(RetryBudget { share: 0.2, floor: 3.0, per_second: 0.0 });
        assert!(budget.spend() && budget.spend() && budget.spend());
        assert!(!budget.spend());
        for _ in 0..6 {
            budget.earn();
        }
        assert!(budget.spend());
        assert!(!budget.spend());
    }

    #[tokio::test(start_paused = true)]
    async fn rest_earns_a_few_back() {
        let budget = Budget::new(RetryBudget { share: 0.0, floor: 1.0, per_second: 0.5 });
        assert!(budget.spend());
        assert!(!budget.spend());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(budget.spend());
    }
}
