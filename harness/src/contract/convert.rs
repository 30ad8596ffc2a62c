//! From the schemas of an OpenAPI description to JSON Schema 2020-12, for one direction.
//!
//! Knows: where OpenAPI holds schemas, and what its 3.0 dialect means. Must not know: validation.
//!
//! Only schemas are converted, never names: a property may be called `nullable`. Every schema
//! stays at its own pointer, so that references and findings mean the same place in both. The one
//! exception: a nullable schema beside `$ref`, `allOf`, `anyOf`, `oneOf` or `not` moves one step
//! down, under `else` (see [`nullable`]); [`raw_pointer`] takes that step back.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::document::{Document, Version, escape, pointer_of, unescape};

/// Who sends what is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The client: read-only properties need not be there.
    Request,
    /// The vendor: write-only properties need not be there.
    Response,
}

/// What the fragment of a URI cannot hold as it is (RFC 3986 §3.5).
const FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'[')
    .add(b']')
    .add(b'%')
    .add(b'\\')
    .add(b'^')
    .add(b'|')
    .add(b'#');

/// A JSON Pointer as the fragment of a reference.
pub(super) fn fragment(pointer: &str) -> String {
    format!("#{}", utf8_percent_encode(pointer, FRAGMENT))
}

/// The document with nothing but its schemas, in JSON Schema 2020-12.
pub(super) fn convert(document: &Document, direction: Direction) -> Value {
    let conversion = Conversion { document, direction };
    let mut out = Map::new();
    for (name, section) in document.raw.as_object().into_iter().flatten() {
        let converted = match name.as_str() {
            "paths" | "webhooks" | "x-webhooks" => conversion.map(section, |item| conversion.path_item(item)),
            "components" => conversion.components(section),
            // Parts of other files may hold a component, a schema, or a list of them.
            "x-firedrill-files" => conversion.map(section, |file| conversion.any(file)),
            _ => continue,
        };
        out.insert(name.clone(), converted);
    }
    let mut out = Value::Object(out);
    conversion.mend_references(&mut out);
    out
}

/// What makes a part of a description its converted self.
type Convert<'d> = fn(&Conversion<'d>, &Value) -> Value;

struct Conversion<'d> {
    document: &'d Document,
    direction: Direction,
}

