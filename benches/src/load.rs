//! A plain load: keep-alive connections over HTTP/1.1, or streams over HTTP/2.
//!
//! Knows: how to send one prepared request over and over and count the answers. Must not know what
//! answers. It spends as little as it can, so that the server is what is measured.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends `requests` requests in all over `connections` keep-alive connections and returns how long
/// it took.
///
/// # Panics
/// If a connection fails or an answer is not a 200 with a Content-Length.
pub fn load(addr: SocketAddr, connections: usize, requests: usize, request: &'static [u8]) -> Duration {
    in_a_runtime(async {
        let mut sockets = Vec::with_capacity(connections);
        for _ in 0..connections {
            sockets.push(connected(addr).await);
        }
        let share = requests / connections;
        timed(sockets.into_iter().map(|socket| exchange(socket, share, request))).await
    })
}

/// Sends `requests` requests in all over `connections` connections that speak HTTP/2 with prior
/// knowledge, `streams` at once on each, and returns how long it took.
///
/// # Panics
/// If a connection fails or an answer is not a 200.
pub fn load_http2(
    addr: SocketAddr,
    connections: usize,
    streams: usize,
    requests: usize,
    request: &hyper::Request<()>,
) -> Duration {
    in_a_runtime(async {
        let mut senders = Vec::with_capacity(connections * streams);
        for _ in 0..connections {
            let (send, connection) = h2::client::handshake(connected(addr).await).await.expect("HTTP/2");
            tokio::spawn(connection);
            senders.extend(std::iter::repeat_n(send, streams));
        }
        let share = requests / senders.len();
        timed(senders.into_iter().map(|send| exchange_http2(send, share, request.clone()))).await
    })
}

fn in_a_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

async fn connected(addr: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(addr).await.expect("the server listens");
    socket.set_nodelay(true).expect("TCP_NODELAY");
    socket
}

/// How long all of these take together.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]
async fn timed<F: Future<Output = ()> + Send + 'static>(work: impl Iterator<Item = F>) -> Duration {
    let started = std::time::Instant::now();
    let mut tasks: tokio::task::JoinSet<()> = work.collect();
    while let Some(done) = tasks.join_next().await {
        done.expect("a connection was answered");
    }
    started.elapsed()
}

async fn exchange(mut socket: TcpStream, times: usize, request: &'static [u8]) {
    let mut buffer = vec![0u8; 16 * 1024];
    for _ in 0..times {
        socket.write_all(request).await.expect("a request is written");
        let mut filled = 0;
        loop {
            let read = socket.read(&mut buffer[filled..]).await.expect("an answer is read");
            assert!(read > 0, "the server closed a kept-alive connection");
            filled += read;
            if whole(&buffer[..filled]) {
                break;
            }
        }
    }
}

async fn exchange_http2(
    send: h2::client::SendRequest<bytes::Bytes>,
    times: usize,
    request: hyper::Request<()>,
) {
    for _ in 0..times {
        let mut ready = send.clone().ready().await.expect("the connection stands");
        let (answer, _) = ready.send_request(request.clone(), true).expect("a request is sent");
        let answer = answer.await.expect("an answer comes");
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        while let Some(piece) = body.data().await {
            let piece = piece.expect("a body comes whole");
            body.flow_control().release_capacity(piece.len()).expect("bytes that came");
        }
    }
}

/// Whether `answer` holds a whole 200 response.
fn whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    assert!(answer.starts_with(b"HTTP/1.1 200"), "not a 200: {}", String::from_utf8_lossy(&answer[..head]));
    let text = std::str::from_utf8(&answer[..head]).expect("an ASCII head").to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|n| n.trim().parse::<usize>().ok())
        .expect("a Content-Length");
    answer.len() >= head + 4 + length
}
