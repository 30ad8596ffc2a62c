//! Unusual, but equal, spellings of JSON, and bodies changed on the way.
//!
//! Knows: what JSON lets a writer choose (RFC 8259). Must not know: signatures.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// The same value, spelled with other spaces, escapes and key order.
pub fn unusual(value: &Value) -> String {
    let mut out = String::from("\n ");
    spell(value, &mut out);
    out.push_str(" \n");
    out
}

fn spell(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            out.push_str("{ ");
            for (i, (key, inner)) in map.iter().rev().enumerate() {
                out.push_str(if i == 0 { "" } else { " ,\t" });
                text(key, out);
                out.push_str(" :  ");
                spell(inner, out);
            }
            out.push_str(" }");
        }
        Value::Array(list) => {
            out.push_str("[ ");
            for (i, inner) in list.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { " , " });
                spell(inner, out);
            }
            out.push_str("\n]");
        }
        Value::String(s) => text(s, out),
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

fn text(s: &str, out: &mut String) {
    out.push('"');
    let mut units = [0u16; 2];
    for c in s.chars() {
        if c == '/' {
            out.push_str("\\/");
        } else if c.is_ascii_lowercase() && c != 'e' || c.is_ascii_digit() {
            out.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04X}");
            }
        }
    }
    out.push('"');
}

/// A body that says something else than it did: its last leaf is changed.
pub fn tampered(value: &Value) -> Value {
    let mut value = value.clone();
    if !tamper(&mut value) {
        value = json!({ "tampered": value });
    }
    value
}

fn tamper(value: &mut Value) -> bool {
    match value {
        Value::Object(map) => tamper_last(map),
        Value::Array(list) => list.iter_mut().rev().any(tamper),
        Value::String(text) => {
            text.push('0');
            true
        }
        Value::Number(number) => {
            *value = json!(number.as_i64().map_or(1, |n| n.wrapping_add(1)));
            true
        }
        Value::Bool(truth) => {
            *truth = !*truth;
            true
        }
        Value::Null => false,
    }
}

fn tamper_last(map: &mut Map<String, Value>) -> bool {
    map.values_mut().rev().any(tamper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusual_spelling_means_the_same_and_looks_different() {
        let value = json!([{ "a/b": "ü€😀 \"quoted\"\n", "n": [1, 2.5, null, true], "o": {} }]);
        let text = unusual(&value);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_ne!(serde_json::from_str::<Value>(&text).unwrap().to_string(), text);
    }

    #[test]
    fn a_tampered_body_means_something_else() {
        for value in [json!([{ "a": "x", "b": null }]), json!({ "a": 1 }), json!([]), json!({ "ok": true })] {
            assert_ne!(tampered(&value), value);
        }
    }
}
