//! Lives of a small Python service and of a job: judged, triggered, killed, stopped, paused.

use firedrill::drill::skip;
use firedrill::finding::Verdict;
use firedrill::pacing::Pacing;
use firedrill::time::{At, Span};
use firedrill::trace::{Outcome, SubjectEvent, What};

use super::common::*;

pub fn a_service_in_another_language_is_judged_by_the_wire() {
    if !there("python3") {
        return;
    }
    let drill = drill_of(
        "faults: [{ on: billing POST /v1/invoices, attempts: 1, do: { error: { kind: unavailable } } }]",
    );
    let drilled = run(&drill, &poller(""), 1);
    passes(&drilled);
    let real = real(&drilled);
    assert!(real.begins_at.0 > 0 && real.noise > Span::ZERO, "{real:?}");
    // What it writes is part of the trace.
    let said = |line: &str| {
        drilled.trace.events.iter().any(|e| matches!(&e.what, What::Log { line: l, .. } if l.contains(line)))
    };
    assert!(said("ready to bill") && said("sync failed: HTTPError"));
}

pub fn a_fresh_key_on_each_attempt_is_found_over_the_wire_too() {
    if !there("python3") {
        return;
    }
    let drill =
        drill_of("faults: [{ on: billing POST /v1/invoices, calls: 1, do: { reset: after_applied } }]");
    let drilled = run(&drill, &poller("fresh_key"), 1);
    assert_eq!(drilled.verdict, Verdict::Fail);
    assert!(findings(&drilled).contains("fail idempotency/"), "{}", findings(&drilled));
}

pub fn a_killed_service_starts_again_on_the_same_state() {
    if !there("python3") {
        return;
    }
    let drill = drill_of(
        "faults: [{ on: billing POST /v1/invoices, calls: 2, do: { kill: { moment: after_applied, restart_after: 100ms } } }]",
    );
    let drilled = run(&drill, &poller(""), 1);
    passes(&drilled);
    let lives = lives(&drilled);
    assert!(lives.contains(&&SubjectEvent::Killed), "{lives:?}");
    assert!(lives.contains(&&SubjectEvent::Started { incarnation: 2 }), "{lives:?}");
    assert_eq!(lives.last(), Some(&&SubjectEvent::Stopped));
}

pub fn a_stopped_service_winds_up_and_one_that_does_not_is_found() {
    if !there("python3") {
        return;
    }
    let faults = "faults: [{ on: subject, window: 300ms..400ms, do: { stop: { restart_after: 100ms, deadline: 700ms } } }]";
    let drilled = run(&drill_of(faults), &poller(""), 1);
    passes(&drilled);
    assert!(lives(&drilled).contains(&&SubjectEvent::Stopped));
    let mut deaf = poller("ignores_sigterm");
    deaf.0.env.insert("EVERY_MS".to_owned(), "100".to_owned());
    told(&run(&drill_of(faults), &deaf, 1), Verdict::Fail, "liveness/overstayed");
}

pub fn a_paused_service_makes_no_call_until_it_is_let_go_on() {
    if !there("python3") {
        return;
    }
    let drill = drill_of("faults: [{ on: subject, window: 300ms..1s, do: { pause: { for: 700ms } } }]");
    let drilled = run(&drill, &poller(""), 1);
    passes(&drilled);
    let at = |wanted: &SubjectEvent| {
        drilled.trace.events.iter().find(|e| matches!(&e.what, What::Subject(s) if s == wanted)).map(|e| e.at)
    };
    let (from, to) = (at(&SubjectEvent::Paused).unwrap(), at(&SubjectEvent::Resumed).unwrap());
    let calls = drilled.trace.events.iter().filter(|e| matches!(e.what, What::Request { .. }));
    // What was under way when it was stopped may still arrive.
    let meanwhile = calls.filter(|e| e.at > from + Span::millis(100) && e.at < to).count();
    assert_eq!(meanwhile, 0);
}

pub fn jobs_are_triggered_by_post_by_signal_and_by_command() {
    if !there("python3") {
        return;
    }
    for job in ["sync", "poke", "again"] {
        let work = format!(
            "workload:\n  - {{ at: 0s, do: crm.deals.close, each: 4, times: 1 }}\n  - {{ at: 200ms, do: job {job} }}\n"
        );
        let drilled = run(&drill_of(&work), &poller("only_when_asked"), 1);
        passes(&drilled);
        let asked = SubjectEvent::Triggered {
            job: job.to_owned(),
            step: 1,
            accepted: true,
            unasked: None,
            failed: None,
        };
        assert!(lives(&drilled).contains(&&asked));
    }
    let work = "workload:\n  - { at: 0s, do: crm.deals.close, each: 4, times: 1 }\n  - { at: 200ms, do: job nightly }\n";
    let drilled = run(&drill_of(work), &poller("only_when_asked"), 1);
    let found = findings(&drilled);
    assert!(found.contains("reconciliation/missing"), "nobody did the work: {found}");
}

