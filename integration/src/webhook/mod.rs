//! Webhook deliveries of HubSpot. Knows checking, storing and acknowledging; must not know what becomes of a deal.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::context::Context;
use crate::policy::{Acknowledge, PoisonEvent, UnknownEvent};
use crate::store::{NewEvent, Quarantined};

mod event;
mod refusals;
mod signature;

use event::Read;
pub(crate) use refusals::Refusals;

/// The path that HubSpot posts to.
pub(crate) const PATH: &str = "/webhooks/hubspot";

/// A checked delivery, ready to be stored.
#[derive(Debug)]
pub(crate) struct Delivery {
    events: Vec<NewEvent>,
    malformed: Vec<Quarantined>,
    unknown: u64,
    /// When it came in.
    at: Instant,
}

impl Delivery {
    fn store(&self, ctx: &Context) -> Result<(), rusqlite::Error> {
        let retention = i64::try_from(ctx.policies.dedup.retention.as_millis()).unwrap_or(i64::MAX);
        let now = ctx.now_ms();
        let kept: &[Quarantined] = match ctx.policies.validation.on_invalid {
            crate::policy::OnInvalid::Quarantine => &self.malformed,
            crate::policy::OnInvalid::Drop => &[],
        };
        let intake = ctx.store.take_in(&self.events, kept, self.unknown, now, retention)?;
        for entry in kept {
            let message = format!("{}: {}", entry.subject, entry.reason);
            ctx.alerts.raise(crate::alert::AlertKind::Quarantine, &entry.source, &message);
        }
        if intake.fresh > 0 {
            ctx.wake.notify_one();
        }
        Ok(())
    }
}

/// Receives one delivery.
pub(crate) async fn receive(
    State(ctx): State<Arc<Context>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if let Err(reason) = signature::verify(&ctx, &method, &uri, &headers, &body) {
        tracing::warn!(reason, "webhook refused");
        ctx.metrics.webhook("unauthorized");
        ctx.refusals.refused(&ctx, reason);
        return StatusCode::UNAUTHORIZED;
    }
    ctx.refusals.accepted();
    let status = match take_in(&ctx, &body).await {
        Ok(status) => status,
        Err(error) => {
            tracing::error!(%error, "webhook not stored");
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    ctx.metrics.webhook(if status.is_success() { "accepted" } else { "failed" });
    status
}

async fn take_in(ctx: &Context, body: &[u8]) -> Result<StatusCode, rusqlite::Error> {
    let intake = ctx.policies.intake;
    let values = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Array(values)) => values,
        Ok(other) => vec![other],
        Err(error) => vec![Value::String(format!("{error}: {}", String::from_utf8_lossy(body)))],
    };
    let mut delivery = Delivery { events: Vec::new(), malformed: Vec::new(), unknown: 0, at: Instant::now() };
    for value in values {
        match event::read(ctx, value)? {
            Read::Event(event) => delivery.events.push(event),
            Read::Unknown if intake.unknown == UnknownEvent::ServerError => {
                return Ok(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Read::Unknown => delivery.unknown += 1,
            Read::Malformed(_) if intake.poison == PoisonEvent::FailTheBatch => {
                return Ok(StatusCode::BAD_REQUEST);
            }
            Read::Malformed(entry) => delivery.malformed.push(entry),
            Read::Ignored => {}
        }
    }
    match intake.acknowledge {
        Acknowledge::AfterStoring => delivery.store(ctx)?,
        Acknowledge::BeforeStoring => {
            let _ = ctx.late.send(delivery);
        }
        Acknowledge::AfterTheWork => {
            delivery.store(ctx)?;
            for event in &delivery.events {
                finished(ctx, &event.job.deal_id).await?;
            }
        }
    }
    Ok(StatusCode::OK)
}

async fn finished(ctx: &Context, deal_id: &str) -> Result<(), rusqlite::Error> {
    loop {
        let ended = ctx.finished.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !ctx.store.is_busy(deal_id)? {
            return Ok(());
        }
        ended.await;
    }
}

/// Stores what was acknowledged before it was stored.
pub(crate) async fn store_late(
    ctx: Arc<Context>,
    mut late: mpsc::UnboundedReceiver<Delivery>,
) -> Result<(), rusqlite::Error> {
    while let Some(delivery) = late.recv().await {
        tokio::time::sleep_until(delivery.at + ctx.policies.intake.late_store).await;
        delivery.store(&ctx)?;
    }
    Ok(())
}
