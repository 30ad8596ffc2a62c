//! Reading request parameters: bracketed forms and JSON, and holding them against what an
//! operation declares.
//!
//! Knows: `metadata[deal_id]=1`, types and their coercion. Must not know: operations, records.

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::errors::{Case, Refusal};
use super::value::{Path, text_of};

/// A parameter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamSpec {
    /// Its type.
    #[serde(rename = "type", default)]
    pub kind: ParamType,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
    /// The field of the record it is stored in; its own name by default.
    #[serde(default)]
    pub to: Option<Path>,
    /// Whether it is stored at all.
    #[serde(default = "yes")]
    pub stored: bool,
    /// The collection whose record it names, which must exist.
    #[serde(default)]
    pub of: Option<String>,
    /// Its value when it is not there.
    #[serde(default)]
    pub default: Option<Value>,
    /// The values it may have.
    #[serde(default)]
    pub one_of: Vec<Value>,
    /// The most it may be, for numbers.
    #[serde(default)]
    pub max: Option<i64>,
}

fn yes() -> bool {
    true
}

/// Types of parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamType {
    /// Anything.
    #[default]
    Any,
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// Text by name, joined with what is there; an empty text removes a name (Stripe metadata).
    Metadata,
    /// Text by name, joined with what is there; an empty text or null clears a name (HubSpot).
    Properties,
    /// An object.
    Object,
    /// A list.
    List,
}

/// Reads a form with bracketed nesting. Lists stay objects with numbers for keys until a declared
/// type says otherwise; `a[]=1&a[]=2` counts by itself. The last of two equal names wins.
pub fn form(body: &[u8]) -> Value {
    let mut root = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        let (head, rest) = match name.find('[') {
            Some(at) if at > 0 => name.split_at(at),
            _ => (name.as_ref(), ""),
        };
        let mut keys = vec![head];
        keys.extend(rest.split('[').skip(1).map(|k| k.strip_suffix(']').unwrap_or(k)));
        put(&mut root, &keys, value.into_owned());
    }
    Value::Object(root)
}

/// Reads a query. Unlike in a form, equal names without brackets are joined by commas
/// (`properties=a&properties=b` is `properties=a,b`).
pub fn query(text: &str) -> Value {
    let mut root = form(text.as_bytes());
    let mut seen: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()).filter(|(n, _)| !n.contains('[')) {
        match seen.iter_mut().find(|(n, _)| *n == name) {
            Some((_, all)) => {
                all.push(',');
                all.push_str(&value);
                root[name.as_ref()] = Value::String(all.clone());
            }
            None => seen.push((name.into_owned(), value.into_owned())),
        }
    }
    root
}

fn put(map: &mut Map<String, Value>, keys: &[&str], value: String) {
    let Some((key, rest)) = keys.split_first() else { return };
    let key = if key.is_empty() { map.len().to_string() } else { (*key).to_owned() };
    if rest.is_empty() {
        map.insert(key, Value::String(value));
        return;
    }
    let inner = map.entry(key).or_insert_with(|| json!({}));
    if !inner.is_object() {
        *inner = json!({});
    }
    if let Value::Object(inner) = inner {
        put(inner, rest, value);
    }
}

/// Turns objects whose keys count from zero into lists, all the way down.
pub fn lists(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let counts = !map.is_empty() && (0..map.len()).all(|i| map.contains_key(&i.to_string()));
            if counts {
                let mut map = map;
                (0..map.len()).filter_map(|i| map.swap_remove(&i.to_string())).map(lists).collect()
            } else {
                Value::Object(map.into_iter().map(|(k, v)| (k, lists(v))).collect())
            }
        }
        other => other,
    }
}

