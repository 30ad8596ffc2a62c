//! What keeps a drill from being judged: a subject that was never ready, steps never done, a log
//! that is not whole.
//!
//! Knows: how a drill can fail to come about. Must not know: any promise.

use crate::finding::{Finding, Judgement, Verdict};
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

/// A step that was never done leaves the drill another than was written.
pub(super) fn not_done(undone: &[String], trace: &Trace) -> Option<Judgement> {
    let findings: Vec<Finding> = undone
        .iter()
        .map(|why| unknown("workload/undone", why.clone(), "every step is done before the drill ends", None))
        .collect();
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
