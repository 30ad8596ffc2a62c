//! `firedrill diff`: what changed between two contracts.
//!
//! Knows: two files, and which exit code says what. Must not know: how a change is found or shown.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;

use super::ExitCode;
use super::args::{Diff, DiffFormat, FailOn};
use super::console::Console;
use super::verify::gather;
use crate::contract::Contract;
use crate::contract::diff::{self, Severity, Used};
use crate::fixture::{Fixture, read_text};
use crate::report::diff::{json, text};

pub(super) fn diff(args: &Diff, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let mut contracts = Vec::new();
    for file in [&args.old, &args.new] {
        match Contract::load(file) {
            Ok(contract) => contracts.push(contract),
            Err(error) => {
                console.say(&format!("error: {error}\n"));
                return Ok(ExitCode::Usage);
            }
        }
    }
    let [old, new] = contracts.as_slice() else { return Ok(ExitCode::Internal) };
    let found = if args.only_used.is_empty() {
        diff::diff(old, new)
    } else {
        match used(old, &args.only_used) {
            Ok(used) => {
                for call in used.strange() {
                    console.say(&format!("note: `{call}` is no operation of {}\n", args.old.display()));
                }
                diff::diff_used(old, new, &used)
            }
            Err(refused) => {
                console.say(&format!("error: {refused}\n"));
                return Ok(ExitCode::Usage);
            }
        }
    };
    console.print(&match args.format {
        DiffFormat::Terminal => text(old, new, &found, args.verbose),
        DiffFormat::Json => json(old, new, &found),
    })?;
    let any = |severity| found.count(severity) > 0;
    Ok(if any(Severity::Breaking) || args.fail_on == FailOn::Risky && any(Severity::Risky) {
        ExitCode::Failed
    } else if any(Severity::Undecidable) {
        ExitCode::Unknown
    } else {
        ExitCode::Passed
    })
}

/// What of `contract` is used, as recordings and traces show it.
fn used(contract: &Contract, paths: &[PathBuf]) -> Result<Used, String> {
    let mut files = Vec::new();
    for path in paths {
        match path.is_dir() {
            true => gather(path, &["json", "jsonl"], &mut files)
                .map_err(|e| format!("{}: cannot be read: {e}", path.display()))?,
            false => files.push(path.clone()),
        }
    }
    files.sort();
    let mut used = Used::new();
    for file in &files {
        if file.extension().is_some_and(|e| e == "jsonl") {
            let text = read_text(file).map_err(|e| e.to_string())?;
            for (number, line) in (1..).zip(text.lines()) {
                let line: Line = serde_json::from_str(line)
                    .map_err(|e| format!("{}:{number}:{}: not a trace: {e}", file.display(), e.column()))?;
                if let Line { kind: Some(kind), request: Some(request) } = line
                    && kind == "request"
                {
                    used.call(contract, &request.method, &request.target);
                }
            }
        } else {
            let run = Fixture::read(file).map_err(|e| e.to_string())?;
            run.exchanges.iter().for_each(|e| used.call(contract, &e.request.method, &e.request.target));
        }
    }
    if used.count() == 0 {
        let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(format!(
            "no operation of {} is called in {}: nothing would be compared",
            contract.file().display(),
            paths.join(", ")
        ));
    }
    Ok(used)
}

/// As much of a trace's line as tells a call.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    request: Option<Call>,
}

#[derive(Deserialize)]
struct Call {
    method: String,
    target: String,
}
