//! One exchange: a request, the rules, the vendor, and what comes of it on the wire.
//!
//! Knows: how each fault on a call is carried out. Must not know: whether a rule bites
//! (`schedule`), or how a vendor thinks.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use super::World;
use super::canon::Canon;
use super::connection::{Conn, Cut, Exchange};
use super::host::{Body, Host};
use super::supervisor::End;
use crate::drift;
use crate::fault::{Act, Drip, ErrorReply, Lie, Moment, Mutation, Reply};
use crate::schedule::{Bite, Call};
use crate::time::Span;
use crate::trace::{Cause, FaultRef, Outcome, SubjectEvent, Told, What};
use crate::vendor::Reaction;
use crate::wire::{Headers, Request, Response};

/// What comes instead of HTTP: the beginning of a TLS alert, and no line of HTTP.
const GARBAGE: &[u8] = b"\x15\x03\x01\x00\x02\x02\x0a\r\n\x00\xffnot http\r\n\r\n";

/// The connection ends; hyper has nothing more to do.
#[derive(Debug)]
pub(crate) struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection ended")
    }
}

impl std::error::Error for Gone {}

/// What the vendor does with a request.
enum Work {
    Nothing,
    Step(Span),
    Fail(ErrorReply),
    Drift(Mutation),
}

/// What becomes of the answer.
enum Way {
    Whole,
    Late(Span),
    Never,
    Cut(Cut),
    /// This many body bytes, then nothing more.
    Stall(u64),
    /// This many body bytes, then the end of the connection.
    Part(u64, Cut),
    /// The same of a body in chunks.
    PartOfChunk(u64),
    /// All of the body, under a false length.
    Lie(Lie),
    /// Interim responses, then the whole one.
    After(Vec<u16>),
    /// Half of the body, then as said.
    Half(Box<Way>),
    Drip(Drip),
    Garbage,
    Instead(Reply),
    /// The subject is killed here.
    Kill(Span),
}

fn carry_out(act: Option<&Act>, at_work: Span) -> (Work, Way) {
    let now = Work::Step(Span::ZERO);
    let at = |moment: Moment, way: Way| match moment {
        Moment::BeforeApplied => (Work::Nothing, way),
        Moment::WhileApplying => (Work::Step(at_work), way),
        Moment::AfterApplied => (Work::Step(Span::ZERO), way),
        Moment::DuringResponse => (Work::Step(Span::ZERO), Way::Half(Box::new(way))),
    };
    match act {
        Some(Act::Reset(m)) => at(*m, Way::Cut(Cut::Reset)),
        Some(Act::Close(m)) => at(*m, Way::Cut(Cut::Close)),
        Some(Act::Hang(m)) => at(*m, Way::Never),
        Some(Act::Kill(o)) => at(o.moment.unwrap_or(Moment::AfterApplied), Way::Kill(o.restart_after)),
        Some(Act::StaleKeepAlive) => (Work::Nothing, Way::Cut(Cut::Close)),
        Some(Act::Truncate(n)) if n.chunked => (now, Way::PartOfChunk(n.after)),
        Some(Act::Truncate(n)) => (now, Way::Part(n.after, Cut::Close)),
        Some(Act::ContentLength(lie)) => (now, Way::Lie(*lie)),
        Some(Act::Interim(statuses)) => (now, Way::After(statuses.clone())),
        Some(Act::Stall(n)) => (now, Way::Stall(n.after)),
        Some(Act::SlowBody(d)) => (now, Way::Drip(*d)),
        Some(Act::Garbage) => (now, Way::Garbage),
        Some(Act::Latency(span)) => (Work::Step(*span), Way::Late(*span)),
        Some(Act::Drift(mutation)) => (Work::Drift(mutation.clone()), Way::Whole),
        Some(Act::Error(e)) => (Work::Fail(e.clone()), Way::Whole),
        Some(Act::Reply(r)) => (if r.applied { now } else { Work::Nothing }, Way::Instead(r.clone())),
        _ => (now, Way::Whole),
    }
}

/// A request that waits for its turn. In real time the client may leave before it: the request is
/// then counted as one that was never read.
struct Turn<'a> {
    host: &'a Host,
    came: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.came {
            self.host.unseen.set(self.host.unseen.get() + 1);
        }
    }
}

