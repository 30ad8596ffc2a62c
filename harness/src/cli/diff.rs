//! `firedrill diff`: what changed between two contracts.
//!
//! Knows: two files, and which exit code says what. Must not know: how a change is found or shown.

use std::io;

use super::ExitCode;
use super::args::{Diff, DiffFormat, FailOn};
use super::console::Console;
use crate::contract::Contract;
use crate::contract::diff::{self, Severity};
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
    let found = diff::diff(old, new);
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
