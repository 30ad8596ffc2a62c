//! JSON read for one look: texts lie where the body has them, members in a list.
//!
//! Knows: how `jsonschema` looks at a value. Must not know: schemas. A `Value` of the same body costs
//! several times as much to make, most of it for hashing names that are looked up once or never.

use std::borrow::Cow;
use std::fmt;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// Above this many members, names that come twice are looked for in order of the alphabet.
const FEW: usize = 64;

/// A value.
#[derive(Debug, PartialEq)]
pub(super) enum Glance<'b> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'b, str>),
    List(Vec<Glance<'b>>),
    Members(Vec<(Cow<'b, str>, Glance<'b>)>),
}

impl<'b> Glance<'b> {
    /// Reads a whole body. None if it is no JSON, or gives a name twice in one object, which is read
    /// in more ways than one (RFC 8259 §4).
    pub fn at(body: &'b [u8]) -> Option<Glance<'b>> {
        serde_json::from_slice(body).ok()
    }

    fn to_value(&self) -> Value {
        match self {
            Glance::Null => Value::Null,
            Glance::Bool(b) => Value::Bool(*b),
            Glance::Number(n) => Value::Number(n.clone()),
            Glance::Text(text) => Value::String(text.clone().into_owned()),
            Glance::List(items) => items.iter().map(Glance::to_value).collect(),
            Glance::Members(members) => {
                Value::Object(members.iter().map(|(n, v)| (n.clone().into_owned(), v.to_value())).collect())
            }
        }
    }
}

fn is_twice(members: &[(Cow<'_, str>, Glance<'_>)]) -> bool {
    if members.len() <= FEW {
        return members.iter().enumerate().any(|(i, (name, _))| members[..i].iter().any(|(n, _)| n == name));
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

impl<'de> Deserialize<'de> for Glance<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Glance<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Glance::Null)
    }

    fn visit_bool<E: Error>(self, b: bool) -> Result<Self::Value, E> {
        Ok(Glance::Bool(b))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Glance::Number(n.into()))
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
        Ok(Glance::Number(n.into()))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(n).map_or(Glance::Null, Glance::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Glance::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Glance::Text(Cow::Borrowed(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Glance::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        if is_twice(&members) {
            return Err(A::Error::custom("a name comes twice"));
        }
        Ok(Glance::Members(members))
    }
}

struct Name<'b>(Cow<'b, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match d.deserialize_str(Look)? {
            Glance::Text(name) => Ok(Name(name)),
            _ => Err(D::Error::custom("a name is a text")),
        }
    }
}

/// The representation, as `jsonschema` calls it.
#[derive(Debug)]
pub(super) struct Glanced;

impl Json for Glanced {
    type Node<'a> = &'a Glance<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = 2;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        f(&Glance::Text(Cow::Borrowed(string)))
    }
}

impl<'a> Node<'a, Glanced> for &'a Glance<'a> {
    type Object = &'a [(Cow<'a, str>, Glance<'a>)];
    type Array = &'a [Glance<'a>];
    type Number = &'a Number;

    fn as_object(&self) -> Option<Self::Object> {
        if let Glance::Members(members) = self { Some(members) } else { None }
    }

    fn as_array(&self) -> Option<Self::Array> {
        if let Glance::List(items) = self { Some(items) } else { None }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        if let Glance::Text(text) = self { Some(Cow::Borrowed(text)) } else { None }
    }

    fn as_number(&self) -> Option<&'a Number> {
        if let Glance::Number(n) = self { Some(n) } else { None }
    }

    fn as_boolean(&self) -> Option<bool> {
        if let Glance::Bool(b) = self { Some(*b) } else { None }
    }

    fn is_null(&self) -> bool {
        matches!(self, Glance::Null)
    }

    fn json_type(&self) -> JsonType {
        match self {
            Glance::Null => JsonType::Null,
            Glance::Bool(_) => JsonType::Boolean,
            Glance::Number(_) => JsonType::Number,
            Glance::Text(_) => JsonType::String,
            Glance::List(_) => JsonType::Array,
            Glance::Members(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match self {
            Glance::Text(text) => expected.as_str() == Some(text),
            other => cmp::equal(&other.to_value(), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned(Glance::to_value(self))
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Glance<'_>>(self) as usize))
    }
}

impl<'a> Object<'a, Glanced> for &'a [(Cow<'a, str>, Glance<'a>)] {
    type Node = &'a Glance<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn get(&self, key: &String) -> Option<&'a Glance<'a>> {
        self.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn members(&self) -> Members<'a> {
        Members(self.iter())
    }
}

/// Members by turns.
pub(super) struct Members<'a>(std::slice::Iter<'a, (Cow<'a, str>, Glance<'a>)>);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a Glance<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&**name, value))
    }
}

