//! What is kept in a file goes on where it ended.

use std::path::Path;

use firedrill::cli::ExitCode;
use serde_json::{Value, json};

use crate::served::{Served, command};
use crate::{customer, customers, done};

fn kept(state: &Path) -> Served {
    let state = state.to_string_lossy();
    Served::start(&["--vendor", "billing=stripe", "--vendor", "crm=hubspot", "--state", &state])
}

/// Waits until the file holds what happened.
async fn written(state: &Path, holds: &str) {
    for _ in 0..250 {
        if std::fs::read_to_string(state).is_ok_and(|text| text.contains(holds)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{} never held {holds}", state.display());
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let served = kept(&state);
    let (_, first) = customer(&served, "key-of-the-first").await.unwrap();
    done(&served, "POST", "/time/advance", json!({ "by": "1h" })).await;
    let rule = json!({ "on": "billing GET /v1/customers", "calls": "2", "do": "garbage" });
    done(&served, "POST", "/faults", rule).await;
    let target = json!({ "url": "http://127.0.0.1:9/hooks" });
    done(&served, "PUT", "/vendors/crm/webhooks", target.clone()).await;
    done(&served, "POST", "/actions", json!({ "do": "billing.keys.roll" })).await;
    let credentials = done(&served, "GET", "/vendors", json!(null)).await["vendors"].clone();
    let before = done(&served, "GET", "/time", json!(null)).await;
    assert!(served.signal("INT").success());

    let served = kept(&state);
    let after = done(&served, "GET", "/time", json!(null)).await;
    assert!(after["at"].as_u64().unwrap() >= before["at"].as_u64().unwrap(), "{after}");
    assert_eq!(after["advanced"], json!("1h"));
    for alias in ["billing", "crm"] {
        assert_eq!(served.vendor(alias)["credentials"], credentials[alias]["credentials"]);
    }
    assert_ne!(credentials["billing"]["credentials"]["api_key"], json!(null));
    assert_eq!(served.vendor("crm")["webhooks"], target["url"]);
    let faults = done(&served, "GET", "/faults", json!(null)).await;
    assert_eq!(faults["faults"][0]["rule"]["do"], json!("garbage"));
    // The key that was rolled is good, the first answer is replayed, and new ids are new.
    let (status, again) = customer(&served, "key-of-the-first").await.unwrap();
    assert_eq!((status, &again["id"]), (200, &first["id"]));
    let (_, second) = customer(&served, "key-of-the-second").await.unwrap();
    assert_ne!(second["id"], first["id"]);
    assert_eq!(customers(&served).await.len(), 2);
}

#[tokio::test]
async fn a_kill_loses_nothing_that_was_written_and_deliveries_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    let served = kept(&state);
    // Nobody listens there: the delivery waits for its next try.
    done(&served, "PUT", "/vendors/billing/webhooks", json!({ "url": "http://127.0.0.1:9/a" })).await;
    customer(&served, "k").await.unwrap();
    written(&state, "\"attempt\":2").await;
    drop(served);
    let served = kept(&state);
    assert_eq!(customers(&served).await.len(), 1);
    done(&served, "POST", "/time/advance", json!({ "by": "73h" })).await;
    let tries = done(&served, "GET", "/trace?kind=delivery", json!(null)).await;
    let tries: Vec<Value> =
        tries["events"].as_array().unwrap().iter().map(|e| e["attempt"].clone()).collect();
    assert_eq!(tries, (2..=17).map(|n| json!(n)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_is_no_state_of_these_vendors_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state.json");
    assert!(kept(&state).signal("TERM").success());
    let good = std::fs::read_to_string(&state).unwrap();
    let refused = |text: &str, vendors: &[&str]| {
        std::fs::write(&state, text).unwrap();
        let path = state.to_string_lossy();
        let options: Vec<&str> = vendors.iter().copied().chain(["--state", &path]).collect();
        let output = command(&options).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(ExitCode::Usage as i32), "{said}");
        assert_eq!(std::fs::read_to_string(&state).unwrap(), text);
        said
    };
    let both = ["--vendor", "billing=stripe", "--vendor", "crm=hubspot"];
    for (text, vendors, says) in [
        (&good[..good.len() / 2], &both[..], "it ends too soon"),
        ("", &both, "it ends too soon"),
        ("a: b\n", &both, "it is not JSON"),
        ("{\"a\":1}", &both, "was not written by `firedrill serve`"),
        (&good.replace("version 1", "version 9"), &both, "version 9"),
        (&good, &both[..2], "of other vendors"),
        (&good.replace("\"customers\"", "\"costumers\""), &both, "did you mean `customers`?"),
    ] {
        let said = refused(text, vendors);
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[tokio::test]
async fn the_journal_holds_the_whole_trace() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let path = journal.to_string_lossy();
    let options = ["--vendor", "billing=stripe", "--journal", &path];
    let served = Served::start(&options);
    customer(&served, "a").await.unwrap();
    let trace = done(&served, "GET", "/trace", json!(null)).await;
    assert!(served.signal("TERM").success());
    let text = std::fs::read_to_string(journal.join("trace.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let kinds = |events: &[Value]| events.iter().map(|e| e["kind"].clone()).collect::<Vec<_>>();
    let mut whole = kinds(trace["events"].as_array().unwrap());
    whole.push(json!("ended"));
    assert_eq!(kinds(&lines), whole);
    let output = command(&options).output().unwrap();
    assert_eq!(output.status.code(), Some(ExitCode::Usage as i32));
    assert!(String::from_utf8_lossy(&output.stderr).contains("holds an earlier journal"));
}

#[tokio::test]
async fn a_state_is_kept_by_one_server_alone_and_its_journal_goes_on_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (state, journal) = (at("state.json"), at("journal"));
    let options = ["--vendor", "billing=stripe", "--state", &state, "--journal", &journal];
    let served = Served::start(&options);
    customer(&served, "a").await.unwrap();
    let second = command(&options).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(ExitCode::Usage as i32), "{said}");
    assert!(said.contains("another `firedrill serve` keeps its state in "), "{said}");
    assert!(served.signal("TERM").success());
    assert!(!folder.path().join(".state.json.lock").exists());

    let first = std::fs::read(folder.path().join("journal/trace.jsonl")).unwrap();
    let served = Served::start(&options);
    assert_eq!(customers(&served).await.len(), 1);
    // Killed: what it leaves keeps nobody out.
    assert!(!served.signal("KILL").success());
    let served = Served::start(&options);
    assert_eq!(customers(&served).await.len(), 1);
    assert!(served.signal("TERM").success());
    assert_eq!(std::fs::read(folder.path().join("journal/trace.1.jsonl")).unwrap(), first);
    assert!(folder.path().join("journal/trace.jsonl").exists());
}

#[tokio::test]
async fn a_file_that_becomes_unwritable_loses_nothing_and_is_the_users_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let (there, away) = (folder.path().join("there"), folder.path().join("away"));
    std::fs::create_dir(&there).unwrap();
    let state = there.join("state.json");
    let served = kept(&state);
    std::fs::rename(&there, &away).unwrap();
    let (_, first) = customer(&served, "a").await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(customers(&served).await.len(), 1);
    // Once it can be written again, it is, though nothing more happens.
    std::fs::rename(&away, &there).unwrap();
    written(&state, first["id"].as_str().unwrap()).await;

    std::fs::rename(&there, &away).unwrap();
    customer(&served, "b").await.unwrap();
    let (status, said) = served.ended_by("TERM");
    assert_eq!(status.code(), Some(ExitCode::Usage as i32), "{said}");
    // Once for each time, if it had the time to notice.
    let warned = said.matches("warning: the state cannot be written to ").count();
    assert!((1..=2).contains(&warned), "{said}");
    let error = format!("error: the state cannot be written to {}: ", state.display());
    assert!(said.contains(&error), "{said}");
    let aside = said.split("--state ").nth(1).unwrap().split('`').next().unwrap();
    let served = kept(Path::new(aside));
    assert_eq!(customers(&served).await.len(), 2);
    drop(served);
    std::fs::remove_file(aside).unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_journal_that_cannot_be_written_is_the_users_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    // Of this device every write says that it is full.
    std::os::unix::fs::symlink("/dev/full", folder.path().join("trace.jsonl")).unwrap();
    let path = folder.path().to_string_lossy().into_owned();
    let served = Served::start(&["--vendor", "billing=stripe", "--journal", &path]);
    assert_eq!(served.overview.get("journal_trouble"), None);
    customer(&served, "a").await.unwrap();
    let trouble = async || done(&served, "GET", "/vendors", json!(null)).await["journal_trouble"].clone();
    for _ in 0..100 {
        if !trouble().await.is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(trouble().await.as_str().unwrap().starts_with("No space left on device"), "{}", trouble().await);
    // The vendors do not mind.
    customer(&served, "b").await.unwrap();
    assert_eq!(customers(&served).await.len(), 2);
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let (status, said) = served.ended_by("TERM");
    assert_eq!(status.code(), Some(ExitCode::Usage as i32), "{said}");
    let warning = format!("warning: the journal in {path} cannot be written: No space left on device");
    assert_eq!(said.matches(&warning).count(), 1, "said once, and before the end: {said}");
    assert!(said.find(&warning) < said.find("error: the journal in "), "{said}");
    assert!(said.contains("/reset`"), "{said}");
    assert!(said.contains(&format!("error: the journal in {path} cannot be written: ")), "{said}");
}
