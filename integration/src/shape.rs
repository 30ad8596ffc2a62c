//! The shapes that we rely on: one JSON Schema each, compiled once a process. Knows structure; must not know meaning.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::client::{Failure, Reply};

/// An answer or event whose structure we rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Token,
    Deal,
    DealPage,
    Customer,
    Invoice,
    InvoiceItem,
    Deleted,
    List,
    Event,
}

fn compile(schema: Value) -> Validator {
    match jsonschema::validator_for(&schema) {
        Ok(validator) => validator,
        Err(error) => unreachable!("our own schemas compile: {error}"),
    }
}

/// An instant as HubSpot writes it: ISO 8601 with a zone, never an epoch.
const ISO: &str = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})$";

static TOKEN: LazyLock<Validator> = LazyLock::new(|| {
    compile(json!({
        "type": "object",
        "required": ["access_token", "expires_in"],
        "properties": {
            "access_token": {"type": "string", "minLength": 1},
            "expires_in": {"type": "integer", "minimum": 1},
            "refresh_token": {"type": ["string", "null"], "minLength": 1}
        }
    }))
});

static DEAL: LazyLock<Validator> = LazyLock::new(|| {
    let text = json!({"type": ["string", "null"]});
    compile(json!({
        "type": "object",
        "required": ["id", "properties", "updatedAt"],
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9A-Za-z_-]+$"},
            "updatedAt": {"type": "string", "pattern": ISO},
            "archived": {"type": "boolean"},
            "properties": {
                "type": "object",
                "required": [
                    "dealname", "amount", "deal_currency_code", "closedate", "dealstage", "billing_email", "billing_name"
                ],
                "properties": {
                    "dealname": text,
                    "amount": {"type": ["string", "null"], "pattern": r"^(-?[0-9]+(\.[0-9]+)?)?$"},
                    "deal_currency_code": {"type": ["string", "null"], "pattern": "^([A-Za-z]{3})?$"},
                    "closedate": {"type": ["string", "null"], "pattern": format!("^$|{ISO}")},
                    "dealstage": {"type": "string", "minLength": 1},
                    "billing_email": text,
                    "billing_name": text,
                    "hs_lastmodifieddate": {"type": ["string", "null"], "pattern": ISO}
                }
            }
        }
    }))
});

static DEAL_PAGE: LazyLock<Validator> = LazyLock::new(|| {
    compile(json!({
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": {"type": "array", "items": {"type": "object"}},
            "total": {"type": "integer", "minimum": 0},
            "paging": {
                "type": ["object", "null"],
                "properties": {"next": {
                    "type": ["object", "null"],
                    "required": ["after"],
                    "properties": {"after": {"type": "string", "minLength": 1}}
                }}
            }
        }
    }))
});

static CUSTOMER: LazyLock<Validator> = LazyLock::new(|| {
    compile(json!({
        "type": "object",
        "required": ["id", "object"],
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "object": {"const": "customer"},
            "email": {"type": ["string", "null"]},
            "created": {"type": "integer"}
        }
    }))
});

static INVOICE: LazyLock<Validator> = LazyLock::new(|| {
    compile(json!({
        "type": "object",
        "required": ["id", "object", "customer", "status", "currency", "amount_due", "metadata"],
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "object": {"const": "invoice"},
            "customer": {"type": "string", "minLength": 1},
            "status": {"enum": ["draft", "open", "paid", "uncollectible", "void"]},
            "currency": {"type": "string", "pattern": "^[a-z]{3}$"},
            "amount_due": {"type": "integer"},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}}
        }
    }))
});

static INVOICE_ITEM: LazyLock<Validator> = LazyLock::new(|| {
    compile(json!({
        "type": "object",
        "required": ["id", "object", "amount", "currency"],
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "object": {"const": "invoiceitem"},
            "amount": {"type": "integer"},
            "currency": {"type": "string", "pattern": "^[a-z]{3}$"}
        }
    }))
});

static DELETED: LazyLock<Validator> = LazyLock::new(|| {
    compile(json!({
        "type": "object",
        "required": ["id", "deleted"],
        "properties": {"id": {"type": "string"}, "deleted": {"const": true}}
    }))
});

static LIST: LazyLock<Validator> = LazyLock::new(|| {
    compile(json!({
        "type": "object",
        "required": ["object", "data", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "minLength": 1}}}},
            "has_more": {"type": "boolean"}
        }
    }))
});

