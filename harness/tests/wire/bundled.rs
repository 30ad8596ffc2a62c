//! The bundled core as it is deployed: a process, over the wire, in real time.

use std::path::{Path, PathBuf};
use std::process::Command;

use firedrill::drill::skip;
use firedrill::pacing::Pacing;
use firedrill::scenario::{Converges, Program};
use firedrill::time::Span;
use serde_json::Value;

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

/// All that the command itself can put to the core, side by side: the long form of what is above.
/// Whoever is skipped must have a reason that is true whatever the subject is; what wants certificates is
/// put to it over TLS.
pub fn it_passes_every_drill_that_fits_real_time() {
    let Some((program, _)) = core() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plain = std::fs::read_to_string(Path::new(HERE).join("../integration/subject.yaml")).unwrap();
    let command = serde_json::to_string(&program.command).unwrap();
    let plain = plain.replace("[./run-built.sh, serve]", &command);
    let over_tls = plain.replace("env:\n", "tls: true\nenv:\n  SSL_CERT_FILE: \"{ca}\"\n");
    let lines = put_to_it(&plain, &["scenarios".to_owned()], folder.path());
    let wants_tls = |line: &Value| line["skipped"].as_str().is_some_and(|why| why.contains("`tls: true`"));
    let (over_it, mut lines): (Vec<Value>, Vec<Value>) = lines.into_iter().partition(wants_tls);
    let drills: Vec<_> =
        over_it.iter().map(|line| format!("scenarios/{}.yaml", line["name"].as_str().unwrap())).collect();
    assert!(!drills.is_empty(), "no drill wants certificates");
    lines.extend(put_to_it(&over_tls, &drills, folder.path()));
    let (mut passed, mut wrong, mut skipped, mut kills, mut looks) = (0, Vec::new(), 0, 0, 0);
    for line in lines {
        let name = line["name"].as_str().unwrap();
        match (line["verdict"].as_str(), line["skipped"].as_str()) {
            (Some("pass"), _) => passed += 1,
            (None, Some(why)) if TRUE_REASONS.iter().any(|true_reason| why.contains(true_reason)) => {
                eprintln!("skipped: {name}: {why}");
                skipped += 1;
                continue;
            }
            (None, why) => wrong.push(format!("{name}: {why:?} {}", line["fault"])),
            (Some(verdict), _) => {
                let findings = line["judgements"].as_array().unwrap().iter();
                let findings = findings.flat_map(|j| j["findings"].as_array().unwrap());
                let said: Vec<String> =
                    findings.map(|f| format!("{}: {}", f["rule"], f["message"])).collect();
                let busy = said.iter().all(|s| s.contains("this machine was overloaded"));
                if verdict == "fail" || !busy && !said.iter().all(|s| s.starts_with(TOO_SLOW)) {
                    wrong.push(format!("{name}: {verdict}\n  {}", said.join("\n  ")));
                }
            }
        }
        let trace = folder.path().join(format!("traces/{name}.seed-1.jsonl"));
        let trace = std::fs::read_to_string(trace).unwrap_or_default();
        kills += trace.matches("\"is\":\"killed\"").count();
        looks += trace.matches("\"line\":\"store ok\"").count();
    }
    eprintln!("{passed} passed, {skipped} skipped, {kills} kills, the store looked at {looks} times");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed >= 40 && kills >= 10 && looks >= kills, "{passed} passed, {kills} kills, {looks} looks");
}

/// Runs these drills against the subject that `subject` describes; gives what is said of each.
fn put_to_it(subject: &str, drills: &[String], folder: &Path) -> Vec<Value> {
    let file = folder.join("subject.yaml");
    std::fs::write(&file, subject).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .current_dir(Path::new(HERE).join(".."))
        .arg("run")
        .args(drills)
        .args(["--format", "jsonl", "--scale", "40", "--max-real", "150s", "--jobs", "16"])
        .arg("--subject")
        .arg(file)
        .arg("--trace")
        .arg(folder.join("traces"))
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What comes of a machine that is too slow to use up a quota: nothing is known of who would heed it.
const TOO_SLOW: &str = "\"quota/never_low\"";

/// Why a drill may be skipped.
const TRUE_REASONS: [&str; 4] = [
    "a program reads the machine's clock",
    "more than --max-real",
    "does not tell apart from noise",
    "CAP_NET_RAW",
];

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
    // Who may look at the wire sees connects that nobody answers.
    if let Some(why) = why("retry/a_black_hole_is_survived.yaml", 60) {
        assert!(why.contains("CAP_NET_RAW"), "{why}");
    }
    told("retry/retries_back_off_with_full_jitter.yaml", 100, "needs --scale 10 or less");
}
