//! The `firedrill` command.
//!
//! Knows: nothing but where the command line begins. Must not know: anything else.

use std::process::ExitCode;

fn main() -> ExitCode {
    firedrill::cli::main(&firedrill::cli::Bundled::default()).into()
}
