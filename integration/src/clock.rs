//! What time it is. Knows the one place that may read the machine's clock; must not know who asks.

use jiff::Timestamp;

/// The wall clock, injected so that a test or a drill can be the one who owns time.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's own wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place in this crate that reads the machine's wall clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Milliseconds since the Unix epoch, the unit of every instant that the store keeps.
pub(crate) fn now_ms(clock: &dyn Clock) -> i64 {
    clock.now().as_millisecond()
}
