//! The replay of two ledgers that must agree, change by change.
//!
//! Knows: `expect.agree` and the ledgers. Must not know: how the subject brought them about.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value;

use super::evidence::{Changed, Evidence};
use super::lives::Stretch;
use crate::expr::Expr;
use crate::scenario::Agree;
use crate::time::At;
use crate::trace::{Cause, ChangeKind, EventId};

/// A value of one promised field, or why it could not be computed.
pub(super) type Field = Result<Value, String>;

/// A record as it was from some moment on, in the terms of the promise.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub at: At,
    pub event: EventId,
    pub by: Cause,
    /// For a source: whether it must have an effect. For a target: whether it is an effect.
    pub counts: bool,
    /// The promised fields, in the order of the scenario.
    pub fields: Vec<Field>,
}

/// The history of one record.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    pub key: Option<String>,
    pub versions: Vec<Version>,
    /// Why its present state could not be judged.
    pub error: Option<String>,
}

impl History {
    fn counts(&self) -> bool {
        self.versions.last().is_some_and(|v| v.counts)
    }

    /// The event of its present state.
    pub fn event(&self) -> Option<EventId> {
        self.versions.last().map(|v| v.event)
    }
}

/// What is wrong with one key.
#[derive(Clone, Debug)]
pub(super) enum Wrong {
    /// No live effect.
    Missing,
    /// More than one.
    Doubled(Vec<String>),
    /// The target's field differs.
    Differs { field: String, found: Field, wanted: Field },
    /// An effect of something that must not have one.
    Unwanted(Vec<String>),
    /// A source record could not be judged.
    Unclear(String),
}

/// A key that came to have more than one live effect.
#[derive(Clone, Debug)]
pub(super) struct Double {
    pub at: At,
    pub event: EventId,
    pub by: Cause,
    pub key: String,
    pub targets: Vec<String>,
    pub first: Option<EventId>,
}

/// What is known of one key.
#[derive(Clone, Debug, Default)]
struct Slot {
    sources: BTreeSet<String>,
    live: BTreeSet<String>,
    /// When it was in disagreement, whatever excuses it.
    raw: Vec<Stretch>,
    raw_open: Option<At>,
    /// When it disagreed and the subject did not set it aside.
    stretches: Vec<Stretch>,
    open: Option<At>,
    aside: bool,
}

/// The whole replay. Records and keys are kept in the order in which they came to be known.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreement {
    /// Names of the two collections.
    pub from: (String, String),
    pub to: (String, String),
    /// Names of the promised fields.
    pub fields: Vec<String>,
    pub sources: IndexMap<String, History>,
    pub targets: IndexMap<String, History>,
    slots: IndexMap<String, Slot>,
    pub doubles: Vec<Double>,
    /// When any key disagreed that the subject did not set aside.
    pub pending: Vec<Stretch>,
    /// Expressions that do not compile.
    pub broken: Vec<String>,
    unsettled: usize,
    pending_since: Option<At>,
}

struct Terms<'s> {
    agree: &'s Agree,
    source_name: String,
    target_name: String,
    target_fields: Vec<Expr>,
    source_fields: Vec<Expr>,
}

impl Agreement {
    /// Replays the ledgers; `None` if nothing is promised of them.
    pub fn replay(evidence: &Evidence<'_>) -> Option<Agreement> {
        let agree = evidence.scenario.expect.agree.as_ref()?;
        let from = split(&agree.from);
        let to = split(&agree.to);
        let mut this = Agreement { from: from.clone(), to: to.clone(), ..Agreement::default() };
        let mut terms = Terms {
            agree,
            source_name: evidence.record_name(&from.0, &from.1),
            target_name: evidence.record_name(&to.0, &to.1),
            target_fields: Vec::new(),
            source_fields: Vec::new(),
        };
        for (target, source) in &agree.fields {
            match Expr::compile(target) {
                Ok(expr) => {
                    this.fields.push(target.clone());
                    terms.target_fields.push(expr);
                    terms.source_fields.push(source.clone());
                }
                Err(e) => this.broken.push(e.to_string()),
            }
        }
        let sources = evidence.ledger(&from.0, &from.1).iter().map(|c| (true, c));
        let targets = evidence.ledger(&to.0, &to.1).iter().map(|c| (false, c));
        let mut all: Vec<_> = sources.chain(targets).collect();
        all.sort_by_key(|(_, c)| c.event);
        for (is_source, change) in all {
            if is_source {
                this.source(&terms, change, evidence);
            } else {
                this.target(&terms, change);
            }
        }
        this.close(evidence.ends_at);
        Some(this)
    }

