//! Operations that only look: reads, lists, searches, batch reads.
//!
//! Knows: filters and pages. Must not know: how records change, or how one is written.

use serde_json::{Map, Value, json};

use crate::time::Span;
use crate::wire::Headers;

use super::Uncapped;
use super::errors::{Case, Refusal};
use super::filter::{Search, SearchDialect, passes};
use super::model::{Done, Job, Model};
use super::operate::ok;
use super::paging::Asked;
use super::shown::{View, text};
use super::spec::CollectionSpec;
use super::store::{Ledger, Row};
use super::template::Scope;
use super::value::{Path, text_of};

impl Model {
    pub(super) fn read(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        match self.target(job, &name, &spec.one) {
            Ok(row) => Ok(ok(job, Some(text(&View::of(spec, params).show(&row.record))))),
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
                        Ok(ok(job, Some(text(&template.fill(&mut scope)))))
                    }
                    _ => Err(refusal),
                }
            }
        }
    }

    pub(super) fn list(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
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

    pub(super) fn paged(
        &self,
        job: &Job<'_>,
        spec: &CollectionSpec,
        rows: Vec<(u64, &Row)>,
        ledger: &Ledger,
        params: &Map<String, Value>,
    ) -> Result<Done, Refusal> {
        let asked = Asked {
            params,
            path: job.request.path(),
            target: &job.request.target,
            origin: &self.file.spec.origin,
            most: self.page_cap.most,
            now: job.now,
        };
        let view = View::of(spec, params);
        let written = |rows, asked: &Asked<'_>| {
            let page = job.route.paging.page(rows, ledger, asked)?;
            let items = page.rows.iter().map(|row| view.show(&row.record)).collect();
            let mut headers = Headers::default();
            let body = job.route.paging.write(&page, items, asked, &mut headers);
            Ok::<_, Refusal>((page.capped, body, headers))
        };
        let all = asked.most.map(|_| rows.clone());
        let (capped, body, headers) = written(rows, &asked)?;
        if let Some(all) = all.filter(|_| capped) {
            let (_, body, headers) = written(all, &Asked { most: None, ..asked })?;
            let link = headers.get("link").map(str::to_owned);
            let body = serde_json::to_value(&body).unwrap_or_default();
            *self.page_cap.bit.borrow_mut() = Some(Uncapped { body, link });
        }
        Ok(Done { headers, ..ok(job, Some(text(&body))) })
    }

    pub(super) fn search(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
        let file = self.file.clone();
        let (name, spec) = self.about(&file, job)?;
        let ledger = &self.ledgers.get(&name).ok_or_else(|| Refusal::case(Case::NoRoute))?.ledger;
        let (search, lag) = match &job.route.spec.search {
            Some(SearchDialect::FilterGroups { under }) => {
                (Search::filter_groups(params, under)?, Span::ZERO)
            }
            Some(SearchDialect::Query { lag }) => {
                let query = params.get("query").and_then(Value::as_str).unwrap_or_default();
                (Search::query(query)?, *lag)
            }
            None => (Search::default(), Span::ZERO),
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
    pub(super) fn batch_read(&mut self, job: &Job<'_>, params: &Map<String, Value>) -> Result<Done, Refusal> {
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
        let view = View::of(spec, params);
        let (mut results, mut missing) = (Vec::new(), Vec::new());
        for input in inputs {
            let id = input.get("id").and_then(text_of).unwrap_or_default();
            match ledger.get(&id) {
                Some(row) => results.push(view.show(&row.record)),
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
        done.body = Some(text(&body));
        Ok(done)
    }
}
