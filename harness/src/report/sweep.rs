//! The matrix of a drift sweep: fields × mutations, one letter a cell.
//!
//! Knows: rows, columns, letters, and how to show a scenario as a file. Must not know: how a cell
//! was run or graded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anstyle::Style;
use serde_json::{Value, json};

use super::{BOLD, CYAN, DIM, GREEN, RED, WIDTH, YELLOW, clip, count, paint, wrap};
use crate::fault::Mutation;
use crate::finding::Verdict;
use crate::scenario::Scenario;
use crate::seed::Seed;
use crate::sweep::{Cell, Grade, Graded, Lesson};

/// What a sweep came to.
pub struct Report<'a> {
    /// The drill's file.
    pub file: &'a str,
    /// The seed.
    pub seed: Seed,
    /// What the subject reads.
    pub lessons: &'a [Lesson],
    /// The cells that were run.
    pub cells: &'a [Cell],
    /// Their grades, in the same order.
    pub grades: &'a [Graded],
    /// The smallest scenario that shows the worst cell.
    pub example: Option<Example>,
    /// How long it took, if that is to be shown.
    pub real: Option<Duration>,
    /// The defect that was planted.
    pub again: Option<&'a str>,
}

/// The smallest scenario that shows a bad cell.
pub struct Example {
    /// The cell.
    pub cell: Cell,
    /// The scenario, complete.
    pub scenario: Scenario,
    /// What a plain run of it comes to, if it was run.
    pub verdict: Option<Verdict>,
}

/// The columns, in their order: mutations by word.
const COLUMNS: [(&str, &str); 29] = [
    ("remove", "rm"),
    ("rename", "rn"),
    ("nullify", "nl"),
    ("deeper", "dp"),
    ("shallower", "sh"),
    ("to_string", "ts"),
    ("to_number", "tn"),
    ("to_boolean", "tb"),
    ("to_object", "to"),
    ("to_list", "tl"),
    ("to_single", "t1"),
    ("to_epoch_seconds", "es"),
    ("to_epoch_millis", "em"),
    ("to_iso_date", "is"),
    ("new_enum_value", "en"),
    ("unknown_text", "un"),
    ("long_text", "lg"),
    ("unicode_text", "uc"),
    ("empty_text", "et"),
    ("grouped_number", "gn"),
    ("decimal_comma", "dc"),
    ("exponent", "ex"),
    ("not_a_number", "na"),
    ("empty_list", "el"),
    ("cut_list", "cl"),
    ("wrap", "wr"),
    ("content_type", "ct"),
    ("encoding", "cs"),
    ("require", "rq"),
];

/// A whole page that is capped shares the last column's kind: what is wanted of requests.
fn column(mutation: &Mutation) -> usize {
    COLUMNS.iter().position(|(word, _)| *word == mutation.word()).unwrap_or(COLUMNS.len())
}

/// The letter of a grade: lower case where a refusal names no field, `=` for what is written as
/// the vendor now says.
fn letter(graded: &Graded) -> (char, Style) {
    match graded.grade {
        Grade::Harmless if graded.as_told => ('=', DIM),
        Grade::Harmless => ('.', DIM),
        Grade::RefusedLoudly if graded.field_named => ('R', GREEN),
        Grade::RefusedLoudly => ('r', GREEN),
        Grade::Unknown => ('?', YELLOW),
        Grade::Broke => ('B', RED),
        Grade::NoticedCorruption => ('c', RED),
        Grade::SilentCorruption => ('C', RED),
    }
}

/// The report for people.
pub fn terminal(report: &Report<'_>, verbose: bool) -> String {
    let planted = report.again.map(|name| format!(", with the defect {name}")).unwrap_or_default();
    let mut text = format!(
        "firedrill: drift sweep of {}, {}, seed {}{planted}\n",
        report.file,
        count(report.cells.len(), "cell"),
        report.seed
    );
    let mut by_target: BTreeMap<String, Vec<(usize, &Cell, &Graded)>> = BTreeMap::new();
    for (n, (cell, graded)) in report.cells.iter().zip(report.grades).enumerate() {
        by_target.entry(cell.on.to_string()).or_default().push((n, cell, graded));
    }
    for lesson in report.lessons {
        if let Some(cells) = by_target.get(&lesson.on.to_string()) {
            text.push_str(&matrix(lesson, cells));
        }
    }
    text.push_str(&legend(report.cells));
    text.push_str(&details(report, verbose));
    text.push_str(&summary(report));
    if let Some(example) = &report.example {
        text.push_str(&shown(example, report.again));
    }
    text
}