static EVENT: LazyLock<Validator> = LazyLock::new(|| {
    let id = json!({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": "^[0-9A-Za-z_-]+$"}]});
    compile(json!({
        "type": "object",
        "required": ["eventId", "subscriptionType", "objectId", "occurredAt"],
        "properties": {
            "eventId": id,
            "subscriptionType": {"type": "string", "minLength": 1},
            "objectId": id,
            "occurredAt": {"type": "integer", "minimum": 0},
            "attemptNumber": {"type": "integer", "minimum": 0},
            "propertyName": {"type": ["string", "null"]}
        }
    }))
});

/// Checks a value; the error says where and why, and quotes no more than the offending value; of a token answer, nothing.
pub(crate) fn check(shape: Shape, value: &Value) -> Result<(), String> {
    let validator = match shape {
        Shape::Token => &TOKEN,
        Shape::Deal => &DEAL,
        Shape::DealPage => &DEAL_PAGE,
        Shape::Customer => &CUSTOMER,
        Shape::Invoice => &INVOICE,
        Shape::InvoiceItem => &INVOICE_ITEM,
        Shape::Deleted => &DELETED,
        Shape::List => &LIST,
        Shape::Event => &EVENT,
    };
    if validator.is_valid(value) {
        return Ok(());
    }
    let error = validator.iter_errors(value).next();
    let reason = error.map(|error| {
        // What a token answer holds is secret, whatever shape it has.
        let mut text = match shape {
            Shape::Token => error.masked_with("(withheld)").to_string(),
            _ => error.to_string(),
        };
        if text.len() > 300 {
            text = text.chars().take(300).collect();
        }
        format!("at {:?}: {text}", error.instance_path().to_string())
    });
    Err(reason.unwrap_or_else(|| "does not have the expected shape".into()))
}

/// A whole number, however it is spelt: JSON knows no difference between `1250`, `1250.0` and `1.25e3`.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let exact = |f: &f64| f.fract() == 0.0 && f.abs() < EXACT;
    value.as_i64().or_else(|| value.as_f64().filter(exact).map(|f| f as i64))
}

/// An answer as JSON of the given shape; not strict, whatever it is, or `null`.
pub(crate) fn read(reply: &Reply, shape: Shape, source: &str, strict: bool) -> Result<Value, Failure> {
    let invalid = |reason: String| Failure::Invalid {
        source: source.to_owned(),
        reason,
        payload: String::from_utf8_lossy(reply.bytes()).into_owned(),
    };
    match serde_json::from_slice(reply.bytes()) {
        Ok(value) if strict => check(shape, &value).map(|()| value).map_err(invalid),
        Ok(value) => Ok(value),
        Err(error) if strict => Err(invalid(format!("not JSON: {error}"))),
        Err(_) => Ok(Value::Null),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deal() -> Value {
        json!({"id": "7", "updatedAt": "2026-01-01T00:00:00.000Z", "archived": false, "properties": {
            "dealname": "x", "amount": "12.50", "deal_currency_code": "USD", "closedate": "2026-01-01T00:00:00Z",
            "dealstage": "closedwon", "billing_email": "a@b.c", "billing_name": null}})
    }

    #[test]
    fn a_deal_is_a_deal() {
        assert_eq!(check(Shape::Deal, &deal()), Ok(()));
    }

    #[test]
    fn a_number_is_the_same_in_every_spelling() {
        for text in ["1250", "1250.0", "1.25e3"] {
            assert_eq!(whole(&serde_json::from_str(text).unwrap()), Some(1250), "{text}");
        }
        for text in ["1250.5", "1e300", "\"1250\"", "null"] {
            assert_eq!(whole(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
        assert_eq!(whole(&json!(9_007_199_254_740_993_i64)), Some(9_007_199_254_740_993));
    }

    #[test]
    fn a_token_answer_of_the_wrong_shape_is_not_quoted() {
        for value in [
            json!([{"access_token": "sesame", "expires_in": 1}]),
            json!({"access_token": ["sesame"], "expires_in": 1}),
            json!({"access_token": "x", "expires_in": 1, "refresh_token": {"value": "sesame"}}),
            json!({"access_token": "x", "expires_in": "sesame"}),
        ] {
            let reason = check(Shape::Token, &value).unwrap_err();
            assert!(!reason.contains("sesame"), "{reason}");
        }
    }

    #[test]
    fn every_drift_of_a_deal_is_refused() {
        for (pointer, value) in [
            ("/properties/amount", json!(12.5)),
            ("/properties/amount", json!({"value": "12.50", "currency": "USD"})),
            ("/properties/amount", json!(["12.50"])),
            ("/properties/amount", json!("1,250")),
            ("/properties/closedate", json!("1767225600000")),
            ("/properties/closedate", json!(1_767_225_600_000_i64)),
            ("/properties/dealstage", Value::Null),
            ("/updatedAt", json!("yesterday")),
            ("/properties", json!([])),
        ] {
            let mut drifted = deal();
            *drifted.pointer_mut(pointer).unwrap() = value.clone();
            assert!(check(Shape::Deal, &drifted).is_err(), "{pointer} = {value}");
        }
        for name in ["amount", "billing_email", "billing_name", "deal_currency_code", "dealstage"] {
            let mut drifted = deal();
            drifted["properties"].as_object_mut().unwrap().remove(name);
            assert!(check(Shape::Deal, &drifted).is_err(), "{name} missing");
        }
    }
}
