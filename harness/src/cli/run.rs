//! `firedrill run`: many drills, some at a time, reported in the order of their files.
//!
//! Knows: threads and order. Must not know: what a drill does, or how it reads.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{Format, Run};
use super::backend::{Backend, Setting};
use super::console::Console;
use super::partition::Partition;
use super::reporter::{Outcome, Reporter};
use super::stopwatch::Stopwatch;
use super::{ExitCode, cores, load, refuse};
use crate::casting;
use crate::drill::DrillError;
use crate::finding::Verdict;
use crate::plan::Loaded;
use crate::seed::Seed;

/// How long a run takes before progress is shown.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs what `args` asks for.
pub(super) fn run(
    args: &Run,
    setting: &Setting,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    let Some(mut drills) = load(&args.drilling.paths, setting, backend, console) else {
        return Ok(ExitCode::Usage);
    };
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
    let mistakes = casting::mistaken_subjects(&drills, args.subject.as_deref(), &setting.contracts);
    if !mistakes.is_empty() {
        refuse(&mistakes, console);
        return Ok(ExitCode::Usage);
    }
    if let Some(why) = idle_scale(args, &drills).or_else(|| unwritable(args)) {
        console.say(&format!("error: {why}\n"));
        return Ok(ExitCode::Usage);
    }
    let seeds = args.drilling.seeds.all();
    if args.list {
        // A partition is one of runs: a drill is listed where any of its runs is in it.
        let jobs: Vec<&Loaded> = drills.iter().flat_map(|d| seeds.iter().map(move |_| d)).collect();
        let mut mine = args.partition.map_or(jobs.clone(), |partition| partition.of(jobs));
        mine.dedup_by_key(|d| d.name());
        return list(&mine, args.format, setting, backend, console);
    }
    let mut jobs: Vec<(&Loaded, Seed)> =
        drills.iter().flat_map(|d| seeds.iter().map(move |s| (d, *s))).collect();
    if let Some(partition) = args.partition {
        let all = jobs.len();
        jobs = partition.of(jobs);
        if jobs.is_empty() {
            // The other parts hold all there is: on this machine there is nothing to do.
            console.say(&format!("part {partition} of {all} drills is empty; nothing was run\n"));
            return Ok(ExitCode::Passed);
        }
    }
    let workers = args.drilling.jobs.map_or_else(cores, |n| n.get()).min(jobs.len());
    if args.format == Format::Terminal {
        console.print(&opening(jobs.len(), &seeds, args.partition))?;
    }
    let watch = Stopwatch::start();
    let mut reporter = Reporter::new(args, console);
    let ran = carry_out(&jobs, workers, args, setting, backend, &mut reporter)?;
    reporter.finish();
    let Reporter { summary, unwritten, console, .. } = reporter;
    if args.format == Format::Terminal {
        let real = console.real_times.then(|| watch.elapsed());
        console.print(&summary.render(jobs.len() - ran, real))?;
    }
    let code = ExitCode::of(summary.worst());
    if let Some(message) = unwritten {
        console.say(&format!("error: {message}\n"));
        // A fault of firedrill itself is the worse.
        return Ok(if code == ExitCode::Internal { code } else { ExitCode::Usage });
    }
    Ok(code)
}

/// Why a scale changes nothing: no drill is put to a program.
fn idle_scale(args: &Run, drills: &[Loaded]) -> Option<String> {
    let named = |d: &Loaded| d.scenario.subject.program.is_some() || d.scenario.subject.file.is_some();
    let idle = args.pace.scale.get() > 1 && args.subject.is_none() && !drills.iter().any(named);
    idle.then(|| {
        format!(
            "`--scale {}` shortens nothing: the bundled core is drilled in virtual time, which takes none\nhelp: name \
             a program with `--subject FILE`, or leave `--scale` out",
            args.pace.scale
        )
    })
}

/// Why a report that is asked for cannot be written, said before any drill is run for it.
fn unwritable(args: &Run) -> Option<String> {
    if args.list {
        return None;
    }
    let beside = |file: &PathBuf| match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let folders = [&args.html, &args.trace].into_iter().flatten().map(|folder| (folder, folder.clone()));
    let all = folders.chain(args.junit.iter().map(|file| (file, beside(file))));
    all.into_iter().find_map(|(asked, folder)| {
        let tried = std::fs::create_dir_all(&folder).and_then(|()| tempfile::tempfile_in(&folder));
        let why = match (tried, asked.is_dir() && Some(asked) == args.junit.as_ref()) {
            (Err(why), _) => why.to_string(),
            (Ok(_), true) => "it is a folder".to_owned(),
            (Ok(_), false) => return None,
        };
        Some(format!("{} cannot be written: {why}; nothing was run", asked.display()))
    })
}

/// The first line: what is needed to run the same again.
fn opening(jobs: usize, seeds: &[Seed], partition: Option<Partition>) -> String {
    let part = partition.map(|p| format!(", part {p}")).unwrap_or_default();
    match seeds {
        [first, .., last] => {
            let count = crate::report::count(jobs, "run");
            format!("firedrill: {count} under seeds {first} to {last}{part}\n\n")
        }
        [only] => format!("firedrill: {}, seed {only}{part}\n\n", crate::report::count(jobs, "drill")),
        [] => String::new(),
    }
}

fn list(
    drills: &[&Loaded],
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
    args: &Run,
    setting: &Setting,
    backend: &dyn Backend,
    reporter: &mut Reporter<'_, '_>,
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
                    let outcome = again_if_failed(backend, setting, drill, *seed, args.retries);
                    if failed(&outcome) && args.fail_fast {
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
    reporter: &mut Reporter<'_, '_>,
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
            let (loaded, seed) = jobs[reported];
            match &bar {
                Some(bar) => bar.suspend(|| reporter.report(loaded, seed, &outcome))?,
                None => reporter.report(loaded, seed, &outcome)?,
            }
            reported += 1;
        }
    }
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    // After a fast failure there may be gaps: what was run is reported all the same.
    for (index, outcome) in &waiting {
        let (loaded, seed) = jobs[*index];
        reporter.report(loaded, seed, outcome)?;
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

fn failed(outcome: &Outcome) -> bool {
    match &outcome.drilled {
        Ok(drilled) => drilled.verdict == Verdict::Fail,
        Err(error) => !matches!(error, DrillError::Skipped(_)),
    }
}

/// Runs one drill; after a failure, up to `retries` times more.
fn again_if_failed(
    backend: &dyn Backend,
    setting: &Setting,
    drill: &Loaded,
    seed: Seed,
    retries: u32,
) -> Outcome {
    let mut outcome = one(backend, setting, drill, seed);
    for before in 1..=retries {
        if !failed(&outcome) {
            break;
        }
        outcome = Outcome { failed_before: before, ..one(backend, setting, drill, seed) };
    }
    outcome
}

fn one(backend: &dyn Backend, setting: &Setting, drill: &Loaded, seed: Seed) -> Outcome {
    let watch = Stopwatch::start();
    let drilled = match catch_unwind(AssertUnwindSafe(|| backend.run(setting, drill, seed))) {
        Ok(drilled) => drilled,
        Err(panic) => Err(crate::testing::panicked(&*panic)),
    };
    Outcome { drilled, real: watch.elapsed(), failed_before: 0 }
}
