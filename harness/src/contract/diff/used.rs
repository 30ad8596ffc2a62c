//! Which operations of a contract are called at all.
//!
//! Knows: calls and operations. Must not know: what changed, or who called. Which *fields* of an
//! answer are read cannot be told from calls, so a change of any field of a used operation counts.

use std::collections::BTreeSet;

use crate::contract::Contract;

/// The operations of one contract that calls were seen of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    names: BTreeSet<String>,
    strange: BTreeSet<String>,
}

impl Used {
    /// None yet.
    pub fn new() -> Used {
        Used::default()
    }

    /// Takes note of a call.
    pub fn call(&mut self, contract: &Contract, method: &str, target: &str) {
        match contract.find(method, target) {
            Ok(found) => self.names.insert(found.operation.name()),
            Err(_) => {
                self.strange.insert(format!("{method} {}", target.split('?').next().unwrap_or_default()))
            }
        };
    }

    /// How many operations are used.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// Calls that are of none of the contract's operations.
    pub fn strange(&self) -> impl ExactSizeIterator<Item = &str> {
        self.strange.iter().map(String::as_str)
    }

    /// Whether the operation `name`, `GET /path`, is used.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}
