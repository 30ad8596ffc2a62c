//! Retries: what cannot succeed is not repeated, what may is, and never in a tight loop.
//!
//! Knows: which answers are final. Must not know: how retries are spaced beyond "at once".

use std::collections::BTreeSet;

use indexmap::IndexMap;

use super::call::{Call, Ending};
use super::chain::Chain;
use super::evidence::{Evidence, words};
use super::sameness::groups;
use super::say::{Findings, Say, brief, count};
use crate::fault::ErrorKind;
use crate::finding::Judgement;
use crate::time::Span;
use crate::trace::OperationKind;

/// Attempts that make a tight loop if each wait between them is shorter than this: the fewer, the
/// shorter. Full jitter over a base of 100 ms draws such waits in a row once in ten million times.
const TIGHT: [(usize, Span); 2] = [(5, Span::millis(5)), (10, Span::millis(50))];
/// A read that comes this soon after its refusal is a retry; later, something else may have asked for it.
const AT_ONCE: Span = Span::secs(5);
/// Times that a request may be refused as wrong before repeating it is futile.
const FUTILE: u64 = 4;
/// A repeat that comes this long after a refusal is a schedule that looks again, not a retry.
const LOOKS_AGAIN: Span = Span::mins(15);

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    let mut judged = 0u64;
    for chain in &e.chains {
        let failed = e.attempts(chain).filter(|c| !c.succeeded() && c.ending != Ending::Open).count();
        if failed > 0 {
            judged += 1;
            unretryable(e, chain, &mut found);
            unauthorized(e, chain, &mut found);
        }
    }
    if judged == 0 {
        return None;
    }
    tight(e, &mut found);
    futile(e, &mut found);
    given_up(e, &mut found);
    Some(found.judgement("retries", judged))
}

/// Whether the answer says that the same request cannot succeed.
fn is_final(call: &Call<'_>) -> bool {
    if call.status().is_none() || call.succeeded() {
        return false;
    }
    if let Some(should_retry) = call.told.and_then(|t| t.should_retry) {
        return !should_retry;
    }
    use ErrorKind as E;
    call.ending == Ending::Caller
        && matches!(
            call.error(),
            Some(E::InvalidRequest | E::Unprocessable | E::NotFound | E::Forbidden | E::IdempotencyMismatch)
        )
}

/// Whether a 404 only says that firedrill's model lacks what the vendor's description has.
fn not_played(e: &Evidence<'_>, call: &Call<'_>) -> bool {
    let described = || {
        let contract = e.profiles.get(call.vendor)?.contract.as_deref()?;
        contract.find(&call.request.method, &call.request.target).ok()
    };
    call.operation.is_none()
        && call.fault.is_none()
        && call.error() == Some(ErrorKind::NotFound)
        && described().is_some()
}

/// Whether the subject removed something at the vendor after it was refused with 409 or 422: what
/// was in the way (`already_exists`) may be gone, and the request deserves another answer.
fn made_way(e: &Evidence<'_>, refused: &Call<'_>, next: &Call<'_>) -> bool {
    if !matches!(refused.status(), Some(409 | 422)) {
        return false;
    }
    let first = e.calls.partition_point(|c| c.arrived < refused.ended);
    let mut between = e.calls[first..].iter().take_while(|c| c.arrived <= next.arrived);
    between.any(|c| {
        c.request.method == "DELETE" && c.vendor == refused.vendor && c.succeeded() && c.ended <= next.arrived
    })
}

