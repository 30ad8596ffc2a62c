//! The mirror against a GitHub that goes wrong: what the naive policy loses and the mended keeps.
//!
//! In virtual time, over real sockets.

mod github;
#[path = "../../../harness/tests/stub/mod.rs"]
mod stub;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use firedrill::wire::{Headers, Response};
use github::{EPOCH, Log, Wrong};
use issue_mirror::{Mirror, Policy, SyncError};
use tempfile::TempDir;
use tokio::time::Instant;

const TRUTH: [u64; 7] = [1, 2, 3, 4, 6, 7, 8];

async fn mirror(policy: Policy, wrong: &[(u32, Wrong)]) -> (Mirror, Log, TempDir) {
    let (base, log) = github::start(Box::new(stub::Notes::new()), wrong.iter().cloned().collect()).await;
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let epoch: jiff::Timestamp = EPOCH.parse().unwrap();
    let mirror = Mirror::new(base, "secret", folder.path())
        .repository("harbour-co/tide-tables")
        .per_page(3)
        .policy(policy)
        .seed(7)
        .clock(move || SystemTime::from(epoch) + started.elapsed());
    (mirror, log, folder)
}

fn numbers(mirror: &Mirror) -> Vec<u64> {
    mirror.issues().unwrap().iter().map(|i| i.number).collect()
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Wrong {
    let headers = Headers::of(headers.iter().copied());
    Wrong::Answer(Response { status, headers, body: body.to_owned().into() })
}

/// One sync with each policy: whether the naive one has the truth, then how long the mended took.
async fn both(wrong: &[(u32, Wrong)]) -> (bool, Duration) {
    let (mut naive, _, _folder) = mirror(Policy::naive(), wrong).await;
    // It has no timeout of its own; an hour of virtual time stands for ever.
    let _ = tokio::time::timeout(Duration::from_secs(3600), naive.sync()).await;
    let (mut mended, _, _folder) = mirror(Policy::mended(), wrong).await;
    let started = Instant::now();
    mended.sync().await.unwrap();
    assert_eq!(numbers(&mended), TRUTH);
    (numbers(&naive) == TRUTH, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn without_faults_both_hold_the_issues_and_no_pull_request() {
    assert_eq!(both(&[]).await, (true, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_429_is_waited_out() {
    let wrong = [(2, answer(429, &[("retry-after", "30")], ""))];
    let (naive, took) = both(&wrong).await;
    assert!(!naive);
    assert!((30..=31).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_primary_limit_is_waited_out_until_its_reset() {
    // 09:02:00 on the drill's day.
    let reset = "1772442120";
    let wrong = [(2, answer(403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)], ""))];
    let (naive, took) = both(&wrong).await;
    assert!(!naive);
    assert!((120..=122).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_secondary_limit_costs_a_minute() {
    let wrong = [(3, answer(403, &[], r#"{"message":"You have exceeded a secondary rate limit."}"#))];
    let (naive, took) = both(&wrong).await;
    assert!(!naive);
    assert!((60..=61).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_not_retried() {
    let refusal = answer(403, &[], r#"{"message":"Resource not accessible by personal access token"}"#);
    let (mut mended, log, _folder) = mirror(Policy::mended(), &[(1, refusal)]).await;
    assert!(matches!(mended.sync().await, Err(SyncError::Page { page: 1, .. })));
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reset_a_burst_of_503_and_a_page_of_html_are_tried_again() {
    let html = answer(200, &[("content-type", "text/html")], "<h1>Unicorn!</h1>");
    for wrong in
        [vec![(2, Wrong::Reset)], (1..=4).map(|n| (n, answer(503, &[], ""))).collect(), vec![(2, html)]]
    {
        let (naive, took) = both(&wrong).await;
        assert!(!naive);
        assert!(took < Duration::from_secs(16), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_truncated_page_is_not_taken_for_an_empty_one() {
    let (mut naive, _, _folder) = mirror(Policy::naive(), &[(2, Wrong::Truncate(900))]).await;
    naive.sync().await.unwrap();
    assert_eq!(numbers(&naive), [1, 2, 3, 7, 8], "it reports success and lost a page");
    assert!(!both(&[(2, Wrong::Truncate(900))]).await.0);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_stops_coming_costs_one_timeout() {
    let (naive, took) = both(&[(2, Wrong::Stall(900))]).await;
    assert!(!naive);
    assert!((10..=11).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_read_again() {
    let statuses = |log: &Log| -> Vec<u16> { log.lock().unwrap().iter().map(|(_, _, s)| *s).collect() };
    for (policy, second) in [(Policy::naive(), 200), (Policy::mended(), 304)] {
        let (mut mirror, log, _folder) = mirror(policy, &[]).await;
        mirror.sync().await.unwrap();
        mirror.sync().await.unwrap();
        assert_eq!(statuses(&log), [200, 200, 200, second, second, second]);
        assert_eq!(numbers(&mirror), TRUTH);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_sync_leaves_the_mended_store_as_it_was() {
    let down = |n: u32| (n, answer(503, &[], ""));
    let wrong: Vec<_> = (4..=40).map(down).collect();
    for (policy, left) in [(Policy::naive(), 0), (Policy::mended(), TRUTH.len())] {
        let (mut mirror, _, _folder) = mirror(policy, &wrong).await;
        mirror.sync().await.unwrap();
        assert!(mirror.sync().await.is_err());
        assert_eq!(numbers(&mirror).len(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_never_follows_a_link_to_another_host() {
    let away = answer(
        200,
        &[
            ("content-type", "application/json"),
            ("link", "<http://127.0.0.1.evil.test/issues>; rel=\"next\""),
        ],
        "[]",
    );
    let (mut mended, log, _folder) = mirror(Policy::mended(), &[(1, away)]).await;
    assert!(matches!(mended.sync().await, Err(SyncError::Astray { page: 1, .. })));
    assert_eq!(log.lock().unwrap().len(), 1);
}

#[test]
fn the_recording_is_the_project_s_own() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/github/issues-in-three-pages.json");
    let run = firedrill::fixture::Fixture::read(file.as_ref()).unwrap();
    assert!(run.origin.starts_with("written by hand"));
    assert_eq!(run.redacted(), run, "it holds no secret");
    let statuses: BTreeMap<u16, usize> = run.exchanges.iter().fold(BTreeMap::new(), |mut all, e| {
        *all.entry(e.response.status).or_default() += 1;
        all
    });
    assert_eq!(statuses, BTreeMap::from([(200, 5), (404, 1)]));
}
