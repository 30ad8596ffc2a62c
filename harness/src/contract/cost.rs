//! What judging a value by a schema can cost, told before it is done: the validator neither stops nor
//! forgets, and a schema that comes back to itself by two branches doubles with each level of the value.
//!
//! Knows: which schemas are visited for a value, each as often as it is. Must not know: whether the
//! value is valid, and so it counts branches that a validator may never come to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::document::pointer_of;

/// To how many levels of a value a schema's growth is worked out; deeper values are walked.
const LEVELS: usize = 24;
/// How many visits may be under way at once, each inside of the other: the stack holds no more.
pub(super) const NESTED: u64 = 500;

/// How large a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    /// How many values it is made of, itself too.
    pub values: u64,
    /// How many levels lie below it.
    pub levels: usize,
}

impl Size {
    pub fn of(value: &Value) -> Size {
        let inside: &mut dyn Iterator<Item = &Value> = match value {
            Value::Array(items) => &mut items.iter(),
            Value::Object(members) => &mut members.values(),
            _ => return Size { values: 1, levels: 0 },
        };
        inside.map(Size::of).fold(Size { values: 1, levels: 0 }, |all, one| Size {
            values: all.values + one.values,
            levels: all.levels.max(one.levels + 1),
        })
    }
}

/// What one schema costs at most, by the levels of the value.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    /// On the way to one innermost value: how many visits there are, and how many inside each other.
    by_level: Vec<(u64, u64)>,
    /// Whether more levels cost no more than the last.
    ends: bool,
    /// The schemas, by address, whose `$ref` leads back to one that it is part of. There the
    /// validator does remember whether it took a value.
    back: BTreeSet<usize>,
}

impl Growth {
    /// The growth of the schema `entry` of `root`. What costs more than `most` is not worked out.
    pub fn of(root: &Value, entry: &Value, most: u64) -> Growth {
        let graph = Graph::of(root, entry);
        let order = graph.order();
        let mut last: Vec<(u64, u64)> = vec![(0, 0); graph.nodes.len()];
        let mut growth = Growth { by_level: Vec::new(), ends: false, back: graph.back.clone() };
        for _ in 0..LEVELS {
            let mut row = vec![(0, 0); last.len()];
            for n in &order {
                row[*n] = graph.nodes[*n].cost(&row, &last);
            }
            if row == last {
                growth.ends = true;
                break;
            }
            let whole = row.first().copied().unwrap_or_default();
            growth.by_level.push(whole);
            if whole.0 > most || whole.1 > NESTED {
                break;
            }
            last = row;
        }
        growth
    }

    fn known(&self, levels: usize) -> Option<(u64, u64)> {
        let known = self.by_level.get(levels).or(self.by_level.last().filter(|_| self.ends)).copied();
        known.filter(|(_, nested)| *nested <= NESTED)
    }

    /// Whether it costs no more than `most` to find out whether the schema whose growth this is takes
    /// `value`. `schema` gives the whole and the schema in it, and is asked only where there is doubt.
    pub fn takes_within<'v>(
        &self,
        schema: impl FnOnce() -> (&'v Value, &'v Value),
        value: &'v Value,
        size: Size,
        most: u64,
    ) -> bool {
        let at_most = self.known(size.levels).map(|(visits, _)| visits.saturating_mul(size.values));
        is_within(at_most, Some(&self.back), schema, value, most)
    }

    /// Whether it costs no more than `most` to find all that is wrong with `value`.
    pub fn explained_within<'v>(
        &self,
        schema: impl FnOnce() -> (&'v Value, &'v Value),
        value: &'v Value,
        size: Size,
        most: u64,
    ) -> bool {
        // Each value is in as many others as lie above it, and copied with each of them.
        let each = |nested: u64| 2 + nested / 16 + size.levels as u64 / 8;
        let at_most = self.known(size.levels);
        let at_most =
            at_most.map(|(visits, nested)| visits.saturating_mul(size.values).saturating_mul(each(nested)));
        is_within(at_most, None, schema, value, most)
    }
}

