//! Drills as tests of the user's own crate, run by `cargo test` and by nextest.
//!
//! Knows: how a folder of drills becomes a test binary. Must not know: how a drill is judged.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [dev-dependencies]
//! firedrill = { version = "0.1", default-features = false }
//!
//! [[test]]
//! name = "drills"
//! harness = false
//! ```
//!
//! In `tests/drills.rs`:
//!
//! ```no_run
//! # struct MySubject;
//! # impl firedrill::subject::Subject for MySubject {
//! #     fn run(&self, _: firedrill::subject::Start)
//! #         -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> { unimplemented!() }
//! #     fn name(&self) -> &str { "mine" }
//! # }
//! fn main() -> std::process::ExitCode {
//!     firedrill::testing::drills("scenarios")
//!         .subject(|| Box::new(MySubject))
//!         .contracts("contracts")
//!         .seeds(3)
//!         .run()
//! }
//! ```
//!
//! Each drill is one test, called `family/file_stem`: `cargo test --test drills idempotency` runs
//! a family, `cargo nextest run -E 'test(=idempotency/lost_answer)'` a single one. A drill that
//! could not be judged fails its test, too: a fire alarm that was never heard is not a pass. A
//! failure names the command that replays it: `FIREDRILL_SEED` stands for the one seed to run under.
//!
//! `FIREDRILL_TRACE=target/drills` writes each drill's trace into that folder, as JSON lines, and
//! `FIREDRILL_HTML=target/drills` its timeline for the browser, one file a drill and seed, whatever its
//! verdict; [`Drills::traces`] and [`Drills::timelines`] name folders in the test itself. Relative ones are
//! seen from where the test runs, which under cargo is the package. A failing test says where they are.

use std::any::Any;
use std::fmt::Write as _;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::casting;
use crate::drill::{self, DrillError, Drilled, skip};
use crate::finding::Verdict;
use crate::pacing::Pacing;
use crate::plan::{self, Loaded};
use crate::report::html::Site;
use crate::report::{Ran, file, mistake, terminal};
use crate::scenario::{Mistake, Program};
use crate::seed::Seed;
use crate::subject::Subject;
use crate::subject::command::Command;
use crate::time::Span;

pub use crate::report::payloads;

/// Makes a subject; called once a drill, on the thread that the drill runs on.
pub type NewSubject = dyn Fn() -> Box<dyn Subject> + Send + Sync;

/// What carries a drill out.
type Runner = dyn Fn(&Loaded, Seed) -> Result<Drilled, DrillError> + Send + Sync;

/// Drills of a folder, as tests.
pub struct Drills {
    folder: PathBuf,
    contracts: PathBuf,
    seed: u64,
    seeds: u32,
    subject: Option<Arc<NewSubject>>,
    runner: Option<Arc<Runner>>,
    program: Option<PathBuf>,
    scale: u32,
    max_real: Span,
    kept: Kept,
}

/// Where what a drill leaves behind is kept.
#[derive(Clone, Debug, Default)]
struct Kept {
    traces: Option<PathBuf>,
    timelines: Option<PathBuf>,
}

/// The drills in `folder`, to be made into tests. See the [module](self) for how to set it up.
pub fn drills(folder: impl AsRef<Path>) -> Drills {
    Drills {
        folder: folder.as_ref().to_owned(),
        contracts: PathBuf::from("contracts"),
        seed: 1,
        seeds: 1,
        subject: None,
        runner: None,
        program: None,
        scale: 1,
        max_real: Span::mins(1),
        kept: Kept::default(),
    }
}

impl Drills {
    /// The subject: called afresh for each drill, so that drills share nothing.
    pub fn subject(mut self, new: impl Fn() -> Box<dyn Subject> + Send + Sync + 'static) -> Drills {
        self.subject = Some(Arc::new(new));
        self
    }

    /// A program as subject, described in a file: drilled over real sockets in real time, with the
    /// drills' and vendors' spans divided by `scale`. Drills that take longer than `max_real`, and
    /// those that cannot be put to it, are ignored, each with the reason.
    pub fn program(mut self, file: impl AsRef<Path>, scale: u32, max_real: Span) -> Drills {
        self.program = Some(file.as_ref().to_owned());
        self.scale = scale.max(1);
        self.max_real = max_real;
        self
    }

    /// How many seeds each drill is run under (default 1).
    pub fn seeds(mut self, seeds: u32) -> Drills {
        self.seeds = seeds.max(1);
        self
    }

