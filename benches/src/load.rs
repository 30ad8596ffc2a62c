//! A plain HTTP/1.1 load of keep-alive connections.
//!
//! Knows: how to send one prepared request over and over and count the answers. Must not know what
//! answers. It spends as little as it can, so that the server is what is measured.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends `requests` requests in all over `connections` keep-alive connections and returns how long
/// it took.
///
/// # Panics
/// If a connection fails or an answer is not a 200 with a Content-Length.
#[allow(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]
pub fn load(addr: SocketAddr, connections: usize, requests: usize, request: &'static [u8]) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut sockets = Vec::with_capacity(connections);
        for _ in 0..connections {
            let socket = TcpStream::connect(addr).await.expect("the server listens");
            socket.set_nodelay(true).expect("TCP_NODELAY");
            sockets.push(socket);
        }
        let started = std::time::Instant::now();
        let share = requests / connections;
        let mut tasks = tokio::task::JoinSet::new();
        for socket in sockets {
            tasks.spawn(exchange(socket, share, request));
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("a connection was answered");
        }
        started.elapsed()
    })
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