impl<'d> Conversion<'d> {
    fn map(&self, value: &Value, each: impl Fn(&Value) -> Value) -> Value {
        match value {
            Value::Object(members) => {
                Value::Object(members.iter().map(|(name, member)| (name.clone(), each(member))).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(each).collect()),
            _ => Value::Null,
        }
    }

    /// The members of `value` called as `parts` says, each through its function.
    fn parts(&self, value: &Value, parts: &[(&str, Convert<'d>)]) -> Value {
        let mut out = Map::new();
        for (name, convert) in parts {
            if let Some(member) = value.get(*name) {
                out.insert((*name).to_owned(), convert(self, member));
            }
        }
        Value::Object(out)
    }

    fn components(&self, value: &Value) -> Value {
        self.parts(
            value,
            &[
                ("schemas", |c, v| c.map(v, |schema| c.schema(schema))),
                ("responses", |c, v| c.map(v, |response| c.response(response))),
                ("parameters", |c, v| c.map(v, |parameter| c.parameter(parameter))),
                ("headers", |c, v| c.map(v, |header| c.parameter(header))),
                ("requestBodies", |c, v| c.map(v, |body| c.body(body))),
                ("pathItems", |c, v| c.map(v, |item| c.path_item(item))),
            ],
        )
    }

    fn path_item(&self, value: &Value) -> Value {
        let mut out = Map::new();
        for (name, member) in value.as_object().into_iter().flatten() {
            let converted = match name.as_str() {
                "parameters" => self.map(member, |parameter| self.parameter(parameter)),
                "get" | "put" | "post" | "delete" | "options" | "head" | "patch" | "trace" => self.parts(
                    member,
                    &[
                        ("parameters", |c, v| c.map(v, |parameter| c.parameter(parameter))),
                        ("requestBody", |c, v| c.body(v)),
                        ("responses", |c, v| c.map(v, |response| c.response(response))),
                    ],
                ),
                _ => continue,
            };
            out.insert(name.clone(), converted);
        }
        Value::Object(out)
    }

    fn parameter(&self, value: &Value) -> Value {
        self.parts(
            value,
            &[("schema", |c, v| c.schema(v)), ("content", |c, v| c.map(v, |media| c.media(media)))],
        )
    }

    fn body(&self, value: &Value) -> Value {
        self.parts(value, &[("content", |c, v| c.map(v, |media| c.media(media)))])
    }

    fn response(&self, value: &Value) -> Value {
        self.parts(
            value,
            &[
                ("content", |c, v| c.map(v, |media| c.media(media))),
                ("headers", |c, v| c.map(v, |header| c.parameter(header))),
            ],
        )
    }

    fn media(&self, value: &Value) -> Value {
        self.parts(value, &[("schema", |c, v| c.schema(v))])
    }

    /// A part of another file, of which only its uses tell what it is.
    fn any(&self, value: &Value) -> Value {
        let Some(members) = value.as_object() else { return Value::Null };
        let has = |keys: &[&str]| keys.iter().any(|key| members.contains_key(*key));
        if has(&["openapi", "components", "paths"]) {
            let mut out = self.parts(value, &[("components", |c, v| c.components(v))]);
            if let Some(paths) = value.get("paths") {
                out["paths"] = self.map(paths, |item| self.path_item(item));
            }
            return out;
        }
        if members.contains_key("in") && members.contains_key("name") {
            return self.parameter(value);
        }
        if members.get("content").is_some_and(Value::is_object) && !has(&["type", "properties"]) {
            return self.response(value);
        }
        if METHODS.iter().any(|m| members.get(*m).is_some_and(|op| op.get("responses").is_some())) {
            return self.path_item(value);
        }
        if is_schema(members) {
            return self.schema(value);
        }
        self.map(value, |member| self.any(member))
    }

    /// A schema.
    fn schema(&self, value: &Value) -> Value {
        self.schema_within(value, &BTreeSet::new())
    }

    /// A schema applied to the same value as another that says which properties `lapse`: they are
    /// never sent in this direction, so they are not missed.
    fn schema_within(&self, value: &Value, lapse: &BTreeSet<String>) -> Value {
        let Value::Object(members) = value else { return value.clone() };
        if self.document.version == Version::V30
            && let Some(reference) = members.get("$ref")
        {
            // Beside `$ref` 3.0 passes over everything (3.0.3, Reference Object); `nullable` is
            // heeded all the same, because that is what everyone who writes it means.
            return nullable(members, json!({ "$ref": reference }));
        }
        let mut lapsed = lapse.clone();
        self.lapsing(members, 0, &mut lapsed);
        let mut out = Map::with_capacity(members.len());
        for (name, member) in members {
            let converted = match name.as_str() {
                // Words about the schema, and words of OpenAPI's own. `discriminator` only hints
                // at which branch to look at first; the branches decide.
                "description" | "title" | "example" | "examples" | "default" | "deprecated"
                | "externalDocs" | "xml" | "discriminator" | "readOnly" | "writeOnly" | "nullable"
                | "$schema" | "$comment" => {
                    continue;
                }
                name if name.starts_with("x-") => continue,
                "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                    self.map(member, |schema| self.schema(schema))
                }
                "items" if member.is_array() => self.map(member, |schema| self.schema(schema)),
                "prefixItems" => self.map(member, |schema| self.schema(schema)),
                "allOf" | "anyOf" => {
                    let mut branches = self.map(member, |schema| self.schema_within(schema, &lapsed));
                    once(&mut branches, name == "allOf");
                    branches
                }
                "oneOf" => self.map(member, |schema| self.schema_within(schema, &lapsed)),
                "if" | "then" | "else" => self.schema_within(member, &lapsed),
                "items"
                | "additionalProperties"
                | "not"
                | "contains"
                | "propertyNames"
                | "additionalItems"
                | "unevaluatedProperties"
                | "unevaluatedItems"
                | "contentSchema" => self.schema(member),
                "required" => match member {
                    Value::Array(names) => names
                        .iter()
                        .filter(|n| !n.as_str().is_some_and(|n| lapsed.contains(n)))
                        .cloned()
                        .collect(),
                    // A slip that is often seen: `required: true` at a property.
                    Value::Bool(_) => continue,
                    // Nobody can tell what is meant, and so nothing is judged by it.
                    other => other.clone(),
                },
                _ => member.clone(),
            };
            out.insert(name.clone(), converted);
        }
        if self.document.version == Version::V31 {
            return Value::Object(out);
        }
        for (exclusive, inclusive) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
            if let Some(Value::Bool(strict)) = out.get(exclusive) {
                let strict = *strict;
                out.remove(exclusive);
                if strict && let Some(bound) = out.remove(inclusive) {
                    out.insert(exclusive.to_owned(), bound);
                }
            }
        }
        nullable(members, Value::Object(out))
    }

    /// The properties of a schema that are never sent in this direction.
    fn lapsing(&self, members: &Map<String, Value>, depth: u8, found: &mut BTreeSet<String>) {
        let mark = match self.direction {
            Direction::Request => "readOnly",
            Direction::Response => "writeOnly",
        };
        for (name, property) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let marked = |schema: &Value| schema.get(mark).and_then(Value::as_bool) == Some(true);
            let target =
                || self.document.follow(String::new(), property).is_some_and(|(_, schema)| marked(schema));
            if marked(property) || (property.get("$ref").is_some() && target()) {
                found.insert(name.clone());
            }
        }
        if depth < 8 {
            for part in members.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                if let Some((_, Value::Object(part))) = self.document.follow(String::new(), part) {
                    self.lapsing(part, depth + 1, found);
                }
            }
        }
    }

    /// Writes references so that a URI can hold them, and leads those that pass through a schema
    /// that moved under `else`.
    fn mend_references(&self, out: &mut Value) {
        let mut targets = BTreeSet::new();
        collect(out, &mut targets);
        let mended: Vec<(String, String)> = targets
            .into_iter()
            .filter_map(|reference| {
                let pointer = pointer_of(&reference)?;
                let pointer = converted_pointer(out, &pointer).unwrap_or(pointer);
                let mended = fragment(&pointer);
                (mended != reference).then_some((reference, mended))
            })
            .collect();
        if !mended.is_empty() {
            replace(out, &mended.into_iter().collect());
        }
    }
}

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

