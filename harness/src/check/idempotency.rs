//! Idempotency: one logical write has one effect, and one key over all its attempts.
//!
//! Knows: keys, bodies, and what each attempt was told. Must not know: how attempts are spaced.

use indexmap::IndexMap;

use super::call::{Call, Ending};
use super::evidence::Evidence;
use super::sameness::groups;
use super::say::{Findings, Say, count};
use crate::fault::ErrorKind;
use crate::finding::Judgement;
use crate::time::Span;
use crate::trace::{Cause, EventId, OperationKind};

/// Times that one saved 5xx may be fetched again before it is clear that it will never change.
const REPLAYS: usize = 3;

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    let writes = e.calls.iter().filter(|c| c.kind().map_or(c.key.is_some(), OperationKind::writes)).count();
    second_effects(e, &mut found);
    keys(e, &mut found);
    raced(e, &mut found);
    told(e, &mut found);
    if writes == 0 && found.is_empty() {
        return None;
    }
    Some(found.judgement("idempotency", writes as u64))
}

/// No source has two live effects, at any moment.
fn second_effects(e: &Evidence<'_>, found: &mut Findings) {
    let Some(agreement) = e.agreement() else { return };
    for double in &agreement.doubles {
        let mut cited: Vec<EventId> = double.first.into_iter().chain([double.event]).collect();
        let mut how = String::new();
        if let Cause::Call(id) = double.by
            && let Some(call) = e.call(id)
        {
            cited.extend(call.cite());
            let key = call.key.map_or("no idempotency key".into(), |k| format!("idempotency key `{k}`"));
            how = format!(", by {} with {key}", call.name());
        }
        found.fail(Say {
            rule: "idempotency/second_effect",
            group: "",
            message: format!(
                "at {} {} came to have {} live {}.{} ({}){how}",
                double.at,
                double.key,
                double.targets.len(),
                agreement.to.0,
                agreement.to.1,
                double.targets.join(", "),
            ),
            expected: "at every moment at most one live effect of one source".into(),
            hint: "derive the key from the source and the intended state, store it before the first attempt, \
                   and send it with every attempt",
            evidence: cited,
        });
    }
}

/// Creates carry a key, and the same key over all attempts.
fn keys(e: &Evidence<'_>, found: &mut Findings) {
    let creates = e.calls.iter().filter(|c| c.creates() && e.profiles.contains_key(c.vendor));
    for call in creates.clone() {
        let Some(profile) = e.profiles.get(call.vendor) else { continue };
        if let Some(header) = &profile.idempotency_header
            && call.key.is_none()
        {
            found.fail(Say {
                rule: "idempotency/no_key",
                group: call.vendor,
                message: format!("{} at {} carries no idempotency key", call.name(), call.arrived),
                expected: format!("`{header}` on every create: the vendor honours it"),
                hint: "a create without a key cannot be repeated safely after a lost answer",
                evidence: call.cite(),
            });
        }
    }
    let telling = creates.filter(|c| !c.request.body.is_empty());
    for group in &groups(telling, e.sameness.requests(), |c| c.same.request, 2) {
        let kept = e.profiles.get(group[0].vendor).and_then(|p| p.idempotency_kept);
        fresh_keys(e, group, kept, found);
        applied_twice(e, group, found);
    }
}

/// No key is in two requests at once. A client that gave up on the first has closed its connection
/// by then; one that has not is two workers at the same job.
fn raced(e: &Evidence<'_>, found: &mut Findings) {
    let mut last_of: Vec<Option<&Call<'_>>> = vec![None; e.sameness.keys()];
    for call in &e.calls {
        let (Some(key), Some(number)) = (call.key, call.same.key) else { continue };
        let Some(first) = last_of[number].replace(call) else { continue };
        // Both at one moment can be a client that hung up and asked again at once.
        if first.ended <= call.arrived || first.ending == Ending::Open {
            continue;
        }
        found.fail(Say {
            rule: "idempotency/raced",
            group: call.vendor,
            message: format!(
                "{} was sent at {} under key `{key}`, and again at {} while the first was still under way (until {})",
                call.name(),
                first.arrived,
                call.arrived,
                first.ended,
            ),
            expected: "one request at a time under one key".into(),
            hint: "two workers are at the same job: is its lease shorter than the work, or not renewed?",
            evidence: first.cite().into_iter().chain(call.cite()).collect(),
        });
    }
}

