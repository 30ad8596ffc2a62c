//! How the ledgers of `expect.agree` stand, for those who compare one run with another.
//!
//! Knows: the replay of the promise, and what a vendor that drifted told of its records. Must not
//! know: why two runs are compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::agreement::{Agreement, Field, Wrong, same};
use super::evidence::Evidence;
use crate::scenario::Scenario;
use crate::trace::{Cause, ChangeKind, FaultRef, Trace, What};
use crate::vendor::Profile;

/// What is wrong with one source record at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// It has no live target, or one that is not finished.
    Unfinished(String),
    /// It has targets that it must not have.
    Excess(String),
    /// What is right cannot be told.
    Unclear(String),
}

/// The promised fields of a target, as it was at some moment.
type State = Vec<Field>;

/// The ledgers of a trace, in the terms of the promise.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// What is wrong in the end, by the source's key; what was set aside with a reason too.
    pub lacks: BTreeMap<String, Lack>,
    /// How often a source came to have more than one live target.
    pub doubles: usize,
    /// Calls of which the same one, word for word, made several records that are all there in the
    /// end: how many too many. Targets of the promise are judged by it instead.
    pub twins: BTreeMap<String, usize>,
    /// What the targets are: `billing.invoices`.
    pub to: String,
    fields: Vec<String>,
    /// The states that the live targets of a source passed through.
    passed: BTreeMap<String, Vec<State>>,
    /// What the promise makes of each source record as a vendor that drifted showed it.
    told: BTreeMap<String, Vec<State>>,
}

/// A state of a target that another run never showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Novelty {
    /// The source's key.
    pub key: String,
    /// The fields that are new, with their values.
    pub shown: String,
    /// Whether it is what the promise makes of the record as the vendor now shows it.
    pub as_told: bool,
}

/// How the ledgers stand; `None` if nothing is promised of them.
pub fn standing(
    scenario: &Scenario,
    profiles: &BTreeMap<String, Profile>,
    trace: &Trace,
) -> Option<Standing> {
    let evidence = Evidence::of(scenario, profiles, trace);
    let agreement = evidence.agreement()?;
    let mut this = Standing {
        doubles: agreement.doubles.len(),
        twins: twins(trace, &agreement.to),
        fields: agreement.fields.clone(),
        told: told(agreement, scenario, trace, profiles),
        ..Standing::default()
    };
    for history in agreement.targets.values() {
        for version in history.versions.iter().filter(|v| v.counts) {
            if let Some(key) = &history.key {
                let states = this.passed.entry(key.clone()).or_default();
                if !states.iter().any(|s| alike(s, &version.fields)) {
                    states.push(version.fields.clone());
                }
            }
        }
    }
    for (id, history) in &agreement.targets {
        if let Some(why) = &history.error {
            this.lacks.insert(id.clone(), Lack::Excess(format!("{id} cannot be traced to a source: {why}")));
        }
    }
    let to = format!("{}.{}", agreement.to.0, agreement.to.1);
    this.to.clone_from(&to);
    for key in agreement.keys() {
        let lack = match agreement.wrong(key) {
            None => continue,
            Some(Wrong::Missing) => Lack::Unfinished(format!("{key} has no live {to}")),
            Some(Wrong::Differs { field, found, wanted }) => Lack::Unfinished(format!(
                "{key}: `{field}` is {}, the source says {}",
                shown(&found),
                shown(&wanted)
            )),
            Some(Wrong::Doubled(ids)) => Lack::Excess(format!("{key} has {} live {to}", ids.len())),
            Some(Wrong::Unwanted(_)) => Lack::Excess(format!("{key} has a live {to} and must have none")),
            Some(Wrong::Unclear(why)) => Lack::Unclear(format!("{key}: {why}")),
        };
        this.lacks.insert(key.to_owned(), lack);
    }
    Some(this)
}

impl Standing {
    /// Whether the last state of a source's target is what the vendor that drifted told of it.
    pub fn is_as_told(&self, key: &str, clean: &Standing) -> bool {
        let states = |all: &BTreeMap<String, Vec<State>>| all.get(key).cloned().unwrap_or_default();
        let (known, told) = (states(&clean.passed), states(&self.told));
        let last = self.passed.get(key).and_then(|s| s.last());
        last.is_some_and(|last| {
            !known.iter().any(|k| alike(k, last)) && told.iter().any(|t| explains(t, &known, last))
        })
    }

    /// The states of targets that `clean` never passed through.
    pub fn novelties(&self, clean: &Standing) -> Vec<Novelty> {
        let mut found = Vec::new();
        for (key, states) in &self.passed {
            let known = clean.passed.get(key).map_or(&[][..], Vec::as_slice);
            for state in states.iter().filter(|s| !known.iter().any(|k| alike(k, s))) {
                let told = self.told.get(key).map_or(&[][..], Vec::as_slice);
                let as_told = told.iter().any(|t| explains(t, known, state));
                let fields = self.fields.iter().enumerate();
                let new = fields.filter(|(n, _)| known.iter().all(|k| !same(&k[*n], &state[*n])));
                let mut words: Vec<String> =
                    new.map(|(n, name)| format!("`{name}` = {}", shown(&state[n]))).collect();
                if words.is_empty() {
                    words =
                        self.fields.iter().zip(state).map(|(f, v)| format!("`{f}` = {}", shown(v))).collect();
                }
                found.push(Novelty { key: key.clone(), shown: words.join(", "), as_told });
            }
        }
        found
    }
}

