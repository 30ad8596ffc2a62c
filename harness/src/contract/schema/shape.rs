//! What a schema allows, on one level: `$ref` followed, `allOf` joined, both dialects made one.
//!
//! Knows: the keywords of OpenAPI 3.0 and 3.1 schemas. Must not know: that there are two documents.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::Value;

use super::node::{Doc, Node, same};
use super::types::Types;
use crate::contract::document::Version;

/// What one level of a schema allows.
#[derive(Clone, Debug)]
pub(in crate::contract) struct Shape<'d> {
    /// Where it is written.
    pub at: Rc<str>,
    /// The name of the reference that led here, if one did.
    pub name: Option<Rc<str>>,
    pub title: Option<&'d str>,
    /// The types other than null.
    pub types: Types,
    /// Whether null is allowed.
    pub null: bool,
    /// The values it is limited to (`enum`, `const`), without null.
    pub values: Option<Vec<&'d Value>>,
    pub format: Option<&'d str>,
    pub patterns: BTreeSet<&'d str>,
    pub limits: BTreeMap<&'static str, Bound>,
    /// What each property must satisfy: one schema, or several joined by `allOf`.
    pub properties: IndexMap<&'d str, Vec<Node<'d>>>,
    pub required: BTreeSet<&'d str>,
    /// Other properties.
    pub additional: Additional<'d>,
    /// What each item must satisfy.
    pub items: Vec<Node<'d>>,
    pub prefix: Vec<Node<'d>>,
    /// `anyOf` and `oneOf`: of each group at least one branch holds. Branches that are only null
    /// are left out; `null` knows of them.
    pub groups: Vec<Vec<Shape<'d>>>,
    pub discriminator: Option<Node<'d>>,
    /// Keywords whose inclusion is not decided here.
    pub opaque: BTreeMap<&'static str, Node<'d>>,
    /// `contentEncoding` and `contentMediaType`.
    pub content: BTreeMap<&'static str, &'d str>,
    pub default: Option<&'d Value>,
    pub deprecated: bool,
    pub read_only: bool,
    pub write_only: bool,
    /// A reference that leads nowhere.
    pub dangling: Option<&'d str>,
}

/// A bound, and whether it is itself outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::contract) struct Bound {
    pub value: f64,
    pub exclusive: bool,
}

/// What properties that are not listed may be.
#[derive(Clone, Debug)]
pub(in crate::contract) enum Additional<'d> {
    Anything,
    Forbidden,
    Schema(Vec<Node<'d>>),
}

