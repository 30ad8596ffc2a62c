//! What a finding tells.

use super::*;

fn told(contract: &Contract, value: &Value) -> String {
    let said = contract.check_value_at(IT, Direction::Response, value);
    let line = |v: &Violation| {
        let more =
            [v.branch.as_deref(), v.moved.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        format!(
            "{:?} {} {} ({})\n  at {}\n  expected {}, got {}\n  {more}\n",
            v.severity, v.rule, v.pointer, v.wild, v.schema, v.expected, v.got
        )
    };
    said.violations.iter().map(line).collect()
}

fn deal() -> Contract {
    let line = json!({ "type": "object", "required": ["amount"], "properties": { "amount": { "type": "integer" }, "sku": { "type": "string" } } });
    let card = json!({ "title": "card", "type": "object", "required": ["object", "last4"], "properties": {
        "object": { "type": "string", "enum": ["card"] }, "last4": { "type": "string", "maxLength": 4 } } });
    let bank = json!({ "type": "object", "required": ["object", "iban"], "properties": {
        "object": { "type": "string", "enum": ["bank"] }, "iban": { "type": "string", "pattern": "^[A-Z]{2}" } } });
    let schemas = json!({ "bank": bank, "it": {
        "type": "object", "required": ["id", "amount_due", "closed_at"],
        "properties": {
            "id": { "type": "string" }, "amount_due": { "type": "integer" }, "closed_at": { "type": "string", "format": "date-time" },
            "stage": { "type": "string", "enum": ["won", "lost"] },
            "lines": { "type": "array", "items": line },
            "labels": { "type": "object", "additionalProperties": line },
            "source": { "anyOf": [{ "type": "string" }, card, { "$ref": "#/components/schemas/bank" }] },
            "token": { "type": "integer" },
            "strict": { "type": "object", "additionalProperties": false, "properties": { "a": {} } },
        },
    } });
    contract(&described(json!({}), schemas))
}

#[test]
fn each_finding_says_where_what_was_expected_and_what_came() {
    let value = json!({
        "id": 7, "amountDue": 12, "dates": { "closed_at": "2024-01-24T00:00:00Z" }, "stage": "paused",
        "lines": [{ "amount": 1 }, { "amount": { "value": 1, "currency": "eur" } }, { "amount": 2, "vat": 3 }],
        "labels": { "first": { "amount": "9" } },
        "token": "sk_live_0123456789abcdef", "strict": { "a": 1, "b": 2 },
    });
    insta::assert_snapshot!(told(&deal(), &value));
}

#[test]
fn no_finding_shows_what_is_a_persons_own() {
    let value = json!({
        "id": 4242424242424242u64, "amount_due": "ap@contoso-ag.info", "closed_at": "+1 415 555 0123", "stage": "078-05-1120",
        "lines": [{ "amount": "DE89370400440532013000", "holder_name": "Jane Roe" }],
        "labels": { "jane.roe@contoso-ag.info": { "amount": "Jane Roe" } },
        "strict": { "a": 1, "jane.roe@contoso-ag.info": "4242 4242 4242 4242" },
    });
    let said = told(&deal(), &value);
    let own = ["4242", "contoso", "415", "078", "3704", "Jane", "roe"];
    assert!(own.iter().all(|own| !said.contains(own)), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn of_several_branches_the_closest_is_explained() {
    let base = json!({ "id": "d", "amount_due": 1, "closed_at": "2024-01-24T00:00:00Z" });
    let with = |source: Value| {
        let mut value = base.clone();
        value["source"] = source;
        told(&deal(), &value)
    };
    let cases = [
        with(json!({ "object": "card", "last4": 4242 })),
        with(json!({ "object": "bank", "iban": "12" })),
        with(json!({ "object": "cheque" })),
        with(json!(7)),
    ];
    insta::assert_snapshot!(cases.join("\n"));
    assert_eq!(told(&deal(), &base), "");
}

#[test]
fn many_new_fields_break_nothing_and_an_open_object_takes_any() {
    let contract = of_schema(
        "3.0.3",
        json!({ "type": "object", "properties": {
        "free": { "type": "object" }, "open": { "type": "object", "additionalProperties": true, "properties": { "a": {} } },
        "closed": { "type": "object", "properties": { "a": {} } },
    } }),
    );
    let said = contract.check_value_at(
        IT,
        Direction::Response,
        &json!({ "new": 1, "free": { "x": 1 }, "open": { "x": 1 }, "closed": { "a": { "deep": 1 }, "x": 1 } }),
    );
    let found: Vec<&str> = said.violations.iter().map(|v| v.pointer.as_str()).collect();
    assert_eq!(found, ["/closed/x", "/new"]);
    assert_eq!(said.verdict(), crate::finding::Verdict::Pass);
}

#[test]
fn webhooks_are_judged_by_their_own_schemas() {
    let mut document = described(json!({}), json!({ "it": { "type": "object", "required": ["id"] } }));
    document["openapi"] = "3.1.0".into();
    document["webhooks"] = json!({ "made": { "post": { "requestBody": { "content": {
        "application/json": { "schema": { "$ref": "#/components/schemas/it" } } } } } } });
    let mut contract = contract(&document);
    let schema = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array",
        "items": { "$ref": "#/$defs/event" }, "$defs": { "event": { "type": "object", "required": ["eventId"] } } });
    contract.add_webhook("deal.change", "x.schema.json".as_ref(), schema.to_string().as_bytes()).unwrap();
    assert_eq!(contract.webhooks(), ["made", "deal.change"]);
    let places = |name: &str, payload: Value| {
        let said = contract.check_webhook(name, &payload)?;
        Some(said.breaking().map(|v| v.pointer.clone()).collect::<Vec<_>>())
    };
    assert_eq!(places("made", json!({})).unwrap(), ["/id"]);
    assert_eq!(places("deal.change", json!([{ "eventId": 1 }, {}])).unwrap(), ["/1/eventId"]);
    assert!(places("unheard", json!({})).is_none());
    let outside = json!({ "$ref": "https://example.com/x.json" });
    let refused =
        contract.add_webhook("x", "x.schema.json".as_ref(), outside.to_string().as_bytes()).unwrap_err();
    assert!(refused.to_string().contains("example.com"), "{refused}");
}
