//! Findings that somebody has accepted: known, and no reason to fail.
//!
//! Knows: which findings are listed, and which no longer occur. Must not know: files.

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
    /// Why it is accepted; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Accepted {
    /// Marks the findings that are listed. Gives those listed, of `vendors`, that did not occur.
    pub fn apply(&self, report: &mut Report, vendors: &BTreeSet<String>) -> Vec<Entry> {
        for deviation in &mut report.deviations {
            deviation.accepted = self.accepted.iter().any(|e| e.id == deviation.id);
        }
        let occurs = |entry: &Entry| report.deviations.iter().any(|d| d.id == entry.id);
        self.accepted.iter().filter(|e| vendors.contains(&e.vendor) && !occurs(e)).cloned().collect()
    }

    /// Lists the report's findings too, but those that only add something; gives how many are new.
    pub fn add(&mut self, report: &Report) -> usize {
        let before = self.accepted.len();
        for d in report.deviations.iter().filter(|d| d.severity != Severity::Additive) {
            if !self.accepted.iter().any(|e| e.id == d.id) {
                let status = d.status.map(|s| format!(" {s}")).unwrap_or_default();
                self.accepted.push(Entry {
                    id: d.id.clone(),
                    vendor: d.vendor.clone(),
                    what: format!(
                        "{}{status} {}: expected {}, got {}",
                        d.operation, d.wild, d.expected, d.got
                    ),
                    why: None,
                });
            }
        }
        self.accepted.sort_by(|a, b| (&a.vendor, &a.id).cmp(&(&b.vendor, &b.id)));
        self.accepted.len() - before
    }

    /// Takes `gone` off the list.
    pub fn prune(&mut self, gone: &[Entry]) {
        self.accepted.retain(|e| !gone.contains(e));
    }
}
