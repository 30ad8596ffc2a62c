//! Contracts: what a vendor promises to answer and to take, in its own OpenAPI description.
//!
//! Knows: OpenAPI 3.0 and 3.1, JSON Schema, and how a message is judged by them. Must not know:
//! sockets, vendors' models, drills; and but for [`Contract::load`] it reads no file.
//!
//! The raw JSON of the description is the truth: every place in a finding is a JSON Pointer into
//! it. Schemas are compiled when they are first needed.
//!
//! ```
//! use firedrill::contract::Contract;
//! use firedrill::finding::Verdict;
//! use firedrill::wire::Response;
//! use serde_json::json;
//!
//! let text = r##"{"openapi": "3.0.3", "info": {"title": "deals", "version": "1"}, "paths": {
//!   "/deals/{id}": {"get": {"responses": {"200": {"description": "a deal", "content": {
//!     "application/json": {"schema": {"type": "object", "required": ["amount"],
//!       "properties": {"amount": {"type": "string"}}}}}}}}}}}"##;
//! let contract = Contract::parse("openapi.json".as_ref(), text.as_bytes())?;
//!
//! let found = contract.find("GET", "/deals/7?archived=false").unwrap();
//! let said = contract.check_response(found.operation, &Response::json(200, &json!({"amount": 12})));
//! assert_eq!(said.verdict(), Verdict::Fail);
//! assert_eq!(said.violations[0].pointer, "/amount");
//! assert_eq!(said.violations[0].expected, "a string");
//! # Ok::<(), firedrill::contract::ContractError>(())
//! ```

mod check;
mod compile;
mod convert;
mod cost;
pub mod diff;
mod document;
mod error;
mod explain;
mod fields;
mod form;
pub mod generate;
mod index;
mod judge;
mod load;
mod mask;
mod media;
mod moved;
mod operation;
mod quick;
mod realistic;
mod schema;
mod shape;
mod source;
mod unfold;
mod unknown;
mod violation;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

pub use convert::Direction;
pub use document::{Fetch, Version};
pub use error::ContractError;
pub use fields::Field;
pub use operation::{Answer, Media, Operation, Parameter, Place, RequestBody, Status, Style};
pub use source::MAX_BYTES;
pub use violation::{Checked, Part, Severity, Violation};

use compile::Schemas;
use document::Document;
use index::Index;

/// A vendor's contract: its description, and the schemas of its webhooks.
#[derive(Debug)]
pub struct Contract {
    file: PathBuf,
    document: Document,
    index: Index,
    bases: Vec<String>,
    schemas: Schemas,
    plans: quick::Plans,
    payloads: BTreeMap<String, Payload>,
}

/// The JSON Schema of a webhook payload, in a file of its own.
#[derive(Debug)]
struct Payload {
    document: Document,
    judge: judge::Judge,
}

/// The operation that a request is for.
#[derive(Clone, Debug)]
pub struct Found<'c> {
    /// The operation.
    pub operation: &'c Operation,
    /// The decoded path parameters, by name.
    pub arguments: Vec<(String, String)>,
}

/// Why no operation was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No path of the contract matches.
    #[error("the contract has no path for {path}{}", near.as_ref().map(|n| format!("; the nearest is {n}")).unwrap_or_default())]
    Path {
        /// The path that was asked for.
        path: String,
        /// The documented path that is nearest to it, if one is near.
        near: Option<String>,
    },
    /// The path is there, and takes other methods.
    #[error("the contract's {path} takes {}, not {method}", allowed.join(", "))]
    Method {
        /// The documented path.
        path: String,
        /// The method that was asked for.
        method: String,
        /// The methods that it takes.
        allowed: Vec<String>,
    },
}

