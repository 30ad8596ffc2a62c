//! A vendor inside a real wiremock server, called by a real client.

mod provider;
mod stub;

use std::collections::BTreeMap;
use std::time::Duration;

use firedrill::fault::{Act, ErrorKind, ErrorReply, Moment, Outage, Reply, Rule, Skew, Truncation, Window};
use firedrill::time::Span;
use firedrill::wiremock::{MountError, Mounted, mount};
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

fn rule(on: &str, act: Act) -> Rule {
    Rule { on: on.parse().unwrap(), act, window: None, attempts: None, calls: None, share: None, when: None }
}

fn error(status: u16, moment: Option<Moment>) -> Act {
    Act::Error(ErrorReply {
        kind: ErrorKind::Unavailable,
        status: Some(status),
        retry_after: Some("3s".into()),
        headers: BTreeMap::new(),
        moment,
    })
}

/// A server, and TLS for the clients that call it: reqwest brings none of its own here.
async fn server() -> MockServer {
    provider::name();
    MockServer::start().await
}

async fn mounted(rules: Vec<Rule>) -> (MockServer, Mounted) {
    let server = server().await;
    let vendor = mount(&server, Box::new(stub::Notes::new()), rules).await.unwrap();
    (server, vendor)
}

async fn call(server: &MockServer, method: reqwest::Method) -> reqwest::Response {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    client.request(method, format!("{}/notes", server.uri())).send().await.unwrap()
}

#[tokio::test]
async fn the_vendor_answers_and_keeps_its_state() {
    let (server, vendor) = mounted(vec![]).await;
    let created: Value = call(&server, reqwest::Method::POST).await.json().await.unwrap();
    assert_eq!(created["url"], json!(format!("{}/notes/1", server.uri())), "links lead back to the server");
    let listed: Value = call(&server, reqwest::Method::GET).await.json().await.unwrap();
    assert_eq!(listed, json!([{ "id": 1 }]));
    assert_eq!(vendor.records("notes").unwrap().len(), 1);
    assert_eq!(vendor.credentials()["api_key"], "k");
}

#[tokio::test]
async fn requests_that_the_vendor_does_not_know_are_left_to_other_mocks() {
    let (server, _vendor) = mounted(vec![]).await;
    Mock::given(path("/other")).respond_with(ResponseTemplate::new(418)).mount(&server).await;
    assert_eq!(reqwest::get(format!("{}/other", server.uri())).await.unwrap().status(), 418);
    assert_eq!(reqwest::get(format!("{}/neither", server.uri())).await.unwrap().status(), 404);
}

#[tokio::test]
async fn response_faults_bite_by_attempt_and_by_call() {
    let mut failing = rule("notes POST /notes", error(503, None));
    failing.attempts = Some("1".parse().unwrap());
    let mut lost = rule("notes POST /notes", error(502, Some(Moment::AfterApplied)));
    // As in a drill, a rule counts the calls that are meant, whichever rule bites first.
    lost.calls = Some("2".parse().unwrap());
    let headers =
        Act::Headers(BTreeMap::from([("x-lie".into(), Some("yes".into())), ("content-type".into(), None)]));
    let (server, vendor) = mounted(vec![failing, lost, rule("notes GET /notes", headers)]).await;

    let first = call(&server, reqwest::Method::POST).await;
    assert_eq!((first.status().as_u16(), first.headers()["retry-after"].to_str().unwrap()), (503, "3"));
    assert!(vendor.records("notes").unwrap().is_empty(), "refused before it was applied");
    assert_eq!(call(&server, reqwest::Method::POST).await.status(), 502);
    assert_eq!(vendor.records("notes").unwrap().len(), 1, "applied, and only the answer lost");
    assert_eq!(call(&server, reqwest::Method::POST).await.status(), 201);
    let listed = call(&server, reqwest::Method::GET).await;
    assert_eq!(listed.headers()["x-lie"], "yes");
    assert!(!listed.headers().contains_key("content-type"));
    assert_eq!(vendor.fired(), [1, 1, 1]);
}

