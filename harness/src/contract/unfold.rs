//! Bounds on schemas that unfold into more than anybody can check: a few lines of `allOf` over
//! `$ref` can mean a billion schemas for one value, and a circle of `$ref`s never ends.
//!
//! Knows: how converted schemas nest. Must not know: what they mean.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::pointer_of;

/// How many schemas may apply to one value at once.
const AT_ONCE: u64 = 100_000;
/// How many schemas deep references may lead before they come back or end.
const DEEP: usize = 10_000;
/// How many references in a row may apply to one value.
const IN_A_ROW: usize = 256;

/// Words whose schemas apply to the same value.
const SAME_VALUE: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "$ref"];

/// Checks every schema of a converted description.
///
/// # Errors
/// In words, with the schema.
pub(super) fn check(converted: &Value) -> Result<(), String> {
    let mut check = Check { root: converted, weights: BTreeMap::new() };
    let mut schemas = Vec::new();
    find(converted, &mut String::new(), &mut schemas);
    for (pointer, schema) in &schemas {
        check.weight(schema, 0).map_err(|why| format!("the schema at `{pointer}` {why}"))?;
    }
    check.depth(&schemas)
}

/// Objects that stand where schemas do: everything, as nothing else is left in a converted
/// description, and whatever is no schema unfolds into nothing.
fn find<'v>(value: &'v Value, pointer: &mut String, found: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Object(members) => {
            if SAME_VALUE.iter().any(|key| members.contains_key(*key)) {
                found.push((pointer.clone(), value));
            }
            for (name, member) in members {
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&super::document::escape(name));
                find(member, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                let length = pointer.len();
                pointer.push_str(&format!("/{n}"));
                find(item, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

struct Check<'v> {
    root: &'v Value,
    /// By address: how many schemas a schema means for one value; none while it is being weighed.
    weights: BTreeMap<usize, Option<u64>>,
}

impl<'v> Check<'v> {
    fn weight(&mut self, schema: &'v Value, depth: usize) -> Result<u64, String> {
        let Value::Object(members) = schema else { return Ok(1) };
        let address = std::ptr::from_ref(schema) as usize;
        match self.weights.get(&address) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => return Err("refers to itself without ever looking into the value".to_owned()),
            None => {}
        }
        if depth > IN_A_ROW {
            return Err(format!("is reached through more than {IN_A_ROW} schemas for one value"));
        }
        self.weights.insert(address, None);
        let mut weight = 1u64;
        for key in SAME_VALUE {
            match members.get(key) {
                Some(Value::Array(branches)) => {
                    for branch in branches {
                        weight = weight.saturating_add(self.weight(branch, depth + 1)?);
                    }
                }
                Some(Value::String(reference)) => {
                    if let Some(target) = self.target(reference) {
                        weight = weight.saturating_add(self.weight(target, depth + 1)?);
                    }
                }
                Some(branch) => weight = weight.saturating_add(self.weight(branch, depth + 1)?),
                None => {}
            }
        }
        if weight > AT_ONCE {
            return Err(format!("unfolds into more than {AT_ONCE} schemas for one value"));
        }
        self.weights.insert(address, Some(weight));
        Ok(weight)
    }

    fn target(&self, reference: &str) -> Option<&'v Value> {
        self.root.pointer(&pointer_of(reference)?)
    }

    /// How deep a compiler that follows references goes, seeing each schema once.
    fn depth(&self, schemas: &[(String, &'v Value)]) -> Result<(), String> {
        let mut seen = std::collections::BTreeSet::new();
        for (pointer, schema) in schemas {
            let mut waiting = vec![(*schema, 0usize)];
            while let Some((value, depth)) = waiting.pop() {
                if depth > DEEP {
                    return Err(format!("the schema at `{pointer}` leads through more than {DEEP} schemas"));
                }
                match value {
                    Value::Object(members) => {
                        if !seen.insert(std::ptr::from_ref(value) as usize) {
                            continue;
                        }
                        if let Some(target) =
                            members.get("$ref").and_then(Value::as_str).and_then(|r| self.target(r))
                        {
                            waiting.push((target, depth + 1));
                        }
                        waiting.extend(members.values().map(|member| (member, depth + 1)));
                    }
                    Value::Array(items) => waiting.extend(items.iter().map(|item| (item, depth))),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