/// Walks the attempts of one body in order: a key that was left while its effect was uncertain
/// must not give way to another.
fn fresh_keys(e: &Evidence<'_>, group: &[&Call<'_>], kept: Option<Span>, found: &mut Findings) {
    let mut last_of: IndexMap<&str, usize> = IndexMap::new();
    let mut first_of: IndexMap<&str, usize> = IndexMap::new();
    for (i, call) in group.iter().enumerate() {
        if let Some(key) = call.key {
            last_of.insert(key, i);
            first_of.entry(key).or_insert(i);
        }
    }
    let mut left: Option<usize> = None;
    for (i, call) in group.iter().enumerate() {
        let Some(key) = call.key else { continue };
        if first_of.get(key) == Some(&i)
            && let Some(old) = left.map(|l| group[l])
            && old.ended <= call.arrived
        {
            let since = old.key.and_then(|k| first_of.get(k)).map_or(old.arrived, |f| group[*f].arrived);
            let pruned = kept.is_some_and(|k| call.arrived.since(since) >= k);
            let in_use = old.ending == Ending::InUse;
            let replayed_failure = old.replayed && old.ending == Ending::Broken;
            let under_it = group.iter().copied().filter(|c| c.key == old.key);
            let uncertain = old.ending.is_uncertain() && !e.effects().seen(under_it, old.ended, call.arrived);
            if !pruned && !replayed_failure && (in_use || uncertain) {
                let nth = (left.unwrap_or_default() + 1, i + 1);
                fresh_key(e, (old, nth.0), (call, nth.1), in_use, found);
            }
        }
        // Only a key that never comes back was left behind.
        if last_of.get(key) == Some(&i) {
            left = Some(i);
        }
    }
}

/// Says how a key gave way to another: which attempts, how far apart, and whether a restart lies between.
fn fresh_key(
    e: &Evidence<'_>,
    (old, before): (&Call<'_>, usize),
    (new, after): (&Call<'_>, usize),
    in_use: bool,
    found: &mut Findings,
) {
    let restarted = e.lives.started_between(old.arrived, new.arrived);
    let between = if restarted { "after a restart of the subject" } else { "without a restart in between" };
    let (rule, hint) = if in_use {
        (
            "idempotency/fresh_key_after_in_use",
            "409 in use means that the first request is still at work: wait and repeat it with the same key",
        )
    } else {
        (
            "idempotency/fresh_key",
            "the first attempt may have been applied although its answer was lost; make the key before the \
             first attempt, store it with the job, and keep it across retries, restarts and replays",
        )
    };
    found.fail(Say {
        rule,
        group: new.vendor,
        message: format!(
            "{} got {} at {} under key `{}` (attempt {before}), and the same body was sent again at {} under the \
             fresh key `{}` (attempt {after}, {} later, {between})",
            old.name(),
            old.got(),
            old.ended,
            old.key.unwrap_or_default(),
            new.arrived,
            new.key.unwrap_or_default(),
            new.arrived.since(old.ended),
        ),
        expected: format!(
            "key `{}` again: the effect of the first attempt is uncertain",
            old.key.unwrap_or_default()
        ),
        hint,
        evidence: old.cite().into_iter().chain(new.cite()).collect(),
    });
}

/// The same create applied twice, the second after the answer to the first was lost, and before the
/// subject learned of its effect: by a repeat under the same key, or by a look at what it made. Whoever
/// knows of the first means another one by the second.
fn applied_twice(e: &Evidence<'_>, group: &[&Call<'_>], found: &mut Findings) {
    let mut applied = group.iter().filter(|c| c.applied && !c.replayed);
    let Some(mut first) = applied.next() else { return };
    for second in applied {
        let lost = first.ending.is_uncertain() && first.ended <= second.arrived;
        let answered = |c: &&&Call<'_>| {
            c.key.is_some() && c.key == first.key && c.arrived > first.arrived && c.ended <= second.arrived
        };
        let learned = || {
            group.iter().filter(answered).any(|c| !c.ending.is_uncertain())
                || e.effects().seen([*first], first.ended, second.arrived)
        };
        if lost && (first.key.is_none() || first.key != second.key) && !learned() {
            found.fail(Say {
                rule: "idempotency/applied_twice",
                group: second.vendor,
                message: format!(
                    "{} was applied at {} and, after {}, applied again at {} with the same body",
                    first.name(),
                    first.arrived,
                    first.got(),
                    second.arrived,
                ),
                expected: "a repeated create takes effect once".into(),
                hint: "repeat it with the same key; where the vendor honours none, look before writing",
                evidence: first.cite().into_iter().chain(second.cite()).collect(),
            });
        }
        first = second;
    }
}