#[tokio::test]
async fn a_head_says_the_length_of_a_body_that_the_vendor_does_not_have() {
    let length = BTreeMap::from([("content-length".into(), "5120".into())]);
    let mut reply = rule(
        "notes HEAD /notes",
        Act::Reply(Reply { status: 200, headers: length, json: None, text: None, applied: true }),
    );
    reply.calls = Some("1".parse().unwrap());
    let (server, _vendor) = mounted(vec![reply]).await;
    for length in ["5120", "2"] {
        let head = call(&server, reqwest::Method::HEAD).await;
        assert_eq!(head.headers()["content-length"], length);
    }
}

#[tokio::test]
async fn a_literal_reply_and_latency_reach_the_client() {
    let html = Reply {
        status: 200,
        headers: BTreeMap::new(),
        json: None,
        text: Some("<h1>Back soon</h1>".into()),
        applied: false,
    };
    let mut first = rule("notes", Act::Reply(html));
    first.calls = Some("1".parse().unwrap());
    let slow = rule("notes GET /notes", Act::Latency(Span::millis(300)));
    let mut never = rule("notes", error(500, None));
    never.window = Some("1h..".parse::<Window>().unwrap());
    let (server, vendor) = mounted(vec![first, never, slow]).await;

    let page = call(&server, reqwest::Method::GET).await;
    assert_eq!(page.headers()["content-type"], "text/html");
    assert_eq!(page.text().await.unwrap(), "<h1>Back soon</h1>");
    let client = reqwest::Client::builder().timeout(Duration::from_millis(100)).build().unwrap();
    let late = client.get(format!("{}/notes", server.uri())).send().await.unwrap_err();
    assert!(late.is_timeout());
    assert_eq!(vendor.fired(), [1, 0, 1]);
}

#[tokio::test]
async fn a_rule_with_a_condition_bites_where_it_holds() {
    let mut second = rule("notes GET /notes", error(503, None));
    second.when = Some(firedrill::expr::Expr::compile("request.query.page == '2'").unwrap());
    let (server, vendor) = mounted(vec![second]).await;
    for (query, status) in [("", 200), ("?page=1", 200), ("?page=2", 503)] {
        let answer = reqwest::get(format!("{}/notes{query}", server.uri())).await.unwrap();
        assert_eq!(answer.status(), status, "{query}");
    }
    assert_eq!(vendor.fired(), [1]);
}

#[tokio::test]
async fn what_no_whole_response_can_do_is_refused_by_name() {
    let server = server().await;
    let outage = Outage { moment: None, restart_after: Span::secs(1), deadline: None };
    let refused: [(Rule, &str); 7] = [
        (rule("notes", Act::Reset(Moment::AfterApplied)), "reset"),
        (rule("notes", Act::Close(Moment::BeforeApplied)), "close"),
        (rule("notes", Act::Truncate(Truncation { after: 3, chunked: false })), "truncate"),
        (rule("notes", Act::Hang(Moment::BeforeApplied)), "hang"),
        (rule("webhook notes", Act::Drop), "drop"),
        (rule("subject", Act::Kill(outage)), "kill"),
        (rule("subject", Act::ClockSkew("+10m".parse::<Skew>().unwrap())), "clock_skew"),
    ];
    for (bad, name) in refused {
        let good = rule("notes", error(500, None));
        let error = mount(&server, Box::new(stub::Notes::new()), vec![good, bad]).await.err().unwrap();
        assert!(matches!(&error, MountError::Unsupported { rule: 2, act, .. } if *act == name), "{error}");
    }
    let error = mount(&server, Box::new(stub::Notes::new()), vec![rule("crm", error(500, None))]).await.err();
    assert_eq!(error.unwrap().to_string(), "rule 1: it is on `crm`, and the vendor mounted here is `notes`");
    let status = reqwest::get(format!("{}/notes", server.uri())).await.unwrap().status();
    assert_eq!(status, 404, "nothing was mounted");
}