fn is_schema(members: &Map<String, Value>) -> bool {
    let scalar = members.get("type").is_some_and(|t| t.is_string() || t.is_array());
    let list = |key: &str| members.get(key).is_some_and(Value::is_array);
    scalar
        || list("enum")
        || ["allOf", "anyOf", "oneOf"].into_iter().any(list)
        || members.get("$ref").is_some_and(Value::is_string)
        || members.get("properties").is_some_and(Value::is_object)
}

/// Leaves of branches that refer to the same schema only the first, and `instead` in the place of the
/// others: to judge each of them doubles with each level of a value.
fn once(branches: &mut Value, instead: bool) {
    let mut known = BTreeSet::new();
    for branch in branches.as_array_mut().into_iter().flatten() {
        if let Some(reference) = bare(branch)
            && !known.insert(reference.to_owned())
        {
            *branch = Value::Bool(instead);
        }
    }
}

/// What a schema refers to that does nothing else, or is composed of one that does.
fn bare(schema: &Value) -> Option<&str> {
    let Value::Object(members) = schema else { return None };
    let mut members = members.iter();
    match (members.next(), members.next()) {
        (Some((keyword, Value::String(reference))), None) if keyword == "$ref" => Some(reference),
        (Some((keyword, Value::Array(parts))), None)
            if ["allOf", "anyOf", "oneOf"].contains(&keyword.as_str()) =>
        {
            if let [only] = parts.as_slice() {
                bare(only)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Lets a converted schema take null if its original says `nullable: true`.
///
/// Beside a plain `type` this is what 3.0.3 says. Beside `$ref`, `allOf`, `anyOf`, `oneOf`, `not`
/// or without a type the strict reading is that null is still refused by those; vendors mean the
/// opposite (of Stripe's own samples the strict reading refuses half), so null passes them by.
fn nullable(original: &Map<String, Value>, converted: Value) -> Value {
    if original.get("nullable").and_then(Value::as_bool) != Some(true) {
        return converted;
    }
    let Value::Object(mut members) = converted else { return converted };
    let composed = ["$ref", "allOf", "anyOf", "oneOf", "not"].iter().any(|key| members.contains_key(*key));
    match members.get_mut("type") {
        Some(Value::String(name)) if !composed => {
            let name = std::mem::take(name);
            members.insert("type".to_owned(), json!([name, "null"]));
            if let Some(Value::Array(values)) = members.get_mut("enum")
                && !values.contains(&Value::Null)
            {
                values.push(Value::Null);
            }
            Value::Object(members)
        }
        _ => json!({ "if": { "type": "null" }, "else": members }),
    }
}

/// The pointer in the raw document of a pointer in the converted one.
pub(super) fn raw_pointer(raw: &Value, converted: &str) -> String {
    let mut at = Some(raw);
    let mut out = String::new();
    for segment in converted.split('/').skip(1) {
        let next = at.and_then(|v| step(v, segment));
        if next.is_none() && segment == "else" {
            continue;
        }
        at = next;
        out.push('/');
        out.push_str(segment);
    }
    out
}

/// The pointer in the converted document of a pointer in the raw one.
pub(super) fn converted_pointer(converted: &Value, raw: &str) -> Option<String> {
    let mut at = converted;
    let mut out = String::new();
    for segment in raw.split('/').skip(1) {
        at = match step(at, segment) {
            Some(next) => next,
            None => {
                out.push_str("/else");
                step(at.get("else")?, segment)?
            }
        };
        out.push('/');
        out.push_str(segment);
    }
    Some(out)
}

fn step<'v>(value: &'v Value, segment: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(&unescape(segment)),
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        _ => None,
    }
}

fn collect(value: &Value, targets: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                targets.insert(reference.clone());
            }
            members.values().for_each(|member| collect(member, targets));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, targets)),
        _ => {}
    }
}

fn replace(value: &mut Value, mended: &std::collections::BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref")
                && let Some(new) = mended.get(reference)
            {
                new.clone_into(reference);
            }
            members.values_mut().for_each(|member| replace(member, mended));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, mended)),
        _ => {}
    }
}

/// A step of a pointer below another.
pub(super) fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", escape(name))
}
