//! A vendor that answers from recordings, seen from outside.

mod stub;

use std::path::Path;

use firedrill::fixture::{Fixture, Replay};
use firedrill::scenario::{Given, ReplayMode};
use firedrill::time::{At, Span};
use firedrill::trace::ChangeKind;
use firedrill::vendor::{Reaction, Vendor};
use firedrill::wire::{Headers, Request, Response};

const RUN: &str = r#"{
  "origin": "written for this test", "recorded": "2024-01-24",
  "noise": { "query": ["trace"], "body": ["/at"] },
  "holds": { "items": { "paths": ["/items"], "id": "/n" } },
  "exchanges": [
    { "request": { "method": "GET", "target": "/items?page=1&size=2" },
      "response": { "status": 200,
        "headers": ["content-type: application/json", "etag: W/\"one\"", "date: Wed, 24 Jan 2024 20:00:00 GMT",
          "x-ratelimit-reset: 1706130060", "connection: close", "content-length: 999", "content-encoding: gzip",
          "link: <https://api.notes.test/items?page=2>; rel=\"next\""],
        "body": { "json": [{ "n": 1 }, { "n": 2 }] } } },
    { "request": { "method": "GET", "target": "/archive?of=items&size=2" },
      "response": { "status": 200, "headers": ["content-encoding: gzip"], "body": { "base64": "H4sI" } } },
    { "request": { "method": "POST", "target": "/items", "headers": ["authorization: token SECRETVALUE"],
                   "body": { "json": { "n": 3, "at": "then", "token": "SECRETVALUE" } } },
      "response": { "status": 201, "body": { "json": { "n": 3, "access_token": "SECRETVALUE" } } } },
    { "request": { "method": "GET", "target": "/jobs/1" }, "response": { "status": 202 } },
    { "request": { "method": "GET", "target": "/jobs/1" }, "response": { "status": 200 } },
    { "request": { "method": "GET", "target": "/busy" },
      "response": { "status": 429, "headers": ["retry-after: 30"] } }
  ]
}"#;

const EPOCH: &str = "2026-03-01T00:00:00Z";

fn replay(mode: ReplayMode) -> Replay {
    let run = Fixture::parse(Path::new("run.json"), RUN).unwrap();
    Replay::new(Box::new(stub::Notes::new()), &run, mode, EPOCH.parse().unwrap())
}

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Request {
    Request {
        method: method.into(),
        target: target.into(),
        headers: Headers::of(headers.iter().copied()),
        body: body.to_owned().into(),
    }
}

fn ask(vendor: &mut Replay, method: &str, target: &str) -> Reaction {
    vendor.step(At(0), &request(method, target, &[], ""), Span::ZERO)
}

fn answer(reaction: &Reaction) -> &Response {
    reaction.response.as_ref().unwrap()
}

fn note(reaction: &Reaction) -> &str {
    reaction.told.note.as_deref().unwrap_or("no note")
}

#[test]
fn the_same_request_gets_the_same_answer_in_any_order() {
    let mut vendor = replay(ReplayMode::Exact);
    for target in ["/archive?size=2&of=items", "/items?size=2&page=1&trace=9", "/archive?of=items&size=2"] {
        let reaction = ask(&mut vendor, "GET", target);
        assert_eq!((answer(&reaction).status, note(&reaction)), (200, "no note"), "{target}");
        assert!(reaction.applied);
    }
    assert_eq!(answer(&ask(&mut vendor, "GET", "/jobs/1")).status, 202);
    assert_eq!(answer(&ask(&mut vendor, "GET", "/jobs/1")).status, 202);
}

