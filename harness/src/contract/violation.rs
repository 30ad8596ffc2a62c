//! What validation finds.
//!
//! Knows: the parts of a finding and what each severity promises. Must not know: how it is found.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::finding::Verdict;
use crate::personal::hidden;

/// How bad something found is. The order is the order of badness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The message holds something that the contract does not know and does not forbid.
    Additive,
    /// It could not be judged.
    Unknown,
    /// The message breaks the contract.
    Breaking,
}

/// Which part of a message is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The method and path.
    Line,
    /// A path parameter.
    Path,
    /// A query parameter.
    Query,
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
    /// The status code.
    Status,
    /// The body.
    Body,
}

/// One thing that validation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// A stable name: `contract/required`.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which part of the message.
    pub part: Part,
    /// The JSON Pointer into that part, with indices: `/data/3/amount`. For a parameter it begins
    /// with its name.
    pub pointer: String,
    /// The same with `*` for every index of an array and every key of a map: `/data/*/amount`.
    pub wild: String,
    /// Where in the raw description the broken rule stands; empty if nowhere.
    pub schema: String,
    /// What the contract expects.
    pub expected: String,
    /// What was found, masked: never a secret, nor what is a person's own.
    pub got: String,
    /// For a schema with branches: which was the closest, that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Where the value may have gone: a field of the same shape that the contract does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
}

/// What validation says of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// What it found, breaking first, then by place.
    pub violations: Vec<Violation>,
    /// The documented media type that the body was judged by.
    pub media: Option<String>,
    /// The schema in the raw description that the body was judged by.
    pub schema: Option<String>,
}

impl Checked {
    /// The verdict: what could not be judged is not a pass, and additions break nothing.
    pub fn verdict(&self) -> Verdict {
        match self.violations.iter().map(|v| v.severity).max() {
            None | Some(Severity::Additive) => Verdict::Pass,
            Some(Severity::Unknown) => Verdict::Unknown,
            Some(Severity::Breaking) => Verdict::Fail,
        }
    }

    /// What breaks the contract.
    pub fn breaking(&self) -> impl Iterator<Item = &Violation> {
        self.violations.iter().filter(|v| v.severity == Severity::Breaking)
    }

    /// As it is told: in order, and without the keys of maps that are a person's own.
    pub(super) fn sorted(mut self) -> Checked {
        for violation in &mut self.violations {
            let Violation { pointer, wild, expected, moved, .. } = violation;
            let told = [pointer, wild, expected].into_iter().chain(moved);
            for text in told {
                if let Cow::Owned(clean) = hidden(text) {
                    *text = clean;
                }
            }
        }
        self.violations.sort_by(|a, b| {
            b.severity
                .cmp(&a.severity)
                .then_with(|| a.part.cmp(&b.part))
                .then_with(|| a.pointer.cmp(&b.pointer))
        });
        self.violations.dedup();
        self
    }
}