/// Keywords with a number, and the types they limit.
pub(in crate::contract) const LIMITS: [(&str, Types); 9] = [
    ("maximum", Types::NUMBER),
    ("minimum", Types::NUMBER),
    ("multipleOf", Types::NUMBER),
    ("maxLength", Types::STRING),
    ("minLength", Types::STRING),
    ("maxItems", Types::ARRAY),
    ("minItems", Types::ARRAY),
    ("maxProperties", Types::OBJECT),
    ("minProperties", Types::OBJECT),
];

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
    /// What may be anything, at this place.
    pub fn anything(at: Rc<str>) -> Shape<'d> {
        Shape {
            at,
            name: None,
            title: None,
            types: Types::ALL,
            null: true,
            values: None,
            format: None,
            patterns: BTreeSet::new(),
            limits: BTreeMap::new(),
            properties: IndexMap::new(),
            required: BTreeSet::new(),
            additional: Additional::Anything,
            items: Vec::new(),
            prefix: Vec::new(),
            groups: Vec::new(),
            discriminator: None,
            opaque: BTreeMap::new(),
            content: BTreeMap::new(),
            default: None,
            deprecated: false,
            read_only: false,
            write_only: false,
            dangling: None,
        }
    }

    /// What all of `nodes` together allow.
    pub fn of(doc: &Doc<'d>, nodes: &[Node<'d>]) -> Shape<'d> {
        let mut visited = Vec::new();
        let mut shapes = nodes.iter().map(|n| expand(doc, n, &mut visited)).collect::<Vec<_>>().into_iter();
        let first = shapes.next().unwrap_or_else(|| Shape::anything("#".into()));
        shapes.fold(first, Shape::meet)
    }

    /// What both allow.
    pub fn meet(mut self, other: Shape<'d>) -> Shape<'d> {
        self.name = self.name.or(other.name);
        self.title = self.title.or(other.title);
        self.types = self.types.and(other.types);
        self.null = self.null && other.null;
        self.values = match (self.values, other.values) {
            (Some(a), Some(b)) => Some(a.into_iter().filter(|x| b.iter().any(|y| same(x, y))).collect()),
            (a, b) => a.or(b),
        };
        self.format = self.format.or(other.format);
        self.patterns.extend(other.patterns);
        for (keyword, bound) in other.limits {
            self.limits
                .entry(keyword)
                .and_modify(|held| {
                    if stricter(keyword, bound, *held) {
                        *held = bound;
                    }
                })
                .or_insert(bound);
        }
        for (name, nodes) in other.properties {
            let held = self.properties.entry(name).or_default();
            for node in nodes {
                if held.iter().all(|h| h.id() != node.id()) {
                    held.push(node);
                }
            }
        }
        self.required.extend(other.required);
        self.additional = match (self.additional, other.additional) {
            (Additional::Forbidden, _) | (_, Additional::Forbidden) => Additional::Forbidden,
            (Additional::Schema(mut a), Additional::Schema(b)) => {
                a.extend(b);
                Additional::Schema(a)
            }
            (a, Additional::Anything) | (Additional::Anything, a) => a,
        };
        self.items.extend(other.items);
        if self.prefix.is_empty() {
            self.prefix = other.prefix;
        }
        self.groups.extend(other.groups);
        self.discriminator = self.discriminator.or(other.discriminator);
        for (keyword, node) in other.opaque {
            self.opaque.entry(keyword).or_insert(node);
        }
        self.content.extend(other.content);
        self.default = self.default.or(other.default);
        self.deprecated |= other.deprecated;
        self.read_only |= other.read_only;
        self.write_only |= other.write_only;
        self.dangling = self.dangling.or(other.dangling);
        self
    }

    /// Whether only null is allowed.
    fn only_null(&self) -> bool {
        self.null && (self.types == Types::NONE || self.values.as_ref().is_some_and(Vec::is_empty))
    }
}

/// Whether a bound of this keyword allows less than another.
pub(in crate::contract) fn stricter(keyword: &str, bound: Bound, than: Bound) -> bool {
    if keyword == "multipleOf" {
        return bound.value != than.value && bound.value % than.value == 0.0;
    }
    if bound.value == than.value {
        return bound.exclusive && !than.exclusive;
    }
    if keyword.starts_with("min") { bound.value > than.value } else { bound.value < than.value }
}

fn expand<'d>(doc: &Doc<'d>, node: &Node<'d>, visited: &mut Vec<usize>) -> Shape<'d> {
    if visited.contains(&node.id()) {
        return Shape::anything(node.at.clone());
    }
    visited.push(node.id());
    let shape = match node.reference() {
        None => own(doc, node, visited),
        Some(reference) => {
            let target = match doc.find(reference) {
                Some(target) => {
                    let mut shape = expand(doc, &target, visited);
                    shape.name.get_or_insert_with(|| target.at.clone());
                    shape
                }
                None => Shape { dangling: Some(reference), ..Shape::anything(node.at.clone()) },
            };
            match doc.version {
                // Nothing counts beside a `$ref` (3.0.3, Reference Object) but `nullable`, which
                // all who write it there mean.
                Version::V30 => Shape { null: target.null || node.flag("nullable"), ..target },
                Version::V31 => target.meet(own(doc, node, visited)),
            }
        }
    };
    visited.pop();
    shape
}

fn own<'d>(doc: &Doc<'d>, node: &Node<'d>, visited: &mut Vec<usize>) -> Shape<'d> {
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
    limits(doc, node, &mut shape);
    objects_and_lists(node, &mut shape);
    for keyword in OPAQUE {
        if let Some(child) = node.get(keyword).filter(|c| c.value != &Value::Bool(keyword != "uniqueItems")) {
            shape.opaque.insert(keyword, child);
        }
    }
    types_and_values(node, &mut shape);
    for group in ["anyOf", "oneOf"] {
        let branches: Vec<_> =
            node.get(group).iter().flat_map(Node::items).map(|b| expand(doc, &b, visited)).collect();
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
    for part in node.get("allOf").iter().flat_map(Node::items) {
        shape = shape.meet(expand(doc, &part, visited));
    }
    if doc.version == Version::V30 && node.flag("nullable") {
        shape.null = true;
    }
    shape
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
