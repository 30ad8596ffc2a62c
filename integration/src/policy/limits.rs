//! How fast a vendor is called. Knows rates and windows; must not know what the calls are for.

use std::time::Duration;

use crate::observer::Vendor;

/// Who shares a limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LimiterScope {
    /// Every call to a vendor, whoever makes it.
    #[default]
    Vendor,
    /// Each worker has one of its own.
    Worker,
}

/// A steady rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls a second.
    pub per_second: f64,
    /// Calls that may go at once after a rest.
    pub burst: u32,
}

/// What a limiter does when a vendor that used to send quota headers sends none, or garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingQuota {
    /// Goes on; the 429 remains the last word.
    #[default]
    GoOn,
    /// Holds all calls for this long after each such answer.
    Hold(Duration),
}

/// How calls are spaced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimiterRule {
    /// Who shares a limiter.
    pub scope: LimiterScope,
    /// Our own ceiling for HubSpot: 100 per 10 s, all apps of the account together.
    pub hubspot: Option<Rate>,
    /// Our own ceiling for Stripe: 100/s live, 25/s in a sandbox.
    pub stripe: Option<Rate>,
    /// Once at most this share of a quota remains, the rest is spread over the rest of its window.
    pub slow_below: f64,
    /// The longest window whose end is waited for without asking. One that ends later, up to a
    /// `day`, or at a moment that is not told, is asked about every now and then; one that ends later still is
    /// ignored as malformed. `None` believes and waits for any that is told.
    pub longest_window: Option<Duration>,
    /// How long a day is that ends at a moment the vendor does not tell.
    pub day: Duration,
    /// How often one call asks whether a quota with a far or untold end has come back.
    pub ask_every: Duration,
    /// What missing or malformed quota headers do.
    pub missing: MissingQuota,
}

impl LimiterRule {
    /// The ceiling for one vendor.
    pub fn rate(&self, vendor: Vendor) -> Option<Rate> {
        match vendor {
            Vendor::HubSpot => self.hubspot,
            Vendor::Stripe => self.stripe,
        }
    }
}

impl Default for LimiterRule {
    fn default() -> Self {
        Self {
            scope: LimiterScope::default(),
            hubspot: Some(Rate { per_second: 9.0, burst: 10 }),
            stripe: Some(Rate { per_second: 20.0, burst: 5 }),
            slow_below: 0.1,
            longest_window: Some(Duration::from_secs(3600)),
            day: Duration::from_secs(24 * 3600),
            ask_every: Duration::from_secs(15 * 60),
            missing: MissingQuota::default(),
        }
    }
}

/// How fast queued jobs are started, above all after an outage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrainRule {
    /// The rate at which jobs start; `None` for as fast as workers are free.
    pub starts: Option<Rate>,
}

impl Default for DrainRule {
    fn default() -> Self {
        Self { starts: Some(Rate { per_second: 10.0, burst: 10 }) }
    }
}