/// Whether it costs no more than `most` by what is known of it, or else by going through the value.
fn is_within<'v>(
    at_most: Option<u64>,
    back: Option<&BTreeSet<usize>>,
    schema: impl FnOnce() -> (&'v Value, &'v Value),
    value: &'v Value,
    most: u64,
) -> bool {
    at_most.is_some_and(|cost| cost <= most) || {
        let (root, entry) = schema();
        Walk::new(root, back, most).visit(entry, value, 0, false).is_some()
    }
}

/// The schemas that one schema leads to, by number; the first is itself.
struct Graph {
    nodes: Vec<Node>,
    back: BTreeSet<usize>,
}

#[derive(Default)]
struct Node {
    /// For the same value.
    same: Vec<usize>,
    /// For a member of its own name.
    named: Vec<usize>,
    /// For any member, and for any item.
    members: Vec<usize>,
    items: Vec<usize>,
}

impl Node {
    fn cost(&self, row: &[(u64, u64)], below: &[(u64, u64)]) -> (u64, u64) {
        let sum = |of: &[usize], costs: &[(u64, u64)]| {
            of.iter()
                .map(|n| costs[*n])
                .fold((0u64, 0u64), |all, one| (all.0.saturating_add(one.0), all.1.max(one.1)))
        };
        let same = sum(&self.same, row);
        let named = self.named.iter().map(|n| below[*n]);
        let named = named.fold((0, 0), |most, one| (most.0.max(one.0), most.1.max(one.1)));
        let (members, items) = (sum(&self.members, below), sum(&self.items, below));
        let visits = named.0.saturating_add(members.0).max(items.0);
        let nested = same.1.max(named.1).max(members.1).max(items.1);
        (visits.saturating_add(same.0).saturating_add(1), nested.saturating_add(1))
    }
}

impl Graph {
    /// Goes through the schemas in the order in which they are compiled.
    fn of<'v>(root: &'v Value, entry: &'v Value) -> Graph {
        let mut graph = Graph { nodes: vec![Node::default()], back: BTreeSet::new() };
        let mut references = References { root, known: BTreeMap::new() };
        let mut numbers: BTreeMap<*const Value, usize> = BTreeMap::from([(std::ptr::from_ref(entry), 0)]);
        let mut on_the_way = vec![true];
        let mut path = vec![(0, entry, parts(entry, &mut references).into_iter())];
        while let Some((number, schema, rest)) = path.last_mut() {
            let (number, schema) = (*number, *schema);
            let Some((place, part)) = rest.next() else {
                on_the_way[number] = false;
                path.pop();
                continue;
            };
            let fresh = graph.nodes.len();
            let inner = *numbers.entry(std::ptr::from_ref(part)).or_insert(fresh);
            if inner == fresh {
                graph.nodes.push(Node::default());
                on_the_way.push(true);
                path.push((inner, part, parts(part, &mut references).into_iter()));
            } else if matches!(place, Place::Target) && on_the_way[inner] {
                graph.back.insert(std::ptr::from_ref(schema) as usize);
            }
            let node = &mut graph.nodes[number];
            match place {
                Place::Same | Place::Branch | Place::Target => node.same.push(inner),
                Place::Named(_) => node.named.push(inner),
                Place::Members | Place::Pattern => node.members.push(inner),
                Place::Items | Place::Item(_) => node.items.push(inner),
            }
        }
        graph
    }

    /// Each after all that it has for the same value.
    fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut met = vec![false; self.nodes.len()];
        for first in 0..self.nodes.len() {
            let mut path = vec![(first, 0)];
            while let Some((n, at)) = path.last_mut() {
                if *at == 0 && std::mem::replace(&mut met[*n], true) {
                    path.pop();
                    continue;
                }
                match self.nodes[*n].same.get(*at) {
                    Some(next) => {
                        *at += 1;
                        let next = *next;
                        path.push((next, 0));
                    }
                    None => {
                        order.push(*n);
                        path.pop();
                    }
                }
            }
        }
        order
    }
}

/// What of a value a part of a schema is for.
#[derive(Clone, Copy)]
enum Place<'v> {
    Same,
    /// The same, as one of several.
    Branch,
    /// The same, and it is another's.
    Target,
    Named(&'v str),
    /// Members that are not listed.
    Members,
    /// Members of certain names.
    Pattern,
    Items,
    Item(usize),
}

struct References<'v> {
    root: &'v Value,
    known: BTreeMap<&'v str, Option<&'v Value>>,
}

