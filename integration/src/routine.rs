//! When something that is done again and again is next. Knows intervals, holds and how long nothing was completed; must
//! not know what is done.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::alert::AlertKind;
use crate::client::Failure;
use crate::context::Context;

/// How soon a run that failed for a while is repeated.
const SOON: Duration = Duration::from_secs(60);

/// Something that is done again and again.
pub(crate) struct Routine {
    name: &'static str,
    interval: Option<Duration>,
    next: Option<Instant>,
    /// When it was last completed, or first could be.
    completed: Instant,
}

impl Routine {
    /// One that is done every `interval`, or only on demand, and first at `next`.
    pub(crate) fn new(name: &'static str, interval: Option<Duration>, next: Option<Instant>) -> Self {
        Self { name, interval, next, completed: next.unwrap_or_else(Instant::now) }
    }

    /// Waits until it is `wanted` or due: for ever, if it is not `enabled`.
    pub(crate) async fn turn(&self, wanted: &Notify, enabled: bool) {
        if !enabled {
            return std::future::pending().await;
        }
        let Some(next) = self.next else { return wanted.notified().await };
        tokio::select! {
            biased;
            () = wanted.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
    }

    /// It was done: when it is next. A run that was held is repeated once the hold is over.
    pub(crate) fn ran(&mut self, ctx: &Context, outcome: Result<(), Failure>) -> Result<(), rusqlite::Error> {
        let name = self.name;
        let now = Instant::now();
        let regular = self.interval.map(|interval| now + interval);
        self.next = match outcome {
            Ok(()) => {
                ctx.metrics.job(&format!("{name}_done"));
                self.completed = now;
                regular
            }
            Err(Failure::Store(error)) => return Err(error),
            Err(failure) => {
                ctx.metrics.job(&format!("{name}_failed"));
                tracing::warn!(what = name, reason = %failure, "not completed");
                self.tell(ctx, now, &failure);
                let sooner = match &failure {
                    Failure::Held { until: Some(until), .. } => Some(*until + Duration::from_secs(1)),
                    Failure::Unavailable { .. } => Some(now + SOON / ctx.config.tempo.max(1)),
                    _ => None,
                };
                ctx.quarantine_if_invalid(name, failure).map_err(|failure| match failure {
                    Failure::Store(error) => error,
                    other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
                })?;
                [sooner, regular].into_iter().flatten().min()
            }
        };
        Ok(())
    }

    /// Tells somebody what nothing else does: that for long no run was completed. What holds all calls
    /// is told by whoever holds them.
    fn tell(&self, ctx: &Context, now: Instant, failure: &Failure) {
        if matches!(failure, Failure::Held { .. }) {
            return;
        }
        let least = ctx.policies.alerts.unheard;
        let patience = self.interval.map_or(least, |interval| least.max(interval * 2));
        let since = now.saturating_duration_since(self.completed);
        if since >= patience {
            let message = format!("not completed for {} min: {failure}", since.as_secs() / 60);
            ctx.alerts.raise(AlertKind::NotCompleted, self.name, &message);
        }
    }
}
