//! Faults: a drill whose disturbance never came about proves nothing.
//!
//! Knows: the rules of the scenario and which of them bit. Must not know: what they were to show.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::evidence::Evidence;
use super::say::{Findings, Say};
use crate::drift;
use crate::fault::{Act, Field, Mutation, Rule, Target};
use crate::finding::Judgement;
use crate::scenario::or_nearest;
use crate::schedule::request_json;
use crate::time::At;
use crate::trace::{EventId, FaultRef, SubjectEvent, What};
use crate::wire::Request;

/// Field names that are shown of a body.
const NAMED: usize = 8;

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    let unfit: BTreeSet<u32> = unfit(e, &mut found);
    let nowhere = webhooks_to_nowhere(e);
    for (n, rule) in e.scenario.faults.iter().enumerate() {
        let number = u32::try_from(n).unwrap_or(u32::MAX);
        if let Target::Webhook { vendor, .. } = &rule.on
            && let Some(id) = nowhere.get(vendor.as_str())
        {
            found.unknown(Say {
                rule: "faults/no_address",
                group: &n.to_string(),
                message: format!(
                    "fault rule {} (`on: {}`) disturbed nothing: no webhook of `{vendor}` was delivered, because \
                     the subject gave no address for them",
                    n + 1,
                    rule.on
                ),
                expected: "a subject that takes the webhooks which the drill disturbs".into(),
                hint: "give the address: in `Endpoints::webhooks`, or in the subject file under `webhooks:`",
                evidence: vec![*id],
            });
        } else if !e.bitten.contains_key(&number) && !unfit.contains(&number) {
            found.unknown(Say {
                rule: "faults/never_fired",
                group: &n.to_string(),
                message: format!(
                    "fault rule {} (`on: {}`) never fired: {}",
                    n + 1,
                    rule.on,
                    why(e, number, rule)
                ),
                expected: "every rule bites at least once; otherwise the drill tested less than it says"
                    .into(),
                hint: "widen the rule's window, or let the workload make such a call inside it",
                evidence: Vec::new(),
            });
        }
    }
    let steps = steps(e, &mut found);
    if e.scenario.faults.is_empty() && found.is_empty() {
        return None;
    }
    Some(found.judgement("faults", e.scenario.faults.len() as u64 + steps))
}

/// The steps that were carried out; says which could not be, and what firedrill itself got wrong.
fn steps(e: &Evidence<'_>, found: &mut Findings) -> u64 {
    let mut steps = 0;
    let failed = |action: &str, at: At, why: &str, found: &mut Findings, id| {
        found.unknown(Say {
            rule: "faults/step_failed",
            group: action,
            message: format!("the workload's `{action}` at {at} failed: {why}"),
            expected: "every step of the workload is carried out".into(),
            hint: "check the step's name and records, and whether the subject was there",
            evidence: vec![id],
        });
    };
    let mut unasked = BTreeMap::new();
    let mut began = BTreeMap::new();
    for (id, event) in e.trace.iter() {
        match &event.what {
            What::HarnessFault { message } => found.unknown(Say {
                rule: "faults/harness",
                group: message,
                message: format!("firedrill itself went wrong at {}: {message}", event.at),
                expected: "a drill without faults of its own".into(),
                hint: "no verdict of this drill can be trusted; please report it",
                evidence: vec![id],
            }),
            What::Step { step, action, error, .. } => {
                steps += 1;
                began.insert(*step, event.at);
                if let Some(error) = error {
                    failed(action, event.at, error, found, id);
                }
            }
            What::Subject(SubjectEvent::Triggered { job, step, unasked: why, failed, .. }) => {
                let asked = unasked.entry(*step).or_insert_with(Vec::new);
                // A try that failed did not come about either, unless a vendor saw something of it.
                let idle = || failed.as_deref().filter(|_| calls_between(e, began.get(step), event.at) == 0);
                asked.push((job, event.at, why.as_deref().or_else(idle), id));
            }
            _ => {}
        }
    }
    // A job that comes again and again may miss a turn while the subject is down, as in life.
    for tries in unasked.values().filter(|tries| tries.iter().all(|(_, _, why, _)| why.is_some())) {
        for (job, at, why, id) in tries {
            failed(&format!("job {job}"), *at, why.unwrap_or_default(), found, *id);
        }
    }
    steps
}

/// How many calls came from the last begin of a step (or the start of the drill) to `end`.
fn calls_between(e: &Evidence<'_>, begin: Option<&At>, end: At) -> usize {
    let begin = begin.copied().unwrap_or(At::START);
    e.calls.iter().filter(|c| c.arrived >= begin && c.arrived <= end).count()
}

