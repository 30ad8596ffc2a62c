//! What a schema allows, on one level, and what two of them allow together.
//!
//! Knows: which constraints join, and how. Must not know: keywords and how they are read, or that
//! there are two documents.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::Value;

use super::listed::Listed;
use super::node::Node;
use super::types::Types;

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
    /// The schema at which it was given up, if it unfolds into too many: nothing else here counts.
    pub tangled: Option<Rc<str>>,
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
            tangled: None,
        }
    }

    /// What both allow.
    pub fn meet(mut self, other: Shape<'d>) -> Shape<'d> {
        self.name = self.name.or(other.name);
        self.title = self.title.or(other.title);
        self.types = self.types.and(other.types);
        self.null = self.null && other.null;
        self.values = match (self.values, other.values) {
            (Some(a), Some(b)) => {
                let b = Listed::of(&b);
                Some(a.into_iter().filter(|x| b.has(x)).collect())
            }
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
            join(self.properties.entry(name).or_default(), nodes);
        }
        self.required.extend(other.required);
        self.additional = match (self.additional, other.additional) {
            (Additional::Forbidden, _) | (_, Additional::Forbidden) => Additional::Forbidden,
            (Additional::Schema(mut a), Additional::Schema(b)) => {
                join(&mut a, b);
                Additional::Schema(a)
            }
            (a, Additional::Anything) | (Additional::Anything, a) => a,
        };
        join(&mut self.items, other.items);
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
        self.tangled = self.tangled.or(other.tangled);
        self
    }

    /// Whether only null is allowed.
    pub(super) fn only_null(&self) -> bool {
        self.null && (self.types == Types::NONE || self.values.as_ref().is_some_and(Vec::is_empty))
    }
}

/// Adds the schemas that are not held yet.
fn join<'d>(held: &mut Vec<Node<'d>>, nodes: Vec<Node<'d>>) {
    for node in nodes {
        if held.iter().all(|h| h.id() != node.id()) {
            held.push(node);
        }
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
