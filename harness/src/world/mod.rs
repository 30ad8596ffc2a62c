//! The world of a drill: vendors on loopback sockets, webhooks, workload and the subject's
//! lives, all on one thread under one paused clock.
//!
//! Knows: sockets and the drill's clock. Must not know: what is expected of the subject, or any
//! one vendor or subject.

mod canon;
mod client;
mod connection;
mod exchange;
mod frames;
mod hooks;
mod host;
mod http1;
mod http2;
mod journal;
mod ledgers;
mod metrics;
mod noise;
mod open;
mod receiver;
mod recorder;
mod server;
mod socket;
mod supervisor;
mod tap;
mod task;
mod tls;
mod traffic;
mod witness;
mod workload;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use canon::Canon;
use hooks::Hooks;
pub(crate) use ledgers::Ledgers;

pub(crate) use client::{call, plain};

/// What only vendors that are served ask of a world.
#[cfg(feature = "cli")]
pub(crate) use self::{
    hooks::{Pending, emit, resume},
    server::open_doors,
    workload::carry_out_once,
};
pub(crate) use host::{Host, keep_door, serve, settle_all};
pub use journal::Disk;
pub(crate) use noise::{listen_for_noise, wall_now};
pub(crate) use receiver::{alerts, open as open_alerts, settle as settle_alerts};
pub use recorder::Journal;
pub(crate) use recorder::Recorder;
pub use server::Server;
pub(crate) use supervisor::{End, Supervisor, afflict, drive};
pub(crate) use task::spawn;
pub use tls::Authority;
pub(crate) use witness::sees_connects;
pub(crate) use workload::{last_step, run as run_workload};

use tokio::sync::watch;

use crate::fault::Target;
use crate::scenario::Scenario;
use crate::schedule::{Outage, Schedule};
use crate::subject::{AttemptLog, Endpoints};
use crate::time::{At, Span};
use crate::trace::{Cause, Outcome, SubjectEvent, What};
use crate::vendor::Reaction;
use crate::wire::FieldText;

/// The public origin of the subject, under which vendors know it.
pub(crate) const PUBLIC: &str = "https://hooks.subject.test";

/// Everything that the parts of a drill share.
pub(crate) struct World {
    /// The trace.
    pub recorder: Recorder,
    /// The drill's specification.
    pub scenario: RefCell<Scenario>,
    /// The wall-clock time at which it pretends to start.
    pub epoch: jiff::Timestamp,
    /// True addresses and their names.
    pub canon: Canon,
    /// The fault rules.
    pub schedule: RefCell<Schedule>,
    /// Told when they change; in a drill they never do.
    pub rearmed: watch::Sender<u64>,
    /// Those that last for a window.
    pub outages: RefCell<Vec<Outage>>,
    /// The vendors, by alias.
    pub hosts: BTreeMap<String, Rc<Host>>,
    /// The subject.
    pub subject: Supervisor,
    /// Its own count of its attempts.
    pub attempts: AttemptLog,
    /// What the vendors hold.
    pub ledgers: Ledgers,
    /// Webhooks on their way.
    pub hooks: Hooks,
    /// Vendors whose webhooks the subject takes, as it ever said.
    pub subscribed: RefCell<BTreeSet<String>>,
    /// Where webhooks of a vendor go, by alias, whatever the subject says; for vendors that are served
    /// without one.
    pub targets: RefCell<BTreeMap<String, String>>,
    /// Where credentials lie as files.
    pub secrets_dir: PathBuf,
    /// Connections to where alerts go.
    pub callers: RefCell<Vec<Weak<receiver::Caller>>>,
    /// What the world does by a measure of its own.
    pub pace: Cell<Pace>,
    dates: RefCell<(u64, FieldText)>,
}

/// Spans of the world that no scenario names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long a vendor is at work on a request that a fault hits while it is applied.
    pub at_work: Span,
    /// Whether time is real: a client may then leave between a request's last byte and its turn.
    pub real: bool,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { at_work: Span::secs(2), real: false }
    }
}