#[test]
fn a_sequence_answers_in_turn_and_repeats_itself_for_a_retry() {
    let mut vendor = replay(ReplayMode::Sequence);
    let early = ask(&mut vendor, "GET", "/jobs/1");
    assert_eq!(answer(&early).status, 404);
    assert!(!early.applied);
    assert!(
        note(&early)
            .ends_with("exchange 4 would answer it, out of turn (`mode: exact` answers in any order)"),
        "{}",
        note(&early)
    );
    for _ in 0..3 {
        assert_eq!(answer(&ask(&mut vendor, "GET", "/items?page=1&size=2")).status, 200);
    }
    assert_eq!(answer(&ask(&mut vendor, "GET", "/archive?of=items&size=2")).status, 200);
    let body = r#"{"at": "now", "n": 3, "token": "live"}"#;
    let post = request("POST", "/items", &[("content-type", "application/json")], body);
    assert_eq!(answer(&vendor.step(At(0), &post, Span::ZERO)).status, 201);
    assert_eq!(answer(&ask(&mut vendor, "GET", "/jobs/1")).status, 202);
    assert_eq!(answer(&ask(&mut vendor, "GET", "/jobs/1")).status, 200, "the run has its own repeat");
    assert_eq!(answer(&ask(&mut vendor, "GET", "/busy")).status, 429);
    let over = ask(&mut vendor, "GET", "/items?page=1&size=2");
    assert_eq!(
        note(&over),
        "no recording answers GET /items?page=1&size=2: all 6 of the run have had their turn"
    );
}

#[test]
fn a_held_etag_costs_304_without_a_body() {
    let mut vendor = replay(ReplayMode::Exact);
    for (held, status) in [("\"one\"", 304), ("\"x\", W/\"one\"", 304), ("*", 304), ("\"two\"", 200)] {
        let asked = request("GET", "/items?page=1&size=2", &[("if-none-match", held)], "");
        let reaction = vendor.step(At(0), &asked, Span::ZERO);
        assert_eq!(answer(&reaction).status, status, "{held}");
        assert_eq!(answer(&reaction).body.is_empty(), status == 304);
        assert_eq!(answer(&reaction).headers.get("content-type").is_none(), status == 304);
        assert_eq!(answer(&reaction).headers.get("etag"), Some("W/\"one\""));
    }
}

#[test]
fn the_server_keeps_what_is_its_own_and_moments_move_with_the_drill() {
    let mut vendor = replay(ReplayMode::Exact);
    let asked = request("GET", "/items?page=1&size=2", &[], "");
    let reaction = vendor.step(At::START + Span::mins(1), &asked, Span::ZERO);
    let headers = &answer(&reaction).headers;
    for gone in ["connection", "content-length", "content-encoding"] {
        assert_eq!(headers.get(gone), None);
    }
    assert_eq!(headers.get("date"), Some("Sun, 01 Mar 2026 00:01:00 GMT"));
    // 2024-01-24T21:01:00Z was 3660 s after the recorded date.
    let reset: i64 = headers.get("x-ratelimit-reset").unwrap().parse().unwrap();
    let now: jiff::Timestamp = "2026-03-01T00:01:00Z".parse().unwrap();
    assert_eq!(reset - now.as_second(), 3660);
    let coded = ask(&mut vendor, "GET", "/archive?of=items&size=2");
    assert_eq!(answer(&coded).headers.get("content-encoding"), Some("gzip"), "its bytes still are coded");
}

