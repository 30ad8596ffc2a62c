//! Why a contract could not be read or used.
//!
//! Knows: places in files. Must not know: how anything is validated.

use std::path::PathBuf;

/// Why a contract could not be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// The file could not be read.
    #[error("{}: cannot be read: {why}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: String,
    },
    /// Something at a place in a file is wrong.
    #[error("{}:{line}:{column}: {why}{}", file.display(), next(help))]
    At {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What was found and expected.
        why: String,
        /// What to do; empty if there is nothing to add.
        help: String,
    },
    /// Something about the file as a whole is wrong.
    #[error("{}: {why}{}", file.display(), next(help))]
    Whole {
        /// The file.
        file: PathBuf,
        /// What was found and expected.
        why: String,
        /// What to do; empty if there is nothing to add.
        help: String,
    },
}

impl ContractError {
    pub(super) fn whole(file: &std::path::Path, why: impl Into<String>, help: &str) -> ContractError {
        ContractError::Whole { file: file.to_owned(), why: why.into(), help: help.to_owned() }
    }

    /// The file that is wrong.
    pub fn file(&self) -> &std::path::Path {
        match self {
            ContractError::Read { file, .. }
            | ContractError::At { file, .. }
            | ContractError::Whole { file, .. } => file,
        }
    }
}

fn next(help: &str) -> String {
    if help.is_empty() { String::new() } else { format!("\n  help: {help}") }
}
