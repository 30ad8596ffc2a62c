//! A watch over a drill in virtual time, whose clock stands still for as long as anything is busy: a
//! subject that never waits would hold it for ever.
//!
//! Knows: how much of the processor the drill's thread has used. Must not know: what it did with it. A
//! watch has no part in a drill that goes on: it rings, and the drill looks whether it got anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use tokio::sync::Notify;

/// How often the thread is looked at, in real time.
const LOOK: Duration = Duration::from_millis(500);
/// Clock ticks of processor time (`USER_HZ`, 100 a second on Linux) between two rings. The busiest
/// moment of a sound drill takes a hundredth of this.
const TICKS: u64 = 300;

/// Rings each time the thread that made it has used another three seconds of the processor.
pub(super) struct Watch {
    bell: Arc<Notify>,
    /// Dropped with the watch, which ends its thread.
    _open: Sender<()>,
}

impl Watch {
    /// Watches this thread. Where the system does not tell its processor time, it never rings.
    pub fn over_this_thread() -> Watch {
        let bell = Arc::new(Notify::new());
        let (open, closed) = channel::<()>();
        if let Some(stat) = stat_of_this_thread() {
            let bell = bell.clone();
            // A drill that cannot be watched is a drill all the same.
            let _ = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
                let mut last = ticks(&stat).unwrap_or(0);
                while let Err(RecvTimeoutError::Timeout) = closed.recv_timeout(LOOK) {
                    let Some(now) = ticks(&stat) else { return };
                    if now.saturating_sub(last) >= TICKS {
                        last = now;
                        bell.notify_one();
                    }
                }
            });
        }
        Watch { bell, _open: open }
    }

    /// Waits for the next ring.
    pub async fn rings(&self) {
        self.bell.notified().await;
    }
}

fn stat_of_this_thread() -> Option<PathBuf> {
    let this = fs::read_link("/proc/thread-self").ok()?;
    Some(PathBuf::from("/proc").join(this).join("stat"))
}

/// Ticks that a thread has used so far, as user and as system (fields 14 and 15 of proc(5)'s `stat`;
/// the second one, a name in parentheses, may hold blanks).
fn ticks(stat: &Path) -> Option<u64> {
    let text = fs::read_to_string(stat).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}
