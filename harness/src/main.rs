//! The `firedrill` command.
//!
//! Knows: nothing but where the command line begins. Must not know: anything else.

use std::process::ExitCode;

// A drill makes and drops thousands of small strings; the system's allocator takes a sixth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    firedrill::cli::main(&firedrill::cli::Bundled::default()).into()
}
