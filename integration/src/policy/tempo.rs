//! All waits at another tempo. Knows which decisions are spans; must not know why they are shortened.

use std::sync::Arc;
use std::time::Duration;

use super::{FullJitter, Policies, Rate};

impl Policies {
    /// The same decisions with every wait `tempo` times as short and every rate as many times as
    /// high. What data must outlast stays: the tolerance of signatures, the memory of duplicates
    /// and idempotency keys.
    ///
    /// Replaces the backoff by the default one at that tempo; assign another after this.
    #[must_use]
    pub fn at_tempo(mut self, tempo: u32) -> Self {
        let tempo = tempo.max(1);
        if tempo == 1 {
            return self;
        }
        let plain = FullJitter::default();
        self.backoff = Arc::new(FullJitter { base: plain.base / tempo, cap: plain.cap / tempo });
        let short = |span: &mut Duration| *span /= tempo;
        let timeouts = &mut self.timeouts;
        let waits = [
            &mut self.patience.deadline,
            &mut self.patience.retry_after_cap,
            &mut timeouts.connect,
            &mut timeouts.head,
            &mut timeouts.body_idle,
            &mut timeouts.body,
            &mut timeouts.attempt,
            &mut self.breaker.open_for,
        ];
        waits.into_iter().flatten().for_each(short);
        let waits = [
            &mut self.refresh.margin,
            &mut self.refresh.forced_every,
            &mut self.refresh.unauthorized_rest,
            &mut self.refresh.look_every,
            &mut self.queue.lease,
            &mut self.queue.retry_base,
            &mut self.queue.retry_cap,
            &mut self.alerts.quiet,
            &mut self.alerts.unheard,
            &mut self.limiter.day,
            &mut self.limiter.ask_every,
        ];
        waits.into_iter().for_each(short);
        let fast = |rate: &mut Rate| rate.per_second *= f64::from(tempo);
        let rates = [&mut self.limiter.hubspot, &mut self.limiter.stripe, &mut self.drain.starts];
        rates.into_iter().flatten().for_each(fast);
        if let Some(budget) = &mut self.patience.budget {
            budget.per_second *= f64::from(tempo);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_shrink_and_rates_grow() {
        let p = Policies::default().at_tempo(60);
        assert_eq!(p.queue.lease, Duration::from_secs(2));
        assert_eq!(p.breaker.open_for, Some(Duration::from_millis(500)));
        assert_eq!(p.limiter.stripe.unwrap().per_second, 1200.0);
        assert_eq!(p.signature.tolerance, Policies::default().signature.tolerance);
    }
}