/// Vendors whose webhooks had no address to go to in any life of the subject, and where that is said.
fn webhooks_to_nowhere<'t>(e: &Evidence<'t>) -> BTreeMap<&'t str, EventId> {
    let mut nowhere = BTreeMap::new();
    for (id, event) in e.trace.iter() {
        if let What::Subject(SubjectEvent::TakesNoWebhooks { vendor }) = &event.what {
            nowhere.entry(&**vendor).or_insert(id);
        }
    }
    nowhere.retain(|vendor, _| !e.deliveries.iter().any(|d| d.vendor == *vendor));
    nowhere
}

/// The rules that chose calls to which their fault cannot be done.
fn unfit(e: &Evidence<'_>, found: &mut Findings) -> BTreeSet<u32> {
    let mut rules = BTreeSet::new();
    for (id, event) in e.trace.iter() {
        let What::Unfit { call, fault, why } = &event.what else { continue };
        rules.insert(fault.rule);
        let asked = e.call(*call);
        let name = asked.map_or_else(|| format!("call {}", call.0), super::call::Call::name);
        found.unknown(Say {
            rule: "faults/unfit",
            group: &fault.rule.to_string(),
            message: format!(
                "fault rule {} (`{}`) chose {name} at {}, and cannot be done to it: {why}",
                fault.rule + 1,
                fault.act,
                event.at
            ),
            expected: "every rule bites as its name says; otherwise the drill tested less than it says"
                .into(),
            hint: "give the rule a fault that the subject's version of HTTP has",
            evidence: asked.map(|c| c.asked).into_iter().chain([id]).collect(),
        });
    }
    rules
}

/// The likeliest reason that a rule never bit.
fn why(e: &Evidence<'_>, number: u32, rule: &Rule) -> String {
    let inside = |at: At| rule.window.is_none_or(|w| w.contains(at)) && at < e.heals_at;
    let window =
        rule.window.map_or_else(|| format!("before healing at {}", e.heals_at), |w| format!("inside {w}"));
    let earlier = |fault: Option<&FaultRef>| fault.is_some_and(|f| f.rule < number);
    match &rule.on {
        // In virtual time they are seen only by who counts its own attempts, in real time on the wire.
        Target::Calls { vendor, .. }
            if matches!(rule.act, Act::Refuse | Act::BlackHole) && e.trace.head.real.is_some() =>
        {
            format!("no connect to `{vendor}` was seen {window}")
        }
        Target::Calls { .. } if matches!(rule.act, Act::Refuse | Act::BlackHole) && !e.counted => {
            "connects that are refused or swallowed leave no trace at the vendor: the subject must keep its \
             attempt log for them to be seen"
                .to_owned()
        }
        Target::Calls { vendor, .. } if matches!(rule.act, Act::SlowAccept(_) | Act::Certificate(_)) => {
            format!(
                "no new connection to `{vendor}` was made {window} that it could take (one that is kept alive is \
                 not taken up again, and an earlier rule comes first)"
            )
        }
        Target::Calls { vendor, .. } => {
            let matches = |c: &&super::call::Call<'_>| {
                rule.on.matches_call(c.vendor, &c.request.method, c.request.path())
            };
            let all = e.calls_of(vendor).filter(matches).count();
            let met = || e.calls_of(vendor).filter(matches).filter(|c| inside(c.arrived));
            match (all, met().count()) {
                (0, _) => format!("no call to `{}` came in the whole drill", rule.on),
                (_, 0) => format!("{all} such calls came, but none {window}"),
                (_, n) => {
                    let taken = met().filter(|c| earlier(c.fault)).count();
                    let bodies = met().filter_map(|c| serde_json::from_slice(&c.response?.body).ok());
                    let came = format!("{n} matching calls came {window}");
                    format!("{came}, but {}", passed_by(rule, (n, taken), bodies.collect()))
                        + &unanswerable(rule, met().map(|c| c.request))
                }
            }
        }
        Target::Webhook { vendor, event } => {
            let fits = |kind: &str| event.as_deref().is_none_or(|k| k == kind);
            let of = |x: &&crate::trace::Event| matches!(&x.what, What::Emission { vendor: v, event, .. } if **v == **vendor && fits(&event.kind));
            let all = e.trace.events.iter().filter(of).count();
            let met = || e.trace.events.iter().filter(of).filter(|x| inside(x.at));
            match (all, met().count()) {
                (0, _) => format!("`{vendor}` emitted no such event in the whole drill"),
                (_, 0) => format!("{all} such events were emitted, but none {window}"),
                (_, n) => {
                    let told = |x: &crate::trace::Event| match &x.what {
                        What::Emission { event, fault, .. } => {
                            Some(((*event.payload).clone(), earlier(fault.as_ref())))
                        }
                        _ => None,
                    };
                    let (bodies, taken): (Vec<Value>, Vec<bool>) = met().filter_map(told).unzip();
                    let taken = taken.into_iter().filter(|t| *t).count();
                    let came = format!("{n} matching events came {window}");
                    format!("{came}, but {}", passed_by(rule, (n, taken), bodies))
                }
            }
        }
        Target::Subject => format!("the subject was not running {window}, or the drill ended first"),
    }
}