impl<'a> Array<'a, Glanced> for &'a [Glance<'a>] {
    type Node = &'a Glance<'a>;
    type ElementsIter = std::slice::Iter<'a, Glance<'a>>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn elements(&self) -> Self::ElementsIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_the_value_of_the_same_body_unless_a_name_comes_twice() {
        for body in [
            r#"{"a":[1,-2,3.5,1e3,18446744073709551615,"t","\u00e9\n",true,null],"b\t":{"":{}}}"#,
            " 7 ",
            r#""x""#,
        ] {
            let value: Value = serde_json::from_str(body).unwrap();
            assert_eq!(Glance::at(body.as_bytes()).unwrap().to_value(), value);
        }
        for body in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, "{", "1 1", "\"\u{1}\"", ""] {
            assert_eq!(Glance::at(body.as_bytes()), None, "{body}");
        }
        let many = |last: &str| {
            let names: String = (0..100).map(|n| format!("\"{n}\":0,")).collect();
            Glance::at(format!("{{{names}\"{last}\":0}}").as_bytes()).is_some()
        };
        assert!(many("100") && !many("99"));
        assert_eq!(Glance::at(b"\"\xff\""), None);
    }

    #[test]
    fn a_schema_says_the_same_of_it_as_of_the_value() {
        let schemas = [
            json!({ "required": ["a", "b"], "minProperties": 2, "propertyNames": { "maxLength": 1 } }),
            json!({ "properties": { "a": { "type": "integer" }, "b": { "enum": ["x", 1.0, null, [1]] } } }),
            json!({ "properties": { "a": { "const": { "k": 1 } } }, "additionalProperties": false }),
            json!({ "items": { "type": ["string", "number"], "minLength": 2, "maximum": 3 }, "uniqueItems": true }),
            json!({ "patternProperties": { "^a": { "multipleOf": 0.5, "pattern": "^é+$" } } }),
            json!({ "oneOf": [{ "type": "array", "contains": { "const": 1 } }, { "not": { "required": ["a"] } }] }),
            json!({ "type": "object", "unevaluatedProperties": false, "anyOf": [{ "properties": { "a": {} } }] }),
        ];
        let bodies = [
            r#"{"a":1,"b":"x"}"#,
            r#"{"a":1.0,"b":1}"#,
            r#"{"a":0.3,"b":[1.0]}"#,
            r#"{"a":{"k":1.0}}"#,
            r#"{"a":"éé","c":2}"#,
            r#"{"ab":1,"b":null}"#,
            r#"[1,2,1]"#,
            r#"["éé","xy",3]"#,
            r#"["é",4]"#,
            r#"[[1],[1.0]]"#,
            r#"{"a":"e"}"#,
            "{}",
            "[]",
            "1",
            "null",
            "\"x\"",
        ];
        for schema in &schemas {
            let whole = jsonschema::validator_for(schema).unwrap();
            let quick = jsonschema::options_for::<Glanced>().build(schema).unwrap();
            for body in bodies {
                let value: Value = serde_json::from_str(body).unwrap();
                let glance = Glance::at(body.as_bytes()).unwrap();
                assert_eq!(quick.is_valid(&glance), whole.is_valid(&value), "{schema} {body}");
            }
        }
    }
}
