//! What 3.0's own dialect of schemas means.

use proptest::prelude::*;

use super::*;

#[test]
fn null_is_taken_beside_whatever_stands_next_to_nullable() {
    let text = json!({ "type": "string" });
    let beside = [
        json!({ "type": "string", "nullable": true }),
        json!({ "type": "string", "enum": ["a"], "nullable": true }),
        json!({ "$ref": "#/components/schemas/other", "nullable": true }),
        json!({ "allOf": [text], "nullable": true }),
        json!({ "anyOf": [text, { "type": "integer" }], "nullable": true }),
        json!({ "oneOf": [text, { "type": "integer" }], "nullable": true }),
        json!({ "enum": ["a"], "nullable": true }),
    ];
    for schema in beside {
        let document = described(json!({}), json!({ "it": schema, "other": text }));
        let contract = contract(&document);
        assert!(broken(&contract, Direction::Response, &Value::Null).is_empty(), "{schema}");
        assert!(broken(&contract, Direction::Response, &json!("a")).is_empty(), "{schema}");
        assert_eq!(broken(&contract, Direction::Response, &json!([])).len(), 1, "{schema}");
    }
    assert_eq!(
        broken(&of_schema("3.0.3", text.clone()), Direction::Response, &Value::Null),
        ["contract/type "]
    );
}

#[test]
fn a_name_is_no_keyword() {
    let contract = of_schema(
        "3.0.3",
        json!({
            "type": "object", "required": ["nullable", "default"],
            "properties": {
                "nullable": { "type": "boolean" }, "default": { "type": "string" },
                "required": { "type": "integer" }, "$ref": { "type": "string" }, "x-a": { "type": "string" },
            },
        }),
    );
    assert!(
        broken(&contract, Direction::Response, &json!({ "nullable": true, "default": "x", "$ref": "y" }))
            .is_empty()
    );
    let mut found = broken(
        &contract,
        Direction::Response,
        &json!({ "nullable": null, "$ref": 1, "x-a": 2, "required": "z" }),
    );
    found.sort();
    assert_eq!(
        found,
        [
            "contract/required /default",
            "contract/type /$ref",
            "contract/type /nullable",
            "contract/type /required",
            "contract/type /x-a",
        ]
    );
}

#[test]
fn what_only_one_side_sends_is_missed_only_from_that_side() {
    let base = json!({ "type": "object", "properties": { "made": { "$ref": "#/components/schemas/made" } } });
    let schema = json!({
        "type": "object", "required": ["id", "secret", "name"],
        "allOf": [{ "$ref": "#/components/schemas/base" }, { "required": ["made"] }],
        "properties": { "id": { "type": "integer", "readOnly": true }, "secret": { "type": "string", "writeOnly": true }, "name": {} },
    });
    let document = described(
        json!({}),
        json!({ "it": schema, "base": base, "made": { "type": "string", "readOnly": true } }),
    );
    for version in ["3.0.3", "3.1.0"] {
        let mut document = document.clone();
        document["openapi"] = version.into();
        let contract = contract(&document);
        let mut asked = broken(&contract, Direction::Request, &json!({}));
        asked.sort();
        assert_eq!(asked, ["contract/required /name", "contract/required /secret"], "{version}");
        let mut answered = broken(&contract, Direction::Response, &json!({}));
        answered.sort();
        assert_eq!(
            answered,
            ["contract/required /id", "contract/required /made", "contract/required /name"],
            "{version}"
        );
    }
}

#[test]
fn an_exclusive_bound_is_a_flag_in_3_0_and_a_number_in_3_1() {
    let old = of_schema(
        "3.0.3",
        json!({ "minimum": 0, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false }),
    );
    let new = of_schema("3.1.0", json!({ "exclusiveMinimum": 0, "maximum": 9 }));
    for contract in [old, new] {
        assert_eq!(broken(&contract, Direction::Response, &json!(0)), ["contract/range "]);
        assert!(broken(&contract, Direction::Response, &json!(9)).is_empty());
        assert_eq!(broken(&contract, Direction::Response, &json!(10)), ["contract/range "]);
    }
}

#[test]
fn beside_a_reference_3_0_passes_over_what_3_1_heeds() {
    let document = |version: &str| {
        let mut d = described(
            json!({}),
            json!({ "it": { "$ref": "#/components/schemas/o", "maxLength": 2 }, "o": { "type": "string" } }),
        );
        d["openapi"] = version.into();
        contract(&d)
    };
    assert!(broken(&document("3.0.3"), Direction::Response, &json!("abc")).is_empty());
    assert_eq!(broken(&document("3.1.0"), Direction::Response, &json!("abc")), ["contract/length "]);
}

#[test]
fn findings_point_into_the_raw_description_even_through_a_nullable_union() {
    let contract = of_schema(
        "3.0.3",
        json!({ "type": "object", "properties": {
        "else": { "nullable": true, "allOf": [{ "type": "object", "properties": { "n": { "type": "integer" } } }] }
    } }),
    );
    let said = contract.check_value_at(IT, Direction::Response, &json!({ "else": { "n": "x" } }));
    assert_eq!(said.violations[0].schema, "/components/schemas/it/properties/else/allOf/0/properties/n/type");
    assert_eq!(contract.raw().pointer(&said.violations[0].schema), Some(&json!("integer")));
}

/// A schema that means the same in 3.0 and in JSON Schema 2020-12.
fn plain_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({ "type": "string", "minLength": 1 })),
        Just(json!({ "type": "integer", "minimum": 0 })),
        Just(json!({ "type": "boolean" })),
        Just(json!({ "enum": ["a", 1, true] })),
        Just(json!({})),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|s| json!({ "type": "array", "items": s })),
            (inner.clone(), inner.clone(), any::<bool>()).prop_map(|(a, b, required)| {
                let required = if required { json!(["nullable"]) } else { json!([]) };
                json!({ "type": "object", "properties": { "nullable": a, "b": b }, "required": required })
            }),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "anyOf": [a, b] })),
            (inner.clone(), inner).prop_map(|(a, b)| json!({ "allOf": [a, b] })),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..3).prop_map(Value::from),
        "[ab]?".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            (inner.clone(), inner).prop_map(|(a, b)| json!({ "nullable": a, "b": b })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn conversion_keeps_what_validates(schema in plain_schema(), value in value(), nullable: bool) {
        let plain = jsonschema::validator_for(&schema).unwrap().is_valid(&value);
        let mut marked = schema.clone();
        if nullable {
            marked["nullable"] = true.into();
        }
        let converted = of_schema("3.0.3", marked).fits(IT, Direction::Response, &value).unwrap();
        prop_assert_eq!(converted, plain || (nullable && value.is_null()));
    }
}
