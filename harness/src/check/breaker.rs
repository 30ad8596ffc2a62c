//! The circuit breaker: it opens on failures, stays open, probes, and closes again.
//!
//! Knows: the promised numbers and the wire. Must not know: where in the subject the breaker is.
//! Where the wire leaves room (a straggler's success while open, a 4xx between failures, a
//! restart), it is read in the subject's favour.

use super::call::{Call, Ending};
use super::evidence::Evidence;
use super::say::{Findings, Say, count};
use crate::finding::Judgement;
use crate::scenario::{Breaker, Family};
use crate::time::{At, Span};

/// Records that must have waited before the caller's own errors are blamed for a silence.
const OTHERS: usize = 3;
/// Calls sent before the last failure was heard of.
const ON_THE_WAY: Span = Span::millis(20);

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let promise = e.scenario.expect.breaker.as_ref()?;
    let mut found = Findings::default();
    let mut opened = 0u64;
    let mut longest = 0;
    let mut runs_of_own = 0;
    for vendor in e.by_vendor.keys() {
        let mut walk = Walk::new(e, vendor, promise);
        walk.run(&mut found);
        opened += walk.opened;
        longest = longest.max(walk.longest);
        if walk.opened > 0 {
            recovers(e, vendor, promise, &mut found);
        }
        runs_of_own += opens_on_own_errors(e, vendor, promise, &mut found);
    }
    if opened == 0 && runs_of_own == 0 && found.is_empty() {
        if !e.owes("breaker", &[Family::Breaker, Family::Cascade]) {
            return None;
        }
        found.unknown(Say {
            rule: "breaker/never_tripped",
            group: "",
            message: format!("the longest run of failures of one vendor was {longest}"),
            expected: format!("a run of at least {}", promise.opens_after),
            hint: "a longer or total outage, with more work waiting",
            evidence: Vec::new(),
        });
    }
    Some(found.judgement("breaker", opened + runs_of_own))
}

/// The least that counts as staying away for `open_for`: timers and jitter may take a tenth.
fn silence(e: &Evidence<'_>, promise: &Breaker) -> Span {
    Span((promise.open_for.0 / 10 * 9).saturating_sub(e.noise().0))
}

/// A breaker as it should be, walked along the wire.
struct Walk<'e, 't> {
    e: &'e Evidence<'t>,
    vendor: &'e str,
    promise: &'e Breaker,
    failures: Vec<usize>,
    open_since: Option<At>,
    /// Calls that came while it was open.
    extra: Vec<usize>,
    probing: Vec<usize>,
    /// Probes sent since it was last half open, and whether one of them has failed.
    round: Vec<usize>,
    reopened: bool,
    opened: u64,
    longest: usize,
    /// When it was open, the last perhaps without an end.
    spans: Vec<(At, Option<At>)>,
}

impl<'e, 't> Walk<'e, 't> {
    fn new(e: &'e Evidence<'t>, vendor: &'e str, promise: &'e Breaker) -> Self {
        Walk {
            e,
            vendor,
            promise,
            failures: Vec::new(),
            open_since: None,
            extra: Vec::new(),
            probing: Vec::new(),
            round: Vec::new(),
            reopened: false,
            opened: 0,
            longest: 0,
            spans: Vec::new(),
        }
    }

    fn run(&mut self, found: &mut Findings) {
        let mut starts = self.e.lives.starts.iter().peekable();
        for edge in self.e.edges_of(self.vendor) {
            while let Some((at, _)) = starts.next_if(|(_, event)| *event < edge.event) {
                self.close(*at, found);
            }
            let call = &self.e.calls[edge.call];
            // A token may be fetched beside the breaker.
            if call.is_token() {
                continue;
            }
            if edge.begins {
                self.arrives(call.arrived, edge.call, found);
            } else {
                self.ends(call.ended, edge.call, found);
            }
        }
        starts.for_each(|(at, _)| self.close(*at, found));
        self.judge_extra(found);
    }

