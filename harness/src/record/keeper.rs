//! The file that grows: exchanges come in as they pass, and are on disk within half a second.
//!
//! Knows: the run so far, its secrets, its files. Must not know: sockets. Works on a thread of its
//! own, so that neither a slow disk nor a large body holds up the proxy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::capture::{Capture, Captured};
use super::relay::{End, locked};
use super::{HeldBack, Notice, Recording, Summary};
use crate::fixture::{
    Body, Coded, Exchange, Fixture, RecordedRequest, RecordedResponse, Redactor, Scanned, Suspect, Unkept,
    opened, readable, scanned,
};
use crate::wire::Headers;

/// How long an exchange may wait for the disk.
const LATEST: Duration = Duration::from_millis(300);

/// A part of a run grows no larger: it is written whole each time.
const PART_EXCHANGES: usize = 500;
const PART_BYTES: u64 = 8 << 20;

/// An exchange that has passed, or should have.
#[derive(Default)]
pub(super) struct Passed {
    /// When its request came, among the others.
    pub order: u64,
    /// Method and target, without secrets.
    pub what: String,
    pub method: String,
    pub target: String,
    pub request: Headers,
    pub sent: Option<Arc<Mutex<Capture>>>,
    pub status: u16,
    pub response: Headers,
    pub answered: Option<Capture>,
    pub end: Option<End>,
    /// Why there was no answer at all.
    pub failed: Option<String>,
    /// The vendor's own address, and whether it was left in the body.
    pub origin: String,
    pub links_kept: bool,
}

/// Starts the thread; it ends, and says what came of it, once every sender is gone.
pub(super) fn start(
    recording: &Recording,
    notices: UnboundedSender<Notice>,
) -> (JoinHandle<Summary>, Sender<Passed>) {
    let (send, receive) = mpsc::channel();
    let keeper = Keeper {
        head: recording.head.clone(),
        file: recording.file.clone(),
        limit: recording.largest_body,
        redactor: Redactor::new(recording.rules.clone()),
        run: BTreeMap::new(),
        notes: Vec::new(),
        bytes: 0,
        part: 1,
        written: false,
        links_said: false,
        unsaved: 0,
        notices,
        summary: Summary::default(),
    };
    (std::thread::spawn(move || keeper.work(&receive)), send)
}

struct Keeper {
    head: Fixture,
    file: PathBuf,
    limit: usize,
    redactor: Redactor,
    /// The exchanges of this part, by the order of their requests.
    run: BTreeMap<u64, Exchange>,
    notes: Vec<String>,
    /// About how large this part is.
    bytes: u64,
    part: usize,
    /// Whether this part has a file.
    written: bool,
    links_said: bool,
    /// Exchanges that are not on disk yet.
    unsaved: usize,
    notices: UnboundedSender<Notice>,
    summary: Summary,
}

