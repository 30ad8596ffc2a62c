//! Vendors served alone, in real time, with an API to steer them by: for development by hand and for
//! the test suites of others.
//!
//! Knows: what is served, and in which order it is set up and wound down. Must not know: how a
//! vendor thinks, how an exchange goes over the wire, or where anything is printed.

mod api;
mod clock;
mod deeds;
mod describe;
mod gaps;
mod refusal;
mod routes;
mod server;
mod state;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;

use tokio::net::TcpListener;

use crate::drill::OpenVendor;
use crate::fault::Rule;
use crate::scenario::{Given, VendorFacts, VendorUse};
use crate::schedule::{Counted, Schedule};
use crate::seed::Seed;
use crate::time::{At, Span};
use crate::trace::{Alias, Cause, What};
use crate::vendor::{Change, Vendor};
use crate::world::{self, Authority, Disk, Journal, Server, World};

pub use api::{Overview, Served};
pub use deeds::check_target;
pub use describe::{document, pretty};

/// How many events memory keeps; the others lie on disk. Few enough to be in the processor's cache still
/// when they are written down.
const KEPT_EVENTS: usize = 1_000;

/// How often what happened goes to a journal that somebody may be reading, and is looked at.
const JOURNAL_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

/// What is to be served.
pub struct Setup {
    /// The vendors, by alias.
    pub vendors: BTreeMap<String, VendorUse>,
    /// How each is opened.
    pub open: BTreeMap<String, OpenVendor>,
    /// What each has that can be named.
    pub facts: BTreeMap<String, VendorFacts>,
    /// The ports of those that shall have a certain one.
    pub ports: BTreeMap<String, u16>,
    /// The port of the control API; zero for any that is free.
    pub control: u16,
    /// What the vendors hold at the start: `crm.deals`.
    pub given: BTreeMap<String, Given>,
    /// The fault rules that are armed from the start.
    pub faults: Vec<Rule>,
    /// Where webhooks go at first, by alias.
    pub targets: BTreeMap<String, String>,
    /// From which everything random follows.
    pub seed: Seed,
    /// The file in which the state is kept, if it is kept.
    pub state: Option<PathBuf>,
    /// The folder in which the trace is kept, if it is kept.
    pub journal: Option<PathBuf>,
    /// The folder for the certificate of the authority, if vendors are to be met over TLS.
    pub tls: Option<PathBuf>,
    /// The wall-clock time.
    pub now: fn() -> jiff::Timestamp,
}

/// Why nothing was served, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// It asks for what cannot be (exit 64).
    #[error("{0}")]
    Usage(String),
    /// firedrill or the machine went wrong (exit 70).
    #[error("{0}")]
    Internal(String),
}

/// What the parts of the control API share.
struct Control {
    world: Rc<World>,
    setup: Setup,
    epoch: jiff::Timestamp,
    url: String,
    /// By how much time was put forward, over all runs.
    advanced: Cell<Span>,
    /// One jump at a time.
    jumping: tokio::sync::Mutex<()>,
    /// When each rule was armed, and as what.
    armed: RefCell<BTreeMap<u32, (At, Rule)>>,
    /// Whose turn it was, by action.
    turned: RefCell<BTreeMap<String, BTreeSet<Alias>>>,
    /// Counts what happened beside the trace.
    touched: Cell<u64>,
}

