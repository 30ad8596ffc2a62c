//! What earlier recordings showed: the third layer.
//!
//! Knows: how often fields were there, of which types and values, how long lists were; and which
//! change of that is worth a finding. Must not know: schemas, files.
//!
//! A schema leaves a removed optional field, an emptied list and a capped page silent. A vendor
//! that always sent a field and no longer does has changed, whatever its contract allows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Source, response};
use crate::contract::{Contract, Part, Severity, Violation};
use crate::fixture::{Exchange, displayable, is_secret_name};

/// So many samples must agree before `always` or `never` means anything.
const ENOUGH: u32 = 3;
/// A text field with at most so many values, each seen twice on average, is a choice.
const CHOICES: usize = 10;

/// What was learned, by `vendor METHOD /path status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Learned from how many days' recordings, for people: the earliest and latest day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<(String, String)>,
    /// By answer.
    pub answers: BTreeMap<String, Seen>,
}

/// What was seen of one answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// How many.
    pub samples: u32,
    /// By pointer, `*` for any index; the body itself is empty.
    pub fields: BTreeMap<String, Stat>,
}

/// What was seen of one field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stat {
    /// How many objects could have held it: its parents.
    pub parents: u32,
    /// How many did.
    pub present: u32,
    /// Its types, each with how often.
    pub types: BTreeMap<String, u32>,
    /// Its values with how often, if it is a choice of a few words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, u32>,
    /// Whether it had too many values, or one too long, to be a choice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub free: bool,
    /// For lists: their lengths, each with how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lengths: BTreeMap<usize, u32>,
}

impl Stat {
    fn always(&self) -> bool {
        self.parents >= ENOUGH && self.present == self.parents
    }

    /// Whether its values are a choice: few, and seen again and again.
    fn is_choice(&self) -> bool {
        let seen: u32 = self.values.values().sum();
        !self.free
            && seen >= ENOUGH
            && seen as usize >= 2 * self.values.len()
            && self.types.keys().all(|t| t == "string" || t == "null")
    }
}

