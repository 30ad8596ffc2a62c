//! Decisions of the bundled core taken otherwise and just as well: what no drill may object to.
//!
//! Knows: which decision each variant swaps, why that is sound, and which drills promise more than
//! soundness asks. Must not know: how a check judges.
//!
//! A planted defect shows that a check bites; a variant shows that it does not bite an integration
//! that keeps its promises in another way.

use std::sync::Arc;
use std::time::Duration;

use integration_core::policy::{Backoff, FullJitter, KeyMint, Rate, WriteIntent};

use crate::subject::bundled::Plant;

/// A sound decision that the bundled core does not take.
#[derive(Clone, Copy)]
pub struct Variant {
    /// A short name: `equal_jitter`.
    pub name: &'static str,
    /// What it does otherwise, and why that is sound.
    pub sound: &'static str,
    /// Drills that promise more than it keeps, each with what they promise.
    pub excused: &'static [(&'static str, &'static str)],
    /// Takes the decision.
    pub plant: Plant,
}

/// Half of the envelope, and chance for the other half.
struct EqualJitter;

impl Backoff for EqualJitter {
    fn delay(&self, failed: u32, unit: f64) -> Duration {
        FullJitter::default().envelope(failed).mul_f64(0.5 + unit / 2.0)
    }
}

/// Keys without a meaning, which the store keeps with the write.
struct RandomKeys;

impl KeyMint for RandomKeys {
    fn mint(&self, intent: &WriteIntent) -> String {
        format!("{:016x}-{}", intent.nonce, intent.generation)
    }
}

/// All variants.
pub const VARIANTS: &[Variant] = &[
    Variant {
        name: "equal_jitter",
        sound: "waits between half of the envelope and all of it",
        excused: &[
            ("retry/an_operation_has_a_deadline", "waits spread by full jitter"),
            ("retry/retries_back_off_with_full_jitter", "waits spread by full jitter"),
        ],
        plant: |_, p| p.backoff = Arc::new(EqualJitter),
    },
    Variant {
        name: "three_attempts",
        sound: "gives a call up sooner; the queue takes the job up again",
        excused: &[(
            "idempotency/a_lost_mapping_is_looked_up",
            "something to judge only of one that needs two minutes and more",
        )],
        plant: |_, p| p.patience.attempts = 3,
    },
    Variant {
        name: "random_keys",
        sound: "keys say nothing of their write and are stored before they are used",
        excused: &[],
        plant: |_, p| p.keys = Arc::new(RandomKeys),
    },
    Variant { name: "one_worker", sound: "one job at a time", excused: &[], plant: |c, _| c.workers = 1 },
    Variant {
        name: "many_workers",
        sound: "sixteen jobs at a time, under the same limits",
        excused: &[],
        plant: |c, _| {
            c.workers = 16;
            c.vendor_concurrency = 16;
        },
    },
    Variant {
        name: "early_refresh",
        sound: "refreshes a token at half of its life",
        excused: &[],
        plant: |_, p| p.refresh.margin_share = 0.5,
    },
    Variant {
        name: "slow_pace",
        sound: "asks each vendor at half of the pace",
        excused: &[
            (
                "rate_limit/a_backfill_stays_within_the_limit",
                "something to judge only of one that uses the quota up",
            ),
            ("rate_limit/workers_share_one_limit", "something to judge only of one that uses the quota up"),
        ],
        plant: |_, p| {
            p.limiter.hubspot = Some(Rate { per_second: 4.0, burst: 4 });
            p.limiter.stripe = Some(Rate { per_second: 8.0, burst: 2 });
        },
    },
    Variant {
        name: "no_ceiling",
        sound: "has no ceiling of its own: quota headers and 429s are the limit",
        excused: &[
            ("cascade/an_outage_is_not_followed_by_a_storm", "a catch-up at a bounded pace"),
            ("rate_limit/a_backfill_stays_within_the_limit", "no call above the quota"),
            ("rate_limit/a_reset_in_epoch_seconds_is_understood", "no call above the quota"),
            ("rate_limit/calls_slow_down_before_the_quota_is_spent", "no call above the quota"),
            ("rate_limit/workers_share_one_limit", "no call above the quota"),
        ],
        plant: |_, p| {
            p.limiter.hubspot = None;
            p.limiter.stripe = None;
        },
    },
    Variant {
        name: "wary_breaker",
        sound: "opens after three failures, for a minute",
        excused: &[(
            "crash/work_given_back_at_a_stop_goes_on_at_once",
            "all work done a minute after the vendor is back",
        )],
        plant: |_, p| {
            p.breaker.failures = Some(3);
            p.breaker.open_for = Some(Duration::from_secs(60));
        },
    },
    Variant {
        name: "short_timeouts",
        sound: "gives an answer a third of the time",
        excused: &[(
            "crash/work_longer_than_a_lease_runs_once",
            "patience of a quarter of a minute with each call",
        )],
        plant: |_, p| {
            p.timeouts.connect = Some(Duration::from_secs(2));
            p.timeouts.head = Some(Duration::from_secs(5));
            p.timeouts.body_idle = Some(Duration::from_secs(5));
            p.timeouts.body = Some(Duration::from_secs(10));
            p.timeouts.attempt = Some(Duration::from_secs(20));
        },
    },
    Variant {
        name: "eager_queue",
        sound: "takes failed jobs up sooner and more often, under shorter leases",
        excused: &[
            (
                "idempotency/a_lost_mapping_is_looked_up",
                "something to judge only of one that needs two minutes and more",
            ),
            ("cascade/retries_do_not_multiply", "half a minute without an attempt after the fifth"),
        ],
        plant: |_, p| {
            p.queue.lease = Duration::from_secs(30);
            p.queue.retry_base = Duration::from_secs(30);
            p.queue.retry_cap = Duration::from_secs(600);
            p.queue.attempts = 30;
        },
    },
    Variant {
        name: "frequent_sync",
        sound: "syncs every five minutes over an overlap of ten, and reconciles every twenty",
        excused: &[],
        plant: |c, p| {
            c.sync_interval = c.sync_interval.map(|_| Duration::from_secs(300));
            c.reconcile_interval = c.reconcile_interval.map(|_| Duration::from_secs(1200));
            p.sync.overlap = Duration::from_secs(600);
        },
    },
    Variant {
        name: "short_rest",
        sound: "tries a refused credential again after a minute, and looks for a new one every ten seconds",
        excused: &[(
            "auth/a_401_storm_is_not_answered_with_refreshes",
            "six refreshes at most in half a life of a token",
        )],
        plant: |_, p| {
            p.refresh.unauthorized_rest = Duration::from_secs(60);
            p.refresh.forced_every = Duration::from_secs(60);
            p.refresh.look_every = Duration::from_secs(10);
        },
    },
];
