//! What lasted a while: tokens that were valid, breakers that were open, the subject's lives, the
//! windows of faults.
//!
//! Knows: how these show in a trace. Must not know: how they are drawn.

use crate::report::Ran;
use crate::time::At;
use crate::trace::{SubjectEvent, What};

/// Something that lasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose it is: a vendor's alias, or `subject`.
    pub of: String,
    /// What it is.
    pub kind: Kind,
    /// When it began.
    pub from: At,
    /// When it ended.
    pub to: At,
    /// In words.
    pub text: String,
}

/// Kinds of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An access token was valid, as the vendor told.
    Token,
    /// The breaker was open, as the wire shows it.
    Breaker,
    /// The subject was down.
    Down,
    /// A fault rule could bite.
    Window,
}

/// All states of a drill, in order.
pub fn states(ran: &Ran<'_>) -> Vec<State> {
    let trace = &ran.drilled.trace;
    let end = trace.events.last().map_or(At::START, |e| e.at);
    let mut states = Vec::new();
    let mut vendor_of = std::collections::BTreeMap::new();
    let mut down: Option<(At, &'static str)> = None;
    for event in &trace.events {
        match &event.what {
            What::Request { call, vendor, .. } => {
                vendor_of.insert(*call, vendor.clone());
            }
            What::Answer { call, told, .. } => {
                let Some((expires, vendor)) = told.token_expires.zip(vendor_of.get(call)) else { continue };
                states.push(State {
                    of: vendor.to_string(),
                    kind: Kind::Token,
                    from: event.at,
                    to: expires.min(end),
                    text: format!("access token valid until {expires}"),
                });
            }
            What::Subject(SubjectEvent::Started { .. }) => {
                if let Some((from, why)) = down.take() {
                    states.push(fell(from, event.at, why));
                }
            }
            What::Subject(SubjectEvent::Killed) => down = Some((event.at, "killed")),
            What::Subject(SubjectEvent::Stopped) => down = Some((event.at, "stopped")),
            What::Subject(SubjectEvent::Overstayed) => {
                down = Some((event.at, "did not stop in time: killed"))
            }
            What::Subject(SubjectEvent::Exited { .. }) => down = Some((event.at, "ended by itself")),
            _ => {}
        }
    }
    // A subject that is stopped at the very end was not down in the drill.
    if let Some((from, why)) = down.filter(|(from, _)| *from < trace.head.ends_at) {
        states.push(fell(from, end, why));
    }
    for open in crate::check::breakers_opened(&ran.loaded.scenario, trace) {
        states.push(State {
            of: open.vendor,
            kind: Kind::Breaker,
            from: open.from,
            to: open.to.unwrap_or(end),
            text: "breaker open, as the wire shows it".into(),
        });
    }
    for (n, rule) in ran.loaded.scenario.faults.iter().enumerate() {
        let Some(window) = rule.window else { continue };
        states.push(State {
            of: rule.on.vendor().unwrap_or("subject").to_owned(),
            kind: Kind::Window,
            from: window.from,
            to: window.to.unwrap_or(trace.head.heals_at).min(end),
            text: format!("fault rule {}: on {}", n + 1, rule.on),
        });
    }
    states
}

fn fell(from: At, to: At, why: &str) -> State {
    State { of: "subject".into(), kind: Kind::Down, from, to, text: format!("down: {why}") }
}
