//! The report that a person reads in a terminal.
//!
//! Knows: the order in which someone at 2 am needs things: what broke, what was expected, the
//! proof, and how to see it again. Must not know: how drills are run.

use std::time::Duration;

use super::causes::Causes;
use super::timeline::Timeline;
use super::{BOLD, CYAN, DIM, RED, Ran, WIDTH, YELLOW, count, paint, style_of, wrap};
use crate::drill::{DrillError, Drilled};
use crate::finding::{Finding, Verdict};
use crate::plan::Loaded;
use crate::time::Span;
use crate::trace::{RealTime, What};

/// How many findings of one drill are shown, unless all are asked for.
const FINDINGS: usize = 5;
/// Where the promise of a drill begins, in columns.
const PROMISE: usize = 25;

/// The line of a drill, and under it, unless it passed, why; with `verbose` also the whole timeline.
pub fn drill(ran: &Ran<'_>, verbose: bool) -> String {
    let mut text = line(ran);
    if ran.drilled.verdict != Verdict::Pass {
        text.push('\n');
        text.push_str(&why(ran, verbose));
    } else {
        text.push_str(&waived(ran.drilled));
    }
    if verbose {
        text.push_str(&format!("\n    {}\n", paint(BOLD, "all that happened")));
        text.push_str(&Timeline::new(&ran.drilled.trace).whole(2));
        text.push('\n');
    }
    text
}

fn head(label: &str, style: anstyle::Style, family: &str, promise: &str, stats: &str) -> String {
    let mut text = String::new();
    let mut lines = wrap(promise, WIDTH - PROMISE);
    let last = lines.last().map_or(0, |l| l.chars().count());
    let joined = !stats.is_empty() && last + 2 + stats.chars().count() <= WIDTH - PROMISE;
    for line in &mut lines {
        *line = paint(BOLD, line);
    }
    if !stats.is_empty() {
        match lines.last_mut() {
            Some(last) if joined => *last = format!("{last}  {}", paint(DIM, stats)),
            _ => lines.push(paint(DIM, stats)),
        }
    }
    for (n, line) in lines.iter().enumerate() {
        if n == 0 {
            text.push_str(&format!("{} {family:<15} {line}\n", paint(style, &format!("{label:>8}"))));
        } else {
            text.push_str(&format!("{:PROMISE$}{line}\n", ""));
        }
    }
    text
}

fn line(ran: &Ran<'_>) -> String {
    let verdict = ran.drilled.verdict;
    let real = ran.real.map(|r| format!(" · {} ms real", r.as_millis())).unwrap_or_default();
    let label = if ran.is_flaky() { "FLAKY".to_owned() } else { verdict.to_string().to_uppercase() };
    let style = if ran.is_flaky() { YELLOW } else { style_of(verdict) };
    let exchanges = count(ran.exchanges(), "exchange");
    let stats = match &ran.drilled.trace.head.real {
        None => format!("{} · {exchanges}{real}", ran.timed()),
        Some(RealTime { noise, .. }) => format!("{} · {exchanges} · ±{noise}", ran.timed()),
    };
    head(&label, style, &ran.loaded.family(), &ran.loaded.scenario.drill, &stats)
}

/// The line of a drill that gave no verdict: its file asks for what cannot be, or firedrill itself
/// broke.
pub fn no_verdict(loaded: &Loaded, error: &DrillError, replay: &str) -> String {
    if let DrillError::Skipped(why) = error {
        let promise = &loaded.scenario.drill;
        return head("SKIP", YELLOW, &loaded.family(), promise, "") + &indented(why);
    }
    let (label, who, message) = match error {
        DrillError::Scenario(message) => ("REFUSED", "mistake", message.clone()),
        other => (
            "FAULT",
            "firedrill",
            format!("{other} (this is a fault of firedrill or of this machine, not of the subject)"),
        ),
    };
    let mut text = head(label, RED, &loaded.family(), &loaded.scenario.drill, "");
    text.push('\n');
    text.push_str(&labelled(who, &message));
    text.push_str(&labelled_raw("replay", &paint(CYAN, replay)));
    text.push('\n');
    text
}

/// Text under a drill's promise.
fn indented(text: &str) -> String {
    wrap(text, WIDTH - PROMISE).iter().map(|l| format!("{:PROMISE$}{}\n", "", paint(DIM, l))).collect()
}

