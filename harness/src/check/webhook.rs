//! Webhooks: forgeries are refused, everything else is acknowledged in time and not lost.
//!
//! Knows: deliveries and their answers. Must not know: how any vendor signs.
//! That duplicates and reordering do no harm is judged by the ledgers: see `idempotency` and
//! `reconciliation`; that news sets work off, and a copy none, in `news`.

use super::agreement::Wrong;
use super::call::Call;
use super::evidence::{Delivery, Evidence};
use super::news;
use super::say::{Findings, Say};
use crate::fault::{Act, Rule};
use crate::finding::Judgement;
use crate::time::{At, Span};
use crate::trace::{OperationKind, Outcome};

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    if e.deliveries.is_empty() {
        e.scenario.expect.webhook.filter(|_| e.says("webhook"))?;
        found.unknown(Say {
            rule: "webhook/none_judged",
            group: "",
            message: "no webhook was delivered in the whole drill".into(),
            expected: "at least 1 delivery to a ready subject".into(),
            hint: "let the workload change a record that its vendor tells of, and name the subject's address \
                   for webhooks",
            evidence: Vec::new(),
        });
        return Some(found.judgement("webhook", 0));
    }
    let mut judged = 0;
    for delivery in &e.deliveries {
        // One that never reached the subject, or found it gone, says nothing about it.
        let reached = delivery.outcome != Outcome::Open
            && !hit_by(delivery, "unreachable")
            && !hit_by(delivery, "lost_ack");
        if !reached || !e.lives.ready_throughout(delivery.sent, delivery.ended) {
            continue;
        }
        judged += 1;
        if delivery.must_be_refused {
            forged(delivery, &mut found);
        } else {
            sound(e, delivery, &mut found);
        }
    }
    effects_of_forgeries(e, &mut found);
    durable(e, &mut found);
    news::judge(e, &mut found);
    if judged == 0 && found.is_empty() {
        found.unknown(Say {
            rule: "webhook/none_judged",
            group: "",
            message: format!("of {} deliveries none reached a subject that was ready", e.deliveries.len()),
            expected: "at least 1 delivery to a ready subject".into(),
            hint: "let the subject come up before the first delivery",
            evidence: e.deliveries.iter().take(3).map(|d| d.asked).collect(),
        });
    }
    Some(found.judgement("webhook", judged))
}

fn hit_by(delivery: &Delivery<'_>, act: &str) -> bool {
    delivery.fault.is_some_and(|f| &*f.act == act)
}

fn named(delivery: &Delivery<'_>) -> String {
    let events: Vec<&str> = delivery.events.iter().take(3).map(|e| &**e).collect();
    let more = if delivery.events.len() > 3 { ", …" } else { "" };
    let fault = delivery.fault.map_or(String::new(), |f| format!(", {}", f.act));
    format!(
        "the delivery of {} (events {}{more}; attempt {}{fault})",
        delivery.vendor,
        events.join(", "),
        delivery.attempt
    )
}

fn forged(delivery: &Delivery<'_>, found: &mut Findings) {
    let expected = "a forgery is refused with 4xx".to_owned();
    let hint = "verify the signature over the raw bytes, and the timestamp, before anything else";
    match delivery.status() {
        Some(400..500) => {}
        Some(status @ 200..300) => found.fail(Say {
            rule: "webhook/forgery_accepted",
            group: delivery.vendor,
            message: format!(
                "{} at {} must be refused and was answered {status}",
                named(delivery),
                delivery.sent
            ),
            expected,
            hint,
            evidence: delivery.cite(),
        }),
        other => found.fail(Say {
            rule: "webhook/forgery_not_refused",
            group: delivery.vendor,
            message: format!(
                "{} at {} must be refused and got {}",
                named(delivery),
                delivery.sent,
                other.map_or_else(|| format!("{:?}", delivery.outcome).to_lowercase(), |s| s.to_string())
            ),
            expected,
            hint,
            evidence: delivery.cite(),
        }),
    }
}

