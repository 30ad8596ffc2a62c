//! What of a record a caller sees, and how it is written: straight from the ledger, without a copy.
//!
//! Knows: fields that only the vendor sees, and properties that a caller names. Must not know: which
//! records are asked for, or how pages are cut.

use std::borrow::Cow;

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::spec::CollectionSpec;
use super::value::text_of;

/// What one caller sees of the records of a collection.
pub(super) struct View<'s> {
    /// The field whose members are named, and the names, in order; every record has these, and no others.
    narrow: Option<(&'s str, Vec<Cow<'s, str>>)>,
}

impl<'s> View<'s> {
    /// What a caller with these parameters sees.
    pub fn of(spec: &'s CollectionSpec, params: &'s Map<String, Value>) -> View<'s> {
        let narrow = spec.shown.as_ref().map(|narrow| {
            let named: Vec<Cow<'s, str>> = match params.get(&narrow.param) {
                Some(Value::String(names)) => names.split(',').map(|n| n.trim().into()).collect(),
                Some(Value::Array(names)) => names.iter().filter_map(text_of).map(Cow::Owned).collect(),
                _ => Vec::new(),
            };
            let own = |names: &'s [String]| names.iter().map(|n| Cow::Borrowed(n.as_str()));
            let mut names = if named.is_empty() { own(&narrow.default).collect() } else { named };
            names.extend(own(&narrow.always));
            names.retain(|n| !n.is_empty());
            names.sort();
            names.dedup();
            (narrow.under.as_str(), names)
        });
        View { narrow }
    }

    /// A record as the caller sees it.
    pub fn show<'v>(&'v self, record: &'v Value) -> Shown<'v> {
        Shown { record, narrow: self.narrow.as_ref().map(|(under, names)| (*under, names.as_slice())) }
    }
}

/// A record as a caller sees it.
pub(super) struct Shown<'v> {
    record: &'v Value,
    narrow: Option<(&'v str, &'v [Cow<'v, str>])>,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Value::Object(record) = self.record else { return self.record.serialize(s) };
        let mut map = s.serialize_map(None)?;
        for (name, value) in record.iter().filter(|(name, _)| !name.starts_with('_')) {
            match (value, self.narrow) {
                (Value::Object(all), Some((under, names))) if name == under => {
                    map.serialize_entry(name, &Named { all, names })?;
                }
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

/// Members by name; `null` for what is not there.
struct Named<'v> {
    all: &'v Map<String, Value>,
    names: &'v [Cow<'v, str>],
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.names.iter().map(|name| (name, self.all.get(&**name).unwrap_or(&Value::Null))))
    }
}

/// A page as it is written: its items stand by themselves, or under a name among other members.
pub(super) struct Sheet<I> {
    /// The other members, with a place kept for the items under this name.
    pub around: Option<(Map<String, Value>, String)>,
    /// The items.
    pub items: Vec<I>,
}

impl<I: Serialize> Serialize for Sheet<I> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let Some((members, place)) = &self.around else { return self.items.serialize(s) };
        let mut map = s.serialize_map(Some(members.len()))?;
        for (name, value) in members {
            if name == place {
                map.serialize_entry(name, &self.items)?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// A record without the fields that only the vendor sees.
pub(super) fn visible(record: &Value) -> Value {
    serde_json::to_value(Shown { record, narrow: None }).unwrap_or_default()
}

/// JSON as the bytes of a body.
pub(super) fn text(value: &impl Serialize) -> Bytes {
    // What is shown has texts for names, and can always be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(names: Option<&[&str]>, record: &Value) -> String {
        let names = names.map(|names| ("properties", names.iter().map(|n| Cow::Borrowed(*n)).collect()));
        String::from_utf8(text(&View { narrow: names }.show(record)).to_vec()).unwrap()
    }

    #[test]
    fn what_only_the_vendor_sees_is_left_out_and_what_is_named_is_there() {
        let record = json!({ "id": "7", "_own": 1, "properties": { "b": 2, "a": "x", "_c": 3 } });
        assert_eq!(seen(None, &record), r#"{"id":"7","properties":{"b":2,"a":"x","_c":3}}"#);
        assert_eq!(seen(None, &record), visible(&record).to_string());
        assert_eq!(seen(Some(&["a", "z"]), &record), r#"{"id":"7","properties":{"a":"x","z":null}}"#);
        assert_eq!(seen(Some(&["a"]), &json!({ "properties": [1] })), r#"{"properties":[1]}"#);
        assert_eq!(seen(None, &json!("text")), r#""text""#);
    }

    #[test]
    fn the_items_of_a_page_stand_in_their_place() {
        let Value::Object(members) = json!({ "object": "list", "data": null, "has_more": false }) else {
            return;
        };
        let page = Sheet { around: Some((members, "data".to_owned())), items: vec![1, 2] };
        assert_eq!(&*text(&page), br#"{"object":"list","data":[1,2],"has_more":false}"#);
        assert_eq!(&*text(&Sheet { around: None, items: vec![1] }), b"[1]");
    }
}
