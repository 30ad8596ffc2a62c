//! What a model remembers, as data that outlives it.
//!
//! Knows: which parts of a model are state. Must not know: where it is kept, or what it means.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::seed::Stream;
use crate::time::At;
use crate::trace::{ChangeKind, WebhookEvent};

use super::Change;
use super::auth::Auth;
use super::hooks::Hooks;
use super::idempotency::Keys;
use super::model::{Holding, Model};
use super::rate_limit::Limiter;
use super::store::{Kept, Ledger};
use crate::scenario::or_nearest;

/// A model's memory.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Memory<A, L, K, H> {
    auth: A,
    limiter: L,
    keys: K,
    hooks: Option<H>,
    ledgers: BTreeMap<Arc<str>, Page>,
    values: Stream,
    requests: Stream,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    ledger: Kept,
    number: u64,
    ids: Option<Stream>,
}

impl Model {
    /// All that it remembers.
    pub(super) fn kept(&self) -> Option<Value> {
        let page = |h: &Holding| Page { ledger: h.ledger.kept(), number: h.number, ids: h.ids.clone() };
        let memory = Memory {
            auth: &self.auth,
            limiter: &self.limiter,
            keys: &self.keys,
            hooks: self.hooks.as_ref(),
            ledgers: self.ledgers.iter().map(|(name, h)| (name.clone(), page(h))).collect(),
            values: self.values.clone(),
            requests: self.requests.clone(),
        };
        serde_json::to_value(memory).ok()
    }

    /// Remembers what was kept; gives what it holds.
    ///
    /// # Errors
    /// If it does not fit this vendor's file.
    pub(super) fn take_up(&mut self, saved: Value) -> Result<Vec<Change>, String> {
        let memory: Memory<Auth, Limiter, Keys, Hooks> =
            serde_json::from_value(saved).map_err(|e| e.to_string())?;
        if memory.hooks.is_some() != self.hooks.is_some() {
            return Err("it was kept by a vendor whose webhooks were set up otherwise".to_owned());
        }
        let file = self.file.clone();
        let mut held = Vec::new();
        let mut ledgers = BTreeMap::new();
        for (name, page) in memory.ledgers {
            let Some((name, compiled)) = file.collections.get_key_value(&name) else {
                let near = or_nearest(&name, file.collections.keys().map(|k| &**k));
                return Err(format!("it holds a collection `{name}` that the vendor does not have{near}"));
            };
            let ledger = Ledger::again(page.ledger, &compiled.indexed);
            held.extend(ledger.rows().map(|(_, row)| Change {
                collection: name.clone(),
                id: row.id.clone(),
                change: ChangeKind::Given,
                record: row.record.clone(),
            }));
            ledgers.insert(name.clone(), Holding { ledger, number: page.number, ids: page.ids });
        }
        if let Some(lacking) = self.ledgers.keys().find(|name| !ledgers.contains_key(*name)) {
            return Err(format!("it lacks the collection `{lacking}`"));
        }
        self.auth = memory.auth;
        self.limiter = memory.limiter;
        self.keys = memory.keys;
        self.hooks = memory.hooks;
        self.values = memory.values;
        self.requests = memory.requests;
        self.ledgers = ledgers;
        Ok(held)
    }

    /// An event about a record as it is.
    ///
    /// # Errors
    /// See [`super::Vendor::event`].
    pub(super) fn unprompted(
        &mut self,
        now: At,
        kind: &str,
        collection: &str,
        id: &str,
        property: Option<&str>,
    ) -> Result<WebhookEvent, String> {
        let file = self.file.clone();
        let Some((name, holding)) = self.ledgers.get_key_value(collection) else {
            let near = or_nearest(collection, self.ledgers.keys().map(|k| &**k));
            return Err(format!("there is no collection `{collection}`{near}"));
        };
        let Some(row) = holding.ledger.get(id) else {
            return Err(format!("there is no record `{id}` in `{collection}`"));
        };
        let (name, row) = (name.clone(), row.clone());
        match (&mut self.hooks, &file.spec.webhooks) {
            (Some(hooks), Some(spec)) => {
                hooks.unprompted(spec, self.epoch, now, kind, (&name, &row.id, &row.record), property)
            }
            _ => Err("this vendor sends no webhooks".to_owned()),
        }
    }
}
