//! `firedrill run`: many drills, some at a time, reported in the order of their files.
//!
//! Knows: threads and order. Must not know: what a drill does, or how it reads.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{Format, Pace, Run};
use super::backend::{Backend, Setting};
use super::console::Console;
use super::stopwatch::Stopwatch;
use super::{ExitCode, cores, load};
use crate::drill::{DrillError, Drilled};
use crate::finding::Verdict;
use crate::plan::Loaded;
use crate::report::terminal::Summary;
use crate::report::{Ran, jsonl, replay, terminal};
use crate::seed::Seed;

/// How long a run takes before progress is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of one drill: its trace and verdict, or the fault of firedrill.
struct Outcome {
    drilled: Result<Drilled, DrillError>,
    real: Duration,
}

/// Runs what `args` asks for.
pub(super) fn run(
    args: &Run,
    setting: &Setting,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    let Some(mut drills) = load(&args.paths, setting, backend, console) else { return Ok(ExitCode::Usage) };
    if let Some(filter) = &args.filter {
        let filter = filter.to_lowercase();
        drills.retain(|d| {
            [&d.name(), &d.file, &d.scenario.drill].iter().any(|text| text.to_lowercase().contains(&filter))
        });
    }
    if drills.is_empty() {
        // Nothing run must not look like everything passed.
        console.say("error: no drill to run: the folders hold none, or the filter leaves none\n");
        return Ok(ExitCode::Usage);
    }
    if args.list {
        return list(&drills, args.format, setting, backend, console);
    }
    let seeds = args.seeds.all();
    let jobs: Vec<(&Loaded, Seed)> = drills.iter().flat_map(|d| seeds.iter().map(move |s| (d, *s))).collect();
    let workers = args.jobs.map_or_else(cores, |n| n.get()).min(jobs.len());
    if args.format == Format::Terminal {
        console.print(&opening(drills.len(), &seeds))?;
    }
    let watch = Stopwatch::start();
    let mut reporter = Reporter { args, console, jobs: &jobs, summary: Summary::default(), broken: None };
    let ran = carry_out(&jobs, workers, args.fail_fast, setting, backend, &mut reporter)?;
    let Reporter { summary, broken, console, .. } = reporter;
    if args.format == Format::Terminal {
        let real = console.real_times.then(|| watch.elapsed());
        console.print(&summary.render(jobs.len() - ran, real))?;
    }
    if let Some(message) = broken {
        console.say(&format!("error: {message}\n"));
        return Ok(ExitCode::Internal);
    }
    Ok(ExitCode::of(summary.worst()))
}

/// The first line: what is needed to run the same again.
fn opening(drills: usize, seeds: &[Seed]) -> String {
    let count = crate::report::count(drills, "drill");
    match seeds {
        [first, .., last] => format!("firedrill: {count}, each under seeds {first} to {last}\n\n"),
        [only] => format!("firedrill: {count}, seed {only}\n\n"),
        [] => String::new(),
    }
}

fn list(
    drills: &[Loaded],
    format: Format,
    setting: &Setting,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    let width = drills.iter().map(|d| d.name().chars().count()).max().unwrap_or(0);
    let mut skipped = 0;
    for drill in drills {
        let skips = backend.skips(setting, drill);
        skipped += usize::from(skips.is_some());
        let line = match format {
            Format::Terminal => {
                let why = skips.map(|why| format!("\n{:width$}  skipped: {why}", "")).unwrap_or_default();
                format!("{:<width$}  {}{why}\n", drill.name(), drill.scenario.drill)
            }
            Format::Jsonl => {
                let mut line = serde_json::json!({
                    "name": drill.name(), "file": drill.file, "family": drill.family(),
                    "drill": drill.scenario.drill,
                });
                if let Some(why) = skips {
                    line["skipped"] = why.into();
                }
                format!("{line}\n")
            }
        };
        console.print(&line)?;
    }
    if skipped > 0 && format == Format::Terminal {
        console.print(&format!("\n{} would run, {skipped} skipped\n", drills.len() - skipped))?;
    }
    Ok(ExitCode::Passed)
}

/// Runs the jobs on `workers` threads, each one drill at a time, and reports them in order. Gives
/// how many were run.
fn carry_out(
    jobs: &[(&Loaded, Seed)],
    workers: usize,
    fail_fast: bool,
    setting: &Setting,
    backend: &dyn Backend,
    reporter: &mut Reporter<'_, '_, '_>,
) -> io::Result<usize> {
    let next = AtomicUsize::new(0);
    let enough = AtomicBool::new(false);
    let (send, receive) = mpsc::channel();
    let watch = Stopwatch::start();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let send = send.clone();
            let (next, enough) = (&next, &enough);
            scope.spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((drill, seed)) = jobs.get(index) else { break };
                    let outcome = one(backend, setting, drill, *seed);
                    let bad = match &outcome.drilled {
                        Ok(drilled) => drilled.verdict == Verdict::Fail,
                        Err(error) => !matches!(error, DrillError::Skipped(_)),
                    };
                    if bad && fail_fast {
                        enough.store(true, Ordering::Relaxed);
                    }
                    if send.send((index, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let result = in_order(jobs, &receive, watch, reporter);
        // Should the report be impossible to print, the drills need not go on.
        enough.store(true, Ordering::Relaxed);
        result
    })
}