    /// The first seed (default 1).
    pub fn seed(mut self, seed: u64) -> Drills {
        self.seed = seed;
        self
    }

    /// The folder that describes the vendors (default `contracts`).
    pub fn contracts(mut self, folder: impl AsRef<Path>) -> Drills {
        self.contracts = folder.as_ref().to_owned();
        self
    }

    /// The folder into which each drill's trace is written, as JSON lines. The variable `FIREDRILL_TRACE`
    /// names another.
    pub fn traces(mut self, folder: impl AsRef<Path>) -> Drills {
        self.kept.traces = Some(folder.as_ref().to_owned());
        self
    }

    /// The folder into which each drill's timeline is written, as a page for the browser that needs
    /// nothing but itself. The variable `FIREDRILL_HTML` names another.
    pub fn timelines(mut self, folder: impl AsRef<Path>) -> Drills {
        self.kept.timelines = Some(folder.as_ref().to_owned());
        self
    }

    /// Runs the drills as the command line of this test binary asks, as libtest would.
    pub fn run(self) -> ExitCode {
        let arguments = Arguments::from_args();
        match self.trials() {
            Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
            Err(mistakes) => {
                for mistake in &mistakes {
                    anstream::eprintln!("{}", mistake::render(mistake));
                }
                ExitCode::from(64)
            }
        }
    }

    /// The drills as tests.
    ///
    /// # Errors
    /// Mistakes in the drill files; or that there is no drill, since no test must not look like
    /// all tests passed.
    pub fn trials(self) -> Result<Vec<Trial>, Vec<Mistake>> {
        let folder = self.folder.clone();
        let contracts = self.contracts.clone();
        let loaded = plan::load(&[folder], &|vendor| casting::facts(vendor, &contracts).map(Some))?;
        if loaded.is_empty() {
            let file = self.folder.display().to_string();
            return Err(vec![Mistake::whole(&file, "there is no drill in this folder", None)]);
        }
        let seeds = match std::env::var(SEED) {
            Ok(text) => vec![Seed(text.trim().parse().map_err(|_| {
                vec![Mistake::whole(
                    SEED,
                    format!("`{text}` is not a seed"),
                    Some("write a number".to_owned()),
                )]
            })?)],
            Err(_) => (0..u64::from(self.seeds)).map_while(|n| self.seed.checked_add(n)).map(Seed).collect(),
        };
        let program = self.program.as_deref().map(casting::subject_file).transpose().map_err(|m| vec![m])?;
        let (scale, max_real) = (self.scale, self.max_real);
        let skipped = |drill: &Loaded| {
            let (program, _) = program.as_ref()?;
            skip::reason(&drill.scenario, program, &Pacing::new(program, scale), max_real)
        };
        let skips: Vec<Option<String>> = loaded.iter().map(skipped).collect();
        let kept = self.kept.clone().or_as_told();
        let runner = self.runner(program);
        Ok(loaded
            .into_iter()
            .zip(skips)
            .map(|(drill, skip)| {
                let (runner, seeds, kept) = (Arc::clone(&runner), seeds.clone(), kept.clone());
                let name = drill.name();
                let trial = Trial::test(name, move || trial(&drill, &seeds, &*runner, &kept));
                match skip {
                    Some(why) => trial.with_ignored_flag(true).with_kind(format!("skipped: {why}")),
                    None => trial,
                }
            })
            .collect())
    }

    fn runner(self, program: Option<(Program, PathBuf)>) -> Arc<Runner> {
        if let Some(runner) = self.runner {
            return runner;
        }
        if let Some((program, here)) = program {
            let (contracts, scale) = (self.contracts, self.scale);
            return Arc::new(move |loaded, seed| {
                let pacing = Pacing::new(&program, scale);
                let plan = casting::plan_in_real_time(loaded, &contracts, &program, pacing)
                    .map_err(|mistake| DrillError::Scenario(mistake.to_string()))?;
                drill::run(&plan, seed, &Command::new(&program, &here, scale))
            });
        }
        let (subject, contracts) = (self.subject, self.contracts);
        Arc::new(move |loaded, seed| match &subject {
            Some(new) => carry_out(loaded, seed, &contracts, &*new()),
            None => Err(DrillError::Harness("no subject was named: call `.subject(…)`".to_owned())),
        })
    }
}

