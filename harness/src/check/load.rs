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
    let mut tried = Tried::default();
    for vendor in e.by_vendor.keys().filter(|v| promise.vendor.as_deref().is_none_or(|p| p == **v)) {
        let calls: Vec<&Call<'_>> = e.calls_of(vendor).collect();
        tried.calls += calls.len() as u64;
        tried.most = tried.most.max(calls.len() as u64);
        tried.needed = tried.needed.max(amplification(e, vendor, &calls, promise, &mut found));
        tried.after = tried.after.max(catch_up(e, vendor, &calls, promise, &mut found));
        concurrent(e, vendor, promise, &mut found);
    }
    if found.is_empty() {
        if !e.owes("load", &[Family::Cascade, Family::RateLimit]) {
            return if tried.calls == 0 { None } else { Some(found.judgement("load", tried.calls)) };
        }
        tried.complain(e, promise, &mut found);
    }
    Some(found.judgement("load", tried.calls))
}

/// What put the promise to the test.
#[derive(Default)]
struct Tried {
    calls: u64,
    /// Calls to one vendor, before healing needed by the work, and after it.
    most: u64,
    needed: u64,
    after: u64,
}

impl Tried {
    /// Says which bounds nothing could have broken.
    fn complain(&self, e: &Evidence<'_>, promise: &Load, found: &mut Findings) {
        let mut thin = |key: &str, message: String, expected: String, hint: &str| {
            let (rule, evidence) = ("load/too_few_calls", Vec::new());
            found.unknown(Say { rule, group: key, message, expected, hint, evidence });
        };
        if self.calls == 0 || (promise.amplification.is_some() && self.needed < ENOUGH) {
            thin(
                "amplification",
                format!(
                    "{} in all, {} of them needed before healing",
                    count(self.calls, "call"),
                    self.needed
                ),
                format!("at least {ENOUGH} needed calls to one vendor before healing"),
                "more work, or a disturbance that lets some of it through",
            );
        }
        if !e.says("load") {
            return;
        }
        // Without an agreement nobody knows what waits.
        let waits = e.agreement().is_none_or(|a| a.pending_until(e.heals_at).is_some());
        if promise.catch_up.is_some() && (self.after < ENOUGH || !waits) {
            let waiting = if waits { "" } else { ", and no work had been waiting for it" };
            thin(
                "catch_up",
                format!("{} came after healing at {}{waiting}", count(self.after, "call"), e.heals_at),
                format!("work that waits for healing, and at least {ENOUGH} calls to one vendor after it"),
                "a disturbance that holds work up until `heal_at`",
            );
        }
        if let Some(limit) = promise.concurrent.filter(|limit| self.most <= u64::from(*limit)) {
            thin(
                "concurrent",
                format!("no vendor got more than {}", count(self.most, "call")),
                format!("more than {limit} calls, or they cannot be too many at once"),
                "more work",
            );
        }
    }
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

/// The rate over any ten seconds after healing; gives the number of calls after it.
fn catch_up(
    e: &Evidence<'_>,
    vendor: &str,
    calls: &[&Call<'_>],
    promise: &Load,
    found: &mut Findings,
) -> u64 {
    let Some(limit) = promise.catch_up else { return 0 };
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
    after.len() as u64
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
        for takes in [0, 1] {
            drill().calls((0..6).map(|n| slow(n, takes))).passes(&shared(scenario(LOAD)), "load");
        }
    }

    #[test]
    fn too_few_calls_are_unknown() {
        drill().call(read(1, 0)).unknown(&scenario_of("cascade", LOAD, ""), "load/too_few_calls");
        drill().call(read(1, 0)).unknown(&scenario_of("retry", LOAD, ""), "load/too_few_calls");
        drill().call(read(1, 0)).passes(&shared(scenario_of("retry", LOAD, "")), "load");
    }

    #[test]
    fn a_bound_that_nothing_could_break_is_unknown_where_the_drill_promises_it() {
        let says = |promise: &str| scenario_of("retry", &format!("load: {{ {promise} }}"), "");
        let busy = || drill().calls((0..20).map(|n| read(n, n * 1_000)));
        let later = || busy().calls((0..20).map(|n| read(n, 3_600_000 + n * 1_000)));
        busy().unknown(&says("catch_up: 5"), "load/too_few_calls");
        later().passes(&says("catch_up: 5"), "load");
        let agree = "agree: { from: crm.deals, where: 'true', to: billing.invoices, key: invoice.deal }";
        let waiting = says(&format!("catch_up: 5 }}\n  {agree}\n  converges: {{ within: 1h"));
        later().unknown(&waiting, "load/too_few_calls");
        let deal = serde_json::json!({ "id": "d1" });
        later().change(0, "crm.deals", crate::trace::ChangeKind::Given, deal, None).passes(&waiting, "load");
        busy().passes(&says("concurrent: 19"), "load");
        busy().unknown(&says("concurrent: 20"), "load/too_few_calls");
    }
}
