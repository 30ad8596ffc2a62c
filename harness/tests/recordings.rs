//! 132 exchanges that others recorded with the live GitHub API: all import, none leaks, each
//! answers its own request.
//!
//! The data is no part of the project. Without it (`../shared/data`, or `FIREDRILL_SHARED_DATA`)
//! each test says so and is counted as ignored.

mod data;
mod stub;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use firedrill::fixture::{Body, Exchange, Fixture, Redactor, Replay, Rules, nock, scan, scanned};
use firedrill::scenario::ReplayMode;
use firedrill::time::{At, Span};
use firedrill::vendor::Vendor;
use firedrill::wire::Request;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// A test over the recordings of one kind (`raw`, `normalized`).
type Facts = fn(&Files) -> Result<(), Failed>;

const FACTS: [(&str, &str, Facts); 8] = [
    ("all_132_recorded_exchanges_import", "raw", all_import),
    ("all_71_cleaned_exchanges_import", "normalized", cleaned_import),
    ("the_archive_is_the_only_binary_body_and_is_whole", "raw", one_archive),
    ("nothing_that_is_left_looks_like_a_secret", "raw", nothing_suspicious),
    ("of_7963_recorded_texts_none_may_be_taken_for_a_key", "raw", few_doubts),
    ("no_credential_survives_the_import", "raw", no_credential),
    ("each_recording_answers_its_own_request", "raw", answers_itself),
    ("a_run_reads_back_from_disk_as_it_was_imported", "raw", reads_back),
];

/// Files by the name of their scenario, imported.
type Files = BTreeMap<String, Vec<Exchange>>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = FACTS.into_iter().map(|(name, kind, fact)| {
        Trial::ignorable_test(name, move || match data::shared(data::OCTOKIT) {
            // Printed beside the test's name.
            Err(absent) => Ok(Completion::ignored_with(absent)),
            Ok(folder) => fact(&read(&folder, kind)?).map(|()| Completion::Completed),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn read(folder: &Path, kind: &str) -> Result<Files, Failed> {
    let mut files = Files::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let file = entry.path().join(format!("{kind}-fixture.json"));
        let exchanges =
            nock::import(&std::fs::read_to_string(&file)?).map_err(|e| format!("{}: {e}", file.display()))?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), exchanges);
    }
    Ok(files)
}

fn counts(files: &Files, of: impl Fn(&Exchange) -> String) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for exchange in files.values().flatten() {
        *counts.entry(of(exchange)).or_default() += 1;
    }
    counts
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("found {found:?}, expected {expected:?}").into()) }
}

