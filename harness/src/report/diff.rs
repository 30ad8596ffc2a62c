//! What changed between two contracts, for a person and for a program.
//!
//! Knows: the order in which someone needs it: the worst first, by operation, and what is the same
//! in many places once. Must not know: how a change is found.

use anstyle::Style;
use indexmap::IndexMap;
use serde_json::{Value, json as value};

use super::{BOLD, CYAN, DIM, GREEN, RED, WIDTH, YELLOW, clip, count, paint, wrap};
use crate::contract::Contract;
use crate::contract::diff::{Change, Diff, Severity};

const SEVERITIES: [(Severity, &str, Style); 4] = [
    (Severity::Breaking, "breaking", RED),
    (Severity::Undecidable, "undecidable", YELLOW),
    (Severity::Risky, "risky", YELLOW),
    (Severity::Safe, "safe", GREEN),
];
/// How many other places of the same change are named.
const OTHERS: usize = 3;

/// The changes as a person reads them, with ANSI colours. What is safe is only counted by its
/// rules, unless all is asked for.
pub fn text(old: &Contract, new: &Contract, diff: &Diff, all: bool) -> String {
    let mut text = String::new();
    for (severity, label, style) in SEVERITIES {
        let changes: Vec<&Change> = diff.changes.iter().filter(|c| c.severity == severity).collect();
        if changes.is_empty() {
            continue;
        }
        let head = format!("{}  {}", label.to_uppercase(), count(changes.len(), "change"));
        text.push_str(&format!("{}\n", paint(style, &head)));
        if severity == Severity::Safe && !all {
            text.push_str(&by_rule(&changes));
        } else {
            text.push_str(&by_operation(&changes, style));
        }
        text.push('\n');
    }
    text.push_str(&format!("{}\n", paint(DIM, &"─".repeat(WIDTH))));
    let parts = SEVERITIES.map(|(severity, label, style)| {
        let n = diff.count(severity);
        paint(if n == 0 { DIM } else { style }, &format!("{n} {label}"))
    });
    let of = diff.compared.map(|(used, all)| format!(", the {used} of {all} operations that are used"));
    text.push_str(&format!(
        "  {} {}{}: {}\n",
        paint(BOLD, "compared"),
        names(old, new),
        of.unwrap_or_default(),
        parts.join(", ")
    ));
    text
}

fn names(old: &Contract, new: &Contract) -> String {
    let one = |c: &Contract| match c.revision() {
        "" => c.file().display().to_string(),
        revision => format!("{} ({revision})", c.file().display()),
    };
    format!("{} with {}", one(old), one(new))
}

fn by_rule(changes: &[&Change]) -> String {
    let mut rules: IndexMap<&str, usize> = IndexMap::new();
    for change in changes {
        *rules.entry(change.rule).or_default() += 1;
    }
    rules.sort_by(|a, n, b, m| m.cmp(n).then(a.cmp(b)));
    let mut text: String = rules.iter().map(|(rule, n)| format!("  {n:>5}  {rule}\n")).collect();
    text.push_str(&format!("  {}\n", paint(DIM, "--verbose shows each")));
    text
}

/// Changes of the same words are shown once, at their nearest operation, with the other places.
fn by_operation(changes: &[&Change], style: Style) -> String {
    let mut same: IndexMap<(&str, &str), Vec<&Change>> = IndexMap::new();
    for change in changes {
        same.entry((change.rule, &change.message)).or_default().push(change);
    }
    let mut operations: IndexMap<&str, Vec<&Vec<&Change>>> = IndexMap::new();
    for group in same.values() {
        let first = group[0].operations.first().map_or("the whole document", |o| o);
        operations.entry(first).or_default().push(group);
    }
    let mut text = String::new();
    for (operation, groups) in operations {
        text.push_str(&format!("\n  {}\n", paint(BOLD, operation)));
        for group in groups {
            text.push_str(&one(group, style));
        }
    }
    text
}

fn one(group: &[&Change], style: Style) -> String {
    let change = group[0];
    let mut text = format!("    {} {}\n", paint(style, "●"), paint(style, change.rule));
    for line in wrap(&change.message, WIDTH - 6) {
        text.push_str(&format!("      {line}\n"));
    }
    let mut line = |label: &str, said: &str| {
        text.push_str(&format!("      {} {said}\n", paint(DIM, &format!("{label:<5}"))));
    };
    if !change.place.is_empty() {
        line("at", &change.place);
    }
    if change.old == change.new {
        line("both", &change.old);
    } else {
        line("old", &change.old);
        line("new", &change.new);
    }
    let others = change.operations.len().saturating_sub(1);
    if others > 0 {
        line(
            "and",
            &format!(
                "{} that {} to it",
                count(others, "more operation"),
                if others == 1 { "leads" } else { "lead" }
            ),
        );
    }
    for other in group.iter().skip(1).take(OTHERS) {
        let operation = other.operations.first().map_or("", |o| o);
        line("also", &clip(&format!("{operation} {}", other.place), WIDTH - 12));
    }
    if group.len() > OTHERS + 1 {
        line(
            "also",
            &paint(
                CYAN,
                &format!("{} (--format json names all)", count(group.len() - OTHERS - 1, "other place")),
            ),
        );
    }
    text
}

/// The changes as one JSON document.
pub fn json(old: &Contract, new: &Contract, diff: &Diff) -> String {
    let side = |c: &Contract| value!({ "file": c.file().display().to_string(), "version": c.revision() });
    let summary: serde_json::Map<String, Value> = SEVERITIES
        .iter()
        .map(|(severity, label, _)| ((*label).to_owned(), diff.count(*severity).into()))
        .collect();
    let mut whole = value!({
        "old": side(old), "new": side(new), "summary": summary, "changes": diff.changes,
    });
    if let Some((used, all)) = diff.compared {
        whole["operations"] = value!({ "used": used, "all": all });
    }
    format!("{whole:#}\n")
}
