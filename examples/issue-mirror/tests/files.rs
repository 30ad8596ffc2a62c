//! The drill files say what they mean, and the subject keeps firedrill's contract: it says when
//! it is ready, shows its mirror, and stops when told to.

mod github;
#[path = "../../../harness/tests/stub/mod.rs"]
mod stub;
mod subject;

use std::collections::BTreeMap;
use std::path::Path;

use firedrill::finding::Verdict;
use firedrill::fixture::{Fixture, Replay};
use firedrill::scenario::{ReplayMode, VendorUse, parse, parse_base};
use firedrill::seed::Seed;
use firedrill::subject::{AttemptLog, Ready, Start, Subject as _, VendorAccess, WallClock};
use firedrill::time::At;
use firedrill::trace::{Cause, Event, Head, Trace, What};
use firedrill::vendor::Vendor as _;
use firedrill::wire::{Headers, Response};
use github::{EPOCH, Wrong};
use issue_mirror::{Issue, Policy};

#[test]
fn each_drill_promises_a_true_mirror_and_names_its_recordings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("drills");
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    let base = parse_base("_base.yaml", &read(&folder.join("_base.yaml"))).unwrap();
    let mut drills = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file.ends_with("_base.yaml") {
            continue;
        }
        let mut drill = parse(&file.to_string_lossy(), &read(&file)).unwrap_or_else(|e| panic!("{e}: {e:?}"));
        drill.inherit(base.clone());
        assert!(!drill.expect.exposed.is_empty(), "{}", file.display());
        assert!(drill.given.contains_key("github.issues"));
        assert!(drill.heal_at < drill.ends_at, "{}", file.display());
        let Some(VendorUse::Changed(vendor)) = drill.vendors.get("github") else { panic!("no recordings") };
        let run = Fixture::read(&folder.join(&vendor.fixtures.as_ref().unwrap().run)).unwrap();
        assert_eq!(run.holds.len(), 1);
        drills += 1;
    }
    assert_eq!(drills, 7);
}

#[tokio::test(start_paused = true)]
async fn the_subject_shows_its_mirror_and_stops_when_told() {
    for (policy, shown) in [(Policy::naive(), 3), (Policy::mended(), 7)] {
        let wrong = BTreeMap::from([(2, Wrong::Stall(900))]);
        let (base_url, _) = github::start(Box::new(stub::Notes::new()), wrong).await;
        let state = tempfile::tempdir().unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let ready = Ready::new();
        let settings = [("repository", "harbour-co/tide-tables"), ("per_page", "3"), ("every", "1h")];
        let start = Start {
            vendors: BTreeMap::from([(
                "github".into(),
                VendorAccess { base_url, credentials: BTreeMap::new() },
            )]),
            settings: settings.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            state_dir: state.path().to_owned(),
            secrets_dir: state.path().to_owned(),
            authority: None,
            clock: WallClock::new(EPOCH.parse().unwrap(), tokio::time::Instant::now()),
            seed: Seed(1),
            webhook_urls: BTreeMap::new(),
            alert_url: String::new(),
            stop: stopped,
            ready: ready.clone(),
            attempts: AttemptLog::default(),
            voice: std::rc::Rc::new(|_| ()),
            paused: tokio::sync::watch::channel(false).1,
        };
        let drilled = subject::Drilled(policy);
        let judge = async {
            let mirror = ready.wait().await.exposed["mirror"].clone();
            tokio::time::sleep(std::time::Duration::from_secs(180)).await;
            let answer = reqwest::get(mirror).await.unwrap().text().await.unwrap();
            stop.send(true).unwrap();
            answer
        };
        let (ended, answer) = tokio::join!(drilled.run(start), judge);
        assert_eq!(ended, Ok(()));
        // The naive one still waits for the page that stopped coming; it wrote the first one.
        let issues: Vec<Issue> = serde_json::from_str(&answer).unwrap();
        assert_eq!(issues.len(), shown, "{}", drilled.name());
        assert_eq!(judged(answer), if shown == 7 { Verdict::Pass } else { Verdict::Fail });
    }
}

/// The verdict of a drill's promise on what the mirror shows, against the recorded ledger.
fn judged(answer: String) -> Verdict {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("drills");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let mut drill = parse("drill", &read("hanging-page.yaml")).unwrap();
    drill.inherit(parse_base("base", &read("_base.yaml")).unwrap());
    let run = Fixture::read(&folder.join("../../../fixtures/github/issues-in-three-pages.json")).unwrap();
    let epoch = EPOCH.parse().unwrap();
    let mut vendor: Replay = Replay::new(Box::new(stub::Notes::new()), &run, ReplayMode::Exact, epoch);
    let given = vendor.give("issues", &drill.given["github.issues"]).unwrap();
    let mut what: Vec<What> = given
        .into_iter()
        .map(|c| What::Change {
            vendor: "github".into(),
            collection: c.collection,
            id: c.id,
            change: c.change,
            record: c.record,
            by: Cause::Scenario,
        })
        .collect();
    let response = Some(Response { status: 200, headers: Headers::default(), body: answer.into() });
    what.push(What::Exposed { what: "mirror".into(), response });
    let events = what.into_iter().map(|what| Event { at: At::START, what }).collect();
    let head = Head {
        drill: drill.drill.clone(),
        seed: Seed(1),
        epoch,
        heals_at: At::START,
        ends_at: At::START,
        real: None,
    };
    let judgements = firedrill::check::judge(&drill, &BTreeMap::new(), &Trace { head, events });
    judgements.iter().find(|j| &*j.check == "exposed").unwrap().verdict
}
