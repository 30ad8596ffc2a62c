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
use crate::trace::Quota;

/// How much faster than an even spread is still a spread.
const TOLERANCE: f64 = 2.0;
/// The share left at which a quota counts as put to the test.
const PRESSED: f64 = 0.5;
/// Calls that were on their way when the quota ran low.
const ON_THE_WAY: f64 = 3.0;
/// A window longer than this may be asked about before it ends, for who is not told when that is.
const LONG: Span = Span::mins(60);
/// Calls further apart than this ask; they do not burden.
const RARE: Span = Span::mins(5);

/// One quota of one vendor.
type Which<'t> = (&'t str, Span);

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let promise = e.scenario.expect.quota.as_ref()?;
    let mut found = Findings::default();
    let told = e.calls.iter().filter(|c| !c.quotas().is_empty()).count() as u64;
    let of_call = |c: &Call<'_>| c.quotas().iter().map(|q| q.window).collect::<Vec<_>>();
    let mut low = 0u64;
    for vendor in e.by_vendor.keys() {
        rejections(e, vendor, promise, &mut found);
        let windows: BTreeSet<Span> = e.calls_of(vendor).flat_map(of_call).collect();
        low += windows.into_iter().map(|w| spread(e, (vendor, w), promise, &mut found)).sum::<u64>();
    }
    if let Some(limit) = promise.never_idle_longer_than {
        let tellers: BTreeSet<&str> =
            e.calls.iter().filter(|c| !c.quotas().is_empty()).map(|c| c.vendor).collect();
        let stalls = idle::after(e, limit, |call| {
            if !tellers.contains(call.vendor) {
                return None;
            }
            let shortest = call.quotas().iter().min_by_key(|q| q.window).map(|q| q.resets_at);
            let limited = shortest.filter(|_| call.ending == Ending::Limited);
            let window = call.spent_until().or(limited).into_iter().chain(call.retry_at()).max();
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
        let share = |q: &Quota| q.remaining as f64 / q.limit as f64;
        let all = e.calls.iter().flat_map(|c| c.quotas().iter().filter(|q| q.limit > 0).map(move |q| (c, q)));
        let least = all.min_by(|(_, a), (_, b)| share(a).total_cmp(&share(b)));
        let tested = tampered || least.is_some_and(|(_, q)| share(q) <= PRESSED);
        match (e.owes("quota", &[Family::RateLimit]), tested) {
            (false, _) if told == 0 => return None,
            (false, _) | (true, true) => {}
            (true, false) => found.unknown(Say {
                rule: "quota/never_low",
                group: "",
                message: match least {
                    Some((call, q)) => format!(
                        "{} told a quota, and none ever fell to {}: the least left was {} of {} calls in {}, at {}",
                        count(told, "answer"), promise.slow_at, q.remaining, q.limit, q.window, call.vendor
                    ),
                    None => "no answer told a quota".to_owned(),
                },
                expected: format!("at least 1 answer with {} of the quota left or less", promise.slow_at),
                hint: "more work, or a smaller quota",
                evidence: Vec::new(),
            }),
        }
    }
    Some(found.judgement("quota", told.max(low).max(1)))
}

/// Calls that ran into the limit by themselves, not by a fault. One that asks now and then whether a long window has
/// ended is none of them.
fn rejections(e: &Evidence<'_>, vendor: &str, promise: &QuotaUse, found: &mut Findings) {
    let mut before: Option<At> = None;
    let rejected: Vec<&Call<'_>> = e
        .calls_of(vendor)
        .filter(|c| c.ending == Ending::Limited && c.fault.is_none())
        .filter(|c| {
            let long = c.quotas().iter().any(|q| q.remaining == 0 && q.window > e.own(LONG));
            let rare = before.is_some_and(|before| c.arrived.since(before) >= e.own(RARE));
            before = Some(c.arrived);
            !(long && rare)
        })
        .collect();
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

/// From the first answer that shows a low quota to its reset, the calls that it counts come no faster than an even
/// spread of what is left, with some tolerance. Gives the number of such stretches.
fn spread(e: &Evidence<'_>, (vendor, window): Which<'_>, promise: &QuotaUse, found: &mut Findings) -> u64 {
    let of = |c: &Call<'_>| c.quotas().iter().find(|q| q.window == window).copied();
    let mut by_end: Vec<&Call<'_>> = e.calls_of(vendor).collect();
    by_end.sort_by_key(|c| c.ended);
    let counted: Vec<&Call<'_>> = e.calls_of(vendor).filter(|c| counts(c, window)).collect();
    let long = window > e.own(LONG);
    let mut stretches = 0;
    let mut after = At::START;
    for teller in by_end {
        let Some(quota) = of(teller).filter(|q| teller.ended >= after && q.limit > 0) else { continue };
        let share = quota.remaining as f64 / quota.limit as f64;
        let left = quota.resets_at.since(teller.ended);
        if share > promise.slow_at.0 || left < e.own(Span::secs(1)) {
            continue;
        }
        stretches += 1;
        after = quota.resets_at;
        let first = counted.partition_point(|c| c.arrived <= teller.ended);
        let last = counted.partition_point(|c| c.arrived < quota.resets_at);
        let mut before = teller.ended;
        let burdens = |c: &&&Call<'_>| {
            let rare = long && c.arrived.since(before) >= e.own(RARE);
            before = c.arrived;
            !rare
        };
        let burst = counted[first..last].iter().filter(burdens).enumerate().find(|(n, c)| {
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

/// Whether a call is one that the quota of this window counts: the answer told of it, or nobody knows.
fn counts(call: &Call<'_>, window: Span) -> bool {
    call.told.is_none_or(|told| told.quotas.iter().any(|q| q.window == window))
}

#[cfg(test)]
mod tests {
    use super::*;
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

    const HOUR: u64 = 3_600_000;

    /// The nth read, with the window and the day that its answer told.
    fn day(n: u64, at: u64, left: u64) -> Exchange {
        read(n, at, 90).told(|t| {
            t.quotas.push(Quota {
                limit: 1_000,
                remaining: left,
                resets_at: ms_at(24 * HOUR),
                window: Span::mins(24 * 60),
            });
        })
    }

    fn spent(n: u64, at: u64) -> Exchange {
        day(n, at, 0).error(429, ErrorKind::RateLimited)
    }

    #[test]
    fn each_quota_is_judged_by_itself() {
        let burst = (0..40).map(|n| day(n, n * 60_000, 100 - n));
        drill().calls(burst).fails(&scenario(QUOTA), "quota/burst");
        let hourly = (0..20).map(|n| day(n, n * HOUR, 50 - n));
        drill().calls(hourly).passes(&scenario(QUOTA), "quota");
        let uncounted = (0..200).map(|n| call("crm", "POST /search", n * 60_000));
        drill().call(day(0, 0, 50)).calls(uncounted).passes(&scenario(QUOTA), "quota");
    }

    #[test]
    fn a_question_now_and_then_whether_the_day_is_new_is_no_rejection() {
        let quota = "quota: { slow_at: 20%, rejections: 1 }";
        let every = |ms: u64| (0..60).map(move |n| spent(n, n * ms));
        drill().calls(every(600_000)).passes(&scenario(quota), "quota");
        drill().calls(every(60_000)).fails(&scenario(quota), "quota/rejections");
        // A short window says when it ends, or is over before anybody would ask.
        let short = (0..60).map(|n| read(n, n * 600_000, 0).error(429, ErrorKind::RateLimited));
        drill().calls(short).fails(&scenario(quota), "quota/rejections");
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
