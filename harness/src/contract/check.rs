//! Judging messages by a contract.
//!
//! Knows: which part of a message is judged by which schema. Must not know: how schemas are
//! compiled, or how errors are put into words.

mod body;
mod parameters;

use serde_json::Value;

use super::Contract;
use super::convert::Direction;
use super::explain::Scene;
use super::judge::Judge;
use super::media::choose;
use super::operation::{Media, Operation};
use super::shape::Shape;
use super::violation::{Checked, Part, Severity, Violation};
use crate::wire::{Request, Response};
use body::{Body, add_strangers};

/// Of how many items of each list it is said what is wrong, if it is too much to say it of all.
const FIRST: usize = 100;

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

    fn webhook_media(&self, name: &str) -> Option<&Media> {
        let (_, operation) = self.index.webhooks.iter().find(|(known, _)| known == name)?;
        let content = &operation.body.as_ref()?.content;
        choose(content, "application/json").or_else(|| content.first())
    }

    /// Judges the payload of a webhook by the schema of that name: a schema file's, or that of the
    /// description's own `webhooks`. None if there is no such webhook. What the schema does not know is
    /// told only beside a breach: a payload that is valid is not walked member by member.
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
            checked.violations = match judged(&own.judge, &scene, payload) {
                Ok(violations) => violations,
                Err(unknown) => return Some(Checked { violations: vec![*unknown], ..checked }),
            };
            if checked.violations.is_empty() {
                return Some(checked);
            }
            if let Some(shape) = Shape::of(&own.document, "") {
                add_strangers(&shape, payload, &mut checked);
            }
            return Some(checked.sorted());
        }
        let media = self.webhook_media(name)?;
        checked.media = Some(media.range.clone());
        if let Some(schema) = &media.schema
            && self.fits(schema, Direction::Response, payload) != Ok(true)
        {
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
    /// In words, if the schema cannot be compiled, or the value cannot be judged by it within bounds.
    pub fn fits(&self, pointer: &str, direction: Direction, value: &Value) -> Result<bool, String> {
        self.schemas.judge(&self.document, pointer, direction)?.takes(value).map_err(|e| e.to_string())
    }

    /// As [`Contract::fits`], without asking first what it costs: for the benchmarks, which tell what
    /// the question costs.
    #[doc(hidden)]
    pub fn fits_unasked(&self, pointer: &str, direction: Direction, value: &Value) -> Result<bool, String> {
        Ok(self.schemas.judge(&self.document, pointer, direction)?.takes_unasked(value))
    }
}

/// What is wrong with a value.
///
/// # Errors
/// What is said of a value that cannot be judged.
fn judged(judge: &Judge, scene: &Scene<'_>, value: &Value) -> Result<Vec<Violation>, Box<Violation>> {
    let about = |rule, severity, expected: &str, got: String| {
        let found = found(rule, severity, scene.part, scene.entry, expected.to_owned(), got);
        Violation { pointer: scene.prefix.clone(), wild: scene.prefix.clone(), ..found }
    };
    match judge.takes(value) {
        Ok(true) => return Ok(Vec::new()),
        Ok(false) => {}
        Err(too_much) => {
            let expected = "a value that can be judged by this schema";
            let got = too_much.to_string();
            return Err(Box::new(about("contract/not_judged", Severity::Unknown, expected, got)));
        }
    }
    if let Ok(errors) = judge.errors(value) {
        return Ok(scene.explain(errors));
    }
    let short = shortened(value);
    let mut violations = judge.errors(&short).map(|errors| scene.explain(errors)).unwrap_or_default();
    // What is said of a list as a whole may come of its being cut.
    let cut = |pointer: &str| {
        let list = value.pointer(pointer.strip_prefix(&scene.prefix).unwrap_or(pointer));
        list.and_then(Value::as_array).is_some_and(|items| items.len() > FIRST)
    };
    violations.retain(|v| v.rule == "contract/type" || !cut(&v.pointer));
    let got = match violations.len() {
        0 => "one that it refuses; to say why would take too long".to_owned(),
        _ => format!("one that it refuses; beyond the first {FIRST} items of each list it was not said why"),
    };
    violations.push(about("contract/refused", Severity::Breaking, "a value that the schema takes", got));
    Ok(violations)
}

/// A value with no more than the first items of each list.
fn shortened(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().take(FIRST).map(shortened).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), shortened(member))).collect()
        }
        plain => plain.clone(),
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