/// What the vendor said of keys.
fn told(e: &Evidence<'_>, found: &mut Findings) {
    let mut first_use: Vec<Option<&Call<'_>>> = vec![None; e.sameness.keys()];
    let mut replays: IndexMap<(&str, &str), Vec<&Call<'_>>> = IndexMap::new();
    for call in &e.calls {
        let (Some(key), Some(number)) = (call.key, call.same.key) else { continue };
        let first = *first_use[number].get_or_insert(call);
        // Injected by a fault, it says nothing about the subject.
        if call.error() == Some(ErrorKind::IdempotencyMismatch) && call.fault.is_none() {
            found.fail(Say {
                rule: "idempotency/key_reused",
                group: call.vendor,
                message: format!(
                    "{} at {} used key `{key}` with other parameters than at {}, and got {}",
                    call.name(),
                    call.arrived,
                    first.arrived,
                    call.got()
                ),
                expected: "one key stands for one request with one set of parameters".into(),
                hint: "a key made from the record's id alone is wrong as soon as the record is amended: make it \
                       from the id and the intended state",
                evidence: first.cite().into_iter().chain(call.cite()).collect(),
            });
        }
        if call.replayed && call.response.is_some_and(|r| r.status >= 500) {
            replays.entry((call.vendor, key)).or_default().push(call);
        }
    }
    for ((vendor, key), calls) in replays {
        if calls.len() > REPLAYS {
            found.fail(Say {
                rule: "idempotency/replayed_failure",
                group: vendor,
                message: format!(
                    "{} fetched the same saved {} under key `{key}` {}, from {} to {}",
                    calls[0].name(),
                    calls[0].got(),
                    count(calls.len() as u64, "time"),
                    calls[0].arrived,
                    calls[calls.len() - 1].arrived,
                ),
                expected: format!("at most {REPLAYS}: a saved answer never changes under the same key"),
                hint: "after a replayed 5xx look whether the write took effect, then write under a fresh key",
                evidence: calls.iter().flat_map(|c| c.cite()).collect(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::fault::ErrorKind;
    use crate::trace::{ChangeKind, Outcome};
    use serde_json::json;

    const AGREE: &str = "agree: { from: crm.deals, where: 'deal.won', to: billing.invoices, \
                         live: 'invoice.status != \"void\"', key: invoice.deal }";

    fn create(at: u64, key: &str) -> Exchange {
        call("billing", "POST /invoices", at).key(key).body("deal=d1")
    }

    fn invoice(id: &str, status: &str) -> serde_json::Value {
        json!({ "id": id, "deal": "d1", "status": status })
    }

    #[test]
    fn one_key_over_a_lost_answer_is_sound() {
        drill()
            .call(create(0, "k1").outcome(Outcome::Reset))
            .call(create(1_000, "k1").replayed())
            .passes(&scenario(""), "idempotency");
    }

    #[test]
    fn a_fresh_key_after_a_lost_answer_is_found() {
        drill()
            .call(create(0, "k1").outcome(Outcome::Reset))
            .call(create(1_000, "k2"))
            .fails(&scenario(""), "idempotency/fresh_key");
        drill()
            .call(create(0, "k1").status(503))
            .call(create(900_000, "k2"))
            .fails(&scenario(""), "idempotency/fresh_key");
    }

    #[test]
    fn a_fresh_key_is_right_after_a_final_answer_a_replayed_failure_or_pruning() {
        for (first, again) in [
            (create(0, "k1").status(400), 1_000),
            (create(0, "k1").error(429, ErrorKind::RateLimited), 1_000),
            (create(0, "k1").status(500).replayed(), 1_000),
            (create(0, "k1").status(503), 25 * 3_600_000),
        ] {
            let drill = drill().ends(30 * 3_600_000);
            drill.call(first).call(create(again, "k2")).passes(&scenario(""), "idempotency");
        }
    }

    #[test]
    fn two_writes_that_happen_to_look_alike_are_not_one() {
        drill()
            .call(create(0, "k1").status(503))
            .call(create(500, "k2"))
            .call(create(1_000, "k1"))
            .passes(&scenario(""), "idempotency");
    }

    #[test]
    fn a_fresh_key_after_in_use_is_found() {
        drill()
            .call(create(0, "k1").error(409, ErrorKind::IdempotencyInUse))
            .call(create(1_000, "k2"))
            .fails(&scenario(""), "idempotency/fresh_key_after_in_use");
    }

    #[test]
    fn a_key_used_for_other_parameters_is_found_unless_a_fault_said_so() {
        let mismatch = || create(1_000, "k1").body("deal=d1&x=2").error(400, ErrorKind::IdempotencyMismatch);
        drill().call(create(0, "k1")).call(mismatch()).fails(&scenario(""), "idempotency/key_reused");
        drill().call(create(0, "k1")).call(mismatch().fault(0, "error")).passes(&scenario(""), "idempotency");
    }

    #[test]
    fn fetching_a_saved_failure_for_ever_is_found() {
        let again = |n: u64| create(n * 1_000, "k1").status(500).replayed();
        drill()
            .call(create(0, "k1").status(500))
            .calls((1..4).map(again))
            .passes(&scenario(""), "idempotency");
        drill()
            .call(create(0, "k1").status(500))
            .calls((1..5).map(again))
            .fails(&scenario(""), "idempotency/replayed_failure");
    }

    #[test]
    fn a_create_without_a_key_is_found_where_the_vendor_honours_one() {
        drill()
            .call(call("billing", "POST /invoices", 0).body("deal=d1"))
            .fails(&scenario(""), "idempotency/no_key");
        drill().call(call("crm", "POST /deals", 0).body("x")).passes(&scenario(""), "idempotency");
    }

    #[test]
    fn a_second_live_effect_is_found_even_if_it_is_gone_at_the_end() {
        let sound = || {
            drill()
                .call(create(10, "k1"))
                .change(5, "crm.deals", ChangeKind::Given, json!({ "id": "d1", "won": true }), None)
                .change(20, "billing.invoices", ChangeKind::Created, invoice("i1", "open"), Some(0))
        };
        sound().passes(&scenario(AGREE), "idempotency");
        sound()
            .call(create(30, "k2"))
            .change(40, "billing.invoices", ChangeKind::Created, invoice("i2", "open"), Some(1))
            .change(50, "billing.invoices", ChangeKind::Updated, invoice("i2", "void"), Some(1))
            .fails(&scenario(AGREE), "idempotency/second_effect");
        sound()
            .change(30, "billing.invoices", ChangeKind::Updated, invoice("i1", "void"), Some(0))
            .change(40, "billing.invoices", ChangeKind::Created, invoice("i2", "open"), Some(0))
            .passes(&scenario(AGREE), "idempotency");
    }

    #[test]
    fn a_create_whose_effect_became_known_may_be_meant_again() {
        let create = |at, key: &str| call("billing", "POST /invoices", at).body("d=1").key(key);
        let lost = || {
            let made = json!({ "id": "in_1" });
            drill().call(create(0, "k1").outcome(Outcome::Reset)).change(
                0,
                "billing.invoices",
                ChangeKind::Created,
                made,
                Some(0),
            )
        };
        let again = || create(600_000, "k2");
        lost().call(again()).fails(&scenario(""), "idempotency/applied_twice");
        lost().call(create(700, "k1").replayed()).call(again()).passes(&scenario(""), "idempotency");
        lost()
            .call(create(700, "k1").outcome(Outcome::Reset).replayed())
            .call(again())
            .fails(&scenario(""), "idempotency/applied_twice");
        // Or by a look at what it made.
        let look = |at, id: &str| {
            call("billing", "GET /invoices", at).answers(200, json!({ "data": [{ "id": id }] }))
        };
        lost().call(look(700, "in_1")).call(again()).passes(&scenario(""), "idempotency");
        lost().call(look(700, "in_2")).call(again()).fails(&scenario(""), "idempotency/applied_twice");
        let twice = || lost().call(create(700, "k1").outcome(Outcome::Reset).replayed());
        twice().call(look(900, "in_1")).call(again()).passes(&scenario(""), "idempotency");
        twice().call(again()).fails(&scenario(""), "idempotency/fresh_key");
        lost().call(again()).call(look(700_000, "in_1")).fails(&scenario(""), "idempotency/fresh_key");
    }

    #[test]
    fn a_keyless_create_applied_twice_is_found() {
        drill()
            .call(call("crm", "POST /deals", 0).body("d=1").outcome(Outcome::Reset))
            .call(call("crm", "POST /deals", 1_000).body("d=1"))
            .fails(&scenario(""), "idempotency/applied_twice");
    }

    #[test]
    fn a_drill_without_writes_has_nothing_to_judge() {
        let judged = drill().call(call("crm", "GET /deals", 0)).judged(&scenario(""), "idempotency");
        assert!(judged.is_none());
    }
}
