//! The drill that is measured.
//!
//! Knows: where its file lies and how it is made larger. Must not know: what is measured.

use std::path::{Path, PathBuf};

use firedrill::casting;
use firedrill::drill::{self, Drilled, Plan};
use firedrill::finding::Verdict;
use firedrill::plan;
use firedrill::seed::Seed;
use firedrill::subject::bundled::Bundled;
use firedrill::trace::{Trace, What};

/// A folder of the workspace.
pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The ordinary drill, with this many deals.
///
/// # Panics
/// If its file is wrong.
pub fn ordinary(deals: u32) -> Plan {
    let contracts = folder("contracts");
    let file = folder("benches/drills/deals_become_invoices.yaml");
    let loaded = plan::load(&[file], &|vendor| casting::facts(vendor, &contracts).map(Some));
    let mut drill = loaded.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).remove(0);
    for given in drill.scenario.given.values_mut() {
        given.count = deals;
    }
    casting::plan(&drill, &contracts).unwrap_or_else(|mistake| panic!("{mistake:?}"))
}

/// The drill that is swept for drift.
///
/// # Panics
/// If its file is wrong.
pub fn swept() -> Plan {
    let contracts = folder("contracts");
    let file = folder("scenarios/drift/_sweep.yaml");
    let loaded = plan::load(&[file], &|vendor| casting::facts(vendor, &contracts).map(Some));
    let drill = loaded.unwrap_or_else(|mistakes| panic!("{mistakes:?}")).remove(0);
    casting::plan(&drill, &contracts).unwrap_or_else(|mistake| panic!("{mistake:?}"))
}

/// Runs and judges it against the bundled core.
///
/// # Panics
/// If it does not pass: a drill that goes another way costs something else.
pub fn run(plan: &Plan, seed: u64) -> Drilled {
    let drilled = drill::run(plan, Seed(seed), &Bundled::sound()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(drilled.verdict, Verdict::Pass, "seed {seed}: {:#?}", drilled.judgements);
    drilled
}

/// HTTP requests that went over sockets, with their answers or without: calls of the subject, and
/// deliveries to it.
pub fn exchanges(trace: &Trace) -> u64 {
    let over_the_wire =
        |e: &&firedrill::trace::Event| matches!(e.what, What::Request { .. } | What::Delivery { .. });
    trace.events.iter().filter(over_the_wire).count() as u64
}
