//! The recording proxy and the importers, seen from outside.

#[path = "../provider/mod.rs"]
mod provider;
#[path = "../recorder/mod.rs"]
mod recorder;

mod attacks;
mod files;
mod import;
mod kill;
mod passing;
mod rig;
mod secrets;
