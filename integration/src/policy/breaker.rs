//! When to stop calling a vendor. Knows outcomes and counts; must not know requests.

use std::time::Duration;

use crate::observer::AttemptOutcome;

/// Which outcomes say that the vendor is unwell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counts {
    /// Failures of transport, and 5xx.
    #[default]
    VendorFailures,
    /// These, and our own 4xx.
    ClientErrorsToo,
}

impl Counts {
    /// Whether an outcome counts against the vendor.
    pub fn is_failure(self, outcome: AttemptOutcome) -> bool {
        match outcome {
            AttemptOutcome::Status(status) if status >= 500 => true,
            AttemptOutcome::Status(status) => self == Self::ClientErrorsToo && (400..500).contains(&status),
            _ => true,
        }
    }
}

/// When a half-open probe stops being in the way of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeRelease {
    /// When it ends in any way: any answer below 500 closes, a failure opens again, a dropped probe frees its place.
    #[default]
    OnAnyEnd,
    /// Only when it succeeds with 2xx: a 4xx or a cancelled probe leaves the breaker half open for ever.
    OnSuccessOnly,
}

/// The circuit breaker of each vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRule {
    /// Consecutive failures that open it; `None`: it never opens.
    pub failures: Option<u32>,
    /// How long it stays open before a probe; `None`: for ever.
    pub open_for: Option<Duration>,
    /// Probes let through at once while half open.
    pub probes: u32,
    /// What counts as failure.
    pub counts: Counts,
    /// When a probe's place is freed.
    pub release: ProbeRelease,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self {
            failures: Some(5),
            open_for: Some(Duration::from_secs(30)),
            probes: 1,
            counts: Counts::default(),
            release: ProbeRelease::default(),
        }
    }
}
