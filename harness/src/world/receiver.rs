//! Where the subject's alerts arrive.
//!
//! Knows: one small endpoint, over HTTP/1.1 and HTTP/2. Must not know: what an alert should say. What
//! comes and cannot be read as an alert is written all the same, or it would pass for silence; so is what
//! never comes whole, with the moment at which it began.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use super::connection::{Conn, Stream};
use super::socket::Wire;
use super::{World, http2, spawn};
use crate::fixture::decode;
use crate::time::At;
use crate::trace::What;
use crate::wire::Protocol;

/// The most that an alert may come to once its coding is undone.
const LARGEST: usize = 1 << 20;

/// Opens the endpoint; gives its URL and the listener to serve.
///
/// # Errors
/// If no port can be had.
pub(crate) async fn open() -> io::Result<(String, TcpListener)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/", listener.local_addr()?);
    Ok((url, listener))
}

/// Writes each alert that is posted to the trace, for as long as the drill lasts.
pub(crate) async fn alerts(world: Rc<World>, listener: TcpListener) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let _ = socket.set_nodelay(true);
        let own = world.clone();
        spawn(&world, async move {
            let conn = Rc::new(Conn::new(Wire::Plain(socket), own.recorder.clone()));
            let protocol = conn.listen().await;
            let (first, spoke) = (conn.ahead(), Cell::new(false));
            let caller = Rc::new(Caller {
                world: own,
                conn: conn.clone(),
                first,
                spoke,
                halves: RefCell::default(),
                settled: Cell::new(false),
            });
            caller.register();
            match protocol {
                Protocol::Http1 => over_http1(&caller, Stream(conn)).await,
                Protocol::Http2 => over_http2(&caller, Stream(conn)).await,
            }
        });
    }
}

/// Writes what is still coming: whoever judges must not take it for silence.
pub(crate) fn settle(world: &World) {
    let callers: Vec<Rc<Caller>> = world.callers.borrow().iter().filter_map(Weak::upgrade).collect();
    for caller in callers {
        caller.settled.set(true);
        let whole = caller.halves.borrow().is_empty();
        caller.tell_of_halves("it was still on its way at the end");
        if whole {
            let _ = caller.tell_of_a_part("it was still on its way at the end");
        }
    }
}

/// Who opened a connection to the endpoint.
pub(crate) struct Caller {
    world: Rc<World>,
    conn: Rc<Conn>,
    /// What came first of all.
    first: Bytes,
    /// Whether a request came after that.
    spoke: Cell<bool>,
    /// Requests of which the head came and the body is awaited, by when they began.
    halves: RefCell<BTreeMap<(At, u64), String>>,
    /// Whether what was under way at the end is told of.
    settled: Cell<bool>,
}

/// A request among [`Caller::halves`].
type Half = (At, u64);

/// Why something that came cannot be read as an alert.
struct Unread {
    why: String,
    /// What can be read of it.
    text: String,
    status: StatusCode,
}

async fn over_http1(caller: &Rc<Caller>, stream: Stream) {
    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let caller = caller.clone();
        async move {
            let (head, body) = request.into_parts();
            let half = caller.begin(&head);
            let body = body.collect().await.ok().map(http_body_util::Collected::to_bytes);
            Ok::<_, Infallible>(caller.take(half, &head, body).map(|()| Full::new(Bytes::new())))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // The client may leave as it likes; what it posted whole is written.
    caller.tell_of_halves(BROKE_OFF);
    if caller.settled.get() || caller.tell_of_a_part(NO_REQUEST) {
        return;
    }
    match served {
        Err(e) if e.is_parse() && caller.spoke.get() => {
            caller.note(Value::String("bytes after an alert".to_owned()), Some(NO_REQUEST), None);
        }
        Err(e) if (e.is_parse() || e.is_incomplete_message()) && !caller.spoke.get() => caller.garbled(),
        _ => {}
    }
}

async fn over_http2(caller: &Rc<Caller>, stream: Stream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return caller.garbled() };
    while let Some(accepted) = connection.accept().await {
        match accepted {
            Ok((request, mut respond)) => {
                let own = caller.clone();
                let (head, body) = request.into_parts();
                let half = caller.begin(&head);
                spawn(&caller.world, async move {
                    let answer = own.take(half, &head, http2::whole(body).await.ok());
                    let _ = respond.send_response(answer, true);
                });
            }
            Err(e) if e.is_io() || e.is_remote() || caller.spoke.get() => return,
            Err(_) => return caller.garbled(),
        }
    }
}

