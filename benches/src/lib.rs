//! What the benchmarks share: a drill to run, servers to measure, and a load for them.
//!
//! Knows: how the things that are measured are set up. Must not know: how a measurement is taken.

pub mod drills;
pub mod least;
pub mod load;
pub mod servers;
