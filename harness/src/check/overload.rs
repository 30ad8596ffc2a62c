//! A machine too busy to keep time: what a drill in real time shows on it of times proves nothing.
//!
//! Knows: which findings hold however slow the machine is. Must not know: how any was found.

use crate::finding::{Finding, Judgement, Verdict};
use crate::time::Span;
use crate::trace::{EventId, SubjectEvent, Trace, What};

/// The latest that a timer of firedrill may ring for a drill in real time to be held to its spans:
/// a subject on the same machine was then kept waiting as long, and more than once.
const LATE: Span = Span::millis(100);

/// Findings that no delay can bring about, each a rule or, with a final `/`, a whole check.
const TIMELESS: [&str; 19] = [
    "breaker/opened_on_own_errors",
    "contract/",
    "idempotency/applied_twice",
    "idempotency/fresh_key",
    "idempotency/fresh_key_after_in_use",
    "idempotency/key_reused",
    "idempotency/no_key",
    "idempotency/replayed_failure",
    "idempotency/second_effect",
    "reconciliation/doubled",
    "reconciliation/orphan",
    "reconciliation/source_overwritten",
    "reconciliation/stale_overwrite",
    "retries/futile",
    "retries/unretryable",
    "secrets/",
    "tls/bad_certificate_trusted",
    "webhook/forgery_accepted",
    "webhook/forgery_had_effect",
];

/// What kept time from being kept, and the event that shows it, if one does.
struct Busy {
    how: String,
    shown_by: Option<EventId>,
}

/// The judgements as they may be given: where timers rang too late, or the subject was kept from the
/// processor, a failure that a delay could have brought about is unknown.
pub(super) fn doubted(trace: &Trace, judgements: Vec<Judgement>) -> Vec<Judgement> {
    let Some(busy) = late(trace).or_else(|| starved(trace)) else { return judgements };
    let doubt = |mut finding: Finding| {
        if finding.verdict == Verdict::Fail && !is_timeless(&finding.rule) {
            finding.verdict = Verdict::Unknown;
            finding.message += &format!(
                ": but this machine was overloaded ({}), which alone can bring this about",
                busy.how
            );
            finding.hint =
                Some("run it again on a machine with less to do, or fewer drills at a time".into());
            finding.evidence.extend(busy.shown_by);
        }
        finding
    };
    let again = |j: Judgement| Judgement::of(&j.check, j.judged, j.findings.into_iter().map(doubt).collect());
    judgements.into_iter().map(again).collect()
}

fn late(trace: &Trace) -> Option<Busy> {
    let late = trace.head.real.map(|real| real.noise).filter(|noise| *noise > LATE)?;
    let how = format!("timers rang up to {late} late, {LATE} is bearable");
    Some(Busy { how, shown_by: None })
}

/// The worst moment for a subject beside a firedrill that was served well. Before the scenario
/// began nothing was promised.
fn starved(trace: &Trace) -> Option<Busy> {
    let begins = trace.head.real?.begins_at;
    let waits = trace.iter().filter_map(|(id, event)| match &event.what {
        What::Subject(SubjectEvent::Starved { waited }) if event.at >= begins => {
            Some((*waited, event.at, id))
        }
        _ => None,
    });
    let (waited, at, id) = waits.max_by_key(|(waited, _, _)| *waited)?;
    let how = format!("by {at} the subject had been kept from the processor for {waited} within a second");
    Some(Busy { how, shown_by: Some(id) })
}

fn is_timeless(rule: &str) -> bool {
    TIMELESS.iter().any(|t| if t.ends_with('/') { rule.starts_with(t) } else { rule == *t })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::drill;
    use crate::time::At;
    use crate::trace::RealTime;

    /// What is made of a failure on a machine whose timers rang so late (none: in virtual time) and
    /// that starved the subject at this second of a drill that began at its fifth.
    fn judged(noise: Option<Span>, starved: Option<u64>, rule: &str) -> Finding {
        let waited = Span::millis(180);
        let mut drilled = drill();
        if let Some(second) = starved {
            drilled = drilled.subject(second * 1_000, SubjectEvent::Starved { waited });
        }
        let mut trace = drilled.build();
        let begins_at = At(5_000_000);
        let real = |noise| RealTime { scale: 1, waits_scaled: false, begins_at, noise, promised: None };
        trace.head.real = noise.map(real);
        let finding = Finding {
            rule: rule.into(),
            verdict: Verdict::Fail,
            message: "it is".into(),
            expected: "it is not".into(),
            hint: None,
            evidence: Vec::new(),
            more: 0,
        };
        let mut all = doubted(&trace, vec![Judgement::of("c", 1, vec![finding])]);
        assert_eq!(all[0].verdict, all[0].findings[0].verdict);
        all.remove(0).findings.remove(0)
    }

    #[test]
    fn what_a_delay_can_bring_about_is_unknown_where_timers_rang_late() {
        for rule in ["reconciliation/missing", "backoff/too_short", "liveness/overstayed"] {
            let found = judged(Some(Span::millis(101)), None, rule);
            assert_eq!(found.verdict, Verdict::Unknown, "{rule}");
            assert!(found.message.starts_with("it is: but this machine was overloaded"), "{found:?}");
        }
    }

    #[test]
    fn so_it_is_where_the_subject_alone_was_starved() {
        let found = judged(Some(Span::ZERO), Some(7), "reconciliation/missing");
        assert_eq!((found.verdict, found.evidence.len()), (Verdict::Unknown, 1), "{found:?}");
        assert!(found.message.contains("by 7s the subject had been kept from the processor for 180ms"));
        let before = judged(Some(Span::ZERO), Some(4), "reconciliation/missing");
        assert_eq!(before.verdict, Verdict::Fail, "nothing was promised yet");
    }

    #[test]
    fn what_no_delay_brings_about_stays_a_failure() {
        for rule in ["idempotency/second_effect", "secrets/logged", "reconciliation/doubled"] {
            assert_eq!(judged(Some(Span::secs(9)), Some(7), rule).verdict, Verdict::Fail, "{rule}");
        }
    }

    #[test]
    fn a_machine_that_keeps_time_is_not_doubted_nor_is_virtual_time() {
        for noise in [None, Some(LATE)] {
            assert_eq!(judged(noise, None, "reconciliation/missing").verdict, Verdict::Fail);
        }
    }
}
