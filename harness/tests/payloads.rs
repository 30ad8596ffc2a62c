//! What goes out in each drill, held against a snapshot and against the vendors' descriptions.
//!
//! A change of a mapping is a change here: `cargo insta review` shows the differences and takes them over; without it,
//! `INSTA_UPDATE=always cargo test --test payloads`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use firedrill::drill::{self, Drilled};
use firedrill::finding::Verdict;
use firedrill::plan::Loaded;
use firedrill::seed::Seed;
use firedrill::subject::bundled::Bundled;
use firedrill::testing::payloads;
use firedrill::trace::What;
use firedrill::{casting, plan};
use integration_core::policy::Wording;
use libtest_mimic::{Arguments, Failed, Trial};

const SEED: Seed = Seed(1);

fn main() -> ExitCode {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contracts: Arc<Path> = here.join("../contracts").into();
    let facts = |vendor: &_| casting::facts(vendor, &contracts).map(Some);
    let drills = plan::load(&[here.join("../scenarios")], &facts).expect("the drills can be read");
    let names: BTreeSet<String> = drills.iter().map(Loaded::name).collect();
    let mut trials = vec![Trial::test("no_snapshot_has_lost_its_drill", move || orphans(&names))];
    if let Some(drill) = drills.iter().find(|d| d.name() == CHANGED).cloned() {
        let contracts = Arc::clone(&contracts);
        let name = "a_changed_mapping_is_a_changed_line_and_nothing_else_is";
        trials.push(Trial::test(name, move || changed(&drill, &contracts)));
    }
    trials.extend(drills.into_iter().map(|drill| {
        let contracts = Arc::clone(&contracts);
        Trial::test(drill.name(), move || compare(&drill, &contracts))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The drill whose mapping is changed on purpose.
const CHANGED: &str = "idempotency/a_lost_answer_makes_one_invoice";

/// A mapping that somebody changed: what is billed is called otherwise.
struct Shouting;

impl Wording for Shouting {
    fn form(&self, endpoint: &str, fields: &mut Vec<(String, String)>) {
        if endpoint == "/v1/invoiceitems" {
            let described = fields.iter_mut().filter(|(name, _)| name == "description");
            described.for_each(|(_, text)| *text = text.to_uppercase());
        }
    }
}

fn changed(drill: &Loaded, contracts: &Path) -> Result<(), Failed> {
    let plan = casting::plan(drill, contracts).map_err(|e| e.to_string())?;
    let page = |core: &Bundled| -> Result<String, Failed> {
        Ok(payloads(&drill::run(&plan, SEED, core).map_err(|e| e.to_string())?.trace))
    };
    let before = page(&Bundled::sound())?;
    assert_eq!(before, page(&Bundled::sound())?, "the same drill leaves the same page");
    let after = page(&Bundled::with_defect("shouting", |_, p| p.wording = Arc::new(Shouting)))?;
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    assert_eq!(old.len(), new.len(), "{after}");
    let differ: Vec<&str> = old.iter().zip(&new).filter(|(o, n)| o != n).map(|(_, n)| n.trim()).collect();
    // The value itself, and the print of which values go together.
    assert!(differ.iter().any(|line| line.starts_with("description")), "{differ:#?}");
    let expected = |line: &&str| line.starts_with("description") || line.starts_with("(which goes");
    assert!(differ.iter().all(expected), "{differ:#?}");
    Ok(())
}

fn snapshots() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/payloads")
}

fn compare(drill: &Loaded, contracts: &Path) -> Result<(), Failed> {
    let plan = casting::plan(drill, contracts).map_err(|e| e.to_string())?;
    let drilled = drill::run(&plan, SEED, &Bundled::sound()).map_err(|e| e.to_string())?;
    let name = drill.name();
    let (family, stem) = name.split_once('/').ok_or("a drill's name has its family")?;
    let mut settings = insta::Settings::new();
    settings.set_snapshot_path(snapshots().join(family));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(&drill.scenario.drill);
    settings.bind(|| insta::assert_snapshot!(stem, payloads(&drilled.trace)));
    keeps_the_contracts(&drilled)
}

/// Every request, and every answer and webhook that no fault touched, is as the vendor describes it.
fn keeps_the_contracts(drilled: &Drilled) -> Result<(), Failed> {
    let requests = drilled.trace.events.iter().filter(|e| matches!(e.what, What::Request { .. })).count();
    let judgement = drilled.judgements.iter().find(|j| &*j.check == "contract");
    let judgement = judgement.ok_or("nothing was held against the vendors' descriptions")?;
    if judgement.judged <= requests as u64 {
        return Err(format!("{} messages judged, of {requests} requests alone", judgement.judged).into());
    }
    match judgement.verdict {
        Verdict::Pass => Ok(()),
        _ => Err(format!("{:#?}", judgement.findings).into()),
    }
}

fn orphans(names: &BTreeSet<String>) -> Result<(), Failed> {
    let mut orphans = Vec::new();
    for family in std::fs::read_dir(snapshots())? {
        let family = family?;
        for file in std::fs::read_dir(family.path())? {
            let file = file?.file_name().to_string_lossy().into_owned();
            let name = file.strip_suffix(".snap").unwrap_or(&file);
            let name = format!("{}/{name}", family.file_name().to_string_lossy());
            if !file.ends_with(".snap.new") && !names.contains(&name) {
                orphans.push(name);
            }
        }
    }
    if orphans.is_empty() {
        Ok(())
    } else {
        Err(format!("no drill leaves these: {}", orphans.join(", ")).into())
    }
}
