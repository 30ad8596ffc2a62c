//! Operations: which of the new document is which of the old, and what is said of each as a whole.
//!
//! Knows: paths, methods, deprecation, sunset, servers, webhooks. Must not know: schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::civil::Date;

use super::rules::*;
use super::walk::Walk;
use crate::contract::Direction;
use crate::contract::schema::Node;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// One operation, with what its path says for all.
#[derive(Clone)]
pub(super) struct Operation<'d> {
    pub path: Node<'d>,
    pub node: Node<'d>,
}

/// Both sides of an operation that is compared.
pub(super) struct Both<'d> {
    pub site: usize,
    pub old: Operation<'d>,
    pub new: Operation<'d>,
    /// Who sends what the operation calls its request.
    pub sent: Direction,
}

impl Both<'_> {
    /// The direction of what the operation calls its response.
    pub fn answered(&self) -> Direction {
        match self.sent {
            Direction::Request => Direction::Response,
            Direction::Response => Direction::Request,
        }
    }
}

impl<'d> Walk<'d> {
    /// Compares both documents.
    pub fn documents(&mut self) {
        let (old, new) = (self.old.top(), self.new.top());
        self.servers(&old, &new);
        self.schemes(&old, &new);
        self.paths(old.get("paths"), new.get("paths"), "", Direction::Request);
        self.paths(old.get("webhooks"), new.get("webhooks"), "webhook ", Direction::Response);
    }

    /// Compares two maps of path items; `prefix` is what their names begin with.
    fn paths(&mut self, old: Option<Node<'d>>, new: Option<Node<'d>>, prefix: &str, sent: Direction) {
        let (old_at, new_at) = (at(&old, "#"), at(&new, "#"));
        // Two paths can differ in nothing but the names of their parameters.
        let mut held: BTreeMap<String, Vec<(&'d str, Node<'d>)>> = BTreeMap::new();
        for (path, item) in new.iter().flat_map(Node::members).filter(|(p, _)| !p.starts_with("x-")) {
            if let Some(item) = self.new.resolve(&item) {
                held.entry(bare(path)).or_default().push((path, item));
            }
        }
        for (path, item) in old.iter().flat_map(Node::members).filter(|(p, _)| !p.starts_with("x-")) {
            let Some(item) = self.old.resolve(&item) else { continue };
            let other = held.get_mut(&bare(path)).and_then(|others| {
                let another = |path: &str| old.as_ref().is_some_and(|old| old.get(path).is_some());
                let own = others.iter().position(|(other, _)| *other == path);
                own.or_else(|| others.iter().position(|(other, _)| !another(other)))
                    .map(|at| others.remove(at))
            });
            for (method, node) in item.members().filter(|(m, _)| METHODS.contains(m)) {
                let name = name(prefix, method, path);
                if !self.counts(prefix, &name) {
                    continue;
                }
                let twin = other.as_ref().and_then(|(_, item)| item.get(method));
                let site = self.operation(name.clone());
                match (twin, &other) {
                    (Some(twin), Some((new_path, new_item))) => {
                        if path != *new_path {
                            let message = format!("{path} is written {new_path}");
                            self.whole(site, &PATH_PARAMETER_RENAMED, &item.at, &new_item.at, message);
                        }
                        let old = Operation { path: item.clone(), node };
                        let new = Operation { path: new_item.clone(), node: twin };
                        self.both(&Both { site, old, new, sent });
                    }
                    _ => {
                        let rule = if prefix.is_empty() { &OPERATION_REMOVED } else { &WEBHOOK_REMOVED };
                        let beside = other.as_ref().map_or(&new_at, |(_, item)| &item.at);
                        let known = if node.flag("deprecated") { "; it was deprecated" } else { "" };
                        self.whole(site, rule, &node.at, beside, format!("{name} is gone{known}"));
                    }
                }
            }
            for (method, node) in other.iter().flat_map(|(_, item)| item.members()) {
                if METHODS.contains(&method) && item.get(method).is_none() {
                    self.added(prefix, method, path, &item.at, &node);
                }
            }
        }
        for (path, item) in held.into_values().flatten() {
            for (method, node) in item.members().filter(|(m, _)| METHODS.contains(m)) {
                self.added(prefix, method, path, &old_at, &node);
            }
        }
    }

    /// Whether an operation is one that is to be compared; webhooks and callbacks always are.
    fn counts(&self, prefix: &str, name: &str) -> bool {
        !prefix.is_empty() || self.used.as_ref().is_none_or(|used| used.has(name))
    }

    fn added(&mut self, prefix: &str, method: &str, path: &str, beside: &Rc<str>, node: &Node<'d>) {
        let name = name(prefix, method, path);
        if !self.counts(prefix, &name) {
            return;
        }
        let site = self.operation(name.clone());
        let rule = if prefix.is_empty() { &OPERATION_ADDED } else { &WEBHOOK_ADDED };
        self.whole(site, rule, beside, &node.at, format!("{name} is new"));
    }

