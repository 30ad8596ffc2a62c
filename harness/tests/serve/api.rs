//! Each operation of the control API does what it says, and answers as its description has it.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::served::Served;
use crate::{ask, both, client, customer, customers, done};

fn description() -> Value {
    firedrill::serve::document()
}

/// Answers are held against the description, and which operations gave any is noted.
struct Judge {
    description: Value,
    heard: BTreeSet<String>,
}

impl Judge {
    fn new() -> Judge {
        Judge { description: description(), heard: BTreeSet::new() }
    }

    /// Asks, and checks that the description knows the operation, the status and the answer.
    async fn ask(&mut self, served: &Served, method: &str, path: &str, template: &str, body: &str) -> Value {
        let (status, answer) = ask(served, method, path, body).await;
        let operation = &self.description["paths"][template][method.to_lowercase()];
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {template}"));
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{id} does not speak of {status}: {answer}");
        match response.pointer("/content/application~1json/schema") {
            None => assert_eq!(answer, Value::Null, "{id}"),
            Some(schema) => {
                let whole = json!({ "$ref": schema["$ref"], "components": self.description["components"] });
                let validator = jsonschema::draft202012::new(&whole).unwrap();
                let wrong: Vec<String> =
                    validator.iter_errors(&answer).map(|e| format!("{}: {e}", e.instance_path())).collect();
                assert!(wrong.is_empty(), "{id} {status}: {wrong:?}\n{answer}");
            }
        }
        self.heard.insert(format!("{id} {status}"));
        answer
    }
}

#[test]
fn the_published_description_is_the_one_that_is_served() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("control.openapi.json");
    let now = firedrill::serve::pretty();
    if std::env::var_os("FIREDRILL_BLESS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(published, now, "write it anew: FIREDRILL_BLESS=1 cargo test --test serve published");
}

#[test]
fn every_reference_and_example_of_the_description_holds() {
    let document = description();
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "#{pointer} leads nowhere");
    }
    for operations in document["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            let Some(body) = operation.pointer("/requestBody/content/application~1json") else { continue };
            let whole = json!({ "$ref": body["schema"]["$ref"], "components": document["components"] });
            let validator = jsonschema::draft202012::new(&whole).unwrap();
            assert!(validator.is_valid(&body["example"]), "{}", operation["operationId"]);
        }
    }
}

