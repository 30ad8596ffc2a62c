//! Numbers for operators. Knows names and labels; must not know where they are shown.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::observer::{AttemptOutcome, Vendor};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    vendor: &'static str,
    endpoint: &'static str,
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    vendor: &'static str,
    endpoint: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByVendor {
    vendor: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    kind: String,
}

/// All metrics of one core. Gauges are filled in when they are scraped.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    operations: Family<Outcome, Counter>,
    retries: Family<Endpoint, Counter>,
    latency: Family<Endpoint, Histogram, fn() -> Histogram>,
    alerts: Family<Kind, Counter>,
    webhooks: Family<Kind, Counter>,
    jobs: Family<Kind, Counter>,
    queue: Family<Kind, Gauge>,
    totals: Family<Kind, Gauge>,
    breaker: Family<ByVendor, Gauge>,
    oldest: Gauge,
    token_expiry: Gauge,
    dead_letters: Gauge,
    quarantined: Gauge,
    expected: Gauge,
    reconciled: Gauge,
    mismatches: Family<Kind, Gauge>,
}

/// What a scrape fills in.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    pub queue: Vec<(&'static str, u64)>,
    pub oldest_seconds: i64,
    pub token_expiry_seconds: i64,
    pub breakers: Vec<(Vendor, i64)>,
    pub dead_letters: u64,
    pub quarantined: u64,
    pub totals: Vec<(String, u64)>,
}

fn buckets() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0])
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("integration"),
            requests: Family::default(),
            operations: Family::default(),
            retries: Family::default(),
            latency: Family::new_with_constructor(buckets as fn() -> Histogram),
            alerts: Family::default(),
            webhooks: Family::default(),
            jobs: Family::default(),
            queue: Family::default(),
            totals: Family::default(),
            breaker: Family::default(),
            oldest: Gauge::default(),
            token_expiry: Gauge::default(),
            dead_letters: Gauge::default(),
            quarantined: Gauge::default(),
            expected: Gauge::default(),
            reconciled: Gauge::default(),
            mismatches: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "http_requests",
            "HTTP attempts, by outcome: a status, or how they failed",
            metrics.requests.clone(),
        );
        registry.register(
            "http_operations",
            "Logical calls, retries included, by final outcome",
            metrics.operations.clone(),
        );
        registry.register(
            "http_retries",
            "HTTP attempts that repeat an earlier one",
            metrics.retries.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time of an HTTP attempt",
            Unit::Seconds,
            metrics.latency.clone(),
        );
        registry.register("alerts", "Alerts raised, by kind", metrics.alerts.clone());
        registry.register(
            "webhook_deliveries",
            "Webhook deliveries, by what became of them",
            metrics.webhooks.clone(),
        );
        registry.register("jobs", "Job attempts, by what became of them", metrics.jobs.clone());
        registry.register("queue_depth", "Jobs in the queue, by state", metrics.queue.clone());
        registry.register("totals", "Counters that survive restarts", metrics.totals.clone());
        registry.register("breaker_state", "0 closed, 1 half open, 2 open", metrics.breaker.clone());
        registry.register_with_unit(
            "oldest_job_age",
            "Age of the oldest unfinished job",
            Unit::Seconds,
            metrics.oldest.clone(),
        );
        registry.register_with_unit(
            "token_expiry",
            "Time left on the HubSpot access token",
            Unit::Seconds,
            metrics.token_expiry.clone(),
        );
        registry.register("dead_letters", "Dead letters that wait for replay", metrics.dead_letters.clone());
        registry.register("quarantined", "Refused payloads that are kept", metrics.quarantined.clone());
        registry.register(
            "reconcile_expected",
            "Deals that should have an invoice, at the last reconciliation",
            metrics.expected.clone(),
        );
        registry.register(
            "reconcile_reconciled",
            "Deals whose invoice agreed, at the last reconciliation",
            metrics.reconciled.clone(),
        );
        registry.register(
            "reconcile_differences",
            "Differences at the last reconciliation, by kind",
            metrics.mismatches.clone(),
        );
        metrics
    }

    pub(crate) fn attempt(
        &self,
        vendor: Vendor,
        endpoint: &'static str,
        outcome: AttemptOutcome,
        attempt: u32,
        took: Duration,
    ) {
        let vendor = vendor.name();
        self.requests.get_or_create(&Outcome { vendor, endpoint, outcome: outcome.label() }).inc();
        self.latency.get_or_create(&Endpoint { vendor, endpoint }).observe(took.as_secs_f64());
        if attempt > 1 {
            self.retries.get_or_create(&Endpoint { vendor, endpoint }).inc();
        }
    }

    /// Counts one operation in place of its attempts.
    pub(crate) fn operation_as_request(&self, vendor: Vendor, endpoint: &'static str, outcome: &str) {
        let labels = Outcome { vendor: vendor.name(), endpoint, outcome: outcome.to_owned() };
        self.requests.get_or_create(&labels).inc();
    }

    pub(crate) fn operation(&self, vendor: Vendor, endpoint: &'static str, outcome: &str) {
        let labels = Outcome { vendor: vendor.name(), endpoint, outcome: outcome.to_owned() };
        self.operations.get_or_create(&labels).inc();
    }

    pub(crate) fn alert(&self, kind: &str) {
        self.alerts.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    pub(crate) fn webhook(&self, kind: &str) {
        self.webhooks.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    pub(crate) fn job(&self, kind: &str) {
        self.jobs.get_or_create(&Kind { kind: kind.to_owned() }).inc();
    }

    pub(crate) fn reconciled(&self, expected: u64, reconciled: u64, differences: &[(&str, u64)]) {
        self.expected.set(expected.cast_signed());
        self.reconciled.set(reconciled.cast_signed());
        for (kind, n) in differences {
            self.mismatches.get_or_create(&Kind { kind: (*kind).to_owned() }).set(n.cast_signed());
        }
    }

    /// The OpenMetrics text, with `gauges` as they are now.
    pub(crate) fn render(&self, gauges: &Gauges) -> String {
        for (state, n) in &gauges.queue {
            self.queue.get_or_create(&Kind { kind: (*state).to_owned() }).set(n.cast_signed());
        }
        for (name, n) in &gauges.totals {
            self.totals.get_or_create(&Kind { kind: name.clone() }).set(n.cast_signed());
        }
        for (vendor, state) in &gauges.breakers {
            self.breaker.get_or_create(&ByVendor { vendor: vendor.name() }).set(*state);
        }
        self.oldest.set(gauges.oldest_seconds);
        self.token_expiry.set(gauges.token_expiry_seconds);
        self.dead_letters.set(gauges.dead_letters.cast_signed());
        self.quarantined.set(gauges.quarantined.cast_signed());
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(_) => String::new(),
        }
    }
}