    fn source(&mut self, terms: &Terms<'_>, change: &Changed<'_>, evidence: &Evidence<'_>) {
        let bound = [(terms.source_name.as_str(), change.record)];
        let gone = change.change == ChangeKind::Deleted;
        let key = match &terms.agree.source_key {
            None => Ok(change.id.to_owned()),
            Some(expr) => key_of(expr, &bound),
        };
        let wanted = terms.agree.only.holds(&bound).map_err(|e| e.to_string());
        let history = self.sources.entry(change.id.to_owned()).or_default();
        history.error = if gone { None } else { key.as_ref().err().or(wanted.as_ref().err()).cloned() };
        let counts = !gone && wanted.unwrap_or(false);
        let fields = if counts { values(&terms.source_fields, &bound) } else { Vec::new() };
        history.versions.push(Version { at: change.at, event: change.event, by: change.by, counts, fields });
        let old = std::mem::replace(&mut history.key, key.ok());
        let new = history.key.clone();
        if let Some(old) = old.filter(|o| Some(o) != new.as_ref()) {
            self.slots.entry(old.clone()).or_default().sources.remove(change.id);
            self.settle(&old, change.at);
        }
        if let Some(new) = new {
            let exposed = &evidence.exposed;
            let aside = exposed.set_aside(&new).or_else(|| exposed.set_aside(change.id));
            let slot = self.slots.entry(new.clone()).or_default();
            slot.aside |= terms.agree.may_set_aside && aside.is_some_and(|a| a.reason.is_some());
            slot.sources.insert(change.id.to_owned());
            self.settle(&new, change.at);
        }
    }

    fn target(&mut self, terms: &Terms<'_>, change: &Changed<'_>) {
        let bound = [(terms.target_name.as_str(), change.record)];
        let live = match (&terms.agree.live, change.change) {
            (_, ChangeKind::Deleted) => Ok(false),
            (None, _) => Ok(true),
            (Some(expr), _) => expr.holds(&bound).map_err(|e| e.to_string()),
        };
        let key = key_of(&terms.agree.key, &bound);
        let history = self.targets.entry(change.id.to_owned()).or_default();
        history.error = match (&live, &key) {
            (Err(e), _) | (Ok(true), Err(e)) => Some(e.clone()),
            _ => None,
        };
        let counts = live.unwrap_or(false) && key.is_ok();
        let fields = if counts { values(&terms.target_fields, &bound) } else { Vec::new() };
        history.versions.push(Version { at: change.at, event: change.event, by: change.by, counts, fields });
        let old = std::mem::replace(&mut history.key, key.ok());
        let new = history.key.clone();
        if let Some(old) = old.filter(|o| Some(o) != new.as_ref()) {
            self.slots.entry(old.clone()).or_default().live.remove(change.id);
            self.settle(&old, change.at);
        }
        let Some(new) = new else { return };
        let slot = self.slots.entry(new.clone()).or_default();
        if counts {
            let before = slot.live.len();
            slot.live.insert(change.id.to_owned());
            if slot.live.len() > before.max(1) {
                let targets: Vec<String> = slot.live.iter().cloned().collect();
                let first = targets.iter().find(|t| *t != change.id).and_then(|t| self.targets.get(t));
                let first = first.and_then(|h| h.versions.first()).map(|v| v.event);
                let (at, event, by) = (change.at, change.event, change.by);
                self.doubles.push(Double { at, event, by, key: new.clone(), targets, first });
            }
        } else {
            slot.live.remove(change.id);
        }
        self.settle(&new, change.at);
    }

    /// What is wrong with a key at this point of the replay.
    pub fn wrong(&self, key: &str) -> Option<Wrong> {
        let slot = self.slots.get(key)?;
        let histories = || slot.sources.iter().filter_map(|id| self.sources.get(id));
        if let Some(error) = histories().find_map(|h| h.error.clone()) {
            return Some(Wrong::Unclear(error));
        }
        let source = histories().find(|h| h.counts());
        let live = || slot.live.iter().cloned().collect::<Vec<_>>();
        match (source, slot.live.len()) {
            (None, 0) => None,
            (None, _) => Some(Wrong::Unwanted(live())),
            (Some(_), 0) => Some(Wrong::Missing),
            (Some(source), 1) => {
                let wanted = &source.versions.last()?.fields;
                let found = &self.targets.get(slot.live.first()?)?.versions.last()?.fields;
                let differs = wanted.iter().zip(found).position(|(w, f)| !same(w, f))?;
                Some(Wrong::Differs {
                    field: self.fields[differs].clone(),
                    found: found[differs].clone(),
                    wanted: wanted[differs].clone(),
                })
            }
            _ => Some(Wrong::Doubled(live())),
        }
    }

