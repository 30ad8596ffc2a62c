//! Kill, stop and restart; state, secrets, clock, jobs, logs, alerts.

use std::cell::RefCell;
use std::rc::Rc;

use axum::routing::{get, post};
use firedrill::drill::{self, DrillError};
use firedrill::finding::Verdict;
use firedrill::seed::Seed;
use firedrill::subject::{Endpoints, Start};
use firedrill::trace::{Outcome, SubjectEvent, Trace, What};
use serde_json::json;

use crate::toy::*;

fn lives(trace: &Trace) -> Vec<(u64, String)> {
    pick(trace, |at, w| match w {
        What::Subject(e) => {
            let v = serde_json::to_value(e).unwrap();
            Some((ms(at), v["is"].as_str().unwrap().to_owned()))
        }
        _ => None,
    })
}

fn names(trace: &Trace) -> String {
    lives(trace).iter().map(|(at, what)| format!("{what}@{at}")).collect::<Vec<_>>().join(" ")
}

/// Writes down each life in its state folder, and POSTs once a second.
async fn diligent(start: Start, lives: Rc<RefCell<Vec<String>>>) {
    let file = start.state_dir.join("lives");
    let before = std::fs::read_to_string(&file).unwrap_or_default();
    std::fs::write(&file, format!("{before}x")).unwrap();
    lives.borrow_mut().push(before);
    let client = client();
    loop {
        let _ = client.post(format!("{}/items", base(&start))).body("{}").send().await;
        pause(1_000).await;
    }
}

#[test]
fn a_killed_subject_stops_at_once_and_comes_back_on_its_state() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = seen.clone();
    let drilled = drill(
        "faults: [ { on: toy POST /items, calls: 3, do: { kill: { restart_after: 5s } } } ]\n\
         heal_at: 9s\nends_at: 10s",
        move |start| diligent(start, told.clone()),
    );
    assert_eq!(*seen.borrow(), ["", "x"]);
    assert_eq!(
        names(&drilled.trace),
        "started@0 ready@0 killed@2000 started@7000 ready@7000 stopping@10000 overstayed@40000"
    );
    assert_eq!(answers(&drilled.trace)[2], (2_000, Outcome::SubjectGone, true));
    assert_eq!(requests(&drilled.trace)[..5], [0, 1_000, 2_000, 7_000, 8_000]);
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn a_kill_before_it_is_applied_leaves_no_effect() {
    let drilled = drill(
        "faults: [ { on: toy POST /items, calls: 1, do: { kill: { restart_after: 1s, moment: before_applied } } } ]\n\
         heal_at: 3s\nends_at: 3s",
        move |start| diligent(start, Rc::default()),
    );
    assert_eq!(answers(&drilled.trace)[0], (0, Outcome::SubjectGone, false));
    assert!(answers(&drilled.trace)[1].2);
}

