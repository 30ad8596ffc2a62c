//! Retry-After: the client stays away as long as it was asked to, and not for ever.
//!
//! Knows: what each answer told the client (RFC 9110 §10.2.3). Must not know: how it was said.

use indexmap::IndexMap;

use super::call::{Call, Ending};
use super::evidence::Evidence;
use super::idle;
use super::say::{Findings, Say};
use crate::fault::{Act, ErrorKind, Rule, Target};
use crate::finding::Judgement;
use crate::scenario::Family;
use crate::time::{At, Span};
use crate::trace::{EventId, What};
use crate::wire::Response;

/// Calls that were on their way when the answer came, and rounding of timers.
const SLACK: Span = Span::millis(20);

/// A request to stay away.
#[derive(Clone, Copy)]
struct Told {
    from: At,
    until: At,
    asked_until: At,
    call: usize,
}

/// What a request to stay away covers.
type Scope<'t> = (&'t str, Option<&'t str>, Option<(&'t str, u128)>);

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let promise = e.scenario.expect.retry_after.as_ref()?;
    let mut found = Findings::default();
    let mut told: IndexMap<Scope<'_>, Vec<Told>> = IndexMap::new();
    let mut judged = 0;
    for (index, call) in e.calls.iter().enumerate() {
        let Some(asked_until) = call.retry_at() else { continue };
        judged += 1;
        let until = asked_until.min(call.ended + promise.obeyed_up_to);
        told.entry(scope(call)).or_default().push(Told { from: call.ended, until, asked_until, call: index });
    }
    for list in told.values_mut() {
        list.sort_by_key(|t| t.from);
    }
    let kept_waiting = kept_waiting(e);
    for call in &e.calls {
        for scope in scopes(call) {
            if let Some(list) = told.get(&scope) {
                obeyed(e, list, call, &kept_waiting, &mut found);
            }
        }
    }
    if let Some(limit) = promise.never_idle_longer_than {
        let stalls = idle::after(e, limit, |call| {
            let failed = matches!(call.ending, Ending::Limited | Ending::Broken);
            failed.then(|| call.retry_at().map_or(call.ended, |t| t.min(call.ended + promise.obeyed_up_to)))
        });
        for stall in &stalls {
            found.fail(stall.say(
                "retry_after/stalled",
                limit,
                "read an absurd, negative or malformed Retry-After as none, and cap what you obey",
            ));
        }
    }
    if let Some(limit) = promise.never_idle_longer_than {
        put_off(e, promise.obeyed_up_to, limit, &mut found);
    }
    let malformed =
        e.calls.iter().any(|c| c.fault.is_some() && matches!(c.ending, Ending::Limited | Ending::Broken));
    if judged == 0 && found.is_empty() && !(malformed && promise.never_idle_longer_than.is_some()) {
        if !e.owes("retry_after", &[Family::RateLimit]) {
            return None;
        }
        found.unknown(Say {
            rule: "retry_after/never_told",
            group: "",
            message: "no answer asked the subject to come back later".into(),
            expected: "at least 1 answer with Retry-After that reached it".into(),
            hint: "add a fault with `retry_after`, or a workload that runs into the vendor's limit",
            evidence: Vec::new(),
        });
    }
    Some(found.judgement("retry_after", judged.max(1)))
}

