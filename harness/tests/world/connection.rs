//! Connection and response faults, each seen as the true error of a plain client.

use std::cell::RefCell;
use std::error::Error as _;
use std::rc::Rc;
use std::time::Duration;

use firedrill::drill::Drilled;
use firedrill::finding::Verdict;
use firedrill::subject::AttemptOutcome;
use firedrill::trace::{Outcome, What};
use serde_json::json;

use crate::toy::*;

/// The flags of an error, and the OS error at its root.
pub fn kind(e: &reqwest::Error) -> String {
    let mut said = Vec::new();
    for (is, name) in [
        (e.is_timeout(), "timeout"),
        (e.is_connect(), "connect"),
        (e.is_request(), "request"),
        (e.is_body(), "body"),
        (e.is_decode(), "decode"),
    ] {
        if is {
            said.push(name.to_owned());
        }
    }
    let mut at: Option<&dyn std::error::Error> = e.source();
    let mut root = String::new();
    while let Some(e) = at {
        if let Some(code) = e.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            said.push(format!("os {code}"));
        }
        root = e.to_string();
        at = e.source();
    }
    if !said.iter().any(|s| s.starts_with("os") || s == "timeout") {
        said.push(root);
    }
    said.join(" ")
}

/// What each of `calls` POSTs of one client met, and the millisecond.
fn met(faults: &str, calls: usize) -> (Drilled, Vec<(u64, String)>) {
    met_by(reqwest::Client::builder, faults, calls)
}

/// The same of a client of this kind.
pub fn met_by(
    kind_of_client: fn() -> reqwest::ClientBuilder,
    faults: &str,
    calls: usize,
) -> (Drilled, Vec<(u64, String)>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = seen.clone();
    let lines = format!("faults: [ {faults} ]\nheal_at: 50s\nends_at: 60s");
    let drilled = drill(&lines, move |start| {
        let told = told.clone();
        async move {
            let client = kind_of_client()
                .no_proxy()
                .timeout(Duration::from_secs(10))
                .connect_timeout(Duration::from_secs(3))
                .build()
                .unwrap();
            let begun = tokio::time::Instant::now();
            for _ in 0..calls {
                let sent =
                    client.post(format!("{}/items", base(&start))).json(&json!({ "a": 1 })).send().await;
                let outcome = match sent {
                    Ok(answer) => {
                        let status = answer.status().as_u16();
                        match answer.text().await {
                            Ok(_) => status.to_string(),
                            Err(e) => format!("{status} {}", kind(&e)),
                        }
                    }
                    Err(e) => kind(&e),
                };
                let attempt = match outcome.as_str() {
                    o if o.contains("connect request os 111") => AttemptOutcome::Refused,
                    o if o.starts_with("timeout connect") => AttemptOutcome::ConnectTimeout,
                    o if o.starts_with(|c: char| c.is_ascii_digit()) => AttemptOutcome::Answered,
                    _ => AttemptOutcome::NoAnswer,
                };
                start.attempts.note("toy", attempt);
                told.borrow_mut().push((begun.elapsed().as_millis() as u64, outcome));
                pause(1_000).await;
            }
        }
    });
    let seen = seen.take();
    (drilled, seen)
}

/// The first call meets the fault, the second is well.
fn once(act: &str) -> (Drilled, String) {
    let (drilled, seen) = met(&format!("{{ on: toy, calls: 1, do: {act} }}"), 2);
    assert_eq!(seen[1].1, "201", "{seen:?}");
    assert_eq!(fired(&drilled.trace), [0]);
    assert_eq!(drilled.verdict, Verdict::Pass);
    let first = seen[0].clone();
    (drilled, format!("{} at {}", first.1, first.0))
}

fn first_answer(drilled: &Drilled) -> (Outcome, bool) {
    let (_, outcome, applied) = answers(&drilled.trace)[0];
    (outcome, applied)
}

#[test]
fn a_reset_is_a_reset_at_each_of_its_moments() {
    for (moment, applied, error) in [
        ("before_applied", false, "request os 104 at 0"),
        ("while_applying", true, "request os 104 at 0"),
        ("after_applied", true, "request os 104 at 0"),
        ("during_response", true, "201 decode os 104 at 0"),
    ] {
        let (drilled, seen) = once(&format!("{{ reset: {moment} }}"));
        assert!(seen.ends_with(error), "{moment}: {seen}");
        assert_eq!(first_answer(&drilled), (Outcome::Reset, applied), "{moment}");
    }
}