impl World {
    /// A world in which nothing has happened yet.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        recorder: Recorder,
        scenario: Scenario,
        epoch: jiff::Timestamp,
        schedule: Schedule,
        hosts: BTreeMap<String, Rc<Host>>,
        subject: Supervisor,
        ledgers: Ledgers,
        secrets_dir: PathBuf,
    ) -> World {
        let canon = Canon::default();
        for host in hosts.values() {
            canon.add(&host.base_url, &host.profile.origin);
            if let Some((_, authority)) = host.base_url.split_once("://") {
                canon.add(authority, &host.canonical_host);
            }
        }
        World {
            recorder,
            scenario: RefCell::new(scenario),
            epoch,
            canon,
            outages: RefCell::new(schedule.outages()),
            schedule: RefCell::new(schedule),
            rearmed: watch::Sender::new(0),
            hosts,
            subject,
            attempts: AttemptLog::default(),
            ledgers,
            hooks: Hooks::default(),
            subscribed: RefCell::default(),
            targets: RefCell::default(),
            secrets_dir,
            callers: RefCell::default(),
            pace: Cell::default(),
            dates: RefCell::default(),
        }
    }

    /// Lets the scenario begin: its workload and its faults, as they stand in `scenario` and
    /// `schedule`.
    pub fn begin(&self, scenario: Scenario, schedule: Schedule) {
        *self.outages.borrow_mut() = schedule.outages();
        *self.schedule.borrow_mut() = schedule;
        *self.scenario.borrow_mut() = scenario;
    }

    /// Takes in what a vendor did: ledgers, credentials, webhooks, in this order.
    pub fn absorb(self: &Rc<World>, host: &Rc<Host>, reaction: Reaction, by: Cause) {
        let changed = !reaction.changes.is_empty();
        for change in reaction.changes {
            self.ledgers.apply(&host.alias, &change);
            self.recorder.note(What::Change {
                vendor: host.alias.clone(),
                collection: change.collection,
                id: change.id,
                change: change.change,
                record: change.record,
                by,
            });
        }
        if changed {
            self.ledgers.tell();
        }
        let mut hand_over = false;
        for credential in reaction.credentials {
            hand_over |= credential.handed_over;
            self.recorder.note(What::Credential {
                vendor: host.alias.clone(),
                change: credential.change,
                handed_over: credential.handed_over,
            });
        }
        if hand_over {
            self.hand_over(host);
        }
        hooks::emit(self, host, reaction.emissions);
    }

    /// Writes a line of the subject's log.
    pub fn log(&self, level: &str, line: &str) {
        let line = self.canon.canonical(line).into_owned();
        self.recorder.note(What::Log { level: level.to_owned(), line });
    }

    /// Writes the vendor's credentials where the subject finds them.
    pub fn hand_over(&self, host: &Host) {
        if self.secrets_dir.as_os_str().is_empty() {
            // Vendors that are only served have nobody to hand anything to.
            return;
        }
        for (name, value) in host.vendor.borrow().credentials() {
            if let Err(e) = put(&self.secrets_dir, &format!("{}.{name}", host.alias), &value) {
                self.recorder
                    .harness_fault(format!("the secret {}.{name} could not be written: {e}", host.alias));
            }
        }
    }

    /// Whether anybody takes the webhooks of `alias`, or ever said so.
    pub fn is_told(&self, alias: &str) -> bool {
        self.targets.borrow().contains_key(alias) || self.subscribed.borrow().contains(alias)
    }

    /// Ends every exchange that is still open, in the order in which they began.
    pub fn end_open_calls(&self, outcome: Outcome) {
        let mut open: Vec<_> = self.hosts.values().flat_map(|h| h.open_calls()).collect();
        open.sort_by_key(|(call, ..)| *call);
        for (_, stream, conn) in open {
            conn.traffic.end(stream, outcome);
        }
    }

    /// Takes note of where the subject says it can be reached.
    pub fn learn(&self, endpoints: &Endpoints) {
        for (alias, url) in &endpoints.webhooks {
            self.subscribed.borrow_mut().insert(alias.clone());
            self.canon.add(url, &webhook_url(alias));
        }
        let all =
            endpoints.webhooks.values().chain(endpoints.jobs.values()).chain(endpoints.exposed.values());
        for url in all {
            if let Some(authority) = client::authority(url) {
                self.canon.add(authority, "subject.test");
            }
        }
    }

    /// Writes whose webhooks the rules disturb and the subject does not take.
    pub fn tell_of_missing_webhooks(&self) {
        let scenario = self.scenario.borrow();
        let disturbed = scenario.faults.iter().filter_map(|rule| match &rule.on {
            Target::Webhook { vendor, .. } => Some(vendor.as_str()),
            _ => None,
        });
        for vendor in disturbed.collect::<BTreeSet<_>>() {
            if !self.is_told(vendor) {
                let vendor = vendor.into();
                self.recorder.note(What::Subject(SubjectEvent::TakesNoWebhooks { vendor }));
            }
        }
    }

    /// `text` in the trace's terms, if it holds anything that varies by machine.
    pub fn canon_if_needed(&self, text: &str) -> Option<String> {
        canon::shows_a_port(text.as_bytes()).then(|| self.canon.canonical(text).into_owned())
    }

    /// The value of a Date field (RFC 9110 §6.6.1) at `at`.
    pub fn http_date(&self, at: At) -> FieldText {
        let micros = self.epoch.as_microsecond().saturating_add_unsigned(at.0);
        let second = u64::try_from(micros.div_euclid(1_000_000)).unwrap_or(0);
        let mut kept = self.dates.borrow_mut();
        if kept.0 != second || kept.1.is_empty() {
            let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
            *kept = (second, text.into());
        }
        kept.1.clone()
    }
}

/// The public address of the webhooks of `alias`.
pub(crate) fn webhook_url(alias: &str) -> String {
    format!("{PUBLIC}/{alias}")
}

/// Writes a file so that a reader sees the old or the new content, never a part.
fn put(dir: &Path, name: &str, value: &str) -> std::io::Result<()> {
    let fresh = dir.join(format!(".{name}.new"));
    std::fs::write(&fresh, value)?;
    std::fs::rename(fresh, dir.join(name))
}

/// An answer of the subject as the trace shows it: without its `Date`, which is the machine's.
pub(crate) fn shown(world: &World, mut response: crate::wire::Response) -> crate::wire::Response {
    response.headers.remove("date");
    for (_, value) in &mut response.headers.0 {
        if let Some(text) = world.canon_if_needed(value) {
            *value = text.into();
        }
    }
    if let Some(text) = std::str::from_utf8(&response.body).ok().and_then(|t| world.canon_if_needed(t)) {
        response.body = text.into();
    }
    let metrics = response
        .headers
        .get("content-type")
        .is_some_and(|t| t.starts_with("application/openmetrics-text") || t.contains("version=0.0.4"));
    if metrics && let Ok(page) = std::str::from_utf8(&response.body) {
        response.body = metrics::in_order(page).into();
    }
    response
}

/// Shared text: ids, aliases, names of collections.
pub(crate) type Text = Arc<str>;
