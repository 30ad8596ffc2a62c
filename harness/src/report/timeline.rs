//! The trace as text: one line an event.
//!
//! Knows: how each kind of event reads in a line. Must not know: findings, or who reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{BOLD, CYAN, DIM, WIDTH, YELLOW, clip, count, paint, wrap};
use crate::fault::BadCertificate;
use crate::finding::Finding;
use crate::personal::hidden;
use crate::time::{At, Span};
use crate::trace::{
    Cause, ChangeKind, EventId, FaultRef, Handshake, Outcome, SubjectEvent, Told, Trace, What,
};
use crate::wire::{Protocol, Request, Response};

/// How many events of one finding are shown.
const SHOWN: usize = 16;

/// A trace with what its lines need to know of each other.
pub struct Timeline<'a> {
    trace: &'a Trace,
    calls: BTreeMap<u32, Asked<'a>>,
    /// By delivery: the vendor.
    deliveries: BTreeMap<u32, &'a str>,
}

/// What makes two calls attempts of one operation: vendor, method, target, and key or body.
type Operation<'a> = (&'a str, &'a str, &'a str, Vec<u8>);

/// A call, and which attempt of its operation it is.
pub(super) struct Asked<'a> {
    pub vendor: &'a str,
    pub request: &'a Request,
    /// From 1.
    pub attempt: u32,
    /// The attempt before it.
    pub before: Option<u32>,
}

/// What a line says of an event.
pub(super) struct Line {
    pub who: String,
    pub what: String,
    pub note: String,
    pub fault: Option<String>,
}

impl Line {
    /// The line behind its `start`, which takes `head` columns: on one line, if it fits; else with
    /// its note and fault mark underneath.
    fn set(&self, start: &str, head: usize) -> String {
        let room = WIDTH.saturating_sub(head).max(20);
        let fault = self.fault.as_ref().map(|f| format!("[{f}]")).unwrap_or_default();
        let parts = [(&self.note, CYAN), (&fault, YELLOW)];
        let parts: Vec<_> = parts.into_iter().filter(|(part, _)| !part.is_empty()).collect();
        let extra: usize = parts.iter().map(|(part, _)| part.chars().count() + 1).sum();
        if self.what.chars().count() + extra <= room {
            let mut line = format!("{start}{}", paint(BOLD, &clip(&self.what, room)));
            for (part, style) in parts {
                line.push_str(&format!(" {}", paint(style, &clip(part, room))));
            }
            return line + "\n";
        }
        let mut text = String::new();
        for (n, piece) in fold(&self.what, room).iter().enumerate() {
            let before = if n == 0 { start.to_owned() } else { " ".repeat(head) };
            text.push_str(&format!("{before}{}\n", paint(BOLD, piece)));
        }
        let together = extra <= room + 1;
        let painted = parts.iter().map(|(part, style)| paint(*style, &clip(part, room)));
        if together && !parts.is_empty() {
            text.push_str(&format!("{:head$}{}\n", "", painted.collect::<Vec<_>>().join(" ")));
        } else {
            painted.for_each(|part| text.push_str(&format!("{:head$}{part}\n", "")));
        }
        text
    }
}

/// `text` in at most three pieces of `width` columns; what is longer ends in an ellipsis.
fn fold(text: &str, width: usize) -> Vec<String> {
    // At spaces where there are any; a long URL or key is cut where the column ends.
    let pieces = |line: String| {
        let shown: Vec<char> = line.chars().collect();
        shown.chunks(width).map(|piece| piece.iter().collect()).collect::<Vec<String>>()
    };
    wrap(&clip(text, 3 * width), width).into_iter().flat_map(pieces).collect()
}

