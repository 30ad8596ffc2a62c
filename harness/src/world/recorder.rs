//! The pen that writes the trace.
//!
//! Knows: drill time and the events so far. Must not know: what they mean.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::time::Instant;

use crate::time::At;
use crate::trace::{CallId, DeliveryId, Event, FaultRef, What};

/// Writes events in the order they are told, at the drill's time. Clones share one trace.
#[derive(Clone)]
pub(crate) struct Recorder(Rc<Inner>);

struct Inner {
    started: Instant,
    events: RefCell<Vec<Event>>,
    calls: Cell<u32>,
    deliveries: Cell<u32>,
    closed: Cell<bool>,
}

impl Recorder {
    /// An empty trace of a drill that starts now.
    pub fn new() -> Recorder {
        Recorder(Rc::new(Inner {
            started: Instant::now(),
            events: RefCell::default(),
            calls: Cell::new(0),
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

    /// Waits until `at`; not at all if it has passed.
    pub async fn until(&self, at: At) {
        tokio::time::sleep_until(self.0.started + std::time::Duration::from_micros(at.0)).await;
    }

    /// Writes an event. After [`Recorder::close`] nothing is written any more.
    pub fn note(&self, what: What) {
        if !self.0.closed.get() {
            let at = self.now();
            self.0.events.borrow_mut().push(Event { at, what });
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
        CallId(self.0.calls.replace(self.0.calls.get() + 1))
    }

    /// The number of the next delivery.
    pub fn next_delivery(&self) -> DeliveryId {
        DeliveryId(self.0.deliveries.replace(self.0.deliveries.get() + 1))
    }

    /// Looks at the events so far.
    pub fn with<R>(&self, f: impl FnOnce(&[Event]) -> R) -> R {
        f(&self.0.events.borrow())
    }

    /// Ends the trace and hands it out.
    pub fn close(&self) -> Vec<Event> {
        self.0.closed.set(true);
        self.0.events.take()
    }
}
