//! What a client and a vendor notice of the proxy between them: nothing but the address.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as Sending;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use bytes::Bytes;
use firedrill::fixture::{Body, Omitted};
use firedrill::record::Notice;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{Rig, client, json_body};

fn coded(coding: &'static str, kind: &'static str, hex: &str) -> Response {
    let body = hex::decode(hex).unwrap();
    ([("content-encoding", coding), ("content-type", kind)], body).into_response()
}

/// `{"a":1}`, by Python's gzip and zlib, Node's brotli, and zstd.
const CODED: [(&str, &str); 4] = [
    ("gzip", "1f8b0800000000000203ab564a54b232ac0500afac1b5607000000"),
    ("deflate", "789cab564a54b232ac0500082a0209"),
    ("br", "0b03807b2261223a317d03"),
    ("zstd", "28b52ffd04583900007b2261223a317d488bfc32"),
];

#[tokio::test]
async fn compressed_bodies_reach_the_client_as_they_are_and_the_file_decoded() {
    let mut vendor = Router::new();
    for (coding, hex) in CODED {
        let route = get(move || async move { coded(coding, "application/json", hex) });
        vendor = vendor.route(&format!("/{coding}"), route);
    }
    let torn = || async { coded("gzip", "application/json", "1f8b08000000") };
    let rig = Rig::before(vendor.route("/torn", get(torn))).await;
    for (coding, hex) in CODED {
        let answer = client().get(rig.url(&format!("/{coding}"))).send().await.unwrap();
        assert_eq!(answer.headers()["content-encoding"], coding);
        assert_eq!(hex::encode(answer.bytes().await.unwrap()), hex, "{coding}");
    }
    let torn = client().get(rig.url("/torn")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(torn.len(), 6, "a body that cannot be decoded is passed on all the same");
    let recorded = rig.end().await;
    for (n, (coding, _)) in CODED.iter().enumerate() {
        assert_eq!(recorded.body(n), &Body::Json(json!({ "a": 1 })), "{coding}");
    }
    assert!(
        matches!(recorded.body(4), Body::Omitted(o) if o.length == 6),
        "what cannot be looked into stays out"
    );
}

#[tokio::test]
async fn a_head_is_recorded_with_the_length_and_the_coding_of_what_it_leaves_out() {
    let vendor =
        Router::new().route("/gzip", get(|| async { coded("gzip", "application/json", CODED[0].1) }));
    let rig = Rig::before(vendor).await;
    let answer = client().head(rig.url("/gzip")).send().await.unwrap();
    assert_eq!(answer.headers()["content-length"], "27");
    assert!(answer.bytes().await.unwrap().is_empty());
    let recorded = rig.end().await;
    let answer = &recorded.exchange(0).response;
    let said = ["content-length", "content-encoding"].map(|name| answer.headers.get(name));
    assert_eq!((said, &answer.body), ([Some("27"), Some("gzip")], &None));
}

#[tokio::test]
async fn a_stream_reaches_the_client_as_it_comes() {
    let (send, receive) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let receive = Arc::new(Mutex::new(Some(receive)));
    let vendor = Router::new().route(
        "/events",
        get(move || async move {
            let receive = receive.lock().unwrap().take().unwrap();
            ([("content-type", "text/event-stream")], Sending::new(Channel(receive)))
        }),
    );
    let rig = Rig::before(vendor).await;
    let mut answer = client().get(rig.url("/events")).send().await.unwrap();
    for event in ["data: 1\n\n", "data: {\"access_token\": \"abcdefgh12345\"}\n\n", "data: 3\n\n"] {
        // The next is sent only once the one before has come through: a proxy that collects hangs.
        send.send(event).unwrap();
        let came =
            tokio::time::timeout(Duration::from_secs(10), answer.chunk()).await.expect("it is held up");
        assert_eq!(came.unwrap().unwrap(), event);
    }
    send.send("data: torn").unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: torn");
    drop(answer);
    let recorded = rig.end().await;
    let text = "data: 1\n\ndata: {\"access_token\": \"REDACTED-1\"}\n\ndata: 3\n\n";
    assert_eq!(recorded.body(0), &Body::Text(text.into()), "{:?}", recorded.notices);
}

/// A body whose frames come out of a channel.
struct Channel(tokio::sync::mpsc::UnboundedReceiver<&'static str>);

impl hyper::body::Body for Channel {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|text| text.map(|t| Ok(Frame::data(Bytes::from_static(t.as_bytes())))))
    }
}