impl<'v> References<'v> {
    fn follow(&mut self, reference: &'v str) -> Option<&'v Value> {
        let root = self.root;
        *self.known.entry(reference).or_insert_with(|| {
            let fragment = reference.find('#').map_or(reference, |at| &reference[at..]);
            root.pointer(&pointer_of(fragment)?)
        })
    }
}

/// The schemas that a schema has for a value and for what is in it.
fn parts<'v>(schema: &'v Value, references: &mut References<'v>) -> Vec<(Place<'v>, &'v Value)> {
    let mut parts = Vec::new();
    let Value::Object(members) = schema else { return parts };
    // What was evaluated is found out by judging once more.
    let times = 1 + usize::from(
        ["unevaluatedProperties", "unevaluatedItems"].iter().any(|k| members.contains_key(*k)),
    );
    for (keyword, member) in members {
        let list = || member.as_array().into_iter().flatten();
        let named = || member.as_object().into_iter().flatten();
        match keyword.as_str() {
            "allOf" => (0..times).for_each(|_| parts.extend(list().map(|part| (Place::Same, part)))),
            "anyOf" | "oneOf" => {
                (0..times).for_each(|_| parts.extend(list().map(|part| (Place::Branch, part))));
            }
            "not" | "if" | "then" | "else" => (0..times).for_each(|_| parts.push((Place::Same, member))),
            "dependentSchemas" => {
                (0..times).for_each(|_| parts.extend(named().map(|(_, part)| (Place::Same, part))));
            }
            "$ref" | "$dynamicRef" => {
                let target = member.as_str().and_then(|reference| references.follow(reference));
                (0..times).for_each(|_| parts.extend(target.map(|target| (Place::Target, target))));
            }
            "properties" => parts.extend(named().map(|(name, part)| (Place::Named(name), part))),
            "patternProperties" => parts.extend(named().map(|(_, part)| (Place::Pattern, part))),
            "additionalProperties" | "unevaluatedProperties" | "propertyNames" => {
                parts.push((Place::Members, member));
            }
            "items" | "contains" | "unevaluatedItems" => parts.push((Place::Items, member)),
            "prefixItems" => parts.extend(list().enumerate().map(|(n, part)| (Place::Item(n), part))),
            _ => {}
        }
    }
    parts
}

/// A walk through a value and the schemas that apply to it, as far as there is something left.
struct Walk<'w, 'v> {
    references: References<'v>,
    left: u64,
    /// The references at which it is remembered what was visited, if any is.
    back: Option<&'w BTreeSet<usize>>,
    visited: BTreeSet<(usize, usize)>,
}

impl<'w, 'v> Walk<'w, 'v> {
    fn new(root: &'v Value, back: Option<&'w BTreeSet<usize>>, left: u64) -> Walk<'w, 'v> {
        let references = References { root, known: BTreeMap::new() };
        Walk { references, left, back, visited: BTreeSet::new() }
    }