pub fn a_job_is_run_to_its_end_over_and_over() {
    if !there("python3") {
        return;
    }
    let drill = drill_of(
        "faults: [{ on: billing POST /v1/invoices, calls: 1, do: { error: { kind: unavailable } } }]",
    );
    let drilled = run(&drill, &program("cron.yaml"), 1);
    passes(&drilled);
    let lives = lives(&drilled);
    let ran = |wanted| lives.iter().any(|e| matches!(e, SubjectEvent::Ran { code, .. } if *code == wanted));
    assert!(ran(Some(0)) && ran(Some(1)), "{lives:?}");
}

pub fn a_job_that_never_ends_is_found() {
    if !there("python3") {
        return;
    }
    let mut hung = program("cron.yaml");
    hung.0.env.insert("BUG".to_owned(), "hangs".to_owned());
    let message = told(&run(&drill_of(""), &hung, 1), Verdict::Fail, "liveness/endless_run");
    assert!(message.contains("was still going at"), "{message}");
}

pub fn connects_that_are_refused_or_swallowed_are_seen_on_the_wire() {
    if !there("python3") {
        return;
    }
    for (act, outcome) in [("refuse", Outcome::Refused), ("black_hole", Outcome::ConnectTimeout)] {
        let drill = drill_of(&format!("faults: [{{ on: billing, window: 150ms..700ms, do: {act} }}]"));
        let subject = poller("");
        let pacing = Pacing::new(&subject.0, 1);
        if let Some(why) = skip::reason(&drill.scenario, &subject.0, &pacing, Span::mins(1)) {
            assert!(why.contains("CAP_NET_RAW"), "{why}");
            eprintln!("skipped: {why}");
            return;
        }
        let drilled = run(&drill, &subject, 1);
        passes(&drilled);
        let met = drilled.trace.events.iter().filter(
            |e| matches!(&e.what, What::Connection { vendor, outcome: o, count: 1, .. } if &**vendor == "billing" && *o == outcome),
        );
        let within =
            |at: At| (Span::millis(150)..Span::millis(900)).contains(&at.since(real(&drilled).begins_at));
        let met: Vec<At> = met.map(|e| e.at).collect();
        assert!(!met.is_empty() && met.iter().all(|at| within(*at)), "{act}: {met:?}");
        // A black hole holds the one that polls; who is refused comes again.
        assert!(act == "black_hole" || met.len() > 1, "{met:?}");
    }
}

pub fn requests_of_a_client_that_is_gone_at_once_are_no_fault_of_firedrill() {
    if !there("python3") {
        return;
    }
    // What it finds of such a client is another matter; a fault of firedrill would be an error.
    let drilled = run(&drill_of(""), &poller("leaves_at_once"), 1);
    let left =
        |e: &&firedrill::trace::Event| matches!(&e.what, What::Answer { outcome: Outcome::Abandoned, .. });
    eprintln!("{} were abandoned in the trace", drilled.trace.events.iter().filter(left).count());
    assert!(lives(&drilled).contains(&&SubjectEvent::Stopped));
}

pub fn what_a_starved_subject_does_late_is_not_held_against_it() {
    if !there("python3") {
        return;
    }
    let _hogs: Vec<Hog> = (0..3).map(|_| Hog::start()).collect();
    let drilled = run(&drill_of(""), &poller("starved"), 1);
    // Its invoices are late or missing.
    let found = findings(&drilled);
    assert_eq!(drilled.verdict, Verdict::Unknown, "{found}");
    assert!(
        found.contains("unknown reconciliation/") && found.contains("this machine was overloaded"),
        "{found}"
    );
    let starved = lives(&drilled).into_iter().any(|e| matches!(e, SubjectEvent::Starved { .. }));
    assert!(starved, "{:?}", lives(&drilled));
}

/// Keeps the first processor busy for as long as the drill takes.
struct Hog(std::process::Child);

