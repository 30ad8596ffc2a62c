//! Backoff: waits between attempts grow within an envelope, are capped, jittered, and end.
//!
//! Knows: the promised envelope and the waits that were free to follow it. Must not know: waits
//! that something else governed (Retry-After, an exhausted quota, an open breaker, a subject that
//! was down, connects that no vendor sees). Those are left out by the longest they could have
//! lasted, never by how long they did last, so that leaving them out does not bend the statistics.

use std::collections::BTreeMap;

use super::call::{Call, Ending};
use super::chain::Chain;
use super::evidence::Evidence;
use super::gates::Gates;
use super::say::{Findings, Say, count};
use super::stats::{FALSE_ALARM, bound, crowding, median, needed, too_large, too_small};
use crate::fault::ErrorKind;
use crate::finding::Judgement;
use crate::scenario::{Backoff, Family, Jitter};
use crate::time::Span;
use crate::trace::EventId;

/// Samples from which on a pool of waits is judged.
const ENOUGH: usize = 8;
/// Samples that a drill about retries must give.
const WANTED: usize = 30;
/// What a queue, a scheduler or a slow reading client may add to a wait where nothing is promised.
const SLACK: Span = Span::millis(250);

/// One wait that was free to follow the envelope.
struct Wait {
    /// Which in its chain, from 1.
    nth: u32,
    waited: Span,
    envelope: Span,
    cite: [EventId; 2],
}

impl Wait {
    fn share(&self) -> f64 {
        self.waited.0 as f64 / self.envelope.0.max(1) as f64
    }

    fn share_less(&self, slack: Span) -> f64 {
        self.waited.0.saturating_sub(slack.0) as f64 / self.envelope.0.max(1) as f64
    }
}

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let promise = e.scenario.expect.backoff.as_ref()?;
    let gates = Gates::of(e);
    let mut found = Findings::default();
    let mut waits = Vec::new();
    let mut retried = 0;
    for chain in e.chains.iter().filter(|c| c.calls.len() > 1) {
        retried += 1;
        for run in runs(e, chain) {
            attempts(e, promise, &run, &mut found);
            if !chain.overlapped && !shared(e, &run) {
                collect(e, promise, &gates, &run, &mut waits);
            }
        }
    }
    // Who promises it in passing is content with waits enough to see a missing jitter by.
    let wanted = match (e.about(&[Family::Retry]), e.says("backoff")) {
        (true, _) => WANTED,
        (false, true) => ENOUGH,
        (false, false) if retried == 0 => return None,
        (false, false) => 0,
    };
    judge_waits(e, promise, &waits, wanted, &mut found);
    Some(found.judgement("backoff", retried.max(waits.len() as u64)))
}

/// The envelope of the `nth` wait, from 1.
fn envelope(promise: &Backoff, nth: u32) -> Span {
    let grown = promise.base.0 as f64 * promise.factor.powi(nth.min(1_000) as i32 - 1);
    Span((grown.min(promise.cap.0 as f64)) as u64)
}

/// The attempts of a chain between restarts of the subject: a restart may start counting anew.
fn runs<'e, 't>(e: &'e Evidence<'t>, chain: &'e Chain) -> Vec<Vec<&'e Call<'t>>> {
    let mut runs: Vec<Vec<&Call<'t>>> = Vec::new();
    for call in e.attempts(chain) {
        match runs.last_mut() {
            Some(run) if !run.last().is_some_and(|l| e.lives.started_between(l.arrived, call.arrived)) => {
                run.push(call);
            }
            _ => runs.push(vec![call]),
        }
    }
    runs
}

/// Whether several askers may stand behind what looks like one chain: without a key, two reads of
/// one record for two deliveries look like two attempts.
fn shared(e: &Evidence<'_>, run: &[&Call<'_>]) -> bool {
    run[0].key.is_none() && asked(e, run) > 1
}

fn asked(e: &Evidence<'_>, run: &[&Call<'_>]) -> u64 {
    e.asked_for(run[0], run[0].arrived - e.rest, run[run.len() - 1].arrived)
}