impl Keeper {
    fn work(mut self, passed: &Receiver<Passed>) -> Summary {
        let mut due: Option<Instant> = None;
        loop {
            let wait = due.map_or(Duration::from_secs(3600), |d| d.saturating_duration_since(Instant::now()));
            match passed.recv_timeout(wait) {
                Ok(one) => {
                    if self.take(one) {
                        due.get_or_insert_with(|| Instant::now() + LATEST);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if due.is_some_and(|d| d <= Instant::now()) {
                // What could not be written is tried again.
                due = if self.save() { None } else { Some(Instant::now() + 4 * LATEST) };
            }
        }
        if due.is_some() {
            self.save();
        }
        self.summary.secrets = self.redactor.count();
        self.summary
    }

    fn say(&self, notice: Notice) {
        // Nobody watching is no reason not to record.
        let _ = self.notices.send(notice);
    }

    /// Takes an exchange in; true if there is something new to be written.
    fn take(&mut self, passed: Passed) -> bool {
        if self.redactor.rules().skips(&passed.method, &passed.target) {
            self.summary.skipped += 1;
            self.say(Notice::Skipped { what: passed.what });
            return false;
        }
        let what = passed.what.clone();
        let (order, links_kept, origin) = (passed.order, passed.links_kept, passed.origin.clone());
        let bytes = passed.answered.as_ref().map_or(0, Capture::length);
        let (mut exchange, size, but) = match self.exchange(passed) {
            Ok(made) => made,
            Err(why) => {
                self.summary.unanswered += 1;
                self.note(format!("{what}: {why}"));
                self.say(Notice::NoAnswer { what, why });
                return !self.run.is_empty();
            }
        };
        if links_kept && !self.links_said && names(&exchange.response.body, &origin) {
            self.links_said = true;
            self.say(Notice::LinksLeft { what: what.clone() });
        }
        let learned = self.redactor.redact(&mut exchange);
        let Scanned { suspects, doubts } = scanned(&exchange, &self.redactor);
        let status = exchange.response.status;
        if !suspects.is_empty() {
            let what = without_suspects(&what, &suspects);
            let held = HeldBack { what: format!("{what} → {status}"), suspects };
            self.note(format!("{}: held back, since it still looked like it holds a secret", held.what));
            self.summary.held_back.push(held.clone());
            self.say(Notice::HeldBack(held));
            return !self.run.is_empty();
        }
        if learned {
            // A secret may have passed before it was known as one.
            for earlier in self.run.values_mut() {
                self.redactor.redact(earlier);
            }
        }
        for doubt in doubts {
            *self.summary.doubts.entry(doubt).or_default() += 1;
        }
        if let Some(why) = &but {
            self.note(format!("{what}: {why}"));
            self.summary.omitted += 1;
        }
        if self.run.len() >= PART_EXCHANGES || self.bytes > PART_BYTES {
            self.next_part();
        }
        self.bytes += size;
        self.unsaved += 1;
        self.run.insert(order, exchange);
        self.say(Notice::Recorded { what, status, bytes, but });
        true
    }

    fn note(&mut self, text: String) {
        let clean = self.redactor.text(&text);
        if !self.notes.contains(&clean) {
            self.notes.push(clean);
        }
    }

    /// The exchange as it goes into the file, how large it is, and what could not be kept of it;
    /// or why there is none.
    fn exchange(&mut self, passed: Passed) -> Result<(Exchange, u64, Option<String>), String> {
        if let Some(why) = passed.failed {
            return Err(why);
        }
        let sent = passed.sent.map(|s| std::mem::replace(&mut *locked(&s), Capture::new(0)));
        let sent = match sent {
            Some(sent) if sent.complete => sent,
            _ => return Err("the vendor answered before it had the whole request".to_owned()),
        };
        let answered = passed.answered.unwrap_or_else(|| Capture::new(0));
        let events = passed.response.get("content-type").is_some_and(|t| t.starts_with("text/event-stream"));
        let length = answered.length();
        match passed.end {
            Some(End::Whole) => {}
            // A stream of events ends when somebody hangs up: what came is the answer.
            Some(End::Client) if events => {}
            Some(End::Vendor(why)) => {
                return Err(format!("the vendor broke off after {length} bytes of its answer: {why}"));
            }
            _ => return Err(format!("the client went away after {length} bytes of the answer")),
        }
        let cut = passed.end == Some(End::Client);
        let (mut request, mut response) = (passed.request, passed.response);
        let mut but = Vec::new();
        let asked = sent.length();
        let request_body = self.body("request", &mut request, sent.take(), false, &mut but);
        let response_body = self.body("answer", &mut response, answered.take(), cut, &mut but);
        let kept =
            |body: &Option<Body>, length| if matches!(body, Some(Body::Omitted(_))) { 0 } else { length };
        let size = kept(&request_body, asked) + kept(&response_body, length);
        let exchange = Exchange {
            request: RecordedRequest {
                method: passed.method,
                target: passed.target,
                headers: request,
                body: request_body,
            },
            response: RecordedResponse { status: passed.status, headers: response, body: response_body },
        };
        Ok((exchange, size, (!but.is_empty()).then(|| but.join("; "))))
    }

    fn body(
        &self,
        side: &str,
        headers: &mut Headers,
        captured: Captured,
        cut: bool,
        but: &mut Vec<String>,
    ) -> Option<Body> {
        let opened = match captured {
            Captured::Whole(bytes) => opened(side, headers, &bytes, Coded::AsLabelled, self.limit),
            Captured::TooLarge(omitted) => Err(Unkept::too_large(side, omitted)),
        };
        match opened {
            Ok(plain) => readable(headers, &if cut { up_to_last_event(&plain) } else { plain }),
            Err(unkept) => {
                but.push(unkept.why);
                Some(Body::Omitted(unkept.body))
            }
        }
    }

    fn next_part(&mut self) {
        if !self.save() {
            return;
        }
        self.run.clear();
        self.notes.clear();
        self.bytes = 0;
        self.part += 1;
        self.written = false;
    }

    /// Writes the part as it is now; false if that failed.
    fn save(&mut self) -> bool {
        if self.run.is_empty() {
            return true;
        }
        let file = match self.part {
            1 => self.file.clone(),
            n => self.file.with_file_name(format!(
                "{}-{n}.json",
                self.file.file_stem().unwrap_or_default().to_string_lossy()
            )),
        };
        let exchanges = self.run.values().cloned().collect();
        let run = Fixture { exchanges, notes: self.notes.clone(), ..self.head.clone() };
        match run.put(&file, self.written) {
            Ok(()) => {
                if !self.written {
                    self.summary.files.push(file);
                }
                self.written = true;
                self.summary.recorded += std::mem::take(&mut self.unsaved);
                self.summary.not_written = None;
                true
            }
            Err(error) => {
                let text = error.to_string();
                if self.summary.not_written.as_ref() != Some(&text) {
                    self.say(Notice::NotWritten(text.clone()));
                }
                self.summary.not_written = Some(text);
                false
            }
        }
    }
}

/// Whether a body names `origin`.
fn names(body: &Option<Body>, origin: &str) -> bool {
    match body {
        Some(Body::Json(value)) => value.to_string().contains(origin),
        Some(Body::Text(text)) => text.contains(origin),
        _ => false,
    }
}

/// An event that was cut short is none (WHATWG HTML §9.2.6).
fn up_to_last_event(bytes: &Bytes) -> Bytes {
    let end = |mark: &[u8]| bytes.windows(mark.len()).rposition(|w| w == mark).map(|at| at + mark.len());
    let last = end(b"\n\n").max(end(b"\r\n\r\n")).unwrap_or(0);
    bytes.slice(..last)
}

/// A request line without the parts in which something was found: what is held back is not said aloud.
fn without_suspects(line: &str, suspects: &[Suspect]) -> String {
    let found = |part: &str| suspects.iter().any(|s| s.at.starts_with(part));
    match (line.split_once(' '), line.split_once('?')) {
        (Some((method, _)), _) if found("request path") => format!("{method} …"),
        (_, Some((path, _))) if found("request query") => format!("{path}?…"),
        _ => line.to_owned(),
    }
}
