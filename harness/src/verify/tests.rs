//! Recordings in, findings out.

use serde_json::{Value, json};

use super::accepted::{Accepted, Entry, Missed};
use super::*;
use crate::fixture::Fixture;

fn contract() -> Contract {
    let deal = json!({ "type": "object", "required": ["id", "amount"], "properties": {
        "id": { "type": "string" }, "amount": { "type": "string" }, "stage": { "type": "string" }, "note": { "type": "string" } } });
    let answer = |schema: Value| json!({ "200": { "description": "", "content": { "application/json": { "schema": schema } } } });
    let list = json!({ "type": "object", "properties": { "results": { "type": "array", "items": deal } } });
    let document = json!({ "openapi": "3.0.3", "info": { "title": "deals", "version": "2024-01-01" }, "paths": {
        "/deals": { "get": { "responses": answer(list), "parameters": [{ "name": "limit", "in": "query", "schema": { "type": "integer" } }] } },
        "/deals/{id}": { "get": { "responses": answer(deal), "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }] } },
    } });
    Contract::parse("contracts/crm/openapi.json".as_ref(), document.to_string().as_bytes()).unwrap()
}

fn recording(exchanges: &[(&str, Value)]) -> Vec<Exchange> {
    let exchange = |(target, body): &(&str, Value)| {
        json!({
            "request": { "method": "GET", "target": target },
            "response": { "status": 200, "headers": ["content-type: application/json"], "body": { "json": body } },
        })
    };
    let text = json!({ "origin": "a test", "recorded": "2024-03-02", "exchanges": exchanges.iter().map(exchange).collect::<Vec<_>>() });
    Fixture::parse("fixtures/crm/run.json".as_ref(), &text.to_string()).unwrap().exchanges
}

fn source(exchanges: &[Exchange]) -> Source<'_> {
    Source {
        vendor: "crm",
        from: "fixtures/crm/run.json",
        recorded: Some(jiff::civil::date(2024, 3, 2)),
        exchanges,
        again: "firedrill verify fixtures/crm/run.json --vendor crm",
    }
}

fn deal(n: usize) -> Value {
    json!({ "id": n.to_string(), "amount": "12.00", "stage": if n.is_multiple_of(2) { "won" } else { "lost" }, "note": "a b" })
}

fn drifted() -> Vec<Exchange> {
    let wide: serde_json::Map<String, Value> = (0..40).map(|n| (format!("new_{n}"), json!(n))).collect();
    let mut wide = Value::Object(wide);
    wide["id"] = json!("9");
    wide["amount"] = json!("1");
    recording(&[
        (
            "/deals?limit=ten",
            json!({ "results": [{ "id": "1", "amountt": "2.00" }, { "id": "2", "amount": { "value": 2 } }, { "id": "3", "amount": { "value": 3 } }] }),
        ),
        ("/deals/9", wide),
        ("/deals/4", json!({ "id": "4", "amount": null })),
        ("/contacts/1", json!({})),
    ])
}

#[test]
fn a_path_that_the_contract_lacks_is_told_without_what_is_a_persons_own() {
    let exchanges = recording(&[("/people/ap@contoso-ag.info?token=abcdefgh1", json!({}))]);
    let report = verify(&contract(), &[source(&exchanges)]);
    let told = crate::report::verify::jsonl(&report);
    assert!(told.contains("GET /people/‹e-mail address, 18 characters›"), "{told}");
    assert!(!told.contains("contoso"), "{told}");
}

#[test]
fn the_same_break_is_said_once_and_additions_do_not_hide_it() {
    let exchanges = drifted();
    let report = verify(&contract(), &[source(&exchanges)]);
    assert_eq!(report.verdict(), Verdict::Fail);
    assert_eq!((report.exchanges, report.unlisted), (4, 1));
    let retyped = report
        .deviations
        .iter()
        .find(|d| d.wild == "/results/*/amount" && d.rule == "contract/type")
        .unwrap();
    assert_eq!((retyped.count, retyped.exchanges, retyped.pointer.as_str()), (2, 1, "/results/1/amount"));
    let plain = anstream::adapter::strip_str(&crate::report::verify::terminal(&report, false)).to_string();
    insta::assert_snapshot!(plain);
    let lines = crate::report::verify::jsonl(&report);
    let all: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(all.len(), report.deviations.len() + 1);
    assert_eq!(all[0]["contract_dated"], json!("2024-01-01"));
    assert_eq!((&all[0]["severity"], &all.last().unwrap()["verdict"]), (&json!("breaking"), &json!("fail")));
}

#[test]
fn a_finding_says_that_nobody_knows_of_which_day_the_contract_is() {
    let undated = contract().raw().to_string().replace("2024-01-01", "v3");
    let undated = Contract::parse("contracts/crm/openapi.json".as_ref(), undated.as_bytes()).unwrap();
    let exchanges = drifted();
    let report = verify(&undated, &[source(&exchanges)]);
    assert_eq!(report.deviations[0].contract, "contracts/crm/openapi.json (version v3, date unknown)");
    let line = crate::report::verify::jsonl(&report).lines().next().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["contract_dated"], Value::Null);
}

