//! Comparing what two schemas allow, in the direction in which it matters.
//!
//! Knows: the order in which two shapes are compared, equal text, nullability, lists. Must not
//! know: operations.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rules::*;
use super::walk::{Side, Spot, Walk};
use crate::contract::Direction;
use crate::contract::schema::{AT_ONCE, IN_A_ROW, Node, Shape, Types, same};

/// Keywords that say nothing about which values are allowed.
const ANNOTATIONS: [&str; 11] = [
    "title",
    "description",
    "summary",
    "example",
    "examples",
    "default",
    "deprecated",
    "externalDocs",
    "xml",
    "$comment",
    "$id",
];

impl<'d> Walk<'d> {
    /// Picks the rule of the direction.
    pub fn rule(spot: &Spot, response: &'static Rule, request: &'static Rule) -> &'static Rule {
        match spot.direction {
            Direction::Response => response,
            Direction::Request => request,
        }
    }

    /// Compares two shapes.
    pub fn shapes(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        if let Some(reference) = old.dangling.or(new.dangling) {
            let message = format!("{}: `$ref: {reference}` leads nowhere", spot.noun);
            return self.undecidable(spot, old, new, message);
        }
        if let Some(at) = old.tangled.as_ref().or(new.tangled.as_ref()) {
            // What is spent is said once, of the documents as a whole.
            if !self.effort.spent() {
                let message = format!(
                    "{} unfolds into too many schemas to compare: more than {AT_ONCE} for one value, or {IN_A_ROW} in \
                     a row, at {at}",
                    spot.noun
                );
                self.undecidable(spot, old, new, message);
            }
            return;
        }
        self.nullability(spot, old, new);
        match (old.deprecated, new.deprecated) {
            (false, true) => {
                let rule = Self::rule(spot, &PROPERTY_DEPRECATED, &SENT_DEPRECATED);
                self.find(spot, rule, &old.at, &new.at, format!("{} is deprecated", spot.noun));
            }
            (true, false) => {
                let rule = Self::rule(spot, &PROPERTY_REACTIVATED, &SENT_REACTIVATED);
                self.find(spot, rule, &old.at, &new.at, format!("{} is no longer deprecated", spot.noun));
            }
            _ => {}
        }
        if spot.direction == Direction::Request {
            self.defaults(spot, old, new);
        }
        self.discriminators(spot, old, new);
        if old.groups.is_empty() && new.groups.is_empty() {
            self.plain(spot, old, new);
        } else {
            self.choices(spot, old, new);
        }
    }

    /// Compares two shapes without choices; null is not looked at.
    pub fn plain(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        if !self.types(spot, old, new) {
            return;
        }
        self.scalars(spot, old, new);
        let both = old.types.and(new.types);
        if both.meets(Types::OBJECT) {
            self.objects(spot, old, new);
        }
        if both.meets(Types::ARRAY) {
            self.lists(spot, old, new);
        }
        self.opaque(spot, old, new);
    }

    pub fn undecidable(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>, message: String) {
        let rule = Self::rule(spot, &UNDECIDABLE, &SENT_UNDECIDABLE);
        self.find(spot, rule, &old.at, &new.at, message);
    }

    fn nullability(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        // From or to "anything", the type says it all.
        if old.null == new.null || (old.types == Types::ALL) != (new.types == Types::ALL) {
            return;
        }
        let (rule, message) = if new.null {
            (Self::rule(spot, &BECAME_NULLABLE, &SENT_NULLABLE), format!("{} may be null", spot.noun))
        } else {
            (Self::rule(spot, &BECAME_NOT_NULL, &SENT_NOT_NULL), format!("{} may not be null", spot.noun))
        };
        self.find(spot, rule, &old.at, &new.at, message);
    }

    fn defaults(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let equal = match (old.default, new.default) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !equal {
            let say = |v: Option<&Value>| v.map_or_else(|| "none".into(), |v| format!("`{v}`"));
            let message =
                format!("the default of {} is {} (was {})", spot.noun, say(new.default), say(old.default));
            self.find(spot, &SENT_DEFAULT, &old.at, &new.at, message);
        }
    }

    fn lists(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        if old.prefix.len() != new.prefix.len() {
            let message = format!("the fixed items of {} changed (`prefixItems`)", spot.noun);
            self.undecidable(spot, old, new, message);
        }
        for (n, (o, p)) in old.prefix.iter().zip(&new.prefix).enumerate() {
            let spot = spot.into(&n.to_string(), format!("item {n} of {}", spot.noun));
            self.schemas(
                &spot,
                &Side::of(std::slice::from_ref(o), &old.at),
                &Side::of(std::slice::from_ref(p), &new.at),
            );
        }
        if !old.items.is_empty() || !new.items.is_empty() {
            let spot = spot.into("*", format!("an item of {}", spot.noun));
            self.schemas(&spot, &Side::of(&old.items, &old.at), &Side::of(&new.items, &new.at));
        }
    }

    fn opaque(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let keywords: BTreeSet<&str> = old.opaque.keys().chain(new.opaque.keys()).copied().collect();
        for keyword in keywords {
            // These two can also allow more than before.
            let only_narrows = !["patternProperties", "minContains"].contains(&keyword);
            let message = format!("`{keyword}` of {}", spot.noun);
            match (old.opaque.get(keyword), new.opaque.get(keyword), spot.direction) {
                (Some(o), Some(n), _) if self.alike(o, n) => {}
                (None, Some(_), Direction::Response) if only_narrows => {
                    self.find(spot, &CONSTRAINT_ADDED, &old.at, &new.at, format!("{message} was added"));
                }
                (Some(_), None, Direction::Request) if only_narrows => {
                    self.find(spot, &SENT_CONSTRAINT_REMOVED, &old.at, &new.at, format!("{message} is gone"));
                }
                (o, n, _) => {
                    let what = match (o, n) {
                        (None, _) => "was added",
                        (_, None) => "is gone",
                        _ => "changed",
                    };
                    self.undecidable(spot, old, new, format!("{message} {what}"));
                }
            }
        }
    }

    /// Walks through two schemas of equal text: nothing changed here, but what they refer to may
    /// have.
    pub fn links(&mut self, spot: &Spot, old: &Node<'d>, new: &Node<'d>) {
        let Value::Object(map) = old.value else { return };
        let refers = |n: &Node<'_>| n.reference().is_some();
        if refers(old) {
            let side = |n: &Node<'d>| Side { nodes: vec![n.clone()], at: n.at.clone() };
            return self.schemas(spot, &side(old), &side(new));
        }
        // Joined schemas can mend each other's changes, so they are compared as one.
        if old.get("allOf").is_some_and(|parts| parts.items().any(|p| refers(&p))) {
            let shape = |n: &Node<'d>, doc| Shape::of(doc, std::slice::from_ref(n), &self.effort);
            let (o, n) = (shape(old, &self.old), shape(new, &self.new));
            return self.shapes(spot, &o, &n);
        }
        let hidden = self.hidden(spot.direction);
        for keyword in map.keys() {
            let (Some(o), Some(n)) = (old.get(keyword), new.get(keyword)) else { continue };
            match keyword.as_str() {
                "properties" => {
                    for ((name, o), (_, n)) in o.members().zip(n.members()) {
                        if !o.flag(hidden) {
                            self.links(&spot.into(name, format!("`{name}`")), &o, &n);
                        }
                    }
                }
                "items" => self.links(&spot.into("*", format!("an item of {}", spot.noun)), &o, &n),
                "additionalProperties" => {
                    self.links(&spot.into("*", format!("a value of {}", spot.noun)), &o, &n);
                }
                "allOf" | "anyOf" | "oneOf" => {
                    for (o, n) in o.items().zip(n.items()) {
                        self.links(spot, &o, &n);
                    }
                }
                "prefixItems" => {
                    for (i, (o, n)) in o.items().zip(n.items()).enumerate() {
                        self.links(&spot.into(&i.to_string(), format!("item {i} of {}", spot.noun)), &o, &n);
                    }
                }
                "not"
                | "if"
                | "then"
                | "else"
                | "contains"
                | "dependentSchemas"
                | "patternProperties"
                | "propertyNames"
                | "unevaluatedItems"
                | "unevaluatedProperties"
                | "contentSchema"
                    if !self.alike(&o, &n) =>
                {
                    let rule = Self::rule(spot, &UNDECIDABLE, &SENT_UNDECIDABLE);
                    let message = format!("what `{keyword}` of {} refers to changed", spot.noun);
                    self.find(spot, rule, &o.at, &n.at, message);
                }
                _ => {}
            }
        }
    }

    /// The keyword that takes a property out of what goes in this direction.
    pub fn hidden(&self, direction: Direction) -> &'static str {
        match direction {
            Direction::Response => "writeOnly",
            Direction::Request => "readOnly",
        }
    }

    /// Whether two schemas are the same but for annotations, with what they refer to. What there
    /// is no effort left for is not.
    pub fn alike(&self, old: &Node<'d>, new: &Node<'d>) -> bool {
        if !self.same_dialect() {
            return false;
        }
        let mut known = self.likeness.borrow_mut();
        if let Some(alike) = known.get(&(old.id(), new.id())) {
            return *alike;
        }
        // Each pair with the one that led to it: if it differs, so do all that led there.
        let mut pairs: Vec<((usize, usize), usize)> = Vec::new();
        let mut met = BTreeSet::new();
        let mut waiting = vec![(old.clone(), new.clone(), 0)];
        while let Some((o, n, from)) = waiting.pop() {
            let pair = (o.id(), n.id());
            let mut at = from;
            match known.get(&pair) {
                Some(true) => continue,
                Some(false) => {}
                None if !met.insert(pair) => continue,
                None => {
                    at = pairs.len();
                    pairs.push((pair, from));
                    let inner = if self.effort.spend(1) { self.inside(&o, &n) } else { None };
                    if let Some(inner) = inner {
                        waiting.extend(inner.into_iter().map(|(o, n)| (o, n, at)));
                        continue;
                    }
                }
            }
            loop {
                let (pair, from) = pairs[at];
                known.insert(pair, false);
                if at == 0 {
                    return false;
                }
                at = from;
            }
        }
        known.extend(met.into_iter().map(|pair| (pair, true)));
        true
    }

    /// The pairs that must be alike for these two to be; none if these differ by themselves.
    fn inside(&self, old: &Node<'d>, new: &Node<'d>) -> Option<Vec<(Node<'d>, Node<'d>)>> {
        if old.reference().is_some() || new.reference().is_some() {
            return Some(vec![(self.old.resolve(old)?, self.new.resolve(new)?)]);
        }
        let (Value::Object(o), Value::Object(n)) = (old.value, new.value) else {
            return match (old.value, new.value) {
                (Value::Array(o), Value::Array(n)) => {
                    (o.len() == n.len()).then(|| old.items().zip(new.items()).collect())
                }
                (o, n) => same(o, n).then(Vec::new),
            };
        };
        let counts = |key: &String| !ANNOTATIONS.contains(&key.as_str()) && !key.starts_with("x-");
        let keys = o.keys().chain(n.keys()).filter(|k| counts(k)).collect::<BTreeSet<_>>();
        let mut pairs = Vec::new();
        for key in keys {
            let (o, n) = (old.get(key)?, new.get(key)?);
            match key.as_str() {
                "enum" | "const" | "required" if same(o.value, n.value) => {}
                "enum" | "const" | "required" => return None,
                "properties" | "patternProperties" | "dependentSchemas" => {
                    let count = |node: &Node<'_>| node.value.as_object().map(serde_json::Map::len);
                    if count(&o) != count(&n) {
                        return None;
                    }
                    for (name, o) in o.members() {
                        pairs.push((o, n.get(name)?));
                    }
                }
                _ => pairs.push((o, n)),
            }
        }
        Some(pairs)
    }
}
