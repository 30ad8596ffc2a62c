//! Old against new: what changed between two OpenAPI documents, for a consumer.
//!
//! Knows: both descriptions, and what each change means for one who reads answers and sends
//! requests. Must not know: files, recordings, terminals.
//!
//! A schema that many operations share is compared once, and what changed in it is one
//! [`Change`] with the operations that lead to it. The direction matters: what is received must
//! stay inside what the old document allowed, and what was valid to send must stay valid.

mod compare;
mod exchange;
mod objects;
mod operations;
mod reach;
mod rules;
mod security;
mod used;
mod values;
mod variants;
mod walk;

use std::sync::Arc;

use serde::Serialize;

pub use rules::{RULES, Rule, Severity, rule};
pub use used::Used;
use walk::Walk;

use super::schema::{Doc, Effort};
use super::{Contract, Direction};

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The name of its rule: `response/property_removed`.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Which way the data goes; none for an operation as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// What changed, in one sentence, with the values.
    pub message: String,
    /// Where it is in the old document, as a JSON pointer; where it would be, if it is new.
    pub old: Arc<str>,
    /// Where it is in the new document; where it would be, if it is gone.
    pub new: Arc<str>,
    /// Where it shows in the nearest operation: status, media type, and a path in the payload,
    /// with `*` for any item: `200 application/json /data/*/amount`.
    pub place: String,
    /// The operations that it affects, the nearest first.
    pub operations: Vec<Arc<str>>,
}

/// All that changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// The changes, the worst first, in the order of the documents.
    pub changes: Vec<Change>,
    /// How many of the old operations were compared, and how many there are; none if all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<(usize, usize)>,
}

impl Diff {
    /// How many changes there are of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.changes.iter().filter(|c| c.severity == severity).count()
    }

    /// The worst there is.
    pub fn worst(&self) -> Option<Severity> {
        self.changes.iter().map(|c| c.severity).max()
    }
}

/// The most pairs of schemas that are compared; two documents of 5 MB have some ten thousand.
const PAIRS: usize = 500_000;
/// The most schemas that are looked at on the way, each as often as it is.
const STEPS: usize = 200_000;

/// Compares two contracts, of OpenAPI 3.0 or 3.1 and not necessarily the same. Webhook schemas that
/// stand in files of their own are not compared.
pub fn diff(old: &Contract, new: &Contract) -> Diff {
    compared(old, new, None, STEPS)
}

/// As [`diff`], of the operations that are used alone: what changed in others, and operations that
/// are new, are left out. Webhooks and the API as a whole are compared always.
pub fn diff_used(old: &Contract, new: &Contract, used: &Used) -> Diff {
    let whole = compared(old, new, Some(used), STEPS);
    Diff { compared: Some((used.count(), old.operations().len())), ..whole }
}

fn compared(old: &Contract, new: &Contract, used: Option<&Used>, steps: usize) -> Diff {
    let mut walk = Walk::new(Doc::of(old), Doc::of(new), Effort::new(steps));
    walk.used = used.cloned();
    walk.documents();
    let all = walk.run(PAIRS);
    let mut changes = reach::changes(walk);
    if !all {
        changes.push(Change {
            rule: "response/undecidable",
            severity: Severity::Undecidable,
            direction: None,
            message: format!(
                "the documents are too entangled: there is more to compare than {PAIRS} pairs of schemas, or {steps} \
                 schemas one by one; what was not reached was not compared"
            ),
            old: "#".into(),
            new: "#".into(),
            place: String::new(),
            operations: Vec::new(),
        });
    }
    changes.sort_by_key(|c| std::cmp::Reverse(c.severity));
    Diff { changes, compared: None }
}

#[cfg(test)]
mod tests;
