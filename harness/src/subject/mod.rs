//! The subject: the system under test, as a drill sees it.
//!
//! Knows: what a subject is handed and what it shows. Must not know: any one subject, vendors'
//! insides, or faults.

#[cfg(feature = "cli")]
pub mod bundled;
#[cfg(unix)]
pub mod command;
mod log;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot, watch};

pub use log::LogCapture;

use crate::seed::Seed;
use crate::time::Span;

/// An integration that runs inside the drill's own runtime.
///
/// One call of [`Subject::run`] is one life of the process. The contract:
/// * the returned future owns everything that runs: **dropping it is SIGKILL**. Keep spawned tasks
///   in a `tokio::task::JoinSet` inside it; a task that outlives it is reported as such;
/// * when [`Start::stop`] turns true (SIGTERM), it winds up and returns;
/// * it keeps what must survive in [`Start::state_dir`], and nothing in statics;
/// * it takes wall-clock time from [`Start::clock`], chance from [`Start::seed`], and timers from
///   `tokio::time`; its HTTP client needs no change.
///
/// Three things are beyond the drill: what is printed (`println!`, `eprintln!`) is not heard, and not
/// searched for secrets, as `tracing` is; a client that does not set TCP_NODELAY (reqwest does by default)
/// waits for the kernel's own timers, and virtual time is no longer exact; and a subject that never
/// awaits cannot be interrupted, as both run on one thread.
pub trait Subject {
    /// Runs the integration until it is stopped, fails, or is dropped.
    fn run(&self, start: Start) -> Pin<Box<dyn Future<Output = Result<(), String>>>>;

    /// A short name for reports.
    fn name(&self) -> &str;

    /// How long it may take to get ready.
    fn ready_within(&self) -> Span {
        Span::mins(1)
    }

    /// How it was met and heard. Asked once the drill is over.
    fn hindsight(&self) -> Hindsight {
        Hindsight::default()
    }
}

/// What is known of a subject's last life only afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hindsight {
    /// How it was found ready.
    pub readiness: Readiness,
    /// The file that it was to log to and that never was.
    pub lost_log: Option<PathBuf>,
}

/// How a subject is found ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// It says so itself.
    #[default]
    Said,
    /// It was taken for ready as soon as it was started.
    Assumed,
    /// It was looked for: where, and what came at last.
    Awaited(String),
}

/// What a subject is handed when it starts.
#[derive(Clone)]
pub struct Start {
    /// Where each vendor is, and how to be let in, by the scenario's alias.
    pub vendors: BTreeMap<String, VendorAccess>,
    /// Settings of the scenario.
    pub settings: BTreeMap<String, String>,
    /// A folder that survives a crash.
    pub state_dir: PathBuf,
    /// Credentials as files, `ALIAS.NAME`, each with the value and nothing else, which the drill
    /// replaces when an operator would.
    pub secrets_dir: PathBuf,
    /// Where vendors are met over TLS: the certificate of the authority that vouches for them, a PEM
    /// file that the subject has to trust.
    pub authority: Option<PathBuf>,
    /// The subject's wall clock.
    pub clock: WallClock,
    /// The root of the subject's chance; another for each life.
    pub seed: Seed,
    /// The public address for webhooks of each vendor, which their signatures cover.
    pub webhook_urls: BTreeMap<String, String>,
    /// Where alerts are posted: JSON, a form or text, of any shape.
    pub alert_url: String,
    /// Turns true when the subject should stop.
    pub stop: watch::Receiver<bool>,
    /// To be told once, when the subject takes webhooks and triggers.
    pub ready: Ready,
    /// The subject's own count of its attempts on the network; optional, but without it connects
    /// that were refused or never answered cannot be seen.
    pub attempts: AttemptLog,
    /// For a subject that is a program: what it writes and does. What an in-process subject logs
    /// by `tracing` is heard without it.
    pub voice: Voice,
    /// For a subject that is a program: true while it shall stand still (SIGSTOP).
    pub paused: watch::Receiver<bool>,
}

/// Takes what a program says and does.
pub type Voice = Rc<dyn Fn(Said)>;

/// Something that a program said or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A line of its output or its log.
    Line {
        /// The level, lower case.
        level: String,
        /// The line.
        line: String,
    },
    /// It wrote more than is kept: from here on its lines are only counted.
    Flooded {
        /// Lines so far.
        lines: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Some thread of it was kept from the processor by others for this long within a second.
    Starved {
        /// How long.
        waited: Span,
    },
    /// It could not even be started; its life ends with the reason.
    NotStarted,
    /// A run of a job began.
    Runs,
    /// One run of a job came to its end.
    Ran {
        /// Its exit code; none if a signal ended it.
        code: Option<i32>,
        /// If that is not 0: the last that it wrote.
        last: Option<String>,
    },
}

/// Where a vendor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorAccess {
    /// Its base URL, without a final slash.
    pub base_url: String,
    /// What its operator handed over at the start: `refresh_token`, `api_key`, ….
    pub credentials: BTreeMap<String, String>,
}

