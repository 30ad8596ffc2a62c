//! Reading the index of operations out of a document: typed by `openapiv3` where it can, which
//! is 3.0 without slips, and by our own light reading where it cannot.
//!
//! Knows: how OpenAPI nests paths, operations, parameters and bodies. Must not know: schemas;
//! they are cut out before anything is typed, and only their places are kept.

use openapiv3 as typed;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::document::{Document, Version, escape};
use super::operation::{Answer, Media, Operation, Parameter, Place, RequestBody, Status, Style};

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What could be indexed.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub operations: Vec<Operation>,
    /// Webhooks of the document, by name.
    pub webhooks: Vec<(String, Operation)>,
    /// How many path items `openapiv3` typed; the others were read lightly.
    pub typed: usize,
}

pub(super) fn index(document: &Document) -> Index {
    let mut index = Index::default();
    for (path, pointer, item) in items(document, "paths") {
        if path.starts_with('/') {
            let (operations, typed) = operations(document, path, pointer, item);
            index.operations.extend(operations);
            index.typed += usize::from(typed);
        }
    }
    // GitHub describes its webhooks in 3.0 under the name that 3.1 then dropped the `x-` of.
    for section in ["webhooks", "x-webhooks"] {
        for (name, pointer, item) in items(document, section) {
            let (operations, _) = operations(document, name, pointer, item);
            index.webhooks.extend(operations.into_iter().map(|o| (name.to_owned(), o)));
        }
    }
    index
}

/// The path items of a section, references followed.
fn items<'d>(document: &'d Document, section: &str) -> Vec<(&'d str, String, &'d Value)> {
    let Some(all) = document.raw.get(section).and_then(Value::as_object) else { return Vec::new() };
    all.iter()
        .filter_map(|(name, item)| {
            let (pointer, item) = document.follow(format!("/{section}/{}", escape(name)), item)?;
            Some((name.as_str(), pointer, item))
        })
        .collect()
}

fn operations(document: &Document, path: &str, pointer: String, item: &Value) -> (Vec<Operation>, bool) {
    if document.version == Version::V30
        && let Ok(typed) = typed::PathItem::deserialize(&outline(item))
        && let Some(operations) = typed
            .iter()
            .map(|(method, op)| from_typed(document, path, &pointer, item, &typed, method, op))
            .collect()
    {
        return (operations, true);
    }
    let light =
        METHODS.iter().filter_map(|m| Some(from_raw(document, path, &pointer, item, m, item.get(*m)?)));
    (light.collect(), false)
}

/// A path item with its schemas and examples cut out: what remains is small and quick to type.
fn outline(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let keep = members.iter().filter(|(name, _)| {
                !matches!(
                    name.as_str(),
                    "example" | "examples" | "callbacks" | "links" | "headers" | "encoding"
                ) && !name.starts_with("x-")
            });
            let short = |(name, member): (&String, &Value)| {
                (name.clone(), if name == "schema" { json!({}) } else { outline(member) })
            };
            Value::Object(keep.map(short).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(outline).collect()),
        other => other.clone(),
    }
}

fn from_typed(
    document: &Document,
    path: &str,
    item_pointer: &str,
    item: &Value,
    typed_item: &typed::PathItem,
    method: &str,
    op: &typed::Operation,
) -> Option<Operation> {
    let pointer = format!("{item_pointer}/{method}");
    let raw = item.get(method)?;
    let mut parameters = Parameters::default();
    for (at, list) in [(item_pointer, &typed_item.parameters), (&pointer, &op.parameters)] {
        for (n, parameter) in list.iter().enumerate() {
            let at = format!("{at}/parameters/{n}");
            let raw = document.raw.pointer(&at)?;
            let (at, raw) = document.follow(at, raw)?;
            let parameter = match parameter {
                typed::ReferenceOr::Item(parameter) => typed_parameter(parameter, &at, raw),
                typed::ReferenceOr::Reference { .. } => {
                    typed_parameter(&typed::Parameter::deserialize(&outline(raw)).ok()?, &at, raw)
                }
            };
            parameters.add(parameter, raw);
        }
    }
    let body = match &op.request_body {
        None => None,
        Some(_) => {
            let (at, raw) = document.follow(format!("{pointer}/requestBody"), raw.get("requestBody")?)?;
            let body = typed::RequestBody::deserialize(&outline(raw)).ok()?;
            Some(RequestBody { required: body.required, content: media(&at, raw, body.content.keys()) })
        }
    };
    let mut answers = Vec::new();
    let statuses = op.responses.responses.keys().map(|status| match status {
        typed::StatusCode::Code(code) => (Status::Code(*code), code.to_string()),
        typed::StatusCode::Range(class) => {
            (Status::Class(u8::try_from(*class).unwrap_or(0)), format!("{class}XX"))
        }
    });
    let default = op.responses.default.as_ref().map(|_| (Status::Default, "default".to_owned()));
    for (status, name) in statuses.chain(default) {
        let at = format!("{pointer}/responses/{name}");
        let (at, raw) = document.follow(at.clone(), document.raw.pointer(&at)?)?;
        let response = typed::Response::deserialize(&outline(raw)).ok()?;
        answers.push(Answer { status, content: media(&at, raw, response.content.keys()), pointer: at });
    }
    Some(Operation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        id: op.operation_id.clone(),
        pointer,
        deprecated: op.deprecated,
        parameters: parameters.list,
        body,
        answers: sorted(answers),
        slashed: parameters.slashed,
    })
}

