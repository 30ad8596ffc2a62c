//! Telling somebody. Knows kinds, repetition and delivery; must not know what caused an alert.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::policy::AlertRule;
use crate::store::{Store, Stored};

/// The waits after each attempt that failed, in seconds; the last one from there on.
const WAITS: [u64; 5] = [1, 5, 25, 60, 300];
/// Attempts of an alert that its receiver refuses as it is (4xx).
const REFUSALS: usize = 3;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertKind {
    /// HubSpot refuses our grant; nothing flows until the credentials change.
    InvalidGrant,
    /// A vendor refuses credentials that a refresh or a re-read did not cure.
    Unauthorized,
    /// A circuit breaker has been open for more than a minute.
    BreakerOpen,
    /// A job was given up.
    DeadLetter,
    /// Data was refused and kept.
    Quarantine,
    /// The two sides disagree in a way that we do not repair ourselves.
    ReconcileMismatch,
    /// The oldest job has waited for more than ten minutes.
    Backlog,
    /// A daily quota is nearly used up.
    Quota,
    /// A sync or a reconciliation has not been completed for long.
    NotCompleted,
    /// Webhook deliveries are refused, and none is accepted.
    WebhooksRefused,
    /// An attempt failed, for a deployment that wants to hear of each.
    FailedAttempt,
}

impl AlertKind {
    /// The name used in logs, metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidGrant => "invalid_grant",
            Self::Unauthorized => "unauthorized",
            Self::BreakerOpen => "breaker_open",
            Self::DeadLetter => "dead_letter",
            Self::Quarantine => "quarantine",
            Self::ReconcileMismatch => "reconcile_mismatch",
            Self::Backlog => "backlog",
            Self::Quota => "quota",
            Self::NotCompleted => "not_completed",
            Self::WebhooksRefused => "webhooks_refused",
            Self::FailedAttempt => "failed_attempt",
        }
    }
}

/// The JSON that is posted to `ALERT_URL`.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Alert {
    pub kind: &'static str,
    pub subject: String,
    pub message: String,
    pub first_seen: Timestamp,
}

struct Seen {
    first: Timestamp,
    told: Timestamp,
}

/// Raises alerts: a log line, a metric and a post, at most once in a while for one kind and subject.
pub(crate) struct Alerts {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// How long one kind and subject stays quiet after an alert.
    quiet: SignedDuration,
    seen: Mutex<BTreeMap<(AlertKind, String), Seen>>,
    /// Keeps those that nobody has accepted yet; none if there is nowhere to post them.
    outbox: Option<Arc<Store>>,
    /// There is one more.
    more: Notify,
    /// There is none.
    none: Notify,
}

impl Alerts {
    /// Alerts that wait in `outbox` until they are accepted, if they are posted at all.
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        rule: AlertRule,
        outbox: Option<Arc<Store>>,
    ) -> Self {
        let quiet = SignedDuration::try_from(rule.quiet).unwrap_or(SignedDuration::MAX);
        let (more, none) = (Notify::new(), Notify::new());
        Self { clock, metrics, quiet, seen: Mutex::default(), outbox, more, none }
    }

    pub(crate) fn raise(&self, kind: AlertKind, subject: &str, message: &str) {
        let now = self.clock.now();
        let first = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let quiet = |told: Timestamp| now.duration_since(told) < self.quiet;
            if seen.len() > 1024 {
                seen.retain(|_, entry| quiet(entry.told));
            }
            let entry = seen.entry((kind, subject.to_owned()));
            match entry {
                std::collections::btree_map::Entry::Occupied(entry) if quiet(entry.get().told) => return,
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    entry.get_mut().told = now;
                    entry.get().first
                }
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert(Seen { first: now, told: now }).first
                }
            }
        };
        self.metrics.alert(kind.name());
        tracing::error!(alert = kind.name(), subject, detail = message, "alert");
        let Some(outbox) = &self.outbox else { return };
        let alert = Alert {
            kind: kind.name(),
            subject: subject.to_owned(),
            message: message.to_owned(),
            first_seen: first,
        };
        let kept = serde_json::to_string(&alert).map(|body| outbox.put_alert(&body));
        match kept {
            Ok(Ok(())) => self.more.notify_one(),
            Ok(Err(error)) => tracing::error!(%error, "alert not kept"),
            Err(error) => tracing::error!(%error, "alert not written"),
        }
    }

    /// Posts alerts to `url`, in order, each until it is accepted, for ever.
    pub(crate) async fn deliver(&self, url: &str, http: &reqwest::Client) -> Stored<()> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        let mut failed = 0;
        loop {
            let more = self.more.notified();
            let Some((number, body)) = outbox.next_alert()? else {
                self.none.notify_waiters();
                more.await;
                continue;
            };
            let request = http.post(url).header("content-type", "application/json").body(body);
            let answer = request.timeout(Duration::from_secs(10)).send().await;
            let is_over = match answer.map(|reply| reply.status()) {
                Ok(status) if status.is_success() => true,
                Ok(status) => {
                    let later = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                    let given_up = status.is_client_error() && !later && failed + 1 >= REFUSALS;
                    tracing::warn!(status = status.as_u16(), "alert not accepted");
                    if given_up {
                        tracing::error!(status = status.as_u16(), "alert given up: its receiver refuses it");
                    }
                    given_up
                }
                Err(error) => {
                    tracing::warn!(error = %error.without_url(), "alert not delivered");
                    false
                }
            };
            if is_over {
                outbox.drop_alert(number)?;
                failed = 0;
            } else {
                tokio::time::sleep(Duration::from_secs(WAITS[failed.min(WAITS.len() - 1)])).await;
                failed += 1;
            }
        }
    }

    /// Waits until every alert is accepted.
    pub(crate) async fn delivered(&self) -> Stored<()> {
        let Some(outbox) = &self.outbox else { return Ok(()) };
        loop {
            let none = self.none.notified();
            tokio::pin!(none);
            none.as_mut().enable();
            if outbox.next_alert()?.is_none() {
                return Ok(());
            }
            none.await;
        }
    }
}
