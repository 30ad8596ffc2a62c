//! What a change is recorded over: a message as one document.
//!
//! Knows: the parts of a message, and how the difference of two is written (JSON Patch, RFC 6902).
//! Must not know: what changes a message, or why.
//!
//! The document is `{ "status": 200, "headers": { … }, "encoding": "utf8", "body": … }`: the names of
//! header fields in lower case; how the bytes spell the text of the body; the value of a JSON body,
//! the fields of a form, the text of any other. A webhook has no `status`. What follows from the body
//! alone, its length and its ETag, is not said again. Parts that do not differ are left out here.

use std::iter::once;

use serde_json::{Map, Value};

use crate::trace::Drifted;
use crate::wire::Response;

/// A message of a body alone.
pub(super) fn of_body(body: Value) -> Value {
    part("body", body)
}

/// A message of one header field alone, if it is there.
pub(super) fn of_header(name: &str, value: Option<&str>) -> Value {
    let field = value.map(|value| (name.to_owned(), Value::from(value)));
    part("headers", field.into_iter().collect::<Map<_, _>>().into())
}

/// A message of its encoding alone.
pub(super) fn of_encoding(name: &str) -> Value {
    part("encoding", name.into())
}

/// A message of all that these hold.
pub(super) fn joined(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => one.into_iter().chain(other).collect(),
        (one, _) => one,
    }
}

/// The answer of which nobody can tell what it would have been.
pub(super) fn unknown() -> Value {
    joined(part("status", Value::Null), of_body(Value::Null))
}

/// An answer's status and body.
pub(super) fn of_answer(response: &Response) -> Value {
    joined(part("status", response.status.into()), of_body(body_of(response)))
}

/// The body of an answer.
pub(super) fn body_of(response: &Response) -> Value {
    let text = || Value::from(String::from_utf8_lossy(&response.body).into_owned());
    match response.body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&response.body).unwrap_or_else(|_| text()),
    }
}

/// The record of a change, in words and as the way from one message to another.
pub(super) fn record(change: impl Into<String>, before: &Value, after: &Value) -> Drifted {
    let patch = json_patch::diff(before, after);
    Drifted { change: change.into(), patch: serde_json::to_value(patch).unwrap_or(Value::Null) }
}

fn part(name: &str, value: Value) -> Value {
    once((name.to_owned(), value)).collect()
}
