//! What can stop the core as a whole. Knows start-up and shutdown; must not know single jobs, which fail in their own way.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The core could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// The state directory cannot be created or used.
    #[error("state directory {path}: {source}")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store refused to open or to commit.
    #[error("store: {0}")]
    Store(#[from] rusqlite::Error),
    /// Somebody else has the store open, or we want it for ourselves while somebody has.
    #[error(
        "{path} is in use: stop the other process that has it open (SQLITE_LOCKING=exclusive admits one)"
    )]
    InUse {
        /// The store.
        path: PathBuf,
    },
    /// The store was written by a newer version of this core.
    #[error("store has schema version {found}, this core knows up to {known}")]
    NewerStore {
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// The HTTP client could not be built.
    #[error("HTTP client: {0}")]
    HttpClient(#[from] reqwest::Error),
    /// The authorities of `CA_FILE` cannot be read.
    #[error("CA_FILE {path}: {why}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A credential source cannot be read.
    #[error("credential {name}: {source}")]
    Credential {
        /// What it is for.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The listener could not be bound.
    #[error("listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}
