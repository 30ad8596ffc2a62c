//! Judging messages by a contract.
//!
//! Knows: which part of a message is judged by which schema. Must not know: how schemas are
//! compiled, or how errors are put into words.

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::Value;

use super::convert::Direction;
use super::explain::Scene;
use super::form::{self, Tree};
use super::media::{choose, essence, is_form, is_json};
use super::operation::{Media, Operation, Parameter, Place, Style};
use super::shape::Shape;
use super::violation::{Checked, Part, Severity, Violation};
use super::{Contract, moved, unknown};
use crate::wire::{Headers, Request, Response};

/// Bodies above this are not judged: 100 MB of JSON would take gigabytes as a value.
pub const MAX_BODY: usize = 32 << 20;

/// A body that is to be judged.
struct Body<'b> {
    headers: &'b Headers,
    bytes: &'b Bytes,
}

impl Contract {
    /// Judges a response to `operation`: its status, media type and body, and what of it the
    /// contract does not know.
    pub fn check_response(&self, operation: &Operation, response: &Response) -> Checked {
        let mut checked = Checked::default();
        let Some(answer) = operation.answer(response.status) else {
            let documented: Vec<String> = operation.answers.iter().map(|a| a.status.to_string()).collect();
            // Vendors seldom list every error; a success that is not listed is another matter.
            let severity = if response.status < 300 { Severity::Breaking } else { Severity::Unknown };
            let expected = format!("one of the documented statuses: {}", documented.join(", "));
            let schema = format!("{}/responses", operation.pointer);
            checked.violations.push(found(
                "contract/status",
                severity,
                Part::Status,
                &schema,
                expected,
                response.status.to_string(),
            ));
            return checked;
        };
        let body = Body { headers: &response.headers, bytes: &response.body };
        let bodiless = matches!(response.status, 100..=199 | 204 | 205 | 304);
        if response.body.is_empty() {
            if !bodiless && !answer.content.is_empty() && operation.method != "HEAD" {
                let ranges: Vec<&str> = answer.content.iter().map(|m| m.range.as_str()).collect();
                let expected = format!("a body of type {}", ranges.join(" or "));
                checked.violations.push(found(
                    "contract/body",
                    Severity::Breaking,
                    Part::Body,
                    &answer.pointer,
                    expected,
                    "no body".to_owned(),
                ));
            }
            return checked;
        }
        if answer.content.is_empty() {
            let expected = format!("no body: none is documented for {}", answer.status);
            let got = format!("{} bytes, by nothing to be judged by", response.body.len());
            checked.violations.push(found(
                "contract/body",
                Severity::Unknown,
                Part::Body,
                &answer.pointer,
                expected,
                got,
            ));
            return checked;
        }
        self.check_body(
            &body,
            &answer.content,
            &format!("{}/content", answer.pointer),
            Direction::Response,
            &mut checked,
        );
        checked.sorted()
    }

    /// Judges a request that was found to be for `operation`: path, query and header parameters
    /// and its body. Whatever carries credentials (`Authorization`, `Cookie`) is left alone.
    pub fn check_request(&self, operation: &Operation, request: &Request) -> Checked {
        let mut checked = Checked::default();
        self.check_parameters(operation, request, &mut checked);
        match &operation.body {
            Some(body) if request.body.is_empty() => {
                if body.required {
                    let at = format!("{}/requestBody", operation.pointer);
                    checked.violations.push(found(
                        "contract/body",
                        Severity::Breaking,
                        Part::Body,
                        &at,
                        "a body".to_owned(),
                        "no body".to_owned(),
                    ));
                }
            }
            Some(body) => {
                let sent = Body { headers: &request.headers, bytes: &request.body };
                let at = format!("{}/requestBody/content", operation.pointer);
                self.check_body(&sent, &body.content, &at, Direction::Request, &mut checked);
            }
            None if request.body.is_empty() => {}
            None => {
                let expected = "no body: none is documented".to_owned();
                let got = format!("{} bytes, by nothing to be judged by", request.body.len());
                checked.violations.push(found(
                    "contract/body",
                    Severity::Unknown,
                    Part::Body,
                    &operation.pointer,
                    expected,
                    got,
                ));
            }
        }
        checked.sorted()
    }