/// Why a drill did not pass: findings with their proof, the seed, and the command that replays it.
pub fn why(ran: &Ran<'_>, all: bool) -> String {
    let drilled = ran.drilled;
    let timeline = Timeline::new(&drilled.trace);
    let mut findings: Vec<&Finding> = drilled.judgements.iter().flat_map(|j| &j.findings).collect();
    findings.retain(|f| f.verdict != Verdict::Pass);
    findings.sort_by_key(|f| std::cmp::Reverse(f.verdict));
    let shown = if all { findings.len() } else { findings.len().min(FINDINGS) };

    let mut text = String::new();
    for finding in &findings[..shown] {
        text.push_str(&one(finding, &timeline));
        text.push('\n');
    }
    if findings.len() > shown {
        let left = count(findings.len() - shown, "more finding");
        text.push_str(&format!("    {}\n\n", paint(DIM, &format!("… and {left}: --verbose shows all"))));
    }
    // A check that could not judge, and said no more about it, must not go unseen.
    for judgement in drilled.judgements.iter().filter(|j| j.verdict != Verdict::Pass && j.findings.is_empty())
    {
        text.push_str(&format!(
            "  {} {}\n    the check gave no reason\n\n",
            paint(style_of(judgement.verdict), &judgement.verdict.to_string()),
            judgement.check
        ));
    }
    for event in &drilled.trace.events {
        if let What::HarnessFault { message } = &event.what {
            text.push_str(&labelled("firedrill", &format!("fault of its own at {}: {message}", event.at)));
        }
    }
    if let Some(real) = &drilled.trace.head.real {
        text.push_str(&labelled("time", &in_real_time(real)));
    }
    text.push_str(&waived(drilled));
    text.push_str(&labelled("why", &ran.loaded.scenario.why));
    text.push_str(&labelled("seed", &ran.seed.to_string()));
    text.push_str(&labelled_raw("replay", &paint(CYAN, &ran.replay)));
    text.push('\n');
    text
}

/// What was found and does not count, with the reason that the scenario gives.
fn waived(drilled: &Drilled) -> String {
    let all = drilled.judgements.iter().flat_map(|j| &j.waived);
    all.map(|w| {
        let times = count(usize::try_from(w.found).unwrap_or(usize::MAX), "finding");
        labelled("waived", &format!("{} ({times}): {}", w.rule, w.because))
    })
    .collect()
}

/// By which time a drill was judged.
pub(super) fn in_real_time(real: &RealTime) -> String {
    let RealTime { scale, noise, waits_scaled, begins_at, .. } = real;
    let own = match (scale, waits_scaled) {
        (1, _) => "",
        (_, true) => "; the subject scales its own waits, and promises about them are scaled too",
        (_, false) => "; the subject's own waits are not scaled, nor are promises about them",
    };
    format!(
        "real, at scale {scale}, from {begins_at} on, when the subject was ready; this machine's timers rang \
         up to {noise} late, and waits are judged with twice that as tolerance{own}"
    )
}

fn one(finding: &Finding, timeline: &Timeline<'_>) -> String {
    let style = style_of(finding.verdict);
    let mark = if finding.verdict == Verdict::Fail { "✗" } else { "?" };
    let mut text = format!("  {} {}\n", paint(style, mark), paint(style, &finding.rule));
    for line in wrap(&finding.message, WIDTH - 4) {
        text.push_str(&format!("    {}\n", paint(BOLD, &line)));
    }
    text.push_str(&labelled("expected", &finding.expected));
    if let Some(hint) = &finding.hint {
        text.push_str(&labelled("look at", hint));
    }
    if finding.more > 0 {
        let more = count(finding.more as usize, "more case");
        text.push_str(&labelled("and", &format!("{more} of the same kind")));
    }
    if !finding.evidence.is_empty() {
        text.push('\n');
        text.push_str(&timeline.of_finding(finding, 0));
    }
    text
}

fn labelled(label: &str, text: &str) -> String {
    let mut out = String::new();
    for (n, line) in wrap(text, WIDTH - 14).iter().enumerate() {
        let label = if n == 0 { label } else { "" };
        out.push_str(&format!("    {} {line}\n", paint(DIM, &format!("{label:<9}"))));
    }
    out
}

/// A labelled line that is not wrapped, so that it can be copied whole.
fn labelled_raw(label: &str, text: &str) -> String {
    format!("    {} {text}\n", paint(DIM, &format!("{label:<9}")))
}

/// The worst that came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worst {
    /// Every drill has a verdict; this is the worst.
    Verdict(Verdict),
    /// A drill file asks for what cannot be.
    Refused,
    /// firedrill itself broke: nothing can be trusted.
    Fault,
}

