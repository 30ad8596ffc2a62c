//! The machine's clock, for drills in real time, and how exactly this machine keeps time.
//!
//! Knows: the wall clock. Must not know: drills; a drill in virtual time never comes here.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::time::Span;

/// The pause between two looks at the clock.
const LOOK: Duration = Duration::from_millis(5);

/// The time on this machine's wall clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a program under test reads the machine's clock, so its vendors do"
)]
pub(crate) fn wall_now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Keeps in `noise` by how much timers were late at most, from now on.
pub(crate) async fn listen_for_noise(noise: Rc<Cell<Span>>) {
    loop {
        let due = Instant::now() + LOOK;
        tokio::time::sleep_until(due).await;
        noise.set(noise.get().max(Span::from(due.elapsed())));
    }
}
