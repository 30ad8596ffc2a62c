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

/// Reads the quotas whose end is told, and not the day's.
struct WindowsOnly;

impl QuotaReader for WindowsOnly {
    fn read(&self, vendor: Vendor, headers: &HeaderMap, now: jiff::Timestamp) -> Vec<Quota> {
        let mut read = AllDialects.read(vendor, headers, now);
        read.retain(|quota| quota.resets_in.is_some());
        read
    }
}

/// Takes a list for its first item.
struct FirstItem;

impl QuotaReader for FirstItem {
    fn read(&self, vendor: Vendor, headers: &HeaderMap, now: jiff::Timestamp) -> Vec<Quota> {
        AllDialects.read(vendor, headers, now).into_iter().take(1).collect()
    }
}

/// Knows the list of today, and not the field that came before it.
struct TodaysListOnly;

impl QuotaReader for TodaysListOnly {
    fn read(&self, vendor: Vendor, headers: &HeaderMap, now: jiff::Timestamp) -> Vec<Quota> {
        let earlier = headers.get("ratelimit").is_some_and(|value| value.as_bytes().starts_with(b"limit="));
        if earlier { Vec::new() } else { AllDialects.read(vendor, headers, now) }
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
        name: "ignores_the_day",
        bug: "knows the ten-second window and not the day's quota: calls into the 429 until midnight",
        drill: "rate_limit/a_spent_day_is_waited_out",
        check: "quota",
        plant: |_, p| p.quota = Arc::new(WindowsOnly),
    },
    Defect {
        name: "sleeps_through_the_midnight",
        bug: "waits a whole day for a quota whose end is not told",
        drill: "rate_limit/a_spent_day_is_waited_out",
        check: "reconciliation",
        plant: |_, p| p.limiter.ask_every = p.limiter.day,
    },
    Defect {
        name: "reads_the_first_item_only",
        bug: "reads the first of several quotas only",
        drill: "rate_limit/the_tightest_of_several_quotas_is_heeded",
        check: "quota",
        plant: |_, p| p.quota = Arc::new(FirstItem),
    },
    Defect {
        name: "earlier_field_unread",
        bug: "does not know the earlier form of RateLimit",
        drill: "rate_limit/the_earlier_ratelimit_field_is_understood",
        check: "quota",
        plant: |_, p| p.quota = Arc::new(TodaysListOnly),
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