impl Hog {
    fn start() -> Hog {
        let busy = "import os, time\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n\
                    end = time.time() + 60\nwhile time.time() < end: pass";
        Hog(std::process::Command::new("python3").args(["-c", busy]).spawn().unwrap())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn what_keeps_a_subject_from_being_judged_is_unknown_and_quotes_it() {
    if !there("python3") {
        return;
    }
    let message = told(&run(&drill_of(""), &poller("exits"), 1), Verdict::Unknown, "subject/never_ready");
    assert!(message.contains("exit code 3") && message.contains("cannot open the ledger"), "{message}");
    let mut slow = poller("never_ready");
    slow.0.ready_within = Span::secs(3);
    let message = told(&run(&drill_of(""), &slow, 1), Verdict::Unknown, "subject/never_ready");
    assert!(message.contains("not ready after 3s"), "{message}");
    let message = told(&run(&drill_of(""), &poller("floods"), 1), Verdict::Unknown, "subject/flooded");
    assert!(message.contains("20001 lines"), "{message}");
}

pub fn waits_of_its_own_are_not_held_against_a_subject_in_a_shortened_drill() {
    if !there("python3") {
        return;
    }
    // The scenario promises four seconds, the run allows one: too little for a poll every two.
    let mut slow = poller("");
    slow.0.recovers_within = Span::millis(100);
    slow.0.env.insert("EVERY_MS".to_owned(), "2000".to_owned());
    let message = told(&run(&drill_of(""), &slow, 10), Verdict::Unknown, "reconciliation/cut_short");
    assert!(message.contains("the promise allows 4s"), "{message}");
}

pub fn readiness_is_a_connection_or_a_line_too() {
    if !there("python3") {
        return;
    }
    use firedrill::scenario::ReadyWhen::{Line, Tcp};
    for ready in [Tcp("127.0.0.1:{port}".to_owned()), Line("ready to bill".to_owned())] {
        let mut subject = poller("");
        subject.0.ready = Some(ready);
        passes(&run(&drill_of(""), &subject, 1));
    }
}

/// A program of these lines of a subject file.
fn of_lines(lines: &str) -> (firedrill::scenario::Program, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("subject.yaml");
    std::fs::write(&path, lines).unwrap();
    let (program, _) = firedrill::casting::subject_file(&path).unwrap_or_else(|m| panic!("{}", m.message));
    (program, HERE.into())
}

pub fn a_subject_that_never_came_to_be_breaks_no_promise() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let junk = tempfile::tempdir().unwrap();
    let binary = junk.path().join("binary");
    std::fs::write(&binary, [5, 0, 250, 1, 89, 10, 84, 201]).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&binary, mode).unwrap();
    let binary = binary.display();
    for (lines, rule, says) in [
        (
            format!("command: [sh, -c, 'sleep 9']\nready: {{ tcp: '127.0.0.1:{port}' }}"),
            "subject/never_ready",
            "another program listens on 127.0.0.1:",
        ),
        ("command: [sh, -c, 'echo bye; exit 7']".to_owned(), "subject/not_started", "exit code 7; the last"),
        ("command: [sh, -c, 'exit 0']".to_owned(), "subject/not_started", "before it had met any vendor"),
        (
            format!("command: ['{binary}']"),
            "subject/not_started",
            "binary` could not be run: the system refused it",
        ),
        (
            "command: [sh, -c, 'sleep 9']\nready: { http: 'http://127.0.0.1:{port}/up' }\nready_within: 1s"
                .to_owned(),
            "subject/never_ready",
            "/up: connection refused",
        ),
        (
            "command: [sh, -c, 'sleep 9']\nready: { line: 'on {port}' }\nready_within: 1s".to_owned(),
            "subject/never_ready",
            "no line of its output contained `on 2",
        ),
        (
            "command: [sh, -c, 'echo no key >&2; exit 3']\nruns: { job: { every: 200ms } }".to_owned(),
            "subject/never_ran",
            "exit code 3; the last that it wrote: no key",
        ),
        ("command: [sh, -c, 'cat /dev/zero']".to_owned(), "subject/flooded", "0 lines and"),
        (
            "command: [sh, -c, 'sleep 60']\nlog: /nonexistent/x.log".to_owned(),
            "subject/no_log",
            "never a file /nonexistent/x.log",
        ),
    ] {
        // No deal is ever won: nothing is to be billed. A promise that is cut short cannot be broken.
        let drill = drill_of("workload: []\nends_at: 600ms\n");
        let drilled = run(&drill, &of_lines(&lines), 1);
        let found = drilled.judgements.iter().flat_map(|j| &j.findings);
        let bad: Vec<_> = found.filter(|f| f.verdict != Verdict::Pass).collect();
        assert!(
            drilled.verdict == Verdict::Unknown
                && bad.iter().any(|f| &*f.rule == rule && f.message.contains(says)),
            "{lines}:\n{}",
            findings(&drilled)
        );
        assert!(!findings(&drilled).contains("firedrill-subject"), "{}", findings(&drilled));
    }
}

