//! Requests: parameters as text, forms with brackets, typed by the schema.

use super::*;
use crate::wire::{Headers, Request};

fn stripe() -> Contract {
    let form = json!({ "type": "object", "required": ["customer"], "additionalProperties": false, "properties": {
        "customer": { "type": "string" }, "amount": { "type": "integer" }, "auto_advance": { "type": "boolean" },
        "metadata": { "anyOf": [{ "type": "object", "additionalProperties": { "type": "string" } }, { "type": "string", "enum": [""] }] },
        "items": { "type": "array", "items": { "type": "object", "properties": { "price": { "type": "string" }, "quantity": { "type": "integer" } } } },
        "expand": { "type": "array", "items": { "type": "string" } },
    } });
    let parameters = json!([
        { "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } },
        { "name": "limit", "in": "query", "schema": { "type": "integer", "maximum": 100 } },
        { "name": "created", "in": "query", "style": "deepObject", "schema": { "type": "object", "properties": { "gte": { "type": "integer" } } } },
        { "name": "ids", "in": "query", "style": "form", "explode": false, "schema": { "type": "array", "items": { "type": "integer" } } },
        { "name": "x-version", "in": "header", "required": true, "schema": { "type": "string", "enum": ["1", "2"] } },
    ]);
    let paths = json!({ "/v1/invoices/{id}": { "post": {
        "parameters": parameters,
        "requestBody": { "required": true, "content": { "application/x-www-form-urlencoded": { "schema": form } } },
        "responses": { "200": { "description": "" } },
    } } });
    contract(&described(paths, json!({})))
}

fn judged(target: &str, version: Option<&str>, body: &str) -> Vec<String> {
    let contract = stripe();
    let mut headers = Headers::of([("content-type", "application/x-www-form-urlencoded")]);
    if let Some(version) = version {
        headers.set("X-Version", version);
    }
    let request =
        Request { method: "POST".into(), target: target.into(), headers, body: body.to_owned().into() };
    let found = contract.find("POST", target).unwrap();
    let said = contract.check_request(found.operation, &request);
    said.violations.iter().map(|v| format!("{} {:?} {}", v.rule, v.part, v.pointer)).collect()
}

#[test]
fn a_form_with_brackets_is_typed_by_its_schema() {
    let good = "customer=c&amount=12&auto_advance=false&metadata[deal_id]=1&items[0][price]=p&items[0][quantity]=2&items[1][price]=q&expand[]=a&expand[]=b";
    assert_eq!(judged("/v1/invoices/7?limit=3&created[gte]=5&ids=1,2", Some("1"), good), [] as [&str; 0]);
    assert_eq!(judged("/v1/invoices/7", Some("1"), "customer=c&metadata="), [] as [&str; 0]);
}

#[test]
fn each_part_of_a_request_is_judged() {
    assert_eq!(judged("/v1/invoices/x", Some("1"), "customer=c"), ["contract/type Path /id"]);
    assert_eq!(
        judged("/v1/invoices/7?limit=101&created[gte]=soon&ids=1,b", None, "customer=c"),
        [
            "contract/type Query /created/gte",
            "contract/type Query /ids/1",
            "contract/range Query /limit",
            "contract/required Header /x-version",
        ]
    );
    assert_eq!(
        judged("/v1/invoices/7?colour=red", Some("3"), "amount=12.5&items[0][quantity]=many&other=1"),
        [
            "contract/enum Header /x-version",
            "contract/type Body /amount",
            "contract/required Body /customer",
            "contract/type Body /items/0/quantity",
            "contract/forbidden_field Body /other",
            "contract/unknown_parameter Query /colour",
        ]
    );
    assert_eq!(judged("/v1/invoices/7", Some("1"), ""), ["contract/body Body "]);
    assert_eq!(
        judged("/v1/invoices/7", Some("1"), "customer=c&customer[a]=1"),
        ["contract/not_a_form Body "]
    );
}
