//! The page of one drill.
//!
//! Knows: the order in which a person reads it. Must not know: where a mark is drawn.

use maud::{Markup, PreEscaped, html};

use super::scene::Scene;
use super::{document, theme_button, word};
use crate::finding::{Finding, Verdict};
use crate::report::Ran;
use crate::report::terminal::in_real_time;

const SCRIPTS: [&str; 3] =
    [include_str!("scale.js"), include_str!("details.js"), include_str!("timeline.js")];

/// Makes the page.
pub fn render(ran: &Ran<'_>) -> String {
    let scene = Scene::of(ran);
    let verdict = ran.drilled.verdict;
    let label = if ran.is_flaky() { "flaky".to_owned() } else { verdict.to_string() };
    let up = "../".repeat(ran.loaded.name().matches('/').count());
    let body = html! {
        header.top {
            a.home href={ (up) "index.html" } { "firedrill" }
            span.verdict.(word(verdict)) { (label) }
            span.facts {
                (ran.loaded.family()) " · seed " (ran.seed) " · " (ran.timed()) " · "
                (ran.exchanges()) " exchanges"
            }
            (theme_button())
        }
        section.promise {
            h1 { (ran.loaded.scenario.drill) }
            p.why { (ran.loaded.scenario.why) }
            @if let Some(real) = &ran.drilled.trace.head.real {
                p.why { "time: " (in_real_time(real)) }
            }
            p { code.replay { (ran.replay) } }
            p.checks { @for j in &ran.drilled.judgements {
                span.check.(word(j.verdict)) title={ (j.judged) " judged" } { (j.check) }
            } }
            @for w in ran.drilled.judgements.iter().flat_map(|j| &j.waived) {
                p.why { "waived: " (w.rule) " (" (w.found) "): " (w.because) }
            }
        }
        (findings(ran))
        section.tools {
            input #search type="search" placeholder="Search calls, events, bodies" aria-label="Search";
            span #matches role="status" {}
            span.space {}
            label { input #folded type="checkbox" checked; " fold idle time" }
            button #out type="button" title="Zoom out" { "−" }
            button #in type="button" title="Zoom in" { "+" }
            button #fit type="button" title="Show all" { "fit" }
        }
        main.drill {
            section.picture {
                canvas #timeline tabindex="0" aria-label="Timeline; arrow keys move between marks" {}
                div #tip role="tooltip" hidden {}
            }
            (legend())
            section.two {
                section #list tabindex="0" aria-label="All events" { div #rows {} }
                aside #details aria-live="polite" { p.hint { "Click a mark or a line for the request and the response." } }
            }
        }
        script type="application/json" id="scene" { (PreEscaped(in_script(&scene.json()))) }
    };
    document(&ran.loaded.scenario.drill, body, &SCRIPTS.join("\n"))
}

/// Text that cannot end the script element it stands in (HTML Standard §4.12.1.3), JSON all the
/// same.
fn in_script(json: &str) -> String {
    json.replace('<', "\\u003c")
}

fn findings(ran: &Ran<'_>) -> Markup {
    let findings: Vec<&Finding> = ran
        .drilled
        .judgements
        .iter()
        .flat_map(|j| &j.findings)
        .filter(|f| f.verdict != Verdict::Pass)
        .collect();
    html! {
        @if !findings.is_empty() {
            section.findings { ol { @for (n, f) in findings.iter().enumerate() {
                li.finding.(word(f.verdict)) data-finding=(n) tabindex="0" {
                    b.rule { (f.rule) }
                    p { (f.message) }
                    p.expected { "expected " (f.expected) }
                    @if let Some(hint) = &f.hint { p.hint { "→ " (hint) } }
                    @if f.more > 0 { p.hint { "and " (f.more) " more of the same kind" } }
                }
            } } }
        }
    }
}

fn legend() -> Markup {
    let kinds = [
        ("ok", "succeeded"),
        ("warn", "refused, 4xx"),
        ("bad", "failed, lost or 5xx"),
        ("fault", "hit by a fault"),
        ("note", "step, job, log"),
        ("alarm", "alert"),
        ("state", "token valid"),
        ("open", "breaker open, subject down"),
        ("pin", "proves a finding"),
    ];
    html! { ul.legend { @for (kind, text) in kinds { li { i.(kind) {} (text) } } } }
}