/// Serves until `stop` is done. Tells `ready` where everything is, once it can be called; tells
/// `warn` of what goes wrong meanwhile, and of requests that no recording answers.
///
/// # Errors
/// See [`Trouble`].
pub fn run(
    setup: Setup,
    ready: impl FnOnce(&Overview),
    warn: impl Fn(&str) + 'static,
    stop: impl Future<Output = ()>,
) -> Result<(), Trouble> {
    let _lock = state::lock(&setup)?;
    let kept = state::load(&setup)?;
    let now = (setup.now)();
    let (epoch, passed) = match &kept {
        None => (now, Span::ZERO),
        Some(kept) => (kept.epoch, kept.passed(now)),
    };
    let (vendors, held) = match &kept {
        None => opened(&setup, epoch)?,
        Some(kept) => kept.vendors(&setup)?,
    };
    if setup.state.is_some()
        && let Some((alias, _)) = vendors.iter().find(|(_, vendor)| vendor.save().is_none())
    {
        return Err(Trouble::Usage(format!(
            "what `{alias}` remembers cannot be kept: it answers from a recording, or is no vendor of data\n\
             help: serve it without `--state`"
        )));
    }
    let tls = setup.tls.as_deref().map(authority).transpose()?;
    let server = Server {
        vendors,
        ports: setup.ports.clone(),
        tls,
        faults: Vec::new(),
        epoch,
        seed: setup.seed,
        journal: Journal::Spilled(journal(&setup, kept.is_some())?),
    };
    let control = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, setup.control));
    let control = control.and_then(|c| c.set_nonblocking(true).map(|()| c)).map_err(|e| {
        Trouble::Usage(format!("port {} for the control API cannot be had: {e}", setup.control))
    })?;
    let served = server.attend(|world| async move {
        let listener = TcpListener::from_std(control)?;
        let url = format!("http://{}", listener.local_addr()?);
        clock::jump(passed).await;
        let control = Rc::new(Control::new(setup, world.clone(), epoch, url));
        control.hold(held, kept.as_ref());
        world::open_doors(&world);
        tokio::task::spawn_local(server::serve(control.clone(), listener));
        for pending in kept.into_iter().flat_map(|k| k.pending) {
            world::resume(&world, pending);
        }
        state::save(&control).map_err(io::Error::other)?;
        let warn = Rc::new(warn);
        let journaling = tokio::task::spawn_local(keep_journal(control.clone(), warn.clone()));
        let replays = |v: &VendorUse| matches!(v, VendorUse::Changed(c) if c.fixtures.is_some());
        let gaps = control.setup.vendors.values().any(replays).then(|| {
            let gaps = Rc::new(gaps::Gaps::new(world.clone(), warn.clone()));
            tokio::task::spawn_local(gaps.clone().watch());
            gaps
        });
        let keeping = tokio::task::spawn_local(state::keep(control.clone(), warn));
        let mut stop = pin!(stop);
        // What waits for a signal listens once it is polled: before anybody is told to signal.
        tokio::select! {
            biased;
            () = &mut stop => {}
            () = async { ready(&control.overview()) } => stop.await,
        }
        keeping.abort();
        journaling.abort();
        gaps.inspect(|gaps| gaps.tell());
        state::save_at_the_end(&control).map_err(io::Error::other)?;
        let Some(folder) = &control.setup.journal else { return Ok(()) };
        world.recorder.flush().map_err(|e| {
            let why = format!("the journal in {} cannot be written: {e}", folder.display());
            io::Error::other(Trouble::Usage(why))
        })
    });
    served.map(drop).map_err(trouble)
}

fn trouble(error: io::Error) -> Trouble {
    let usage = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    match error.downcast::<Trouble>() {
        Ok(trouble) => trouble,
        Err(e) if usage => Trouble::Usage(e.to_string()),
        Err(e) => Trouble::Internal(e.to_string()),
    }
}

/// Puts what happened where it can be read along, and says at once that it cannot be kept any more; the
/// vendors are served all the same.
async fn keep_journal(control: Rc<Control>, warn: Rc<impl Fn(&str)>) {
    let recorder = &control.world.recorder;
    let mut known = false;
    loop {
        tokio::time::sleep(JOURNAL_EVERY).await;
        if control.setup.journal.is_some() {
            // What goes wrong is kept as trouble.
            let _ = recorder.flush();
        }
        let trouble = recorder.trouble();
        if let Some(why) = trouble.as_ref().filter(|_| !known) {
            let place = control.setup.journal.as_ref().map(|folder| format!(" in {}", folder.display()));
            warn(&format!(
                "the journal{} cannot be written: {why}; vendors are served on, and the trace lacks what happens \
                 from here on\nhelp: make room, then begin anew with `curl -X POST {}/reset`",
                place.unwrap_or_default(),
                control.url
            ));
        }
        known = trouble.is_some();
    }
}

/// Where the trace is kept. A state that goes on has a journal that does.
fn journal(setup: &Setup, goes_on: bool) -> Result<Disk, Trouble> {
    let open = if goes_on { Disk::after_another } else { Disk::in_folder };
    match &setup.journal {
        None => Disk::nameless(KEPT_EVENTS)
            .map_err(|e| Trouble::Internal(format!("there is no place for the trace: {e}"))),
        Some(folder) => open(folder, KEPT_EVENTS)
            .map_err(|e| Trouble::Usage(format!("the journal cannot be kept in {}: {e}", folder.display()))),
    }
}

/// The name of the authority's certificate in its folder.
pub(super) const CA: &str = "ca.pem";

