//! One exchange: a request, the rules, the vendor, and what comes of it on the wire.
//!
//! Knows: how each fault on a call is carried out. Must not know: whether a rule bites
//! (`schedule`), or how a vendor thinks.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;

use super::World;
use super::canon;
use super::connection::{Conn, Cut};
use super::host::Host;
use super::open::Exchange;
use super::supervisor::End;
use crate::drift;
use crate::fault::{Act, Drip, ErrorReply, Goaway, Lie, Moment, Mutation, Reply};
use crate::schedule::{Bite, Call};
use crate::time::Span;
use crate::trace::{Cause, FaultRef, Outcome, SubjectEvent, Told, What};
use crate::vendor::Reaction;
use crate::wire::{FieldText, Headers, Protocol, Request, Response};

/// What comes instead of HTTP: the beginning of a TLS alert, no line of HTTP/1.1, and a frame of
/// HTTP/2 that is longer than any may be.
pub(super) const GARBAGE: &[u8] = b"\x15\x03\x01\x00\x02\x02\x0a\r\n\x00\xffnot http\r\n\r\n";

/// What the vendor does with a request.
enum Work {
    Nothing,
    Step(Span),
    Fail(ErrorReply),
    Drift(Mutation),
}

/// What becomes of the answer.
pub(super) enum Way {
    /// It comes.
    Whole,
    /// It comes this late.
    Late(Span),
    /// It never comes.
    Never,
    /// The end comes instead: of the connection, or where it is HTTP/2 and a reset, of the stream.
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
    /// The body in small pieces.
    Drip(Drip),
    /// No HTTP.
    Garbage,
    /// This instead.
    Instead(Reply),
    /// The vendor takes no more on this connection.
    Leave(Goaway),
    /// The subject is killed here.
    Kill(Span),
}

impl Way {
    /// Whether less, or more, of the body comes than is due.
    fn cuts_body(&self) -> bool {
        matches!(self, Way::Stall(_) | Way::Part(..) | Way::Lie(Lie::Shorter))
    }
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
        Some(Act::Goaway(Goaway::Unprocessed)) => (Work::Nothing, Way::Leave(Goaway::Unprocessed)),
        Some(Act::Goaway(after)) => (now, Way::Leave(*after)),
        Some(Act::Latency(span)) => (Work::Step(*span), Way::Late(*span)),
        Some(Act::Drift(mutation)) => (Work::Drift(mutation.clone()), Way::Whole),
        Some(Act::Error(e)) => (Work::Fail(e.clone()), Way::Whole),
        Some(Act::Reply(r)) => (if r.applied { now } else { Work::Nothing }, Way::Instead(r.clone())),
        _ => (now, Way::Whole),
    }
}

/// An answer on its way: what each version of HTTP frames in its own manner.
pub(super) struct Wire {
    /// The status, and the fields but for those of the framing.
    pub head: http::response::Parts,
    /// What its Content-Length says, if it has one.
    pub length: Option<u64>,
    /// What is sent after the head.
    pub body: Bytes,
}

impl Wire {
    /// The answer with a whole body, of which a HEAD is told the length alone. An answer to a HEAD
    /// that comes without one may say the length itself, or leave it open (RFC 9110 §9.3.2).
    fn of(response: http::Response<Bytes>, head_only: bool) -> Wire {
        let (mut head, body) = response.into_parts();
        let said = head.headers.remove(CONTENT_LENGTH);
        let said = said.and_then(|said| said.to_str().ok()?.parse().ok());
        let withheld = head_only && body.is_empty();
        let length = if withheld { said } else { Some(body.len() as u64) };
        Wire {
            length: length.filter(|_| may_have_body(head.status)),
            head,
            body: if head_only { Bytes::new() } else { body },
        }
    }
}

/// Whether a response of this status may say how long its body is (RFC 9110 §8.6).
fn may_have_body(status: http::StatusCode) -> bool {
    !status.is_informational() && !matches!(status.as_u16(), 204 | 304)
}

/// A request that waits for its turn: one that never has it is counted as never read.
pub(super) struct Turn {
    host: Rc<Host>,
    came: bool,
}

impl Turn {
    /// A request to `host`.
    pub fn new(host: &Rc<Host>) -> Turn {
        Turn { host: host.clone(), came: false }
    }

    /// It has it.
    pub fn comes(&mut self) {
        self.came = true;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.came {
            self.host.unseen.set(self.host.unseen.get() + 1);
        }
    }
}

/// Where an exchange takes place.
#[derive(Clone)]
pub(super) struct Place {
    /// The world.
    pub world: Rc<World>,
    /// The vendor.
    pub host: Rc<Host>,
    /// The number of the connection.
    pub number: u32,
    /// The connection.
    pub conn: Rc<Conn>,
}

impl Place {
    fn call<'a>(&'a self, request: &'a Request) -> Call<'a> {
        Call {
            vendor: &self.host.alias,
            key_header: self.host.profile.idempotency_header.as_deref(),
            request,
            reused: self.conn.traffic.was_kept_alive(),
        }
    }

    /// Whether a rule resets a request of which only the head has come.
    pub fn is_reset_at(&self, head: &http::request::Parts) -> bool {
        let Place { world, host, .. } = self;
        if !world.schedule.borrow().looks_at_heads() {
            return false;
        }
        let request = canonical(world, host, head, Bytes::new());
        let bite = world.schedule.borrow_mut().head(world.recorder.now(), self.call(&request));
        let Some(Bite { fault, .. }) = bite else { return false };
        world.recorder.fault(&fault);
        let (vendor, outcome) = (host.alias.clone(), Outcome::Reset);
        world.recorder.note(What::Connection { vendor, outcome, count: 1, fault: Some(fault) });
        true
    }

