//! The command line, as data.
//!
//! Knows: options and their defaults. Must not know: what they do.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::exit_code;
use crate::seed::Seed;

/// Failure drills for API integrations: faults, virtual time, verdicts.
#[derive(Clone, Debug, Parser)]
#[command(name = "firedrill", version, after_help = exit_code::HELP, max_term_width = 90)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The folder that describes the vendors.
    #[arg(long, global = true, value_name = "DIR", default_value = "contracts")]
    pub contracts: PathBuf,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run drills and judge the subject.
    Run(Run),
    /// Prove the drills: plant each known defect, and see whether it is caught.
    Prove(Prove),
    /// Check drill files without running them.
    Check(Check),
    /// Write a drill to start from.
    New(New),
    /// Hold recordings, or a live vendor, against the vendor's contract.
    Verify(Verify),
    /// Print the JSON Schema of drill files.
    Schema,
    /// Say what the rule of a finding means.
    Explain(Explain),
}

/// Options of `run`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = exit_code::HELP)]
pub struct Run {
    /// Drill files, or folders of them.
    #[arg(value_name = "PATHS", default_value = "scenarios")]
    pub paths: Vec<PathBuf>,
    /// Seeds to run under.
    #[command(flatten)]
    pub seeds: Seeds,
    /// Only drills whose name, file or promise contains this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Drills at a time [default: as many as there are cores].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Write each trace into this folder, as JSON lines.
    #[arg(long, value_name = "DIR")]
    pub trace: Option<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
    /// Begin no further drill once one has failed.
    #[arg(long)]
    pub fail_fast: bool,
    /// Only say which drills there are.
    #[arg(long)]
    pub list: bool,
    /// Plant this defect in the bundled core first, to see what its drill says (`prove` names them).
    #[arg(long, value_name = "NAME")]
    pub defect: Option<String>,
    /// Show all findings and the whole timeline of each drill.
    #[arg(long, short)]
    pub verbose: bool,
}

/// Which seeds to run each drill under.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct Seeds {
    /// The first seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, value_name = "N", default_value = "1")]
    pub seeds: NonZeroU32,
}

impl Seeds {
    /// The seeds, in order; they end at the largest number there is.
    pub fn all(self) -> Vec<Seed> {
        (0..u64::from(self.seeds.get())).map_while(|n| self.seed.checked_add(n)).map(Seed).collect()
    }
}

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Terminal,
    /// For programs: one JSON object a drill.
    Jsonl,
}

/// Options of `prove`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = exit_code::HELP)]
pub struct Prove {
    /// Drill files, or folders of them.
    #[arg(value_name = "PATHS", default_value = "scenarios")]
    pub paths: Vec<PathBuf>,
    /// Seeds to run under.
    #[command(flatten)]
    pub seeds: Seeds,
    /// Only defects whose name, drill or rule contains this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Drills at a time [default: as many as there are cores].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}

/// Options of `check`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Check {
    /// Drill files, or folders of them.
    #[arg(value_name = "FILES", required = true)]
    pub files: Vec<PathBuf>,
}

/// Options of `verify`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = VERIFYING)]
pub struct Verify {
    /// Recordings, or folders of them [default: fixtures].
    #[arg(value_name = "PATHS")]
    pub paths: Vec<PathBuf>,
    /// Whose they are [default: the name of the folder that holds them].
    #[arg(long, value_name = "VENDOR")]
    pub vendor: Option<String>,
    /// The contract [default: openapi.json or openapi.yaml in the vendor's folder of contracts].
    #[arg(long, value_name = "FILE")]
    pub contract: Option<PathBuf>,
    /// Ask this vendor now: the recorded GETs, and each GET that needs no parameter.
    #[arg(long, value_name = "URL", requires = "vendor")]
    pub live: Option<String>,
    /// A header field to send, such as 'authorization: Bearer ${TOKEN}'; ${…} is the environment's.
    #[arg(long, value_name = "FIELD", requires = "live")]
    pub header: Vec<String>,
    /// The value of a parameter, such as id=7, for operations that need one.
    #[arg(long, value_name = "NAME=VALUE", requires = "live")]
    pub with: Vec<String>,
    /// Repeat recorded POSTs, PUTs, PATCHes and DELETEs too. They write.
    #[arg(long = "unsafe", requires = "live")]
    pub unsafe_calls: bool,
    /// How long to wait for each answer.
    #[arg(long, value_name = "SECONDS", default_value = "10", requires = "live")]
    pub timeout: NonZeroU64,
    /// How many calls to make at most.
    #[arg(long, value_name = "N", default_value = "200", requires = "live")]
    pub max_requests: NonZeroU32,
    /// Learn from these recordings what is usual, into this file.
    #[arg(long, value_name = "FILE")]
    pub learn: Option<PathBuf>,
    /// Compare with what was learned into this file.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// A file of accepted findings: they are known, and no reason to fail.
    #[arg(long, value_name = "FILE")]
    pub accept: Option<PathBuf>,
    /// Accept what is found now too, in the file of --accept.
    #[arg(long)]
    pub add: bool,
    /// Take off the file of --accept what no longer occurs.
    #[arg(long)]
    pub prune: bool,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
    /// Name every addition.
    #[arg(long, short)]
    pub verbose: bool,
}

const VERIFYING: &str = "\
Three layers: the contract; fields and values that it does not know; with --baseline, what earlier
recordings showed (--learn), which sees what no schema forbids: a field that vanished, a list that
is empty now, a page that ends earlier.

Exit codes:
   0  the contract holds
   1  it is broken, and the finding is not accepted
   2  something could not be judged, or there was nothing to judge
  64  wrong usage, or a mistake in a file
  70  a fault of firedrill itself";

/// Options of `new`.
#[derive(Clone, Debug, ClapArgs)]
pub struct New {
    /// The file to write, such as `scenarios/idempotency/lost_answer.yaml`; it must not exist.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// Options of `explain`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Explain {
    /// The rule, as a finding names it: `idempotency/second_effect`. Without it, all are listed.
    #[arg(value_name = "RULE")]
    pub rule: Option<String>,
}
