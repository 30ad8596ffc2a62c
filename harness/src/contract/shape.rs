//! What a schema says of a value's shape, read off the raw description without compiling it.
//!
//! Knows: which schemas apply to the same value, and to its members and items. Must not know:
//! whether a value is valid.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::convert::below;
use super::document::Document;

/// A schema that applies to a value.
#[derive(Clone, Debug)]
pub(super) struct Applied<'d> {
    /// Where it stands in the raw description, references followed.
    pub pointer: String,
    pub schema: &'d Map<String, Value>,
    /// Whether it applies whatever the value: it is no branch of `anyOf`, `oneOf` or `if`.
    pub certain: bool,
}

/// How many schemas are gathered for one value; a description that has more for one is refused
/// before it comes to this.
const GATHERED: usize = 2_000;

/// The schemas that apply to the same value as the one at `pointer`: itself, what it refers to,
/// all that it is composed of, and each of its branches.
pub(super) fn applied<'d>(document: &'d Document, pointer: String, schema: &'d Value) -> Vec<Applied<'d>> {
    let mut gathered = Gathered::of(document);
    gathered.add(pointer, schema, true);
    gathered.found
}

struct Gathered<'d> {
    document: &'d Document,
    found: Vec<Applied<'d>>,
    /// By address.
    known: BTreeSet<usize>,
}

impl<'d> Gathered<'d> {
    fn of(document: &'d Document) -> Gathered<'d> {
        Gathered { document, found: Vec::new(), known: BTreeSet::new() }
    }

    fn add(&mut self, pointer: String, schema: &'d Value, certain: bool) {
        let Value::Object(members) = schema else { return };
        if self.found.len() >= GATHERED || !self.known.insert(std::ptr::from_ref(members) as usize) {
            return;
        }
        self.found.push(Applied { pointer: pointer.clone(), schema: members, certain });
        let target = members.get("$ref").and_then(Value::as_str).and_then(super::document::pointer_of);
        if let Some(target) = target.filter(|target| !target.is_empty())
            && let Some(schema) = self.document.raw.pointer(&target)
        {
            self.add(target, schema, certain);
        }
        for (key, certain) in [("allOf", certain), ("anyOf", false), ("oneOf", false)] {
            for (n, branch) in members.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.add(format!("{pointer}/{key}/{n}"), branch, certain);
            }
        }
        for key in ["then", "else"] {
            if let Some(branch) = members.get(key) {
                self.add(format!("{pointer}/{key}"), branch, false);
            }
        }
    }
}

/// All that applies to one value.
pub(super) struct Shape<'d> {
    document: &'d Document,
    pub applied: Vec<Applied<'d>>,
}

impl<'d> Shape<'d> {
    pub fn of(document: &'d Document, pointer: &str) -> Option<Shape<'d>> {
        let schema = document.raw.pointer(pointer)?;
        Some(Shape { document, applied: applied(document, pointer.to_owned(), schema) })
    }

    fn all(&self, places: Vec<(String, &'d Value)>) -> Shape<'d> {
        let mut gathered = Gathered::of(self.document);
        for (pointer, schema) in places {
            gathered.add(pointer, schema, true);
        }
        Shape { document: self.document, applied: gathered.found }
    }

    fn places(&self, keys: &[&str]) -> Vec<(String, &'d Value)> {
        let mut places = Vec::new();
        for applied in &self.applied {
            for key in keys {
                if let Some(schema) = applied.schema.get(*key).filter(|s| s.is_object()) {
                    places.push((format!("{}/{key}", applied.pointer), schema));
                }
            }
        }
        places
    }

    /// The names that are listed, each once, in order.
    pub fn names(&self) -> Vec<&'d str> {
        let mut names: indexmap::IndexSet<&str> = indexmap::IndexSet::new();
        for applied in &self.applied {
            names.extend(
                applied
                    .schema
                    .get("properties")
                    .and_then(Value::as_object)
                    .into_iter()
                    .flatten()
                    .map(|(n, _)| n.as_str()),
            );
        }
        names.into_iter().collect()
    }

    /// What applies to the member `name`, if it is listed.
    pub fn property(&self, name: &str) -> Option<Shape<'d>> {
        let mut places = Vec::new();
        for applied in &self.applied {
            if let Some(schema) = applied.schema.get("properties").and_then(|p| p.get(name)) {
                places.push((below(&format!("{}/properties", applied.pointer), name), schema));
            }
        }
        (!places.is_empty()).then(|| self.all(places))
    }

    /// What applies to members that are not listed, if the schema says.
    pub fn others(&self) -> Option<Shape<'d>> {
        let places = self.places(&["additionalProperties", "unevaluatedProperties"]);
        (!places.is_empty()).then(|| self.all(places))
    }

    /// What applies to each item of an array.
    pub fn items(&self) -> Option<Shape<'d>> {
        let mut places = self.places(&["items"]);
        for applied in &self.applied {
            for (n, schema) in
                applied.schema.get("prefixItems").and_then(Value::as_array).into_iter().flatten().enumerate()
            {
                places.push((format!("{}/prefixItems/{n}", applied.pointer), schema));
            }
        }
        (!places.is_empty()).then(|| self.all(places))
    }

    /// Whether members that are not listed are expressly welcome, or nothing is listed at all.
    pub fn open(&self) -> bool {
        let listed = self
            .applied
            .iter()
            .any(|a| a.schema.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty()));
        let welcome = |a: &Applied<'_>| {
            a.schema.get("additionalProperties").is_some_and(|v| *v == Value::Bool(true))
                || a.schema.contains_key("patternProperties")
        };
        // A branch that says nothing of members takes any: `anyOf: [{type: object}, …]`.
        !listed || self.applied.iter().any(welcome)
    }

    /// The types it may have, each once, in the order of the schema.
    pub fn types(&self) -> Vec<&'d str> {
        let mut types: indexmap::IndexSet<&str> = indexmap::IndexSet::new();
        for applied in &self.applied {
            match applied.schema.get("type") {
                Some(Value::String(one)) => {
                    types.insert(one);
                }
                Some(Value::Array(several)) => types.extend(several.iter().filter_map(Value::as_str)),
                _ if applied.schema.contains_key("properties") => {
                    types.insert("object");
                }
                _ => {}
            }
        }
        types.shift_remove("null");
        types.into_iter().collect()
    }

    /// Whether null is taken.
    pub fn nullable(&self) -> bool {
        self.applied.iter().any(|a| {
            a.schema.get("nullable").and_then(Value::as_bool) == Some(true)
                || match a.schema.get("type") {
                    Some(Value::String(one)) => one == "null",
                    Some(Value::Array(several)) => several.iter().any(|t| t == "null"),
                    _ => false,
                }
        })
    }

    /// Whether the member `name` must be there, whichever branch the value takes.
    pub fn requires(&self, name: &str) -> bool {
        self.applied.iter().filter(|a| a.certain).any(|a| {
            a.schema.get("required").and_then(Value::as_array).is_some_and(|r| r.iter().any(|n| n == name))
        })
    }

    /// The values that are listed, if the value must be one of them.
    pub fn listed(&self) -> Option<Vec<&'d Value>> {
        let mut values: Vec<&Value> = Vec::new();
        for applied in &self.applied {
            let of = applied.schema.get("enum").and_then(Value::as_array).into_iter().flatten();
            values.extend(of.chain(applied.schema.get("const")));
        }
        (!values.is_empty()).then_some(values)
    }

    /// The first `format` that is given.
    pub fn format(&self) -> Option<&'d str> {
        self.applied.iter().find_map(|a| a.schema.get("format").and_then(Value::as_str))
    }
}
