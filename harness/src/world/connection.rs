//! One connection that the subject opened to a vendor, below HTTP.
//!
//! Knows: the socket, what may be done to it (reset, close, silence), and the exchanges that are
//! open on it. Must not know: rules or vendors.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Frames, PREFACE, kind};
use super::open::{Exchange, ONLY, Open};
use super::recorder::Recorder;
use super::socket::Wire;
use super::tap::{Messages, Streams, Tap};
use crate::trace::{CallId, FaultRef, Outcome};
use crate::wire::Protocol;

/// The most that is read to tell the protocol: as a rule, the first request.
const FIRST_READ: usize = 4096;

/// A connection; its protocol reads and writes it through [`Stream`].
pub(crate) struct Conn {
    recorder: Recorder,
    socket: RefCell<Option<Wire>>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    silenced: RefCell<Option<FaultRef>>,
    swallowed: RefCell<Option<FaultRef>>,
    /// Read to tell the protocol, and not handed over yet.
    ahead: RefCell<BytesMut>,
    protocol: Cell<Protocol>,
    tap: RefCell<Tap>,
    /// The HTTP/2 frames that go out.
    outgoing: RefCell<Frames>,
    /// HTTP/2 frames of ours that go out before any other.
    first: RefCell<BytesMut>,
    open: RefCell<Open>,
    served: Cell<u32>,
    /// Requests that were taken up.
    accepted: Cell<u64>,
    /// The highest HTTP/2 stream on which an exchange began, and the next below it.
    begun: Cell<(u32, u32)>,
    /// The last HTTP/2 stream that is processed, once no more are taken.
    last: Cell<Option<u32>>,
    left: Cell<bool>,
    /// The error by which the client was lost, if it was one.
    lost: RefCell<Option<io::Error>>,
}

/// How a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// RST.
    Reset,
    /// FIN.
    Close,
}

