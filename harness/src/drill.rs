//! The drill: one scenario, one seed, one subject, one world.
//!
//! Knows: what a drill leaves behind. Must not know: who asked for it, or how it is shown.

use crate::finding::{Judgement, Verdict};
use crate::trace::Trace;

/// What a drill leaves behind.
#[derive(Clone, Debug)]
pub struct Drilled {
    /// What happened.
    pub trace: Trace,
    /// What each check says.
    pub judgements: Vec<Judgement>,
    /// The worst of it.
    pub verdict: Verdict,
}

/// Why there is no verdict.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DrillError {
    /// firedrill itself did something wrong.
    #[error("{0}")]
    Harness(String),
}
