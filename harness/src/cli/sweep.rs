//! `firedrill sweep`: one drill, once for each field × mutation of all that its subject reads.
//!
//! Knows: progress, exit codes. Must not know: how a cell is run or graded, or how the matrix looks.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{Sweep as Options, SweepFormat};
use super::backend::{Backend, Setting};
use super::console::Console;
use super::stopwatch::Stopwatch;
use super::{ExitCode, cores, load};
use crate::drill::{DrillError, Judge};
use crate::report::sweep::{Example, Report, json, terminal};
use crate::report::terminal::Worst;
use crate::scenario::{Scenario, nearest};
use crate::seed::Seed;
use crate::sweep::{Grade, Sweep, SweepError};

/// Sweeps what `args` asks for.
pub(super) fn sweep(
    args: &Options,
    setting: &Setting,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    let Some(drills) = load(std::slice::from_ref(&args.path), setting, backend, console) else {
        return Ok(ExitCode::Usage);
    };
    let [drill] = drills.as_slice() else {
        console.say(&format!(
            "error: a sweep takes one drill, and {} holds {}\n",
            args.path.display(),
            drills.len()
        ));
        return Ok(ExitCode::Usage);
    };
    let seed = Seed(args.seed);
    let play = |scenario: &Scenario, most_calls: u32, judge: Judge<'_>| {
        let played = || backend.play(setting, drill, scenario, most_calls, seed, judge);
        catch_unwind(AssertUnwindSafe(played)).unwrap_or_else(|panic| Err(crate::testing::panicked(&*panic)))
    };
    for on in &args.on {
        let known = on.vendor().is_some_and(|v| drill.scenario.vendors.contains_key(v));
        if !known {
            let aliases = drill.scenario.vendors.keys().map(String::as_str);
            let near = on.vendor().and_then(|v| nearest(v, aliases));
            let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            console.say(&format!("error: `--on {on}` names no vendor of this drill{near}\n"));
            return Ok(ExitCode::Usage);
        }
    }
    let sweep = match Sweep::prepare(&drill.scenario, &args.on, &play) {
        Ok(sweep) => sweep,
        Err(error) => {
            console.say(&format!("error: {}: {error}\n", drill.file));
            return Ok(match error {
                SweepError::Drill(DrillError::Harness(_) | DrillError::Setup(_)) => ExitCode::Internal,
                SweepError::NotSound { verdict, .. } => ExitCode::of(Worst::Verdict(verdict)),
                _ => ExitCode::Usage,
            });
        }
    };
    let mut cells = sweep.cells();
    if let Some(text) = &args.filter {
        let text = text.to_lowercase();
        cells.retain(|c| format!("{} {}", c.on, c.mutation).to_lowercase().contains(&text));
    }
    if cells.is_empty() {
        console.say("error: no cell to run: the filter leaves none\n");
        return Ok(ExitCode::Usage);
    }
    let watch = Stopwatch::start();
    let bar = console.progress.then(|| bar(cells.len()));
    let mut bad = 0;
    let grades = sweep.run_all(&cells, args.jobs.map_or_else(cores, |n| n.get()), &play, |graded| {
        bad += usize::from(graded.grade.is_bad());
        if let Some(bar) = &bar {
            bar.inc(1);
            bar.set_message(if bad == 0 { String::new() } else { format!("{bad} bad") });
        }
    });
    bar.iter().for_each(ProgressBar::finish_and_clear);
    let example = cells
        .iter()
        .zip(&grades)
        .filter(|(_, graded)| graded.grade.is_bad())
        .max_by_key(|(_, graded)| graded.grade)
        .map(|(cell, graded)| {
            let (scenario, verdict) = sweep.smallest(cell, graded.grade, &play);
            Example { cell: cell.clone(), scenario, verdict }
        });
    let report = Report {
        file: &drill.file,
        seed,
        lessons: sweep.lessons(),
        cells: &cells,
        grades: &grades,
        example,
        real: console.real_times.then(|| watch.elapsed()),
        again: setting.defect.as_deref(),
    };
    let text = match args.format {
        SweepFormat::Terminal => terminal(&report, args.verbose),
        SweepFormat::Json => json(&report),
    };
    console.print(&text)?;
    Ok(if grades.iter().any(|g| g.grade.is_bad()) {
        ExitCode::Failed
    } else if grades.iter().any(|g| g.grade == Grade::Unknown) {
        ExitCode::Unknown
    } else {
        ExitCode::Passed
    })
}

fn bar(len: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} cells, {elapsed}, {eta} left {msg}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
