//! Nothing of a subject outlives its drill, or firedrill.

use std::collections::BTreeSet;
use std::path::PathBuf;
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

/// Kills firedrill in the middle of runs; the moments differ from run to run. No process of a subject
/// is left, no port, and after one run more no folder.
fn killed(runs: u32, bug: &str, faults: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mark = format!("MARK=killed-{}-{bug}", std::process::id());
    let subject = std::fs::read_to_string(format!("{HERE}/tests/wire/poller.yaml")).unwrap();
    let subject = subject
        .replace("{here}", &format!("{HERE}/tests/wire"))
        .replace("command: [", "command: [sh, -c, 'echo $PORT $CRM $BILLING >> ports; exec \"$@\"', sh, ")
        .replace("env:\n", &format!("env:\n  BUG: \"{bug}\"\n  {}\n", mark.replace('=', ": ")));
    std::fs::write(folder.path().join("subject.yaml"), subject).unwrap();
    let drill = format!(
        "drill: d\nwhy: w\nfamily: other\nvendors: {{ crm: hubspot, billing: stripe }}\n\
         given: {{ crm.deals: {{ count: 5 }} }}\nworkload: [{{ at: 0s, every: 100ms, do: crm.deals.close }}]\n\
         {faults}\nends_at: 20s\n"
    );
    std::fs::write(folder.path().join("drill.yaml"), drill).unwrap();
    let mut killed = Vec::new();
    for run in 0..runs {
        let mut firedrill = Command::new(env!("CARGO_BIN_EXE_firedrill"))
            .args(["run", "drill.yaml", "--subject", "subject.yaml"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // From the first moments, in which the subject is being started, to a drill in full swing: on a
        // slow machine, too, most have a subject to lose.
        let lives = || std::fs::metadata(folder.path().join("ports")).map_or(0, |m| m.len());
        let (before, mut looks) = (lives(), 0);
        while run % 4 != 0 && lives() == before && looks < 1_000 {
            wait(Duration::from_millis(20));
            looks += 1;
        }
        wait(Duration::from_millis(20 + u64::from(run * 137 % 1_200)));
        let signal = if run % 3 == 2 { "INT" } else { "KILL" };
        killed.push(firedrill.id());
        let id = firedrill.id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
        firedrill.wait().unwrap();
    }
    assert_eq!(gone(&mark), Vec::<String>::new());
    let ports = std::fs::read_to_string(folder.path().join("ports")).unwrap();
    let ports: BTreeSet<u16> =
        ports.split_whitespace().map(|w| w.rsplit(':').next().unwrap().parse().unwrap()).collect();
    // Whoever listens there now is somebody else's, unless nobody at all holds the socket.
    assert_eq!(unheld(&ports), Vec::<u16>::new(), "of {} ports", ports.len());
    let swept = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["run", "drill.yaml", "--subject", "subject.yaml", "--max-real", "1s"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(swept.status.code(), Some(2), "it takes too long, and is skipped: {swept:?}");
    assert_eq!(folders(&killed), Vec::<PathBuf>::new());
    eprintln!("{runs} runs killed, {} lives, {} ports: nothing is left", ports.len() / 3, ports.len());
}

/// Those of `ports` that are listened on through sockets that no process holds.
fn unheld(ports: &BTreeSet<u16>) -> Vec<u16> {
    let mut held = BTreeSet::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            held.extend(std::fs::read_link(file.path()).ok().map(|to| to.to_string_lossy().into_owned()));
        }
    }
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let listening = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(words[1].rsplit(':').next()?, 16).ok()?;
        // State 0A is LISTEN.
        (words[3] == "0A" && ports.contains(&port)).then(|| (port, format!("socket:[{}]", words[9])))
    });
    listening.filter(|(_, socket)| !held.contains(socket)).map(|(port, _)| port).collect()
}

/// Folders of drills that these processes left.
fn folders(processes: &[u32]) -> Vec<PathBuf> {
    let roots = [PathBuf::from("/dev/shm"), std::env::temp_dir()];
    let all = roots.iter().flat_map(|root| std::fs::read_dir(root).into_iter().flatten().flatten());
    let left = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        processes.iter().any(|id| name.starts_with(&format!("firedrill-{id}-")))
    };
    all.map(|entry| entry.path()).filter(left).collect()
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
    if !there("python3") {
        return;
    }
    killed(140, "leaves_children", "");
    killed(60, "", PAUSED);
}