/// A fresh authority, whose certificate lies where clients can be told to trust it.
fn authority(folder: &Path) -> Result<Rc<Authority>, Trouble> {
    let made = Authority::new();
    let made = made.map_err(|e| Trouble::Internal(format!("no certificates can be made: {e}")))?;
    let written = (|| {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(made.pem().as_bytes())?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // A certificate is public: whoever shall trust it reads it.
            file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        file.persist(folder.join(CA)).map_err(|e| e.error)
    })();
    written.map_err(|e: io::Error| {
        Trouble::Usage(format!("the certificate cannot be written into {}: {e}", folder.display()))
    })?;
    Ok(Rc::new(made))
}

type Vendors = BTreeMap<String, Box<dyn Vendor>>;
type Held = Vec<(String, Change)>;

/// Fresh vendors, with what they hold at the start.
fn opened(setup: &Setup, epoch: jiff::Timestamp) -> Result<(Vendors, Held), Trouble> {
    let mut vendors = Vendors::new();
    let mut held = Held::new();
    for alias in setup.vendors.keys() {
        let open = setup.open.get(alias);
        let open = open.ok_or_else(|| Trouble::Internal(format!("nothing opens `{alias}`")))?;
        vendors.insert(alias.clone(), open(epoch, setup.seed.derive(&format!("vendor/{alias}"))));
    }
    for (place, given) in &setup.given {
        let wrong = |why: String| Trouble::Usage(format!("given `{place}`: {why}"));
        let (alias, collection) =
            place.split_once('.').ok_or_else(|| wrong("write it as `ALIAS.collection`".to_owned()))?;
        let vendor = vendors.get_mut(alias);
        let vendor = vendor.ok_or_else(|| wrong(format!("there is no vendor called `{alias}`")))?;
        let changes = vendor.give(collection, given).map_err(wrong)?;
        held.extend(changes.into_iter().map(|c| (alias.to_owned(), c)));
    }
    Ok((vendors, held))
}

impl Control {
    fn new(setup: Setup, world: Rc<World>, epoch: jiff::Timestamp, url: String) -> Control {
        Control {
            world,
            setup,
            epoch,
            url,
            advanced: Cell::default(),
            jumping: tokio::sync::Mutex::default(),
            armed: RefCell::default(),
            turned: RefCell::default(),
            touched: Cell::default(),
        }
    }

    /// Takes in what the vendors hold, and what was armed and aimed at before.
    fn hold(&self, held: Held, kept: Option<&state::Kept>) {
        let world = &self.world;
        for (alias, change) in held {
            let vendor: Alias = alias.into();
            world.ledgers.apply(&vendor, &change);
            let (collection, id, record) = (change.collection, change.id, change.record);
            let by = Cause::Scenario;
            world.recorder.note(What::Change { vendor, collection, id, change: change.change, record, by });
        }
        match kept {
            None => {
                *world.targets.borrow_mut() = self.setup.targets.clone();
                for rule in &self.setup.faults {
                    self.arm(rule.clone());
                }
            }
            Some(kept) => {
                let mut targets = kept.targets.clone();
                targets.extend(self.setup.targets.clone());
                *world.targets.borrow_mut() = targets;
                let rules = kept.faults.iter().map(|f| f.counted.clone()).collect::<Vec<Counted>>();
                let armed = kept.faults.iter().map(|f| (f.counted.number, (f.armed_at, f.rule.clone())));
                *self.armed.borrow_mut() = armed.collect();
                let never = At(u64::MAX);
                *world.schedule.borrow_mut() =
                    Schedule::again(rules, never, self.setup.seed, kept.next_fault);
                self.advanced.set(kept.advanced);
            }
        }
    }

    /// Arms a rule, whose window counts from now.
    fn arm(&self, rule: Rule) -> u32 {
        let now = self.world.recorder.now();
        let mut from_now = rule.clone();
        if let Some(window) = &mut from_now.window {
            window.from = At(now.0.saturating_add(window.from.0));
            window.to = window.to.map(|to| At(now.0.saturating_add(to.0)));
        }
        let number = self.world.schedule.borrow_mut().arm(from_now);
        self.armed.borrow_mut().insert(number, (now, rule));
        self.rearmed();
        number
    }

    /// Says that the rules changed.
    fn rearmed(&self) {
        self.world.rearmed.send_modify(|n| *n += 1);
        self.touch();
    }

    fn touch(&self) {
        self.touched.set(self.touched.get() + 1);
    }
}
