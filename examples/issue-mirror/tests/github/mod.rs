//! A GitHub on a loopback socket that answers from the project's recordings, one request a
//! connection, and goes wrong on chosen calls.

#![allow(dead_code, reason = "no test uses every kind of failure")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use firedrill::fixture::{Fixture, Replay};
use firedrill::scenario::ReplayMode;
use firedrill::time::{At, Span};
use firedrill::vendor::Vendor;
use firedrill::wire::{Headers, Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The drill's wall clock starts here.
pub const EPOCH: &str = "2026-03-02T09:00:00Z";

/// What goes wrong with a call.
#[derive(Clone)]
pub enum Wrong {
    /// It is answered with this instead.
    Answer(Response),
    /// Its connection is reset instead of an answer.
    Reset,
    /// Its body ends after so many bytes.
    Truncate(usize),
    /// Its body stops after so many bytes, and the connection stays open.
    Stall(usize),
}

/// What was asked, when, and with which status it was answered (0 for none).
pub type Log = Arc<Mutex<Vec<(Span, String, u16)>>>;

/// Starts it; `wrong` says what goes wrong with which call, counted from 1. Gives its base URL.
pub async fn start(inner: Box<dyn Vendor + Send>, wrong: BTreeMap<u32, Wrong>) -> (String, Log) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/github/issues-in-three-pages.json");
    let run = Fixture::read(&file).unwrap();
    let vendor = Replay::new(inner, &run, ReplayMode::Exact, EPOCH.parse().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let log = Log::default();
    tokio::spawn(serve(listener, vendor, wrong, base.clone(), log.clone()));
    (base, log)
}

async fn serve(
    listener: TcpListener,
    mut vendor: Replay<dyn Vendor + Send>,
    wrong: BTreeMap<u32, Wrong>,
    base: String,
    log: Log,
) {
    let started = Instant::now();
    let mut stalled = Vec::new();
    for call in 1.. {
        let (mut socket, _) = listener.accept().await.unwrap();
        let request = read(&mut socket).await;
        let now = Span::from(started.elapsed());
        let mut response = vendor.step(At::START + now, &request, Span::ZERO).response.unwrap();
        let wrong = wrong.get(&call);
        if let Some(Wrong::Answer(other)) = wrong {
            response = other.clone();
        }
        let status = if matches!(wrong, Some(Wrong::Reset)) { 0 } else { response.status };
        log.lock().unwrap().push((now, request.target, status));
        let bytes = written(&response, &base);
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        match wrong {
            Some(Wrong::Reset) => {
                socket2::SockRef::from(&socket).set_linger(Some(Default::default())).unwrap()
            }
            Some(Wrong::Truncate(n)) => socket.write_all(&bytes[..head + n]).await.unwrap(),
            Some(Wrong::Stall(n)) => {
                socket.write_all(&bytes[..head + n]).await.unwrap();
                stalled.push(socket);
            }
            _ => socket.write_all(&bytes).await.unwrap(),
        }
    }
}

async fn read(socket: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(socket.read_u8().await.unwrap());
    }
    let text = String::from_utf8(bytes).unwrap();
    let (line, fields) = text.split_once("\r\n").unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    Request {
        method: words[0].into(),
        target: words[1].to_owned(),
        headers: Headers::of(fields.lines().filter_map(|l| l.split_once(": "))),
        body: Default::default(),
    }
}

fn written(response: &Response, base: &str) -> Vec<u8> {
    let here = |text: &str| text.replace("https://api.github.com", base);
    let body = here(std::str::from_utf8(&response.body).unwrap());
    let mut text = format!("HTTP/1.1 {} X\r\nconnection: close\r\n", response.status);
    for (name, value) in &response.headers.0 {
        text.push_str(&format!("{name}: {}\r\n", here(value)));
    }
    if response.status != 304 {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}").into_bytes()
}
