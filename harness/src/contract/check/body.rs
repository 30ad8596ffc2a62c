//! Judging a body by the media types that are documented for it.
//!
//! Knows: JSON, forms, text, and what of them a schema judges. Must not know: operations, or where
//! else in a message something can be wrong.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::Value;

use super::{found, judged};
use crate::contract::convert::Direction;
use crate::contract::explain::Scene;
use crate::contract::form::{self, Tree};
use crate::contract::media::{choose, essence, is_form, is_json};
use crate::contract::operation::Media;
use crate::contract::shape::Shape;
use crate::contract::violation::{Checked, Part, Severity, Violation};
use crate::contract::{Contract, document, mask, moved, unknown};
use crate::wire::Headers;

/// Bodies above this are not judged: 100 MB of JSON would take gigabytes as a value.
const MAX_BODY: usize = 32 << 20;

/// A body that is to be judged.
pub(super) struct Body<'b> {
    pub headers: &'b Headers,
    pub bytes: &'b Bytes,
}

impl Contract {
    pub(super) fn check_body(
        &self,
        body: &Body<'_>,
        content: &[Media],
        at: &str,
        direction: Direction,
        checked: &mut Checked,
    ) {
        let given = match (body.headers.get("content-type"), content) {
            (Some(given), _) => given,
            // RFC 9110 §8.3: without a type the recipient may look for itself.
            (None, [only]) => &only.range,
            (None, _) => "application/json",
        };
        let Some(media) = choose(content, given) else {
            let ranges: Vec<&str> = content.iter().map(|m| m.range.as_str()).collect();
            let got = essence(given);
            checked.violations.push(found(
                "contract/media_type",
                Severity::Breaking,
                Part::Body,
                at,
                ranges.join(" or "),
                got,
            ));
            return;
        };
        checked.media = Some(media.range.clone());
        let Some(schema) = &media.schema else { return };
        checked.schema = Some(schema.clone());
        if body.bytes.len() > MAX_BODY {
            let expected = format!("at most {} MB", MAX_BODY >> 20);
            let got = format!("a body of {} MB, which is not judged", body.bytes.len() >> 20);
            checked.violations.push(found(
                "contract/not_judged",
                Severity::Unknown,
                Part::Body,
                schema,
                expected,
                got,
            ));
            return;
        }
        let coded =
            body.headers.get("content-encoding").is_some_and(|c| !c.trim().eq_ignore_ascii_case("identity"));
        let given = essence(given);
        let range = essence(&media.range);
        if is_json(&given) || is_json(&range) {
            match serde_json::from_slice::<Value>(body.bytes) {
                Ok(value) => self.check_value(&value, schema, direction, checked),
                Err(_) if coded => checked.violations.push(still_coded(schema, body)),
                Err(e) => {
                    let got = format!("line {}, column {}: {}", e.line(), e.column(), cause(&e));
                    checked.violations.push(found(
                        "contract/not_json",
                        Severity::Breaking,
                        Part::Body,
                        schema,
                        "JSON".to_owned(),
                        got,
                    ));
                }
            }
        } else if coded {
            checked.violations.push(still_coded(schema, body));
        } else if is_form(&given) {
            let pairs = form_urlencoded::parse(body.bytes).map(|(n, v)| (n.into_owned(), v.into_owned()));
            match form::tree(pairs) {
                Ok(tree) => {
                    let shape = Shape::of(&self.document, schema);
                    let value = form::typed(&Tree::Members(tree), shape.as_ref());
                    // A form without fields is an empty object, not an empty list.
                    let value = if value.as_array().is_some_and(Vec::is_empty) {
                        Value::Object(Default::default())
                    } else {
                        value
                    };
                    self.check_value(&value, schema, direction, checked);
                }
                Err(tangled) => checked.violations.push(found(
                    "contract/not_a_form",
                    Severity::Breaking,
                    Part::Body,
                    schema,
                    "names and values that nest".to_owned(),
                    tangled.0,
                )),
            }
        } else if given.starts_with("text/") {
            match std::str::from_utf8(body.bytes) {
                Ok(text) => self.check_value(&Value::String(text.to_owned()), schema, direction, checked),
                Err(_) => checked.violations.push(found(
                    "contract/not_judged",
                    Severity::Unknown,
                    Part::Body,
                    schema,
                    "text in UTF-8".to_owned(),
                    "bytes in another encoding".to_owned(),
                )),
            }
        } else {
            let types = Shape::of(&self.document, schema).map(|s| s.types().join(" or ")).unwrap_or_default();
            // Bytes are described as a string, or not at all; anything else is a structure that
            // this media type (XML, multipart) spells in its own way.
            if !matches!(types.as_str(), "" | "string") {
                let got = format!("{given}, which is not read");
                checked.violations.push(found(
                    "contract/not_judged",
                    Severity::Unknown,
                    Part::Body,
                    schema,
                    "JSON, a form or text".to_owned(),
                    got,
                ));
            }
        }
    }