impl<'a> Timeline<'a> {
    /// Reads `trace` once.
    pub fn new(trace: &'a Trace) -> Timeline<'a> {
        let mut calls = BTreeMap::new();
        let mut deliveries = BTreeMap::new();
        let mut attempts: BTreeMap<Operation<'_>, (u32, u32)> = BTreeMap::new();
        for event in &trace.events {
            match &event.what {
                What::Request { call, vendor, request, .. } => {
                    // An operation is what the fault rules call one: the same method, target and
                    // idempotency key, or the same body where there is no key.
                    let key = match request.headers.get("idempotency-key") {
                        Some(key) => key.as_bytes().to_vec(),
                        None => request.body.to_vec(),
                    };
                    let operation = (vendor.as_ref(), request.method.as_str(), request.target.as_str(), key);
                    let last = attempts.get(&operation).copied();
                    let attempt = last.map_or(1, |(n, _)| n + 1);
                    attempts.insert(operation, (attempt, call.0));
                    let before = last.map(|(_, call)| call);
                    calls.insert(call.0, Asked { vendor, request, attempt, before });
                }
                What::Delivery { delivery, vendor, .. } => {
                    deliveries.insert(delivery.0, vendor.as_ref());
                }
                _ => {}
            }
        }
        Timeline { trace, calls, deliveries }
    }

    /// A call by its number.
    pub(super) fn asked(&self, call: u32) -> Option<&Asked<'a>> {
        self.calls.get(&call)
    }

    /// The few events that prove a finding.
    pub fn of_finding(&self, finding: &Finding, indent: usize) -> String {
        let shown: Vec<EventId> = finding.evidence.iter().copied().take(SHOWN).collect();
        let mut text = self.lines(&shown, indent);
        let left = finding.evidence.len() - shown.len();
        if left > 0 {
            text.push_str(&format!("{:indent$}{}\n", "", paint(DIM, &format!("… and {left} more events"))));
        }
        text
    }

    /// The whole trace.
    pub fn whole(&self, indent: usize) -> String {
        let all: Vec<EventId> = self.trace.iter().map(|(id, _)| id).collect();
        self.lines(&all, indent)
    }

    fn lines(&self, ids: &[EventId], indent: usize) -> String {
        let mut text = String::new();
        let mut last: Option<At> = None;
        let mut open_call = None;
        let mut lines: Vec<(At, Line)> = Vec::new();
        let mut given: Option<(&str, &str, usize)> = None;
        for event in ids.iter().filter_map(|id| self.trace.event(*id)) {
            // Twenty records that are there from the start are one thing to know.
            if let What::Change { vendor, collection, change: ChangeKind::Given, .. } = &event.what {
                let here = (vendor.as_ref(), collection.as_ref());
                let n = given.filter(|(v, c, _)| (*v, *c) == here).map_or(0, |(_, _, n)| n);
                if n > 0 {
                    lines.pop();
                }
                let line = self.line(&event.what, open_call);
                let what = format!("{} given in {collection}", count(n + 1, "record"));
                lines.push((event.at, if n == 0 { line } else { Line { what, ..line } }));
                given = Some((here.0, here.1, n + 1));
                continue;
            }
            given = None;
            // What follows from the request above need not repeat what was asked.
            lines.push((event.at, self.line(&event.what, open_call)));
            if let What::Request { call, .. } = &event.what {
                open_call = Some(call.0);
            }
        }
        let who_width = lines.iter().map(|(_, l)| l.who.chars().count()).max().unwrap_or(0).min(24);
        for (at, line) in lines {
            let since = last.map(|l| at.since(l)).filter(|s| *s > Span::ZERO);
            let wait = since.map(|s| format!("+{}", brief(s))).unwrap_or_default();
            last = Some(at);
            let time = brief(at.since(At::START));
            let who = clip(&line.who, who_width);
            let start =
                format!("{:indent$}{time:>9} {} {who:<who_width$}  ", "", paint(DIM, &format!("{wait:>9}")));
            text.push_str(&line.set(&start, indent + 9 + 1 + 9 + 1 + who_width + 2));
        }
        text
    }

    /// What is said of an event, without what is a person's own; `open_call` is the call that is being
    /// spoken of.
    pub(super) fn line(&self, what: &What, open_call: Option<u32>) -> Line {
        let Line { who, what, note, fault } = self.plainly(what, open_call);
        let clean = |text: String| match hidden(&text) {
            Cow::Owned(clean) => clean,
            Cow::Borrowed(_) => text,
        };
        Line { who, what: clean(what), note: clean(note), fault: fault.map(clean) }
    }

