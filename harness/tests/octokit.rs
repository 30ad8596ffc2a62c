//! Real recordings served on real sockets: 132 exchanges that others recorded with the live GitHub
//! API, asked for again by a plain client inside a drill, undisturbed and under faults.
//!
//! The data is no part of the project. Without it (`../shared/data`, or `FIREDRILL_SHARED_DATA`)
//! each test says so and is counted as ignored.

#[path = "octokit/asker.rs"]
mod asker;
mod data;
mod provider;
#[path = "octokit/same.rs"]
mod same;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use asker::{Asker, Seen};
use firedrill::drill::{Drilled, run};
use firedrill::fault::{ErrorKind, path_matches};
use firedrill::finding::Verdict;
use firedrill::fixture::{Exchange, Fixture, nock};
use firedrill::seed::Seed;
use firedrill::time::Span;
use firedrill::trace::{Outcome, Told, What};
use firedrill::{casting, plan};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use same::{dialect, ensure, equal, unchanged};

/// The recordings, with how many exchanges each holds.
const RECORDINGS: [(&str, usize); 22] = [
    ("add-and-remove-repository-collaborator", 8),
    ("add-labels-to-issue", 4),
    ("branch-protection", 7),
    ("create-file", 3),
    ("create-status", 7),
    ("errors", 3),
    ("get-archive", 5),
    ("get-content", 2),
    ("get-organization", 1),
    ("get-repository", 1),
    ("get-root", 1),
    ("git-refs", 9),
    ("labels", 7),
    ("lock-issue", 5),
    ("mark-notifications-as-read", 1),
    ("markdown", 2),
    ("paginate-issues", 20),
    ("project-cards", 14),
    ("release-assets", 10),
    ("release-assets-conflict", 10),
    ("rename-repository", 7),
    ("search-issues", 5),
];

/// What goes wrong once, in the middle of a recording.
#[derive(Clone, Copy)]
enum Trouble {
    Limit,
    SecondaryLimit,
    ResetBefore,
    ResetAfter,
    Truncation,
    Hang,
}

const TROUBLES: [(Trouble, &str, &str); 6] = [
    (
        Trouble::Limit,
        "a_429_says_when_to_come_back",
        "{ error: { kind: rate_limited, status: 429, retry_after: 30s } }",
    ),
    (
        Trouble::SecondaryLimit,
        "a_403_of_the_secondary_limit_says_so",
        "{ error: { kind: secondary_rate_limited, status: 403, retry_after: 60s } }",
    ),
    (Trouble::ResetBefore, "a_reset_before_the_answer_is_retried", "{ reset: before_applied }"),
    (Trouble::ResetAfter, "an_answer_lost_to_a_reset_is_given_again", "{ reset: after_applied }"),
    (Trouble::Truncation, "a_truncated_answer_is_given_again", "{ truncate: { after: 20 } }"),
    (Trouble::Hang, "an_answer_that_never_comes_is_given_again", "{ hang: after_applied }"),
];

type Fact = Box<dyn Fn(&[Exchange]) -> Result<(), Failed> + Send>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = vec![trial("the_recordings_are_those_that_are_known", known)];
    for (name, _) in RECORDINGS {
        trials.push(of(name, "is_answered_as_it_was_recorded", Box::new(undisturbed)));
        trials.push(of(name, "what_the_client_holds_costs_304", Box::new(conditional)));
        for (trouble, fact, act) in TROUBLES {
            trials.push(of(name, fact, Box::new(move |run| disturbed(run, trouble, act))));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn of(name: &'static str, fact: &str, check: Fact) -> Trial {
    trial(&format!("{name}::{fact}"), move |folder| {
        let file = folder.join(name).join("raw-fixture.json");
        let exchanges =
            nock::import(&std::fs::read_to_string(&file)?).map_err(|e| format!("{}: {e}", file.display()))?;
        check(&exchanges)
    })
}

fn trial(name: &str, check: impl Fn(&Path) -> Result<(), Failed> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        match data::shared(data::OCTOKIT) {
            // Printed beside the test's name.
            Err(absent) => Ok(Completion::ignored_with(absent)),
            Ok(folder) => check(&folder).map(|()| Completion::Completed),
        }
    })
}

fn known(folder: &Path) -> Result<(), Failed> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(path.join("raw-fixture.json"))?;
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        found.insert(name, nock::import(&text)?.len());
    }
    equal("exchanges in all", &found.values().sum(), &132)?;
    equal("recordings", &found, &RECORDINGS.map(|(n, count)| (n.to_owned(), count)).into())
}

/// A drill, and what its client saw.
struct Drill {
    drilled: Drilled,
    seen: Vec<Seen>,
}

