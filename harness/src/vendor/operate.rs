//! Operations on the ledgers: what reads, writes and transitions do.
//!
//! Knows: records, references, sums, conditions. Must not know: how requests were admitted.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::time::At;
use crate::trace::ChangeKind;
use crate::wire::Headers;

use super::encoding::store;
use super::errors::{Case, Refusal};
use super::filter::{Search, SearchDialect, passes};
use super::hooks::News;
use super::model::{Done, Holding, Job, Model};
use super::paging::Asked;
use super::spec::{AdoptSpec, CollectionSpec, Condition, Does, IdSpec};
use super::store::Row;
use super::template::{Scope, below};
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

/// A record without the fields that only the vendor sees.
pub(super) fn visible(record: &Value) -> Value {
    match record {
        Value::Object(map) if map.keys().any(|k| k.starts_with('_')) => Value::Object(
            map.iter().filter(|(k, _)| !k.starts_with('_')).map(|(k, v)| (k.clone(), v.clone())).collect(),
        ),
        other => other.clone(),
    }
}

impl Model {
    /// Carries an operation out.
    pub fn perform(
        &mut self,
        job: &Job<'_>,
        params: Map<String, Value>,
        reaction: &mut Reaction,
    ) -> Result<Done, Refusal> {
        match job.route.spec.does {
            Does::Token => self.token(job, &Value::Object(params), reaction),
            Does::Read => self.read(job, &params),
            Does::List => self.list(job, &params),
            Does::Search => self.search(job, &params),
            Does::BatchRead => self.batch_read(job, &params),
            Does::Create => self.create(job, params, reaction),
            Does::Update | Does::Transition => self.update(job, params, reaction),
            Does::Delete => self.delete(job, params, reaction),
        }
    }

    fn token(&mut self, job: &Job<'_>, params: &Value, reaction: &mut Reaction) -> Result<Done, Refusal> {
        let file = self.file.clone();
        match self.auth.token(&file.spec.auth, job.now, params) {
            Ok(issued) => {
                reaction.told.token_expires = Some(issued.expires);
                let change = if issued.rotated { "rotated" } else { "issued" };
                reaction.credentials.push(Model::credential(change, false));
                let headers = Headers::of([("cache-control", "no-store")]);
                Ok(Done { status: job.route.spec.status.unwrap_or(200), body: Some(issued.body), headers })
            }
            Err((refusal, revoked)) => {
                if revoked {
                    reaction.credentials.push(Model::credential("revoked", false));
                }
                Err(refusal)
            }
        }
    }

