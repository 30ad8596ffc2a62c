//! The walk through both documents: each pair of schemas is compared once, however many
//! operations lead to it, and every reference is remembered so that they can be counted.
//!
//! Knows: pairs, directions, what was found where. Must not know: what makes a change a change.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::rules::Rule;
use super::used::Used;
use crate::contract::Direction;
use crate::contract::document::Version;
use crate::contract::schema::{Doc, Effort, Node, Shape};
use indexmap::IndexMap;

/// Schemas that all hold for one value, and where a reader finds them.
#[derive(Clone, Debug)]
pub(super) struct Side<'d> {
    pub nodes: Vec<Node<'d>>,
    pub at: Rc<str>,
}

impl<'d> Side<'d> {
    /// The schemas `nodes`; where there are none, anything goes, and `beside` is the place to look.
    pub fn of(nodes: &[Node<'d>], beside: &Rc<str>) -> Side<'d> {
        let at = nodes.first().map_or_else(|| beside.clone(), |n| n.at.clone());
        Side { nodes: nodes.to_vec(), at }
    }

    pub fn shape(&self, doc: &Doc<'d>, effort: &Effort) -> Shape<'d> {
        match self.nodes.as_slice() {
            [] => Shape::anything(self.at.clone()),
            nodes => Shape::of(doc, nodes, effort),
        }
    }
}

/// Where the walk stands.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub site: usize,
    pub direction: Direction,
    /// From the site's root to here, in the payload.
    pub path: String,
    /// What stands here, for a message: `` `amount` ``.
    pub noun: String,
}

impl Spot {
    /// A step into the payload.
    pub fn into(&self, step: &str, noun: String) -> Spot {
        Spot { path: format!("{}/{step}", self.path), noun, ..self.clone() }
    }
}

/// An operation, or a pair of schemas that is compared once.
pub(super) struct Site<'d> {
    /// The pair; an operation has none.
    pair: Option<(Direction, Side<'d>, Side<'d>)>,
    noun: String,
    pub operation: Option<usize>,
    /// The sites that this one refers to, each with the path of the first reference.
    pub edges: IndexMap<usize, String>,
}

/// One change, and the sites at which it was seen.
pub(super) struct Found {
    pub rule: &'static Rule,
    pub direction: Option<Direction>,
    pub old: Rc<str>,
    pub new: Rc<str>,
    pub message: String,
    /// Each with the path from the site's root.
    pub sites: IndexMap<usize, String>,
}

/// What makes two findings the same: the rule, where it is in both documents, and what it says.
type Place = (&'static str, Rc<str>, Rc<str>, String);

pub(super) struct Walk<'d> {
    pub old: Doc<'d>,
    pub new: Doc<'d>,
    pub operations: Vec<String>,
    pub sites: Vec<Site<'d>>,
    pub found: IndexMap<Place, Found>,
    index: BTreeMap<(Direction, Vec<usize>, Vec<usize>), usize>,
    queue: VecDeque<usize>,
    /// What may still be spent, by this walk and those inside of it.
    pub effort: Effort,
    /// Pairs of places of which it is known whether they are alike.
    pub likeness: RefCell<BTreeMap<(usize, usize), bool>>,
    /// How many walks this one is inside of.
    pub depth: u8,
    /// The operations to compare, if not all.
    pub used: Option<Used>,
}

impl<'d> Walk<'d> {
    pub fn new(old: Doc<'d>, new: Doc<'d>, effort: Effort) -> Walk<'d> {
        Walk {
            old,
            new,
            operations: Vec::new(),
            sites: Vec::new(),
            found: IndexMap::new(),
            index: BTreeMap::new(),
            queue: VecDeque::new(),
            effort,
            likeness: RefCell::default(),
            depth: 0,
            used: None,
        }
    }

    /// Begins an operation.
    pub fn operation(&mut self, name: String) -> usize {
        self.operations.push(name);
        let operation = Some(self.operations.len() - 1);
        self.sites.push(Site { pair: None, noun: String::new(), operation, edges: IndexMap::new() });
        self.sites.len() - 1
    }

    /// Notes a change of a schema.
    pub fn find(&mut self, spot: &Spot, rule: &'static Rule, old: &Rc<str>, new: &Rc<str>, message: String) {
        self.note(spot.site, Some(spot.direction), rule, (old, new), &spot.path, message);
    }

