//! Starting jobs and seeing them off. Knows leases, holds and retries; must not know what a job does.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alert::AlertKind;
use crate::client::{Failure, Readiness};
use crate::context::Context;
use crate::error::CoreError;
use crate::job;
use crate::observer::Vendor;
use crate::policy::{OnShutdown, Renewal};

/// The longest sleep, so that a wall clock that was set is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(600);
/// How long a breaker is open, and how old a job gets, before somebody is told.
const BREAKER_ALERT: Duration = Duration::from_secs(60);
const BACKLOG_ALERT_MS: i64 = 600_000;

/// What dispatching waits for.
enum Next {
    /// Start a job now, if one is due.
    Claim,
    /// Nothing before then, unless woken.
    Wait(Instant),
}

struct Dispatcher {
    ctx: Arc<Context>,
    running: JoinSet<Result<(), rusqlite::Error>>,
    /// Which worker slot each task occupies.
    slots: Vec<Option<Id>>,
    renewed: Instant,
    /// The same by the wall clock, by which leases end.
    renewed_ms: i64,
    /// Theoretical start of the next job at the drain rate (GCRA).
    drain: Option<Instant>,
    looked: Instant,
    /// When the age of the oldest job is worth another look: younger jobs cannot make it older.
    aged: Option<Instant>,
}

/// Starts due jobs until `shutdown`, then sees off those that run.
pub(crate) async fn dispatch(ctx: Arc<Context>, shutdown: CancellationToken) -> Result<(), CoreError> {
    let now = Instant::now();
    let slots = vec![None; ctx.config.workers.max(1)];
    let renewed_ms = ctx.now_ms();
    let mut dispatcher = Dispatcher {
        ctx,
        running: JoinSet::new(),
        slots,
        renewed: now,
        renewed_ms,
        drain: None,
        looked: now,
        aged: None,
    };
    dispatcher.run(&shutdown).await?;
    dispatcher.stop().await
}

