//! A vendor that answers from a recording, served.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client;
use crate::served::Served;

#[tokio::test]
async fn a_request_without_a_recording_is_told_the_nearest_in_the_answer_and_on_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let run = json!({ "origin": "a test", "recorded": "2026-03-01", "exchanges": [{
        "request": { "method": "GET", "target": "/repos/o/r/issues?page=1" },
        "response": { "status": 200, "headers": ["content-type: application/json"], "body": { "json": [] } },
    }] });
    std::fs::write(folder.path().join("issues.json"), run.to_string()).unwrap();
    let vendors = ["github", "stripe", "hubspot"]
        .map(|v| format!("  {v}: {{ vendor: {v}, fixtures: {{ run: issues.json }} }}\n"));
    let drill = format!("drill: d\nwhy: w\nfamily: other\nvendors:\n{}", vendors.concat());
    let file = folder.path().join("drill.yaml");
    std::fs::write(&file, drill).unwrap();

    let served = Served::start(&["--scenario", file.to_str().unwrap()]);
    let get = async |alias: &str, target: &str| {
        let answer = client().get(format!("{}{target}", served.url(alias))).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let nearest = "no recording answers GET /repos/o/r/issues?page=2&q=‹e-mail address, 20 characters›; the nearest is \
        exchange 1 of 1 in issues.json, GET /repos/o/r/issues?page=1: query `page` is \"2\", recorded \"1\"; query `q` is \
        \"‹e-mail address, 18 characters›\", recorded absent; if that does not matter, write into the run \"noise\": \
        { \"query\": [\"page\",\"q\"] }";
    for (alias, pointer) in [("github", "/message"), ("stripe", "/error/message"), ("hubspot", "/message")] {
        assert_eq!(get(alias, "/repos/o/r/issues?page=1").await, (200, json!([])), "{alias}");
        for _ in 0..3 {
            let (status, body) = get(alias, "/repos/o/r/issues?page=2&q=ap%40contoso.example").await;
            assert_eq!(status, 404, "{alias}: {body}");
            assert_eq!(body.pointer(pointer), Some(&json!(nearest)), "{alias}: {body}");
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let (_, said) = served.ended_by("INT");
    let wanted: Vec<String> =
        ["github", "stripe", "hubspot"].map(|alias| format!("warning: {alias}: {nearest}")).into();
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
}
