//! Recording: a reverse proxy in front of a real vendor that keeps what passes through it.
//!
//! Knows: sockets, HTTP between a client and the vendor, and the file that grows. Must not know:
//! who asked for it, or how what it tells is shown.
//!
//! The client is served as if by the vendor: bytes as they come, in the vendor's own coding. Only
//! addresses of the vendor are turned into the proxy's, in `Location`, `Content-Location`, `Link`
//! and in uncompressed text, so that a client that follows links keeps coming here; the recording
//! keeps the vendor's. The proxy adds no `Via` (RFC 9110 §7.6.3), since servers answer otherwise
//! to one: nginx sends its answers uncompressed.

mod capture;
mod keeper;
mod links;
mod proxy;
mod relay;
mod upstream;

use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedSender;

use crate::fixture::{Doubt, Fixture, Rules, Suspect};

pub use upstream::{Upstream, UpstreamError, advice, certificates};

/// What is recorded, and where it goes.
#[derive(Debug)]
pub struct Recording {
    /// The vendor.
    pub upstream: Upstream,
    /// The run without its exchanges: origin, date, and what is no secret.
    pub head: Fixture,
    /// The file of the run; parts of a long run go beside it.
    pub file: PathBuf,
    /// What is secret beyond what is secret everywhere.
    pub rules: Rules,
    /// Bodies of more bytes are not kept, but for their length and hash.
    pub largest_body: usize,
    /// Whether the vendor is asked for uncompressed bodies.
    pub uncompressed: bool,
}

/// Something that happened while recording, for whoever watches. Without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An exchange is recorded.
    Recorded {
        /// Method and target.
        what: String,
        /// The status.
        status: u16,
        /// Bytes of the answer's body.
        bytes: u64,
        /// What of it could not be kept, in words.
        but: Option<String>,
    },
    /// An exchange was not recorded by a rule.
    Skipped {
        /// Method and target.
        what: String,
    },
    /// An exchange is not saved, since it still looks like it holds a secret.
    HeldBack(HeldBack),
    /// There was no whole answer to record.
    NoAnswer {
        /// Method and target.
        what: String,
        /// What the client got, and why.
        why: String,
    },
    /// An answer names the vendor's address where it could not be turned into the proxy's.
    LinksLeft {
        /// Method and target.
        what: String,
    },
    /// The file could not be written; what was there before is untouched, and it is tried again.
    NotWritten(String),
}

/// An exchange that still looked like it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Method, target and status.
    pub what: String,
    /// What looked like a secret.
    pub suspects: Vec<Suspect>,
}

/// What a recording came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Exchanges on disk.
    pub recorded: usize,
    /// Different secrets taken out.
    pub secrets: usize,
    /// Bodies kept as length and hash.
    pub omitted: usize,
    /// Exchanges without a whole answer.
    pub unanswered: usize,
    /// Exchanges that a rule left out.
    pub skipped: usize,
    /// Exchanges held back.
    pub held_back: Vec<HeldBack>,
    /// What looks random in them and is kept, since ids look the same: how many values at each place.
    pub doubts: BTreeMap<Doubt, usize>,
    /// The files written.
    pub files: Vec<PathBuf>,
    /// Why the last of what was recorded is not on disk.
    pub not_written: Option<String>,
}

impl Recording {
    /// Serves `listener` until `stop` is done; what is under way then has two seconds to end.
    pub async fn run(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
        notices: UnboundedSender<Notice>,
    ) -> std::io::Result<Summary> {
        let own = format!("http://{}", listener.local_addr()?);
        let (keeper, done) = keeper::start(&self, notices);
        proxy::serve(&self, &own, listener, stop, done).await;
        // The keeper ends once nothing more can come.
        tokio::task::spawn_blocking(move || keeper.join())
            .await
            .map_err(std::io::Error::other)?
            .map_err(|_| std::io::Error::other("the thread that keeps the recording fell over"))
    }
}
