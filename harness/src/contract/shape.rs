//! What a schema says of a value's shape, read off the raw description without compiling it.
//!
//! Knows: which schemas apply to the same value, and to its members and items. Must not know:
//! whether a value is valid.

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
    let mut found = Vec::new();
    gather(document, pointer, schema, true, &mut found);
    found
}

fn gather<'d>(
    document: &'d Document,
    pointer: String,
    schema: &'d Value,
    certain: bool,
    found: &mut Vec<Applied<'d>>,
) {
    let Value::Object(members) = schema else { return };
    if found.len() >= GATHERED || found.iter().any(|known| std::ptr::eq(known.schema, members)) {
        return;
    }
    found.push(Applied { pointer: pointer.clone(), schema: members, certain });
    if members.contains_key("$ref") {
        let mut one = String::new();
        if let Some(Value::String(reference)) = members.get("$ref")
            && let Some(target) = super::document::pointer_of(reference)
        {
            one = target;
        }
        if let Some(target) = document.raw.pointer(&one).filter(|_| !one.is_empty()) {
            gather(document, one, target, certain, found);
        }
    }
    for (key, certain) in [("allOf", certain), ("anyOf", false), ("oneOf", false)] {
        for (n, branch) in members.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
            gather(document, format!("{pointer}/{key}/{n}"), branch, certain, found);
        }
    }
    for key in ["then", "else"] {
        if let Some(branch) = members.get(key) {
            gather(document, format!("{pointer}/{key}"), branch, false, found);
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
        let mut found = Vec::new();
        for (pointer, schema) in places {
            gather(self.document, pointer, schema, true, &mut found);
        }
        Shape { document: self.document, applied: found }
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
