//! Contracts, from outside: small descriptions in, verdicts and places out.

mod bad;
mod bombs;
mod conversion;
mod findings;
mod requests;

use serde_json::{Value, json};

use super::*;

/// A 3.0 description with these paths and schemas.
pub(super) fn described(paths: Value, schemas: Value) -> Value {
    json!({
        "openapi": "3.0.3", "info": { "title": "t", "version": "2024-01-24" },
        "paths": paths, "components": { "schemas": schemas }
    })
}

pub(super) fn contract(document: &Value) -> Contract {
    Contract::parse("openapi.json".as_ref(), document.to_string().as_bytes()).unwrap()
}

/// A contract of nothing but the schema `it`.
pub(super) fn of_schema(version: &str, schema: Value) -> Contract {
    let mut document = described(json!({}), json!({ "it": schema }));
    document["openapi"] = version.into();
    contract(&document)
}

pub(super) const IT: &str = "/components/schemas/it";

/// What a value breaks: rule and place.
pub(super) fn broken(contract: &Contract, direction: Direction, value: &Value) -> Vec<String> {
    contract
        .check_value_at(IT, direction, value)
        .breaking()
        .map(|v| format!("{} {}", v.rule, v.pointer))
        .collect()
}

/// `GET /it` answering 200 with `schema`.
pub(super) fn answering(schema: Value) -> Value {
    json!({ "/it": { "get": { "responses": { "200": {
        "description": "it", "content": { "application/json": { "schema": schema } }
    } } } } })
}

#[test]
fn a_contract_is_of_the_day_it_says_or_that_its_version_begins_with() {
    let dated = |info: Value| {
        let mut document = described(json!({}), json!({}));
        document["info"] = info;
        Contract::parse("openapi.json".as_ref(), document.to_string().as_bytes())
            .map(|contract| contract.dated().map(|day| day.to_string()))
            .map_err(|e| e.to_string())
    };
    let day = |day: &str| Ok(Some(day.to_owned()));
    assert_eq!(dated(json!({ "title": "t", "version": "2025-08-27.basil" })), day("2025-08-27"));
    assert_eq!(
        dated(json!({ "title": "t", "version": "v3", "x-firedrill-dated": "2025-01-31" })),
        day("2025-01-31")
    );
    assert_eq!(
        dated(json!({ "version": "2022-11-28", "x-firedrill-dated": "2025-01-31" })),
        day("2025-01-31")
    );
    for undated in
        [json!({ "version": "v3" }), json!({ "version": "2025-13-01" }), json!({ "version": 3 }), json!({})]
    {
        assert_eq!(dated(undated.clone()), Ok(None), "{undated}");
    }
    for wrong in [json!("last week"), json!(2025), json!("2025-02-30")] {
        let said = dated(json!({ "version": "2022-11-28", "x-firedrill-dated": wrong })).unwrap_err();
        assert!(said.contains(&format!("`x-firedrill-dated` is {wrong}, which is no day")), "{said}");
        assert!(said.contains("openapi.json:1:") && said.contains("help: write the day"), "{said}");
    }
}

#[test]
fn a_path_is_found_by_its_most_exact_template() {
    let ok = json!({ "responses": { "200": { "description": "" } } });
    let many = json!({ "get": ok, "parameters": [
        { "name": "path", "in": "path", "required": true, "x-multi-segment": true, "schema": { "type": "string" } }
    ] });
    let mut document = described(
        json!({
            "/deals/{id}": { "get": ok, "delete": ok }, "/deals/search": { "post": ok },
            "/files/{path}": many, "/compare/{base}...{head}": { "get": ok },
        }),
        json!({}),
    );
    document["servers"] = json!([{ "url": "https://api.example.com/v3/" }]);
    let contract = contract(&document);
    let found = |method: &str, target: &str| {
        contract
            .find(method, target)
            .map(|f| (f.operation.path.clone(), f.arguments))
            .map_err(|e| e.to_string())
    };
    let arguments = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(found("POST", "/deals/search").unwrap().0, "/deals/search");
    assert_eq!(found("GET", "/deals/search").unwrap().0, "/deals/{id}");
    assert_eq!(
        found("HEAD", "/deals/a%20b?x=1").unwrap(),
        ("/deals/{id}".to_owned(), arguments(&[("id", "a b")]))
    );
    assert_eq!(found("GET", "/v3/deals/7").unwrap().0, "/deals/{id}");
    assert_eq!(found("GET", "/files/a/b%2Fc").unwrap().1, arguments(&[("path", "a/b/c")]));
    assert_eq!(found("GET", "/compare/v1.0...v2").unwrap().1, arguments(&[("base", "v1.0"), ("head", "v2")]));
    assert_eq!(
        found("PUT", "/deals/7").unwrap_err(),
        "the contract's /deals/{id} takes GET, DELETE, not PUT"
    );
    assert_eq!(
        found("GET", "/deal/search").unwrap_err(),
        "the contract has no path for /deal/search; the nearest is /deals/search"
    );
    assert!(found("GET", "/deals/").is_err());
}