#[test]
fn what_holds_passes_and_nothing_judged_is_unknown() {
    let exchanges = recording(&[("/deals/1", deal(1)), ("/deals?limit=3", json!({ "results": [deal(1)] }))]);
    assert_eq!(verify(&contract(), &[source(&exchanges)]).verdict(), Verdict::Pass);
    assert_eq!(verify(&contract(), &[]).verdict(), Verdict::Unknown);
    let elsewhere = recording(&[("/contacts", json!([]))]);
    assert_eq!(verify(&contract(), &[source(&elsewhere)]).verdict(), Verdict::Unknown);
}

#[test]
fn accepted_findings_do_not_fail_and_are_pruned_when_they_are_gone() {
    let (bad, good) = (drifted(), recording(&[("/deals/1", deal(1))]));
    let all = |entry: &Entry| entry.seen_in.iter().all(|file| file == "fixtures/crm/run.json");
    let mut list = Accepted::default();
    let mut report = verify(&contract(), &[source(&bad)]);
    assert!(list.add(&report).0 > 3);
    assert_eq!(list.apply(&mut report, &all), Missed::default());
    assert_eq!(report.verdict(), Verdict::Pass);
    assert_eq!(list.add(&report), (0, false));

    let mut report = verify(&contract(), &[source(&good)]);
    let missed = list.apply(&mut report, &|_| false);
    let kept = Missed { gone: Vec::new(), elsewhere: list.accepted.len() };
    assert_eq!(missed, kept, "the run says nothing about where they were seen");
    let gone = list.apply(&mut report, &all).gone;
    assert_eq!(gone.len(), list.accepted.len());
    list.prune(&gone);
    assert_eq!(list, Accepted::default());
}

/// What the baseline says of one changed answer.
fn compared(before: &[(&str, Value)], now: &[(&str, Value)]) -> Vec<String> {
    let contract = contract();
    let before = recording(before);
    let learned = Baseline::learn(Some(&contract), &[source(&before)]);
    let text = serde_json::to_string(&learned).unwrap();
    let learned: Baseline = serde_json::from_str(&text).unwrap();
    let now = recording(now);
    let report = against(&learned, Some(&contract), &[source(&now)], "");
    assert!(
        against(&learned, Some(&contract), &[source(&before)], "").deviations.is_empty(),
        "it agrees with itself"
    );
    report.deviations.iter().map(|d| format!("{:?} {} {}", d.severity, d.rule, d.wild)).collect()
}

#[test]
fn what_no_schema_forbids_is_seen_by_the_baseline() {
    let usual: Vec<(&str, Value)> = (0..6).map(|n| ("/deals/1", deal(n))).collect();
    let without = |name: &str| {
        let mut changed = deal(1);
        changed.as_object_mut().unwrap().shift_remove(name);
        vec![("/deals/1", changed)]
    };
    let with = |name: &str, value: Value| {
        let mut changed = deal(1);
        changed[name] = value;
        vec![("/deals/1", changed)]
    };
    assert_eq!(compared(&usual, &without("note")), ["Breaking baseline/absent /note"]);
    assert_eq!(compared(&usual, &with("note", Value::Null)), ["Breaking baseline/type /note"]);
    assert_eq!(compared(&usual, &with("stage", json!("paused"))), ["Additive baseline/value /stage"]);
    assert_eq!(compared(&usual, &with("note", json!("c d"))), [] as [&str; 0]);
}

#[test]
fn a_baseline_of_too_few_samples_says_so_and_is_no_pass() {
    let (two, three) = (
        recording(&[("/deals/1", deal(1)), ("/deals/2", deal(2))]),
        recording(&vec![("/deals/1", deal(1)); 3]),
    );
    let now = recording(&[("/deals/1", deal(1)), ("/deals?limit=1", json!({ "results": [] }))]);
    let judged = |before: &[Exchange], now: &[Exchange]| {
        against(&Baseline::learn(Some(&contract()), &[source(before)]), Some(&contract()), &[source(now)], "")
    };
    let report = judged(&two, &now);
    assert_eq!((report.verdict(), report.compared), (Verdict::Unknown, 0));
    let said: Vec<String> =
        report.deviations.iter().map(|d| format!("{} {}: {}", d.rule, d.operation, d.got)).collect();
    assert_eq!(
        said,
        [
            "baseline/too_few GET /deals: it has 0: record 3 more, and have all of them learned with --learn",
            "baseline/too_few GET /deals/{id}: it has 2: record 1 more, and have all of them learned with --learn",
        ]
    );
    let report = judged(&three, &now[..1]);
    assert_eq!((report.verdict(), report.compared), (Verdict::Pass, 1));
    assert_eq!(judged(&three, &[]).verdict(), Verdict::Unknown, "nothing was compared");
}

