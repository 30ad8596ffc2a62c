//! Faults over HTTP/2: each as a client that keeps to frames sees it, and as plain `reqwest` does.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use firedrill::drill::Drilled;
use firedrill::finding::Verdict;
use firedrill::seed::Seed;
use firedrill::subject::Start;
use firedrill::trace::{Outcome, What};
use firedrill::wire::Protocol;
use serde_json::json;

use crate::connection::met_by;
use crate::raw::{Raw, Seen};
use crate::toy::*;

fn knowing() -> reqwest::ClientBuilder {
    reqwest::Client::builder().http2_prior_knowledge()
}

/// Runs `work` over HTTP/2 under one fault on the first call; gives what it made of it.
fn under<T: 'static, Fut>(act: &str, work: impl Fn(Start) -> Fut + 'static) -> (Drilled, T)
where
    Fut: Future<Output = T> + 'static,
{
    let made = Rc::new(RefCell::new(None));
    let (told, work) = (made.clone(), Rc::new(work));
    let lines = format!("faults: [ {{ on: toy, calls: 1, do: {act} }} ]\nheal_at: 50s\nends_at: 60s");
    let drilled = drill(&lines, move |start| {
        let (told, work) = (told.clone(), work.clone());
        async move {
            let outcome = work(start).await;
            *told.borrow_mut() = Some(outcome);
        }
    });
    let made = made.take().expect("the subject came to its end");
    (drilled, made)
}

