//! The checks: pure functions of scenario and trace that give verdicts.
//!
//! Knows: which checks there are and their order. Must not know: how a drill is run, or any
//! vendor or subject by name. A check judges by the wire, the vendors' ledgers and what the
//! subject shows, and remembers what a vendor told the client to judge the next call.
//!
//! A check gives `None` where nothing was promised or nothing of the kind happened. What a drill
//! is *about* (its family) may not go unjudged: too few samples are then `unknown`, never a pass.

mod agreement;
mod call;
mod chain;
mod effects;
mod evidence;
mod exposed;
mod lives;
mod sameness;
mod say;
#[cfg(test)]
mod scale;
mod stats;
#[cfg(test)]
mod testing;
mod trail;

mod alerts;
mod auth;
mod backoff;
mod breaker;
mod contract;
mod credentials;
mod faults;
mod gates;
mod idempotency;
mod idle;
mod inputs;
mod liveness;
mod load;
mod news;
mod observability;
mod overload;
mod prometheus;
mod quota;
mod reconciliation;
mod refresh;
mod retries;
mod retry_after;
mod rotation;
pub mod rules;
mod secrets;
mod shown;
mod standing;
mod tls;
mod unique;
mod waive;
mod webhook;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use breaker::Opened;
use evidence::Evidence;
pub use exposed::{is_set_aside, reasons};
pub use standing::{Lack, Novelty, Standing, standing};
pub use waive::objection_to_waiving;

use crate::finding::{Finding, Judgement, Verdict};
use crate::fixture;
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::vendor::Profile;

/// A check: what it is called, and how it judges.
type Check = (&'static str, fn(&Evidence<'_>) -> Option<Judgement>);

/// All checks, in the order of the report.
const CHECKS: [Check; 19] = [
    ("faults", faults::check),
    ("liveness", liveness::check),
    ("reconciliation", reconciliation::check),
    ("idempotency", idempotency::check),
    ("unique", unique::check),
    ("webhook", webhook::check),
    ("contract", contract::check),
    ("retries", retries::check),
    ("backoff", backoff::check),
    ("retry_after", retry_after::check),
    ("quota", quota::check),
    ("load", load::check),
    ("breaker", breaker::check),
    ("auth", auth::check),
    ("tls", tls::check),
    ("observability", observability::check),
    ("secrets", secrets::check),
    ("exposed", |e| shown::judge(e.scenario, e.trace)),
    ("fixture", |e| fixture::judge(e.scenario, e.trace)),
];

/// Judges a trace: one judgement for each check that has something to judge, always in the same
/// order. `profiles` holds the facts about each vendor, by the scenario's alias.
///
/// A check that crashes is `unknown`, never a pass.
pub fn judge(scenario: &Scenario, profiles: &BTreeMap<String, Profile>, trace: &Trace) -> Vec<Judgement> {
    let evidence = match guarded(|| Evidence::of(scenario, profiles, trace)) {
        Ok(evidence) => evidence,
        Err(why) => return vec![crashed("evidence", &why)],
    };
    let judge = |(name, check): &Check| match guarded(|| check(&evidence)) {
        Ok(judgement) => judgement,
        Err(why) => Some(crashed(name, &why)),
    };
    let judgements = tls::alone(&evidence, CHECKS.iter().filter_map(judge).collect());
    let mut judgements = overload::doubted(trace, judgements);
    waive::waive(&scenario.expect.waive, &mut judgements);
    veil(&mut judgements);
    judgements
}

/// Takes what is a person's own out of judgements, so that no report shows it.
pub(crate) fn veil(judgements: &mut [Judgement]) {
    say::veil(judgements);
}

/// Judges only whether the disturbance came about: each rule bit, each step was carried out. `None`
/// where there was none and nothing is to be said.
pub fn disturbance(
    scenario: &Scenario,
    profiles: &BTreeMap<String, Profile>,
    trace: &Trace,
) -> Option<Judgement> {
    guarded(|| faults::check(&Evidence::of(scenario, profiles, trace)))
        .unwrap_or_else(|why| Some(crashed("faults", &why)))
}

/// When the breakers that `scenario` promises are open, as the wire shows it: for a picture of the
/// drill.
pub fn breakers_opened(scenario: &Scenario, trace: &Trace) -> Vec<Opened> {
    let profiles = BTreeMap::new();
    guarded(|| breaker::opened(&Evidence::of(scenario, &profiles, trace))).unwrap_or_default()
}

fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".into())
    })
}

fn crashed(check: &str, why: &str) -> Judgement {
    let finding = Finding {
        rule: format!("{check}/crashed").into(),
        verdict: Verdict::Unknown,
        message: format!("the check `{check}` itself failed: {why}"),
        expected: "a verdict".into(),
        hint: Some("this is a fault of firedrill; the drill proves nothing about this property".into()),
        evidence: Vec::new(),
        more: 0,
    };
    Judgement::of(check, 0, vec![finding])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_panics_is_unknown() {
        let why = guarded(|| -> () { panic!("index {} out of range", 7) }).unwrap_err();
        assert_eq!(why, "index 7 out of range");
        assert_eq!(crashed("backoff", &why).verdict, Verdict::Unknown);
    }
}