    /// Whether the subject set this key aside, may do so, and gave a reason.
    pub fn is_aside(&self, key: &str) -> bool {
        self.slots.get(key).is_some_and(|s| s.aside)
    }

    /// Whether what is wrong is excused by being set aside.
    pub fn excused(&self, key: &str, wrong: &Wrong) -> bool {
        self.is_aside(key) && matches!(wrong, Wrong::Missing | Wrong::Differs { .. })
    }

    fn settle(&mut self, key: &str, at: At) {
        let wrong = self.wrong(key);
        let excused = wrong.as_ref().is_some_and(|w| self.excused(key, w));
        let Some(slot) = self.slots.get_mut(key) else { return };
        match (wrong.is_some(), slot.raw_open) {
            (true, None) => slot.raw_open = Some(at),
            (false, Some(from)) => {
                slot.raw_open = None;
                slot.raw.push((from, at));
            }
            _ => {}
        }
        match (wrong.is_some() && !excused, slot.open) {
            (true, None) => {
                slot.open = Some(at);
                self.unsettled += 1;
                self.pending_since.get_or_insert(at);
            }
            (false, Some(from)) => {
                slot.open = None;
                slot.stretches.push((from, at));
                self.unsettled -= 1;
                if self.unsettled == 0
                    && let Some(since) = self.pending_since.take()
                    && since < at
                {
                    self.pending.push((since, at));
                }
            }
            _ => {}
        }
    }

    fn close(&mut self, end: At) {
        for slot in self.slots.values_mut() {
            slot.stretches.extend(slot.open.take().map(|from| (from, end)));
            slot.raw.extend(slot.raw_open.take().map(|from| (from, end)));
        }
        if let Some(since) = self.pending_since.take() {
            self.pending.push((since, end));
        }
    }

    /// When a key was in disagreement, whatever excuses it.
    pub fn raw(&self, key: &str) -> &[Stretch] {
        self.slots.get(key).map_or(&[], |s| &s.raw)
    }

    /// When a key disagreed and the subject did not set it aside.
    pub fn stretches(&self, key: &str) -> &[Stretch] {
        self.slots.get(key).map_or(&[], |s| &s.stretches)
    }

    /// Whether the present state of a source of this key is the subject's doing.
    pub fn touched(&self, key: &str) -> bool {
        let sources = self.slots.get(key).into_iter().flat_map(|s| &s.sources);
        let last = |id: &String| self.sources.get(id)?.versions.last().map(|v| v.by);
        sources.filter_map(last).any(|by| matches!(by, Cause::Call(_)))
    }

    /// Keys that were ever seen.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    /// Events of the present state of a key: its sources, then its live targets.
    pub fn cite(&self, key: &str) -> Vec<EventId> {
        let Some(slot) = self.slots.get(key) else { return Vec::new() };
        let sources = slot.sources.iter().filter_map(|id| self.sources.get(id)?.event());
        let targets = slot.live.iter().filter_map(|id| self.targets.get(id)?.event());
        sources.chain(targets).collect()
    }

    /// The source record of a key, and when it last changed.
    pub fn last_change(&self, key: &str) -> Option<(&str, At)> {
        let sources = self.slots.get(key)?.sources.iter();
        let changes = sources.filter_map(|id| Some((id.as_str(), self.sources.get(id)?.versions.last()?.at)));
        changes.max_by_key(|(_, at)| *at)
    }

    /// Whether the live effect of `key` was written to since `at`.
    pub fn written_since(&self, key: &str, at: At) -> bool {
        let Some(slot) = self.slots.get(key) else { return false };
        let mut targets = slot.live.iter().filter_map(|id| self.targets.get(id));
        targets.any(|h| h.versions.last().is_some_and(|v| v.at >= at))
    }

    /// Whether everything agrees now, apart from what was set aside.
    pub fn settled(&self) -> bool {
        self.unsettled == 0
    }

    /// Whether something was unsettled all the time from `from` to `to`.
    pub fn pending_throughout(&self, from: At, to: At) -> bool {
        self.pending_until(to).is_some_and(|since| since <= from)
    }