/// Answers one request.
///
/// # Errors
/// [`Gone`] when the connection was cut instead.
pub(crate) async fn answer(
    world: &Rc<World>,
    host: &Rc<Host>,
    number: u32,
    conn: &Rc<Conn>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Body>, Gone> {
    let (head, body) = request.into_parts();
    if world.schedule.borrow().looks_at_heads() {
        let request = canonical(world, host, &head, Bytes::new());
        let call = Call {
            vendor: &host.alias,
            key_header: host.profile.idempotency_header.as_deref(),
            request: &request,
            reused: conn.served() > 0,
        };
        let bite = world.schedule.borrow_mut().head(world.recorder.now(), call);
        if let Some(Bite { fault, .. }) = bite {
            world.recorder.fault(&fault);
            let (vendor, outcome) = (host.alias.clone(), Outcome::Reset);
            world.recorder.note(What::Connection { vendor, outcome, count: 1, fault: Some(fault) });
            host.unseen.set(host.unseen.get() + 1);
            conn.cut(Cut::Reset);
            return Err(Gone);
        }
    }
    let mut turn = Turn { host, came: !world.pace.get().real };
    let body = body.collect().await.map_err(|_| Gone)?.to_bytes();
    turn.came = true;
    let request = canonical(world, host, &head, body);
    let head_only = request.method == "HEAD";
    let (bite, way) = arrive(world, host, number, conn, request);
    if let Some(Bite { act: Act::Stop(outage), .. }) = &bite {
        world.subject.stop(world, outage);
    }
    if let Some(Bite { act: Act::Pause(rest), .. }) = &bite {
        world.subject.pause(world, *rest);
    }
    if let Some(Bite { act: Act::ClockSkew(skew), until, .. }) = &bite {
        world.subject.skew(world, *skew, *until);
    }
    let wire = conn.with_response(|response| match response {
        Some(response) => to_wire(world, host, response),
        None => http::Response::new(Bytes::new()),
    });
    send(world, conn, wire, way, head_only).await
}

/// The synchronous part: rules, vendor and trace, in a fixed order.
fn arrive(
    world: &Rc<World>,
    host: &Rc<Host>,
    connection: u32,
    conn: &Conn,
    request: Request,
) -> (Option<Bite>, Way) {
    let now = world.recorder.now();
    let bite = world.schedule.borrow_mut().call(
        now,
        Call {
            vendor: &host.alias,
            key_header: host.profile.idempotency_header.as_deref(),
            request: &request,
            reused: conn.served() > 0,
        },
    );
    let (work, mut way) = carry_out(bite.as_ref().map(|b| &b.act), world.pace.get().at_work);
    let mut fault = bite.as_ref().map(|b| b.fault.clone());
    let (operation, mut reaction) = {
        let mut vendor = host.vendor.borrow_mut();
        let operation = vendor.operation(&request);
        let reaction = match work {
            Work::Nothing => Reaction::default(),
            Work::Step(takes) => vendor.step(now, &request, takes),
            Work::Fail(error) => vendor.fail(now, &request, &error),
            Work::Drift(mutation) => {
                let turn = bite.as_ref().map_or(0, |b| b.turn);
                let (reaction, drifted) = drift::answer(&mut **vendor, &mutation, turn, now, &request);
                // A change that made no difference to this call did not happen to it.
                fault = drifted.and_then(|d| Some(FaultRef { drift: Some(d.into()), ..fault.take()? }));
                reaction
            }
        };
        (operation, reaction)
    };
    let call = world.recorder.next_call();
    host.requests.set(host.requests.get() + 1);
    let vendor = host.alias.clone();
    world.recorder.note(What::Request { call, vendor, connection, request, operation });
    if world.subject.is_gone_before(now) {
        world.recorder.note(What::Subject(SubjectEvent::Straggler { call }));
    }
    if let Some(fault) = &fault {
        world.recorder.fault(fault);
    }
    let mut response = reaction.response.take();
    let mut told = std::mem::take(&mut reaction.told);
    if let Way::Instead(reply) = &way {
        response = Some(literal(reply));
        told = Told { stale_credential: told.stale_credential, ..Told::default() };
        way = Way::Whole;
    }
    if let Some(Bite { act: Act::Headers(changes), .. }) = &bite {
        for (name, value) in changes {
            if let Some(response) = &mut response {
                match value {
                    Some(v) => response.headers.set(name, v.clone()),
                    None => drop(response.headers.remove(name)),
                }
            }
            untell(&mut told, name);
        }
    }
    if let Some(response) = &mut response
        && response.headers.get("date").is_none()
    {
        response.headers.0.push(("date".to_owned(), world.http_date(now)));
    }
    if response.is_none() && !matches!(way, Way::Cut(_) | Way::Never | Way::Kill(_)) {
        world.recorder.harness_fault(format!("the model of {} gave no answer", host.alias));
    }
    let (applied, replayed) = (reaction.applied, reaction.replayed);
    conn.begin(Exchange { call, response, applied, replayed, told, fault, ready: false });
    world.absorb(host, reaction, Cause::Call(call));
    (bite, way)
}

/// What a header fault makes untrue of what the vendor told.
fn untell(told: &mut Told, header: &str) {
    let header = header.to_ascii_lowercase();
    if header == "retry-after" {
        told.retry_at = None;
    } else if header.contains("ratelimit") || header.contains("limit-") {
        told.quota = None;
    } else if header.contains("should-retry") {
        told.should_retry = None;
    }
}

fn literal(reply: &Reply) -> Response {
    let mut headers = Headers::of(reply.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    let (body, kind) = match (&reply.json, &reply.text) {
        (Some(json), _) => (json.to_string(), "application/json"),
        (None, Some(text)) => (text.clone(), "text/html"),
        (None, None) => (String::new(), ""),
    };
    if !kind.is_empty() && headers.get("content-type").is_none() {
        headers.set("content-type", kind);
    }
    Response { status: reply.status, headers, body: body.into() }
}

/// The request as the vendor knows it: its own host and origin instead of the true address.
fn canonical(world: &World, host: &Host, head: &http::request::Parts, body: Bytes) -> Request {
    let mut headers = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        let value = if name == http::header::HOST {
            host.canonical_host.clone()
        } else {
            let text = String::from_utf8_lossy(value.as_bytes());
            world.canon_if_needed(&text).unwrap_or_else(|| text.into_owned())
        };
        headers.push((name.as_str().to_owned(), value));
    }
    let target = head.uri.path_and_query().map_or("/", |p| p.as_str());
    let body = match std::str::from_utf8(&body).ok().and_then(|t| world.canon_if_needed(t)) {
        Some(text) => Bytes::from(text),
        None => body,
    };
    Request {
        method: head.method.as_str().to_owned(),
        target: world.canon_if_needed(target).unwrap_or_else(|| target.to_owned()),
        headers: Headers(headers),
        body,
    }
}

/// The response as it goes over the wire.
fn to_wire(world: &World, host: &Host, response: &Response) -> http::Response<Bytes> {
    let truth = |text| Canon::truthful(text, &host.profile.origin, &host.base_url);
    let body = match std::str::from_utf8(&response.body) {
        Ok(text) => match truth(text) {
            Cow::Owned(text) => Bytes::from(text),
            Cow::Borrowed(_) => response.body.clone(),
        },
        Err(_) => response.body.clone(),
    };
    let mut wire = http::Response::new(body);
    match http::StatusCode::from_u16(response.status) {
        Ok(status) => *wire.status_mut() = status,
        Err(_) => world.recorder.harness_fault(format!("{} is no status code", response.status)),
    }
    for (name, value) in &response.headers.0 {
        // The framing is ours: the body is whole here, and its length may have changed.
        if matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
            continue;
        }
        let parsed = (
            http::HeaderName::from_bytes(name.as_bytes()),
            http::HeaderValue::from_bytes(truth(value).as_bytes()),
        );
        match parsed {
            (Ok(name), Ok(value)) => {
                wire.headers_mut().append(name, value);
            }
            _ => world.recorder.harness_fault(format!("`{name}: {value}` cannot be sent as a header field")),
        }
    }
    wire
}

