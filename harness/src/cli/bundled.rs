//! The backend of the `firedrill` command: the bundled integration core in the virtual world, or a
//! program in real time.
//!
//! Knows: which subject is drilled. Must not know: how the command line asks for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::backend::{Backend, ProofRequest, Setting};
use crate::casting;
use crate::drill::{self, DrillError, Drilled, Judge, Plan, Script, skip};
use crate::finding::Verdict;
use crate::pacing::Pacing;
use crate::plan::Loaded;
use crate::prove::{self, Defect, Proof};
use crate::report::table::{Caught, Row};
use crate::scenario::{Mistake, Program, Scenario, VendorFacts, VendorUse};
use crate::seed::Seed;
use crate::subject::bundled;
use crate::subject::command::Command;

/// The integration core of this workspace.
#[derive(Default)]
pub struct Bundled {
    plans: Mutex<BTreeMap<String, Arc<Plan>>>,
}

impl Bundled {
    /// The drill, made ready once however often it is run.
    fn plan(&self, setting: &Setting, drill: &Loaded) -> Result<Arc<Plan>, DrillError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&drill.file) {
            return Ok(Arc::clone(plan));
        }
        let plan = casting::plan(drill, &setting.contracts)
            .map(Arc::new)
            .map_err(|mistake| DrillError::Scenario(mistake.to_string()))?;
        plans.insert(drill.file.clone(), Arc::clone(&plan));
        Ok(plan)
    }
}

impl Backend for Bundled {
    fn defects(&self) -> Vec<&'static str> {
        prove::defects().iter().map(|d| d.name).collect()
    }

    fn facts(&self, setting: &Setting, vendor: &VendorUse) -> Result<Option<VendorFacts>, Mistake> {
        casting::facts(vendor, &setting.contracts).map(Some)
    }

    fn unfit(&self, setting: &Setting, drill: &Loaded) -> Option<String> {
        if !matches!(program(setting, drill), Ok(None)) {
            return None;
        }
        let has = |alias: &str| drill.scenario.vendors.contains_key(alias);
        let lacks: Vec<String> =
            [bundled::CRM, bundled::BILLING].iter().filter(|a| !has(a)).map(|a| format!("`{a}`")).collect();
        (!lacks.is_empty()).then(|| {
            format!(
                "the bundled core needs its vendors under the aliases `crm` and `billing`, and this drill lacks {}: run \
                 it from a test of your own, or with `--subject FILE`",
                lacks.join(" and ")
            )
        })
    }

    fn skips(&self, setting: &Setting, drill: &Loaded) -> Option<String> {
        match program(setting, drill) {
            Ok(Some((program, _))) => {
                let pacing = Pacing::new(&program, setting.scale);
                skip::reason(&drill.scenario, &program, &pacing, setting.max_real)
            }
            Ok(None) => skip::in_process(&drill.scenario),
            // Said when the drill is run.
            Err(_) => None,
        }
    }

    fn run(&self, setting: &Setting, drill: &Loaded, seed: Seed) -> Result<Drilled, DrillError> {
        if let Some((program, here)) = program(setting, drill)? {
            let pacing = Pacing::new(&program, setting.scale);
            if let Some(why) = skip::reason(&drill.scenario, &program, &pacing, setting.max_real) {
                return Err(DrillError::Skipped(why));
            }
            let plan = casting::plan_in_real_time(drill, &setting.contracts, &program, pacing)
                .map_err(|mistake| DrillError::Scenario(mistake.to_string()))?;
            return drill::run(&plan, seed, &Command::new(&program, &here, setting.scale));
        }
        drill::run(&*self.plan(setting, drill)?, seed, &subject(setting))
    }

    fn play(
        &self,
        setting: &Setting,
        drill: &Loaded,
        scenario: &Scenario,
        most_calls: u32,
        seed: Seed,
        judge: Judge<'_>,
    ) -> Result<Drilled, DrillError> {
        if program(setting, drill)?.is_some() {
            let why = "a program cannot be swept: each cell would take its real time; sweep the bundled core";
            return Err(DrillError::Scenario(format!("{}: {why}", drill.file)));
        }
        let plan = self.plan(setting, drill)?;
        drill::run_script(&plan, &Script { scenario, most_calls }, seed, &subject(setting), judge)
    }

    fn prove(&self, setting: &Setting, request: &ProofRequest) -> Result<Vec<Row>, DrillError> {
        let mut plans = BTreeMap::new();
        for drill in &request.drills {
            plans.insert(drill.name(), self.plan(setting, drill)?);
        }
        let wanted: Vec<Defect> = prove::defects()
            .into_iter()
            .filter(|d| {
                request
                    .filter
                    .as_deref()
                    .is_none_or(|word| [d.name, d.drill, d.check].iter().any(|text| text.contains(word)))
            })
            .collect();
        // A drill that fails the sound core too proves nothing by failing the broken one.
        let mut sound: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, plan) in &plans {
            if wanted.iter().any(|d| d.drill == name) {
                sound.insert(name, false_alarms(plan, &request.seeds)?);
            }
        }
        let next = AtomicUsize::new(0);
        let rows: Mutex<BTreeMap<usize, Result<Row, DrillError>>> = Mutex::default();
        std::thread::scope(|scope| {
            for _ in 0..request.jobs.max(1) {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&defect) = wanted.get(n) else { return };
                        let row = prove::prove(defect, &plans, &request.seeds)
                            .map(|proof| row(&proof, sound.get(defect.drill).cloned().unwrap_or_default()));
                        rows.lock().unwrap_or_else(PoisonError::into_inner).insert(n, row);
                    }
                });
            }
        });
        rows.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }
}

