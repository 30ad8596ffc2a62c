//! The ledgers: how records come to be, change and go, and what follows from it.
//!
//! Knows: ids, sums, cascades, and that each change is told. Must not know: requests.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::time::At;
use crate::trace::ChangeKind;

use super::errors::{Case, Refusal};
use super::hooks::News;
use super::model::{Holding, Model};
use super::spec::{AdoptSpec, CollectionSpec, IdSpec};
use super::store::Row;
use super::template::{Scope, Template, below};
use super::value::{Path, same_text, text_of};
use super::{Change, Reaction};

/// Named values that templates and conditions see.
pub(super) type Roots = Vec<(String, Arc<Value>)>;

/// Who is behind a change, and under which name webhooks speak of it.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub now: At,
    pub api: bool,
    pub named: Option<&'a str>,
}

impl Model {
    pub(super) fn holding(&mut self, name: &str) -> Result<&mut Holding, Refusal> {
        self.ledgers.get_mut(name).ok_or_else(|| Refusal::case(Case::NoRoute))
    }

    /// A new id for a collection.
    pub(super) fn new_id(&mut self, name: &str, spec: &CollectionSpec) -> Result<Arc<str>, Refusal> {
        let (seed, epoch) = (self.seed, self.epoch);
        let holding = self.holding(name)?;
        let ids = holding.ids.get_or_insert_with(|| seed.stream(&format!("ids {name}")));
        Ok(match &spec.id {
            IdSpec::Number { from, gap, .. } => {
                let step = 1 + if *gap > 1 { below(ids, *gap) } else { 0 };
                holding.number = if holding.number == 0 { from + step - 1 } else { holding.number + step };
                holding.number.to_string().into()
            }
            IdSpec::Text(template) => {
                let mut scope = Scope { now: At::START, epoch, roots: &[], chance: ids };
                template.text(&mut scope).unwrap_or_default().into()
            }
        })
    }

    /// A new record from its template.
    pub(super) fn fresh(
        &mut self,
        name: &str,
        spec: &CollectionSpec,
        id: &Arc<str>,
        roots: &Roots,
        now: At,
    ) -> Result<Value, Refusal> {
        let seq = json!(self.holding(name)?.ledger.seq() + 1);
        let id = match &spec.id {
            IdSpec::Number { json: true, .. } => id.parse::<u64>().map_or(Value::Null, Value::from),
            _ => json!(id.as_ref()),
        };
        let mut all: Vec<(&str, &Value)> = roots.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
        all.push(("id", &id));
        all.push(("seq", &seq));
        let mut scope = Scope { now, epoch: self.epoch, roots: &all, chance: &mut self.values };
        Ok(spec.template.fill(&mut scope))
    }

