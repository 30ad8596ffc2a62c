//! Requests that no recording answered, told as they come to whoever watches.
//!
//! Knows: the note that a replaying vendor leaves in the trace. Must not know: recordings, or where
//! anything is printed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Duration;

use crate::trace::{Alias, CallId, Event, What};
use crate::world::World;

/// How soon it is told.
const SOON: Duration = Duration::from_millis(50);

/// Reads the trace along.
pub(super) struct Gaps<W> {
    world: Rc<World>,
    warn: Rc<W>,
    read: RefCell<Read>,
}

#[derive(Default)]
struct Read {
    /// How many events were looked at.
    events: u64,
    /// To whom each call went that is open.
    open: BTreeMap<CallId, Alias>,
    last: String,
}

impl<W: Fn(&str)> Gaps<W> {
    pub fn new(world: Rc<World>, warn: Rc<W>) -> Gaps<W> {
        Gaps { world, warn, read: RefCell::default() }
    }

    /// Tells of them for as long as the vendors are served.
    pub async fn watch(self: Rc<Gaps<W>>) {
        loop {
            tokio::time::sleep(SOON).await;
            self.tell();
        }
    }

    /// Tells of those that came since. Who asks the same again and again is told once.
    pub fn tell(&self) {
        let mut read = self.read.borrow_mut();
        if self.world.recorder.count() < read.events {
            // The trace was begun anew.
            *read = Read::default();
        }
        let from = read.events;
        let mut told = Vec::new();
        let look = |number: u64, event: &Event| {
            read.events = number + 1;
            match &event.what {
                What::Request { call, vendor, .. } => drop(read.open.insert(*call, vendor.clone())),
                What::Answer { call, told: answer, .. } => {
                    let vendor = read.open.remove(call);
                    let line =
                        vendor.zip(answer.note.as_ref()).map(|(vendor, note)| format!("{vendor}: {note}"));
                    if let Some(line) = line.filter(|line| *line != read.last) {
                        read.last.clone_from(&line);
                        told.push(line);
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        };
        // A trace that cannot be read is told of where it is asked for.
        let _ = self.world.recorder.read(from, look);
        drop(read);
        told.iter().for_each(|line| (self.warn)(line));
    }
}
