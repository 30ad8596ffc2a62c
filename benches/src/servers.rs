//! The servers that are compared: each on one thread, with a runtime of its own, giving one and the
//! same answer.
//!
//! Knows: how each is started. Must not know: what is asked of it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use firedrill::drill::EPOCH;
use firedrill::fixture::{Fixture, Replay};
use firedrill::scenario::ReplayMode;
use firedrill::seed::Seed;
use firedrill::time::{At, Span};
use firedrill::vendor::{self, Vendor, VendorFile};
use firedrill::wire::{Headers, Request};
use firedrill::world::{Disk, Journal, Server};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

/// The answer of every stub: some 330 bytes of JSON.
pub const ANSWER: &str = r#"{"id":"in_1NQfC2Fqk2XzVYcWnTzLdZQx","object":"invoice","amount_due":123456,"amount_paid":0,"currency":"eur","customer":"cus_OHAxJ5d1VtLxHk","status":"open","metadata":{"deal_id":"9000000001"},"livemode":false,"created":1772442000,"number":"A1B2C3D4-0001","description":"Deal 9000000001","total":123456,"attempt_count":0}"#;

/// Asks for it, as a client of the vendor would.
pub const REQUEST: &[u8] = b"GET /v1/invoices/in_1NQfC2Fqk2XzVYcWnTzLdZQx HTTP/1.1\r\n\
    host: 127.0.0.1\r\naccept: application/json\r\nuser-agent: bench/1\r\n\
    authorization: Bearer sk_test_bench\r\n\r\n";

/// The same over HTTP/2, from the server at `addr`.
///
/// # Panics
/// If there can be no such request.
pub fn request(addr: SocketAddr) -> hyper::Request<()> {
    hyper::Request::get(format!("http://{addr}/v1/invoices/in_1NQfC2Fqk2XzVYcWnTzLdZQx"))
        .header("accept", "application/json")
        .header("user-agent", "bench/1")
        .header("authorization", "Bearer sk_test_bench")
        .body(())
        .expect("a request")
}

/// A server on a thread of its own; it stops when this is dropped.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts one: `serve` says where it listens and goes on until it is told to stop.
///
/// # Panics
/// If it ends before it listens.
pub fn running(
    serve: impl FnOnce(mpsc::Sender<SocketAddr>, tokio::sync::oneshot::Receiver<()>) + Send + 'static,
) -> Running {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (send, receive) = mpsc::channel();
    let thread = std::thread::spawn(move || serve(send, stopped));
    let addr = receive.recv().expect("the server starts");
    Running { addr, stop: Some(stop), thread: Some(thread) }
}

/// hyper alone: nothing is looked at, nothing is kept.
pub fn bare() -> Running {
    accepting(|socket| {
        let served = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(socket), service_fn(stub_answer));
        tokio::task::spawn_local(served);
    })
}

/// The same over HTTP/2.
pub fn bare_http2() -> Running {
    accepting(|socket| {
        let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(socket), service_fn(stub_answer));
        tokio::task::spawn_local(served);
    })
}

fn accepting(serve: fn(TcpStream)) -> Running {
    running(move |ready, stopped| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            ready.send(listener.local_addr().expect("an address")).expect("somebody waits");
            tokio::task::spawn_local(async move {
                loop {
                    let (socket, _) = listener.accept().await.expect("a connection");
                    let _ = socket.set_nodelay(true);
                    serve(socket);
                }
            });
            let _ = stopped.await;
        }));
    })
}

async fn stub_answer(
    _: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let mut answer = hyper::Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    let kind = hyper::header::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    Ok(answer)
}

/// wiremock with a stub on method and path. It serves from one thread of its own, too, and keeps
/// every request.
pub fn wiremock() -> Running {
    running(|ready, stopped| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            use wiremock::matchers::{method, path};
            let server = wiremock::MockServer::start().await;
            wiremock::Mock::given(method("GET"))
                .and(path("/v1/invoices/in_1NQfC2Fqk2XzVYcWnTzLdZQx"))
                .respond_with(
                    wiremock::ResponseTemplate::new(200).set_body_raw(ANSWER.as_bytes(), "application/json"),
                )
                .mount(&server)
                .await;
            ready.send(*server.address()).expect("somebody waits");
            let _ = stopped.await;
        });
    })
}

