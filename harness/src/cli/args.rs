//! The command line, as data.
//!
//! Knows: options and their defaults. Must not know: what they do.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::exit_code;
use crate::seed::Seed;
use crate::time::Span;

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
    /// Print the JSON Schema of drill files, or of subject files.
    Schema(Schema),
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
    /// Drill the program that this subject file describes, over real sockets in real time, instead
    /// of the bundled core.
    #[arg(long, value_name = "FILE", conflicts_with = "defect")]
    pub subject: Option<PathBuf>,
    /// How drills in real time are shortened.
    #[command(flatten)]
    pub pace: Pace,
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

/// How drills in real time are shortened.
#[derive(Clone, Debug, ClapArgs)]
pub struct Pace {
    /// Divide the drill's and its vendors' spans by this (for a program as subject).
    #[arg(long, value_name = "N", default_value = "1")]
    pub scale: NonZeroU32,
    /// Skip drills that take longer than this in real time (for a program as subject).
    #[arg(long, value_name = "SPAN", default_value = "60s")]
    pub max_real: Span,
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

/// Options of `new`.
#[derive(Clone, Debug, ClapArgs)]
pub struct New {
    /// The file to write, such as `scenarios/idempotency/lost_answer.yaml`; it must not exist.
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// Options of `schema`.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct Schema {
    /// Of which files.
    #[arg(value_enum, default_value_t = Of::Drill)]
    pub of: Of,
}

/// Files that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Of {
    /// Drill files.
    Drill,
    /// Subject files.
    Subject,
}

/// Options of `explain`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Explain {
    /// The rule, as a finding names it: `idempotency/second_effect`. Without it, all are listed.
    #[arg(value_name = "RULE")]
    pub rule: Option<String>,
}