#[tokio::test]
async fn every_operation_answers_as_it_is_described() {
    let served = both();
    let mut judge = Judge::new();
    let j = &mut judge;
    j.ask(&served, "GET", "/openapi.json", "/openapi.json", "").await;
    let overview = j.ask(&served, "GET", "/vendors", "/vendors", "").await;
    assert_eq!(overview["vendors"]["crm"]["url"], served.overview["vendors"]["crm"]["url"]);
    let hooks = "/vendors/{alias}/webhooks";
    let target = r#"{"url":"http://127.0.0.1:9/hooks"}"#;
    j.ask(&served, "PUT", "/vendors/crm/webhooks", hooks, target).await;
    j.ask(&served, "PUT", "/vendors/crm/webhooks", hooks, r#"{"url":"https://x"}"#).await;
    j.ask(&served, "PUT", "/vendors/cmr/webhooks", hooks, target).await;
    j.ask(&served, "DELETE", "/vendors/crm/webhooks", hooks, "").await;
    j.ask(&served, "DELETE", "/vendors/cmr/webhooks", hooks, "").await;
    j.ask(&served, "GET", "/time", "/time", "").await;
    j.ask(&served, "POST", "/time/advance", "/time/advance", "by: 90s").await;
    j.ask(&served, "POST", "/time/advance", "/time/advance", r#"{"by":"90"}"#).await;
    let armed = j.ask(&served, "POST", "/faults", "/faults", "on: billing\ndo: garbage\n").await;
    j.ask(&served, "POST", "/faults", "/faults", "on: billing\ndo: garbge\n").await;
    assert_eq!(j.ask(&served, "GET", "/faults", "/faults", "").await, armed);
    j.ask(&served, "DELETE", "/faults/0", "/faults/{id}", "").await;
    j.ask(&served, "DELETE", "/faults/0", "/faults/{id}", "").await;
    j.ask(&served, "DELETE", "/faults", "/faults", "").await;
    let made = j.ask(&served, "POST", "/actions", "/actions", "do: crm.deals.create").await;
    j.ask(&served, "POST", "/actions", "/actions", "do: crm.deals.destroy").await;
    let deal = made["steps"][0]["records"][0].as_str().unwrap();
    let event = json!({ "vendor": "crm", "event": "deal.creation", "record": deal });
    j.ask(&served, "POST", "/webhooks", "/webhooks", &event.to_string()).await;
    let event = json!({ "vendor": "crm", "event": "deal.creation", "record": "1" });
    j.ask(&served, "POST", "/webhooks", "/webhooks", &event.to_string()).await;
    let event = json!({ "vendor": "crm", "event": "deal.creatoin", "record": deal });
    j.ask(&served, "POST", "/webhooks", "/webhooks", &event.to_string()).await;
    j.ask(&served, "GET", "/ledgers", "/ledgers", "").await;
    let records = "/ledgers/{alias}/{collection}";
    let deals = j.ask(&served, "GET", "/ledgers/crm/deals", records, "").await;
    assert_eq!(deals["records"][0]["id"], deal);
    j.ask(&served, "GET", "/ledgers/crm/dials", records, "").await;
    customer(&served, "k").await.unwrap();
    let trace = j.ask(&served, "GET", "/trace?vendor=billing", "/trace", "").await;
    let kinds: Vec<&str> =
        trace["events"].as_array().unwrap().iter().filter_map(|e| e["kind"].as_str()).collect();
    assert_eq!(kinds, ["request", "change", "emission", "answer"], "{trace}");
    for wrong in ["since=x", "kind=bogus", "vendor=nope"] {
        let said = j.ask(&served, "GET", &format!("/trace?{wrong}"), "/trace", "").await;
        assert!(said["errors"][0]["message"].is_string(), "{wrong}: {said}");
    }
    let near = j.ask(&served, "GET", "/trace?kind=requests", "/trace", "").await;
    assert!(near["errors"][0]["help"].as_str().unwrap().contains("did you mean `request`?"), "{near}");
    j.ask(&served, "POST", "/reset", "/reset", "").await;
    // Each status that the description promises was seen.
    let mut promised = BTreeSet::new();
    for operations in judge.description["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            promised.extend(operation["responses"].as_object().unwrap().keys().map(|s| format!("{id} {s}")));
        }
    }
    assert_eq!(judge.heard, promised);
}

#[tokio::test]
async fn an_armed_rule_bites_until_it_is_disarmed() {
    let served = both();
    let rule =
        json!({ "on": "billing POST /v1/customers", "calls": "1..2", "do": { "reset": "after_applied" } });
    done(&served, "POST", "/faults", rule).await;
    assert!(customer(&served, "a").await.unwrap_err().is_request());
    // The answer was lost; the customer was made.
    assert_eq!(customers(&served).await.len(), 1);
    let faults = done(&served, "GET", "/faults", json!(null)).await;
    assert_eq!((&faults["faults"][0]["met"], &faults["faults"][0]["bites"]), (&json!(1), &json!(1)));
    done(&served, "DELETE", "/faults/0", json!(null)).await;
    assert_eq!(customer(&served, "a").await.unwrap().0, 200);
    assert_eq!(customers(&served).await.len(), 1);
    let cited = done(&served, "GET", "/trace?kind=fault", json!(null)).await;
    assert_eq!(cited["events"].as_array().unwrap().len(), 1, "{cited}");
}

#[tokio::test]
async fn a_vendor_refuses_for_a_window_that_counts_from_now() {
    let served = both();
    done(&served, "POST", "/time/advance", json!({ "by": "1h" })).await;
    done(&served, "POST", "/faults", json!({ "on": "billing", "window": "0s..10m", "do": "refuse" })).await;
    let refused = async || customer(&served, "a").await.is_err_and(|e| e.is_connect());
    // The door closes in the background.
    let mut shut = false;
    for _ in 0..100 {
        shut = refused().await;
        if shut {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(shut);
    done(&served, "POST", "/time/advance", json!({ "by": "9m" })).await;
    assert!(refused().await);
    done(&served, "POST", "/time/advance", json!({ "by": "61s" })).await;
    assert_eq!(customer(&served, "a").await.unwrap().0, 200);
}

#[tokio::test]
async fn as_many_records_are_made_as_are_asked_for() {
    let served = both();
    let made = done(&served, "POST", "/actions", json!({ "do": "crm.deals.create", "each": 3 })).await;
    assert_eq!(made["steps"][0]["records"].as_array().unwrap().len(), 3, "{made}");
    let deals = done(&served, "GET", "/ledgers/crm/deals", json!(null)).await;
    assert_eq!(deals["records"].as_array().unwrap().len(), 3, "{deals}");
}

#[tokio::test]
async fn each_record_has_its_turn_in_an_action() {
    let served = both();
    let step = |n: usize| vec![json!({ "do": "crm.deals.create" }); n];
    done(&served, "POST", "/actions", json!(step(3))).await;
    let mut turns = Vec::new();
    for _ in 0..4 {
        let closed = done(&served, "POST", "/actions", json!({ "do": "crm.deals.close" })).await;
        turns.push(closed["steps"][0]["records"][0].as_str().unwrap().to_owned());
    }
    assert_eq!(BTreeSet::from_iter(&turns).len(), 3, "{turns:?}");
    assert_eq!(turns[0], turns[3]);
    let chosen = json!({ "do": "crm.deals.reopen", "where": format!("deal.id == '{}'", turns[1]) });
    let reopened = done(&served, "POST", "/actions", chosen).await;
    assert_eq!(reopened["steps"][0]["records"], json!([turns[1]]));
}

/// Takes webhooks and answers each with `status`; gives its URL, and what came, head and body.
async fn receiver(status: u16) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks?a=b", listener.local_addr().unwrap());
    let (send, taken) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut text = String::new();
            let mut part = [0; 4096];
            loop {
                let n = socket.read(&mut part).await.unwrap_or(0);
                text.push_str(&String::from_utf8_lossy(&part[..n]));
                let length = text.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
                let body = text.split_once("\r\n\r\n").map(|(_, b)| b.len());
                if n == 0 || body.is_some_and(|b| Some(b) >= length) {
                    break;
                }
            }
            let answer = format!("HTTP/1.1 {status} Fine\r\ncontent-length: 0\r\n\r\n");
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = send.send(text);
        }
    });
    (url, taken)
}