    fn plainly(&self, what: &What, open_call: Option<u32>) -> Line {
        let plain =
            |who: &str, what: String| Line { who: who.to_owned(), what, note: String::new(), fault: None };
        match what {
            What::Request { call, vendor, request, protocol, .. } => {
                let attempt = self.calls.get(&call.0).map_or(1, |c| c.attempt);
                let mut line = plain(&format!("subject → {vendor}"), asked(request));
                let mut notes = Vec::new();
                if attempt > 1 {
                    notes.push(format!("attempt {attempt}"));
                }
                if let Some(key) = request.headers.get("idempotency-key").filter(|k| !k.is_empty()) {
                    notes.push(format!("key {}", clip(&hidden(key), 20)));
                }
                if *protocol == Protocol::Http2 {
                    notes.push("HTTP/2".to_owned());
                }
                line.note = notes.join(", ");
                line
            }
            What::Answer { call, outcome, response, applied, replayed, told, fault } => {
                let (vendor, request) =
                    self.calls.get(&call.0).map_or(("?", None), |c| (c.vendor, Some(c.request)));
                let mut what = ended(*outcome, response.as_ref());
                if open_call != Some(call.0)
                    && let Some(request) = request
                {
                    what = format!("{what} to {}", asked(request));
                }
                let mut line = plain(&format!("subject ← {vendor}"), what);
                line.note = told_in_words(told, *outcome, *applied, *replayed);
                line.fault = fault.as_ref().map(fault_in_words);
                line
            }
            What::Change { vendor, collection, id, change, by, .. } => {
                let mut line = plain(vendor, format!("{collection} {id} {}", change_in_words(*change)));
                if let Cause::Call(call) = by
                    && let Some(by) = self.calls.get(&call.0)
                {
                    let this = open_call == Some(call.0);
                    line.note =
                        if this { "by this call".into() } else { format!("by {}", asked(by.request)) };
                }
                line
            }
            What::Connection { vendor, outcome, count, fault } => {
                let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
                let mut line =
                    plain(&format!("subject → {vendor}"), format!("{}{times}", ended(*outcome, None)));
                line.fault = fault.as_ref().map(fault_in_words);
                line
            }
            What::Handshake { vendor, ended, certificate, error, fault, .. } => {
                let what = match ended {
                    Handshake::Done => "TLS handshake done",
                    Handshake::Refused => "refused the certificate",
                    Handshake::BrokenOff => "TLS handshake broken off",
                    Handshake::Left => "left after the TLS handshake, without a request",
                };
                let mut line = plain(&format!("subject → {vendor}"), what.to_owned());
                let shown = certificate.map(|bad| format!("shown {}", certificate_in_words(bad)));
                line.note = shown.into_iter().chain(error.clone()).collect::<Vec<_>>().join(", ");
                line.fault = fault.as_ref().map(fault_in_words);
                line
            }
            What::Emission { vendor, event, fault } => {
                let about = event.record.as_ref().map(|r| format!(" {r}")).unwrap_or_default();
                let mut line = plain(vendor, format!("event {}{about}", event.kind));
                line.note = format!("id {}", event.id);
                line.fault = fault.as_ref().map(fault_in_words);
                line
            }
            What::Delivery { vendor, attempt, events, fault, must_be_refused, .. } => {
                let what = match events.as_slice() {
                    [one] => format!("webhook with event {one}"),
                    many => format!("webhook with {} events", many.len()),
                };
                let mut line = plain(&format!("{vendor} → subject"), what);
                let mut notes = Vec::new();
                if *attempt > 1 {
                    notes.push(format!("attempt {attempt}"));
                }
                if *must_be_refused {
                    notes.push("must be refused".to_owned());
                }
                line.note = notes.join(", ");
                line.fault = fault.as_ref().map(fault_in_words);
                line
            }
            What::Delivered { delivery, outcome, response, retry_at } => {
                let vendor = self.deliveries.get(&delivery.0).copied().unwrap_or("?");
                let mut line = plain(&format!("{vendor} ← subject"), ended(*outcome, response.as_ref()));
                line.note = retry_at.map(|at| format!("sent again at {at}")).unwrap_or_default();
                line
            }
            What::GivenUp { vendor, event_id } => plain(vendor, format!("gave up on event {event_id}")),
            What::Disabled { vendor } => {
                plain(vendor, "disabled the webhook endpoint, and sends nothing more".to_owned())
            }
            What::Fault(fault) => Line {
                fault: Some(fault_in_words(fault)),
                ..plain("firedrill", format!("rule {} bit", fault.rule + 1))
            },
            What::Unfit { call, fault, why } => {
                let asked = self.calls.get(&call.0).map(|c| asked(c.request)).unwrap_or_default();
                let what = format!("rule {} could not be done to {asked}: {why}", fault.rule + 1);
                Line { fault: Some(fault_in_words(fault)), ..plain("firedrill", what) }
            }
            What::Subject(event) => plain("subject", subject_in_words(event)),
            What::Step { action, records, error, .. } => {
                let mut line = plain("workload", action.clone());
                line.note = match records.as_slice() {
                    [] => String::new(),
                    [one] => one.to_string(),
                    [first, ..] => format!("{first} and {} more", records.len() - 1),
                };
                line.fault = error.as_ref().map(|e| format!("went wrong: {e}"));
                line
            }
            What::Credential { vendor, change, handed_over } => {
                let mut line = plain(vendor, format!("credential {change}"));
                line.note = if *handed_over { "handed to the subject".to_owned() } else { String::new() };
                line
            }
            What::Alert { body, unread, .. } => {
                let mut line = plain("subject", format!("alert {}", short_json(body)));
                line.fault = unread.as_ref().map(|why| format!("no alert that can be read: {why}"));
                line
            }
            What::Log { level, line } => plain("subject", format!("{level}: {line}")),
            What::Exposed { what, response } => plain(
                "subject",
                match response {
                    Some(r) => format!("{what}: {} ({} bytes)", r.status, r.body.len()),
                    None => format!("{what}: not shown"),
                },
            ),
            What::Attempts { counts } => {
                let all: Vec<String> = counts.iter().map(|(k, n)| format!("{k} {n}")).collect();
                plain("subject", format!("counts its attempts: {}", all.join(", ")))
            }
            What::Healed => plain("firedrill", "the disturbance ends here".into()),
            What::Ended => plain("firedrill", "the drill ends".into()),
            What::HarnessFault { message } => plain("firedrill", format!("fault of its own: {message}")),
        }
    }
}

