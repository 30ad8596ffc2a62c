//! What the workload can do to a vendor: start data, and actions on records and accounts.
//!
//! Knows: actions as data, and the few that every account has. Must not know: when they happen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::scenario::{Given, or_nearest};
use crate::time::At;
use crate::trace::ChangeKind;

use super::auth::AuthDialect;
use super::changing::{By, Roots};
use super::generated::Generator;
use super::model::Model;
use super::operate::hold;
use super::spec::{ActionSpec, CollectionSpec, Does};
use super::value::{Path, text_of};
use super::{Change, Reaction};

impl Model {
    /// Fills a collection before the drill begins.
    pub fn make_up(&mut self, collection: &str, given: &Given) -> Result<Vec<Change>, String> {
        let file = self.file.clone();
        let (name, spec) = self.collection(&file.spec.collections, collection)?;
        let mut reaction = Reaction::default();
        let mut generator = match given.generated {
            true => {
                let chance = self.seed.stream(&format!("generated {name}"));
                Some(Generator::new(&file, &name, spec, chance)?)
            }
            false => None,
        };
        for n in 0..given.count as usize {
            let (id, mut record) = self.made_up(&name, spec, At::START)?;
            if let Some(generator) = &mut generator {
                generator.fill(&mut record);
            }
            for (path, value) in &given.set {
                Path::new(path).set(&mut record, value.clone());
            }
            for (path, values) in given.each.iter().filter(|(_, values)| !values.is_empty()) {
                Path::new(path).set(&mut record, values[n % values.len()].clone());
            }
            let by = By { now: At::START, api: false, named: None };
            self.commit(&by, &name, &id, None, Arc::new(record), &mut reaction);
        }
        for change in &mut reaction.changes {
            change.change = ChangeKind::Given;
        }
        Ok(reaction.changes)
    }