impl Cut {
    /// What an exchange comes to that it befalls before its response.
    pub fn outcome(self) -> Outcome {
        match self {
            Cut::Reset => Outcome::Reset,
            Cut::Close => Outcome::Closed,
        }
    }
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
            ahead: RefCell::default(),
            protocol: Cell::new(Protocol::Http1),
            tap: RefCell::new(Tap::Closed),
            outgoing: RefCell::default(),
            first: RefCell::default(),
            open: RefCell::default(),
            served: Cell::new(0),
            accepted: Cell::new(0),
            begun: Cell::new((0, 0)),
            last: Cell::new(None),
            left: Cell::new(false),
            lost: RefCell::default(),
        }
    }

    /// Finds out what is spoken on it: over TLS as was agreed there (ALPN, RFC 7301), else by the
    /// first bytes (RFC 9113 §3.3).
    pub async fn listen(&self) -> Protocol {
        let agreed = self.socket.borrow().as_ref().and_then(Wire::agreed);
        let protocol = match agreed {
            Some(protocol) => protocol,
            None => std::future::poll_fn(|cx| self.poll_first(cx)).await,
        };
        self.protocol.set(protocol);
        let mut tap = match protocol {
            Protocol::Http1 => Tap::Http1(Messages::default()),
            Protocol::Http2 => Tap::Http2(Streams::default()),
        };
        tap.feed(&self.ahead.borrow());
        *self.tap.borrow_mut() = tap;
        protocol
    }

    fn poll_first(&self, cx: &mut Context<'_>) -> Poll<Protocol> {
        let mut space = [0; FIRST_READ];
        loop {
            let mut buf = ReadBuf::new(&mut space);
            let read = ready!(self.poll_socket(cx, &mut buf));
            let mut ahead = self.ahead.borrow_mut();
            ahead.extend_from_slice(buf.filled());
            if ahead.starts_with(PREFACE) {
                return Poll::Ready(Protocol::Http2);
            }
            if read.is_err() || buf.filled().is_empty() || !PREFACE.starts_with(&ahead) {
                return Poll::Ready(Protocol::Http1);
            }
        }
    }

    /// What was read to tell that, and is not handed over yet.
    pub fn ahead(&self) -> Bytes {
        Bytes::copy_from_slice(&self.ahead.borrow())
    }

    /// What is spoken on it.
    pub fn speaks(&self) -> Protocol {
        self.protocol.get()
    }

    /// Whether it carried an exchange before and was idle since: kept alive.
    pub fn was_kept_alive(&self) -> bool {
        self.served.get() > 0 && (self.protocol.get() == Protocol::Http1 || !self.is_busy())
    }

    /// Takes note that a request was taken up.
    pub fn accept(&self) {
        self.accepted.set(self.accepted.get() + 1);
    }

    /// Whole requests that came over it and were not swallowed, by the independent count.
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
        if let Tap::Http2(_) = &*tap {
            // Of those that were taken up, each is counted where it is lost.
            return match tap.heads() {
                0 => 1,
                heads => heads.saturating_sub(self.accepted.get()),
            };
        }
        match tap.heads() {
            _ if self.swallowed.borrow().is_some() => 1,
            0 => 1,
            heads => heads - tap.whole(),
        }
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

    /// Whether it is cut.
    pub fn is_gone(&self) -> bool {
        self.socket.borrow().is_none()
    }

    /// Whether the client is gone.
    pub fn was_left(&self) -> bool {
        self.left.get() || self.lost.borrow().is_some()
    }

    /// Whether the client left, or was lost, before it began any request.
    pub fn was_left_unused(&self) -> bool {
        self.was_left() && self.swallowed.borrow().is_none() && self.tap.borrow().heads() == 0
    }

    /// The error by which the client was lost; nothing if it left in peace.
    pub fn lost(&self) -> Option<io::Error> {
        self.lost.take()
    }

    /// Whether no more streams are taken.
    pub fn has_left(&self) -> bool {
        self.last.get().is_some()
    }

    /// Whether `stream` came too late to be taken.
    pub fn ignores(&self, stream: u32) -> bool {
        self.last.get().is_some_and(|last| stream > last)
    }

    /// Whole requests that nobody took up before it ended, where they are not among the unread ones.
    pub fn requests_without_a_turn(&self) -> u64 {
        match self.speaks() {
            Protocol::Http1 => self.whole_requests().saturating_sub(self.accepted.get()),
            Protocol::Http2 => 0,
        }
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

    /// The calls that are open on it, with their streams.
    pub fn open_calls(&self) -> Vec<(CallId, u32)> {
        self.open.borrow().iter().map(|e| (e.call, e.stream)).collect()
    }

    /// Whether any call is open on it.
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

    /// Ends every exchange that is open on it.
    pub fn end_all(&self, outcome: Outcome) {
        for (_, stream) in self.open_calls() {
            self.end(stream, outcome);
        }
    }

    /// Blames `fault` for what happens to the open exchanges; false if there is none, or all have a
    /// fault already.
    pub fn blame(&self, fault: &FaultRef) -> bool {
        self.open.borrow_mut().blame(fault, |_| true)
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

    /// Cuts the connection for the sake of the exchange on `stream`, which comes to `outcome`. Any
    /// other that is open on it goes with it, by the same fault.
    pub fn fall(&self, stream: u32, how: Cut, outcome: Outcome) {
        let fault = self.open.borrow().get(stream).and_then(|e| e.fault.clone());
        self.end(stream, outcome);
        if let Some(fault) = fault.filter(|_| self.is_busy()) {
            // The moment is that of the exchange which the rule chose.
            self.blame(&FaultRef { moment: None, drift: None, ..fault });
        }
        self.end_all(how.outcome());
        self.cut(how);
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
        if how == Cut::Close && self.protocol.get() == Protocol::Http2 {
            // A socket that is dropped with bytes unread would answer them by RST.
            let mut unread = [0; FIRST_READ];
            while socket.tcp().try_read(&mut unread).is_ok_and(|n| n > 0) {}
        }
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

    /// Writes bytes below the protocol, all of them.
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

    /// Writes an HTTP/2 frame of our own where the next one may begin.
    ///
    /// # Errors
    /// If the client is gone.
    pub async fn write_frame(&self, frame: &[u8]) -> io::Result<()> {
        self.first.borrow_mut().extend_from_slice(frame);
        std::future::poll_fn(|cx| {
            ready!(self.poll_first_frames(cx))?;
            self.poll_flush(cx)
        })
        .await
    }

    /// Ready once no frame of ours waits to go first.
    fn poll_first_frames(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.first.borrow().is_empty() || !self.outgoing.borrow().is_between() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_audible(cx));
            let mut first = self.first.borrow_mut();
            let n = match self.socket.borrow_mut().as_mut() {
                Some(socket) => ready!(Pin::new(socket).poll_write(cx, &first))?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            };
            first.advance(n);
        }
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
        // Over HTTP/2 much is written that is no response: it hits those which have one under way.
        let all = self.protocol.get() == Protocol::Http1;
        if self.open.borrow_mut().blame(&fault, |e| all || e.comes_to.is_some()) {
            self.recorder.fault(&fault);
        }
        Poll::Pending
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut ahead = self.ahead.borrow_mut();
        if ahead.is_empty() {
            drop(ahead);
            return self.poll_socket(cx, buf);
        }
        let n = ahead.len().min(buf.remaining());
        buf.put_slice(&ahead.split_to(n));
        if ahead.is_empty() {
            *ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what comes, unless a black hole swallows it.
    fn poll_socket(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        keep(&self.reader, cx);
        loop {
            let before = buf.filled().len();
            match self.socket.borrow_mut().as_mut() {
                Some(socket) => {
                    if let Err(e) = ready!(Pin::new(socket).poll_read(cx, buf)) {
                        let kind = e.kind();
                        self.lost.replace(Some(e));
                        return Poll::Ready(Err(kind.into()));
                    }
                }
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

    /// Takes note of bytes of HTTP/2 that were written: where a stream ends, its exchange does.
    fn wrote(&self, bytes: &[u8]) {
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
}

fn keep(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut kept = place.borrow_mut();
    if !kept.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
        *kept = Some(cx.waker().clone());
    }
}

/// What a protocol holds of a connection.
pub(crate) struct Stream(pub Rc<Conn>);

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let conn = &self.0;
        let two = conn.protocol.get() == Protocol::Http2;
        if two {
            ready!(conn.poll_first_frames(cx))?;
        }
        ready!(conn.poll_audible(cx));
        let written = match conn.socket.borrow_mut().as_mut() {
            Some(socket) => ready!(Pin::new(socket).poll_write_vectored(cx, bufs))?,
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        };
        if two {
            let mut left = written;
            for buf in bufs {
                let n = left.min(buf.len());
                conn.wrote(&buf[..n]);
                left -= n;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper flushes once it has written all it has: then the response is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_flush(cx))?;
        if self.0.protocol.get() == Protocol::Http1 {
            let comes_to = self.0.open.borrow().get(ONLY).and_then(|e| e.comes_to);
            if let Some(outcome) = comes_to {
                self.0.end(ONLY, outcome);
            }
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::frames::{END_HEADERS, END_STREAM, goaway};
    use super::super::open::begun;
    use super::*;

    #[tokio::test]
    async fn an_exchange_is_over_when_the_last_frame_of_its_stream_is_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let conn = Conn::new(Wire::Plain(socket), Recorder::new());
        for stream in [1, 3] {
            conn.begin(begun(stream));
        }
        let open = || conn.open_calls().into_iter().map(|(_, stream)| stream).collect::<Vec<_>>();
        conn.wrote(&[0, 0, 0, kind::HEADERS, END_HEADERS, 0, 0, 0, 1]);
        conn.wrote(&[0, 0, 1, kind::DATA, 0, 0, 0, 0, 1, b'a']);
        assert_eq!(open(), [1, 3]);
        conn.wrote(&[0, 0, 1, kind::DATA, END_STREAM, 0, 0, 0, 1, b'b']);
        assert_eq!(open(), [3]);
        conn.wrote(&[0, 0, 0, kind::HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, 3]);
        assert_eq!(open(), [0; 0]);
    }

    #[tokio::test]
    async fn a_frame_of_ours_waits_for_the_end_of_the_one_under_way() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let conn = Rc::new(Conn::new(Wire::Plain(socket), Recorder::new()));
        conn.protocol.set(Protocol::Http2);
        let mut stream = Stream(conn.clone());
        let data = [&[0, 0, 4, kind::DATA, 0, 0, 0, 0, 1][..], b"body"].concat();
        for cut in [4, 9, 11] {
            stream.write_all(&data[..cut]).await.unwrap();
            conn.write_frame(&goaway(1)).await.unwrap();
            stream.write_all(&data[cut..]).await.unwrap();
            stream.write_all(&data).await.unwrap();
            let mut seen = vec![0; 2 * data.len() + 17];
            client.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen, [&data[..], &goaway(1), &data].concat(), "cut at {cut}");
        }
    }
}