/// Holds parameters against their declarations: coerces, fills defaults in, and refuses.
///
/// # Errors
/// The first parameter that is unknown, missing, or of the wrong type.
pub fn check(
    declared: &IndexMap<String, ParamSpec>,
    given: Value,
    from_form: bool,
    refuse_unknown: bool,
    partial: bool,
) -> Result<Map<String, Value>, Refusal> {
    let Value::Object(given) = given else { return Err(Refusal::case(Case::MalformedBody)) };
    let mut out = Map::with_capacity(given.len());
    for (name, value) in given {
        let Some(spec) = declared.get(&name) else {
            if refuse_unknown {
                return Err(Refusal::case(Case::UnknownParameter).with("param", name));
            }
            out.insert(name, value);
            continue;
        };
        let value = coerce(spec.kind, value, from_form).map_err(|(value, wanted)| {
            Refusal::case(Case::InvalidParameter)
                .with("param", name.as_str())
                .with("value", text_of(&value).map_or(value, Value::String))
                .with("wanted", wanted)
        })?;
        let allowed = spec.one_of.is_empty() || value.is_null() || spec.one_of.contains(&value);
        if !allowed || spec.max.is_some_and(|max| value.as_i64().is_some_and(|v| v > max)) {
            return Err(Refusal::case(Case::InvalidParameter)
                .with("param", name.as_str())
                .with("value", value)
                .with("wanted", "value"));
        }
        out.insert(name, value);
    }
    for (name, spec) in declared {
        if out.contains_key(name) {
            continue;
        }
        if spec.required {
            return Err(Refusal::case(Case::MissingParameter).with("param", name.as_str()));
        }
        if let (Some(default), false) = (&spec.default, partial) {
            out.insert(name.clone(), default.clone());
        }
    }
    Ok(out)
}

fn coerce(kind: ParamType, value: Value, from_form: bool) -> Result<Value, (Value, &'static str)> {
    if value.is_null() {
        return Ok(value);
    }
    if from_form && value == "" {
        return Ok(Value::Null);
    }
    match kind {
        ParamType::Any => Ok(if from_form { lists(value) } else { value }),
        ParamType::String if value.is_string() => Ok(value),
        ParamType::String => Err((value, "string")),
        ParamType::Integer => match &value {
            Value::String(text) if from_form => {
                text.parse::<i64>().map(Value::from).map_err(|_| (value, "integer"))
            }
            Value::Number(n) if n.is_i64() || n.is_u64() => Ok(value),
            _ => Err((value, "integer")),
        },
        ParamType::Number => match &value {
            Value::String(text) if from_form => text
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number)
                .ok_or((value, "number")),
            Value::Number(_) => Ok(value),
            _ => Err((value, "number")),
        },
        ParamType::Boolean => match &value {
            Value::String(text) if from_form && text == "true" => Ok(json!(true)),
            Value::String(text) if from_form && text == "false" => Ok(json!(false)),
            Value::Bool(_) => Ok(value),
            _ => Err((value, "boolean")),
        },
        ParamType::Metadata | ParamType::Properties => match value {
            Value::Object(map) => map
                .into_iter()
                .map(|(k, v)| match (&v, text_of(&v)) {
                    (Value::Null, _) => Ok((k, Value::Null)),
                    (_, Some(text)) => Ok((k, Value::String(text))),
                    _ => Err((v, "string")),
                })
                .collect::<Result<Map<_, _>, _>>()
                .map(Value::Object),
            other => Err((other, "object")),
        },
        ParamType::Object if value.is_object() => Ok(if from_form { lists(value) } else { value }),
        ParamType::Object => Err((value, "object")),
        ParamType::List => match lists(value) {
            list @ Value::Array(_) => Ok(list),
            other => Err((other, "array")),
        },
    }
}

