//! The table of a proof: does each planted defect get caught, and by what?
//!
//! Knows: rows and columns. Must not know: how defects are planted.

use super::{BOLD, DIM, GREEN, RED, WIDTH, YELLOW, count, paint, wrap};

/// One planted defect, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The defect's name: `fresh_key_per_attempt`.
    pub defect: String,
    /// How it fails in the field, in a line.
    pub failure: String,
    /// The drill that claims to catch it: `idempotency/lost_answer`.
    pub claimed_by: String,
    /// Whether it was caught.
    pub caught: Caught,
    /// The rules that caught it: `idempotency/second_effect`.
    pub by_rules: Vec<String>,
    /// Drills that failed the sound subject, or this defect by a rule that has nothing to do with it.
    pub false_alarms: Vec<String>,
}

/// Whether a defect was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// The claiming drill failed by a rule that names the defect's kind.
    Yes,
    /// The claiming drill passed.
    No,
    /// The claiming drill could not judge.
    Unknown,
}

/// The whole table, with its last line: how many were caught.
pub fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let (word, style) = match row.caught {
            Caught::Yes => ("caught", GREEN),
            Caught::No => ("MISSED", RED),
            Caught::Unknown => ("UNKNOWN", YELLOW),
        };
        text.push_str(&format!(
            "{} {}  {}\n",
            paint(style, &format!("{word:>8}")),
            paint(BOLD, &row.defect),
            paint(DIM, &row.claimed_by)
        ));
        for line in wrap(&row.failure, WIDTH - 9) {
            text.push_str(&format!("{:9}{line}\n", ""));
        }
        if !row.by_rules.is_empty() {
            for (n, line) in wrap(&row.by_rules.join(", "), WIDTH - 12).iter().enumerate() {
                let lead = if n == 0 { "by" } else { "" };
                text.push_str(&format!("{:9}{} {line}\n", "", paint(DIM, &format!("{lead:<2}"))));
            }
        }
        for alarm in &row.false_alarms {
            text.push_str(&format!("{:9}{} {alarm}\n", "", paint(RED, "false alarm:")));
        }
    }
    let caught = rows.iter().filter(|r| r.caught == Caught::Yes).count();
    let alarms: usize = rows.iter().map(|r| r.false_alarms.len()).sum();
    let all = if caught == rows.len() && alarms == 0 { GREEN } else { RED };
    text.push_str(&format!("{}\n", paint(DIM, &"─".repeat(WIDTH))));
    text.push_str(&format!(
        "  {}, {}\n",
        paint(all, &format!("{caught} of {} caught", count(rows.len(), "defect"))),
        count(alarms, "false alarm")
    ));
    text
}
