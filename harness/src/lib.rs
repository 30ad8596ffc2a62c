//! firedrill: failure drills for API integrations.
//!
//! A **drill** runs one **scenario**, under one **seed**, against one **subject**, in one **world**;
//! it leaves a **trace**; **checks** read the trace and give a **verdict**.
//!
//! Floors, top to bottom; imports run downwards only:
//! 4 `cli`, `report`, `serve`, `testing` ·
//! 3 `drill`, `casting`, `plan`, `prove`, `record`, `sweep`, `verify` ·
//! 2 `world`, `subject`, `wiremock` ·
//! 1 `vendor`, `schedule`, `pacing`, `drift`, `contract`, `fixture`, `check` ·
//! 0 `scenario`, `fault`, `expr`, `wire`, `trace`,
//! `finding`, `seed`, `time`, `personal`, `utf8`.

pub mod casting;
pub mod check;
#[cfg(feature = "cli")]
pub mod cli;
pub mod contract;
pub mod drift;
pub mod drill;
pub mod expr;
pub mod fault;
pub mod finding;
pub mod fixture;
pub mod pacing;
mod personal;
pub mod plan;
#[cfg(feature = "cli")]
pub mod prove;
#[cfg(feature = "record")]
pub mod record;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod seed;
#[cfg(feature = "cli")]
pub mod serve;
pub mod subject;
pub mod sweep;
pub mod testing;
pub mod time;
pub mod trace;
mod utf8;
pub mod vendor;
pub mod verify;
pub mod wire;
#[cfg(feature = "wiremock")]
pub mod wiremock;
pub mod world;
