//! What the subject says of itself at the end of the drill.
//!
//! Knows: that a list of set-aside work is JSON whose entries name a record and a reason. Must
//! not know: any subject's own format beyond that.

use std::collections::BTreeMap;

use serde_json::Value;

use super::evidence::words;
use crate::trace::EventId;
use crate::wire::Response;

/// Work that the subject put aside, as it says.
#[derive(Clone, Debug)]
pub(super) struct SetAside {
    /// Where it said so.
    pub event: EventId,
    /// Its reason, if it gave one.
    pub reason: Option<String>,
}

/// The answers that the subject gave at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Exposed<'t> {
    /// Each answer, by what it is.
    pub answers: Vec<(EventId, &'t str, Option<&'t Response>)>,
    aside: BTreeMap<String, SetAside>,
}

/// Names under which entries keep their reason.
const REASONS: [&str; 8] = ["reason", "error", "why", "cause", "message", "detail", "failure", "violation"];

/// Whether what is shown under this name is work set aside.
pub fn is_set_aside(what: &str) -> bool {
    what == "dead_letters" || what == "quarantine"
}

impl<'t> Exposed<'t> {
    /// Takes in one answer.
    pub fn note(&mut self, event: EventId, what: &'t str, response: Option<&'t Response>) {
        self.answers.push((event, what, response));
        if !is_set_aside(what) {
            return;
        }
        let Some(body) = response.and_then(|r| serde_json::from_slice::<Value>(&r.body).ok()) else { return };
        for (key, entry) in entries(&body) {
            let aside = SetAside { event, reason: reason(entry, 0) };
            let mut named = Vec::new();
            named.extend(key.map(str::to_owned));
            leaves(entry, &mut named);
            for word in named {
                let known = self.aside.entry(word).or_insert_with(|| aside.clone());
                if known.reason.is_none() {
                    known.reason.clone_from(&aside.reason);
                }
            }
        }
    }

    /// What it says of the record or source key `key`.
    pub fn set_aside(&self, key: &str) -> Option<&SetAside> {
        self.aside.get(key)
    }

    /// The entries of the list that it shows as `what`, or why there is none to compare with.
    pub fn list(&self, what: &str) -> Result<(EventId, Vec<Value>), String> {
        let shown = self.answers.iter().rev().find(|(_, w, _)| *w == what);
        let Some((event, _, response)) = shown else {
            return Err(format!("the subject does not show its `{what}`"));
        };
        let Some(response) = response.filter(|r| r.is_success()) else {
            return Err(format!("the subject did not show its `{what}` at the end"));
        };
        let body = serde_json::from_slice::<Value>(&response.body)
            .map_err(|error| format!("what the subject shows as `{what}` is no JSON: {error}"))?;
        if goes_on(&body) {
            return Err(format!(
                "what the subject shows as `{what}` is a page, and says that there are more"
            ));
        }
        Ok((*event, entries(&body).into_iter().map(|(_, entry)| entry.clone()).collect()))
    }

    /// The answer about `what`.
    pub fn answer(&self, what: &str) -> Option<(EventId, &'t Response)> {
        self.answers.iter().rev().find(|(_, w, _)| *w == what).and_then(|(e, _, r)| r.map(|r| (*e, r)))
    }
}

/// Names whose numbers count something rather than name a record.
const COUNTERS: [&str; 6] = ["attempt", "count", "status", "time", "_at", "size"];

/// The entries of a list of set-aside work: the array itself, the arrays in an object, or an
/// object's own values, by key.
fn entries(body: &Value) -> Vec<(Option<&str>, &Value)> {
    match body {
        Value::Array(list) => list.iter().map(|v| (None, v)).collect(),
        Value::Object(map) => {
            let arrays: Vec<_> =
                map.values().filter_map(Value::as_array).flatten().map(|v| (None, v)).collect();
            if arrays.is_empty() {
                map.iter().filter(|(_, v)| v.is_object()).map(|(k, v)| (Some(k.as_str()), v)).collect()
            } else {
                arrays
            }
        }
        _ => Vec::new(),
    }
}

/// Whether a list says of itself that it is only a part.
fn goes_on(body: &Value) -> bool {
    let says = |(key, value): (&String, &Value)| {
        let key = key.to_ascii_lowercase();
        let more = key == "has_more" || key == "hasmore" || key == "truncated";
        let next = key.starts_with("next") || key.contains("cursor") || key == "after";
        (more && value == &Value::Bool(true)) || (next && !matches!(value, Value::Null | Value::Bool(_)))
    };
    body.as_object().is_some_and(|map| map.iter().any(says))
}

/// The reason that an entry gives.
fn reason(entry: &Value, depth: u8) -> Option<String> {
    let map = entry.as_object()?;
    let named = map.iter().find_map(|(key, value)| {
        let key = key.to_ascii_lowercase();
        let says = match value {
            Value::String(text) if !text.trim().is_empty() => text.clone(),
            Value::Object(o) if !o.is_empty() => value.to_string(),
            Value::Array(a) if !a.is_empty() => value.to_string(),
            _ => return None,
        };
        REASONS.iter().any(|r| key.contains(r)).then_some(says)
    });
    named.or_else(|| if depth < 3 { map.values().find_map(|v| reason(v, depth + 1)) } else { None })
}

/// The reasons that a list of set-aside work gives, one an entry; entries without one are left out.
pub fn reasons(body: &Value) -> Vec<String> {
    entries(body).into_iter().filter_map(|(_, entry)| reason(entry, 0)).collect()
}

/// Everything in an entry that may be a record's name: whole strings, numbers, and words.
fn leaves(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            out.extend(words(text).filter(|w| w.len() > 2).take(64).map(str::to_owned));
            out.push(text.clone());
        }
        Value::Number(number) => out.push(number.to_string()),
        Value::Array(list) => list.iter().for_each(|v| leaves(v, out)),
        Value::Object(map) => {
            let named = |key: &str| !COUNTERS.iter().any(|c| key.to_ascii_lowercase().contains(c));
            map.iter().filter(|(k, v)| !v.is_number() || named(k)).for_each(|(_, v)| leaves(v, out));
        }
        Value::Null | Value::Bool(_) => {}
    }
}
