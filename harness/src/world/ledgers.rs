//! What the vendors hold, as their changes tell it.
//!
//! Knows: records by vendor, collection and id, in the order in which they came to be. Must not
//! know: what a record means.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::Text;
use crate::trace::ChangeKind;
use crate::vendor::Change;

type Records = IndexMap<Text, Arc<Value>>;

/// A mirror of the vendors' ledgers.
pub(crate) struct Ledgers {
    vendors: RefCell<BTreeMap<Text, BTreeMap<Text, Records>>>,
    changed: watch::Sender<u64>,
}

impl Ledgers {
    /// Empty ones, with a place for each collection that is known by name.
    pub fn new<'a>(known: impl Iterator<Item = (Text, &'a str)>) -> Ledgers {
        let mut vendors: BTreeMap<Text, BTreeMap<Text, Records>> = BTreeMap::new();
        for (alias, collection) in known {
            vendors.entry(alias).or_default().entry(collection.into()).or_default();
        }
        Ledgers { vendors: RefCell::new(vendors), changed: watch::Sender::new(0) }
    }

    /// Takes in one change.
    pub fn apply(&self, vendor: &Text, change: &Change) {
        let mut vendors = self.vendors.borrow_mut();
        let records =
            vendors.entry(vendor.clone()).or_default().entry(change.collection.clone()).or_default();
        if change.change == ChangeKind::Deleted {
            records.shift_remove(&change.id);
        } else {
            records.insert(change.id.clone(), change.record.clone());
        }
    }

    /// Tells who waits that something changed.
    pub fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    /// Hears of changes from now on.
    pub fn hear(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether `noun` is a collection of `vendor`.
    pub fn has(&self, vendor: &str, noun: &str) -> bool {
        self.vendors.borrow().get(vendor).is_some_and(|v| v.contains_key(noun))
    }

    /// The live records of a collection, oldest first.
    pub fn records(&self, vendor: &str, noun: &str) -> Vec<(Text, Arc<Value>)> {
        let vendors = self.vendors.borrow();
        let records = vendors.get(vendor).and_then(|v| v.get(noun));
        records.map(|r| r.iter().map(|(i, v)| (i.clone(), v.clone())).collect()).unwrap_or_default()
    }

    /// Each vendor's collections as conditions see them: lists of records.
    pub fn variables(&self) -> Vec<(Text, Value)> {
        let list = |records: &Records| Value::Array(records.values().map(|v| Value::clone(v)).collect());
        self.vendors
            .borrow()
            .iter()
            .map(|(alias, collections)| {
                let lists: Map<String, Value> =
                    collections.iter().map(|(name, records)| (name.to_string(), list(records))).collect();
                (alias.clone(), Value::Object(lists))
            })
            .collect()
    }
}

/// What those ask who steer vendors from outside.
#[cfg(feature = "cli")]
impl Ledgers {
    /// Forgets all records.
    pub fn clear(&self) {
        let mut vendors = self.vendors.borrow_mut();
        vendors.values_mut().flat_map(BTreeMap::values_mut).for_each(IndexMap::clear);
    }

    /// How many live records a collection holds.
    pub fn count(&self, vendor: &str, noun: &str) -> usize {
        self.vendors.borrow().get(vendor).and_then(|v| v.get(noun)).map_or(0, IndexMap::len)
    }

    /// Whether a collection holds a live record of this id.
    pub fn holds(&self, vendor: &str, noun: &str, id: &str) -> bool {
        self.vendors.borrow().get(vendor).and_then(|v| v.get(noun)).is_some_and(|r| r.contains_key(id))
    }
}
