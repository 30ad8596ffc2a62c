//! `firedrill verify`: recordings, or a live vendor, held against the contract.
//!
//! Knows: where recordings, contracts, baselines and lists of accepted findings are. Must not
//! know: how anything is judged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::args::{CONTRACTS, Format, Verify};
use super::console::Console;
use super::{ExitCode, live};
use crate::contract::Contract;
use crate::fixture::{Exchange, Fixture, displayable_target};
use crate::report::{file as whole, shell_word, verify as report};
use crate::utf8;
use crate::verify::accepted::{Accepted, Entry};
use crate::verify::baseline::Baseline;
use crate::verify::{Report, Source, against, verify};

/// Something that keeps anything from being verified; each is wrong use or a bad file.
type Refused = String;

/// Exchanges with where they come from.
struct Recording {
    vendor: String,
    from: String,
    recorded: Option<jiff::civil::Date>,
    exchanges: Vec<Exchange>,
    /// The command that has it judged again.
    again: String,
}

/// What was looked at.
struct Looked<'r> {
    /// The vendors with a contract.
    held: BTreeSet<&'r str>,
    /// The files, or the address of a live vendor.
    recordings: BTreeSet<&'r str>,
}

pub(super) fn run(args: &Verify, contracts: &Path, console: &mut Console<'_>) -> io::Result<ExitCode> {
    match carry_out(args, contracts, console) {
        Ok(result) => result,
        Err(refused) => {
            console.say(&format!("error: {refused}\n"));
            Ok(ExitCode::Usage)
        }
    }
}

/// The command that judges `paths` again, or calls the vendor again as they show it.
fn again(args: &Verify, contracts: &Path, paths: &[PathBuf], vendor: Option<&str>) -> String {
    let mut words = vec!["firedrill".to_owned(), "verify".to_owned()];
    words.extend(paths.iter().map(|path| shell_word(&path.to_string_lossy())));
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), shell_word(value)]);
    if let Some(url) = &args.live {
        option("--live", url);
    }
    if let Some(vendor) = vendor {
        option("--vendor", vendor);
    }
    for line in &args.header {
        // What the environment gives is repeated as it was written; any other value may be a secret.
        match line.split_once(':') {
            Some((name, value)) if !value.contains("${") => option("--header", &format!("{name}: …")),
            _ => option("--header", line),
        }
    }
    for pair in &args.with {
        let query = format!("/?{pair}");
        match pair.split_once('=') {
            Some((name, _)) if displayable_target(&query) != query => option("--with", &format!("{name}=…")),
            _ => option("--with", pair),
        }
    }
    let files = [("--ca", &args.ca), ("--contract", &args.contract), ("--baseline", &args.baseline)];
    for (name, file) in files {
        if let Some(file) = file {
            option(name, &file.to_string_lossy());
        }
    }
    if contracts != Path::new(CONTRACTS) {
        option("--contracts", &contracts.to_string_lossy());
    }
    if args.unsafe_calls {
        words.push("--unsafe".to_owned());
    }
    words.join(" ")
}

