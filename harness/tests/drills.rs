//! Each drill of `scenarios/` against the bundled core, a test of its own.
//!
//! `cargo test --test drills` runs them all, `cargo test --test drills idempotency` a family.

use std::process::ExitCode;

use firedrill::subject::bundled::Bundled;

fn main() -> ExitCode {
    let here = env!("CARGO_MANIFEST_DIR");
    firedrill::testing::drills(format!("{here}/../scenarios"))
        .contracts(format!("{here}/../contracts"))
        .subject(|| Box::new(Bundled::sound()))
        .seeds(5)
        .run()
}