    fn arrives(&mut self, at: At, index: usize, found: &mut Findings) {
        let Some(since) = self.open_since else { return };
        if at < since + silence(self.e, self.promise) {
            if at > since + self.e.slack(ON_THE_WAY) {
                self.extra.push(index);
                return;
            }
            if !self.reopened {
                return;
            }
        } else {
            if self.probing.is_empty() {
                self.round.clear();
            }
            self.probing.push(index);
        }
        // A probe that fails at once does not make its companions fewer.
        self.round.push(index);
        if self.round.len() > self.promise.probes as usize {
            found.fail(Say {
                rule: "breaker/burst_of_probes",
                group: self.vendor,
                message: format!(
                    "at {at} {} to {} came together after its breaker had been open since {since}",
                    count(self.round.len() as u64, "probe"),
                    self.vendor
                ),
                expected: format!(
                    "at most {} before one has succeeded",
                    count(self.promise.probes.into(), "probe")
                ),
                hint: "half open means one caller through, and the others refused until it is back",
                evidence: self.round.iter().map(|i| self.e.calls[*i].asked).collect(),
            });
        }
    }

    fn ends(&mut self, at: At, index: usize, found: &mut Findings) {
        let failed = matches!(self.e.calls[index].ending, Ending::Broken | Ending::Lost);
        if self.open_since.is_none() {
            if !failed {
                self.failures.clear();
                return;
            }
            self.failures.push(index);
            self.longest = self.longest.max(self.failures.len());
            if self.failures.len() >= self.promise.opens_after as usize {
                self.open_since = Some(at);
                self.spans.push((at, None));
                self.opened += 1;
            }
            return;
        }
        let Some(n) = self.probing.iter().position(|i| *i == index) else { return };
        self.probing.remove(n);
        if failed {
            self.judge_extra(found);
            self.open_since = Some(at);
            self.reopened = true;
            self.failures = vec![index];
        } else {
            self.close(at, found);
        }
    }

    fn close(&mut self, at: At, found: &mut Findings) {
        self.judge_extra(found);
        if self.open_since.take().is_some()
            && let Some((_, to)) = self.spans.last_mut()
        {
            *to = Some(at);
        }
        self.failures.clear();
        self.probing.clear();
        self.round.clear();
        self.reopened = false;
    }

    fn judge_extra(&mut self, found: &mut Findings) {
        let extra = std::mem::take(&mut self.extra);
        let Some(since) = self.open_since else { return };
        if extra.len() <= self.promise.in_flight as usize {
            return;
        }
        let calls: Vec<&Call<'_>> = extra.iter().map(|i| &self.e.calls[*i]).collect();
        let trip = self.failures.last().map(|i| self.e.calls[*i].answered.unwrap_or(self.e.calls[*i].asked));
        found.fail(Say {
            rule: "breaker/calls_while_open",
            group: self.vendor,
            message: format!(
                "after {} in a row to {} by {since}, {} came within {} (the first at {}: {})",
                count(self.failures.len() as u64, "failure"),
                self.vendor,
                count(calls.len() as u64, "more call"),
                silence(self.e, self.promise),
                calls[0].arrived,
                calls[0].name(),
            ),
            expected: format!(
                "at most {} that were under way, then silence for {}",
                self.promise.in_flight, self.promise.open_for
            ),
            hint: "one breaker for a vendor, shared by all workers and jobs, counted where calls are made",
            evidence: trip.into_iter().chain(calls.iter().map(|c| c.asked)).collect(),
        });
    }
}

/// A time during which a breaker that keeps its promise is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The vendor it guards.
    pub vendor: String,
    /// The moment of the failure that opened it.
    pub from: At,
    /// The moment of the success, or the start, that closed it; `None` if nothing did.
    pub to: Option<At>,
}

/// When the promised breaker of each vendor is open, read from the wire.
pub(super) fn opened(e: &Evidence<'_>) -> Vec<Opened> {
    let Some(promise) = e.scenario.expect.breaker.as_ref() else { return Vec::new() };
    let mut all = Vec::new();
    for vendor in e.by_vendor.keys() {
        let mut walk = Walk::new(e, vendor, promise);
        walk.run(&mut Findings::default());
        let spans = walk.spans.into_iter();
        all.extend(spans.map(|(from, to)| Opened { vendor: (*vendor).to_owned(), from, to }));
    }
    all
}