/// Where a running subject can be reached; all plain HTTP on loopback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Where each vendor's webhooks go, by alias.
    pub webhooks: BTreeMap<String, String>,
    /// Jobs that can be triggered by a POST, by name.
    pub jobs: BTreeMap<String, String>,
    /// What can be read at the end by a GET, by name; for the shapes see
    /// [`Program::exposes`](crate::scenario::Program::exposes).
    pub exposed: BTreeMap<String, String>,
    /// Jobs that are triggered otherwise than by a POST.
    pub asker: Option<Asker>,
}

/// Triggers jobs by asking the subject's own future.
#[derive(Clone, Debug)]
pub struct Asker {
    names: BTreeSet<String>,
    send: mpsc::UnboundedSender<Ask>,
}

/// A job that is asked for.
#[derive(Debug)]
pub struct Ask {
    /// Which.
    pub job: String,
    /// To be told what became of it; dropped unused if nobody can do it now.
    pub done: oneshot::Sender<Reply>,
}

/// What became of a job that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was done.
    Done,
    /// It was tried and failed, for this reason.
    Failed(String),
    /// It cannot be tried, for this reason.
    Impossible(String),
}

impl Asker {
    /// Asks for the jobs called `names` through `send`.
    pub fn new(names: BTreeSet<String>, send: mpsc::UnboundedSender<Ask>) -> Asker {
        Asker { names, send }
    }

    /// Whether it can ask for `job`.
    pub fn knows(&self, job: &str) -> bool {
        self.names.contains(job)
    }

    /// The names of the jobs that it can ask for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Asks for `job`; true once it was done.
    pub async fn ask(&self, job: &str) -> bool {
        self.put(job).await == Some(Reply::Done)
    }

    /// Asks for `job`, and says what became of it; `None` if nobody took it.
    pub async fn put(&self, job: &str) -> Option<Reply> {
        let (done, told) = oneshot::channel();
        self.send.send(Ask { job: job.to_owned(), done }).ok()?;
        told.await.ok()
    }
}

impl PartialEq for Asker {
    fn eq(&self, other: &Asker) -> bool {
        self.names == other.names && self.send.same_channel(&other.send)
    }
}

impl Eq for Asker {}

/// The subject's word that it is ready.
#[derive(Clone)]
pub struct Ready(Rc<RefCell<Option<Endpoints>>>, watch::Sender<bool>);

impl Ready {
    /// A fresh handle, not ready yet.
    pub fn new() -> Ready {
        Ready(Rc::default(), watch::Sender::new(false))
    }

    /// Says that the subject is ready, and where.
    pub fn set(&self, endpoints: Endpoints) {
        *self.0.borrow_mut() = Some(endpoints);
        self.1.send_replace(true);
    }

    /// The endpoints, once it is ready.
    pub fn endpoints(&self) -> Option<Endpoints> {
        self.0.borrow().clone()
    }

    /// Waits until it is ready.
    pub async fn wait(&self) -> Endpoints {
        let mut seen = self.1.subscribe();
        loop {
            if let Some(endpoints) = self.endpoints() {
                return endpoints;
            }
            if seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Default for Ready {
    fn default() -> Ready {
        Ready::new()
    }
}

/// The wall clock of a subject: the drill's epoch plus drill time, plus any skew.
#[derive(Clone, Debug)]
pub struct WallClock {
    epoch: jiff::Timestamp,
    started: tokio::time::Instant,
    skew_us: Arc<AtomicI64>,
}

impl WallClock {
    /// A clock that shows `epoch` at `started`.
    pub fn new(epoch: jiff::Timestamp, started: tokio::time::Instant) -> WallClock {
        WallClock { epoch, started, skew_us: Arc::default() }
    }

    /// The time it shows now.
    pub fn now(&self) -> jiff::Timestamp {
        let us = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let skewed = us.saturating_add(self.skew_us.load(Ordering::Relaxed));
        self.epoch.checked_add(jiff::SignedDuration::from_micros(skewed)).unwrap_or(jiff::Timestamp::MAX)
    }

    /// Moves it by `micros` (negative: back); gives the whole skew.
    pub fn skew(&self, micros: i64) -> i64 {
        self.skew_us.fetch_add(micros, Ordering::Relaxed).saturating_add(micros)
    }
}

/// The subject's own count of attempts, by vendor alias and outcome.
#[derive(Clone, Debug, Default)]
pub struct AttemptLog(Arc<Mutex<BTreeMap<(String, AttemptOutcome), u64>>>);

/// How an attempt looked to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptOutcome {
    /// A response head came (whatever became of the body).
    Answered,
    /// The connection was refused.
    Refused,
    /// The connect was not answered in time.
    ConnectTimeout,
    /// The request was sent, and no response head came.
    NoAnswer,
}

impl AttemptLog {
    /// Notes one attempt.
    pub fn note(&self, vendor: &str, outcome: AttemptOutcome) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((vendor.to_owned(), outcome)).or_default() += 1;
    }

    /// The counts so far; empty if the subject does not keep them.
    pub fn counts(&self) -> BTreeMap<(String, AttemptOutcome), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
