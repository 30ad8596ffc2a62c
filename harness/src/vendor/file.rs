//! Vendor files: reading, patching and compiling them, once for all drills.
//!
//! Knows: where bundled vendors are kept, and how a file becomes something that can be opened.
//! Must not know: the state of any drill.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FsPath;
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::Value;

use crate::contract::Contract;
use crate::scenario::{Misfit, Mistake, misfit, or_nearest};
use crate::seed::Seed;
use crate::trace::{Operation, OperationKind};
use crate::wire::Request;

use super::auth::account_actions;
use super::model::Model;
use super::paging::PagingSpec;
use super::spec::{Does, OperationSpec, Spec};
use super::value::{Path, merge_patch};
use super::{Profile, Vendor, WebhookProfile, described};

/// The vendors that come with firedrill.
const BUNDLED: [(&str, &str); 3] = [
    ("hubspot", include_str!("../../../contracts/hubspot/vendor.yaml")),
    ("stripe", include_str!("../../../contracts/stripe/vendor.yaml")),
    ("github", include_str!("../../../contracts/github/vendor.yaml")),
];

/// The text of a bundled vendor's file.
pub fn bundled(name: &str) -> Option<&'static str> {
    BUNDLED.iter().find(|(n, _)| *n == name).map(|(_, text)| *text)
}

/// Names of the bundled vendors.
pub fn bundled_names() -> impl Iterator<Item = &'static str> {
    BUNDLED.iter().map(|(name, _)| *name)
}

/// A vendor file, read and compiled: shared by all drills that use it.
#[derive(Debug)]
pub struct VendorFile {
    pub(super) spec: Spec,
    pub(super) profile: Profile,
    pub(super) routes: Vec<Route>,
    pub(super) collections: BTreeMap<Arc<str>, Compiled>,
}

/// An operation, ready to be matched.
#[derive(Debug)]
pub(super) struct Route {
    pub operation: Operation,
    pub spec: OperationSpec,
    pub paging: PagingSpec,
    method: String,
    path: Vec<Segment>,
}

#[derive(Debug)]
enum Segment {
    Exactly(String),
    Variable(String),
}

/// What is known of a collection before the drill begins.
#[derive(Debug)]
pub(super) struct Compiled {
    pub name: Arc<str>,
    pub indexed: Vec<Path>,
    /// Collections whose records hold sums over this one's: name, and the place in its `sums`.
    pub summed_by: Vec<(Arc<str>, usize)>,
}

/// Makes a fresh vendor from a file; cheap.
pub fn open(file: &Arc<VendorFile>, epoch: jiff::Timestamp, seed: Seed) -> Box<dyn Vendor> {
    Box::new(Model::new(file.clone(), epoch, seed))
}

impl VendorFile {
    /// Reads the file of the vendor `name`, from `contracts_dir` if it has one there, else the
    /// bundled one, and applies `patch` (RFC 7396; null for none). The description of the API is the
    /// one that lies beside the file that was taken.
    ///
    /// # Errors
    /// What is wrong with the file or the patch, and where.
    pub fn load(name: &str, contracts_dir: Option<&FsPath>, patch: &Value) -> Result<VendorFile, Mistake> {
        let path = contracts_dir.map(|dir| dir.join(name).join("vendor.yaml"));
        if let Some(path) = path.filter(|p| p.exists()) {
            let shown = path.display().to_string();
            let bytes = std::fs::read(&path)
                .map_err(|e| mistake(&shown, "", (1, 1), format!("cannot be read: {e}")))?;
            let text = Mistake::unless_text(&shown, &bytes)?;
            if text.trim().is_empty() {
                let mut empty = mistake(&shown, "", (1, 1), "this file is empty".to_owned());
                empty.help = Some(format!("`firedrill new {shown}` writes one to start from"));
                return Err(empty);
            }
            let contract = path.parent().map_or(Ok(None), described::in_folder)?;
            return Ok(VendorFile::read(&shown, text, patch)?.with_contract(contract));
        }
        match bundled(name) {
            Some(text) => {
                let file = VendorFile::read(&format!("contracts/{name}/vendor.yaml"), text, patch)?;
                Ok(file.with_contract(described::bundled(name)?))
            }
            None => {
                let mut known = contracts_dir.map(described_in).unwrap_or_default();
                known.extend(bundled_names().map(str::to_owned));
                known.sort();
                known.dedup();
                let near = or_nearest(name, known.iter().map(String::as_str));
                let why = format!("there is no vendor `{name}`{near}");
                let file = match contracts_dir {
                    Some(dir) => dir.join(name).join("vendor.yaml").display().to_string(),
                    None => format!("contracts/{name}/vendor.yaml"),
                };
                let help = format!(
                    "vendors: {}; `firedrill new {file}` writes the description of another to start from",
                    known.join(", ")
                );
                Err(Mistake { help: Some(help), ..mistake(&file, "", (1, 1), why) })
            }
        }
    }

