//! What happened to each HTTP attempt. Knows outcomes as plain data; must not know what follows from them.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// One of the two vendors that this core calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    /// The CRM, where deals come from.
    HubSpot,
    /// Billing, where invoices go to.
    Stripe,
}

impl Vendor {
    /// The name used in metrics, logs and alerts: `hubspot` or `stripe`.
    pub fn name(self) -> &'static str {
        match self {
            Self::HubSpot => "hubspot",
            Self::Stripe => "stripe",
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How one HTTP attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// A whole response was read; its status.
    Status(u16),
    /// No connection: refused, unreachable, or the name did not resolve. Nothing was sent.
    ConnectRefused,
    /// No connection within the connect timeout. Nothing was sent.
    ConnectTimeout,
    /// The connection broke after the request was (at least partly) sent, before a whole head came back.
    Reset,
    /// A timeout after the request was sent: on the head, the body, or the whole attempt.
    Timeout,
    /// The head was read, and the body ended early.
    Truncated,
    /// What came back is not HTTP.
    Garbage,
}

impl AttemptOutcome {
    /// The label used in metrics: the status as digits, or the kind of failure.
    pub fn label(self) -> String {
        match self {
            Self::Status(code) => code.to_string(),
            Self::ConnectRefused => "connect_refused".into(),
            Self::ConnectTimeout => "connect_timeout".into(),
            Self::Reset => "reset".into(),
            Self::Timeout => "timeout".into(),
            Self::Truncated => "truncated".into(),
            Self::Garbage => "garbage".into(),
        }
    }

    /// Whether the vendor may have applied the request although we have no whole answer.
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Self::Reset | Self::Timeout | Self::Truncated | Self::Garbage)
    }
}

/// One HTTP attempt, put on the network or refused by it.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    /// Whom it was for.
    pub vendor: Vendor,
    /// The HTTP method.
    pub method: String,
    /// The path, without base URL and without query.
    pub path: String,
    /// The path with ids replaced, as metrics name it.
    pub endpoint: &'static str,
    /// 1 for the first attempt of an operation, 2 for its first retry.
    pub attempt: u32,
    /// When it started, by the injected clock.
    pub started: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub outcome: AttemptOutcome,
}

/// Hears of every HTTP attempt, exactly once each, after it ended.
///
/// An attempt that never ended because the core was dropped in the middle is not reported.
pub trait AttemptObserver: Send + Sync {
    /// Called once for each attempt.
    fn attempt(&self, record: &AttemptRecord);
}
