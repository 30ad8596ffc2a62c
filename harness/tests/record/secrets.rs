//! No secret touches the disk.

use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use firedrill::fixture::{Replay, Rules};
use firedrill::record::Notice;
use serde_json::json;

use crate::rig::{Rig, client, json_body};

const ACCESS: &str = "9a8b7c6d5e4f3a2b1c0d";
const SECRETS: [&str; 9] = [
    ACCESS,
    "hunter2-hunter2",
    "cookie-1a2b3c4d",
    "query-1a2b3c4d",
    "form-1a2b3c4d",
    "t=1,v1=5f6e7d8c9b0a",
    "sk_live_0123456789abcdef",
    "ghp_0123456789abcdefABCD",
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
];

fn vendor() -> Router {
    Router::new()
        .route("/token", post(|| async { json_body(json!({ "access_token": ACCESS, "expires_in": 1800 })) }))
        .route(
            "/me",
            get(|headers: HeaderMap| async move {
                let body = json!({
                    "you_sent": headers["authorization"].to_str().unwrap(),
                    "hook": format!("https://bob:{}@hooks.test/x", SECRETS[1]),
                    "nested": "{\"client_secret\": \"sk_live_0123456789abcdef\"}",
                    "note": format!("{} and {}", SECRETS[7], SECRETS[8]),
                });
                ([("set-cookie", format!("sid={}; Path=/; HttpOnly", SECRETS[2]))], json_body(body))
            }),
        )
        .route("/hook", post(|_: Request| async { "ok".into_response() }))
}

#[tokio::test]
async fn secrets_are_taken_out_everywhere_and_who_used_what_stays_visible() {
    let rig = Rig::before(vendor()).await;
    let form = format!("client_secret={}&grant_type=refresh_token", SECRETS[4]);
    let token = client()
        .post(rig.url("/token?api_key=query-1a2b3c4d"))
        .header("content-type", "application/x-www-form-urlencoded");
    token.body(form).send().await.unwrap();
    for _ in 0..2 {
        let me = client().get(rig.url("/me")).header("authorization", format!("Bearer {ACCESS}"));
        me.header("cookie", format!("sid={}", SECRETS[2])).send().await.unwrap();
    }
    let hook = client().post(rig.url("/hook")).header("stripe-signature", SECRETS[5]);
    hook.json(&json!({ "data": [{ "password": SECRETS[1] }] })).send().await.unwrap();
    let recorded = rig.end().await;
    for secret in SECRETS {
        assert!(!recorded.text.contains(secret), "{secret} is on disk:\n{}", recorded.text);
    }
    assert_eq!(recorded.summary.held_back, [], "{:?}", recorded.notices);
    let given = recorded.body(0).bytes();
    let given: serde_json::Value = serde_json::from_slice(&given).unwrap();
    let mark = given["access_token"].as_str().unwrap();
    assert!(mark.starts_with("REDACTED-"), "{mark}");
    let used = recorded.exchange(1).request.headers.get("authorization").unwrap();
    assert_eq!(used, format!("Bearer {mark}"), "the token used is the token given");
    assert_eq!(recorded.exchange(1).request.headers, recorded.exchange(2).request.headers);
    let cookie = recorded.exchange(1).request.headers.get("cookie").unwrap();
    let set = recorded.exchange(1).response.headers.get("set-cookie").unwrap();
    assert_eq!(set, format!("{cookie}; Path=/; HttpOnly"));
    assert_eq!(recorded.exchange(0).request.target, {
        let (head, mark) = recorded.exchange(0).request.target.split_once('=').unwrap();
        assert!(mark.starts_with("REDACTED-"));
        format!("{head}={mark}")
    });
}

/// A vendor with a secret of a kind that nobody knows.
fn odd() -> Router {
    Router::new().route("/plain", get(|| async { json_body(json!({ "n": 1 })) })).route(
        "/odd",
        get(|| async { json_body(json!({ "data": [{ "shop_credential": "k9J2mQ7xR4tV8wZ1bN6cL3" }] })) }),
    )
}

#[tokio::test]
async fn what_still_looks_like_a_secret_is_held_back_with_the_rule_that_helps() {
    let rig = Rig::before(odd()).await;
    for target in ["/plain", "/odd", "/plain"] {
        client().get(rig.url(target)).send().await.unwrap();
    }
    let recorded = rig.end().await;
    assert!(!recorded.text.contains("k9J2mQ7x"), "{}", recorded.text);
    assert_eq!(recorded.run.as_ref().unwrap().exchanges.len(), 2, "the others are kept");
    let held = &recorded.summary.held_back[0];
    assert_eq!(
        (held.what.as_str(), held.suspects[0].at.as_str()),
        ("GET /odd → 200", "response body /data/0/shop_credential")
    );
    assert!(recorded.run.unwrap().notes[0].starts_with("GET /odd → 200: held back"));

    // The rule that was proposed is enough.
    let rules = Rules::parse("redact.yaml", held.suspects[0].rule.as_bytes()).unwrap();
    let rig = Rig::with(crate::rig::serve(odd()).await, |r| r.rules = rules).await;
    client().get(rig.url("/odd")).send().await.unwrap();
    let recorded = rig.end().await;
    assert_eq!(recorded.summary.held_back, []);
    assert!(recorded.text.contains("\"shop_credential\": \"REDACTED-1\""), "{}", recorded.text);
}

