//! The trace as text: one line an event.
//!
//! Knows: how each kind of event reads in a line. Must not know: findings, or who reads it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{BOLD, CYAN, DIM, RED, WIDTH, YELLOW, clip, paint};
use crate::finding::Finding;
use crate::time::{At, Span};
use crate::trace::{Cause, ChangeKind, EventId, FaultRef, Outcome, SubjectEvent, Told, Trace, What};
use crate::wire::{Request, Response};

/// How many events of one finding are shown.
const SHOWN: usize = 16;

/// A trace with what its lines need to know of each other.
pub struct Timeline<'a> {
    trace: &'a Trace,
    /// By call: the vendor, the request, and which attempt of its operation it is.
    calls: BTreeMap<u32, (&'a str, &'a Request, u32)>,
    /// By delivery: the vendor.
    deliveries: BTreeMap<u32, &'a str>,
}

/// What a line says of an event.
struct Line {
    who: String,
    what: String,
    note: String,
    fault: Option<String>,
}

impl<'a> Timeline<'a> {
    /// Reads `trace` once.
    pub fn new(trace: &'a Trace) -> Timeline<'a> {
        let mut calls = BTreeMap::new();
        let mut deliveries = BTreeMap::new();
        let mut attempts: BTreeMap<(&str, &str, &str, Vec<u8>), u32> = BTreeMap::new();
        for event in &trace.events {
            match &event.what {
                What::Request { call, vendor, request, .. } => {
                    // An operation is what the fault rules call one: the same method, target and
                    // idempotency key, or the same body where there is no key.
                    let key = match request.headers.get("idempotency-key") {
                        Some(key) => key.as_bytes().to_vec(),
                        None => request.body.to_vec(),
                    };
                    let attempt = attempts
                        .entry((vendor.as_ref(), request.method.as_str(), request.target.as_str(), key))
                        .or_default();
                    *attempt += 1;
                    calls.insert(call.0, (vendor.as_ref(), request, *attempt));
                }
                What::Delivery { delivery, vendor, .. } => {
                    deliveries.insert(delivery.0, vendor.as_ref());
                }
                _ => {}
            }
        }
        Timeline { trace, calls, deliveries }
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
        let events: Vec<_> = ids.iter().filter_map(|id| self.trace.event(*id)).collect();
        let lines: Vec<(At, Line)> = events
            .iter()
            .map(|event| {
                // What follows from the request above need not repeat what was asked.
                let line = self.line(&event.what, open_call);
                if let What::Request { call, .. } = &event.what {
                    open_call = Some(call.0);
                }
                (event.at, line)
            })
            .collect();
        let who_width = lines.iter().map(|(_, l)| l.who.chars().count()).max().unwrap_or(0).min(26);
        for (at, line) in lines {
            let since = last.map(|l| at.since(l)).filter(|s| *s > Span::ZERO);
            let wait = since.map(|s| format!("+{}", brief(s))).unwrap_or_default();
            last = Some(at);
            let fault = line.fault.map(|f| format!("[fault: {f}]")).unwrap_or_default();
            let who = clip(&line.who, who_width);
            // At least this much is taken before the free text begins.
            let head = indent + 10 + 1 + 9 + 1 + who_width + 2;
            let extra = [&line.note, &fault]
                .iter()
                .filter(|s| !s.is_empty())
                .map(|s| s.chars().count() + 1)
                .sum::<usize>();
            let fits = head + line.what.chars().count() + extra <= WIDTH;
            let what_room = if fits { WIDTH } else { WIDTH.saturating_sub(head).max(20) };
            let mut row = format!(
                "{:indent$}{:>10} {} {who:<who_width$}  {}",
                "",
                brief(at.since(At::START)),
                paint(DIM, &format!("{wait:>9}")),
                paint(BOLD, &clip(&line.what, what_room)),
            );
            if fits {
                for part in [paint(CYAN, &line.note), paint(YELLOW, &fault)] {
                    if !part.is_empty() {
                        row.push(' ');
                        row.push_str(&part);
                    }
                }
                text.push_str(row.trim_end());
                text.push('\n');
            } else {
                text.push_str(row.trim_end());
                text.push('\n');
                text.push_str(&beneath(&line.note, &fault, head));
            }
        }
        text
    }

    fn line(&self, what: &What, open_call: Option<u32>) -> Line {
        let plain =
            |who: &str, what: String| Line { who: who.to_owned(), what, note: String::new(), fault: None };
        match what {
            What::Request { call, vendor, request, .. } => {
                let attempt = self.calls.get(&call.0).map_or(1, |c| c.2);
                let mut line = plain(&format!("subject → {vendor}"), asked(request));
                let mut notes = Vec::new();
                if attempt > 1 {
                    notes.push(format!("attempt {attempt}"));
                }
                if let Some(key) = request.headers.get("idempotency-key").filter(|k| !k.is_empty()) {
                    notes.push(format!("key {}", clip(key, 20)));
                }
                line.note = notes.join(", ");
                line
            }
            What::Answer { call, outcome, response, applied, replayed, told, fault } => {
                let (vendor, request) = self.calls.get(&call.0).map_or(("?", None), |c| (c.0, Some(c.1)));
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
                    && let Some((_, request, _)) = self.calls.get(&call.0)
                {
                    let this = open_call == Some(call.0);
                    line.note = if this { "by this call".into() } else { format!("by {}", asked(request)) };
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
            What::Fault(fault) => Line {
                fault: Some(fault_in_words(fault)),
                ..plain("firedrill", format!("rule {} bit", fault.rule + 1))
            },
            What::Subject(event) => plain("subject", subject_in_words(event)),
            What::Step { action, records, error, .. } => {
                let mut line = plain("workload", action.clone());
                line.note = match records.as_slice() {
                    [] => String::new(),
                    [one] => one.to_string(),
                    [first, ..] => format!("{first} and {} more", records.len() - 1),
                };
                line.fault = error.clone();
                line
            }
            What::Credential { vendor, change, handed_over } => {
                let mut line = plain(vendor, format!("credential {change}"));
                line.note = if *handed_over { "handed to the subject".to_owned() } else { String::new() };
                line
            }
            What::Alert { body } => plain("subject", format!("alert {}", short_json(body))),
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
            What::HarnessFault { message } => {
                plain("firedrill", paint(RED, &format!("fault of firedrill: {}", clip(message, 200))))
            }
        }
    }
}

/// Note and fault mark in lines of their own, under the event: in one, if they fit.
fn beneath(note: &str, fault: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent).max(20);
    let parts = [(note, CYAN), (fault, YELLOW)];
    let parts = parts.iter().filter(|(part, _)| !part.is_empty());
    let painted: Vec<String> = parts.map(|(part, style)| paint(*style, &clip(part, room))).collect();
    if painted.is_empty() {
        return String::new();
    }
    let together = note.chars().count() + 1 + fault.chars().count() <= room;
    let lines = if together { vec![painted.join(" ")] } else { painted };
    lines.iter().map(|line| format!("{:indent$}{line}\n", "")).collect()
}

fn brief(span: Span) -> String {
    if span == Span::ZERO { "0s".into() } else { span.to_string() }
}

fn asked(request: &Request) -> String {
    format!("{} {}", request.method, request.target)
}

fn ended(outcome: Outcome, response: Option<&Response>) -> String {
    let word = match outcome {
        Outcome::Answered => {
            return response.map_or_else(|| "answered".into(), |r| format!("{}", r.status));
        }
        Outcome::Reset => "connection reset",
        Outcome::Closed => "closed without an answer",
        Outcome::Truncated => "answer cut short",
        Outcome::Garbage => "answered with garbage",
        Outcome::Abandoned => "the client gave up",
        Outcome::SubjectGone => "the subject was gone",
        Outcome::Open => "still open at the end",
        Outcome::Refused => "connection refused",
        Outcome::ConnectTimeout => "connect never answered",
        Outcome::TimedOut => "timed out",
    };
    match response {
        Some(r) => format!("{word} (would be {})", r.status),
        None => word.to_owned(),
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

fn fault_in_words(fault: &FaultRef) -> String {
    match &fault.moment {
        Some(moment) => format!("{} {}", fault.act, word(moment)),
        None => fault.act.to_string(),
    }
}

fn change_in_words(change: ChangeKind) -> &'static str {
    match change {
        ChangeKind::Given => "is there from the start",
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
        SubjectEvent::Straggler { call } => format!("call #{} came although it was gone", call.0),
        SubjectEvent::Triggered { job, accepted: true } => format!("job {job} triggered"),
        SubjectEvent::Triggered { job, accepted: false } => format!("job {job} triggered, but there is none"),
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
