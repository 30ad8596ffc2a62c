//! Fakes: a drill file and a trace as real ones look, and what the reports make of them.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::table::{Caught, Row};
use super::terminal::Worst;
use super::*;
use crate::drill::DrillError;
use crate::fault::{ErrorKind, Moment};
use crate::finding::{Finding, Judgement};
use crate::scenario;
use crate::trace::{
    CallId, Cause, ChangeKind, DeliveryId, Event, EventId, FaultRef, Head, Outcome, SubjectEvent, Told,
    Trace, WebhookEvent,
};
use crate::wire::{Headers, Protocol, Request, Response};

/// A drill as if read from `scenarios/idempotency/lost_answer.yaml`.
pub(crate) fn loaded() -> Loaded {
    let text = "drill: A create whose answer was lost makes one invoice, not two\n\
        why: The customer is billed twice, and somebody has to find out which invoice to void\n\
        family: idempotency\nvendors: { crm: hubspot, billing: stripe }\n";
    let scenario = scenario::parse("x.yaml", text).expect("a good drill");
    Loaded { scenario, file: "scenarios/idempotency/lost_answer.yaml".into() }
}

fn request(method: &str, target: &str, key: &str) -> Request {
    Request {
        method: method.into(),
        target: target.into(),
        headers: Headers::of([("idempotency-key", key)]),
        body: Bytes::new(),
    }
}

fn response(status: u16) -> Response {
    Response { status, headers: Headers::default(), body: Bytes::from_static(b"{}") }
}

fn fault(act: &str, moment: Option<Moment>) -> Option<FaultRef> {
    Some(FaultRef { rule: 0, act: act.into(), moment, drift: None })
}

fn call(call: u32, target: &str, key: &str) -> What {
    What::Request {
        call: CallId(call),
        vendor: "billing".into(),
        connection: 0,
        protocol: Protocol::Http1,
        request: request("POST", target, key),
        operation: None,
    }
}

fn answer(call: u32, outcome: Outcome, status: u16, applied: bool, told: Told, f: Option<FaultRef>) -> What {
    let response = Some(response(status));
    What::Answer { call: CallId(call), outcome, response, applied, replayed: false, told, fault: f }
}

fn made(call: u32, id: &str) -> What {
    What::Change {
        vendor: "billing".into(),
        collection: "invoices".into(),
        id: id.into(),
        change: ChangeKind::Created,
        record: Arc::new(json!({})),
        by: Cause::Call(CallId(call)),
    }
}

/// A trace with each kind of event.
pub(crate) fn trace() -> Trace {
    let delivery = DeliveryId(0);
    let event = WebhookEvent {
        id: "evt_1".into(),
        kind: "deal.propertyChange".into(),
        collection: Some("deals".into()),
        record: Some("deal_17".into()),
        occurred: At(1_000_000),
        payload: Arc::new(json!({})),
    };
    let throttled =
        Told { error: Some(ErrorKind::RateLimited), retry_at: Some(At(33_000_000)), ..Told::default() };
    let events = vec![
        (0, What::Subject(SubjectEvent::Started { incarnation: 1 })),
        (12_000, What::Subject(SubjectEvent::Ready)),
        (
            1_000_000,
            What::Step {
                step: 0,
                action: "crm.deals.close".into(),
                records: vec!["deal_17".into()],
                error: None,
            },
        ),
        (1_000_000, What::Emission { vendor: "crm".into(), event, fault: fault("duplicate", None) }),
        (
            1_005_000,
            What::Delivery {
                delivery,
                vendor: "crm".into(),
                attempt: 2,
                events: vec!["evt_1".into()],
                request: request("POST", "/hooks/crm", ""),
                fault: None,
                must_be_refused: true,
            },
        ),
        (
            1_006_000,
            What::Delivered {
                delivery,
                outcome: Outcome::Answered,
                response: Some(response(401)),
                retry_at: Some(At(61_000_000)),
            },
        ),
        (2_000_000, call(0, "/v1/invoices", "k1")),
        (
            2_000_000,
            What::Fault(FaultRef {
                rule: 0,
                act: "reset".into(),
                moment: Some(Moment::AfterApplied),
                drift: None,
            }),
        ),
        (2_000_000, made(0, "in_1")),
        (
            2_000_250,
            answer(0, Outcome::Reset, 200, true, Told::default(), fault("reset", Some(Moment::AfterApplied))),
        ),
        (2_850_000, call(1, "/v1/invoices", "k1")),
        (2_851_000, answer(1, Outcome::Answered, 429, false, throttled, fault("error", None))),
        (33_100_000, call(2, "/v1/invoices", "k2")),
        (33_100_000, made(2, "in_2")),
        (33_101_000, answer(2, Outcome::Answered, 200, true, Told::default(), None)),
        (
            40_000_000,
            What::Connection {
                vendor: "billing".into(),
                outcome: Outcome::Refused,
                count: 3,
                fault: fault("refuse", None),
            },
        ),
        (
            41_000_000,
            What::Alert {
                body: json!({ "kind": "auth", "message": "the grant was revoked" }),
                unread: None,
                began: None,
            },
        ),
        (42_000_000, What::Log { level: "warn".into(), line: "giving up\u{1b}[2J on deal_17".into() }),
        (60_000_000, What::Healed),
        (660_000_000, What::Ended),
    ];
    Trace {
        head: Head {
            drill: "d".into(),
            seed: Seed(7),
            epoch: jiff::Timestamp::UNIX_EPOCH,
            heals_at: At(60_000_000),
            ends_at: At(660_000_000),
            real: None,
        },
        events: events.into_iter().map(|(at, what)| Event { at: At(at), what }).collect(),
    }
}

