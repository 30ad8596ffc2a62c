//! What every part of a running core shares. Knows the parts by name; must not know what they do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::alert::{AlertKind, Alerts};
use crate::client::Failure;
use crate::clock::{Clock, now_ms};
use crate::config::Config;
use crate::entropy::Entropy;
use crate::metrics::Metrics;
use crate::policy::{OnInvalid, Policies};
use crate::store::{Quarantined, Store, Stored, StoredKey};
use crate::vendor::{HubSpot, Stripe, form};
use crate::webhook::{Delivery, Refusals};

/// One e-mail address is ensured as a customer by one job at a time; addresses share this many locks.
const EMAIL_LOCKS: usize = 256;

/// Keys remembered by this process only, for a deployment that wants no more.
pub(crate) type ProcessKeys = BTreeMap<(String, u32, &'static str, String), StoredKey>;

/// The shared parts.
pub(crate) struct Context {
    pub config: Config,
    pub policies: Arc<Policies>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<Entropy>,
    pub metrics: Arc<Metrics>,
    pub alerts: Arc<Alerts>,
    pub store: Arc<Store>,
    pub hubspot: HubSpot,
    pub stripe: Stripe,
    /// Who holds our leases.
    pub owner: String,
    pub started_ms: i64,
    /// There may be a job to start.
    pub wake: Notify,
    /// A job has ended.
    pub finished: Notify,
    /// A sync is wanted now.
    pub sync_now: Notify,
    /// A reconciliation is wanted now.
    pub reconcile_now: Notify,
    pub process_keys: Mutex<ProcessKeys>,
    pub refusals: Refusals,
    /// Deliveries that were acknowledged and are not stored yet, for a deployment that dares.
    pub late: mpsc::UnboundedSender<Delivery>,
    emails: [tokio::sync::Mutex<()>; EMAIL_LOCKS],
    runs: AtomicU64,
}

impl Context {
    #[allow(clippy::too_many_arguments, reason = "it is the sum of its parts")]
    pub(crate) fn new(
        config: Config,
        policies: Arc<Policies>,
        clock: Arc<dyn Clock>,
        entropy: Arc<Entropy>,
        metrics: Arc<Metrics>,
        alerts: Arc<Alerts>,
        store: Arc<Store>,
        hubspot: HubSpot,
        stripe: Stripe,
        late: mpsc::UnboundedSender<Delivery>,
    ) -> Self {
        let owner = entropy.id();
        let started_ms = now_ms(&*clock);
        Self {
            config,
            policies,
            clock,
            entropy,
            metrics,
            alerts,
            store,
            hubspot,
            stripe,
            owner,
            started_ms,
            wake: Notify::new(),
            finished: Notify::new(),
            sync_now: Notify::new(),
            reconcile_now: Notify::new(),
            process_keys: Mutex::default(),
            refusals: Refusals::default(),
            late,
            emails: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            runs: AtomicU64::new(1),
        }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        now_ms(&*self.clock)
    }

    /// An id for all log lines of one job, delivery, sync or reconciliation: ours and a number, so that no two
    /// share it, in whatever process.
    pub(crate) fn run_id(&self) -> String {
        format!("{}-{}", &self.owner[..8], self.runs.fetch_add(1, Ordering::Relaxed))
    }

    /// The slot of what is no worker.
    pub(crate) fn background_slot(&self) -> usize {
        self.config.workers
    }

    /// The lock of an e-mail address.
    pub(crate) fn email_lock(&self, email: &str) -> &tokio::sync::Mutex<()> {
        let sum =
            email.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        &self.emails[sum % EMAIL_LOCKS]
    }

    /// A tokio instant as milliseconds since the epoch.
    pub(crate) fn as_ms(&self, at: Instant) -> i64 {
        let wait = at.saturating_duration_since(Instant::now());
        // Rounded up, so that what waits for this moment does not wake before it.
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).saturating_add(1);
        self.now_ms().saturating_add(wait)
    }

    /// A form for an endpoint, in its last wording.
    pub(crate) fn form<'a>(
        &self,
        endpoint: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> String {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut fields: Vec<_> = fields.into_iter().map(owned).collect();
        self.policies.wording.form(endpoint, &mut fields);
        form(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Keeps what was refused, and tells somebody.
    pub(crate) fn quarantine(&self, source: &str, subject: &str, reason: &str, payload: &str) -> Stored<()> {
        let rule = self.policies.validation;
        if rule.on_invalid == OnInvalid::Drop {
            return Ok(());
        }
        let payload = if rule.keep_payload { payload.to_owned() } else { String::new() };
        let entry =
            Quarantined { source: source.into(), subject: subject.into(), reason: reason.into(), payload };
        self.store.quarantine(&entry, self.now_ms())?;
        self.alerts.raise(AlertKind::Quarantine, source, &format!("{subject}: {reason}"));
        Ok(())
    }

    /// Quarantines an invalid answer; hands on any other failure.
    pub(crate) fn quarantine_if_invalid(&self, subject: &str, failure: Failure) -> Result<Failure, Failure> {
        if let Failure::Invalid { source, reason, payload } = &failure {
            self.quarantine(source, subject, reason, payload)?;
        }
        Ok(failure)
    }
}
