//! The bundled core as it is deployed: a process, over the wire, in real time.

use std::path::{Path, PathBuf};

use firedrill::drill::skip;
use firedrill::pacing::Pacing;
use firedrill::scenario::{Converges, Program};
use firedrill::time::Span;

use super::common::*;

/// The core beside this test, as cargo built it for the workspace.
fn core() -> Option<(Program, PathBuf)> {
    let test = std::env::current_exe().ok()?;
    let built = test.ancestors().nth(2)?.join("integration-core");
    if !built.is_file() || !there("python3") {
        eprintln!("skipped: {} is not built (cargo build -p integration-core)", built.display());
        return None;
    }
    let file = Path::new(HERE).join("../integration/subject.yaml");
    let (mut program, here) = firedrill::casting::subject_file(&file).expect("a good subject file");
    // At each start the store that the life before left is looked at first.
    program.command =
        vec![format!("{HERE}/tests/wire/checked.sh"), built.display().to_string(), "serve".into()];
    Some((program, here))
}

fn passes_over_the_wire(drill: &str, scale: u32) {
    let Some(core) = core() else { return };
    let mut loaded = load(&Path::new(HERE).join("../scenarios").join(drill));
    // A third of what the drill promises: a test that waits is a test that is not run.
    loaded.scenario.expect.converges = Some(Converges { within: Span::mins(10) });
    passes(&run(&loaded, &core, scale));
}

pub fn killed_between_send_and_save_it_bills_once_and_its_store_is_whole() {
    passes_over_the_wire("crash/killed_between_send_and_save.yaml", 40);
}

pub fn killed_at_every_step_it_goes_on_and_its_store_is_whole() {
    passes_over_the_wire("crash/killed_at_every_step.yaml", 40);
}

pub fn an_acknowledged_event_survives_a_kill_of_the_process() {
    passes_over_the_wire("crash/an_acknowledged_event_survives_a_kill.yaml", 40);
}

pub fn a_lost_answer_makes_one_invoice_on_the_wire_too() {
    passes_over_the_wire("idempotency/a_lost_answer_makes_one_invoice.yaml", 40);
}

pub fn forged_deliveries_are_refused_by_the_process_too() {
    passes_over_the_wire("webhook/a_forged_delivery_is_refused.yaml", 40);
}

pub fn what_cannot_be_put_to_it_is_skipped_with_the_reason() {
    let file = Path::new(HERE).join("../integration/subject.yaml");
    let (program, _) = firedrill::casting::subject_file(&file).expect("a good subject file");
    let why = |drill: &str, scale: u32| {
        let loaded = load(&Path::new(HERE).join("../scenarios").join(drill));
        skip::reason(&loaded.scenario, &program, &Pacing::new(&program, scale), Span::mins(1))
    };
    let told = |drill: &str, scale: u32, words: &str| {
        let why = why(drill, scale).unwrap_or_else(|| panic!("{drill} is not skipped"));
        assert!(why.contains(words), "{why}");
    };
    assert_eq!(why("crash/killed_at_every_step.yaml", 60), None);
    told("crash/killed_at_every_step.yaml", 1, "more than --max-real 1m");
    told("retry/a_black_hole_is_survived.yaml", 60, "leave no trace");
    told("retry/retries_back_off_with_full_jitter.yaml", 100, "needs --scale 10 or less");
}
