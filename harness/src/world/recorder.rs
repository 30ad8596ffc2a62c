//! The pen that writes the trace.
//!
//! Knows: drill time and the events so far. Must not know: what they mean.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
#[cfg(feature = "cli")]
use std::ops::ControlFlow;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::journal::Disk;
use crate::time::At;
use crate::trace::{CallId, DeliveryId, Event, FaultRef, What};

/// How much of what happened is kept.
#[derive(Default)]
pub enum Journal {
    /// All of it, in memory: as a drill needs it.
    #[default]
    Whole,
    /// At least this many of the last events, and at most twice as many: memory stays bounded.
    Last(usize),
    /// Nothing in memory; each event is written here at once, one JSON object a line. Buffering is
    /// the writer's.
    Lines(Box<dyn Write>),
    /// All of it: the newest in memory, the rest on disk.
    Spilled(Disk),
}

/// Writes events in the order they are told, at the drill's time. Clones share one trace.
#[derive(Clone)]
pub(crate) struct Recorder(Rc<Inner>);

struct Inner {
    started: Instant,
    events: RefCell<Vec<Event>>,
    journal: RefCell<Journal>,
    broken: RefCell<Option<io::Error>>,
    calls: Cell<u32>,
    most_calls: Cell<u32>,
    runaway: Notify,
    deliveries: Cell<u32>,
    closed: Cell<bool>,
}

impl Recorder {
    /// An empty trace of a drill that starts now.
    pub fn new() -> Recorder {
        Recorder::keeping(Journal::Whole)
    }

    /// An empty trace, of which `journal` says how much is kept, that starts now.
    pub fn keeping(journal: Journal) -> Recorder {
        Recorder(Rc::new(Inner {
            started: Instant::now(),
            events: RefCell::default(),
            journal: RefCell::new(journal),
            broken: RefCell::default(),
            calls: Cell::new(0),
            most_calls: Cell::new(u32::MAX),
            runaway: Notify::new(),
            deliveries: Cell::new(0),
            closed: Cell::new(false),
        }))
    }

    /// The drill's start on tokio's clock.
    pub fn started(&self) -> Instant {
        self.0.started
    }

