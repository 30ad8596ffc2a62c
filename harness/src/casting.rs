//! Casting: which vendor plays each alias of a drill.
//!
//! Knows: where vendors are described, and that a recording can stand in front of a model. Must
//! not know: how a drill is run, judged or shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::drill::{OpenVendor, Plan};
use crate::fault::Act;
use crate::fixture::{Fixture, Replay};
use crate::pacing::Pacing;
use crate::plan::Loaded;
use crate::scenario::{Document, FixtureUse, Mistake, Program, Scenario, VendorFacts, VendorUse};
use crate::subject::command::executable;
use crate::vendor::{self, VendorFile};

/// Finds the description of `vendor`: in the folder `contracts` if it is there, else among the
/// bundled ones.
///
/// # Errors
/// A mistake in the vendor's file; without a source line, that there is no such vendor.
pub fn vendor_file(vendor: &VendorUse, contracts: &Path) -> Result<VendorFile, Mistake> {
    let folder = contracts.is_dir().then_some(contracts);
    match vendor {
        VendorUse::Named(name) => VendorFile::load(name, folder, &Value::Null),
        VendorUse::Changed(changed) => VendorFile::load(&changed.vendor, folder, &changed.with),
    }
}

/// What `vendor` has that a drill can name.
///
/// # Errors
/// As [`vendor_file`].
pub fn facts(vendor: &VendorUse, contracts: &Path) -> Result<VendorFacts, Mistake> {
    let file = vendor_file(vendor, contracts)?;
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Ok(VendorFacts {
        collections: file.collections().map(|(c, r)| (c.to_owned(), r.to_owned())).collect(),
        actions: file.nouns().into_iter().map(|n| (n.to_owned(), owned(file.actions(n)))).collect(),
        operations: file.operations().map(|(method, path)| format!("{method} {path}")).collect(),
        events: owned(file.webhook_events()),
    })
}

/// Makes a drill ready to be run, under any seed and as often as wanted.
///
/// # Errors
/// A mistake in a vendor's file or in a recording.
pub fn plan(drill: &Loaded, contracts: &Path) -> Result<Plan, Mistake> {
    plan_in(drill, contracts, None, wants_tls(&drill.scenario))
}

/// Whether a drill can only be met over TLS.
pub fn wants_tls(scenario: &Scenario) -> bool {
    scenario.faults.iter().any(|rule| matches!(rule.act, Act::Certificate(_)))
}

/// As [`plan`], for a drill in real time that is put to `program`, shortened by `pacing`.
///
/// # Errors
/// As [`plan`].
pub fn plan_in_real_time(
    drill: &Loaded,
    contracts: &Path,
    program: &Program,
    pacing: Pacing,
) -> Result<Plan, Mistake> {
    plan_in(drill, contracts, Some(pacing), program.tls)
}

fn plan_in(drill: &Loaded, contracts: &Path, pacing: Option<Pacing>, tls: bool) -> Result<Plan, Mistake> {
    let mut vendors: BTreeMap<String, OpenVendor> = BTreeMap::new();
    for (alias, vendor) in &drill.scenario.vendors {
        vendors.insert(alias.clone(), role(drill, alias, vendor, contracts, pacing.as_ref())?);
    }
    Ok(Plan { scenario: drill.scenario.clone(), file: drill.file.clone(), vendors, tls, pacing })
}

/// The program that a drill names for itself, with the folder that its paths are relative to.
///
/// # Errors
/// A mistake in the subject file.
pub fn program(drill: &Loaded) -> Result<Option<(Program, PathBuf)>, Mistake> {
    let beside = Path::new(&drill.file).parent().unwrap_or(Path::new("."));
    let subject = &drill.scenario.subject;
    match (&subject.program, &subject.file) {
        (Some(program), _) => Ok(Some((Program::clone(program), folder_of(Path::new(&drill.file))))),
        (None, Some(file)) => subject_file(&beside.join(file)).map(Some),
        (None, None) => Ok(None),
    }
}

/// Reads a subject file; gives its folder too.
///
/// # Errors
/// A mistake in it, with its place: also a program that is not there, or cannot be run.
pub fn subject_file(path: &Path) -> Result<(Program, PathBuf), Mistake> {
    let shown = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|e| Mistake::whole(&shown, format!("cannot be read: {e}"), None))?;
    let document = Document::read(&shown, &bytes)?;
    let program = document.program()?;
    let here = folder_of(path);
    // A program that is told by a placeholder is known only in a drill.
    let named = program.command.first().filter(|word| !word.contains('{'));
    if let Some(Err(why)) = named.map(|word| executable(word, &here)) {
        let mut mistake = document.mistake_at(&["command", "0"], why);
        mistake.help =
            Some("`command` is the program and its arguments; build or install it first".to_owned());
        return Err(mistake);
    }
    Ok((program, here))
}

/// The folder that a file lies in, also for who works in another one.
fn folder_of(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

fn role(
    drill: &Loaded,
    alias: &str,
    vendor: &VendorUse,
    contracts: &Path,
    pacing: Option<&Pacing>,
) -> Result<OpenVendor, Mistake> {
    let mut file = vendor_file(vendor, contracts)?;
    if let Some(pacing) = pacing {
        file = file.paced(pacing).map_err(|why| Mistake::whole(vendor.name(), why, None))?;
    }
    let file = Arc::new(file);
    let Some((recorded, FixtureUse { run, mode })) = recording(drill, alias, vendor)? else {
        return Ok(Box::new(move |epoch, seed| vendor::open(&file, epoch, seed)));
    };
    Ok(Box::new(move |epoch, seed| {
        Box::new(Replay::new(vendor::open(&file, epoch, seed), &recorded, mode, epoch).called(&run))
    }))
}

/// What is wrong with the recordings that vendors of a drill answer from, a mistake for each.
pub fn mistaken_recordings(drill: &Loaded) -> Vec<Mistake> {
    let vendors = drill.scenario.vendors.iter();
    vendors.filter_map(|(alias, vendor)| recording(drill, alias, vendor).err()).collect()
}

/// The recording that `vendor` answers from, if it does from one.
fn recording(
    drill: &Loaded,
    alias: &str,
    vendor: &VendorUse,
) -> Result<Option<(Fixture, FixtureUse)>, Mistake> {
    let VendorUse::Changed(changed) = vendor else { return Ok(None) };
    let Some(from) = &changed.fixtures else { return Ok(None) };
    let beside = Path::new(&drill.file).parent().unwrap_or(Path::new("."));
    let recorded = Fixture::read(&beside.join(&from.run)).map_err(|e| {
        let at = ["vendors", alias, "fixtures", "run"];
        let pointed = std::fs::read(&drill.file).ok().and_then(|bytes| {
            Document::read(&drill.file, &bytes).ok()?.mistake_at_value(&at, e.to_string())
        });
        let mut mistake = pointed.unwrap_or_else(|| Mistake::whole(&drill.file, e.to_string(), None));
        let help = "`fixtures.run` is a recording beside the drill, as `firedrill record` and `firedrill import` write them";
        mistake.help = Some(help.to_owned());
        mistake
    })?;
    Ok(Some((recorded, from.clone())))
}