pub fn the_last_failed_run_of_a_job_is_cited_where_its_drill_fails() {
    // It reaches a vendor each time, so that it can be judged, and bills nobody.
    let url = "env: { URL: '{vendors.crm.url}' }";
    let lines = format!(
        "command: [bash, -c, \"URL=${{{{URL##*:}}}}; exec 3<>/dev/tcp/127.0.0.1/$URL; printf 'GET / HTTP/1.0\\\\r\\\\n\\\\r\\\\n' >&3; \
         cat <&3 >/dev/null; echo no ledger; exit 3\"]\n{url}\nruns: {{ job: {{ every: 300ms }} }}"
    );
    let drilled = run(&drill_of(""), &of_lines(&lines), 1);
    let failed = drilled.judgements.iter().flat_map(|j| &j.findings).find(|f| f.verdict == Verdict::Fail);
    let cited = failed.unwrap_or_else(|| panic!("{}", findings(&drilled))).evidence.iter();
    let last = cited.filter_map(|id| drilled.trace.event(*id)).find_map(|e| match &e.what {
        What::Subject(SubjectEvent::Ran { code: Some(3), last }) => last.clone(),
        _ => None,
    });
    assert_eq!(last.as_deref(), Some("the last that it wrote: no ledger"));
}

pub fn a_trigger_that_comes_to_nothing_leaves_the_drill_unknown_and_says_why() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (how, why) in [
        ("{ run: ['false'] }".to_owned(), "exit code 1, and it wrote nothing"),
        (
            "{ run: [sh, -c, 'echo no table; exit 3'] }".to_owned(),
            "exit code 3; the last that it wrote: no table",
        ),
        ("{ run: [sh, -c, 'kill -9 $$'] }".to_owned(), "ended by SIGKILL"),
        ("{ run: ['{state}/sync'] }".to_owned(), "there is no program at "),
        (format!("{{ post: 'http://127.0.0.1:{port}/sync' }}"), "the connection was refused"),
    ] {
        let lines = format!("command: [sh, -c, 'sleep 60']\njobs: {{ sync: {how} }}");
        let drill = drill_of("workload: [{ at: 0s, do: job sync }]\nends_at: 600ms\n");
        let drilled = run(&drill, &of_lines(&lines), 1);
        let message = told(&drilled, Verdict::Unknown, "faults/step_failed");
        assert!(message.contains(why), "{message}");
    }
}

pub fn a_line_that_is_awaited_is_filled_in() {
    let lines = "command: [sh, -c, 'echo on {port}; exec sleep 60']\nready: { line: 'on {port}' }";
    let drilled = run(&drill_of("workload: []\nends_at: 600ms\n"), &of_lines(lines), 1);
    assert!(lives(&drilled).contains(&&SubjectEvent::Ready), "{}", findings(&drilled));
}

pub fn a_busy_port_is_told_in_the_subjects_own_words() {
    if !there("python3") {
        return;
    }
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut subject = poller("");
    subject.0.env.insert("PORT".to_owned(), busy.local_addr().unwrap().port().to_string());
    let message = told(&run(&drill_of(""), &subject, 1), Verdict::Unknown, "subject/never_ready");
    assert!(message.contains("Address already in use"), "{message}");
}

pub fn a_log_file_is_part_of_the_trace() {
    let (mut subject, here) = program("cron.yaml");
    let script =
        "while :; do echo '{{\"level\":\"warn\",\"m\":\"in the file\"}}' >> $0/app.log; sleep 0.2; done";
    subject.command = ["sh", "-c", script, "{state}"].map(str::to_owned).to_vec();
    subject.runs = firedrill::scenario::Runs::Service;
    subject.log = Some("{state}/app.log".to_owned());
    let drilled = run(&drill_of(""), &(subject, here), 1);
    let logged = drilled.trace.events.iter().any(
        |e| matches!(&e.what, What::Log { level, line } if level == "warn" && line.contains("in the file")),
    );
    assert!(logged);
}
