//! How a program is found ready.
//!
//! Knows: a TCP connect, a GET, a line of output. Must not know: what comes after.

use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
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

/// How long an address may still be taken by what was just killed.
const VACATED_WITHIN: Duration = Duration::from_secs(1);

/// Ends once the program is found ready.
pub(super) type Found = Pin<Box<dyn Future<Output = ()>>>;

/// What the last look saw.
type Last = Rc<RefCell<Option<String>>>;

/// What is waited for.
pub(super) struct Awaiting {
    what: Option<What>,
    last: Last,
}

enum What {
    Line(String),
    Tcp(String),
    Http(String),
}

/// A future that ends once the program is ready, and what it waits for; to be called before any output
/// is read.
///
/// # Errors
/// If the place to look at cannot be filled in.
pub(super) fn wait(
    when: Option<&ReadyWhen>,
    around: &Surroundings,
    kept: &Rc<Kept>,
) -> Result<(Found, Awaiting), String> {
    let last = Last::default();
    let (ready, what): (Found, _) = match when {
        None => (Box::pin(std::future::ready(())), None),
        Some(ReadyWhen::Line(text)) => {
            let text = around.fill(text)?;
            (Box::pin(kept.contains(&text)), Some(What::Line(text)))
        }
        Some(ReadyWhen::Tcp(address)) => {
            let address = around.fill(address)?;
            let look = address.clone();
            (Box::pin(until(last.clone(), move || connects(look.clone()))), Some(What::Tcp(address)))
        }
        Some(ReadyWhen::Http(url)) => {
            let url = around.fill(url)?;
            let look = url.clone();
            (Box::pin(until(last.clone(), move || get(look.clone()))), Some(What::Http(url)))
        }
    };
    Ok((ready, Awaiting { what, last }))
}

impl Awaiting {
    /// Makes sure that nobody listens where the program is to be met.
    ///
    /// # Errors
    /// That somebody does.
    pub fn vacant(&self) -> impl Future<Output = Result<(), String>> + use<> {
        let address = match &self.what {
            Some(What::Tcp(address)) => Some(address.clone()),
            Some(What::Http(url)) => Some(parts(url).0.to_owned()),
            Some(What::Line(_)) | None => None,
        };
        async move {
            let Some(address) = address else { return Ok(()) };
            for _ in 0..VACATED_WITHIN.as_millis() / LOOK.as_millis() {
                let taken = tokio::time::timeout(PATIENCE, TcpStream::connect(&address)).await;
                if !matches!(taken, Ok(Ok(_))) {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(format!(
                "another program listens on {address} already, where this one is to be met (`ready`): end it, \
                 or have the program listen on `{{port}}`, which is free"
            ))
        }
    }

    /// What was waited for and what came; none if nothing had to be waited for.
    pub fn told(&self) -> Option<String> {
        let last = self.last.borrow();
        let last = last.as_deref().unwrap_or("it was not looked at yet");
        Some(match self.what.as_ref()? {
            What::Line(text) => format!("no line of its output contained `{text}`"),
            What::Tcp(address) => format!("a connection to {address}: {last}"),
            What::Http(url) => format!("GET {url}: {last}"),
        })
    }
}

async fn until<F: Future<Output = Result<(), String>>>(last: Last, look: impl Fn() -> F) {
    loop {
        let why = match tokio::time::timeout(PATIENCE, look()).await {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(_) => format!("no answer within {}s", PATIENCE.as_secs()),
        };
        *last.borrow_mut() = Some(why);
        tokio::time::sleep(LOOK).await;
    }
}

async fn connects(address: String) -> Result<(), String> {
    connect(&address).await.map(drop)
}

async fn connect(address: &str) -> Result<TcpStream, String> {
    TcpStream::connect(address).await.map_err(|e| match e.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => e.to_string(),
    })
}

/// A GET of `url`, to be answered with 2xx.
async fn get(url: String) -> Result<(), String> {
    let (authority, target) = parts(&url);
    let mut socket = connect(authority).await?;
    let request = format!("GET /{target} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut head = Vec::new();
    while head.len() < 12 {
        let mut more = [0; 64];
        match socket.read(&mut more).await.map_err(|e| e.to_string())? {
            0 => return Err("the connection was closed without an answer".to_owned()),
            n => head.extend_from_slice(&more[..n]),
        }
    }
    let status = head.get(9..12).and_then(|s| std::str::from_utf8(s).ok()).unwrap_or_default();
    match head.starts_with(b"HTTP/1.") && status.bytes().all(|b| b.is_ascii_digit()) {
        true if status.starts_with('2') => Ok(()),
        true => Err(format!("answered with {status}")),
        false => Err("what answers speaks no HTTP/1".to_owned()),
    }
}

/// The `host:port` of a plain HTTP URL, and what follows the slash after it.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    rest.split_once('/').unwrap_or((rest, ""))
}
