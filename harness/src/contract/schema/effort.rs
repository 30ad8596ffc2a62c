//! How much may be spent on one question about schemas.
//!
//! Knows: how much is left, for all who share it. Must not know: what it is spent on.

use std::cell::Cell;
use std::rc::Rc;

/// Steps that are left; clones spend from the same.
#[derive(Clone, Debug)]
pub(in crate::contract) struct Effort(Rc<Cell<usize>>);

impl Effort {
    pub fn new(steps: usize) -> Effort {
        Effort(Rc::new(Cell::new(steps)))
    }

    /// Takes some of what is left; false if it is not enough, and then nothing is left.
    pub fn spend(&self, steps: usize) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(steps));
        left >= steps
    }

    pub fn spent(&self) -> bool {
        self.0.get() == 0
    }
}