#[tokio::test]
async fn webhooks_go_where_they_are_aimed_and_are_retried_as_time_is_put_forward() {
    let served = both();
    let (url, mut taken) = receiver(503).await;
    done(&served, "PUT", "/vendors/billing/webhooks", json!({ "url": url })).await;
    customer(&served, "a").await.unwrap();
    let first = taken.recv().await.unwrap();
    assert!(first.starts_with("POST /hooks?a=b HTTP/1.1\r\n"), "{first}");
    assert!(first.contains("customer.created"), "{first}");
    // Stripe tries for three days, with growing pauses: each try comes at its own time.
    done(&served, "POST", "/time/advance", json!({ "by": "73h" })).await;
    let trace = done(&served, "GET", "/trace?kind=delivery", json!(null)).await;
    let times: Vec<u64> =
        trace["events"].as_array().unwrap().iter().map(|e| e["at"].as_u64().unwrap()).collect();
    assert_eq!(times.len(), 17, "{times:?}");
    assert!(times.windows(2).all(|w| w[1] > w[0] + 60_000_000), "{times:?}");
    let given_up = done(&served, "GET", "/trace?kind=given_up", json!(null)).await;
    assert_eq!(given_up["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_event_is_told_although_nothing_happened() {
    let served = both();
    let (url, mut taken) = receiver(204).await;
    done(&served, "PUT", "/vendors/crm/webhooks", json!({ "url": url })).await;
    let made = done(&served, "POST", "/actions", json!({ "do": "crm.deals.create" })).await;
    taken.recv().await.unwrap();
    let deal = made["steps"][0]["records"][0].clone();
    let event = json!({
        "vendor": "crm", "event": "deal.propertyChange", "record": deal, "property": "dealstage",
    });
    let emitted = done(&served, "POST", "/webhooks", event).await;
    let told = taken.recv().await.unwrap();
    assert!(told.contains("\"propertyName\":\"dealstage\""), "{told}");
    assert!(told.contains(&emitted["payload"]["eventId"].to_string()), "{told}");
    assert!(told.contains("x-hubspot-signature-v3: "), "{told}");
}

#[tokio::test]
async fn a_reset_begins_anew_with_the_same_credentials() {
    let served = both();
    customer(&served, "a").await.unwrap();
    done(&served, "POST", "/faults", json!({ "on": "billing", "do": "garbage" })).await;
    let after = done(&served, "POST", "/reset", json!(null)).await;
    assert_eq!(after["vendors"]["billing"]["credentials"], served.vendor("billing")["credentials"]);
    assert_eq!(customers(&served).await, Vec::<Value>::new());
    assert_eq!(done(&served, "GET", "/faults", json!(null)).await["faults"], json!([]));
    // The key is new again, too.
    assert_eq!(customer(&served, "a").await.unwrap().0, 200);
    assert_eq!(customers(&served).await.len(), 1);
}

#[tokio::test]
async fn the_trace_is_read_in_parts() {
    let served = both();
    for n in 0..5 {
        customer(&served, &n.to_string()).await.unwrap();
    }
    let whole = done(&served, "GET", "/trace", json!(null)).await;
    let (mut since, mut parts) = (0, Vec::new());
    loop {
        let part = done(&served, "GET", &format!("/trace?limit=3&since={since}"), json!(null)).await;
        parts.extend(part["events"].as_array().unwrap().clone());
        since = part["next"].as_u64().unwrap();
        if part["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(json!(parts), whole["events"]);
    let one = done(&served, "GET", "/trace?call=2", json!(null)).await;
    let kinds: Vec<&Value> = one["events"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["request", "answer"]);
    // An answer from here on belongs to a request from before.
    let answer = one["events"][1]["n"].as_u64().unwrap();
    let rest =
        done(&served, "GET", &format!("/trace?vendor=billing&limit=1&since={answer}"), json!(null)).await;
    assert_eq!(rest["events"][0]["n"], json!(answer));
}

#[tokio::test]
async fn a_head_is_answered_as_the_get_without_its_body() {
    let served = both();
    let (_, made) = customer(&served, "k").await.unwrap();
    let key = served.vendor("billing")["credentials"]["api_key"].as_str().unwrap();
    let url = format!("{}/v1/customers/{}", served.url("billing"), made["id"].as_str().unwrap());
    let client = client();
    let get = client.get(&url).bearer_auth(key).send().await.unwrap();
    let head = client.head(&url).bearer_auth(key).send().await.unwrap();
    assert_eq!((head.status().as_u16(), get.status().as_u16()), (200, 200));
    assert_eq!(head.headers()["content-type"], get.headers()["content-type"]);
    assert_eq!(head.headers()["content-length"], get.bytes().await.unwrap().len().to_string());
    assert!(head.bytes().await.unwrap().is_empty());
}
