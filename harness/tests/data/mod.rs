//! Where the public data of vendors is, which is no part of the project: `../shared/data` beside
//! it, or wherever `FIREDRILL_SHARED_DATA` says.

use std::path::{Path, PathBuf};

/// Exchanges that others recorded with the live GitHub API, a folder each.
#[allow(dead_code)]
pub const OCTOKIT: &str = "octokit-fixtures/scenarios/api.github.com";

/// A folder or file of the data.
///
/// # Errors
/// What a test that cannot run without it says beside its name.
pub fn shared(part: &str) -> Result<PathBuf, String> {
    let root = std::env::var_os("FIREDRILL_SHARED_DATA").map(PathBuf::from).unwrap_or_else(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let project = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file()).unwrap_or(here);
        project.join("../shared/data")
    });
    let path = root.join(part);
    if path.exists() { Ok(path) } else { Err(format!("skipped: {} is absent", path.display())) }
}
