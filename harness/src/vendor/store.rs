//! The ledgers: records in the order in which they came to be.
//!
//! Knows: ids, order, and which fields are looked up often. Must not know: what records mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::At;

use super::value::{Path, text_of};

/// One ledger.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    rows: BTreeMap<u64, Row>,
    ids: BTreeMap<Arc<str>, u64>,
    gone: BTreeMap<Arc<str>, (u64, Arc<Value>)>,
    indexes: Vec<Index>,
    next: u64,
}

/// One record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Its id.
    pub id: Arc<str>,
    /// The record.
    pub record: Arc<Value>,
    /// When it came to be.
    pub born: At,
}

#[derive(Clone, Debug)]
struct Index {
    field: Path,
    rows: BTreeMap<String, Vec<u64>>,
}

/// A ledger as it is kept between runs; indexes are made anew.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    rows: Vec<(u64, Row)>,
    gone: Vec<(u64, Arc<str>, Arc<Value>)>,
    next: u64,
}

impl Ledger {
    /// What is needed to make it again.
    pub fn kept(&self) -> Kept {
        Kept {
            rows: self.rows.iter().map(|(n, row)| (*n, row.clone())).collect(),
            gone: self.gone.iter().map(|(id, (n, record))| (*n, id.clone(), record.clone())).collect(),
            next: self.next,
        }
    }

    /// The ledger again, looking these fields up quickly.
    pub fn again(kept: Kept, indexed: &[Path]) -> Ledger {
        let mut ledger = Ledger::new(indexed);
        for (place, row) in kept.rows {
            // Each takes the place it had, whatever was between.
            ledger.next = place;
            ledger.put(row.id, row.record, row.born);
        }
        ledger.gone = kept.gone.into_iter().map(|(n, id, record)| (id, (n, record))).collect();
        ledger.next = kept.next;
        ledger
    }

    /// An empty ledger that looks these fields up quickly.
    pub fn new(indexed: &[Path]) -> Ledger {
        let indexes = indexed.iter().map(|f| Index { field: f.clone(), rows: BTreeMap::new() }).collect();
        Ledger { indexes, ..Ledger::default() }
    }

    /// How many records ever came to be.
    pub fn seq(&self) -> u64 {
        self.next
    }

    /// The live record with this id.
    pub fn get(&self, id: &str) -> Option<&Row> {
        self.ids.get(id).and_then(|n| self.rows.get(n))
    }

    /// A deleted record, as it last was.
    pub fn gone(&self, id: &str) -> Option<&Arc<Value>> {
        self.gone.get(id).map(|(_, record)| record)
    }

    /// The place of an id in the order, also of a deleted one.
    pub fn place(&self, id: &str) -> Option<u64> {
        self.ids.get(id).copied().or_else(|| self.gone.get(id).map(|(n, _)| *n))
    }

    /// Live records, oldest first, with their places.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = (u64, &Row)> {
        self.rows.iter().map(|(n, row)| (*n, row))
    }

    /// Live records whose field equals a text, oldest first, if the field is indexed.
    pub fn having<'l>(
        &'l self,
        field: &Path,
        text: &str,
    ) -> Option<impl Iterator<Item = (u64, &'l Row)> + use<'l>> {
        let index = self.indexes.iter().find(|i| i.field == *field)?;
        let places = index.rows.get(text).map_or(&[] as &[u64], Vec::as_slice);
        Some(places.iter().filter_map(|n| self.rows.get(n).map(|row| (*n, row))))
    }

    /// Adds a record, or puts a new version in the place of the old.
    pub fn put(&mut self, id: Arc<str>, record: Arc<Value>, now: At) {
        let (place, born) = match self.ids.get(&id) {
            Some(place) => {
                let old = self.rows.get(place).map(|row| (row.record.clone(), row.born));
                let (old, born) = old.unwrap_or((record.clone(), now));
                self.unindex(*place, &old, Some(&record));
                (*self.ids.get(&id).unwrap_or(&self.next), born)
            }
            None => {
                let place = self.next;
                self.next += 1;
                self.ids.insert(id.clone(), place);
                (place, now)
            }
        };
        for index in &mut self.indexes {
            if let Some(text) = index.field.get(&record).and_then(text_of) {
                let places = index.rows.entry(text).or_default();
                if let Err(at) = places.binary_search(&place) {
                    places.insert(at, place);
                }
            }
        }
        self.rows.insert(place, Row { id, record, born });
    }

    /// Takes a record out; gives it as it last was.
    pub fn remove(&mut self, id: &str) -> Option<Row> {
        let place = self.ids.remove(id)?;
        let row = self.rows.remove(&place)?;
        self.unindex(place, &row.record, None);
        self.gone.insert(row.id.clone(), (place, row.record.clone()));
        Some(row)
    }

    fn unindex(&mut self, place: u64, old: &Value, new: Option<&Value>) {
        for index in &mut self.indexes {
            let before = index.field.get(old);
            if before == new.and_then(|n| index.field.get(n)) {
                continue;
            }
            if let Some(places) = before.and_then(text_of).and_then(|t| index.rows.get_mut(&t)) {
                places.retain(|n| *n != place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_index_follows_changes_and_deletions() {
        let field = Path::new("customer");
        let mut ledger = Ledger::new(std::slice::from_ref(&field));
        for (id, customer) in [("a", "x"), ("b", "y"), ("c", "x")] {
            ledger.put(id.into(), Arc::new(json!({ "customer": customer })), At::START);
        }
        let ids = |l: &Ledger, text: &str| -> Vec<String> {
            l.having(&field, text).unwrap().map(|(_, r)| r.id.to_string()).collect()
        };
        assert_eq!(ids(&ledger, "x"), ["a", "c"]);
        ledger.put("a".into(), Arc::new(json!({ "customer": "y" })), At::START);
        assert_eq!((ids(&ledger, "x"), ids(&ledger, "y")), (vec!["c".into()], vec!["a".into(), "b".into()]));
        ledger.remove("b");
        assert_eq!(ids(&ledger, "y"), ["a"]);
        assert!(ledger.gone("b").is_some() && ledger.place("b") == Some(1));
    }
}