    /// Judges the payload of a webhook by the schema of that name: a schema file's, or that of the
    /// description's own `webhooks`. None if there is no such webhook.
    pub fn check_webhook(&self, name: &str, payload: &Value) -> Option<Checked> {
        let mut checked = Checked::default();
        if let Some(own) = self.payloads.get(name) {
            let scene = Scene {
                raw: &own.document.raw,
                entry: "",
                part: Part::Body,
                prefix: String::new(),
                name: "",
            };
            checked.violations = scene.explain(own.validator.iter_errors(payload));
            if let Some(shape) = Shape::of(&own.document, "") {
                add_strangers(&shape, payload, &mut checked);
            }
            return Some(checked.sorted());
        }
        let (_, operation) = self.index.webhooks.iter().find(|(known, _)| known == name)?;
        let content = &operation.body.as_ref()?.content;
        let media = choose(content, "application/json").or_else(|| content.first())?;
        checked.media = Some(media.range.clone());
        if let Some(schema) = &media.schema {
            self.check_value(payload, schema, Direction::Response, &mut checked);
        }
        Some(checked.sorted())
    }

    /// Judges a value by the schema at `pointer` of the raw description.
    pub fn check_value_at(&self, pointer: &str, direction: Direction, value: &Value) -> Checked {
        let mut checked = Checked::default();
        self.check_value(value, pointer, direction, &mut checked);
        checked.sorted()
    }

    /// Whether a value fits the schema at `pointer` of the raw description: the fast question,
    /// without findings and without the second layer.
    ///
    /// # Errors
    /// In words, if the schema cannot be compiled.
    pub fn fits(&self, pointer: &str, direction: Direction, value: &Value) -> Result<bool, String> {
        Ok(self.schemas.validator(&self.document, pointer, direction)?.is_valid(value))
    }

