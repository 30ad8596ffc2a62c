//! The command line.
//!
//! Knows: commands, files, exit codes, and where to print. Must not know: how a drill is carried
//! out; its [`Backend`] does.

mod args;
mod backend;
mod bundled;
mod console;
mod diff;
mod exit_code;
mod import;
mod keep;
mod live;
mod partition;
mod record;
mod reporter;
mod run;
mod serve;
mod starter;
mod stopwatch;
mod sweep;
mod verify;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::Parser;

pub use args::{
    Announce, Args, Check, Command, Diff, DiffFormat, Drilling, Explain, FailOn, Format, Import, Keep, New,
    Of, Pace, Prove, Record, Run, Schema, Seeds, Serve, Sweep, SweepFormat, Verify,
};
pub use backend::{Backend, ProofRequest, Setting};
pub use bundled::Bundled;
pub use console::Console;
pub use exit_code::ExitCode;
pub use partition::Partition;

use crate::casting;
use crate::check::rules;
use crate::contract::diff::RULES;
use crate::drill::{self, DrillError};
use crate::plan::{self, Loaded};
use crate::report::table::Caught;
use crate::report::{mistake, table, wrap};
use crate::scenario::{ActEntry, Mistake, acts, nearest, schema};
use crate::time::Span;

/// Runs the command of this process, printing to its own streams.
pub fn main(backend: &dyn Backend) -> ExitCode {
    use std::io::IsTerminal as _;
    let progress = io::stderr().is_terminal();
    let mut out = anstream::stdout().lock();
    let mut err = anstream::stderr();
    let mut console = Console { out: &mut out, err: &mut err, progress, real_times: true };
    command(std::env::args_os(), backend, &mut console)
}