impl Dispatcher {
    async fn run(&mut self, shutdown: &CancellationToken) -> Result<(), CoreError> {
        let ctx = self.ctx.clone();
        while !shutdown.is_cancelled() {
            self.renew_leases()?;
            self.look_at_credentials();
            let mut wake_at = match self.next()? {
                Next::Claim => match self.start_one()? {
                    true => continue,
                    false => self.next_due()?,
                },
                Next::Wait(until) => Some(until),
            };
            for more in [self.watch()?, self.renew_at(), self.look_at()].into_iter().flatten() {
                wake_at = Some(wake_at.map_or(more, |at| at.min(more)));
            }
            let latest = Instant::now() + LONGEST_SLEEP;
            let sleep = tokio::time::sleep_until(wake_at.map_or(latest, |at| at.min(latest)));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                Some(ended) = self.running.join_next_with_id(), if !self.running.is_empty() => self.see_off(ended)?,
                () = ctx.wake.notified() => {}
                () = sleep => {}
            }
        }
        Ok(())
    }

    /// Whether a job may start now, as far as slots, holds, breakers, pauses and the drain rate go.
    fn next(&mut self) -> Result<Next, CoreError> {
        let now = Instant::now();
        let far = now + LONGEST_SLEEP;
        if self.slots.iter().all(Option::is_some) {
            return Ok(Next::Wait(far));
        }
        let mut wait: Option<Instant> = None;
        let mut hold = |until: Instant| wait = Some(wait.map_or(until, |so_far: Instant| so_far.max(until)));
        for client in [&self.ctx.hubspot.client, &self.ctx.stripe.client] {
            if let Err(Failure::Held { until, .. }) = client.gate.check() {
                hold(until.unwrap_or(far));
            }
            match client.breaker.readiness() {
                Readiness::Ready => {}
                Readiness::Probe if self.running.len() < self.ctx.policies.breaker.probes as usize => {}
                Readiness::Probe => hold(far),
                Readiness::Wait(until) => hold(until.unwrap_or(far)),
            }
            if let Some(until) = client.paused_until() {
                hold(until);
            }
        }
        if let Some(until) = wait {
            return Ok(Next::Wait(until));
        }
        if let (Some(rate), Some(drain)) = (self.ctx.policies.drain.starts, self.drain) {
            let burst = Duration::from_secs_f64(f64::from(rate.burst.saturating_sub(1)) / rate.per_second);
            let at = drain.checked_sub(burst).unwrap_or(now);
            if at > now {
                // Only a job that is due makes it worth waking.
                let due = self.next_due()?;
                return Ok(Next::Wait(due.map_or(far, |due| due.max(at))));
            }
        }
        Ok(Next::Claim)
    }

    fn start_one(&mut self) -> Result<bool, CoreError> {
        let ctx = self.ctx.clone();
        let Some(claimed) = ctx.store.claim(&ctx.owner, &ctx.policies.queue, ctx.now_ms())? else {
            return Ok(false);
        };
        let now = Instant::now();
        if self.running.is_empty() {
            (self.renewed, self.renewed_ms) = (now, ctx.now_ms());
        }
        if let Some(rate) = ctx.policies.drain.starts {
            self.drain =
                Some(self.drain.unwrap_or(now).max(now) + Duration::from_secs_f64(1.0 / rate.per_second));
        }
        let slot = self.slots.iter().position(Option::is_none).unwrap_or(0);
        let task = self.running.spawn(async move { job::work(&ctx, slot, &claimed).await });
        self.slots[slot] = Some(task.id());
        Ok(true)
    }

    fn see_off(
        &mut self,
        ended: Result<(Id, Result<(), rusqlite::Error>), tokio::task::JoinError>,
    ) -> Result<(), CoreError> {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        for slot in &mut self.slots {
            if *slot == Some(id) {
                *slot = None;
            }
        }
        match ended {
            Ok((_, outcome)) => outcome?,
            // Its lease runs out, and the job is tried again.
            Err(error) => tracing::error!(%error, "a worker panicked"),
        }
        self.ctx.finished.notify_waiters();
        Ok(())
    }

    fn next_due(&self) -> Result<Option<Instant>, CoreError> {
        let now = self.ctx.now_ms();
        let due = self.ctx.store.next_due(&self.ctx.policies.queue)?;
        Ok(due.map(|due| {
            Instant::now() + Duration::from_millis(u64::try_from(due - now).unwrap_or(0).min(86_400_000))
        }))
    }

    fn renew_at(&self) -> Option<Instant> {
        let rule = &self.ctx.policies.queue;
        (rule.renew != Renewal::Never && !self.running.is_empty()).then(|| self.renewed + rule.lease / 3)
    }

    fn renew_leases(&mut self) -> Result<(), CoreError> {
        let Some(at) = self.renew_at() else { return Ok(()) };
        let (now, now_ms) = (Instant::now(), self.ctx.now_ms());
        let rule = &self.ctx.policies.queue;
        let lease = i64::try_from(rule.lease.as_millis()).unwrap_or(i64::MAX);
        let by_the_wall = rule.renew == Renewal::ByEitherClock && now_ms - self.renewed_ms >= lease / 3;
        if at <= now || by_the_wall {
            self.ctx.store.renew(&self.ctx.owner, now_ms.saturating_add(lease))?;
            (self.renewed, self.renewed_ms) = (now, now_ms);
        }
        Ok(())
    }

    fn look_at(&self) -> Option<Instant> {
        let closed = self.ctx.hubspot.client.gate.is_closed() || self.ctx.stripe.client.gate.is_closed();
        closed.then(|| self.looked + self.ctx.policies.refresh.look_every)
    }

    /// Opens the gate of a vendor whose credentials have changed.
    fn look_at_credentials(&mut self) {
        let now = Instant::now();
        let Some(at) = self.look_at() else {
            self.looked = now;
            return;
        };
        if at > now {
            return;
        }
        self.looked = now;
        let ctx = &self.ctx;
        if ctx.hubspot.client.gate.is_closed() && ctx.hubspot.oauth.changed() {
            tracing::info!(vendor = "hubspot", "credentials have changed");
            ctx.hubspot.client.gate.open();
        }
        if ctx.stripe.client.gate.is_closed() && ctx.stripe.key.changed() {
            tracing::info!(vendor = "stripe", "credentials have changed");
            ctx.stripe.client.gate.open();
        }
    }

    /// Raises the alerts that only time brings; says when to look again.
    fn watch(&mut self) -> Result<Option<Instant>, CoreError> {
        let ctx = &self.ctx;
        let now = Instant::now();
        let mut again: Option<Instant> = None;
        let mut at = |when: Instant| again = Some(again.map_or(when, |so_far: Instant| so_far.min(when)));
        for (vendor, client) in [(Vendor::HubSpot, &ctx.hubspot.client), (Vendor::Stripe, &ctx.stripe.client)]
        {
            if let Some(since) = client.breaker.open_since() {
                let due = since + BREAKER_ALERT / ctx.config.tempo.max(1);
                if due <= now {
                    ctx.alerts.raise(
                        AlertKind::BreakerOpen,
                        vendor.name(),
                        "the circuit breaker has been open for more than a minute",
                    );
                    at(now + Duration::from_secs(900));
                } else {
                    at(due);
                }
            }
        }
        if let Some(aged) = self.aged.filter(|aged| *aged > now) {
            at(aged);
        } else if let Some(oldest) = ctx.store.oldest_job()? {
            let age = ctx.now_ms() - oldest;
            let next = if age >= BACKLOG_ALERT_MS {
                ctx.alerts.raise(
                    AlertKind::Backlog,
                    "queue",
                    &format!("the oldest job has waited for {} s", age / 1000),
                );
                now + Duration::from_secs(900)
            } else {
                now + Duration::from_millis(u64::try_from(BACKLOG_ALERT_MS - age).unwrap_or(0))
            };
            at(next);
            self.aged = Some(next);
        } else {
            self.aged = None;
        }
        Ok(again)
    }

    async fn stop(mut self) -> Result<(), CoreError> {
        let ctx = self.ctx.clone();
        if ctx.policies.queue.shutdown == OnShutdown::Drop {
            self.running.shutdown().await;
            ctx.store.forget_all(&ctx.owner)?;
            return Ok(());
        }
        let deadline = Instant::now() + ctx.config.shutdown_deadline;
        while !self.running.is_empty() {
            match tokio::time::timeout_at(deadline, self.running.join_next_with_id()).await {
                Ok(Some(ended)) => self.see_off(ended)?,
                Ok(None) => break,
                Err(_) => {
                    tracing::warn!(jobs = self.running.len(), "the deadline has come: giving jobs back");
                    self.running.shutdown().await;
                }
            }
        }
        ctx.store.release_all(&ctx.owner, ctx.now_ms())?;
        Ok(())
    }
}