#[test]
fn a_subject_is_killed_and_stopped_at_the_start_of_a_window() {
    let subject = worker(|_| async {});
    let plan = plan(
        "faults:\n  - { on: subject, window: 5s..6s, do: { kill: { restart_after: 1s } } }\n  \
           - { on: subject, window: 9s..10s, do: { stop: { restart_after: 2s } } }\nends_at: 20s",
    );
    let drilled = run(&plan, Seed(1), &subject).unwrap();
    assert_eq!(
        names(&drilled.trace),
        "started@0 ready@0 killed@5000 started@6000 ready@6000 stopping@9000 stopped@9000 \
         started@11000 ready@11000 stopping@20000 stopped@20000"
    );
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn what_outlives_the_subject_is_called_a_straggler() {
    let drilled = drill(
        "faults: [ { on: subject, window: 2s..3s, do: { kill: { restart_after: 5s } } } ]\nends_at: 20s",
        |start| async move {
            let url = base(&start);
            tokio::spawn(async move {
                pause(4_000).await;
                let _ = client().get(url).send().await;
            });
            std::future::pending::<()>().await;
        },
    );
    let stragglers = pick(&drilled.trace, |at, w| match w {
        What::Subject(SubjectEvent::Straggler { call }) => Some((ms(at), call.0)),
        _ => None,
    });
    assert_eq!(stragglers, [(4_000, 0)]);
}

const KILLED_AT_2S: &str =
    "faults: [ { on: subject, window: 2s..3s, do: { kill: { restart_after: 5s } } } ]\nends_at: 20s";

#[test]
fn tasks_that_outlive_a_kill_are_noticed_at_the_next_start() {
    let drilled = run(
        &plan(KILLED_AT_2S),
        Seed(1),
        &worker(|_| async {
            tokio::spawn(pause(60_000));
            std::future::pending::<()>().await;
        }),
    )
    .unwrap();
    assert_eq!(
        names(&drilled.trace),
        "started@0 ready@0 killed@2000 outlived@7000 started@7000 ready@7000 stopping@20000 overstayed@50000"
    );
}

#[test]
fn tasks_that_outlive_a_kill_are_noticed_at_a_start_of_the_same_moment_and_those_that_end_are_not() {
    let at_once =
        "faults: [ { on: subject, window: 2s..3s, do: { kill: { restart_after: 0s } } } ]\nends_at: 20s";
    let outlived = |spawn: fn()| {
        let subject = worker(move |_| async move {
            spawn();
            std::future::pending::<()>().await;
        });
        names(&run(&plan(at_once), Seed(1), &subject).unwrap().trace)
    };
    let told = outlived(|| drop(tokio::spawn(pause(60_000))));
    assert!(
        told.starts_with("started@0 ready@0 killed@2000 outlived@2000 started@2000 ready@2000"),
        "{told}"
    );
    let ended = run(
        &plan(at_once),
        Seed(1),
        &worker(|_| async {
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(pause(60_000));
            std::future::pending::<()>().await;
        }),
    );
    assert!(!names(&ended.unwrap().trace).contains("outlived"));
}

#[test]
fn what_is_spawned_locally_dies_with_the_subject() {
    let drilled = drill(KILLED_AT_2S, |start| async move {
        let url = base(&start);
        tokio::task::spawn_local(async move {
            pause(4_000).await;
            let _ = client().get(url).send().await;
        });
        std::future::pending::<()>().await;
    });
    assert_eq!(requests(&drilled.trace), [11_000], "only the second life gets to its call");
}

#[test]
fn connections_of_clients_and_servers_outlive_no_kill() {
    for fault in ["black_hole", "{ slow_accept: 4s }", "{ stall: { after: 3 } }", "refuse"] {
        let drilled = drill(
            &format!(
                "faults:\n  - {{ on: toy, window: 1s..9s, do: {fault} }}\n  \
                   - {{ on: subject, window: 2s..3s, do: {{ kill: {{ restart_after: 1s }} }} }}\nends_at: 20s"
            ),
            |start| async move {
                let (client, url) = (client(), base(&start));
                let _ = client.get(&url).send().await;
                pause(1_500).await;
                let ask = async || {
                    let _ = client.get(&url).send().await;
                };
                tokio::join!(ask(), ask(), ask());
                std::future::pending::<()>().await;
            },
        );
        assert!(
            names(&drilled.trace).contains("killed@2000 started@3000"),
            "{fault}: {}",
            names(&drilled.trace)
        );
    }
}

#[test]
fn a_subject_that_ends_by_itself_is_not_started_again() {
    let subject = Closure(|start: Start| -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(async move {
            start.ready.set(Endpoints::default());
            pause(500).await;
            Err(format!("no route to {}", start.vendors["toy"].base_url))
        })
    });
    let drilled = run(&plan("ends_at: 9s"), Seed(1), &subject).unwrap();
    assert_eq!(names(&drilled.trace), "started@0 ready@0 exited@500");
    assert!(jsonl(&drilled.trace).contains("no route to https://api.toy.test"));
}

#[test]
fn a_subject_that_never_waits_is_ended_with_a_verdict() {
    let busy = Closure(|start: Start| -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(async move {
            start.ready.set(Endpoints::default());
            pause(500).await;
            loop {
                // A wait for a moment that has passed.
                tokio::time::sleep_until(tokio::time::Instant::now()).await;
            }
        })
    });
    let drilled = drill::run(&plan("ends_at: 9h"), Seed(1), &busy).unwrap();
    assert_eq!(drilled.verdict, Verdict::Fail);
    let rules: Vec<&str> = drilled.judgements.iter().flat_map(|j| &j.findings).map(|f| &*f.rule).collect();
    assert!(rules.contains(&"liveness/spinning"), "{rules:?}");
    let last = drilled.trace.events.last().unwrap().at;
    assert!(last.0 < 600_000, "the drill ends where time stood still, not at {last}");
}

