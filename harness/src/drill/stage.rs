//! The stage of a drill: its vendors, filled, its folders, and when it heals and ends.
//!
//! Knows: how a world is put together. Must not know: the subject.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use tempfile::TempDir;
use tokio::net::TcpListener;

use super::{AFTERMATH, DrillError, EPOCH, Plan, Script};
use crate::pacing::delayed;
use crate::scenario::{Scenario, Waits};
use crate::schedule::{Schedule, heals_at};
use crate::seed::Seed;
use crate::subject::WallClock;
use crate::time::{At, Span};
use crate::trace::{Cause, Head, RealTime, What};
use crate::world::{self, Authority, Host, Ledgers, Pace, Recorder, Supervisor, World};

/// What is set up once a drill.
pub(super) struct Stage {
    pub world: Rc<World>,
    pub head: Head,
    pub alert_url: String,
    pub state: TempDir,
    pub seed: Seed,
    /// The certificate that the subject has to trust, if vendors are met over TLS.
    pub authority: Option<PathBuf>,
    /// The latest that a timer rang so far.
    pub noise: Rc<Cell<Span>>,
}

impl Stage {
    /// In real time: lets the scenario begin now that the subject is ready. In virtual time it
    /// began when the drill did: getting ready takes none.
    pub fn begin(&mut self) {
        let Some(real) = &mut self.head.real else { return };
        let world = &self.world;
        let now = world.recorder.now();
        real.begins_at = now;
        let scenario = delayed(&world.scenario.borrow(), now);
        self.head.heals_at = scenario.heal_at.map_or(self.head.heals_at, |s| At(s.0));
        self.head.ends_at = scenario.ends_at.map_or(self.head.ends_at, |s| At(s.0));
        let schedule = Schedule::new(&scenario.faults, self.head.heals_at, self.seed);
        world.begin(scenario, schedule);
        for host in world.hosts.values() {
            world::spawn(world, world::keep_door(world.clone(), host.clone()));
        }
        world::spawn(world, world::listen_for_noise(self.noise.clone()));
    }
}

/// Opens the vendors, fills them, and decides when the drill heals and ends.
pub(super) async fn set_up(
    plan: &Plan,
    script: &Script<'_>,
    seed: Seed,
) -> Result<(Stage, TcpListener), DrillError> {
    let mut scenario = script.scenario.clone();
    let epoch = if plan.pacing.is_some() { world::wall_now() } else { EPOCH };
    let recorder = Recorder::new();
    let authority = if plan.tls { Some(Rc::new(Authority::new()?)) } else { None };
    let mut hosts = BTreeMap::new();
    for alias in scenario.vendors.keys() {
        let open = plan.vendors.get(alias).ok_or_else(|| {
            DrillError::Scenario(format!("{}: nothing opens the vendor `{alias}`", plan.file))
        })?;
        let vendor = open(epoch, seed.derive(&format!("vendor/{alias}")));
        hosts.insert(alias.clone(), Rc::new(Host::on(alias, vendor, 0, authority.clone())?));
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
    let (mut heals, mut ends) = span(&scenario, last_step);
    let mut real = None;
    if let Some(pacing) = &plan.pacing {
        let promised = scenario.expect.converges.map(|c| c.within);
        scenario = pacing.scenario(&scenario, heals, ends);
        (heals, ends) = span(&scenario, last_step);
        let allowed = scenario.expect.converges.map(|c| c.within);
        real = Some(RealTime {
            scale: pacing.scale,
            waits_scaled: pacing.waits == Waits::Scaled,
            begins_at: At::START,
            noise: Span::ZERO,
            promised: promised.filter(|p| pacing.waits == Waits::Own && Some(*p) > allowed),
        });
    }
    let head = Head { drill: scenario.drill.clone(), seed, epoch, heals_at: heals, ends_at: ends, real };
    // In real time no rule holds until the subject is ready.
    let rules = if plan.pacing.is_some() { &[][..] } else { &scenario.faults };
    let schedule = Schedule::new(rules, heals, seed);
    let state = state_dir()?;
    let secrets = state.path().join("secrets");
    std::fs::create_dir_all(state.path().join("state"))?;
    std::fs::create_dir_all(&secrets)?;
    let trusted = match &authority {
        Some(authority) => {
            let file = state.path().join(CA_FILE);
            std::fs::write(&file, authority.pem())?;
            Some(file)
        }
        None => None,
    };
    let (alert_url, alerts) = world::open_alerts().await?;
    let supervisor = Supervisor::new(WallClock::new(epoch, recorder.started()));
    recorder.call_most(script.most_calls);
    let world = Rc::new(World::new(recorder, scenario, epoch, schedule, hosts, supervisor, ledgers, secrets));
    world.canon.add(&alert_url, "https://alerts.subject.test/");
    world.canon.add(&state.path().to_string_lossy(), "/drill");
    if let Some(pacing) = &plan.pacing {
        world.pace.set(Pace { at_work: pacing.own(Pace::default().at_work), real: true });
        world.subject.allow_under_way(UNDER_WAY);
    }
    for host in world.hosts.values() {
        world.hand_over(host);
    }
    for (vendor, change) in given {
        let (collection, id, record) = (change.collection, change.id, change.record);
        let by = Cause::Scenario;
        world.recorder.note(What::Change { vendor, collection, id, change: change.change, record, by });
    }
    let stage = Stage { world, head, alert_url, state, seed, authority: trusted, noise: Rc::default() };
    Ok((stage, alerts))
}

/// When a drill heals and ends.
pub(super) fn span(scenario: &Scenario, last_step: At) -> (At, At) {
    let heals = scenario.heal_at.map_or_else(|| heals_at(&scenario.faults, last_step), |s| At(s.0));
    let within = scenario.expect.converges.map_or(AFTERMATH, |c| c.within);
    (heals, scenario.ends_at.map_or(heals + within, |s| At(s.0)))
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

/// How long after a program's death its last bytes may be read: they wait in sockets while this
/// thread is busy.
const UNDER_WAY: Span = Span::secs(1);

/// The authority's certificate, in the drill's folder.
const CA_FILE: &str = "ca.pem";

/// A file system in memory.
const MEMORY: &str = "/dev/shm";

/// How the folders of drills are called; the process that made them follows.
const STATE: &str = "firedrill-";

/// Removes the folders of drills whose process is no more: one that was killed could not.
pub(super) fn sweep() {
    let roots = [PathBuf::from(MEMORY), std::env::temp_dir()];
    for entry in roots.iter().filter_map(|root| std::fs::read_dir(root).ok()).flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|n| n.strip_prefix(STATE)?.split('-').next()?.parse::<i32>().ok());
        let Some(owner) = owner.and_then(rustix::process::Pid::from_raw) else { continue };
        if rustix::process::test_kill_process(owner) == Err(rustix::io::Errno::SRCH) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder in memory where there is one: a drill writes much and keeps nothing.
fn state_dir() -> io::Result<TempDir> {
    let memory = PathBuf::from(MEMORY);
    let named = |root: &std::path::Path| {
        tempfile::Builder::new().prefix(&format!("{STATE}{}-", std::process::id())).tempdir_in(root)
    };
    let here = std::env::temp_dir();
    let dir = if memory.is_dir() { named(&memory) } else { named(&here) };
    dir.or_else(|_| named(&here))
}
