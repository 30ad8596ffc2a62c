//! A document and the places in it: nodes, pointers, and where a `$ref` leads.
//!
//! Knows: JSON pointers and references inside one document. Must not know: what a schema means.

use std::rc::Rc;

use serde_json::Value;

use crate::contract::Contract;
use crate::contract::document::{Version, escape, pointer_of};

/// A document.
#[derive(Clone, Copy, Debug)]
pub(in crate::contract) struct Doc<'d> {
    pub root: &'d Value,
    pub version: Version,
}

/// A value with its place in its document.
#[derive(Clone, Debug)]
pub(in crate::contract) struct Node<'d> {
    pub value: &'d Value,
    /// The place, as a JSON pointer after `#`.
    pub at: Rc<str>,
}

/// How many references in a row are followed before they count as circular.
const HOPS: usize = 64;

impl<'d> Doc<'d> {
    pub fn of(contract: &'d Contract) -> Doc<'d> {
        Doc { root: contract.raw(), version: contract.version() }
    }

    pub fn top(&self) -> Node<'d> {
        Node { value: self.root, at: "#".into() }
    }

    /// What stands at a reference into this document.
    pub fn find(&self, reference: &str) -> Option<Node<'d>> {
        let pointer = pointer_of(reference)?;
        let value = self.root.pointer(&pointer)?;
        Some(Node { value, at: format!("#{pointer}").into() })
    }

    /// The node, or what its chain of references ends at; `None` if that leads nowhere. What
    /// stands beside a `$ref` is left out.
    pub fn resolve(&self, node: &Node<'d>) -> Option<Node<'d>> {
        let mut node = node.clone();
        for _ in 0..HOPS {
            match node.reference() {
                None => return Some(node),
                Some(reference) => node = self.find(reference)?,
            }
        }
        None
    }
}

impl<'d> Node<'d> {
    pub fn get(&self, key: &str) -> Option<Node<'d>> {
        let value = match self.value {
            Value::Object(map) => map.get(key)?,
            Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
            _ => return None,
        };
        Some(Node { value, at: format!("{}/{}", self.at, escape(key)).into() })
    }

    /// The members of an object, in the order of the document.
    pub fn members(&self) -> impl Iterator<Item = (&'d str, Node<'d>)> + use<'d> {
        let at = self.at.clone();
        self.value.as_object().into_iter().flatten().map(move |(key, value)| {
            (key.as_str(), Node { value, at: format!("{at}/{}", escape(key)).into() })
        })
    }

    /// The items of a list.
    pub fn items(&self) -> impl Iterator<Item = Node<'d>> + use<'d> {
        let at = self.at.clone();
        self.value
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(move |(n, value)| Node { value, at: format!("{at}/{n}").into() })
    }

    pub fn text(&self, key: &str) -> Option<&'d str> {
        self.value.get(key).and_then(Value::as_str)
    }

    pub fn flag(&self, key: &str) -> bool {
        self.value.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    pub fn reference(&self) -> Option<&'d str> {
        self.text("$ref")
    }

    /// What tells this place from every other one while the documents are borrowed.
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self.value) as usize
    }
}

/// Whether two JSON values are the same; numbers by value, so that `1` is `1.0`.
pub(in crate::contract) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}