/// Writes the recording and a drill of it to disk, and runs it as any drill is run.
fn drill(exchanges: &[Exchange], faults: &str, conditional: bool) -> Result<Drill, Failed> {
    let folder = tempfile::tempdir()?;
    let recorded = Fixture {
        origin: "octokit/fixtures".to_owned(),
        recorded: jiff::civil::date(2022, 7, 19),
        exchanges: exchanges.to_vec(),
        ..Fixture::default()
    };
    recorded.write(&folder.path().join("run.json"))?;
    let file = folder.path().join("drill.yaml");
    let waits = faults.contains("retry_after");
    let expect = if waits { "expect: { retry_after: { obeyed_up_to: 15m } }\n" } else { "" };
    std::fs::write(
        &file,
        format!(
            "drill: A recording is asked for again\nwhy: It is what GitHub said\nfamily: other\n\
             vendors: {{ github: {{ vendor: github, fixtures: {{ run: run.json, mode: sequence }} }} }}\n\
             faults: [{faults}]\n{expect}heal_at: 5m\nends_at: 10m\n"
        ),
    )?;
    let bundled = Path::new("no folder: the bundled vendors");
    let loaded = plan::load(&[file], &|vendor| casting::facts(vendor, bundled).map(Some))
        .map_err(|mistakes| format!("{mistakes:?}"))?;
    let plan = casting::plan(&loaded[0], bundled).map_err(|mistake| format!("{mistake:?}"))?;
    let once = || -> Result<(Drilled, Vec<Seen>), Failed> {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let asker = Asker { exchanges: recorded.exchanges.clone(), conditional, seen: seen.clone() };
        let drilled = run(&plan, Seed(1), &asker)?;
        Ok((drilled, seen.take()))
    };
    let (drilled, seen) = once()?;
    let trace = |drilled: &Drilled| -> Result<Vec<u8>, Failed> {
        let mut text = Vec::new();
        drilled.trace.write_jsonl(&mut text)?;
        Ok(text)
    };
    ensure(trace(&drilled)? == trace(&once()?.0)?, "a second run left another trace")?;
    Ok(Drill { drilled, seen })
}

/// Requests and answers of the trace belong together, `attempts` of each, none without a recording.
fn answers(drilled: &Drilled, attempts: usize) -> Result<Vec<(Outcome, Told)>, Failed> {
    let mut asked = Vec::new();
    let mut answers = BTreeMap::new();
    for event in &drilled.trace.events {
        match &event.what {
            What::Request { call, .. } => asked.push(*call),
            What::Answer { call, outcome, told, .. } => {
                equal("the note", &told.note, &None)?;
                ensure(answers.insert(*call, (*outcome, told.clone())).is_none(), "an answer came twice")?;
            }
            _ => {}
        }
    }
    equal("attempts in the trace", &asked.len(), &attempts)?;
    equal("answers in the trace", &answers.keys().copied().collect(), &asked)?;
    Ok(answers.into_values().collect())
}

fn passes(drilled: &Drilled) -> Result<(), Failed> {
    let doubts: Vec<_> = drilled.judgements.iter().filter(|j| j.verdict != Verdict::Pass).collect();
    ensure(doubts.is_empty() && drilled.verdict == Verdict::Pass, &format!("{doubts:?}"))?;
    let replayed = drilled.judgements.iter().find(|j| &*j.check == "fixture");
    ensure(replayed.is_some_and(|j| j.judged > 0), "nobody judged whether recordings answered")
}

/// It fails by this rule and no other, and nothing is left in doubt.
fn fails_by(drilled: &Drilled, rule: &str) -> Result<(), Failed> {
    let findings: Vec<_> = drilled.judgements.iter().flat_map(|j| &j.findings).collect();
    let only = findings.iter().all(|f| &*f.rule == rule && f.verdict == Verdict::Fail);
    ensure(!findings.is_empty() && only, &format!("{findings:?}"))
}

fn undisturbed(recorded: &[Exchange]) -> Result<(), Failed> {
    let Drill { drilled, seen } = drill(recorded, "", false)?;
    passes(&drilled)?;
    for (outcome, _) in answers(&drilled, recorded.len())? {
        equal("the outcome", &outcome, &Outcome::Answered)?;
    }
    equal("answers", &seen.len(), &recorded.len())?;
    for (n, (seen, exchange)) in seen.iter().zip(recorded).enumerate() {
        unchanged(seen, exchange).map_err(|e| format!("exchange {}: {e}", n + 1))?;
    }
    // What the trace keeps is the recording, under GitHub's own name.
    let kept = drilled.trace.events.iter().filter_map(|e| match &e.what {
        What::Answer { response: Some(r), .. } => Some(r),
        _ => None,
    });
    for (kept, exchange) in kept.zip(recorded) {
        let body = exchange.response.body.as_ref().map(firedrill::fixture::Body::bytes).unwrap_or_default();
        equal("the body in the trace", &kept.body, &body)?;
    }
    Ok(())
}

