//! `firedrill serve`, as a user meets it: started as a program, called over HTTP.

#[path = "../provider/mod.rs"]
mod provider;
#[path = "../recorder/mod.rs"]
mod recorder;
#[path = "../served/mod.rs"]
mod served;

mod api;
mod faults;
mod https;
mod mistakes;
mod recordings;
mod state;
mod tls;

use serde_json::{Value, json};
use served::Served;

/// The two bundled vendors that bill, with a few deals.
fn both() -> Served {
    Served::start(&["--vendor", "crm=hubspot", "--vendor", "billing=stripe"])
}

fn client() -> reqwest::Client {
    // Which cryptography reqwest uses is said once a program; it is not used here.
    provider::name();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// An answer of the control API: its status and its body.
async fn ask(served: &Served, method: &str, path: &str, body: &str) -> (u16, Value) {
    let client = client();
    let url = format!("{}{path}", served.control());
    let sent = client.request(method.parse().unwrap(), url).body(body.to_owned()).send().await.unwrap();
    let status = sent.status().as_u16();
    let text = sent.text().await.unwrap();
    (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
}

/// Asks the control API for what it has to give.
async fn done(served: &Served, method: &str, path: &str, body: Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (status, answer) = ask(served, method, path, &body).await;
    assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    answer
}

/// Makes a customer at Stripe; gives the status and the body.
async fn customer(served: &Served, key: &str) -> Result<(u16, Value), reqwest::Error> {
    let client = client();
    let api_key = served.vendor("billing")["credentials"]["api_key"].as_str().unwrap();
    let sent = client
        .post(format!("{}/v1/customers", served.url("billing")))
        .bearer_auth(api_key)
        .header("idempotency-key", key)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("name=Ann")
        .send()
        .await?;
    Ok((sent.status().as_u16(), serde_json::from_str(&sent.text().await?).unwrap_or(json!(null))))
}

async fn customers(served: &Served) -> Vec<Value> {
    let records = done(served, "GET", "/ledgers/billing/customers", json!(null)).await;
    records["records"].as_array().unwrap().clone()
}
