//! Plain exchanges, time, determinism.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use firedrill::finding::Verdict;
use firedrill::seed::Seed;
use firedrill::trace::{Outcome, What};
use serde_json::{Value, json};

use crate::toy::*;

#[test]
fn an_exchange_is_traced_without_a_trace_of_the_machine() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = seen.clone();
    let drilled = drill("ends_at: 1m", move |start| {
        let told = told.clone();
        async move {
            let answer = client().get(format!("{}/ping", base(&start))).send().await.unwrap();
            told.borrow_mut().push(answer.headers()["date"].to_str().unwrap().to_owned());
            let body: Value = answer.json().await.unwrap();
            // The link leads back to where the vendor truly is.
            let next = body["next"].as_str().unwrap().to_owned();
            assert_eq!(next, format!("{}/ping?page=2", base(&start)));
            client().get(next).send().await.unwrap();
        }
    });
    assert_eq!(*seen.borrow(), ["Mon, 02 Mar 2026 09:00:00 GMT"]);
    assert_eq!(drilled.verdict, Verdict::Pass);
    let text = jsonl(&drilled.trace);
    assert!(!text.contains("127.0.0.1"), "{text}");
    let calls = pick(&drilled.trace, |_, w| match w {
        What::Request { request, connection, .. } => {
            Some((request.target.as_str(), request.headers.get("host").unwrap(), *connection))
        }
        _ => None,
    });
    assert_eq!(calls, [("/ping", "api.toy.test", 0), ("/ping?page=2", "api.toy.test", 1)]);
    let bodies = pick(&drilled.trace, |_, w| match w {
        What::Answer { response: Some(r), .. } => Some(String::from_utf8_lossy(&r.body).into_owned()),
        _ => None,
    });
    assert!(bodies[0].contains("https://api.toy.test/ping?page=2"), "{bodies:?}");
}

#[test]
fn an_hour_of_backoff_is_exact_to_the_millisecond() {
    let drilled = drill("ends_at: 2h", |start| async move {
        let client = client();
        for n in 0..12 {
            client.get(format!("{}/ping", base(&start))).send().await.unwrap().bytes().await.unwrap();
            pause(1_001 << n).await;
        }
    });
    let mut expected = vec![0];
    for n in 0..11 {
        expected.push(expected[n] + (1_001 << n));
    }
    assert_eq!(requests(&drilled.trace), expected);
    assert!(expected[11] > 2_000_000);
}

const STORMY: &str = "
given: { toy.items: { count: 6 } }
workload:
  - { at: 1s, every: 300ms, do: toy.items.touch }
faults:
  - { on: toy POST /items, share: 20%, do: { reset: after_applied } }
  - { on: toy POST /items, share: 20%, do: { hang: before_applied } }
  - { on: toy, share: 30%, do: { error: { kind: unavailable } } }
  - { on: toy, share: 20%, do: { truncate: { after: 3 } } }
  - { on: toy, window: 3s..5s, do: refuse }
ends_at: 5m
";

/// Twenty operations by four workers, each with retries under jitter.
fn stormy(seed: u64) -> String {
    let subject = worker(|start| async move {
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(4)).build().unwrap();
        let mut workers = tokio::task::JoinSet::new();
        for w in 0..4u64 {
            let (client, url) = (client.clone(), format!("{}/items", base(&start)));
            let mut chance = start.seed.stream(&format!("worker/{w}"));
            workers.spawn(async move {
                use rand::Rng as _;
                for op in 0..5 {
                    for _ in 0..4 {
                        let sent = client.post(&url).json(&json!({ "op": w * 10 + op })).send().await;
                        let ok = match sent {
                            Ok(answer) => answer.status().is_success() && answer.bytes().await.is_ok(),
                            Err(_) => false,
                        };
                        if ok {
                            break;
                        }
                        pause(chance.next_u64() % 900).await;
                    }
                }
            });
        }
        while workers.join_next().await.is_some() {}
    });
    let drilled = run(&plan(STORMY), Seed(seed), &subject).unwrap_or_else(|e| panic!("{e}"));
    jsonl(&drilled.trace)
}

#[test]
fn the_same_seed_leaves_the_same_bytes_200_times_on_a_busy_machine() {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        let burn = threads.spawn(|| {
            let mut x = 1u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            }
            x
        });
        let first = stormy(3);
        assert!(first.contains("\"outcome\":\"reset\"") && first.contains("\"outcome\":\"truncated\""));
        let other = stormy(4);
        for n in 0..200 {
            let again = stormy(3);
            if again != first {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                let at = first.lines().zip(again.lines()).position(|(a, b)| a != b);
                panic!("run {n} differs from line {at:?} on");
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = burn.join();
        assert_ne!(first, other);
    });
}

