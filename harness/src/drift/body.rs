//! A body as it goes over the wire: read, changed, written again.
//!
//! Knows: JSON, forms, encodings. Must not know: who sends it.

use bytes::Bytes;
use serde_json::Value;

use super::message::{of_body, of_encoding, of_header, record};
use super::value::RAW;
use super::{mutate, resolved};
use crate::fault::{Encoding, Mutation};
use crate::trace::Drifted;
use crate::vendor::encoding::{form, lists};

/// A body with its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The Content-Type, if there is one.
    pub content_type: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
}

/// Changes a body; says what changed, or `None` if nothing did and the body is as it was.
pub fn body(mutation: &Mutation, turn: u64, body: &mut Body) -> Option<Drifted> {
    let kind = body.content_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    let is_form = kind.starts_with("application/x-www-form-urlencoded");
    let before =
        if is_form { Some(lists(form(&body.bytes))) } else { serde_json::from_slice(&body.bytes).ok() };
    match mutation {
        Mutation::ContentType(new) => {
            let differs = body.content_type.as_ref() != Some(new) && !body.bytes.is_empty();
            return differs.then(|| {
                let before = of_header("content-type", body.content_type.as_deref());
                body.content_type = Some(new.clone());
                record(mutation.to_string(), &before, &of_header("content-type", Some(new)))
            });
        }
        Mutation::Encoding(encoding) => {
            let bytes = encoded(*encoding, std::str::from_utf8(&body.bytes).ok()?)?;
            return (body.bytes != bytes).then(|| {
                body.bytes = bytes;
                record(mutation.to_string(), &of_encoding("utf8"), &of_encoding(encoding.word()))
            });
        }
        _ => {}
    }
    let before: Value = before?;
    let mutation = resolved(mutation, turn, &before)?;
    let mut after = before.clone();
    if !mutate(&mutation, turn, &mut after) {
        return None;
    }
    if is_form {
        body.bytes = Bytes::from(form_of(&after)?);
        return Some(record(mutation.to_string(), &of_body(before), &of_body(after)));
    }
    let text = spelled(&after);
    let said = serde_json::from_str(&text).unwrap_or(after);
    body.bytes = Bytes::from(text);
    Some(record(mutation.to_string(), &of_body(before), &of_body(said)))
}

