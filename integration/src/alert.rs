//! Telling somebody. Knows kinds, repetition and delivery; must not know what caused an alert.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::policy::AlertRule;

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
    outbox: mpsc::UnboundedSender<Alert>,
}

impl Alerts {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        rule: AlertRule,
    ) -> (Self, mpsc::UnboundedReceiver<Alert>) {
        let (outbox, inbox) = mpsc::unbounded_channel();
        let quiet = SignedDuration::try_from(rule.quiet).unwrap_or(SignedDuration::MAX);
        (Self { clock, metrics, quiet, seen: Mutex::default(), outbox }, inbox)
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
        tracing::error!(alert = kind.name(), subject, message, "alert");
        let alert = Alert {
            kind: kind.name(),
            subject: subject.to_owned(),
            message: message.to_owned(),
            first_seen: first,
        };
        // The receiver lives as long as the run; before and after it an alert is logged and counted only.
        let _ = self.outbox.send(alert);
    }
}

/// Posts alerts, in order, a few times each.
pub(crate) async fn deliver(
    mut inbox: mpsc::UnboundedReceiver<Alert>,
    url: Option<String>,
    http: reqwest::Client,
) {
    while let Some(alert) = inbox.recv().await {
        let Some(url) = &url else { continue };
        let Ok(body) = serde_json::to_vec(&alert) else { continue };
        for wait in [1, 5, 25] {
            let request = http.post(url).header("content-type", "application/json").body(body.clone());
            match request.timeout(Duration::from_secs(10)).send().await {
                Ok(reply) if reply.status().is_success() => break,
                Ok(reply) => tracing::warn!(status = reply.status().as_u16(), "alert not accepted"),
                Err(error) => tracing::warn!(error = %error.without_url(), "alert not delivered"),
            }
            tokio::time::sleep(Duration::from_secs(wait)).await;
        }
    }
}