/// Stores a parameter in a record, joining maps as their type says.
pub fn store(kind: ParamType, at: &Path, record: &mut Value, value: Value) {
    match (kind, value) {
        (ParamType::Metadata, Value::Null) => at.set(record, json!({})),
        (ParamType::Metadata, Value::Object(new)) => {
            let mut map = at.get(record).and_then(Value::as_object).cloned().unwrap_or_default();
            for (key, value) in new {
                if value == "" || value.is_null() {
                    map.shift_remove(&key);
                } else {
                    map.insert(key, value);
                }
            }
            at.set(record, Value::Object(map));
        }
        (ParamType::Properties, Value::Object(new)) => {
            let mut map = at.get(record).and_then(Value::as_object).cloned().unwrap_or_default();
            for (key, value) in new {
                let cleared = value == "" || value.is_null();
                map.insert(key, if cleared { Value::Null } else { value });
            }
            at.set(record, Value::Object(map));
        }
        (ParamType::Properties, Value::Null) => {}
        (_, value) => at.set(record, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The inverse of [`form`], for the round trip.
    fn write(value: &Value, name: &str, out: &mut form_urlencoded::Serializer<'_, String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(k, v)| {
                let inner = if name.is_empty() { k.clone() } else { format!("{name}[{k}]") };
                write(v, &inner, out);
            }),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(i, v)| write(v, &format!("{name}[{i}]"), out));
            }
            Value::String(text) => {
                out.append_pair(name, text);
            }
            _ => {}
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = any::<String>().prop_map(Value::String);
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-z_]{1,6}", inner, 1..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_nested_form_reads_back_as_written(
            fields in prop::collection::btree_map("[a-z_]{1,6}", tree(), 0..4)
        ) {
            let sent = Value::Object(fields.into_iter().collect());
            let mut out = form_urlencoded::Serializer::new(String::new());
            write(&sent, "", &mut out);
            prop_assert_eq!(lists(form(out.finish().as_bytes())), sent);
        }

        #[test]
        fn no_body_makes_the_reader_panic(body: Vec<u8>) {
            let _ = lists(form(&body));
        }
    }

    #[test]
    fn brackets_nest_and_count() {
        let read = lists(form(b"metadata[deal_id]=1&items[0][price]=p&items[1][price]=q&e[]=x&e[]=y"));
        assert_eq!(
            read,
            json!({ "metadata": { "deal_id": "1" }, "items": [{ "price": "p" }, { "price": "q" }], "e": ["x", "y"] })
        );
    }

    #[test]
    fn metadata_with_numbers_for_names_stays_a_map() {
        let declared = IndexMap::from([("metadata".to_owned(), spec(ParamType::Metadata))]);
        let out = check(&declared, form(b"metadata[0]=a"), true, true, false).unwrap();
        assert_eq!(Value::Object(out), json!({ "metadata": { "0": "a" } }));
    }

    fn spec(kind: ParamType) -> ParamSpec {
        serde_json::from_value::<ParamSpec>(json!({})).map(|s| ParamSpec { kind, ..s }).unwrap()
    }

    #[test]
    fn parameters_are_refused_by_name() {
        let mut declared = IndexMap::from([
            ("amount".to_owned(), spec(ParamType::Integer)),
            ("live".to_owned(), spec(ParamType::Boolean)),
        ]);
        declared["amount"].required = true;
        let case = |body: &[u8]| {
            let refusal = check(&declared, form(body), true, true, false).unwrap_err();
            (refusal.case.unwrap(), refusal.facts["param"].clone())
        };
        assert_eq!(case(b"amount=12.5"), (Case::InvalidParameter, json!("amount")));
        assert_eq!(case(b"amount=1&live=yes"), (Case::InvalidParameter, json!("live")));
        assert_eq!(case(b"amount=1&colour=red"), (Case::UnknownParameter, json!("colour")));
        assert_eq!(case(b"live=true"), (Case::MissingParameter, json!("amount")));
    }

    #[test]
    fn an_empty_metadata_value_removes_its_name() {
        let mut record = json!({ "metadata": { "a": "1", "b": "2" } });
        store(ParamType::Metadata, &Path::new("metadata"), &mut record, json!({ "a": "", "c": "3" }));
        assert_eq!(record, json!({ "metadata": { "b": "2", "c": "3" } }));
    }
}
