//! What the diff must find, and must not.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use serde_json::Value;

/// Compares two descriptions as JSON.
fn diff(old: &Value, new: &Value) -> Diff {
    let read = |v: &Value| Contract::parse("t.json".as_ref(), v.to_string().as_bytes()).unwrap();
    super::diff(&read(old), &read(new))
}

fn diff_of(old: &Contract, new: &Contract, steps: usize) -> Diff {
    compared(old, new, None, steps)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    rule: String,
    #[serde(default)]
    also: Vec<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    response: Option<Pair>,
    #[serde(default)]
    request: Option<Pair>,
    #[serde(default)]
    operation: Option<Pair>,
    #[serde(default)]
    document: Option<Pair>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    old: Value,
    new: Value,
}

fn cases() -> Vec<Case> {
    serde_saphyr::from_str(include_str!("tests/cases.yaml")).unwrap()
}

/// A description with this laid over its top.
fn document(version: &str, over: &Value) -> Value {
    let mut document = json!({ "openapi": version, "info": { "title": "t", "version": "1" }, "paths": {} });
    let components = json!({ "schemas": { "A": { "type": "string" }, "B": { "type": "integer" } } });
    document["components"] = components;
    for (key, value) in over.as_object().unwrap() {
        document[key] = value.clone();
    }
    document
}

fn operation(version: &str, operation: &Value) -> Value {
    let mut operation = operation.clone();
    let map = operation.as_object_mut().unwrap();
    map.entry("responses").or_insert_with(|| json!({}));
    document(version, &json!({ "paths": { "/things": { "post": operation } } }))
}

/// A description whose one operation answers with this schema.
fn answering(version: &str, schema: &Value) -> Value {
    let content = json!({ "application/json": { "schema": schema } });
    operation(version, &json!({ "responses": { "200": { "content": content } } }))
}

fn taking(version: &str, schema: &Value) -> Value {
    operation(version, &json!({ "requestBody": { "content": { "application/json": { "schema": schema } } } }))
}

impl Case {
    fn documents(&self) -> (Value, Value) {
        let version = self.version.as_deref().unwrap_or("3.0.3");
        let (make, pair): (fn(&str, &Value) -> Value, &Pair) =
            match (&self.response, &self.request, &self.operation, &self.document) {
                (Some(pair), None, None, None) => (answering, pair),
                (None, Some(pair), None, None) => (taking, pair),
                (None, None, Some(pair), None) => (operation, pair),
                (None, None, None, Some(pair)) => (document, pair),
                _ => panic!("{}: one pair, please", self.rule),
            };
        (make(version, &pair.old), make(version, &pair.new))
    }
}

fn rules(diff: &Diff) -> Vec<&str> {
    diff.changes.iter().map(|c| c.rule).collect()
}

#[test]
fn every_rule_finds_its_change_and_nothing_else() {
    for case in cases() {
        let (old, new) = case.documents();
        let found = diff(&old, &new);
        let mut expected: Vec<&str> = case.also.iter().map(String::as_str).collect();
        expected.push(&case.rule);
        let (mut expected, mut got) = (expected, rules(&found));
        expected.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, expected, "{:#?}", found.changes);
    }
}

#[test]
fn every_rule_has_a_case_and_every_name_is_its_own() {
    let cases = cases();
    for rule in RULES {
        assert!(cases.iter().any(|c| c.rule == rule.id), "{} has no case", rule.id);
        assert_eq!(RULES.iter().filter(|r| r.id == rule.id).count(), 1, "{} stands twice", rule.id);
    }
}