#[test]
fn a_close_is_an_empty_reply() {
    let (drilled, seen) = once("{ close: after_applied }");
    assert_eq!(seen, "request connection closed before message completed at 0");
    assert_eq!(first_answer(&drilled), (Outcome::Closed, true));
}

#[test]
fn a_hang_lasts_until_the_client_gives_up() {
    for (moment, applied, error) in [
        ("before_applied", false, "timeout request at 10000"),
        ("after_applied", true, "timeout request at 10000"),
        ("during_response", true, "201 timeout decode at 10000"),
    ] {
        let (drilled, seen) = once(&format!("{{ hang: {moment} }}"));
        assert!(seen.starts_with(error.split(" at").next().unwrap()), "{moment}: {seen}");
        assert!(seen.ends_with("at 10000"), "{moment}: {seen}");
        assert_eq!(answers(&drilled.trace)[0], (10_000, Outcome::Abandoned, applied), "{moment}");
    }
}

#[test]
fn a_truncated_body_cannot_be_decoded() {
    let (drilled, seen) = once("{ truncate: { after: 4 } }");
    assert!(seen.starts_with("201 decode"), "{seen}");
    assert_eq!(first_answer(&drilled), (Outcome::Truncated, true));
}

#[test]
fn a_stalled_body_runs_into_the_timeout() {
    let (drilled, seen) = once("{ stall: { after: 4 } }");
    assert!(seen.starts_with("201 timeout") && seen.ends_with("at 10000"), "{seen}");
    assert_eq!(first_answer(&drilled), (Outcome::Abandoned, true));
}

#[test]
fn a_slow_body_comes_in_the_end() {
    // {"a":1,"id":"1"} has sixteen bytes: eight pieces.
    let (drilled, seen) = once("{ slow_body: { bytes: 2, every: 1s } }");
    assert_eq!(seen, "201 at 8000");
    assert_eq!(answers(&drilled.trace)[0], (8_000, Outcome::Answered, true));
}

#[test]
fn garbage_is_no_http() {
    let (drilled, seen) = once("garbage");
    assert!(seen.starts_with("request invalid HTTP"), "{seen}");
    assert_eq!(first_answer(&drilled), (Outcome::Garbage, true));
}

#[test]
fn latency_delays_the_answer_and_applies_at_once() {
    let (drilled, seen) = once("{ latency: 7s }");
    assert_eq!(seen, "201 at 7000");
    let created = pick(&drilled.trace, |at, w| matches!(w, What::Change { .. }).then(|| ms(at)));
    assert_eq!(created[0], 0);
}

#[test]
fn a_kept_alive_connection_is_closed_under_the_client() {
    let (drilled, seen) = met("{ on: toy, calls: 1, do: stale_keep_alive }", 3);
    let said: Vec<&str> = seen.iter().map(|(_, s)| s.as_str()).collect();
    assert_eq!(said, ["201", "request connection closed before message completed", "201"]);
    assert_eq!(answers(&drilled.trace)[1].1, Outcome::Closed);
}

#[test]
fn responses_can_be_replaced_and_their_fields_changed() {
    let (_, seen) = met(
        "{ on: toy, calls: 1, do: { error: { kind: unavailable } } }, \
         { on: toy, calls: 2, do: { reply: { status: 418, text: '<p>no</p>', applied: true } } }, \
         { on: toy, calls: 3, do: { headers: { content-type: null, x-lie: 'yes' } } }",
        3,
    );
    // Calls are counted by each rule for itself, and the first that bites wins.
    let said: Vec<&str> = seen.iter().map(|(_, s)| s.as_str()).collect();
    assert_eq!(said, ["503", "418", "201"]);
}

