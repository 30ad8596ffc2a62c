//! The same scenario and seed leave the same bytes, however often and however busy the machine is.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use firedrill::drill::{self, Plan};
use firedrill::seed::Seed;
use firedrill::subject::bundled::Bundled;
use firedrill::{casting, plan};

fn load(file: &str) -> Plan {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let contracts = here.join("../contracts");
    let facts = |vendor: &_| casting::facts(vendor, &contracts).map(Some);
    let drills = plan::load(&[here.join("../scenarios").join(file)], &facts).expect("the drill can be read");
    casting::plan(&drills[0], &contracts).expect("its vendors can be read")
}

fn bytes(plan: &Plan, seed: u64) -> Vec<u8> {
    let drilled = drill::run(plan, Seed(seed), &Bundled::sound()).expect("a verdict");
    let mut bytes = Vec::new();
    drilled.trace.write_jsonl(&mut bytes).expect("written to memory");
    bytes
}

/// A kill, resets and retries in one drill.
const SMALL: &str = "crash/killed_between_send_and_save.yaml";

#[test]
fn a_thousand_repetitions_leave_the_same_bytes() {
    let plan = load(SMALL);
    let first = bytes(&plan, 7);
    assert!(first.len() > 50_000, "a trace worth comparing: {} bytes", first.len());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for n in 0..500 {
                    assert!(bytes(&plan, 7) == first, "repetition {n} left another trace");
                }
            });
        }
    });
}

#[test]
fn a_busy_machine_leaves_the_same_bytes() {
    let plan = load("breaker/a_hung_probe_does_not_wedge_it.yaml");
    let first = bytes(&plan, 3);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let same = (0..20).all(|_| bytes(&plan, 3) == first);
        done.store(true, Ordering::Relaxed);
        assert!(same, "a trace differed under load");
    });
}

#[test]
fn handshakes_with_fresh_keys_leave_the_same_bytes() {
    let plan = load("auth/another_hosts_certificate_is_not_trusted.yaml");
    let first = bytes(&plan, 7);
    assert!(String::from_utf8_lossy(&first).contains(r#""kind":"handshake""#));
    for n in 0..10 {
        assert!(bytes(&plan, 7) == first, "repetition {n} left another trace");
    }
}

#[test]
fn another_seed_leaves_other_bytes() {
    let plan = load(SMALL);
    assert_ne!(bytes(&plan, 1), bytes(&plan, 2));
}
