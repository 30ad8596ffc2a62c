//! A vendor that nobody wrote code for.

use super::*;
use crate::fault::ErrorKind;

const PARCELS: &str = r#"
vendor: parcels
origin: https://api.parcels.example
auth: { dialect: key, key: "pk_{chars:hex:16}" }
idempotency: { dialect: ietf, replayed: { idempotency-replayed: "yes" } }
rate_limit: { dialect: ietf, limit: 20, window: 30s }
paging: { dialect: page-number, default: 3, max: 5, limit: size, items: parcels, total: total }
responses: { headers: { x-trace: "{request_id}" }, request_id: "{chars:uuid}" }
errors:
  body: { problem: "{error.message}", about: "{error.param|error.key}" }
  prune: true
collections:
  parcels:
    one: parcel
    id: { text: "par_{chars:alnum:10}" }
    template: { id: "{id}", to: null, grams: 0, state: packed, made: "{now.iso}" }
    touch: { changed: "{now.iso}" }
    seeded: { to: "Street {seq}", grams: "{int:100..9000}" }
operations:
  GET /parcels: { does: list, of: parcels, filters: { state: state } }
  POST /parcels:
    does: create
    of: parcels
    params: { to: { type: string, required: true }, grams: { type: integer, max: 30000 } }
  GET /parcels/{id}: { does: read, of: parcels }
  POST /parcels/{id}/ship:
    does: transition
    of: parcels
    named: ship
    require:
      - that: record.state
        is: [packed]
        else: { kind: unprocessable, say: { message: "parcel {record.id} is {value} already" } }
    set: { state: shipped }
actions:
  parcels: { lose: { does: update, set: { state: lost } } }
webhooks:
  sign: { dialect: standard-webhooks, secret: "whsec_{chars:hex:32}" }
  id_pointer: /id
  kind_pointer: /type
  event_id: "evt_{chars:alnum:12}"
  retry: { after: [5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h] }
  disable: { on: [410] }
  events:
    - { on: created, of: parcels, kind: parcel.created }
    - { on: ship, of: parcels, kind: parcel.shipped }
    - { on: changed, of: parcels, kind: parcel.changed }
  payload: { id: "{event.id}", type: "{event.kind}", timestamp: "{now.iso}", data: "{record}" }
"#;

fn desk() -> Desk {
    Desk::of(&Arc::new(VendorFile::read("parcels.yaml", PARCELS, &Value::Null).unwrap()), 3)
}