#[test]
fn the_typed_and_the_light_index_read_the_same() {
    let schema = json!({ "schema": { "type": "integer" } });
    let paths = json!({ "/a/{id}": {
        "parameters": [{ "$ref": "#/components/parameters/id" }],
        "get": {
            "operationId": "getA", "deprecated": true,
            "parameters": [
                { "name": "q", "in": "query", "style": "pipeDelimited", "explode": false, "schema": { "type": "array", "items": {} } },
                { "name": "f", "in": "query", "style": "deepObject", "schema": {} },
                { "name": "x-h", "in": "header", "required": true, "content": { "application/json": {} } },
            ],
            "requestBody": { "$ref": "#/components/requestBodies/b" },
            "responses": {
                "default": { "description": "" }, "4XX": { "$ref": "#/components/responses/r" },
                "200": { "description": "", "content": { "application/json": schema, "text/*": {} } },
            },
        },
    } });
    let mut document = described(paths, json!({}));
    document["components"]["parameters"] =
        json!({ "id": { "name": "id", "in": "path", "required": true, "schema": {} } });
    document["components"]["requestBodies"] =
        json!({ "b": { "required": true, "content": { "application/json": schema } } });
    document["components"]["responses"] =
        json!({ "r": { "description": "", "content": { "application/json": schema } } });
    let typed = contract(&document);
    document["openapi"] = "3.1.0".into();
    let light = contract(&document);
    assert_eq!((typed.typed_paths(), light.typed_paths()), (1, 0));
    assert_eq!(typed.operations(), light.operations());
    assert_eq!(typed.operations()[0].parameters.len(), 4);
    let operation = &typed.operations()[0];
    let answer = |status| operation.answer(status).map(|a| a.status.to_string());
    assert_eq!(
        (answer(200).unwrap(), answer(404).unwrap(), answer(500).unwrap()),
        ("200".into(), "4XX".into(), "default".into())
    );
}

#[test]
fn fields_are_listed_with_wildcards_and_end_where_schemas_repeat() {
    let schemas = json!({ "deal": {
        "type": "object", "required": ["id", "lines"],
        "properties": {
            "id": { "type": "integer" },
            "stage": { "type": "string", "enum": ["won", "lost"], "nullable": true },
            "lines": { "type": "array", "items": { "type": "object", "properties": { "at": { "type": "string", "format": "date-time" } } } },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "parent": { "$ref": "#/components/schemas/deal" },
        },
    } });
    let document = described(answering(json!({ "$ref": "#/components/schemas/deal" })), schemas);
    let contract = contract(&document);
    let fields = contract.fields(&contract.operations()[0], 200);
    let said: Vec<String> = fields
        .iter()
        .map(|f| {
            let marks =
                [f.required.then_some("required"), f.nullable.then_some("nullable"), f.format.as_deref()];
            format!(
                "{} {:?} {}",
                f.pointer,
                f.types,
                marks.into_iter().flatten().collect::<Vec<_>>().join(" ")
            )
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    assert_eq!(fields[2].values.as_deref(), Some(&[json!("won"), json!("lost")][..]));
}