/// Runs one command line.
pub fn command(
    words: impl IntoIterator<Item = OsString>,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> ExitCode {
    let args = match Args::try_parse_from(words) {
        Ok(args) => args,
        Err(error) => {
            let text = error.render().ansi().to_string();
            // Help and version are answers; everything else is wrong usage, for which clap's own
            // code would be 2, which here means something else.
            return if error.use_stderr() {
                console.say(&text);
                ExitCode::Usage
            } else {
                console.print(&text).map_or(ExitCode::Internal, |()| ExitCode::Passed)
            };
        }
    };
    let defect = match &args.command {
        Command::Run(run) => run.defect.clone(),
        Command::Sweep(sweep) => sweep.defect.clone(),
        _ => None,
    };
    if let Some(name) = defect.as_deref().filter(|name| !backend.defects().contains(name)) {
        let near = crate::scenario::nearest(name, backend.defects().iter().copied());
        let help = match near {
            Some(near) => format!("; did you mean `{near}`?"),
            None => format!("; there are\n  {}", wrap(&backend.defects().join(", "), 76).join("\n  ")),
        };
        console.say(&format!("error: no defect is called `{name}`{help}\n"));
        return ExitCode::Usage;
    }
    let mut setting = Setting {
        contracts: args.contracts.clone(),
        defect,
        program: None,
        scale: 1,
        max_real: Span::mins(1),
    };
    if matches!(args.command, Command::Run(_) | Command::Prove(_) | Command::Sweep(_)) {
        drill::sweep();
    }
    if let Command::Run(run) = &args.command {
        setting.scale = run.pace.scale.get();
        setting.max_real = run.pace.max_real;
        match run.subject.as_deref().map(casting::subject_file).transpose() {
            Ok(program) => setting.program = program,
            Err(mistake) => {
                refuse(&[mistake], console);
                return ExitCode::Usage;
            }
        }
    }
    let result = match &args.command {
        Command::Run(args) => run::run(args, &setting, backend, console),
        Command::Sweep(args) => sweep::sweep(args, &setting, backend, console),
        Command::Prove(args) => prove(args, &setting, backend, console),
        Command::Check(args) => check(&args.files, &setting, backend, console),
        Command::New(args) => starter::new(&args.path, console),
        Command::Serve(args) => serve::serve(args, &setting, console),
        Command::Record(args) => record::record(args, console),
        Command::Import(args) => import::import(args, console),
        Command::Verify(args) => verify::run(args, &setting.contracts, console),
        Command::Schema(args) => {
            let text = match args.of {
                Of::Drill => schema::pretty(),
                Of::Subject => schema::pretty_subject(),
            };
            console.print(&text).map(|()| ExitCode::Passed)
        }
        Command::Explain(args) => explain(args.rule.as_deref(), console),
        Command::Diff(args) => diff::diff(args, console),
    };
    result.unwrap_or_else(|error| {
        console.say(&format!("error: cannot print: {error}\n"));
        ExitCode::Internal
    })
}

/// Reads drills; says what is wrong with them, if anything is.
fn load(
    paths: &[PathBuf],
    setting: &Setting,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> Option<Vec<Loaded>> {
    match plan::load(paths, &|vendor| backend.facts(setting, vendor)) {
        Ok(drills) => Some(drills),
        Err(mistakes) => {
            refuse(&mistakes, console);
            None
        }
    }
}

fn refuse(mistakes: &[Mistake], console: &mut Console<'_>) {
    for mistake in mistakes {
        console.say(&format!("{}\n", mistake::render(mistake)));
    }
    console.say(&format!("{}; nothing was run\n", crate::report::count(mistakes.len(), "mistake")));
}

fn check(
    files: &[PathBuf],
    setting: &Setting,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    let Some(drills) = load(files, setting, backend, console) else { return Ok(ExitCode::Usage) };
    let mut code = ExitCode::Passed;
    for drill in &drills {
        let mut mistakes = casting::mistaken_recordings(drill);
        mistakes.extend(casting::mistaken_subjects(std::slice::from_ref(drill), None, &setting.contracts));
        if mistakes.is_empty() {
            console.print(&format!("ok  {}  {}\n", drill.file, drill.scenario.drill))?;
            if let Some(why) = backend.unfit(setting, drill) {
                console.print(&format!("    {}\n", wrap(&why, 76).join("\n    ")))?;
            }
            continue;
        }
        for mistake in &mistakes {
            console.say(&format!("{}\n", mistake::render(mistake)));
        }
        code = ExitCode::Usage;
    }
    if drills.is_empty() {
        console.say("error: there is no drill\n");
        return Ok(ExitCode::Usage);
    }
    Ok(code)
}

fn prove(
    args: &Prove,
    setting: &Setting,
    backend: &dyn Backend,
    console: &mut Console<'_>,
) -> io::Result<ExitCode> {
    if let Some(hint) = meant_as_filter(&args.drilling.paths, &backend.defects()) {
        console.say(&format!("error: {hint}\n"));
        return Ok(ExitCode::Usage);
    }
    let Some(drills) = load(&args.drilling.paths, setting, backend, console) else {
        return Ok(ExitCode::Usage);
    };
    let jobs = args.drilling.jobs.map_or_else(cores, |n| n.get());
    let seeds = args.drilling.seeds.all();
    let request = ProofRequest { drills, seeds, filter: args.filter.clone(), jobs };
    let rows = match backend.prove(setting, &request) {
        Ok(rows) => rows,
        Err(error) => {
            console.say(&format!("error: {error}\n"));
            let refused = matches!(error, DrillError::Scenario(_));
            return Ok(if refused { ExitCode::Usage } else { ExitCode::Internal });
        }
    };
    if rows.is_empty() {
        console.say("error: no defect to plant: the filter leaves none\n");
        return Ok(ExitCode::Usage);
    }
    console.print(&table::render(&rows))?;
    let any = |caught| rows.iter().any(|r| r.caught == caught);
    let alarms = rows.iter().any(|r| !r.false_alarms.is_empty());
    Ok(if any(Caught::No) || alarms {
        ExitCode::Failed
    } else if any(Caught::Unknown) {
        ExitCode::Unknown
    } else {
        ExitCode::Passed
    })
}

/// What to say of a path that is none and names a defect.
fn meant_as_filter(paths: &[PathBuf], defects: &[&str]) -> Option<String> {
    let lost = paths.iter().filter(|path| !path.exists()).filter_map(|path| path.to_str());
    lost.filter_map(|word| {
        let part = defects.iter().any(|name| name.contains(word)).then_some(word);
        let meant = part.or_else(|| nearest(word, defects.iter().copied()))?;
        Some(format!(
            "there is no drill file or folder `{word}`; to plant defects by their name: `firedrill prove --filter {meant}`"
        ))
    })
    .next()
}

fn explain(rule: Option<&str>, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let names = || rules::all().map(|e| e.rule).chain(RULES.iter().map(|r| r.id));
    let Some(rule) = rule else {
        console.print(&format!("{}\n", names().collect::<Vec<_>>().join("\n")))?;
        return Ok(ExitCode::Passed);
    };
    let acts = acts();
    let is_named = |a: &&ActEntry| {
        rule == "acts" || a.name == rule || a.name.strip_prefix("drift ").is_some_and(|name| name == rule)
    };
    let named: Vec<String> = acts.iter().filter(is_named).map(act).collect();
    if !named.is_empty() {
        console.print(&named.join("\n"))?;
        return Ok(ExitCode::Passed);
    }
    if let Some(explanation) = rules::explain(rule) {
        console.print(&format!("{rule}\n\n{}\n", wrap(explanation.text, 78).join("\n")))?;
        return Ok(ExitCode::Passed);
    }
    if let Some(change) = crate::contract::diff::rule(rule) {
        let severity = format!("{:?}", change.severity).to_lowercase();
        console.print(&format!("{rule} ({severity})\n\n{}\n", wrap(change.says, 78).join("\n")))?;
        return Ok(ExitCode::Passed);
    }
    console.say(&match nearest(rule, names().chain(acts.iter().map(|a| a.name.as_str()))) {
        Some(near) => format!(
            "error: there is no rule `{rule}`; did you mean `{near}`?\n\
             `firedrill explain` lists all rules, `firedrill explain acts` what faults do\n"
        ),
        None => format!(
            "error: there is no rule `{rule}`\nrules:\n  {}\n",
            wrap(&names().collect::<Vec<_>>().join(", "), 76).join("\n  ")
        ),
    });
    Ok(ExitCode::Usage)
}

/// What a fault does, under how a drill says it.
fn act(entry: &ActEntry) -> String {
    let says = wrap(&entry.says, 74).iter().map(|line| format!("    {line}\n")).collect::<String>();
    format!("{}\n{says}", entry.written)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

#[cfg(test)]
mod tests;