async fn send(
    world: &Rc<World>,
    conn: &Rc<Conn>,
    wire: http::Response<Bytes>,
    way: Way,
    head_only: bool,
) -> Result<http::Response<Body>, Gone> {
    match way {
        Way::Whole | Way::Instead(_) => {}
        Way::Late(span) => tokio::time::sleep(span.duration()).await,
        Way::Never => std::future::pending().await,
        Way::Cut(how) => {
            return cut(conn, how, if how == Cut::Reset { Outcome::Reset } else { Outcome::Closed });
        }
        Way::Kill(restart_after) => return kill(world, restart_after).await,
        Way::Garbage => {
            let _ = conn.write(GARBAGE).await;
            return cut(conn, Cut::Close, Outcome::Garbage);
        }
        Way::Stall(after) => {
            part(conn, &wire, after, head_only).await?;
            std::future::pending().await
        }
        Way::Part(after, how) => {
            part(conn, &wire, after, head_only).await?;
            return cut(conn, how, Outcome::Truncated);
        }
        Way::PartOfChunk(after) => {
            let (head, body) = raw(&wire, head_only, Framing::Chunked);
            let kept = usize::try_from(after).unwrap_or(usize::MAX).min(body.len().saturating_sub(1));
            conn.write(&head).await.map_err(|_| Gone)?;
            conn.write(format!("{:x}\r\n", body.len().max(1)).as_bytes()).await.map_err(|_| Gone)?;
            conn.write(&body[..kept]).await.map_err(|_| Gone)?;
            return cut(conn, Cut::Close, Outcome::Truncated);
        }
        Way::Lie(lie) => {
            let length = match lie {
                Lie::Longer => wire.body().len() + 16,
                Lie::Shorter => wire.body().len() / 2,
            };
            let (head, body) = raw(&wire, head_only, Framing::Length(length));
            conn.write(&head).await.map_err(|_| Gone)?;
            conn.write(&body).await.map_err(|_| Gone)?;
            match lie {
                Lie::Longer => std::future::pending().await,
                Lie::Shorter => return cut(conn, Cut::Close, Outcome::Truncated),
            }
        }
        Way::After(statuses) => {
            for status in statuses {
                conn.write(interim(status).as_bytes()).await.map_err(|_| Gone)?;
            }
        }
        Way::Half(then) => {
            part(conn, &wire, wire.body().len() as u64 / 2, head_only).await?;
            match *then {
                Way::Cut(Cut::Reset) => return cut(conn, Cut::Reset, Outcome::Reset),
                Way::Cut(Cut::Close) => return cut(conn, Cut::Close, Outcome::Truncated),
                Way::Kill(restart_after) => return kill(world, restart_after).await,
                _ => std::future::pending().await,
            }
        }
        Way::Drip(drip) => {
            let (head, body) = raw(&wire, head_only, Framing::Length(wire.body().len()));
            conn.write(&head).await.map_err(|_| Gone)?;
            for piece in body.chunks(drip.bytes.max(1) as usize) {
                tokio::time::sleep(drip.every.duration()).await;
                conn.write(piece).await.map_err(|_| Gone)?;
            }
            return cut(conn, Cut::Close, Outcome::Answered);
        }
    }
    conn.answering();
    Ok(wire.map(Full::new))
}

