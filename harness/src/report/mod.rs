//! Reports: what a person, or a program, reads after a drill.
//!
//! Knows: trace, findings, and how to set them in 80 columns. Must not know: the run; and it
//! prints nothing itself, it gives text (with colours as ANSI codes) to whoever holds the terminal.

mod causes;
pub mod diff;
pub(crate) mod excerpt;
pub(crate) mod file;
pub mod html;
pub mod jsonl;
#[cfg(feature = "cli")]
pub mod junit;
pub mod mistake;
mod payloads;
pub mod sweep;
pub mod table;
pub mod terminal;
pub mod timeline;
pub mod verify;

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::drill::Drilled;
use crate::finding::Verdict;
use crate::plan::Loaded;
use crate::seed::Seed;
use crate::time::{At, Span};
use crate::trace::What;

pub use payloads::payloads;

/// The width that reports are set in, in columns.
pub const WIDTH: usize = 80;

/// One drill that was run.
#[derive(Clone)]
pub struct Ran<'a> {
    /// The drill.
    pub loaded: &'a Loaded,
    /// Its seed.
    pub seed: Seed,
    /// What it left behind.
    pub drilled: &'a Drilled,
    /// How long it took in real time, if that is to be shown.
    pub real: Option<Duration>,
    /// How often it had failed before this run of it, when failures are tried again.
    pub failed_before: u32,
    /// The one command that runs it again.
    pub replay: String,
}

impl Ran<'_> {
    /// The drill time that it spans.
    pub fn spanned(&self) -> Span {
        self.drilled.trace.events.last().map_or(Span::ZERO, |last| last.at.since(At::START))
    }

    /// Whether it passed only when it was tried again: not to be trusted, in it or the subject
    /// something depends on chance or real time.
    pub fn is_flaky(&self) -> bool {
        self.failed_before > 0 && self.drilled.verdict == Verdict::Pass
    }

    /// The name of the file of its trace, in a folder of traces.
    pub(crate) fn trace_file(&self) -> String {
        format!("{}.seed-{}.jsonl", self.loaded.name(), self.seed)
    }

    /// How long the drill lasted, and by which clock where that is the real one.
    pub fn timed(&self) -> String {
        match &self.drilled.trace.head.real {
            None => self.spanned().to_string(),
            Some(real) => {
                format!("{} of real time at scale {}", Span(self.spanned().0 / 1_000 * 1_000), real.scale)
            }
        }
    }

    /// How many exchanges there were: calls to vendors and webhook deliveries.
    pub fn exchanges(&self) -> usize {
        let exchange = |w: &What| matches!(w, What::Request { .. } | What::Delivery { .. });
        self.drilled.trace.events.iter().filter(|e| exchange(&e.what)).count()
    }
}

/// The command line that runs a drill again.
pub fn replay(file: &str, seed: Seed) -> String {
    format!("firedrill run {} --seed {seed}", shell_word(file))
}

/// A word as it is written in a command line of a shell: in quotes where it has to be.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        // Whatever stands in double quotes would be looked at by the shell; in single ones nothing is.
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const CYAN: Style = AnsiColor::Cyan.on_default();

pub(crate) fn style_of(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Pass => GREEN,
        Verdict::Unknown => YELLOW,
        Verdict::Fail => RED,
    }
}

pub(crate) fn paint(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{style}{text}{style:#}") }
}

/// Breaks `text` into lines of at most `width` columns; a longer word stands alone.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let room = line.chars().count() + 1 + word.chars().count() <= width;
        if !line.is_empty() && !room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// `text`, or its start and an ellipsis, in at most `width` columns. Control characters, which
/// could move the cursor of a terminal, are shown as `·`.
pub(crate) fn clip(text: &str, width: usize) -> String {
    let mut shown: Vec<char> =
        text.chars().map(|c| if c.is_control() { '·' } else { c }).take(width + 1).collect();
    if shown.len() > width {
        shown.truncate(width.saturating_sub(1));
        shown.push('…');
    }
    shown.into_iter().collect()
}

/// `1 drill`, `2 drills`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
pub(crate) mod tests;
