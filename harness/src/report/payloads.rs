//! What went out in a drill, as a page of text that two runs can be compared by.
//!
//! Knows: which operation or event a payload belongs to, and how payloads of one shape are folded.
//! Must not know: verdicts; and nothing in its text varies by machine, order or time.
//!
//! Meant for snapshots: a change of a mapping shows as a change of just the fields it touches. What
//! the subject sends to its vendors is there, and what the vendors tell it by webhook, but no
//! answers. Ids, keys, tokens and times stand as names ([`names`]), all else as it was.

mod fold;
mod names;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::trace::{Trace, WebhookEvent, What};
use crate::wire::Request;

use fold::{Payload, Shapes};
use names::Names;

/// Header fields that say how a payload is to be read, or who sends it. Others are the client's.
const HEADERS: [&str; 3] = ["authorization", "content-type", "stripe-version"];

/// The payloads of a drill: each operation of a vendor and each kind of webhook, in the order of
/// their names, with one block for each shape of its payloads.
///
/// A block lists its fields with the values they had: the value, if they all had the same; up to
/// four, with how often each; otherwise three, how many there were, and a digest of them all, so
/// that none can change unseen. Equal payloads (those of a retried call) count once.
pub fn payloads(trace: &Trace) -> String {
    let mut names = Names::of(trace);
    let mut groups: BTreeMap<String, Shapes> = BTreeMap::new();
    let mut events: BTreeMap<&str, &WebhookEvent> = BTreeMap::new();
    for event in &trace.events {
        match &event.what {
            What::Request { vendor, request, operation, .. } => {
                let operation = match operation {
                    Some(operation) => operation.name.to_string(),
                    None => format!("{} {}", request.method, names.text(request.path())),
                };
                let payload = of_request(&operation, request, &mut names);
                groups.entry(format!("{vendor} {operation}")).or_default().add(payload);
            }
            What::Emission { event, .. } => {
                events.insert(&event.id, event);
            }
            What::Delivery { vendor, events: sent, request, must_be_refused, .. } => {
                let forged = if *must_be_refused { ", forged" } else { "" };
                for (kind, payload) in of_delivery(request, sent, &events, &names) {
                    groups.entry(format!("{vendor} webhook {kind}{forged}")).or_default().add(payload);
                }
            }
            _ => {}
        }
    }
    groups.iter().map(|(name, shapes)| shapes.text(name)).collect::<Vec<_>>().join("\n")
}

fn of_request(operation: &str, request: &Request, names: &mut Names) -> Payload {
    let mut payload = Payload::default();
    if operation.contains('{') {
        payload.add("path".to_owned(), names.text(request.path()));
    }
    for (name, value) in &request.headers.0 {
        if HEADERS.contains(&name.as_str()) {
            payload.add(format!("{name}:"), names.text(value));
        } else if name.contains("idempotency") {
            payload.add(format!("{name}:"), names.key(operation, value));
        }
    }
    for (name, value) in request.query() {
        payload.add(format!("?{name}"), names.of_secret(&name, &value));
    }
    let form = request.headers.get("content-type").is_some_and(|t| t.contains("form-urlencoded"));
    match serde_json::from_slice::<Value>(&request.body) {
        _ if request.body.is_empty() => {}
        _ if form => {
            for (name, value) in form_urlencoded::parse(&request.body) {
                payload.add(name.to_string(), names.of_secret(&name, &value));
            }
        }
        Ok(value) => flatten("", &value, names, &mut payload),
        Err(_) => payload.add("(body)".to_owned(), names.text(&String::from_utf8_lossy(&request.body))),
    }
    payload
}

/// A delivery's payloads, one for each event in it, with the kinds of the events.
fn of_delivery<'e>(
    request: &Request,
    sent: &[std::sync::Arc<str>],
    events: &BTreeMap<&str, &'e WebhookEvent>,
    names: &Names,
) -> Vec<(&'e str, Payload)> {
    let kind = |n: usize| sent.get(n).and_then(|id| events.get(&**id)).map_or("unknown", |e| &*e.kind);
    let bodies = match serde_json::from_slice::<Value>(&request.body) {
        Ok(Value::Array(each)) if each.len() == sent.len() => each,
        Ok(value) => vec![value],
        Err(_) => vec![Value::String(String::from_utf8_lossy(&request.body).into_owned())],
    };
    let payloads = bodies.iter().enumerate().map(|(n, body)| {
        let mut payload = Payload::default();
        flatten("", body, names, &mut payload);
        (kind(n), payload)
    });
    payloads.collect()
}

/// Members as `outer.inner`, elements as `list[]`; what is empty stands as it is.
fn flatten(path: &str, value: &Value, names: &Names, into: &mut Payload) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, names, into);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().for_each(|item| flatten(&format!("{path}[]"), item, names, into));
        }
        scalar => {
            let name = path.rsplit('.').next().unwrap_or(path);
            into.add(
                if path.is_empty() { "(body)".to_owned() } else { path.to_owned() },
                names.json(name, scalar),
            );
        }
    }
}

#[cfg(test)]
mod tests;
