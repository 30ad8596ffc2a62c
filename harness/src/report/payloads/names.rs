//! Names for what varies: `[invoice#1]` for an id, `[key#1]` for an idempotency key.
//!
//! Knows: where ids, keys, tokens and times come up in a trace. Must not know: payloads. One
//! thing has one name wherever it stands, so that relations stay visible; a time's name says only
//! how it is written, since moments shift with every change of pace.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use crate::fixture::is_secret_name;
use crate::time::At;
use crate::trace::{Trace, What};

/// Ids shorter than this are left as they are: they could be any number or word.
const SHORTEST: usize = 4;
/// How far from the drill's own time a number may lie and still be taken for a moment, in days.
const NEAR: i64 = 800;

/// The names of one trace.
#[derive(Debug)]
pub(super) struct Names {
    words: BTreeMap<String, String>,
    counts: BTreeMap<String, usize>,
    /// Seconds since the epoch that are taken for moments.
    window: std::ops::Range<i64>,
}

impl Names {
    /// Reads all ids and credentials of a trace, in the order in which they came up.
    pub fn of(trace: &Trace) -> Names {
        let start = At::START.on_wall(trace.head.epoch).as_second();
        let window = start - NEAR * 86_400..start + NEAR * 86_400;
        let mut names = Names { words: BTreeMap::new(), counts: BTreeMap::new(), window };
        for event in &trace.events {
            match &event.what {
                What::Change { collection, id, .. } => names.learn(one_of(collection), id),
                What::Emission { event, .. } => names.learn("event", &event.id),
                What::Request { request, .. } => {
                    let credential = request.headers.get("authorization").and_then(|a| a.rsplit(' ').next());
                    credential.into_iter().for_each(|c| names.learn("credential", c));
                }
                What::Answer { response: Some(response), told, .. } if told.token_expires.is_some() => {
                    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
                    for (name, value) in body.as_object().into_iter().flatten() {
                        value
                            .as_str()
                            .filter(|_| is_secret_name(name))
                            .into_iter()
                            .for_each(|v| names.learn(name, v));
                    }
                }
                _ => {}
            }
        }
        names
    }

    fn learn(&mut self, noun: &str, word: &str) {
        if word.len() < SHORTEST || self.words.contains_key(word) {
            return;
        }
        let count = self.counts.entry(noun.to_owned()).or_default();
        *count += 1;
        self.words.insert(word.to_owned(), format!("[{noun}#{count}]"));
    }

    /// An idempotency key, numbered within its operation.
    pub fn key(&mut self, operation: &str, key: &str) -> String {
        if let Some(name) = self.words.get(key) {
            return name.clone();
        }
        let count = self.counts.entry(format!("key {operation}")).or_default();
        *count += 1;
        let name = format!("[key#{count}]");
        self.words.insert(key.to_owned(), name.clone());
        name
    }

    /// A parameter's value, which is a name of its own if the parameter carries a secret.
    pub fn of_secret(&mut self, name: &str, value: &str) -> String {
        if is_secret_name(name) {
            self.learn(name, value);
        }
        self.text(value)
    }

    /// A JSON scalar, in JSON.
    pub fn json(&self, name: &str, value: &Value) -> String {
        match value {
            Value::String(_) if is_secret_name(name) => format!("\"[{name}]\""),
            Value::String(text) => Value::String(self.text(text)).to_string(),
            Value::Number(_) => self.text(&value.to_string()),
            other => other.to_string(),
        }
    }

    /// A text, each thing in it that varies by its name.
    pub fn text(&self, text: &str) -> String {
        if let Some(name) = self.words.get(text) {
            return name.clone();
        }
        if let Some(name) = self.moment(text) {
            return name.to_owned();
        }
        let in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let word = &rest[..rest.find(|c| !in_word(c)).unwrap_or(rest.len())];
            match self.words.get(word) {
                Some(name) => out.push_str(name),
                None if is_uuid(word) => out.push_str("[uuid]"),
                None => out.push_str(&self.inside(word)),
            }
            rest = &rest[word.len()..];
            let gap = rest.find(in_word).unwrap_or(rest.len());
            out.push_str(&rest[..gap]);
            rest = &rest[gap..];
        }
        out
    }

    /// A word made of a known one: Stripe's line `il_ii_1…` of the item `ii_1…`.
    fn inside(&self, word: &str) -> String {
        let tail = word.match_indices(['_', '-']).find_map(|(at, _)| {
            let (head, tail) = word.split_at(at + 1);
            Some(format!("{head}{}", self.words.get(tail)?))
        });
        tail.unwrap_or_else(|| word.to_owned())
    }

    /// How a moment is written, if this is one.
    fn moment(&self, text: &str) -> Option<&'static str> {
        if text.len() >= 20 && text.as_bytes().get(10) == Some(&b'T') && text.parse::<Timestamp>().is_ok() {
            return Some("[iso time]");
        }
        let number: i64 = text.parse().ok()?;
        match text.len() {
            10 if self.window.contains(&number) => Some("[epoch s]"),
            13 if self.window.contains(&(number / 1_000)) => Some("[epoch ms]"),
            _ => None,
        }
    }
}

/// One of a collection, by the collection's name: `deals` → `deal`.
fn one_of(collection: &str) -> &str {
    collection.strip_suffix('s').filter(|one| !one.ends_with('s')).unwrap_or(collection)
}

/// RFC 9562 §4: 8-4-4-4-12 hexadecimal digits.
fn is_uuid(word: &str) -> bool {
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && word.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}
