//! What is generated is valid, repeats under its seed, and shrinks.

use super::*;

fn contract(schema: Value) -> Arc<Contract> {
    let text = json!({ "openapi": "3.1.0", "info": { "title": "t", "version": "1" }, "paths": {},
        "components": { "schemas": { "It": schema } } });
    Arc::new(Contract::parse("t.json".as_ref(), text.to_string().as_bytes()).unwrap())
}

const IT: &str = "/components/schemas/It";

fn deal() -> Value {
    json!({ "type": "object", "required": ["id", "amount", "currency", "created", "lines", "parent"], "properties": {
        "id": { "type": "string", "pattern": "^\\d+$" },
        "amount": { "type": "string", "pattern": "^-?\\d+(\\.\\d+)?$" },
        "currency": { "type": "string", "pattern": "^[A-Z]{3}$" },
        "name": { "type": ["string", "null"], "maxLength": 40 },
        "created": { "type": "string", "format": "date-time" },
        "cents": { "type": "integer", "minimum": 0, "exclusiveMaximum": 100_000_000, "multipleOf": 5 },
        "rate": { "type": "number", "minimum": 0, "maximum": 1 },
        "secret": { "type": "string", "writeOnly": true },
        "stage": { "enum": ["open", "won", null] },
        "owner": { "anyOf": [{ "type": "string" }, { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } }] },
        "lines": { "type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": true, "items": { "type": "boolean" } },
        "parent": { "anyOf": [{ "$ref": "#/components/schemas/It" }, { "type": "null" }] },
        "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
    } })
}

fn seeds(n: u64) -> impl Iterator<Item = [u8; 32]> {
    (0..n).map(|n| {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&n.to_le_bytes());
        seed
    })
}

#[test]
fn what_is_built_is_valid_without_a_second_look() {
    let contract = contract(deal());
    let strategy = unchecked(&contract, IT, Direction::Response).unwrap();
    let mut present = 0;
    for seed in seeds(300) {
        let value = draw(&strategy, seed).unwrap();
        let checked = contract.check_value_at(IT, Direction::Response, &value);
        assert!(contract.fits(IT, Direction::Response, &value).unwrap(), "{value:#}\n{checked:#?}");
        assert!(value.get("secret").is_none(), "{value}");
        present += u32::from(value.get("name").is_some());
    }
    assert!(
        (100..250).contains(&present),
        "an optional field is now there and now missing: {present} of 300"
    );
}

#[test]
fn equal_seeds_draw_equal_values_and_others_draw_others() {
    let strategy = values(&contract(deal()), IT, Direction::Response).unwrap();
    let all: Vec<Value> = seeds(20).map(|seed| draw(&strategy, seed).unwrap()).collect();
    let again: Vec<Value> = seeds(20).map(|seed| draw(&strategy, seed).unwrap()).collect();
    assert_eq!(all, again);
    assert!(all.windows(2).any(|pair| pair[0] != pair[1]));
}

#[test]
fn an_amount_has_no_more_decimals_than_its_currency() {
    let strategy = values(&contract(deal()), IT, Direction::Response).unwrap();
    let mut whole = 0;
    for seed in seeds(200) {
        let value = draw(&strategy, seed).unwrap();
        let (amount, currency) = (value["amount"].as_str().unwrap(), value["currency"].as_str().unwrap());
        let decimals = realistic::CURRENCIES.iter().find(|(code, _)| *code == currency).unwrap().1;
        assert!(amount.split_once('.').map_or(0, |(_, part)| part.len()) <= decimals, "{amount} {currency}");
        whole += u32::from(decimals == 0);
    }
    assert!(whole > 20, "{whole}");
}

#[test]
fn a_field_is_null_now_and_then_and_only_where_the_contract_lets_it_be() {
    let nulls = |name: &str| {
        let strategy = field(&contract(deal()), IT, &[name], Direction::Response).unwrap();
        seeds(400).filter(|seed| draw(&strategy, *seed).unwrap().is_null()).count()
    };
    assert!((8..40).contains(&nulls("name")), "{}", nulls("name"));
    assert_eq!(nulls("currency"), 0);
}

#[test]
fn amounts_pass_what_32_bits_and_a_double_can_count() {
    let strategy = field(&contract(deal()), IT, &["amount"], Direction::Response).unwrap();
    let drawn: Vec<String> =
        seeds(400).map(|seed| draw(&strategy, seed).unwrap().as_str().unwrap().to_owned()).collect();
    let above = |bound: f64| drawn.iter().filter(|text| text.parse::<f64>().unwrap() > bound).count();
    assert!(above(42_949_672.95) > 20, "{drawn:?}");
    assert!(above(90_071_992_547_409.0) > 3, "{drawn:?}");
    assert!(drawn.len() - above(1e6) > 200, "most are usual: {drawn:?}");
}

#[test]
fn a_failure_shrinks_to_the_fewest_and_plainest_records() {
    let strategy = records(&contract(deal()), IT, 0..8).unwrap();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[3; 32]);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    // The planted bug: a deal without a name is too much.
    let failure = runner.run(&strategy, |records| {
        prop_assert!(records.iter().all(|r| r.get("name").is_some()));
        Ok(())
    });
    let Err(proptest::test_runner::TestError::Fail(_, least)) = failure else { panic!("{failure:?}") };
    assert_eq!(least.len(), 1, "{least:?}");
    let fields = least[0].as_object().unwrap();
    assert_eq!(fields.len(), 6, "only what is required is left: {least:?}");
}

#[test]
fn what_cannot_be_built_is_drawn_again() {
    let contract = contract(json!({ "type": "integer", "minimum": 0, "maximum": 3, "not": { "const": 0 } }));
    let strategy = values(&contract, IT, Direction::Request).unwrap();
    assert!(seeds(50).all(|seed| draw(&strategy, seed).unwrap() != json!(0)));
}

#[test]
fn a_schema_that_is_not_there_is_an_error() {
    let failed = values(&contract(deal()), "/components/schemas/Other", Direction::Request);
    assert_eq!(failed.err().unwrap(), "there is no schema at `/components/schemas/Other`");
}

#[test]
fn what_must_be_larger_than_can_be_is_an_error() {
    let twice = |n: usize| {
        json!({ "type": "object", "required": ["a", "b"], "properties": {
        "a": { "$ref": format!("#/components/schemas/It/$defs/{n}") },
        "b": { "$ref": format!("#/components/schemas/It/$defs/{n}") } } })
    };
    let mut deep = twice(0);
    let defs =
        (0..40).map(|n| (n.to_string(), if n < 39 { twice(n + 1) } else { json!({ "type": "string" }) }));
    deep["$defs"] = defs.collect::<serde_json::Map<_, _>>().into();
    let lists = json!({ "type": "array", "minItems": 1000, "items": {
        "type": "array", "minItems": 1000, "items": { "type": "array", "minItems": 1000, "items": { "type": "string" } } } });
    let long = json!({ "type": "string", "minLength": 1_000_000_000_000u64 });
    for schema in [deep, lists, long] {
        let said = values(&contract(schema), IT, Direction::Response).unwrap_err();
        assert!(
            said.contains("it must be larger than 10000 items or characters, or hold more than 20000"),
            "{said}"
        );
    }
}
