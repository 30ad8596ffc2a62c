//! How a program is found ready.
//!
//! Knows: a TCP connect, a GET, a line of output. Must not know: what comes after.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::fill::Surroundings;
use super::output::Kept;
use crate::scenario::ReadyWhen;

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A future that ends once the program is ready.
///
/// # Errors
/// If the place to look at cannot be filled in.
pub(super) fn wait(
    when: Option<&ReadyWhen>,
    around: &Surroundings,
    kept: &Rc<Kept>,
) -> Result<Pin<Box<dyn Future<Output = ()>>>, String> {
    Ok(match when {
        None => Box::pin(std::future::ready(())),
        Some(ReadyWhen::Line(text)) => Box::pin(kept.contains(text)),
        Some(ReadyWhen::Tcp(address)) => {
            let address = around.fill(address)?;
            Box::pin(until(move || {
                let address = address.clone();
                async move { TcpStream::connect(address).await.is_ok() }
            }))
        }
        Some(ReadyWhen::Http(url)) => {
            let url = around.fill(url)?;
            Box::pin(until(move || {
                let url = url.clone();
                async move { get(&url).await.unwrap_or(false) }
            }))
        }
    })
}

async fn until<F: Future<Output = bool>>(look: impl Fn() -> F) {
    while !tokio::time::timeout(PATIENCE, look()).await.unwrap_or(false) {
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a GET of `url` is answered with 2xx.
async fn get(url: &str) -> Option<bool> {
    let rest = url.strip_prefix("http://")?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    let mut socket = TcpStream::connect(authority).await.ok()?;
    let path = if path.is_empty() { "/" } else { path };
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while head.len() < 12 {
        let mut more = [0; 64];
        match socket.read(&mut more).await.ok()? {
            0 => return None,
            n => head.extend_from_slice(&more[..n]),
        }
    }
    let status = std::str::from_utf8(head.get(9..12)?).ok()?;
    Some(head.starts_with(b"HTTP/1.") && status.starts_with('2'))
}
