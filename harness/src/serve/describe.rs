//! The control API's own description, as OpenAPI 3.1.
//!
//! Knows: how the table of operations and the types become a description. Must not know: how any
//! operation is carried out.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::api;
use super::routes::{ROUTES, Route};
use crate::fault::Rule;
use crate::scenario::Step;

const WHERE: &str = "#/components/schemas/";

/// The description.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut schemas = settings.into_generator();
    named(&mut schemas);
    let mut paths = Map::new();
    for route in &ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(operations) = path {
            operations.insert(route.method.to_lowercase(), operation(route));
        }
    }
    let mut components = schemas.take_definitions(true);
    for (name, of, about) in [
        ("Rules", "Rule", "One fault rule, or a list of them."),
        ("Steps", "Step", "One step, or a list of them."),
    ] {
        let one = json!({ "$ref": format!("{WHERE}{of}") });
        let list = json!({ "type": "array", "items": one, "minItems": 1 });
        components.insert(name.to_owned(), json!({ "description": about, "oneOf": [one, list] }));
    }
    let description = json!({
        "description": "An OpenAPI 3.1 description.",
        "type": "object",
        "required": ["openapi", "info", "paths"],
    });
    components.insert("Description".to_owned(), description);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "firedrill serve: the control API",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Steers vendors that are served alone.",
            "description": "Bodies are JSON or YAML; answers are JSON. Mistakes in bodies are pointed at by line and \
                            column. The API listens on loopback only and asks for no credential: what it steers is not real.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "The port that `firedrill serve` prints." }],
        "paths": paths,
        "components": { "schemas": components },
    })
}

/// The description as it is published: indented, with a final newline.
pub fn pretty() -> String {
    format!("{:#}\n", document())
}

fn named(schemas: &mut SchemaGenerator) {
    schemas.subschema_for::<api::Overview>();
    schemas.subschema_for::<api::Target>();
    schemas.subschema_for::<api::Advance>();
    schemas.subschema_for::<api::Faults>();
    schemas.subschema_for::<api::Done>();
    schemas.subschema_for::<api::Emit>();
    schemas.subschema_for::<api::Emitted>();
    schemas.subschema_for::<api::Ledgers>();
    schemas.subschema_for::<api::Records>();
    schemas.subschema_for::<api::Page>();
    schemas.subschema_for::<api::Refused>();
    schemas.subschema_for::<Rule>();
    schemas.subschema_for::<Step>();
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("{WHERE}{name}") })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({ "operationId": route.id, "summary": route.summary });
    if !route.about.is_empty() {
        operation["description"] = json!(route.about);
    }
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some((name, example)) = route.takes {
        let example: Value = serde_json::from_str(example).unwrap_or_default();
        operation["requestBody"] = json!({
            "required": true,
            "content": {
                "application/json": { "schema": of(name), "example": example },
                "application/yaml": { "schema": of(name) },
            },
        });
    }
    let (status, gives) = route.gives;
    let mut responses = Map::new();
    let success = match gives {
        Some(name) => {
            json!({ "description": "Done.", "content": { "application/json": { "schema": of(name) } } })
        }
        None => json!({ "description": "Done; there is nothing to say." }),
    };
    responses.insert(status.to_string(), success);
    for status in route.refuses {
        let why = if *status == 404 { "There is no such thing." } else { "Not understood, or not possible." };
        let content = json!({ "application/json": { "schema": of("Refused") } });
        responses.insert(status.to_string(), json!({ "description": why, "content": content }));
    }
    operation["responses"] = Value::Object(responses);
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = route.path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).map(|name| {
        let (about, schema) = match name {
            "alias" => ("The vendor's alias.", json!({ "type": "string" })),
            "collection" => ("One of its collections.", json!({ "type": "string" })),
            _ => ("The number of the rule.", json!({ "type": "integer", "minimum": 0 })),
        };
        json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
    });
    let number = |least: u64| json!({ "type": "integer", "minimum": least });
    let in_query: Vec<(&str, &str, Value)> = match route.path {
        "/trace" => vec![
            ("since", "The number of the first event that is looked at.", number(0)),
            ("limit", "The most events of one part (at most 10000, by default 1000).", number(1)),
            ("vendor", "Only what concerns this vendor, by alias.", json!({ "type": "string" })),
            ("kind", "Only events of this kind.", json!({ "type": "string" })),
            ("call", "Only the request and the answer of this call.", number(0)),
        ],
        _ => vec![],
    };
    let in_query = in_query.into_iter().map(|(name, about, schema)| {
        json!({ "name": name, "in": "query", "required": false, "description": about, "schema": schema })
    });
    in_path.chain(in_query).collect()
}
