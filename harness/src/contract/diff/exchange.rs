//! What goes to and fro in an operation: parameters, bodies, statuses, headers.
//!
//! Knows: where schemas hang in an operation. Must not know: what they allow.

use std::rc::Rc;

use super::operations::{Both, Operation};
use super::rules::*;
use super::walk::{Side, Spot, Walk};
use crate::contract::Direction;
use crate::contract::schema::{Doc, Node};

/// Header fields that OpenAPI describes elsewhere; as parameters they mean nothing.
const IGNORED: [&str; 3] = ["accept", "content-type", "authorization"];

struct Parameter<'d> {
    name: &'d str,
    place: &'d str,
    node: Node<'d>,
}

impl Parameter<'_> {
    fn is(&self, other: &Parameter<'_>) -> bool {
        self.place == other.place && self.called(other)
    }

    fn called(&self, other: &Parameter<'_>) -> bool {
        self.name == other.name || self.place == "header" && self.name.eq_ignore_ascii_case(other.name)
    }

    fn noun(&self) -> String {
        format!("{} parameter `{}`", self.place, self.name)
    }

    fn required(&self) -> bool {
        self.place == "path" || self.node.flag("required")
    }

    /// How lists and objects are written (OpenAPI 3.1.1, §4.8.12.2).
    fn style(&self) -> (String, bool) {
        let usual = if ["query", "cookie"].contains(&self.place) { "form" } else { "simple" };
        let style = match self.node.get("content").iter().flat_map(Node::members).next() {
            Some((media, _)) => media,
            None => self.node.text("style").unwrap_or(usual),
        };
        let explode = self.node.value.get("explode").and_then(|e| e.as_bool()).unwrap_or(style == "form");
        (style.to_owned(), explode)
    }
}

fn parameters<'d>(doc: &Doc<'d>, operation: &Operation<'d>) -> Vec<Parameter<'d>> {
    let mut all: Vec<Parameter<'d>> = Vec::new();
    for list in [&operation.node, &operation.path] {
        for node in list.get("parameters").iter().flat_map(Node::items) {
            let Some(node) = doc.resolve(&node) else { continue };
            let (Some(name), Some(place)) = (node.text("name"), node.text("in")) else { continue };
            let parameter = Parameter { name, place, node };
            let ignored = place == "header" && IGNORED.contains(&name.to_lowercase().as_str());
            if !ignored && all.iter().all(|p| !p.is(&parameter)) {
                all.push(parameter);
            }
        }
    }
    all
}

