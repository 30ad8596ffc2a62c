//! How jobs, syncs and reports behave. Knows queues, cursors and pages; must not know HTTP.

use std::time::Duration;

/// When a job is taken off the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Completion {
    /// When its work is done.
    #[default]
    AfterTheWork,
    /// When it is claimed: work that fails is lost.
    WhenClaimed,
}

/// Which queued job is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueueOrder {
    /// The one that has been due longest; a job that waits for its retry is passed over.
    #[default]
    Due,
    /// The oldest, due or not: the others wait behind it.
    StrictlyOldest,
}

/// When the leases of running jobs are renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renewal {
    /// At a third of their length by either clock: a wall clock that was set forward ends no lease.
    #[default]
    ByEitherClock,
    /// At a third of their length by the time that passed.
    ByElapsedTime,
    /// Never.
    Never,
}

/// What a graceful stop does with work in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnShutdown {
    /// Finishes it, or gives it back to the queue at the deadline.
    #[default]
    FinishOrRelease,
    /// Drops it, jobs and all.
    Drop,
}

/// The queue of jobs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueRule {
    /// How long a claimed job is ours without renewal.
    pub lease: Duration,
    /// When leases of running jobs are renewed.
    pub renew: Renewal,
    /// When a job is taken off.
    pub completion: Completion,
    /// Which job is next.
    pub order: QueueOrder,
    /// What a graceful stop does.
    pub shutdown: OnShutdown,
    /// Attempts of a job before it is dead-lettered.
    pub attempts: u32,
    /// The wait after a job's first failure; doubled for each further one, equal jitter (50–100 %).
    pub retry_base: Duration,
    /// The longest such wait.
    pub retry_cap: Duration,
}

impl QueueRule {
    /// The wait after `failed` attempts (from 1), given a uniform `unit` in `0.0..1.0`.
    pub fn retry_delay(&self, failed: u32, unit: f64) -> Duration {
        let factor = 2u32.checked_pow(failed.saturating_sub(1)).unwrap_or(u32::MAX);
        self.retry_base.saturating_mul(factor).min(self.retry_cap).mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0)
    }
}

impl Default for QueueRule {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(120),
            renew: Renewal::default(),
            completion: Completion::default(),
            order: QueueOrder::default(),
            shutdown: OnShutdown::default(),
            attempts: 12,
            retry_base: Duration::from_secs(120),
            retry_cap: Duration::from_secs(30 * 60),
        }
    }
}

/// How much of a listing is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pages {
    /// All of it.
    #[default]
    All,
    /// The first page.
    First,
    /// Up to the first page that is shorter than was asked for.
    UntilShort,
}

/// When the sync cursor is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CursorCommit {
    /// In one transaction with the rows it covers.
    #[default]
    WithItsRows,
    /// Before they are even read.
    BeforeItsRows,
}

/// The scheduled sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRule {
    /// Whether it runs at all (on schedule or on demand).
    pub enabled: bool,
    /// How much it reads.
    pub pages: Pages,
    /// When its cursor is saved.
    pub cursor: CursorCommit,
    /// How far before the cursor it starts, for ties and late indexing.
    pub overlap: Duration,
}

impl Default for SyncRule {
    fn default() -> Self {
        Self {
            enabled: true,
            pages: Pages::default(),
            cursor: CursorCommit::default(),
            overlap: Duration::from_secs(120),
        }
    }
}

/// How the two sides are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Comparison {
    /// Deal by deal, field by field.
    #[default]
    FieldByField,
    /// Deal by deal, amount and currency.
    MoneyOnly,
    /// The number of closed deals against the number of invoices.
    CountsOnly,
}

/// What a difference leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repair {
    /// A job that fetches the deal anew: the CRM is the truth.
    #[default]
    EnqueueJob,
    /// A job that applies the deal as it stood in the listing, however old by then.
    ApplyListing,
    /// A write to the CRM: the invoice is taken for the truth.
    OverwriteTheCrm,
}

/// The reconciliation of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileRule {
    /// Whether it runs at all (on schedule or on demand).
    pub enabled: bool,
    /// How much it reads.
    pub pages: Pages,
    /// How the sides are compared.
    pub comparison: Comparison,
    /// What a difference leads to.
    pub repair: Repair,
}

impl Default for ReconcileRule {
    fn default() -> Self {
        Self {
            enabled: true,
            pages: Pages::default(),
            comparison: Comparison::default(),
            repair: Repair::default(),
        }
    }
}

/// What metrics count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// Every attempt put on the wire.
    #[default]
    EveryAttempt,
    /// Each operation once, retries unseen.
    OperationsOnly,
    /// Every attempt, the first as a retry too.
    FirstAsRetry,
}

/// What the gauges of dead letters and quarantine count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tally {
    /// What is there, as the lists show it.
    #[default]
    Waiting,
    /// What this process has put there since it started.
    SinceStart,
    /// What was ever put there, replayed or not.
    Ever,
}

/// Which failures of a vendor are worth telling somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Telling {
    /// Those that last: a breaker long open, a job given up, a queue that grows old.
    #[default]
    Lasting,
    /// Each failed attempt as well.
    EachFailure,
}

/// When somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertRule {
    /// Which failures of a vendor are told.
    pub telling: Telling,
    /// How long one kind and subject stays quiet after an alert.
    pub quiet: Duration,
}

impl Default for AlertRule {
    fn default() -> Self {
        Self { telling: Telling::default(), quiet: Duration::from_secs(15 * 60) }
    }
}

/// Where secrets may appear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Disclosure {
    /// In request headers and the token form, and nowhere else.
    #[default]
    Never,
    /// In log lines as well.
    InLogs,
    /// In URLs as well (`?access_token=`).
    InUrls,
}
