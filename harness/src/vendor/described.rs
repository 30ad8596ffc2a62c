//! The vendors' own descriptions: found beside a vendor's file or among the bundled ones, and read
//! once a process however many drills there are.
//!
//! Knows: where descriptions are kept, and when a file is another than the one that was read. Must
//! not know: what a description says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crate::contract::{Contract, ContractError};
use crate::scenario::Mistake;

/// The descriptions that come with firedrill.
const BUNDLED: [(&str, &str); 3] = [
    ("hubspot", include_str!("../../../contracts/hubspot/openapi.yaml")),
    ("stripe", include_str!("../../../contracts/stripe/openapi.yaml")),
    ("github", include_str!("../../../contracts/github/openapi.yaml")),
];

/// A file as it was when it was read: its size, and when it was last written.
type Stamp = (PathBuf, u64, Option<SystemTime>);

/// A description, with the files that it was read from.
type Read = (Vec<Stamp>, Arc<Contract>);

/// What was read already, by the folder, or for a bundled one by the vendor's name.
static READ: Mutex<BTreeMap<PathBuf, Read>> = Mutex::new(BTreeMap::new());

/// The description of a bundled vendor.
pub(super) fn bundled(name: &str) -> Result<Option<Arc<Contract>>, Mistake> {
    let Some((_, text)) = BUNDLED.iter().find(|(n, _)| *n == name) else { return Ok(None) };
    let file = format!("contracts/{name}/openapi.yaml");
    let read = || Contract::parse(Path::new(&file), text.as_bytes());
    once(Path::new(name), Vec::new(), || read().map(Some)).map_err(|e| mistake(&e))
}

/// The description in a vendor's folder, if there is one.
pub(super) fn in_folder(folder: &Path) -> Result<Option<Arc<Contract>>, Mistake> {
    let Some(file) = Contract::file_of(folder) else { return Ok(None) };
    let mut files = vec![file];
    if let Ok(more) = std::fs::read_dir(folder.join("webhooks")) {
        files.extend(more.filter_map(|entry| Some(entry.ok()?.path())));
    }
    files.sort();
    let stamp = |file: PathBuf| {
        let meta = std::fs::metadata(&file).ok();
        let written = meta.as_ref().and_then(|m| m.modified().ok());
        (file, meta.map_or(0, |m| m.len()), written)
    };
    let stamps = files.into_iter().map(stamp).collect();
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    once(&whole, stamps, || Contract::of_folder(folder)).map_err(|e| mistake(&e))
}

fn once(
    place: &Path,
    stamps: Vec<Stamp>,
    read: impl FnOnce() -> Result<Option<Contract>, ContractError>,
) -> Result<Option<Arc<Contract>>, ContractError> {
    // Held while reading, so that no two threads read the same; a poisoned map is still whole.
    let mut known = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, contract)) = known.get(place).filter(|(before, _)| *before == stamps) {
        return Ok(Some(contract.clone()));
    }
    let contract = read()?.map(Arc::new);
    if let Some(contract) = &contract {
        known.insert(place.to_owned(), (stamps, contract.clone()));
    }
    Ok(contract)
}

fn mistake(error: &ContractError) -> Mistake {
    let file = error.file().display().to_string();
    let ContractError::At { line, column, why, help, .. } = error else {
        return Mistake::whole(&file, error.to_string(), None);
    };
    let text = std::fs::read_to_string(error.file()).unwrap_or_default();
    Mistake {
        file,
        line: *line,
        column: *column,
        message: why.clone(),
        help: (!help.is_empty()).then(|| help.clone()),
        source_line: text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned(),
        in_changes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_once_and_again_when_it_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("openapi.json");
        let text = |title: &str| {
            format!(r#"{{"openapi":"3.1.0","info":{{"title":"{title}","version":"1"}},"paths":{{}}}}"#)
        };
        std::fs::write(&file, text("a")).unwrap();
        let read = || in_folder(folder.path()).unwrap().unwrap();
        let first = read();
        assert!(Arc::ptr_eq(&first, &read()));
        std::fs::write(&file, text("another")).unwrap();
        assert!(!Arc::ptr_eq(&first, &read()));
        assert!(Arc::ptr_eq(&bundled("stripe").unwrap().unwrap(), &bundled("stripe").unwrap().unwrap()));
    }

    #[test]
    fn a_broken_description_is_a_mistake_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("openapi.json"), "{\n  \"openapi\": 3.1.0\n}").unwrap();
        let mistake = in_folder(folder.path()).unwrap_err();
        assert_eq!((mistake.line, mistake.source_line.trim()), (2, "\"openapi\": 3.1.0"));
    }
}
