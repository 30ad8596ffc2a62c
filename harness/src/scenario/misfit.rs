//! Where in a value, and why, it is not what it should be.
//!
//! Knows: that a value can be read as a located tree whose places are its own keys. Must not know: which
//! file the value came from.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::located;
use super::yaml::{Data, Key, Node, Place};

/// What is wrong inside a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Keys, and indices of lists, from the top of the value.
    pub path: Vec<String>,
    /// Whether it is the last key itself that is wrong, rather than what it holds.
    pub of_key: bool,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Why `value` is no `T`, called `whole` in messages; `None` if it is one.
pub(crate) fn misfit<T: DeserializeOwned>(whole: &str, value: &Value) -> Option<Misfit> {
    let mut ways = Vec::new();
    let root = node(value, &mut Vec::new(), &mut ways);
    let mistake = located::read::<T>("", "", whole, &root).err()?;
    let path = ways.get(mistake.line / 2).cloned().unwrap_or_default();
    let of_key = mistake.line % 2 == 1 && !path.is_empty();
    Some(Misfit { path, of_key, message: mistake.message, help: mistake.help })
}

/// The tree of a value. The line of a place is twice the number of a way in `ways`, and one more where the
/// last key of the way is meant.
fn node(value: &Value, way: &mut Vec<String>, ways: &mut Vec<Vec<String>>) -> Node {
    let line = 2 * ways.len();
    ways.push(way.clone());
    let mut within = |step: &str, value: &Value| {
        way.push(step.to_owned());
        let line = 2 * ways.len() + 1;
        let inner = node(value, way, ways);
        way.pop();
        (Key { place: Place { line, column: 1 }, name: step.to_owned() }, inner)
    };
    let data = match value {
        Value::Null => Data::Null,
        Value::Bool(b) => Data::Bool(*b),
        Value::Number(n) => Data::Number(n.clone()),
        Value::String(text) => Data::Text(text.clone()),
        Value::Array(items) => {
            Data::List(items.iter().enumerate().map(|(n, item)| within(&n.to_string(), item).1).collect())
        }
        Value::Object(map) => Data::Map(map.iter().map(|(key, value)| within(key, value)).collect()),
    };
    let raw = match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => String::new(),
        plain => plain.to_string(),
    };
    Node { place: Place { line, column: 1 }, raw, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Shop {
        name: String,
        #[serde(default)]
        doors: Vec<Door>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Door {
        width: u32,
    }

    #[test]
    fn what_does_not_fit_is_said_with_the_way_to_it() {
        let said = |value: Value| {
            let found = misfit::<Shop>("the shop", &value)?;
            Some(format!("{}{} {}", found.path.join("."), if found.of_key { "!" } else { "" }, found.message))
        };
        assert_eq!(said(json!({ "name": "a", "doors": [{ "width": 1 }] })), None);
        let shop = |door: Value| json!({ "name": "a", "doors": [{ "width": 1 }, door] });
        assert_eq!(said(shop(json!({ "widht": 1 }))).unwrap(), "doors.1.widht! `widht` is not a key here");
        let wide = said(shop(json!({ "width": "wide" }))).unwrap();
        assert_eq!(wide, "doors.1.width `width`: expected a whole number, found `wide`");
        assert_eq!(said(shop(json!({}))).unwrap(), "doors.1 this item of `doors` lacks `width`");
        assert_eq!(said(json!({ "nmae": "a" })).unwrap(), "nmae! `nmae` is not a key here");
        assert_eq!(said(json!({})).unwrap(), " the shop lacks `name`");
        assert_eq!(said(json!(5)).unwrap(), " the shop: expected a map, found `5`");
        let help = misfit::<Shop>("the shop", &json!({ "nmae": "a" })).unwrap().help.unwrap();
        assert!(help.starts_with("did you mean `name`?"), "{help}");
    }
}
