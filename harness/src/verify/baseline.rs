//! What earlier recordings showed: the third layer.
//!
//! Knows: how often fields were there, of which types and values, how long lists were. Must not know:
//! schemas, files, or which change of it is worth a finding.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::paging::Page;
use super::{Source, request, response};
use crate::contract::Contract;
use crate::fixture::{Exchange, displayable, is_secret_name};

/// So many samples must agree before `always` or `never` means anything.
pub(super) const ENOUGH: u32 = 3;
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
    /// For lists: what was seen of pages that could have been fuller.
    #[serde(default, skip_serializing_if = "Pages::is_empty")]
    pub pages: Pages,
}

/// How full the pages of a list were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    /// How many had as many items as were asked for.
    #[serde(default)]
    pub full: u32,
    /// Those that had fewer, and said that there are more: items and asked for, each with how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub short: BTreeMap<String, u32>,
    /// The lengths of those that said that there are more when no number was asked for, with how often.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unasked: BTreeMap<usize, u32>,
}

impl Pages {
    fn is_empty(&self) -> bool {
        *self == Pages::default()
    }

    fn see(&mut self, items: usize, page: Page) {
        match page.asked {
            Some(asked) if items >= asked => self.full += 1,
            Some(asked) if page.more => *self.short.entry(format!("{items} of {asked}")).or_default() += 1,
            None if page.more => *self.unasked.entry(items).or_default() += 1,
            _ => {}
        }
    }
}

impl Stat {
    pub(super) fn always(&self) -> bool {
        self.parents >= ENOUGH && self.present == self.parents
    }

    /// Whether its values are a choice: few, and seen again and again.
    pub(super) fn is_choice(&self) -> bool {
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
                self.answers.entry(key).or_default().sample(exchange, &value);
            }
        }
    }

    /// What one exchange alone shows, with the key of its answer; none if its answer is no JSON.
    pub(super) fn of_one(
        contract: Option<&Contract>,
        vendor: &str,
        exchange: &Exchange,
    ) -> Option<(String, Seen)> {
        let mut seen = Seen::default();
        seen.sample(exchange, &json(exchange)?);
        seen.complete();
        Some((key(contract, vendor, exchange), seen))
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
    fn sample(&mut self, exchange: &Exchange, value: &Value) {
        self.samples += 1;
        self.see("", "", value, 0);
        let page = Page::of(&request(exchange), &response(exchange).headers, value);
        let lists = self.fields.keys().filter(|pointer| !pointer.contains('*')).cloned().collect::<Vec<_>>();
        for pointer in lists {
            if let Some(items) = value.pointer(&pointer).and_then(Value::as_array)
                && let Some(stat) = self.fields.get_mut(&pointer)
            {
                stat.pages.see(items.len(), page);
            }
        }
    }

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
