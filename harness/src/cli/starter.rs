//! `firedrill new`: a drill to start from, or a vendor.
//!
//! Knows: the texts of the starters, and how to put it on disk without harm. Must not know: what
//! becomes of it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::ExitCode;
use super::console::Console;

const STARTER: &str = include_str!("starter.yaml");
const VENDOR: &str = include_str!("starter-vendor.yaml");
/// The file that describes a vendor, in the folder of its name.
const VENDOR_FILE: &str = "vendor.yaml";
const SCHEMA: &str = "scenario.schema.json";

/// Writes the starter to `path`.
pub(super) fn new(path: &Path, console: &mut Console<'_>) -> io::Result<ExitCode> {
    let refuse = |console: &mut Console<'_>, message: String| {
        console.say(&format!("error: {message}\n"));
        Ok(ExitCode::Usage)
    };
    if !path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
        return refuse(console, format!("{} does not end in .yaml", path.display()));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let is_vendor = path.file_name().is_some_and(|name| name == VENDOR_FILE);
    let text = if is_vendor { vendor(folder) } else { text(folder) };
    let written = fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        crate::report::file::persist(file, path, false)
    });
    match written {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            refuse(console, format!("{} exists already, and is left as it is", path.display()))
        }
        Err(e) => refuse(console, format!("{} cannot be written: {e}", path.display())),
        Ok(()) => {
            let path = path.display();
            let next = if is_vendor {
                let name = folder.file_name().map_or("VENDOR".into(), |name| name.to_string_lossy());
                format!("a drill uses it with\n    vendors: {{ ALIAS: {name} }}\n")
            } else {
                format!("run it with\n    firedrill run {path}\n")
            };
            console.print(&format!("wrote {path}\n{next}"))?;
            Ok(ExitCode::Passed)
        }
    }
}

/// The vendor to start from, called like its folder.
pub(super) fn vendor(folder: &Path) -> String {
    let name = folder.file_name().map_or("shop".into(), |name| name.to_string_lossy());
    VENDOR.replace("VENDOR", &name)
}

/// The starter for a drill in `folder`, pointing editors at the schema if one is near.
pub(super) fn text(folder: &Path) -> String {
    let schema = folder.canonicalize().ok().and_then(|whole| {
        let (up, _) = whole.ancestors().enumerate().find(|(_, dir)| dir.join(SCHEMA).is_file())?;
        Some("../".repeat(up) + SCHEMA)
    });
    let hint = match schema {
        Some(path) => format!("# yaml-language-server: $schema={path}\n"),
        None => format!(
            "# For completion in editors: firedrill schema > {SCHEMA}\n\
             # yaml-language-server: $schema={SCHEMA}\n"
        ),
    };
    hint + STARTER
}
