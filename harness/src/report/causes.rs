//! Which rules the failures of a run have in common, so that one bug that breaks twenty drills reads as one.
//!
//! Knows: the rules that failed in each drill. Must not know: what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{BOLD, CYAN, DIM, Ran, count, paint};
use crate::finding::Verdict;

/// So many failures are read one by one.
const FEW: usize = 3;

/// What is known of one rule.
#[derive(Clone, Debug)]
struct Cause {
    drills: usize,
    /// The drill to begin with, by how well it suits.
    first: (Suits, String),
}

/// How well a drill suits to look at a rule: its family is about it, and it is short. Less is better.
type Suits = (bool, usize);

/// The rules by which drills failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    failed: usize,
    by_rule: BTreeMap<Arc<str>, Cause>,
}

impl Causes {
    /// Counts a drill that failed.
    pub fn add(&mut self, ran: &Ran<'_>) {
        self.failed += 1;
        let family = ran.loaded.family();
        for judgement in ran.drilled.judgements.iter().filter(|j| j.verdict == Verdict::Fail) {
            let suits = (*judgement.check != *family, ran.exchanges());
            let failed = judgement.findings.iter().filter(|f| f.verdict == Verdict::Fail);
            // A rule can be broken by each vendor of a drill.
            let rules: BTreeSet<&Arc<str>> = failed.map(|f| &f.rule).collect();
            for rule in rules {
                let here = || (suits, ran.replay.clone());
                let cause =
                    self.by_rule.entry(rule.clone()).or_insert_with(|| Cause { drills: 0, first: here() });
                cause.drills += 1;
                if suits < cause.first.0 {
                    cause.first = here();
                }
            }
        }
    }

    /// The rules, those first that most drills broke; nothing if there is little to read anyway.
    pub fn render(&self) -> String {
        if self.failed <= FEW {
            return String::new();
        }
        let mut rules: Vec<(&Arc<str>, &Cause)> = self.by_rule.iter().collect();
        rules.sort_by(|a, b| b.1.drills.cmp(&a.1.drills).then(a.1.first.0.cmp(&b.1.first.0)));
        let mut text = format!("\n  {}\n", paint(BOLD, "by rule, each with the drill to begin with"));
        for (rule, cause) in rules {
            let drills = count(cause.drills, "drill");
            text.push_str(&format!("    {rule} {}\n", paint(DIM, &format!("in {drills}"))));
            text.push_str(&format!("      {}\n", paint(CYAN, &cause.first.1)));
        }
        text
    }
}
