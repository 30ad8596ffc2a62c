//! Casting: which vendor plays each alias of a drill.
//!
//! Knows: where vendors are described, and that a recording can stand in front of a model. Must
//! not know: how a drill is run, judged or shown.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use crate::drill::{EPOCH, OpenVendor, Plan};
use crate::fault::Act;
use crate::fixture::{Fixture, Replay};
use crate::pacing::Pacing;
use crate::plan::Loaded;
use crate::scenario::{
    Document, FixtureUse, Mistake, Piece, Program, Scenario, Slot, Trigger, VendorFacts, VendorUse, nearest,
    pieces,
};
use crate::seed::Seed;
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
    let subject = &drill.scenario.subject;
    match (&subject.program, own_file(drill)) {
        (Some(program), _) => Ok(Some((Program::clone(program), folder_of(Path::new(&drill.file))))),
        (None, Some(file)) => subject_file(&file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The subject file that a drill names.
fn own_file(drill: &Loaded) -> Option<PathBuf> {
    let beside = Path::new(&drill.file).parent().unwrap_or(Path::new("."));
    drill.scenario.subject.file.as_ref().map(|file| beside.join(file))
}

/// Reads a subject file; gives its folder too.
///
/// # Errors
/// A mistake in it, with its place: also a program that is not there, or cannot be run.
pub fn subject_file(path: &Path) -> Result<(Program, PathBuf), Mistake> {
    let (document, program) = subject_document(path)?;
    let here = folder_of(path);
    present(&document, &[], &program, &here)?;
    Ok((program, here))
}

fn subject_document(path: &Path) -> Result<(Document, Program), Mistake> {
    let shown = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|e| Mistake::whole(&shown, format!("cannot be read: {e}"), None))?;
    let document = Document::read_subject(&shown, &bytes)?;
    let program = document.program()?;
    Ok((document, program))
}

/// What is wrong with the subjects of these drills: with the one of the run, which `file` describes, or
/// with those that the drills name themselves.
///
/// Each is looked at together with the drills that are put to it, so that names that only a drill knows
/// are looked up.
pub fn mistaken_subjects(drills: &[Loaded], file: Option<&Path>, contracts: &Path) -> Vec<Mistake> {
    if let Some(file) = file {
        let put: Vec<&Loaded> = drills.iter().collect();
        return subject_document(file)
            .and_then(|(d, p)| fits(&d, &[], &p, &put, contracts))
            .err()
            .into_iter()
            .collect();
    }
    let mut found: Vec<Mistake> = Vec::new();
    for drill in drills {
        if let Err(mistake) = mistaken_subject(drill, contracts)
            && !found.contains(&mistake)
        {
            found.push(mistake);
        }
    }
    found
}

fn mistaken_subject(drill: &Loaded, contracts: &Path) -> Result<(), Mistake> {
    let said = || Document::read(&drill.file, &std::fs::read(&drill.file).unwrap_or_default());
    if let Some(program) = &drill.scenario.subject.program {
        let (document, above) = (said()?, ["subject", "program"]);
        present(&document, &above, program, &folder_of(Path::new(&drill.file)))?;
        return fits(&document, &above, program, &[drill], contracts);
    }
    let Some(file) = own_file(drill) else { return Ok(()) };
    if let Err(why) = std::fs::metadata(&file) {
        let why = format!("the subject file {} cannot be read: {why}", file.display());
        let pointed = said().ok().and_then(|d| d.mistake_at_value(&["subject", "file"], why.clone()));
        let mut mistake = pointed.unwrap_or_else(|| Mistake::whole(&drill.file, why, None));
        mistake.help = Some("`subject.file` is the path of a subject file, relative to the drill".to_owned());
        return Err(mistake);
    }
    let (document, program) = subject_document(&file)?;
    present(&document, &[], &program, &folder_of(&file))?;
    fits(&document, &[], &program, &[drill], contracts)
}

/// Whether what a program needs on this machine is there and can be run. What is told by a placeholder is
/// known only in a drill.
fn present(document: &Document, above: &[&str], program: &Program, here: &Path) -> Result<(), Mistake> {
    let known = |text: &&String| !text.contains(['{', '}']);
    let at = |path: &[&str], why: String, help: &str| {
        let mut mistake = document.mistake_at(&[above, path].concat(), why);
        mistake.help = Some(help.to_owned());
        mistake
    };
    if let Some(folder) = program.folder.as_ref().filter(known).filter(|f| !here.join(f).is_dir()) {
        let why = format!("there is no folder `{folder}` here");
        return Err(at(&["folder"], why, "`folder` is the working folder, relative to the subject file"));
    }
    if let Some(word) = program.command.first().filter(known) {
        let help = "`command` is the program and its arguments; build or install it first";
        executable(word, here).map_err(|why| at(&["command", "0"], why, help))?;
    }
    for (name, trigger) in &program.jobs {
        if let Trigger::Run(words) = trigger
            && let Some(word) = words.first().filter(known)
        {
            let help = "`run` is a program and its arguments, which does the job; build or install it first";
            executable(word, here).map_err(|why| at(&["jobs", name, "run", "0"], why, help))?;
        }
    }
    Ok(())
}

/// Whether what a program says of vendors fits the drills that are put to it.
fn fits(
    document: &Document,
    above: &[&str],
    program: &Program,
    drills: &[&Loaded],
    contracts: &Path,
) -> Result<(), Mistake> {
    let vendors = || drills.iter().flat_map(|d| &d.scenario.vendors);
    for (path, text) in program.texts() {
        for piece in pieces(text).unwrap_or_default() {
            let Piece::Slot(Slot::Credential(alias, name)) = piece else { continue };
            let known = handed_over(vendors().filter(|(a, _)| **a == alias).map(|(_, v)| v), contracts)?;
            if known.is_empty() || known.contains(&name) {
                continue;
            }
            let path: Vec<&str> = above.iter().copied().chain(path.iter().map(String::as_str)).collect();
            let mut mistake =
                document.mistake_at(&path, format!("the vendor `{alias}` hands over no `{name}`"));
            let slot = |name: &str| format!("`{{vendors.{alias}.{name}}}`");
            let all = known.iter().map(|n| slot(n)).collect::<Vec<_>>().join(", ");
            mistake.help = Some(match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {}? it hands over: {all}", slot(near)),
                None => format!("it hands over: {all}"),
            });
            return Err(mistake);
        }
    }
    let all: BTreeSet<&str> = vendors().map(|(alias, _)| alias.as_str()).collect();
    // A vendor that none of these drills has may be another drill's.
    for alias in program.webhooks.keys().filter(|a| !all.contains(a.as_str())) {
        let near = nearest(alias, all.iter().copied().filter(|a| !program.webhooks.contains_key(*a)));
        let Some(near) = near else { continue };
        let path: Vec<&str> = above.iter().copied().chain(["webhooks", alias]).collect();
        let why = format!("no drill of this run has a vendor under the alias `{alias}`");
        let mut mistake = document.mistake_at_key(&path, why);
        mistake.help =
            Some(format!("did you mean `{near}`? webhooks of a vendor that is not named are not sent"));
        return Err(mistake);
    }
    Ok(())
}

/// The names of what these vendors hand over, `url` among them.
fn handed_over<'v>(
    vendors: impl Iterator<Item = &'v VendorUse>,
    contracts: &Path,
) -> Result<BTreeSet<String>, Mistake> {
    let mut seen: Vec<&VendorUse> = Vec::new();
    let mut names = BTreeSet::new();
    for vendor in vendors {
        if seen.contains(&vendor) {
            continue;
        }
        seen.push(vendor);
        let file = Arc::new(vendor_file(vendor, contracts)?);
        names.extend(vendor::open(&file, EPOCH, Seed(0)).credentials().into_keys());
        names.insert("url".to_owned());
    }
    Ok(names)
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