#[tokio::test]
async fn a_large_body_is_kept_as_length_and_hash_and_passes_whole() {
    const LENGTH: usize = 3 << 20;
    let big = Bytes::from(vec![b'x'; LENGTH]);
    let (down, up) = (big.clone(), Omitted::of(&big));
    let vendor = Router::new().route("/down", get(move || async move { down })).route(
        "/up",
        post(|body: Request| async {
            body.into_body().collect().await.unwrap().to_bytes().len().to_string()
        }),
    );
    let rig = Rig::before(vendor).await;
    let got = client().get(rig.url("/down")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(got, big);
    let counted = client().post(rig.url("/up")).body(big).send().await.unwrap().text().await.unwrap();
    assert_eq!(counted, LENGTH.to_string());
    let recorded = rig.end().await;
    assert_eq!(recorded.body(0), &Body::Omitted(up.clone()));
    assert_eq!(recorded.exchange(1).request.body, Some(Body::Omitted(up)));
    assert!(
        recorded.text.len() < 4096 && recorded.text.contains("too large to be kept"),
        "{}",
        recorded.text
    );
    assert_eq!(recorded.summary.omitted, 2);
}

#[tokio::test]
async fn bodies_that_are_not_kept_do_not_part_a_run() {
    let big = Bytes::from(vec![b'x'; 9 << 20]);
    let vendor = Router::new().route("/down", get(move || async move { big }));
    let rig = Rig::before(vendor).await;
    for _ in 0..3 {
        client().get(rig.url("/down")).send().await.unwrap().bytes().await.unwrap();
    }
    let recorded = rig.end().await;
    assert_eq!((recorded.summary.files.len(), recorded.summary.omitted), (1, 3));
    assert_eq!(recorded.run.unwrap().exchanges.len(), 3);
}

#[tokio::test]
async fn binary_bodies_survive_byte_by_byte() {
    let bytes: Vec<u8> = (0..=255).collect();
    let vendor = Router::new().route("/", any(|r: Request| async { r.into_body() }));
    let rig = Rig::before(vendor).await;
    let got = client().put(rig.url("/")).body(bytes.clone()).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(got, bytes);
    let recorded = rig.end().await;
    assert_eq!(recorded.body(0).bytes(), bytes);
    assert_eq!(recorded.exchange(0).request.body.as_ref().unwrap().bytes(), bytes);
}

/// Sends bytes as they are and reads until the other side closes.
async fn raw(own: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(own.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn fields_between_neighbours_stay_between_them_and_the_host_is_the_vendors() {
    let vendor = Router::new().route(
        "/a//b/%2e%2e/c",
        get(|headers: HeaderMap| async move {
            let seen =
                headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect::<Vec<_>>();
            ([("connection", "x-theirs"), ("x-theirs", "1"), ("x-kept", "2")], seen.join("|"))
        }),
    );
    let rig = Rig::before(vendor).await;
    let request = "GET /a//b/%2e%2e/c?q=%7B HTTP/1.1\r\nHost: mine.test\r\nConnection: close, X-Mine\r\n\
                   X-Mine: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: websocket\r\nProxy-Authorization: Basic eA==\r\n\
                   X-End: 3\r\n\r\n";
    let answer = raw(&rig.own, request).await;
    let host = rig.vendor.trim_start_matches("http://").to_owned();
    for gone in
        ["x-mine", "x-theirs", "keep-alive", "trailers", "upgrade", "proxy-authorization", "mine.test", "via"]
    {
        assert!(!answer.to_lowercase().contains(gone), "{gone} in {answer}");
    }
    assert!(answer.contains("x-kept: 2") && answer.contains("x-end: 3"), "{answer}");
    assert!(answer.contains(&format!("host: {host}")), "{answer}");
    let recorded = rig.end().await;
    let request = &recorded.exchange(0).request;
    assert_eq!(request.target, "/a//b/%2e%2e/c?q=%7B", "the target passes letter by letter");
    assert_eq!(request.headers.0, [("x-end".into(), "3".into())]);
}

#[tokio::test]
async fn links_lead_back_to_the_proxy_and_the_recording_keeps_the_vendors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}", listener.local_addr().unwrap());
    let there = own.clone();
    let page = move |page: u32| {
        let next = format!("{there}/items?page={}", page + 1);
        let headers = [("link", format!("<{next}>; rel=\"next\"")), ("location", next.clone())];
        (headers, json_body(json!({ "next": next, "other": "https://elsewhere.test/" })))
    };
    let vendor = Router::new().route("/items", get(move || async move { page(1) }));
    tokio::spawn(async move { axum::serve(listener, vendor).await });
    let rig = Rig::with(own.clone(), |_| {}).await;
    let answer = client().get(rig.url("/items")).send().await.unwrap();
    let next = rig.url("/items?page=2");
    assert_eq!(answer.headers()["location"], next);
    assert_eq!(answer.headers()["link"], format!("<{next}>; rel=\"next\""));
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body, json!({ "next": next, "other": "https://elsewhere.test/" }));
    assert_eq!(client().get(next).send().await.unwrap().status(), StatusCode::OK);
    let recorded = rig.end().await;
    assert!(recorded.text.contains(&own) && recorded.summary.recorded == 2, "{}", recorded.text);
    assert_eq!(recorded.exchange(0).response.headers.get("location"), Some(&*format!("{own}/items?page=2")));
    assert_eq!(recorded.exchange(1).request.target, "/items?page=2");
}

