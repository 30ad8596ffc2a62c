//! Which rules the drills of a run have in common that failed, or could not be judged: one bug that breaks
//! twenty drills, or one slip in the set-up that keeps twenty from being judged, reads as one.
//!
//! Knows: the rules by which each drill had its verdict. Must not know: what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{BOLD, CYAN, DIM, Ran, count, paint};

/// So many drills are read one by one.
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

/// The rules by which drills had a verdict that they all have in common.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    drills: usize,
    by_rule: BTreeMap<Arc<str>, Cause>,
}

impl Causes {
    /// Counts a drill.
    pub fn add(&mut self, ran: &Ran<'_>) {
        self.drills += 1;
        let (family, verdict) = (ran.loaded.family(), ran.drilled.verdict);
        for judgement in ran.drilled.judgements.iter().filter(|j| j.verdict == verdict) {
            let suits = (*judgement.check != *family, ran.exchanges());
            let decisive = judgement.findings.iter().filter(|f| f.verdict == verdict);
            // A rule can be broken by each vendor of a drill.
            let rules: BTreeSet<&Arc<str>> = decisive.map(|f| &f.rule).collect();
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

    /// The rules under a title, those first that most drills broke; nothing if there is little to read anyway.
    pub fn render(&self, title: &str) -> String {
        if self.drills <= FEW {
            return String::new();
        }
        let mut rules: Vec<(&Arc<str>, &Cause)> = self.by_rule.iter().collect();
        rules.sort_by(|a, b| b.1.drills.cmp(&a.1.drills).then(a.1.first.0.cmp(&b.1.first.0)));
        let mut text =
            format!("\n  {}\n", paint(BOLD, &format!("{title}, each with the drill to begin with")));
        for (rule, cause) in rules {
            let drills = count(cause.drills, "drill");
            text.push_str(&format!("    {rule} {}\n", paint(DIM, &format!("in {drills}"))));
            text.push_str(&format!("      {}\n", paint(CYAN, &cause.first.1)));
        }
        text
    }
}