/// Why a rule bit none of those that it is about, of which there were so many, and so many taken by earlier
/// rules; `bodies` is what they said.
fn passed_by(rule: &Rule, (all, taken): (usize, usize), bodies: Vec<Value>) -> String {
    if taken == all {
        return "an earlier rule took them all".to_owned();
    }
    if let Act::Drift(mutation) = &rule.act
        && let Some(why) = undrifted(mutation, &bodies)
    {
        return why;
    }
    let more = [
        rule.attempts.map(|a| format!("attempts {a}")),
        rule.calls.map(|c| format!("calls {c}")),
        rule.share.map(|s| format!("a share of {s}")),
        rule.when.as_ref().map(|w| format!("`when: {}`", w.source())),
    ];
    let more: Vec<String> = more.into_iter().flatten().collect();
    let met = match more.is_empty() {
        true => format!("`{}` could be done to none of them", rule.act.word()),
        false => format!("none met {}", more.join(", ")),
    };
    if taken == 0 { met } else { format!("{met} (an earlier rule took {taken})") }
}

/// Why a mutation changes none of `bodies`, if that is for a field that they lack, or that is no such field.
fn undrifted(mutation: &Mutation, bodies: &[Value]) -> Option<String> {
    let field = mutation.field().filter(|field| !field.is_whole())?;
    if mutation.is_of_requests() {
        return Some(format!("all of them have `{field}`"));
    }
    let lacking: Option<Vec<_>> = bodies.iter().map(|body| drift::missing(body, field)).collect();
    let Some(lacking) = lacking else {
        let changes = |body: &Value| drift::mutate(mutation, 0, &mut body.clone());
        return (!bodies.iter().any(changes))
            .then(|| format!("`{field}` is there and `{}` changes nothing of it", mutation.word()));
    };
    let (n, there) = lacking.into_iter().max_by_key(|(n, _)| *n)?;
    let (before, step) = (Field::of(field.steps()[..n].iter().cloned()), &field.steps()[n]);
    let at = if n == 0 { "the body".to_owned() } else { format!("`{before}`") };
    let near = match there {
        Value::Object(fields) => or_nearest(step, fields.keys().map(String::as_str)),
        _ => String::new(),
    };
    Some(format!("none of them has `{field}`: {at} is {}{near}", shape(there)))
}

/// Where `when` has an answer for none of the requests: the error of the first, and what an expression
/// can ask of it.
fn unanswerable<'t>(rule: &Rule, mut requests: impl Iterator<Item = &'t Request>) -> String {
    let Some(when) = &rule.when else { return String::new() };
    let asked = |request: &Request| {
        let shown = request_json(request);
        when.holds(&[("request", &shown)]).err().map(|error| (error, shown))
    };
    match requests.next().and_then(asked) {
        Some((error, shown)) if requests.all(|r| asked(r).is_some()) => {
            let part = |name: &str| format!("`request.{name}` is {}", shape(&shown[name]));
            format!("; {error} (there, {} and {})", part("query"), part("body"))
        }
        _ => String::new(),
    }
}

