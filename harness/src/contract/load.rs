//! Reading contracts from files: the one place here that touches the disk.
//!
//! Knows: where a vendor's folder keeps its description and its webhook schemas. Must not know:
//! what they say.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::document::{Document, Version};
use super::source::{MAX_BYTES, Source};
use super::{Contract, ContractError, Payload, compile};

/// What a vendor's description may be called.
const NAMES: [&str; 3] = ["openapi.json", "openapi.yaml", "openapi.yml"];
/// How the file of a webhook's schema ends.
const SCHEMA: &str = ".schema.json";

impl Contract {
    /// Reads a description, and the files that it refers to: those in its own folder and below (or in the
    /// working folder and below, if it lies there), and no others, however they are reached.
    ///
    /// # Errors
    /// [`ContractError`], with file, line and column where there are any.
    pub fn load(file: &Path) -> Result<Contract, ContractError> {
        let bytes = read(file).map_err(|why| ContractError::Read { file: file.to_owned(), why })?;
        let folders = folders(file);
        Contract::parse_with(file, &bytes, &mut |path| beside(&folders, path))
    }

    /// Reads a vendor's folder: `openapi.{json,yaml}`, and `webhooks/NAME.schema.json`, one JSON
    /// Schema for each event. None if there is no description in it.
    ///
    /// # Errors
    /// As [`Contract::load`].
    pub fn of_folder(folder: &Path) -> Result<Option<Contract>, ContractError> {
        let Some(file) = Contract::file_of(folder) else { return Ok(None) };
        let mut contract = Contract::load(&file)?;
        let webhooks = folder.join("webhooks");
        if webhooks.is_dir() {
            let failed =
                |e: std::io::Error| ContractError::Read { file: webhooks.clone(), why: e.to_string() };
            let mut files: Vec<PathBuf> = Vec::new();
            for entry in std::fs::read_dir(&webhooks).map_err(failed)? {
                files.push(entry.map_err(failed)?.path());
            }
            files.sort();
            for file in files {
                let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if let Some(name) = name.strip_suffix(SCHEMA) {
                    let bytes = read(&file).map_err(|why| ContractError::Read { file: file.clone(), why })?;
                    contract.add_webhook(name, &file, &bytes)?;
                }
            }
        }
        Ok(Some(contract))
    }

    /// The description in a vendor's folder, if there is one.
    pub fn file_of(folder: &Path) -> Option<PathBuf> {
        NAMES.iter().map(|name| folder.join(name)).find(|file| file.is_file())
    }

    /// Adds the JSON Schema of the payload of the webhook `name`; `file` is only named in errors.
    ///
    /// # Errors
    /// If it is not JSON, no schema, or refers to anything outside itself.
    pub fn add_webhook(&mut self, name: &str, file: &Path, bytes: &[u8]) -> Result<(), ContractError> {
        let source = Source::of(file, bytes)?;
        let raw: Value = source.value()?;
        if !raw.is_object() {
            let why = format!("this is {}, not a JSON Schema", super::mask::kind(&raw));
            return Err(ContractError::whole(file, why, "a schema is an object"));
        }
        let judge = compile::alone(&raw).map_err(|why| ContractError::whole(file, why, ""))?;
        let payload = Payload { document: Document { raw, version: Version::V31, dated: None }, judge };
        self.payloads.insert(name.to_owned(), payload);
        Ok(())
    }
}

/// The folder of a description, without links: where it is said to be, and where it truly is. In the place
/// of one that lies in the working folder, that one: the parts of a project may refer to each other. A
/// description that is read from a pipe has none.
fn folders(file: &Path) -> Vec<PathBuf> {
    let named = file.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let true_file = file.canonicalize().ok();
    let mut folders: Vec<PathBuf> = named.canonicalize().ok().into_iter().collect();
    folders.extend(true_file.as_deref().and_then(Path::parent).map(Path::to_owned));
    if let Some(project) = Path::new(".").canonicalize().ok().filter(|p| p.parent().is_some()) {
        for folder in folders.iter_mut().filter(|folder| folder.starts_with(&project)) {
            folder.clone_from(&project);
        }
    }
    folders.dedup();
    folders
}

/// The bytes of a file that a description refers to. A description that came from elsewhere has no
/// business with the other files of this machine. What would wait, or never end, is no file.
fn beside(folders: &[PathBuf], file: &Path) -> Result<Vec<u8>, String> {
    let file = file.canonicalize().map_err(|e| e.to_string())?;
    if !folders.iter().any(|folder| file.starts_with(folder)) {
        let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        return Err(format!("it is {}, outside of {}", file.display(), folders.join(" and ")));
    }
    let kind = std::fs::metadata(&file).map_err(|e| e.to_string())?.file_type();
    match kind.is_file() || kind.is_dir() {
        true => read(&file),
        false => Err("it is a device or a pipe, and no file".to_owned()),
    }
}

/// The bytes of a file, of which none is read if it says that it is too large.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let opened = std::fs::File::open(file).map_err(|e| e.to_string())?;
    let size = opened.metadata().map_err(|e| e.to_string())?.len();
    if size > MAX_BYTES as u64 {
        return Err(format!("it has {} MB; a contract has at most {} MB", size >> 20, MAX_BYTES >> 20));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // A pipe does not say how large it is.
    opened.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    match bytes.len() > MAX_BYTES {
        true => Err(format!("it does not end; a contract has at most {} MB", MAX_BYTES >> 20)),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_in_the_working_folder_may_refer_to_all_that_lies_there() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(folders("src/contract/load.rs".as_ref()), [here]);
        let elsewhere = tempfile::tempdir().unwrap();
        let folder = elsewhere.path().canonicalize().unwrap();
        assert_eq!(folders(&folder.join("openapi.json")), [folder]);
    }
}