/// The columns that these mutations stand in.
fn columns<'c>(mutations: impl Iterator<Item = &'c Mutation>) -> BTreeSet<usize> {
    mutations.map(column).collect()
}

/// The word of a column, and its short form.
fn heading(column: usize) -> (&'static str, &'static str) {
    COLUMNS.get(column).copied().unwrap_or(("cap_page", "pg"))
}

fn matrix(lesson: &Lesson, cells: &[(usize, &Cell, &Graded)]) -> String {
    let used = columns(cells.iter().map(|(_, cell, _)| &cell.mutation));
    let width = (WIDTH.saturating_sub(used.len() * 3)).clamp(20, 44);
    let head: String = used.iter().map(|n| format!("{:>3}", heading(*n).1)).collect();
    let on = lesson.on.to_string();
    let mut text = format!("\n{}\n{:width$}{}\n", paint(BOLD, &on), "", paint(DIM, &head));
    for (row, mutations) in &lesson.rows {
        let mut line = String::new();
        let mut any = false;
        for column_of in &used {
            let here: Vec<&Graded> = cells
                .iter()
                .filter(|(_, cell, _)| {
                    column(&cell.mutation) == *column_of && mutations.contains(&cell.mutation)
                })
                .map(|(_, _, graded)| *graded)
                .collect();
            // Several of one kind (encodings) share a place: the worst is shown.
            match here.into_iter().max_by_key(|g| g.grade) {
                Some(graded) => {
                    let (letter, style) = letter(graded);
                    line.push_str(&format!("  {}", paint(style, &letter.to_string())));
                    any = true;
                }
                None => line.push_str("   "),
            }
        }
        if any {
            let name = tail(&row.to_string(), width.saturating_sub(1));
            text.push_str(&format!("{name:width$}{}\n", line.trim_end()));
        }
    }
    text
}

/// The end of a pointer says more than its start.
fn tail(text: &str, width: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    match chars.len().checked_sub(width) {
        Some(over) if over > 0 => format!("…{}", chars[over + 1..].iter().collect::<String>()),
        _ => text.to_owned(),
    }
}

/// What the letters mean, and the columns that there are.
fn legend(cells: &[Cell]) -> String {
    let mut text = String::from("\n");
    for (letter, style, says) in [
        ('R', GREEN, "refused loudly, the field named"),
        ('r', GREEN, "refused loudly, the field not named"),
        ('.', DIM, "harmless: the ledgers are right, nothing lost"),
        ('=', DIM, "harmless: written as the vendor now says"),
        ('C', RED, "silent corruption: a wrong write, or records lost, and nobody was told"),
        ('c', RED, "corruption: a wrong write, although an alarm went with it"),
        ('B', RED, "broke: crash, hang, leak, or calls without end"),
        ('?', YELLOW, "unknown: never happened, or cannot be graded"),
    ] {
        text.push_str(&format!("  {}  {says}\n", paint(style, &letter.to_string())));
    }
    let mut line = String::new();
    for (word, short) in columns(cells.iter().map(|c| &c.mutation)).into_iter().map(heading) {
        let one = format!("{short} {word}");
        if line.len() + 2 + one.len() > WIDTH - 2 {
            text.push_str(&format!("  {}\n", paint(DIM, &format!("{line},"))));
            line.clear();
        }
        line.push_str(if line.is_empty() { "" } else { ", " });
        line.push_str(&one);
    }
    text.push_str(&format!("  {}\n", paint(DIM, &line)));
    text
}

