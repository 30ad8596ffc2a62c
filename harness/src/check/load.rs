//! Load: what the vendors bear stays bounded, during the disturbance and when catching up.
//!
//! Knows: numbers and times of calls. Must not know: why they were made.

use std::collections::BTreeSet;

use super::call::Call;
use super::evidence::Evidence;
use super::say::{Findings, Say, count};
use crate::finding::Judgement;
use crate::scenario::{Family, Load};
use crate::time::{At, Span};

/// The stretch over which a rate is taken.
const STRETCH: Span = Span::secs(10);
/// Needed calls from which on amplification means something.
const ENOUGH: u64 = 5;

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let promise = e.scenario.expect.load.as_ref()?;
    let mut found = Findings::default();
    let mut judged = 0;
    let mut needed_most = 0;
    for vendor in e.by_vendor.keys().filter(|v| promise.vendor.as_deref().is_none_or(|p| p == **v)) {
        let calls: Vec<&Call<'_>> = e.calls_of(vendor).collect();
        judged += calls.len() as u64;
        needed_most = needed_most.max(amplification(e, vendor, &calls, promise, &mut found));
        catch_up(e, vendor, &calls, promise, &mut found);
        concurrent(e, vendor, promise, &mut found);
    }
    let thin = judged == 0 || (promise.amplification.is_some() && needed_most < ENOUGH);
    if thin && found.is_empty() {
        if !e.about(&[Family::Cascade, Family::RateLimit]) {
            return if judged == 0 { None } else { Some(found.judgement("load", judged)) };
        }
        found.unknown(Say {
            rule: "load/too_few_calls",
            group: "",
            message: format!("{} in all, {needed_most} of them needed before healing", count(judged, "call")),
            expected: format!("at least {ENOUGH} needed calls to one vendor before healing"),
            hint: "more work, or a disturbance that lets some of it through",
            evidence: Vec::new(),
        });
    }
    Some(found.judgement("load", judged))
}

/// Calls for each call that was needed: each that succeeded, and one for each that never did.
fn amplification(
    e: &Evidence<'_>,
    vendor: &str,
    calls: &[&Call<'_>],
    promise: &Load,
    found: &mut Findings,
) -> u64 {
    let disturbed = &calls[..calls.partition_point(|c| c.arrived < e.heals_at)];
    let mut seen = vec![false; e.sameness.requests()];
    // Each success; then each request that had none, once.
    let successes = disturbed.iter().filter(|c| c.succeeded());
    let needed = successes.inspect(|c| seen[c.same.request] = true).count();
    let failed = disturbed.iter().filter(|c| !std::mem::replace(&mut seen[c.same.request], true)).count();
    let needed = (needed + failed) as u64;
    let Some(limit) = promise.amplification else { return needed };
    let ratio = disturbed.len() as f64 / needed.max(1) as f64;
    if ratio > limit && needed >= ENOUGH {
        found.fail(Say {
            rule: "load/amplification",
            group: vendor,
            message: format!(
                "{vendor} bore {} before healing at {} for {needed} that the work needed: {ratio:.1} each",
                count(disturbed.len() as u64, "call"),
                e.heals_at
            ),
            expected: format!("at most {limit} calls for each that is needed"),
            hint: "retries at several layers multiply; a breaker or a retry budget bounds them",
            evidence: disturbed.iter().filter(|c| !c.succeeded()).map(|c| c.asked).take(6).collect(),
        });
    }
    needed
}

/// The rate over any ten seconds after healing.
fn catch_up(e: &Evidence<'_>, vendor: &str, calls: &[&Call<'_>], promise: &Load, found: &mut Findings) {
    let Some(limit) = promise.catch_up else { return };
    let stretch = e.own(STRETCH);
    let after = &calls[calls.partition_point(|c| c.arrived < e.heals_at)..];
    let mut from = 0;
    let mut most = (0, At::START);
    for to in 0..after.len() {
        while after[to].arrived.since(after[from].arrived) >= stretch {
            from += 1;
        }
        if to + 1 - from > most.0 {
            most = (to + 1 - from, after[from].arrived);
        }
    }
    let rate = most.0 as f64 / stretch.as_secs_f64();
    if rate > limit {
        let first = after.partition_point(|c| c.arrived < most.1);
        found.fail(Say {
            rule: "load/catch_up",
            group: vendor,
            message: format!(
                "{vendor} got {} in the {stretch} from {}: {rate:.1} a second",
                count(most.0 as u64, "call"),
                most.1
            ),
            expected: format!("at most {limit} calls a second over any {stretch} after healing"),
            hint: "the backlog must drain at a bounded rate, not as fast as it can",
            evidence: after[first..].iter().take(6).map(|c| c.asked).collect(),
        });
    }
}

/// Calls at once.
fn concurrent(e: &Evidence<'_>, vendor: &str, promise: &Load, found: &mut Findings) {
    let Some(limit) = promise.concurrent else { return };
    let mut open: BTreeSet<usize> = BTreeSet::new();
    let mut most: (usize, At, Vec<usize>) = (0, At::START, Vec::new());
    for edge in e.edges_of(vendor) {
        if !edge.begins {
            open.remove(&edge.call);
        } else {
            open.insert(edge.call);
            if open.len() > most.0 {
                let some = open.iter().take(6).copied().collect();
                most = (open.len(), e.calls[edge.call].arrived, some);
            }
        }
    }
    if most.0 as u64 > u64::from(limit) {
        found.fail(Say {
            rule: "load/concurrent",
            group: vendor,
            message: format!("{vendor} had {} under way at once at {}", count(most.0 as u64, "call"), most.1),
            expected: format!("at most {limit} at once"),
            hint: "the limit must be shared by all workers, jobs and replays",
            evidence: most.2.iter().map(|i| e.calls[*i].asked).collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;

    const LOAD: &str = "load: { amplification: 2, catch_up: 5, concurrent: 3 }";

    fn read(n: u64, at: u64) -> Exchange {
        call("crm", &format!("GET /deals/d{n}"), at)
    }

    #[test]
    fn a_bounded_load_is_sound() {
        drill()
            .calls((0..20).flat_map(|n| [read(n, n * 1_000).status(503), read(n, n * 1_000 + 500)]))
            .calls((0..50).map(|n| read(n, 3_600_000 + n * 200)))
            .passes(&scenario(LOAD), "load");
    }

    #[test]
    fn amplification_is_found() {
        drill()
            .calls((0..60).map(|n| read(n % 6, n * 1_000).status(503)))
            .fails(&scenario(LOAD), "load/amplification");
    }

    #[test]
    fn catching_up_too_fast_is_found() {
        drill()
            .calls((0..10).map(|n| read(n, n * 1_000)))
            .calls((0..60).map(|n| read(n, 3_600_000 + n * 100)))
            .fails(&scenario(LOAD), "load/catch_up");
    }

    #[test]
    fn too_many_calls_at_once_are_found() {
        let slow = |n: u64, takes| read(n, n).takes(takes);
        drill().calls((0..6).map(|n| slow(n, 100))).fails(&scenario(LOAD), "load/concurrent");
        drill().calls((0..6).map(|n| slow(n, 1))).passes(&scenario(LOAD), "load");
        drill().calls((0..6).map(|n| slow(n, 0))).passes(&scenario(LOAD), "load");
    }

    #[test]
    fn too_few_calls_are_unknown() {
        drill().call(read(1, 0)).unknown(&scenario_of("cascade", LOAD, ""), "load/too_few_calls");
    }
}