#[tokio::test]
async fn a_vendor_that_gives_no_answer_is_a_502_and_no_recording() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let rig = Rig::with(format!("http://{closed}"), |_| {}).await;
    let answer = client().get(rig.url("/a?token=abcdefgh1")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert!(answer.text().await.unwrap().contains("Connection refused"));
    let recorded = rig.end().await;
    assert!(recorded.run.is_none() && recorded.summary.unanswered == 1);
    assert!(
        matches!(&recorded.notices[..], [Notice::NoAnswer { what, .. }] if what == "GET /a?token=REDACTED")
    );
}

#[tokio::test]
async fn a_torn_answer_is_torn_for_the_client_too_and_noted_in_the_file() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let vendor = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let rig = Rig::with(vendor, |_| {}).await;
    assert_eq!(client().get(rig.url("/whole")).send().await.unwrap().text().await.unwrap(), "ok");
    let torn = client().get(rig.url("/torn")).send().await.unwrap().text().await;
    assert!(torn.is_err(), "the client must see that it is torn");
    let recorded = rig.end().await;
    assert_eq!(recorded.run.as_ref().unwrap().exchanges.len(), 1);
    let note = &recorded.run.as_ref().unwrap().notes[0];
    assert!(note.starts_with("GET /torn: the vendor broke off after 2 bytes"), "{note}");
}

#[tokio::test]
async fn https_upstreams_are_reached_and_strangers_are_not_trusted() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("root.pem");
    std::fs::write(&roots, signed.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecure").await;
            let _ = stream.shutdown().await;
        }
    });
    for (trusted, status) in [(false, StatusCode::BAD_GATEWAY), (true, StatusCode::OK)] {
        let upstream = firedrill::record::Upstream::new(&address, trusted.then_some(&*roots)).unwrap();
        let rig = Rig::with("http://127.0.0.1:1".into(), |r| r.upstream = upstream).await;
        let answer = client().get(rig.url("/")).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let text = answer.text().await.unwrap();
        assert_eq!(text == "secure", trusted, "{text}");
        assert_eq!(rig.end().await.summary.recorded, usize::from(trusted));
    }
}
