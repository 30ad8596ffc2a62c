//! Nothing of a subject outlives its drill, or firedrill.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use firedrill::pacing::Pacing;
use firedrill::seed::Seed;
use firedrill::subject::{Start, Subject, command};
use firedrill::{casting, drill};

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

/// A program whose children leave its group and its session, as those of process managers do.
fn leaves_its_session(mark: &str) -> (firedrill::scenario::Program, PathBuf) {
    let mut subject = program("cron.yaml");
    let script =
        "setsid sh -c 'trap \"echo wound up >> $STATE/end; exit\" TERM; while :; do sleep 0.05; done' & wait";
    subject.0.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    subject.0.runs = firedrill::scenario::Runs::Service;
    subject.0.env.insert("MARK".to_owned(), mark.split_once('=').unwrap().1.to_owned());
    subject.0.env.insert("STATE".to_owned(), "{state}".to_owned());
    subject
}

pub fn whoever_left_the_group_of_a_subject_goes_with_it() {
    if !there("setsid") {
        return;
    }
    let mark = format!("MARK=left-the-group-{}", std::process::id());
    let kill = "faults: [{ on: subject, window: 100ms..200ms, do: { kill: { restart_after: 100ms } } }]";
    for faults in ["", kill] {
        let subject = leaves_its_session(&mark);
        let drilled = run(&drill_of(&format!("workload: []\n{faults}\nends_at: 700ms")), &subject, 1);
        assert!(
            lives(&drilled).contains(&&firedrill::trace::SubjectEvent::Stopped),
            "{}",
            findings(&drilled)
        );
        assert_eq!(gone(&mark), Vec::<String>::new());
    }
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
    let ports = ports_of(&folder.path().join("ports"));
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

/// The ports that a program wrote down: its own, and in addresses those of its vendors.
fn ports_of(file: &Path) -> BTreeSet<u16> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.split_whitespace().map(|w| w.rsplit(':').next().unwrap().parse().unwrap()).collect()
}

/// The sockets that listen on any of `ports`, each by its port and its inode.
fn listening(ports: &BTreeSet<u16>) -> BTreeSet<(u16, String)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let sockets = table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = u16::from_str_radix(words[1].rsplit(':').next()?, 16).ok()?;
        // State 0A is LISTEN.
        (words[3] == "0A" && ports.contains(&port)).then(|| (port, words[9].to_owned()))
    });
    sockets.collect()
}

/// Those of `ports` that are listened on through sockets that no process holds.
fn unheld(ports: &BTreeSet<u16>) -> Vec<u16> {
    let mut held = BTreeSet::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            held.extend(std::fs::read_link(file.path()).ok().map(|to| to.to_string_lossy().into_owned()));
        }
    }
    let sockets = listening(ports).into_iter();
    sockets.filter(|(_, inode)| !held.contains(&format!("socket:[{inode}]"))).map(|(port, _)| port).collect()
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

/// A program, and a timer beside it whose bell breaks the thread that holds both: outside of any task, so
/// that nothing of firedrill's catches it.
struct Doomed {
    program: command::Command,
    bell: Arc<Bell>,
    folder: RefCell<PathBuf>,
}

/// Breaks when it is rung, once the program is up.
struct Bell {
    /// Where the program writes its ports.
    ports: PathBuf,
    /// What listened on them when it broke.
    listened: Mutex<BTreeSet<(u16, String)>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.listened.lock().unwrap() = listening(&ports_of(&self.ports));
        panic!("the bell broke");
    }
}

impl Subject for Doomed {
    fn run(&self, start: Start) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        self.folder.replace(start.state_dir.clone());
        let (ready, bell) = (start.ready.clone(), Waker::from(self.bell.clone()));
        let program = self.program.run(start);
        Box::pin(async move {
            let broken = async {
                ready.wait().await;
                let mut timer = pin!(tokio::time::sleep(Duration::from_millis(600)));
                // Polled once, and not again: it is the bell that the timer rings.
                assert!(timer.as_mut().poll(&mut Context::from_waker(&bell)).is_pending());
                std::future::pending().await
            };
            tokio::select! {
                biased;
                ended = program => ended,
                never = broken => never,
            }
        })
    }

    fn name(&self) -> &str {
        self.program.name()
    }
}

pub fn no_subject_outlives_a_drill_in_which_firedrill_panics() {
    if !there("python3") {
        return;
    }
    // A group that stands still goes too.
    for (bug, faults) in [("leaves_children", ""), ("", PAUSED)] {
        let folder = tempfile::tempdir().unwrap();
        let mark = format!("MARK=panicked-{}-{bug}", std::process::id());
        let (mut program, here) = poller(bug);
        program.env.insert("MARK".to_owned(), mark.split_once('=').unwrap().1.to_owned());
        let ports = folder.path().join("ports");
        // It writes without end, also while its folder is being removed.
        let writes = "while :; do n=$(((n + 1) % 2000)); : > \"$STATE/$n\"; done";
        let tells = format!("echo $PORT $CRM $BILLING >> '{}'; {writes} & exec \"$@\"", ports.display());
        program.command.splice(0..0, ["sh", "-c", &tells, "sh"].map(str::to_owned));
        let loaded = drill_of(faults);
        let pacing = Pacing::new(&program, 1);
        let plan = casting::plan_in_real_time(&loaded, &contracts(), &program, pacing).unwrap();
        let subject = Doomed {
            program: command::Command::new(&program, &here, 1),
            bell: Arc::new(Bell { ports, listened: Mutex::default() }),
            folder: RefCell::default(),
        };
        let ran = catch_unwind(AssertUnwindSafe(|| drill::run(&plan, Seed(1), &subject)));
        let said = ran.expect_err("the bell was rung").downcast::<&str>().unwrap();
        assert_eq!(*said, "the bell broke");
        // This process lives on, and so does the subject that held the program: neither is an excuse.
        assert_eq!(gone(&mark), Vec::<String>::new());
        let listened = subject.bell.listened.lock().unwrap().clone();
        assert_eq!(listened.len(), 3, "the program and its vendors were there: {listened:?}");
        let still = listening(&ports_of(&subject.bell.ports));
        assert_eq!(still.intersection(&listened).collect::<Vec<_>>(), Vec::<&(u16, String)>::new());
        let state = subject.folder.take();
        assert!(state.ends_with("state") && !state.parent().unwrap().exists(), "{}", state.display());
    }
}

const PAUSED: &str = "faults: [{ on: subject, window: 100ms..1s, do: { pause: { for: 10s } } }]";

pub fn no_subject_outlives_a_firedrill_that_is_killed() {
    if !there("python3") {
        return;
    }
    killed(9, "leaves_children", "");
    // A group that stands still is woken for its end.
    killed(3, "", PAUSED);
    if there("setsid") {
        killed(3, "leaves_its_session", "");
    }
}

/// The long form of the test above: four minutes, so only when asked for (`--ignored`).
pub fn no_subject_outlives_any_of_two_hundred() {
    if !there("python3") {
        return;
    }
    killed(140, "leaves_children", "");
    killed(60, "", PAUSED);
}
