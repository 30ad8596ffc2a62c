//! One connection that the subject opened to a vendor, below HTTP.
//!
//! Knows: the socket, and what may be done to it (reset, close, silence). Must not know: rules or
//! vendors, or what its bytes come to, of which `Traffic` keeps the books.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::PREFACE;
use super::recorder::Recorder;
use super::socket::Wire;
use super::traffic::Traffic;
use crate::trace::{FaultRef, Outcome};
use crate::wire::Protocol;

/// The most that is read to tell the protocol: as a rule, the first request.
const FIRST_READ: usize = 4096;

/// A connection; its protocol reads and writes it through [`Stream`].
pub(crate) struct Conn {
    /// What came and went over it.
    pub traffic: Traffic,
    recorder: Recorder,
    socket: RefCell<Option<Wire>>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    silenced: RefCell<Option<FaultRef>>,
    /// Read to tell the protocol, and not handed over yet.
    ahead: RefCell<BytesMut>,
    protocol: Cell<Protocol>,
    /// HTTP/2 frames of ours that go out before any other.
    first: RefCell<BytesMut>,
    left: Cell<bool>,
    /// Goes on although its protocol was told that it ends.
    goes_on: Cell<bool>,
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
            traffic: Traffic::new(recorder.clone()),
            recorder,
            socket: RefCell::new(Some(socket)),
            reader: RefCell::default(),
            writer: RefCell::default(),
            silenced: RefCell::default(),
            ahead: RefCell::default(),
            protocol: Cell::new(Protocol::Http1),
            first: RefCell::default(),
            left: Cell::new(false),
            goes_on: Cell::new(false),
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
        self.traffic.speaks(protocol, &self.ahead.borrow());
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

    /// It goes on after an exchange that its protocol knows nothing of, which ends there.
    pub fn go_on(&self) {
        self.goes_on.set(true);
    }

    /// Whether it goes on, once for each time.
    pub fn goes_on(&self) -> bool {
        self.goes_on.take()
    }

    /// Takes back what was handed over and not used.
    pub fn give_back(&self, unused: &[u8]) {
        let mut ahead = self.ahead.borrow_mut();
        let after = ahead.split();
        ahead.extend_from_slice(unused);
        ahead.unsplit(after);
    }

    /// What is spoken on it.
    pub fn speaks(&self) -> Protocol {
        self.protocol.get()
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
        self.was_left() && self.traffic.is_unused()
    }

    /// The error by which the client was lost; nothing if it left in peace.
    pub fn lost(&self) -> Option<io::Error> {
        self.lost.take()
    }

    /// Cuts the connection for the sake of the exchange on `stream`, which comes to `outcome`. Any
    /// other that is open on it goes with it, by the same fault.
    pub fn fall(&self, stream: u32, how: Cut, outcome: Outcome) {
        self.traffic.end_with(stream, outcome, how.outcome());
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
            if self.first.borrow().is_empty() || !self.traffic.is_between_frames() {
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
        if self.traffic.blame_for_silence(&fault) {
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
            self.traffic.came(new);
            let swallows = self.traffic.swallowed().or_else(|| self.silenced.borrow().clone());
            let Some(fault) = swallows else { return Poll::Ready(Ok(())) };
            buf.set_filled(before);
            if self.traffic.swallow(&fault) {
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
                conn.traffic.wrote(&buf[..n]);
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
        self.0.traffic.flushed();
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

    use super::super::frames::{goaway, kind};
    use super::*;

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
