//! The fields of an answer: what it may hold, one by one.
//!
//! Knows: how schemas nest. Must not know: who asks: drift, generated data, a diff.

use std::collections::VecDeque;

use serde_json::Value;

use super::convert::below;
use super::document::Document;
use super::shape::Shape;

/// How deep fields are followed; vendors' objects nest each other without end.
const DEPTH: usize = 8;
/// How many fields are listed at most, those nearest the top first.
const MOST: usize = 10_000;

/// One field of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Where it stands, `*` for any index or key: `/data/*/amount`. The body itself is empty.
    pub pointer: String,
    /// The JSON types it may have, without null; empty if any.
    pub types: Vec<String>,
    /// Whether its parent must have it, whichever branch the parent takes. Items and the values
    /// of maps are never required.
    pub required: bool,
    /// Whether it may be null.
    pub nullable: bool,
    /// The values it must be one of, if they are listed.
    pub values: Option<Vec<Value>>,
    /// Its format, if it has one: `date-time`, `unix-time`.
    pub format: Option<String>,
    /// Where its first schema stands in the raw description, references followed.
    pub schema: String,
}

/// The fields of the schema at `pointer`, the nearest to the top first. A schema within itself is
/// followed once.
pub(super) fn fields(document: &Document, pointer: &str) -> Vec<Field> {
    let mut out = Vec::new();
    let Some(shape) = Shape::of(document, pointer) else { return out };
    let mut waiting = VecDeque::from([(shape, String::new(), false, Vec::new())]);
    while let Some((shape, pointer, required, above)) = waiting.pop_front() {
        if out.len() >= MOST {
            break;
        }
        out.push(Field {
            pointer: pointer.clone(),
            types: shape.types().into_iter().map(str::to_owned).collect(),
            required,
            nullable: shape.nullable(),
            values: shape.listed().map(|values| values.into_iter().cloned().collect()),
            format: shape.format().map(str::to_owned),
            schema: shape
                .applied
                .iter()
                .map(|a| &a.pointer)
                .find(|p| !p.is_empty())
                .cloned()
                .unwrap_or_default(),
        });
        // What is inside itself was listed when it was met first.
        let here: Vec<usize> = shape.applied.iter().map(|a| std::ptr::from_ref(a.schema) as usize).collect();
        let again = shape
            .applied
            .iter()
            .zip(&here)
            .any(|(a, address)| a.schema.contains_key("properties") && above.contains(address));
        if again || above_depth(&pointer) >= DEPTH {
            continue;
        }
        let mut path = above;
        path.extend(here);
        for name in shape.names() {
            if let Some(inner) = shape.property(name) {
                if out.len() + waiting.len() >= MOST {
                    break;
                }
                waiting.push_back((inner, below(&pointer, name), shape.requires(name), path.clone()));
            }
        }
        for inner in [shape.others(), shape.items()].into_iter().flatten() {
            waiting.push_back((inner, format!("{pointer}/*"), false, path.clone()));
        }
    }
    out
}

fn above_depth(pointer: &str) -> usize {
    pointer.matches('/').count()
}