/// Each read is followed by one that names the ETag that came with it (RFC 9110 §13.1.2). A 304
/// costs nothing: the quota it shows is the one that was shown before.
fn conditional(recorded: &[Exchange]) -> Result<(), Failed> {
    let tagged = |e: &&Exchange| {
        e.request.method == "GET" && e.response.status == 200 && e.response.headers.get("etag").is_some()
    };
    let held = recorded.iter().filter(tagged).count();
    let Drill { drilled, seen } = drill(recorded, "", true)?;
    passes(&drilled)?;
    answers(&drilled, recorded.len() + held)?;
    let (again, first): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|s| s.conditional);
    equal("conditional reads", &again.len(), &held)?;
    for (seen, exchange) in first.iter().zip(recorded) {
        unchanged(seen, exchange)?;
    }
    for (seen, exchange) in again.iter().zip(recorded.iter().filter(tagged)) {
        let answer = seen.answer()?;
        equal("the status", &answer.status, &304)?;
        ensure(answer.body.is_empty(), "a 304 has a body")?;
        for name in ["etag", "x-ratelimit-remaining", "x-ratelimit-used"] {
            equal(name, &answer.headers.get(name), &exchange.response.headers.get(name))?;
        }
        equal("the type", &answer.headers.get("content-type"), &None)?;
    }
    Ok(())
}

/// One fault hits the exchange in the middle; every exchange ends as it was recorded all the same.
fn disturbed(recorded: &[Exchange], trouble: Trouble, act: &str) -> Result<(), Failed> {
    let hit = recorded.len() / 2;
    let fault = format!("{{ on: github, calls: {}, do: {act} }}", hit + 1);
    let Drill { drilled, seen } = drill(recorded, &fault, false)?;
    // The client repeats a create although it was applied and only its answer was lost. Where the
    // model knows that it is one, that is found, in real traffic as in any other.
    let lost = matches!(trouble, Trouble::ResetAfter | Trouble::Truncation | Trouble::Hang);
    let request = &recorded[hit].request;
    if lost && request.method == "POST" && path_matches("/repos/{owner}/{repo}/issues", &request.target) {
        fails_by(&drilled, "idempotency/applied_twice")?;
    } else {
        passes(&drilled)?;
    }
    let answers = answers(&drilled, recorded.len() + 1)?;
    equal("attempts", &seen.len(), &(recorded.len() + 1))?;
    for (n, exchange) in recorded.iter().enumerate() {
        unchanged(&seen[if n < hit { n } else { n + 1 }], exchange)
            .map_err(|e| format!("exchange {}: {e}", n + 1))?;
    }
    let (outcome, told) = &answers[hit];
    let (failed, again) = (&seen[hit], &seen[hit + 1]);
    let waited = again.asked.since(failed.ended);
    match trouble {
        Trouble::Limit => {
            equal("told", &told.error, &Some(ErrorKind::RateLimited))?;
            equal("told to wait", &told.retry_at, &Some(failed.asked + Span::secs(30)))?;
            dialect(failed, 429, "API rate limit exceeded", Span::secs(30))?;
            same::spent(failed)?;
            ensure(waited >= Span::secs(30), "the client did not wait")?;
        }
        Trouble::SecondaryLimit => {
            equal("told", &told.error, &Some(ErrorKind::SecondaryRateLimited))?;
            equal("told to wait", &told.retry_at, &Some(failed.asked + Span::secs(60)))?;
            dialect(failed, 403, "You have exceeded a secondary rate limit", Span::secs(60))?;
            ensure(waited >= Span::secs(60), "the client did not wait")?;
        }
        Trouble::ResetBefore | Trouble::ResetAfter => {
            equal("the outcome", outcome, &Outcome::Reset)?;
            same::is_reset(failed.error()?)?;
        }
        Trouble::Truncation => {
            equal("the outcome", outcome, &Outcome::Truncated)?;
            same::is_cut_short(failed.error()?)?;
        }
        Trouble::Hang => {
            equal("the outcome", outcome, &Outcome::Abandoned)?;
            ensure(failed.error()?.is_timeout(), "the error is no timeout")?;
            equal("patience", &failed.ended.since(failed.asked), &asker::PATIENCE)?;
        }
    }
    Ok(())
}
