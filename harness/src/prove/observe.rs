//! Defects in what the core says of itself.

use integration_core::policy::{Counting, Disclosure};

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
        name: "secrets_in_logs",
        bug: "logs with secrets in clear",
        drill: "observability/secrets_stay_secret",
        check: "secrets",
        plant: |_, p| p.disclosure = Disclosure::InLogs,
    },
    Defect {
        name: "secrets_in_urls",
        bug: "sends secrets in URLs",
        drill: "observability/secrets_stay_secret",
        check: "secrets",
        plant: |_, p| p.disclosure = Disclosure::InUrls,
    },
];