    pub(super) fn with_contract(mut self, contract: Option<Arc<Contract>>) -> VendorFile {
        self.profile.contract = contract;
        self
    }

    /// Reads a vendor file from its text, without a description of the API; `file` is what it is called in mistakes.
    ///
    /// # Errors
    /// What is wrong with the file or the patch, and where.
    pub fn read(file: &str, text: &str, patch: &Value) -> Result<VendorFile, Mistake> {
        let located = |e: &serde_saphyr::Error| {
            let place = e.location().map_or((1, 1), |l| (l.line() as usize, l.column() as usize));
            mistake(file, text, place, e.without_snippet().to_string())
        };
        let spec: Spec = serde_saphyr::from_str(text).map_err(|e| located(&e))?;
        let own = |why| mistake(file, text, (1, 1), why);
        if patch.is_null() || patch.as_object().is_some_and(serde_json::Map::is_empty) {
            return VendorFile::compile(spec).map_err(own);
        }
        let mut value: Value = serde_saphyr::from_str(text).map_err(|e| located(&e))?;
        merge_patch(&mut value, patch);
        let patched = Spec::deserialize(&value).map_err(|e| {
            let whole = || Misfit { message: e.to_string(), ..Misfit::default() };
            changed(file, misfit::<Spec>("the vendor with these changes", &value).unwrap_or_else(whole))
        })?;
        VendorFile::compile(patched).map_err(|message| match VendorFile::compile(spec) {
            Ok(_) => changed(file, Misfit { message, ..Misfit::default() }),
            Err(why) => own(why),
        })
    }

