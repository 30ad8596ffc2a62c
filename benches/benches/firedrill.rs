//! All benchmarks, in one program so that they are linked once.
//!
//! `cargo bench -p firedrill-benches` measures all of them, `… -- judge` one group; `… -- memory`
//! takes no times but the memory that a long recording needs, `… -- cpu` the CPU time of an exchange.
//! `… -- memory NAME REQUESTS` is short enough for a run under valgrind, which counts instructions.

#[path = "firedrill/checks.rs"]
mod checks;
#[path = "firedrill/contracts.rs"]
mod contracts;
#[path = "firedrill/cpu.rs"]
mod cpu;
#[path = "firedrill/drills.rs"]
mod drills;
#[path = "firedrill/memory.rs"]
mod memory;
#[path = "firedrill/mocked.rs"]
mod mocked;
#[path = "firedrill/reading.rs"]
mod reading;
#[path = "firedrill/sweep.rs"]
mod sweep;
#[path = "firedrill/vendor.rs"]
mod vendor;
#[path = "firedrill/versions.rs"]
mod versions;

// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use criterion::{Criterion, criterion_group};

criterion_group!(
    benches,
    drills::drills,
    vendor::model,
    vendor::socket,
    checks::checks,
    contracts::contracts,
    reading::reading,
    sweep::sweep,
    versions::versions
);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if words.first().is_some_and(|word| word == "memory") {
        let requests = words.get(2).and_then(|n| n.parse().ok());
        return memory::memory(words.get(1).map(String::as_str), requests);
    }
    if words.first().is_some_and(|word| word == "cpu") {
        return cpu::cpu(words.get(1).and_then(|n| n.parse().ok()));
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