fn carry_out(
    args: &Verify,
    contracts: &Path,
    console: &mut Console<'_>,
) -> Result<io::Result<ExitCode>, Refused> {
    if (args.add || args.prune) && args.accept.is_none() {
        return Err("--add and --prune change the file that --accept names; name one".to_owned());
    }
    let mut recordings = read(args, contracts)?;
    let mut unjudged: Vec<String> = Vec::new();
    let mut known: BTreeMap<String, Option<Contract>> = BTreeMap::new();
    let mut vendors: BTreeSet<String> = recordings.iter().map(|r| r.vendor.clone()).collect();
    vendors.extend(args.live.as_ref().and(args.vendor.clone()));
    for vendor in &vendors {
        known.insert(vendor.clone(), contract(args, contracts, vendor)?);
    }
    if let Some(url) = &args.live {
        let vendor =
            args.vendor.as_deref().ok_or("--live needs --vendor NAME, to know whose contract it is")?;
        let contract =
            known.get(vendor).and_then(Option::as_ref).ok_or_else(|| missing(contracts, vendor))?;
        let recorded: Vec<&Exchange> =
            recordings.iter().filter(|r| r.vendor == vendor).flat_map(|r| &r.exchanges).collect();
        let called = live::call(args, url, contract, &recorded)?;
        unjudged.extend(called.failures);
        recordings = vec![Recording {
            vendor: vendor.to_owned(),
            from: url.clone(),
            recorded: None,
            exchanges: called.exchanges,
            again: again(args, contracts, &args.paths, Some(vendor)),
        }];
        vendors = BTreeSet::from([vendor.to_owned()]);
    }
    if recordings.iter().all(|r| r.exchanges.is_empty()) {
        for why in &unjudged {
            console.say(&format!("unknown: {why}\n"));
        }
        console.say("nothing to verify: there is no exchange\n");
        return Ok(Ok(ExitCode::Unknown));
    }
    let old: Option<Baseline> = args.baseline.as_deref().map(load).transpose()?;
    let all_again = again(args, contracts, &args.paths, args.vendor.as_deref());
    let mut whole = Report::default();
    let mut learned = Baseline::default();
    for vendor in &vendors {
        let sources: Vec<Source<'_>> =
            recordings.iter().filter(|r| r.vendor == *vendor).map(Recording::source).collect();
        let contract = known.get(vendor).and_then(Option::as_ref);
        match contract {
            Some(contract) => whole.merge(verify(contract, &sources)),
            None if args.learn.is_some() || old.is_some() => {}
            None => unjudged.push(missing(contracts, vendor)),
        }
        if let Some(old) = &old {
            whole.merge(against(old, contract, &sources, &all_again));
        }
        if args.learn.is_some() {
            learned.renew(Baseline::learn(contract, &sources));
        }
    }
    if let Some(file) = &args.learn {
        let mut all = if file.exists() { load(file)? } else { Baseline::default() };
        let answers = learned.answers.len();
        all.renew(learned);
        save(file, &all)?;
        console.say(&format!(
            "learned {} into {}\n",
            crate::report::count(answers, "answer"),
            file.display()
        ));
    }
    let looked_in: BTreeSet<&str> = recordings.iter().map(|r| r.from.as_str()).collect();
    let held: BTreeSet<&str> =
        known.iter().filter(|(_, contract)| contract.is_some()).map(|(vendor, _)| vendor.as_str()).collect();
    accept(args, &mut whole, &Looked { held, recordings: looked_in }, console)?;
    let text = match args.format {
        Format::Terminal => report::terminal(&whole, args.verbose),
        Format::Jsonl => report::jsonl(&whole),
    };
    if let Err(e) = console.print(&text) {
        return Ok(Err(e));
    }
    for why in &unjudged {
        console.say(&format!("unknown: {why}\n"));
    }
    if args.learn.is_some() && whole.exchanges == 0 && old.is_none() {
        return Ok(Ok(ExitCode::Passed));
    }
    let worst = whole.verdict();
    let worst = if unjudged.is_empty() { worst } else { worst.max(crate::finding::Verdict::Unknown) };
    Ok(Ok(ExitCode::of(crate::report::terminal::Worst::Verdict(worst))))
}

impl Recording {
    fn source(&self) -> Source<'_> {
        Source {
            vendor: &self.vendor,
            from: &self.from,
            recorded: self.recorded,
            exchanges: &self.exchanges,
            again: &self.again,
        }
    }
}

fn missing(contracts: &Path, vendor: &str) -> Refused {
    format!(
        "{vendor} has no contract: {} holds no openapi.json or openapi.yaml; put one there, or name one with --contract",
        contracts.join(vendor).display()
    )
}

fn contract(args: &Verify, contracts: &Path, vendor: &str) -> Result<Option<Contract>, Refused> {
    let read = match &args.contract {
        Some(file) => Contract::load(file).map(Some),
        None => Contract::of_folder(&contracts.join(vendor)),
    };
    read.map_err(|e| e.to_string())
}

/// Reads the recordings that the arguments name.
fn read(args: &Verify, contracts: &Path) -> Result<Vec<Recording>, Refused> {
    let mut files = Vec::new();
    let default = [PathBuf::from("fixtures")];
    let paths = if args.paths.is_empty() { &default[..] } else { &args.paths };
    for path in paths {
        if path.is_dir() {
            gather(path, &["json"], &mut files)
                .map_err(|e| format!("{}: cannot be read: {e}", path.display()))?;
        } else if path.exists() {
            files.push(path.clone());
        } else if args.live.is_none() || !args.paths.is_empty() {
            return Err(format!("{}: there is no such file or folder", path.display()));
        }
    }
    files.sort();
    files.dedup();
    let mut recordings = Vec::new();
    for file in files {
        let fixture = Fixture::read(&file).map_err(|e| e.to_string())?;
        let folder = file.parent().and_then(Path::file_name).map(|n| n.to_string_lossy().into_owned());
        let vendor = args.vendor.clone().or(folder).unwrap_or_default();
        if vendor.is_empty() {
            return Err(format!("{}: whose is it? name the vendor with --vendor", file.display()));
        }
        recordings.push(Recording {
            again: again(args, contracts, std::slice::from_ref(&file), Some(&vendor)),
            vendor,
            from: file.display().to_string(),
            recorded: Some(fixture.recorded),
            exchanges: fixture.exchanges,
        });
    }
    Ok(recordings)
}

