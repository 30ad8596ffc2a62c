//! Small schemas and values that mean a lot: each is judged within bounds, or said to be unknown.

use super::*;
use crate::finding::Verdict;

const IT_REF: &str = "#/components/schemas/it";

fn it() -> Value {
    json!({ "$ref": IT_REF })
}

/// A contract whose schema `it` is an object with the member `a`, of which this is the schema.
fn recursive(inside: Value) -> Contract {
    of_schema("3.1.0", json!({ "type": "object", "properties": { "a": inside } }))
}

/// `{"a": {"a": … leaf}}`.
fn nested(levels: usize, leaf: Value) -> Value {
    (0..levels).fold(leaf, |inner, _| json!({ "a": inner }))
}

fn judged(contract: &Contract, value: &Value) -> (Verdict, String) {
    let said = contract.check_value_at(IT, Direction::Response, value);
    let first = said.violations.first();
    (said.verdict(), first.map(|v| format!("{} {}: {}", v.rule, v.pointer, v.got)).unwrap_or_default())
}

#[test]
fn a_recursive_schema_that_is_reached_by_two_equal_branches_is_judged_as_one() {
    for inside in [json!({ "anyOf": [it(), { "allOf": [it()] }] }), json!({ "allOf": [it(), it()] })] {
        let contract = recursive(inside);
        assert_eq!(judged(&contract, &nested(100, json!({}))).0, Verdict::Pass);
        assert_eq!(judged(&contract, &nested(100, json!(5))).0, Verdict::Fail);
        let told = format!("contract/type {}: integer `5`", "/a".repeat(30));
        assert_eq!(judged(&contract, &nested(30, json!(5))), (Verdict::Fail, told));
    }
}

#[test]
fn a_deep_value_of_a_schema_of_many_kinds_is_judged_and_what_it_breaks_is_told_or_said_to_be_too_much() {
    let kind = |name: &str| json!({ "type": "object", "required": ["op"], "properties": { "op": { "enum": [name] }, "a": it() } });
    let contract = of_schema("3.1.0", json!({ "anyOf": [kind("and"), kind("or"), kind("not")] }));
    let tree = |levels: usize, leaf: &str| {
        (0..levels).fold(json!({ "op": leaf }), |inner, _| json!({ "op": "or", "a": inner }))
    };
    assert_eq!(judged(&contract, &tree(100, "not")).0, Verdict::Pass);
    let (verdict, said) = judged(&contract, &tree(4, "nor"));
    assert_eq!((verdict, said.as_str()), (Verdict::Fail, "contract/enum /a/a/a/a/op: string `nor`"));
    let (verdict, said) = judged(&contract, &tree(100, "nor"));
    assert_eq!(
        (verdict, said.as_str()),
        (Verdict::Fail, "contract/refused : one that it refuses; to say why would take too long")
    );
}

#[test]
fn a_value_that_no_validator_gets_through_is_unknown_and_the_bound_is_named() {
    let levels = 26;
    let schemas: serde_json::Map<String, Value> = (0..levels)
        .map(|n| {
            let next = json!({ "$ref": format!("#/components/schemas/s{}", (n + 1) % levels) });
            let twice = json!({ "anyOf": [next, { "allOf": [next], "minProperties": 0 }] });
            (format!("s{n}"), json!({ "type": "object", "properties": { "a": twice } }))
        })
        .collect();
    let contract = contract(&described(json!({}), schemas.into()));
    let said = contract.check_value_at("/components/schemas/s0", Direction::Response, &nested(60, json!(1)));
    assert_eq!((said.verdict(), said.violations[0].rule.as_str()), (Verdict::Unknown, "contract/not_judged"));
    assert!(said.violations[0].got.contains("more than 2000000 schemas would be visited"), "{said:?}");
    let fits = contract.fits("/components/schemas/s0", Direction::Response, &nested(60, json!(1)));
    assert_eq!(fits, Err(said.violations[0].got.clone()));
}

#[test]
fn what_lies_too_deep_for_the_stack_is_unknown_and_what_does_not_is_judged() {
    for keyword in ["allOf", "anyOf", "oneOf"] {
        let mut schemas = json!({ "s60": { "type": "object", "properties": { "a": { "$ref": "#/components/schemas/it" } } } });
        for n in 0..60 {
            let next = json!({ "$ref": format!("#/components/schemas/s{}", n + 1) });
            schemas[format!("s{n}")] = json!({ keyword: [next] });
        }
        schemas["it"] = json!({ "$ref": "#/components/schemas/s0" });
        let contract = contract(&described(json!({}), schemas));
        assert_eq!(judged(&contract, &nested(3, json!({}))).0, Verdict::Pass, "{keyword}");
        assert_eq!(judged(&contract, &nested(3, json!(1))).0, Verdict::Fail, "{keyword}");
        for leaf in [json!({}), json!(1)] {
            let (verdict, said) = judged(&contract, &nested(100, leaf));
            assert_eq!(verdict, Verdict::Unknown, "{keyword}");
            assert!(said.contains("more than 500 inside each other"), "{said}");
        }
    }
}

#[test]
fn of_a_body_in_which_thousands_of_items_are_wrong_the_first_are_told_and_the_rest_is_not_hidden() {
    let items = |n: usize| Value::from(vec![json!(1); n]);
    let contract =
        of_schema("3.1.0", json!({ "type": "array", "minItems": 200, "items": { "type": "string" } }));
    let found = |value: &Value| broken(&contract, Direction::Response, value);
    assert_eq!(found(&items(1_000)).len(), 1_000);
    let many = found(&items(300_000));
    assert_eq!(many.len(), 101);
    assert_eq!((many[0].as_str(), many[1].as_str()), ("contract/refused ", "contract/type /0"));

    let map: serde_json::Map<String, Value> = (0..200_000).map(|n| (n.to_string(), json!(1))).collect();
    let contract = of_schema("3.1.0", json!({ "additionalProperties": { "type": "string" } }));
    assert_eq!(broken(&contract, Direction::Response, &map.into()), ["contract/refused "]);
}

#[test]
fn the_fields_of_a_choice_of_thousands_are_listed() {
    let kind = |n: usize| {
        let other = json!({ "type": "string" });
        json!({ "type": "object", "properties": { "kind": { "enum": [n] }, format!("f{n}"): other, "a": it() } })
    };
    let contract = contract(&described(
        answering(it()),
        json!({ "it": { "anyOf": (0..1_500).map(kind).collect::<Vec<_>>() } }),
    ));
    let fields = contract.fields(&contract.operations()[0], 200);
    assert_eq!(fields.iter().filter(|f| f.pointer.starts_with("/f")).count(), 1_500);
}

#[test]
fn a_large_value_is_not_copied_for_each_of_a_thousand_branches() {
    let branches: Vec<Value> =
        (0..1_500).map(|n| json!({ "type": "object", "required": [format!("f{n}")] })).collect();
    let contract = of_schema("3.1.0", json!({ "anyOf": branches }));
    let large: serde_json::Map<String, Value> = (0..5_000).map(|n| (n.to_string(), json!(1))).collect();
    let said = judged(&contract, &nested(60, large.into())).1;
    assert_eq!(said, "contract/refused : one that it refuses; to say why would take too long");
    assert_eq!(judged(&contract, &json!([1])).1, "contract/type : an array of 1, the first an integer");
}
