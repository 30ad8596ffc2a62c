//! Operations that change something, and what all operations share.
//!
//! Knows: which records a request is about, and what must hold before it is carried out. Must not
//! know: how requests were admitted, or what follows from a change.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::fault::ErrorKind;
use crate::time::At;
use crate::wire::Headers;

use super::Reaction;
use super::changing::{By, Roots};
use super::encoding::store;
use super::errors::{Case, Refusal};
use super::file::VendorFile;
use super::model::{Done, Job, Model};
use super::shown::{View, text};
use super::spec::{CollectionSpec, Condition, Does};
use super::store::Row;
use super::template::Scope;
use super::value::{Path, same_text, text_of};

impl Model {
    /// Carries an operation out.
    pub(super) fn perform(
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

    pub(super) fn token(
        &mut self,
        job: &Job<'_>,
        params: &Value,
        reaction: &mut Reaction,
    ) -> Result<Done, Refusal> {
        let file = self.file.clone();
        match self.auth.token(&file.spec.auth, job.now, params) {
            Ok(issued) => {
                reaction.told.token_expires = Some(issued.expires);
                let change = if issued.rotated { "rotated" } else { "issued" };
                reaction.credentials.push(Model::credential(change, false));
                let headers = Headers::of([("cache-control", "no-store")]);
                Ok(Done {
                    status: job.route.spec.status.unwrap_or(200),
                    body: Some(text(&issued.body)),
                    headers,
                })
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
    pub(super) fn about<'f>(
        &self,
        file: &'f VendorFile,
        job: &Job<'_>,
    ) -> Result<(Arc<str>, &'f CollectionSpec), Refusal> {
        let name = job.route.operation.collection.clone();
        let name = name.ok_or_else(|| Refusal::case(Case::NoRoute))?;
        let spec = file.spec.collections.get(name.as_ref()).ok_or_else(|| Refusal::case(Case::NoRoute))?;
        Ok((name, spec))
    }

    /// The row that a path names, held against the path's other variables.
    pub(super) fn target(&self, job: &Job<'_>, name: &str, one: &str) -> Result<Row, Refusal> {
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
    pub(super) fn references(&self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Roots, Refusal> {
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

    pub(super) fn create(
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

    pub(super) fn update(
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

    pub(super) fn delete(
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

    pub(super) fn answer(
        &mut self,
        job: &Job<'_>,
        spec: &CollectionSpec,
        record: &Value,
        roots: &Roots,
        params: &Map<String, Value>,
    ) -> Option<Bytes> {
        if job.route.spec.empty {
            return None;
        }
        let Some(template) = &job.route.spec.reply else {
            return Some(text(&View::of(spec, params).show(record)));
        };
        let mut all: Vec<(&str, &Value)> = roots.iter().map(|(n, v)| (n.as_str(), v.as_ref())).collect();
        all.push(("record", record));
        let mut scope = Scope { now: job.now, epoch: self.epoch, roots: &all, chance: &mut self.values };
        Some(text(&template.fill(&mut scope)))
    }

    pub(super) fn take_params(&self, job: &Job<'_>, record: &mut Value, params: &Map<String, Value>) {
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
}

/// A success with the status that is usual for it.
pub(super) fn ok(job: &Job<'_>, body: Option<Bytes>) -> Done {
    let usual = match (job.route.spec.does, job.route.spec.empty) {
        (_, true) => 204,
        (Does::Create, _) => 201,
        _ => 200,
    };
    Done { status: job.route.spec.status.unwrap_or(usual), body, headers: Headers::default() }
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
        refusal.case = (condition.otherwise.kind == ErrorKind::InvalidRequest).then_some(Case::WrongState);
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
