//! What keeps a drill from being judged: a subject that was never ready, steps never done, a log
//! that is not whole.
//!
//! Knows: how a drill can fail to come about. Must not know: any promise.

use crate::finding::{Finding, Judgement, Verdict};
use crate::subject::{Hindsight, Readiness};
use crate::time::Span;
use crate::trace::{EventId, SubjectEvent, Trace, What};

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

pub(super) fn never_ready(trace: &Trace, within: Span, hindsight: &Hindsight) -> Judgement {
    let exited = trace.iter().find_map(|(id, e)| match &e.what {
        What::Subject(SubjectEvent::Exited { error }) => Some((id, error.as_deref())),
        _ => None,
    });
    let last = last_lines(trace);
    let how = match exited {
        Some((_, Some(error))) => format!("it ended before it was ready: {error}"),
        Some((_, None)) => "it ended before it was ready".to_owned(),
        None => {
            let how = match last.is_empty() {
                true => format!("it said nothing for {within}"),
                false => format!("it was not ready after {within}"),
            };
            match &hindsight.readiness {
                Readiness::Awaited(what) => format!("{how}, {what}"),
                Readiness::Said | Readiness::Assumed => how,
            }
        }
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

fn last_lines(trace: &Trace) -> Vec<EventId> {
    let lines = trace.iter().filter(|(_, e)| matches!(e.what, What::Log { .. }));
    let mut last: Vec<_> = lines.map(|(id, _)| id).collect();
    last.drain(..last.len().saturating_sub(QUOTED));
    last
}

/// A subject that was never there to keep or to break a promise.
pub(super) fn unborn(trace: &Trace, hindsight: &Hindsight) -> Option<Judgement> {
    let finding =
        not_started(trace).or_else(|| ended_at_once(trace, hindsight)).or_else(|| never_ran(trace))?;
    Some(Judgement::of("subject", 1, vec![finding]))
}

/// A life that could not even begin.
fn not_started(trace: &Trace) -> Option<Finding> {
    let mut events = trace.iter();
    events.find(|(_, e)| matches!(e.what, What::Subject(SubjectEvent::NotStarted)))?;
    let (id, error) = events.find_map(|(id, e)| match &e.what {
        What::Subject(SubjectEvent::Exited { error }) => Some((id, error.as_deref().unwrap_or_default())),
        _ => None,
    })?;
    let message = format!("the subject could not be started: {error}");
    let mut finding = unknown("subject/not_started", message, "each life of the subject begins", None);
    finding.evidence = vec![id];
    Some(finding)
}

/// A program that was taken for ready as soon as it was started, and was gone before it met anybody.
fn ended_at_once(trace: &Trace, hindsight: &Hindsight) -> Option<Finding> {
    if hindsight.readiness != Readiness::Assumed {
        return None;
    }
    let (id, ended) = trace
        .iter()
        .find(|(_, e)| meets(&e.what) || matches!(e.what, What::Subject(SubjectEvent::Exited { .. })))?;
    let What::Subject(SubjectEvent::Exited { error }) = &ended.what else { return None };
    let how = error.as_deref().unwrap_or("exit code 0");
    let mut finding = unknown(
        "subject/not_started",
        format!("the subject ended at {} before it had met any vendor: {how}", ended.at),
        "a service runs until it is stopped",
        Some(
            "say in the subject file how to know that it is ready (`ready`), and an end before that is told as \
             such; what runs to its end is a job: `runs: { job: { every: 5s } }`"
                .to_owned(),
        ),
    );
    finding.evidence = last_lines(trace);
    finding.evidence.push(id);
    Some(finding)
}

/// A job none of whose runs came to anything.
fn never_ran(trace: &Trace) -> Option<Finding> {
    let mut failed = None;
    let mut runs = 0u32;
    for (id, event) in trace.iter() {
        match &event.what {
            What::Subject(SubjectEvent::Ran { code: Some(0), .. }) => return None,
            What::Subject(SubjectEvent::Ran { code, last }) => {
                runs += 1;
                failed = Some((id, *code, last.as_deref().unwrap_or_default()));
            }
            what if meets(what) => return None,
            _ => {}
        }
    }
    let (id, code, last) = failed?;
    let how = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
    let mut finding = unknown(
        "subject/never_ran",
        format!("none of the {runs} runs of the job did anything, the last ended by {how}; {last}"),
        "at least one run that calls a vendor, or ends with exit code 0",
        Some("run the command of the subject file by hand, with the same environment variables".to_owned()),
    );
    finding.evidence = vec![id];
    Some(finding)
}

/// Cites the last run of a job, where it failed, in the first failure that is told: most often it says why.
pub(super) fn cite_failed_run(trace: &Trace, judgements: &mut [Judgement]) {
    let runs = trace.iter().filter_map(|(id, e)| match &e.what {
        What::Subject(SubjectEvent::Ran { code, .. }) => Some((id, *code)),
        _ => None,
    });
    let Some((id, _)) = runs.last().filter(|(_, code)| *code != Some(0)) else { return };
    let mut findings = judgements.iter_mut().flat_map(|j| &mut j.findings);
    if let Some(failed) = findings.find(|f| f.verdict == Verdict::Fail) {
        failed.evidence.push(id);
    }
}

/// Whether the subject met anybody here: it called, or answered.
fn meets(what: &What) -> bool {
    match what {
        What::Request { .. } | What::Connection { .. } | What::Handshake { .. } | What::Alert { .. } => true,
        What::Delivered { response, .. } => response.is_some(),
        _ => false,
    }
}

/// A log that never was cannot be judged.
pub(super) fn unlogged(hindsight: &Hindsight) -> Option<Judgement> {
    let path = hindsight.lost_log.as_ref()?;
    let finding = unknown(
        "subject/no_log",
        format!("there was never a file {}, which the subject file names as its log", path.display()),
        "a log: what is said of it, and that it holds no secret, is judged by it",
        Some(
            "correct `log` in the subject file, or leave it out if the program writes to its output"
                .to_owned(),
        ),
    );
    Some(Judgement::of("subject", 1, vec![finding]))
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
