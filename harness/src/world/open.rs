//! The exchanges that are open on one connection: one at a time over HTTP/1.1, several over HTTP/2.
//!
//! Knows: what will be said of each when it ends. Must not know: sockets, or why one ends.

use std::task::{Context, Waker};

use crate::trace::{CallId, FaultRef, Outcome, Told, What};
use crate::wire::Response;

/// The stream of every exchange over HTTP/1.1, which has none.
pub(crate) const ONLY: u32 = 0;

/// An exchange whose end is not written yet.
pub(crate) struct Exchange {
    /// Its number.
    pub call: CallId,
    /// The HTTP/2 stream that it is on; [`ONLY`] over HTTP/1.1.
    pub stream: u32,
    /// What the vendor said.
    pub response: Option<Response>,
    /// Whether it applied the request.
    pub applied: bool,
    /// Whether it gave back a saved answer.
    pub replayed: bool,
    /// What it told the client.
    pub told: Told,
    /// The fault that hit it.
    pub fault: Option<FaultRef>,
    /// What it comes to once all that was handed over is written; nothing while more may follow.
    pub comes_to: Option<Outcome>,
}

impl Exchange {
    /// Its end, as the trace tells it.
    fn ended(self, outcome: Outcome) -> What {
        let Exchange { call, response, applied, replayed, told, fault, .. } = self;
        What::Answer { call, outcome, response, applied, replayed, told, fault }
    }
}

/// The open exchanges, in the order in which they began.
#[derive(Default)]
pub(crate) struct Open {
    exchanges: Vec<Exchange>,
    written: Vec<Written>,
}

/// What is written of an HTTP/2 response, for who waits for it.
struct Written {
    stream: u32,
    head: bool,
    bytes: u64,
    waiting: Option<Waker>,
}

impl Open {
    /// Takes in an exchange that begins.
    pub fn begin(&mut self, exchange: Exchange) {
        self.exchanges.push(exchange);
    }

    /// The exchange on `stream`.
    pub fn get(&self, stream: u32) -> Option<&Exchange> {
        self.exchanges.iter().find(|e| e.stream == stream)
    }

    /// The exchange on `stream`, to be changed.
    pub fn get_mut(&mut self, stream: u32) -> Option<&mut Exchange> {
        self.exchanges.iter_mut().find(|e| e.stream == stream)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter()
    }

    /// Takes the exchange on `stream` out, with what is to be written of its end.
    pub fn end(&mut self, stream: u32, outcome: Outcome) -> Option<What> {
        let at = self.exchanges.iter().position(|e| e.stream == stream)?;
        let ended = self.exchanges.remove(at).ended(outcome);
        self.wake(stream);
        Some(ended)
    }

    /// Blames `fault` for what happens to those that have none yet; false if there is none such.
    pub fn blame(&mut self, fault: &FaultRef, which: impl Fn(&Exchange) -> bool) -> bool {
        let mut any = false;
        for exchange in self.exchanges.iter_mut().filter(|e| e.fault.is_none() && which(e)) {
            exchange.fault = Some(fault.clone());
            any = true;
        }
        any
    }

    /// Takes note that the head of a response, or some bytes of its body, are written.
    pub fn wrote(&mut self, stream: u32, head: bool, bytes: u64) {
        let written = self.written(stream);
        written.head |= head;
        written.bytes += bytes;
        self.wake(stream);
    }

    /// Whether the exchange on `stream` is over, or else the head of its response and `bytes` of the
    /// body are written; `cx` is woken when that may have changed.
    pub fn is_written(&mut self, stream: u32, bytes: u64, cx: &Context<'_>) -> bool {
        let over = self.get(stream).is_none();
        let written = self.written(stream);
        written.waiting = Some(cx.waker().clone());
        over || (written.head && written.bytes >= bytes)
    }

    /// Forgets what was written on `stream`, which is over.
    pub fn forget(&mut self, stream: u32) {
        self.written.retain(|w| w.stream != stream);
    }

    fn written(&mut self, stream: u32) -> &mut Written {
        let at = self.written.iter().position(|w| w.stream == stream).unwrap_or_else(|| {
            self.written.push(Written { stream, head: false, bytes: 0, waiting: None });
            self.written.len() - 1
        });
        &mut self.written[at]
    }

    fn wake(&mut self, stream: u32) {
        let written = self.written.iter_mut().find(|w| w.stream == stream);
        if let Some(waker) = written.and_then(|w| w.waiting.take()) {
            waker.wake();
        }
    }
}

#[cfg(test)]
pub(super) fn begun(stream: u32) -> Exchange {
    Exchange {
        call: CallId(stream),
        stream,
        response: None,
        applied: true,
        replayed: false,
        told: Told::default(),
        fault: None,
        comes_to: Some(Outcome::Answered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_on_one_stream_says_nothing_of_another() {
        let mut open = Open::default();
        let cx = Context::from_waker(Waker::noop());
        for stream in [1, 3] {
            open.begin(begun(stream));
        }
        open.wrote(1, true, 12);
        assert!(open.is_written(1, 12, &cx) && !open.is_written(1, 13, &cx));
        assert!(!open.is_written(3, 0, &cx), "not even its head");
        open.wrote(3, true, 0);
        assert!(open.is_written(3, 0, &cx) && !open.is_written(3, 1, &cx));
        assert!(open.end(3, Outcome::Reset).is_some() && open.is_written(3, u64::MAX, &cx), "it is over");
        assert!(!open.is_written(1, 13, &cx));
    }
}