/// When the vendor was well again: after the last window of a fault on it, or when all healed.
fn well(e: &Evidence<'_>, vendor: &str) -> At {
    let rules = e.scenario.faults.iter().filter(|r| r.on.vendor() == Some(vendor));
    let ends: Option<Vec<At>> = rules.map(|r| r.window.and_then(|w| w.to)).collect();
    ends.and_then(|ends| ends.into_iter().max()).map_or(e.heals_at, |end| end.min(e.heals_at))
}

/// Once the vendor is well and work is waiting, calls succeed again in time.
fn recovers(e: &Evidence<'_>, vendor: &str, promise: &Breaker, found: &mut Findings) {
    let well = well(e, vendor);
    let due = well + promise.recovers_within;
    if due > e.ends_at || !e.lives.up_throughout(well, due) {
        return;
    }
    let first = e.calls_of(vendor).find(|c| c.succeeded() && c.ended >= well);
    if first.is_some_and(|c| c.ended <= due) {
        return;
    }
    let last = e.calls_of(vendor).take_while(|c| c.arrived < well).last();
    let waiting = match e.agreement() {
        Some(agreement) => agreement.pending_throughout(well, due),
        None => last.is_some_and(|c| c.ending.is_transient()) && first.is_some(),
    };
    if waiting {
        found.fail(Say {
            rule: "breaker/no_recovery",
            group: vendor,
            message: match first {
                Some(c) => format!("{vendor} was well from {well} on, and the first call to succeed ended only at {}", c.ended),
                None => format!("{vendor} was well from {well} on, and no call succeeded any more although work was waiting"),
            },
            expected: format!("calls flow by {due}"),
            hint: "a probe that hangs or gets a 4xx must not leave the breaker half open for ever",
            evidence: last.into_iter().chain(first).flat_map(|c| c.cite()).collect(),
        });
    }
}