/// What all drills together came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    passed: usize,
    virtual_time: u128,
    exchanges: usize,
    /// Commands that replay what did not pass.
    failed: Vec<String>,
    unknown: Vec<String>,
    flaky: Vec<String>,
    faults: Vec<String>,
    refused: Vec<String>,
    skipped: usize,
    causes: Causes,
    doubts: Causes,
    /// Time that really passed, for drills that ran by the real clock.
    real_time: bool,
}

impl Summary {
    /// Counts one drill.
    pub fn add(&mut self, ran: &Ran<'_>) {
        self.virtual_time += u128::from(ran.spanned().0);
        self.exchanges += ran.exchanges();
        self.real_time |= ran.drilled.trace.head.real.is_some();
        match ran.drilled.verdict {
            Verdict::Pass if ran.is_flaky() => self.flaky.push(ran.replay.clone()),
            Verdict::Pass => self.passed += 1,
            Verdict::Unknown => {
                self.unknown.push(ran.replay.clone());
                self.doubts.add(ran);
            }
            Verdict::Fail => {
                self.failed.push(ran.replay.clone());
                self.causes.add(ran);
            }
        }
    }

    /// Counts one drill that gave no verdict; `again` replays it.
    pub fn add_error(&mut self, error: &DrillError, again: String) {
        match error {
            DrillError::Skipped(_) => self.skipped += 1,
            DrillError::Scenario(_) => self.refused.push(again),
            _ => self.faults.push(again),
        }
    }

    /// What it all came to: the worst of it.
    pub fn worst(&self) -> Worst {
        if !self.faults.is_empty() {
            Worst::Fault
        } else if !self.refused.is_empty() {
            Worst::Refused
        } else if !self.failed.is_empty() {
            Worst::Verdict(Verdict::Fail)
        } else if !self.unknown.is_empty() || self.skipped > 0 && self.passed == 0 && self.flaky.is_empty() {
            // Where every drill was skipped, nothing is known of the subject.
            Worst::Verdict(Verdict::Unknown)
        } else {
            Worst::Verdict(Verdict::Pass)
        }
    }

    /// The last lines of the report; `left` drills were not run because of `--fail-fast`.
    pub fn render(&self, left: usize, real: Option<Duration>) -> String {
        let none = self.faults.len() + self.refused.len();
        let ran = self.passed + self.flaky.len() + self.failed.len() + self.unknown.len() + none;
        let mut parts = vec![paint(style_of(Verdict::Pass), &format!("{} passed", self.passed))];
        for (n, what, style) in [
            (self.flaky.len(), "flaky", YELLOW),
            (self.failed.len(), "failed", RED),
            (self.unknown.len(), "unknown", YELLOW),
            (none, "without a verdict", RED),
        ] {
            if n > 0 {
                parts.push(paint(style, &format!("{n} {what}")));
            }
        }
        if self.skipped > 0 {
            parts.push(paint(YELLOW, &format!("{} skipped", self.skipped)));
        }
        if left > 0 {
            parts.push(paint(YELLOW, &format!("{left} not run")));
        }
        let real = real.map(|r| format!(" in {:.1} s", r.as_secs_f64())).unwrap_or_default();
        let mut text = format!("{}\n", paint(DIM, &"─".repeat(WIDTH)));
        text.push_str(&format!(
            "  {} {}: {}\n",
            paint(BOLD, "drilled"),
            count(ran, "drill"),
            parts.join(", ")
        ));
        let spanned = Span(u64::try_from(self.virtual_time).unwrap_or(u64::MAX));
        text.push_str(&format!(
            "  {}\n",
            paint(
                DIM,
                &format!(
                    "{} of {} time ({:.1} hours), {}{real}",
                    spanned,
                    if self.real_time { "real" } else { "virtual" },
                    spanned.as_secs_f64() / 3600.0,
                    count(self.exchanges, "exchange")
                ),
            )
        ));
        for (title, commands, style) in [
            ("fault of firedrill", &self.faults, RED),
            ("refused", &self.refused, RED),
            ("failed", &self.failed, RED),
            ("unknown", &self.unknown, YELLOW),
            ("flaky: passed only when tried again", &self.flaky, YELLOW),
        ] {
            if !commands.is_empty() {
                text.push_str(&format!("\n  {}\n", paint(style, title)));
                for command in commands {
                    text.push_str(&format!("    {}\n", paint(CYAN, command)));
                }
            }
        }
        text.push_str(&self.causes.render("by rule"));
        text.push_str(&self.doubts.render("not judged, by rule"));
        text
    }
}
