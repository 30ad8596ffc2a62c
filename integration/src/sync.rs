//! The scheduled sync: the safety net under dropped webhooks. Knows pages and the cursor; must not know invoices.

use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument as _;

use crate::client::Failure;
use crate::context::Context;
use crate::mapping::Deal;
use crate::policy::{CursorCommit, Pages};
use crate::routine::Routine;
use crate::shape::{self, Shape};
use crate::store::{Enqueue, Step};
use crate::vendor::PAGE;

const CURSOR: &str = "deals";
/// HubSpot's search ends at 10,000 results: before that it is asked anew from the last instant seen.
const SEARCH_END: usize = 9_900;

/// Syncs at start, on schedule and on demand, for ever.
pub(crate) async fn schedule(ctx: Arc<Context>) -> Result<(), rusqlite::Error> {
    let interval = ctx.config.sync_interval;
    let mut routine = Routine::new("sync", interval, interval.map(|_| Instant::now()));
    loop {
        routine.turn(&ctx.sync_now, ctx.policies.sync.enabled).await;
        let span = tracing::info_span!("sync", run = %ctx.run_id());
        let outcome = run(&ctx).instrument(span.clone()).await;
        ctx.wake.notify_one();
        span.in_scope(|| routine.ran(&ctx, outcome))?;
    }
}

async fn run(ctx: &Context) -> Result<(), Failure> {
    let rule = ctx.policies.sync;
    let started = ctx.now_ms();
    let overlap = i64::try_from(rule.overlap.as_millis()).unwrap_or(0);
    let mut since = ctx.store.cursor(CURSOR)?.map_or(0, |cursor| (cursor - overlap).max(0));
    if rule.cursor == CursorCommit::BeforeItsRows {
        ctx.store.move_cursor(CURSOR, started, &[], started)?;
    }
    let mut after: Option<String> = None;
    let mut seen = 0usize;
    loop {
        let page = ctx.hubspot.modified(ctx.background_slot(), since, after.as_deref()).await?;
        seen += page.deals.len();
        let (jobs, newest) = judge(ctx, &page.deals)?;
        let newest = newest.unwrap_or(since);
        ctx.store.move_cursor(CURSOR, newest, &jobs, ctx.now_ms())?;
        ctx.wake.notify_one();
        let short = rule.pages == Pages::UntilShort && page.deals.len() < PAGE;
        if short || rule.pages == Pages::First {
            return Ok(());
        }
        match page.next {
            None => return Ok(()),
            // A cursor that does not move would go on for ever.
            Some(next) if Some(&next) == after.as_ref() => {
                return Err(Failure::Invalid {
                    source: "/crm/v3/objects/deals/search".into(),
                    reason: format!("the cursor {next} was repeated"),
                    payload: next,
                });
            }
            Some(_) if seen >= SEARCH_END && newest > since => {
                since = newest;
                after = None;
                seen = 0;
            }
            next => after = next,
        }
    }
}

/// The jobs that a page of deals asks for, and the newest modification on it.
fn judge(ctx: &Context, deals: &[serde_json::Value]) -> Result<(Vec<Enqueue>, Option<i64>), Failure> {
    let mut jobs = Vec::new();
    let mut newest = None;
    let stages = &ctx.config.deal_stages;
    for value in deals {
        let read = match ctx.policies.validation.strict {
            true => shape::check(Shape::Deal, value)
                .and_then(|()| Deal::read(value, stages).map_err(|error| error.to_string())),
            false => Deal::read(value, stages).map_err(|error| error.to_string()),
        };
        let deal = match read {
            Ok(deal) => deal,
            Err(reason) => {
                let id = value["id"].as_str().unwrap_or("?");
                ctx.quarantine("/crm/v3/objects/deals/search", id, &reason, &value.to_string())?;
                continue;
            }
        };
        newest = newest.max(Some(deal.modified_ms));
        let wanted = match ctx.store.progress(&deal.id)? {
            Some((step, source_ms)) => {
                deal.updated_ms > source_ms || !matches!(step, Step::Done | Step::Retracted)
            }
            None => deal.won,
        };
        if !wanted {
            continue;
        }
        // What was put aside stays aside until something new is heard of it (or a reconciliation asks).
        let aside = ctx.store.put_aside_ms(&deal.id)?.is_some_and(|since| deal.modified_ms <= since);
        if !aside {
            jobs.push(Enqueue::deal(&deal.id, ctx.now_ms()));
        }
    }
    Ok((jobs, newest))
}
