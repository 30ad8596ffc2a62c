//! The acts of a fault, each with how it is written and what it does, as the schema says it.
//!
//! Knows: how the schema writes down a choice. Must not know: any one act.

use serde_json::Value;

use super::schema::schema;

/// How deep the shape of a value is spelled out.
const DEEP: u8 = 2;

/// What can be done to a call, a webhook, a connection or the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActEntry {
    /// Its key: `slow_accept`; of a mutation, `drift` and its key: `drift rename`.
    pub name: String,
    /// How a drill says it: `do: { slow_accept: 500ms }`.
    pub written: String,
    /// What it does.
    pub says: String,
}

/// Every act, in the order of the schema; those of drift after the others.
pub fn acts() -> Vec<ActEntry> {
    let schema = schema();
    let defs = &schema["$defs"];
    let mut all: Vec<ActEntry> = choices(&defs["Act"])
        .filter(|c| key(c).is_some_and(|k| k != "drift"))
        .filter_map(|choice| {
            let written = match choice["const"].as_str() {
                Some(name) => format!("do: {name}"),
                None => format!("do: {}", shape(choice, defs, DEEP)),
            };
            Some(ActEntry { name: key(choice)?.to_owned(), written, says: says(choice) })
        })
        .collect();
    all.extend(choices(&defs["Mutation"]).filter_map(|choice| {
        let written = format!("do: {{ drift: {} }}", shape(choice, defs, DEEP));
        Some(ActEntry { name: format!("drift {}", key(choice)?), written, says: says(choice) })
    }));
    all
}

fn choices(of: &Value) -> impl Iterator<Item = &Value> {
    of["oneOf"].as_array().into_iter().flatten()
}

fn key(choice: &Value) -> Option<&str> {
    let property = || choice["properties"].as_object()?.keys().next().map(String::as_str);
    choice["const"].as_str().or_else(property)
}

fn says(choice: &Value) -> String {
    choice["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An example, or else the shape of a value: keys that may be left out have a `?`.
fn shape(of: &Value, defs: &Value, deep: u8) -> String {
    if let Some(name) = of["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
        return shape(&defs[name], defs, deep);
    }
    if let Some(example) = of["examples"].get(0) {
        return example.as_str().map_or_else(|| example.to_string(), str::to_owned);
    }
    if let Some(only) = of["const"].as_str() {
        return only.to_owned();
    }
    let either = of["oneOf"].as_array().or_else(|| of["anyOf"].as_array());
    if let Some(either) = either {
        let known = either.iter().filter(|c| c["type"] != "null");
        return known.map(|c| shape(c, defs, deep)).collect::<Vec<_>>().join(" | ");
    }
    if let Some(values) = of["enum"].as_array() {
        return values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | ");
    }
    if let Some(properties) = of["properties"].as_object() {
        if deep == 0 {
            return "{ … }".to_owned();
        }
        let required = |name: &String| of["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name));
        let part = |(name, value): (&String, &Value)| {
            let mark = if required(name) { "" } else { "?" };
            format!("{name}{mark}: {}", shape(value, defs, deep - 1))
        };
        return format!("{{ {} }}", properties.iter().map(part).collect::<Vec<_>>().join(", "));
    }
    let kind = match &of["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("integer" | "number") => "N".to_owned(),
        Some("boolean") => "true".to_owned(),
        Some("string") => "TEXT".to_owned(),
        Some("array") => format!("[{}]", shape(&of["items"], defs, deep)),
        Some("object") => format!("{{ NAME: {} }}", shape(&of["additionalProperties"], defs, deep)),
        _ => "JSON".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_says_how_it_is_written_and_what_it_does() {
        let all = acts();
        for act in &all {
            assert!(!act.says.is_empty() && act.written.starts_with("do: "), "{act:?}");
        }
        let written = |name: &str| all.iter().find(|a| a.name == name).map(|a| a.written.as_str());
        assert_eq!(written("refuse"), Some("do: refuse"));
        assert_eq!(written("slow_accept"), Some("do: { slow_accept: 500ms }"));
        assert_eq!(
            written("reset"),
            Some("do: { reset: before_applied | while_applying | after_applied | during_response }")
        );
        assert_eq!(written("drift remove"), Some("do: { drift: { remove: /results/*/id } }"));
    }
}
