//! How a call can fail, from the point of view of who asked. Knows what to do next; must not know why a vendor is unwell.

use std::future::Future;
use std::pin::Pin;

use tokio::time::Instant;

/// A boxed future, for the few traits that need one.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A call that did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not now, and no fault of the job: ask again at `until`, or when the credentials change.
    Held { until: Option<Instant>, why: &'static str },
    /// Every attempt failed, or no more are allowed: try the job again later.
    Unavailable { why: String },
    /// The vendor refuses the request as it is (4xx): no use in repeating it.
    Rejected { status: u16, code: String, message: String },
    /// The vendor replays a saved failure for this key: look, then use the key's next generation.
    Indeterminate,
    /// The answer does not have the shape that we rely on.
    Invalid { source: String, reason: String, payload: String },
    /// Our own store failed: the core must stop.
    Store(rusqlite::Error),
}

impl Failure {
    /// The label used in metrics.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Held { why, .. } => format!("held_{}", why.replace([' ', '-'], "_")),
            Self::Unavailable { .. } => "unavailable".into(),
            Self::Rejected { status, .. } => status.to_string(),
            Self::Indeterminate => "indeterminate".into(),
            Self::Invalid { .. } => "invalid".into(),
            Self::Store(_) => "store".into(),
        }
    }

    /// Whether the vendor says that there is no such thing.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Rejected { status: 404, .. })
            || matches!(self, Self::Rejected { status: 400, code, .. } if code == "resource_missing")
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held { why, .. } => write!(f, "held: {why}"),
            Self::Unavailable { why } => write!(f, "unavailable: {why}"),
            Self::Rejected { status, code, message } => write!(f, "refused with {status} {code}: {message}"),
            Self::Indeterminate => f.write_str("a saved failure was replayed"),
            Self::Invalid { source, reason, .. } => write!(f, "invalid answer of {source}: {reason}"),
            Self::Store(error) => write!(f, "store: {error}"),
        }
    }
}
