//! Learning from an undisturbed run what a subject reads: answers and webhooks, field by field.
//!
//! Knows: traces and payloads. Must not know: what a subject does with a field.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Cell;
use crate::drift::{applicable, fields, of_body, of_requests};
use crate::fault::{Field, Mutation, Target, path_matches};
use crate::trace::{OperationKind, Trace, What};

/// Bodies of one operation that are kept as examples.
const EXAMPLES: usize = 6;

/// One kind of payload that the subject reads, with every mutation of its fields that applies.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The calls or webhooks that bring it.
    pub on: Target,
    /// Each field with its mutations; the body and the request as such come first, without a field.
    pub rows: Vec<(Row, Vec<Mutation>)>,
}

/// What a row of the matrix is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// What the vendor wants of the request.
    Request,
    /// The body as a whole.
    Body,
    /// A field.
    Field(Field),
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Row::Request => f.write_str("(request)"),
            Row::Body => f.write_str("(body)"),
            Row::Field(field) => write!(f, "{field}"),
        }
    }
}

impl Lesson {
    /// Its cells, row by row.
    pub fn cells(&self) -> Vec<Cell> {
        let mutations = self.rows.iter().flat_map(|(_, mutations)| mutations);
        mutations.map(|m| Cell { on: self.on.clone(), mutation: m.clone() }).collect()
    }
}

/// What was seen of one operation or type of event.
#[derive(Default)]
struct Seen {
    bodies: Vec<Value>,
    has_body: bool,
    has_pages: bool,
}

impl Seen {
    /// Keeps a body that shows something new, as long as there is room.
    fn example(&mut self, body: Value) {
        if self.bodies.contains(&body) {
            return;
        }
        let known: Vec<Vec<Field>> = self.bodies.iter().map(fields).collect();
        let news = fields(&body).iter().any(|f| !known.iter().any(|k| k.contains(f)));
        if news || self.bodies.len() < EXAMPLES {
            self.bodies.push(body);
        }
    }
}

/// What the subject reads in `trace`, in the order in which it first read it.
pub(super) fn lessons(trace: &Trace, only: &[Target]) -> Vec<Lesson> {
    let mut order: Vec<Target> = Vec::new();
    let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
    let mut asked = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    let mut note = |on: Target, tell: &mut dyn FnMut(&mut Seen)| {
        if !only.is_empty() && !only.iter().any(|wanted| covers(wanted, &on)) {
            return;
        }
        let name = on.to_string();
        if !seen.contains_key(&name) {
            order.push(on);
        }
        tell(seen.entry(name).or_default());
    };
    for event in &trace.events {
        match &event.what {
            What::Request { call, vendor, request, operation: Some(operation), .. } => {
                if let Some((method, path)) = operation.name.split_once(' ') {
                    let on = Target::Calls {
                        vendor: vendor.to_string(),
                        method: Some(method.to_owned()),
                        path: Some(path.to_owned()),
                    };
                    asked.insert(*call, (on, !request.body.is_empty(), operation.kind));
                }
            }
            What::Answer { call, response: Some(response), .. } if response.is_success() => {
                let Some((on, has_body, kind)) = asked.get(call) else { continue };
                let body = serde_json::from_slice::<Value>(&response.body).ok();
                note(on.clone(), &mut |seen| {
                    seen.has_body |= *has_body;
                    seen.has_pages |= *kind == OperationKind::List && body.as_ref().is_some_and(is_page);
                    body.clone().into_iter().for_each(|b| seen.example(b));
                });
            }
            What::Emission { event, .. } => drop(kinds.insert(event.id.clone(), event.kind.clone())),
            What::Delivery { vendor, events, request, must_be_refused: false, .. } => {
                let Ok(body) = serde_json::from_slice::<Value>(&request.body) else { continue };
                let payloads = match body {
                    Value::Array(list) if list.len() == events.len() => list,
                    other => vec![other],
                };
                for (id, payload) in events.iter().zip(payloads) {
                    let Some(kind) = kinds.get(id) else { continue };
                    let on = Target::Webhook { vendor: vendor.to_string(), event: Some(kind.to_string()) };
                    note(on, &mut |seen| seen.example(payload.clone()));
                }
            }
            _ => {}
        }
    }
    order.into_iter().filter_map(|on| seen.remove(&on.to_string()).map(|s| lesson(on, &s))).collect()
}

fn lesson(on: Target, seen: &Seen) -> Lesson {
    let is_call = matches!(on, Target::Calls { .. });
    let mut rows = Vec::new();
    if is_call {
        rows.push((Row::Request, of_requests(seen.has_body, seen.has_pages)));
    }
    let is_list = |body: &Value| body.is_array();
    let whole = of_body().into_iter().filter(|m| match m {
        Mutation::ToSingle(_) => is_call && seen.bodies.iter().any(is_list),
        Mutation::ToList(_) => is_call && !seen.bodies.iter().all(is_list),
        // A body of ASCII alone is the same in ISO 8859-1.
        Mutation::Encoding(crate::fault::Encoding::Latin1) => {
            seen.bodies.iter().any(|b| !b.to_string().is_ascii())
        }
        _ => true,
    });
    if !seen.bodies.is_empty() {
        rows.push((Row::Body, whole.collect()));
    }
    let mut all: Vec<Field> = Vec::new();
    for field in seen.bodies.iter().flat_map(fields) {
        if !all.contains(&field) {
            all.push(field);
        }
    }
    rows.extend(all.into_iter().map(|field| {
        let mutations = applicable(&field, &seen.bodies);
        (Row::Field(field), mutations)
    }));
    rows.retain(|(_, mutations)| !mutations.is_empty());
    Lesson { on, rows }
}

/// Whether a body holds several records, so that a smaller page would hold fewer.
fn is_page(body: &Value) -> bool {
    let several = |value: &Value| value.as_array().is_some_and(|list| list.len() > 1);
    several(body) || body.as_object().is_some_and(|map| map.values().any(several))
}

/// Whether `wanted`, as a person writes it, means `on`.
fn covers(wanted: &Target, on: &Target) -> bool {
    match (wanted, on) {
        (
            Target::Calls { vendor, method, path },
            Target::Calls { vendor: v, method: Some(m), path: Some(p) },
        ) => {
            vendor == v
                && method.as_ref().is_none_or(|method| method == m)
                && path.as_ref().is_none_or(|path| path_matches(path, p))
        }
        (Target::Webhook { vendor, event }, Target::Webhook { vendor: v, event: e }) => {
            vendor == v && (event.is_none() || event == e)
        }
        _ => false,
    }
}
