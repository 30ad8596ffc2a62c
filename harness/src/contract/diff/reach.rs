//! Which operations a change affects, and how the nearest comes to it.
//!
//! Knows: the graph of what refers to what. Must not know: what changed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Change;
use super::walk::{Found, Walk};

/// A path that is longer does not grow any more: nobody reads it, and thousands of them fill the memory.
const LONG: usize = 1_000;

/// The way from an operation to a site.
#[derive(Clone)]
struct Way {
    operation: usize,
    path: String,
    steps: usize,
}

/// The changes that a finished walk found, in the order in which it found them.
pub(super) fn changes(walk: Walk<'_>) -> Vec<Change> {
    let nearest = nearest(&walk);
    let reach = reach(&walk);
    let names: Vec<Arc<str>> = walk.operations.iter().map(|name| Arc::from(name.as_str())).collect();
    walk.found
        .into_values()
        .map(|found| {
            let (first, place) = place(&found, &nearest);
            let mut reached = vec![0; names.len().div_ceil(64)];
            for site in found.sites.keys() {
                join(&mut reached, &reach[*site]);
            }
            let others =
                (0..names.len()).filter(|n| reached[n / 64] >> (n % 64) & 1 == 1 && Some(*n) != first);
            Change {
                rule: found.rule.id,
                severity: found.rule.severity,
                direction: found.direction,
                message: found.message,
                old: found.old.as_ref().into(),
                new: found.new.as_ref().into(),
                place,
                operations: first.into_iter().chain(others).map(|n| names[n].clone()).collect(),
            }
        })
        .collect()
}

/// The nearest operation, and the path from it.
fn place(found: &Found, nearest: &[Option<Way>]) -> (Option<usize>, String) {
    let ways = found.sites.iter().filter_map(|(site, path)| Some((nearest[*site].as_ref()?, path)));
    match ways.min_by_key(|(way, _)| way.steps) {
        Some((way, path)) => (Some(way.operation), format!("{}{path}", way.path).trim_end().to_owned()),
        None => (None, String::new()),
    }
}

/// For each site, the way from the operation that is the fewest references away.
fn nearest(walk: &Walk<'_>) -> Vec<Option<Way>> {
    let mut ways: Vec<Option<Way>> = vec![None; walk.sites.len()];
    let mut queue = VecDeque::new();
    for (n, site) in walk.sites.iter().enumerate() {
        if let Some(operation) = site.operation {
            ways[n] = Some(Way { operation, path: String::new(), steps: 0 });
            queue.push_back(n);
        }
    }
    while let Some(n) = queue.pop_front() {
        let Some(way) = ways[n].clone() else { continue };
        for (to, path) in &walk.sites[n].edges {
            if ways[*to].is_none() {
                let path =
                    if way.path.len() > LONG { way.path.clone() } else { format!("{}{path}", way.path) };
                ways[*to] = Some(Way { operation: way.operation, path, steps: way.steps + 1 });
                queue.push_back(*to);
            }
        }
    }
    ways
}

/// For each site, the set of operations that lead to it, as bits.
fn reach(walk: &Walk<'_>) -> Vec<Vec<u64>> {
    let words = walk.operations.len().div_ceil(64);
    let mut reach = vec![vec![0u64; words]; walk.sites.len()];
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut waiting = vec![false; walk.sites.len()];
    for (n, site) in walk.sites.iter().enumerate() {
        if let Some(operation) = site.operation {
            reach[n][operation / 64] |= 1 << (operation % 64);
            queue.push_back(n);
            waiting[n] = true;
        }
    }
    while let Some(n) = queue.pop_front() {
        waiting[n] = false;
        let from = reach[n].clone();
        for to in walk.sites[n].edges.keys() {
            if join(&mut reach[*to], &from) && !std::mem::replace(&mut waiting[*to], true) {
                queue.push_back(*to);
            }
        }
    }
    reach
}

/// Adds `from` to `set`; whether that changed it.
fn join(set: &mut [u64], from: &[u64]) -> bool {
    set.iter_mut().zip(from).fold(false, |changed, (to, from)| {
        let before = *to;
        *to |= from;
        changed | (before != *to)
    })
}