    /// Sets fields from templates, in order; each sees the record as the ones before left it.
    pub(super) fn fill_in<'t>(
        &mut self,
        fields: impl Iterator<Item = (&'t Path, &'t Template)>,
        record: &mut Value,
        roots: &Roots,
        now: At,
    ) {
        for (path, template) in fields {
            let mut all: Vec<(&str, &Value)> = roots.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
            all.push(("record", record));
            let mut scope = Scope { now, epoch: self.epoch, roots: &all, chance: &mut self.values };
            let value = template.fill(&mut scope);
            path.set(record, value);
        }
    }

    /// Puts a changed record in the place of the old one; touches it, unless nothing changed.
    pub(super) fn change(
        &mut self,
        by: &By<'_>,
        name: &Arc<str>,
        spec: &CollectionSpec,
        row: &Row,
        mut record: Value,
        reaction: &mut Reaction,
    ) -> Arc<Value> {
        if record == *row.record {
            return row.record.clone();
        }
        self.fill_in(spec.touch.iter(), &mut record, &Roots::new(), by.now);
        let record = Arc::new(record);
        self.commit(by, name, &row.id, Some(row.record.clone()), record.clone(), reaction);
        self.ledgers.get(name).and_then(|h| h.ledger.get(&row.id)).map_or(record, |r| r.record.clone())
    }

    /// Writes a record into its ledger, and everything that follows from it.
    pub(super) fn commit(
        &mut self,
        by: &By<'_>,
        name: &Arc<str>,
        id: &Arc<str>,
        before: Option<Arc<Value>>,
        record: Arc<Value>,
        reaction: &mut Reaction,
    ) {
        let Some(holding) = self.ledgers.get_mut(name) else { return };
        holding.ledger.put(id.clone(), record.clone(), by.now);
        let change = if before.is_some() { ChangeKind::Updated } else { ChangeKind::Created };
        reaction.changes.push(Change {
            collection: name.clone(),
            id: id.clone(),
            change,
            record: record.clone(),
        });
        let what = if before.is_some() { "changed" } else { "created" };
        self.emit(by, what, name, id, before.as_deref(), &record, reaction);
        self.sum_up(by, name, before.as_deref(), Some(&record), reaction);
    }

    /// Takes a record out of its ledger, with what goes with it.
    pub(super) fn discard(&mut self, by: &By<'_>, name: &Arc<str>, id: &Arc<str>, reaction: &mut Reaction) {
        let file = self.file.clone();
        let Some(row) = self.ledgers.get_mut(name).and_then(|h| h.ledger.remove(id)) else { return };
        reaction.changes.push(Change {
            collection: name.clone(),
            id: id.clone(),
            change: ChangeKind::Deleted,
            record: row.record.clone(),
        });
        self.emit(by, "deleted", name, id, Some(&row.record), &row.record, reaction);
        self.sum_up(by, name, Some(&row.record), None, reaction);
        let cascade = file.spec.collections.get(name.as_ref()).map(|c| &c.cascade);
        for (other, field) in cascade.into_iter().flatten() {
            let Some((other, holding)) = self.ledgers.get_key_value(other.as_str()) else { continue };
            let rows = holding.ledger.having(field, id);
            let ids: Vec<Arc<str>> = rows.into_iter().flatten().map(|(_, r)| r.id.clone()).collect();
            let other = other.clone();
            for id in ids {
                self.discard(&By { named: None, ..*by }, &other, &id, reaction);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that a piece of news says")]
    pub(super) fn emit(
        &mut self,
        by: &By<'_>,
        what: &str,
        collection: &Arc<str>,
        id: &Arc<str>,
        before: Option<&Value>,
        after: &Value,
        reaction: &mut Reaction,
    ) {
        let file = self.file.clone();
        if let (Some(hooks), Some(spec)) = (&mut self.hooks, &file.spec.webhooks) {
            let news = News { what, named: by.named, collection, id, before, after, by_api: by.api };
            reaction.emissions.extend(hooks.tell(spec, self.epoch, by.now, &news));
        }
    }

    /// Brings the sums up to date that records of other collections hold over this one's.
    pub(super) fn sum_up(
        &mut self,
        by: &By<'_>,
        name: &Arc<str>,
        before: Option<&Value>,
        after: Option<&Value>,
        reaction: &mut Reaction,
    ) {
        let file = self.file.clone();
        let Some(compiled) = file.collections.get(name) else { return };
        for (parent_name, i) in &compiled.summed_by {
            let Some(parent_spec) = file.spec.collections.get(parent_name.as_ref()) else { continue };
            let Some(sum) = parent_spec.sums.get(*i) else { continue };
            let of = |v: Option<&Value>| v.and_then(|v| sum.by.get(v)).and_then(text_of);
            let mut parents = vec![of(before), of(after)];
            parents.dedup();
            for parent in parents.into_iter().flatten() {
                let Some(row) = self.ledgers.get(parent_name).and_then(|h| h.ledger.get(&parent)).cloned()
                else {
                    continue;
                };
                let Some(ledger) = self.ledgers.get(name).map(|h| &h.ledger) else { continue };
                let children: Vec<Arc<Value>> = ledger
                    .having(&sum.by, &parent)
                    .into_iter()
                    .flatten()
                    .map(|(_, r)| r.record.clone())
                    .collect();
                let mut record = row.record.as_ref().clone();
                for (field, summed) in &sum.sum {
                    let total: i64 = children.iter().filter_map(|c| summed.get(c)?.as_i64()).sum();
                    field.set(&mut record, json!(total));
                }
                for (field, taken) in &sum.first {
                    if let Some(value) = children.first().and_then(|c| taken.get(c)) {
                        field.set(&mut record, value.clone());
                    }
                }
                for (field, template) in &sum.list {
                    let entries = children
                        .iter()
                        .map(|item| {
                            let roots = [("item", item.as_ref())];
                            let mut scope = Scope {
                                now: by.now,
                                epoch: self.epoch,
                                roots: &roots,
                                chance: &mut self.values,
                            };
                            template.fill(&mut scope)
                        })
                        .collect();
                    field.set(&mut record, Value::Array(entries));
                }
                let by = By { named: None, ..*by };
                self.change(&by, parent_name, parent_spec, &row, record, reaction);
            }
        }
    }

    /// Lets a new record take in those that wait for one.
    pub(super) fn adopt(
        &mut self,
        by: &By<'_>,
        adopt: &AdoptSpec,
        name: &str,
        id: &Arc<str>,
        params: &Value,
        reaction: &mut Reaction,
    ) {
        let file = self.file.clone();
        let wanted = adopt.when.iter().all(|(p, v)| params.get(p).is_some_and(|got| same_text(got, v)));
        let (Some(spec), true) = (file.spec.collections.get(&adopt.of), wanted) else { return };
        let Some(parent) = self.ledgers.get(name).and_then(|h| h.ledger.get(id)).cloned() else { return };
        let Some((other, holding)) = self.ledgers.get_key_value(adopt.of.as_str()) else { return };
        let waits = |row: &Row| {
            adopt.by.get(&row.record).is_none_or(Value::is_null)
                && adopt.matching.iter().all(|(theirs, ours)| {
                    let ours = ours.get(&parent.record).unwrap_or(&Value::Null);
                    same_text(theirs.get(&row.record).unwrap_or(&Value::Null), ours)
                })
        };
        let rows: Vec<Row> =
            holding.ledger.rows().filter(|(_, r)| waits(r)).map(|(_, r)| r.clone()).collect();
        let other = other.clone();
        for row in rows {
            let mut record = row.record.as_ref().clone();
            adopt.by.set(&mut record, json!(id.as_ref()));
            self.change(&By { named: None, ..*by }, &other, spec, &row, record, reaction);
        }
    }
}