    /// Notes a change of an operation as a whole.
    pub fn whole(&mut self, site: usize, rule: &'static Rule, old: &Rc<str>, new: &Rc<str>, message: String) {
        self.note(site, None, rule, (old, new), "", message);
    }

    fn both(&mut self, both: &Both<'d>) {
        let (o, n) = (&both.old.node, &both.new.node);
        match (o.flag("deprecated"), n.flag("deprecated")) {
            (false, true) => {
                self.whole(
                    both.site,
                    &OPERATION_DEPRECATED,
                    &o.at,
                    &n.at,
                    "the operation is deprecated".into(),
                );
            }
            (true, false) => {
                let message = "the operation is no longer deprecated".into();
                self.whole(both.site, &OPERATION_REACTIVATED, &o.at, &n.at, message);
            }
            _ => {}
        }
        self.sunset(both);
        let (was, is) = (o.text("operationId"), n.text("operationId"));
        if was != is {
            let say = |id: Option<&str>| id.map_or_else(|| "none".into(), |id| format!("`{id}`"));
            let message = format!("operationId is {} (was {})", say(is), say(was));
            self.whole(both.site, &OPERATION_ID, &o.at, &n.at, message);
        }
        if both.sent == Direction::Request {
            self.security(both);
        }
        self.parameters(both);
        self.body(both);
        self.responses(both);
        self.callbacks(both);
    }

    fn sunset(&mut self, both: &Both<'d>) {
        let (o, n) = (&both.old.node, &both.new.node);
        let (was, is) = (o.text("x-sunset"), n.text("x-sunset"));
        if was == is {
            return;
        }
        let day = |text: Option<&str>| text.map(|t| t.get(..10).unwrap_or(t).parse::<Date>());
        let rule = match (day(was), day(is)) {
            (_, None) => &SUNSET_LATER,
            (None, Some(Ok(_))) => &SUNSET_EARLIER,
            (Some(Ok(was)), Some(Ok(is))) if is < was => &SUNSET_EARLIER,
            (Some(Ok(_)), Some(Ok(_))) => &SUNSET_LATER,
            _ => &SUNSET_UNREADABLE,
        };
        let say = |text: Option<&str>| text.unwrap_or("none").to_owned();
        let message = format!("the operation's sunset is {} (was {})", say(is), say(was));
        self.whole(both.site, rule, &o.at, &n.at, message);
    }

    /// What the vendor calls at an address that a request gave it.
    fn callbacks(&mut self, both: &Both<'d>) {
        let (old, new) = (both.old.node.get("callbacks"), both.new.node.get("callbacks"));
        let names: BTreeSet<&str> =
            old.iter().chain(new.iter()).flat_map(Node::members).map(|(name, _)| name).collect();
        for name in names {
            let of = |callbacks: &Option<Node<'d>>| callbacks.as_ref().and_then(|c| c.get(name));
            let old = of(&old).and_then(|c| self.old.resolve(&c));
            let new = of(&new).and_then(|c| self.new.resolve(&c));
            let operation = self.operations[self.sites[both.site].operation.unwrap_or_default()].clone();
            let back = match both.sent {
                Direction::Request => Direction::Response,
                Direction::Response => Direction::Request,
            };
            self.paths(old, new, &format!("{operation} callback "), back);
        }
    }

    fn servers(&mut self, old: &Node<'d>, new: &Node<'d>) {
        let urls = |top: &Node<'d>| -> Vec<(&'d str, Rc<str>)> {
            let servers = top.get("servers");
            let items = servers.iter().flat_map(Node::items);
            items.filter_map(|s| Some((s.text("url")?.trim_end_matches('/'), s.at.clone()))).collect()
        };
        let (os, ns) = (urls(old), urls(new));
        let lacks = |list: &[(&str, Rc<str>)], url: &str| list.iter().all(|(u, _)| *u != url);
        let site = self.sites.len();
        let mut changes = Vec::new();
        for (url, at) in os.iter().filter(|(url, _)| lacks(&ns, url)) {
            changes.push((
                &SERVER_REMOVED,
                at.clone(),
                Rc::from("#/servers"),
                format!("{url} is no longer a server"),
            ));
        }
        for (url, at) in ns.iter().filter(|(url, _)| lacks(&os, url)) {
            changes.push((
                &SERVER_ADDED,
                Rc::from("#/servers"),
                at.clone(),
                format!("{url} is a new server"),
            ));
        }
        if !changes.is_empty() {
            self.operation("the whole API".to_owned());
        }
        for (rule, old, new, message) in changes {
            self.whole(site, rule, &old, &new, message);
        }
    }
}

fn at(node: &Option<Node<'_>>, otherwise: &str) -> Rc<str> {
    node.as_ref().map_or_else(|| otherwise.into(), |n| n.at.clone())
}

fn name(prefix: &str, method: &str, path: &str) -> String {
    format!("{prefix}{} {path}", method.to_uppercase())
}

/// A path without the names of its parameters.
fn bare(path: &str) -> String {
    let mut parts = path.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("{}");
        text.push_str(part.split_once('}').map_or(part, |(_, rest)| rest));
    }
    text
}
