//! Small descriptions that mean a lot: each is compared within bounds, and what was not is said.

use serde_json::{Value, json};

use super::{Diff, Severity, document};

fn named(name: &str, n: usize) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}{n}") })
}

/// A description with `levels` schemas, each made of the next, that ends in `leaf`.
fn levels(levels: usize, step: impl Fn(Value) -> Value, leaf: &Value) -> Value {
    let mut schemas: serde_json::Map<String, Value> =
        (0..levels).map(|n| (format!("L{n}"), step(named("L", n + 1)))).collect();
    schemas.insert(format!("L{levels}"), leaf.clone());
    answering(&named("L", 0), schemas.into())
}

fn answering(schema: &Value, schemas: Value) -> Value {
    let answer = json!({ "200": { "content": { "application/json": { "schema": schema } } } });
    let paths = json!({ "/things": { "get": { "responses": answer } } });
    document("3.1.0", &json!({ "paths": paths, "components": { "schemas": schemas } }))
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn both(document: impl Fn(&Value) -> Value) -> (Diff, Diff) {
    let (old, new) = (document(&string()), document(&json!({ "type": "integer" })));
    (super::diff(&old, &old), super::diff(&old, &new))
}

#[test]
fn a_schema_that_is_reached_by_two_equal_branches_is_compared_once() {
    let steps: [fn(Value) -> Value; 4] = [
        |next| json!({ "anyOf": [next, { "allOf": [next] }] }),
        |next| json!({ "allOf": [next, next] }),
        |next| json!({ "oneOf": [{ "description": "it", "anyOf": [next] }, next] }),
        |next| json!({ "type": "object", "properties": { "a": { "anyOf": [next, { "allOf": [next] }] } } }),
    ];
    for step in steps {
        let (same, changed) = both(|leaf| levels(25, step, leaf));
        assert!(same.changes.is_empty(), "{:?}", same.changes.first());
        assert!(changed.changes.iter().any(|c| c.rule == "response/type_changed"), "{changed:?}");
    }
}

#[test]
fn what_unfolds_into_too_much_cannot_be_decided_and_names_the_schema_and_the_bound() {
    let steps: [fn(Value) -> Value; 4] = [
        |next| json!({ "anyOf": [next, { "allOf": [next], "minLength": 1 }] }),
        |next| json!({ "allOf": [next, { "allOf": [next, { "minLength": 1 }] }] }),
        |next| json!({ "allOf": [next], "not": next }),
        |next| json!({ "oneOf": [{ "type": "string", "allOf": [next] }, { "type": "integer", "allOf": [next] }] }),
    ];
    for (n, step) in steps.into_iter().enumerate() {
        let (same, changed) = both(|leaf| levels(40, step, leaf));
        assert_eq!(same.worst(), Some(Severity::Undecidable), "{n}");
        let first = &changed.changes[0];
        assert!(changed.worst() >= Some(Severity::Undecidable), "{n}");
        let bound =
            "unfolds into too many schemas to compare: more than 2000 for one value, or 64 in a row, at #/";
        assert!(changed.changes.iter().any(|c| c.message.contains(bound)), "{n}: {first:?}");
    }
}

#[test]
fn however_little_may_be_spent_nothing_is_passed_over_in_silence() {
    let step = |next: Value| json!({ "anyOf": [{ "type": "object", "properties": { "a": next } }, { "not": next }] });
    let read =
        |v: &Value| crate::contract::Contract::parse("t.json".as_ref(), v.to_string().as_bytes()).unwrap();
    let (old, new) =
        (read(&levels(3, step, &string())), read(&levels(3, step, &json!({ "type": "integer" }))));
    let whole = super::diff_of(&old, &new, usize::MAX);
    let mut enough = 0;
    for steps in 0..200 {
        let found = super::diff_of(&old, &new, steps);
        let last = found.changes.last().map(|c| c.message.as_str()).unwrap_or_default();
        if found == whole {
            enough += 1;
        } else {
            assert!(last.contains("what was not reached was not compared"), "{steps}: {last}");
        }
    }
    assert!((50..200).contains(&enough), "{enough}");
}

#[test]
fn thousands_of_references_to_one_schema_are_looked_through_once() {
    let wide: serde_json::Map<String, Value> = (0..2_000).map(|n| (format!("q{n}"), string())).collect();
    let not: serde_json::Map<String, Value> = (0..2_000)
        .map(|n| (format!("p{n}"), json!({ "not": { "$ref": "#/components/schemas/B" } })))
        .collect();
    let (same, changed) = both(|leaf| {
        let mut wide = wide.clone();
        wide.insert("q0".to_owned(), leaf.clone());
        answering(&json!({ "type": "object", "properties": not }), json!({ "B": { "properties": wide } }))
    });
    assert!(same.changes.is_empty());
    assert_eq!((changed.count(Severity::Undecidable), changed.changes.len()), (2_000, 2_000));
}

#[test]
fn a_chain_of_thousands_below_not_does_not_overflow_the_stack() {
    let (same, changed) = both(|leaf| {
        let inner = levels(20_000, |next| json!({ "properties": { "a": next } }), leaf);
        answering(&json!({ "not": named("L", 0) }), inner["components"]["schemas"].clone())
    });
    assert!(same.changes.is_empty());
    assert_eq!(changed.worst(), Some(Severity::Undecidable));
}

#[test]
fn an_object_that_lost_thousands_of_fields_and_won_others_is_told_field_by_field() {
    let of = |letter: &str| {
        let fields: serde_json::Map<String, Value> =
            (0..5_000).map(|n| (format!("{letter}{n}"), string())).collect();
        answering(&json!({ "type": "object", "properties": fields }), json!({}))
    };
    let found = super::diff(&of("old_"), &of("new_"));
    assert_eq!(found.changes.len(), 10_000);
}

#[test]
fn lists_of_thousands_of_values_are_compared() {
    let of = |letter: &str| {
        let values: Vec<Value> = (0..20_000).map(|n| json!(format!("{letter}{n}"))).collect();
        answering(&json!({ "allOf": vec![json!({ "enum": values }); 4] }), json!({}))
    };
    let found = super::diff(&of("a"), &of("b"));
    assert_eq!(found.changes.iter().map(|c| c.rule).collect::<Vec<_>>(), ["response/enum_replaced"]);
}
