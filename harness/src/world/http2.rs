//! HTTP/2: several exchanges at once on a connection, a stream each, and how each fault looks there
//! (RFC 9113).
//!
//! Knows: streams, and every way of not answering on one. Must not know: whether a rule bites, or
//! how a vendor thinks.
//!
//! A fault of one call stays on its stream: a reset is RST_STREAM with INTERNAL_ERROR, which, like
//! an RST of TCP, tells the client nothing about whether the request was processed. What is a fault
//! of the connection by its name (it is closed, or no HTTP comes) takes all of its streams with it.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HeaderValue};
use tokio::task::JoinSet;

use super::connection::{Conn, Cut, Stream};
use super::exchange::{GARBAGE, Place, Turn, Way, Wire};
use super::frames::goaway;
use crate::fault::{Goaway, Lie};
use crate::time::Span;
use crate::trace::Outcome;
use crate::wire::FIELDS_OF_HTTP1;

/// Streams that a client may have open at once; RFC 9113 §6.5.2 asks for no fewer than a hundred.
const STREAMS: u32 = 128;

/// How long late frames on a stream that was reset are put up with. It is counted on the real clock,
/// which may change nothing: so, longer than any drill.
const LATE_FRAMES: Duration = Duration::from_secs(365 * 24 * 3600);

/// Streams that were reset and may still get late frames.
const RESET_STREAMS: usize = 1 << 20;

/// The exchange is over, one way or another; nothing more is to be sent.
struct Over;

/// Serves one connection until it ends; false if what came was no HTTP/2.
pub(super) async fn serve(place: &Place) -> bool {
    let shaken = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .reset_stream_duration(LATE_FRAMES)
        .handshake::<_, Bytes>(Stream(place.conn.clone()))
        .await;
    let mut connection = match shaken {
        Ok(connection) => connection,
        Err(e) => return e.is_io(),
    };
    let mut exchanges = JoinSet::new();
    let spoke = loop {
        if place.conn.traffic.has_left() && exchanges.is_empty() {
            // What was handed over last goes out before the end.
            let _ = poll_fn(|cx| Poll::Ready(connection.poll_closed(cx))).await;
            break true;
        }
        let accepted = tokio::select! {
            biased;
            accepted = connection.accept() => accepted,
            Some(ended) = exchanges.join_next() => {
                if let Err(e) = ended {
                    place.world.recorder.harness_fault(format!("{}: an exchange broke: {e}", place.host.alias));
                }
                continue;
            }
        };
        match accepted {
            Some(Ok((request, respond))) => {
                place.conn.traffic.accept();
                let turn = Turn::new(&place.host);
                exchanges.spawn_local(answer(place.clone(), request, respond, turn));
            }
            Some(Err(e)) => break e.is_io() || e.is_remote(),
            None => break true,
        }
    };
    exchanges.shutdown().await;
    spoke
}

/// Answers one request.
async fn answer(
    place: Place,
    request: http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
    mut turn: Turn,
) {
    let stream = respond.stream_id().as_u32();
    let (head, body) = request.into_parts();
    let mut way = Answering { place: &place, stream, respond, body: None };
    let _forget = Forget(&place.conn, stream);
    if place.conn.traffic.ignores(stream) {
        way.respond.send_reset(Reason::REFUSED_STREAM);
        return;
    }
    if place.is_reset_at(&head) {
        way.respond.send_reset(Reason::INTERNAL_ERROR);
        return;
    }
    if head
        .headers
        .get(http::header::EXPECT)
        .is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        way.interim(100);
    }
    let Ok(body) = whole(body).await else { return };
    if place.conn.traffic.ignores(stream) {
        way.respond.send_reset(Reason::REFUSED_STREAM);
        return;
    }
    if place.conn.is_gone() {
        return;
    }
    turn.comes();
    let (wire, what) = place.take(stream, &head, body);
    // However it ends, its end is in the trace.
    let _ = way.send(wire, what).await;
}

/// Forgets a stream that is over.
struct Forget<'a>(&'a Conn, u32);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.traffic.forget(self.1);
    }
}

/// Reads a whole body.
pub(super) async fn whole(mut body: RecvStream) -> Result<Bytes, h2::Error> {
    let mut pieces = bytes::BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        pieces.extend_from_slice(&piece);
    }
    body.trailers().await?;
    Ok(pieces.freeze())
}

