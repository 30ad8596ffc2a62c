//! The report on conformance, for people and for programs.
//!
//! Knows: findings over exchanges and how to set them in 80 columns. Must not know: how they came
//! about.

use std::collections::BTreeMap;

use serde_json::json;

use super::{BOLD, DIM, RED, WIDTH, YELLOW, clip, count, paint, style_of, wrap};
use crate::contract::Severity;
use crate::finding::Verdict;
use crate::verify::{Counts, Deviation, Report, Way};

/// How many additions are named for one answer; the rest are counted.
const NAMED: usize = 6;

/// The report for people, with ANSI colours. `all` names every addition.
pub fn terminal(report: &Report, all: bool) -> String {
    let mut out = String::new();
    for deviation in report.deviations.iter().filter(|d| d.severity != Severity::Additive && !d.accepted) {
        out += &finding(deviation);
    }
    out += &additions(report, all);
    out += &summary(report);
    out
}

fn finding(d: &Deviation) -> String {
    let (mark, style) = match d.severity {
        Severity::Breaking => ("✗", RED),
        Severity::Unknown => ("?", YELLOW),
        Severity::Additive => ("+", DIM),
    };
    let status = d.status.map(|s| format!(" → {s}")).unwrap_or_default();
    let place = if d.wild.is_empty() { String::new() } else { format!("  {}", d.wild) };
    let mut out = format!("{} {}{place}\n", paint(style, mark), paint(BOLD, &d.rule));
    let mut row = |name: &str, text: &str| {
        for (n, line) in wrap(text, WIDTH - 14).iter().enumerate() {
            let name = if n == 0 { name } else { "" };
            out.push_str(&format!("  {}  {}\n", paint(DIM, &format!("{name:<10}")), clip(line, WIDTH * 2)));
        }
    };
    let way = if d.direction == Way::Request { "the request of " } else { "" };
    row("at", &format!("{way}{} {}{status}", d.vendor, d.operation));
    row("expected", &d.expected);
    row("got", &d.got);
    if let Some(branch) = &d.branch {
        row("branch", branch);
    }
    if let Some(moved) = &d.moved {
        row("look at", moved);
    }
    let first = match (&d.recorded, d.first.recorded.is_some()) {
        (Some((from, to)), true) if from != to => format!("recorded {from} to {to}"),
        (Some((day, _)), true) => format!("recorded {day}"),
        _ => "live".to_owned(),
    };
    let times = if d.count == 1 {
        "once".to_owned()
    } else {
        format!("{} times in {}", d.count, count(d.exchanges as usize, "exchange"))
    };
    row("seen", &format!("{times}, first in {} exchange {} ({first})", d.first.from, d.first.exchange));
    if !d.schema.is_empty() {
        row("contract", &format!("{} at {}", d.contract, d.schema));
    } else {
        row("contract", &d.contract);
    }
    row("again", &d.reproduce);
    row("id", &d.id);
    out.push('\n');
    out
}

/// Additions, a paragraph an answer: many new fields must not hide one break.
fn additions(report: &Report, all: bool) -> String {
    let mut by_answer: BTreeMap<(String, String), Vec<&Deviation>> = BTreeMap::new();
    let mut total = 0;
    for d in report.deviations.iter().filter(|d| d.severity == Severity::Additive && !d.accepted) {
        let status = d.status.map(|s| format!(" → {s}")).unwrap_or_default();
        by_answer.entry((d.vendor.clone(), format!("{}{status}", d.operation))).or_default().push(d);
        total += 1;
    }
    if total == 0 {
        return String::new();
    }
    let mut out = format!(
        "{} {} in {}\n",
        paint(DIM, "+"),
        paint(BOLD, &format!("{} that nothing forbids", count(total, "addition"))),
        count(by_answer.len(), "operation")
    );
    let shown = if all { usize::MAX } else { 12 };
    let operations = by_answer.len();
    let mut rows: Vec<_> = by_answer.into_iter().collect();
    rows.sort_by_key(|(key, list)| (std::cmp::Reverse(list.len()), key.clone()));
    for ((vendor, operation), list) in rows.into_iter().take(shown) {
        let named = if all { list.len() } else { NAMED };
        let mut names: Vec<String> =
            list.iter()
                .take(named)
                .map(|d| {
                    if d.rule.ends_with("value") { format!("{} = {}", d.wild, d.got) } else { d.wild.clone() }
                })
                .collect();
        if list.len() > named {
            names.push(format!("and {} more", list.len() - named));
        }
        out += &format!("  {vendor} {operation}\n");
        for line in wrap(&names.join(", "), WIDTH - 6) {
            out += &format!("      {}\n", paint(DIM, &line));
        }
    }
    if operations > shown {
        out += &format!("  and {} more; --verbose names them all\n", count(operations - shown, "operation"));
    }
    out.push('\n');
    out
}

fn summary(report: &Report) -> String {
    let verdict = report.verdict();
    let tally = |c: &Counts| {
        let mut parts = vec![format!("{} valid", c.valid)];
        if c.broken > 0 {
            parts.push(format!("{} broken", c.broken));
        }
        if c.unknown > 0 {
            parts.push(format!("{} unknown", c.unknown));
        }
        parts.join(", ")
    };
    let number = |severity: Severity| {
        report.deviations.iter().filter(|d| d.severity == severity && !d.accepted).count()
    };
    let accepted = report.deviations.iter().filter(|d| d.accepted).count();
    let mut out = format!("{}\n", paint(DIM, &"─".repeat(WIDTH)));
    let exchanges = count(report.exchanges as usize, "exchange");
    let unlisted = match report.unlisted {
        0 => String::new(),
        n => format!(", {n} without an operation in the contract"),
    };
    out += &format!("  {:<10}{exchanges}{unlisted}\n", "verified");
    if report.exchanges > 0 {
        out += &format!("  {:<10}{}\n", "requests", tally(&report.requests));
        out += &format!("  {:<10}{}\n", "responses", tally(&report.responses));
    }
    if report.compared > 0 {
        let answers = count(report.compared as usize, "answer");
        out += &format!("  {:<10}{answers} with the baseline\n", "compared");
    }
    let accepted = if accepted > 0 { format!(", {accepted} accepted") } else { String::new() };
    let findings = format!(
        "{} breaking, {} unknown, {} additive{accepted}",
        number(Severity::Breaking),
        number(Severity::Unknown),
        number(Severity::Additive)
    );
    out += &format!("  {:<10}{findings}\n", "findings");
    let word = match verdict {
        Verdict::Pass if report.exchanges == 0 => "all is as in the baseline",
        Verdict::Pass => "the contract holds",
        Verdict::Fail => "the contract is broken",
        Verdict::Unknown => "not all could be judged",
    };
    out += &format!("  {}\n", paint(style_of(verdict), word));
    out
}

/// The report for programs: a line for each finding, and one for the whole.
pub fn jsonl(report: &Report) -> String {
    let mut out = String::new();
    for deviation in &report.deviations {
        let mut line = json!({ "kind": "finding" });
        if let (Some(line), Ok(serde_json::Value::Object(members))) =
            (line.as_object_mut(), serde_json::to_value(deviation))
        {
            line.extend(members);
        }
        out += &format!("{line}\n");
    }
    let line = json!({
        "kind": "summary",
        "verdict": report.verdict(),
        "exchanges": report.exchanges,
        "unlisted": report.unlisted,
        "requests": report.requests,
        "responses": report.responses,
        "compared": report.compared,
    });
    out + &format!("{line}\n")
}
