//! Where the subject's alerts arrive.
//!
//! Knows: one small endpoint, over HTTP/1.1 and HTTP/2. Must not know: what an alert should say. What
//! comes and cannot be read as an alert is written all the same, or it would pass for silence.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;

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
            let caller = Rc::new(Caller { world: own, first: conn.ahead(), spoke: Cell::new(false) });
            match protocol {
                Protocol::Http1 => over_http1(&caller, Stream(conn)).await,
                Protocol::Http2 => over_http2(&caller, Stream(conn)).await,
            }
        });
    }
}

/// Who opened a connection to the endpoint.
struct Caller {
    world: Rc<World>,
    /// What came first of all.
    first: Bytes,
    /// Whether a request came after that.
    spoke: Cell<bool>,
}

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
            caller.spoke.set(true);
            let (head, body) = request.into_parts();
            let body = body.collect().await.ok().map(http_body_util::Collected::to_bytes);
            Ok::<_, Infallible>(caller.take(&head, body).map(|()| Full::new(Bytes::new())))
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // The client may leave as it likes; what it posted whole is written.
    if let Err(e) = served
        && !caller.spoke.get()
        && (e.is_parse() || e.is_incomplete_message())
    {
        caller.garbled();
    }
}

async fn over_http2(caller: &Rc<Caller>, stream: Stream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return caller.garbled() };
    while let Some(accepted) = connection.accept().await {
        match accepted {
            Ok((request, mut respond)) => {
                caller.spoke.set(true);
                let own = caller.clone();
                spawn(&caller.world, async move {
                    let (head, body) = request.into_parts();
                    let answer = own.take(&head, http2::whole(body).await.ok());
                    let _ = respond.send_response(answer, true);
                });
            }
            Err(e) if e.is_io() || e.is_remote() || caller.spoke.get() => return,
            Err(_) => return caller.garbled(),
        }
    }
}

impl Caller {
    /// Takes a request whose body came, if it did not break off; gives the answer.
    fn take(&self, head: &Parts, body: Option<Bytes>) -> http::Response<()> {
        let alert = match body {
            Some(body) => read(head, &body),
            None => Err(Unread::of(head, "it broke off".to_owned(), StatusCode::BAD_REQUEST)),
        };
        let mut answer = http::Response::new(());
        match alert {
            Ok(alert) => {
                *answer.status_mut() = StatusCode::NO_CONTENT;
                self.note(alert, None);
            }
            Err(Unread { why, text, status }) => {
                *answer.status_mut() = status;
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                }
                self.note(Value::String(text), Some(why));
            }
        }
        answer
    }

    /// Takes note of what came instead of a request.
    fn garbled(&self) {
        let text = std::str::from_utf8(&self.first).unwrap_or("bytes that are no text");
        self.note(Value::String(text.to_owned()), Some("it is no whole request of HTTP".to_owned()));
    }

    fn note(&self, mut body: Value, unread: Option<String>) {
        self.world.canon.canonical_json(&mut body);
        self.world.recorder.note(What::Alert { body, unread });
    }
}

impl Unread {
    /// Of such a request no more can be read than its first line.
    fn of(head: &Parts, why: String, status: StatusCode) -> Unread {
        let path = head.uri.path_and_query().map_or("/", |p| p.as_str());
        Unread { why, text: format!("{} {path}", head.method), status }
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