#[test]
fn drills_on_two_threads_do_not_disturb_each_other() {
    let alone = (stormy(11), stormy(12));
    for _ in 0..20 {
        std::thread::scope(|threads| {
            let a = threads.spawn(|| stormy(11));
            let b = threads.spawn(|| stormy(12));
            assert!(a.join().unwrap() == alone.0, "seed 11 differs in company");
            assert!(b.join().unwrap() == alone.1, "seed 12 differs in company");
        });
    }
}

#[test]
fn a_rule_that_never_fires_makes_the_drill_unknown() {
    let drilled =
        drill("faults: [ { on: toy POST /nowhere, do: garbage } ]\nends_at: 1m", |start| async move {
            drop(client().get(base(&start)).send().await)
        });
    assert_eq!(drilled.verdict, Verdict::Unknown);
    let finding = &drilled.judgements[0].findings[0];
    assert_eq!(
        finding.message,
        "fault rule 1 (`on: toy POST /nowhere`) never fired: no call to `toy POST /nowhere` came in the whole drill"
    );
}

#[test]
fn every_request_has_exactly_one_answer() {
    let drilled = drill(
        "faults: [ { on: toy, calls: 2.., do: { hang: after_applied } } ]\nends_at: 1m\nheal_at: 1m",
        |start| async move {
            let url = format!("{}/ping", base(&start));
            let quick =
                reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(3)).build().unwrap();
            quick.get(&url).send().await.unwrap();
            assert!(quick.get(&url).send().await.unwrap_err().is_timeout());
            let _ = client().get(&url).send().await;
        },
    );
    assert_eq!(
        answers(&drilled.trace),
        [(0, Outcome::Answered, true), (3_000, Outcome::Abandoned, true), (60_000, Outcome::Open, true)]
    );
}

#[test]
fn a_head_is_answered_as_the_get_without_its_body() {
    for two in [false, true] {
        let drilled = drill("ends_at: 1m", move |start| async move {
            let client = reqwest::Client::builder().no_proxy();
            let client = if two { client.http2_prior_knowledge() } else { client }.build().unwrap();
            let url = format!("{}/ping", base(&start));
            let get = client.get(&url).send().await.unwrap();
            let head = client.head(&url).send().await.unwrap();
            assert_eq!((get.version(), get.status()), (head.version(), head.status()));
            assert_eq!(get.headers(), head.headers());
            let body = get.bytes().await.unwrap();
            assert_eq!(head.headers()["content-length"], body.len().to_string());
            assert_eq!(head.bytes().await.unwrap().len(), 0);
            // The connection is as good as before.
            assert_eq!(client.get(&url).send().await.unwrap().bytes().await.unwrap(), body);
        });
        assert_eq!(drilled.verdict, Verdict::Pass);
        let shown = pick(&drilled.trace, |_, w| match w {
            What::Answer { response: Some(r), outcome, .. } => Some((r.body.is_empty(), *outcome)),
            _ => None,
        });
        let (whole, empty) = ((false, Outcome::Answered), (true, Outcome::Answered));
        assert_eq!(shown, [whole, empty, whole], "HTTP/2: {two}");
    }
}

#[test]
fn a_head_that_has_no_body_to_measure_says_the_length_it_was_given_or_none() {
    let faults = ["slow_body: { bytes: 1, every: 1s }", "latency: 1s", "interim: [103]"];
    let faults = faults.map(|act| format!("faults: [{{ on: toy HEAD /large, do: {{ {act} }} }}]\n"));
    for (two, lines) in [false, true]
        .into_iter()
        .flat_map(|two| std::iter::once(String::new()).chain(faults.clone()).map(move |lines| (two, lines)))
    {
        let drilled = drill(&format!("{lines}ends_at: 1m"), move |start| async move {
            let client = reqwest::Client::builder().no_proxy();
            let client = if two { client.http2_prior_knowledge() } else { client }.build().unwrap();
            for _ in 0..2 {
                let head = client.head(format!("{}/large", base(&start))).send().await.unwrap();
                let lengths: Vec<_> =
                    head.headers().get_all("content-length").iter().map(|l| l.as_bytes()).collect();
                assert_eq!(
                    (lengths, head.headers()["content-encoding"].as_bytes()),
                    (vec![&b"5120"[..]], &b"gzip"[..])
                );
                assert_eq!(head.bytes().await.unwrap().len(), 0);
                let unsaid = client.head(format!("{}/unsaid", base(&start))).send().await.unwrap();
                assert_eq!((unsaid.status().as_u16(), unsaid.headers().get("content-length")), (200, None));
                let ping = client.get(format!("{}/ping", base(&start))).send().await.unwrap();
                assert!(ping.json::<serde_json::Value>().await.unwrap()["ok"].as_bool().unwrap());
            }
        });
        assert_eq!(drilled.verdict, Verdict::Pass, "HTTP/2: {two}, {lines}");
    }
}