    fn check_body(
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

    fn check_value(&self, value: &Value, schema: &str, direction: Direction, checked: &mut Checked) {
        checked.schema = Some(schema.to_owned());
        let validator = match self.schemas.validator(&self.document, schema, direction) {
            Ok(validator) => validator,
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
        let mut missing = Vec::new();
        if !validator.is_valid(value) {
            let scene = Scene {
                raw: &self.document.raw,
                entry: schema,
                part: Part::Body,
                prefix: String::new(),
                name: "",
            };
            missing = scene.explain(validator.iter_errors(value));
        }
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
        let forbidden: Vec<String> = checked.violations[from..]
            .iter()
            .filter(|v| v.rule == "contract/forbidden_field")
            .map(|v| v.pointer.clone())
            .collect();
        checked.violations.retain(|v| v.rule != "contract/unknown_field" || !forbidden.contains(&v.pointer));
    }

    fn check_parameters(&self, operation: &Operation, request: &Request, checked: &mut Checked) {
        let arguments = match self.find(&request.method, &request.target) {
            Ok(found) if std::ptr::eq(found.operation, operation) || found.operation == operation => {
                found.arguments
            }
            _ => operation.matches(request.path()).map(|(_, arguments)| arguments).unwrap_or_default(),
        };
        let query: Vec<(String, String)> =
            request.query().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
        let tree = match form::tree(query.iter().cloned()) {
            Ok(tree) => tree,
            Err(tangled) => {
                let expected = "names and values that nest".to_owned();
                checked.violations.push(found(
                    "contract/not_a_form",
                    Severity::Breaking,
                    Part::Query,
                    &operation.pointer,
                    expected,
                    tangled.0,
                ));
                IndexMap::new()
            }
        };
        for parameter in &operation.parameters {
            let shape = parameter.schema.as_deref().and_then(|at| Shape::of(&self.document, at));
            let given = match parameter.place {
                Place::Path => {
                    let text =
                        arguments.iter().find(|(name, _)| *name == parameter.name).map(|(_, v)| v.as_str());
                    text.map(|text| listed(parameter, text, shape.as_ref()))
                }
                Place::Query => in_query(parameter, &tree, &query, shape.as_ref()),
                Place::Header => {
                    // OpenAPI 3.0.3, Parameter Object: these three are described elsewhere.
                    if ["accept", "content-type", "authorization"]
                        .iter()
                        .any(|n| parameter.name.eq_ignore_ascii_case(n))
                    {
                        continue;
                    }
                    request.headers.get(&parameter.name).map(|text| listed(parameter, text, shape.as_ref()))
                }
                Place::Cookie => continue,
            };
            let part = match parameter.place {
                Place::Path => Part::Path,
                Place::Query => Part::Query,
                Place::Header => Part::Header,
                Place::Cookie => Part::Cookie,
            };
            match (given, &parameter.schema) {
                (None, _) => {
                    if parameter.required {
                        let mut violation = found(
                            "contract/required",
                            Severity::Breaking,
                            part,
                            parameter.schema.as_deref().unwrap_or(&operation.pointer),
                            format!("the parameter `{}`", parameter.name),
                            "it is missing".to_owned(),
                        );
                        violation.pointer = super::convert::below("", &parameter.name);
                        violation.wild.clone_from(&violation.pointer);
                        checked.violations.push(violation);
                    }
                }
                (Some(_), _) if parameter.style == Style::Other => {}
                (Some(value), Some(schema)) => self.check_parameter(parameter, part, schema, &value, checked),
                (Some(_), None) => {}
            }
        }
        self.add_unknown_query(operation, &tree, checked);
    }

    fn check_parameter(
        &self,
        parameter: &Parameter,
        part: Part,
        schema: &str,
        value: &Value,
        checked: &mut Checked,
    ) {
        match self.schemas.validator(&self.document, schema, Direction::Request) {
            Ok(validator) => {
                let prefix = super::convert::below("", &parameter.name);
                let scene =
                    Scene { raw: &self.document.raw, entry: schema, part, prefix, name: &parameter.name };
                checked.violations.extend(scene.explain(validator.iter_errors(value)));
            }
            Err(why) => checked.violations.push(found(
                "contract/not_judged",
                Severity::Unknown,
                part,
                schema,
                "a schema that can be compiled".to_owned(),
                why,
            )),
        }
    }

    fn add_unknown_query(&self, operation: &Operation, tree: &IndexMap<String, Tree>, checked: &mut Checked) {
        for name in tree.keys() {
            let known = |p: &Parameter| {
                p.place == Place::Query
                    && (p.name == *name || p.name.split('[').next() == Some(name.as_str()))
            };
            if !operation.parameters.iter().any(known) {
                let mut violation = found(
                    "contract/unknown_parameter",
                    Severity::Additive,
                    Part::Query,
                    &operation.pointer,
                    "a documented parameter".to_owned(),
                    format!("`{name}`"),
                );
                violation.pointer = super::convert::below("", name);
                violation.wild.clone_from(&violation.pointer);
                checked.violations.push(violation);
            }
        }
    }
}

fn in_query(
    parameter: &Parameter,
    tree: &IndexMap<String, Tree>,
    query: &[(String, String)],
    shape: Option<&Shape<'_>>,
) -> Option<Value> {
    // A name with brackets of its own (`filter[state]`, `ids[]`) is documented as it is spelt.
    if parameter.name.contains('[') {
        let mut values: Vec<&str> =
            query.iter().filter(|(n, _)| *n == parameter.name).map(|(_, v)| v.as_str()).collect();
        return match values.len() {
            0 => None,
            1 => values.pop().map(|text| form::typed(&Tree::Leaf(text.to_owned()), shape)),
            _ => Some(form::typed(&Tree::Several(values.into_iter().map(str::to_owned).collect()), shape)),
        };
    }
    match tree.get(&parameter.name)? {
        Tree::Leaf(text) if !parameter.explode || matches!(parameter.style, Style::Space | Style::Pipe) => {
            Some(listed(parameter, text, shape))
        }
        other => Some(form::typed(other, shape)),
    }
}

/// A text as a value, split where the parameter is a list that is not exploded.
fn listed(parameter: &Parameter, text: &str, shape: Option<&Shape<'_>>) -> Value {
    let list = shape.is_some_and(|s| {
        let types = s.types();
        types.contains(&"array") && !types.contains(&"string")
    });
    if !list {
        return form::typed(&Tree::Leaf(text.to_owned()), shape);
    }
    let separator = match parameter.style {
        Style::Space => ' ',
        Style::Pipe => '|',
        _ => ',',
    };
    form::typed(&Tree::Several(text.split(separator).map(str::to_owned).collect()), shape)
}

fn add_strangers(shape: &Shape<'_>, value: &Value, checked: &mut Checked) {
    let strangers = unknown::strangers(shape, value);
    checked.violations.extend(strangers.iter().map(|s| stranger(s, Severity::Additive)));
}

fn stranger(stranger: &unknown::Stranger<'_>, severity: Severity) -> Violation {
    let name = super::document::unescape(stranger.pointer.rsplit('/').next().unwrap_or_default());
    Violation {
        rule: "contract/unknown_field".to_owned(),
        severity,
        part: Part::Body,
        pointer: stranger.pointer.clone(),
        wild: stranger.wild.clone(),
        schema: stranger.schema.clone(),
        expected: "a field that the contract lists".to_owned(),
        got: super::mask::masked(&name, stranger.value),
        branch: None,
        moved: None,
    }
}

fn found(
    rule: &str,
    severity: Severity,
    part: Part,
    schema: &str,
    expected: String,
    got: String,
) -> Violation {
    Violation {
        rule: rule.to_owned(),
        severity,
        part,
        pointer: String::new(),
        wild: String::new(),
        schema: schema.to_owned(),
        expected,
        got,
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
