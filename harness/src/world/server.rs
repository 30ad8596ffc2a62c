//! Vendors at work for whoever calls them: on loopback sockets, in real time, without a subject.
//!
//! Knows: how a world without a drill is set up and kept running. Must not know: any one vendor,
//! or who calls. Exchanges and faults are recorded as in a drill; webhooks stay at home, since
//! nobody said where to send them.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use super::recorder::{Journal, Recorder};
use super::{Authority, Host, Ledgers, Supervisor, World, keep_door, serve, spawn};
use crate::fault::Rule;
use crate::scenario::Scenario;
use crate::schedule::{Schedule, objection};
use crate::seed::Seed;
use crate::subject::WallClock;
use crate::time::At;
use crate::trace::{Event, Outcome, What};
use crate::vendor::Vendor;

/// Vendors to be served.
pub struct Server {
    /// The vendors, by the alias under which rules and trace speak of them.
    pub vendors: BTreeMap<String, Box<dyn Vendor>>,
    /// The loopback ports of those that shall have a certain one.
    pub ports: BTreeMap<String, u16>,
    /// Who vouches for them, if they are to be met over TLS.
    pub tls: Option<Rc<Authority>>,
    /// Ordered fault rules; the first that bites wins. Windows count from the start.
    pub faults: Vec<Rule>,
    /// The wall-clock time at which it starts: what vendors stamp and date by.
    pub epoch: jiff::Timestamp,
    /// Chance of the fault rules.
    pub seed: Seed,
    /// How much of what happened is kept.
    pub journal: Journal,
}

impl Server {
    /// Serves on a thread of its caller until `stop` is done: each vendor on a loopback port of
    /// its own. Tells `ready` the base URLs by alias once they listen. Gives what the journal kept.
    ///
    /// # Errors
    /// If a rule can never bite, no runtime or port can be had, or the journal cannot be written.
    pub fn run(
        self,
        ready: impl FnOnce(&BTreeMap<String, String>),
        stop: impl Future<Output = ()>,
    ) -> io::Result<Vec<Event>> {
        self.attend(|world| async move {
            open_doors(&world);
            ready(&world.hosts.iter().map(|(a, h)| (a.clone(), h.base_url.clone())).collect());
            stop.await;
            Ok(())
        })
    }

    /// Sets up the world and leaves it to `inside`, which has to open its doors; ends when that does.
    ///
    /// # Errors
    /// As [`Server::run`], and what `inside` says.
    pub(crate) fn attend<F: Future<Output = io::Result<()>>>(
        self,
        inside: impl FnOnce(Rc<World>) -> F,
    ) -> io::Result<Vec<Event>> {
        for (n, rule) in self.faults.iter().enumerate() {
            if let Some(why) = objection(rule) {
                let why = format!("fault rule {}: {why}", n + 1);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        let world = {
            let _inside = runtime.enter();
            Rc::new(self.world()?)
        };
        let ended = runtime.block_on(local.run_until(inside(world.clone())));
        world.end_open_calls(Outcome::Open);
        world.recorder.note(What::Ended);
        let recorder = world.recorder.clone();
        // Tasks go before the runtime whose timers and sockets they hold.
        drop(local);
        drop(world);
        drop(runtime);
        let events = recorder.finish();
        ended.and(events)
    }

    fn world(self) -> io::Result<World> {
        let recorder = Recorder::keeping(self.journal);
        let mut hosts = BTreeMap::new();
        for (alias, vendor) in self.vendors {
            let port = self.ports.get(&alias).copied().unwrap_or(0);
            let busy = |e: io::Error| io::Error::new(e.kind(), format!("port {port} for `{alias}`: {e}"));
            let host = Host::on(&alias, vendor, port, self.tls.clone()).map_err(busy)?;
            hosts.insert(alias, Rc::new(host));
        }
        let known = hosts.values().flat_map(|h| {
            let alias = h.alias.clone();
            h.profile.collections.keys().map(move |c| (alias.clone(), c.as_str()))
        });
        let ledgers = Ledgers::new(known);
        let never = At(u64::MAX);
        let schedule = Schedule::new(&self.faults, never, self.seed);
        let supervisor = Supervisor::new(WallClock::new(self.epoch, recorder.started()));
        let scenario = Scenario { faults: self.faults, ..Scenario::of(BTreeMap::new()) };
        let no_secrets = PathBuf::new();
        Ok(World::new(recorder, scenario, self.epoch, schedule, hosts, supervisor, ledgers, no_secrets))
    }
}

/// Lets the vendors be called from now on.
pub(crate) fn open_doors(world: &Rc<World>) {
    for host in world.hosts.values() {
        spawn(world, keep_door(world.clone(), host.clone()));
        spawn(world, serve(world.clone(), host.clone()));
    }
}
