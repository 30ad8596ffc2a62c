//! Verification over recordings.