fn unretryable(e: &Evidence<'_>, chain: &Chain, found: &mut Findings) {
    let calls: Vec<&Call<'_>> = e.attempts(chain).collect();
    let repeats: Vec<(&Call<'_>, &Call<'_>)> = calls
        .windows(2)
        .map(|pair| (pair[0], pair[1]))
        .filter(|(refused, next)| is_final(refused) && refused.ended <= next.arrived)
        .filter(|(refused, next)| !refused.reads() || next.arrived.since(refused.ended) <= e.own(AT_ONCE))
        .filter(|(refused, _)| !not_played(e, refused))
        .filter(|(refused, next)| !made_way(e, refused, next))
        .collect();
    let Some((refused, next)) = repeats.first() else { return };
    let last = calls[calls.len() - 1];
    // Each delivery that speaks of the record may have asked for the request anew.
    let asked = e.asked_for(refused, calls[0].arrived - e.rest, last.arrived).max(1);
    // A schedule of the subject's own may ask for a read as well, at the same moment as a delivery.
    if repeats.len() as u64 >= asked + u64::from(refused.reads()) {
        found.fail(Say {
            rule: "retries/unretryable",
            group: refused.vendor,
            message: format!(
                "{} was refused with {}{} at {} and sent again unchanged at {} ({} in all)",
                refused.name(),
                refused.got(),
                kind(refused),
                refused.ended,
                next.arrived,
                count(calls.len() as u64, "attempt"),
            ),
            expected: "no repeat: the same request gets the same refusal".into(),
            hint: "classify the error before the retry: set the work aside with the vendor's message",
            evidence: refused.cite().into_iter().chain(next.cite()).collect(),
        });
    }
}

fn kind(call: &Call<'_>) -> String {
    if call.told.and_then(|t| t.should_retry) == Some(false) {
        return " (the vendor said not to retry)".into();
    }
    call.error().map_or(String::new(), |k| format!(" ({k:?})"))
}

fn unauthorized(e: &Evidence<'_>, chain: &Chain, found: &mut Findings) {
    let calls: Vec<&Call<'_>> = e.attempts(chain).collect();
    let again = calls.windows(3).find(|w| {
        w[..2].iter().all(|c| c.ending == Ending::Unauthorized)
            && w[0].ended <= w[1].arrived
            && w[1].ended <= w[2].arrived
    });
    let Some([first, second, third]) = again else { return };
    if e.asked_for(first, first.arrived - e.rest, third.arrived) >= 3 {
        return;
    }
    found.fail(Say {
        rule: "retries/unauthorized_again",
        group: first.vendor,
        message: format!(
            "{} was refused as unauthorized at {} and at {}, and tried again at {}",
            first.name(),
            first.ended,
            second.ended,
            third.arrived
        ),
        expected: "one repeat with a new credential, then a stop and an alert".into(),
        hint: "a 401 may mean a wrong host, a blocked address or a missing right: refresh at most once for it",
        evidence: [first.cite(), second.cite(), third.cite()].concat(),
    });
}

/// The same request without a pause after each failure, under whatever keys.
fn tight(e: &Evidence<'_>, found: &mut Findings) {
    for calls in groups(e.calls.iter(), e.sameness.requests(), |c| c.same.request, TIGHT[0].0) {
        for (attempts, wait) in TIGHT {
            if rushed(e, &calls, attempts, e.own(wait), found) {
                break;
            }
        }
    }
}

