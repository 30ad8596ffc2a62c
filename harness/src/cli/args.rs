//! The command line, as data.
//!
//! Knows: options and their defaults. Must not know: what they do.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::exit_code;
use super::partition::Partition;
use crate::fault::Target;
use crate::seed::Seed;
use crate::time::Span;

/// Where vendors are described unless another folder is named.
pub const CONTRACTS: &str = "contracts";

/// Failure drills for API integrations: faults, virtual time, verdicts.
#[derive(Clone, Debug, Parser)]
#[command(name = "firedrill", version, after_help = exit_code::HELP, max_term_width = 90)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The folder that describes the vendors.
    #[arg(long, global = true, value_name = "DIR", default_value = CONTRACTS)]
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
    /// Write a drill to start from, or a vendor.
    New(New),
    /// Serve vendors alone, for development by hand and for other test suites.
    Serve(Serve),
    /// Record live exchanges: a reverse proxy in front of a vendor.
    Record(Record),
    /// Import recordings of other tools: HAR 1.2 and nock.
    Import(Import),
    /// Hold recordings, or a live vendor, against the vendor's contract.
    Verify(Verify),
    /// Print the JSON Schema of drill files, or of subject files.
    Schema(Schema),
    /// Say what the rule of a finding means.
    Explain(Explain),
    /// List what changed between two versions of a vendor's OpenAPI description.
    Diff(Diff),
}

/// Which drills, under which seeds, and how many at a time.
#[derive(Clone, Debug, ClapArgs)]
pub struct Drilling {
    /// Drill files, or folders of them.
    #[arg(value_name = "PATHS", default_value = "scenarios")]
    pub paths: Vec<PathBuf>,
    /// Seeds to run under.
    #[command(flatten)]
    pub seeds: Seeds,
    /// Drills at a time [default: as many as there are cores].
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
}

/// Options of `run`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = exit_code::HELP)]
pub struct Run {
    /// What to run.
    #[command(flatten)]
    pub drilling: Drilling,
    /// Only drills whose name, file or promise contains this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Only this part of all drills, to spread them over machines: `2/8` is the second of eight.
    #[arg(long, value_name = "PART/PARTS")]
    pub partition: Option<Partition>,
    /// Write each trace into this folder, as JSON lines.
    #[arg(long, value_name = "DIR")]
    pub trace: Option<PathBuf>,
    /// Write a timeline of each drill into this folder, as a page for the browser, and an index.
    #[arg(long, value_name = "DIR")]
    pub html: Option<PathBuf>,
    /// Write a JUnit report to this file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,
    /// Begin no further drill once one has failed.
    #[arg(long)]
    pub fail_fast: bool,
    /// Run a drill that failed up to this many times more; one that passes then is reported as
    /// flaky. A flaky drill is a bug: in virtual time the same seed gives the same drill.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub retries: u32,
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

impl Pace {
    /// The options that say so, each with a space before it; what is the default goes without saying.
    pub fn as_words(&self) -> String {
        let scale = Some(self.scale).filter(|scale| scale.get() != 1);
        let max_real = Some(self.max_real).filter(|span| *span != Span::mins(1));
        scale.map(|n| format!(" --scale {n}")).unwrap_or_default()
            + &max_real.map(|span| format!(" --max-real {span}")).unwrap_or_default()
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
    /// What to run.
    #[command(flatten)]
    pub drilling: Drilling,
    /// Only defects whose name, drill or rule contains this.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
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
    /// Keep the trace in this folder, as `trace.jsonl`. With a state that goes on, the journal of each earlier
    /// run stays beside it, as `trace.1.jsonl` and so on.
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
    #[arg(value_name = "FILES", default_value = "scenarios")]
    pub files: Vec<PathBuf>,
}

/// Where recordings go, and what is secret in them.
#[derive(Clone, Debug, ClapArgs)]
pub struct Keep {
    /// The vendor; its folder in the fixtures gets the recording.
    #[arg(long, value_name = "VENDOR")]
    pub vendor: String,
    /// The folder of fixtures.
    #[arg(long, value_name = "DIR", default_value = "fixtures")]
    pub out: PathBuf,
    /// What the run is called [default: `record` takes the time, `import` the name of the file].
    #[arg(long, value_name = "RUN")]
    pub name: Option<String>,
    /// Rules of redaction [default: redact.yaml in the fixtures and in the vendor's folder].
    #[arg(long, value_name = "FILE")]
    pub redact: Option<PathBuf>,
    /// Bodies of more bytes are kept as length and hash alone.
    #[arg(long, value_name = "BYTES", default_value_t = crate::fixture::LARGEST_BODY)]
    pub largest_body: usize,
}

/// Options of `record`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_long_help = KEEPING, after_help = KEEPING)]
pub struct Record {
    /// Where it goes.
    #[command(flatten)]
    pub keep: Keep,
    /// The vendor's origin, such as https://api.stripe.com.
    #[arg(long, value_name = "URL")]
    pub upstream: String,
    /// Where to listen; port 0 is any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Ask the vendor for uncompressed bodies, so that addresses in them lead back here.
    #[arg(long)]
    pub uncompressed: bool,
    /// Trust the certificates of this PEM file too.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

/// Options of `import`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_long_help = KEEPING, after_help = KEEPING)]
pub struct Import {
    /// HAR or nock files; their content tells which.
    #[arg(value_name = "FILES", required = true)]
    pub files: Vec<PathBuf>,
    /// Where they go.
    #[command(flatten)]
    pub keep: Keep,
    /// Only exchanges with this origin, such as https://api.stripe.com; may be given again.
    #[arg(long, value_name = "URL")]
    pub origin: Vec<String>,
    /// The day of the recording, where the file does not tell it.
    #[arg(long, value_name = "DATE")]
    pub recorded: Option<jiff::civil::Date>,
    /// Write over recordings of the same name.
    #[arg(long)]
    pub replace: bool,
}

const KEEPING: &str = "\
Secrets are taken out before anything is written: credentials in header fields, cookies, queries,
forms, JSON and addresses become REDACTED-1, REDACTED-2, …; the same secret gets the same number
throughout a run. What then still looks like a secret is held back, and the message says which
rule takes it out, and which lets it stay: a value under a name that sounds of one, but also one
that looks random as keys do, whatever it is called. redact.yaml, all parts of which may be left out:

