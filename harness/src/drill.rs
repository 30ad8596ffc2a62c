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

/// Why a drill gave no verdict.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The scenario asks for what cannot be (exit 64).
    #[error("{0}")]
    Scenario(String),
    /// firedrill itself went wrong (exit 70).
    #[error("{0}")]
    Harness(String),
    /// The machine refused something the drill needs (exit 70).
    #[error("the drill could not be set up: {0}")]
    Setup(#[from] std::io::Error),
}