/// Whether there are so many in a row with shorter waits than `no_pause`.
fn rushed(
    e: &Evidence<'_>,
    calls: &[&Call<'_>],
    attempts: usize,
    no_pause: Span,
    found: &mut Findings,
) -> bool {
    let rushed = calls.windows(attempts).find(|w| {
        w.windows(2).all(|p| {
            !p[0].succeeded()
                && p[0].ended <= p[1].arrived
                && p[1].arrived.since(p[0].ended) < no_pause
                && !p[0].invites_repeat()
        })
    });
    let Some(rushed) = rushed else { return false };
    let (first, last) = (rushed[0], rushed[attempts - 1]);
    if e.asked_for(first, first.arrived - e.rest, last.arrived) >= attempts as u64 {
        return false;
    }
    found.fail(Say {
        rule: "retries/tight_loop",
        group: first.vendor,
        message: format!(
            "{} was attempted {attempts} times from {} to {} with less than {no_pause} after each failure ({} in all)",
            first.name(),
            first.arrived,
            last.arrived,
            count(calls.len() as u64, "attempt"),
        ),
        expected: "a growing wait after every failure".into(),
        hint: "look for a retry whose wait comes out as zero: a missing, malformed or past Retry-After, an overflow",
        evidence: rushed.iter().map(|c| c.asked).collect(),
    });
    true
}

/// The same wrong write over and over.
fn futile(e: &Evidence<'_>, found: &mut Findings) {
    let refused = e.calls.iter().filter(|c| is_final(c) && !c.is_token());
    let looks_again = e.own(LOOKS_AGAIN);
    let groups = groups(refused, e.sameness.requests(), |c| c.same.request, FUTILE as usize);
    let runs = groups.iter().flat_map(|calls| calls.chunk_by(|a, b| b.arrived.since(a.ended) < looks_again));
    for calls in runs {
        let (first, last) = (calls[0], calls[calls.len() - 1]);
        let writes = first.kind().is_none_or(OperationKind::writes) && first.request.method != "GET";
        let asked = e.asked_for(first, first.arrived - e.rest, last.arrived);
        if writes && calls.len() as u64 > asked.max(FUTILE - 1) && !found.has("retries/unretryable") {
            found.fail(Say {
                rule: "retries/futile",
                group: first.vendor,
                message: format!(
                    "{} was refused with {}{} {} from {} to {}, always with the same body",
                    first.name(),
                    first.got(),
                    kind(first),
                    count(calls.len() as u64, "time"),
                    first.arrived,
                    last.arrived,
                ),
                expected: format!("fewer than {FUTILE}: it can only be refused again"),
                hint: "set the work aside with the vendor's message, and let a person or a change of the record revive it",
                evidence: calls.iter().map(|c| c.asked).collect(),
            });
        }
    }
}

/// What failed in passing was tried again, or set aside for all to see, or is not missing.
fn given_up(e: &Evidence<'_>, found: &mut Findings) {
    if e.agreement().is_some_and(|a| a.settled()) {
        return;
    }
    let later = Later::of(e);
    let wrong: Option<BTreeSet<&str>> =
        e.agreement().map(|a| a.keys().filter(|k| a.wrong(k).is_some()).collect());
    for chain in &e.chains {
        let Some(&index) = chain.calls.last() else { continue };
        let call = &e.calls[index];
        let passing = match call.ending {
            Ending::Limited | Ending::Lost | Ending::Unprocessed => true,
            Ending::Broken => call.error() != Some(ErrorKind::ServerError),
            _ => false,
        };
        let patience = call.retry_at().map_or(call.ended, |t| t.max(call.ended)) + e.rest;
        let in_time = patience < e.ends_at && e.lives.up_throughout(e.ends_at - e.rest, e.ends_at);
        let discouraged = call.told.and_then(|t| t.should_retry) == Some(false);
        if !passing || !in_time || discouraged || later.resumed(call, index) {
            continue;
        }
        let body = String::from_utf8_lossy(&call.request.body);
        let named: Vec<&str> = words(&call.request.target).chain(words(&body)).collect();
        let aside = named.iter().any(|w| e.exposed.set_aside(w).is_some());
        let harmless = wrong.as_ref().is_some_and(|wrong| !named.iter().any(|w| wrong.contains(w)));
        let found_done = || e.effects().seen(e.attempts(chain), call.ended, e.ends_at);
        if aside || harmless || found_done() {
            continue;
        }
        found.fail(Say {
            rule: "retries/given_up",
            group: call.vendor,
            message: format!(
                "{} got {} at {} after {}, and was never tried again nor set aside (request: {})",
                call.name(),
                call.got(),
                call.ended,
                count(chain.calls.len() as u64, "attempt"),
                brief(&format!("{} {body}", call.request.target)),
            ),
            expected: "another attempt later, or an entry among the dead letters".into(),
            hint: "a 502, 503, 504, 429, reset or timeout says nothing final: the work must stay in the queue",
            evidence: call.cite(),
        });
    }
}

/// The last call of each kind, by index.
struct Later<'t> {
    body: Vec<usize>,
    key: Vec<usize>,
    place: IndexMap<(&'t str, &'t str, &'t str), usize>,
    reads: IndexMap<(&'t str, &'t str), usize>,
}

impl<'t> Later<'t> {
    fn of(e: &Evidence<'t>) -> Later<'t> {
        let mut this = Later {
            body: vec![0; e.sameness.requests()],
            key: vec![0; e.sameness.keys()],
            place: IndexMap::new(),
            reads: IndexMap::new(),
        };
        for (i, c) in e.calls.iter().enumerate() {
            this.body[c.same.request] = i;
            if let Some(key) = c.same.key {
                this.key[key] = i;
            }
            if let Some(operation) = c.operation {
                match operation.kind {
                    OperationKind::Read | OperationKind::List | OperationKind::Token => {
                        this.reads.insert((c.vendor, &operation.name), i);
                    }
                    OperationKind::Create => {}
                    OperationKind::Update | OperationKind::Delete | OperationKind::Transition => {
                        this.place.insert((c.vendor, &c.request.method, &c.request.target), i);
                    }
                }
            }
        }
        this
    }

    /// Whether something after `call` took its work up again.
    fn resumed(&self, c: &Call<'t>, index: usize) -> bool {
        let after = |i: Option<&usize>| i.is_some_and(|i| *i > index);
        self.body[c.same.request] > index
            || c.same.key.is_some_and(|key| self.key[key] > index)
            || after(self.place.get(&(c.vendor, &*c.request.method, &*c.request.target)))
            || c.operation.is_some_and(|o| after(self.reads.get(&(c.vendor, &*o.name))))
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::contract::Contract;
    use crate::fault::ErrorKind;
    use crate::finding::Verdict;
    use crate::trace::{ChangeKind, Outcome};
    use serde_json::json;

    const AGREE: &str =
        "agree: { from: crm.deals, where: 'deal.won', to: billing.invoices, key: invoice.deal }";

    fn create(at: u64) -> Exchange {
        call("billing", "POST /invoices", at).key("k1").body("deal=d1")
    }

    #[test]
    fn a_transient_failure_that_is_repeated_is_sound() {
        drill().call(create(0).status(503)).call(create(2_000)).passes(&scenario(""), "retries");
    }

    #[test]
    fn a_wrong_request_sent_again_is_found() {
        for (status, kind) in [
            (400, ErrorKind::InvalidRequest),
            (422, ErrorKind::Unprocessable),
            (404, ErrorKind::NotFound),
            (403, ErrorKind::Forbidden),
        ] {
            drill()
                .call(create(0).error(status, kind))
                .call(create(2_000))
                .fails(&scenario(""), "retries/unretryable");
        }
        drill()
            .call(create(0).status(503).told(|t| t.should_retry = Some(false)))
            .call(create(2_000))
            .fails(&scenario(""), "retries/unretryable");
    }

    #[test]
    fn a_conflict_that_was_removed_is_worth_another_try() {
        let refused = || drill().call(create(0).error(422, ErrorKind::Unprocessable));
        let delete = |at| call("billing", "DELETE /v1/invoices/in_1", at);
        refused().call(delete(500)).call(create(2_000)).passes(&scenario(""), "retries");
        refused().call(create(2_000)).call(delete(2_500)).fails(&scenario(""), "retries/unretryable");
        refused()
            .call(delete(500).status(404))
            .call(create(2_000))
            .fails(&scenario(""), "retries/unretryable");
        let elsewhere = call("crm", "DELETE /deals/d1", 500);
        refused().call(elsewhere).call(create(2_000)).fails(&scenario(""), "retries/unretryable");
    }

    #[test]
    fn a_read_that_two_deliveries_asked_for_is_no_retry() {
        let read = |at| call("crm", "GET /deals/d1", at).status(404);
        let twice = || {
            drill()
                .emitted(0, "e1", "d1")
                .emitted(0, "e2", "d1")
                .delivery(10, &["e1"], 200, 5)
                .call(read(20))
                .delivery(500, &["e2"], 200, 5)
                .call(read(520))
        };
        twice().passes(&scenario(""), "retries");
        twice().call(read(900)).call(read(1_900)).fails(&scenario(""), "retries/unretryable");
    }

    #[test]
    fn a_limit_said_as_403_may_be_retried() {
        drill()
            .call(create(0).error(403, ErrorKind::SecondaryRateLimited))
            .call(create(2_000))
            .passes(&scenario(""), "retries");
    }

    #[test]
    fn a_wrong_request_sent_for_ever_is_found_unless_a_schedule_looks_again() {
        let wrong = |every: u64, n: u64| {
            drill().calls((0..n).map(|n| create(n * every).error(400, ErrorKind::InvalidRequest)))
        };
        wrong(300_000, 3).passes(&scenario(""), "retries");
        wrong(300_000, 5).fails(&scenario(""), "retries/futile");
        wrong(1_200_000, 5).passes(&scenario(""), "retries");
    }

    #[test]
    fn one_repeat_after_a_401_is_fine_and_two_are_not() {
        let refused = |at| create(at).error(401, ErrorKind::Unauthorized);
        drill().call(refused(0)).call(create(1_000)).passes(&scenario(""), "retries");
        drill()
            .calls([refused(0), refused(1_000), create(2_000)])
            .fails(&scenario(""), "retries/unauthorized_again");
    }

    #[test]
    fn a_tight_loop_is_found_the_sooner_the_tighter() {
        let attempts = |n: u64, every: u64| {
            drill().calls((0..n).map(|n| create(n * every).status(503))).call(create(n * every + 1_000))
        };
        attempts(4, 12).passes(&scenario(""), "retries");
        attempts(5, 12).fails(&scenario(""), "retries/tight_loop");
        attempts(9, 40).passes(&scenario(""), "retries");
        attempts(10, 40).fails(&scenario(""), "retries/tight_loop");
    }

    #[test]
    fn a_tight_loop_under_fresh_keys_is_found() {
        drill()
            .calls((0..12).map(|n| create(n * 12).key(&format!("k{n}")).status(503)))
            .fails(&scenario(""), "retries/tight_loop");
    }

    #[test]
    fn a_refused_read_that_something_else_asks_for_later_is_no_retry() {
        let read = |at| call("crm", "GET /deals/d9", at).error(404, ErrorKind::NotFound);
        drill().call(read(0)).call(read(25_000)).call(read(50_000)).passes(&scenario(""), "retries");
        drill().call(read(0)).call(read(200)).passes(&scenario(""), "retries");
        drill().calls([0, 700, 2_100].map(read)).fails(&scenario(""), "retries/unretryable");
    }

    #[test]
    fn a_404_that_says_only_what_the_model_lacks_may_be_asked_for_again() {
        let text = "openapi: 3.1.0\ninfo: { title: b, version: '1' }\npaths:\n  /invoices/{id}/void:\n    \
                    post: { responses: { '200': { description: voided } } }\n";
        let contract = Contract::parse("openapi.yaml".as_ref(), text.as_bytes()).unwrap();
        let mut described = profiles();
        described.get_mut("billing").unwrap().contract = Some(std::sync::Arc::new(contract));
        let refused = |line: &'static str, at| {
            let mut x = call("billing", line, at).error(404, ErrorKind::NotFound);
            x.no_operation = true;
            x
        };
        let verdict = |profiles: &_, line: &'static str| {
            let trace = drill().calls([0, 700, 2_100].map(|at| refused(line, at))).build();
            let judged = super::super::judge(&scenario(""), profiles, &trace);
            judged.iter().find(|j| &*j.check == "retries").unwrap().verdict
        };
        assert_eq!(verdict(&described, "POST /invoices/in_1/void"), Verdict::Pass);
        assert_eq!(verdict(&described, "POST /invoices/in_1/viod"), Verdict::Fail);
        assert_eq!(verdict(&profiles(), "POST /invoices/in_1/void"), Verdict::Fail);
    }

    #[test]
    fn work_given_up_after_a_reset_is_found_unless_set_aside() {
        let lost = || drill().call(create(0).outcome(Outcome::Reset));
        lost().fails(&scenario(""), "retries/given_up");
        lost()
            .exposed("dead_letters", r#"[{"deal":"d1","reason":"reset"}]"#)
            .passes(&scenario(""), "retries");
        lost().call(create(4_000_000)).passes(&scenario(""), "retries");
    }

    #[test]
    fn a_lost_write_whose_effect_is_there_needs_no_repeat() {
        drill()
            .change(0, "crm.deals", ChangeKind::Given, json!({ "id": "d1", "won": true }), None)
            .call(create(10).outcome(Outcome::Reset))
            .change(20, "billing.invoices", ChangeKind::Created, json!({ "id": "i1", "deal": "d1" }), Some(0))
            .passes(&scenario(AGREE), "retries");
    }

    #[test]
    fn a_drill_in_which_nothing_failed_has_nothing_to_judge() {
        assert!(drill().call(create(0)).judged(&scenario(""), "retries").is_none());
    }
}
