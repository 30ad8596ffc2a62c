//! Values of vendors in messages: short, and never a whole secret.
//!
//! Knows: how a value is shown to a person. Must not know: why it is shown.

use serde_json::Value;

use crate::fixture::{REDACTED, displayable, is_secret_name};

/// The longest text that is shown whole, in characters.
const SHOWN: usize = 48;

/// What a value is, for a person: `a string`, `null`.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value as it is shown; `name` is the member that holds it, empty if there is none.
pub(super) fn masked(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("string `{}`", text_of(name, text)),
        Value::Number(_) | Value::Bool(_) if is_secret_name(name) => REDACTED.to_owned(),
        Value::Null => "null".to_owned(),
        Value::Bool(_) => format!("boolean `{value}`"),
        Value::Number(n) => format!("{} `{value}`", if n.is_f64() { "number" } else { "integer" }),
        Value::Array(items) => match items.len() {
            0 => "an empty array".to_owned(),
            n => format!("an array of {n}, the first {}", kind(&items[0])),
        },
        Value::Object(members) => {
            let names: Vec<&str> = members.keys().map(String::as_str).collect();
            match names.len() {
                0 => "an empty object".to_owned(),
                n if n <= 6 => format!("an object with {}", names.join(", ")),
                n => format!("an object with {} and {} more", names[..5].join(", "), n - 5),
            }
        }
    }
}

/// A text without secrets, cut to a bearable length, without control characters.
fn text_of(name: &str, text: &str) -> String {
    if !text.is_empty() && is_secret_name(name) {
        return REDACTED.to_owned();
    }
    let clean = displayable(text);
    let mut shown: String = clean.chars().take(SHOWN).map(|c| if c.is_control() { '·' } else { c }).collect();
    if clean.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}