    pub(super) fn compile(mut spec: Spec) -> Result<VendorFile, String> {
        spec.webhooks = spec.webhooks.filter(|w| w.enabled);
        let known = |name: &str, place: &str| {
            if spec.collections.contains_key(name) {
                return Ok(());
            }
            let near = or_nearest(name, spec.collections.keys().map(String::as_str));
            Err(format!("{place} speaks of a collection `{name}` that is not there{near}"))
        };
        let names: BTreeMap<&str, Arc<str>> =
            spec.collections.keys().map(|n| (n.as_str(), Arc::from(n.as_str()))).collect();
        let mut indexed: BTreeMap<&str, BTreeSet<Path>> = BTreeMap::new();
        let mut summed_by: BTreeMap<&str, Vec<(Arc<str>, usize)>> = BTreeMap::new();
        for (name, collection) in &spec.collections {
            for (i, sum) in collection.sums.iter().enumerate() {
                known(&sum.of, &format!("`collections.{name}.sums`"))?;
                indexed.entry(&sum.of).or_default().insert(sum.by.clone());
                summed_by.entry(&sum.of).or_default().push((names[name.as_str()].clone(), i));
            }
            for (other, by) in &collection.cascade {
                known(other, &format!("`collections.{name}.cascade`"))?;
                indexed.entry(other).or_default().insert(by.clone());
            }
        }
        let mut routes = Vec::new();
        for (on, operation) in &spec.operations {
            let place = format!("operation `{on}`");
            let of = operation.of.as_deref();
            of.map_or(Ok(()), |of| known(of, &place))?;
            if of.is_none() && operation.does != Does::Token {
                return Err(format!("{place} needs `of`, the collection it is about"));
            }
            let others = operation.params.values().filter_map(|p| p.of.as_deref());
            let others = others.chain(operation.path.values().filter_map(|p| p.of.as_deref()));
            for other in others.chain(operation.adopt.as_ref().map(|a| a.of.as_str())) {
                known(other, &place)?;
            }
            if let Some(of) = of {
                indexed.entry(of).or_default().extend(operation.filters.values().cloned());
                indexed.entry(of).or_default().extend(operation.find_by.clone());
            }
            if let Some(adopt) = &operation.adopt {
                indexed.entry(&adopt.of).or_default().extend(adopt.matching.keys().cloned());
            }
            routes.push(route(on, operation, &spec.paging, of.map(|of| names[of].clone()))?);
        }
        for noun in spec.actions.keys() {
            known(noun, "`actions`")?;
        }
        for event in spec.webhooks.iter().flat_map(|w| &w.events) {
            known(&event.of, &format!("webhook event `{}`", event.kind))?;
        }
        // Literal segments are tried before variables: `/invoices/search` is no invoice's id.
        // By length, and of one length what is named exactly before what is variable.
        let variable =
            |r: &Route| r.path.iter().map(|s| matches!(s, Segment::Variable(_))).collect::<Vec<_>>();
        routes.sort_by_key(|r| (r.path.len(), variable(r)));
        let collections = names
            .iter()
            .map(|(key, name)| {
                let compiled = Compiled {
                    name: name.clone(),
                    indexed: indexed.remove(key).unwrap_or_default().into_iter().collect(),
                    summed_by: summed_by.remove(key).unwrap_or_default(),
                };
                (name.clone(), compiled)
            })
            .collect();
        let profile = Profile {
            name: spec.vendor.clone(),
            origin: spec.origin.clone(),
            idempotency_header: spec.idempotency.header().map(str::to_owned),
            idempotency_kept: spec.idempotency.header().map(|_| spec.idempotency.kept()),
            collections: spec.collections.iter().map(|(n, c)| (n.clone(), c.one.clone())).collect(),
            webhooks: spec.webhooks.as_ref().map(|w| WebhookProfile {
                timeout: w.timeout,
                batch: w.batch.max(1),
                gather: w.gather,
                id_pointer: w.id_pointer.clone(),
                dated: w.sign.dialect.is_dated(),
            }),
            contract: None,
        };
        Ok(VendorFile { profile, routes, collections, spec })
    }

    /// Facts about the API that do not change in a drill.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The collections, with the name of one record.
    pub fn collections(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spec.collections.iter().map(|(name, c)| (name.as_str(), c.one.as_str()))
    }

    /// What workload actions can be about: collections with actions, and accounts (`oauth`, …).
    pub fn nouns(&self) -> Vec<&str> {
        let mut nouns: Vec<&str> = self.spec.actions.keys().map(String::as_str).collect();
        nouns.extend(account_actions(&self.spec.auth).keys().copied());
        nouns.extend(self.spec.webhooks.iter().map(|_| "webhooks"));
        nouns.extend(self.spec.rate_limit.limit.map(|_| "quota"));
        nouns
    }

    /// The actions of a noun; empty if there is no such noun.
    pub fn actions(&self, noun: &str) -> Vec<&str> {
        if let Some(verbs) = self.spec.actions.get(noun) {
            return verbs.keys().map(String::as_str).collect();
        }
        if let Some(verbs) = account_actions(&self.spec.auth).get(noun) {
            return verbs.to_vec();
        }
        match noun {
            "webhooks" if self.spec.webhooks.is_some() => vec!["roll_secret"],
            "quota" if self.spec.rate_limit.limit.is_some() => vec!["spend"],
            _ => vec![],
        }
    }