/// What kind of value it is, without what may be secret in it.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(fields) if fields.is_empty() => "an empty map".to_owned(),
        Value::Object(fields) => {
            let names: Vec<&str> = fields.keys().take(NAMED).map(String::as_str).collect();
            let more = if fields.len() > NAMED { ", …" } else { "" };
            format!("a map of {}{more}", names.join(", "))
        }
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(_) => "text".to_owned(),
        _ => "a plain value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::finding::Verdict;
    use crate::trace::{CallId, FaultRef, SubjectEvent, What};
    use serde_json::json;

    const FAULTS: &str =
        "faults:\n  - { on: billing POST /invoices, window: 10s..20s, do: { reset: before_applied } }";

    #[test]
    fn a_rule_that_bit_is_sound() {
        drill()
            .call(call("billing", "POST /invoices", 12_000).status(503).fault(0, "refuse"))
            .passes(&scenario_of("other", "", FAULTS), "faults");
    }

    #[test]
    fn a_rule_that_never_bit_is_unknown_and_says_why() {
        let s = scenario_of("other", "", FAULTS);
        drill().unknown(&s, "faults/never_fired");
        let late = drill().call(call("billing", "POST /invoices", 30_000)).judged(&s, "faults").unwrap();
        assert!(late.findings[0].message.contains("1 such calls came, but none inside 10s..20s"), "{late:?}");
    }

    #[test]
    fn a_rule_about_new_connections_asks_for_one() {
        let rule = "faults:\n  - { on: billing, window: 10s..20s, do: { slow_accept: 3s } }";
        let s = scenario_of("other", "", rule);
        let judged = drill().call(call("billing", "POST /invoices", 12_000)).judged(&s, "faults").unwrap();
        let said = &judged.findings[0].message;
        assert!(said.contains("no new connection to `billing` was made inside 10s..20s"), "{said}");
    }

    #[test]
    fn a_drift_of_a_field_that_no_message_has_says_so() {
        let said = |act: &str, answers: &[serde_json::Value]| {
            let s = scenario_of(
                "other",
                "",
                &format!("faults:\n  - {{ on: crm GET /deals, do: {{ drift: {act} }} }}"),
            );
            let calls = answers.iter().map(|a| call("crm", "GET /deals", 1_000).answers(200, a.clone()));
            drill().calls(calls).judged(&s, "faults").unwrap().findings[0].message.clone()
        };
        let page = json!({ "results": [{ "id": "d1", "properties": { "amount": "1.00", "stage": "won" } }] });
        let lone = said("{ remove: /results/*/properties/amuont }", &[json!({}), page.clone()]);
        assert!(!lone.contains("earlier rule"), "{lone}");
        assert!(
            lone.ends_with(
                "none of them has `/results/*/properties/amuont`: `/results/*/properties` is a map of amount, \
                 stage; did you mean `amount`?"
            ),
            "{lone}"
        );
        let elsewhere = said("{ nullify: /data }", std::slice::from_ref(&page));
        assert!(elsewhere.contains("none of them has `/data`: the body is a map of results"), "{elsewhere}");
        let other = said("{ decimal_comma: /results/0/properties/stage }", &[page]);
        assert!(
            other.contains("`/results/0/properties/stage` is there and `decimal_comma` changes nothing"),
            "{other}"
        );
    }

    #[test]
    fn only_an_earlier_rule_that_bit_is_blamed() {
        let rules = "faults:\n  - { on: billing POST /invoices, do: { reset: before_applied } }\n  \
                     - { on: billing POST /invoices, attempts: 2, do: { latency: 1s } }";
        let s = scenario_of("other", "", rules);
        let why = |b: Builder| b.judged(&s, "faults").unwrap().findings[0].message.clone();
        let asked = || call("billing", "POST /invoices", 1_000);
        assert!(why(drill().call(asked().fault(0, "reset"))).ends_with("an earlier rule took them all"));
        let some = why(drill().call(asked().fault(0, "reset")).call(asked()));
        assert!(some.ends_with("none met attempts 2 (an earlier rule took 1)"), "{some}");
        let late = scenario_of("other", "", "faults:\n  - { on: billing, attempts: 2, do: { latency: 1s } }");
        let alone = drill().call(asked()).judged(&late, "faults").unwrap().findings[0].message.clone();
        assert!(alone.ends_with("but none met attempts 2"), "{alone}");
    }

    #[test]
    fn a_condition_that_has_no_answer_is_shown_with_what_it_could_ask() {
        let rule = "faults:\n  - { on: billing POST /invoices, when: \"request.body.currency == 'gbp'\", do: { reset: before_applied } }";
        let s = scenario_of("other", "", rule);
        let asked = |body: &str| {
            let invoice = call("billing", "POST /invoices", 1_000).body(body);
            drill().call(invoice).judged(&s, "faults").unwrap().findings[0].message.clone()
        };
        let said = asked(r#"{"amount": 1, "secret": "s3cret"}"#);
        assert!(said.contains("could not be evaluated"), "{said}");
        assert!(
            said.contains("`request.body` is a map of amount, secret") && !said.contains("s3cret"),
            "{said}"
        );
        let said = asked(r#"{"currency": "usd"}"#);
        assert!(!said.contains("could not be evaluated"), "{said}");
    }

    #[test]
    fn a_fault_that_could_not_be_done_to_the_call_it_chose_is_unknown_and_says_why() {
        let s = scenario_of("other", "", FAULTS);
        let fault = FaultRef { rule: 0, act: "reset".into(), moment: None, drift: None };
        let unfit = What::Unfit { call: CallId(0), fault, why: "no such thing".into() };
        let judged =
            drill().call(call("billing", "POST /invoices", 12_000)).event(12_000, unfit).judged(&s, "faults");
        let findings = judged.unwrap().findings;
        assert_eq!(findings.len(), 1, "once, and not as one that never fired: {findings:?}");
        assert_eq!((&*findings[0].rule, findings[0].verdict), ("faults/unfit", Verdict::Unknown));
        assert!(findings[0].message.contains("billing POST /invoices at 12s"), "{findings:?}");
    }

    #[test]
    fn webhooks_that_nobody_takes_are_not_disturbed_even_where_a_rule_bit() {
        let rule = "faults:\n  - { on: webhook crm, do: drop }";
        let s = scenario_of("other", "", rule);
        let takes_none = || SubjectEvent::TakesNoWebhooks { vendor: "crm".into() };
        let dropped = FaultRef { rule: 0, act: "drop".into(), moment: None, drift: None };
        for bites in [false, true] {
            let mut drilled = drill().subject(1, takes_none());
            if bites {
                drilled = drilled.event(5, What::Fault(dropped.clone()));
            }
            let findings = drilled.judged(&s, "faults").unwrap().findings;
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert_eq!((&*findings[0].rule, findings[0].verdict), ("faults/no_address", Verdict::Unknown));
        }
        // A later life gave one.
        let drilled = drill().subject(1, takes_none()).delivery(5, &["e1"], 200, 1);
        drilled.event(5, What::Fault(dropped)).passes(&s, "faults");
    }

    #[test]
    fn a_step_that_failed_makes_the_drill_unknown() {
        let step = What::Step {
            step: 0,
            action: "crm.deals.close".into(),
            records: vec![],
            error: Some("no deal".into()),
        };
        drill().event(5, step).unknown(&scenario(""), "faults/step_failed");
    }

    #[test]
    fn a_job_that_could_not_be_asked_for_makes_the_drill_unknown() {
        let none = || triggered("reconcil", Some("the subject has no job `reconcil`"));
        let judged = drill().subject(5, none()).subject(9, none()).judged(&scenario(""), "faults").unwrap();
        let found = &judged.findings[0];
        assert_eq!((&*found.rule, found.verdict, found.more), ("faults/step_failed", Verdict::Unknown, 1));
        assert!(found.message.starts_with("the workload's `job reconcil` at 5ms failed: the subject has no"));
    }

    #[test]
    fn a_job_that_was_asked_for_may_be_declined_and_may_miss_a_turn() {
        let s = scenario_of("other", "", FAULTS);
        let bitten =
            || drill().call(call("billing", "POST /invoices", 12_000).status(503).fault(0, "refuse"));
        let mut declined = triggered("sync", None);
        if let SubjectEvent::Triggered { accepted, .. } = &mut declined {
            *accepted = false;
        }
        bitten().subject(20_000, declined).passes(&s, "faults");
        let away = triggered("sync", Some("the subject was down"));
        bitten().subject(20_000, away.clone()).subject(30_000, triggered("sync", None)).passes(&s, "faults");
        bitten().subject(20_000, away).unknown(&s, "faults/step_failed");
        let step = What::Step { step: 0, action: "job sync".into(), records: vec![], error: None };
        let mut failed = triggered("sync", None);
        if let SubjectEvent::Triggered { accepted, failed, .. } = &mut failed {
            (*accepted, *failed) = (false, Some("exit code 3".into()));
        }
        let tried = || bitten().event(19_000, step.clone());
        tried().subject(20_000, failed.clone()).unknown(&s, "faults/step_failed");
        // What had come as far as a vendor was put to the test.
        tried()
            .call(call("crm", "GET /deals/d1", 19_500).status(503))
            .subject(20_000, failed)
            .passes(&s, "faults");
    }

    #[test]
    fn a_fault_of_firedrill_makes_the_drill_unknown() {
        let fault = What::HarnessFault { message: "lost a task".into() };
        drill().event(5, fault).unknown(&scenario(""), "faults/harness");
    }
}