/// One request that is put off for ever while others flow.
fn put_off(e: &Evidence<'_>, obeyed: Span, limit: Span, found: &mut Findings) {
    let mut next_of: Vec<Option<At>> = vec![None; e.sameness.requests()];
    for call in e.calls.iter().rev() {
        let next = next_of[call.same.attempt].replace(call.arrived);
        let Some(asked) = call.retry_at() else { continue };
        let due = asked.min(call.ended + obeyed) + limit;
        let back = next.unwrap_or(e.ends_at);
        if back <= due || asked <= call.ended + obeyed || !e.lives.up_throughout(call.ended, back) {
            continue;
        }
        let Some(agreement) = e.agreement() else { continue };
        let body = String::from_utf8_lossy(&call.request.body);
        let named = super::evidence::words(&call.request.target).chain(super::evidence::words(&body));
        let waiting =
            |key: &str| agreement.stretches(key).iter().any(|(from, to)| *from <= call.ended && *to >= due);
        let Some(key) = named.into_iter().find(|w| waiting(w)) else { continue };
        found.fail(Say {
            rule: "retry_after/put_off",
            group: call.vendor,
            message: format!(
                "{} for {key} was told at {} to stay away for {}, and {}",
                call.name(),
                call.ended,
                asked.since(call.ended),
                next.map_or_else(|| "never came back".to_owned(), |t| format!("came back only at {t}")),
            ),
            expected: format!("another attempt by {due}, {obeyed} being the most that is obeyed"),
            hint: "cap what you obey: a misconfigured proxy may ask for a year",
            evidence: call.cite(),
        });
    }
}

/// A rate limit covers the vendor, a lock the one request, anything else the operation.
fn scope<'t>(call: &Call<'t>) -> Scope<'t> {
    if call.is_token() {
        return (call.vendor, Some(operation(call)), None);
    }
    match call.error() {
        Some(ErrorKind::LockTimeout) => (call.vendor, None, Some((&call.request.target, call.digest))),
        Some(ErrorKind::RateLimited | ErrorKind::SecondaryRateLimited) => (call.vendor, None, None),
        _ => (call.vendor, Some(operation(call)), None),
    }
}

fn scopes<'t>(call: &Call<'t>) -> Vec<Scope<'t>> {
    let mut scopes = vec![
        (call.vendor, Some(operation(call)), None),
        (call.vendor, None, Some((&*call.request.target, call.digest))),
    ];
    if !call.is_token() {
        scopes.push((call.vendor, None, None));
    }
    scopes
}

fn operation<'t>(call: &Call<'t>) -> &'t str {
    call.operation.map_or(call.request.path(), |o| &o.name)
}

/// A connection that the vendor took up late.
struct Kept<'t> {
    vendor: &'t str,
    from: At,
    until: At,
}

fn kept_waiting<'t>(e: &Evidence<'t>) -> Vec<Kept<'t>> {
    let late = |number: u32| match e.scenario.faults.get(number as usize) {
        Some(Rule { on: Target::Calls { vendor, .. }, act: Act::SlowAccept(span), .. }) => {
            Some((vendor, *span))
        }
        _ => None,
    };
    let events = e.trace.events.iter().filter_map(|event| match &event.what {
        What::Fault(fault) => {
            late(fault.rule).map(|(vendor, span)| Kept { vendor, from: event.at, until: event.at + span })
        }
        _ => None,
    });
    events.collect()
}

/// Looks at the latest request to stay away that `call` can have known of.
fn obeyed(e: &Evidence<'_>, list: &[Told], call: &Call<'_>, kept_waiting: &[Kept<'_>], found: &mut Findings) {
    let known = list.partition_point(|t| t.from + e.slack(SLACK) < call.arrived);
    let Some(told) = known.checked_sub(1).map(|i| list[i]) else { return };
    let early = told.until.since(call.arrived);
    // A restart may forget it; a clock that is off misreads a date.
    let excused = e.lives.started_between(told.from, call.arrived) || e.lives.skewed_at(told.from);
    // Sent before anybody was told, and read by the vendor only now.
    let on_its_way = |k: &Kept<'_>| {
        k.vendor == call.vendor
            && k.from <= told.from
            && call.arrived >= k.until
            && call.arrived.since(k.until) <= e.slack(SLACK)
    };
    if early <= e.slack(SLACK) || excused || kept_waiting.iter().any(on_its_way) {
        return;
    }
    let teller = &e.calls[told.call];
    let evidence: Vec<EventId> = teller.answered.into_iter().chain([call.asked]).collect();
    found.fail(Say {
        rule: "retry_after/too_early",
        group: call.vendor,
        message: format!(
            "{} was answered {} at {} and told to stay away for {}{}; {} came at {}, {early} too early",
            teller.name(),
            teller.got(),
            teller.ended,
            told.asked_until.since(told.from),
            teller.response.and_then(line).unwrap_or_default(),
            call.name(),
            call.arrived,
        ),
        expected: format!("no such call before {}", told.until),
        hint: "Retry-After is seconds or one of three date forms, and holds for all workers, not only the one that heard it",
        evidence,
    });
}

