//! A trace as lanes and marks: everything that the timeline draws, worked out beforehand.
//!
//! Knows: which lane an event belongs to, what joins events to one mark, and how it went. Must not
//! know: pixels.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::states::{Kind, states};
use super::word;
use crate::finding::Verdict;
use crate::personal::hidden;
use crate::report::Ran;
use crate::report::timeline::Timeline;
use crate::time::At;
use crate::trace::{Cause, ChangeKind, EventId, FaultRef, Handshake, Outcome, SubjectEvent, What};
use crate::wire::Response;

/// Text longer than this is cut in the page; the trace file has it whole.
const LONGEST: usize = 8192;
/// Calls beside each other are drawn in at most this many rows.
const ROWS: usize = 8;

/// All that is drawn.
#[derive(Serialize)]
pub struct Scene {
    /// Microseconds after the Unix epoch at which the drill pretends to start.
    epoch: i64,
    heals: At,
    end: At,
    lanes: Vec<Lane>,
    marks: Vec<Mark>,
    findings: Vec<Found>,
    /// Each event: when, one line of text, and itself.
    events: Vec<Shown>,
}

#[derive(Serialize)]
struct Lane {
    name: String,
    rows: usize,
}

/// Something drawn in a lane.
#[derive(Serialize)]
struct Mark {
    lane: usize,
    row: usize,
    from: At,
    to: At,
    /// `ok`, `warn`, `bad`, `note`, `alarm`, `state`, `open` or `window`.
    tone: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// The mark of the attempt before this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<usize>,
    /// Its events.
    events: Vec<u32>,
}

#[derive(Serialize)]
struct Found {
    rule: String,
    verdict: &'static str,
    evidence: Vec<EventId>,
}

#[derive(Serialize)]
struct Shown {
    at: At,
    who: String,
    what: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    event: Value,
}

impl Scene {
    /// Works out the scene of a drill.
    pub fn of(ran: &Ran<'_>) -> Scene {
        let trace = &ran.drilled.trace;
        let timeline = Timeline::new(trace);
        let mut stage = Stage::new(ran, &timeline);
        for (id, event) in trace.iter() {
            stage.take(id, event.at, &event.what);
        }
        let events = trace.events.iter().map(|e| {
            let line = timeline.line(&e.what, None);
            let mut event = serde_json::to_value(&e.what).unwrap_or_default();
            prepare(&mut event);
            Shown { at: e.at, who: line.who, what: line.what, note: line.note, fault: line.fault, event }
        });
        let events = events.collect();
        let found = ran.drilled.judgements.iter().flat_map(|j| &j.findings);
        let findings = found
            .filter(|f| f.verdict != Verdict::Pass)
            .map(|f| Found {
                rule: f.rule.to_string(),
                verdict: word(f.verdict),
                evidence: f.evidence.clone(),
            })
            .collect();
        let (lanes, marks) = stage.done();
        Scene {
            epoch: trace.head.epoch.as_microsecond(),
            heals: trace.head.heals_at,
            end: trace.events.last().map_or(At::START, |e| e.at),
            lanes,
            marks,
            findings,
            events,
        }
    }

    /// The scene for the page's script.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Lanes in the order of the page, and what has been put there.
struct Stage<'a> {
    timeline: &'a Timeline<'a>,
    lanes: Vec<String>,
    marks: Vec<Mark>,
    calls: BTreeMap<u32, usize>,
    deliveries: BTreeMap<u32, usize>,
}