impl Contract {
    /// Reads a description that stands in one file; `file` is only named in errors. No file and no
    /// host is asked for anything.
    ///
    /// # Errors
    /// [`ContractError`], with file, line and column where there are any.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Contract, ContractError> {
        Contract::parse_with(file, bytes, &mut |_| Err("no other file is read here".to_owned()))
    }

    /// Reads a description, asking `fetch` for the further files that it refers to.
    ///
    /// # Errors
    /// As [`Contract::parse`].
    pub fn parse_with(file: &Path, bytes: &[u8], fetch: &mut Fetch<'_>) -> Result<Contract, ContractError> {
        let document = Document::read(file, bytes, fetch)?;
        let index = index::index(&document);
        let bases = bases(&document.raw);
        Ok(Contract {
            file: file.to_owned(),
            document,
            index,
            bases,
            schemas: Schemas::new(),
            plans: quick::Plans::default(),
            payloads: BTreeMap::new(),
        })
    }

    /// The file it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The version of OpenAPI that it follows.
    pub fn version(&self) -> Version {
        self.document.version
    }

    /// The vendor's own version of it (`info.version`); Stripe's and others' is a date.
    pub fn revision(&self) -> &str {
        self.document.raw.pointer("/info/version").and_then(Value::as_str).unwrap_or_default()
    }

    /// The day whose state of the vendor's API it describes: `info.x-firedrill-dated`, or the date that
    /// its version begins with. None if it has neither.
    pub fn dated(&self) -> Option<jiff::civil::Date> {
        self.document.dated
    }

    /// The raw description, as it was written.
    pub fn raw(&self) -> &Value {
        &self.document.raw
    }

    /// Follows the `$ref`s of the value at a pointer of the raw description: where they end.
    pub fn resolve(&self, pointer: &str) -> Option<(String, &Value)> {
        self.document.follow(pointer.to_owned(), self.document.raw.pointer(pointer)?)
    }

    /// Its operations, in the order of the description.
    pub fn operations(&self) -> &[Operation] {
        &self.index.operations
    }

    /// How many of its path items the crate `openapiv3` typed; the others were read by our own
    /// light index (all of 3.1, and what has slips that `openapiv3` refuses).
    pub fn typed_paths(&self) -> usize {
        self.index.typed
    }

    /// How many compiled validators are kept now; their number is bounded.
    pub fn validators_kept(&self) -> usize {
        self.schemas.kept()
    }

    /// The names of its webhooks: those of the description, then those of schema files.
    pub fn webhooks(&self) -> Vec<&str> {
        let own = self.index.webhooks.iter().map(|(name, _)| name.as_str());
        own.chain(self.payloads.keys().map(String::as_str)).collect()
    }

    /// The operation called `id` (its `operationId`).
    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.index.operations.iter().find(|o| o.id.as_deref() == Some(id))
    }

    /// The operation that answers `method` on `target` (path and query, as on the wire). A HEAD
    /// that is not described is the GET's.
    ///
    /// # Errors
    /// [`NotFound`], with what is near.
    pub fn find(&self, method: &str, target: &str) -> Result<Found<'_>, NotFound> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let mut allowed: Vec<(&str, &str)> = Vec::new();
        let stripped = self.bases.iter().filter_map(|base| path.strip_prefix(base.as_str()));
        for path in std::iter::once(path).chain(stripped.filter(|p| p.starts_with('/'))) {
            let all: Vec<_> = self
                .index
                .operations
                .iter()
                .filter_map(|o| o.matches(path).map(|(exact, args)| (exact, o, args)))
                .collect();
            let Some(best) = all.iter().map(|(exact, ..)| exact).max() else { continue };
            let best: Vec<_> = all.iter().filter(|(exact, ..)| exact == best).collect();
            let with = |method: &str| best.iter().find(|(_, o, _)| o.method == method);
            let head = || with("GET").filter(|_| method == "HEAD");
            // A less exact path may take the method: `/a/{id}` beside `/a/search`.
            let other = || all.iter().filter(|(_, o, _)| o.method == method).max_by(|a, b| a.0.cmp(&b.0));
            if let Some((_, operation, arguments)) =
                with(method).copied().or_else(|| head().copied()).or_else(other)
            {
                return Ok(Found { operation, arguments: arguments.clone() });
            }
            allowed.extend(best.iter().map(|(_, o, _)| (o.path.as_str(), o.method.as_str())));
        }
        match allowed.first() {
            Some((path, _)) => Err(NotFound::Method {
                path: (*path).to_owned(),
                method: method.to_owned(),
                allowed: allowed.iter().map(|(_, method)| (*method).to_owned()).collect(),
            }),
            None => Err(NotFound::Path { path: path.to_owned(), near: self.near(path) }),
        }
    }

    fn near(&self, path: &str) -> Option<String> {
        let paths = self.index.operations.iter().map(|o| o.path.as_str());
        crate::scenario::nearest(path, paths).map(str::to_owned)
    }

    /// The fields of an operation's JSON answer with `status`, nearest to the top first; none if
    /// there is no such answer or it has no schema. A schema within itself is followed once, and
    /// no deeper than eight levels.
    pub fn fields(&self, operation: &Operation, status: u16) -> Vec<Field> {
        let content = operation.answer(status).map(|a| a.content.as_slice()).unwrap_or_default();
        let json = content.iter().find(|m| media::is_json(&media::essence(&m.range)));
        json.and_then(|m| m.schema.as_deref())
            .map(|at| fields::fields(&self.document, at))
            .unwrap_or_default()
    }

    /// The fields of an operation's request body, as [`Contract::fields`].
    pub fn request_fields(&self, operation: &Operation) -> Vec<Field> {
        let media = operation.body.as_ref().and_then(|b| b.content.first());
        media
            .and_then(|m| m.schema.as_deref())
            .map(|at| fields::fields(&self.document, at))
            .unwrap_or_default()
    }

    /// The fields of a webhook's payload, as [`Contract::fields`].
    pub fn webhook_fields(&self, name: &str) -> Vec<Field> {
        if let Some(payload) = self.payloads.get(name) {
            return fields::fields(&payload.document, "");
        }
        let own = self.index.webhooks.iter().find(|(known, _)| known == name);
        own.map(|(_, operation)| self.request_fields(operation)).unwrap_or_default()
    }
}

/// The paths of the description's servers, under which its own paths stand.
fn bases(raw: &Value) -> Vec<String> {
    let servers = raw.get("servers").and_then(Value::as_array).into_iter().flatten();
    let mut bases: Vec<String> = servers
        .filter_map(|server| {
            let url = server.get("url")?.as_str()?;
            let path =
                url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
            let path = path.trim_end_matches('/');
            (path.starts_with('/') && !path.contains('{')).then(|| path.to_owned())
        })
        .collect();
    bases.dedup();
    bases
}

#[cfg(test)]
mod tests;
