//! firedrill: failure drills for API integrations.
//!
//! A **drill** runs one **scenario**, under one **seed**, against one **subject**, in one **world**;
//! it leaves a **trace**; **checks** read the trace and give a **verdict**.
//!
//! Floors, top to bottom; imports run downwards only:
//! 4 `cli`, `report` · 3 `drill`, `load` · 2 `world`, `subject` · 1 `vendor`, `schedule`,
//! `fixture`, `check` · 0 `scenario`, `fault`, `expr`, `wire`, `trace`, `finding`, `seed`, `time`.

#[path = "check/shown.rs"]
pub mod shown;

pub mod expr;
pub mod fault;
pub mod finding;
pub mod fixture;
pub mod scenario;
pub mod seed;
pub mod subject;
pub mod time;
pub mod trace;
pub mod vendor;
pub mod wire;
#[cfg(feature = "wiremock")]
pub mod wiremock;
