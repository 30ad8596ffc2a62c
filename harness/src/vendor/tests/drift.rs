//! Vendors that changed without notice: answers, requests, and webhooks before they are signed.

use super::webhooks::{URL, accepts, closed};
use super::*;
use crate::drift;
use crate::fault::Mutation;

fn mutation(yaml: &str) -> Mutation {
    serde_saphyr::from_str(yaml).unwrap()
}

fn answer(desk: &mut Desk, yaml: &str, method: &str, target: &str, payload: &str) -> (Reaction, bool) {
    let request = desk.request(method, target, payload, &[]);
    let (reaction, drifted) = drift::answer(&mut *desk.vendor, &mutation(yaml), 0, desk.now, &request);
    (reaction, drifted.is_some())
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
    assert_eq!(done.unwrap().patch[0]["op"], "add");
    let (attempt, _) = drifted("remove: /attemptNumber", Some("deal.propertyChange"));
    assert!(attempt[0].get("attemptNumber").is_none(), "the count of attempts is part of what changed");
    let (other, done) = drifted("remove: /objectId", Some("deal.deletion"));
    assert!(done.is_none() && other[0]["objectId"].is_number(), "an event of another type is let be");
    let (wrapped, done) = drifted("wrap: events", None);
    assert!(done.is_some() && wrapped["events"].is_array());
}
