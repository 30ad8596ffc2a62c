//! What the command line needs of the floors below it.
//!
//! Knows: the three things that are asked for. Must not know: worlds, vendors or subjects.

use std::path::PathBuf;

use crate::drill::{DrillError, Drilled, Judge};
use crate::plan::Loaded;
use crate::report::table::Row;
use crate::scenario::{Mistake, Program, Scenario, VendorFacts, VendorUse};
use crate::seed::Seed;
use crate::time::Span;

/// What holds for the whole run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The folder that describes the vendors.
    pub contracts: PathBuf,
    /// A defect to plant in the subject.
    pub defect: Option<String>,
    /// The program to drill instead of the bundled subject, with the folder of its file.
    pub program: Option<(Program, PathBuf)>,
    /// How much faster than its scenario a drill in real time goes.
    pub scale: u32,
    /// The longest that a drill in real time may take.
    pub max_real: Span,
}

/// What a proof is asked to cover.
#[derive(Clone, Debug)]
pub struct ProofRequest {
    /// The drills.
    pub drills: Vec<Loaded>,
    /// The seeds to run each under.
    pub seeds: Vec<Seed>,
    /// Only defects whose name, drill or rule contains this.
    pub filter: Option<String>,
    /// Drills at a time.
    pub jobs: usize,
}

/// Carries out drills. Called from many threads at once.
pub trait Backend: Sync {
    /// The defects that can be planted.
    fn defects(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// What a vendor has that a drill can name; `None` if that cannot be known.
    ///
    /// # Errors
    /// A mistake in the vendor's files; without a source line, that there is no such vendor.
    fn facts(&self, setting: &Setting, vendor: &VendorUse) -> Result<Option<VendorFacts>, Mistake>;

    /// Runs one drill under one seed against the bundled subject; blocks until it is done.
    ///
    /// # Errors
    /// A fault of firedrill.
    fn run(&self, setting: &Setting, drill: &Loaded, seed: Seed) -> Result<Drilled, DrillError>;

    /// Why a drill cannot be put to the bundled subject; none if it can, or names a subject of its own.
    fn unfit(&self, _: &Setting, _: &Loaded) -> Option<String> {
        None
    }

    /// Why a drill cannot be put to the subject of this run; none if it can.
    fn skips(&self, _: &Setting, _: &Loaded) -> Option<String> {
        None
    }

    /// Plays `scenario`, a variant of `drill` with the same vendors, within a bound of calls.
    ///
    /// # Errors
    /// A fault of firedrill; that this backend plays no variants.
    fn play(
        &self,
        _setting: &Setting,
        _drill: &Loaded,
        _scenario: &Scenario,
        _most_calls: u32,
        _seed: Seed,
        _judge: Judge<'_>,
    ) -> Result<Drilled, DrillError> {
        Err(DrillError::Harness("this subject cannot be swept".to_owned()))
    }

    /// Plants each known defect and sees whether its drill catches it.
    ///
    /// # Errors
    /// A fault of firedrill.
    fn prove(&self, setting: &Setting, request: &ProofRequest) -> Result<Vec<Row>, DrillError>;
}
