//! What a schema allows, read off the raw description: by those who compare two, and by those who
//! build a value.
//!
//! Knows: places and references in one document, the keywords of both dialects, branches. Must not
//! know: that there may be another document, or a value to judge.

mod branches;
mod effort;
mod expand;
mod listed;
mod node;
mod shape;
mod types;

pub(super) use branches::unfold;
pub(super) use effort::Effort;
pub(super) use expand::{AT_ONCE, IN_A_ROW};
pub(super) use listed::Listed;
pub(super) use node::{Doc, Node, same};
pub(super) use shape::{Additional, Bound, LIMITS, Shape, stricter};
pub(super) use types::Types;