/// A page of this many items of as many as were asked for.
fn page(query: &'static str, items: usize, more: bool) -> (&'static str, Value) {
    let items: Vec<Value> = (0..items).map(|n| json!({ "id": n.to_string(), "amount": "1" })).collect();
    (query, json!({ "results": items, "has_more": more }))
}

#[test]
fn one_page_that_could_have_been_fuller_is_a_finding_if_the_baseline_has_only_full_ones() {
    let (ten, three) = ("/deals?limit=10", "/deals?limit=3");
    let usual = [page(ten, 10, true), page(ten, 10, true), page(three, 3, true), page(ten, 7, false)];
    let capped = ["Breaking baseline/capped /results"];
    let nothing: [&str; 0] = [];
    assert_eq!(compared(&usual, &[page(ten, 3, true)]), capped);
    assert_eq!(compared(&usual, &[page(three, 3, true)]), nothing, "no more were asked for");
    assert_eq!(compared(&usual, &[page(ten, 3, false)]), nothing, "there are no more");
    let ragged = [&usual[..], &[page(ten, 9, true)]].concat();
    assert_eq!(compared(&ragged, &[page(ten, 3, true)]), nothing, "the vendor never filled its pages");

    let usual = [
        page("/deals", 20, true),
        page("/deals", 20, true),
        page("/deals", 20, true),
        page("/deals", 2, false),
    ];
    assert_eq!(compared(&usual, &[page("/deals", 3, true)]), capped);
    assert_eq!(compared(&usual, &[page("/deals", 3, false), page("/deals", 25, true)]), nothing);
}

#[test]
fn a_baselines_finding_counts_what_it_is_about_and_shows_where_it_is() {
    let (ten, contract) = ("/deals?limit=10", contract());
    let usual = recording(&[page(ten, 10, true), page(ten, 10, true), page(ten, 10, true)]);
    let mut lacking = page(ten, 10, false);
    for item in lacking.1["results"].as_array_mut().unwrap().iter_mut().take(4) {
        item.as_object_mut().unwrap().shift_remove("amount");
    }
    let (before, after) =
        (recording(&[page(ten, 10, true)]), recording(&[page(ten, 10, true), lacking, page(ten, 3, true)]));
    let later = Source {
        from: "fixtures/crm/later.json",
        recorded: Some(jiff::civil::date(2024, 5, 1)),
        again: "only this file",
        ..source(&after)
    };
    let learned = Baseline::learn(Some(&contract), &[source(&usual)]);
    let report = against(
        &learned,
        Some(&contract),
        &[source(&before), later],
        "firedrill verify --baseline usual.json",
    );
    let told = |d: &Deviation| {
        let seen = format!(
            "{} in {} of {}, first in {} {}",
            d.count, d.exchanges, d.wild, d.first.from, d.first.exchange
        );
        (d.rule.clone(), seen)
    };
    let told: Vec<(String, String)> = report.deviations.iter().map(told).collect();
    assert_eq!(
        told,
        [
            (
                "baseline/capped".to_owned(),
                "1 in 1 of /results, first in fixtures/crm/later.json 3".to_owned()
            ),
            (
                "baseline/absent".to_owned(),
                "4 in 1 of /results/*/amount, first in fixtures/crm/later.json 2".to_owned()
            ),
        ]
    );
    let capped = &report.deviations[0];
    assert_eq!(capped.expected, "as many items as were asked for, as on all 3 full pages of the baseline");
    assert_eq!(capped.got, "3 of 10, on a page that says that there are more");
    assert_eq!(capped.reproduce, "firedrill verify --baseline usual.json");
    assert_eq!(capped.recorded, Some(("2024-05-01".to_owned(), "2024-05-01".to_owned())));
}

#[test]
fn an_emptied_list_and_a_capped_page_are_seen_by_the_baseline() {
    let page = |n: usize| {
        (
            "/deals",
            json!({ "results": (0..n).map(|n| json!({ "id": n.to_string(), "amount": "1" })).collect::<Vec<_>>() }),
        )
    };
    let usual = [page(20), page(20), page(7)];
    assert_eq!(compared(&usual, &[page(0)]), ["Breaking baseline/emptied /results"]);
    assert_eq!(compared(&usual, &[page(10), page(10), page(7)]), ["Unknown baseline/capped /results"]);
    assert_eq!(compared(&usual, &[page(20), page(3)]), [] as [&str; 0]);
}

#[test]
fn a_baseline_holds_words_and_no_secrets() {
    let secret = |n: usize| {
        (
            "/deals/1",
            json!({ "id": n.to_string(), "token": "abc", "key": "sk_live_0123456789abcdef", "stage": "won" }),
        )
    };
    let exchanges = recording(&[secret(1), secret(1), secret(1), secret(1)]);
    let text = serde_json::to_string(&Baseline::learn(None, &[source(&exchanges)])).unwrap();
    assert!(text.contains("won") && !text.contains("abc") && !text.contains("sk_live"), "{text}");
}