    fn collection<'s>(
        &self,
        specs: &'s indexmap::IndexMap<String, CollectionSpec>,
        wanted: &str,
    ) -> Result<(Arc<str>, &'s CollectionSpec), String> {
        let held = self.ledgers.get_key_value(wanted).map(|(name, _)| name.clone());
        held.zip(specs.get(wanted)).ok_or_else(|| {
            let near = or_nearest(wanted, specs.keys().map(String::as_str));
            format!("{} has no collection `{wanted}`{near}", self.file.spec.vendor)
        })
    }

    fn made_up(
        &mut self,
        name: &Arc<str>,
        spec: &CollectionSpec,
        now: At,
    ) -> Result<(Arc<str>, Value), String> {
        let none = |_| format!("{name} cannot be made up");
        let id = self.new_id(name, spec).map_err(none)?;
        let roots: Roots = vec![("params".to_owned(), Arc::new(json!({})))];
        let mut record = self.fresh(name, spec, &id, &roots, now).map_err(none)?;
        let seq = self.ledgers.get(name).map_or(0, |h| h.ledger.seq() + 1);
        let roots: Roots = vec![("seq".to_owned(), Arc::new(json!(seq)))];
        self.fill_in(spec.seeded.iter(), &mut record, &roots, now);
        Ok((id, record))
    }

    /// Carries out an action of the workload.
    pub fn carry_out(
        &mut self,
        now: At,
        noun: &str,
        verb: &str,
        ids: &[Arc<str>],
        set: &BTreeMap<String, Value>,
    ) -> Result<Reaction, String> {
        let file = self.file.clone();
        if let Some(reaction) = self.account(now, noun, verb) {
            return Ok(reaction);
        }
        if (noun, verb) == ("quota", "spend") && file.spec.rate_limit.limit.is_some() {
            return self.spend(now, set);
        }
        let action = file.spec.actions.get(noun).and_then(|verbs| verbs.get(verb)).ok_or_else(|| {
            let vendor = &file.spec.vendor;
            let verbs = file.actions(noun);
            if verbs.is_empty() {
                format!("{vendor} has no `{noun}` to act on{}", or_nearest(noun, file.nouns()))
            } else {
                format!("{vendor} has no action `{noun}.{verb}`{}", or_nearest(verb, verbs))
            }
        })?;
        let (name, spec) = self.collection(&file.spec.collections, noun)?;
        let by = By { now, api: false, named: action.named.as_deref() };
        let mut reaction = Reaction::default();
        if action.does == Does::Create {
            for _ in 0..ids.len().max(1) {
                let (id, mut record) = self.made_up(&name, spec, now)?;
                self.fields(action, &mut record, set, now);
                self.commit(&by, &name, &id, None, Arc::new(record), &mut reaction);
            }
        }
        if action.does != Does::Create && ids.is_empty() {
            return Err(format!("`{noun}.{verb}` needs a record to act on"));
        }
        for id in ids.iter().filter(|_| action.does != Does::Create) {
            let row = self.ledgers.get(&name).and_then(|h| h.ledger.get(id)).cloned();
            let row = row.ok_or_else(|| {
                let known = self.ledgers.get(&name).into_iter().flat_map(|h| h.ledger.rows());
                format!(
                    "there is no {} `{id}`{}",
                    spec.one,
                    or_nearest(id, known.map(|(_, r)| r.id.as_ref()))
                )
            })?;
            let roots: Roots = vec![("record".to_owned(), row.record.clone())];
            hold(&action.require, &roots, now, self).map_err(|refusal| {
                let why = refusal.words.get("message").and_then(text_of);
                format!(
                    "`{noun}.{verb}` of {id}: {}",
                    why.unwrap_or_else(|| "its state does not allow it".into())
                )
            })?;
            if action.does == Does::Delete {
                self.discard(&by, &name, id, &mut reaction);
                continue;
            }
            let mut record = row.record.as_ref().clone();
            self.fields(action, &mut record, set, now);
            self.change(&by, &name, spec, &row, record, &mut reaction);
        }
        reaction.applied = true;
        Ok(reaction)
    }

    fn fields(&mut self, action: &ActionSpec, record: &mut Value, set: &BTreeMap<String, Value>, now: At) {
        let none = Roots::new();
        self.fill_in(action.set.iter(), record, &none, now);
        if set.is_empty() {
            self.fill_in(action.set_by_default.iter(), record, &none, now);
        }
        for (path, value) in set {
            Path::new(path).set(record, value.clone());
        }
    }

    /// Others of the account make calls, which count against the quota that all of them share.
    fn spend(&mut self, now: At, set: &BTreeMap<String, Value>) -> Result<Reaction, String> {
        let calls = match set.iter().map(|(name, value)| (name.as_str(), value)).collect::<Vec<_>>()[..] {
            [] => Some(1),
            [("calls", value)] => value.as_u64(),
            _ => None,
        };
        let calls = calls.ok_or("how many calls others make is said by `set: { calls: 20 }`")?;
        for _ in 0..calls {
            // One that is refused spends nothing.
            if self.limiter.admit(&self.file.spec.rate_limit, now, None).is_err() {
                break;
            }
        }
        Ok(Reaction { applied: true, ..Reaction::default() })
    }

    /// The actions on a vendor's accounts; `None` if this is none of them.
    fn account(&mut self, now: At, noun: &str, verb: &str) -> Option<Reaction> {
        let file = self.file.clone();
        let auth = &file.spec.auth;
        let (change, handed_over) = match (auth.dialect, noun, verb) {
            (AuthDialect::OauthRefresh, "oauth", "revoke") => {
                self.auth.revoke();
                ("revoked", false)
            }
            (AuthDialect::OauthRefresh, "oauth", "expire") => {
                self.auth.expire();
                ("expired", false)
            }
            (AuthDialect::OauthRefresh, "oauth", "roll") => {
                self.auth.roll_grant(auth);
                ("rolled", true)
            }
            (AuthDialect::Key, "keys", "roll") => {
                self.auth.roll_key(auth, now);
                ("rolled", true)
            }
            (AuthDialect::Key, "keys", "revoke") => {
                self.auth.revoke_key();
                ("revoked", false)
            }
            (_, "webhooks", "roll_secret") => {
                self.hooks.as_mut()?.roll(file.spec.webhooks.as_ref()?);
                ("rolled", true)
            }
            _ => return None,
        };
        let credentials = vec![Model::credential(change, handed_over)];
        Some(Reaction { applied: true, credentials, ..Reaction::default() })
    }
}
