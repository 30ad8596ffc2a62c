//! Contracts, seen from outside.
