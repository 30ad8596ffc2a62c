//! Webhooks: gathering, retries, and what faults make of them.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use firedrill::drill::{Drilled, Plan, run};
use firedrill::finding::Verdict;
use firedrill::seed::Seed;
use firedrill::subject::{Endpoints, Start};
use firedrill::time::Span;
use firedrill::trace::{Outcome, What};

use crate::toy::*;

type Log = Arc<Mutex<Vec<String>>>;
type Answer = fn(usize, &str) -> StatusCode;

async fn hook(State((log, answer)): State<(Log, Answer)>, headers: HeaderMap, body: String) -> StatusCode {
    assert_eq!(headers["host"], "hooks.subject.test");
    let ids: Vec<String> = serde_json::from_str::<Vec<serde_json::Value>>(&body)
        .unwrap()
        .iter()
        .map(|e| e["id"].as_str().unwrap_or("?").trim_start_matches("evt_").to_owned())
        .collect();
    let signature = headers["x-signature"].to_str().unwrap();
    let mut log = log.lock().unwrap();
    let n = log.len();
    log.push(format!("{} {signature}", ids.join("+")));
    answer(n, signature)
}

/// Runs a subject that answers deliveries as `answer` says; gives the drill and what it received.
fn receive(plan: &Plan, answer: Answer) -> (Drilled, Vec<String>) {
    let log = Log::default();
    let kept = log.clone();
    let subject =
        Closure(move |start: Start| -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
            let log = log.clone();
            Box::pin(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}/in/toy", listener.local_addr().unwrap());
                let router = axum::Router::new().route("/in/toy", post(hook)).with_state((log, answer));
                let webhooks = [("toy".to_owned(), url)].into();
                start.ready.set(Endpoints { webhooks, ..Endpoints::default() });
                let mut stop = start.stop.clone();
                tokio::select! {
                    biased;
                    _ = stop.wait_for(|s| *s) => {}
                    served = axum::serve(listener, router) => served.unwrap(),
                }
                Ok(())
            })
        });
    let drilled = run(plan, Seed(5), &subject).unwrap_or_else(|e| panic!("{e}"));
    let received = kept.lock().unwrap().clone();
    (drilled, received)
}

const TOUCH: &str = "given: { toy.items: { count: 4 } }
workload: [ { at: 1s, every: 1s, do: toy.items.touch } ]
heal_at: 1h
ends_at: 2h
";

fn ok(_: usize, _: &str) -> StatusCode {
    StatusCode::NO_CONTENT
}

fn with(faults: &str) -> Plan {
    plan(&format!("{TOUCH}faults: [ {faults} ]"))
}

fn deliveries(drilled: &Drilled) -> Vec<(u64, u32, String)> {
    pick(&drilled.trace, |at, w| match w {
        What::Delivery { attempt, events, .. } => Some((ms(at), *attempt, events.join("+"))),
        _ => None,
    })
}

#[test]
fn events_are_delivered_and_a_failed_delivery_is_retried() {
    let (drilled, received) = receive(&with(""), |n, _| match n {
        0 | 2 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    });
    assert_eq!(received, ["1 good", "2 good", "3 good", "4 good", "1 good", "3 good"]);
    let of_first: Vec<_> = deliveries(&drilled).into_iter().filter(|d| d.2 == "evt_1").collect();
    assert_eq!(of_first, [(1_000, 1, "evt_1".into()), (11_000, 2, "evt_1".into())]);
    let ends = pick(&drilled.trace, |at, w| match w {
        What::Delivered { outcome, response: Some(r), retry_at, .. } => {
            Some((ms(at), *outcome, r.status, retry_at.map(ms)))
        }
        _ => None,
    });
    assert_eq!(ends[0], (1_000, Outcome::Answered, 503, Some(11_000)));
    assert_eq!(ends[1], (2_000, Outcome::Answered, 200, None));
    assert!(!jsonl(&drilled.trace).contains("127.0.0.1"));
    assert!(jsonl(&drilled.trace).contains("hooks.subject.test"));
}

#[test]
fn a_vendor_gives_up_in_the_end() {
    let (drilled, received) = receive(&with(""), |_, _| StatusCode::BAD_REQUEST);
    assert_eq!(received.len(), 16);
    let given_up = pick(&drilled.trace, |_, w| match w {
        What::GivenUp { event_id, .. } => Some(event_id.to_string()),
        _ => None,
    });
    assert_eq!(given_up, ["evt_1", "evt_2", "evt_3", "evt_4"]);
}

#[test]
fn events_of_one_moment_come_in_one_batch() {
    let lines = "given: { toy.items: { count: 5 } }\nworkload: [ { at: 1s, each: 5, do: toy.items.touch } ]";
    let (drilled, received) = receive(&plan_of(lines, || Toy::new(3, Span::secs(2))), ok);
    assert_eq!(received, ["1+2+3 good", "4+5 good"]);
    let at: Vec<u64> = deliveries(&drilled).iter().map(|d| d.0).collect();
    assert_eq!(at, [1_000, 3_000]);
}

