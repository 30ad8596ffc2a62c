//! An integration that decides otherwise, and soundly, passes every drill.
//!
//! Each drill meets one variant, another than its neighbours; `--include-ignored` runs all pairs, which
//! takes a dozen times as long.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use firedrill::finding::Verdict;
use firedrill::prove::{VARIANTS, Variant};
use firedrill::seed::Seed;
use firedrill::subject::bundled::Bundled;
use firedrill::{casting, drill, plan};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (scenarios, contracts) = (here.join("../scenarios"), here.join("../contracts"));
    let facts = |vendor: &_| casting::facts(vendor, &contracts).map(Some);
    let drills = plan::load(&[PathBuf::from(&scenarios)], &facts).expect("the drills can be read");
    let mut trials = Vec::new();
    for (n, drill) in drills.iter().enumerate() {
        let name = drill.name();
        let plan = Arc::new(casting::plan(drill, &contracts).expect("its vendors can be read"));
        let bound = |v: &&Variant| v.excused.iter().all(|(drill, _)| *drill != name);
        let bound: Vec<&Variant> = VARIANTS.iter().filter(bound).collect();
        for (m, &variant) in bound.iter().enumerate() {
            let usual = n % bound.len() == m;
            let plan = Arc::clone(&plan);
            let trial = Trial::test(format!("{}::{name}", variant.name), move || {
                let subject = Bundled::with_defect(variant.name, variant.plant);
                let drilled =
                    drill::run(&plan, Seed(1), &subject).map_err(|e| Failed::from(e.to_string()))?;
                if drilled.verdict == Verdict::Pass {
                    return Ok(());
                }
                let findings = drilled.judgements.iter().flat_map(|j| &j.findings);
                let said: Vec<String> = findings.map(|f| format!("{}: {}", f.rule, f.message)).collect();
                Err(Failed::from(format!("{}\n  {}", variant.sound, said.join("\n  "))))
            });
            trials.push(trial.with_ignored_flag(!usual));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
