//! Each planted defect is caught by the drill, and in the check, that claim it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use firedrill::drill::Plan;
use firedrill::prove::{defects, prove};
use firedrill::seed::Seed;
use firedrill::{casting, plan};
use libtest_mimic::{Arguments, Failed, Trial};

/// The seeds that each defect is planted under.
const SEEDS: [Seed; 2] = [Seed(1), Seed(2)];

fn main() -> ExitCode {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let plans = Arc::new(plans(&here.join("../scenarios"), &here.join("../contracts")));
    let trials = defects()
        .into_iter()
        .map(|defect| {
            let plans = Arc::clone(&plans);
            Trial::test(format!("{}_is_caught", defect.name), move || {
                let proof = prove(defect, &plans, &SEEDS).map_err(|e| Failed::from(e.to_string()))?;
                if proof.holds() {
                    return Ok(());
                }
                let (name, bug, drill, check) = (defect.name, defect.bug, defect.drill, defect.check);
                Err(Failed::from(format!(
                    "{drill} does not fail in `{check}` with `{name}` ({bug}): {:?}\n\
                     see it: cargo run -- run scenarios/{drill}.yaml --defect {name}",
                    proof.missed
                )))
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn plans(scenarios: &Path, contracts: &Path) -> BTreeMap<String, Arc<Plan>> {
    let facts = |vendor: &_| casting::facts(vendor, contracts).map(Some);
    let drills = plan::load(&[PathBuf::from(scenarios)], &facts).expect("the drills can be read");
    drills
        .iter()
        .map(|drill| {
            let plan = casting::plan(drill, contracts).expect("its vendors can be read");
            (drill.name(), Arc::new(plan))
        })
        .collect()
}