#[test]
fn faults_drop_delay_copy_and_hold_events() {
    let (drilled, received) = receive(
        &with(
            "{ on: webhook toy, calls: 1, do: drop }, { on: webhook toy, calls: 2, do: { delay: 10s } }, \
             { on: webhook toy, calls: 3, do: { duplicate: { times: 3, within: 30s } } }, \
             { on: webhook toy item.updated, calls: 4, window: ..20s, do: burst }",
        ),
        ok,
    );
    assert_eq!(received.iter().filter(|r| r.starts_with('1')).count(), 0);
    assert_eq!(received.iter().filter(|r| r.starts_with('3')).count(), 3);
    let at = |id: &str| -> Vec<u64> {
        deliveries(&drilled).into_iter().filter(|d| d.2 == id).map(|d| d.0).collect()
    };
    assert_eq!(at("evt_2"), [12_000]);
    assert_eq!(at("evt_4"), [20_000]);
    assert!(at("evt_3")[0] == 3_000 && at("evt_3")[2] <= 33_000);
    assert_eq!(fired(&drilled.trace), [0, 1, 2, 3]);
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn forged_deliveries_are_marked_and_sent_again_rightly() {
    let (drilled, received) =
        receive(&with("{ on: webhook toy, calls: 1, do: { signature: wrong_secret } }"), |_, s| match s {
            "bad" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::OK,
        });
    assert_eq!(received[0], "1 bad");
    assert_eq!(received[4], "1 good");
    let marked = pick(&drilled.trace, |_, w| match w {
        What::Delivery { must_be_refused, .. } => Some(*must_be_refused),
        _ => None,
    });
    assert_eq!(marked, [true, false, false, false, false]);
}

#[test]
fn a_signature_that_says_no_time_cannot_be_late() {
    let (drilled, received) =
        receive(&with("{ on: webhook toy, calls: 1, do: { signature: late_timestamp } }"), ok);
    assert_eq!(received[0], "1 good");
    assert!(fired(&drilled.trace).is_empty());
    assert_eq!(drilled.verdict, Verdict::Unknown);
}

#[test]
fn poison_joins_and_unknown_types_replace() {
    let (_, received) = receive(
        &with("{ on: webhook toy, calls: 1, do: poison }, { on: webhook toy, calls: 2, do: unknown_type }"),
        ok,
    );
    assert_eq!(received, ["? good", "1 good", "2 good", "3 good", "4 good"]);
}

#[test]
fn a_delivery_that_finds_nobody_is_a_failed_attempt() {
    let (drilled, received) = receive(
        &with(
            "{ on: subject, window: 500ms..1s, do: { kill: { restart_after: 2s } } }, \
             { on: webhook toy, calls: 3, do: unreachable }",
        ),
        ok,
    );
    let ends = pick(&drilled.trace, |at, w| match w {
        What::Delivered { outcome, retry_at, .. } => Some((ms(at), *outcome, retry_at.map(ms))),
        _ => None,
    });
    assert_eq!(ends[0], (1_000, Outcome::Refused, Some(11_000)));
    assert_eq!(ends[1], (2_000, Outcome::Refused, Some(12_000)));
    assert_eq!(ends[2].1, Outcome::Answered);
    assert_eq!(ends[3], (8_000, Outcome::ConnectTimeout, Some(18_000)));
    assert_eq!(received.len(), 4);
}

#[test]
fn a_kill_on_a_webhook_comes_right_after_its_acknowledgement() {
    let (drilled, received) =
        receive(&with("{ on: webhook toy, calls: 2, do: { kill: { restart_after: 5s } } }"), ok);
    let order: Vec<String> = pick(&drilled.trace, |at, w| match w {
        What::Delivered { outcome, .. } => Some(format!("{outcome:?}@{}", ms(at))),
        What::Subject(e) => Some(format!("{}@{}", serde_json::to_value(e).unwrap()["is"], ms(at))),
        _ => None,
    });
    assert_eq!(
        order[2..7],
        ["Answered@1000", "Answered@2000", "\"killed\"@2000", "Refused@3000", "Refused@4000"]
    );
    assert_eq!(received.len(), 4);
}

#[test]
fn a_drill_with_webhooks_kills_and_black_holes_leaves_the_same_bytes_every_time() {
    let faults = "{ on: webhook toy, share: 30%, do: { duplicate: { times: 2, within: 10s } } }, \
         { on: webhook toy, share: 30%, do: { reorder: { within: 5s } } }, \
         { on: webhook toy, share: 20%, do: { kill: { restart_after: 1500ms } } }, \
         { on: subject, window: 2500ms..3s, do: { stop: { restart_after: 2s } } }, \
         { on: toy, window: 3s..9s, do: black_hole }";
    let plan = || with(faults);
    let answer: Answer = |n, _| if n % 3 == 0 { StatusCode::BAD_GATEWAY } else { StatusCode::OK };
    let first = jsonl(&receive(&plan(), answer).0.trace);
    for n in 0..100 {
        assert!(jsonl(&receive(&plan(), answer).0.trace) == first, "run {n} differs");
    }
}

#[test]
fn a_subject_without_an_address_for_webhooks_is_told_so_whatever_the_fault() {
    for fault in ["drop", "unreachable", "{ duplicate: { times: 2, within: 1s } }"] {
        let plan = with(&format!("{{ on: webhook toy, do: {fault} }}"));
        let drilled = run(&plan, Seed(5), &worker(|_| async {})).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(drilled.verdict, Verdict::Unknown, "{fault}");
        let of_faults = drilled.judgements.iter().find(|j| &*j.check == "faults").unwrap();
        let [finding] = &of_faults.findings[..] else { panic!("{fault}: {of_faults:?}") };
        assert!(finding.message.contains("the subject gave no address"), "{}", finding.message);
        assert!(finding.hint.as_ref().unwrap().contains("`Endpoints::webhooks`"));
    }
}