#[test]
fn a_refusing_vendor_comes_back_on_the_same_port() {
    let (drilled, seen) = met("{ on: toy, window: 2500ms..6500ms, do: refuse }", 9);
    let said: Vec<&str> = seen.iter().map(|(_, s)| s.as_str()).collect();
    let refused = "connect request os 111";
    let bad: Vec<bool> = said.iter().map(|s| s.contains(refused)).collect();
    assert_eq!(bad, [false, false, false, true, true, true, true, false, false], "{said:?}");
    assert_eq!(drilled.verdict, Verdict::Pass);
    let met = pick(&drilled.trace, |at, w| match w {
        What::Connection { outcome, count, .. } => Some((ms(at), *outcome, *count)),
        _ => None,
    });
    assert_eq!(met, [(6_500, Outcome::Refused, 4)]);
}

#[test]
fn a_refusing_vendor_resets_what_is_open() {
    let (drilled, seen) = met(
        "{ on: toy, calls: 1, do: { hang: before_applied } }, { on: toy, window: 2s..3s, do: refuse }",
        2,
    );
    assert!(seen[0].1.contains("os 104") && seen[0].0 == 2_000, "{seen:?}");
    assert_eq!(answers(&drilled.trace)[0].1, Outcome::Reset);
}

#[test]
fn in_a_black_hole_connects_time_out() {
    let (drilled, seen) = met("{ on: toy, window: 0s..5s, do: black_hole }", 3);
    // Three seconds for the connect, one between calls.
    let said: Vec<(u64, &str)> = seen.iter().map(|(at, s)| (*at, s.as_str())).collect();
    assert_eq!(said[0], (3_000, "timeout connect request"), "{said:?}");
    assert_eq!(said[1].0, 7_000, "{said:?}");
    assert_eq!(said[2], (8_000, "201"), "{said:?}");
    let met = pick(&drilled.trace, |_, w| match w {
        What::Connection { outcome, count, .. } => Some((*outcome, *count)),
        _ => None,
    });
    assert_eq!(met, [(Outcome::ConnectTimeout, 1), (Outcome::ConnectTimeout, 1)]);
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn in_a_black_hole_open_connections_fall_silent() {
    let (drilled, seen) = met("{ on: toy, window: 500ms..20s, do: black_hole }", 2);
    assert_eq!(seen[0].1, "201");
    assert!(seen[1].1.contains("timeout") && seen[1].0 == 11_000, "{seen:?}");
    // The vendor never saw it.
    assert_eq!(requests(&drilled.trace), [0]);
    assert_eq!(fired(&drilled.trace), [0]);
}

#[test]
fn without_an_attempt_log_refusals_cannot_be_seen() {
    let drilled =
        drill("faults: [ { on: toy, window: 0s..9s, do: refuse } ]\nends_at: 20s", |start| async move {
            drop(client().get(base(&start)).send().await)
        });
    assert_eq!(drilled.verdict, Verdict::Unknown);
    let message = &drilled.judgements[0].findings[0].message;
    assert!(message.contains("the subject must keep its attempt log"), "{message}");
}

#[test]
fn a_subject_that_miscounts_is_noticed() {
    let subject = worker(|start| async move {
        start.attempts.note("toy", AttemptOutcome::Answered);
        start.attempts.note("toy", AttemptOutcome::Answered);
        drop(client().get(base(&start)).send().await);
    });
    let error = run(&plan("ends_at: 1m"), firedrill::seed::Seed(1), &subject).unwrap_err();
    assert!(error.to_string().contains("counts 2 attempts, 1 are in the trace"), "{error}");
}

#[test]
fn a_client_that_gives_up_before_it_is_taken_up_leaves_the_books_right() {
    let faults =
        "faults: [ { on: toy, window: 0s..9s, do: { slow_accept: 3s } } ]\nheal_at: 10s\nends_at: 60s";
    let large = 1 << 16;
    for (close, two, body) in [
        (true, false, 8),
        (true, false, 0),
        (false, false, 8),
        (true, false, large),
        (false, false, large),
        (false, true, 8),
        (false, true, large),
    ] {
        let drilled = drill(faults, move |start| async move {
            let patient = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2));
            let client = if two { patient.http2_prior_knowledge() } else { patient }.build().unwrap();
            for wait in [0, 20_000] {
                pause(wait).await;
                let mut request = client.post(format!("{}/items", base(&start)));
                if close {
                    request = request.header("connection", "close");
                }
                if body > 0 {
                    request = request.json(&json!({ "a": "a".repeat(body) }));
                }
                let outcome = match request.send().await {
                    Ok(answer) => answer.bytes().await.map(|_| AttemptOutcome::Answered),
                    Err(e) => Err(e),
                };
                assert_eq!(outcome.is_ok(), wait > 0, "{outcome:?}");
                start.attempts.note("toy", outcome.unwrap_or(AttemptOutcome::NoAnswer));
            }
        });
        let told = format!("close: {close}, HTTP/2: {two}, bytes of a body: {body}");
        assert_eq!(drilled.verdict, Verdict::Pass, "{told}");
        assert_eq!(fired(&drilled.trace), [0], "{told}");
        assert_eq!(requests(&drilled.trace).last(), Some(&22_000), "{told}");
    }
}

