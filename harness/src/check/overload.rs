//! A machine too busy to keep time: what a drill in real time shows on it of times proves nothing.
//!
//! Knows: which findings hold however slow the machine is. Must not know: how any was found.

use crate::finding::{Finding, Judgement, Verdict};
use crate::time::Span;
use crate::trace::Trace;

/// The latest that a timer of firedrill may ring for a drill in real time to be held to its spans:
/// a subject on the same machine was then kept waiting as long, and more than once.
const LATE: Span = Span::millis(100);

/// Findings that no delay can bring about, each a rule or, with a final `/`, a whole check.
const TIMELESS: [&str; 18] = [
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
    "webhook/forgery_accepted",
    "webhook/forgery_had_effect",
];

/// The judgements as they may be given: where timers rang too late, a failure that a delay could
/// have brought about is unknown.
pub(super) fn doubted(trace: &Trace, judgements: Vec<Judgement>) -> Vec<Judgement> {
    let Some(late) = trace.head.real.map(|real| real.noise).filter(|noise| *noise > LATE) else {
        return judgements;
    };
    let doubt = |mut finding: Finding| {
        if finding.verdict == Verdict::Fail && !is_timeless(&finding.rule) {
            finding.verdict = Verdict::Unknown;
            finding.message += &format!(
                ": but this machine was overloaded (timers rang up to {late} late, {LATE} is bearable), which \
                 alone can bring this about"
            );
            finding.hint =
                Some("run it again on a machine with less to do, or fewer drills at a time".into());
        }
        finding
    };
    let again = |j: Judgement| Judgement::of(&j.check, j.judged, j.findings.into_iter().map(doubt).collect());
    judgements.into_iter().map(again).collect()
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

    fn judged(noise: Option<Span>, rule: &str) -> Finding {
        let mut trace = drill().build();
        let real =
            |noise| RealTime { scale: 1, waits_scaled: false, begins_at: At::START, noise, promised: None };
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
            let found = judged(Some(Span::millis(101)), rule);
            assert_eq!(found.verdict, Verdict::Unknown, "{rule}");
            assert!(found.message.starts_with("it is: but this machine was overloaded"), "{found:?}");
        }
    }

    #[test]
    fn what_no_delay_brings_about_stays_a_failure() {
        for rule in ["idempotency/second_effect", "secrets/logged", "reconciliation/doubled"] {
            assert_eq!(judged(Some(Span::secs(9)), rule).verdict, Verdict::Fail, "{rule}");
        }
    }

    #[test]
    fn a_machine_that_keeps_time_is_not_doubted_nor_is_virtual_time() {
        for noise in [None, Some(LATE)] {
            assert_eq!(judged(noise, "reconciliation/missing").verdict, Verdict::Fail);
        }
    }
}