impl<'a> Stage<'a> {
    fn new(ran: &'a Ran<'_>, timeline: &'a Timeline<'a>) -> Stage<'a> {
        let states = states(ran);
        let mut lanes = vec!["workload".to_owned(), "subject".to_owned()];
        for vendor in ran.loaded.scenario.vendors.keys() {
            let has = |kind| states.iter().any(|s| s.of == *vendor && s.kind == kind);
            lanes.push(vendor.clone());
            lanes.extend(has(Kind::Window).then(|| format!("{vendor} faults")));
            lanes.extend(has(Kind::Token).then(|| format!("{vendor} token")));
            lanes.extend(has(Kind::Breaker).then(|| format!("{vendor} breaker")));
            let sends = ran.drilled.trace.events.iter().any(
                |e| matches!(&e.what, What::Delivery { vendor: v, .. } if v.as_ref() == vendor.as_str()),
            );
            lanes.extend(sends.then(|| format!("{vendor} webhooks")));
        }
        let mut stage =
            Stage { timeline, lanes, marks: Vec::new(), calls: BTreeMap::new(), deliveries: BTreeMap::new() };
        for state in states {
            let (suffix, tone) = match state.kind {
                Kind::Token => (" token", "state"),
                Kind::Breaker => (" breaker", "open"),
                Kind::Down => ("", "open"),
                Kind::Window if state.of == "subject" => ("", "window"),
                Kind::Window => (" faults", "window"),
            };
            let lane = stage.lane(&format!("{}{suffix}", state.of));
            stage.put(lane, (state.from, state.to), tone, state.text, None, Vec::new());
        }
        stage
    }

    fn lane(&mut self, name: &str) -> usize {
        self.lanes.iter().position(|l| l == name).unwrap_or_else(|| {
            self.lanes.push(name.to_owned());
            self.lanes.len() - 1
        })
    }

    fn put(
        &mut self,
        lane: usize,
        (from, to): (At, At),
        tone: &'static str,
        text: String,
        fault: Option<&FaultRef>,
        events: Vec<u32>,
    ) -> usize {
        let fault = fault.map(|f| f.act.to_string());
        self.marks.push(Mark { lane, row: 0, from, to, tone, text, fault, before: None, events });
        self.marks.len() - 1
    }

    fn point(&mut self, lane: &str, id: EventId, at: At, tone: &'static str, what: &What) {
        let text = self.timeline.line(what, None).what;
        let lane = self.lane(lane);
        self.put(lane, (at, at), tone, text, None, vec![id.0]);
    }

    fn take(&mut self, id: EventId, at: At, what: &What) {
        match what {
            What::Request { call, vendor, request, .. } => {
                let asked = self.timeline.asked(call.0);
                // What is asked again after it was answered is no retry.
                let before = asked.and_then(|a| a.before).and_then(|b| self.calls.get(&b).copied());
                let before = before.filter(|b| self.marks[*b].tone != "ok");
                let again = asked.filter(|_| before.is_some());
                let text = format!(
                    "{} {}{}",
                    request.method,
                    hidden(&request.target),
                    again.map(|a| format!(" (attempt {})", a.attempt)).unwrap_or_default()
                );
                let lane = self.lane(vendor);
                let mark = self.put(lane, (at, at), "bad", text, None, vec![id.0]);
                self.marks[mark].before = before;
                self.calls.insert(call.0, mark);
            }
            What::Answer { call, outcome, response, fault, .. } => {
                let mark = self.calls.get(&call.0).copied();
                self.end(mark, id, at, *outcome, response.as_ref(), fault.as_ref(), what);
            }
            What::Delivery { delivery, vendor, fault, .. } => {
                let text = self.timeline.line(what, None).what;
                let lane = self.lane(&format!("{vendor} webhooks"));
                let mark = self.put(lane, (at, at), "bad", text, fault.as_ref(), vec![id.0]);
                self.deliveries.insert(delivery.0, mark);
            }
            What::Delivered { delivery, outcome, response, .. } => {
                let mark = self.deliveries.get(&delivery.0).copied();
                self.end(mark, id, at, *outcome, response.as_ref(), None, what);
            }
            What::Change { by: Cause::Call(call), .. } => {
                if let Some(mark) = self.calls.get(&call.0) {
                    self.marks[*mark].events.push(id.0);
                }
            }
            What::Change { change: ChangeKind::Given, .. } => {}
            What::Change { .. } => self.point("workload", id, at, "note", what),
            What::Connection { vendor, fault, .. } | What::Handshake { vendor, fault, .. } => {
                let text = self.timeline.line(what, None).what;
                let lane = self.lane(vendor);
                let unused = matches!(what, What::Handshake { ended: Handshake::Done | Handshake::Left, .. });
                let tone = if unused { "note" } else { "bad" };
                self.put(lane, (at, at), tone, text, fault.as_ref(), vec![id.0]);
            }
            What::Emission { vendor, fault: Some(fault), .. } => {
                let text = self.timeline.line(what, None).what;
                let lane = self.lane(&format!("{vendor} webhooks"));
                self.put(lane, (at, at), "note", text, Some(fault), vec![id.0]);
            }
            What::GivenUp { vendor, .. } | What::Disabled { vendor } => {
                self.point(&format!("{vendor} webhooks"), id, at, "bad", what)
            }
            What::Credential { vendor, .. } => self.point(vendor, id, at, "note", what),
            What::Step { error, .. } => {
                let tone = if error.is_some() { "bad" } else { "note" };
                self.point("workload", id, at, tone, what);
            }
            What::Subject(
                SubjectEvent::Killed | SubjectEvent::Overstayed | SubjectEvent::Straggler { .. },
            ) => {
                self.point("subject", id, at, "bad", what);
            }
            What::Subject(_) | What::Exposed { .. } => self.point("subject", id, at, "note", what),
            What::Alert { .. } => self.point("subject", id, at, "alarm", what),
            What::Log { level, .. } if level == "error" || level == "warn" => {
                self.point("subject", id, at, "note", what);
            }
            What::HarnessFault { .. } | What::Unfit { .. } => self.point("workload", id, at, "bad", what),
            What::Emission { .. }
            | What::Fault(_)
            | What::Log { .. }
            | What::Attempts { .. }
            | What::Healed
            | What::Ended => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn end(
        &mut self,
        mark: Option<usize>,
        id: EventId,
        at: At,
        outcome: Outcome,
        response: Option<&Response>,
        fault: Option<&FaultRef>,
        what: &What,
    ) {
        let Some(mark) = mark.and_then(|m| self.marks.get_mut(m)) else { return };
        mark.to = at;
        mark.tone = tone(outcome, response);
        let ended = match (outcome, response) {
            (Outcome::Answered, Some(r)) => r.status.to_string(),
            _ => self.timeline.line(what, None).what,
        };
        mark.text = format!("{} → {ended}", mark.text);
        mark.fault = mark.fault.take().or_else(|| fault.map(|f| f.act.to_string()));
        mark.events.push(id.0);
    }

    /// Gives each mark a row in which nothing else is at the same time, where there is one.
    fn done(mut self) -> (Vec<Lane>, Vec<Mark>) {
        let mut order: Vec<usize> = (0..self.marks.len()).collect();
        order.sort_by_key(|n| (self.marks[*n].lane, self.marks[*n].from));
        let mut busy: Vec<Vec<Option<At>>> = self.lanes.iter().map(|_| Vec::new()).collect();
        for n in order {
            let mark = &mut self.marks[n];
            let rows = &mut busy[mark.lane];
            let free = rows.iter().position(|until| until.is_none_or(|until| until < mark.from));
            mark.row = free.unwrap_or_else(|| {
                if rows.len() < ROWS {
                    rows.push(None);
                }
                rows.len() - 1
            });
            rows[mark.row] = rows[mark.row].max(Some(mark.to));
        }
        let rows = busy.iter().map(|rows| rows.len().max(1));
        let lanes = self.lanes.into_iter().zip(rows).map(|(name, rows)| Lane { name, rows }).collect();
        (lanes, self.marks)
    }
}

fn tone(outcome: Outcome, response: Option<&Response>) -> &'static str {
    match (outcome, response.map(|r| r.status)) {
        (Outcome::Answered, Some(200..=399)) => "ok",
        (Outcome::Answered, Some(400..=499)) => "warn",
        (Outcome::Open | Outcome::SubjectGone, _) => "note",
        _ => "bad",
    }
}

/// Takes what is a person's own out of all text, cuts what is long, and says so in it.
fn prepare(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Cow::Owned(clean) = hidden(text) {
                *text = clean;
            }
            if text.len() > LONGEST {
                let end = (0..=LONGEST).rev().find(|n| text.is_char_boundary(*n)).unwrap_or(0);
                let left = text.len() - end;
                text.truncate(end);
                text.push_str(&format!("… ({left} more bytes)"));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(prepare),
        Value::Object(members) => members.values_mut().for_each(prepare),
        _ => {}
    }
}