/// Takes outcomes as they come, and reports each once all before it are reported.
fn in_order(
    jobs: &[(&Loaded, Seed)],
    receive: &mpsc::Receiver<(usize, Outcome)>,
    watch: Stopwatch,
    reporter: &mut Reporter<'_, '_, '_>,
) -> io::Result<usize> {
    let mut waiting = BTreeMap::new();
    let mut reported = 0;
    let mut done = 0;
    let mut bar: Option<ProgressBar> = None;
    loop {
        match receive.recv_timeout(Duration::from_millis(100)) {
            Ok((index, outcome)) => {
                waiting.insert(index, outcome);
                done += 1;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
        if bar.is_none() && reporter.console.progress && watch.elapsed() >= PATIENCE {
            bar = Some(progress(jobs.len()));
        }
        if let Some(bar) = &bar {
            bar.set_position(done);
        }
        while let Some(outcome) = waiting.remove(&reported) {
            match &bar {
                Some(bar) => bar.suspend(|| reporter.report(reported, &outcome))?,
                None => reporter.report(reported, &outcome)?,
            }
            reported += 1;
        }
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    // After a fast failure there may be gaps: what was run is reported all the same.
    for (index, outcome) in &waiting {
        reporter.report(*index, outcome)?;
    }
    Ok(reported + waiting.len())
}

fn progress(len: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} drills, {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn one(backend: &dyn Backend, setting: &Setting, drill: &Loaded, seed: Seed) -> Outcome {
    let watch = Stopwatch::start();
    let drilled = match catch_unwind(AssertUnwindSafe(|| backend.run(setting, drill, seed))) {
        Ok(drilled) => drilled,
        Err(panic) => Err(crate::testing::panicked(&*panic)),
    };
    Outcome { drilled, real: watch.elapsed() }
}

struct Reporter<'r, 'c, 's> {
    args: &'r Run,
    console: &'r mut Console<'c>,
    jobs: &'r [(&'s Loaded, Seed)],
    summary: Summary,
    /// Something that firedrill should have done and could not.
    broken: Option<String>,
}

impl Reporter<'_, '_, '_> {
    /// The command that runs a drill again as it was run now.
    fn again(&self, loaded: &Loaded, seed: Seed) -> String {
        let planted = self.args.defect.as_deref().map(|d| format!(" --defect {d}")).unwrap_or_default();
        let subject = self.args.subject.as_deref().map(|file| {
            let (file, Pace { scale, max_real }) = (file.display(), &self.args.pace);
            format!(" --subject {file} --scale {scale} --max-real {max_real}")
        });
        replay(&loaded.file, seed) + &planted + &subject.unwrap_or_default()
    }

    fn report(&mut self, index: usize, outcome: &Outcome) -> io::Result<()> {
        let (loaded, seed) = self.jobs[index];
        let text = match &outcome.drilled {
            Ok(drilled) => {
                let real = self.console.real_times.then_some(outcome.real);
                let ran = Ran { loaded, seed, drilled, real, replay: self.again(loaded, seed) };
                self.summary.add(&ran);
                if let Some(folder) = &self.args.trace
                    && let Err(e) = write_trace(folder, &ran)
                {
                    self.broken = Some(format!("the trace of {} cannot be written: {e}", loaded.file));
                }
                match self.args.format {
                    Format::Terminal => terminal::drill(&ran, self.args.verbose),
                    Format::Jsonl => jsonl::drill(&ran),
                }
            }
            Err(error) => {
                self.summary.add_error(error, self.again(loaded, seed));
                match self.args.format {
                    Format::Terminal => terminal::no_verdict(loaded, error, &self.again(loaded, seed)),
                    Format::Jsonl => jsonl::no_verdict(loaded, seed, error),
                }
            }
        };
        self.console.print(&text)
    }
}

/// The file of a trace: `DIR/family/file_stem.seed-1.jsonl`.
fn trace_path(folder: &Path, ran: &Ran<'_>) -> PathBuf {
    folder.join(format!("{}.seed-{}.jsonl", ran.loaded.name(), ran.seed))
}

fn write_trace(folder: &Path, ran: &Ran<'_>) -> io::Result<()> {
    let path = trace_path(folder, ran);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    {
        let mut buffered = io::BufWriter::new(&mut file);
        ran.drilled.trace.write_jsonl(&mut buffered)?;
        buffered.flush()?;
    }
    super::persist(file, &path, true)
}
