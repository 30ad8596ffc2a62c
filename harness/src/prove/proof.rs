//! Running the planted defects against the drills that claim to catch them.
//!
//! Knows: defects, drills and verdicts. Must not know: how the table is printed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::drill::{self, DrillError, Plan};
use crate::finding::Verdict;
use crate::seed::Seed;
use crate::subject::bundled::Bundled;

use super::Defect;

/// What became of one defect in the drill that claims it.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The defect.
    pub defect: Defect,
    /// The seeds under which the drill failed in the check that is named.
    pub caught: Vec<Seed>,
    /// The seeds under which it did not, with what it said instead.
    pub missed: Vec<(Seed, String)>,
    /// The rules by which it was caught.
    pub rules: Vec<Arc<str>>,
}

impl Proof {
    /// Whether the defect was caught under every seed.
    pub fn holds(&self) -> bool {
        self.missed.is_empty() && !self.caught.is_empty()
    }
}

/// Runs `defect` under each of `seeds` through the drill it names.
///
/// # Errors
/// If there is no such drill among `plans` (by `family/file_stem`), or firedrill itself fails.
pub fn prove(
    defect: Defect,
    plans: &BTreeMap<String, Arc<Plan>>,
    seeds: &[Seed],
) -> Result<Proof, DrillError> {
    let plan = plans.get(defect.drill).ok_or_else(|| {
        DrillError::Harness(format!("no drill `{}` for defect `{}`", defect.drill, defect.name))
    })?;
    let subject = Bundled::with_defect(defect.name, defect.plant);
    let mut proof = Proof { defect, caught: Vec::new(), missed: Vec::new(), rules: Vec::new() };
    for &seed in seeds {
        let drilled = drill::run(plan, seed, &subject)?;
        let failing = drilled.judgements.iter().filter(|j| j.verdict == Verdict::Fail);
        let (named, others): (Vec<_>, Vec<_>) = failing.partition(|j| *j.check == *defect.check);
        if named.is_empty() {
            let said: Vec<&str> = others.iter().map(|j| &*j.check).collect();
            proof.missed.push((seed, format!("{} {}", drilled.verdict, said.join(", ")).trim().to_owned()));
            continue;
        }
        proof.caught.push(seed);
        for finding in named.iter().flat_map(|j| &j.findings).filter(|f| f.verdict == Verdict::Fail) {
            if !proof.rules.contains(&finding.rule) {
                proof.rules.push(finding.rule.clone());
            }
        }
    }
    Ok(proof)
}
