//! What an operator sees and does over HTTP. Knows routes and the admin token; must not know how things are done.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tracing::Instrument as _;

use crate::context::Context;
use crate::metrics::Gauges;
use crate::observer::Vendor;
use crate::policy::Tally;
use crate::webhook;

/// The largest delivery: 100 events take some 40 kB.
const LARGEST_DELIVERY: usize = 4 * 1024 * 1024;

/// Every route of the listener.
pub(crate) fn router(ctx: Arc<Context>) -> axum::Router {
    let guarded = axum::Router::new()
        .route("/metrics", get(metrics))
        .route("/admin/jobs/{job}", post(start_job))
        .route("/admin/dead-letters", get(dead_letters))
        .route("/admin/dead-letters/replay", post(replay))
        .route("/admin/quarantine", get(quarantine))
        .layer(middleware::from_fn_with_state(ctx.clone(), guard));
    axum::Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(
            webhook::PATH,
            post(webhook::receive)
                .layer(DefaultBodyLimit::max(LARGEST_DELIVERY))
                .layer(middleware::from_fn_with_state(ctx.clone(), delivery)),
        )
        .merge(guarded)
        .with_state(ctx)
}

async fn guard(State(ctx): State<Arc<Context>>, request: Request, next: Next) -> Response {
    if let Some(token) = &ctx.config.admin_token {
        let given = request.headers().get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
        if !bool::from(given.ct_eq(token.expose().as_bytes())) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
    }
    next.run(request).await
}

/// One id for all log lines of a delivery, and a line for how it was answered.
async fn delivery(State(ctx): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let span = tracing::info_span!("delivery", run = %ctx.run_id());
    let answered = async {
        let response = next.run(request).await;
        tracing::info!(status = response.status().as_u16(), "webhook answered");
        response
    };
    answered.instrument(span).await
}

fn answer(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A store that failed, as an answer.
struct Failed(rusqlite::Error);

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        tracing::error!(error = %self.0, "admin request failed");
        (StatusCode::INTERNAL_SERVER_ERROR, "the store failed\n").into_response()
    }
}

/// Ready: the store answers and no vendor's credentials are refused.
async fn ready(State(ctx): State<Arc<Context>>) -> Result<Response, Failed> {
    ctx.store.oldest_job()?;
    let held: Vec<&str> = [(Vendor::HubSpot, &ctx.hubspot.client), (Vendor::Stripe, &ctx.stripe.client)]
        .into_iter()
        .filter(|(_, client)| client.gate.is_closed())
        .map(|(vendor, _)| vendor.name())
        .collect();
    let status = if held.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(answer(status, &json!({"ready": held.is_empty(), "credentials_refused": held})))
}

async fn metrics(State(ctx): State<Arc<Context>>) -> Result<Response, Failed> {
    let now = ctx.now_ms();
    let depth = ctx.store.depth()?;
    let (dead_letters, quarantined) = match ctx.policies.tally {
        Tally::Waiting => ctx.store.refused(i64::MIN, false)?,
        Tally::SinceStart => ctx.store.refused(ctx.started_ms, false)?,
        Tally::Ever => ctx.store.refused(i64::MIN, true)?,
    };
    let gauges = Gauges {
        queue: vec![("queued", depth.queued), ("leased", depth.leased), ("parked", depth.parked)],
        oldest_seconds: depth.oldest_ms.map_or(0, |oldest| (now - oldest) / 1000),
        token_expiry_seconds: ctx.hubspot.oauth.expires_ms().map_or(0, |expires| (expires - now) / 1000),
        breakers: vec![
            (Vendor::HubSpot, ctx.hubspot.client.breaker.gauge()),
            (Vendor::Stripe, ctx.stripe.client.breaker.gauge()),
        ],
        dead_letters,
        quarantined,
        totals: ctx.store.counters()?,
    };
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], ctx.metrics.render(&gauges)).into_response())
}

async fn start_job(State(ctx): State<Arc<Context>>, Path(job): Path<String>) -> StatusCode {
    match job.as_str() {
        "sync" => ctx.sync_now.notify_one(),
        "reconcile" => ctx.reconcile_now.notify_one(),
        _ => return StatusCode::NOT_FOUND,
    }
    StatusCode::ACCEPTED
}

async fn dead_letters(State(ctx): State<Arc<Context>>) -> Result<Response, Failed> {
    Ok(answer(StatusCode::OK, &json!({"dead_letters": ctx.store.dead_letters()?})))
}

/// Which dead letters to replay: the given ones, or all.
#[derive(Debug, Default, Deserialize)]
struct Replay {
    ids: Option<Vec<i64>>,
}

async fn replay(State(ctx): State<Arc<Context>>, body: bytes::Bytes) -> Result<Response, Failed> {
    let wanted: Replay = match body.is_empty() {
        true => Replay::default(),
        false => match serde_json::from_slice(&body) {
            Ok(wanted) => wanted,
            Err(error) => return Ok((StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()),
        },
    };
    let keys = ctx.policies.writes.replay_keys;
    let replayed = ctx.store.replay_dead_letters(wanted.ids.as_deref(), keys, ctx.now_ms())?;
    ctx.wake.notify_one();
    Ok(answer(StatusCode::OK, &json!({"replayed": replayed})))
}

async fn quarantine(State(ctx): State<Arc<Context>>) -> Result<Response, Failed> {
    Ok(answer(StatusCode::OK, &json!({"quarantine": ctx.store.quarantined(1000)?})))
}
