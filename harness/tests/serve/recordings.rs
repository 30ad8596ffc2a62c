//! A vendor that answers from a recording, served.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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
            let (status, body) = get(alias, "/repos/o/r/issues?page=2&q=ap%40contoso-ag.info").await;
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

#[tokio::test]
async fn a_recorded_head_says_the_length_that_was_recorded_over_both_versions_and_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let head = |target: &str, headers: &[&str]| {
        json!({ "request": { "method": "HEAD", "target": target },
                "response": { "status": 200, "headers": headers } })
    };
    let run = json!({ "origin": "a test", "recorded": "2026-03-01", "exchanges": [
        head("/large", &["content-type: application/zip", "content-length: 734003200"]),
        head("/coded", &["content-encoding: gzip", "content-length: 20", "etag: \"a\""]),
        head("/unsaid", &["transfer-encoding: chunked"]),
        { "request": { "method": "GET", "target": "/small" },
          "response": { "status": 200, "headers": ["content-length: 999"], "body": { "text": "here" } } },
    ] });
    std::fs::write(folder.path().join("run.json"), run.to_string()).unwrap();
    let drill = "drill: d\nwhy: w\nfamily: other\nvendors: { hub: { vendor: github, fixtures: { run: run.json } } }\n";
    let file = folder.path().join("drill.yaml");
    std::fs::write(&file, drill).unwrap();
    let served = Served::start(&["--scenario", file.to_str().unwrap()]);
    let lengths = [("/large", Some("734003200")), ("/coded", Some("20")), ("/unsaid", None)];

    let two = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    for client in [client(), two] {
        for (target, length) in lengths {
            let head = client.head(format!("{}{target}", served.url("hub"))).send().await.unwrap();
            let said = head.headers().get("content-length").map(|l| l.to_str().unwrap());
            assert_eq!((head.status().as_u16(), said), (200, length), "{target} {:?}", head.version());
            assert_eq!(head.headers().contains_key("content-encoding"), target == "/coded");
            assert_eq!(head.bytes().await.unwrap().len(), 0);
        }
        let held = client.head(format!("{}/coded", served.url("hub"))).header("if-none-match", "\"a\"");
        let held = held.send().await.unwrap();
        assert_eq!((held.status().as_u16(), held.headers().get("content-length")), (304, None));
        let small = client.get(format!("{}/small", served.url("hub"))).send().await.unwrap();
        assert_eq!(small.headers()["content-length"], "4", "of a body that is sent, its own length");
        assert_eq!(small.text().await.unwrap(), "here");
    }

    let authority = served.url("hub").trim_start_matches("http://");
    let mut socket = tokio::net::TcpStream::connect(authority).await.unwrap();
    for (target, length) in lengths {
        // On one connection: a body after any head would be taken for the next answer.
        socket.write_all(format!("HEAD {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let (mut text, mut part) = (String::new(), [0; 4096]);
        while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_millis(300), socket.read(&mut part)).await
            && n > 0
        {
            text.push_str(std::str::from_utf8(&part[..n]).unwrap());
        }
        let said: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("content-length: ")).collect();
        assert_eq!(said, length.into_iter().collect::<Vec<_>>(), "{text}");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\n"), "{text}");
        assert_eq!(text.matches("\r\n\r\n").count(), 1, "{text}");
    }
    served.ended_by("INT");
}
