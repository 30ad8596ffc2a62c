//! Verdicts and the findings that support them.
//!
//! Knows: the three verdicts and their order. Must not know: how anything is judged or shown.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::trace::EventId;

/// The verdict of a check or a drill. The order is the order of badness: the worst wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The promise was put to the test and held.
    Pass,
    /// It could not be judged: too few samples, or the fault never fired.
    Unknown,
    /// It was broken.
    Fail,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Pass => "pass",
            Verdict::Unknown => "unknown",
            Verdict::Fail => "fail",
        })
    }
}

/// One thing that a check found, with the events that prove it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// A stable name: `idempotency/second_effect`.
    pub rule: Arc<str>,
    /// Whether it breaks the promise or only keeps it from being judged.
    pub verdict: Verdict,
    /// What was found, in one sentence, with the values: for a person at 2 am.
    pub message: String,
    /// What was expected.
    pub expected: String,
    /// What to look at or do next.
    pub hint: Option<String>,
    /// The few events that prove it, in order.
    pub evidence: Vec<EventId>,
    /// How many more of the same kind there are.
    pub more: u32,
}

/// What one check says of one drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The check: `idempotency`.
    pub check: Arc<str>,
    /// The worst of its findings; `Pass` with none.
    pub verdict: Verdict,
    /// How many things it judged (operations, deliveries, waits, …).
    pub judged: u64,
    /// What it found.
    pub findings: Vec<Finding>,
    /// What it found and the scenario waives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<Waived>,
}

/// Findings that do not count, because the scenario says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waived {
    /// Their rule.
    pub rule: Arc<str>,
    /// Why they do not count, in the scenario's words.
    pub because: String,
    /// How many there were.
    pub found: u64,
}

/// The worst verdict of some findings; `Pass` of none.
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Pass)
}

impl Judgement {
    /// A judgement over `judged` things: the worst of its findings.
    pub fn of(check: &str, judged: u64, findings: Vec<Finding>) -> Judgement {
        Judgement { check: check.into(), verdict: worst(&findings), judged, findings, waived: Vec::new() }
    }
}
