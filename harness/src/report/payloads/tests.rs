//! A trace by hand, and the page it makes.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::seed::Seed;
use crate::time::At;
use crate::trace::*;
use crate::wire::{Headers, Protocol};

fn request(id: u32, line: &str, headers: &[(&str, &str)], body: &str) -> What {
    let (method, target) = line.split_once(' ').unwrap();
    let name = target.split('?').next().unwrap().replace("in_1aaaa", "{id}");
    What::Request {
        call: CallId(id),
        vendor: "billing".into(),
        connection: 0,
        protocol: Protocol::Http1,
        request: Request {
            method: method.into(),
            target: target.into(),
            headers: Headers::of(headers.iter().copied()),
            body: body.to_owned().into(),
        },
        operation: Some(Operation {
            name: format!("{method} {name}").into(),
            kind: OperationKind::Create,
            collection: None,
        }),
    }
}

fn change(collection: &str, id: &str) -> What {
    What::Change {
        vendor: "billing".into(),
        collection: collection.into(),
        id: id.into(),
        change: ChangeKind::Created,
        record: json!({}).into(),
        by: Cause::Scenario,
    }
}

fn trace(events: Vec<What>) -> Trace {
    Trace {
        head: Head {
            drill: "d".into(),
            seed: Seed(1),
            epoch: "2026-03-02T09:00:00Z".parse().unwrap(),
            heals_at: At(0),
            ends_at: At(0),
            real: None,
        },
        events: events.into_iter().map(|what| Event { at: At(0), what }).collect(),
    }
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn sound() -> Vec<What> {
    let event = WebhookEvent {
        id: "778899".into(),
        kind: "deal.creation".into(),
        collection: None,
        record: None,
        occurred: At(0),
        payload: Arc::new(json!({})),
    };
    let body = json!([{ "eventId": 778899, "objectId": 18000009000_u64, "occurredAt": 1_772_442_000_123_u64,
        "propertyValue": "2026-03-02T09:00:00Z", "attemptNumber": 0 }]);
    let delivery = Request {
        method: "POST".into(),
        target: "/hooks".into(),
        headers: Headers::default(),
        body: body.to_string().into(),
    };
    vec![
        change("deals", "18000009000"),
        request(
            0,
            "POST /v1/invoices",
            &[FORM, ("idempotency-key", "k-17")],
            "metadata[deal_id]=18000009000",
        ),
        request(
            1,
            "POST /v1/invoices",
            &[FORM, ("idempotency-key", "k-17")],
            "metadata[deal_id]=18000009000",
        ),
        change("invoices", "in_1aaaa"),
        request(
            2,
            "POST /v1/invoices/in_1aaaa?expand[]=customer",
            &[("authorization", "Bearer sk_test_123"), ("user-agent", "x")],
            "{\"amount\":12.50,\"at\":1772442000,\"lines\":[{\"id\":\"il_in_1aaaa\"},{\"id\":\"b\"}],\"none\":[]}",
        ),
        What::Emission { vendor: "crm".into(), event, fault: None },
        What::Delivery {
            delivery: DeliveryId(0),
            vendor: "crm".into(),
            attempt: 1,
            events: vec!["778899".into()],
            request: delivery,
            fault: None,
            must_be_refused: false,
        },
    ]
}

#[test]
fn what_varies_has_a_name_and_the_rest_is_as_it_was() {
    insta::assert_snapshot!(payloads(&trace(sound())), @r#"
    billing POST /v1/invoices  (1 payload, sent 2 times)
      content-type:      application/x-www-form-urlencoded
      idempotency-key:   [key#1]
      metadata[deal_id]  [deal#1]

    billing POST /v1/invoices/{id}  (1 payload)
      path            /v1/invoices/[invoice#1]
      authorization:  Bearer [credential#1]
      ?expand[]       customer
      amount          12.5
      at              [epoch s]
      lines[].id      "il_[invoice#1]" & "b"
      none            []

    crm webhook deal.creation  (1 payload)
      eventId        [event#1]
      objectId       [deal#1]
      occurredAt     [epoch ms]
      propertyValue  "[iso time]"
      attemptNumber  0
    "#);
}

#[test]
fn another_key_another_id_and_another_moment_make_the_same_page() {
    let text = serde_json::to_string(&trace(sound())).unwrap();
    let other = text
        .replace("k-17", "k-99")
        .replace("18000009000", "18000018000")
        .replace("in_1aaaa", "in_1bbbb")
        .replace("1772442000", "1772449999")
        .replace("sk_test_123", "sk_test_456");
    assert_ne!(text, other);
    let other: Trace = serde_json::from_str(&other).unwrap();
    assert_eq!(payloads(&other), payloads(&trace(sound())));
}
