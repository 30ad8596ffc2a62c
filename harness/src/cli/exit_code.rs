//! The exit codes of the command, which scripts rely on.
//!
//! Knows: numbers and what they promise. Must not know: how they come about.

use std::process;

use crate::finding::Verdict;
use crate::report::terminal::Worst;

/// How the command ended. 64 and 70 are `EX_USAGE` and `EX_SOFTWARE` of sysexits(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// All drills passed, or the command did what it was asked to.
    Passed = 0,
    /// A drill failed: the subject broke a promise.
    Failed = 1,
    /// No drill failed, and at least one could not be judged.
    Unknown = 2,
    /// The command was used wrongly, a file asks for what cannot be, or one cannot be written.
    Usage = 64,
    /// firedrill itself did something wrong; no verdict of this run can be trusted.
    Internal = 70,
}

/// The exit codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
   0  all drills passed
   1  a drill failed: the subject broke a promise
   2  a drill could not be judged (a fault never fired, too little happened)
  64  wrong usage, a mistake in a file, or one that cannot be written
  70  a fault of firedrill itself; no verdict of this run can be trusted";

/// The exit codes of a sweep, for its `--help`.
pub const SWEEP_HELP: &str = "\
Exit codes:
   0  every drift was refused loudly or did no harm
   1  a drift led to silent corruption, or broke the subject; or the drill fails undisturbed
   2  a cell could not be graded
  64  wrong usage, or a mistake in a file
  70  a fault of firedrill itself; no grade of this run can be trusted";

/// The exit codes of `diff`, for its `--help`.
pub const DIFF_HELP: &str = "\
Breaking: who only relies on what the old description promised fails, or reads something wrong.
Risky: only who relies on a limit, or on what was never certain, fails; or an end is announced.
`firedrill explain RULE` says more.

Exit codes:
   0  nothing breaking
   1  a breaking change (with --fail-on risky: or a risky one)
   2  nothing breaking, but of some change it cannot be told
  64  wrong usage, or a file that is no OpenAPI 3.0 or 3.1 description";

impl ExitCode {
    /// The code for the worst that came of a run.
    pub fn of(worst: Worst) -> ExitCode {
        match worst {
            Worst::Verdict(Verdict::Pass) => ExitCode::Passed,
            Worst::Verdict(Verdict::Fail) => ExitCode::Failed,
            Worst::Verdict(Verdict::Unknown) => ExitCode::Unknown,
            Worst::Refused => ExitCode::Usage,
            Worst::Fault => ExitCode::Internal,
        }
    }
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> process::ExitCode {
        process::ExitCode::from(code as u8)
    }
}
