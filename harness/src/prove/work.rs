//! Defects in data and queue.

use std::sync::Arc;
use std::time::Duration;

use integration_core::policy::{
    MoneyError, MoneyRule, OnInvalid, OnShutdown, QueueOrder, Renewal, currency_decimals,
};

use super::Defect;

/// Money by way of binary floating point, cut off.
struct FloatMoney;

impl MoneyRule for FloatMoney {
    fn minor_units(&self, amount: &str, currency: &str) -> Result<i64, MoneyError> {
        let amount: f64 = amount.trim().parse().map_err(|_| MoneyError::NotDecimal(amount.to_owned()))?;
        Ok((amount * 10f64.powi(currency_decimals(currency).cast_signed())) as i64)
    }
}

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "html_taken_for_data",
        bug: "200 with an error body or an HTML page accepted",
        drill: "reconciliation/an_html_page_is_not_data",
        check: "observability",
        plant: |_, p| p.validation.strict = false,
    },
    Defect {
        name: "quarantine_drops",
        bug: "quarantine drops",
        drill: "reconciliation/an_html_page_is_not_data",
        check: "reconciliation",
        plant: |_, p| {
            p.validation.on_invalid = OnInvalid::Drop;
            p.sync.enabled = false;
            p.reconcile.enabled = false;
        },
    },
    Defect {
        name: "amount_through_floats",
        bug: "amount converted through floats",
        drill: "reconciliation/amounts_are_exact",
        check: "reconciliation",
        plant: |_, p| p.money = Arc::new(FloatMoney),
    },
    Defect {
        name: "poison_job_blocks_the_queue",
        bug: "a poison job blocks the head of the queue",
        drill: "reconciliation/one_poison_job_blocks_nobody",
        check: "reconciliation",
        plant: |_, p| {
            p.queue.order = QueueOrder::StrictlyOldest;
            p.queue.attempts = u32::MAX;
        },
    },
    Defect {
        name: "lease_shorter_than_the_work",
        bug: "lease shorter than the work: run twice",
        drill: "crash/work_longer_than_a_lease_runs_once",
        check: "idempotency",
        plant: |_, p| {
            p.queue.lease = Duration::from_secs(5);
            p.queue.renew = Renewal::Never;
        },
    },
    Defect {
        name: "lease_not_renewed",
        bug: "lease long enough for most work, and never renewed: run twice",
        drill: "crash/work_longer_than_a_lease_runs_once",
        check: "idempotency",
        plant: |_, p| p.queue.renew = Renewal::Never,
    },
    Defect {
        name: "leases_end_when_the_clock_is_set",
        bug: "leases renewed by elapsed time and ended by the wall clock: run twice when it is set forward",
        drill: "crash/a_clock_set_forward_runs_nothing_twice",
        check: "idempotency",
        plant: |_, p| p.queue.renew = Renewal::ByElapsedTime,
    },
    Defect {
        name: "sigterm_loses_work",
        bug: "SIGTERM loses what is in flight",
        drill: "crash/a_graceful_stop_loses_nothing",
        check: "reconciliation",
        plant: |_, p| p.queue.shutdown = OnShutdown::Drop,
    },
];
