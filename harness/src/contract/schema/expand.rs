//! From the text of a schema to its shape: `$ref` followed, `allOf` joined, both dialects made one.
//!
//! Knows: the keywords of OpenAPI 3.0 and 3.1 schemas, and when a schema unfolds into too much.
//! Must not know: that there are two documents.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::effort::Effort;
use super::node::{Doc, Node};
use super::shape::{Additional, Bound, LIMITS, Shape, stricter};
use super::types::Types;
use crate::contract::document::Version;

/// How many schemas one shape may be made of: a few lines of `anyOf` over `$ref` can mean a billion.
pub(in crate::contract) const AT_ONCE: usize = 2_000;
/// How many schemas in a row may lead to one that applies to the same value.
pub(in crate::contract) const IN_A_ROW: usize = 64;
/// How many plain wrappers around a schema are looked through.
const WRAPPED: usize = 64;

/// Words about a schema, which make no difference to what it allows.
const WORDS: [&str; 4] = ["description", "summary", "title", "example"];

/// Keywords that are compared as a whole.
const OPAQUE: [&str; 15] = [
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "uniqueItems",
];

impl<'d> Shape<'d> {
    /// What all of `nodes` together allow. What unfolds into too much for one value, or for what
    /// is left of `effort`, is [`Shape::tangled`].
    pub fn of(doc: &Doc<'d>, nodes: &[Node<'d>], effort: &Effort) -> Shape<'d> {
        let mut reading = Reading { doc, effort, above: Vec::new(), left: AT_ONCE, tangled: None };
        let mut shapes = nodes.iter().map(|n| reading.expand(n)).collect::<Vec<_>>().into_iter();
        let first = shapes.next().unwrap_or_else(|| Shape::anything("#".into()));
        let shape = shapes.fold(first, Shape::meet);
        match reading.tangled {
            None => shape,
            Some(at) => Shape { tangled: Some(at), ..Shape::anything(shape.at) },
        }
    }
}

/// One shape that is being read.
struct Reading<'r, 'd> {
    doc: &'r Doc<'d>,
    effort: &'r Effort,
    /// The schemas that led here, all for the same value.
    above: Vec<usize>,
    left: usize,
    tangled: Option<Rc<str>>,
}

