//! Choices (`oneOf`, `anyOf`) as the branches they are made of.
//!
//! Knows: that the branches of several choices on one value are joined, each with each. Must not
//! know: which branch a value was meant for: the two keywords are read alike.

use super::shape::Shape;
use super::types::Types;

/// The most branches that a choice is unfolded into.
const BRANCHES: usize = 256;
/// The most pairs of branches that are joined on the way there, whether anything takes both or not.
const JOINS: usize = 16 * BRANCHES;

/// The branches of a shape, each with what holds for all of them; itself, if it is no choice.
pub(in crate::contract) fn unfold<'d>(shape: &Shape<'d>) -> Option<Vec<Shape<'d>>> {
    join(shape, &mut JOINS.clone())
}

fn join<'d>(shape: &Shape<'d>, left: &mut usize) -> Option<Vec<Shape<'d>>> {
    let mut unfolded = vec![Shape { groups: Vec::new(), discriminator: None, ..shape.clone() }];
    for group in &shape.groups {
        let mut next = Vec::new();
        for branch in group {
            for inner in join(branch, left)? {
                for base in &unfolded {
                    *left = left.checked_sub(1)?;
                    let (name, title, at) = (inner.name.clone(), inner.title, inner.at.clone());
                    let joined = Shape { name, title, at, ..base.clone().meet(inner.clone()) };
                    if joined.types != Types::NONE {
                        next.push(joined);
                    }
                }
                if next.len() > BRANCHES {
                    return None;
                }
            }
        }
        unfolded = next;
    }
    Some(unfolded)
}