/// The files in a folder, and in those in it, whose names end so.
pub(super) fn gather(folder: &Path, ends: &[&str], files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(&path, ends, files)?;
        } else if path.extension().is_some_and(|e| ends.iter().any(|end| e == *end)) {
            files.push(path);
        }
    }
    Ok(())
}

/// Marks what is accepted, and changes the list as asked.
fn accept(
    args: &Verify,
    whole: &mut Report,
    looked: &Looked<'_>,
    console: &mut Console<'_>,
) -> Result<(), Refused> {
    let Some(file) = &args.accept else { return Ok(()) };
    let mut list: Accepted = match file.exists() {
        true => load(file)?,
        // A list that is not there must not look like one that accepts everything.
        false if args.add => Accepted::default(),
        false => return Err(format!("{}: there is no such file; --add writes it", file.display())),
    };
    let operations = whole.operations.clone();
    let looked_at = |entry: &Entry| {
        let operation = entry.operation.as_ref().map(|name| (entry.vendor.clone(), name.clone()));
        let live = args.live.is_some();
        let judged = match entry.id.starts_with("baseline/") {
            true => args.baseline.is_some(),
            false => looked.held.contains(entry.vendor.as_str()),
        };
        // Of a recording all was looked at; of a live vendor what was called.
        let called = !live || operation.is_some_and(|operation| operations.contains(&operation));
        let seen = |from: &String| looked.recordings.contains(from.as_str()) || !live && lost(from);
        judged && called && !entry.seen_in.is_empty() && entry.seen_in.iter().all(seen)
    };
    let missed = list.apply(whole, &looked_at);
    let gone = missed.gone;
    let mut changed = false;
    let mut done = String::new();
    if args.prune {
        list.prune(&gone);
        changed |= !gone.is_empty();
        done.extend(gone.iter().map(|entry| format!("pruned {}: {}\n", entry.id, entry.what)));
        if missed.elsewhere > 0 {
            let count = crate::report::count(missed.elsewhere, "accepted finding");
            done += &format!(
                "kept {count} of which not all was looked at that it was seen in; verify the whole to prune them\n"
            );
        }
    } else if !gone.is_empty() {
        let count = crate::report::count(gone.len(), "accepted finding");
        console.say(&format!("{count} of {} did not occur; --prune takes them off\n", file.display()));
    }
    if args.add {
        let (added, any) = list.add(whole);
        changed |= any || !file.exists();
        let count = crate::report::count(added, "finding");
        done += &format!("accepted {count} more in {}\n", file.display());
        list.apply(whole, &looked_at);
    }
    if changed {
        save(file, &list)?;
    }
    // What could not be written was not done.
    console.say(&done);
    Ok(())
}

/// Whether what a finding was seen in is a recording that is there no more.
fn lost(from: &str) -> bool {
    !from.contains("://") && !Path::new(from).exists()
}

fn load<T: DeserializeOwned>(file: &Path) -> Result<T, Refused> {
    let bytes = std::fs::read(file).map_err(|e| format!("{}: cannot be read: {e}", file.display()))?;
    let wrong = |line: usize, column: usize, why: &str| format!("{}:{line}:{column}: {why}", file.display());
    let text = utf8::text(&bytes).map_err(|e| wrong(e.line, e.column, &e.to_string()))?;
    serde_json::from_str(text).map_err(|e| {
        let said = e.to_string();
        let what = said.rsplit_once(" at line ").map_or(said.as_str(), |(what, _)| what);
        let (line, column) = utf8::json_place(text, &e);
        wrong(line, column, what)
    })
}

fn save(file: &Path, value: &impl Serialize) -> Result<(), Refused> {
    let failed = |e: io::Error| format!("{}: cannot be written: {e}", file.display());
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    let text = serde_json::to_string_pretty(value).map_err(|e| failed(e.into()))?;
    draft.write_all(text.as_bytes()).and_then(|()| draft.write_all(b"\n")).map_err(failed)?;
    whole::persist(draft, file, true).map_err(failed)
}
