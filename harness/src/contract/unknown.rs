//! What a message holds and the contract does not know: the second layer.
//!
//! Knows: how a value and the shapes of a contract are walked side by side. Must not know: whether
//! the value is valid.

use serde_json::Value;

use super::convert::below;
use super::shape::Shape;

/// A member that no schema lists.
#[derive(Clone, Debug)]
pub(super) struct Stranger<'v> {
    pub pointer: String,
    pub wild: String,
    /// The schema that should have listed it.
    pub schema: String,
    pub value: &'v Value,
}

/// So many are collected from one message at most.
const MOST: usize = 10_000;

/// The members of `value` that its shape does not list. What a schema leaves wholly open is not
/// looked into.
pub(super) fn strangers<'v>(shape: &Shape<'_>, value: &'v Value) -> Vec<Stranger<'v>> {
    let mut found = Vec::new();
    walk(shape, value, String::new(), String::new(), &mut found);
    found
}

fn walk<'v>(
    shape: &Shape<'_>,
    value: &'v Value,
    pointer: String,
    wild: String,
    found: &mut Vec<Stranger<'v>>,
) {
    match value {
        Value::Object(members) => {
            let others = shape.others();
            let open = others.is_some() || shape.open();
            for (name, member) in members {
                if let Some(inner) = shape.property(name) {
                    if member.is_object() || member.is_array() {
                        walk(&inner, member, below(&pointer, name), below(&wild, name), found);
                    }
                } else if let Some(inner) = &others {
                    if member.is_object() || member.is_array() {
                        walk(inner, member, below(&pointer, name), format!("{wild}/*"), found);
                    }
                } else if !open && found.len() < MOST {
                    found.push(Stranger {
                        pointer: below(&pointer, name),
                        wild: below(&wild, name),
                        schema: shape.applied.first().map(|a| a.pointer.clone()).unwrap_or_default(),
                        value: member,
                    });
                }
            }
        }
        Value::Array(items) => {
            if let Some(inner) = shape.items() {
                for (n, item) in items.iter().enumerate() {
                    if item.is_object() || item.is_array() {
                        walk(&inner, item, format!("{pointer}/{n}"), format!("{wild}/*"), found);
                    }
                }
            }
        }
        _ => {}
    }
}
