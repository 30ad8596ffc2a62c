//! Findings that somebody has accepted: known, and no reason to fail.
//!
//! Knows: which findings are listed, and which no longer occur. Must not know: what was looked at, or
//! where a list is kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Report;
use crate::contract::Severity;

/// A list of accepted findings, as it stands in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// The findings.
    pub accepted: Vec<Entry>,
}

/// One accepted finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its stable name.
    pub id: String,
    /// The vendor, so that a run over other vendors does not prune it.
    pub vendor: String,
    /// What it is, for whoever reads the file.
    pub what: String,
    /// The operation that it is a finding of, and the recordings or live vendors in which it was seen:
    /// a run that does not look at them says nothing about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// See `operation`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub seen_in: BTreeSet<String>,
    /// Why it is accepted; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What became of the listed findings that did not occur.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// All that they were seen in was looked at, and they were not there.
    pub gone: Vec<Entry>,
    /// How many were not looked for, or not everywhere.
    pub elsewhere: usize,
}

impl Accepted {
    /// Marks the findings that are listed. Tells those that did not occur apart by whether all was
    /// `looked_at` in which they were seen.
    pub fn apply(&self, report: &mut Report, looked_at: &dyn Fn(&Entry) -> bool) -> Missed {
        for deviation in &mut report.deviations {
            deviation.accepted = self.accepted.iter().any(|e| e.id == deviation.id);
        }
        let occurs = |entry: &&Entry| report.deviations.iter().any(|d| d.id == entry.id);
        let (gone, elsewhere): (Vec<&Entry>, Vec<&Entry>) =
            self.accepted.iter().filter(|e| !occurs(e)).partition(|e| looked_at(e));
        Missed { gone: gone.into_iter().cloned().collect(), elsewhere: elsewhere.len() }
    }

    /// Lists the report's findings too, but those that only add something; gives how many are new, and
    /// whether anything of the list changed.
    pub fn add(&mut self, report: &Report) -> (usize, bool) {
        let before = self.clone();
        for d in report.deviations.iter().filter(|d| d.severity != Severity::Additive) {
            if let Some(known) = self.accepted.iter_mut().find(|e| e.id == d.id) {
                known.operation = Some(d.operation.clone());
                known.seen_in.extend(d.seen_in.iter().cloned());
                continue;
            }
            let status = d.status.map(|s| format!(" {s}")).unwrap_or_default();
            self.accepted.push(Entry {
                id: d.id.clone(),
                vendor: d.vendor.clone(),
                what: format!("{}{status} {}: expected {}, got {}", d.operation, d.wild, d.expected, d.got),
                operation: Some(d.operation.clone()),
                seen_in: d.seen_in.clone(),
                why: None,
            });
        }
        self.accepted.sort_by(|a, b| (&a.vendor, &a.id).cmp(&(&b.vendor, &b.id)));
        (self.accepted.len() - before.accepted.len(), *self != before)
    }

    /// Takes `gone` off the list.
    pub fn prune(&mut self, gone: &[Entry]) {
        self.accepted.retain(|e| !gone.contains(e));
    }
}
