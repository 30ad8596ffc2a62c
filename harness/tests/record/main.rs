//! The recording proxy and the importers, seen from outside.

mod files;
mod import;
mod kill;
mod passing;
mod rig;
mod secrets;