    /// None if there is not enough left. Visits that lie deep cost more, as what they find is told
    /// with the whole way to it; and in a branch, as it is told with a copy of the value.
    fn visit(&mut self, schema: &'v Value, value: &'v Value, nested: u64, branch: bool) -> Option<()> {
        let copied = if branch && self.back.is_none() { Size::of(value).values } else { 0 };
        self.left = self.left.checked_sub(1 + nested / 16 + copied / 8)?;
        if nested > NESTED {
            return None;
        }
        let address = std::ptr::from_ref::<Value>;
        let remembered = self.back.is_some_and(|back| back.contains(&(address(schema) as usize)));
        let listed = schema.get("properties");
        for (place, part) in parts(schema, &mut self.references) {
            let mut inner: Vec<&'v Value> = Vec::new();
            match (place, value) {
                (Place::Same | Place::Branch, _) => inner.push(value),
                (Place::Target, Value::Array(_) | Value::Object(_)) if remembered => {
                    let pair = (address(part) as usize, address(value) as usize);
                    inner.extend(self.visited.insert(pair).then_some(value));
                }
                (Place::Target, _) => inner.push(value),
                (Place::Named(name), Value::Object(members)) => inner.extend(members.get(name)),
                (Place::Pattern, Value::Object(members)) => inner.extend(members.values()),
                (Place::Members, Value::Object(members)) => {
                    let other = |name: &String| listed.is_none_or(|listed| listed.get(name).is_none());
                    inner.extend(members.iter().filter(|(name, _)| other(name)).map(|(_, member)| member));
                }
                (Place::Items, Value::Array(items)) => inner.extend(items),
                (Place::Item(n), Value::Array(items)) => inner.extend(items.get(n)),
                _ => {}
            }
            let branch = branch || matches!(place, Place::Branch);
            inner.into_iter().try_for_each(|value| self.visit(part, value, nested + 1, branch))?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_size_is_all_values_and_the_levels_below_the_first() {
        let of = |value: Value| (Size::of(&value).values, Size::of(&value).levels);
        assert_eq!(of(json!(null)), (1, 0));
        assert_eq!(of(json!([])), (1, 0));
        assert_eq!(of(json!({ "a": [1, 2], "b": { "c": { "d": 1 } } })), (7, 3));
    }

    #[test]
    fn the_growth_on_the_way_to_one_value_is_what_a_walk_there_costs() {
        let own = json!({ "$ref": "#" });
        for schema in [
            json!({ "properties": { "a": own, "b": {} }, "patternProperties": { "^a": own, "a$": own } }),
            json!({ "additionalProperties": own, "unevaluatedProperties": {}, "anyOf": [{}, { "if": {} }] }),
            json!({ "properties": { "a": { "oneOf": [own, { "allOf": [own] }] } } }),
        ] {
            let value = (0..3).fold(json!({}), |inner, _| json!({ "a": inner }));
            let growth = Growth::of(&schema, &schema, 1_000_000);
            let nothing = BTreeSet::new();
            let mut walk = Walk::new(&schema, Some(&nothing), 1_000_000);
            walk.visit(&schema, &value, 0, false).unwrap();
            assert_eq!(growth.known(3).map(|(visits, _)| visits), Some(1_000_000 - walk.left), "{schema}");
        }
    }

    fn schema() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(true)),
            (0..3usize).prop_map(|n| json!({ "properties": { "a": { "$ref": format!("#/{n}") } } })),
            (0..3usize).prop_map(|n| json!({ "items": { "$ref": format!("#/{n}") } })),
            // Only to later ones for the same value, so that there is no circle.
            Just(json!({ "$ref": "#/3" })),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            let list = proptest::collection::vec(inner.clone(), 1..3);
            prop_oneof![
                list.clone().prop_map(|l| json!({ "anyOf": l })),
                (list, inner.clone()).prop_map(|(l, u)| json!({ "oneOf": l, "unevaluatedProperties": u })),
                inner.clone().prop_map(|s| json!({ "properties": { "a": s }, "additionalProperties": s })),
                inner.clone().prop_map(|s| json!({ "patternProperties": { "^a": s }, "if": s, "then": s })),
                inner.prop_map(
                    |s| json!({ "prefixItems": [s, s], "contains": s, "dependentSchemas": { "a": s } })
                ),
            ]
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        Just(json!(1)).prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[ab]", inner, 0..3).prop_map(|m| json!(m)),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_growth_of_a_schema_is_never_less_than_what_a_walk_costs(
            schemas in proptest::collection::vec(schema(), 3), value in value()
        ) {
            let mut schemas = schemas;
            schemas.push(json!({ "type": "object" }));
            let root = Value::from(schemas);
            let growth = Growth::of(&root, &root[0], 1_000_000);
            let size = Size::of(&value);
            let at_most = growth.known(size.levels).map_or(u64::MAX, |(visits, _)| visits * size.values);
            let walked = |back| {
                let mut walk = Walk::new(&root, back, 1_000_000);
                walk.visit(&root[0], &value, 0, false).map_or(u64::MAX, |()| 1_000_000 - walk.left)
            };
            // Deep visits count for more.
            prop_assume!(growth.by_level.iter().all(|(_, nested)| *nested < 16));
            prop_assert!(walked(Some(&growth.back)) <= at_most);
            prop_assert!(growth.explained_within(|| (&root, &root[0]), &value, size, walked(None)));
            prop_assert!(!growth.explained_within(|| (&root, &root[0]), &value, size, walked(None) - 1));
        }
    }
}