/// The number of attempts, and the time they took in all.
fn attempts(e: &Evidence<'_>, promise: &Backoff, run: &[&Call<'_>], found: &mut Findings) {
    let (first, last) = (run[0], run[run.len() - 1]);
    let askers = if first.key.is_some() { 1 } else { asked(e, run).max(1) };
    let free = run.iter().filter(|c| !c.invites_repeat()).count() as u64;
    if free > u64::from(promise.attempts) * askers {
        found.fail(Say {
            rule: "backoff/attempts",
            group: first.vendor,
            message: format!(
                "{} was attempted {} from {} to {}, the last answer being {}",
                first.name(),
                count(free, "time"),
                first.arrived,
                last.arrived,
                last.got(),
            ),
            expected: format!("at most {} of one operation", count(promise.attempts.into(), "attempt")),
            hint: "look for nested retries: a client library that retries inside a job that is retried multiplies",
            evidence: run.iter().map(|c| c.asked).collect(),
        });
    }
    let took = last.arrived.since(first.arrived);
    if let Some(deadline) = promise.deadline
        && took > deadline
        && askers == 1
    {
        found.fail(Say {
            rule: "backoff/deadline",
            group: first.vendor,
            message: format!(
                "{} was still attempted at {}, {took} after its first attempt at {}",
                first.name(),
                last.arrived,
                first.arrived
            ),
            expected: format!("no attempt later than {deadline} after the first"),
            hint: "a deadline over all attempts keeps a stuck operation from holding its worker",
            evidence: vec![first.asked, last.asked],
        });
    }
}

