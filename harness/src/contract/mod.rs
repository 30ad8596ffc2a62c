//! Contracts.

pub mod diff;