/// A stream that is being answered.
struct Answering<'a> {
    place: &'a Place,
    stream: u32,
    respond: SendResponse<Bytes>,
    /// Once the head is out.
    body: Option<SendStream<Bytes>>,
}

impl Answering<'_> {
    fn conn(&self) -> &Conn {
        &self.place.conn
    }

    async fn send(&mut self, mut wire: Wire, way: Way) -> Result<(), Over> {
        for field in FIELDS_OF_HTTP1 {
            wire.head.headers.remove(field);
        }
        let half = wire.body.len() / 2;
        match way {
            Way::Whole | Way::Instead(_) => self.rest(wire, Outcome::Answered).await,
            Way::Late(span) => {
                self.pause(span).await?;
                self.rest(wire, Outcome::Answered).await
            }
            Way::Never => self.never().await,
            Way::Cut(how) => self.cut(how),
            Way::Kill(restart_after) => self.kill(restart_after),
            Way::Garbage => {
                let _ = self.conn().write(GARBAGE).await;
                self.conn().fall(self.stream, Cut::Close, Outcome::Garbage);
                Err(Over)
            }
            Way::Stall(after) => {
                let kept =
                    usize::try_from(after).unwrap_or(usize::MAX).min(wire.body.len().saturating_sub(1));
                self.part(&wire, kept, wire.length).await?;
                self.never().await
            }
            // `unfit` keeps a body in chunks away.
            Way::Part(after, _) | Way::PartOfChunk(after) => {
                let kept =
                    usize::try_from(after).unwrap_or(usize::MAX).min(wire.body.len().saturating_sub(1));
                self.part(&wire, kept, wire.length).await?;
                self.data(Bytes::new(), Some(Outcome::Truncated)).await?;
                self.ended().await
            }
            Way::Lie(Lie::Longer) => {
                self.part(&wire, wire.body.len(), wire.length.map(|length| length + 16)).await?;
                self.never().await
            }
            Way::Lie(Lie::Shorter) => {
                self.part(&wire, half, Some(half as u64)).await?;
                self.data(wire.body.slice(half..), Some(Outcome::Truncated)).await?;
                self.ended().await
            }
            Way::After(statuses) => {
                for status in statuses {
                    self.interim(status);
                }
                self.rest(wire, Outcome::Answered).await
            }
            Way::Half(then) => {
                if !wire.body.is_empty() {
                    self.part(&wire, half, wire.length).await?;
                }
                match *then {
                    Way::Cut(Cut::Close) => {
                        self.conn().fall(self.stream, Cut::Close, Outcome::Truncated);
                        Err(Over)
                    }
                    Way::Cut(Cut::Reset) => self.cut(Cut::Reset),
                    Way::Kill(restart_after) => self.kill(restart_after),
                    _ => self.never().await,
                }
            }
            Way::Drip(drip) => {
                self.head(&wire, wire.length, wire.body.is_empty(), Outcome::Answered).await?;
                let mut rest = wire.body;
                while !rest.is_empty() {
                    self.pause(drip.every).await?;
                    let piece = rest.split_to(rest.len().min(drip.bytes.max(1) as usize));
                    self.data(piece, rest.is_empty().then_some(Outcome::Answered)).await?;
                }
                self.ended().await
            }
            Way::Leave(Goaway::Answered) => {
                let _ = self.conn().write_frame(&goaway(self.conn().traffic.leave(None))).await;
                self.rest(wire, Outcome::Answered).await
            }
            Way::Leave(Goaway::Unprocessed) => {
                let last = self.conn().traffic.leave(Some(self.stream));
                let _ = self.conn().write_frame(&goaway(last)).await;
                // Where a later one is processed, GOAWAY cannot speak for this one; and a stream that is
                // only dropped is cancelled, which tells nothing (RFC 9113 §8.7).
                self.respond.send_reset(Reason::REFUSED_STREAM);
                self.conn().traffic.end(self.stream, Outcome::Unprocessed);
                Err(Over)
            }
        }
    }

    /// The head, and all of the body that there is: then the exchange came to `outcome`.
    async fn rest(&mut self, wire: Wire, outcome: Outcome) -> Result<(), Over> {
        self.head(&wire, wire.length, wire.body.is_empty(), outcome).await?;
        if !wire.body.is_empty() {
            self.data(wire.body, Some(outcome)).await?;
        }
        self.ended().await
    }

    /// The head, under this length, and `kept` bytes of the body, written out; more may follow.
    async fn part(&mut self, wire: &Wire, kept: usize, length: Option<u64>) -> Result<(), Over> {
        self.head(wire, length, false, Outcome::Answered).await?;
        self.data(wire.body.slice(..kept), None).await?;
        let conn = &self.place.conn;
        self.unless_reset(conn.traffic.written(self.stream, kept as u64)).await
    }

    async fn head(
        &mut self,
        wire: &Wire,
        length: Option<u64>,
        is_all: bool,
        outcome: Outcome,
    ) -> Result<(), Over> {
        let mut head = http::Response::new(());
        *head.status_mut() = wire.head.status;
        *head.headers_mut() = wire.head.headers.clone();
        if let Some(length) = length {
            head.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        if is_all {
            self.conn().traffic.comes_to(self.stream, outcome);
        }
        match self.respond.send_response(head, is_all) {
            Ok(body) => self.body = Some(body),
            Err(why) => {
                let respond = &mut self.respond;
                if !poll_fn(|cx| Poll::Ready(respond.poll_reset(cx).is_ready())).await {
                    let message =
                        format!("{}: HTTP/2 does not take the response: {why}", self.place.host.alias);
                    self.place.world.recorder.harness_fault(message);
                }
                return Err(self.abandoned());
            }
        }
        Ok(())
    }

    /// Hands over bytes of the body as the client lets them through; with an outcome, the last.
    async fn data(&mut self, mut bytes: Bytes, last: Option<Outcome>) -> Result<(), Over> {
        if bytes.is_empty() && last.is_none() {
            return Ok(());
        }
        loop {
            let Some(body) = self.body.as_mut() else { return Err(Over) };
            // Without any capacity an empty frame would wait for whatever is sent next.
            body.reserve_capacity(bytes.len().max(1));
            while body.capacity() == 0 {
                match poll_fn(|cx| body.poll_capacity(cx)).await {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Err(self.abandoned()),
                }
            }
            let piece = bytes.split_to(body.capacity().min(bytes.len()));
            let ends = last.filter(|_| bytes.is_empty());
            if let Some(outcome) = ends {
                self.place.conn.traffic.comes_to(self.stream, outcome);
            }
            if body.send_data(piece, ends.is_some()).is_err() {
                return Err(self.abandoned());
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// An interim response (RFC 9110 §15.2).
    fn interim(&mut self, status: u16) {
        let mut head = http::Response::new(());
        let Ok(status) = http::StatusCode::from_u16(status) else { return };
        *head.status_mut() = status;
        if status.as_u16() == 103 {
            head.headers_mut()
                .insert(http::header::LINK, HeaderValue::from_static("</style.css>; rel=preload"));
        }
        // Fails only where the stream is over, which is noticed by what follows.
        let _ = self.respond.send_informational(head);
    }

    fn cut(&mut self, how: Cut) -> Result<(), Over> {
        match how {
            Cut::Reset => {
                self.conn().traffic.end(self.stream, Outcome::Reset);
                match &mut self.body {
                    Some(body) => body.send_reset(Reason::INTERNAL_ERROR),
                    None => self.respond.send_reset(Reason::INTERNAL_ERROR),
                }
            }
            Cut::Close => self.conn().fall(self.stream, how, Outcome::Closed),
        }
        Err(Over)
    }

    fn kill(&mut self, restart_after: Span) -> Result<(), Over> {
        self.place.kill(restart_after);
        Err(Over)
    }

    /// Waits for all to be written.
    async fn ended(&mut self) -> Result<(), Over> {
        let conn = &self.place.conn;
        self.unless_reset(conn.traffic.written(self.stream, u64::MAX)).await
    }

    async fn never(&mut self) -> Result<(), Over> {
        self.unless_reset(std::future::pending()).await
    }

    async fn pause(&mut self, span: Span) -> Result<(), Over> {
        self.unless_reset(tokio::time::sleep(span.duration())).await
    }

    /// Waits for `done`, unless the client takes the stream back first.
    async fn unless_reset(&mut self, done: impl Future<Output = ()>) -> Result<(), Over> {
        let (respond, body) = (&mut self.respond, &mut self.body);
        let reset = poll_fn(|cx| match body {
            Some(body) => body.poll_reset(cx),
            None => respond.poll_reset(cx),
        });
        tokio::select! {
            biased;
            () = done => Ok(()),
            _ = reset => Err(self.abandoned()),
        }
    }

    /// The client did not wait for the end.
    fn abandoned(&self) -> Over {
        self.conn().traffic.end(self.stream, Outcome::Abandoned);
        Over
    }
}
