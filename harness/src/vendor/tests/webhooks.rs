//! Webhooks: which events there are, and how they are delivered.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(super) const URL: &str = "https://app.test/hooks/crm";

fn mac(secret: &str, text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// What a sound receiver of HubSpot's webhooks says, with any of the secrets handed over.
pub(super) fn accepts(desk: &Desk, letter: &Request) -> bool {
    let Some(ms) = letter.headers.get("x-hubspot-request-timestamp") else { return false };
    let age = desk.now.on_wall(epoch()).as_millisecond() - ms.parse::<i64>().unwrap();
    let mut text = format!("POST{URL}").into_bytes();
    text.extend_from_slice(&letter.body);
    text.extend_from_slice(ms.as_bytes());
    let signature = letter.headers.get("x-hubspot-signature-v3").unwrap_or_default();
    let secrets = desk.vendor.credentials()["webhook_secret"].clone();
    age <= 300_000 && secrets.lines().any(|s| STANDARD.encode(mac(s, &text)) == signature)
}

pub(super) fn closed(desk: &mut Desk) -> Vec<WebhookEvent> {
    let ids = desk.give("deals", 1);
    desk.wait(Span::millis(1_500));
    desk.act("deals.close", &ids, json!({})).emissions
}

#[test]
fn each_changed_property_is_an_event() {
    let mut desk = Desk::new("hubspot");
    let events = closed(&mut desk);
    let deal = &desk.vendor.records("deals").unwrap()[0];
    assert_eq!(deal["properties"]["dealstage"], "closedwon");
    assert_eq!(deal["properties"]["hs_lastmodifieddate"], "2026-03-02T09:00:01.500Z");
    let stage = events.iter().find(|e| e.payload["propertyName"] == "dealstage").unwrap();
    assert_eq!(stage.kind.as_ref(), "deal.propertyChange");
    assert_eq!(stage.payload["propertyValue"], "closedwon");
    assert_eq!(stage.payload["objectId"].to_string(), deal["id"].as_str().unwrap());
    assert_eq!(stage.payload["occurredAt"], epoch().as_millisecond() + 1_500);
    assert_eq!(stage.payload["eventId"].to_string(), stage.id.as_ref());
    assert!(events.iter().all(|e| e.payload["propertyName"] != "hs_lastmodifieddate"));
    let id: Arc<str> = deal["id"].as_str().unwrap().into();
    let amended = desk.act("deals.amend", std::slice::from_ref(&id), json!({ "properties.amount": "77.70" }));
    assert_eq!(amended.emissions.len(), 1);
    assert_eq!(amended.emissions[0].payload["propertyValue"], "77.70");
    let same = desk.act("deals.amend", std::slice::from_ref(&id), json!({ "properties.amount": "77.70" }));
    assert!(same.emissions.is_empty() && same.changes.is_empty(), "no change, no news");
    let gone = desk.act("deals.delete", std::slice::from_ref(&id), json!({}));
    assert_eq!(gone.emissions[0].kind.as_ref(), "deal.deletion");
    let made = desk.act("deals.create", &[], json!({}));
    assert_eq!(made.emissions[0].kind.as_ref(), "deal.creation");
}

#[test]
fn whether_changes_by_api_are_told_is_data() {
    for (own, count) in [(true, 1), (false, 0)] {
        let mut desk = Desk::patched("hubspot", json!({ "webhooks": { "own_changes": own } }));
        let ids = desk.give("deals", 1);
        let path = format!("/crm/v3/objects/deals/{}", ids[0]);
        let patched = desk.send("PATCH", &path, r#"{"properties":{"amount":"1.00"}}"#, &[]);
        assert_eq!(patched.emissions.len(), count);
        assert!(!desk.act("deals.close", &ids, json!({})).emissions.is_empty());
    }
}

#[test]
fn a_delivery_is_a_signed_list_that_counts_its_attempts() {
    let mut desk = Desk::new("hubspot");
    let events = closed(&mut desk);
    for attempt in [1, 2] {
        let letter = desk.vendor.delivery(desk.now, &events, attempt, URL, None);
        assert_eq!((letter.method.as_str(), letter.target.as_str()), ("POST", "/hooks/crm"));
        assert_eq!(letter.headers.get("host"), Some("app.test"));
        assert!(accepts(&desk, &letter));
        let sent: Value = serde_json::from_slice(&letter.body).unwrap();
        assert_eq!(sent.as_array().unwrap().len(), events.len());
        assert_eq!(sent[0]["attemptNumber"], attempt - 1);
        assert_eq!(sent[0]["eventId"], events[0].payload["eventId"]);
    }
}

#[test]
fn every_bad_signature_is_refused_and_every_odd_one_accepted() {
    use BadSignature::*;
    let mut desk = Desk::new("hubspot");
    let events = closed(&mut desk);
    desk.act("webhooks.roll_secret", &[], json!({}));
    assert_eq!(desk.vendor.credentials()["webhook_secret"].lines().count(), 2);
    for bad in
        [WrongSecret, Missing, TamperedBody, OldTimestamp, LateTimestamp, RolledSecret, UnusualSpelling]
    {
        let letter = desk.vendor.delivery(desk.now, &events, 1, URL, Some(bad));
        assert_eq!(accepts(&desk, &letter), !bad.must_be_refused(), "{bad:?}");
    }
    let odd = desk.vendor.delivery(desk.now, &events, 1, URL, Some(UnusualSpelling));
    let plain = desk.vendor.delivery(desk.now, &events, 1, URL, None);
    assert_ne!(odd.body, plain.body);
    let value = |r: &Request| serde_json::from_slice::<Value>(&r.body).unwrap();
    assert_eq!(value(&odd), value(&plain));
}

#[test]
fn old_letters_pass_after_a_roll_and_new_ones_are_signed_anew() {
    let mut desk = Desk::new("hubspot");
    let events = closed(&mut desk);
    let before = desk.vendor.delivery(desk.now, &events, 1, URL, None);
    let rolled = desk.act("webhooks.roll_secret", &[], json!({}));
    assert!(rolled.credentials[0].handed_over);
    let after = desk.vendor.delivery(desk.now, &events, 1, URL, None);
    assert!(accepts(&desk, &before) && accepts(&desk, &after));
    assert_ne!(before.headers.get("x-hubspot-signature-v3"), after.headers.get("x-hubspot-signature-v3"));
    let newest = desk.vendor.credentials()["webhook_secret"].lines().last().unwrap().to_owned();
    let ms = after.headers.get("x-hubspot-request-timestamp").unwrap();
    let text = [format!("POST{URL}").as_bytes(), &after.body, ms.as_bytes()].concat();
    assert_eq!(after.headers.get("x-hubspot-signature-v3").unwrap(), STANDARD.encode(mac(&newest, &text)));
}

#[test]
fn stripe_signs_with_both_secrets_during_a_roll() {
    let mut desk = Desk::patched("stripe", json!({ "webhooks": { "enabled": true } }));
    let made = desk.send("POST", "/v1/customers", "email=a@b.c", &[]);
    let event = &made.emissions[0];
    assert_eq!(
        (event.kind.as_ref(), &event.payload["data"]["object"]["email"]),
        ("customer.created", &json!("a@b.c"))
    );
    desk.act("webhooks.roll_secret", &[], json!({}));
    let letter = desk.vendor.delivery(desk.now, &made.emissions, 1, URL, None);
    let field = letter.headers.get("stripe-signature").unwrap().to_owned();
    let t = field.split(',').next().unwrap().trim_start_matches("t=");
    let text = [t.as_bytes(), b".", &letter.body].concat();
    let secrets = desk.vendor.credentials()["webhook_secret"].clone();
    let expected: Vec<String> =
        secrets.lines().map(|s| format!("v1={}", hex::encode(mac(s, &text)))).collect();
    assert_eq!(field, format!("t={t},{}", expected.join(",")));
    let sent: Value = serde_json::from_slice(&letter.body).unwrap();
    assert_eq!(sent["type"], "customer.created");
}

#[test]
fn unknown_and_poison_events_are_events_of_their_own() {
    let mut desk = Desk::new("hubspot");
    let events = closed(&mut desk);
    let unknown = desk.vendor.unknown_event(&events[0]);
    assert_eq!(unknown.payload["subscriptionType"], unknown.kind.as_ref());
    assert_ne!(unknown.kind, events[0].kind);
    let poison = desk.vendor.poison_event(&events[0]);
    assert_eq!(poison.payload["subscriptionType"], "deal.propertyChange");
    assert!(poison.payload.get("objectId").is_none());
    for event in [&unknown, &poison] {
        assert_ne!(event.id, events[0].id);
        assert_eq!(event.payload["eventId"].to_string(), event.id.as_ref());
    }
}

#[test]
fn retries_follow_the_vendors_schedule() {
    let count = |name: &str| {
        let mut desk = Desk::patched(name, json!({ "webhooks": { "enabled": true } }));
        (1..100).map_while(|n| desk.vendor.redelivery(n, None)).count()
    };
    assert_eq!((count("hubspot"), count("stripe"), count("github")), (10, 16, 0));
}

#[test]
fn without_an_endpoint_nothing_is_sent() {
    let mut desk = Desk::new("stripe");
    assert!(desk.send("POST", "/v1/customers", "email=a@b.c", &[]).emissions.is_empty());
    assert!(desk.vendor.profile().webhooks.is_none());
    assert!(!desk.vendor.credentials().contains_key("webhook_secret"));
}
