//! Reading scenario files, and saying what is wrong with them.
//!
//! Knows: YAML, positions, and how to point at a mistake. Must not know: what a scenario means.

use super::{Base, Scenario};

/// A mistake in a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// The file, as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The line of the file.
    pub source_line: String,
}

/// Reads a drill file.
///
/// # Errors
/// The first [`Mistake`] in it.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Mistake> {
    serde_saphyr::from_str(text).map_err(|e| mistake(file, text, &e))
}

/// Reads a file that drills extend.
///
/// # Errors
/// The first [`Mistake`] in it.
pub fn parse_base(file: &str, text: &str) -> Result<Base, Mistake> {
    serde_saphyr::from_str(text).map_err(|e| mistake(file, text, &e))
}

fn mistake(file: &str, text: &str, error: &serde_saphyr::Error) -> Mistake {
    let (line, column) = error.location().map_or((1, 1), |l| (l.line() as usize, l.column() as usize));
    Mistake {
        file: file.to_owned(),
        line,
        column,
        message: error.without_snippet().to_string(),
        help: None,
        source_line: text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned(),
    }
}
