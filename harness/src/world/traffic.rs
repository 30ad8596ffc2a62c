//! What came and went over one connection: its requests, counted, and the exchanges open on it.
//!
//! Knows: the bytes that passed, and what they come to. Must not know: the socket, or what is done to
//! the connection.

use std::cell::{Cell, RefCell};
use std::task::Poll;

use super::frames::{Frames, kind};
use super::open::{Exchange, ONLY, Open};
use super::recorder::Recorder;
use super::tap::{Messages, Streams, Tap};
use crate::time::At;
use crate::trace::{CallId, FaultRef, Outcome};
use crate::wire::Protocol;

/// The books of a connection.
pub(crate) struct Traffic {
    recorder: Recorder,
    tap: RefCell<Tap>,
    /// The HTTP/2 frames that go out.
    outgoing: RefCell<Frames>,
    open: RefCell<Open>,
    /// Exchanges that began.
    served: Cell<u32>,
    /// Requests that were taken up.
    accepted: Cell<u64>,
    /// The highest HTTP/2 stream on which an exchange began, and the next below it.
    begun: Cell<(u32, u32)>,
    /// The last HTTP/2 stream that is processed, once no more are taken.
    last: Cell<Option<u32>>,
    swallowed: RefCell<Option<FaultRef>>,
    /// Since when a request is under way that is not whole.
    midway: Cell<Option<At>>,
}

impl Traffic {
    /// Of a connection over which nothing went yet.
    pub fn new(recorder: Recorder) -> Traffic {
        Traffic {
            recorder,
            tap: RefCell::new(Tap::Closed),
            outgoing: RefCell::default(),
            open: RefCell::default(),
            served: Cell::new(0),
            accepted: Cell::new(0),
            begun: Cell::new((0, 0)),
            last: Cell::new(None),
            swallowed: RefCell::default(),
            midway: Cell::new(None),
        }
    }

    /// Counts from here on as this protocol wants it; `ahead` has come already.
    pub fn speaks(&self, protocol: Protocol, ahead: &[u8]) {
        let mut tap = match protocol {
            Protocol::Http1 => Tap::Http1(Messages::default()),
            Protocol::Http2 => Tap::Http2(Streams::default()),
        };
        tap.feed(ahead);
        self.midway.set(tap.is_midway().then(|| self.recorder.now()));
        *self.tap.borrow_mut() = tap;
    }

    fn in_streams(&self) -> bool {
        matches!(&*self.tap.borrow(), Tap::Http2(_))
    }

    /// Takes note of bytes that came.
    pub fn came(&self, bytes: &[u8]) {
        let mut tap = self.tap.borrow_mut();
        let whole = tap.whole();
        tap.feed(bytes);
        let begun = self.midway.get().filter(|_| tap.whole() == whole);
        self.midway.set(tap.is_midway().then(|| begun.unwrap_or_else(|| self.recorder.now())));
    }

    /// Since when a request is under way that is not whole, if one is.
    pub fn midway_since(&self) -> Option<At> {
        self.midway.get()
    }

