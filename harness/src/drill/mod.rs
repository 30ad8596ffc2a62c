//! The one loop: a scenario, under a seed, against a subject, in a world of its own; then the
//! judgement.
//!
//! Knows: the order of a drill (set up, disturb, heal, ask, stop). Must not know: how anything in
//! it is done or judged.

mod books;
mod life;
pub mod skip;
mod stage;
mod unjudged;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use self::books::close_the_books;
use self::life::{expose, live};
use self::stage::set_up;
use self::unjudged::{cite_failed_run, flooded, never_ready, not_done, unborn, unlogged};
use crate::check;
use crate::finding::{Judgement, Verdict};
use crate::pacing::Pacing;
use crate::scenario::Scenario;
use crate::schedule::objection;
use crate::seed::Seed;
use crate::subject::{LogCapture, Subject};
use crate::time::Span;
use crate::trace::{Outcome, Trace, What};
use crate::vendor::{Profile, Vendor};
use crate::world;

/// How a vendor is opened for a drill: given the drill's epoch and a seed of its own.
pub type OpenVendor = Box<dyn Fn(jiff::Timestamp, Seed) -> Box<dyn Vendor> + Send + Sync>;

/// What is to be run.
pub struct Plan {
    /// The scenario, with what it extends taken in.
    pub scenario: Scenario,
    /// The file it came from, as the user named it.
    pub file: String,
    /// How each alias' vendor is opened.
    pub vendors: BTreeMap<String, OpenVendor>,
    /// Whether the subject meets its vendors over TLS.
    pub tls: bool,
    /// For a drill in real time: how it is shortened. Without it, time is virtual and exact.
    pub pacing: Option<Pacing>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Drilled {
    /// What happened.
    pub trace: Trace,
    /// What the checks say of it.
    pub judgements: Vec<Judgement>,
    /// The worst of them.
    pub verdict: Verdict,
}

/// Why a drill gave no verdict.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The scenario asks for what cannot be (exit 64).
    #[error("{0}")]
    Scenario(String),
    /// The drill cannot be put to this subject, or not in real time; no verdict, and no mistake.
    #[error("{0}")]
    Skipped(String),
    /// firedrill itself went wrong (exit 70).
    #[error("{0}")]
    Harness(String),
    /// The machine refused something the drill needs (exit 70).
    #[error("the drill could not be set up: {0}")]
    Setup(#[from] io::Error),
}

/// Judges a trace.
pub type Judge<'a> = &'a dyn Fn(&Scenario, &BTreeMap<String, Profile>, &Trace) -> Vec<Judgement>;

/// The wall-clock time at which every drill pretends to start: Monday, 2 March 2026, 09:00 UTC.
pub const EPOCH: jiff::Timestamp = jiff::Timestamp::constant(1_772_442_000, 0);

/// How long a drill lasts after healing if its scenario promises no convergence.
const AFTERMATH: Span = Span::mins(10);

/// Removes what drills of processes that were killed left on this machine's disks.
pub fn sweep() {
    stage::sweep();
}

/// Runs a drill and judges it with the checks. Blocks; callers run many on threads of their own.
///
/// # Errors
/// See [`DrillError`]. A verdict, good or bad, is not an error.
pub fn run(plan: &Plan, seed: Seed, subject: &dyn Subject) -> Result<Drilled, DrillError> {
    run_with(plan, seed, subject, &check::judge)
}

/// Runs a drill and judges it with `judge`.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    plan: &Plan,
    seed: Seed,
    subject: &dyn Subject,
    judge: Judge<'_>,
) -> Result<Drilled, DrillError> {
    let script = Script { scenario: &plan.scenario, most_calls: u32::MAX };
    run_script(plan, &script, seed, subject, judge)
}

/// What is played with the cast of a plan, in place of the plan's own scenario.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// The scenario; its vendors are the plan's.
    pub scenario: &'a Scenario,
    /// The drill ends early once the subject made more calls than this: a subject that asks
    /// without a pause would hold virtual time for ever.
    pub most_calls: u32,
}