    /// The operations: method and path template.
    pub fn operations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.spec.operations.keys().filter_map(|on| on.split_once(' '))
    }

    /// The types of webhook events.
    pub fn webhook_events(&self) -> Vec<&str> {
        self.spec.webhooks.iter().flat_map(|w| w.events.iter().map(|e| e.kind.as_str())).collect()
    }

    /// The operation that a request asks for, with the variables of its path.
    pub(super) fn route(&self, request: &Request) -> Option<(&Route, Vec<(&str, String)>)> {
        let path = request.path();
        let route = self.find_route(request)?;
        Some((route, route.variables(path)))
    }

    /// The operation that a request asks for; a HEAD asks for what a GET does (RFC 9110 §9.3.2).
    pub(super) fn find_route(&self, request: &Request) -> Option<&Route> {
        let segments: Vec<&str> = request.path().strip_prefix('/')?.split('/').collect();
        let from = self.routes.partition_point(|route| route.path.len() < segments.len());
        let to = self.routes.partition_point(|route| route.path.len() <= segments.len());
        let by = |method: &str| self.routes[from..to].iter().find(|route| route.matches(method, &segments));
        by(&request.method).or_else(|| by("GET").filter(|_| request.method == "HEAD"))
    }
}

impl Route {
    /// What the trace calls it, asked for by `method`.
    pub(super) fn operation_by(&self, method: &str) -> Operation {
        let mut operation = self.operation.clone();
        if method != self.method
            && let Some((_, path)) = operation.name.split_once(' ')
        {
            operation.name = format!("{method} {path}").into();
        }
        operation
    }

    /// Whether it is this one; `segments` are as many as its own.
    fn matches(&self, method: &str, segments: &[&str]) -> bool {
        let fits = |(segment, got): (&Segment, &&str)| match segment {
            Segment::Exactly(text) => text == got,
            Segment::Variable(_) => !got.is_empty(),
        };
        self.path.len() == segments.len() && method == self.method && self.path.iter().zip(segments).all(fits)
    }

    /// What a path that matches has in the place of each variable.
    fn variables(&self, path: &str) -> Vec<(&str, String)> {
        let mut variables = Vec::new();
        for (segment, got) in self.path.iter().zip(path.split('/').skip(1)) {
            if let Segment::Variable(name) = segment {
                let value = percent_encoding::percent_decode_str(got).decode_utf8_lossy();
                variables.push((name.as_str(), value.into_owned()));
            }
        }
        variables
    }
}

fn route(
    on: &str,
    spec: &OperationSpec,
    paging: &PagingSpec,
    collection: Option<Arc<str>>,
) -> Result<Route, String> {
    let (method, path) = on
        .split_once(' ')
        .filter(|(m, p)| m.bytes().all(|b| b.is_ascii_uppercase()) && p.starts_with('/'))
        .ok_or_else(|| format!("`{on}` is no operation; write a method and a path: `GET /things/{{id}}`"))?;
    let segments = path[1..]
        .split('/')
        .map(|s| match s.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) => Segment::Variable(name.to_owned()),
            None => Segment::Exactly(s.to_owned()),
        })
        .collect();
    let kind = match spec.does {
        Does::Read => OperationKind::Read,
        Does::List | Does::Search | Does::BatchRead => OperationKind::List,
        Does::Create => OperationKind::Create,
        Does::Update => OperationKind::Update,
        Does::Transition => OperationKind::Transition,
        Does::Delete => OperationKind::Delete,
        Does::Token => OperationKind::Token,
    };
    Ok(Route {
        operation: Operation { name: on.into(), kind, collection },
        spec: spec.clone(),
        paging: paging.changed(spec.paging.as_ref()),
        method: method.to_owned(),
        path: segments,
    })
}

/// The vendors that a folder describes.
fn described_in(contracts: &FsPath) -> Vec<String> {
    let entries = std::fs::read_dir(contracts).into_iter().flatten().filter_map(Result::ok);
    let described = entries.filter(|entry| entry.path().join("vendor.yaml").exists());
    described.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// What is wrong with the changes that somebody makes to the vendor of `file`.
fn changed(file: &str, misfit: Misfit) -> Mistake {
    let message = format!("with the changes of `with:`: {}", misfit.message);
    let help = misfit.help.clone();
    Mistake { help, in_changes: Some(Box::new(misfit)), ..mistake(file, "", (1, 1), message) }
}

fn mistake(file: &str, text: &str, (line, column): (usize, usize), message: String) -> Mistake {
    Mistake {
        file: file.to_owned(),
        line,
        column,
        message,
        help: None,
        source_line: text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_owned(),
        in_changes: None,
    }
}
