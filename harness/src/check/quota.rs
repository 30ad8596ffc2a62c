//! Quotas: what is left is spread over the time that is left.
//!
//! Knows: the quota that each answer told. Must not know: which header fields said so.

use std::collections::BTreeSet;

use super::call::{Call, Ending};
use super::evidence::Evidence;
use super::idle;
use super::say::{Findings, Say, count};
use crate::finding::Judgement;
use crate::scenario::{Family, QuotaUse};
use crate::time::{At, Span};

/// How much faster than an even spread is still a spread.
const TOLERANCE: f64 = 2.0;
/// The share left at which a quota counts as put to the test.
const PRESSED: f64 = 0.5;
/// Calls that were on their way when the quota ran low.
const ON_THE_WAY: f64 = 3.0;

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let promise = e.scenario.expect.quota.as_ref()?;
    let mut found = Findings::default();
    let mut told = 0u64;
    let mut low = 0u64;
    for vendor in e.by_vendor.keys() {
        told += e.calls_of(vendor).filter(|c| c.quota().is_some()).count() as u64;
        rejections(e, vendor, promise, &mut found);
        low += spread(e, vendor, promise, &mut found);
    }
    if let Some(limit) = promise.never_idle_longer_than {
        let tellers: BTreeSet<&str> =
            e.calls.iter().filter(|c| c.quota().is_some()).map(|c| c.vendor).collect();
        let stalls = idle::after(e, limit, |call| {
            if !tellers.contains(call.vendor) {
                return None;
            }
            let quota = call.quota().filter(|q| q.remaining == 0 || call.ending == Ending::Limited);
            let window = quota.map(|q| q.resets_at).into_iter().chain(call.retry_at()).max();
            Some(window.unwrap_or(call.ended))
        });
        for stall in &stalls {
            found.fail(stall.say(
                "quota/stalled",
                limit,
                "a reset may be an epoch or a delta, and the fields may vanish or be malformed: then go by your own rate",
            ));
        }
    }
    if low == 0 && found.is_empty() {
        let tampered =
            e.calls.iter().any(|c| c.hit_by("headers")) && promise.never_idle_longer_than.is_some();
        // Who keeps well within the quota by itself never sees it low, and is judged by rejections
        // all the same if there was work enough to spend half of it.
        let shares = e.calls.iter().filter_map(Call::quota).filter(|q| q.limit > 0);
        let lowest = shares.map(|q| q.remaining as f64 / q.limit as f64).fold(1.0, f64::min);
        let tested = tampered || lowest <= PRESSED;
        match (e.owes("quota", &[Family::RateLimit]), tested) {
            (false, _) if told == 0 => return None,
            (false, _) | (true, true) => {}
            (true, false) => found.unknown(Say {
                rule: "quota/never_low",
                group: "",
                message: format!(
                    "{} told a quota, and what was left never fell to {}",
                    count(told, "answer"),
                    promise.slow_at
                ),
                expected: format!("at least 1 answer with {} of the quota left or less", promise.slow_at),
                hint: "more work, or a smaller quota",
                evidence: Vec::new(),
            }),
        }
    }
    Some(found.judgement("quota", told.max(low).max(1)))
}

/// Calls that ran into the limit by themselves, not by a fault.
fn rejections(e: &Evidence<'_>, vendor: &str, promise: &QuotaUse, found: &mut Findings) {
    let rejected: Vec<&Call<'_>> =
        e.calls_of(vendor).filter(|c| c.ending == Ending::Limited && c.fault.is_none()).collect();
    if rejected.len() as u64 > u64::from(promise.rejections) {
        found.fail(Say {
            rule: "quota/rejections",
            group: vendor,
            message: format!(
                "{vendor} rejected {} as too many, from {} to {}",
                count(rejected.len() as u64, "call"),
                rejected[0].arrived,
                rejected[rejected.len() - 1].arrived
            ),
            expected: format!("at most {}", promise.rejections),
            hint: "one limiter for all workers, fed by what every answer says is left",
            evidence: rejected.iter().flat_map(|c| c.cite()).collect(),
        });
    }
}