#[test]
fn a_subject_that_panics_or_never_gets_ready_makes_the_drill_unknown() {
    let subject = Closure(|_: Start| -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(async { panic!("no configuration") })
    });
    let drilled = run(&plan("ends_at: 9s"), Seed(1), &subject).unwrap();
    assert_eq!(drilled.verdict, Verdict::Unknown);
    assert_eq!(
        drilled.judgements[0].findings[0].message,
        "the subject never got ready: it ended before it was ready: panicked: no configuration"
    );
    let silent = Closure(|_: Start| -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(std::future::pending())
    });
    assert_eq!(run(&plan("ends_at: 9s"), Seed(1), &silent).unwrap().verdict, Verdict::Unknown);
}

#[test]
fn rolled_secrets_are_put_where_the_subject_looks() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = seen.clone();
    drill("workload: [ { at: 2s, do: toy.keys.roll } ]\nends_at: 9s", move |start| {
        let told = told.clone();
        async move {
            for _ in 0..3 {
                let key = std::fs::read_to_string(start.secrets_dir.join("toy.api_key")).unwrap();
                told.borrow_mut().push(key);
                pause(1_500).await;
            }
        }
    });
    assert_eq!(*seen.borrow(), ["key-1", "key-1", "key-2"]);
}

#[test]
fn a_skewed_clock_is_put_right_when_its_window_ends() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let told = seen.clone();
    drill(
        "faults: [ { on: subject, window: 2s..4s, do: { clock_skew: '-10m' } } ]\nends_at: 9s",
        move |start| {
            let told = told.clone();
            async move {
                for _ in 0..3 {
                    told.borrow_mut().push(start.clock.now().to_string());
                    pause(2_500).await;
                }
            }
        },
    );
    assert_eq!(*seen.borrow(), ["2026-03-02T09:00:00Z", "2026-03-02T08:50:02.5Z", "2026-03-02T09:00:05Z"]);
}

/// Serves `router` and names one job and one exposed page.
async fn serve(start: &Start, router: axum::Router) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    start.ready.set(Endpoints {
        webhooks: Default::default(),
        jobs: [("sync".to_owned(), format!("{at}/jobs/sync"))].into(),
        exposed: [("health".to_owned(), format!("{at}/health"))].into(),
        ..Endpoints::default()
    });
    axum::serve(listener, router).await.unwrap();
}

#[test]
fn jobs_alerts_logs_and_exposures_are_in_the_trace() {
    let subject = Closure(|start: Start| -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(async move {
            let (alert_url, vendor) = (start.alert_url.clone(), base(&start));
            let router = axum::Router::new().route("/health", get(|| async { "well" })).route(
                "/jobs/sync",
                post(move || {
                    let (alert_url, vendor) = (alert_url.clone(), vendor.clone());
                    async move {
                        tracing::warn!(vendor, "syncing");
                        let body = json!({ "kind": "late", "about": vendor });
                        client().post(&alert_url).json(&body).send().await.unwrap();
                    }
                }),
            );
            let mut stop = start.stop.clone();
            tokio::select! {
                biased;
                _ = stop.wait_for(|s| *s) => {}
                () = serve(&start, router) => {}
            }
            Ok(())
        })
    });
    let plan = plan("workload: [ { at: 1s, do: job sync }, { at: 2s, do: job nap } ]\nends_at: 9s");
    let drilled = run(&plan, Seed(1), &subject).unwrap();
    let said: Vec<String> = pick(&drilled.trace, |at, w| {
        let shown = match w {
            What::Alert { body, .. } => body.to_string(),
            What::Log { level, line } => format!("{level} {line}"),
            What::Exposed { what, response } => {
                format!("{what} {}", String::from_utf8_lossy(&response.as_ref().unwrap().body))
            }
            What::Subject(SubjectEvent::Triggered { job, step, accepted, unasked, .. }) => {
                format!("{job} {step} {accepted} {}", unasked.as_deref().unwrap_or("asked"))
            }
            _ => return None,
        };
        Some(format!("{} {shown}", ms(at)))
    });
    assert_eq!(
        said,
        [
            "1000 warn world::lives: syncing vendor=https://api.toy.test",
            r#"1000 {"kind":"late","about":"https://api.toy.test"}"#,
            "1000 sync 0 true asked",
            "2000 nap 1 false the subject has no job `nap`; known: `sync`",
            "9000 health well",
        ]
    );
    assert!(!jsonl(&drilled.trace).contains("127.0.0.1"));
}

