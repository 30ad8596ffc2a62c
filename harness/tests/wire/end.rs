//! Nothing of a subject outlives its drill, or firedrill.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::common::*;

pub fn what_a_subject_leaves_behind_goes_with_it() {
    if !there("python3") {
        return;
    }
    let mark = format!("MARK=left-behind-{}", std::process::id());
    let mut subject = poller("leaves_children");
    subject.0.env.insert("MARK".to_owned(), mark.split_once('=').unwrap().1.to_owned());
    passes(&run(&drill_of(""), &subject, 1));
    assert_eq!(gone(&mark), Vec::<String>::new());
}

/// Kills firedrill in the middle of runs; the moments differ from run to run.
fn killed(runs: u32, bug: &str, faults: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mark = format!("MARK=killed-{}-{bug}", std::process::id());
    let subject = std::fs::read_to_string(format!("{HERE}/tests/wire/poller.yaml")).unwrap();
    let subject = subject
        .replace("{here}", &format!("{HERE}/tests/wire"))
        .replace("env:\n", &format!("env:\n  BUG: \"{bug}\"\n  {}\n", mark.replace('=', ": ")));
    std::fs::write(folder.path().join("subject.yaml"), subject).unwrap();
    let drill = format!(
        "drill: d\nwhy: w\nfamily: other\nvendors: {{ crm: hubspot, billing: stripe }}\n\
         given: {{ crm.deals: {{ count: 5 }} }}\nworkload: [{{ at: 0s, every: 100ms, do: crm.deals.close }}]\n\
         {faults}\nends_at: 20s\n"
    );
    std::fs::write(folder.path().join("drill.yaml"), drill).unwrap();
    for run in 0..runs {
        let mut firedrill = Command::new(env!("CARGO_BIN_EXE_firedrill"))
            .args(["run", "drill.yaml", "--subject", "subject.yaml"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From the first moments, in which the subject is being started, to a drill in full swing.
        wait(Duration::from_millis(20 + u64::from(run * 137 % 1_200)));
        let signal = if run % 3 == 2 { "INT" } else { "KILL" };
        let id = firedrill.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
        firedrill.wait().unwrap();
    }
    assert_eq!(gone(&mark), Vec::<String>::new());
}

#[expect(clippy::disallowed_methods, reason = "this test is about real processes in real time")]
fn wait(span: Duration) {
    std::thread::sleep(span);
}

/// What is still alive once it had time to go.
fn gone(mark: &str) -> Vec<String> {
    for _ in 0..100 {
        if alive(mark).is_empty() {
            return Vec::new();
        }
        wait(Duration::from_millis(50));
    }
    alive(mark)
}

const PAUSED: &str = "faults: [{ on: subject, window: 100ms..1s, do: { pause: { for: 10s } } }]";

pub fn no_subject_outlives_a_firedrill_that_is_killed() {
    if !there("python3") {
        return;
    }
    killed(9, "leaves_children", "");
    // A group that stands still is woken for its end.
    killed(3, "", PAUSED);
}

/// The long form of the test above: four minutes, so only when asked for (`--ignored`).
pub fn no_subject_outlives_any_of_two_hundred() {
    killed(140, "leaves_children", "");
    killed(60, "", PAUSED);
}
