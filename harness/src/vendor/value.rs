//! Reaching into JSON by dotted paths, and RFC 7396 merge patches.
//!
//! Knows: objects, arrays, paths. Must not know: what any field means.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// A dotted path into a record: `properties.amount`. A segment of digits also indexes arrays.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Box<str>>);

impl Path {
    /// Reads a path; the empty text is the root.
    pub fn new(text: &str) -> Path {
        Path(text.split('.').filter(|s| !s.is_empty()).map(Into::into).collect())
    }

    /// The segments.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The value there, if there is one.
    pub fn get<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |value, segment| match value {
            Value::Object(map) => map.get(segment.as_ref()),
            Value::Array(list) => list.get(segment.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Puts a value there, making objects on the way where there are none.
    pub fn set(&self, root: &mut Value, value: Value) {
        let mut at = root;
        for segment in &self.0 {
            if let Value::Array(list) = at {
                match segment.parse::<usize>().ok().filter(|i| *i < list.len()) {
                    Some(index) => at = &mut list[index],
                    None => return,
                }
                continue;
            }
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            let Value::Object(map) = at else { return };
            if !map.contains_key(segment.as_ref()) {
                map.insert(segment.to_string(), Value::Null);
            }
            let Some(next) = map.get_mut(segment.as_ref()) else { return };
            at = next;
        }
        *at = value;
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Path, D::Error> {
        Ok(Path::new(&String::deserialize(d)?))
    }
}

/// Applies a JSON merge patch (RFC 7396 §2).
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(map) = target else { return };
    for (key, change) in changes {
        if change.is_null() {
            map.shift_remove(key);
        } else {
            merge_patch(map.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// A scalar as the text it is written with; `None` for null, arrays and objects.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// Whether two scalars are written alike; `"7"` and `7` are.
pub fn same_text(a: &Value, b: &Value) -> bool {
    a == b || matches!((text_of(a), text_of(b)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_reads_what_it_wrote() {
        let mut v = json!({ "a": [{ "b": 1 }] });
        Path::new("a.0.b").set(&mut v, json!(2));
        Path::new("x.y").set(&mut v, json!("z"));
        assert_eq!(v, json!({ "a": [{ "b": 2 }], "x": { "y": "z" } }));
        assert_eq!(Path::new("x.y").get(&v), Some(&json!("z")));
        assert_eq!(Path::new("a.7.b").get(&v), None);
    }

    #[test]
    fn merge_patches_follow_the_examples_of_rfc_7396() {
        for (mut target, patch, result) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            merge_patch(&mut target, &patch);
            assert_eq!(target, result);
        }
    }
}
