//! Vendors that changed without notice: answers, requests, and webhooks before they are signed.

use super::webhooks::{URL, accepts, closed};
use super::*;
use crate::drift;
use crate::fault::Mutation;

fn mutation(yaml: &str) -> Mutation {
    serde_saphyr::from_str(yaml).unwrap()
}

fn recorded(desk: &mut Desk, yaml: &str, method: &str, target: &str, payload: &str) -> (Reaction, Value) {
    let request = desk.request(method, target, payload, &[]);
    let (reaction, drifted) = drift::answer(&mut *desk.vendor, &mutation(yaml), 0, desk.now, &request);
    (reaction, drifted.map_or(Value::Null, |d| d.patch))
}

fn answer(desk: &mut Desk, yaml: &str, method: &str, target: &str, payload: &str) -> (Reaction, bool) {
    let (reaction, patch) = recorded(desk, yaml, method, target, payload);
    (reaction, !patch.is_null())
}

#[test]
fn an_answer_changes_and_the_ledger_does_not() {
    let mut desk = Desk::new("hubspot");
    let id = desk.give("deals", 1)[0].clone();
    let target = format!("/crm/v3/objects/deals/{id}?properties=amount");
    let (reaction, fired) = answer(&mut desk, "remove: /properties/amount", "GET", &target, "");
    assert!(fired && body(&reaction)["properties"].get("amount").is_none());
    assert!(desk.vendor.records("deals").unwrap()[0]["properties"]["amount"].is_string());
    let (same, fired) = answer(&mut desk, "remove: /nothing", "GET", &target, "");
    assert!(!fired && body(&same)["properties"]["amount"].is_string());
}

#[test]
fn a_new_required_field_is_asked_for_in_the_vendors_own_words() {
    let mut desk = Desk::new("stripe");
    let rule = "require: /account/id";
    let (refused, fired) = answer(&mut desk, rule, "POST", "/v1/customers", "email=a@b.c");
    assert_eq!((status(&refused), fired, refused.applied), (400, true, false));
    assert_eq!(body(&refused)["error"]["message"], "Missing required param: account.id.");
    assert!(desk.vendor.records("customers").unwrap().is_empty());
    let (_, fired) = answer(&mut desk, rule, "POST", "/v1/customers", "email=a@b.c&account[id]=1");
    assert!(!fired, "what is there is not missed");
    let (refused, patch) = recorded(&mut desk, rule, "POST", "/v1/customers", "email=a@b.c");
    assert_eq!(patch[0], json!({ "op": "replace", "path": "/status", "value": 400 }));
    assert_eq!(patch[1], json!({ "op": "replace", "path": "/body", "value": body(&refused) }));
    let mut crm = Desk::new("hubspot");
    let search = r#"{"filterGroups":[]}"#;
    let (refused, _) = answer(&mut crm, "require: /locale", "POST", "/crm/v3/objects/deals/search", search);
    assert_eq!(body(&refused)["message"], "Required field is missing: locale");
}

#[test]
fn a_capped_page_says_truly_that_there_is_more() {
    let mut desk = Desk::new("hubspot");
    desk.give("deals", 3);
    let list = "/crm/v3/objects/deals?limit=100";
    let (page, fired) = answer(&mut desk, "cap_page: 2", "GET", list, "");
    let page = body(&page);
    assert!(fired && page["paging"]["next"]["after"].is_string());
    assert_eq!(page["results"].as_array().unwrap().len(), 2);
    let (_, fired) = answer(&mut desk, "cap_page: 3", "GET", list, "");
    assert!(!fired, "nothing was left out");
    assert_eq!(desk.get(list)["results"].as_array().unwrap().len(), 3, "the cap is over");
}

#[test]
fn a_capped_page_is_recorded_as_the_way_to_it_from_the_whole_one() {
    let mut desk = Desk::new("hubspot");
    desk.give("deals", 5);
    let list = "/crm/v3/objects/deals?limit=4";
    let mut whole = json!({ "headers": {}, "body": desk.get(list) });
    let (page, patch) = recorded(&mut desk, "cap_page: 2", "GET", list, "");
    let patch: json_patch::Patch = serde_json::from_value(patch).unwrap();
    json_patch::patch(&mut whole, &patch).unwrap();
    assert_eq!(whole["body"], body(&page));
    assert_eq!(whole["body"]["results"].as_array().unwrap().len(), 2);
    // Where the next page is told in a header field, that is part of what changed.
    let mut github = Desk::new("github");
    for _ in 0..3 {
        github.send("POST", "/repos/me/mine/issues", r#"{"title":"It broke"}"#, &[]);
    }
    let (page, patch) = recorded(&mut github, "cap_page: 2", "GET", "/repos/me/mine/issues", "");
    let link = page.response.as_ref().unwrap().headers.get("link").unwrap().to_owned();
    assert!(link.contains("rel=\"next\""), "{link}");
    let steps = [
        json!({ "op": "add", "path": "/headers/link", "value": link }),
        json!({ "op": "remove", "path": "/body/2" }),
    ];
    assert_eq!(patch, json!(steps));
}

#[test]
fn a_webhook_changes_before_it_is_signed() {
    let mut desk = Desk::new("hubspot");
    let events = closed(&mut desk);
    assert!(events.len() > 1);
    let mut drifted = |yaml: &str, kind: Option<&str>| {
        let rule = mutation(yaml);
        let mut drift = DeliveryDrift { mutation: &rule, turn: 0, kind, done: None };
        let letter = desk.vendor.drifted_delivery(desk.now, &events, 1, URL, &mut drift);
        assert!(accepts(&desk, &letter), "{yaml}: the vendor changed, not an attacker");
        (serde_json::from_slice::<Value>(&letter.body).unwrap(), drift.done)
    };
    let (renamed, done) = drifted("rename: { field: /objectId, to: recordId }", None);
    assert!(renamed.as_array().unwrap().iter().all(|e| e.get("recordId").is_some()));
    let paths: Vec<Value> =
        done.unwrap().patch.as_array().unwrap().iter().map(|step| step["path"].clone()).collect();
    assert_eq!(paths.len(), 2 * events.len(), "every event of the delivery is recorded: {paths:?}");
    assert!(paths.contains(&json!("/body/0/recordId")) && paths.contains(&json!("/body/1/objectId")));
    let (attempt, _) = drifted("remove: /attemptNumber", Some("deal.propertyChange"));
    assert!(attempt[0].get("attemptNumber").is_none(), "the count of attempts is part of what changed");
    let (other, done) = drifted("remove: /objectId", Some("deal.deletion"));
    assert!(done.is_none() && other[0]["objectId"].is_number(), "an event of another type is let be");
    let (wrapped, done) = drifted("wrap: events", None);
    assert!(done.is_some() && wrapped["events"].is_array());
}
