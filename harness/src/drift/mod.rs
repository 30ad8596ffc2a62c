//! Drift: a vendor's payloads, changed as vendors change them.
//!
//! Knows: how each mutation changes a message. Must not know: sockets, clocks, chance, or any one
//! vendor. Equal messages under equal mutations change equally.

mod answer;
mod body;
mod message;
mod place;
mod systematic;
mod value;

pub use answer::answer;
pub use body::{Body, body, letter, spelled};
pub use place::missing;
pub use systematic::{applicable, fields, of_body, of_requests};

use serde_json::Value;

use crate::fault::Mutation;

/// Changes `doc` in place; true if anything changed. What acts on bytes or header fields does
/// nothing here.
pub fn mutate(mutation: &Mutation, turn: u64, doc: &mut Value) -> bool {
    let before = doc.clone();
    let changed = match mutation {
        Mutation::Systematic(under) => match systematic::pick(under, turn, doc) {
            Some(chosen) => mutate(&chosen, turn, doc),
            None => false,
        },
        Mutation::Wrap(name) => {
            *doc = Value::Object([(name.clone(), doc.take())].into_iter().collect());
            true
        }
        Mutation::CapPage(_) | Mutation::Require(_) | Mutation::ContentType(_) | Mutation::Encoding(_) => {
            false
        }
        _ => value::at_each_place(mutation, doc),
    };
    changed && *doc != before
}

/// What a systematic mutation comes to in this payload; any other is itself.
fn resolved(mutation: &Mutation, turn: u64, doc: &Value) -> Option<Mutation> {
    match mutation {
        Mutation::Systematic(under) => systematic::pick(under, turn, doc),
        other => Some(other.clone()),
    }
}