#[test]
fn every_rule_says_what_changed_and_where() {
    let mut text = String::new();
    for case in cases() {
        let (old, new) = case.documents();
        for c in diff(&old, &new).changes {
            let first = c.operations.first().map_or("", |o| o);
            writeln!(
                text,
                "{:?} {}\n  {}\n  {first} {}\n  {} -> {}",
                c.severity, c.rule, c.message, c.place, c.old, c.new
            )
            .unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn the_same_in_both_dialects_is_no_change() {
    let same = [
        (json!({ "type": "string", "nullable": true }), json!({ "type": ["string", "null"] })),
        (
            json!({ "type": "integer", "minimum": 0, "exclusiveMinimum": true }),
            json!({ "type": "integer", "exclusiveMinimum": 0 }),
        ),
        (
            json!({ "anyOf": [{ "$ref": "#/components/schemas/A" }], "nullable": true }),
            json!({ "anyOf": [{ "$ref": "#/components/schemas/A" }, { "type": "null" }] }),
        ),
        (json!({ "type": "string", "enum": ["a"] }), json!({ "const": "a" })),
        (
            json!({ "$ref": "#/components/schemas/A", "nullable": true }),
            json!({ "anyOf": [{ "$ref": "#/components/schemas/A" }, { "type": "null" }] }),
        ),
    ];
    for (v30, v31) in same {
        for make in [answering, taking] {
            let (a, b) = (make("3.0.3", &v30), make("3.1.0", &v31));
            assert_eq!(diff(&a, &b), Diff::default(), "{v30} {v31}");
            assert_eq!(diff(&b, &a), Diff::default(), "{v31} {v30}");
        }
    }
}

#[test]
fn words_about_a_schema_are_no_change() {
    let old = json!({ "type": "object", "description": "x", "properties": { "description": { "type": "string" } } });
    let new = json!({ "type": "object", "title": "X", "properties": { "description": { "type": "string", "example": 1 } } });
    assert_eq!(diff(&answering("3.0.3", &old), &answering("3.0.3", &new)), Diff::default());
}

/// A description of two operations that share a schema which holds itself.
fn circular(amount: Value) -> Value {
    let node = json!({ "type": "object", "required": ["amount"], "properties": {
        "amount": amount,
        "children": { "type": "array", "items": { "$ref": "#/components/schemas/Node" } },
        "parent": { "anyOf": [{ "type": "string" }, { "$ref": "#/components/schemas/Node" }] },
        "twin": { "allOf": [{ "$ref": "#/components/schemas/Node" }, { "type": "object" }] },
    } });
    let answer = json!({ "responses": { "200": { "content": { "application/json": {
        "schema": { "$ref": "#/components/schemas/Node" } } } } } });
    let list = json!({ "responses": { "200": { "content": { "application/json": { "schema": {
        "type": "object", "properties": { "data": { "type": "array", "items": { "$ref": "#/components/schemas/Node" } } }
    } } } } } });
    let over = json!({ "paths": { "/nodes": { "get": list }, "/nodes/{id}": { "get": answer } },
        "components": { "schemas": { "Node": node } } });
    document("3.0.3", &over)
}

#[test]
fn a_shared_schema_that_holds_itself_is_one_finding_with_the_operations_it_affects() {
    let (old, new) = (circular(json!({ "type": "integer" })), circular(json!({ "type": "string" })));
    let found = diff(&old, &new);
    assert_eq!(rules(&found), ["response/type_changed"], "{:#?}", found.changes);
    let change = &found.changes[0];
    assert_eq!(&*change.old, "#/components/schemas/Node/properties/amount");
    let operations: Vec<&str> = change.operations.iter().map(|o| &**o).collect();
    assert_eq!(operations, ["GET /nodes", "GET /nodes/{id}"]);
    assert_eq!(change.place, "200 application/json /data/*/amount");
    assert_eq!(diff(&old, &old), Diff::default());
}

#[test]
fn schemas_that_only_refer_to_themselves_end() {
    let endless = |extra: Value| {
        let schemas = json!({
            "A": { "allOf": [{ "$ref": "#/components/schemas/B" }, extra] },
            "B": { "oneOf": [{ "$ref": "#/components/schemas/A" }, { "$ref": "#/components/schemas/C" }] },
            "C": { "$ref": "#/components/schemas/D" }, "D": { "type": "string" },
        });
        let mut document = answering("3.0.3", &json!({ "$ref": "#/components/schemas/A" }));
        document["components"]["schemas"] = schemas;
        document
    };
    let (old, new) = (endless(json!({})), endless(json!({ "type": "string" })));
    assert_eq!(diff(&old, &old).count(Severity::Breaking), 0);
    diff(&old, &new);
}

#[test]
fn a_branch_that_an_old_one_includes_is_no_new_variant() {
    let old = json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] });
    let new = json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } },
        { "type": "string", "enum": [""] }] });
    assert_eq!(diff(&answering("3.0.3", &old), &answering("3.0.3", &new)), Diff::default());
    assert_eq!(diff(&taking("3.0.3", &new), &taking("3.0.3", &old)), Diff::default());
}

