//! One attempt of one job. Knows what each kind of failure leads to; must not know when jobs start.

use serde_json::json;

use crate::alert::AlertKind;
use crate::client::Failure;
use crate::context::Context;
use crate::flow;
use crate::policy::{Completion, OnInvalid};
use crate::store::Claimed;

/// One attempt of one job, and what becomes of it.
pub(crate) async fn work(ctx: &Context, slot: usize, job: &Claimed) -> Result<(), rusqlite::Error> {
    let rule = &ctx.policies.queue;
    let owner = &ctx.owner;
    let failure = match flow::run(ctx, slot, job).await {
        Ok(done) => {
            ctx.metrics.job(done.name());
            tracing::info!(deal = %job.deal_id, outcome = done.name(), "job done");
            return ctx.store.complete(job, owner);
        }
        Err(failure) => failure,
    };
    let reason = failure.to_string();
    tracing::warn!(deal = %job.deal_id, attempts = job.attempts, %reason, "job not done");
    if rule.completion == Completion::WhenClaimed {
        ctx.metrics.job("lost");
        return Ok(());
    }
    match failure {
        Failure::Store(error) => Err(error),
        Failure::Held { until, .. } => {
            ctx.metrics.job("held");
            // Without a moment to wait for, the gate holds the whole queue, not this job.
            let due = until.map_or(ctx.now_ms(), |until| ctx.as_ms(until));
            ctx.store.give_back(job, owner, due, 0, Some(&reason))
        }
        Failure::Invalid { source, reason, payload } => {
            ctx.metrics.job("quarantined");
            if ctx.policies.validation.on_invalid == OnInvalid::Drop {
                return ctx.store.complete(job, owner);
            }
            ctx.quarantine(&source, &job.deal_id, &reason, &payload)?;
            ctx.store.park(job, owner, &reason, ctx.now_ms())
        }
        Failure::Rejected { .. } => bury(ctx, job, &reason),
        Failure::Unavailable { .. } | Failure::Indeterminate => {
            let failed = job.attempts + 1;
            if failed >= rule.attempts {
                return bury(ctx, job, &reason);
            }
            ctx.metrics.job("retry");
            let wait = rule.retry_delay(failed, ctx.entropy.unit());
            let due = ctx.now_ms().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            ctx.store.give_back(job, owner, due, 1, Some(&reason))
        }
    }
}

fn bury(ctx: &Context, job: &Claimed, reason: &str) -> Result<(), rusqlite::Error> {
    ctx.metrics.job("dead_letter");
    let payload = json!({"deal_id": job.deal_id, "overlay": job.overlay, "verify": job.verify, "created_ms": job.created_ms});
    ctx.store.bury(job, &ctx.owner, reason, &payload, ctx.now_ms())?;
    ctx.alerts.raise(AlertKind::DeadLetter, &job.deal_id, reason);
    Ok(())
}
