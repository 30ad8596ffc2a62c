//! The local store: what is mirrored, and what is held of each page.
//!
//! Knows: one JSON file. Must not know: HTTP, or when to write.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What is mirrored of an issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issue {
    /// Its number in the repository.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// `open` or `closed`.
    pub state: String,
    /// When it last changed (RFC 3339).
    pub updated_at: String,
    /// Whether it is a pull request, which GitHub lists among the issues.
    #[serde(default, rename(deserialize = "pull_request"), deserialize_with = "is_there", skip_serializing)]
    pub is_pull: bool,
}

/// True for a member that is there at all, whatever it holds.
fn is_there<'de, D: serde::Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(d).map(|_| true)
}

/// The issues that a mirror keeps in `state_dir`, for whoever only reads them.
///
/// # Errors
/// If the store cannot be read.
pub fn issues(state_dir: impl AsRef<Path>) -> io::Result<Vec<Issue>> {
    Store::new(state_dir.as_ref()).issues()
}

/// A page as it was last read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page {
    /// Where it was read.
    pub url: String,
    /// Its ETag, by which it can be asked for again.
    pub etag: Option<String>,
    /// Where the next page is.
    pub next: Option<String>,
    /// The issues on it, without pull requests.
    pub issues: Vec<Issue>,
}

/// Everything that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub pages: Vec<Page>,
}

impl Held {
    pub fn page(&self, url: &str) -> Option<&Page> {
        self.pages.iter().find(|p| p.url == url)
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Store(PathBuf);

impl Store {
    pub fn new(folder: &Path) -> Store {
        Store(folder.join("issues.json"))
    }

    /// What is held; nothing, if there is no file yet.
    pub fn read(&self) -> io::Result<Held> {
        match std::fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Held::default()),
            Err(e) => Err(e),
        }
    }

    /// The issues that are held, in the order of their pages.
    pub fn issues(&self) -> io::Result<Vec<Issue>> {
        Ok(self.read()?.pages.into_iter().flat_map(|p| p.issues).collect())
    }

    /// Writes over the file in place: a crash meanwhile leaves half of it.
    pub fn write_in_place(&self, held: &Held) -> io::Result<()> {
        std::fs::write(&self.0, serde_json::to_vec(held)?)
    }

    /// Writes a temporary file beside it and renames: the old store or the new one, never half.
    pub fn write_whole(&self, held: &Held) -> io::Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let mut draft = tempfile::NamedTempFile::new_in(folder)?;
        draft.write_all(&serde_json::to_vec(held)?)?;
        draft.as_file().sync_all()?;
        draft.persist(&self.0)?;
        Ok(())
    }
}