#[test]
fn a_third_vendor_is_data_alone() {
    let mut desk = desk();
    let payload = r#"{"to":"Ålesund","grams":1200}"#;
    let missing = desk.send("POST", "/parcels", payload, &[]);
    assert_eq!((status(&missing), missing.changes.len()), (400, 0), "the key is required");
    let made = desk.keyed("/parcels", payload, "\"k-1\"");
    assert_eq!((status(&made), &body(&made)["to"]), (201, &json!("Ålesund")));
    assert_eq!(header(&made, "ratelimit"), Some("\"default\";r=18;t=30"));
    let again = desk.keyed("/parcels", payload, "\"k-1\"");
    assert_eq!((body(&again), again.replayed), (body(&made), true));
    assert_eq!(header(&again, "idempotency-replayed"), Some("yes"));
    let other = desk.keyed("/parcels", r#"{"to":"Bergen"}"#, "\"k-1\"");
    assert_eq!((status(&other), other.told.error), (422, Some(ErrorKind::IdempotencyMismatch)));
    assert_eq!(status(&desk.keyed("/parcels", payload, "unquoted")), 400);
    let busy = [("idempotency-key", "\"k-2\"")];
    desk.send_for("POST", "/parcels", payload, &busy, Span::secs(2));
    assert_eq!(status(&desk.keyed("/parcels", payload, "\"k-2\"")), 409);

    let id = body(&made)["id"].as_str().unwrap().to_owned();
    let shipped = desk.keyed(&format!("/parcels/{id}/ship"), "", "\"k-3\"");
    assert_eq!(body(&shipped)["state"], "shipped");
    let kinds: Vec<_> = shipped.emissions.iter().map(|e| e.kind.as_ref()).collect();
    assert_eq!(kinds, ["parcel.shipped", "parcel.changed"]);
    let twice = desk.keyed(&format!("/parcels/{id}/ship"), "", "\"k-4\"");
    assert_eq!(
        (status(&twice), &body(&twice)["problem"]),
        (422, &json!(format!("parcel {id} is shipped already")))
    );
    let bad = desk.keyed("/parcels", r#"{"to":"x","grams":"heavy"}"#, "\"k-5\"");
    assert_eq!((status(&bad), &body(&bad)["about"]), (400, &json!("grams")));

    let letter = desk.vendor.delivery(desk.now, &shipped.emissions, 2, "https://me.test/in", None);
    assert_eq!(letter.headers.get("webhook-id"), Some(shipped.emissions[0].id.as_ref()));
    assert!(letter.headers.get("webhook-signature").unwrap().starts_with("v1,"));
    assert_eq!(desk.vendor.redelivery(2, None), Some(Span::mins(5)));
}

#[test]
fn its_pages_are_numbered() {
    let mut desk = desk();
    desk.give("parcels", 8);
    let mut seen = Vec::new();
    for number in 1..=3 {
        let page = desk.send("GET", &format!("/parcels?page={number}"), "", &[]);
        assert_eq!(header(&page, "link").unwrap().contains("rel=\"next\""), number < 3);
        let got = body(&page);
        assert_eq!(got["total"], 8);
        seen.extend(got["parcels"].as_array().unwrap().iter().map(|p| p["id"].clone()));
    }
    let all: Vec<_> = desk.vendor.records("parcels").unwrap().iter().map(|p| p["id"].clone()).collect();
    assert_eq!(seen, all);
}

#[test]
fn its_limit_names_the_moment_to_come_back() {
    let mut desk = desk();
    for _ in 0..20 {
        assert_eq!(status(&desk.send("GET", "/parcels", "", &[])), 200);
    }
    desk.wait(Span::millis(500));
    let over = desk.send("GET", "/parcels", "", &[]);
    assert_eq!((status(&over), over.told.retry_at), (429, Some(At(30_000_000))));
    assert_eq!(header(&over, "ratelimit"), Some("\"default\";r=0;t=30"));
    desk.now = At(30_000_000);
    assert_eq!(status(&desk.send("GET", "/parcels", "", &[])), 200);
}

#[test]
fn only_successes_are_saved_where_the_vendor_says_so() {
    let patch = json!({ "idempotency": { "dialect": "success-only" } });
    let file = VendorFile::read("parcels.yaml", PARCELS, &patch).unwrap();
    let mut desk = Desk::of(&Arc::new(file), 3);
    let payload = r#"{"to":"x"}"#;
    let request = desk.request("POST", "/parcels", payload, &[("idempotency-key", "k")]);
    let broken = ErrorReply {
        kind: ErrorKind::ServerError,
        status: None,
        retry_after: None,
        headers: BTreeMap::new(),
        moment: Some(crate::fault::Moment::AfterApplied),
    };
    assert!(desk.vendor.fail(At(0), &request, &broken).applied);
    let second = desk.keyed("/parcels", payload, "k");
    assert!(second.applied, "the 500 was not saved, so it is made twice");
    assert!(desk.keyed("/parcels", payload, "k").replayed);
    assert_eq!(desk.vendor.records("parcels").unwrap().len(), 2);
}

#[test]
fn a_failure_is_completed_under_its_key_where_the_vendor_says_so() {
    let patch = json!({ "idempotency": { "dialect": "stripe-v2" } });
    let file = VendorFile::read("parcels.yaml", PARCELS, &patch).unwrap();
    let mut desk = Desk::of(&Arc::new(file), 3);
    let payload = r#"{"to":"x"}"#;
    let request = desk.request("POST", "/parcels", payload, &[("idempotency-key", "k")]);
    let broken = ErrorReply {
        kind: ErrorKind::ServerError,
        status: None,
        retry_after: None,
        headers: BTreeMap::new(),
        moment: Some(crate::fault::Moment::AfterApplied),
    };
    assert_eq!(desk.vendor.fail(At(0), &request, &broken).response.unwrap().status, 500);
    let again = desk.keyed("/parcels", payload, "k");
    assert_eq!((status(&again), again.replayed, again.told.error), (201, true, None));
    assert_eq!(desk.vendor.records("parcels").unwrap().len(), 1, "what had taken effect did not again");

    let ship = format!("/parcels/{}/ship", body(&again)["id"].as_str().unwrap());
    assert_eq!(status(&desk.keyed(&ship, "", "first")), 200);
    for _ in 0..2 {
        let refused = desk.keyed(&ship, "", "second");
        assert_eq!((status(&refused), refused.replayed), (422, false), "a refusal is looked at anew");
    }
}

#[test]
fn an_endpoint_that_says_it_is_gone_hears_nothing_more() {
    let mut desk = desk();
    let sent = desk.keyed("/parcels", r#"{"to":"x"}"#, "\"k-1\"");
    assert_eq!(sent.emissions.len(), 1);
    let says = |status| Response { status, headers: Headers::default(), body: bytes::Bytes::new() };
    assert_eq!(desk.vendor.redelivery(1, Some(&says(503))), Some(Span::secs(5)));
    assert!(!desk.vendor.has_disabled_webhooks());
    assert_eq!(desk.vendor.redelivery(2, Some(&says(410))), None);
    assert!(desk.vendor.has_disabled_webhooks());
    assert_eq!(desk.keyed("/parcels", r#"{"to":"y"}"#, "\"k-2\"").emissions.len(), 0);
}

#[test]
fn a_subscription_is_deleted_once_so_many_events_were_given_up_on() {
    let patch = json!({ "webhooks": { "retry": { "after": ["5s"] }, "disable": { "after": 2 } } });
    let file = VendorFile::read("parcels.yaml", PARCELS, &patch).unwrap();
    let mut desk = Desk::of(&Arc::new(file), 3);
    for event in 1..=2 {
        assert!(!desk.vendor.has_disabled_webhooks(), "event {event}");
        assert_eq!(desk.vendor.redelivery(1, None), Some(Span::secs(5)));
        assert_eq!(desk.vendor.redelivery(2, None), None);
    }
    assert!(desk.vendor.has_disabled_webhooks());
}

#[test]
fn an_opened_vendor_shares_its_file() {
    let file = Arc::new(VendorFile::read("parcels.yaml", PARCELS, &Value::Null).unwrap());
    let before = Arc::strong_count(&file);
    let vendors: Vec<_> = (0..100).map(|n| open(&file, epoch(), Seed(n))).collect();
    assert_eq!(Arc::strong_count(&file), before + vendors.len(), "the file is shared, not copied");
}