/// From the first answer that shows a low quota to its reset, calls come no faster than an even
/// spread of what is left, with some tolerance. Gives the number of such stretches.
fn spread(e: &Evidence<'_>, vendor: &str, promise: &QuotaUse, found: &mut Findings) -> u64 {
    let mut by_end: Vec<&Call<'_>> = e.calls_of(vendor).collect();
    by_end.sort_by_key(|c| c.ended);
    let arrivals: Vec<&Call<'_>> = e.calls_of(vendor).collect();
    let mut stretches = 0;
    let mut after = At::START;
    for teller in by_end {
        let Some(quota) = teller.quota().filter(|q| teller.ended >= after && q.limit > 0) else { continue };
        let share = quota.remaining as f64 / quota.limit as f64;
        let left = quota.resets_at.since(teller.ended);
        if share > promise.slow_at.0 || left < e.own(Span::secs(1)) {
            continue;
        }
        stretches += 1;
        after = quota.resets_at;
        let first = arrivals.partition_point(|c| c.arrived <= teller.ended);
        let last = arrivals.partition_point(|c| c.arrived < quota.resets_at);
        let burst = arrivals[first..last].iter().enumerate().find(|(n, c)| {
            let share_of_time = c.arrived.since(teller.ended).0 as f64 / left.0 as f64;
            (*n + 1) as f64 > ON_THE_WAY + TOLERANCE * quota.remaining as f64 * share_of_time
        });
        if let Some((n, call)) = burst {
            let in_all = (last - first) as u64;
            found.fail(Say {
                rule: "quota/burst",
                group: vendor,
                message: format!(
                    "at {} {vendor} said that {} of {} calls were left until {}; {} came within {} ({in_all} before the reset)",
                    teller.ended,
                    quota.remaining,
                    quota.limit,
                    quota.resets_at,
                    count(n as u64 + 1, "more call"),
                    call.arrived.since(teller.ended),
                ),
                expected: format!("{} calls spread over {left}", quota.remaining),
                hint: "once little is left, pace calls by what is left over the time that is left",
                evidence: teller.cite().into_iter().chain([call.asked]).collect(),
            });
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::fault::ErrorKind;

    const QUOTA: &str = "quota: { slow_at: 20%, rejections: 0, never_idle_longer_than: 2m }";

    fn read(n: u64, at: u64, remaining: u64) -> Exchange {
        call("crm", &format!("GET /deals/d{n}"), at).quota(remaining, 100, 10_000)
    }

    #[test]
    fn calls_spread_over_the_rest_of_the_window_are_sound() {
        drill()
            .calls((0..80).map(|n| read(n, n * 10, 99 - n)))
            .calls((0..18).map(|n| read(80 + n, 1_200 + n * 480, 19 - n)))
            .passes(&scenario(QUOTA), "quota");
    }

    #[test]
    fn a_burst_into_the_limit_is_found() {
        drill().calls((0..100).map(|n| read(n, n * 12, 99 - n))).fails(&scenario(QUOTA), "quota/burst");
    }

    #[test]
    fn rejections_are_counted_unless_a_fault_made_them() {
        let rejected = || read(1, 500, 0).error(429, ErrorKind::RateLimited);
        let low = || drill().call(read(0, 0, 10));
        low().call(rejected()).fails(&scenario(QUOTA), "quota/rejections");
        low().call(rejected().fault(0, "error")).passes(&scenario("quota: { slow_at: 20% }"), "quota");
    }

    #[test]
    fn a_standstill_without_cause_is_found() {
        let agree = format!(
            "{QUOTA}\n  agree: {{ from: crm.deals, where: 'true', to: billing.invoices, key: invoice.deal }}"
        );
        let deal = serde_json::json!({ "id": "d1" });
        let waiting = || drill().change(0, "crm.deals", crate::trace::ChangeKind::Given, deal.clone(), None);
        waiting().call(read(0, 100, 50)).fails(&scenario(&agree), "quota/stalled");
        let later = drill().change(60_000, "crm.deals", crate::trace::ChangeKind::Given, deal.clone(), None);
        later.call(read(0, 100, 50)).fails(&scenario(&agree), "quota/stalled");
        let steady = (0..70).map(|n| read(n, n * 110_000, 50));
        waiting().calls(steady).call(read(0, 10, 15)).passes(&scenario(&agree), "quota");
    }

    #[test]
    fn a_quota_that_never_ran_low_is_unknown() {
        let s = "quota: { slow_at: 20% }";
        drill().call(read(0, 0, 99)).unknown(&scenario_of("rate_limit", s, ""), "quota/never_low");
        drill().unknown(&scenario_of("rate_limit", s, ""), "quota/never_low");
        drill().unknown(&scenario_of("retry", s, ""), "quota/never_low");
        assert!(drill().judged(&shared(scenario_of("retry", s, "")), "quota").is_none());
    }
}