/// Runs one drill.
fn carry_out(
    drill: &Loaded,
    seed: Seed,
    contracts: &Path,
    subject: &dyn Subject,
) -> Result<Drilled, DrillError> {
    let plan =
        casting::plan(drill, contracts).map_err(|mistake| DrillError::Scenario(mistake.to_string()))?;
    drill::run(&plan, seed, subject)
}

/// The variable that names the one seed to run under, for a replay.
const SEED: &str = "FIREDRILL_SEED";

/// The variable that names the folder for traces.
const TRACE: &str = "FIREDRILL_TRACE";

/// The variable that names the folder for timelines.
const HTML: &str = "FIREDRILL_HTML";

impl Kept {
    /// As whoever runs the tests says; an empty variable is none.
    fn or_as_told(self) -> Kept {
        let told = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Kept { traces: told(TRACE).or(self.traces), timelines: told(HTML).or(self.timelines) }
    }

    /// Keeps what a drill left behind: where each file is, for whoever reads of the drill.
    fn keep(&self, ran: &Ran<'_>) -> Result<String, String> {
        let mut told = String::new();
        let mut put = |what: &str, path: PathBuf, fill: &dyn Fn(&mut dyn io::Write) -> io::Result<()>| {
            file::write(&path, fill)
                .map_err(|e| format!("the {what} cannot be written to {}: {e}", path.display()))?;
            // Writing to a string cannot fail.
            let _ = writeln!(told, "    {what:<9} {}", path.display());
            Ok::<(), String>(())
        };
        if let Some(folder) = &self.traces {
            put("trace", folder.join(ran.trace_file()), &|out| ran.drilled.trace.write_jsonl(out))?;
        }
        if let Some(folder) = &self.timelines {
            let page = Site::default().drill(ran);
            put("timeline", folder.join(&page.path), &|out| out.write_all(page.html.as_bytes()))?;
        }
        Ok(told)
    }
}

/// The command that runs one drill again, through this same test binary.
fn replay(drill: &Loaded, seed: Seed) -> String {
    let binary = std::env::args().next().unwrap_or_default();
    let stem = Path::new(&binary).file_stem().map(|s| s.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_default();
    // Cargo adds a hash to the name of the test.
    let test = match stem.rsplit_once('-') {
        Some((test, hash)) if hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()) => test,
        _ => &stem,
    };
    format!("{SEED}={seed} cargo test --test {test} -- --exact {}", drill.name())
}

/// Runs a drill under each seed; the message of the failure is the terminal report, uncoloured.
fn trial(drill: &Loaded, seeds: &[Seed], runner: &Runner, kept: &Kept) -> Result<(), Failed> {
    let mut text = String::new();
    for &seed in seeds {
        let replay = replay(drill, seed);
        // A panic would lose the reports of the seeds before it.
        let report = match catch_unwind(AssertUnwindSafe(|| runner(drill, seed))) {
            Ok(Ok(drilled)) => {
                let ran =
                    Ran { loaded: drill, seed, drilled: &drilled, real: None, failed_before: 0, replay };
                match (kept.keep(&ran), drilled.verdict) {
                    (Ok(_), Verdict::Pass) => continue,
                    (Ok(told), _) => format!("{}{told}", terminal::drill(&ran, false)),
                    // What was asked for and is not there must not go unseen, whatever the verdict.
                    (Err(why), _) => format!("{}    error     {why}\n", terminal::drill(&ran, false)),
                }
            }
            Ok(Err(error)) => terminal::no_verdict(drill, &error, &replay),
            Err(panic) => terminal::no_verdict(drill, &panicked(&*panic), &replay),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}", anstream::adapter::strip_str(&report));
    }
    if text.is_empty() { Ok(()) } else { Err(Failed::from(text)) }
}