    /// Takes a whole request to the vendor; gives its answer, and what becomes of that.
    pub fn take(&self, stream: u32, head: &http::request::Parts, body: Bytes) -> (Wire, Way) {
        let Place { world, host, .. } = self;
        let request = canonical(world, host, head, body);
        let (bite, wire, way) = arrive(self, stream, request);
        match bite {
            Some(Bite { act: Act::Stop(outage), .. }) => world.subject.stop(world, &outage),
            Some(Bite { act: Act::Pause(rest), .. }) => world.subject.pause(world, rest),
            Some(Bite { act: Act::ClockSkew(skew), until, .. }) => world.subject.skew(world, skew, until),
            _ => {}
        }
        (wire, way)
    }

    /// Kills the subject.
    pub fn kill(&self, restart_after: Span) {
        self.world.subject.end(&self.world, End::Killed, Some(restart_after));
    }
}

/// The synchronous part: rules, vendor and trace, in a fixed order.
fn arrive(place: &Place, stream: u32, request: Request) -> (Option<Bite>, Wire, Way) {
    let Place { world, host, number, conn } = place;
    let now = world.recorder.now();
    let protocol = conn.speaks();
    let chosen = world.schedule.borrow_mut().call(now, place.call(&request));
    let mut unfit = None;
    let mut bite = chosen.filter(|bite| {
        unfit = bite.act.unfit(protocol).map(|why| (bite.fault.clone(), why));
        unfit.is_none()
    });
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
    let bodyless = request.method == "HEAD" || reaction.response.as_ref().is_some_and(|r| r.body.is_empty());
    if protocol == Protocol::Http2 && bodyless && way.cuts_body() {
        // Over HTTP/1.1 the head is cut instead; a frame of fields cannot be cut for one stream.
        way = Way::Whole;
        bite = None;
        unfit = fault.take().map(|fault| (fault, "the response has no body that could be cut".to_owned()));
    }
    let head_only = request.method == "HEAD";
    let call = world.recorder.next_call();
    host.requests.set(host.requests.get() + 1);
    let vendor = host.alias.clone();
    let connection = *number;
    world.recorder.note_at(now, What::Request { call, vendor, connection, protocol, request, operation });
    if world.subject.is_gone_before(now) {
        world.recorder.note(What::Subject(SubjectEvent::Straggler { call }));
    }
    if let Some(fault) = &fault {
        world.recorder.fault(fault);
    }
    if let Some((fault, why)) = unfit {
        world.recorder.note(What::Unfit { call, fault, why });
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
        response.headers.0.push(("date".into(), world.http_date(now)));
    }
    let says_nothing =
        |way: &Way| matches!(way, Way::Cut(_) | Way::Never | Way::Kill(_) | Way::Leave(Goaway::Unprocessed));
    if response.is_none() && !says_nothing(&way) {
        world.recorder.harness_fault(format!("the model of {} gave no answer", host.alias));
    }
    let wire = match &response {
        Some(response) => to_wire(world, host, response, head_only),
        None => Wire::of(http::Response::new(Bytes::new()), false),
    };
    if head_only && let Some(response) = &mut response {
        // Only its length goes over the wire.
        response.body = Bytes::new();
    }
    let (applied, replayed) = (reaction.applied, reaction.replayed);
    conn.traffic.begin(Exchange { call, stream, response, applied, replayed, told, fault, comes_to: None });
    world.absorb(host, reaction, Cause::Call(call));
    (bite, wire, way)
}

/// What a header fault makes untrue of what the vendor told.
fn untell(told: &mut Told, header: &str) {
    let header = header.to_ascii_lowercase();
    if header == "retry-after" {
        told.retry_at = None;
    } else if header.contains("ratelimit") || header.contains("limit-") {
        told.quotas.clear();
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
    let mut headers = Vec::with_capacity(head.headers.len() + 1);
    if head.version == http::Version::HTTP_2 && !head.headers.contains_key(http::header::HOST) {
        // The pseudo-field `:authority` (RFC 9113 §8.3.1) says the same.
        headers.push(("host".into(), host.canonical_host.as_str().into()));
    }
    for (name, value) in &head.headers {
        let value = if name == http::header::HOST {
            host.canonical_host.as_str().into()
        } else {
            let text = String::from_utf8_lossy(value.as_bytes());
            world.canon_if_needed(&text).map_or_else(|| text.into(), FieldText::from)
        };
        headers.push((name.as_str().into(), value));
    }
    let target = head.uri.path_and_query().map_or("/", |p| p.as_str());
    let text = if canon::shows_a_port(&body) { std::str::from_utf8(&body).ok() } else { None };
    let body = match text.and_then(|t| world.canon_if_needed(t)) {
        Some(text) => Bytes::from(text),
        None => body,
    };
    Request {
        method: head.method.as_str().into(),
        target: world.canon_if_needed(target).unwrap_or_else(|| target.to_owned()),
        headers: Headers(headers),
        body,
    }
}

/// The response as it goes over the wire.
fn to_wire(world: &World, host: &Host, response: &Response, head_only: bool) -> Wire {
    let truth = |text| host.names.truthful(text);
    let body = match host.names.truthful_bytes(&response.body) {
        Some(text) => Bytes::from(text),
        None => response.body.clone(),
    };
    let mut wire = http::Response::new(body);
    match http::StatusCode::from_u16(response.status) {
        Ok(status) => *wire.status_mut() = status,
        Err(_) => world.recorder.harness_fault(format!("{} is no status code", response.status)),
    }
    for (name, value) in &response.headers.0 {
        // The framing is ours: the body is whole here, and its length may have changed.
        let kept = head_only && response.body.is_empty() && name.as_str() == "content-length";
        if !kept && matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
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
    Wire::of(wire, head_only)
}
