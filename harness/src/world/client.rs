//! The small HTTP client by which the world calls the subject: webhooks, jobs, what it exposes.
//!
//! Knows: one request on a connection of its own. Must not know: what it is for.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::trace::Outcome;
use crate::wire::{Headers, Request, Response};

/// Sends `request` to `url`, which says only where: scheme, host and port. Its `host` header
/// field is sent as it stands.
///
/// # Errors
/// How it failed, as the sender saw it.
pub(crate) async fn call(url: &str, request: &Request, patience: Duration) -> Result<Response, Outcome> {
    tokio::time::timeout(patience, exchange(url, request)).await.unwrap_or(Err(Outcome::TimedOut))
}

async fn exchange(url: &str, request: &Request) -> Result<Response, Outcome> {
    let authority = authority(url).ok_or(Outcome::Refused)?;
    let socket = TcpStream::connect(authority).await.map_err(|_| Outcome::Refused)?;
    let _ = socket.set_nodelay(true);
    // Once the answer is there nobody reads on this connection: closed by RST, it leaves no port
    // in TIME_WAIT behind.
    let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|_| Outcome::Closed)?;
    let mut wire = http::Request::new(Full::new(request.body.clone()));
    *wire.method_mut() = request.method.parse().map_err(|_| Outcome::Refused)?;
    *wire.uri_mut() = request.target.parse().map_err(|_| Outcome::Refused)?;
    for (name, value) in &request.headers.0 {
        let (Ok(name), Ok(value)) =
            (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_bytes(value.as_bytes()))
        else {
            continue;
        };
        if name != http::header::CONTENT_LENGTH {
            wire.headers_mut().append(name, value);
        }
    }
    // Dropping this future drops the connection with it: nothing outlives the call.
    let answer = async {
        let answer = sender.send_request(wire).await.map_err(|e| outcome(&e))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|e| outcome(&e))?.to_bytes();
        let headers = head
            .headers
            .iter()
            .map(|(n, v)| (n.as_str().into(), String::from_utf8_lossy(v.as_bytes()).into()))
            .collect();
        Ok(Response { status: head.status.as_u16(), headers: Headers(headers), body })
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    let mut over = false;
    std::future::poll_fn(|cx| {
        use std::future::Future;
        if !over {
            over = connection.as_mut().poll(cx).is_ready();
        }
        answer.as_mut().poll(cx)
    })
    .await
}

fn outcome(error: &hyper::Error) -> Outcome {
    use std::error::Error;
    let reset = error
        .source()
        .and_then(|s| s.downcast_ref::<std::io::Error>())
        .is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
    match () {
        () if reset => Outcome::Reset,
        () if error.is_parse() => Outcome::Garbage,
        () if error.is_incomplete_message() => Outcome::Closed,
        () => Outcome::Truncated,
    }
}

/// The `host:port` of a plain HTTP URL.
pub(crate) fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://")?;
    Some(rest.split(['/', '?']).next().unwrap_or(rest))
}

/// The path and query of a URL.
pub(crate) fn target(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, r)| r);
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// A request without credentials, for a job or for what is exposed.
pub(crate) fn plain(method: &str, url: &str) -> Request {
    Request {
        method: method.into(),
        target: target(url).to_owned(),
        headers: Headers::of([("host", authority(url).unwrap_or_default())]),
        body: Bytes::new(),
    }
}
