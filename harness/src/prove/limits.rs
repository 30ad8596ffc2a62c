//! Defects in how a vendor's limits are respected.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use integration_core::Vendor;
use integration_core::policy::{AllDialects, LimiterScope, MissingQuota, Quota, QuotaReader};

use super::Defect;

/// Reads no quota.
struct Blind;

impl QuotaReader for Blind {
    fn read(&self, _: Vendor, _: &HeaderMap, _: jiff::Timestamp) -> Vec<Quota> {
        Vec::new()
    }
}

/// Takes the epoch in `x-ratelimit-reset` for a number of seconds.
struct EpochAsDelta;

impl QuotaReader for EpochAsDelta {
    fn read(&self, vendor: Vendor, headers: &HeaderMap, now: jiff::Timestamp) -> Vec<Quota> {
        let mut read = AllDialects.read(vendor, headers, now);
        let reset = headers.get("x-ratelimit-reset").and_then(|v| v.to_str().ok()?.parse().ok());
        if let Some(seconds) = reset {
            for quota in &mut read {
                quota.resets_in = Some(Duration::from_secs(seconds));
            }
        }
        read
    }
}

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "ignores_the_quota",
        bug: "ignores the remaining quota until the 429",
        drill: "rate_limit/calls_slow_down_before_the_quota_is_spent",
        check: "quota",
        plant: |_, p| p.quota = Arc::new(Blind),
    },
    Defect {
        name: "knows_the_limit_by_heart",
        bug: "counts its own calls against a limit that others spend too",
        drill: "rate_limit/a_quota_that_others_spend_is_shared",
        check: "quota",
        plant: |_, p| p.quota = Arc::new(Blind),
    },
    Defect {
        name: "epoch_for_delta",
        bug: "takes epoch for delta",
        drill: "rate_limit/a_reset_in_epoch_seconds_is_understood",
        check: "quota",
        plant: |_, p| {
            p.quota = Arc::new(EpochAsDelta);
            p.limiter.longest_window = None;
        },
    },
    Defect {
        name: "stalls_without_headers",
        bug: "stalls when the quota headers vanish or are malformed",
        drill: "rate_limit/vanished_quota_headers_stop_nothing",
        check: "quota",
        plant: |_, p| p.limiter.missing = MissingQuota::Hold(Duration::from_secs(600)),
    },
    Defect {
        name: "limiter_per_worker",
        bug: "limiter per worker: overshoot with several",
        drill: "rate_limit/workers_share_one_limit",
        check: "quota",
        plant: |_, p| p.limiter.scope = LimiterScope::Worker,
    },
    Defect {
        name: "catches_up_at_full_speed",
        bug: "after an outage catches up at ten times the normal rate",
        drill: "cascade/an_outage_is_not_followed_by_a_storm",
        check: "load",
        plant: |config, p| {
            p.drain.starts = None;
            p.limiter.stripe = None;
            config.workers = 32;
            config.vendor_concurrency = 64;
        },
    },
];