/// What comes over one connection when `POST /items` is sent on it `times` times, each once the last
/// brought something, and with this header field.
fn over_one_connection(act: &str, times: usize, field: &'static str) -> (Drilled, Vec<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = seen.clone();
    let lines = format!("faults: [ {{ on: toy, calls: 1, do: {act} }} ]\nheal_at: 50s\nends_at: 60s");
    let drilled = drill(&lines, move |start| {
        let told = told.clone();
        async move {
            let address = base(&start).trim_start_matches("http://").to_owned();
            let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
            socket.set_nodelay(true).unwrap();
            for _ in 0..times {
                let request = format!(
                    "POST /items HTTP/1.1\r\nhost: toy\r\n{field}content-length: 7\r\n\r\n{{\"a\":1}}"
                );
                let _ = socket.write_all(request.as_bytes()).await;
                pause(3_000).await;
                let mut bytes = vec![0; 4_096];
                let came = tokio::time::timeout(Duration::from_secs(1), socket.read(&mut bytes)).await;
                let text = match came {
                    Ok(Ok(0)) => "FIN".to_owned(),
                    Ok(Ok(n)) => String::from_utf8_lossy(&bytes[..n]).into_owned(),
                    Ok(Err(e)) => e.to_string(),
                    Err(_) => "nothing".to_owned(),
                };
                told.borrow_mut().push(text);
            }
            std::future::pending::<()>().await;
        }
    });
    let seen = seen.take();
    (drilled, seen)
}

#[test]
fn a_body_longer_than_its_length_runs_into_the_next_response() {
    let (drilled, seen) = over_one_connection("{ content_length: shorter }", 2, "");
    let (head, body) = seen[0].split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-length: 8\r\n") || head.ends_with("content-length: 8"), "{seen:?}");
    assert!(body.len() == 16 && !head.contains("connection:"), "{seen:?}");
    assert!(seen[1].starts_with("HTTP/1.1 201"), "it takes the next request: {seen:?}");
    let outcomes: Vec<(Outcome, bool)> = answers(&drilled.trace).iter().map(|(_, o, a)| (*o, *a)).collect();
    assert_eq!(outcomes, [(Outcome::Truncated, true), (Outcome::Answered, true)]);
}

#[test]
fn a_failure_is_not_announced_by_a_close() {
    for act in [
        "{ truncate: { after: 4 } }",
        "{ truncate: { after: 4, chunked: true } }",
        "{ stall: { after: 4 } }",
        "{ content_length: longer }",
        "{ slow_body: { bytes: 16, every: 1s } }",
        "{ hang: during_response }",
    ] {
        let (_, seen) = over_one_connection(act, 1, "");
        assert!(
            seen[0].starts_with("HTTP/1.1 201") && !seen[0].contains("connection: close"),
            "{act}: {seen:?}"
        );
        let (_, seen) = over_one_connection(act, 1, "connection: close\r\n");
        assert!(seen[0].contains("\r\nconnection: close\r\n"), "{act}: {seen:?}");
    }
}

#[test]
fn a_connection_outlives_a_slow_body_unless_the_client_wants_it_closed() {
    let act = "{ slow_body: { bytes: 16, every: 1s } }";
    let (drilled, seen) = over_one_connection(act, 2, "");
    assert!(seen.iter().all(|s| s.starts_with("HTTP/1.1 201")), "{seen:?}");
    assert_eq!(requests(&drilled.trace).len(), 2);
    let (drilled, seen) = over_one_connection(act, 2, "connection: close\r\n");
    assert!(seen[1] == "FIN" && requests(&drilled.trace).len() == 1, "{seen:?}");
}