#[test]
fn joined_schemas_are_compared_as_one() {
    let part = |required: Value| json!({ "type": "object", "required": required, "properties": { "id": { "type": "string" } } });
    let make = |a: Value, b: Value| {
        let mut document = answering("3.0.3", &json!({ "allOf": [{ "$ref": "#/components/schemas/A" }, b] }));
        document["components"]["schemas"]["A"] = a;
        document
    };
    // What one part no longer requires, the other does still.
    let old = make(part(json!(["id"])), part(json!(["id"])));
    let new = make(part(json!([])), part(json!(["id"])));
    assert_eq!(diff(&old, &new), Diff::default());
    let new = make(part(json!([])), part(json!([])));
    assert_eq!(rules(&diff(&old, &new)), ["response/property_became_optional"]);
}

/// Schemas as documents have them.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({ "type": "string" })),
        Just(json!({ "type": "string", "maxLength": 20 })),
        Just(json!({ "type": "string", "format": "date" })),
        Just(json!({ "type": "string", "enum": ["a", "b"] })),
        Just(json!({ "type": "integer", "minimum": 0 })),
        Just(json!({ "type": "number" })),
        Just(json!({ "type": "boolean" })),
        Just(json!({ "$ref": "#/components/schemas/A" })),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
            inner.clone().prop_map(|values| json!({ "type": "object", "additionalProperties": values })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "anyOf": [a, b] })),
            (proptest::collection::btree_map("[a-e]{1,2}", inner, 1..4), any::<bool>()).prop_map(
                |(properties, required)| {
                    let names: Vec<&String> = properties.keys().collect();
                    let required = if required { json!(names) } else { json!([]) };
                    json!({ "type": "object", "required": required, "properties": properties })
                }
            ),
        ]
    })
}

/// Places of schemas that can be reached without passing a choice, whose branches can stand in for
/// each other.
fn places(schema: &Value, at: String, found: &mut Vec<String>) {
    if schema.get("$ref").is_some() || schema.get("anyOf").is_some() {
        return;
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(key) {
            places(child, format!("{at}/{key}"), found);
        }
    }
    for (name, child) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        places(child, format!("{at}/properties/{name}"), found);
    }
    found.push(at);
}

/// Changes one schema in one way; none if it cannot be changed so.
fn mutate(schema: &mut Value, way: usize) -> Option<()> {
    let kind = schema["type"].as_str()?.to_owned();
    let map = schema.as_object_mut()?;
    match way {
        0 => {
            map.insert("nullable".into(), json!(true));
        }
        1 => {
            let other = if kind == "string" { "boolean" } else { "string" };
            *schema = json!({ "type": other });
        }
        2 => *schema = json!({ "type": "array", "items": schema.clone() }),
        3 => *schema = json!({ "type": "object", "properties": { "value": schema.clone() } }),
        4 if kind == "string" => {
            let held = map.remove("format");
            map.insert("format".into(), json!(if held.is_some() { "date-time" } else { "uuid" }));
        }
        5 if kind == "string" => {
            map.get_mut("enum")?.as_array_mut()?.push(json!("zebra"));
        }
        6 if kind == "object" => {
            let name = map.get("properties")?.as_object()?.keys().next()?.clone();
            map["properties"].as_object_mut()?.shift_remove(&name);
            map["required"].as_array_mut()?.retain(|n| n != &json!(name));
        }
        7 if kind == "object" => {
            let name = map.get("properties")?.as_object()?.keys().next()?.clone();
            let required = map.get_mut("required")?.as_array_mut()?;
            let before = required.len();
            required.retain(|n| n != &json!(name));
            if required.len() == before {
                required.push(json!(name));
            }
        }
        8 if kind == "object" => {
            map.get_mut("properties")?.as_object_mut()?.insert("zebra".into(), json!({ "type": "boolean" }));
        }
        9 if kind == "string" && !map.contains_key("enum") => {
            let most = map.get("maxLength").and_then(Value::as_u64).unwrap_or(10);
            map.insert("maxLength".into(), json!(most + 1));
        }
        _ => return None,
    }
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_document_does_not_differ_from_itself(schema in schema()) {
        for make in [answering, taking] {
            for version in ["3.0.3", "3.1.0"] {
                let document = make(version, &schema);
                prop_assert_eq!(diff(&document, &document), Diff::default());
                // Not by its text alone: the slow way must come to the same.
                let mut touched = document.clone();
                touched["paths"]["/things"]["post"]["description"] = json!("x");
                prop_assert_eq!(diff(&document, &touched), Diff::default());
            }
        }
    }

    #[test]
    fn no_single_change_of_a_response_goes_unseen(
        schema in schema(), place in any::<prop::sample::Index>(), ways in Just((0..10).collect::<Vec<usize>>()).prop_shuffle()
    ) {
        let mut all = Vec::new();
        places(&schema, String::new(), &mut all);
        prop_assume!(!all.is_empty());
        let mut changed = schema.clone();
        let at = changed.pointer_mut(&all[place.index(all.len())]).unwrap();
        let way = ways.into_iter().find(|way| mutate(at, *way).is_some());
        prop_assert!(way.is_some());
        let found = diff(&answering("3.0.3", &schema), &answering("3.0.3", &changed));
        prop_assert!(!found.changes.is_empty(), "{schema} -> {changed}");
    }
}

