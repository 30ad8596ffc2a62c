//! Listed values (`enum`, `const`) that are asked for one by one: lists can have thousands.
//!
//! Knows: when two values are the same. Must not know: what a list of them means.

use std::collections::BTreeSet;

use serde_json::Value;

use super::node::same;

/// Values by what they are.
pub(in crate::contract) struct Listed<'d> {
    plain: BTreeSet<String>,
    nested: Vec<&'d Value>,
}

impl<'d> Listed<'d> {
    pub fn of(values: &[&'d Value]) -> Listed<'d> {
        let (nested, plain): (Vec<&Value>, Vec<&Value>) =
            values.iter().partition(|v| v.is_object() || v.is_array());
        Listed { plain: plain.into_iter().map(name).collect(), nested }
    }

    pub fn has(&self, value: &Value) -> bool {
        match value {
            Value::Object(_) | Value::Array(_) => self.nested.iter().any(|held| same(held, value)),
            plain => self.plain.contains(&name(plain)),
        }
    }
}

/// A text that two plain values share if they are the same; `1` is `1.0`.
fn name(value: &Value) -> String {
    match value.as_f64() {
        // Zero has two signs.
        Some(number) => (number + 0.0).to_string(),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_holds_what_is_the_same_as_one_of_its_values() {
        let values = [
            json!("1"),
            json!(1),
            json!(0.0),
            json!(null),
            json!({ "a": 1, "b": 2 }),
            json!([1]),
            json!(true),
        ];
        let listed = Listed::of(&values.iter().collect::<Vec<_>>());
        for held in [json!(1.0), json!(-0.0), json!({ "b": 2, "a": 1 }), json!("1"), json!(null), json!([1])]
        {
            assert!(listed.has(&held), "{held}");
        }
        for strange in
            [json!("0"), json!(2), json!([2]), json!({}), json!("true"), json!(false), json!("null")]
        {
            assert!(!listed.has(&strange), "{strange}");
        }
    }
}