#[test]
fn a_request_without_a_recording_names_the_nearest_and_the_difference() {
    let mut vendor = replay(ReplayMode::Exact);
    let reaction = ask(&mut vendor, "GET", "/items?page=3&size=2");
    assert_eq!(answer(&reaction).status, 404);
    insta::assert_snapshot!(note(&reaction), @r#"no recording answers GET /items?page=3&size=2; the nearest is exchange 1 of 6 in the run, GET /items?page=1&size=2: query `page` is "3", recorded "1"; if that does not matter, write into the run "noise": { "query": ["page"] }"#);
    let body = r#"{"n": 4, "token": "LIVESECRET"}"#;
    let reaction = vendor.step(At(0), &request("POST", "/items?token=LIVESECRET", &[], body), Span::ZERO);
    insta::assert_snapshot!(note(&reaction), @r#"no recording answers POST /items?token=REDACTED; the nearest is exchange 3 of 6 in the run, POST /items: query `token` is REDACTED, recorded absent; body `/n` is 4, recorded 3; if that does not matter, write into the run "noise": { "query": ["token"], "body": ["/n"] }"#);
}

#[test]
fn an_answer_that_was_too_large_to_be_kept_is_not_made_up() {
    let run = RUN.replace(
        "\"json\": [{ \"n\": 1 }, { \"n\": 2 }]",
        &format!("\"omitted\": {{ \"length\": 9, \"sha256\": \"{}\" }}", "0".repeat(64)),
    );
    let run = run.replace("\"holds\": { \"items\": { \"paths\": [\"/items\"], \"id\": \"/n\" } },", "");
    let run = Fixture::parse(Path::new("run.json"), &run).unwrap();
    let mut vendor: Replay =
        Replay::new(Box::new(stub::Notes::new()), &run, ReplayMode::Exact, EPOCH.parse().unwrap());
    let reaction = ask(&mut vendor, "GET", "/items?page=1&size=2");
    assert_eq!(answer(&reaction).status, 404);
    insta::assert_snapshot!(note(&reaction), @"the answer to GET /items?page=1&size=2 was recorded as exchange 1 of 6 in the run without its body of 9 bytes, which was too large to be kept");
}

#[test]
fn a_request_too_large_to_be_kept_is_answered_for_the_same_bytes_alone() {
    let sent = "x".repeat(1000);
    let body = serde_json::to_string(&firedrill::fixture::Omitted::of(sent.as_bytes())).unwrap();
    let text = format!(
        r#"{{"origin": "x", "recorded": "2024-01-24", "exchanges": [{{
            "request": {{"method": "PUT", "target": "/up", "body": {{"omitted": {body}}}}},
            "response": {{"status": 201}}}}]}}"#
    );
    let run = Fixture::parse(Path::new("run.json"), &text).unwrap();
    let mut vendor: Replay =
        Replay::new(Box::new(stub::Notes::new()), &run, ReplayMode::Exact, EPOCH.parse().unwrap());
    let mut put = |body: &str| vendor.step(At(0), &request("PUT", "/up", &[], body), Span::ZERO);
    assert_eq!(answer(&put(&sent)).status, 201);
    assert_eq!(answer(&put(&sent.replacen('x', "y", 1))).status, 404);
}

#[test]
fn recorded_secrets_never_surface() {
    let mut vendor = replay(ReplayMode::Exact);
    let body = r#"{"n": 3, "token": "mine"}"#;
    let reaction = vendor.step(At(0), &request("POST", "/items", &[], body), Span::ZERO);
    let shown = format!("{reaction:?}");
    assert_eq!(answer(&reaction).status, 201, "{shown}");
    assert!(!shown.contains("SECRETVALUE"), "{shown}");
}

#[test]
fn what_http_says_of_waiting_is_told() {
    let reaction = ask(&mut replay(ReplayMode::Exact), "GET", "/busy");
    assert_eq!(reaction.told.retry_at, Some(At::START + Span::secs(30)));
    assert_eq!(reaction.told.error, Some(firedrill::fault::ErrorKind::RateLimited));
}

#[test]
fn records_that_the_run_shows_are_given_and_cannot_be_changed() {
    let mut vendor = replay(ReplayMode::Exact);
    let given = |count| Given { count, ..Given::default() };
    assert_eq!(
        vendor.give("items", &given(5)).unwrap_err(),
        "the recording shows 2 records of `items`, not 5; write `count: 2`"
    );
    let changes = vendor.give("items", &given(2)).unwrap();
    assert!(changes.iter().all(|c| c.change == ChangeKind::Given));
    assert_eq!(vendor.records("items").unwrap().len(), 2);
    assert!(vendor.act(At(0), "items", "close", &[], &Default::default()).is_err());
    assert_eq!(
        vendor.give("notes", &given(1)).unwrap().len(),
        1,
        "what the run does not show is the model's"
    );
    assert_eq!(vendor.credentials().len(), 1);
}