fn brief(span: Span) -> String {
    if span == Span::ZERO { "0s".into() } else { span.to_string() }
}

fn asked(request: &Request) -> String {
    format!("{} {}", request.method, request.target)
}

fn ended(outcome: Outcome, response: Option<&Response>) -> String {
    match outcome {
        Outcome::Answered => response.map_or_else(|| "answered".into(), |r| r.status.to_string()),
        Outcome::Reset => "connection reset".into(),
        Outcome::Closed => "closed, no answer".into(),
        Outcome::Truncated => "answer cut short".into(),
        Outcome::Garbage => "answered with garbage".into(),
        Outcome::Abandoned => "the client gave up".into(),
        Outcome::SubjectGone => "the subject was gone".into(),
        Outcome::Open => "still open at the end".into(),
        Outcome::Unprocessed => "refused as not processed".into(),
        Outcome::Refused => "connection refused".into(),
        Outcome::ConnectTimeout => "connect never answered".into(),
        Outcome::TimedOut => "timed out".into(),
    }
}

fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn told_in_words(told: &Told, outcome: Outcome, applied: bool, replayed: bool) -> String {
    let mut parts = Vec::new();
    if let Some(error) = &told.error {
        parts.push(word(error));
    }
    if let Some(at) = told.retry_at {
        parts.push(format!("come back at {at}"));
    }
    if told.should_retry == Some(false) {
        parts.push("do not retry".into());
    }
    if told.stale_credential {
        parts.push("stale credential".into());
    }
    if replayed {
        parts.push("saved answer".into());
    }
    if outcome != Outcome::Answered {
        parts.push(if applied { "was applied".into() } else { "was not applied".to_owned() });
    }
    parts.join(", ")
}