/// What the anchor says of one of oasdiff's rules.
fn catalogue() -> Vec<(&'static str, &'static str, &'static str)> {
    let lines = include_str!("catalogue.txt").lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|line| {
            let (head, ours) = line.split_once(": ").unwrap();
            let words: Vec<&str> = head.split_whitespace().collect();
            (words[0], words[2], ours)
        })
        .collect()
}

#[test]
fn every_rule_of_oasdiff_is_met_or_left_out_for_a_reason() {
    let all = catalogue();
    assert_eq!(all.len(), 509);
    assert_eq!(all.iter().filter(|(side, ..)| *side == "response").count(), 193);
    for (_, name, ours) in &all {
        match ours.strip_prefix("- ") {
            Some(reason) => assert!(reason.split(' ').count() > 4, "{name}: {reason}"),
            None => assert!(ours.split(' ').all(|r| rule(r).is_some()), "{name}: no rule {ours}"),
        }
    }
}

#[test]
fn of_operations_that_nobody_calls_nothing_is_said() {
    let answer = |kind: &str| {
        json!({ "get": { "responses": { "200": { "description": "d", "content": {
        "application/json": { "schema": { "type": kind } } } } } } })
    };
    let described = |kind: &str, more: &str| {
        json!({ "openapi": "3.0.3", "info": { "title": "t", "version": "1" },
            "paths": { "/a/{id}": answer(kind), "/b": answer(kind), more: answer("string") } })
    };
    let read = |v: &Value| Contract::parse("t.json".as_ref(), v.to_string().as_bytes()).unwrap();
    let (old, new) = (read(&described("string", "/gone")), read(&described("integer", "/fresh")));
    let mut used = Used::new();
    for target in ["/a/7?x=1", "/a/8", "/nowhere?secret=1"] {
        used.call(&old, "GET", target);
    }
    assert_eq!((used.count(), used.strange().collect::<Vec<_>>()), (1, vec!["GET /nowhere"]));
    let found = diff_used(&old, &new, &used);
    let said: Vec<_> = found.changes.iter().map(|c| (c.rule, c.operations[0].as_ref())).collect();
    assert_eq!(said, [("response/type_changed", "GET /a/{id}")]);
    assert_eq!(found.compared, Some((1, 3)));
    used.call(&old, "GET", "/gone");
    let found = diff_used(&old, &new, &used);
    assert!(found.changes.iter().any(|c| c.rule == "operation/removed"), "{found:?}");
    assert!(super::diff(&old, &new).changes.len() > found.changes.len());
}

#[test]
fn paths_that_differ_only_in_the_names_of_their_parameters_are_told_apart() {
    let paths = |paths: &[(&str, &str)]| {
        let items: serde_json::Map<String, Value> = paths
            .iter()
            .map(|(path, method)| ((*path).to_owned(), json!({ *method: { "responses": {} } })))
            .collect();
        document("3.0.3", &json!({ "paths": items }))
    };
    let two = paths(&[("/things/{id}", "delete"), ("/things/{digest}", "get")]);
    assert_eq!(diff(&two, &two), Diff::default());
    let rules = |found: Diff| found.changes.iter().map(|c| c.rule).collect::<Vec<_>>();
    let renamed = paths(&[("/things/{id}", "delete"), ("/things/{sum}", "get")]);
    assert_eq!(rules(diff(&two, &renamed)), ["operation/path_parameter_renamed"]);
    let one = paths(&[("/things/{id}", "delete")]);
    assert_eq!(rules(diff(&two, &one)), ["operation/removed"]);
    assert_eq!(rules(diff(&one, &two)), ["operation/added"]);
}

mod bombs;
