//! The command line, as data.
//!
//! Knows: options and their defaults. Must not know: what they do.

use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::exit_code;
use crate::fault::Target;
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
    /// Sweep for drift: run a drill once for each field × mutation of all that the subject reads.
    Sweep(Sweep),
    /// Prove the drills: plant each known defect, and see whether it is caught.
    Prove(Prove),
    /// Check drill files without running them.
    Check(Check),
    /// Write a drill to start from.
    New(New),
    /// Serve vendors alone, for development by hand and for other test suites.
    Serve(Serve),
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

/// Options of `sweep`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = exit_code::SWEEP_HELP)]
pub struct Sweep {
    /// The drill: small, undisturbed, with a promise about the ledgers. Its own faults are left out.
    #[arg(value_name = "DRILL", default_value = "scenarios/drift/_sweep.yaml")]
    pub path: PathBuf,
    /// Only these calls or webhooks, written as in a fault rule: `crm GET /crm/v3/objects/deals/{id}`,
    /// `webhook crm`. May be given several times [default: all that the drill touches].
    #[arg(long, value_name = "TARGET")]
    pub on: Vec<Target>,
    /// Only cells whose target, mutation or field contains this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// The seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Cells at a time [default: as many as there are cores].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = SweepFormat::Terminal)]
    pub format: SweepFormat,
    /// Plant this defect in the bundled core first (`prove` names them).
    #[arg(long, value_name = "NAME")]
    pub defect: Option<String>,
    /// Say of every cell why it has its grade.
    #[arg(long, short)]
    pub verbose: bool,
}

/// How to report a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SweepFormat {
    /// For people: the matrix.
    Terminal,
    /// For programs: one JSON object with every cell.
    Json,
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

/// Options of `serve`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = SERVE_HELP)]
pub struct Serve {
    /// A vendor to serve, as often as wanted: `stripe`, `billing=stripe`, `billing=stripe:4011`.
    #[arg(long = "vendor", value_name = "[ALIAS=]NAME[:PORT]")]
    pub vendors: Vec<String>,
    /// A drill whose vendors, start data and fault rules are taken over (windows count from the
    /// start). Its workload is not: `POST /actions` makes things happen.
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// The port of the control API; vendors without a port of their own get the next ones, in the
    /// order of their aliases [default: any that are free].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Where a vendor's webhooks go, as often as wanted.
    #[arg(long = "webhooks", value_name = "ALIAS=URL")]
    pub webhooks: Vec<String>,
    /// Serve over TLS, and write the certificate of an authority made for this run into this folder,
    /// as `ca.pem`, for clients to trust.
    #[arg(long, value_name = "DIR")]
    pub tls: Option<PathBuf>,
    /// Keep the state in this file, and go on where it ends if it is there.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Keep the trace in this folder, as `trace.jsonl`.
    #[arg(long, value_name = "DIR")]
    pub journal: Option<PathBuf>,
    /// From which credentials, ids and all that is random follow.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How to say where everything is.
    #[arg(long, value_enum, default_value_t = Announce::Terminal)]
    pub format: Announce,
}

/// How `serve` says where everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Announce {
    /// For people.
    Terminal,
    /// For programs: one line of JSON, as `GET /vendors` gives it.
    Json,
}

const SERVE_HELP: &str = "\
Vendors live in real time, on loopback. The control API arms faults, puts time forward, makes things
happen and shows ledgers and trace; GET /openapi.json describes it.

Examples:
  firedrill serve --vendor hubspot --vendor billing=stripe --port 4010
  curl localhost:4010/faults -d '{ on: billing POST /v1/invoices, calls: 1, do: { reset: after_applied } }'
  curl localhost:4010/time/advance -d '{ by: 1h }'

Exit codes:
   0  it was told to stop
  64  wrong usage, a mistake in a file, a port that is taken
  70  a fault of firedrill itself";

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

/// Options of `explain`.
#[derive(Clone, Debug, ClapArgs)]
pub struct Explain {
    /// The rule, as a finding names it: `idempotency/second_effect`. Without it, all are listed.
    #[arg(value_name = "RULE")]
    pub rule: Option<String>,
}