impl<'d> Reading<'_, 'd> {
    fn expand(&mut self, node: &Node<'d>) -> Shape<'d> {
        if self.tangled.is_some() || self.above.contains(&node.id()) {
            return Shape::anything(node.at.clone());
        }
        if self.left == 0 || self.above.len() > IN_A_ROW || !self.effort.spend(1) {
            self.tangled = Some(node.at.clone());
            return Shape::anything(node.at.clone());
        }
        self.left -= 1;
        self.above.push(node.id());
        let shape = match node.reference() {
            None => self.own(node),
            Some(reference) => {
                let target = match self.doc.find(reference) {
                    Some(target) => {
                        let mut shape = self.expand(&target);
                        shape.name.get_or_insert_with(|| target.at.clone());
                        shape
                    }
                    None => Shape { dangling: Some(reference), ..Shape::anything(node.at.clone()) },
                };
                match self.doc.version {
                    // Nothing counts beside a `$ref` (3.0.3, Reference Object) but `nullable`, which
                    // all who write it there mean.
                    Version::V30 => Shape { null: target.null || node.flag("nullable"), ..target },
                    Version::V31 => target.meet(self.own(node)),
                }
            }
        };
        self.above.pop();
        shape
    }

    fn own(&mut self, node: &Node<'d>) -> Shape<'d> {
        let mut shape = Shape::anything(node.at.clone());
        let Value::Object(map) = node.value else {
            if node.value == &Value::Bool(false) {
                shape.types = Types::NONE;
                shape.null = false;
            }
            return shape;
        };
        shape.title = node.text("title");
        shape.format = node.text("format");
        shape.patterns.extend(node.text("pattern"));
        shape.default = map.get("default");
        shape.deprecated = node.flag("deprecated");
        shape.read_only = node.flag("readOnly");
        shape.write_only = node.flag("writeOnly");
        shape.discriminator = node.get("discriminator");
        for keyword in ["contentEncoding", "contentMediaType"] {
            shape.content.extend(node.text(keyword).map(|text| (keyword, text)));
        }
        limits(self.doc, node, &mut shape);
        objects_and_lists(node, &mut shape);
        for keyword in OPAQUE {
            if let Some(child) =
                node.get(keyword).filter(|c| c.value != &Value::Bool(keyword != "uniqueItems"))
            {
                shape.opaque.insert(keyword, child);
            }
        }
        types_and_values(node, &mut shape);
        for group in ["anyOf", "oneOf"] {
            let branches = self.distinct(node, group);
            if !branches.is_empty() {
                shape.null &= branches.iter().any(|b| b.null);
                shape.groups.push(branches.into_iter().filter(|b| !b.only_null()).collect());
            }
        }
        // A choice between null and one other thing is that thing, and null.
        let single = |group: &Vec<Shape<'d>>| group.len() == 1;
        while let Some(n) = shape.groups.iter().position(single) {
            let null = shape.null;
            let branch = shape.groups.remove(n).remove(0);
            shape = shape.meet(branch);
            shape.null = null;
        }
        for part in self.distinct(node, "allOf") {
            shape = shape.meet(part);
        }
        if self.doc.version == Version::V30 && node.flag("nullable") {
            shape.null = true;
        }
        shape
    }

    /// The shapes of the schemas listed under a keyword, those that come down to the same one once.
    fn distinct(&mut self, node: &Node<'d>, keyword: &str) -> Vec<Shape<'d>> {
        let mut known = BTreeSet::new();
        let parts = node.get(keyword);
        let parts = parts.iter().flat_map(Node::items);
        parts.filter_map(|part| known.insert(self.core(&part)).then(|| self.expand(&part))).collect()
    }

    /// What a schema comes down to: what it refers to, or is composed of alone.
    fn core(&self, node: &Node<'d>) -> usize {
        let mut node = node.clone();
        for _ in 0..WRAPPED {
            let Value::Object(members) = node.value else { break };
            let mut words = members.keys().map(String::as_str).filter(|k| !WORDS.contains(k));
            let inner = match (words.next(), words.next()) {
                (Some("$ref"), None) => node.reference().and_then(|r| self.doc.find(r)),
                (Some(keyword @ ("allOf" | "anyOf" | "oneOf")), None) => node
                    .get(keyword)
                    .filter(|list| list.value.as_array().is_some_and(|l| l.len() == 1))
                    .and_then(|l| l.get("0")),
                _ => None,
            };
            match inner {
                Some(inner) => node = inner,
                None => break,
            }
        }
        node.id()
    }
}

fn types_and_values<'d>(node: &Node<'d>, shape: &mut Shape<'d>) {
    let listed: Option<Vec<&Value>> = match (node.value.get("const"), node.value.get("enum")) {
        (Some(only), _) => Some(vec![only]),
        (None, Some(Value::Array(values))) => Some(values.iter().collect()),
        _ => None,
    };
    let has = |keywords: &[&str]| keywords.iter().any(|k| node.value.get(k).is_some());
    match node.value.get("type") {
        Some(Value::String(name)) => {
            shape.types = Types::named(name);
            shape.null = name == "null";
        }
        Some(Value::Array(names)) => {
            let names = || names.iter().filter_map(Value::as_str);
            shape.types = names().map(Types::named).fold(Types::NONE, Types::or);
            shape.null = names().any(|n| n == "null");
        }
        _ if listed.is_some() => {
            let values = listed.iter().flatten();
            shape.types = values.map(|v| Types::of(v)).fold(Types::NONE, Types::or);
        }
        // A type left out beside `properties` or `items` is meant, by nearly every document.
        _ if has(&["properties", "required", "additionalProperties"])
            && !has(&["anyOf", "oneOf", "allOf"]) =>
        {
            shape.types = Types::OBJECT;
            shape.null = false;
        }
        _ if has(&["items", "prefixItems"]) => {
            shape.types = Types::ARRAY;
            shape.null = false;
        }
        _ => {}
    }
    if let Some(values) = listed {
        shape.null &= values.iter().any(|v| v.is_null());
        shape.values = Some(values.into_iter().filter(|v| !v.is_null()).collect());
    }
}

fn limits<'d>(doc: &Doc<'d>, node: &Node<'d>, shape: &mut Shape<'d>) {
    for (keyword, _) in LIMITS {
        if let Some(value) = node.value.get(keyword).and_then(Value::as_f64) {
            shape.limits.insert(keyword, Bound { value, exclusive: false });
        }
    }
    for (keyword, outside) in [("maximum", "exclusiveMaximum"), ("minimum", "exclusiveMinimum")] {
        match (doc.version, node.value.get(outside)) {
            (Version::V30, Some(Value::Bool(true))) => {
                shape.limits.entry(keyword).and_modify(|b| b.exclusive = true);
            }
            (Version::V31, Some(Value::Number(n))) => {
                let Some(value) = n.as_f64() else { continue };
                let bound = Bound { value, exclusive: true };
                let held = shape.limits.entry(keyword).or_insert(bound);
                if stricter(keyword, bound, *held) {
                    *held = bound;
                }
            }
            _ => {}
        }
    }
    // A bound that everything keeps is none.
    shape
        .limits
        .retain(|keyword, bound| bound.value > 0.0 || !keyword.starts_with("min") || *keyword == "minimum");
}

fn objects_and_lists<'d>(node: &Node<'d>, shape: &mut Shape<'d>) {
    for (name, property) in node.get("properties").iter().flat_map(Node::members) {
        shape.properties.insert(name, vec![property]);
    }
    let required = node.value.get("required").and_then(Value::as_array);
    shape.required.extend(required.into_iter().flatten().filter_map(Value::as_str));
    shape.additional = match node.get("additionalProperties") {
        None => Additional::Anything,
        Some(schema) => match schema.value {
            Value::Bool(false) => Additional::Forbidden,
            Value::Bool(true) => Additional::Anything,
            Value::Object(map) if map.is_empty() => Additional::Anything,
            _ => Additional::Schema(vec![schema]),
        },
    };
    shape.items.extend(node.get("items").filter(|i| i.value != &Value::Bool(true)));
    shape.prefix = node.get("prefixItems").iter().flat_map(Node::items).collect();
}