    /// What there is of the head of a request over HTTP/1.1 that is not whole.
    pub fn part_of_a_head(&self) -> Option<String> {
        self.tap.borrow().part_of_a_head().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// Takes note of bytes of HTTP/2 that were written: where a stream ends, its exchange does.
    pub fn wrote(&self, bytes: &[u8]) {
        let mut done = Vec::new();
        self.outgoing.borrow_mut().feed(bytes, |frame| done.push(frame));
        for frame in done {
            let head = frame.kind == kind::HEADERS;
            let bytes = if frame.kind == kind::DATA { u64::from(frame.length) } else { 0 };
            let mut open = self.open.borrow_mut();
            let Some(exchange) = open.get(frame.stream) else { continue };
            let comes_to = exchange.comes_to.filter(|_| frame.ends_stream());
            if head || frame.kind == kind::DATA {
                open.wrote(frame.stream, head, bytes);
            }
            drop(open);
            if let Some(outcome) = comes_to {
                self.end(frame.stream, outcome);
            }
        }
    }

    /// Takes note that all which was handed over is written: over HTTP/1.1, the response is out.
    pub fn flushed(&self) {
        if self.in_streams() {
            return;
        }
        let comes_to = self.open.borrow().get(ONLY).and_then(|e| e.comes_to);
        if let Some(outcome) = comes_to {
            self.end(ONLY, outcome);
        }
    }

    /// Whether no frame that goes out is begun.
    pub fn is_between_frames(&self) -> bool {
        self.outgoing.borrow().is_between()
    }

    /// Takes note that `fault` swallowed what came; false if one did before.
    pub fn swallow(&self, fault: &FaultRef) -> bool {
        self.swallowed.borrow_mut().replace(fault.clone()).is_none()
    }

    /// The fault that swallowed what came, if one did.
    pub fn swallowed(&self) -> Option<FaultRef> {
        self.swallowed.borrow().clone()
    }

    /// Whether it carried an exchange before and was idle since: kept alive.
    pub fn was_kept_alive(&self) -> bool {
        self.served.get() > 0 && (!self.in_streams() || !self.is_busy())
    }

    /// Takes note that a request was taken up.
    pub fn accept(&self) {
        self.accepted.set(self.accepted.get() + 1);
    }

    /// Whether no request began.
    pub fn is_unused(&self) -> bool {
        self.swallowed.borrow().is_none() && self.tap.borrow().heads() == 0
    }

    /// Whole requests that came and were not swallowed, by the independent count.
    pub fn whole_requests(&self) -> u64 {
        if self.swallowed.borrow().is_some() {
            u64::from(self.served.get())
        } else {
            self.tap.borrow().whole()
        }
    }

    /// Requests that a client may count and the vendor never had whole: swallowed, broken off in
    /// the middle, or never begun on a connection that was opened for them.
    pub fn unread_requests(&self) -> u64 {
        let tap = self.tap.borrow();
        match tap.heads() {
            0 => 1,
            // Of those that were taken up, each is counted where it is lost.
            heads if self.in_streams() => heads.saturating_sub(self.accepted.get()),
            _ if self.swallowed.borrow().is_some() => 1,
            heads => heads - tap.whole(),
        }
    }

    /// Whole requests that nobody took up before it ended, where they are not among the unread ones.
    pub fn requests_without_a_turn(&self) -> u64 {
        if self.in_streams() { 0 } else { self.whole_requests().saturating_sub(self.accepted.get()) }
    }

    /// From now on no more streams are taken; gives the last that is: the highest on which an
    /// exchange began, `without` this one.
    pub fn leave(&self, without: Option<u32>) -> u32 {
        let (highest, next) = self.begun.get();
        let last = if without == Some(highest) { next } else { highest };
        let last = self.last.get().map_or(last, |before| before.min(last));
        self.last.set(Some(last));
        last
    }

    /// Whether no more streams are taken.
    pub fn has_left(&self) -> bool {
        self.last.get().is_some()
    }

    /// Whether `stream` came too late to be taken.
    pub fn ignores(&self, stream: u32) -> bool {
        self.last.get().is_some_and(|last| stream > last)
    }

    /// Begins an exchange; its `Answer` will be written when it ends, one way or another.
    pub fn begin(&self, exchange: Exchange) {
        self.served.set(self.served.get() + 1);
        let (highest, next) = self.begun.get();
        if exchange.stream > highest {
            self.begun.set((exchange.stream, highest));
        } else {
            self.begun.set((highest, next.max(exchange.stream)));
        }
        self.open.borrow_mut().begin(exchange);
    }

    /// All of the response on `stream` that ever comes is handed over: once it is written, the
    /// exchange came to `outcome`.
    pub fn comes_to(&self, stream: u32, outcome: Outcome) {
        if let Some(open) = self.open.borrow_mut().get_mut(stream) {
            open.comes_to = Some(outcome);
        }
    }

    /// The calls that are open, with their streams.
    pub fn open_calls(&self) -> Vec<(CallId, u32)> {
        self.open.borrow().iter().map(|e| (e.call, e.stream)).collect()
    }

    /// Whether any call is open.
    pub fn is_busy(&self) -> bool {
        self.open.borrow().iter().next().is_some()
    }

    /// Ends the exchange on `stream`, if it still is open.
    pub fn end(&self, stream: u32, outcome: Outcome) {
        let ended = self.open.borrow_mut().end(stream, outcome);
        if let Some(what) = ended {
            self.recorder.note(what);
        }
    }

    /// Ends every exchange that is open.
    pub fn end_all(&self, outcome: Outcome) {
        for (_, stream) in self.open_calls() {
            self.end(stream, outcome);
        }
    }

    /// Ends the exchange on `stream`, which comes to `outcome`; any other goes with it, by the same fault,
    /// and comes to `others`.
    pub fn end_with(&self, stream: u32, outcome: Outcome, others: Outcome) {
        let fault = self.open.borrow().get(stream).and_then(|e| e.fault.clone());
        self.end(stream, outcome);
        if let Some(fault) = fault.filter(|_| self.is_busy()) {
            // The moment is that of the exchange which the rule chose.
            self.blame(&FaultRef { moment: None, drift: None, ..fault });
        }
        self.end_all(others);
    }

    /// Blames `fault` for what happens to the open exchanges; false if there is none, or all have a
    /// fault already.
    pub fn blame(&self, fault: &FaultRef) -> bool {
        self.open.borrow_mut().blame(fault, |_| true)
    }

    /// As [`Traffic::blame`], where what is written is held back: over HTTP/2 much is written that is no
    /// response, so it hits those which have one under way.
    pub fn blame_for_silence(&self, fault: &FaultRef) -> bool {
        let all = !self.in_streams();
        self.open.borrow_mut().blame(fault, |e| all || e.comes_to.is_some())
    }

    /// Waits until the head of the response on `stream` and `bytes` of its body are written, or the
    /// exchange is over.
    pub async fn written(&self, stream: u32, bytes: u64) {
        std::future::poll_fn(|cx| match self.open.borrow_mut().is_written(stream, bytes, cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Takes note that nobody waits for `stream` any more.
    pub fn forget(&self, stream: u32) {
        self.open.borrow_mut().forget(stream);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{END_HEADERS, END_STREAM};
    use super::super::open::begun;
    use super::*;

    #[tokio::test]
    async fn an_exchange_is_over_when_the_last_frame_of_its_stream_is_written() {
        let traffic = Traffic::new(Recorder::new());
        for stream in [1, 3] {
            traffic.begin(begun(stream));
        }
        let open = || traffic.open_calls().into_iter().map(|(_, stream)| stream).collect::<Vec<_>>();
        traffic.wrote(&[0, 0, 0, kind::HEADERS, END_HEADERS, 0, 0, 0, 1]);
        traffic.wrote(&[0, 0, 1, kind::DATA, 0, 0, 0, 0, 1, b'a']);
        assert_eq!(open(), [1, 3]);
        traffic.wrote(&[0, 0, 1, kind::DATA, END_STREAM, 0, 0, 0, 1, b'b']);
        assert_eq!(open(), [3]);
        traffic.wrote(&[0, 0, 0, kind::HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, 3]);
        assert_eq!(open(), [0; 0]);
    }
}