    /// Since when something had been unsettled without a break at `to`; `None` if nothing was.
    pub fn pending_until(&self, to: At) -> Option<At> {
        let at = self.pending.partition_point(|(start, _)| *start < to);
        self.pending[..at].last().filter(|(_, end)| to <= *end).map(|(start, _)| *start)
    }
}

fn split(path: &str) -> (String, String) {
    let (vendor, collection) = path.split_once('.').unwrap_or((path, ""));
    (vendor.to_owned(), collection.to_owned())
}

fn key_of(expr: &Expr, bound: &[(&str, &Value)]) -> Result<String, String> {
    match expr.evaluate(bound).map_err(|e| e.to_string())? {
        Value::String(text) if !text.is_empty() => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("`{}` gave {other}, which names no source", expr.source())),
    }
}

fn values(exprs: &[Expr], bound: &[(&str, &Value)]) -> Vec<Field> {
    exprs.iter().map(|e| e.evaluate(bound).map_err(|e| e.to_string())).collect()
}

/// Whether two values are the same; numbers by value, whatever their type.
pub(super) fn same(a: &Field, b: &Field) -> bool {
    match (a, b) {
        (Ok(a), Ok(b)) => same_value(a, b),
        _ => false,
    }
}

/// See [`same`].
pub(super) fn same_value(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => match (x.as_i128(), y.as_i128()) {
            (Some(x), Some(y)) => x == y,
            _ => x.as_f64() == y.as_f64(),
        },
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same_value(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same_value(v, w)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use serde_json::json;

    use crate::check::evidence::Evidence;
    use crate::check::testing::*;
    use crate::trace::ChangeKind::{Deleted, Updated};

    const AGREE: &str =
        "agree: { from: crm.deals, where: deal.won, to: billing.invoices, key: invoice.deal }";

    proptest! {
        #[test]
        fn a_replay_ends_where_the_ledgers_stand(
            changes in prop::collection::vec((0u8..10, 0u8..4, any::<bool>(), any::<bool>()), 1..40),
        ) {
            let mut b = drill();
            let mut won: BTreeMap<u8, bool> = BTreeMap::new();
            let mut invoices: BTreeMap<u8, u8> = BTreeMap::new();
            let mut doubles = 0;
            for (n, &(which, deal, yes, gone)) in changes.iter().enumerate() {
                let (at, kind) = (n as u64 * 10, if gone { Deleted } else { Updated });
                if which < 4 {
                    b = b.change(at, "crm.deals", kind, json!({ "id": format!("d{which}"), "won": yes }), None);
                    won.insert(which, yes && !gone);
                    continue;
                }
                let record = json!({ "id": format!("i{which}"), "deal": format!("d{deal}") });
                b = b.change(at, "billing.invoices", kind, record, None);
                let old = invoices.remove(&which);
                if !gone {
                    let others = invoices.values().filter(|d| **d == deal).count();
                    doubles += usize::from(others > 0 && old != Some(deal));
                    invoices.insert(which, deal);
                }
            }
            let (scenario, profiles, trace) = (scenario(AGREE), profiles(), b.build());
            let evidence = Evidence::of(&scenario, &profiles, &trace);
            let a = evidence.agreement().unwrap();
            let wrong: BTreeSet<String> = (0..4)
                .filter(|d| {
                    let wanted = usize::from(won.get(d) == Some(&true));
                    invoices.values().filter(|i| *i == d).count() != wanted
                })
                .map(|d| format!("d{d}"))
                .collect();
            let found: BTreeSet<String> = a.keys().filter(|k| a.wrong(k).is_some()).map(str::to_owned).collect();
            prop_assert_eq!(&found, &wrong);
            prop_assert_eq!(a.settled(), wrong.is_empty());
            prop_assert_eq!(a.doubles.len(), doubles);
            for key in a.keys() {
                prop_assert_eq!(a.stretches(key), a.raw(key), "nothing was set aside");
                let open = a.stretches(key).last().is_some_and(|(_, to)| *to == evidence.ends_at);
                prop_assert_eq!(open, wrong.contains(key));
            }
            for stretches in a.keys().map(|k| a.stretches(k)).chain([&*a.pending]) {
                prop_assert!(stretches.iter().all(|(from, to)| from < to));
                prop_assert!(stretches.windows(2).all(|w| w[0].1 <= w[1].0));
            }
        }
    }
}
