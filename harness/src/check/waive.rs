//! Waivers: rules by which an integration is not judged, because it keeps the promise another way.
//!
//! Knows: names of rules and the reasons that a scenario gives. Must not know: what a rule says. What was
//! waived is counted and shown with its reason; what keeps a drill from being judged cannot be waived.

use super::{CHECKS, rules};
use crate::finding::{Finding, Judgement, Verdict, Waived, worst};
use crate::scenario::{Waiver, nearest, or_nearest};

/// Takes what the waivers name out of the judgements, and writes down what was taken.
pub(super) fn waive(waivers: &[Waiver], judgements: &mut [Judgement]) {
    for waiver in waivers.iter().filter(|w| objection_to_waiving(&w.rule).is_none()) {
        let named = |f: &mut Finding| *f.rule == *waiver.rule && f.verdict == Verdict::Fail;
        for judgement in judgements.iter_mut() {
            let found = judgement.findings.extract_if(.., named).map(|f| u64::from(f.more) + 1).sum();
            if found > 0 {
                judgement.verdict = worst(&judgement.findings);
                let (rule, because) = (waiver.rule.as_str().into(), waiver.because.clone());
                judgement.waived.push(Waived { rule, because, found });
            }
        }
    }
}

/// Why a rule of this name cannot be waived.
pub fn objection_to_waiving(rule: &str) -> Option<String> {
    let names = || CHECKS.iter().map(|(name, _)| *name).filter(|name| *name != "faults");
    let (check, rest) = rule.split_once('/').unwrap_or((rule, ""));
    if check == "faults" || rest == "crashed" {
        return Some(format!("`{rule}` says that the drill could not be judged: that cannot be waived"));
    }
    if names().all(|name| name != check) {
        let near = or_nearest(check, names());
        return Some(format!("no check is called `{check}`{near}"));
    }
    if rest.is_empty() {
        return Some(format!(
            "`{rule}` is a whole check: write the rule as its finding shows it, `{check}/…`"
        ));
    }
    if rules::all().any(|known| known.rule == rule) {
        return None;
    }
    let known: Vec<&str> = rules::all().map(|known| known.rule).filter(|known| known.contains('/')).collect();
    let of_check: Vec<&str> =
        known.iter().copied().filter(|known| known.split('/').next() == Some(check)).collect();
    // The name may be right under another check.
    let elsewhere = known.iter().copied().find(|known| known.split('/').nth(1) == Some(rest));
    let near = elsewhere.or_else(|| nearest(rule, of_check.iter().copied()));
    let near = near.map_or_else(|| or_nearest(rule, of_check), |near| format!("; did you mean `{near}`?"));
    Some(format!("no rule is called `{rule}`{near}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::*;
    use crate::trace::SubjectEvent;

    const WAIVED: &str = "waive: [ { rule: idempotency/no_key, because: it looks before it creates } ]";

    fn keyless(at: u64) -> Exchange {
        call("billing", "POST /invoices", at).body("deal=d1")
    }

    #[test]
    fn what_is_waived_does_not_count_and_is_written_down() {
        keyless_twice().fails(&scenario(""), "idempotency/no_key");
        let judged = keyless_twice().judged(&scenario(WAIVED), "idempotency").unwrap();
        assert_eq!((judged.verdict, judged.findings.len()), (Verdict::Pass, 0));
        assert_eq!((&*judged.waived[0].rule, judged.waived[0].found), ("idempotency/no_key", 2));
        assert_eq!(judged.waived[0].because, "it looks before it creates");
    }

    fn keyless_twice() -> Builder {
        drill().call(keyless(0)).call(keyless(60_000).body("deal=d2"))
    }

    #[test]
    fn a_waiver_reaches_nothing_that_could_not_be_judged() {
        let outlived = "waive: [ { rule: liveness/outlived, because: we know } ]";
        drill()
            .subject(5_000, SubjectEvent::Outlived { tasks: 2 })
            .unknown(&scenario(outlived), "liveness/outlived");
        let unreasoned =
            Judgement { verdict: Verdict::Unknown, ..Judgement::of("idempotency", 0, Vec::new()) };
        let mut judged = [unreasoned.clone()];
        waive(&scenario(WAIVED).expect.waive, &mut judged);
        assert_eq!(judged, [unreasoned]);
    }

    #[test]
    fn a_waiver_reaches_no_other_rule_of_the_same_check() {
        let reused = call("billing", "POST /invoices", 9_000)
            .key("k1")
            .body("deal=d1&x=2")
            .error(400, crate::fault::ErrorKind::IdempotencyMismatch);
        drill()
            .call(keyless(0))
            .call(call("billing", "POST /invoices", 8_000).key("k1").body("deal=d1"))
            .call(reused)
            .fails(&scenario(WAIVED), "idempotency/key_reused");
    }

    #[test]
    fn what_keeps_a_drill_from_being_judged_cannot_be_waived() {
        let no = |rule| super::objection_to_waiving(rule).unwrap_or_default();
        assert!(no("faults/never_fired").contains("cannot be waived"));
        assert!(no("retries/crashed").contains("cannot be waived"));
        assert!(no("idempotncy/no_key").contains("`idempotency`"), "{}", no("idempotncy/no_key"));
        assert!(no("idempotency").contains("a whole check"));
        assert_eq!(no("idempotency/no_key"), "");
        let misspelt = "no rule is called `idempotency/no_kei`; did you mean `idempotency/no_key`?";
        assert_eq!(no("idempotency/no_kei"), misspelt);
        assert!(no("retries/no_key").contains("`idempotency/no_key`"), "{}", no("retries/no_key"));
        assert!(
            no("tls/zebra").starts_with("no rule is called `tls/zebra`; known: `tls/"),
            "{}",
            no("tls/zebra")
        );
    }
}