fn collect(e: &Evidence<'_>, promise: &Backoff, gates: &Gates<'_>, run: &[&Call<'_>], out: &mut Vec<Wait>) {
    for (i, pair) in run.windows(2).enumerate() {
        let (failed, next) = (pair[0], pair[1]);
        let nth = u32::try_from(i + 1).unwrap_or(u32::MAX);
        let envelope = envelope(promise, nth);
        let longest = failed.ended + envelope + e.slack(SLACK);
        let governed = gates.closed(failed.vendor, failed.ended, longest)
            || failed.invites_repeat()
            || !matches!(failed.ending, Ending::Broken | Ending::Lost | Ending::Limited | Ending::Caller)
            // Such a limit asks for a minute and more by itself, whatever the envelope.
            || failed.error() == Some(ErrorKind::SecondaryRateLimited)
            || envelope.0 + e.slack(SLACK).0 >= e.rest.0
            || longest > e.ends_at
            || !e.lives.up_throughout(failed.ended, longest.max(next.arrived))
            || e.unseen_calls(failed.vendor, failed.ended, longest.max(next.arrived));
        if !governed {
            out.push(Wait {
                nth,
                waited: next.arrived.since(failed.ended),
                envelope,
                cite: [failed.answered.unwrap_or(failed.asked), next.asked],
            });
        }
    }
}

fn judge_waits(e: &Evidence<'_>, promise: &Backoff, waits: &[Wait], wanted: usize, found: &mut Findings) {
    let mut pools: BTreeMap<u32, Vec<&Wait>> = BTreeMap::new();
    for wait in waits {
        // 0 is the pool of all waits.
        pools.entry(0).or_default().push(wait);
        pools.entry(wait.nth).or_default().push(wait);
    }
    pools.retain(|_, pool| pool.len() >= ENOUGH);
    let alpha = FALSE_ALARM / (3.0 * pools.len().max(1) as f64);
    let by_attempt = by_attempt(promise, waits);
    for (nth, pool) in &pools {
        judge_pool(e, promise, *nth, pool, alpha, &by_attempt, found);
    }
    if found.is_empty() && waits.len() < wanted {
        found.unknown(Say {
            rule: "backoff/too_few_waits",
            group: "",
            message: format!(
                "{} between attempts followed nothing but the envelope: too few to judge jitter by",
                count(waits.len() as u64, "wait")
            ),
            expected: format!(
                "at least {wanted} waits ({} would show a missing jitter)",
                needed(0.9, FALSE_ALARM / 3.0).max(ENOUGH)
            ),
            hint: "let more operations fail more than once without Retry-After",
            evidence: waits.iter().flat_map(|w| w.cite).collect(),
        });
    }
}

/// The waits after each attempt beside what they may be: a growth that is off shows here.
fn by_attempt(promise: &Backoff, waits: &[Wait]) -> String {
    const SHOWN: u32 = 6;
    let after = |nth: u32| {
        let waited: Vec<f64> = waits.iter().filter(|w| w.nth == nth).map(|w| w.waited.0 as f64).collect();
        let longest = waited.iter().copied().fold(0.0, f64::max);
        let typical = Span(median(&waited) as u64);
        let may = envelope(promise, nth);
        (!waited.is_empty())
            .then(|| format!("after attempt {nth} {typical} (longest {}) of {may}", Span(longest as u64)))
    };
    let told: Vec<String> = (1..=SHOWN).filter_map(after).collect();
    format!("median waits: {}", told.join(", "))
}

fn judge_pool(
    e: &Evidence<'_>,
    promise: &Backoff,
    nth: u32,
    pool: &[&Wait],
    alpha: f64,
    by_attempt: &str,
    found: &mut Findings,
) {
    let which = if nth == 0 { "all".to_owned() } else { format!("number {nth}") };
    let shares: Vec<f64> = pool.iter().map(|w| w.share()).collect();
    let typical = Span(median(&pool.iter().map(|w| w.waited.0 as f64).collect::<Vec<_>>()) as u64);
    let evidence: Vec<EventId> = pool.iter().take(3).flat_map(|w| w.cite).collect();
    let about = format!("{} ({which}), median {typical}", count(pool.len() as u64, "wait"));
    let lowest = match promise.jitter {
        Jitter::Full | Jitter::Any => 0.0,
        Jitter::Equal => 0.5,
    };
    // Under full jitter a place of 2% of the envelope holds a share of 2%, under equal of 4%: nine
    // in ten of eight or more there have a chance below 1e-8.
    if crowding(&shares, 0.02) >= 0.9 {
        found.fail(Say {
            rule: "backoff/no_jitter",
            group: "",
            message: format!("{about}: nine in ten lie within 2% of the envelope of each other"),
            expected: "waits that differ from operation to operation".into(),
            hint: "operations that failed together come back together: draw the wait at random",
            evidence,
        });
        return;
    }
    let limit = bound(pool.len(), alpha);
    let distance = too_small(&mut shares.clone(), lowest);
    if promise.jitter != Jitter::Any && distance > limit {
        found.fail(Say {
            rule: "backoff/too_short",
            group: "",
            message: format!(
                "{about}: too many short ones for jitter over an envelope of {} (distance {distance:.2}, chance allows {limit:.2})",
                envelopes(promise, nth),
            ),
            expected: format!("waits spread evenly over {}", spread(promise)),
            hint: "the wait must grow with every attempt, counted per operation",
            evidence: evidence.clone(),
        });
    }
    let slack = promise.slack.unwrap_or(e.own(SLACK));
    let slack = Span(slack.0.saturating_add(e.noise().0));
    let mut late: Vec<f64> = pool.iter().map(|w| w.share_less(slack)).collect();
    let distance = too_large(&mut late, lowest);
    let over = median(&late) > 1.0;
    if (promise.jitter != Jitter::Any && distance > limit) || over {
        let capped = pool.iter().all(|w| w.envelope == promise.cap);
        found.fail(Say {
            rule: if capped { "backoff/over_cap" } else { "backoff/too_long" },
            group: "",
            message: format!(
                "{about}: too many long ones for jitter over an envelope of {} (distance {distance:.2}, chance allows {limit:.2}); {by_attempt}",
                envelopes(promise, nth),
            ),
            expected: format!("waits spread evenly over {}, not counting {slack} of slack", spread(promise)),
            hint: "cap the envelope; draw the wait from all of it, not from its end",
            evidence,
        });
    }
}

fn envelopes(promise: &Backoff, nth: u32) -> String {
    if nth == 0 {
        format!("{} growing to {}", promise.base, promise.cap)
    } else {
        envelope(promise, nth).to_string()
    }
}

fn spread(promise: &Backoff) -> &'static str {
    match promise.jitter {
        Jitter::Full => "zero to the envelope (full jitter)",
        Jitter::Equal => "half the envelope to the envelope (equal jitter)",
        Jitter::Any => "the envelope",
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::finding::Verdict;
    use crate::scenario::Scenario;
    use crate::seed::Seed;
    use rand::RngExt;

    const FULL: &str = "backoff: { base: 1s, cap: 8s, attempts: 6, rest: 60s, deadline: 60s }";
    const EQUAL: &str = "backoff: { base: 1s, cap: 8s, attempts: 6, rest: 60s, jitter: equal }";

    /// `ops` operations of six attempts each; `wait` gives each wait in ms by operation and number.
    fn outage(ops: u64, mut wait: impl FnMut(u64, u32) -> u64) -> Builder {
        let mut b = drill();
        for op in 0..ops {
            let mut at = op * 3_000;
            for n in 1..=6u32 {
                let attempt = call("billing", "POST /invoices", at).key(&format!("k{op}"));
                b = b.call(if n < 6 { attempt.status(503) } else { attempt });
                at += 10 + wait(op, n);
            }
        }
        b
    }

    fn envelope(n: u32) -> u64 {
        (1_000u64 << (n - 1)).min(8_000)
    }

    fn drawn(seed: u64, from: f64, to: f64) -> impl FnMut(u64, u32) -> u64 {
        let mut rng = Seed(seed).stream("waits");
        move |_, n| (envelope(n) as f64 * (from + (to - from) * rng.random::<f64>())) as u64
    }

    fn verdict(b: Builder, s: &Scenario) -> Verdict {
        b.judged(s, "backoff").unwrap().verdict
    }

    #[test]
    fn drawn_waits_never_raise_a_false_alarm() {
        for seed in 0..150 {
            let full = outage(8 + seed % 30, drawn(seed, 0.0, 1.0));
            assert_eq!(verdict(full, &scenario(FULL)), Verdict::Pass, "full, seed {seed}");
            let equal = outage(8 + seed % 30, drawn(seed, 0.5, 1.0));
            assert_eq!(verdict(equal, &scenario(EQUAL)), Verdict::Pass, "equal, seed {seed}");
        }
    }

    #[test]
    fn waits_without_jitter_are_always_found() {
        for ops in [8, 10, 40] {
            outage(ops, |_, n| envelope(n)).fails(&scenario(FULL), "backoff/no_jitter");
            outage(ops, |_, n| envelope(n) / 2).fails(&scenario(EQUAL), "backoff/no_jitter");
        }
    }

    #[test]
    fn waits_that_do_not_grow_are_too_short() {
        let mut rng = Seed(5).stream("waits");
        outage(40, |_, _| (1_000.0 * rng.random::<f64>()) as u64).fails(&scenario(FULL), "backoff/too_short");
        outage(40, |op, _| op % 7).fails(&scenario(FULL), "backoff/no_jitter");
    }

    #[test]
    fn full_jitter_is_not_equal_jitter() {
        outage(40, drawn(1, 0.0, 1.0)).fails(&scenario(EQUAL), "backoff/too_short");
        outage(40, drawn(1, 0.5, 1.0)).fails(&scenario(FULL), "backoff/too_long");
    }

    #[test]
    fn waits_that_are_off_are_told_attempt_by_attempt() {
        let judged = outage(40, drawn(1, 0.5, 1.0)).judged(&scenario(FULL), "backoff").unwrap();
        let said = &judged.findings[0].message;
        for part in
            ["; median waits: after attempt 1 ", " of 1s, after attempt 2 ", " of 2s, after attempt 3 "]
        {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn waits_without_a_cap_are_found() {
        let uncapped = "backoff: { base: 1s, cap: 2s, attempts: 6, rest: 60s }";
        outage(40, drawn(1, 0.0, 1.0)).fails(&scenario(uncapped), "backoff/over_cap");
    }

    #[test]
    fn more_attempts_or_a_longer_time_than_promised_are_found() {
        let three = "backoff: { base: 1s, cap: 8s, attempts: 3, rest: 60s }";
        outage(40, drawn(1, 0.0, 1.0)).fails(&scenario(three), "backoff/attempts");
        let short = "backoff: { base: 1s, cap: 8s, attempts: 6, rest: 60s, deadline: 5s }";
        outage(40, drawn(1, 0.0, 1.0)).fails(&scenario(short), "backoff/deadline");
    }

    #[test]
    fn too_few_waits_are_unknown_in_a_drill_about_retries() {
        outage(2, drawn(1, 0.0, 1.0)).unknown(&scenario_of("retry", FULL, ""), "backoff/too_few_waits");
        drill().unknown(&scenario_of("retry", FULL, ""), "backoff/too_few_waits");
    }

    #[test]
    fn a_backoff_promised_in_passing_needs_some_waits_and_one_that_is_shared_none() {
        let elsewhere = || scenario_of("auth", FULL, "");
        drill().unknown(&elsewhere(), "backoff/too_few_waits");
        outage(1, drawn(1, 0.0, 1.0)).unknown(&elsewhere(), "backoff/too_few_waits");
        outage(8, drawn(1, 0.0, 1.0)).passes(&elsewhere(), "backoff");
        outage(1, drawn(1, 0.0, 1.0)).passes(&shared(elsewhere()), "backoff");
        assert!(drill().judged(&shared(elsewhere()), "backoff").is_none());
    }

    #[test]
    fn waits_under_retry_after_are_not_judged_as_backoff() {
        let mut b = drill();
        for op in 0..40 {
            let attempt = |at| call("billing", "POST /invoices", at).key(&format!("k{op}"));
            b = b.call(attempt(op * 20_000).status(503).retry_at(op * 20_000 + 15_000));
            b = b.call(attempt(op * 20_000 + 15_000));
        }
        b.unknown(&scenario_of("retry", FULL, ""), "backoff/too_few_waits");
    }
}