/// How much firedrill keeps.
#[derive(Clone, Copy, Debug)]
pub enum Keep {
    /// Everything.
    Whole,
    /// The last events.
    Last(usize),
    /// Everything, of which memory keeps so many events and the disk the rest.
    Spilled(usize),
}

impl Keep {
    fn journal(self) -> Journal {
        match self {
            Keep::Whole => Journal::Whole,
            Keep::Last(events) => Journal::Last(events),
            Keep::Spilled(events) => {
                Journal::Spilled(Disk::nameless(events).expect("there is room for a temporary file"))
            }
        }
    }
}

/// A vendor of firedrill, recording.
pub fn firedrill(keep: Keep, open: fn() -> Box<dyn Vendor>) -> Running {
    running(move |ready, stopped| {
        let server = Server {
            vendors: BTreeMap::from([("billing".to_owned(), open())]),
            ports: BTreeMap::new(),
            tls: None,
            faults: Vec::new(),
            epoch: EPOCH,
            seed: Seed(1),
            journal: keep.journal(),
        };
        let told = |urls: &BTreeMap<String, String>| {
            let addr = urls["billing"].trim_start_matches("http://").parse().expect("an address");
            ready.send(addr).expect("somebody waits");
        };
        let stop = async move {
            let _ = stopped.await;
        };
        server.run(told, stop).expect("it serves");
    })
}

/// Stripe without its rate limit.
///
/// # Panics
/// If its description is wrong.
pub fn stripe() -> Box<dyn Vendor> {
    let unlimited = json!({ "rate_limit": null });
    let file = VendorFile::load("stripe", None, &unlimited).unwrap_or_else(|m| panic!("{m:?}"));
    vendor::open(&Arc::new(file), EPOCH, Seed(1))
}

/// Stripe that answers from one recorded exchange.
///
/// # Panics
/// If the recording is wrong.
pub fn stub() -> Box<dyn Vendor> {
    let recorded: Fixture = serde_json::from_value(json!({
        "origin": "made up, for a benchmark",
        "recorded": "2026-03-02",
        "exchanges": [{
            "request": { "method": "GET", "target": "/v1/invoices/in_1NQfC2Fqk2XzVYcWnTzLdZQx" },
            "response": { "status": 200, "headers": ["content-type: application/json"], "body": { "text": ANSWER } },
        }],
    }))
    .unwrap_or_else(|e| panic!("{e}"));
    Box::new(Replay::new(stripe(), &recorded, ReplayMode::Exact, EPOCH))
}

/// Makes a customer in the model, and gives what reads it.
///
/// # Panics
/// If the model refuses.
pub fn customer(stripe: &mut dyn Vendor) -> Request {
    let key = stripe.credentials().remove("api_key").expect("Stripe hands over a key");
    let made = stripe.step(At(0), &create(&key, 0), Span::ZERO);
    let made = made.response.expect("an answer");
    let made: serde_json::Value = serde_json::from_slice(&made.body).expect("JSON");
    let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
    let mut read = create(&key, 0);
    read.method = "GET".into();
    read.target = format!("/v1/customers/{id}");
    read.headers.remove("content-type");
    read.headers.remove("idempotency-key");
    read.body = Bytes::new();
    read
}

/// Asks for the `n`th customer to be made.
pub fn create(key: &str, n: u64) -> Request {
    Request {
        method: "POST".into(),
        target: "/v1/customers".to_owned(),
        headers: Headers::of([
            ("host", "api.stripe.com".to_owned()),
            ("authorization", format!("Bearer {key}")),
            ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ("idempotency-key", format!("bench-{n}")),
        ]),
        body: format!("email=a{n}@example.test&name=Ann&metadata[deal]={n}").into(),
    }
}
