//! Which drills cannot be put to a subject, and why.
//!
//! Knows: what a program, unlike a subject inside this process, cannot do, and what real time
//! cannot tell apart. Must not know: any one drill or subject.

use super::stage::span;
use crate::fault::{Act, Target};
use crate::pacing::Pacing;
use crate::scenario::{Action, Given, Piece, Program, Runs, Scenario, Slot, or_nearest, pieces};
use crate::time::{At, Span};

/// The shortest promised wait that a real clock tells apart from its own noise.
const GRAIN: Span = Span::millis(50);

/// Why a drill cannot be put to a subject that runs inside this process.
pub fn in_process(scenario: &Scenario) -> Option<String> {
    let pauses = scenario.faults.iter().any(|r| matches!(r.act, Act::Pause(_)));
    pauses
        .then(|| "a subject inside this process cannot be paused, only a program can (--subject)".to_owned())
}

/// Why a drill cannot be put to `program` within `longest` of real time; none if it can.
pub fn reason(s: &Scenario, program: &Program, pacing: &Pacing, longest: Span) -> Option<String> {
    missing(s, program).or_else(|| plain(s, program)).or_else(|| unseen(s)).or_else(|| {
        let takes = length(s, pacing);
        if takes > longest {
            return Some(format!(
                "it takes {} of real time{}, more than --max-real {longest}",
                rounded(takes),
                at_scale(pacing)
            ));
        }
        let base = s.expect.backoff.map(|b| b.base)?;
        (pacing.own(base) < GRAIN).then(|| {
            let least = base.0 / GRAIN.0;
            format!(
                "its shortest promised wait, `backoff.base` {base}, would last {}{}, which a real clock does \
                 not tell apart from noise: it needs --scale {} or less",
                pacing.own(base),
                at_scale(pacing),
                least.max(1)
            )
        })
    })
}

/// How long a drill takes in real time, from when its subject is ready.
pub fn length(s: &Scenario, pacing: &Pacing) -> Span {
    let records = |alias: &str, noun: &str| {
        s.given.get(&format!("{alias}.{noun}")).map_or(0, |g: &Given| g.count as usize)
    };
    let (heals, ends) = span(s, crate::world::last_step(&s.workload, records));
    let paced = pacing.scenario(s, heals, ends);
    paced.ends_at.unwrap_or(ends.since(At::START))
}

fn rounded(span: Span) -> Span {
    Span::secs(span.0.div_ceil(1_000_000))
}

fn at_scale(pacing: &Pacing) -> String {
    if pacing.scale == 1 { String::new() } else { format!(" at scale {}", pacing.scale) }
}

/// What the drill needs of the subject and its file does not name.
fn missing(s: &Scenario, program: &Program) -> Option<String> {
    if let Some(alias) = program.needs().iter().find(|alias| !s.vendors.contains_key(*alias)) {
        return Some(format!(
            "the subject needs a vendor under the alias `{alias}`, and this drill has none"
        ));
    }
    for step in &s.workload {
        if let Action::Job(job) = &step.action
            && !program.jobs.contains_key(job)
            && !(job == "run" && matches!(program.runs, Runs::Job(_)))
        {
            let near = or_nearest(job, program.jobs.keys().map(String::as_str));
            return Some(format!("the subject file names no job `{job}`{near}"));
        }
    }
    for rule in &s.faults {
        if let Target::Webhook { vendor, .. } = &rule.on
            && !program.webhooks.contains_key(vendor)
        {
            return Some(format!(
                "it disturbs the webhooks of `{vendor}`, and the subject file gives no address for them \
                 (`webhooks: {{ {vendor}: … }}`)"
            ));
        }
    }
    if s.expect.alerts.iter().any(|a| !a.never) && !told_of_alerts(program) {
        return Some(
            "it expects alerts, and the subject file never says `{alerts}`, where they go".to_owned(),
        );
    }
    let metrics = (!s.expect.metrics.is_empty()).then_some("metrics");
    let shown = s.expect.exposed.iter().map(|e| e.what.as_str());
    let mut wanted = metrics.into_iter().chain(shown);
    let what = wanted.find(|what| !program.exposes.contains_key(*what))?;
    Some(format!("it looks at `{what}`, which the subject file does not expose"))
}

fn told_of_alerts(program: &Program) -> bool {
    let slots = program.texts().into_iter().flat_map(|(_, text)| pieces(text).unwrap_or_default());
    slots.into_iter().any(|piece| piece == Piece::Slot(Slot::Alerts))
}

/// Certificates that nobody would see.
fn plain(s: &Scenario, program: &Program) -> Option<String> {
    let shows = s.faults.iter().any(|rule| matches!(rule.act, Act::Certificate(_)));
    (shows && !program.tls).then(|| {
        "it shows the subject a certificate, and the subject file does not say `tls: true`: its vendors are \
         met over plain HTTP"
            .to_owned()
    })
}

/// What cannot be done to a program, or not be seen of it.
fn unseen(s: &Scenario) -> Option<String> {
    s.faults.iter().find_map(|rule| match rule.act {
        Act::ClockSkew(_) => Some("a program reads the machine's clock, which cannot be skewed".to_owned()),
        Act::Refuse | Act::BlackHole if !crate::world::sees_connects() => Some(
            "connects that are refused or swallowed leave no trace at the vendor; to see them on the wire, \
             firedrill needs root or CAP_NET_RAW (sudo setcap cap_net_raw+ep …/firedrill)"
                .to_owned(),
        ),
        _ => None,
    })
}