fn typed_parameter(parameter: &typed::Parameter, at: &str, raw: &Value) -> Parameter {
    let data = parameter.parameter_data_ref();
    let (place, style) = match parameter {
        typed::Parameter::Query { style, .. } => (
            Place::Query,
            match style {
                typed::QueryStyle::Form => Style::Form,
                typed::QueryStyle::SpaceDelimited => Style::Space,
                typed::QueryStyle::PipeDelimited => Style::Pipe,
                typed::QueryStyle::DeepObject => Style::Deep,
            },
        ),
        typed::Parameter::Header { .. } => (Place::Header, Style::Simple),
        typed::Parameter::Path { style, .. } => (
            Place::Path,
            match style {
                typed::PathStyle::Simple => Style::Simple,
                typed::PathStyle::Matrix | typed::PathStyle::Label => Style::Other,
            },
        ),
        typed::Parameter::Cookie { .. } => (Place::Cookie, Style::Form),
    };
    Parameter {
        name: data.name.clone(),
        place,
        required: data.required,
        style,
        explode: data.explode.unwrap_or(style == Style::Form),
        schema: raw.get("schema").map(|_| format!("{at}/schema")),
    }
}

fn from_raw(
    document: &Document,
    path: &str,
    item_pointer: &str,
    item: &Value,
    method: &str,
    op: &Value,
) -> Operation {
    let pointer = format!("{item_pointer}/{method}");
    let mut parameters = Parameters::default();
    for (at, holder) in [(item_pointer, item), (&pointer, op)] {
        let list = holder.get("parameters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (n, raw) in list.iter().enumerate() {
            if let Some((at, raw)) = document.follow(format!("{at}/parameters/{n}"), raw)
                && let Some(parameter) = raw_parameter(&at, raw)
            {
                parameters.add(parameter, raw);
            }
        }
    }
    let body = op.get("requestBody").and_then(|raw| {
        let (at, raw) = document.follow(format!("{pointer}/requestBody"), raw)?;
        let required = raw.get("required").and_then(Value::as_bool).unwrap_or(false);
        Some(RequestBody { required, content: raw_media(&at, raw) })
    });
    let responses = op.get("responses").and_then(Value::as_object);
    let answers = responses.into_iter().flatten().filter_map(|(name, raw)| {
        let status = Status::parse(name)?;
        let (at, raw) = document.follow(format!("{pointer}/responses/{}", escape(name)), raw)?;
        Some(Answer { status, content: raw_media(&at, raw), pointer: at })
    });
    Operation {
        method: method.to_ascii_uppercase(),
        path: path.to_owned(),
        id: op.get("operationId").and_then(Value::as_str).map(str::to_owned),
        deprecated: op.get("deprecated").and_then(Value::as_bool).unwrap_or(false),
        parameters: parameters.list,
        body,
        answers: sorted(answers.collect()),
        slashed: parameters.slashed,
        pointer,
    }
}

fn raw_parameter(at: &str, raw: &Value) -> Option<Parameter> {
    let text = |key: &str| raw.get(key).and_then(Value::as_str);
    let flag = |key: &str| raw.get(key).and_then(Value::as_bool);
    let place = match text("in")? {
        "path" => Place::Path,
        "query" => Place::Query,
        "header" => Place::Header,
        "cookie" => Place::Cookie,
        _ => return None,
    };
    let style = match (text("style"), place) {
        (Some("form"), _) | (None, Place::Query | Place::Cookie) => Style::Form,
        (Some("simple"), _) | (None, Place::Path | Place::Header) => Style::Simple,
        (Some("spaceDelimited"), _) => Style::Space,
        (Some("pipeDelimited"), _) => Style::Pipe,
        (Some("deepObject"), _) => Style::Deep,
        (Some(_), _) => Style::Other,
    };
    Some(Parameter {
        name: text("name")?.to_owned(),
        place,
        required: flag("required").unwrap_or(false),
        style,
        explode: flag("explode").unwrap_or(style == Style::Form),
        schema: raw.get("schema").map(|_| format!("{at}/schema")),
    })
}

#[derive(Default)]
struct Parameters {
    list: Vec<Parameter>,
    slashed: Vec<String>,
}

impl Parameters {
    fn add(&mut self, parameter: Parameter, raw: &Value) {
        if raw.get("x-multi-segment").and_then(Value::as_bool) == Some(true) {
            self.slashed.push(parameter.name.clone());
        }
        match self.list.iter_mut().find(|p| p.name == parameter.name && p.place == parameter.place) {
            Some(known) => *known = parameter,
            None => self.list.push(parameter),
        }
    }
}

fn media<'k>(at: &str, raw: &Value, ranges: impl Iterator<Item = &'k String>) -> Vec<Media> {
    let content = raw.get("content");
    ranges
        .map(|range| Media {
            range: range.clone(),
            schema: content
                .and_then(|c| c.get(range)?.get("schema"))
                .map(|_| format!("{at}/content/{}/schema", escape(range))),
        })
        .collect()
}

fn raw_media(at: &str, raw: &Value) -> Vec<Media> {
    let keys = raw.get("content").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    media(at, raw, keys)
}

/// In the order of their codes, however they were read.
fn sorted(mut answers: Vec<Answer>) -> Vec<Answer> {
    answers.sort_by_key(|a| a.status);
    answers
}