impl Baseline {
    /// Learns from exchanges: their JSON answers, by operation of the contract, or by path where
    /// there is no contract.
    pub fn learn(contract: Option<&Contract>, sources: &[Source<'_>]) -> Baseline {
        let mut baseline = Baseline::default();
        baseline.add(contract, sources);
        for seen in baseline.answers.values_mut() {
            seen.complete();
        }
        baseline
    }

    fn add(&mut self, contract: Option<&Contract>, sources: &[Source<'_>]) {
        for source in sources {
            if let Some(day) = source.recorded.map(|d| d.to_string()) {
                let (from, to) = self.recorded.get_or_insert((day.clone(), day.clone()));
                if day < *from {
                    from.clone_from(&day);
                }
                if day > *to {
                    *to = day;
                }
            }
            for exchange in source.exchanges {
                let Some(value) = json(exchange) else { continue };
                let key = key(contract, source.vendor, exchange);
                let seen = self.answers.entry(key).or_default();
                seen.samples += 1;
                seen.see("", "", &value, 0);
            }
        }
    }

    /// Adds what another baseline knows of other answers; answers known to both are as the other
    /// says, which is the newer.
    pub fn renew(&mut self, newer: Baseline) {
        self.answers.extend(newer.answers);
        self.recorded = match (self.recorded.take(), newer.recorded) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (a, b) => a.or(b),
        };
    }

    /// What `now` shows that this baseline has never seen, or no longer shows that it always saw:
    /// the answer's key, and the finding.
    pub fn compare(&self, now: &Baseline) -> Vec<(String, Violation)> {
        let mut found = Vec::new();
        for (key, seen) in &now.answers {
            let Some(before) = self.answers.get(key) else { continue };
            for (pointer, old) in &before.fields {
                match seen.fields.get(pointer) {
                    Some(new) => compare(pointer, old, new, &mut |v| found.push((key.clone(), v))),
                    None => gone(pointer, old, seen, &mut |v| found.push((key.clone(), v))),
                }
            }
        }
        found
    }
}

/// The vendor, operation and status that a sample belongs to.
fn key(contract: Option<&Contract>, vendor: &str, exchange: &Exchange) -> String {
    let found = contract.and_then(|c| c.find(&exchange.request.method, &exchange.request.target).ok());
    let operation = found.map(|f| f.operation.name()).unwrap_or_else(|| {
        let path = exchange.request.target.split('?').next().unwrap_or_default();
        format!("{} {path}", exchange.request.method)
    });
    format!("{vendor} {operation} {}", exchange.response.status)
}

fn json(exchange: &Exchange) -> Option<Value> {
    let response = response(exchange);
    serde_json::from_slice(&response.body).ok()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        // JSON does not tell 1 from 1.0; who sends both sends numbers.
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Seen {
    fn see(&mut self, pointer: &str, name: &str, value: &Value, depth: usize) {
        let stat = self.fields.entry(pointer.to_owned()).or_default();
        stat.present += 1;
        *stat.types.entry(kind(value).to_owned()).or_default() += 1;
        match value {
            Value::String(text) if !stat.free => {
                let word = !text.is_empty()
                    && text.len() <= 32
                    && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
                    && !is_secret_name(name)
                    && displayable(text) == *text;
                *stat.values.entry(text.clone()).or_default() += 1;
                if !word || stat.values.len() > CHOICES {
                    stat.free = true;
                    stat.values.clear();
                }
            }
            Value::Array(items) => {
                *stat.lengths.entry(items.len()).or_default() += 1;
                if depth < 64 {
                    items.iter().for_each(|item| self.see(&format!("{pointer}/*"), "", item, depth + 1));
                }
            }
            Value::Object(members) if depth < 64 => {
                for (name, member) in members {
                    let segment = name.replace('~', "~0").replace('/', "~1");
                    self.see(&format!("{pointer}/{segment}"), name, member, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// Counts for each field the objects, or lists, that could have held it.
    fn complete(&mut self) {
        let objects: BTreeMap<String, u32> = self
            .fields
            .iter()
            .map(|(pointer, stat)| (pointer.clone(), stat.types.get("object").copied().unwrap_or(0)))
            .collect();
        for (pointer, stat) in &mut self.fields {
            stat.parents = match pointer.rsplit_once('/') {
                None => self.samples,
                Some((_, "*")) => stat.present,
                Some((parent, _)) => objects.get(parent).copied().unwrap_or(0),
            };
        }
    }
}

fn finding(rule: &str, severity: Severity, pointer: &str, expected: String, got: String) -> Violation {
    Violation {
        rule: rule.to_owned(),
        severity,
        part: Part::Body,
        pointer: pointer.to_owned(),
        wild: pointer.to_owned(),
        schema: String::new(),
        expected,
        got,
        branch: None,
        moved: None,
    }
}

/// A field that the baseline knows and nothing now shows.
fn gone(pointer: &str, old: &Stat, now: &Seen, say: &mut dyn FnMut(Violation)) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    // Without a parent there was nowhere for it to be; the parent's own finding says so.
    let parents = now
        .fields
        .get(parent)
        .map_or(0, |p| p.types.get(if name == "*" { "array" } else { "object" }).copied().unwrap_or(0));
    if name == "*" || parents == 0 {
        return;
    }
    if old.always() {
        let expected = format!("the field, which all {} samples of the baseline had", old.parents);
        say(finding(
            "baseline/absent",
            Severity::Breaking,
            pointer,
            expected,
            format!("none of {parents} has it"),
        ));
    } else if old.parents >= 2 * ENOUGH && old.present * 2 >= old.parents && parents >= 2 * ENOUGH {
        let expected = format!("the field, which {} of {} had", old.present, old.parents);
        say(finding(
            "baseline/rarer",
            Severity::Unknown,
            pointer,
            expected,
            format!("none of {parents} has it"),
        ));
    }
}

fn compare(pointer: &str, old: &Stat, new: &Stat, say: &mut dyn FnMut(Violation)) {
    if old.always() && new.present < new.parents {
        let expected = format!("the field, which all {} samples of the baseline had", old.parents);
        let got = format!("{} of {} have it", new.present, new.parents);
        say(finding("baseline/absent", Severity::Breaking, pointer, expected, got));
    }
    let seen: u32 = old.types.values().sum();
    let known: BTreeSet<&str> = old.types.keys().map(String::as_str).collect();
    for (kind, count) in &new.types {
        if !known.contains(kind.as_str()) {
            let types = known.iter().copied().collect::<Vec<_>>().join(" or ");
            // A field of which only null was ever seen has no type yet.
            let severity = if types == "null" {
                Severity::Additive
            } else if seen < ENOUGH {
                Severity::Unknown
            } else {
                Severity::Breaking
            };
            let expected = format!("{types}, as in all {seen} samples of the baseline");
            say(finding("baseline/type", severity, pointer, expected, format!("{kind}, {count} times")));
        }
    }
    if old.is_choice() && !new.free {
        for value in new.values.keys().filter(|v| !old.values.contains_key(*v)) {
            let known = old.values.keys().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
            let expected = format!("one of {known}, as in the baseline");
            say(finding("baseline/value", Severity::Additive, pointer, expected, format!("`{value}`")));
        }
    }
    lengths(pointer, old, new, say);
}

fn lengths(pointer: &str, old: &Stat, new: &Stat, say: &mut dyn FnMut(Violation)) {
    let (Some((&least, _)), Some((&most, _))) = (old.lengths.first_key_value(), old.lengths.last_key_value())
    else {
        return;
    };
    let Some((&most_now, &times)) = new.lengths.last_key_value() else { return };
    let lists: u32 = old.lengths.values().sum();
    if lists < ENOUGH {
        return;
    }
    if most_now == 0 && least > 0 {
        let expected = format!("a list with items: all {lists} of the baseline had {least} to {most}");
        say(finding(
            "baseline/emptied",
            Severity::Breaking,
            pointer,
            expected,
            "only empty lists".to_owned(),
        ));
    } else if most_now < most && times >= 2 && new.lengths.len() <= 2 && most_now > 0 {
        // Several lists end at the very same length, below what was once seen: a page was capped.
        let expected = format!("lists of up to {most}, as in the baseline");
        say(finding(
            "baseline/capped",
            Severity::Unknown,
            pointer,
            expected,
            format!("{times} lists end at {most_now}"),
        ));
    }
}