impl<'d> Walk<'d> {
    pub fn parameters(&mut self, both: &Both<'d>) {
        let (old, new) = (parameters(&self.old, &both.old), parameters(&self.new, &both.new));
        // Path parameters are told by their place in the path, not by their name.
        let nth = |p: &Parameter<'_>, path: &Operation<'_>| path.path.at.find(&format!("{{{}}}", p.name));
        let order = |list: &[Parameter<'_>], path: &Operation<'_>| {
            let mut places: Vec<_> =
                list.iter().filter(|p| p.place == "path").map(|p| nth(p, path)).collect();
            places.sort_unstable();
            places
        };
        let (old_order, new_order) = (order(&old, &both.old), order(&new, &both.new));
        let rank = |p: &Parameter<'_>, path, order: &[_]| order.iter().position(|o| *o == nth(p, path));
        let twins = |o: &Parameter<'d>, n: &Parameter<'d>| {
            o.is(n)
                || o.place == "path"
                    && n.place == "path"
                    && rank(o, &both.old, &old_order) == rank(n, &both.new, &new_order)
        };
        for o in &old {
            if let Some(n) = new.iter().find(|n| twins(o, n)) {
                self.parameter(both, o, n);
                continue;
            }
            let moved = new.iter().find(|n| o.called(n) && old.iter().all(|other| !twins(other, n)));
            let (rule, at, message) = match moved {
                Some(n) => {
                    (&PARAMETER_MOVED, &n.node.at, format!("{} is a {} parameter now", o.noun(), n.place))
                }
                None => (&PARAMETER_REMOVED, &both.new.node.at, format!("{} is gone", o.noun())),
            };
            self.note(both.site, Some(both.sent), rule, (&o.node.at, at), &o.noun(), message);
        }
        for n in &new {
            if old.iter().any(|o| twins(o, n) || n.called(o) && new.iter().all(|other| !twins(o, other))) {
                continue;
            }
            let (rule, is) = if n.required() {
                (&PARAMETER_ADDED_REQUIRED, "required")
            } else {
                (&PARAMETER_ADDED, "optional")
            };
            let places = (&both.old.node.at, &n.node.at);
            let message = format!("{} is new ({is})", n.noun());
            self.note(both.site, Some(both.sent), rule, places, &n.noun(), message);
        }
    }

    fn parameter(&mut self, both: &Both<'d>, o: &Parameter<'d>, n: &Parameter<'d>) {
        let noun = o.noun();
        let places = (&o.node.at, &n.node.at);
        let mut found: Vec<(&'static Rule, String)> = Vec::new();
        match (o.required(), n.required()) {
            (false, true) => found.push((&PARAMETER_REQUIRED, format!("{noun} is required (was optional)"))),
            (true, false) => found.push((&PARAMETER_OPTIONAL, format!("{noun} is optional (was required)"))),
            _ => {}
        }
        match (o.node.flag("deprecated"), n.node.flag("deprecated")) {
            (false, true) => found.push((&PARAMETER_DEPRECATED, format!("{noun} is deprecated"))),
            (true, false) => found.push((&PARAMETER_REACTIVATED, format!("{noun} is no longer deprecated"))),
            _ => {}
        }
        let ((was, was_exploded), (is, is_exploded)) = (o.style(), n.style());
        if was != is || was_exploded != is_exploded {
            let say = |style: &str, explode| format!("{style}{}", if explode { ", exploded" } else { "" });
            let message =
                format!("{noun} is written {} (was {})", say(&is, is_exploded), say(&was, was_exploded));
            found.push((&PARAMETER_STYLE, message));
        }
        for (rule, message) in found {
            self.note(both.site, Some(both.sent), rule, places, &noun, message);
        }
        self.valued(both.site, both.sent, &o.node, &n.node, &noun, &noun);
    }

    /// Compares what hangs under `schema` or `content` of a parameter or header.
    fn valued(
        &mut self,
        site: usize,
        direction: Direction,
        o: &Node<'d>,
        n: &Node<'d>,
        path: &str,
        noun: &str,
    ) {
        let spot = Spot { site, direction, path: format!("{path} "), noun: noun.to_owned() };
        let schema = |node: &Node<'d>| {
            let content = node.get("content").iter().flat_map(Node::members).next().map(|(_, m)| m);
            node.get("schema").or_else(|| content?.get("schema"))
        };
        self.schemas(&spot, &side(schema(o), o), &side(schema(n), n));
    }

    pub fn body(&mut self, both: &Both<'d>) {
        let body = |doc: &Doc<'d>, operation: &Operation<'d>| {
            operation.node.get("requestBody").and_then(|b| doc.resolve(&b))
        };
        let sent = Some(both.sent);
        let webhook = both.sent == Direction::Response;
        match (body(&self.old, &both.old), body(&self.new, &both.new)) {
            (None, None) => {}
            (Some(o), None) => {
                let rule = if webhook { &RESPONSE_BODY_REMOVED } else { &BODY_REMOVED };
                let places = (&o.at, &both.new.node.at);
                self.note(both.site, sent, rule, places, "body", "the body is gone".into());
            }
            (None, Some(n)) => {
                let (rule, is) = match n.flag("required") {
                    true if !webhook => (&BODY_ADDED_REQUIRED, "required"),
                    _ => (&BODY_ADDED, "optional"),
                };
                let places = (&both.old.node.at, &n.at);
                self.note(both.site, sent, rule, places, "body", format!("a body is new ({is})"));
            }
            (Some(o), Some(n)) => {
                match (o.flag("required"), n.flag("required")) {
                    (false, true) if !webhook => {
                        let message = "the body is required (was optional)".into();
                        self.note(both.site, sent, &BODY_REQUIRED, (&o.at, &n.at), "body", message);
                    }
                    (true, false) if !webhook => {
                        let message = "the body is optional (was required)".into();
                        self.note(both.site, sent, &BODY_OPTIONAL, (&o.at, &n.at), "body", message);
                    }
                    _ => {}
                }
                self.media(both.site, both.sent, &o, &n, "body");
            }
        }
    }

    pub fn responses(&mut self, both: &Both<'d>) {
        let (old, new) = (both.old.node.get("responses"), both.new.node.get("responses"));
        let statuses = |doc: &Doc<'d>, responses: &Option<Node<'d>>| -> Vec<(&'d str, Node<'d>)> {
            let all =
                responses.iter().flat_map(Node::members).filter(|(status, _)| !status.starts_with("x-"));
            all.filter_map(|(status, node)| Some((status, doc.resolve(&node)?))).collect()
        };
        let (os, ns) = (statuses(&self.old, &old), statuses(&self.new, &new));
        let direction = both.answered();
        let beside = |node: &Option<Node<'d>>, operation: &Operation<'d>| {
            node.as_ref().map_or_else(|| operation.node.at.clone(), |n| n.at.clone())
        };
        for (status, o) in &os {
            if let Some(n) = described(&ns, status) {
                self.response(both.site, direction, status, o, n);
                continue;
            }
            let success = success(status);
            let rule = if success { &SUCCESS_REMOVED } else { &ERROR_REMOVED };
            let message = format!("status {status} is no longer described");
            let places = (&o.at, &beside(&new, &both.new));
            self.note(both.site, Some(direction), rule, places, status, message);
        }
        for (status, n) in ns.iter().filter(|(status, _)| os.iter().all(|(s, _)| s != status)) {
            // What the old document said of all statuses, it said of this one.
            if let Some(o) = described(&os, status) {
                self.response(both.site, direction, status, o, n);
                if !success(status) {
                    continue;
                }
            }
            let rule = if success(status) { &SUCCESS_ADDED } else { &ERROR_ADDED };
            let message = format!("status {status} is new");
            let places = (&beside(&old, &both.old), &n.at);
            self.note(both.site, Some(direction), rule, places, status, message);
        }
    }

    fn response(&mut self, site: usize, direction: Direction, status: &str, o: &Node<'d>, n: &Node<'d>) {
        self.headers(site, direction, status, o, n);
        self.media(site, direction, o, n, status);
    }

    fn headers(&mut self, site: usize, direction: Direction, status: &str, o: &Node<'d>, n: &Node<'d>) {
        let headers = |doc: &Doc<'d>, node: &Node<'d>| -> Vec<(String, Node<'d>)> {
            let named = node.get("headers");
            let all = named.iter().flat_map(Node::members).map(|(name, h)| (name.to_lowercase(), h));
            // `Content-Type` is described by the media types.
            let all = all.filter(|(name, _)| name != "content-type");
            all.filter_map(|(name, h)| Some((name, doc.resolve(&h)?))).collect()
        };
        let (os, ns) = (headers(&self.old, o), headers(&self.new, n));
        for (name, was) in &os {
            let path = format!("{status} header {name}");
            let Some((_, is)) = ns.iter().find(|(n, _)| n == name) else {
                let rule = if was.flag("required") { &HEADER_REMOVED } else { &OPTIONAL_HEADER_REMOVED };
                let message = format!("header `{name}` is gone");
                self.note(site, Some(direction), rule, (&was.at, &n.at), &path, message);
                continue;
            };
            let rule = match (was.flag("required"), is.flag("required")) {
                (true, false) => Some((&HEADER_OPTIONAL, "may be missing")),
                (false, true) => Some((&HEADER_REQUIRED, "is always sent")),
                _ => None,
            };
            if let Some((rule, what)) = rule {
                let message = format!("header `{name}` {what}");
                self.note(site, Some(direction), rule, (&was.at, &is.at), &path, message);
            }
            self.valued(site, direction, was, is, &path, &format!("header `{name}`"));
        }
        for (name, is) in ns.iter().filter(|(name, _)| os.iter().all(|(n, _)| n != name)) {
            let path = format!("{status} header {name}");
            let message = format!("header `{name}` is new");
            self.note(site, Some(direction), &HEADER_ADDED, (&o.at, &is.at), &path, message);
        }
    }

    /// Compares the media types of two bodies, and what each holds.
    fn media(&mut self, site: usize, direction: Direction, o: &Node<'d>, n: &Node<'d>, place: &str) {
        let types = |node: &Node<'d>| -> Vec<(String, Node<'d>)> {
            let content = node.get("content");
            content.iter().flat_map(Node::members).map(|(name, m)| (essence(name), m)).collect()
        };
        let (os, ns) = (types(o), types(n));
        if !os.is_empty() && ns.is_empty() && direction == Direction::Response {
            let message = "the answer has no body any more".into();
            return self.note(site, Some(direction), &RESPONSE_BODY_REMOVED, (&o.at, &n.at), place, message);
        }
        let held = |list: &[(String, Node<'d>)], name: &str| -> Option<Node<'d>> {
            let exact = list.iter().find(|(m, _)| m == name);
            exact.or_else(|| list.iter().find(|(m, _)| covers(m, name))).map(|(_, node)| node.clone())
        };
        for (name, was) in &os {
            let path = format!("{place} {name} ");
            match held(&ns, name) {
                Some(is) => {
                    let noun = if direction == Direction::Response { "the answer" } else { "the body" };
                    let spot = Spot { site, direction, path, noun: noun.to_owned() };
                    self.schemas(&spot, &side(was.get("schema"), was), &side(is.get("schema"), &is));
                }
                None => {
                    let rule = match direction {
                        Direction::Response => &RESPONSE_MEDIA_REMOVED,
                        Direction::Request => &REQUEST_MEDIA_REMOVED,
                    };
                    let message = format!("{name} is gone");
                    self.note(site, Some(direction), rule, (&was.at, &n.at), &path, message);
                }
            }
        }
        for (name, is) in ns.iter().filter(|(name, _)| held(&os, name).is_none()) {
            let rule = match direction {
                Direction::Response => &RESPONSE_MEDIA_ADDED,
                Direction::Request => &REQUEST_MEDIA_ADDED,
            };
            let path = format!("{place} {name}");
            self.note(site, Some(direction), rule, (&o.at, &is.at), &path, format!("{name} is new"));
        }
    }
}

fn side<'d>(schema: Option<Node<'d>>, beside: &Node<'d>) -> Side<'d> {
    let at: Rc<str> = schema.as_ref().map_or_else(|| beside.at.clone(), |s| s.at.clone());
    Side { nodes: schema.into_iter().collect(), at }
}

/// What a list of responses says of a status: by itself, by its class, or as all others.
fn described<'a, 'd>(responses: &'a [(&'d str, Node<'d>)], status: &str) -> Option<&'a Node<'d>> {
    let find = |name: &str| responses.iter().find(|(s, _)| s.eq_ignore_ascii_case(name)).map(|(_, n)| n);
    let class = status.get(..1).map(|c| format!("{c}XX"));
    // A class is not described by what is said of all others alone.
    find(status).or_else(|| find(&class?)).or_else(|| if success(status) { None } else { find("default") })
}

fn success(status: &str) -> bool {
    status.starts_with('2')
}

/// A media type without its parameters.
fn essence(name: &str) -> String {
    name.split(';').next().unwrap_or(name).trim().to_lowercase()
}

/// Whether a media range includes a media type.
fn covers(range: &str, name: &str) -> bool {
    range == "*/*" || range.strip_suffix("/*").is_some_and(|kind| name.split('/').next() == Some(kind))
}