/// A run of the caller's own errors must not stop calls for other work. Judged only where work
/// that the subject had heard of demonstrably waited for the end of the silence.
fn opens_on_own_errors(e: &Evidence<'_>, vendor: &str, promise: &Breaker, found: &mut Findings) -> u64 {
    let calls: Vec<&Call<'_>> = e.calls_of(vendor).collect();
    let mut run = 0u32;
    let mut runs = 0;
    for (n, call) in calls.iter().enumerate() {
        run = if call.ending == Ending::Caller { run + 1 } else { 0 };
        if run < promise.opens_after {
            continue;
        }
        runs += u64::from(run == promise.opens_after);
        let Some(next) = calls.get(n + 1) else { continue };
        if next.arrived.since(call.ended) < silence(e, promise)
            || !e.lives.up_throughout(call.ended, next.arrived)
        {
            continue;
        }
        let latest = next.arrived - Span(promise.open_for.0 / 2);
        let Some(agreement) = e.agreement() else { continue };
        let mut waited = agreement.sources.iter().filter(|(id, history)| {
            let heard = e
                .spoken_of
                .get(id.as_str())
                .is_some_and(|m| m.iter().any(|t| *t > call.ended && *t <= latest));
            let stretches = history.key.as_deref().map_or(&[][..], |k| agreement.raw(k));
            heard && stretches.iter().any(|(from, to)| *from <= latest && *to >= next.arrived)
        });
        // One or two may have ended before they came to this vendor.
        if let Some((id, _)) = waited.nth(OTHERS - 1) {
            found.fail(Say {
                rule: "breaker/opened_on_own_errors",
                group: vendor,
                message: format!(
                    "after {run} answers in a row that were the caller's own fault ({}), {vendor} was left alone from {} to {} although {id} was waiting",
                    call.got(),
                    call.ended,
                    next.arrived
                ),
                expected: "a 4xx says that the vendor is well".into(),
                hint: "count only 5xx, timeouts and connection failures",
                evidence: call.cite().into_iter().chain([next.asked]).collect(),
            });
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::fault::ErrorKind;
    use crate::scenario::{Family, Scenario};
    use crate::trace::ChangeKind::Given;
    use serde_json::json;

    fn breaker() -> Scenario {
        scenario("breaker: { opens_after: 3, in_flight: 1, open_for: 30s, recovers_within: 1m }")
    }

    fn read(at: u64) -> Exchange {
        call("crm", &format!("GET /deals/d{at}"), at)
    }

    fn down(at: u64) -> Exchange {
        read(at).status(503)
    }

    /// Three failures by 2,010 ms.
    fn tripped() -> Builder {
        drill().calls([down(0), down(1_000), down(2_000)])
    }

    #[test]
    fn silence_one_probe_and_recovery_are_sound() {
        tripped()
            .calls([down(2_500), down(32_500), read(63_000), read(63_050), read(63_060)])
            .passes(&breaker(), "breaker");
    }

    #[test]
    fn calls_that_take_no_time_are_not_under_way_at_once() {
        let quick = |x: Exchange| x.takes(0);
        drill()
            .calls(
                [down(0), down(1_000), down(2_000), down(32_500), down(63_000), read(94_000), read(94_001)]
                    .map(quick),
            )
            .passes(&breaker(), "breaker");
    }

    #[test]
    fn a_breaker_that_never_opens_is_found() {
        tripped().calls((3..10).map(|n| down(n * 1_000))).fails(&breaker(), "breaker/calls_while_open");
    }

    #[test]
    fn calls_right_after_a_failed_probe_are_found() {
        tripped()
            .calls([down(33_000), down(34_000), down(35_000)])
            .fails(&breaker(), "breaker/calls_while_open");
    }

    #[test]
    fn a_burst_of_probes_is_found() {
        tripped().calls([read(33_000), read(33_001)]).fails(&breaker(), "breaker/burst_of_probes");
        let at_once = [down(33_000).takes(0), down(33_000).body("2").takes(0), down(33_001).takes(0)];
        tripped().calls(at_once).fails(&breaker(), "breaker/burst_of_probes");
    }

    #[test]
    fn silence_after_recovery_is_found() {
        tripped().call(read(3_700_000)).fails(&breaker(), "breaker/no_recovery");
        tripped().call(read(3_640_000)).passes(&breaker(), "breaker");
    }

    #[test]
    fn a_success_in_between_and_the_callers_own_errors_do_not_trip_it() {
        let wrong = |at| read(at).error(400, ErrorKind::InvalidRequest);
        drill()
            .calls([down(0), down(500), read(1_000), down(1_500), down(2_000), read(2_500)])
            .calls((3..10).map(|n| wrong(n * 1_000)))
            .passes(&breaker(), "breaker");
    }

    #[test]
    fn opening_on_the_callers_own_errors_is_found() {
        let s = scenario(
            "breaker: { opens_after: 3, open_for: 30s, recovers_within: 1m }\n  \
             agree: { from: crm.deals, where: 'deal.won', to: billing.invoices, key: invoice.deal }",
        );
        let wrong = |at| call("billing", "POST /invoices", at).key("k").error(400, ErrorKind::InvalidRequest);
        let with = |then: u64| {
            let mut b = drill().calls([wrong(0), wrong(1_000), wrong(2_000)]);
            for n in 1..=3u64 {
                let (deal, event) = (format!("d{n}"), format!("e{n}"));
                b = b
                    .change(5_000 + n, "crm.deals", Given, json!({ "id": deal, "won": true }), None)
                    .emitted(5_000 + n, &event, &deal)
                    .delivery(5_100 + n, &[&event], 200, 5);
            }
            b.call(call("billing", "POST /invoices", then).key("k9"))
        };
        with(33_000).fails(&s, "breaker/opened_on_own_errors");
        with(5_200).passes(&s, "breaker");
    }

    #[test]
    fn a_breaker_that_was_never_tripped_is_unknown() {
        let s = scenario_of("breaker", "breaker: { opens_after: 3, open_for: 30s, recovers_within: 1m }", "");
        drill().calls([down(0), read(10)]).unknown(&s, "breaker/never_tripped");
        let elsewhere = Scenario { family: Family::Retry, ..s };
        drill().calls([down(0), read(10)]).unknown(&elsewhere, "breaker/never_tripped");
        assert!(drill().calls([down(0), read(10)]).judged(&shared(elsewhere), "breaker").is_none());
    }
}
