//! What keeps a drill from being judged: a subject that was never ready, steps never done, a log
//! that is not whole.
//!
//! Knows: how a drill can fail to come about. Must not know: any promise.

use std::collections::BTreeSet;

use crate::fault::Act;
use crate::finding::{Finding, Judgement, Verdict};
use crate::scenario::Scenario;
use crate::time::Span;
use crate::trace::{SubjectEvent, Trace, What};

fn unknown(rule: &str, message: String, expected: &str, hint: Option<String>) -> Finding {
    Finding {
        rule: rule.into(),
        verdict: Verdict::Unknown,
        message,
        expected: expected.to_owned(),
        hint,
        evidence: Vec::new(),
        more: 0,
    }
}

/// The last lines of a log that are cited.
const QUOTED: usize = 5;

/// A fault that never bit leaves the promise untested.
pub(super) fn unfired(scenario: &Scenario, trace: &Trace) -> Option<Judgement> {
    if scenario.faults.is_empty() {
        return None;
    }
    let fired: BTreeSet<u32> = trace
        .events
        .iter()
        .filter_map(|e| match &e.what {
            What::Fault(f) => Some(f.rule),
            _ => None,
        })
        .collect();
    let counted = trace.events.iter().any(|e| matches!(e.what, What::Attempts { .. }));
    let findings = (0u32..)
        .zip(&scenario.faults)
        .filter(|(n, _)| !fired.contains(n))
        .map(|(n, rule)| {
            let hint = (matches!(rule.act, Act::Refuse | Act::BlackHole) && !counted).then(|| {
                "connects that are refused or swallowed leave no trace at the vendor: the subject must \
                 keep its attempt log for them to be seen"
                    .to_owned()
            });
            unknown(
                "faults/never_fired",
                format!("fault rule {} (`{}` on `{}`) never fired", n + 1, rule.act.word(), rule.on),
                "every fault rule bites at least once",
                hint,
            )
        })
        .collect();
    Some(Judgement::of("faults", scenario.faults.len() as u64, findings))
}

/// A step that was never done leaves the drill another than was written.
pub(super) fn not_done(undone: &[String], trace: &Trace, failures_said: bool) -> Option<Judgement> {
    let mut findings: Vec<Finding> = undone
        .iter()
        .map(|why| unknown("workload/undone", why.clone(), "every step is done before the drill ends", None))
        .collect();
    for (id, event) in trace.iter().filter(|_| !failures_said) {
        if let What::Step { step, action, error: Some(error), .. } = &event.what {
            let message = format!("step {}, `{action}`, failed: {error}", step + 1);
            let mut finding = unknown("workload/failed", message, "every step can be carried out", None);
            finding.evidence.push(id);
            findings.push(finding);
        }
    }
    if findings.is_empty() {
        return None;
    }
    Some(Judgement::of("workload", trace.events.len() as u64, findings))
}

pub(super) fn never_ready(trace: &Trace, within: Span) -> Judgement {
    let exited = trace.iter().find_map(|(id, e)| match &e.what {
        What::Subject(SubjectEvent::Exited { error }) => Some((id, error.as_deref())),
        _ => None,
    });
    let lines = trace.iter().filter(|(_, e)| matches!(e.what, What::Log { .. }));
    let mut last: Vec<_> = lines.map(|(id, _)| id).collect();
    last.drain(..last.len().saturating_sub(QUOTED));
    let how = match exited {
        Some((_, Some(error))) => format!("it ended before it was ready: {error}"),
        Some((_, None)) => "it ended before it was ready".to_owned(),
        None if last.is_empty() => format!("it said nothing for {within}"),
        None => format!("it was not ready after {within}"),
    };
    let mut finding = unknown(
        "subject/never_ready",
        format!("the subject never got ready: {how}"),
        "the subject says that it is ready once it takes webhooks and triggers: by `Start::ready`, or as \
         its subject file says (`ready`)",
        None,
    );
    finding.evidence = last;
    finding.evidence.extend(exited.map(|(id, _)| id));
    Judgement::of("subject", 1, vec![finding])
}

/// A log that is not whole cannot be judged.
pub(super) fn flooded(trace: &Trace) -> Option<Judgement> {
    let (id, lines, bytes) = trace.iter().find_map(|(id, e)| match &e.what {
        What::Subject(SubjectEvent::Flooded { lines, bytes }) => Some((id, *lines, *bytes)),
        _ => None,
    })?;
    let mut finding = unknown(
        "subject/flooded",
        format!(
            "the subject wrote more than is kept: {lines} lines and {bytes} bytes in one life, and more after"
        ),
        "a log that fits: 20000 lines and 4 MiB a life",
        Some("what came after was not looked at for secrets; lower its log level".to_owned()),
    );
    finding.evidence = vec![id];
    Some(Judgement::of("subject", lines, vec![finding]))
}