/// Whether two states are the same. What could not be computed in both is not compared: an
/// unfinished target lacks what a finished one has.
fn alike(a: &State, b: &State) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b) || (a.is_err() && b.is_err()))
}

/// Whether `state` is one that was `known`, but for fields of which the vendor `told` otherwise.
fn explains(told: &State, known: &[State], state: &State) -> bool {
    let Some(last) = known.last() else { return false };
    known.iter().any(|k| {
        k.iter().zip(state).zip(told.iter().zip(last)).all(|((k, s), (told, last))| {
            same(k, s) || (k.is_err() && s.is_err()) || (same(told, s) && !same(told, last))
        })
    })
}

/// Records that are left of those that one and the same call made, but for collection `promised`.
fn twins(trace: &Trace, promised: &(String, String)) -> BTreeMap<String, usize> {
    type Call<'t> = (&'t str, &'t str, &'t str, &'t [u8], &'t str);
    let mut asked = BTreeMap::new();
    let mut made: BTreeMap<Call<'_>, BTreeSet<&str>> = BTreeMap::new();
    for event in &trace.events {
        match &event.what {
            What::Request { call, vendor, request, .. } => {
                let line = (request.method.as_str(), request.target.as_str(), &request.body[..]);
                asked.insert(*call, (&**vendor, line));
            }
            What::Change {
                vendor,
                collection,
                id,
                change: ChangeKind::Created,
                by: Cause::Call(call),
                ..
            } if (&**vendor, &**collection) != (&*promised.0, &*promised.1) => {
                if let Some((vendor, (method, target, body))) = asked.get(call) {
                    made.entry((vendor, method, target, body, collection)).or_default().insert(id);
                }
            }
            What::Change { vendor, collection, id, change: ChangeKind::Deleted, .. } => {
                for (_, ids) in made.iter_mut().filter(|(of, _)| (of.0, of.4) == (&**vendor, &**collection)) {
                    ids.remove(&**id);
                }
            }
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    for ((vendor, method, target, ..), ids) in made.iter().filter(|(_, ids)| ids.len() > 1) {
        *found.entry(format!("{vendor} {method} {target}")).or_default() += ids.len() - 1;
    }
    found
}

fn shown(field: &Field) -> String {
    field.as_ref().map_or_else(|why| format!("an error ({why})"), Value::to_string)
}

/// The promise, computed from each record that stands in an answer that drifted.
fn told(
    agreement: &Agreement,
    scenario: &Scenario,
    trace: &Trace,
    profiles: &BTreeMap<String, Profile>,
) -> BTreeMap<String, Vec<State>> {
    let mut found: BTreeMap<String, Vec<State>> = BTreeMap::new();
    let Some(agree) = &scenario.expect.agree else { return found };
    let (vendor, collection) = &agreement.from;
    let name =
        profiles.get(vendor).and_then(|p| p.collections.get(collection)).map_or("record", String::as_str);
    let keys: BTreeSet<&str> = agreement.keys().collect();
    for event in &trace.events {
        let What::Answer { response: Some(response), fault: Some(FaultRef { drift: Some(_), .. }), .. } =
            &event.what
        else {
            continue;
        };
        let Ok(body) = serde_json::from_slice::<Value>(&response.body) else { continue };
        let mut records = Vec::new();
        objects(&body, &mut records);
        for record in records {
            let bound = [(name, record)];
            let key = match &agree.source_key {
                None => record.get("id").and_then(Value::as_str).map(str::to_owned),
                Some(expr) => expr.evaluate(&bound).ok().and_then(|v| v.as_str().map(str::to_owned)),
            };
            let Some(key) = key.filter(|k| keys.contains(k.as_str())) else { continue };
            let state: State =
                agree.fields.values().map(|expr| expr.evaluate(&bound).map_err(|e| e.to_string())).collect();
            if state.len() == agreement.fields.len() && state.iter().all(Result::is_ok) {
                found.entry(key).or_default().push(state);
            }
        }
    }
    found
}

fn objects<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            found.push(value);
            map.values().for_each(|v| objects(v, found));
        }
        Value::Array(list) => list.iter().for_each(|v| objects(v, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{call, quiet};
    use serde_json::json;

    #[test]
    fn records_that_one_call_made_twice_are_twins_while_both_are_there() {
        let ask = |body: &str| call("billing", "POST /customers", 10).body(body);
        let made = |n: u32| (ChangeKind::Created, json!({ "id": format!("cus_{n}") }), Some(n));
        let place = ("billing".to_owned(), "invoices".to_owned());
        let trace = |second: &str, collection: &str, gone: bool| {
            let mut built = quiet().calls([ask("email=a"), ask(second)]);
            for (kind, record, by) in [made(0), made(1)] {
                built = built.change(20, collection, kind, record, by);
            }
            if gone {
                built = built.change(30, collection, ChangeKind::Deleted, json!({ "id": "cus_1" }), None);
            }
            built.build()
        };
        let found = twins(&trace("email=a", "billing.customers", false), &place);
        assert_eq!(found, BTreeMap::from([("billing POST /customers".to_owned(), 1)]));
        for (second, collection, gone) in [
            ("email=b", "billing.customers", false),
            ("email=a", "billing.invoices", false),
            ("email=a", "billing.customers", true),
        ] {
            assert_eq!(
                twins(&trace(second, collection, gone), &place),
                BTreeMap::new(),
                "{second} {collection}"
            );
        }
    }
}
