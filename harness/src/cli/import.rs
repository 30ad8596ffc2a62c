//! `firedrill import`: recordings of other tools become fixtures.
//!
//! Knows: files and words. Must not know: the formats. All files are read before any is written.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::ExitCode;
use super::args::{Import, Keep};
use super::console::Console;
use super::keep::{held_back, kept_in_doubt};
use crate::fixture::{
    self, Doubt, Entry, Fixture, Imported, Plain, RecordedRequest, Redactor, Rules, Scanned, displayable,
    displayable_target, scanned,
};
use crate::report::{count, excerpt, mistake};

/// A file that was read, and where it goes.
struct Read {
    from: PathBuf,
    to: PathBuf,
    imported: Imported,
}

/// Imports what `args` names.
pub(super) fn import(args: &Import, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let mut mistakes: Vec<String> = args.keep.mistake().into_iter().collect();
    if args.keep.name.is_some() && args.files.len() > 1 {
        mistakes.push("--name names one recording, and there are several files".to_owned());
    }
    let rules = args.keep.rules();
    let mut all: Vec<Read> = Vec::new();
    for file in &args.files {
        match read(file, args) {
            Ok(read) => all.push(read),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let targets: BTreeMap<&PathBuf, &PathBuf> = all.iter().map(|r| (&r.to, &r.from)).collect();
    if targets.len() < all.len() {
        mistakes
            .push("two of the files would become one recording; import them one by one with --name".into());
    }
    for mistake in &mistakes {
        console.say(&format!("error: {mistake}\n"));
    }
    if let Err(wrong) = &rules {
        console.say(&mistake::render(wrong));
    }
    let Some((rules, rules_file)) = rules.ok().filter(|_| mistakes.is_empty()) else {
        console.say("nothing was written\n");
        return Ok(ExitCode::Usage);
    };
    let mut worst = ExitCode::Passed;
    for read in all {
        let code = keep(read, args, &rules, &rules_file, console)?;
        worst = if [code, worst].contains(&ExitCode::Usage) {
            ExitCode::Usage
        } else if [code, worst].contains(&ExitCode::Failed) {
            ExitCode::Failed
        } else if code == ExitCode::Passed {
            worst
        } else {
            code
        };
    }
    Ok(worst)
}

fn read(file: &Path, args: &Import) -> Result<Read, String> {
    let text = fixture::read_text(file).map_err(|e| e.to_string())?;
    let mut imported = fixture::import(&text, args.keep.largest_body).map_err(|e| {
        let (line, column) = e.place();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let pointed = excerpt::pointed(text, line, column);
        format!("{}: {e}\n{}", file.display(), pointed.trim_end())
    })?;
    if !args.origin.is_empty() {
        let wanted: Vec<&str> = args.origin.iter().map(|o| o.trim_end_matches('/')).collect();
        imported.entries.retain(|e| wanted.contains(&e.origin.as_str()));
    }
    let origins = origins(&imported.entries);
    // A test's author chose what nock recorded; a browser's export holds whatever a page asked for.
    if origins.len() > 1 && args.origin.is_empty() && imported.format.starts_with("HAR") {
        let list: Vec<String> = origins.iter().map(|(o, n)| format!("{o} ({n})")).collect();
        return Err(format!(
            "{}: holds exchanges with {} origins: {}; choose with --origin",
            file.display(),
            origins.len(),
            list.join(", ")
        ));
    }
    if imported.recorded.is_none() && args.recorded.is_none() && !imported.entries.is_empty() {
        return Err(format!(
            "{}: does not tell when it was recorded; say it with --recorded",
            file.display()
        ));
    }
    let name = args.keep.name.clone().unwrap_or_else(|| name(file, &args.files));
    let to = Fixture::path(&args.keep.out, &args.keep.vendor, &name);
    if to.exists() && !args.replace {
        return Err(format!("{} exists already; choose another --name, or --replace it", to.display()));
    }
    Fixture::try_put(&to).map_err(|e| e.to_string())?;
    Ok(Read { from: file.to_owned(), to, imported })
}

fn origins(entries: &[Entry]) -> BTreeMap<&str, usize> {
    let mut origins = BTreeMap::new();
    for entry in entries {
        *origins.entry(entry.origin.as_str()).or_default() += 1;
    }
    origins
}

/// The file's own name, with its folder's before it if another file of this import has the same.
fn name(file: &Path, all: &[PathBuf]) -> String {
    let stem = |f: &Path| f.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let own = stem(file);
    let folder = file.parent().and_then(Path::file_name).map(|f| f.to_string_lossy().into_owned());
    let name = match folder {
        Some(folder) if all.iter().filter(|f| stem(f) == own).count() > 1 => format!("{folder}-{own}"),
        _ => own,
    };
    let good = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '-' };
    let name: String = name.chars().map(good).collect();
    name.trim_start_matches('.').to_owned()
}

fn keep(
    read: Read,
    args: &Import,
    rules: &Rules,
    rules_file: &Path,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    let Read { from, to, imported } = read;
    let Keep { vendor, .. } = &args.keep;
    let Imported { format, recorded, entries, left_out } = imported;
    let origin_names: Vec<String> = origins(&entries).into_keys().map(str::to_owned).collect();
    let mut redactor = Redactor::new(rules.clone());
    let mut exchanges: Vec<(usize, fixture::Exchange)> = Vec::new();
    let mut skipped = 0;
    let mut notes = Vec::new();
    let mut unkept = 0;
    for Entry { number, exchange, but, .. } in entries {
        let RecordedRequest { method, target, .. } = &exchange.request;
        if rules.skips(method, target) {
            skipped += 1;
            continue;
        }
        if let Some(but) = but {
            unkept += 1;
            let what = format!("entry {number}, {method} {}", displayable_target(target));
            console.say(&format!("note: {}: {what}: {but}; length and SHA-256 are\n", from.display()));
            notes.push(format!("{what}: {but}"));
        }
        exchanges.push((number, exchange));
    }
    // Twice: what an exchange shows to be a secret may stand in one before it.
    for _ in 0..2 {
        for (_, exchange) in &mut exchanges {
            redactor.redact(exchange);
        }
    }
    for out in &left_out {
        notes.push(format!("entry {} of the import is left out: {}: {}", out.number, out.what, out.why));
    }
    let mut held = 0;
    let mut doubts: BTreeMap<Doubt, usize> = BTreeMap::new();
    exchanges.retain(|(number, exchange)| {
        let Scanned { suspects, doubts: maybe } = scanned(exchange, &redactor);
        if suspects.is_empty() {
            maybe.into_iter().for_each(|doubt| *doubts.entry(doubt).or_default() += 1);
        }
        if !suspects.is_empty() {
            held += 1;
            let what = format!(
                "{}: entry {number}, {} {} → {}",
                from.display(),
                exchange.request.method,
                displayable_target(&exchange.request.target),
                exchange.response.status
            );
            held_back(console, &what, &suspects, rules_file);
            notes.push(format!(
                "entry {number} of the import was held back: it looked like it holds a secret"
            ));
        }
        suspects.is_empty()
    });
    for out in &left_out {
        console.say(&format!(
            "left out  {}: entry {}, {}: {}\n",
            from.display(),
            out.number,
            out.what,
            out.why
        ));
    }
    let run = Fixture {
        origin: displayable(&format!(
            "imported from {format} ({}), recorded from {}",
            from.file_name().unwrap_or_default().to_string_lossy(),
            origin_names.join(", ")
        )),
        recorded: args.recorded.or(recorded).unwrap_or_default(),
        plain: Plain::of(rules),
        notes: notes.iter().map(|n| redactor.text(n)).collect(),
        exchanges: exchanges.into_iter().map(|(_, e)| e).collect(),
        ..Fixture::default()
    };
    if run.exchanges.is_empty() {
        console.say(&format!("error: {}: nothing of it can be imported for {vendor}\n", from.display()));
        return Ok(if held > 0 { ExitCode::Failed } else { ExitCode::Unknown });
    }
    if let Err(error) = run.put(&to, args.replace) {
        console.say(&format!("error: {error}\n"));
        return Ok(ExitCode::Usage);
    }
    let mut said = vec![
        count(run.exchanges.len(), "exchange"),
        format!("{} taken out", count(redactor.count(), "secret")),
    ];
    said.extend((!left_out.is_empty()).then(|| format!("{} left out", left_out.len())));
    said.extend((skipped > 0).then(|| format!("{skipped} skipped by rule")));
    said.extend((unkept > 0).then(|| format!("{unkept} with a body that was not kept")));
    said.extend((held > 0).then(|| format!("{held} HELD BACK")));
    console.print(&format!("wrote {}  {}\n", to.display(), said.join(", ")))?;
    kept_in_doubt(console, &doubts, rules_file);
    if origin_names.len() > 1 {
        console.say(&format!("note: {} holds exchanges with {}\n", to.display(), origin_names.join(", ")));
    }
    Ok(if held > 0 { ExitCode::Failed } else { ExitCode::Passed })
}
