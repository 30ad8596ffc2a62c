//! The one loop: a scenario, under a seed, against a subject, in a world of its own; then the
//! judgement.
//!
//! Knows: the order of a drill (set up, disturb, heal, ask, stop). Must not know: how anything in
//! it is done or judged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::check;
use crate::finding::{Finding, Judgement, Verdict};
use crate::scenario::Scenario;
use crate::schedule::{Schedule, heals_at, objection};
use crate::seed::Seed;
use crate::subject::{AttemptOutcome, LogCapture, Start, Subject, VendorAccess, WallClock};
use crate::time::{At, Span};
use crate::trace::{Cause, Event, Head, Outcome, SubjectEvent, Trace, What};
use crate::vendor::{Profile, Vendor};
use crate::world::{self, Host, Ledgers, Recorder, Supervisor, World};

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

/// How long a subject may take to get ready.
const READY_WITHIN: Span = Span::mins(1);

/// How long the subject may take to show what it exposes.
const EXPOSED_WITHIN: Duration = Duration::from_secs(30);

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
    let scenario = script.scenario;
    for (n, rule) in scenario.faults.iter().enumerate() {
        if let Some(why) = objection(rule) {
            return Err(DrillError::Scenario(format!("{}: fault rule {}: {why}", plan.file, n + 1)));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let local = tokio::task::LocalSet::new();
    let ran = runtime.block_on(local.run_until(disturb_and_heal(plan, script, seed, subject)));
    // Tasks go before the runtime whose timers and sockets they hold.
    drop(local);
    drop(runtime);
    let Ran { trace, profiles, undone, ready } = ran?;
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
    let judgements = if ready {
        let mut judgements = judge(scenario, &profiles, &trace);
        // A check may say it better, with the calls that missed the rule.
        let said = judgements.iter().any(|j| &*j.check == "faults");
        judgements.extend(unfired(scenario, &trace).filter(|_| !said));
        judgements.extend(not_done(&undone, &trace, said));
        judgements
    } else {
        vec![never_ready(&trace)]
    };
    let verdict = judgements.iter().map(|j| j.verdict).max().unwrap_or(Verdict::Pass);
    Ok(Drilled { trace, judgements, verdict })
}

/// A drill that is over.
struct Ran {
    trace: Trace,
    profiles: BTreeMap<String, Profile>,
    undone: Vec<String>,
    ready: bool,
}

/// What is set up once a drill.
struct Stage {
    world: Rc<World>,
    head: Head,
    alert_url: String,
    state: TempDir,
    seed: Seed,
}

async fn disturb_and_heal(
    plan: &Plan,
    script: &Script<'_>,
    seed: Seed,
    subject: &dyn Subject,
) -> Result<Ran, DrillError> {
    let (stage, alerts) = set_up(plan, script, seed).await?;
    let Stage { world, head, .. } = &stage;
    let recorder = world.recorder.clone();
    let _logs = LogCapture::start({
        let world = Rc::downgrade(world);
        move |level, line| {
            if let Some(world) = world.upgrade() {
                let line = world.canon.canonical(&line).into_owned();
                world.recorder.note(What::Log { level: level.to_owned(), line });
            }
        }
    });
    for host in world.hosts.values() {
        tokio::task::spawn_local(world::keep_door(world.clone(), host.clone()));
        tokio::task::spawn_local(world::serve(world.clone(), host.clone()));
    }
    tokio::task::spawn_local(world::drive(world.clone()));
    tokio::task::spawn_local(world::alerts(world.clone(), alerts));
    let undone = Rc::new(RefCell::new(Vec::new()));
    let ready = live(&stage, subject, &undone).await;
    if ready {
        world.end_open_calls(Outcome::Open);
        expose(world).await;
    }
    world::settle_all(world);
    world.subject.stop_for_good(world).await;
    // What the last life left on the wire arrives within the same moment.
    tokio::time::sleep(Duration::from_millis(1)).await;
    world.end_open_calls(Outcome::SubjectGone);
    close_the_books(world);
    recorder.note(What::Ended);
    let profiles = world.hosts.iter().map(|(a, h)| (a.clone(), h.profile.clone())).collect();
    let undone = undone.take();
    Ok(Ran { trace: Trace { head: head.clone(), events: recorder.close() }, profiles, undone, ready })
}

/// Opens the vendors, fills them, and decides when the drill heals and ends.
async fn set_up(plan: &Plan, script: &Script<'_>, seed: Seed) -> Result<(Stage, TcpListener), DrillError> {
    let scenario = script.scenario.clone();
    let recorder = Recorder::new();
    let mut hosts = BTreeMap::new();
    for alias in scenario.vendors.keys() {
        let open = plan.vendors.get(alias).ok_or_else(|| {
            DrillError::Scenario(format!("{}: nothing opens the vendor `{alias}`", plan.file))
        })?;
        let vendor = open(EPOCH, seed.derive(&format!("vendor/{alias}")));
        hosts.insert(alias.clone(), Rc::new(Host::new(alias, vendor)?));
    }
    let known = hosts.values().flat_map(|h| {
        let alias = h.alias.clone();
        h.profile.collections.keys().map(move |c| (alias.clone(), c.as_str()))
    });
    let ledgers = Ledgers::new(known);
    let given = give(&scenario, &plan.file, &hosts)?;
    for (alias, change) in &given {
        ledgers.apply(alias, change);
    }
    let last_step = world::last_step(&scenario.workload, |vendor, noun| ledgers.records(vendor, noun).len());
    let heals = scenario.heal_at.map_or_else(|| heals_at(&scenario.faults, last_step), |s| At(s.0));
    let within = scenario.expect.converges.map_or(AFTERMATH, |c| c.within);
    let ends = scenario.ends_at.map_or(heals + within, |s| At(s.0));
    let head = Head { drill: scenario.drill.clone(), seed, epoch: EPOCH, heals_at: heals, ends_at: ends };
    let schedule = Schedule::new(&scenario.faults, heals, seed);
    let state = state_dir()?;
    let secrets = state.path().join("secrets");
    std::fs::create_dir_all(state.path().join("state"))?;
    std::fs::create_dir_all(&secrets)?;
    let (alert_url, alerts) = world::open_alerts().await?;
    let supervisor = Supervisor::new(WallClock::new(EPOCH, recorder.started()));
    recorder.call_most(script.most_calls);
    let world = Rc::new(World::new(recorder, scenario, EPOCH, schedule, hosts, supervisor, ledgers, secrets));
    world.canon.add(&alert_url, "https://alerts.subject.test/");
    world.canon.add(&state.path().to_string_lossy(), "/drill");
    for host in world.hosts.values() {
        world.hand_over(host);
    }
    for (vendor, change) in given {
        let (collection, id, record) = (change.collection, change.id, change.record);
        let by = Cause::Scenario;
        world.recorder.note(What::Change { vendor, collection, id, change: change.change, record, by });
    }
    Ok((Stage { world, head, alert_url, state, seed }, alerts))
}

type Givens = Vec<(crate::trace::Alias, crate::vendor::Change)>;

fn give(scenario: &Scenario, file: &str, hosts: &BTreeMap<String, Rc<Host>>) -> Result<Givens, DrillError> {
    let mut given = Vec::new();
    for (place, what) in &scenario.given {
        let wrong = |why: String| DrillError::Scenario(format!("{file}: given `{place}`: {why}"));
        let (alias, collection) =
            place.split_once('.').ok_or_else(|| wrong("write it as `ALIAS.collection`".to_owned()))?;
        let host = hosts.get(alias).ok_or_else(|| wrong(format!("there is no vendor called `{alias}`")))?;
        let changes = host.vendor.borrow_mut().give(collection, what).map_err(wrong)?;
        given.extend(changes.into_iter().map(|c| (host.alias.clone(), c)));
    }
    Ok(given)
}

/// A folder in memory where there is one: a drill writes much and keeps nothing.
fn state_dir() -> io::Result<TempDir> {
    let memory = PathBuf::from("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    dir.or_else(|_| tempfile::tempdir())
}

/// Lets the subject live until the drill ends; false if it never got ready.
async fn live(stage: &Stage, subject: &dyn Subject, undone: &Rc<RefCell<Vec<String>>>) -> bool {
    let Stage { world, head, .. } = stage;
    let recorder = &world.recorder;
    launch(stage, subject);
    loop {
        tokio::select! {
            biased;
            () = world.subject.launch.notified() => launch(stage, subject),
            () = world.subject.wait(|s| s.endpoints().is_some() || s.is_over()) => break,
            () = recorder.until(At(READY_WITHIN.0)) => break,
        }
    }
    if world.subject.endpoints().is_none() {
        return false;
    }
    tokio::task::spawn_local(world::afflict(world.clone()));
    tokio::task::spawn_local(world::run_workload(world.clone(), undone.clone()));
    let mut healed = false;
    loop {
        let next = if healed { head.ends_at } else { head.heals_at.min(head.ends_at) };
        tokio::select! {
            biased;
            () = world.subject.launch.notified() => launch(stage, subject),
            () = recorder.runaway() => return true,
            () = recorder.until(next) => {
                if healed || head.ends_at < head.heals_at {
                    return true;
                }
                healed = true;
                recorder.note(What::Healed);
            }
        }
    }
}

fn launch(stage: &Stage, subject: &dyn Subject) {
    let Stage { world, alert_url, state, seed, .. } = stage;
    if world.subject.is_up() {
        return;
    }
    let (incarnation, ready, stop) = world.subject.begin();
    let access = |host: &Rc<Host>| VendorAccess {
        base_url: host.base_url.clone(),
        credentials: host.vendor.borrow().credentials(),
    };
    let start = Start {
        vendors: world.hosts.iter().map(|(alias, host)| (alias.clone(), access(host))).collect(),
        settings: world.scenario.subject.settings.clone(),
        state_dir: state.path().join("state"),
        secrets_dir: world.secrets_dir.clone(),
        clock: world.subject.clock.clone(),
        seed: seed.derive(&format!("subject/{incarnation}")),
        webhook_urls: world.hosts.keys().map(|a| (a.clone(), world::webhook_url(a))).collect(),
        alert_url: alert_url.clone(),
        stop,
        ready,
        attempts: world.attempts.clone(),
    };
    let life = subject.run(start);
    world.subject.run(world, life);
}

/// Reads what the subject says of itself.
async fn expose(world: &Rc<World>) {
    for (what, url) in world.subject.endpoints().unwrap_or_default().exposed {
        let answer = world::call(&url, &world::plain("GET", &url), EXPOSED_WITHIN).await;
        let response = answer.ok().map(|r| world::shown(world, r));
        world.recorder.note(What::Exposed { what, response });
    }
}

/// Compares independent counts of the same thing; where they differ, nothing can be trusted.
fn close_the_books(world: &World) {
    let counts = world.attempts.counts();
    let unnoted = unnoted_calls(world);
    for (alias, host) in &world.hosts {
        let (tapped, traced, unseen) = (host.tapped(), host.requests.get(), host.unseen.get());
        if tapped < traced || tapped > traced + unseen {
            world.recorder.harness_fault(format!(
                "{alias}: {tapped} requests came over its connections, {traced} are in the trace"
            ));
        }
        let of = |o| counts.get(&(alias.clone(), o)).copied().unwrap_or(0);
        let noted = of(AttemptOutcome::Answered) + of(AttemptOutcome::NoAnswer);
        let open = unnoted.get(alias.as_str()).copied().unwrap_or(0);
        if counts.keys().any(|(a, _)| a == alias) && (noted + open < traced || noted > traced + unseen) {
            world.recorder.harness_fault(format!(
                "{alias}: the subject counts {noted} attempts, {traced} are in the trace, of which {open} may \
                 be uncounted; {unseen} more may never have been read"
            ));
        }
    }
    if !counts.is_empty() {
        let counts =
            counts.into_iter().map(|((alias, o), n)| (format!("{alias} {}", spelled(o)), n)).collect();
        world.recorder.note(What::Attempts { counts });
    }
}

/// Calls that the subject may have had no chance to count: it went away before they ended, or at
/// the very moment at which they did.
fn unnoted_calls(world: &World) -> BTreeMap<String, u64> {
    world.recorder.with(|events| {
        let gone: BTreeSet<At> = events.iter().filter(|e| ends_a_life(&e.what)).map(|e| e.at).collect();
        let mut vendors = BTreeMap::new();
        let mut unnoted: BTreeMap<String, u64> = BTreeMap::new();
        for Event { at, what } in events {
            match what {
                What::Request { call, vendor, .. } => {
                    vendors.insert(*call, vendor.clone());
                }
                What::Answer { call, outcome, .. } => {
                    let cut = matches!(outcome, Outcome::SubjectGone | Outcome::Open | Outcome::Abandoned);
                    if let Some(vendor) = vendors.get(call).filter(|_| cut || gone.contains(at)) {
                        *unnoted.entry(vendor.to_string()).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        unnoted
    })
}

fn ends_a_life(what: &What) -> bool {
    use SubjectEvent::{Exited, Killed, Overstayed, Stopped};
    matches!(what, What::Subject(Killed | Stopped | Overstayed | Exited { .. }))
}

fn spelled(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Answered => "answered",
        AttemptOutcome::Refused => "refused",
        AttemptOutcome::ConnectTimeout => "connect_timeout",
        AttemptOutcome::NoAnswer => "no_answer",
    }
}

fn unknown(rule: &str, message: String, expected: &str, hint: Option<String>) -> Finding {
    Finding {
        rule: rule.into(),
        verdict: Verdict::Unknown,
        message,
        expected: expected.to_owned(),
        hint,
        evidence: Vec::new(),
        more: 0,
    }
}

/// A fault that never bit leaves the promise untested.
fn unfired(scenario: &Scenario, trace: &Trace) -> Option<Judgement> {
    use crate::fault::Act;
    if scenario.faults.is_empty() {
        return None;
    }
    let fired: BTreeSet<u32> = trace
        .events
        .iter()
        .filter_map(|e| match &e.what {
            What::Fault(f) => Some(f.rule),
            _ => None,
        })
        .collect();
    let counted = trace.events.iter().any(|e| matches!(e.what, What::Attempts { .. }));
    let findings = (0u32..)
        .zip(&scenario.faults)
        .filter(|(n, _)| !fired.contains(n))
        .map(|(n, rule)| {
            let hint = (matches!(rule.act, Act::Refuse | Act::BlackHole) && !counted).then(|| {
                "connects that are refused or swallowed leave no trace at the vendor: the subject must \
                 keep its attempt log for them to be seen"
                    .to_owned()
            });
            unknown(
                "faults/never_fired",
                format!("fault rule {} (`{}` on `{}`) never fired", n + 1, rule.act.word(), rule.on),
                "every fault rule bites at least once",
                hint,
            )
        })
        .collect();
    Some(Judgement::of("faults", scenario.faults.len() as u64, findings))
}

/// A step that was never done leaves the drill another than was written.
fn not_done(undone: &[String], trace: &Trace, failures_said: bool) -> Option<Judgement> {
    let mut findings: Vec<Finding> = undone
        .iter()
        .map(|why| unknown("workload/undone", why.clone(), "every step is done before the drill ends", None))
        .collect();
    for (id, event) in trace.iter().filter(|_| !failures_said) {
        if let What::Step { step, action, error: Some(error), .. } = &event.what {
            let message = format!("step {}, `{action}`, failed: {error}", step + 1);
            let mut finding = unknown("workload/failed", message, "every step can be carried out", None);
            finding.evidence.push(id);
            findings.push(finding);
        }
    }
    if findings.is_empty() {
        return None;
    }
    Some(Judgement::of("workload", trace.events.len() as u64, findings))
}

fn never_ready(trace: &Trace) -> Judgement {
    let (evidence, how) = trace
        .iter()
        .find_map(|(id, e)| match &e.what {
            What::Subject(SubjectEvent::Exited { error }) => Some((
                vec![id],
                match error {
                    Some(error) => format!("it ended before it was ready: {error}"),
                    None => "it ended before it was ready".to_owned(),
                },
            )),
            _ => None,
        })
        .unwrap_or_else(|| (Vec::new(), format!("it said nothing for {READY_WITHIN}")));
    let mut finding = unknown(
        "subject/never_ready",
        format!("the subject never got ready: {how}"),
        "the subject calls `Start::ready` once it takes webhooks and triggers",
        None,
    );
    finding.evidence = evidence;
    Judgement::of("subject", 1, vec![finding])
}