/// A panic inside a drill, which is always a fault of firedrill or of an in-process subject.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> DrillError {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    DrillError::Harness(format!("it panicked: {}", text.as_deref().unwrap_or("without a word")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests as fake;

    const DRILL: &str = "drill: d\nwhy: w\nfamily: retry\nvendors: { crm: hubspot }\n";

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.yaml"), DRILL).unwrap();
        std::fs::write(folder.path().join("a.yaml"), DRILL.replace("retry", "auth")).unwrap();
        folder
    }

    fn with(
        folder: &Path,
        runner: impl Fn(&Loaded, Seed) -> Result<Drilled, DrillError> + Send + Sync + 'static,
    ) -> Drills {
        let mut drills = drills(folder).seeds(2);
        drills.runner = Some(Arc::new(runner));
        drills
    }

    #[test]
    fn each_drill_is_one_test_named_by_family_and_file() {
        let folder = folder();
        let trials = with(folder.path(), |_, _| Ok(fake::drilled(Verdict::Pass))).trials().unwrap();
        let names: Vec<&str> = trials.iter().map(Trial::name).collect();
        assert_eq!(names, ["auth/a", "retry/b"]);
    }

    #[test]
    fn an_exact_filter_runs_one_drill_under_every_seed() {
        let folder = folder();
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = Arc::clone(&seen);
        let drills = with(folder.path(), move |drill, seed| {
            note.lock().unwrap().push((drill.name(), seed.0));
            Ok(fake::drilled(Verdict::Pass))
        });
        let arguments = Arguments::from_iter(["drills", "--exact", "auth/a"]);
        let conclusion = libtest_mimic::run(&arguments, drills.trials().unwrap());
        assert!(!conclusion.has_failed());
        assert_eq!(*seen.lock().unwrap(), [("auth/a".to_owned(), 1), ("auth/a".to_owned(), 2)]);
    }

    #[test]
    fn failed_and_unknown_drills_and_panics_fail_the_test_with_the_report() {
        for (verdict, said) in [
            (Some(Verdict::Fail), "idempotency/second_effect"),
            (Some(Verdict::Unknown), "faults/never_fired"),
            (None, "it panicked: ouch"),
        ] {
            let runner = move |_: &Loaded, _: Seed| match verdict {
                Some(verdict) => Ok(fake::drilled(verdict)),
                None => panic!("ouch"),
            };
            let failed = trial(&fake::loaded(), &[Seed(7)], &runner, &Kept::default()).unwrap_err();
            let message = failed.message().unwrap();
            assert!(message.contains(said), "{message}");
            assert!(message.contains("FIREDRILL_SEED=7 cargo test --test"), "{message}");
            assert!(!message.contains('\u{1b}'));
        }
    }

    #[test]
    fn traces_and_timelines_are_kept_of_every_drill_and_a_failure_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| Some(folder.path().join(name));
        let kept = Kept { traces: in_folder("traces"), timelines: in_folder("pages") };
        let trial = |verdict: Verdict, seed: u64, kept: &Kept| {
            trial(
                &fake::loaded(),
                &[Seed(seed)],
                &move |_: &Loaded, _: Seed| Ok(fake::drilled(verdict)),
                kept,
            )
        };
        assert!(trial(Verdict::Pass, 3, &kept).is_ok());
        let failed = trial(Verdict::Fail, 4, &kept).unwrap_err();
        let message = failed.message().unwrap();
        for seed in [3, 4] {
            let trace = folder.path().join(format!("traces/idempotency/lost_answer.seed-{seed}.jsonl"));
            let text = std::fs::read_to_string(&trace).unwrap();
            assert_eq!(text.lines().count(), 1 + fake::drilled(Verdict::Fail).trace.events.len());
            let page = folder.path().join(format!("pages/idempotency/lost_answer.seed-{seed}.html"));
            assert!(std::fs::read_to_string(&page).unwrap().contains("id=\"scene\""));
            for (what, path) in [("trace", trace), ("timeline", page)] {
                let line = format!("    {what:<9} {}\n", path.display());
                assert_eq!(message.contains(&line), seed == 4, "{message}");
            }
        }
        let left =
            |name: &str| std::fs::read_dir(folder.path().join(name).join("idempotency")).unwrap().count();
        assert_eq!((left("traces"), left("pages")), (2, 2), "no temporary file stays");

        std::fs::write(folder.path().join("file"), "").unwrap();
        let nowhere = Kept { traces: in_folder("file"), timelines: None };
        let failed = trial(Verdict::Pass, 5, &nowhere).unwrap_err();
        assert!(
            failed.message().unwrap().contains("the trace cannot be written to "),
            "{:?}",
            failed.message()
        );
    }

    #[test]
    fn no_drill_and_a_bad_drill_are_no_pass() {
        let folder = tempfile::tempdir().unwrap();
        let run = |f: &Path| with(f, |_, _| Ok(fake::drilled(Verdict::Pass))).trials().map(|t| t.len());
        assert!(run(folder.path()).unwrap_err()[0].message.contains("no drill"));
        std::fs::write(folder.path().join("a.yaml"), "drill: d\n").unwrap();
        assert!(run(folder.path()).unwrap_err()[0].message.contains("lacks"));
    }
}