/// A certificate that a client must not accept.
fn certificate_in_words(bad: BadCertificate) -> &'static str {
    match bad {
        BadCertificate::Expired => "an expired certificate",
        BadCertificate::WrongHost => "another host's certificate",
    }
}

fn fault_in_words(fault: &FaultRef) -> String {
    match (&fault.moment, &fault.drift) {
        (_, Some(drift)) => format!("fault: {} {}", fault.act, drift.change),
        (Some(moment), None) => format!("fault: {} {}", fault.act, word(moment)),
        (None, None) => format!("fault: {}", fault.act),
    }
}

fn change_in_words(change: ChangeKind) -> &'static str {
    match change {
        ChangeKind::Given => "given",
        ChangeKind::Created => "created",
        ChangeKind::Updated => "updated",
        ChangeKind::Deleted => "deleted",
    }
}

fn subject_in_words(event: &SubjectEvent) -> String {
    match event {
        SubjectEvent::Started { incarnation: 1 } => "started".into(),
        SubjectEvent::Started { incarnation } => format!("started again (life {incarnation})"),
        SubjectEvent::Ready => "ready".into(),
        SubjectEvent::TakesNoWebhooks { vendor } => format!("takes no webhooks of {vendor}"),
        SubjectEvent::Killed => "killed".into(),
        SubjectEvent::Stopping => "asked to stop".into(),
        SubjectEvent::Stopped => "stopped".into(),
        SubjectEvent::Overstayed => "did not stop in time: killed".into(),
        SubjectEvent::Exited { error: None } => "ended by itself".into(),
        SubjectEvent::Exited { error: Some(error) } => format!("ended by itself: {error}"),
        SubjectEvent::ClockSkewed { micros } => {
            let by = Span(micros.unsigned_abs());
            format!("clock {by} {}", if *micros < 0 { "behind" } else { "ahead" })
        }
        SubjectEvent::Paused => "made to stand still".into(),
        SubjectEvent::Resumed => "let go on".into(),
        SubjectEvent::Spinning => "busy without ever waiting".into(),
        SubjectEvent::Outlived { tasks } => format!("{tasks} tasks of an earlier life run on"),
        SubjectEvent::Flooded { lines, .. } => format!("flooded its log: {lines} lines"),
        SubjectEvent::Starved { waited } => format!("had to wait {waited} for a processor"),
        SubjectEvent::Runs => "began a run".into(),
        SubjectEvent::NotStarted => "could not be started".into(),
        SubjectEvent::Ran { code: Some(0), .. } => "ran to its end".into(),
        SubjectEvent::Ran { code, last } => {
            let how = code.map_or_else(
                || "was ended by a signal".to_owned(),
                |code| format!("ended its run with exit code {code}"),
            );
            how + &last.as_ref().map(|text| format!("; {text}")).unwrap_or_default()
        }
        SubjectEvent::Straggler { call } => format!("call #{} came although it was gone", call.0),
        SubjectEvent::Triggered { job, accepted: true, .. } => format!("job {job} triggered"),
        SubjectEvent::Triggered { job, unasked: Some(why), .. } => format!("job {job} not triggered: {why}"),
        SubjectEvent::Triggered { job, failed: Some(why), .. } => {
            format!("job {job} triggered, and not done: {why}")
        }
        SubjectEvent::Triggered { job, .. } => format!("job {job} triggered, and declined or failed"),
    }
}

fn short_json(value: &Value) -> String {
    match value.get("message").and_then(Value::as_str) {
        Some(message) => match value.get("kind").and_then(Value::as_str) {
            Some(kind) => format!("{kind}: {message}"),
            None => message.to_owned(),
        },
        None => value.to_string(),
    }
}
