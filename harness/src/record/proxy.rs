//! The proxy itself: a request in, the same request on to the vendor, the answer back.
//!
//! Knows: what a gateway owes both sides (RFC 9110 §7.6). Must not know: files or secrets.

use std::convert::Infallible;
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Recording;
use super::capture::Capture;
use super::keeper::Passed;
use super::links::Links;
use super::relay::{End, Relay, Sent};
use super::upstream::Http;
use crate::wire::Headers;

/// How long what is under way has when the recording ends.
const PATIENCE: Duration = Duration::from_secs(2);

/// Fields that are between two neighbours only (RFC 9110 §7.6.1), and those for a proxy itself.
const HOP_BY_HOP: [&str; 7] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "transfer-encoding",
    "upgrade",
    "proxy-authorization",
];

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

struct Proxy {
    http: Http,
    authority: HeaderValue,
    origin: String,
    own: String,
    links: Links,
    limit: usize,
    uncompressed: bool,
    order: AtomicU64,
    passed: Sender<Passed>,
}

/// Serves until `stop` is done, and then until what is under way has ended, two seconds at most.
pub(super) async fn serve(
    recording: &Recording,
    own: &str,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    passed: Sender<Passed>,
) {
    let Ok(http) = recording.upstream.client() else { return };
    let origin = recording.upstream.origin().to_owned();
    let Ok(authority) = HeaderValue::from_str(recording.upstream.authority()) else { return };
    let proxy = Arc::new(Proxy {
        http,
        authority,
        links: Links::new(&origin, own),
        origin,
        own: own.to_owned(),
        limit: recording.largest_body,
        uncompressed: recording.uncompressed,
        order: AtomicU64::new(0),
        passed,
    });
    let (ending, end) = tokio::sync::watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                // A connection that is gone already, or no descriptor to be had: the next may do.
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let proxy = Arc::clone(&proxy);
                let mut end = end.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let proxy = Arc::clone(&proxy);
                        async move { Ok::<_, Infallible>(proxy.pass(request).await) }
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    tokio::pin!(connection);
                    tokio::select! {
                        biased;
                        _ = connection.as_mut() => return,
                        _ = end.wait_for(|end| *end) => {}
                    }
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                });
            }
        }
    }
    drop(listener);
    let _ = ending.send(true);
    let _ = tokio::time::timeout(PATIENCE, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
}

impl Proxy {
    async fn pass(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        let (mut head, body) = request.into_parts();
        let Some(target) = head.uri.path_and_query().map(|t| t.as_str().to_owned()) else {
            let text = "firedrill record is a reverse proxy: point the client's base address at it, \
                        and leave its proxy settings alone\n";
            return plain(StatusCode::NOT_IMPLEMENTED, text.to_owned());
        };
        let method = head.method.clone();
        let what = format!("{method} {}", crate::fixture::displayable_target(&target));
        end_to_end(&mut head.headers);
        head.headers.remove(header::HOST);
        // The server has answered it already (RFC 9110 §10.1.1).
        head.headers.remove(header::EXPECT);
        let recorded = fields(&head.headers);
        for name in [header::ORIGIN, header::REFERER] {
            if let Some(value) = head.headers.get_mut(&name)
                && let Some(rest) = value.to_str().ok().and_then(|v| v.strip_prefix(self.own.as_str()))
                && let Ok(theirs) = HeaderValue::from_str(&format!("{}{rest}", self.origin))
            {
                *value = theirs;
            }
        }
        head.headers.insert(header::HOST, self.authority.clone());
        if self.uncompressed {
            head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        let Ok(uri) = format!("{}{target}", self.origin).parse::<http::Uri>() else {
            return plain(
                StatusCode::BAD_REQUEST,
                format!("firedrill record: `{what}` cannot be passed on\n"),
            );
        };
        let sent = Arc::new(Mutex::new(Capture::new(self.limit)));
        let mut onward = Request::new(Sent::new(body, Arc::clone(&sent)));
        *onward.method_mut() = method.clone();
        *onward.uri_mut() = uri;
        *onward.headers_mut() = head.headers;
        let mut exchange = Passed {
            order,
            what,
            method: method.to_string(),
            target,
            request: recorded,
            ..Passed::default()
        };
        match self.http.request(onward).await {
            Ok(response) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
                exchange.sent = Some(sent);
                self.answer(&method, exchange, response)
            }
            Ok(_) => self.bad_gateway(exchange, "the vendor switched protocols unasked".to_owned()),
            Err(error) => {
                let why = why(&error);
                let advice = super::advice(&why);
                self.bad_gateway(exchange, format!("{why}{advice}"))
            }
        }
    }

    fn answer(&self, method: &Method, mut exchange: Passed, response: Response<Incoming>) -> Answer {
        let (mut head, body) = response.into_parts();
        end_to_end(&mut head.headers);
        exchange.status = head.status.as_u16();
        exchange.response = fields(&head.headers);
        exchange.origin = self.origin.clone();
        for name in [header::LOCATION, header::CONTENT_LOCATION, header::LINK, header::REFRESH] {
            let theirs: Vec<HeaderValue> = head.headers.get_all(&name).iter().cloned().collect();
            head.headers.remove(&name);
            for value in theirs {
                let ours = value.to_str().ok().map(|v| self.links.whole(v));
                let ours = ours.and_then(|v| HeaderValue::from_str(&v).ok());
                head.headers.append(&name, ours.unwrap_or(value));
            }
        }
        let links = is_plain_text(&head.headers).then(|| self.links.clone());
        if links.is_some() && *method != Method::HEAD {
            // The length may change on the way.
            head.headers.remove(header::CONTENT_LENGTH);
        }
        exchange.links_kept = links.is_none();
        let passed = self.passed.clone();
        let ended = Box::new(move |capture: Capture, end: End| {
            exchange.end = Some(end);
            exchange.answered = Some(capture);
            // Without a keeper nothing is recorded any more, and nobody is left to be told.
            let _ = passed.send(exchange);
        });
        let relay = Relay::new(body, links, Capture::new(self.limit), ended);
        Response::from_parts(head, relay.boxed())
    }

    fn bad_gateway(&self, mut exchange: Passed, why: String) -> Answer {
        let text = format!("firedrill record: {} gave no answer: {why}\n", self.origin);
        exchange.failed = Some(format!("no answer from {}: {why}; the client got 502", self.origin));
        let _ = self.passed.send(exchange);
        plain(StatusCode::BAD_GATEWAY, text)
    }
}

fn plain(status: StatusCode, text: String) -> Answer {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// Removes what is between two neighbours only: the known fields, and those that `Connection` names.
fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Fields as they are recorded; bytes outside of ASCII are read as Latin-1, as HTTP once said.
fn fields(headers: &HeaderMap) -> Headers {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|b| char::from(*b)).collect::<String>();
    Headers::of(headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))))
}

/// Whether a body is text whose addresses can be turned: not coded, and not for machines' eyes only.
fn is_plain_text(headers: &HeaderMap) -> bool {
    let coded = headers.get(header::CONTENT_ENCODING).is_some_and(|v| v != "identity");
    let partial = headers.contains_key(header::CONTENT_RANGE);
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = kind.ends_with("json") || kind.ends_with("xml") || kind.starts_with("text/");
    text && !coded && !partial
}

/// An error with all that it says of its causes.
pub(super) fn why(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = inner.source();
    }
    said
}