    /// The collection an operation is about.
    fn about<'f>(
        &self,
        file: &'f super::file::VendorFile,
        job: &Job<'_>,
    ) -> Result<(Arc<str>, &'f CollectionSpec), Refusal> {
        let name = job.route.operation.collection.clone();
        let name = name.ok_or_else(|| Refusal::case(Case::NoRoute))?;
        let spec = file.spec.collections.get(name.as_ref()).ok_or_else(|| Refusal::case(Case::NoRoute))?;
        Ok((name, spec))
    }

    fn holding(&mut self, name: &str) -> Result<&mut Holding, Refusal> {
        self.ledgers.get_mut(name).ok_or_else(|| Refusal::case(Case::NoRoute))
    }

    /// The row that a path names, held against the path's other variables.
    fn target(&self, job: &Job<'_>, name: &str, one: &str) -> Result<Row, Refusal> {
        let wanted = job.path.iter().find(|(n, _)| *n == "id").map_or("", |(_, v)| v.as_str());
        let missing =
            || Refusal::case(Case::NoRecord).with("id", wanted).with("noun", one).with("param", "id");
        let ledger = &self.ledgers.get(name).ok_or_else(missing)?.ledger;
        let fits = |row: &Row| {
            job.path.iter().all(|(var, value)| match job.route.spec.path.get(*var) {
                Some(spec) => spec.to.get(&row.record).and_then(text_of).as_deref() == Some(value.as_str()),
                None => true,
            })
        };
        let row = match &job.route.spec.find_by {
            None => ledger.get(wanted).filter(|row| fits(row)),
            Some(field) => {
                ledger.having(field, wanted).and_then(|mut rows| rows.find(|(_, r)| fits(r))).map(|(_, r)| r)
            }
        };
        row.cloned().ok_or_else(missing)
    }

    /// Records that path variables and parameters refer to, by what one of them is called.
    fn references(&self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Roots, Refusal> {
        let file = &self.file;
        let mut roots = Roots::new();
        for (var, value) in job.path {
            let Some(spec) = job.route.spec.path.get(*var) else { continue };
            let Some(of) = &spec.of else { continue };
            let ledger = self.ledgers.get(of.as_str()).map(|h| &h.ledger);
            let found = ledger.and_then(|l| match &spec.by {
                None => l.get(value).cloned(),
                Some(by) => l
                    .rows()
                    .map(|(_, r)| r)
                    .find(|r| by.get(&r.record).and_then(text_of).as_ref() == Some(value))
                    .cloned(),
            });
            let one = file.spec.collections.get(of).map_or("", |c| c.one.as_str());
            let row = found
                .ok_or_else(|| Refusal::case(Case::NoRecord).with("id", value.as_str()).with("noun", one))?;
            roots.push((one.to_owned(), row.record));
        }
        for (name, spec) in &job.route.spec.params {
            let (Some(of), Some(id)) = (&spec.of, params.get(name).and_then(text_of)) else { continue };
            let one = file.spec.collections.get(of).map_or("", |c| c.one.as_str());
            let row = self.ledgers.get(of.as_str()).and_then(|h| h.ledger.get(&id)).ok_or_else(|| {
                Refusal::case(Case::NoReferenced)
                    .with("param", name.as_str())
                    .with("id", id.as_str())
                    .with("noun", one)
            })?;
            roots.push((one.to_owned(), row.record.clone()));
        }
        Ok(roots)
    }

    fn read(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        match self.target(job, &name, &spec.one) {
            Ok(row) => Ok(ok(job, Some(show(spec, &row.record, params)))),
            Err(refusal) => {
                let wanted = job.path.iter().find(|(n, _)| *n == "id").map_or("", |(_, v)| v.as_str());
                let gone = self.ledgers.get(&name).and_then(|h| h.ledger.gone(wanted)).cloned();
                match (gone, &spec.tombstone) {
                    (Some(record), Some(template)) => {
                        let roots = [("record", record.as_ref())];
                        let mut scope = Scope {
                            now: job.now,
                            epoch: self.epoch,
                            roots: &roots,
                            chance: &mut self.values,
                        };
                        Ok(ok(job, Some(template.fill(&mut scope))))
                    }
                    _ => Err(refusal),
                }
            }
        }
    }

    fn list(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        self.references(job, params)?;
        let ledger = &self.ledgers.get(&name).ok_or_else(|| Refusal::case(Case::NoRoute))?.ledger;
        let mut wanted: Vec<(Path, Value)> = job
            .route
            .spec
            .filters
            .iter()
            .filter_map(|(param, field)| Some((field.clone(), params.get(param)?.clone())))
            .filter(|(_, value)| !value.is_null() && value != "")
            .collect();
        for (var, value) in job.path {
            if let Some(var) = job.route.spec.path.get(*var) {
                wanted.push((var.to.clone(), json!(value)));
            }
        }
        let quick = wanted.iter().find_map(|(field, value)| ledger.having(field, &text_of(value)?));
        let fits = |row: &Row| wanted.iter().all(|(field, value)| passes(field, value, &row.record));
        let mut rows: Vec<(u64, &Row)> = match quick {
            Some(rows) => rows.filter(|(_, row)| fits(row)).collect(),
            None => ledger.rows().filter(|(_, row)| fits(row)).collect(),
        };
        if job.route.paging.newest_first {
            rows.reverse();
        }
        self.paged(job, spec, rows, &self.ledgers[&name].ledger, params)
    }

    fn paged(
        &self,
        job: &Job<'_>,
        spec: &CollectionSpec,
        rows: Vec<(u64, &Row)>,
        ledger: &super::store::Ledger,
        params: &Map<String, Value>,
    ) -> Result<Done, Refusal> {
        let asked = Asked {
            params,
            path: job.request.path(),
            target: &job.request.target,
            origin: &self.file.spec.origin,
        };
        let page = job.route.paging.page(rows, ledger, &asked)?;
        let items = page.rows.iter().map(|row| show(spec, &row.record, params)).collect();
        let mut headers = Headers::default();
        let body = job.route.paging.write(&page, items, &asked, &mut headers);
        Ok(Done { headers, ..ok(job, Some(body)) })
    }

    fn search(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        let ledger = &self.ledgers.get(&name).ok_or_else(|| Refusal::case(Case::NoRoute))?.ledger;
        let (search, lag) = match &job.route.spec.search {
            Some(SearchDialect::FilterGroups { under }) => {
                (Search::filter_groups(params, under)?, crate::time::Span::ZERO)
            }
            Some(SearchDialect::Query { lag }) => {
                let query = params.get("query").and_then(Value::as_str).unwrap_or_default();
                (Search::query(query)?, *lag)
            }
            None => (Search::default(), crate::time::Span::ZERO),
        };
        let mut rows: Vec<(u64, &Row)> = ledger
            .rows()
            .filter(|(_, row)| (lag.0 == 0 || row.born + lag <= job.now) && search.finds(&row.record))
            .collect();
        if job.route.paging.newest_first {
            rows.reverse();
        }
        if !search.sorts.is_empty() {
            rows.sort_by(|(_, a), (_, b)| search.order(&a.record, &b.record));
        }
        self.paged(job, spec, rows, ledger, params)
    }

    /// Several records by id; 207 with the missing ones named, where there are any (HubSpot).
    fn batch_read(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        let ledger = &self.ledgers.get(&name).ok_or_else(|| Refusal::case(Case::NoRoute))?.ledger;
        let inputs = params.get("inputs").and_then(Value::as_array);
        let inputs = inputs.ok_or_else(|| Refusal::case(Case::MissingParameter).with("param", "inputs"))?;
        let max = job.route.paging.max.unwrap_or(100);
        if inputs.len() as u64 > max {
            return Err(Refusal::case(Case::InvalidParameter)
                .with("param", "inputs")
                .with("value", inputs.len())
                .with("max", max)
                .with("wanted", "size"));
        }
        let (mut results, mut missing) = (Vec::new(), Vec::new());
        for input in inputs {
            let id = input.get("id").and_then(text_of).unwrap_or_default();
            match ledger.get(&id) {
                Some(row) => results.push(show(spec, &row.record, params)),
                None => missing.push(id),
            }
        }
        let now = json!(super::template::iso(job.now.on_wall(self.epoch)));
        let mut body =
            json!({ "status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now });
        let mut done = ok(job, None);
        if !missing.is_empty() {
            done.status = 207;
            body["numErrors"] = json!(1);
            body["errors"] = json!([{
                "status": "error",
                "category": "OBJECT_NOT_FOUND",
                "message": format!("Could not get some {} objects, they may be deleted or not exist. Check that ids are valid.", spec.one.to_uppercase()),
                "context": { "ids": missing },
            }]);
        }
        done.body = Some(body);
        Ok(done)
    }

    fn create(
        &mut self,
        job: &Job<'_>,
        mut params: Map<String, Value>,
        reaction: &mut Reaction,
    ) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        let mut roots = self.references(job, &params)?;
        params.retain(|_, v| !v.is_null());
        let asked = Arc::new(Value::Object(params));
        roots.push(("params".to_owned(), asked.clone()));
        hold(&job.route.spec.require, &roots, job.now, self)?;
        let by = By { now: job.now, api: true, named: job.route.spec.named.as_deref() };
        let id = self.new_id(&name, spec)?;
        let mut record = self.fresh(&name, spec, &id, &roots, job.now)?;
        let Value::Object(given) = asked.as_ref() else { return Err(Refusal::case(Case::MalformedBody)) };
        self.take_params(job, &mut record, given);
        for (var, value) in job.path {
            if let Some(var) = job.route.spec.path.get(*var) {
                var.to.set(&mut record, json!(value));
            }
        }
        self.fill_in(job.route.spec.set.iter(), &mut record, &roots, job.now);
        let record = Arc::new(record);
        self.commit(&by, &name, &id, None, record, reaction);
        if let Some(adopt) = &job.route.spec.adopt {
            self.adopt(&by, adopt, &name, &id, &asked, reaction);
        }
        let record = self.ledgers.get(&name).and_then(|h| h.ledger.get(&id)).map(|r| r.record.clone());
        let record = record.ok_or_else(|| Refusal::case(Case::NoRecord))?;
        let body = self.answer(job, spec, &record, &roots, &Map::new());
        Ok(ok(job, body))
    }

    fn update(
        &mut self,
        job: &Job<'_>,
        params: Map<String, Value>,
        reaction: &mut Reaction,
    ) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        let row = self.target(job, &name, &spec.one)?;
        let mut roots = self.references(job, &params)?;
        roots.push(("params".to_owned(), Arc::new(Value::Object(params.clone()))));
        roots.push(("record".to_owned(), row.record.clone()));
        hold(&job.route.spec.require, &roots, job.now, self)?;
        let mut record = row.record.as_ref().clone();
        self.take_params(job, &mut record, &params);
        roots.pop();
        self.fill_in(job.route.spec.set.iter(), &mut record, &roots, job.now);
        let by = By { now: job.now, api: true, named: job.route.spec.named.as_deref() };
        let record = self.change(&by, &name, spec, &row, record, reaction);
        let body = self.answer(job, spec, &record, &roots, &Map::new());
        Ok(ok(job, body))
    }

    fn delete(
        &mut self,
        job: &Job<'_>,
        params: Map<String, Value>,
        reaction: &mut Reaction,
    ) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        let row = self.target(job, &name, &spec.one)?;
        let mut roots = self.references(job, &params)?;
        roots.push(("params".to_owned(), Arc::new(Value::Object(params))));
        roots.push(("record".to_owned(), row.record.clone()));
        hold(&job.route.spec.require, &roots, job.now, self)?;
        let by = By { now: job.now, api: true, named: job.route.spec.named.as_deref() };
        self.discard(&by, &name, &row.id, reaction);
        roots.pop();
        let body = self.answer(job, spec, &row.record, &roots, &Map::new());
        Ok(ok(job, body))
    }

    fn answer(
        &mut self,
        job: &Job<'_>,
        spec: &CollectionSpec,
        record: &Value,
        roots: &Roots,
        params: &Map<String, Value>,
    ) -> Option<Value> {
        if job.route.spec.empty {
            return None;
        }
        let Some(template) = &job.route.spec.reply else { return Some(show(spec, record, params)) };
        let mut all: Vec<(&str, &Value)> = roots.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
        all.push(("record", record));
        let mut scope = Scope { now: job.now, epoch: self.epoch, roots: &all, chance: &mut self.values };
        Some(template.fill(&mut scope))
    }

    fn take_params(&self, job: &Job<'_>, record: &mut Value, params: &Map<String, Value>) {
        for (param, value) in params {
            match job.route.spec.params.get(param) {
                Some(spec) if spec.stored => {
                    let own = Path::new(param);
                    store(spec.kind, spec.to.as_ref().unwrap_or(&own), record, value.clone());
                }
                None if job.route.spec.open => Path::new(param).set(record, value.clone()),
                _ => {}
            }
        }
    }

    /// A new id for a collection.
    pub fn new_id(&mut self, name: &str, spec: &CollectionSpec) -> Result<Arc<str>, Refusal> {
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
    pub fn fresh(
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
    pub fn fill_in<'t>(
        &mut self,
        fields: impl Iterator<Item = (&'t Path, &'t super::template::Template)>,
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
    pub fn change(
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
    pub fn commit(
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
    pub fn discard(&mut self, by: &By<'_>, name: &Arc<str>, id: &Arc<str>, reaction: &mut Reaction) {
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
    fn emit(
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
    fn sum_up(
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
    fn adopt(
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

fn ok(job: &Job<'_>, body: Option<Value>) -> Done {
    let usual = match (job.route.spec.does, job.route.spec.empty) {
        (_, true) => 204,
        (Does::Create, _) => 201,
        _ => 200,
    };
    Done { status: job.route.spec.status.unwrap_or(usual), body, headers: Headers::default() }
}

/// A record as a caller sees it.
fn show(spec: &CollectionSpec, record: &Value, params: &Map<String, Value>) -> Value {
    let mut shown = visible(record);
    let Some(narrow) = &spec.shown else { return shown };
    let named: Vec<String> = match params.get(&narrow.param) {
        Some(Value::String(names)) => names.split(',').map(|n| n.trim().to_owned()).collect(),
        Some(Value::Array(names)) => names.iter().filter_map(text_of).collect(),
        _ => Vec::new(),
    };
    if let Some(Value::Object(all)) = shown.get_mut(&narrow.under) {
        let wanted = if named.is_empty() { &narrow.default } else { &named };
        let mut names: Vec<&String> = wanted.iter().chain(&narrow.always).collect();
        names.sort();
        names.dedup();
        let kept = names
            .into_iter()
            .filter(|n| !n.is_empty())
            .map(|n| (n.clone(), all.get(n).cloned().unwrap_or(Value::Null)))
            .collect();
        *all = kept;
    }
    shown
}

/// The value that `customer.currency` names among the roots.
fn named<'r>(roots: &'r Roots, text: &str) -> Option<&'r Value> {
    let (root, path) = text.split_once('.').unwrap_or((text, ""));
    let (_, value) = roots.iter().find(|(name, _)| name == root)?;
    Path::new(path).get(value).filter(|v| !v.is_null())
}

/// Whether all conditions hold.
pub(super) fn hold(
    conditions: &[Condition],
    roots: &Roots,
    now: At,
    model: &mut Model,
) -> Result<(), Refusal> {
    for condition in conditions {
        let root = condition.that.split('.').next().unwrap_or_default();
        // A condition on a record that is not referred to says nothing.
        if !roots.iter().any(|(name, _)| name == root) {
            continue;
        }
        let value = named(roots, &condition.that).unwrap_or(&Value::Null);
        let among = |list: &[Value]| list.iter().any(|v| v == value);
        let same = match condition.same_as.as_deref().map(|other| named(roots, other)) {
            None => true,
            Some(other) => value.is_null() || other.is_none_or(|o| same_text(value, o)),
        };
        let holds = condition.is.as_deref().is_none_or(among)
            && !condition.is_not.as_deref().is_some_and(among)
            && same;
        if holds {
            continue;
        }
        let mut refusal = Refusal::kind(condition.otherwise.kind);
        refusal.case =
            (condition.otherwise.kind == crate::fault::ErrorKind::InvalidRequest).then_some(Case::WrongState);
        refusal.status = condition.otherwise.status;
        // The words are filled in here, where the records are known.
        let mut all: Vec<(&str, &Value)> = roots.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
        all.push(("value", value));
        let mut scope = Scope { now, epoch: model.epoch, roots: &all, chance: &mut model.values };
        for (name, template) in &condition.otherwise.say {
            let text = template.fill(&mut scope);
            refusal.words.insert(name.clone(), text);
        }
        return Err(refusal);
    }
    Ok(())
}