const BROKE_OFF: &str = "it broke off";
const NO_REQUEST: &str = "it is no whole request of HTTP";

impl Caller {
    /// Makes it known to whoever ends the drill.
    fn register(self: &Rc<Caller>) {
        let mut callers = self.world.callers.borrow_mut();
        callers.retain(|known| known.strong_count() > 0);
        callers.push(Rc::downgrade(self));
    }

    /// Takes up a request of which the head came.
    fn begin(&self, head: &Parts) -> Half {
        self.spoke.set(true);
        let now = self.world.recorder.now();
        let began = self.conn.traffic.midway_since().map_or(now, |since| since.min(now));
        let mut halves = self.halves.borrow_mut();
        let half = (began, halves.last_key_value().map_or(0, |((_, n), _)| n + 1));
        halves.insert(half, line(head));
        half
    }

    /// Writes of each request that it will not come whole, and why.
    fn tell_of_halves(&self, why: &str) {
        for ((began, _), line) in self.halves.take() {
            self.note(Value::String(line), Some(why), Some(began));
        }
    }

    /// Writes of a part of a head that it is all that came, and why; false if there is none.
    fn tell_of_a_part(&self, why: &str) -> bool {
        let Some(text) = self.conn.traffic.part_of_a_head() else { return false };
        self.note(Value::String(text), Some(why), self.conn.traffic.midway_since());
        true
    }

    /// Takes a request whose body came, if it did not break off; gives the answer.
    fn take(&self, half: Half, head: &Parts, body: Option<Bytes>) -> http::Response<()> {
        let is_told = self.halves.borrow_mut().remove(&half).is_none();
        let Some(body) = body else {
            if !is_told {
                self.note(Value::String(line(head)), Some(BROKE_OFF), Some(half.0));
            }
            let mut answer = http::Response::new(());
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            return answer;
        };
        let alert = read(head, &body);
        let mut answer = http::Response::new(());
        match alert {
            Ok(alert) => {
                *answer.status_mut() = StatusCode::NO_CONTENT;
                self.note(alert, None, None);
            }
            Err(Unread { why, text, status }) => {
                *answer.status_mut() = status;
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                }
                self.note(Value::String(text), Some(&why), None);
            }
        }
        answer
    }

    /// Takes note of what came instead of a request.
    fn garbled(&self) {
        let text = std::str::from_utf8(&self.first).unwrap_or("bytes that are no text");
        self.note(Value::String(text.to_owned()), Some(NO_REQUEST), None);
    }

    fn note(&self, mut body: Value, unread: Option<&str>, began: Option<At>) {
        self.world.canon.canonical_json(&mut body);
        self.world.recorder.note(What::Alert { body, unread: unread.map(str::to_owned), began });
    }
}

/// The first line of a request.
fn line(head: &Parts) -> String {
    format!("{} {}", head.method, head.uri.path_and_query().map_or("/", |p| p.as_str()))
}

impl Unread {
    /// Of such a request no more can be read than its first line.
    fn of(head: &Parts, why: String, status: StatusCode) -> Unread {
        Unread { why, text: line(head), status }
    }
}

/// The alert that a request posts: JSON, the fields of a form, or text.
fn read(head: &Parts, body: &Bytes) -> Result<Value, Unread> {
    let field = |name: HeaderName| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if body.is_empty() {
        let status = match head.method {
            Method::POST => StatusCode::BAD_REQUEST,
            _ => StatusCode::METHOD_NOT_ALLOWED,
        };
        return Err(Unread::of(head, "it has no body".to_owned(), status));
    }
    let body = decode(field(CONTENT_ENCODING), body, LARGEST)
        .map_err(|e| Unread::of(head, e.to_string(), StatusCode::UNSUPPORTED_MEDIA_TYPE))?;
    let Ok(text) = std::str::from_utf8(&body) else {
        let (why, status) = ("its body is no UTF-8".to_owned(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        return Err(Unread { why, text: String::from_utf8_lossy(&body).into_owned(), status });
    };
    if field(CONTENT_TYPE).starts_with("application/x-www-form-urlencoded") {
        let fields = form_urlencoded::parse(text.as_bytes()).into_owned();
        return Ok(fields.map(|(name, value)| (name, Value::String(value))).collect());
    }
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}