/// A vendor with ids that look like keys.
fn long_ids() -> Router {
    let job = json!({ "ref": "Zk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK", "api_key": "k9J2mQ7xR4tV8wZ1bN6cL3" });
    Router::new().route("/jobs", get(|| async move { json_body(json!({ "jobs": [job] })) }))
}

#[tokio::test]
async fn what_only_looks_like_a_key_is_held_back_until_a_rule_says_that_it_is_none() {
    let rig = Rig::before(long_ids()).await;
    client().get(rig.url("/jobs")).send().await.unwrap();
    let recorded = rig.end().await;
    let suspect = &recorded.summary.held_back[0].suspects[0];
    assert_eq!(suspect.looks_like, "a random value, as keys are (32 characters)");
    assert_eq!((&*suspect.rule, &*suspect.keep), ("fields: ['ref']", "keep: ['/jobs/*/ref']"));

    let keep = format!("{}\n", suspect.keep);
    for (rules, key) in
        [(keep.as_str(), "REDACTED-1"), ("keep: [/jobs/*/ref, /jobs/0/api_key]", "k9J2mQ7xR4tV8wZ1bN6cL3")]
    {
        let rules = Rules::parse("redact.yaml", rules.as_bytes()).unwrap();
        let rig = Rig::with(crate::rig::serve(long_ids()).await, |r| r.rules = rules).await;
        client().get(rig.url("/jobs")).send().await.unwrap();
        let recorded = rig.end().await;
        assert_eq!(recorded.summary.held_back, []);
        let kept: serde_json::Value = serde_json::from_slice(&recorded.body(0).bytes()).unwrap();
        assert_eq!(kept["jobs"][0], json!({ "ref": "Zk3nQ8vW2pL9xR5tY7uB1cD4eF6gH0jK", "api_key": key }));
        // The run says so itself when it is redacted again.
        assert_eq!(recorded.run.as_ref().unwrap().redacted(), recorded.run.unwrap());
    }
}

#[tokio::test]
async fn each_kind_of_rule_does_what_it_says() {
    let rules = "headers: [x-shop]\nfields: [pin]\nbody: ['/people/*/ssn']\npatterns: ['acme_[0-9]+', 'id-([0-9]{4})']\n\
                 keep: [token]\nallow: ['sk_test_[a-z]+']\nskip: ['GET /skipped/*']\n";
    let rules = Rules::parse("redact.yaml", rules.as_bytes()).unwrap();
    let echo = |r: Request| async move { r.into_body() };
    let vendor = Router::new().route("/", post(echo)).route("/skipped/{x}", get(|| async { "secret" }));
    let rig = Rig::with(crate::rig::serve(vendor).await, |r| r.rules = rules).await;
    client().get(rig.url("/skipped/1")).send().await.unwrap();
    let body = json!({
        "people": [{ "ssn": 123 }], "pin": "1234", "a": "see acme_77 and id-1234", "key": "sk_test_abcdefghijkl"
    });
    client().post(rig.url("/?token=page2")).header("x-shop", "s").json(&body).send().await.unwrap();
    let recorded = rig.end().await;
    assert_eq!(recorded.summary.skipped, 1);
    let exchange = recorded.exchange(0);
    assert_eq!(exchange.request.target, "/?token=page2", "kept, as the rule says");
    assert!(exchange.request.headers.get("x-shop").unwrap().starts_with("REDACTED-"));
    let kept: serde_json::Value = serde_json::from_slice(&recorded.body(0).bytes()).unwrap();
    assert_eq!(kept["key"], "sk_test_abcdefghijkl");
    for (pointer, gone) in [("/people/0/ssn", "123"), ("/pin", "1234"), ("/a", "acme_77"), ("/a", "1234")] {
        assert!(!kept.pointer(pointer).unwrap().to_string().contains(gone), "{pointer}: {kept}");
    }
    // The run itself says what is no secret: a replay tells page2 from page3.
    let run = recorded.run.unwrap();
    let mut replay: Replay = Replay::new(
        Box::new(crate::files::notes()),
        &run,
        firedrill::scenario::ReplayMode::Exact,
        jiff::Timestamp::UNIX_EPOCH,
    );
    let ask = |target: &str, replay: &mut Replay| {
        use firedrill::vendor::Vendor as _;
        let request = firedrill::wire::Request {
            method: "POST".into(),
            target: target.into(),
            headers: exchange_headers(),
            body: body.to_string().into(),
        };
        replay.step(firedrill::time::At::START, &request, firedrill::time::Span::ZERO).told.note
    };
    assert_eq!(ask("/?token=page2", &mut replay), None);
    assert!(ask("/?token=page3", &mut replay).is_some());
}

fn exchange_headers() -> firedrill::wire::Headers {
    firedrill::wire::Headers::of([("content-type", "application/json")])
}

#[tokio::test]
async fn a_secret_that_passed_before_it_was_known_is_taken_out_of_the_file_too() {
    let vendor = Router::new()
        .route("/early", get(|| async { json_body(json!({ "ref": ACCESS })) }))
        .route("/token", post(|| async { json_body(json!({ "access_token": ACCESS })) }));
    let rig = Rig::before(vendor).await;
    client().get(rig.url("/early")).send().await.unwrap();
    client().post(rig.url("/token")).send().await.unwrap();
    let recorded = rig.end().await;
    assert!(!recorded.text.contains(ACCESS), "{}", recorded.text);
    assert!(recorded.notices.iter().all(|n| matches!(n, Notice::Recorded { .. })));
}