/// Runs a variant of a plan and judges it with `judge`.
///
/// # Errors
/// As [`run`].
pub fn run_script(
    plan: &Plan,
    script: &Script<'_>,
    seed: Seed,
    subject: &dyn Subject,
    judge: Judge<'_>,
) -> Result<Drilled, DrillError> {
    for (n, rule) in script.scenario.faults.iter().enumerate() {
        if let Some(why) = objection(rule) {
            return Err(DrillError::Scenario(format!("{}: fault rule {}: {why}", plan.file, n + 1)));
        }
    }
    if plan.pacing.is_none()
        && let Some(why) = skip::in_process(script.scenario)
    {
        return Err(DrillError::Skipped(why));
    }
    let virtual_time = plan.pacing.is_none();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(virtual_time).build()?;
    let local = tokio::task::LocalSet::new();
    let ran = runtime.block_on(local.run_until(disturb_and_heal(plan, script, seed, subject)));
    // Tasks go before the runtime whose timers and sockets they hold.
    drop(local);
    drop(runtime);
    let Ran { scenario, trace, profiles, undone, ready } = ran?;
    let harness_faults: Vec<&str> = trace
        .events
        .iter()
        .filter_map(|e| match &e.what {
            What::HarnessFault { message } => Some(message.as_str()),
            _ => None,
        })
        .collect();
    if !harness_faults.is_empty() {
        return Err(DrillError::Harness(format!(
            "{} (seed {seed}): {}",
            plan.file,
            harness_faults.join("; ")
        )));
    }
    let hindsight = subject.hindsight();
    let never = match ready {
        true => unborn(&trace, &hindsight),
        false => Some(never_ready(&trace, subject.ready_within(), &hindsight)),
    };
    let mut judgements = if let Some(never) = never {
        vec![never]
    } else {
        let mut judgements = judge(&scenario, &profiles, &trace);
        // Whoever judges by other checks hears all the same of a disturbance that never came.
        if !judgements.iter().any(|j| &*j.check == "faults") {
            judgements.extend(check::disturbance(&scenario, &profiles, &trace));
        }
        judgements.extend(not_done(&undone, &trace));
        judgements.extend(unlogged(&hindsight));
        judgements
    };
    judgements.extend(flooded(&trace));
    cite_failed_run(&trace, &mut judgements);
    check::veil(&mut judgements);
    let verdict = judgements.iter().map(|j| j.verdict).max().unwrap_or(Verdict::Pass);
    Ok(Drilled { trace, judgements, verdict })
}

/// A drill that is over.
struct Ran {
    /// The scenario as it was run: in real time, shortened and from the moment at which it began.
    scenario: Scenario,
    trace: Trace,
    profiles: BTreeMap<String, Profile>,
    undone: Vec<String>,
    ready: bool,
}

/// Ends the subject of a drill that comes to no end of its own, by a panic: before the drill's folders go,
/// into which the subject may be writing.
struct Curtain(Rc<world::World>);

impl Drop for Curtain {
    fn drop(&mut self) {
        self.0.subject.end(&self.0, world::End::Killed, None);
    }
}

async fn disturb_and_heal(
    plan: &Plan,
    script: &Script<'_>,
    seed: Seed,
    subject: &dyn Subject,
) -> Result<Ran, DrillError> {
    let (mut stage, alerts) = set_up(plan, script, seed).await?;
    let world = stage.world.clone();
    let _curtain = Curtain(world.clone());
    let recorder = world.recorder.clone();
    // The log of what runs inside this process; a program has a voice of its own.
    let _logs = plan.pacing.is_none().then(|| {
        let world = Rc::downgrade(&world);
        LogCapture::start(move |level, line| {
            if let Some(world) = world.upgrade() {
                world.log(level, &line);
            }
        })
    });
    for host in world.hosts.values() {
        if plan.pacing.is_none() {
            world::spawn(&world, world::keep_door(world.clone(), host.clone()));
        }
        world::spawn(&world, world::serve(world.clone(), host.clone()));
    }
    world::spawn(&world, world::drive(world.clone()));
    world::spawn(&world, world::alerts(world.clone(), alerts));
    let undone = Rc::new(RefCell::new(Vec::new()));
    let ready = live(&mut stage, subject, &undone).await;
    if ready {
        world.end_open_calls(Outcome::Open);
        world::settle_alerts(&world);
        expose(&world).await;
    }
    world::settle_all(&world);
    world.subject.stop_for_good(&world).await;
    // What the last life left on the wire arrives within the same moment, or nearly so.
    let on_the_wire = if plan.pacing.is_some() { 20 } else { 1 };
    tokio::time::sleep(Duration::from_millis(on_the_wire)).await;
    world.end_open_calls(Outcome::SubjectGone);
    close_the_books(&world);
    recorder.note(What::Ended);
    let profiles = world.hosts.iter().map(|(a, h)| (a.clone(), h.profile.clone())).collect();
    let undone = undone.take();
    let mut head = stage.head;
    if let Some(real) = &mut head.real {
        real.noise = stage.noise.get();
    }
    let scenario = world.scenario.borrow().clone();
    Ok(Ran { scenario, trace: Trace { head, events: recorder.close() }, profiles, undone, ready })
}