fn sound(e: &Evidence<'_>, delivery: &Delivery<'_>, found: &mut Findings) {
    let took = delivery.ended.since(delivery.sent);
    let limit = e.scenario.expect.webhook.map(|w| w.ack_within);
    // On a machine whose timers come that late, the subject may not have been let run.
    if delivery.outcome == Outcome::TimedOut && e.noise().times(10) > took {
        found.unknown(Say {
            rule: "webhook/not_acknowledged",
            group: delivery.vendor,
            message: format!(
                "{} at {} was not answered within the vendor's timeout ({took}), on a machine whose timers \
                 came up to {} late",
                named(delivery),
                delivery.sent,
                e.noise()
            ),
            expected: "timers that come within a tenth of the timeout".to_owned(),
            hint: "run fewer drills at a time, or with a smaller --scale",
            evidence: delivery.cite(),
        });
        return;
    }
    let mut fail = |rule, message: String, expected: &str, hint: &str| {
        let message = format!("{} at {} {message}", named(delivery), delivery.sent);
        let expected = expected.to_owned();
        found.fail(Say { rule, group: delivery.vendor, message, expected, hint, evidence: delivery.cite() });
    };
    match delivery.status() {
        Some(200..300) => {
            if let Some(limit) = limit.filter(|l| took > Span(l.0.saturating_add(e.noise().0))) {
                fail(
                    "webhook/slow_ack",
                    format!("was acknowledged after {took}"),
                    &format!("an acknowledgement within {limit}"),
                    "store the event, acknowledge, then work on it",
                );
            }
        }
        // With its clock off, a receiver that checks timestamps cannot tell a replay.
        Some(400..500) if e.lives.skewed_at(delivery.sent) => {}
        Some(status @ 400..500) => fail(
            "webhook/refused",
            format!("is sound and was answered {status}"),
            "2xx for every delivery that is truly signed, whatever is in it",
            "verify the raw bytes, try every signature during a key roll, allow the vendor's tolerance for the \
             timestamp, and set aside what cannot be understood",
        ),
        Some(status) => fail(
            "webhook/failed",
            format!("was answered {status} by a subject that was up and ready"),
            "2xx: vendors disable subscriptions that fail",
            &needing(e, delivery).unwrap_or_else(|| {
                "an event that is unknown or cannot be understood is acknowledged and set aside, alone".into()
            }),
        ),
        None if delivery.outcome == Outcome::TimedOut => fail(
            "webhook/not_acknowledged",
            format!("was not answered within the vendor's timeout ({took})"),
            "an acknowledgement before the work is done",
            "store the event, acknowledge, then work on it",
        ),
        None if delivery.outcome == Outcome::SubjectGone => {}
        None => fail(
            "webhook/unreachable",
            format!("ended in {:?} although the subject was up and ready", delivery.outcome).to_lowercase(),
            "2xx",
            "does the receiver close connections, or crash on this delivery?",
        ),
    }
}

/// What to say to a receiver that failed while it waited for a vendor that failed, too.
fn needing(e: &Evidence<'_>, delivery: &Delivery<'_>) -> Option<String> {
    let meanwhile = |at: At| at >= delivery.sent && at <= delivery.ended;
    let failed = |c: &&Call<'_>| meanwhile(c.arrived) && !c.succeeded();
    let by_call = || e.calls.iter().find(failed).map(|c| (c.name(), c.got()));
    let away = |rule: &&Rule| {
        matches!(rule.act, Act::Refuse | Act::BlackHole)
            && rule.window.is_some_and(|w| w.contains(delivery.sent) || w.contains(delivery.ended))
    };
    let by_rule = || {
        let rule = e.scenario.faults.iter().find(away)?;
        Some((rule.on.vendor()?.to_owned(), format!("no connection ({})", rule.act.word())))
    };
    let (whom, got) = by_call().or_else(by_rule)?;
    Some(format!(
        "{whom} got {got} meanwhile: a receiver that needs a vendor fails with it; store the event, acknowledge, \
         and call vendors afterwards"
    ))
}

/// A record that only forgeries spoke of, in a drill in which nothing else could have led to it,
/// must not be acted upon.
fn effects_of_forgeries(e: &Evidence<'_>, found: &mut Findings) {
    let scans = e.calls.iter().any(|c| c.kind() == Some(OperationKind::List));
    if scans
        || !e.jobs.is_empty()
        || e.lives.starts.len() > 1
        || !e.deliveries.iter().any(|d| d.must_be_refused)
    {
        return;
    }
    let mut spoken = std::collections::BTreeMap::new();
    for delivery in &e.deliveries {
        for (_, event) in delivery.events.iter().filter_map(|id| e.events.get(&**id)) {
            if let Some(record) = event.record.as_deref() {
                let truly = spoken.entry(record).or_insert((true, delivery));
                truly.0 &= delivery.must_be_refused;
            }
        }
    }
    // A short number is found in any request.
    let telling = |record: &str| record.len() > 4 || record.chars().any(|c| !c.is_ascii_digit());
    spoken.retain(|record, (forged, _)| *forged && telling(record));
    for call in &e.calls {
        let body = String::from_utf8_lossy(&call.request.body);
        let hit = super::evidence::words(&call.request.target)
            .chain(super::evidence::words(&body))
            .find_map(|w| spoken.get_key_value(w));
        if let Some((record, (_, delivery))) = hit.filter(|(_, (_, d))| d.sent < call.arrived) {
            found.fail(Say {
                rule: "webhook/forgery_had_effect",
                group: delivery.vendor,
                message: format!(
                    "{} at {} acts on {record}, of which only forged deliveries spoke (the first at {})",
                    call.name(),
                    call.arrived,
                    delivery.sent
                ),
                expected: "a forgery has no effect".into(),
                hint: "refuse it before anything of it is read",
                evidence: delivery.cite().into_iter().chain(call.cite()).collect(),
            });
        }
    }
}

