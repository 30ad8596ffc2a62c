//! Names and values (a form, a query) as a JSON value that a schema can judge.
//!
//! Knows: bracketed nesting (`items[0][price]=x`, `expand[]=y`) as Stripe and `deepObject` spell
//! it, and how a schema tells a number from a text. Must not know: whether the value is valid.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::shape::Shape;

/// How deep brackets may nest.
const DEPTH: usize = 32;

/// Names with values, nested.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Leaf(String),
    /// The same name several times: `a=1&a=2`.
    Several(Vec<String>),
    Members(IndexMap<String, Tree>),
}

/// Why a form cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tangled(pub String);

/// Reads decoded pairs into a tree.
pub(super) fn tree(
    pairs: impl IntoIterator<Item = (String, String)>,
) -> Result<IndexMap<String, Tree>, Tangled> {
    let mut root = IndexMap::new();
    for (name, value) in pairs {
        let path = path(&name);
        if path.len() > DEPTH {
            return Err(Tangled(format!("a name nests more than {DEPTH} deep")));
        }
        put(&mut root, &name, &path, value)?;
    }
    Ok(root)
}

/// `a[b][]` → `a`, `b`, and nothing. A name whose brackets do not pair is taken as it is.
fn path(name: &str) -> Vec<String> {
    let Some((first, rest)) = name.split_once('[').filter(|(first, _)| !first.is_empty()) else {
        return vec![name.to_owned()];
    };
    let Some(rest) = rest.strip_suffix(']') else { return vec![name.to_owned()] };
    let mut path = vec![first.to_owned()];
    path.extend(rest.split("][").map(str::to_owned));
    path
}

fn put(
    members: &mut IndexMap<String, Tree>,
    name: &str,
    path: &[String],
    value: String,
) -> Result<(), Tangled> {
    let tangled = || Tangled(format!("`{name}` is both a value and the parent of others"));
    let Some((first, rest)) = path.split_first() else { return Ok(()) };
    // `[]` is the next item.
    let key = if first.is_empty() { members.len().to_string() } else { first.clone() };
    if rest.is_empty() {
        match members.get_mut(&key) {
            None => {
                members.insert(key, Tree::Leaf(value));
            }
            Some(Tree::Leaf(before)) => {
                let before = std::mem::take(before);
                members.insert(key, Tree::Several(vec![before, value]));
            }
            Some(Tree::Several(values)) => values.push(value),
            Some(Tree::Members(_)) => return Err(tangled()),
        }
        return Ok(());
    }
    match members.entry(key).or_insert_with(|| Tree::Members(IndexMap::new())) {
        Tree::Members(inner) => put(inner, name, rest, value),
        _ => Err(tangled()),
    }
}

/// The value that a tree means to a schema that expects certain types.
pub(super) fn typed(tree: &Tree, shape: Option<&Shape<'_>>) -> Value {
    let types = shape.map(Shape::types).unwrap_or_default();
    let expects = |name: &str| types.contains(&name);
    match tree {
        Tree::Leaf(text) if expects("array") && !expects("string") && !text.is_empty() => {
            Value::Array(vec![item(text, shape)])
        }
        Tree::Leaf(text) => scalar(text, shape),
        Tree::Several(values) if expects("array") || types.is_empty() => {
            Value::Array(values.iter().map(|text| item(text, shape)).collect())
        }
        // Who sends a name twice where one value is due means the last, as most servers do.
        Tree::Several(values) => scalar(values.last().map_or("", String::as_str), shape),
        Tree::Members(members) => {
            let numbered = members.keys().all(|key| key.parse::<u32>().is_ok());
            if numbered && (expects("array") || !expects("object")) {
                let mut items: Vec<(u32, &Tree)> =
                    members.iter().filter_map(|(key, tree)| Some((key.parse().ok()?, tree))).collect();
                items.sort_by_key(|(n, _)| *n);
                let inner = shape.and_then(Shape::items);
                Value::Array(items.into_iter().map(|(_, tree)| typed(tree, inner.as_ref())).collect())
            } else {
                let member = |(name, tree): (&String, &Tree)| {
                    let inner = shape.and_then(|s| s.property(name).or_else(|| s.others()));
                    (name.clone(), typed(tree, inner.as_ref()))
                };
                Value::Object(members.iter().map(member).collect::<Map<_, _>>())
            }
        }
    }
}

fn item(text: &str, shape: Option<&Shape<'_>>) -> Value {
    scalar(text, shape.and_then(Shape::items).as_ref())
}

/// How a single text is read, prepared: as [`typed`] reads a leaf of the same shape.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    types: Vec<String>,
    listed: Vec<String>,
}

/// How a single text of this shape is read; none if it may be the first item of a list.
pub(super) fn leaf_of(shape: &Shape<'_>) -> Option<Leaf> {
    let types: Vec<String> = shape.types().into_iter().map(str::to_owned).collect();
    let listed = shape.listed().unwrap_or_default();
    let listed = listed.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
    (!types.iter().any(|t| t == "array")).then_some(Leaf { types, listed })
}

impl Leaf {
    /// The text as a value.
    pub fn read(&self, text: &str) -> Value {
        if self.listed.iter().any(|known| known == text) {
            return Value::String(text.to_owned());
        }
        read(text, self.types.iter().map(String::as_str))
    }
}

/// A text as the type that its schema expects; a text that fits none stays one, for the schema
/// to refuse.
pub(super) fn scalar(text: &str, shape: Option<&Shape<'_>>) -> Value {
    let as_text = || Value::String(text.to_owned());
    let Some(shape) = shape else { return as_text() };
    if shape.listed().is_some_and(|values| values.iter().any(|v| v.as_str() == Some(text))) {
        return as_text();
    }
    read(text, shape.types().into_iter())
}

fn read<'t>(text: &str, types: impl Iterator<Item = &'t str>) -> Value {
    for name in types {
        let value = match name {
            "integer" => plain_integer(text),
            "number" => plain_integer(text).or_else(|| {
                let plain =
                    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
                serde_json::Number::from_f64(text.parse().ok().filter(|_| plain)?).map(Value::Number)
            }),
            "boolean" => match text {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            _ => None,
        };
        if let Some(value) = value {
            return value;
        }
    }
    Value::String(text.to_owned())
}

fn plain_integer(text: &str) -> Option<Value> {
    text.parse::<i64>().ok().map(Value::from).or_else(|| text.parse::<u64>().ok().map(Value::from))
}