fn pairs(of: &[(&str, usize)]) -> BTreeMap<String, usize> {
    of.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

/// `Tue, 19 Jul 2022 04:39:16 GMT` → `Jul 2022`.
fn month(exchange: &Exchange) -> String {
    exchange.response.headers.get("date").and_then(|d| d.get(8..16)).unwrap_or("none").to_owned()
}

fn all_import(files: &Files) -> Result<(), Failed> {
    same(files.len(), 22)?;
    same(counts(files, month), pairs(&[("Jan 2024", 5), ("Jul 2022", 127)]))?;
    same(
        counts(files, |e| e.request.method.clone()),
        pairs(&[("DELETE", 23), ("GET", 32), ("PATCH", 8), ("POST", 55), ("PUT", 14)]),
    )?;
    let body = |b: &Option<Body>| match b {
        None => "none",
        Some(Body::Json(_)) => "json",
        Some(Body::Text(_)) => "text",
        Some(Body::Base64(_)) => "base64",
        Some(Body::Omitted(_)) => "omitted",
    };
    same(
        counts(files, |e| body(&e.response.body).to_owned()),
        pairs(&[("base64", 1), ("json", 100), ("none", 28), ("text", 3)]),
    )
}

fn cleaned_import(files: &Files) -> Result<(), Failed> {
    same(files.len(), 22)?;
    same(counts(files, month), pairs(&[("Oct 2017", 71)]))
}

fn one_archive(files: &Files) -> Result<(), Failed> {
    let binary: Vec<&Exchange> =
        files.values().flatten().filter(|e| matches!(e.response.body, Some(Body::Base64(_)))).collect();
    same(binary.len(), 1)?;
    let bytes = binary[0].response.body.as_ref().map(Body::bytes).unwrap_or_default();
    same(&bytes[..2], &[0x1f, 0x8b][..])?;
    same(binary[0].response.headers.get("content-type"), Some("application/x-gzip"))
}

/// GitHub's ids, node ids, ETags, request ids and commits are known for what they are.
fn few_doubts(files: &Files) -> Result<(), Failed> {
    let clean = Redactor::new(Rules::default());
    let mut doubts: BTreeMap<String, usize> = BTreeMap::new();
    for doubt in files.values().flatten().flat_map(|e| scanned(e, &clean).doubts) {
        *doubts.entry(format!("{}, {}", doubt.at, doubt.looks_like)).or_default() += 1;
    }
    same(files.values().flatten().map(values).sum::<usize>(), 7963)?;
    same(doubts, pairs(&[]))
}

/// How many texts an exchange holds.
fn values(exchange: &Exchange) -> usize {
    fn texts(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::String(_) => 1,
            serde_json::Value::Array(items) => items.iter().map(texts).sum(),
            serde_json::Value::Object(members) => members.values().map(texts).sum(),
            _ => 0,
        }
    }
    let body = |body: &Option<Body>| match body {
        Some(Body::Json(value)) => texts(value),
        Some(_) => 1,
        None => 0,
    };
    let Exchange { request, response } = exchange;
    request.headers.0.len() + response.headers.0.len() + body(&request.body) + body(&response.body)
}

/// The scan holds none of GitHub's own answers back: ids, cursors and hashes are no secrets.
fn nothing_suspicious(files: &Files) -> Result<(), Failed> {
    let clean = Redactor::new(Rules::default());
    for exchange in files.values().flatten() {
        same(scan(exchange, &clean), Vec::new())?;
    }
    Ok(())
}

fn no_credential(files: &Files) -> Result<(), Failed> {
    for exchange in files.values().flatten() {
        let sent = exchange.request.headers.get("authorization").unwrap_or_default();
        same(sent.split(' ').next_back().map(|s| s.starts_with("REDACTED-")), Some(true))?;
        let text = serde_json::to_string(exchange)?;
        if text.contains("0000000000000000000000000000000000000001") {
            return Err(format!("a token is left in {text}").into());
        }
    }
    Ok(())
}

fn run(exchanges: &[Exchange]) -> Fixture {
    Fixture {
        origin: "octokit/fixtures".to_owned(),
        recorded: jiff::civil::date(2022, 7, 19),
        exchanges: exchanges.to_vec(),
        ..Fixture::default()
    }
}

fn answers_itself(files: &Files) -> Result<(), Failed> {
    for (name, exchanges) in files {
        let mut vendor: Replay = Replay::new(
            Box::new(stub::Notes::new()),
            &run(exchanges),
            ReplayMode::Sequence,
            jiff::Timestamp::UNIX_EPOCH,
        );
        for exchange in exchanges {
            let request = Request {
                method: exchange.request.method.as_str().into(),
                target: exchange.request.target.clone(),
                headers: exchange.request.headers.clone(),
                body: exchange.request.body.as_ref().map(Body::bytes).unwrap_or_default(),
            };
            let reaction = vendor.step(At::START, &request, Span::ZERO);
            if let Some(note) = reaction.told.note {
                return Err(format!("{name}: {note}").into());
            }
            let response = reaction.response.ok_or("no response")?;
            same(response.status, exchange.response.status)?;
            same(response.body, exchange.response.body.as_ref().map(Body::bytes).unwrap_or_default())?;
        }
    }
    Ok(())
}

fn reads_back(files: &Files) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    for (name, exchanges) in files {
        let (file, run) = (Fixture::path(folder.path(), "github", name), run(exchanges));
        run.write(&file)?;
        same(Fixture::read(&file)?, run)?;
    }
    Ok(())
}