/// What was acknowledged is not lost.
fn durable(e: &Evidence<'_>, found: &mut Findings) {
    if !e.scenario.expect.webhook.is_some_and(|w| w.durable) {
        return;
    }
    let Some(agreement) = e.agreement() else {
        found.unknown(Say {
            rule: "webhook/durable_unjudged",
            group: "",
            message: "`webhook.durable` is promised, and no `agree` says what the effect of an event is"
                .into(),
            expected: "an `agree` section".into(),
            hint: "",
            evidence: Vec::new(),
        });
        return;
    };
    let mut judged = 0;
    for delivery in e.deliveries.iter().filter(|d| d.acknowledged() && !d.must_be_refused) {
        for (_, event) in delivery.events.iter().filter_map(|id| e.events.get(&**id)) {
            let Some(record) = event.record.as_deref() else { continue };
            let of_source = event.collection.as_deref().is_none_or(|c| c == agreement.from.1);
            let key = agreement.sources.get(record).and_then(|h| h.key.as_deref());
            let Some(key) = key.filter(|_| of_source && delivery.vendor == agreement.from.0) else {
                continue;
            };
            let wrong = agreement.wrong(key).filter(|w| !agreement.excused(key, w));
            judged += 1;
            // What was written since, and wrongly, was not lost: the agreement says so.
            let lost = match wrong {
                Some(Wrong::Missing) => true,
                Some(Wrong::Differs { .. }) => !agreement.written_since(key, delivery.sent),
                _ => false,
            };
            if lost {
                found.fail(Say {
                    rule: "webhook/lost",
                    group: delivery.vendor,
                    message: format!(
                        "{} was acknowledged at {}, and its record {record} shows no such effect at the end",
                        named(delivery),
                        delivery.ended
                    ),
                    expected: "what was acknowledged is done, whatever happens to the process".into(),
                    hint: "acknowledge only what is on disk; mark an event as seen only when its work is done",
                    evidence: delivery.cite().into_iter().chain(agreement.cite(key)).collect(),
                });
            }
        }
    }
    if judged == 0 && e.says("webhook") {
        found.unknown(Say {
            rule: "webhook/durable_unjudged",
            group: "",
            message: "`webhook.durable` is promised, and no event about a record of `agree` was acknowledged"
                .into(),
            expected: "at least 1 such event".into(),
            hint: "let the workload change a source record while the subject takes webhooks",
            evidence: e.deliveries.iter().take(3).map(|d| d.asked).collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::{ChangeKind, SubjectEvent};
    use serde_json::json;

    const HOOK: &str = "webhook: { ack_within: 1s }";

    #[test]
    fn a_prompt_acknowledgement_is_sound() {
        drill().delivery(5, &["e1"], 202, 900).passes(&scenario(HOOK), "webhook");
    }

    #[test]
    fn slow_missing_and_failed_answers_are_found() {
        drill().delivery(5, &["e1"], 202, 1_100).fails(&scenario(HOOK), "webhook/slow_ack");
        drill().delivery(5, &["e1"], 401, 10).fails(&scenario(HOOK), "webhook/refused");
        drill().delivery(5, &["e1"], 500, 10).fails(&scenario(""), "webhook/failed");
        drill().delivery_as(5, &["e1"], None, 10_000, false).fails(&scenario(""), "webhook/not_acknowledged");
    }

    #[test]
    fn a_receiver_that_fails_with_its_vendor_is_told_so() {
        let hint = |b: Builder| {
            let judgement = b.delivery(5, &["e1"], 500, 10).judged(&scenario(""), "webhook").unwrap();
            judgement.findings[0].hint.clone().unwrap()
        };
        let down = hint(drill().call(call("crm", "GET /deals/d1", 8).status(503)));
        assert!(down.starts_with("crm GET /deals/{id} got 503 meanwhile"), "{down}");
        for elsewhere in [call("crm", "GET /deals/d1", 8), call("crm", "GET /deals/d1", 80).status(503)] {
            let hint = hint(drill().call(elsewhere));
            assert!(hint.contains("set aside, alone"), "{hint}");
        }
        let away = "faults: [{ on: crm, window: 0s..1m, do: refuse }]";
        let judgement =
            drill().delivery(5, &["e1"], 500, 10).judged(&scenario_of("other", "", away), "webhook");
        let hint = judgement.unwrap().findings[0].hint.clone().unwrap();
        assert!(hint.starts_with("crm got no connection (refuse) meanwhile"), "{hint}");
    }

    #[test]
    fn a_forgery_must_be_refused() {
        drill().delivery_as(5, &["e1"], Some(401), 10, true).passes(&scenario(HOOK), "webhook");
        drill()
            .delivery_as(5, &["e1"], Some(200), 10, true)
            .fails(&scenario(HOOK), "webhook/forgery_accepted");
        drill()
            .delivery_as(5, &["e1"], Some(500), 10, true)
            .fails(&scenario(HOOK), "webhook/forgery_not_refused");
    }

    #[test]
    fn a_refused_forgery_must_have_no_effect() {
        let forged = || drill().emitted(0, "e1", "d1").delivery_as(5, &["e1"], Some(401), 10, true);
        let act = call("billing", "POST /invoices", 900).key("k").body("deal=d1");
        forged().call(act.clone()).fails(&scenario(HOOK), "webhook/forgery_had_effect");
        forged().delivery(300, &["e1"], 200, 10).call(act).passes(&scenario(HOOK), "webhook");
    }

    #[test]
    fn a_subject_that_is_down_owes_no_answer() {
        drill()
            .subject(0, SubjectEvent::Killed)
            .delivery_as(5, &["e1"], None, 10_000, false)
            .unknown(&scenario(HOOK), "webhook/none_judged");
    }

    #[test]
    fn an_acknowledged_event_without_effect_is_lost() {
        let s = scenario(
            "webhook: { ack_within: 1s, durable: true }\n  agree: { from: crm.deals, where: 'deal.won', \
             to: billing.invoices, key: invoice.deal }",
        );
        let acknowledged = || {
            drill()
                .change(0, "crm.deals", ChangeKind::Given, json!({ "id": "d1", "won": true }), None)
                .emitted(1, "e1", "d1")
                .delivery(5, &["e1"], 200, 10)
        };
        acknowledged().fails(&s, "webhook/lost");
        acknowledged()
            .change(50, "billing.invoices", ChangeKind::Created, json!({ "id": "i1", "deal": "d1" }), Some(0))
            .passes(&s, "webhook");
    }

    #[test]
    fn an_effect_that_came_and_is_wrong_was_not_lost() {
        let s = scenario(
            "webhook: { ack_within: 1s, durable: true }\n  agree: { from: crm.deals, where: 'deal.won', \
             to: billing.invoices, key: invoice.deal, fields: { invoice.due: deal.due } }",
        );
        let invoiced = |at| {
            drill()
                .change(0, "crm.deals", ChangeKind::Given, json!({ "id": "d1", "won": true, "due": 2 }), None)
                .emitted(1, "e1", "d1")
                .delivery(5, &["e1"], 200, 10)
                .change(
                    at,
                    "billing.invoices",
                    ChangeKind::Created,
                    json!({ "id": "i1", "deal": "d1", "due": 1 }),
                    Some(0),
                )
        };
        invoiced(50).passes(&s, "webhook");
        invoiced(3).fails(&s, "webhook/lost");
    }

    #[test]
    fn a_clock_that_is_off_excuses_refusals() {
        drill()
            .subject(1, SubjectEvent::ClockSkewed { micros: 600_000_000 })
            .delivery(5, &["e1"], 401, 10)
            .passes(&scenario(HOOK), "webhook");
    }

    #[test]
    fn a_reception_that_the_drill_promises_needs_a_delivery() {
        drill().unknown(&scenario_of("retry", HOOK, ""), "webhook/none_judged");
        assert!(drill().judged(&shared(scenario_of("retry", HOOK, "")), "webhook").is_none());
        assert!(drill().judged(&scenario_of("retry", "", ""), "webhook").is_none());
        let agree = "agree: { from: crm.deals, where: 'true', to: billing.invoices, key: invoice.deal }";
        let durable = scenario(&format!("webhook: {{ ack_within: 1s, durable: true }}\n  {agree}"));
        drill().delivery(5, &["e1"], 202, 10).unknown(&durable, "webhook/durable_unjudged");
    }
}