#[test]
fn steps_wait_for_their_condition_and_give_each_record_its_turn() {
    let drilled = drill(
        "given: { toy.items: { count: 3 } }\n\
         workload:\n  - { at: 1s, every: 1s, do: toy.items.touch, where: 'item.state == \"new\"' }\n  \
           - { do: toy.keys.roll, when: 'toy.items.all(i, i.state == \"touched\")' }\n  \
           - { do: toy.keys.roll, when: 'toy.items.size() > 3' }\n\
         ends_at: 30s",
        |_| async {},
    );
    let steps = pick(&drilled.trace, |at, w| match w {
        What::Step { step, records, error: None, .. } => Some((ms(at), *step, records.join(","))),
        _ => None,
    });
    let step = |at, n: u32, ids: &str| (at, n, ids.to_owned());
    assert_eq!(steps, [step(1_000, 0, "1"), step(2_000, 0, "2"), step(3_000, 0, "3"), step(3_000, 1, "")]);
    assert_eq!(drilled.verdict, Verdict::Unknown);
    assert_eq!(
        drilled.judgements.last().unwrap().findings[0].message,
        "step 3, `toy.keys.roll`, still waits for `toy.items.size() > 3`"
    );
}

#[test]
fn a_subject_that_is_killed_before_it_is_ready_is_started_again_all_the_same() {
    let subject = Closure(|start: Start| -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(async move {
            client().get(format!("{}/ping", base(&start))).send().await.map_err(|e| e.to_string())?;
            start.ready.set(Endpoints::default());
            let mut stop = start.stop.clone();
            let _ = stop.wait_for(|s| *s).await;
            Ok(())
        })
    });
    let plan = plan("faults: [ { on: toy, calls: 1, do: { kill: { restart_after: 2s } } } ]\nends_at: 9s");
    let drilled = run(&plan, Seed(1), &subject).unwrap();
    assert_eq!(
        names(&drilled.trace),
        "started@0 killed@0 started@2000 ready@2000 stopping@9000 stopped@9000"
    );
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn records_are_made_from_nothing_and_what_needs_one_says_so() {
    let drilled = drill(
        "workload:\n  - { at: 1s, do: toy.items.touch }\n  - { at: 2s, every: 1s, times: 2, do: toy.items.make }\nends_at: 9s",
        |_| async {},
    );
    let steps = pick(&drilled.trace, |_, w| match w {
        What::Step { records, error, .. } => Some((records.join(","), error.clone())),
        _ => None,
    });
    let error = Some("`touch` needs an item".to_owned());
    assert_eq!(steps, [(String::new(), error), ("1".to_owned(), None), ("2".to_owned(), None)]);
    assert_eq!(drilled.verdict, Verdict::Unknown);
}

#[test]
fn attempts_that_a_kill_left_uncounted_are_no_fault_of_the_harness() {
    let lines = "workload: [ { at: 1s, do: toy.keys.roll } ]\n\
        faults: [ { on: toy, calls: 2, do: { kill: { restart_after: 1s } } } ]\nends_at: 9s";
    let drilled = drill(lines, |start| async move {
        let url = format!("{}/ping", base(&start));
        // Two at once: the first is answered at the moment at which the second has it all killed.
        let counted = async |log: &firedrill::subject::AttemptLog| {
            let sent = client().get(&url).send().await;
            log.note("toy", firedrill::subject::AttemptOutcome::Answered);
            sent.is_ok()
        };
        let (one, other) = (counted(&start.attempts), counted(&start.attempts));
        let _ = tokio::join!(biased; one, other);
        std::future::pending::<()>().await;
    });
    assert!(answers(&drilled.trace).iter().any(|a| a.1 == Outcome::SubjectGone));
}

#[test]
fn a_panic_of_firedrill_in_the_midst_of_a_drill_is_never_a_verdict() {
    let idle = worker(|_| async {});
    // The workload's own task ends by it: what comes after it is not done.
    let ran = run(
        &plan("workload: [{ at: 1s, do: toy.items.break }, { at: 2s, do: toy.items.make }]"),
        Seed(7),
        &idle,
    );
    let error = ran.map(|drilled| jsonl(&drilled.trace)).unwrap_err();
    assert!(matches!(error, DrillError::Harness(_)), "{error}");
    assert_eq!(error.to_string(), "test.yaml (seed 7): it panicked: the toy broke");
    // That of one connection, whose request is then counted and in no trace.
    let asks = worker(|start| async move {
        let _ = client().get(format!("{}/breaks", base(&start))).send().await;
    });
    let error = run(&plan("ends_at: 60s"), Seed(7), &asks).map(|drilled| jsonl(&drilled.trace)).unwrap_err();
    assert!(matches!(error, DrillError::Harness(_)), "{error}");
}