    /// The time.
    pub fn now(&self) -> At {
        At(u64::try_from(self.0.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// How far it got: the time, and the events so far. Neither changes while something is busy
    /// without end.
    pub fn progress(&self) -> (At, usize) {
        (self.now(), self.0.events.borrow().len())
    }

    /// Waits until `at`; not at all if it has passed.
    pub async fn until(&self, at: At) {
        tokio::time::sleep_until(self.0.started + std::time::Duration::from_micros(at.0)).await;
    }

    /// Writes an event. After [`Recorder::close`] nothing is written any more.
    pub fn note(&self, what: What) {
        self.note_at(self.now(), what);
    }

    /// Writes an event of this very moment, where its time is known already.
    pub fn note_at(&self, now: At, what: What) {
        if self.0.closed.get() {
            return;
        }
        let event = Event { at: now, what };
        match &mut *self.0.journal.borrow_mut() {
            Journal::Whole => self.0.events.borrow_mut().push(event),
            Journal::Last(kept) => {
                let mut events = self.0.events.borrow_mut();
                events.push(event);
                // In one go, so that each event costs the same on average.
                if events.len() > kept.saturating_mul(2) {
                    let old = events.len() - *kept;
                    events.drain(..old);
                }
            }
            Journal::Spilled(disk) => {
                let mut events = self.0.events.borrow_mut();
                events.push(event);
                if events.len() > disk.keep() {
                    let old = events.len() - disk.keep() / 2;
                    if let Err(e) = disk.take(events.drain(..old)) {
                        self.0.broken.borrow_mut().get_or_insert(e);
                    }
                }
            }
            Journal::Lines(out) => {
                let written = serde_json::to_writer(&mut *out, &event)
                    .map_err(io::Error::from)
                    .and_then(|()| out.write_all(b"\n"));
                if let Err(e) = written {
                    self.0.broken.borrow_mut().get_or_insert(e);
                }
            }
        }
    }

    /// Writes that a fault bit.
    pub fn fault(&self, fault: &FaultRef) {
        self.note(What::Fault(fault.clone()));
    }

    /// Writes that firedrill itself went wrong.
    pub fn harness_fault(&self, message: String) {
        self.note(What::HarnessFault { message });
    }

    /// The number of the next call.
    pub fn next_call(&self) -> CallId {
        let next = self.0.calls.replace(self.0.calls.get() + 1);
        if next >= self.0.most_calls.get() {
            self.0.runaway.notify_one();
        }
        CallId(next)
    }

    /// Bounds the calls of the subject.
    pub fn call_most(&self, most: u32) {
        self.0.most_calls.set(most);
    }

    /// Waits until the subject made more calls than it may.
    pub async fn runaway(&self) {
        self.0.runaway.notified().await;
    }

    /// The number of the next delivery.
    pub fn next_delivery(&self) -> DeliveryId {
        DeliveryId(self.0.deliveries.replace(self.0.deliveries.get() + 1))
    }

    /// Looks at the events so far.
    pub fn with<R>(&self, f: impl FnOnce(&[Event]) -> R) -> R {
        f(&self.0.events.borrow())
    }

    /// Puts everything on disk that is to be there in the end, as far as it happened.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&self) -> io::Result<()> {
        match &mut *self.0.journal.borrow_mut() {
            Journal::Spilled(disk) => {
                disk.take(self.0.events.borrow_mut().drain(..))?;
                disk.flush()
            }
            Journal::Lines(out) => out.flush(),
            Journal::Whole | Journal::Last(_) => Ok(()),
        }
    }

    /// As [`Recorder::close`], once the journal is written down.
    ///
    /// # Errors
    /// The first one of the journal's writer.
    pub fn finish(&self) -> io::Result<Vec<Event>> {
        if let Err(e) = self.flush() {
            self.0.broken.borrow_mut().get_or_insert(e);
        }
        let events = self.close();
        self.0.broken.take().map_or(Ok(events), Err)
    }

    /// Ends the trace and hands it out.
    pub fn close(&self) -> Vec<Event> {
        self.0.closed.set(true);
        self.0.events.take()
    }
}

/// What whoever reads along asks.
#[cfg(feature = "cli")]
impl Recorder {
    /// How many events there are by now, those on disk included.
    pub fn count(&self) -> u64 {
        let on_disk = match &*self.0.journal.borrow() {
            Journal::Spilled(disk) => disk.events(),
            _ => 0,
        };
        on_disk + self.0.events.borrow().len() as u64
    }

    /// Shows the events from number `from` on, the first of all being number 0, until `each` has
    /// enough. What a bounded journal let go of cannot be shown any more.
    ///
    /// # Errors
    /// If what lies on disk cannot be read.
    pub fn read(&self, from: u64, mut each: impl FnMut(u64, &Event) -> ControlFlow<()>) -> io::Result<()> {
        let mut first = 0;
        if let Journal::Spilled(disk) = &mut *self.0.journal.borrow_mut() {
            first = disk.events();
            if from < first && disk.read(from, |number, event| each(number, &event))?.is_break() {
                return Ok(());
            }
        }
        let events = self.0.events.borrow();
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        for (number, event) in (first..).zip(events.iter()).skip(skip) {
            if each(number, event).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Why what happens can no longer be kept on disk, if that is so.
    pub fn trouble(&self) -> Option<String> {
        match &*self.0.journal.borrow() {
            Journal::Spilled(disk) => disk.trouble(),
            _ => None,
        }
    }

    /// Forgets what happened so far; numbers of calls and deliveries go on.
    ///
    /// # Errors
    /// If what lies on disk cannot be cut.
    pub fn forget(&self) -> io::Result<()> {
        self.0.events.borrow_mut().clear();
        match &mut *self.0.journal.borrow_mut() {
            Journal::Spilled(disk) => disk.clear(),
            Journal::Whole | Journal::Last(_) | Journal::Lines(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(n: usize) -> What {
        What::Log { level: "info".to_owned(), line: n.to_string() }
    }

    #[tokio::test]
    async fn a_bounded_journal_keeps_the_last_events() {
        let recorder = Recorder::keeping(Journal::Last(10));
        for n in 0..1000 {
            recorder.note(log(n));
            recorder.with(|events| assert!(events.len() <= 20));
        }
        let kept: Vec<What> = recorder.finish().unwrap().into_iter().map(|e| e.what).collect();
        assert!(kept.len() >= 10);
        let first = 1000 - kept.len();
        assert_eq!(kept, (first..1000).map(log).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_written_journal_keeps_nothing_and_tells_of_a_full_disk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let recorder = Recorder::keeping(Journal::Lines(Box::new(file.reopen().unwrap())));
        recorder.note(log(1));
        recorder.note(log(2));
        assert_eq!(recorder.finish().unwrap(), []);
        let text = std::fs::read_to_string(file.path()).unwrap();
        let lines: Vec<Event> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(lines.iter().map(|e| e.what.clone()).collect::<Vec<_>>(), [log(1), log(2)]);

        let nowhere = Recorder::keeping(Journal::Lines(Box::new(&mut [] as &mut [u8])));
        nowhere.note(log(1));
        assert!(nowhere.finish().is_err());
    }
}