/// Changes the payloads of one delivery that `meant` marks, each by itself; what acts on the body
/// as a whole is left to [`body`]. `list` says whether the body is a list of them, or the only one.
pub fn letter(
    mutation: &Mutation,
    turn: u64,
    payloads: &mut [Value],
    meant: &[bool],
    list: bool,
) -> Option<Drifted> {
    let whole = |payloads: Vec<Value>| match list {
        true => of_body(payloads.into()),
        false => of_body(payloads.into_iter().next().unwrap_or_default()),
    };
    let before = payloads.to_vec();
    let mut changes: Vec<String> = Vec::new();
    for (payload, _) in payloads.iter_mut().zip(meant).filter(|(_, meant)| **meant) {
        let Some(chosen) = resolved(mutation, turn, payload) else { continue };
        if mutate(&chosen, turn, payload) {
            let change = chosen.to_string();
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    let said = |p: &Value| serde_json::from_str(&spelled(p)).unwrap_or_else(|_| p.clone());
    let after = payloads.iter().map(said).collect();
    (!changes.is_empty()).then(|| record(changes.join(", "), &whole(before), &whole(after)))
}

/// The JSON text of a value; a marked text is a number, spelled as the mark says.
pub fn spelled(value: &Value) -> String {
    let text = value.to_string();
    let mark = format!("\"{RAW}");
    let mut parts = text.split(mark.as_str());
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('"') {
            Some((number, rest)) => out.extend([number, rest]),
            None => out.push_str(part),
        }
    }
    out
}

fn encoded(encoding: Encoding, text: &str) -> Option<Bytes> {
    Some(match encoding {
        Encoding::Utf8Bom => Bytes::from(format!("\u{feff}{text}")),
        Encoding::Utf16 => {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        }
        Encoding::Latin1 => {
            let mut out = Vec::with_capacity(text.len());
            let mut units = [0u16; 2];
            for c in text.chars() {
                match u8::try_from(u32::from(c)) {
                    Ok(byte) => out.push(byte),
                    Err(_) => c.encode_utf16(&mut units).iter().for_each(|unit| {
                        out.extend(format!("\\u{unit:04x}").bytes());
                    }),
                }
            }
            out.into()
        }
    })
}

/// A form of what was one; `None` for what no form can say.
fn form_of(value: &Value) -> Option<String> {
    let mut out = form_urlencoded::Serializer::new(String::new());
    fn put(name: &str, value: &Value, out: &mut form_urlencoded::Serializer<'_, String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, v)| put(&format!("{name}[{key}]"), v, out)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(n, v)| put(&format!("{name}[{n}]"), v, out));
            }
            Value::Null => drop(out.append_pair(name, "")),
            Value::String(text) => drop(out.append_pair(name, text.trim_start_matches(RAW))),
            other => drop(out.append_pair(name, &other.to_string())),
        }
    }
    value.as_object()?.iter().for_each(|(name, v)| put(name, v, &mut out));
    Some(out.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(yaml: &str, kind: &str, text: &str) -> Option<(Body, Drifted)> {
        let mutation: Mutation = serde_saphyr::from_str(yaml).unwrap();
        let mut of = Body { content_type: Some(kind.to_owned()), bytes: Bytes::from(text.to_owned()) };
        let drifted = body(&mutation, 0, &mut of)?;
        Some((of, drifted))
    }

    #[test]
    fn a_change_is_recorded_as_a_patch_that_makes_it_again() {
        let text = r#"{"id":"7","properties":{"amount":"1234.50","stage":"open"},"list":[1,2,3]}"#;
        for yaml in [
            "remove: /properties/amount",
            "rename: { field: /id, to: key }",
            "to_object: /properties/amount",
            "deeper: /id",
            "empty_list: /list",
            "wrap: data",
            "to_list: ''",
            "exponent: /list/2",
        ] {
            let (after, drifted) = changed(yaml, "application/json", text).unwrap();
            let patch: json_patch::Patch = serde_json::from_value(drifted.patch).unwrap();
            let mut again = of_body(serde_json::from_str(text).unwrap());
            json_patch::patch(&mut again, &patch).unwrap();
            assert_eq!(again["body"], serde_json::from_slice::<Value>(&after.bytes).unwrap(), "{yaml}");
        }
    }

    #[test]
    fn an_exponent_reaches_the_wire_as_it_is_spelled() {
        let (after, _) = changed("exponent: /n", "application/json", r#"{"n":1250,"s":"1250"}"#).unwrap();
        assert_eq!(after.bytes, r#"{"n":1.25e3,"s":"1250"}"#);
    }

    #[test]
    fn encodings_and_types_leave_the_value_alone_and_are_recorded_as_what_they_are() {
        let (after, drifted) =
            changed("encoding: latin1", "application/json", r#"{"n":"Møller 🍮"}"#).unwrap();
        assert!(std::str::from_utf8(&after.bytes).is_err());
        assert_eq!(drifted.patch, json!([{ "op": "replace", "path": "/encoding", "value": "latin1" }]));
        assert!(after.bytes.ends_with(b"\\ud83c\\udf6e\"}"));
        assert!(changed("encoding: latin1", "application/json", "{}").is_none());
        let (after, drifted) = changed("content_type: text/plain", "application/json", "{}").unwrap();
        assert_eq!(after.content_type.as_deref(), Some("text/plain"));
        let replaced = json!([{ "op": "replace", "path": "/headers/content-type", "value": "text/plain" }]);
        assert_eq!(drifted.patch, replaced);
    }

    #[test]
    fn a_form_changes_as_a_form() {
        let kind = "application/x-www-form-urlencoded";
        let (after, drifted) =
            changed("rename: { field: /scope, to: scopes }", kind, "access_token=a&scope=repo").unwrap();
        assert_eq!(after.bytes, "access_token=a&scopes=repo");
        assert_eq!(drifted.patch[0], json!({ "op": "add", "path": "/body/scopes", "value": "repo" }));
    }

    #[test]
    fn each_event_of_a_delivery_is_recorded_with_its_place_in_it() {
        let events = [json!({ "id": 1, "a": "x" }), json!({ "id": 2 }), json!({ "id": 3, "a": "y" })];
        let changed = |yaml: &str, turn: u64, meant: [bool; 3], list: bool| {
            let mutation: Mutation = serde_saphyr::from_str(yaml).unwrap();
            let drifted = letter(&mutation, turn, &mut events.to_vec(), &meant, list).unwrap();
            let paths = drifted.patch.as_array().unwrap().iter().map(|step| step["path"].clone());
            (drifted.change, Value::Array(paths.collect()))
        };
        let (change, paths) = changed("remove: /a", 0, [true, true, true], true);
        assert_eq!((change.as_str(), paths), ("remove /a", json!(["/body/0/a", "/body/2/a"])));
        assert_eq!(changed("remove: /a", 0, [false, true, true], true).1, json!(["/body/2/a"]));
        assert_eq!(changed("remove: /a", 0, [true, false, false], false).1, json!(["/body/a"]));
        // Each event has pairs of its own, of which it is the turn of another.
        let (change, paths) = changed("systematic: ''", 5, [true, true, true], true);
        assert!(change.contains(", ") && paths.as_array().unwrap().len() >= 3, "{change}: {paths}");
    }

    #[test]
    fn what_is_no_data_has_no_fields() {
        assert!(changed("remove: /id", "text/html", "<html></html>").is_none());
        assert!(changed("remove: /id", "application/json", "").is_none());
    }
}
