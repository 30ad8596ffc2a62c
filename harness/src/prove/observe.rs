//! Defects in what the core says of itself.

use std::time::Duration;

use integration_core::policy::{Counting, Disclosure, Outbox, Tally, Telling};

use super::Defect;

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "counts_operations_not_attempts",
        bug: "counters disagree with the wire",
        drill: "observability/the_metrics_agree_with_the_wire",
        check: "observability",
        plant: |_, p| p.counting = Counting::OperationsOnly,
    },
    Defect {
        name: "counts_first_attempts_as_retries",
        bug: "the retries metric counts every attempt",
        drill: "observability/the_metrics_agree_with_the_wire",
        check: "observability",
        plant: |_, p| p.counting = Counting::FirstAsRetry,
    },
    Defect {
        name: "gauges_since_the_start",
        bug: "the gauges of dead letters and quarantine forget at a restart what the lists still show",
        drill: "observability/what_was_set_aside_is_counted_as_shown",
        check: "observability",
        plant: |_, p| p.tally = Tally::SinceStart,
    },
    Defect {
        name: "gauges_never_go_down",
        bug: "the gauge of dead letters counts those that were replayed",
        drill: "observability/what_was_set_aside_is_counted_as_shown",
        check: "observability",
        plant: |_, p| p.tally = Tally::Ever,
    },
    Defect {
        name: "alert_for_each_failure",
        bug: "an alert for each failed attempt",
        drill: "observability/an_outage_is_a_few_alerts",
        check: "observability",
        plant: |_, p| {
            p.alerts.telling = Telling::EachFailure;
            p.alerts.quiet = Duration::ZERO;
        },
    },
    Defect {
        name: "alert_at_each_look",
        bug: "the same alert again each time that somebody looks",
        drill: "observability/an_outage_is_a_few_alerts",
        check: "observability",
        plant: |_, p| p.alerts.quiet = Duration::ZERO,
    },
    Defect {
        name: "secrets_in_logs",
        bug: "logs with secrets in clear",
        drill: "observability/secrets_stay_secret",
        check: "secrets",
        plant: |_, p| p.disclosure = Disclosure::InLogs,
    },
    Defect {
        name: "secrets_in_debug_logs",
        bug: "secrets in clear in what RUST_LOG=debug prints",
        drill: "observability/secrets_stay_secret",
        check: "secrets",
        plant: |_, p| p.disclosure = Disclosure::InDebugLogs,
    },
    Defect {
        name: "secrets_in_urls",
        bug: "sends secrets in URLs",
        drill: "observability/secrets_stay_secret",
        check: "secrets",
        plant: |_, p| p.disclosure = Disclosure::InUrls,
    },
    Defect {
        name: "failed_syncs_are_silent",
        bug: "a sync that fails for hours is a line in the log and nothing else",
        drill: "observability/a_sync_that_never_completes_is_said_loudly",
        check: "observability",
        plant: |_, p| p.alerts.unheard = Duration::MAX,
    },
    Defect {
        name: "refused_deliveries_are_silent",
        bug: "deliveries that are all refused are a line in the log and nothing else",
        drill: "observability/refused_deliveries_are_said_loudly",
        check: "observability",
        plant: |_, p| p.alerts.unheard = Duration::MAX,
    },
    Defect {
        name: "alerts_wait_in_memory",
        bug: "an alert waits in memory: one raised at a stop is told to nobody",
        drill: "observability/an_alert_raised_at_a_stop_is_told",
        check: "observability",
        plant: |_, p| p.alerts.outbox = Outbox::Process,
    },
];