/// The header line that said so, as it stood in the answer.
fn line(response: &Response) -> Option<String> {
    response.headers.get("retry-after").map(|value| format!(" (`retry-after: {value}`)"))
}

/// Says how a standstill looks.
impl idle::Stall<'_> {
    /// As a finding of `rule`.
    pub(super) fn say<'s>(&'s self, rule: &'static str, limit: Span, hint: &'s str) -> Say<'s> {
        Say {
            rule,
            group: self.vendor,
            message: format!(
                "no call went to {} from {} to {} ({}) although work was waiting; the last answer before was {} to {}",
                self.vendor,
                self.from,
                self.to,
                self.to.since(self.from),
                self.last.got(),
                self.last.name(),
            ),
            expected: format!("a standstill of at most {limit} that no vendor asked for"),
            hint,
            evidence: self.last.cite().into_iter().chain(self.next).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::fault::ErrorKind;
    use crate::trace::{FaultRef, What};

    const OBEY: &str = "retry_after: { obeyed_up_to: 2m, never_idle_longer_than: 5m }";

    fn limited(at: u64, until: u64) -> Exchange {
        call("billing", "POST /invoices", at).key("k").error(429, ErrorKind::RateLimited).retry_at(until)
    }

    fn create(at: u64, key: &str) -> Exchange {
        call("billing", "POST /invoices", at).key(key).body(key)
    }

    #[test]
    fn staying_away_is_sound() {
        drill().call(limited(0, 30_010)).call(create(30_010, "k")).passes(&scenario(OBEY), "retry_after");
    }

    #[test]
    fn coming_back_early_is_found_for_any_call_to_the_vendor() {
        drill()
            .call(limited(0, 30_010))
            .call(create(29_000, "k"))
            .fails(&scenario(OBEY), "retry_after/too_early");
        drill()
            .call(limited(0, 30_010))
            .call(call("billing", "GET /customers", 5_000))
            .call(create(30_100, "k"))
            .fails(&scenario(OBEY), "retry_after/too_early");
    }

    #[test]
    fn the_header_line_that_was_not_heeded_is_quoted() {
        let said = |exchange: Exchange| {
            let judged =
                drill().call(exchange).call(create(29_000, "k")).judged(&scenario(OBEY), "retry_after");
            judged.unwrap().findings[0].message.clone()
        };
        let mut with_header = limited(0, 30_010);
        with_header.response.as_mut().unwrap().headers.set("retry-after", "30");
        assert!(said(with_header).contains("told to stay away for 30s (`retry-after: 30`); "));
        assert!(said(limited(0, 30_010)).contains("told to stay away for 30s; "));
    }

    #[test]
    fn a_call_under_way_and_another_vendor_are_not_bound() {
        drill()
            .call(limited(0, 30_010))
            .call(create(5, "other"))
            .call(call("crm", "GET /deals", 5_000))
            .call(create(30_100, "k"))
            .passes(&scenario(OBEY), "retry_after");
    }

    #[test]
    fn a_call_that_waited_to_be_taken_up_was_sent_before_anybody_was_told() {
        let slow_of = |vendor: &str, accepted: u64| {
            let rule = format!("faults:\n  - {{ on: {vendor}, window: 0s..1m, do: {{ slow_accept: 3s }} }}");
            let s = scenario_of("other", OBEY, &rule);
            let fault = FaultRef { rule: 0, act: "slow_accept".into(), moment: None, drift: None };
            let drill = drill()
                .event(accepted - 3_000, What::Fault(fault))
                .call(limited(1_000, 30_010))
                .call(create(accepted, "other"))
                .call(create(30_100, "k"));
            (drill, s)
        };
        let slow = |accepted| slow_of("billing", accepted);
        let (drill, s) = slow(3_500);
        drill.passes(&s, "retry_after");
        let early = |(drill, s): (Builder, _)| drill.fails(&s, "retry_after/too_early");
        early(slow(4_500));
        early(slow_of("crm", 3_500));
        // One on another connection, while this one waits; and one when it is taken up already.
        for at in [2_000, 3_800] {
            let (drill, s) = slow(3_500);
            early((drill.call(create(at, "elsewhere")), s));
        }
    }

    #[test]
    fn an_outage_binds_the_same_operation_only() {
        let down =
            call("billing", "POST /invoices", 0).key("k").error(503, ErrorKind::Unavailable).retry_at(30_010);
        drill()
            .call(down)
            .call(call("billing", "GET /customers", 5_000))
            .call(create(30_100, "k"))
            .passes(&scenario(OBEY), "retry_after");
    }

    #[test]
    fn an_absurd_value_is_obeyed_up_to_the_limit_and_not_for_ever() {
        let day = 86_400_000;
        drill().call(limited(0, day)).call(create(121_000, "k")).passes(&scenario(OBEY), "retry_after");
        drill()
            .call(limited(0, day))
            .call(create(60_000, "k"))
            .fails(&scenario(OBEY), "retry_after/too_early");
        drill().call(limited(0, day)).fails(&scenario(OBEY), "retry_after/stalled");
        drill()
            .call(limited(0, day))
            .call(create(900_000, "k"))
            .fails(&scenario(OBEY), "retry_after/stalled");
    }

    #[test]
    fn one_request_put_off_for_ever_is_found_while_others_flow() {
        let s = scenario(&format!(
            "{OBEY}\n  agree: {{ from: crm.deals, where: 'deal.won', to: billing.invoices, key: invoice.deal }}"
        ));
        let deal = serde_json::json!({ "id": "d1", "won": true });
        let absurd = |until| {
            call("billing", "POST /invoices", 10).key("k1").body("deal=d1").status(503).retry_at(until)
        };
        let others = (0..70u64).map(|n| call("billing", "GET /customers", 1_000 + n * 100_000));
        let drill = || drill().change(0, "crm.deals", crate::trace::ChangeKind::Given, deal.clone(), None);
        drill().call(absurd(86_400_000)).calls(others.clone()).fails(&s, "retry_after/put_off");
        let again = create(130_000, "k1").body("deal=d1");
        drill().call(absurd(86_400_000)).call(again).calls(others).passes(&s, "retry_after");
    }

    #[test]
    fn a_malformed_value_must_not_stall() {
        let odd = || {
            call("billing", "POST /invoices", 0).key("k").error(429, ErrorKind::RateLimited).fault(0, "error")
        };
        drill().call(odd()).call(create(2_000, "k")).passes(&scenario(OBEY), "retry_after");
        drill().call(odd()).call(create(900_000, "k")).fails(&scenario(OBEY), "retry_after/stalled");
    }

    #[test]
    fn a_drill_about_limits_in_which_nobody_was_told_is_unknown() {
        drill().call(create(0, "k")).unknown(&scenario_of("rate_limit", OBEY, ""), "retry_after/never_told");
        let elsewhere = || scenario_of("auth", OBEY, "");
        drill().call(create(0, "k")).unknown(&elsewhere(), "retry_after/never_told");
        assert!(drill().call(create(0, "k")).judged(&shared(elsewhere()), "retry_after").is_none());
    }
}