/// The cells that somebody must look at, one paragraph each.
fn details(report: &Report<'_>, verbose: bool) -> String {
    const MOST: usize = 20;
    let all = report.cells.iter().zip(report.grades);
    let wanted: Vec<_> =
        all.filter(|(_, g)| verbose || g.grade.is_bad() || g.grade == Grade::Unknown).collect();
    let mut text = String::new();
    let most = if verbose { usize::MAX } else { MOST };
    for (cell, graded) in wanted.iter().take(most) {
        let (letter, style) = letter(graded);
        let head = format!("{} · {}", cell.on, cell.mutation);
        text.push_str(&format!("\n{} {head}\n", paint(style, &letter.to_string())));
        for line in wrap(&clip(&graded.why, 400), WIDTH - 4) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    if wanted.len() > most {
        text.push_str(&format!("\n  … and {} more; `--format json` has all\n", wanted.len() - most));
    }
    text
}

fn summary(report: &Report<'_>) -> String {
    let of = |grade: Grade| report.grades.iter().filter(|g| g.grade == grade).count();
    let unnamed = report.grades.iter().filter(|g| g.grade == Grade::RefusedLoudly && !g.field_named).count();
    let part = |grade: Grade, style: Style, word: &str| match of(grade) {
        0 if !matches!(grade, Grade::SilentCorruption | Grade::Broke) => None,
        0 => Some(format!("0 {word}")),
        n => Some(paint(style, &format!("{n} {word}"))),
    };
    let parts: Vec<String> = [
        part(Grade::RefusedLoudly, GREEN, "refused loudly"),
        part(Grade::Harmless, GREEN, "harmless"),
        part(Grade::SilentCorruption, RED, "silent corruption"),
        part(Grade::NoticedCorruption, RED, "corruption with an alarm"),
        part(Grade::Broke, RED, "broke"),
        part(Grade::Unknown, YELLOW, "unknown"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let real = report.real.map(|r| format!(" in {:.1} s", r.as_secs_f64())).unwrap_or_default();
    let mut text = format!("{}\n", paint(DIM, &"─".repeat(WIDTH)));
    text.push_str(&format!("  swept {}{real}: {}\n", count(report.grades.len(), "cell"), parts.join(", ")));
    if unnamed > 0 {
        text.push_str(&format!("  {unnamed} of the refusals do not name the field\n"));
    }
    text
}

fn shown(example: &Example, planted: Option<&str>) -> String {
    let run =
        format!("firedrill run FILE{}", planted.map(|name| format!(" --defect {name}")).unwrap_or_default());

    let mut text = format!("\n{}\n\n", paint(BOLD, "The smallest drill that shows the worst of it"));
    for line in yaml(&example.scenario).lines() {
        text.push_str(&format!("  {}\n", paint(CYAN, line)));
    }
    text.push('\n');
    let said = match example.verdict {
        Some(Verdict::Fail) => format!("Save it and run it with `{run}`: it fails."),
        Some(_) => format!(
            "`{run}` passes it, as what goes wrong is put right before its end; the sweep saw it by \
             comparing with the undisturbed run."
        ),
        None => "It was not run again.".to_owned(),
    };
    for line in wrap(&said, WIDTH - 4) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// The scenario as a drill file.
pub fn yaml(scenario: &Scenario) -> String {
    // By way of JSON, so that what is not said is left out as serde skips it.
    let value = serde_json::to_value(scenario).unwrap_or(Value::Null);
    serde_saphyr::to_string(&value).unwrap_or_else(|_| format!("{value:#}"))
}

/// The report for programs: one JSON object.
pub fn json(report: &Report<'_>) -> String {
    let cells: Vec<Value> = report
        .cells
        .iter()
        .zip(report.grades)
        .map(|(cell, graded)| {
            let mut shown = json!({
                "on": cell.on.to_string(),
                "field": cell.mutation.field().map(ToString::to_string),
                "mutation": cell.mutation.word(),
                "drift": cell.mutation,
            });
            if let (Value::Object(shown), Ok(Value::Object(graded))) =
                (&mut shown, serde_json::to_value(graded))
            {
                shown.extend(graded);
            }
            shown
        })
        .collect();
    let mut summary: BTreeMap<String, usize> = BTreeMap::new();
    for graded in report.grades {
        if let Ok(Value::String(word)) = serde_json::to_value(graded.grade) {
            *summary.entry(word).or_default() += 1;
        }
    }
    let example = report.example.as_ref().map(|e| {
        json!({
            "on": e.cell.on.to_string(),
            "drift": e.cell.mutation,
            "scenario": yaml(&e.scenario),
            "verdict": e.verdict,
        })
    });
    let value = json!({
        "file": report.file,
        "seed": report.seed,
        "defect": report.again,
        "summary": summary,
        "cells": cells,
        "smallest": example,
    });
    format!("{value:#}\n")
}
