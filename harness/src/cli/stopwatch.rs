//! Real time, for people who wait.
//!
//! Knows: the machine's clock, which nothing below this floor may read. Must not know: drills, and
//! nothing it says may reach a trace or a verdict.

use std::time::{Duration, Instant};

/// A running stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    #[expect(clippy::disallowed_methods, reason = "how long a person waited is wall time")]
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// The time since its start.
    #[expect(clippy::disallowed_methods, reason = "how long a person waited is wall time")]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Today and now, for what is recorded live: in UTC.
#[expect(clippy::disallowed_methods, reason = "a live recording has the date of the world outside")]
pub fn now() -> jiff::civil::DateTime {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).datetime()
}
