//! The report that a program reads: one JSON object a drill, one line each.
//!
//! Knows: which fields are promised. Must not know: terminals.

use serde::Serialize;

use super::Ran;
use crate::drill::DrillError;
use crate::finding::{Judgement, Verdict};
use crate::plan::Loaded;
use crate::seed::Seed;
use crate::trace::RealTime;

#[derive(Serialize)]
struct Line<'a> {
    name: String,
    file: &'a str,
    family: String,
    drill: &'a str,
    seed: Seed,
    /// `pass`, `unknown` or `fail`; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    /// What broke in firedrill itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// Why the file cannot be drilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// Why the drill was not put to this subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
    /// Drill time, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    spanned_us: Option<u64>,
    /// By which clock, if not by a virtual and exact one.
    #[serde(skip_serializing_if = "Option::is_none")]
    real_time: Option<Clock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchanges: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    real_ms: Option<u128>,
    /// How often it failed before it came to this, if it was tried again.
    #[serde(skip_serializing_if = "is_zero")]
    failed_before: u32,
    replay: String,
    /// What each check says, with its findings; evidence counts events of the trace from zero.
    judgements: &'a [Judgement],
}

/// How a drill in real time was timed.
#[derive(Serialize)]
struct Clock {
    /// How much faster than its scenario it went.
    scale: u32,
    /// The latest that a timer rang, in microseconds; waits are judged with twice that as tolerance.
    noise_us: u64,
    /// Whether the subject scales its own waits too.
    waits_scaled: bool,
    /// When the scenario began, in microseconds of the drill.
    began_us: u64,
}

impl Clock {
    fn of(real: &RealTime) -> Clock {
        Clock {
            scale: real.scale,
            noise_us: real.noise.0,
            waits_scaled: real.waits_scaled,
            began_us: real.begins_at.0,
        }
    }
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn write(line: &Line<'_>) -> String {
    // Serialising plain data to a string cannot fail.
    serde_json::to_string(line).map(|s| s + "\n").unwrap_or_default()
}

/// The line of a drill.
pub fn drill(ran: &Ran<'_>) -> String {
    write(&Line {
        name: ran.loaded.name(),
        file: &ran.loaded.file,
        family: ran.loaded.family(),
        drill: &ran.loaded.scenario.drill,
        seed: ran.seed,
        verdict: Some(ran.drilled.verdict),
        fault: None,
        refused: None,
        skipped: None,
        spanned_us: Some(ran.spanned().0),
        real_time: ran.drilled.trace.head.real.as_ref().map(Clock::of),
        exchanges: Some(ran.exchanges()),
        real_ms: ran.real.map(|r| r.as_millis()),
        failed_before: ran.failed_before,
        replay: ran.replay.clone(),
        judgements: &ran.drilled.judgements,
    })
}

/// The line of a drill that gave no verdict: its file asks for what cannot be, or firedrill itself
/// broke.
pub fn no_verdict(loaded: &Loaded, seed: Seed, error: &DrillError, again: &str) -> String {
    let refused = matches!(error, DrillError::Scenario(_));
    let skipped = matches!(error, DrillError::Skipped(_));
    write(&Line {
        name: loaded.name(),
        file: &loaded.file,
        family: loaded.family(),
        drill: &loaded.scenario.drill,
        seed,
        verdict: None,
        fault: (!refused && !skipped).then(|| error.to_string()),
        refused: refused.then(|| error.to_string()),
        skipped: skipped.then(|| error.to_string()),
        spanned_us: None,
        real_time: None,
        exchanges: None,
        real_ms: None,
        failed_before: 0,
        replay: again.to_owned(),
        judgements: &[],
    })
}
