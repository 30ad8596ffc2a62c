//! Vendors seen from outside: through the trait, as the world drives them.

mod api;
mod drift;
mod faults;
mod other;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::seed::Seed;
use crate::trace::What;
use crate::wire::Headers;

/// A vendor with somebody who may call it.
struct Desk {
    vendor: Box<dyn Vendor>,
    now: At,
    token: String,
    latest: String,
    log: Vec<String>,
}

fn epoch() -> jiff::Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

fn file(name: &str, patch: Value) -> Arc<VendorFile> {
    Arc::new(VendorFile::load(name, None, &patch).unwrap_or_else(|m| panic!("{m:?}")))
}

impl Desk {
    fn of(file: &Arc<VendorFile>, seed: u64) -> Desk {
        let vendor = open(file, epoch(), Seed(seed));
        let mut desk =
            Desk { vendor, now: At(0), token: String::new(), latest: String::new(), log: Vec::new() };
        let credentials = desk.vendor.credentials();
        if let Some(key) = credentials.get("api_key") {
            desk.token.clone_from(key);
        } else if credentials.contains_key("refresh_token") {
            let answer = desk.refresh(&credentials["refresh_token"]);
            desk.token = body(&answer)["access_token"].as_str().unwrap().to_owned();
        }
        desk
    }

    fn new(name: &str) -> Desk {
        Desk::of(&file(name, Value::Null), 7)
    }

    fn patched(name: &str, patch: Value) -> Desk {
        Desk::of(&file(name, patch), 7)
    }

    fn refresh(&mut self, token: &str) -> Reaction {
        let c = self.vendor.credentials();
        let form = format!(
            "grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={token}",
            c["client_id"], c["client_secret"]
        );
        let answer = self.send("POST", "/oauth/v1/token", &form, &[]);
        if let Some(next) = body(&answer)["refresh_token"].as_str() {
            self.latest = next.to_owned();
        }
        answer
    }

    fn request(&self, method: &str, target: &str, payload: &str, headers: &[(&str, &str)]) -> Request {
        let form = !payload.starts_with('{');
        let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
        let mut all = Headers::of([("host", "api.test"), ("user-agent", "test")]);
        if !payload.is_empty() {
            all.set("content-type", kind);
        }
        if !self.token.is_empty() {
            all.set("authorization", format!("Bearer {}", self.token));
        }
        headers.iter().for_each(|(n, v)| all.set(n, *v));
        Request {
            method: method.into(),
            target: target.into(),
            headers: all,
            body: payload.to_owned().into(),
        }
    }

    fn send(&mut self, method: &str, target: &str, payload: &str, headers: &[(&str, &str)]) -> Reaction {
        self.send_for(method, target, payload, headers, Span::ZERO)
    }

    fn send_for(
        &mut self,
        method: &str,
        target: &str,
        payload: &str,
        headers: &[(&str, &str)],
        takes: Span,
    ) -> Reaction {
        let request = self.request(method, target, payload, headers);
        let reaction = self.vendor.step(self.now, &request, takes);
        self.log.push(format!("{reaction:?}"));
        reaction
    }

    fn get(&mut self, target: &str) -> Value {
        body(&self.send("GET", target, "", &[]))
    }

    fn post(&mut self, target: &str, payload: &str) -> Value {
        body(&self.send("POST", target, payload, &[]))
    }

    fn keyed(&mut self, target: &str, payload: &str, key: &str) -> Reaction {
        self.send("POST", target, payload, &[("idempotency-key", key)])
    }

    fn give(&mut self, collection: &str, count: u32) -> Vec<Arc<str>> {
        let given = Given { count, ..Given::default() };
        self.vendor.give(collection, &given).unwrap().into_iter().map(|c| c.id).collect()
    }

    fn act(&mut self, what: &str, ids: &[Arc<str>], set: Value) -> Reaction {
        let (noun, verb) = what.split_once('.').unwrap();
        let set = set.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let reaction = self.vendor.act(self.now, noun, verb, ids, &set).unwrap();
        self.log.push(format!("{reaction:?}"));
        reaction
    }

    fn wait(&mut self, span: Span) {
        self.now = self.now + span;
    }
}

fn body(reaction: &Reaction) -> Value {
    let response = reaction.response.as_ref().expect("a request is answered");
    if response.body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(&response.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&response.body)))
}

fn status(reaction: &Reaction) -> u16 {
    reaction.response.as_ref().map_or(0, |r| r.status)
}

fn header<'r>(reaction: &'r Reaction, name: &str) -> Option<&'r str> {
    reaction.response.as_ref().and_then(|r| r.headers.get(name))
}

#[test]
fn equal_calls_give_equal_reactions_byte_for_byte() {
    let run = |seed| {
        let mut log = Vec::new();
        for name in ["hubspot", "stripe", "github"] {
            let mut desk = Desk::of(&file(name, Value::Null), seed);
            match name {
                "hubspot" => {
                    let ids = desk.give("deals", 30);
                    desk.wait(Span::secs(3));
                    desk.act("deals.close", &ids[..9], json!({}));
                    desk.act("deals.amend", &ids[..9], json!({}));
                    desk.get("/crm/v3/objects/deals?limit=7");
                    desk.post("/crm/v3/objects/deals/search", r#"{"limit":3}"#);
                }
                "stripe" => {
                    let customer = desk.post("/v1/customers", "email=a@b.c&metadata[k]=v");
                    let id = customer["id"].as_str().unwrap().to_owned();
                    desk.keyed("/v1/invoices", &format!("customer={id}"), "k1");
                    desk.keyed("/v1/invoices", &format!("customer={id}"), "k1");
                    desk.get("/v1/customers/cus_none");
                }
                _ => {
                    desk.give("issues", 5);
                    desk.get("/repos/octo-org/octo-repo/issues?per_page=2");
                }
            }
            let letter = desk.vendor.delivery(desk.now, &[], 1, "https://app.test/h", None);
            log.push(format!("{:?} {letter:?} {:?}", desk.log, desk.vendor.credentials()));
        }
        log
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_reaction_fits_into_the_trace() {
    let mut desk = Desk::new("stripe");
    let reaction = desk.send("POST", "/v1/customers", "email=a@b.c", &[]);
    let change = &reaction.changes[0];
    let event = What::Change {
        vendor: "billing".into(),
        collection: change.collection.clone(),
        id: change.id.clone(),
        change: change.change,
        record: change.record.clone(),
        by: crate::trace::Cause::Scenario,
    };
    assert!(serde_json::to_string(&event).unwrap().contains("\"created\""));
}