  headers:  [x-acme-session]       # header fields whose value is secret
  fields:   [pin, customer_key]    # query parameters, form fields and JSON members
  body:     [/data/*/ssn]          # JSON pointers; * is any one name or index
  patterns: ['acme_[a-z0-9]{20}']  # regular expressions; of one with a group, the group
  keep:     [page_token, /jobs/*/ref]  # names, or JSON pointers, of what only looks secret
  allow:    ['tok_visa']           # values, matched as a whole, that look secret and are not
  skip:     ['GET /exports/*']     # exchanges that are not to be kept at all

Data of persons is no secret: what of it must not be saved is named by `fields` ([email, phone]) or
`patterns`.

Exit codes:
   0  all was saved
   1  something was held back, since it looked like it holds a secret
   2  there was nothing to save
  64  wrong usage, a mistake in a file, or one that cannot be written
  70  a fault of firedrill itself";

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
    /// Trust the certificates of this PEM file too.
    #[arg(long, value_name = "FILE", requires = "live")]
    pub ca: Option<PathBuf>,
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
    /// Take off the file of --accept what no longer occurs, though all was looked at that it was seen in.
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
   0  the contract holds, and all is as in the baseline
   1  it is broken, or not as it was, and the finding is not accepted
   2  something could not be judged: a baseline needs three samples of an answer; or there was
      nothing to judge
  64  wrong usage, a mistake in a file, or one that cannot be written
  70  a fault of firedrill itself";

/// Options of `new`.
#[derive(Clone, Debug, ClapArgs)]
pub struct New {
    /// The file to write, such as `scenarios/idempotency/lost_answer.yaml`, or a vendor's
    /// `contracts/shop/vendor.yaml`; it must not exist.
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
    /// The rule, as a finding names it (`idempotency/second_effect`), or an act of a fault (`slow_accept`);
    /// `acts` for all of these. Without it, all rules are listed.
    #[arg(value_name = "RULE")]
    pub rule: Option<String>,
}

/// Options of `diff`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = exit_code::DIFF_HELP)]
pub struct Diff {
    /// The description that the integration was built for (OpenAPI 3.0 or 3.1, JSON or YAML).
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The description as it is now.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// Only operations that these recordings or traces (`run --trace`) show in use: files, or
    /// folders of them. May be given several times.
    #[arg(long, value_name = "PATH")]
    pub only_used: Vec<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = DiffFormat::Terminal)]
    pub format: DiffFormat,
    /// From which severity on the command fails.
    #[arg(long, value_enum, default_value_t = FailOn::Breaking)]
    pub fail_on: FailOn,
    /// Show safe changes one by one, too.
    #[arg(long, short)]
    pub verbose: bool,
}

/// How to report a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For people.
    Terminal,
    /// For programs: one JSON document.
    Json,
}

/// From which severity on `diff` fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Only breaking changes.
    Breaking,
    /// Risky ones, too.
    Risky,
}
