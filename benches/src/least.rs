//! The least that an exchange in virtual time can cost: what a drill does over its sockets, and nothing else.
//!
//! Knows: a plain reqwest client and a bare hyper server on one paused runtime. Must not know: drills.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::servers::ANSWER;

/// Makes `count` exchanges one after another, each with a small form and an answer of some 330 bytes.
///
/// # Panics
/// If one of them fails.
pub fn exchanges(count: u64) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let local = tokio::task::LocalSet::new();
    runtime.expect("a runtime").block_on(local.run_until(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1/invoices", listener.local_addr().expect("an address"));
        tokio::task::spawn_local(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                let _ = socket.set_nodelay(true);
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service_fn(answer));
                tokio::task::spawn_local(served);
            }
        });
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        for n in 0..count {
            let sent = client
                .post(&url)
                .header("content-type", "application/x-www-form-urlencoded")
                .header("authorization", "Bearer sk_test_bench")
                .header("idempotency-key", format!("bench-{n}"))
                .body(format!("customer=cus_1&amount={n}&currency=eur&metadata[deal]={n}"))
                .send();
            let answer = sent.await.expect("an answer").bytes().await.expect("a whole answer");
            assert_eq!(answer.len(), ANSWER.len());
        }
        count
    }))
}

async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let _ = request.into_body().collect().await;
    Ok(hyper::Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes()))))
}