/// A finding of two invoices, with its proof.
pub(crate) fn finding() -> Finding {
    Finding {
        rule: "idempotency/second_effect".into(),
        verdict: Verdict::Fail,
        message: "deal_17 has two live invoices, in_1 and in_2: the retry after the lost answer went out \
            under another Idempotency-Key"
            .into(),
        expected: "all attempts of one create carry one key, so that the vendor gives back the first invoice"
            .into(),
        hint: Some("where the key is made: it must be stored before the first attempt is sent".into()),
        evidence: [6, 8, 9, 12, 13].map(EventId).to_vec(),
        more: 3,
    }
}

/// A drill that ended with this verdict.
pub(crate) fn drilled(verdict: Verdict) -> Drilled {
    let findings = match verdict {
        Verdict::Pass => vec![],
        Verdict::Fail => vec![finding()],
        Verdict::Unknown => vec![Finding {
            rule: "faults/never_fired".into(),
            verdict: Verdict::Unknown,
            message: "rule 2 (billing, refuse, 5m..6m) never bit".into(),
            expected: "each fault rule bites at least once".into(),
            hint: None,
            evidence: vec![],
            more: 0,
        }],
    };
    Drilled { trace: trace(), judgements: vec![Judgement::of("idempotency", 21, findings)], verdict }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

pub(crate) fn ran<'a>(loaded: &'a Loaded, drilled: &'a Drilled) -> Ran<'a> {
    Ran {
        loaded,
        seed: Seed(7),
        drilled,
        real: None,
        failed_before: 0,
        replay: replay(&loaded.file, Seed(7)),
    }
}

#[test]
fn a_failure_tells_what_broke_and_proves_it() {
    insta::assert_snapshot!(plain(&terminal::drill(&ran(&loaded(), &drilled(Verdict::Fail)), false)));
}

#[test]
fn an_unknown_drill_says_what_kept_it_from_being_judged() {
    insta::assert_snapshot!(plain(&terminal::drill(&ran(&loaded(), &drilled(Verdict::Unknown)), false)));
}

#[test]
fn a_pass_takes_no_more_than_its_promise() {
    insta::assert_snapshot!(plain(&terminal::drill(&ran(&loaded(), &drilled(Verdict::Pass)), false)));
}

#[test]
fn every_report_of_a_drill_in_real_time_says_so() {
    let loaded = loaded();
    let mut drilled = drilled(Verdict::Pass);
    drilled.trace.head.real = Some(crate::trace::RealTime {
        scale: 12,
        waits_scaled: false,
        begins_at: At(1_000_000),
        noise: Span::millis(3),
        promised: None,
    });
    let ran = ran(&loaded, &drilled);
    let mut suites = junit::Suites::new(false);
    suites.drill(&ran);
    let xml = suites.xml().unwrap();
    assert!(xml.contains(r#"<property name="scale" value="12"/>"#), "{xml}");
    assert!(xml.contains(r#"name="noise" value="3ms""#) && xml.contains(r#"name="real_time""#), "{xml}");
    assert!(!xml.contains("virtual_time"), "{xml}");
    let line: serde_json::Value = serde_json::from_str(&jsonl::drill(&ran)).unwrap();
    let clock =
        serde_json::json!({ "scale": 12, "noise_us": 3_000, "waits_scaled": false, "began_us": 1_000_000 });
    assert_eq!(line["real_time"], clock);
    let mut site = html::Site::default();
    let page = site.drill(&ran);
    for text in [page.html, site.index(), plain(&terminal::drill(&ran, false))] {
        assert!(text.contains("of real time at scale 12"), "{text}");
    }
}

#[test]
fn a_pass_with_a_waiver_says_what_does_not_count_and_why() {
    let mut drilled = drilled(Verdict::Pass);
    drilled.judgements[0].waived.push(crate::finding::Waived {
        rule: "idempotency/no_key".into(),
        because: "it looks for the invoice before it creates one".into(),
        found: 54,
    });
    let text = plain(&terminal::drill(&ran(&loaded(), &drilled), false));
    assert!(
        text.ends_with(
            "    waived    idempotency/no_key (54 findings): it looks for the invoice before\n              it creates one\n"
        ),
        "{text}"
    );
}

#[test]
fn the_whole_timeline_shows_every_event() {
    insta::assert_snapshot!(plain(&timeline::Timeline::new(&trace()).whole(0)));
}

#[test]
fn nothing_but_commands_is_wider_than_the_page() {
    let (loaded, drilled) = (loaded(), drilled(Verdict::Fail));
    let text = plain(&terminal::drill(&ran(&loaded, &drilled), true));
    for line in text.lines().filter(|l| !l.contains("firedrill run")) {
        assert!(line.chars().count() <= WIDTH, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn what_a_subject_logs_cannot_steer_the_terminal() {
    let text = plain(&timeline::Timeline::new(&trace()).whole(0));
    assert!(text.contains("giving up") && !text.contains('\u{1b}'));
}

#[test]
fn the_summary_counts_and_names_the_commands() {
    let loaded = loaded();
    let mut summary = terminal::Summary::default();
    for verdict in [Verdict::Pass, Verdict::Fail, Verdict::Unknown] {
        summary.add(&ran(&loaded, &drilled(verdict)));
    }
    assert_eq!(summary.worst(), Worst::Verdict(Verdict::Fail));
    summary.add_error(&DrillError::Scenario("no".into()), replay(&loaded.file, Seed(8)));
    assert_eq!(summary.worst(), Worst::Refused);
    summary.add_error(&DrillError::Harness("no".into()), replay(&loaded.file, Seed(9)));
    assert_eq!(summary.worst(), Worst::Fault);
    insta::assert_snapshot!(plain(&summary.render(2, None)));
}

#[test]
fn many_failures_are_told_by_the_rules_that_they_broke() {
    let loaded = loaded();
    let mut summary = terminal::Summary::default();
    for seed in 1..=3 {
        summary.add(&Ran {
            seed: Seed(seed),
            replay: replay(&loaded.file, Seed(seed)),
            ..ran(&loaded, &drilled(Verdict::Fail))
        });
    }
    assert!(!plain(&summary.render(0, None)).contains("by rule"));
    summary.add(&ran(&loaded, &drilled(Verdict::Fail)));
    let text = plain(&summary.render(0, None));
    insta::assert_snapshot!(text.split_once("by rule").unwrap().1);
}

#[test]
fn many_drills_that_were_not_judged_are_told_by_what_kept_them_from_it() {
    let loaded = loaded();
    let summary = |drills: usize| {
        let mut summary = terminal::Summary::default();
        (0..drills).for_each(|_| summary.add(&ran(&loaded, &drilled(Verdict::Unknown))));
        plain(&summary.render(0, None))
    };
    assert!(!summary(3).contains("by rule"));
    assert!(
        summary(4).contains(
            "not judged, by rule, each with the drill to begin with\n    faults/never_fired in 4 drills"
        ),
        "{}",
        summary(4)
    );
}

#[test]
fn a_drill_that_breaks_a_rule_twice_is_one_drill() {
    let loaded = loaded();
    let mut twice = drilled(Verdict::Fail);
    twice.judgements[0].findings.push(finding());
    let mut summary = terminal::Summary::default();
    for _ in 0..4 {
        summary.add(&ran(&loaded, &twice));
    }
    let text = plain(&summary.render(0, None));
    assert!(text.contains("idempotency/second_effect in 4 drills"), "{text}");
}

#[test]
fn json_lines_hold_the_verdict_and_the_findings() {
    let line = jsonl::drill(&ran(&loaded(), &drilled(Verdict::Fail)));
    assert_eq!(line.matches('\n').count(), 1);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    insta::assert_json_snapshot!(value);
}

#[test]
fn a_proof_reads_defect_by_defect() {
    let row = |defect: &str, caught| Row {
        defect: defect.into(),
        failure: "A fresh idempotency key per attempt makes two invoices where one was meant".into(),
        claimed_by: "idempotency/lost_answer".into(),
        caught,
        by_rules: if caught == Caught::Yes { vec!["idempotency/second_effect".into()] } else { vec![] },
        false_alarms: vec![],
    };
    let mut rows =
        vec![row("fresh_key", Caught::Yes), row("key_not_kept", Caught::No), row("x", Caught::Unknown)];
    rows[0].false_alarms.push("backoff/no_jitter in retry/jitter".into());
    insta::assert_snapshot!(plain(&table::render(&rows)));
}

#[test]
fn a_replay_command_survives_the_shell() {
    assert_eq!(replay("a b/it's.yaml", Seed(1)), r"firedrill run 'a b/it'\''s.yaml' --seed 1");
}

#[test]
fn no_report_shows_what_is_a_persons_own() {
    const OWN: [&str; 5] = [
        "ap@contoso-ag.info",
        "ap%40contoso-ag.info",
        "4242424242424242",
        "DE89370400440532013000",
        "+14155550123",
    ];
    let loaded = loaded();
    let mut drilled = drilled(Verdict::Fail);
    let everything = OWN.join(" ");
    let body = json!({ "email": OWN[0], "amount": 125_000, "id": "in_1", "note": everything }).to_string();
    let asked = Request {
        body: body.clone().into(),
        ..request("POST", &format!("/v1/invoices?email={}", OWN[1]), OWN[0])
    };
    let answered = Response { body: body.into(), ..response(409) };
    let event = |what| Event { at: At(40_000_000), what };
    let named = |id: &str| What::Change {
        vendor: "billing".into(),
        collection: "customers".into(),
        id: id.into(),
        change: ChangeKind::Created,
        record: Arc::new(json!({ "email": OWN[0], "iban": OWN[3] })),
        by: Cause::Call(CallId(9)),
    };
    let trace = &mut drilled.trace.events;
    let first = EventId(u32::try_from(trace.len()).unwrap());
    trace.push(event(What::Request {
        call: CallId(9),
        vendor: "billing".into(),
        connection: 0,
        protocol: Protocol::Http1,
        request: asked,
        operation: None,
    }));
    trace.push(event(named(OWN[0])));
    trace.push(event(What::Answer {
        call: CallId(9),
        outcome: Outcome::Answered,
        response: Some(answered),
        applied: true,
        replayed: false,
        told: Told::default(),
        fault: None,
    }));
    trace.push(event(What::Alert {
        body: json!({ "kind": "auth", "message": everything }),
        unread: None,
        began: None,
    }));
    trace.push(event(What::Log { level: "error".into(), line: everything.clone() }));
    let finding = Finding {
        rule: "reconciliation/missing".into(),
        verdict: Verdict::Fail,
        message: format!(
            "{everything} has no live invoice of 125000 for cus_NffrFeUfNV2Hib since 2026-03-02"
        ),
        expected: everything.clone(),
        hint: Some(everything.clone()),
        evidence: vec![first],
        more: 0,
    };
    drilled.judgements = vec![Judgement::of("reconciliation", 1, vec![finding])];
    crate::check::veil(&mut drilled.judgements);
    let ran = ran(&loaded, &drilled);
    let mut site = html::Site::default();
    let page = site.drill(&ran).html;
    #[cfg(feature = "cli")]
    let junit = {
        let mut suites = junit::Suites::new(false);
        suites.drill(&ran);
        suites.xml().unwrap()
    };
    #[cfg(not(feature = "cli"))]
    let junit = String::new();
    for (name, text) in [
        ("terminal", anstream::adapter::strip_str(&terminal::drill(&ran, true)).to_string()),
        ("JSON lines", jsonl::drill(&ran)),
        ("JUnit", junit),
        ("page", page),
        ("index", site.index()),
    ] {
        for own in OWN {
            assert!(!text.contains(own), "{name} shows {own}:\n{text}");
        }
        if !["index", "JUnit"].contains(&name) {
            assert!(text.contains("‹e-mail address, 18 characters›"), "{name}:\n{text}");
            assert!(text.contains("cus_NffrFeUfNV2Hib") && text.contains("125000"), "{name}:\n{text}");
        }
    }
}
