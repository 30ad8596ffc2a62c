//! The backend of the `firedrill` command: the bundled integration core in the virtual world.
//!
//! Knows: which subject is drilled. Must not know: how the command line asks for it.

use super::backend::{Backend, ProofRequest, Setting};
use crate::drill::{DrillError, Drilled};
use crate::plan::Loaded;
use crate::report::table::Row;
use crate::scenario::{Mistake, VendorFacts, VendorUse};
use crate::seed::Seed;

/// The integration core of this workspace.
#[derive(Clone, Copy, Debug)]
pub struct Bundled;

const NOT_LINKED: &str = "this build holds no world to run drills in";

impl Backend for Bundled {
    fn facts(&self, _: &Setting, _: &VendorUse) -> Result<Option<VendorFacts>, Mistake> {
        Ok(None)
    }

    fn run(&self, _: &Setting, _: &Loaded, _: Seed) -> Result<Drilled, DrillError> {
        Err(DrillError::Harness(NOT_LINKED.to_owned()))
    }

    fn prove(&self, _: &Setting, _: &ProofRequest) -> Result<Vec<Row>, DrillError> {
        Err(DrillError::Harness(NOT_LINKED.to_owned()))
    }
}
