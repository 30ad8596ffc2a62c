//! HTTP/1.1: one exchange at a time on a connection, and how each fault looks there (RFC 9112).
//!
//! Knows: the bytes of a response, and every way of not sending them. Must not know: whether a rule
//! bites, or how a vendor thinks.

use std::fmt;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::connection::{Conn, Cut, Stream};
use super::exchange::{GARBAGE, Place, Turn, Way, Wire};
use super::open::ONLY;
use crate::fault::Lie;
use crate::time::Span;
use crate::trace::Outcome;

/// The body type of what hyper writes.
type Body = Full<Bytes>;

/// The connection ends; hyper has nothing more to do.
#[derive(Debug)]
pub(crate) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ended")
    }
}

impl std::error::Error for Gone {}

/// Serves one connection until it ends; false if what came was no HTTP.
pub(super) async fn serve(place: &Place) -> bool {
    loop {
        let service = service_fn(|request| answer(place.clone(), request));
        let mut served = hyper::server::conn::http1::Builder::new()
            .auto_date_header(false)
            .header_read_timeout(None)
            .serve_connection::<_, _>(TokioIo::new(Stream(place.conn.clone())), service);
        let ended = (&mut served).await;
        // A response that hyper did not write ends its part in a connection that goes on.
        if !place.conn.goes_on() {
            return !ended.is_err_and(|e| e.is_parse());
        }
        place.conn.give_back(&served.into_parts().read_buf);
    }
}

/// Answers one request.
///
/// # Errors
/// [`Gone`] when the connection was cut instead.
async fn answer(place: Place, request: http::Request<Incoming>) -> Result<http::Response<Body>, Gone> {
    place.conn.traffic.accept();
    let (head, body) = request.into_parts();
    if place.is_reset_at(&head) {
        place.host.unseen.set(place.host.unseen.get() + 1);
        place.conn.cut(Cut::Reset);
        return Err(Gone);
    }
    // The client may leave before its request has its turn: in real time, or where it was taken up late.
    let mut turn = Turn::new(&place.host);
    let body = body.collect().await.map_err(|_| Gone)?.to_bytes();
    turn.comes();
    let last = is_last(&head);
    let (wire, way) = place.take(ONLY, &head, body);
    send(&place, wire, way, last).await
}

/// Whether the client wants no other response on this connection (RFC 9112 §9.3).
fn is_last(head: &http::request::Parts) -> bool {
    let options = head.headers.get_all(http::header::CONNECTION).into_iter().filter_map(|v| v.to_str().ok());
    let closes = options.flat_map(|v| v.split(',')).any(|word| word.trim().eq_ignore_ascii_case("close"));
    closes || head.version < http::Version::HTTP_11
}

/// Sends an answer, the `last` on its connection or not.
async fn send(place: &Place, wire: Wire, way: Way, last: bool) -> Result<http::Response<Body>, Gone> {
    let conn = &place.conn;
    match way {
        // `unfit` keeps `goaway` away.
        Way::Whole | Way::Instead(_) | Way::Leave(_) => {}
        Way::Late(span) => tokio::time::sleep(span.duration()).await,
        Way::Never => std::future::pending().await,
        Way::Cut(how) => return cut(conn, how, how.outcome()),
        Way::Kill(restart_after) => return kill(place, restart_after),
        Way::Garbage => {
            let _ = conn.write(GARBAGE).await;
            return cut(conn, Cut::Close, Outcome::Garbage);
        }
        Way::Stall(after) => {
            part(conn, &wire, after, last).await?;
            std::future::pending().await
        }
        Way::Part(after, how) => {
            part(conn, &wire, after, last).await?;
            return cut(conn, how, Outcome::Truncated);
        }
        Way::PartOfChunk(after) => {
            let head = raw(&wire.head, Framing::Chunked, last);
            let kept = usize::try_from(after).unwrap_or(usize::MAX).min(wire.body.len().saturating_sub(1));
            conn.write(&head).await.map_err(|_| Gone)?;
            conn.write(format!("{:x}\r\n", wire.body.len().max(1)).as_bytes()).await.map_err(|_| Gone)?;
            conn.write(&wire.body[..kept]).await.map_err(|_| Gone)?;
            return cut(conn, Cut::Close, Outcome::Truncated);
        }
        Way::Lie(lie) => {
            let length = wire.length.unwrap_or(0);
            let length = match lie {
                Lie::Longer => length.saturating_add(16),
                Lie::Shorter => length / 2,
            };
            let mut bytes = raw(&wire.head, Framing::Length(Some(length)), last);
            bytes.extend_from_slice(&wire.body);
            conn.write(&bytes).await.map_err(|_| Gone)?;
            match lie {
                Lie::Longer => std::future::pending().await,
                Lie::Shorter => return over(conn, Outcome::Truncated, last),
            }
        }
        Way::After(statuses) => {
            for status in statuses {
                conn.write(interim(status).as_bytes()).await.map_err(|_| Gone)?;
            }
        }
        Way::Half(then) => {
            part(conn, &wire, wire.body.len() as u64 / 2, last).await?;
            match *then {
                Way::Cut(Cut::Reset) => return cut(conn, Cut::Reset, Outcome::Reset),
                Way::Cut(Cut::Close) => return cut(conn, Cut::Close, Outcome::Truncated),
                Way::Kill(restart_after) => return kill(place, restart_after),
                _ => std::future::pending().await,
            }
        }
        Way::Drip(drip) => {
            let last = last || wire.length.is_none();
            conn.write(&raw(&wire.head, Framing::Length(wire.length), last)).await.map_err(|_| Gone)?;
            for piece in wire.body.chunks(drip.bytes.max(1) as usize) {
                tokio::time::sleep(drip.every.duration()).await;
                conn.write(piece).await.map_err(|_| Gone)?;
            }
            return over(conn, Outcome::Answered, last);
        }
    }
    conn.traffic.comes_to(ONLY, Outcome::Answered);
    Ok(whole(wire))
}