/// Two calls on one connection, of which the fault hits the first; and the connection's end.
fn pair(act: &str) -> (Drilled, [Seen; 2], Option<String>) {
    let (drilled, (seen, ended)) = under(act, |start| async move {
        let mut raw = Raw::connect(&base(&start)).await;
        let hit = raw.post(r#"{"a":1}"#).await;
        let other = raw.post(r#"{"a":2}"#).await;
        let seen = [hit.await, other.await];
        pause(10).await;
        let ended = raw.ended.borrow().clone();
        (seen, ended)
    });
    let protocols = pick(&drilled.trace, |_, w| match w {
        What::Request { protocol, .. } => Some(*protocol),
        _ => None,
    });
    assert!(protocols.iter().all(|p| *p == Protocol::Http2), "{protocols:?}");
    (drilled, seen, ended)
}

fn seen(statuses: &[u16], length: usize, bytes: usize, end: &str) -> Seen {
    Seen { statuses: statuses.to_vec(), length: (length > 0).then_some(length), bytes, end: end.to_owned() }
}

/// What a call gets that nothing hit: `{"a":1,"id":"1"}`.
fn well() -> Seen {
    seen(&[201], 16, 16, "end")
}

fn outcomes(drilled: &Drilled) -> Vec<(Outcome, bool)> {
    answers(&drilled.trace).into_iter().map(|(_, outcome, applied)| (outcome, applied)).collect()
}

/// What one call under the fault looks like; the other on the connection is well.
fn alone(act: &str) -> (Seen, (Outcome, bool)) {
    let (drilled, [hit, other], ended) = pair(act);
    assert_eq!(other, well(), "{act}");
    assert_eq!(ended, None, "{act}");
    assert_eq!((fired(&drilled.trace), drilled.verdict), (vec![0], Verdict::Pass), "{act}");
    let mut all = pick(&drilled.trace, |_, w| match w {
        What::Answer { call, outcome, applied, .. } => Some((call.0, (*outcome, *applied))),
        _ => None,
    });
    all.sort_by_key(|(call, _)| *call);
    // The fault is on the first call, whichever ends first.
    let [(0, hit_ended), (1, (Outcome::Answered, true))] = all[..] else { panic!("{act}: {all:?}") };
    (hit, hit_ended)
}

#[test]
fn a_reset_of_one_call_leaves_the_other_alone() {
    for (moment, applied, statuses, length, bytes) in [
        ("before_applied", false, &[][..], 0, 0),
        ("while_applying", true, &[], 0, 0),
        ("after_applied", true, &[], 0, 0),
        ("during_response", true, &[201], 16, 8),
    ] {
        let (hit, ended) = alone(&format!("{{ reset: {moment} }}"));
        assert_eq!(hit, seen(statuses, length, bytes, "reset INTERNAL_ERROR"), "{moment}");
        assert_eq!(ended, (Outcome::Reset, applied), "{moment}");
    }
}

#[test]
fn a_close_takes_every_call_on_the_connection_with_it() {
    let (drilled, [hit, other], ended) = pair("{ close: after_applied }");
    assert_eq!((hit.statuses.len(), other.statuses.len()), (0, 0), "{hit:?} {other:?}");
    assert_eq!(ended.as_deref(), Some("closed"), "FIN, and no word before it");
    // The other had come with it, and was not read any more.
    assert_eq!(outcomes(&drilled), [(Outcome::Closed, true)]);
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn calls_that_are_open_when_the_connection_falls_get_its_end() {
    let lines = "faults:\n  - { on: toy, calls: 1, do: { latency: 5s } }\n  - { on: toy GET /ping, do: garbage }\n\
                 heal_at: 50s\nends_at: 60s";
    let drilled = drill(lines, |start| async move {
        let mut raw = Raw::connect(&base(&start)).await;
        let slow = raw.post("{}").await;
        pause(1_000).await;
        let _ = raw.get().await.await;
        let slow = slow.await;
        assert!(slow.end.starts_with("go away"), "{slow:?}");
    });
    let ends = pick(&drilled.trace, |at, w| match w {
        What::Answer { call, outcome, fault, .. } => {
            Some((ms(at), call.0, *outcome, fault.as_ref().map(|f| f.act.to_string())))
        }
        _ => None,
    });
    let by = |act: &str| Some(act.to_owned());
    assert_eq!(
        ends,
        [(1_000, 1, Outcome::Garbage, by("garbage")), (1_000, 0, Outcome::Closed, by("latency"))]
    );
}

#[test]
fn a_hang_lasts_until_the_client_takes_the_stream_back() {
    for (moment, applied, status) in [("before_applied", false, ""), ("during_response", true, "201 ")] {
        let faults = format!("{{ on: toy, calls: 1, do: {{ hang: {moment} }} }}");
        let (drilled, seen) = met_by(knowing, &faults, 2);
        assert!(seen[0].1.starts_with(&format!("{status}timeout")) && seen[0].0 == 10_000, "{seen:?}");
        assert_eq!(seen[1], (11_000, "201".to_owned()));
        assert_eq!(answers(&drilled.trace)[0], (10_000, Outcome::Abandoned, applied), "{moment}");
        let connections = pick(&drilled.trace, |_, w| match w {
            What::Request { connection, .. } => Some(*connection),
            _ => None,
        });
        assert_eq!(connections, [0, 0], "the connection lives on");
    }
}

#[test]
fn bodies_end_stall_and_lie_on_their_own_stream() {
    for (act, hit, ended) in [
        ("{ truncate: { after: 4 } }", seen(&[201], 16, 4, "reset PROTOCOL_ERROR"), Outcome::Truncated),
        ("{ stall: { after: 4 } }", seen(&[201], 16, 4, "open"), Outcome::Abandoned),
        ("{ content_length: longer }", seen(&[201], 32, 16, "open"), Outcome::Abandoned),
        ("{ content_length: shorter }", seen(&[201], 8, 8, "reset PROTOCOL_ERROR"), Outcome::Truncated),
        ("{ slow_body: { bytes: 5, every: 1s } }", well(), Outcome::Answered),
        ("{ latency: 6s }", well(), Outcome::Answered),
        ("{ reply: { status: 204, applied: true } }", seen(&[204], 0, 0, "end"), Outcome::Answered),
    ] {
        let (seen, end) = alone(act);
        assert_eq!((seen, end), (hit, (ended, true)), "{act}");
    }
}

#[test]
fn interim_responses_come_before_the_true_one() {
    let (hit, ended) = alone("{ interim: [100, 103, 102] }");
    assert_eq!(hit, seen(&[100, 103, 102, 201], 16, 16, "end"));
    assert_eq!(ended, (Outcome::Answered, true));
}

#[test]
fn a_request_is_reset_before_its_body_is_read() {
    let (drilled, [hit, other], ended) = pair("reset_request");
    assert_eq!(hit, seen(&[], 0, 0, "reset INTERNAL_ERROR"));
    assert_eq!((other, ended), (well(), None));
    assert_eq!(outcomes(&drilled), [(Outcome::Answered, true)], "the vendor never knew of the first");
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn garbage_is_no_frame() {
    let (drilled, [hit, _], ended) = pair("garbage");
    assert!(hit.end.contains("FRAME_SIZE_ERROR"), "{hit:?}");
    assert!(ended.as_ref().is_some_and(|e| e != "closed"), "{ended:?}");
    assert_eq!(outcomes(&drilled)[0], (Outcome::Garbage, true));
}

#[test]
fn an_idle_connection_is_closed_as_the_client_sends_again() {
    let (drilled, seen) = met_by(knowing, "{ on: toy, calls: 1, do: stale_keep_alive }", 3);
    assert_eq!((seen[0].1.as_str(), seen[2].1.as_str()), ("201", "201"), "{seen:?}");
    assert!(seen[1].1.starts_with("request"), "{seen:?}");
    assert_eq!(answers(&drilled.trace)[1], (1_000, Outcome::Closed, false));
    // A connection with another call under way is in use, not stale.
    let (drilled, [first, second], _) = pair("stale_keep_alive");
    assert_eq!([first, second], [well(), well()]);
    assert_eq!(drilled.verdict, Verdict::Unknown, "it never fired");
}

#[test]
fn after_goaway_the_call_is_answered_and_the_next_needs_a_new_connection() {
    let (drilled, seen) = met_by(knowing, "{ on: toy, calls: 1, do: { goaway: answered } }", 2);
    assert_eq!(seen, [(0, "201".to_owned()), (1_000, "201".to_owned())]);
    let connections = pick(&drilled.trace, |_, w| match w {
        What::Request { connection, .. } => Some(*connection),
        _ => None,
    });
    assert_eq!(connections, [0, 1]);
    let (_, [hit, _], ended) = pair("{ goaway: answered }");
    assert_eq!((hit, ended.as_deref()), (well(), Some("closed")));
}

#[test]
fn a_call_that_goaway_leaves_out_was_not_processed() {
    let (drilled, [hit, other], _) = pair("{ goaway: unprocessed }");
    assert_eq!(hit, seen(&[], 0, 0, "go away NO_ERROR"));
    assert_eq!(other.end, "go away NO_ERROR");
    assert_eq!(outcomes(&drilled), [(Outcome::Unprocessed, false)], "the other came after GOAWAY, too");
    assert_eq!(drilled.verdict, Verdict::Pass);
    // reqwest sends it again by itself.
    let (drilled, seen) = met_by(knowing, "{ on: toy, calls: 1, do: { goaway: unprocessed } }", 1);
    assert_eq!(seen, [(0, "201".to_owned())]);
    assert_eq!(outcomes(&drilled), [(Outcome::Unprocessed, false), (Outcome::Answered, true)]);
}

#[test]
fn a_call_below_one_that_is_processed_is_refused_by_its_stream() {
    let lines = "faults:\n  - { on: toy POST /items, calls: 1, do: { latency: 1s } }\n\
                 \x20 - { on: toy GET /ping, do: { goaway: unprocessed } }\nheal_at: 50s\nends_at: 60s";
    let drilled = drill(lines, |start| async move {
        let mut raw = Raw::connect(&base(&start)).await;
        // The GET opens the lower stream, and its end comes after the POST's.
        let (open, end) = raw.get_in_two().await;
        let post = raw.post("{}").await;
        pause(500).await;
        end();
        assert_eq!(open.await.end, "reset REFUSED_STREAM");
        assert_eq!(post.await.statuses, [201]);
    });
    assert_eq!(outcomes(&drilled), [(Outcome::Unprocessed, false), (Outcome::Answered, true)]);
}

#[test]
fn a_vendor_that_refuses_resets_every_stream() {
    let lines = "faults:\n  - { on: toy, calls: 1..2, do: { hang: after_applied } }\n\
                 \x20 - { on: toy, window: 2s..3s, do: refuse }\nheal_at: 50s\nends_at: 60s";
    let drilled = drill(lines, |start| async move {
        let mut raw = Raw::connect(&base(&start)).await;
        let (one, two) = (raw.post("{}").await, raw.post("{}").await);
        assert_eq!([one.await.end, two.await.end], ["ConnectionReset", "ConnectionReset"]);
    });
    assert_eq!(answers(&drilled.trace), [(2_000, Outcome::Reset, true), (2_000, Outcome::Reset, true)]);
}

#[test]
fn in_a_black_hole_a_response_under_way_is_never_written() {
    let lines = "faults:\n  - { on: toy, calls: 1, do: { latency: 2s } }\n\
                 \x20 - { on: toy, window: 1s..20s, do: black_hole }\nheal_at: 50s\nends_at: 60s";
    let drilled = drill(lines, |start| async move {
        let mut raw = Raw::connect(&base(&start)).await;
        let slow = raw.post("{}").await;
        assert_eq!(slow.await.end, "open");
    });
    assert_eq!(fired(&drilled.trace)[0], 0);
    assert!(fired(&drilled.trace).contains(&1));
}

#[test]
fn what_cannot_be_done_over_a_version_of_http_is_said_and_not_done() {
    for (act, why) in [
        ("{ truncate: { after: 4, chunked: true } }", "no chunks"),
        ("{ interim: [101] }", "no 101"),
        ("{ headers: { Keep-Alive: 'timeout=5' } }", "no field `Keep-Alive`"),
        ("{ reply: { status: 418, headers: { upgrade: x } } }", "no field `upgrade`"),
    ] {
        let (drilled, [hit, other], ended) = pair(act);
        assert_eq!((hit, other, ended), (well(), well(), None), "{act}");
        assert_eq!(fired(&drilled.trace), [] as [u32; 0], "{act}");
        let said = pick(&drilled.trace, |_, w| match w {
            What::Unfit { call, fault, why } => Some((call.0, fault.rule, why.clone())),
            _ => None,
        });
        assert!(said.len() == 1 && said[0].2.contains(why) && (said[0].0, said[0].1) == (0, 0), "{said:?}");
        assert_eq!(drilled.verdict, Verdict::Unknown, "{act}");
    }
    let (drilled, seen) = met_by(reqwest::Client::builder, "{ on: toy, do: { goaway: answered } }", 1);
    assert_eq!((seen[0].1.as_str(), drilled.verdict), ("201", Verdict::Unknown));
}

#[test]
fn a_trace_of_http_1_says_nothing_of_protocols() {
    let http1 = drill("ends_at: 1m", |start| async move {
        client().get(format!("{}/ping", base(&start))).send().await.unwrap();
    });
    assert!(!jsonl(&http1.trace).contains("protocol"));
    let http2 = drill("ends_at: 1m", |start| async move {
        let client = knowing().no_proxy().build().unwrap();
        client.get(format!("{}/ping", base(&start))).send().await.unwrap();
    });
    let text = jsonl(&http2.trace);
    assert!(text.contains(r#""protocol":"HTTP/2""#) && !text.contains("127.0.0.1"), "{text}");
    let hosts = pick(&http2.trace, |_, w| match w {
        What::Request { request, .. } => request.headers.0.first().map(|(n, v)| format!("{n}: {v}")),
        _ => None,
    });
    assert_eq!(hosts, ["host: api.toy.test"]);
}

#[test]
fn bodies_larger_than_every_window_come_whole_both_ways() {
    let drilled = drill("ends_at: 1m", |start| async move {
        let client = knowing().no_proxy().build().unwrap();
        let large = json!({ "text": "x".repeat(300_000) });
        let answer = client.post(format!("{}/items", base(&start))).json(&large).send().await.unwrap();
        assert!(answer.bytes().await.unwrap().len() > 300_000);
    });
    assert_eq!(answers(&drilled.trace), [(0, Outcome::Answered, true)]);
}

const STORMY: &str = "
faults:
  - { on: toy POST /items, share: 15%, do: { reset: after_applied } }
  - { on: toy POST /items, share: 10%, do: { reset: during_response } }
  - { on: toy POST /items, share: 15%, do: { hang: before_applied } }
  - { on: toy POST /items, share: 10%, do: { close: before_applied } }
  - { on: toy, share: 10%, do: { goaway: unprocessed } }
  - { on: toy, share: 10%, do: garbage }
  - { on: toy, share: 15%, do: { latency: 700ms } }
  - { on: toy, share: 20%, do: { truncate: { after: 3 } } }
  - { on: toy, share: 20%, do: { slow_body: { bytes: 7, every: 90ms } } }
  - { on: toy, window: 3s..5s, do: refuse }
ends_at: 5m
";

/// Thirty operations by five workers that share one client, each with retries.
fn stormy(seed: u64) -> (String, usize) {
    let subject = worker(|start| async move {
        let client = knowing().no_proxy().timeout(Duration::from_secs(2)).build().unwrap();
        let mut workers = tokio::task::JoinSet::new();
        for n in 0..5u64 {
            let (client, url) = (client.clone(), format!("{}/items", base(&start)));
            workers.spawn_local(async move {
                for operation in 0..6 {
                    for attempt in 0..6u64 {
                        let request = client.post(&url).header("idempotency-key", format!("{n}-{operation}"));
                        let sent = request.json(&json!({ "n": n, "text": "y".repeat(900) })).send().await;
                        if let Ok(answer) = sent
                            && answer.bytes().await.is_ok()
                        {
                            break;
                        }
                        pause(100 * (attempt + 1) + 7 * n).await;
                    }
                }
            });
        }
        workers.join_all().await;
    });
    let drilled = run(&plan(STORMY), Seed(seed), &subject).unwrap_or_else(|e| panic!("{e}"));
    let mut acts = pick(&drilled.trace, |_, w| match w {
        What::Fault(f) => Some(f.rule),
        _ => None,
    });
    acts.sort_unstable();
    acts.dedup();
    (jsonl(&drilled.trace), acts.len())
}

#[test]
fn the_same_storm_over_http_2_leaves_the_same_bytes() {
    let (first, kinds) = stormy(5);
    assert!(first.lines().count() > 100 && kinds >= 8, "{kinds} kinds of faults fired");
    assert!(first.contains(r#""protocol":"HTTP/2""#));
    let repetitions = std::env::var("FIREDRILL_REPETITIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    for n in 0..repetitions {
        let (again, _) = stormy(5);
        assert!(again == first, "repetition {n} left another trace");
    }
    assert_ne!(stormy(6).0, first);
}
