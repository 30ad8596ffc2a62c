//! Pages for the browser: one timeline a drill, and an index of all.
//!
//! Knows: how pages are put together. Must not know: the file system, or the run. Each page stands
//! alone: no network, no other file; it can be attached to a ticket as it is.

mod page;
mod scene;
mod states;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Ran;
use crate::drill::DrillError;
use crate::finding::Verdict;
use crate::plan::Loaded;
use crate::seed::Seed;

const STYLE: &str = include_str!("style.css");
const THEME: &str = include_str!("theme.js");
const FILTER: &str = include_str!("filter.js");

/// A page, and where it belongs in its folder.
#[derive(Clone, Debug)]
pub struct Page {
    /// The path below the folder of all pages, with `/`.
    pub path: String,
    /// The page.
    pub html: String,
}

/// All drills of a run, as pages.
#[derive(Clone, Debug, Default)]
pub struct Site {
    rows: Vec<Row>,
}

/// A drill in the index.
#[derive(Clone, Debug)]
struct Row {
    /// `pass`, `unknown`, `fail`, or `none` where there is no verdict.
    verdict: &'static str,
    label: String,
    family: String,
    drill: String,
    file: String,
    seed: Seed,
    /// The page, if there is a timeline to show.
    path: Option<String>,
    /// What was found first, or why there is no verdict.
    found: String,
    spanned: String,
    exchanges: String,
    replay: String,
}

impl Site {
    /// The page of a drill; the index will link to it.
    pub fn drill(&mut self, ran: &Ran<'_>) -> Page {
        let path = format!("{}.seed-{}.html", ran.loaded.name(), ran.seed);
        let verdict = ran.drilled.verdict;
        let worst = ran.drilled.judgements.iter().flat_map(|j| &j.findings).find(|f| f.verdict == verdict);
        let found = worst.map(|f| format!("{}: {}", f.rule, f.message));
        self.rows.push(Row {
            verdict: word(verdict),
            label: if ran.is_flaky() { "flaky".into() } else { verdict.to_string() },
            family: ran.loaded.family(),
            drill: ran.loaded.scenario.drill.clone(),
            file: ran.loaded.file.clone(),
            seed: ran.seed,
            path: Some(path.clone()),
            found: found.filter(|_| verdict != Verdict::Pass).unwrap_or_default(),
            spanned: ran.timed(),
            exchanges: ran.exchanges().to_string(),
            replay: ran.replay.clone(),
        });
        Page { path, html: page::render(ran) }
    }

    /// Takes in a drill that gave no verdict.
    pub fn no_verdict(&mut self, loaded: &Loaded, seed: Seed, error: &DrillError, replay: &str) {
        let (verdict, label) = match error {
            DrillError::Skipped(_) => ("skip", "skipped"),
            DrillError::Scenario(_) => ("none", "refused"),
            _ => ("none", "fault"),
        };
        self.rows.push(Row {
            verdict,
            label: label.into(),
            family: loaded.family(),
            drill: loaded.scenario.drill.clone(),
            file: loaded.file.clone(),
            seed,
            path: None,
            found: error.to_string(),
            spanned: String::new(),
            exchanges: String::new(),
            replay: replay.to_owned(),
        });
    }

    /// The page that lists all drills, what did not pass first.
    pub fn index(mut self) -> String {
        let rank = |v: &str| ["none", "fail", "unknown", "skip", "pass"].iter().position(|w| *w == v);
        self.rows.sort_by_key(|r| rank(r.verdict));
        let of = |v: &str| self.rows.iter().filter(|r| r.verdict == v).count();
        let body = html! {
            header.top {
                h1 { "firedrill" }
                p.counts {
                    @for (v, text) in [("pass", "passed"), ("fail", "failed"), ("unknown", "unknown"), ("skip", "skipped"), ("none", "without a verdict")] {
                        @if of(v) > 0 { button.verdict.(v) type="button" data-verdict=(v) { (of(v)) " " (text) } }
                    }
                }
                input #search type="search" placeholder="Search drills" aria-label="Search drills";
                (theme_button())
            }
            main.index {
                table {
                    thead { tr { th { "Verdict" } th { "Family" } th { "Promise" } th.n { "Seed" } th.n { "Drill time" } th.n { "Exchanges" } } }
                    tbody { @for row in &self.rows { (row_of(row)) } }
                }
                p.nothing hidden { "No drill matches." }
            }
        };
        document("firedrill: all drills", body, FILTER)
    }
}

fn row_of(row: &Row) -> Markup {
    html! {
        tr data-verdict=(row.verdict) {
            td { span.verdict.(row.verdict) { (row.label) } }
            td.family { (row.family) }
            td.promise {
                @match &row.path {
                    Some(path) => a href=(path) { (row.drill) },
                    None => span { (row.drill) },
                }
                @if !row.found.is_empty() { p.found { (row.found) } }
                @if row.verdict != "pass" { code.replay { (row.replay) } }
                span.file { (row.file) }
            }
            td.n data-label="seed" { (row.seed) }
            td.n data-label="time" { (row.spanned) }
            td.n data-label="exchanges" { (row.exchanges) }
        }
    }
}

fn theme_button() -> Markup {
    html! { button #theme type="button" title="Light or dark" aria-label="Light or dark" { "◐" } }
}

fn document(title: &str, body: Markup, script: &str) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(THEME)) }
                script { (PreEscaped(script)) }
            }
        }
    }
    .into_string()
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Unknown => "unknown",
        Verdict::Fail => "fail",
    }
}

#[cfg(test)]
mod tests;
