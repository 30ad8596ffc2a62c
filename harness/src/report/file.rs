//! Files that a report fills.
//!
//! Knows: how a file comes to be whole or not at all. Must not know: what is in it.

use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file whole, or not at all, in place of one that was there; its folders are made.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn write(path: &Path, fill: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    {
        let mut buffered = io::BufWriter::new(&mut file);
        fill(&mut buffered)?;
        buffered.flush()?;
    }
    persist(file, path, true)
}

/// Gives a temporary file its name; `replace` says whether one that has it goes.
///
/// # Errors
/// If it cannot have it.
pub(crate) fn persist(file: tempfile::NamedTempFile, path: &Path, replace: bool) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // A temporary file is private; a file of the user's is as their umask says, which cannot
        // be read without changing it: 0644 is what it nearly always comes to.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    if replace {
        file.persist(path).map(drop).map_err(|e| e.error)
    } else {
        file.persist_noclobber(path).map(drop).map_err(|e| e.error)
    }
}
