//! Time put forward.
//!
//! Knows: that what becomes due on the way happens in its order. Must not know: what it is.
//!
//! The runtime's clock itself is moved, so that every timer of a vendor follows: token lifetimes,
//! limits, windows of fault rules, redeliveries, held-back events.

use std::time::Duration;

use super::Control;
use crate::time::{At, Span};

/// How long a look around takes; shorter than any patience of a vendor.
const BEAT: Duration = Duration::from_millis(1);

/// Moves the runtime's clock; what is due by then is due at once.
pub(super) async fn jump(by: Span) {
    if by > Span::ZERO {
        tokio::time::pause();
        tokio::time::advance(by.duration()).await;
        tokio::time::resume();
    }
}

impl Control {
    /// Puts time forward by `by`. Redeliveries and held-back events on the way are sent in their
    /// order, each at its own time, and time waits for those that are under way: a receiver that is
    /// slow to answer is not timed out by the jump.
    pub(super) async fn advance(&self, by: Span) {
        let _alone = self.jumping.lock().await;
        let world = &self.world;
        let mut left = by;
        loop {
            while world.hooks.busy() {
                tokio::time::sleep(BEAT).await;
            }
            let now = world.recorder.now();
            let next = world.hooks.next_due().filter(|due| due.since(now) < left);
            let leap = next.map_or(left, |due| due.since(now));
            jump(leap).await;
            left = Span(left.0 - leap.0);
            let Some(next) = next else { break };
            self.passes(next).await;
        }
        self.advanced.set(Span(self.advanced.get().0 + by.0));
        self.touch();
        // What was due at the very end has its turn before anybody hears that it is.
        tokio::time::sleep(BEAT).await;
    }

    /// Waits until nothing is due any more that was due by `at`.
    async fn passes(&self, at: At) {
        while self.world.hooks.next_due().is_some_and(|due| due <= at) {
            tokio::time::sleep(BEAT).await;
        }
    }
}