fn cut(conn: &Conn, how: Cut, outcome: Outcome) -> Result<http::Response<Body>, Gone> {
    conn.end(outcome);
    conn.cut(how);
    Err(Gone)
}

async fn kill(world: &Rc<World>, restart_after: Span) -> Result<http::Response<Body>, Gone> {
    world.subject.end(world, End::Killed, Some(restart_after));
    Err(Gone)
}

/// Writes the head and at most `after` bytes of the body, always less than the whole.
async fn part(conn: &Conn, wire: &http::Response<Bytes>, after: u64, head_only: bool) -> Result<(), Gone> {
    let (head, body) = raw(wire, head_only, Framing::Length(wire.body().len()));
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
    Length(usize),
    Chunked,
}

/// The bytes of a response: its head, and its body.
fn raw(wire: &http::Response<Bytes>, head_only: bool, framing: Framing) -> (BytesMut, Bytes) {
    let status = wire.status();
    let mut head = BytesMut::with_capacity(512);
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.extend_from_slice(b" ");
    head.extend_from_slice(status.canonical_reason().unwrap_or("Other").as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in wire.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    let framing = match framing {
        Framing::Length(bytes) => format!("content-length: {bytes}"),
        Framing::Chunked => "transfer-encoding: chunked".to_owned(),
    };
    head.extend_from_slice(format!("{framing}\r\nconnection: close\r\n\r\n").as_bytes());
    let body = if head_only { Bytes::new() } else { wire.body().clone() };
    (head, body)
}
