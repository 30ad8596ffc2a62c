//! A machine too busy to keep time: what a drill in real time shows on it of times proves nothing.
//!
//! Knows: which findings hold however slow the machine is. Must not know: how any was found.

use crate::finding::{Finding, Judgement, Verdict};
use crate::time::{At, Span};
use crate::trace::{Cause, EventId, SubjectEvent, Trace, What};

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

/// Findings about the events that they cite and the time between them: what came later has no part in them.
/// Of any other, a delay up to the end of the drill can be to blame.
const BETWEEN: [&str; 9] = [
    "auth/",
    "backoff/too_short",
    "breaker/calls_while_open",
    "liveness/given_up_late",
    "liveness/waited_too_long",
    "load/concurrent",
    "quota/",
    "retries/",
    "retry_after/",
];

/// Within so long before it is told of, a thread was starved.
const STRETCH: Span = Span::secs(1);
/// How late that is told.
const TOLD: Span = Span::millis(100);

/// How long a delay may go on to have effects once it is over: a call that timed out is made again, a poll comes
/// a turn later.
const AFTERMATH: Span = Span::secs(5);

/// What kept time from being kept, and the event that shows it, if one does.
#[derive(Clone)]
struct Busy {
    how: String,
    shown_by: Option<EventId>,
}

/// A moment at which the subject had been starved, and for how long.
struct Starved {
    waited: Span,
    at: At,
    id: EventId,
}

/// The judgements as they may be given: where timers rang too late, or the subject was kept from the
/// processor while it could have kept its promise, a failure that a delay could have brought about is unknown.
pub(super) fn doubted(trace: &Trace, judgements: Vec<Judgement>) -> Vec<Judgement> {
    let late = late(trace);
    let starved = starved(trace);
    if late.is_none() && starved.is_empty() {
        return judgements;
    }
    let doubt = |mut finding: Finding| {
        if finding.verdict != Verdict::Fail || is(&TIMELESS, &finding.rule) {
            return finding;
        }
        let during = || worst_in(&starved, interval(trace, &finding));
        if let Some(busy) = late.clone().or_else(during) {
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

/// The bad moments of a subject beside a firedrill that was served well. Before the scenario began
/// nothing was promised.
fn starved(trace: &Trace) -> Vec<Starved> {
    let Some(begins) = trace.head.real.map(|real| real.begins_at) else { return Vec::new() };
    let moments = trace.iter().filter_map(|(id, event)| match &event.what {
        What::Subject(SubjectEvent::Starved { waited }) if event.at >= begins => {
            Some(Starved { waited: *waited, at: event.at, id })
        }
        _ => None,
    });
    moments.collect()
}

/// The worst of the moments that lie in an interval, in part or whole.
fn worst_in(starved: &[Starved], (from, to): (At, At)) -> Option<Busy> {
    let within =
        starved.iter().filter(|s| s.at >= from && At(s.at.0.saturating_sub(STRETCH.0 + TOLD.0)) <= to);
    let Starved { waited, at, id } = within.max_by_key(|s| s.waited)?;
    let how = format!("by {at} the subject had been kept from the processor for {waited} within a second");
    Some(Busy { how, shown_by: Some(*id) })
}

/// The time within which a delay can have brought a finding about: from the first event that it cites (what was
/// promised before that had not begun) to the last one, or to the end.
fn interval(trace: &Trace, finding: &Finding) -> (At, At) {
    let cited = || finding.evidence.iter().filter_map(|id| trace.event(*id));
    let whole = (At::START, At(u64::MAX));
    let (Some(from), Some(to)) = (cited().map(|e| e.at).min(), cited().map(|e| e.at).max()) else {
        return whole;
    };
    if is(&BETWEEN, &finding.rule) {
        return (from, to);
    }
    if &*finding.rule == "reconciliation/differs" {
        let by = |wanted: fn(&Cause) -> bool| {
            cited()
                .filter(move |e| matches!(&e.what, What::Change { by, .. } if wanted(by)))
                .map(|e| e.at)
                .max()
        };
        let (changed, written) = (by(|by| *by == Cause::Scenario), by(|by| matches!(by, Cause::Call(_))));
        // What was written after the last change is no older value that a delay left standing.
        if let (Some(changed), Some(written)) = (changed, written)
            && written > changed
        {
            return (changed, written);
        }
    }
    (At(from.0.saturating_sub(AFTERMATH.0)), whole.1)
}

fn is(rules: &[&str], rule: &str) -> bool {
    rules.iter().any(|r| if r.ends_with('/') { rule.starts_with(r) } else { rule == *r })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::drill;
    use crate::trace::RealTime;

    /// A failure of this rule.
    fn failed(rule: &str, evidence: Vec<EventId>) -> Judgement {
        let finding = Finding {
            rule: rule.into(),
            verdict: Verdict::Fail,
            message: "it is".into(),
            expected: "it is not".into(),
            hint: None,
            evidence,
            more: 0,
        };
        Judgement::of("c", 1, vec![finding])
    }

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
        let mut all = doubted(&trace, vec![failed(rule, Vec::new())]);
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

    /// What is made of a failure of this rule that cites changes (by the scenario, or by a call) at these
    /// moments, in a drill in which the subject was starved by this second.
    fn judged_of(rule: &str, changes: &[(u64, bool)], starved: u64) -> Verdict {
        let waited = Span::millis(300);
        let mut drilled = drill();
        for (at, by_call) in changes {
            let record = std::sync::Arc::new(serde_json::json!({}));
            let by = if *by_call { Cause::Call(crate::trace::CallId(0)) } else { Cause::Scenario };
            let change = What::Change {
                vendor: "crm".into(),
                collection: "deals".into(),
                id: "d1".into(),
                change: crate::trace::ChangeKind::Updated,
                record,
                by,
            };
            drilled = drilled.event(*at, change);
        }
        let mut trace = drilled.subject(starved, SubjectEvent::Starved { waited }).build();
        let noise = Span::ZERO;
        trace.head.real =
            Some(RealTime { scale: 1, waits_scaled: false, begins_at: At::START, noise, promised: None });
        let evidence =
            trace.iter().filter(|(_, e)| matches!(e.what, What::Change { .. })).map(|(id, _)| id).collect();
        doubted(&trace, vec![failed(rule, evidence)])[0].verdict
    }

    #[test]
    fn only_what_happened_meanwhile_excuses_a_failure() {
        let cited = [(10_000, false), (14_000, true)];
        for (rule, starved, verdict) in [
            ("reconciliation/missing", 4_000, Verdict::Fail),
            ("reconciliation/missing", 6_000, Verdict::Unknown),
            ("reconciliation/missing", 10_500, Verdict::Unknown),
            ("reconciliation/missing", 60_000, Verdict::Unknown),
            ("backoff/too_short", 9_000, Verdict::Fail),
            ("backoff/too_short", 12_000, Verdict::Unknown),
            ("backoff/too_short", 15_000, Verdict::Unknown),
            ("backoff/too_short", 16_000, Verdict::Fail),
            // Written wrong after the last change: what followed does not excuse it.
            ("reconciliation/differs", 12_000, Verdict::Unknown),
            ("reconciliation/differs", 60_000, Verdict::Fail),
        ] {
            assert_eq!(judged_of(rule, &cited, starved), verdict, "{rule}, starved by {starved} ms");
        }
        let stands = [(10_000, true), (14_000, false)];
        assert_eq!(judged_of("reconciliation/differs", &stands, 60_000), Verdict::Unknown);
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
