//! Credentials: which suffice, and how they are sent.
//!
//! Knows: security requirements and schemes. Must not know: tokens.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::operations::Both;
use super::rules::*;
use super::walk::Walk;
use crate::contract::schema::Node;

/// Schemes that are needed together, each with its scopes.
type Alternative<'d> = BTreeMap<&'d str, BTreeSet<&'d str>>;

impl<'d> Walk<'d> {
    pub fn security(&mut self, both: &Both<'d>) {
        let (o, n) = (&both.old.node, &both.new.node);
        let old = alternatives(o.get("security").or_else(|| self.old.top().get("security")));
        let new = alternatives(n.get("security").or_else(|| self.new.top().get("security")));
        let suffices = |held: &Alternative<'_>, asked: &Alternative<'_>| {
            asked.iter().all(|(scheme, scopes)| held.get(scheme).is_some_and(|s| scopes.is_subset(s)))
        };
        let lost: Vec<_> = old.iter().filter(|held| !new.iter().any(|asked| suffices(held, asked))).collect();
        let message = || format!("security is {} (was {})", say(&new), say(&old));
        if !lost.is_empty() {
            self.whole(both.site, &SECURITY_TIGHTENED, &o.at, &n.at, message());
        } else if old != new {
            self.whole(both.site, &SECURITY_RELAXED, &o.at, &n.at, message());
        }
    }

    /// Compares the schemes that both documents name.
    pub fn schemes(&mut self, old: &Node<'d>, new: &Node<'d>) {
        let schemes = |top: &Node<'d>| top.get("components").and_then(|c| c.get("securitySchemes"));
        let (Some(os), Some(ns)) = (schemes(old), schemes(new)) else { return };
        for (name, o) in os.members() {
            let (Some(o), Some(n)) = (self.old.resolve(&o), ns.get(name).and_then(|n| self.new.resolve(&n)))
            else {
                continue;
            };
            let mut changes = Vec::new();
            for key in ["type", "in", "name", "scheme"] {
                let (was, is) = (o.text(key), n.text(key));
                // Names of header fields and of HTTP schemes know no case.
                if was.map(str::to_lowercase) != is.map(str::to_lowercase) {
                    let say = |v: Option<&str>| v.unwrap_or("none").to_owned();
                    let message = format!("`{key}` of `{name}` is {} (was {})", say(is), say(was));
                    changes.push((&SCHEME_CHANGED, message));
                }
            }
            let tokens = |node: &Node<'d>| -> BTreeMap<&'d str, &'d str> {
                let flows = node.get("flows");
                let urls = flows.iter().flat_map(Node::members);
                urls.filter_map(|(flow, f)| Some((flow, f.text("tokenUrl")?))).collect()
            };
            let (was, is) = (tokens(&o), tokens(&n));
            for (flow, url) in &was {
                if is.get(flow) != Some(url) {
                    let now = is.get(flow).copied().unwrap_or("none");
                    changes.push((
                        &TOKEN_URL_CHANGED,
                        format!("tokens of `{name}` come from {now} (was {url})"),
                    ));
                }
            }
            if changes.is_empty() {
                continue;
            }
            let site = self.operation("the whole API".to_owned());
            for (rule, message) in changes {
                self.whole(site, rule, &o.at, &n.at, message);
            }
        }
    }
}

/// No list, and an empty one, ask for nothing.
fn alternatives(security: Option<Node<'_>>) -> BTreeSet<Alternative<'_>> {
    let listed: BTreeSet<Alternative<'_>> = security
        .iter()
        .flat_map(Node::items)
        .map(|alternative| {
            alternative
                .members()
                .map(|(scheme, scopes)| {
                    let listed = scopes.value.as_array().into_iter().flatten();
                    (scheme, listed.filter_map(Value::as_str).collect())
                })
                .collect()
        })
        .collect();
    if listed.is_empty() { BTreeSet::from([Alternative::new()]) } else { listed }
}

fn say(alternatives: &BTreeSet<Alternative<'_>>) -> String {
    let one = |alternative: &Alternative<'_>| {
        let parts: Vec<String> = alternative
            .iter()
            .map(|(scheme, scopes)| match scopes.is_empty() {
                true => (*scheme).to_owned(),
                false => format!("{scheme}({})", scopes.iter().copied().collect::<Vec<_>>().join(", ")),
            })
            .collect();
        if parts.is_empty() { "none".to_owned() } else { parts.join(" with ") }
    };
    alternatives.iter().map(one).collect::<Vec<_>>().join(" or ")
}
