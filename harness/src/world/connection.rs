//! One connection that the subject opened to a vendor, below HTTP.
//!
//! Knows: the socket, what may be done to it (reset, close, silence), and the one exchange that
//! is open on it. Must not know: rules or vendors.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::recorder::Recorder;
use super::tap::Tap;
use crate::trace::{CallId, FaultRef, Outcome, Told, What};
use crate::wire::Response;

/// What carries the bytes.
pub(crate) enum Wire {
    /// TCP.
    Plain(TcpStream),
    /// TLS over it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_write(cx, buf),
            Wire::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            Wire::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A connection; hyper reads and writes it through [`Stream`].
pub(crate) struct Conn {
    recorder: Recorder,
    socket: RefCell<Option<Wire>>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    silenced: RefCell<Option<FaultRef>>,
    swallowed: RefCell<Option<FaultRef>>,
    tap: RefCell<Tap>,
    open: RefCell<Option<Exchange>>,
    served: Cell<u32>,
    left: Cell<bool>,
}

/// An exchange whose end is not written yet.
pub(crate) struct Exchange {
    /// Its number.
    pub call: CallId,
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
    /// The whole response was handed over to be written.
    pub ready: bool,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// RST.
    Reset,
    /// FIN.
    Close,
}

impl Conn {
    /// Takes charge of an accepted socket.
    pub fn new(socket: Wire, recorder: Recorder) -> Conn {
        Conn {
            recorder,
            socket: RefCell::new(Some(socket)),
            reader: RefCell::default(),
            writer: RefCell::default(),
            silenced: RefCell::default(),
            swallowed: RefCell::default(),
            tap: RefCell::default(),
            open: RefCell::default(),
            served: Cell::new(0),
            left: Cell::new(false),
        }
    }

    /// How many exchanges began on it.
    pub fn served(&self) -> u32 {
        self.served.get()
    }

    /// Whole requests that came over it and were not swallowed, by the independent count.
    pub fn whole_requests(&self) -> u64 {
        if self.swallowed.borrow().is_some() { u64::from(self.served.get()) } else { self.tap.borrow().whole }
    }

    /// Requests that a client may count and the vendor never had whole: swallowed, broken off in
    /// the middle, or never begun on a connection that was opened for them.
    pub fn unread_requests(&self) -> u64 {
        let tap = self.tap.borrow();
        match tap.heads {
            _ if self.swallowed.borrow().is_some() => 1,
            0 => 1,
            heads => heads - tap.whole,
        }
    }

    /// Begins an exchange; its `Answer` will be written when it ends, one way or another.
    pub fn begin(&self, exchange: Exchange) {
        self.served.set(self.served.get() + 1);
        *self.open.borrow_mut() = Some(exchange);
    }

    /// The whole response goes out from now on.
    pub fn answering(&self) {
        if let Some(open) = self.open.borrow_mut().as_mut() {
            open.ready = true;
        }
    }

    /// Shows the vendor's answer to the open exchange.
    pub fn with_response<R>(&self, f: impl FnOnce(Option<&Response>) -> R) -> R {
        f(self.open.borrow().as_ref().and_then(|o| o.response.as_ref()))
    }

    /// The call that is open on it.
    pub fn open_call(&self) -> Option<CallId> {
        self.open.borrow().as_ref().map(|o| o.call)
    }

    /// Ends the open exchange, if there still is one.
    pub fn end(&self, outcome: Outcome) {
        let Some(open) = self.open.borrow_mut().take() else { return };
        let Exchange { call, response, applied, replayed, told, fault, ready: _ } = open;
        self.recorder.note(What::Answer { call, outcome, response, applied, replayed, told, fault });
    }

    /// Blames `fault` for what happens to the open exchange; false if there is none, or it has a
    /// fault already.
    pub fn blame(&self, fault: &FaultRef) -> bool {
        match self.open.borrow_mut().as_mut() {
            Some(open) if open.fault.is_none() => {
                open.fault = Some(fault.clone());
                true
            }
            _ => false,
        }
    }

    /// Cuts the connection at once.
    pub fn cut(&self, how: Cut) {
        let Some(socket) = self.socket.borrow_mut().take() else { return };
        let raw = SockRef::from(socket.tcp());
        // Errors mean that the peer was faster: the connection is gone already.
        let _ = match how {
            Cut::Reset => raw.set_linger(Some(Duration::ZERO)),
            Cut::Close => raw.shutdown(std::net::Shutdown::Write),
        };
        drop(socket);
        self.wake();
    }

    /// Lets go of a connection that is over. Where the client left first, nobody reads any more: an
    /// RST then spares the machine a port in TIME_WAIT, of which thousands of drills would make
    /// too many.
    pub fn let_go(&self) {
        self.cut(if self.left.get() { Cut::Reset } else { Cut::Close });
    }

    /// From now on nothing is read or written, for `fault`; `None` ends that, except on a
    /// connection that swallowed something.
    pub fn silence(&self, fault: Option<FaultRef>) {
        *self.silenced.borrow_mut() = fault;
        self.wake();
    }

    /// The fault that swallowed what the client sent, if one did.
    pub fn swallowed(&self) -> Option<FaultRef> {
        self.swallowed.borrow().clone()
    }

    fn wake(&self) {
        for waker in [&self.reader, &self.writer] {
            if let Some(w) = waker.borrow_mut().take() {
                w.wake();
            }
        }
    }

    /// Writes bytes below hyper, all of them.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = std::future::poll_fn(|cx| self.poll_write_some(cx, bytes)).await?;
            bytes = &bytes[n..];
        }
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// What TLS still holds back goes out.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.socket.borrow_mut().as_mut() {
            Some(socket) => Pin::new(socket).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_some(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_audible(cx));
        match self.socket.borrow_mut().as_mut() {
            Some(socket) => Pin::new(socket).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Ready unless a black hole holds back what is written.
    fn poll_audible(&self, cx: &mut Context<'_>) -> Poll<()> {
        let fault = self.silenced.borrow().clone();
        let Some(fault) = fault else { return Poll::Ready(()) };
        keep(&self.writer, cx);
        if self.blame(&fault) {
            self.recorder.fault(&fault);
        }
        Poll::Pending
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        keep(&self.reader, cx);
        loop {
            let before = buf.filled().len();
            match self.socket.borrow_mut().as_mut() {
                Some(socket) => ready!(Pin::new(socket).poll_read(cx, buf))?,
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
            let new = &buf.filled()[before..];
            if new.is_empty() {
                self.left.set(true);
                return Poll::Ready(Ok(()));
            }
            self.tap.borrow_mut().feed(new);
            let swallows = self.swallowed.borrow().clone().or_else(|| self.silenced.borrow().clone());
            let Some(fault) = swallows else { return Poll::Ready(Ok(())) };
            buf.set_filled(before);
            if self.swallowed.borrow_mut().replace(fault.clone()).is_none() {
                self.recorder.fault(&fault);
            }
        }
    }
}

fn keep(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut kept = place.borrow_mut();
    if !kept.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
        *kept = Some(cx.waker().clone());
    }
}

/// What hyper holds of a connection.
pub(crate) struct Stream(pub Rc<Conn>);

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write_some(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.0.poll_audible(cx));
        match self.0.socket.borrow_mut().as_mut() {
            Some(socket) => Pin::new(socket).poll_write_vectored(cx, bufs),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes once it has written all it has: then the response is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        if self.0.open.borrow().as_ref().is_some_and(|o| o.ready) {
            self.0.end(Outcome::Answered);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0.socket.borrow_mut().as_mut() {
            Some(socket) if !self.0.left.get() => Pin::new(socket).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }
}