/// The program that a drill is put to: the run's, or else the drill's own.
fn program(setting: &Setting, drill: &Loaded) -> Result<Option<(Program, PathBuf)>, DrillError> {
    if setting.program.is_some() {
        return Ok(setting.program.clone());
    }
    casting::program(drill)
        .map_err(|mistake| DrillError::Scenario(format!("{}:{}: {mistake}", mistake.file, mistake.line)))
}

/// The core, with the defect that the setting plants.
fn subject(setting: &Setting) -> bundled::Bundled {
    let defect = prove::defects().into_iter().find(|d| Some(d.name) == setting.defect.as_deref());
    defect.map_or_else(bundled::Bundled::sound, |d| bundled::Bundled::with_defect(d.name, d.plant))
}

fn false_alarms(plan: &Plan, seeds: &[Seed]) -> Result<Vec<String>, DrillError> {
    let mut alarms = Vec::new();
    for &seed in seeds {
        let drilled = drill::run(plan, seed, &bundled::Bundled::sound())?;
        for judged in drilled.judgements.iter().filter(|j| j.verdict != Verdict::Pass) {
            alarms.push(format!("the sound core: {} {} under seed {seed}", judged.check, judged.verdict));
        }
    }
    Ok(alarms)
}

fn row(proof: &Proof, false_alarms: Vec<String>) -> Row {
    let unknown = proof.missed.iter().any(|(_, said)| said.starts_with("unknown"));
    Row {
        defect: proof.defect.name.to_owned(),
        failure: proof.defect.bug.to_owned(),
        claimed_by: proof.defect.drill.to_owned(),
        caught: match (proof.holds(), unknown) {
            (true, _) => Caught::Yes,
            (false, true) => Caught::Unknown,
            (false, false) => Caught::No,
        },
        by_rules: proof.rules.iter().map(|r| r.to_string()).collect(),
        false_alarms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drill_is_made_ready_once_and_never_taken_for_another() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["one", "other"] {
            let text = format!(
                "drill: {name}\nwhy: w\nfamily: other\nvendors: {{ crm: hubspot, billing: stripe }}\nends_at: 1m\n"
            );
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join(format!("{name}.yaml")), text).unwrap();
        }
        let drills = crate::plan::load(&[folder.path().to_owned()], &|_| Ok(None)).unwrap();
        let backend = Bundled::default();
        let setting = Setting {
            contracts: folder.path().to_owned(),
            defect: None,
            program: None,
            scale: 1,
            max_real: crate::time::Span::mins(1),
        };
        for drill in drills.iter().chain(&drills) {
            let drilled = backend.run(&setting, drill, Seed(1)).unwrap();
            assert_eq!(drilled.trace.head.drill, drill.scenario.drill);
            let plan = || backend.plan(&setting, drill).unwrap();
            assert!(Arc::ptr_eq(&plan(), &plan()));
        }
        assert_eq!(backend.plans.lock().unwrap().len(), 2);
    }
}
