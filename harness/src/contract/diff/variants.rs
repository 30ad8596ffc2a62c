//! Choices: `oneOf` and `anyOf`, matched branch by branch, and the discriminator.
//!
//! Knows: which branch of the new document is which of the old. Must not know: what makes a branch
//! differ.
//!
//! `oneOf` and `anyOf` are read alike: which of two branches a value was meant for makes no
//! difference to who reads it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rules::*;
use super::values::list;
use super::walk::{Spot, Walk, component};
use crate::contract::Direction;
use crate::contract::schema::{Doc, Listed, Node, Shape, Types, unfold};

/// The most sites that are compared to find out whether one branch includes another.
const SITES: usize = 400;
/// How often that question may lead to itself.
const DEPTH: u8 = 2;

impl<'d> Walk<'d> {
    /// Compares two shapes of which at least one is a choice.
    pub fn choices(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let (Some(os), Some(ns)) = (unfold(old), unfold(new)) else {
            let message = format!("{} has too many combinations of variants to compare", spot.noun);
            return self.undecidable(spot, old, new, message);
        };
        let types = |shapes: &[Shape<'_>]| shapes.iter().fold(Types::NONE, |all, s| all.or(s.types));
        let (otypes, ntypes) = (types(&os), types(&ns));
        if !otypes.meets(ntypes) && otypes != ntypes {
            let rule = Self::rule(spot, &TYPE_CHANGED, &SENT_TYPE_CHANGED);
            let message = format!("{} is {ntypes} (was {otypes})", spot.noun);
            return self.find(spot, rule, &old.at, &new.at, message);
        }
        let pairs = matched(&os, &ns);
        for (o, n) in &pairs {
            self.plain(spot, &os[*o], &ns[*n]);
        }
        let unpaired = |n: &usize| pairs.iter().all(|(_, p)| p != n);
        for variant in (0..ns.len()).filter(unpaired).map(|n| &ns[n]) {
            let held =
                os.iter().map(|o| self.included(&self.new, variant, &self.old, o)).fold(Held::No, Held::or);
            let widens = !variant.types.within(otypes);
            let rule = match (spot.direction, held) {
                (Direction::Response, Held::Yes) => continue,
                (Direction::Response, Held::Unknown) => &UNDECIDABLE,
                (Direction::Response, Held::No) if widens => &TYPE_WIDENED,
                (Direction::Response, Held::No) => &VARIANT_ADDED,
                (Direction::Request, _) => &SENT_VARIANT_ADDED,
            };
            let message = format!("{} may also be {} (a new variant)", spot.noun, variant_name(variant));
            self.find(spot, rule, &old.at, &variant.at, message);
        }
        let unpaired = |o: &usize| pairs.iter().all(|(p, _)| p != o);
        for variant in (0..os.len()).filter(unpaired).map(|o| &os[o]) {
            let held =
                ns.iter().map(|n| self.included(&self.old, variant, &self.new, n)).fold(Held::No, Held::or);
            let rule = match (spot.direction, held) {
                (Direction::Response, _) => &VARIANT_REMOVED,
                (Direction::Request, Held::Yes) => continue,
                (Direction::Request, Held::Unknown) => &SENT_UNDECIDABLE,
                (Direction::Request, Held::No) => &SENT_VARIANT_REMOVED,
            };
            let message = format!("{} is no longer {} (a variant is gone)", spot.noun, variant_name(variant));
            self.find(spot, rule, &variant.at, &new.at, message);
        }
    }

    pub fn discriminators(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let (o, n) = match (&old.discriminator, &new.discriminator) {
            (Some(o), Some(n)) => (o, n),
            // It may have been no more than a hint, and may have been what all rests on.
            (Some(o), None) => {
                let rule = Self::rule(spot, &UNDECIDABLE, &SENT_UNDECIDABLE);
                let message = format!("the discriminator of {} is gone", spot.noun);
                return self.find(spot, rule, &o.at, &new.at, message);
            }
            _ => return,
        };
        let changed = Self::rule(spot, &DISCRIMINATOR_CHANGED, &SENT_DISCRIMINATOR_CHANGED);
        let (was, is) = (o.text("propertyName"), n.text("propertyName"));
        if was != is {
            let message = format!(
                "{} is told apart by `{}` (was `{}`)",
                spot.noun,
                is.unwrap_or_default(),
                was.unwrap_or_default()
            );
            return self.find(spot, changed, &o.at, &n.at, message);
        }
        let mapping = |d: &Node<'d>| d.get("mapping");
        let (om, nm) = (mapping(o), mapping(n));
        let keys =
            om.iter().chain(nm.iter()).flat_map(Node::members).map(|(k, _)| k).collect::<BTreeSet<_>>();
        for key in keys {
            let target = |mapping: &Option<Node<'d>>| mapping.as_ref().and_then(|m| m.text(key));
            let rule = match (target(&om), target(&nm)) {
                (Some(a), Some(b)) if a == b || self.same_target(a, b) => continue,
                (Some(_), Some(_)) => changed,
                (Some(_), None) => {
                    Self::rule(spot, &DISCRIMINATOR_VALUE_REMOVED, &SENT_DISCRIMINATOR_VALUE_REMOVED)
                }
                (None, _) => Self::rule(spot, &DISCRIMINATOR_VALUE_ADDED, &SENT_DISCRIMINATOR_VALUE_ADDED),
            };
            let what = match rule {
                rule if rule == changed => "means another variant",
                rule if rule.id.ends_with("removed") => "is gone",
                _ => "is new",
            };
            let message = format!("the discriminator value `{key}` of {} {what}", spot.noun);
            self.find(spot, rule, &o.at, &n.at, message);
        }
    }

    /// Whether all that `part` allows is allowed by `whole`.
    fn included(&self, part_doc: &Doc<'d>, part: &Shape<'d>, whole_doc: &Doc<'d>, whole: &Shape<'d>) -> Held {
        let beyond = match (&part.values, &whole.values) {
            (Some(p), Some(w)) => {
                let w = Listed::of(w);
                p.iter().any(|v| !w.has(v))
            }
            (None, Some(_)) => true,
            _ => false,
        };
        let object = part.types.meets(Types::OBJECT);
        if beyond || !part.types.within(whole.types) || object && !whole.required.is_subset(&part.required) {
            return Held::No;
        }
        // Each level can ask again for every pair below it.
        if self.depth >= DEPTH {
            return Held::Unknown;
        }
        let mut walk = Walk::new(*whole_doc, *part_doc, self.effort.clone());
        walk.depth = self.depth + 1;
        let site = walk.operation(String::new());
        let spot = Spot { site, direction: Direction::Response, path: String::new(), noun: String::new() };
        walk.plain(&spot, whole, part);
        let all = walk.run(SITES);
        match walk.found.values().map(|f| f.rule.severity).max() {
            Some(Severity::Breaking | Severity::Risky) => Held::No,
            Some(Severity::Undecidable) => Held::Unknown,
            _ if !all => Held::Unknown,
            _ => Held::Yes,
        }
    }

    fn same_target(&self, old: &str, new: &str) -> bool {
        let place = |name: &str| {
            if name.starts_with('#') { name.to_owned() } else { format!("#/components/schemas/{name}") }
        };
        match (self.old.find(&place(old)), self.new.find(&place(new))) {
            (Some(o), Some(n)) => self.alike(&o, &n),
            _ => false,
        }
    }
}

/// Pairs of indices: which old branch is which new one. The surest signs come first.
fn matched(old: &[Shape<'_>], new: &[Shape<'_>]) -> Vec<(usize, usize)> {
    let signs: [fn(&Shape<'_>, &Shape<'_>) -> bool; 6] = [
        |o, n| o.name.is_some() && o.name == n.name,
        |o, n| o.types == n.types && tag(o).is_some() && tag(o) == tag(n),
        |o, n| o.types == n.types && o.title.is_some() && o.title == n.title,
        |o, n| o.types == n.types && o.types != Types::OBJECT && o.values.is_some() == n.values.is_some(),
        |o, n| o.types == n.types && o.types == Types::OBJECT && kin(o, n),
        |o, n| o.types == n.types && o.types != Types::OBJECT,
    ];
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for sign in signs {
        for (o, was) in old.iter().enumerate() {
            if pairs.iter().any(|(p, _)| *p == o) {
                continue;
            }
            let free = |n: &usize| pairs.iter().all(|(_, p)| p != n);
            if let Some(n) = (0..new.len()).filter(free).find(|n| sign(was, &new[*n])) {
                pairs.push((o, n));
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

/// The value that tells a branch from its sisters: that of a property limited to one.
fn tag<'d>(shape: &Shape<'d>) -> Option<(&'d str, &'d Value)> {
    shape.properties.iter().filter(|(name, _)| shape.required.contains(*name)).find_map(|(name, nodes)| {
        let [node] = nodes.as_slice() else { return None };
        let only = match node.value.get("enum").and_then(Value::as_array).map(Vec::as_slice) {
            Some([only]) => Some(only),
            _ => node.value.get("const"),
        };
        only.map(|value| (*name, value))
    })
}

/// Whether two objects share at least half of their properties.
fn kin(old: &Shape<'_>, new: &Shape<'_>) -> bool {
    let shared = old.properties.keys().filter(|name| new.properties.contains_key(*name)).count();
    shared > 0 && 2 * shared >= old.properties.len().max(new.properties.len())
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    No,
    Unknown,
    Yes,
}

impl Held {
    fn or(self, other: Held) -> Held {
        self.max(other)
    }
}

fn variant_name(shape: &Shape<'_>) -> String {
    let name = shape.name.as_deref().and_then(component).or(shape.title);
    match (name, &shape.values) {
        (Some(name), _) => format!("`{name}`"),
        (None, Some(values)) => list(values),
        (None, None) => format!("{}", shape.types),
    }
}