/// The answer for hyper to write, which counts a body, and has to be told the length of one that is
/// not sent.
fn whole(wire: Wire) -> http::Response<Body> {
    let Wire { mut head, length, body } = wire;
    if let Some(length) = length.filter(|_| body.is_empty()) {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    http::Response::from_parts(head, Full::new(body))
}

/// Ends an exchange whose response was written below hyper: the connection goes on, unless it was the
/// `last`.
fn over(conn: &Conn, outcome: Outcome, last: bool) -> Result<http::Response<Body>, Gone> {
    if last {
        return cut(conn, Cut::Close, outcome);
    }
    conn.traffic.end(ONLY, outcome);
    conn.go_on();
    Err(Gone)
}

fn cut(conn: &Conn, how: Cut, outcome: Outcome) -> Result<http::Response<Body>, Gone> {
    conn.fall(ONLY, how, outcome);
    Err(Gone)
}

fn kill(place: &Place, restart_after: Span) -> Result<http::Response<Body>, Gone> {
    place.kill(restart_after);
    Err(Gone)
}

/// Writes the head and at most `after` bytes of the body, always less than the whole.
async fn part(conn: &Conn, wire: &Wire, after: u64, last: bool) -> Result<(), Gone> {
    let (head, body) = (raw(&wire.head, Framing::Length(wire.length), last), &wire.body);
    if body.is_empty() {
        // There is no body to lose; the head is cut instead.
        return conn.write(&head[..head.len() / 2]).await.map_err(|_| Gone);
    }
    let kept = usize::try_from(after).unwrap_or(usize::MAX).min(body.len() - 1);
    conn.write(&head).await.map_err(|_| Gone)?;
    conn.write(&body[..kept]).await.map_err(|_| Gone)
}

/// An interim response (RFC 9110 §15.2).
fn interim(status: u16) -> String {
    let known = http::StatusCode::from_u16(status).ok();
    let reason = known.and_then(|s| s.canonical_reason()).unwrap_or("Interim");
    let early = if status == 103 { "link: </style.css>; rel=preload\r\n" } else { "" };
    format!("HTTP/1.1 {status} {reason}\r\n{early}\r\n")
}

/// How the head of a response says where its body ends (RFC 9112 §6).
enum Framing {
    Length(Option<u64>),
    Chunked,
}

/// The head of a response in bytes. What a vendor fails in it does not announce: only to the `last` response
/// on a connection does it say so.
fn raw(of: &http::response::Parts, framing: Framing, last: bool) -> BytesMut {
    let status = of.status;
    let mut head = BytesMut::with_capacity(512);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.extend_from_slice(b" ");
    head.extend_from_slice(status.canonical_reason().unwrap_or("Other").as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in &of.headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    match framing {
        Framing::Length(Some(bytes)) => {
            head.extend_from_slice(format!("content-length: {bytes}\r\n").as_bytes());
        }
        Framing::Length(None) => {}
        Framing::Chunked => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    head.extend_from_slice(if last { b"connection: close\r\n\r\n".as_slice() } else { b"\r\n" });
    head
}
