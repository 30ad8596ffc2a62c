//! Proof that the checks bite: defects planted in the bundled core, one at a time.
//!
//! Knows: which decision of the core each defect swaps, which line of the failure catalogue it
//! stands for, and which drill claims to catch it. Must not know: how a check judges. A defect is
//! a swapped policy, never a copy of the core.

mod auth;
mod breaker;
mod data;
mod limits;
mod observe;
mod proof;
mod requests;
mod retry;
mod sync;
mod variants;
mod webhooks;
mod work;
mod writes;

pub use proof::{Proof, prove};
pub use variants::{VARIANTS, Variant};

use crate::subject::bundled::Plant;

/// A bug that an integration can have, planted in the bundled core.
#[derive(Clone, Copy)]
pub struct Defect {
    /// A short name: `fresh_key_per_attempt`.
    pub name: &'static str,
    /// The bug, as the failure catalogue words it.
    pub bug: &'static str,
    /// The drill that must catch it: `family/file_stem`.
    pub drill: &'static str,
    /// The check that must fail.
    pub check: &'static str,
    /// Plants it.
    pub plant: Plant,
}

impl std::fmt::Debug for Defect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Defect").field("name", &self.name).field("drill", &self.drill).finish()
    }
}

/// All planted defects, in the order of the failure catalogue.
pub fn defects() -> Vec<Defect> {
    [
        writes::DEFECTS,
        retry::DEFECTS,
        limits::DEFECTS,
        auth::DEFECTS,
        breaker::DEFECTS,
        webhooks::DEFECTS,
        sync::DEFECTS,
        data::DEFECTS,
        work::DEFECTS,
        requests::DEFECTS,
        observe::DEFECTS,
    ]
    .concat()
}