    pub(super) fn check_value(
        &self,
        value: &Value,
        schema: &str,
        direction: Direction,
        checked: &mut Checked,
    ) {
        checked.schema = Some(schema.to_owned());
        let judge = match self.schemas.judge(&self.document, schema, direction) {
            Ok(judge) => judge,
            Err(why) => {
                checked.violations.push(found(
                    "contract/not_judged",
                    Severity::Unknown,
                    Part::Body,
                    schema,
                    "a schema that can be compiled".to_owned(),
                    why,
                ));
                return;
            }
        };
        let scene = Scene {
            raw: &self.document.raw,
            entry: schema,
            part: Part::Body,
            prefix: String::new(),
            name: "",
        };
        let mut missing = match judged(&judge, &scene, value) {
            Ok(violations) => violations,
            Err(unknown) => return checked.violations.push(*unknown),
        };
        let from = checked.violations.len();
        if let Some(shape) = Shape::of(&self.document, schema) {
            let strangers = unknown::strangers(&shape, value);
            moved::explain(self, direction, &mut missing, &strangers);
            let strangers = strangers.iter().map(|s| stranger(s, Severity::Additive));
            checked.violations.extend(missing.into_iter().chain(strangers.collect::<Vec<_>>()));
        } else {
            checked.violations.extend(missing);
        }
        // What is forbidden was said already; it is not an addition as well.
        let forbidden: BTreeSet<String> = checked.violations[from..]
            .iter()
            .filter(|v| v.rule == "contract/forbidden_field")
            .map(|v| v.pointer.clone())
            .collect();
        checked.violations.retain(|v| v.rule != "contract/unknown_field" || !forbidden.contains(&v.pointer));
    }
}

pub(super) fn add_strangers(shape: &Shape<'_>, value: &Value, checked: &mut Checked) {
    let strangers = unknown::strangers(shape, value);
    checked.violations.extend(strangers.iter().map(|s| stranger(s, Severity::Additive)));
}

fn stranger(stranger: &unknown::Stranger<'_>, severity: Severity) -> Violation {
    let name = document::unescape(stranger.pointer.rsplit('/').next().unwrap_or_default());
    Violation {
        rule: "contract/unknown_field".to_owned(),
        severity,
        part: Part::Body,
        pointer: stranger.pointer.clone(),
        wild: stranger.wild.clone(),
        schema: stranger.schema.clone(),
        expected: "a field that the contract lists".to_owned(),
        got: mask::masked(&name, stranger.value),
        branch: None,
        moved: None,
    }
}

fn still_coded(schema: &str, body: &Body<'_>) -> Violation {
    let coding = body.headers.get("content-encoding").unwrap_or_default();
    let got = format!("a body that is still coded as {coding}");
    found(
        "contract/not_judged",
        Severity::Unknown,
        Part::Body,
        schema,
        "a body that can be read".to_owned(),
        got,
    )
}

/// serde_json's message without the place, which is said before it.
fn cause(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}
