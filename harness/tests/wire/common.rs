//! A drill against a program, from its text.

use std::path::{Path, PathBuf};

use firedrill::drill::{self, Drilled};
use firedrill::pacing::Pacing;
use firedrill::plan::{self, Loaded};
use firedrill::scenario::Program;
use firedrill::seed::Seed;
use firedrill::subject::command::Command;
use firedrill::time::Span;
use firedrill::trace::{RealTime, SubjectEvent, What};
use firedrill::{casting, finding::Verdict};

pub const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// Whether a program is on the PATH; says so by name where a test is passed over for it.
pub fn there(program: &str) -> bool {
    let found = firedrill::subject::command::executable(program, Path::new(".")).is_ok();
    if !found {
        eprintln!("skipped: there is no {program} here");
    }
    found
}

pub fn contracts() -> PathBuf {
    Path::new(HERE).join("../contracts")
}

/// A subject file of this folder.
pub fn program(file: &str) -> (Program, PathBuf) {
    casting::subject_file(&Path::new(HERE).join("tests/wire").join(file)).expect("a good subject file")
}

/// The poller with a bug.
pub fn poller(bug: &str) -> (Program, PathBuf) {
    let (mut program, here) = program("poller.yaml");
    program.env.insert("BUG".to_owned(), bug.to_owned());
    (program, here)
}

const DRILL: &str = "
drill: Each deal that is won is billed once
why: It is what the integration is for
family: other
vendors: { crm: hubspot, billing: stripe }
given: { crm.deals: { count: 4, set: { properties.deal_currency_code: USD } } }
";

const WORK: &str = "workload: [{ at: 100ms, every: 100ms, do: crm.deals.close }]\n";

const EXPECT: &str = "
expect:
  agree:
    from: crm.deals
    where: deal.properties.dealstage == 'closedwon'
    to: billing.invoices
    live: invoice.status != 'void'
    key: invoice.metadata.deal_id
  converges: { within: 4s }
";

/// Reads drill files as the command line does.
pub fn load(path: &Path) -> Loaded {
    let contracts = contracts();
    let facts = |vendor: &_| casting::facts(vendor, &contracts).map(Some);
    let drills = plan::load(&[path.to_owned()], &facts);
    drills.unwrap_or_else(|m| panic!("{m:?}")).remove(0)
}

/// A drill of four deals with these faults (and, if said, another workload).
pub fn drill_of(lines: &str) -> Loaded {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("drill.yaml");
    let work = if lines.contains("workload:") { "" } else { WORK };
    // A rule without a window would bite for a minute more.
    let heal = if lines.contains("faults:") && !lines.contains("window:") { "\nheal_at: 3s" } else { "" };
    std::fs::write(&path, format!("{DRILL}{work}{lines}{heal}{EXPECT}")).expect("written");
    load(&path)
}

/// Runs a drill against a program.
pub fn run(loaded: &Loaded, (program, here): &(Program, PathBuf), scale: u32) -> Drilled {
    let pacing = Pacing::new(program, scale);
    let plan = casting::plan_in_real_time(loaded, &contracts(), program, pacing).expect("vendors");
    drill::run(&plan, Seed(1), &Command::new(program, here, scale)).unwrap_or_else(|e| panic!("{e}"))
}

/// What the checks found, a line each.
pub fn findings(drilled: &Drilled) -> String {
    let all = drilled.judgements.iter().flat_map(|j| &j.findings);
    all.map(|f| format!("{} {}: {}\n", f.verdict, f.rule, f.message)).collect()
}

/// What a machine too busy to keep time makes of a verdict: on it, nothing may come about in time that
/// could be judged.
fn doubted(drilled: &Drilled) -> bool {
    let starved = lives(drilled).iter().any(|e| matches!(e, SubjectEvent::Starved { .. }));
    let told = drilled.verdict == Verdict::Unknown && (starved || real(drilled).noise > Span::millis(100));
    if told {
        eprintln!("not judged: {}", findings(drilled));
    }
    told
}

pub fn passes(drilled: &Drilled) {
    assert!(drilled.verdict == Verdict::Pass || doubted(drilled), "{}", findings(drilled));
}

/// The drill got this verdict by this rule.
pub fn told(drilled: &Drilled, verdict: Verdict, rule: &str) -> String {
    let found = drilled.judgements.iter().flat_map(|j| &j.findings).find(|f| &*f.rule == rule);
    let found = found.unwrap_or_else(|| panic!("no {rule}:\n{}", findings(drilled)));
    if verdict != Verdict::Fail || !doubted(drilled) {
        assert_eq!(found.verdict, verdict, "{}", found.message);
        assert_eq!(drilled.verdict, verdict, "{}", findings(drilled));
    }
    found.message.clone()
}

/// How the real clock went.
pub fn real(drilled: &Drilled) -> RealTime {
    drilled.trace.head.real.expect("a drill in real time")
}

/// What happened to the subject, in order.
pub fn lives(drilled: &Drilled) -> Vec<&SubjectEvent> {
    let event = |e: &'_ firedrill::trace::Event| matches!(e.what, What::Subject(_));
    let all = drilled.trace.events.iter().filter(|e| event(e));
    all.filter_map(|e| match &e.what {
        What::Subject(event) => Some(event),
        _ => None,
    })
    .collect()
}

/// Processes that run (zombies do not) with `mark` in their environment.
pub fn alive(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let path = entry.path();
        let environ = std::fs::read(path.join("environ")).unwrap_or_default();
        if environ.windows(mark.len()).any(|w| w == mark.as_bytes()) {
            let command = std::fs::read(path.join("cmdline")).unwrap_or_default();
            found.push(format!(
                "{} {}",
                path.display(),
                String::from_utf8_lossy(&command).replace('\0', " ")
            ));
        }
    }
    found
}
