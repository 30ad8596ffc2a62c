//! A plain client that asks for what was recorded, in order, as a subject of a drill.
//!
//! Knows: requests, waits and retries. Must not know: what the answers should be.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use firedrill::fixture::{Body, Exchange, RecordedRequest};
use firedrill::subject::{Endpoints, Start, Subject};
use firedrill::time::{At, Span};
use firedrill::wire::{Headers, Response};

/// How long one attempt may take.
pub const PATIENCE: Span = Span::secs(10);

/// What the GitHub of a drill is called in recordings.
pub const ORIGIN: &str = "https://api.github.com";

/// One attempt, as the client saw it.
pub struct Seen {
    /// Whether it named the ETag that the client holds.
    pub conditional: bool,
    pub asked: At,
    pub ended: At,
    result: Result<Response, reqwest::Error>,
}

impl Seen {
    /// The answer, with GitHub's own origin for the true address.
    pub fn answer(&self) -> Result<&Response, String> {
        self.result.as_ref().map_err(|e| format!("no answer came: {e:?}"))
    }

    pub fn error(&self) -> Result<&reqwest::Error, String> {
        match &self.result {
            Ok(answer) => Err(format!("an answer came: {answer:?}")),
            Err(error) => Ok(error),
        }
    }
}

pub struct Asker {
    pub exchanges: Vec<Exchange>,
    /// Whether each read that came with an ETag is made again with it.
    pub conditional: bool,
    pub seen: Rc<RefCell<Vec<Seen>>>,
}

impl Subject for Asker {
    fn name(&self) -> &str {
        "asker"
    }

    fn run(&self, start: Start) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(life(start, self.exchanges.clone(), self.conditional, self.seen.clone()))
    }
}

async fn life(
    mut start: Start,
    exchanges: Vec<Exchange>,
    conditional: bool,
    seen: Rc<RefCell<Vec<Seen>>>,
) -> Result<(), String> {
    start.ready.set(Endpoints::default());
    crate::provider::name();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE.duration())
        .build()
        .map_err(|e| e.to_string())?;
    let base = start.vendors["github"].base_url.clone();
    let begun = tokio::time::Instant::now();
    let now = || At::START + Span::from(begun.elapsed());
    for exchange in &exchanges {
        let mut held = None;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let asked = now();
            let result = ask(&client, &base, &exchange.request, held.as_deref()).await;
            let wait = match &result {
                Ok(answer) => match answer.headers.get("retry-after").map(str::parse) {
                    Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
                    _ => None,
                },
                Err(_) => Some(Duration::from_secs(1)),
            };
            let tag = result.as_ref().ok().filter(|a| a.status == 200 && exchange.request.method == "GET");
            let tag = tag.and_then(|a| a.headers.get("etag")).map(str::to_owned);
            seen.borrow_mut().push(Seen { conditional: held.is_some(), asked, ended: now(), result });
            match wait {
                Some(wait) if attempts < 3 => tokio::time::sleep(wait).await,
                Some(_) => break,
                None if conditional && held.is_none() && tag.is_some() => held = tag,
                None => break,
            }
        }
    }
    let _ = start.stop.wait_for(|stop| *stop).await;
    Ok(())
}

async fn ask(
    client: &reqwest::Client,
    base: &str,
    recorded: &RecordedRequest,
    held: Option<&str>,
) -> Result<Response, reqwest::Error> {
    let method = recorded.method.parse().unwrap_or(reqwest::Method::TRACE);
    let mut request = client.request(method, format!("{base}{}", recorded.target));
    for (name, value) in &recorded.headers.0 {
        // The connection's own.
        if !matches!(name.as_str(), "host" | "content-length" | "connection") {
            request = request.header(name.as_str(), value.as_str());
        }
    }
    if let Some(tag) = held {
        request = request.header("if-none-match", tag);
    }
    if let Some(body) = &recorded.body {
        request = request.body(body.bytes());
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let named = |text: &str| text.replace(base, ORIGIN);
    let headers = Headers::of(
        answer.headers().iter().map(|(n, v)| (n.as_str(), named(&String::from_utf8_lossy(v.as_bytes())))),
    );
    let body = answer.bytes().await?;
    let body = match std::str::from_utf8(&body) {
        Ok(text) => named(text).into(),
        Err(_) => body,
    };
    Ok(Response { status, headers, body })
}

/// The bytes of a recorded body.
pub fn bytes(body: Option<&Body>) -> bytes::Bytes {
    body.map(Body::bytes).unwrap_or_default()
}