    pub fn note(
        &mut self,
        site: usize,
        direction: Option<Direction>,
        rule: &'static Rule,
        (old, new): (&Rc<str>, &Rc<str>),
        path: &str,
        message: String,
    ) {
        let key = (rule.id, old.clone(), new.clone(), message.clone());
        let found = self.found.entry(key).or_insert_with(|| Found {
            rule,
            direction,
            old: old.clone(),
            new: new.clone(),
            message,
            sites: IndexMap::new(),
        });
        found.sites.entry(site).or_insert_with(|| path.to_owned());
    }

    /// Compares two schemas: here, if they are written here and only here; otherwise once for all
    /// who refer to them.
    pub fn schemas(&mut self, spot: &Spot, old: &Side<'d>, new: &Side<'d>) {
        let (old, old_shared) = settle(&self.old, old);
        let (new, new_shared) = settle(&self.new, new);
        if !old_shared && !new_shared {
            return self.pair(spot, &old, &new);
        }
        let ids = |side: &Side<'_>| side.nodes.iter().map(Node::id).collect::<Vec<_>>();
        let key = (spot.direction, ids(&old), ids(&new));
        let site = match self.index.get(&key) {
            Some(site) => *site,
            None => {
                let site = self.sites.len();
                let name = component(&old.at).filter(|name| component(&new.at) == Some(name));
                let noun = name.map_or_else(|| spot.noun.clone(), |name| format!("`{name}`"));
                let pair = Some((spot.direction, old, new));
                self.sites.push(Site { pair, noun, operation: None, edges: IndexMap::new() });
                self.index.insert(key, site);
                self.queue.push_back(site);
                site
            }
        };
        self.sites[spot.site].edges.entry(site).or_insert_with(|| spot.path.clone());
    }

    /// Compares what is still waiting; false if there was more of it than `most` sites, or than
    /// could be spent.
    pub fn run(&mut self, most: usize) -> bool {
        while let Some(site) = self.queue.pop_front() {
            if self.sites.len() > most || self.effort.spent() {
                return false;
            }
            if let Some((direction, old, new)) = self.sites[site].pair.clone() {
                let noun = self.sites[site].noun.clone();
                self.pair(&Spot { site, direction, path: String::new(), noun }, &old, &new);
            }
        }
        !self.effort.spent()
    }

    /// Whether equal text means the same in both documents.
    pub fn same_dialect(&self) -> bool {
        self.old.version == self.new.version
    }

    fn pair(&mut self, spot: &Spot, old: &Side<'d>, new: &Side<'d>) {
        if let ([o], [n]) = (old.nodes.as_slice(), new.nodes.as_slice())
            && self.same_dialect()
            && o.value == n.value
        {
            return self.links(spot, o, n);
        }
        let (o, n) = (old.shape(&self.old, &self.effort), new.shape(&self.new, &self.effort));
        self.shapes(spot, &o, &n);
    }
}

/// The name in a pointer to a component: `charge` in `#/components/schemas/charge`.
pub(super) fn component(at: &str) -> Option<&str> {
    let rest = at.strip_prefix("#/components/")?;
    let (_, name) = rest.split_once('/')?;
    (!name.contains('/')).then_some(name)
}

/// Follows plain references; says whether more than one place can lead to what is there.
fn settle<'d>(doc: &Doc<'d>, side: &Side<'d>) -> (Side<'d>, bool) {
    const BESIDE: [&str; 5] = ["$ref", "description", "summary", "title", "example"];
    let mut shared = side.nodes.len() > 1;
    let mut nodes = Vec::new();
    for node in &side.nodes {
        let keys = || node.value.as_object().into_iter().flat_map(|m| m.keys());
        shared |= keys().any(|k| ["$ref", "allOf", "anyOf", "oneOf"].contains(&k.as_str()));
        let plain = match doc.version {
            Version::V30 => !node.flag("nullable"),
            Version::V31 => keys().all(|k| BESIDE.contains(&k.as_str())),
        };
        let node = match node.reference() {
            Some(_) if plain => doc.resolve(node).unwrap_or_else(|| node.clone()),
            _ => node.clone(),
        };
        if nodes.iter().all(|n: &Node<'_>| n.id() != node.id()) {
            nodes.push(node);
        }
    }
    let at = match nodes.as_slice() {
        [only] => only.at.clone(),
        _ => side.at.clone(),
    };
    (Side { nodes, at }, shared)
}
