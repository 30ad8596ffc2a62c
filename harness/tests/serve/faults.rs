//! What is hard to see from inside a drill: connections as a raw socket and as reqwest meet them.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::served::Served;
use crate::{both, customer, customers, done};

async fn arm(served: &Served, act: Value) {
    done(served, "POST", "/faults", json!({ "on": "billing", "calls": "1", "do": act })).await;
}

/// Sends one request by hand; gives all that comes until the connection ends or is quiet, and how
/// it ended.
async fn raw(served: &Served) -> (String, String) {
    over(&mut connected(served).await, served).await
}

fn authority(served: &Served) -> &str {
    served.url("billing").trim_start_matches("http://")
}

async fn connected(served: &Served) -> TcpStream {
    TcpStream::connect(authority(served)).await.unwrap()
}

/// The same over a connection that is there.
async fn over(socket: &mut TcpStream, served: &Served) -> (String, String) {
    let (authority, vendor) = (authority(served), served.vendor("billing"));
    let key = vendor["credentials"]["api_key"].as_str().unwrap();
    let request =
        format!("GET /v1/customers HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {key}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut text, mut part) = (Vec::new(), [0; 4096]);
    let end = loop {
        match tokio::time::timeout(Duration::from_millis(700), socket.read(&mut part)).await {
            Err(_) => break "open".to_owned(),
            Ok(Ok(0)) => break "closed".to_owned(),
            Ok(Ok(n)) => text.extend_from_slice(&part[..n]),
            Ok(Err(e)) => break format!("{:?}", e.kind()),
        }
    };
    (String::from_utf8_lossy(&text).into_owned(), end)
}

fn length(head: &str) -> usize {
    head.lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok()).unwrap()
}

#[tokio::test]
async fn a_length_that_is_too_long_leaves_the_client_waiting() {
    let served = both();
    arm(&served, json!({ "content_length": "longer" })).await;
    let (text, end) = raw(&served).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!((length(head), end.as_str()), (body.len() + 16, "open"), "{text}");
    done(&served, "DELETE", "/faults", json!(null)).await;
    arm(&served, json!({ "content_length": "longer" })).await;
    let waited = tokio::time::timeout(Duration::from_millis(700), customer(&served, "a")).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test]
async fn a_length_that_is_too_short_cuts_the_body_and_leaves_the_rest_on_the_connection() {
    let served = both();
    arm(&served, json!({ "content_length": "shorter" })).await;
    let (text, end) = raw(&served).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert_eq!((length(head), end.as_str()), (body.len() / 2, "open"), "{text}");
    done(&served, "DELETE", "/faults", json!(null)).await;
    arm(&served, json!({ "content_length": "shorter" })).await;
    // The status is good; what comes is half of the JSON.
    let (status, body) = customer(&served, "a").await.unwrap();
    assert_eq!((status, body), (200, Value::Null));
}

#[tokio::test]
async fn a_chunked_body_ends_without_its_last_chunk() {
    let served = both();
    arm(&served, json!({ "truncate": { "after": 5, "chunked": true } })).await;
    let (text, end) = raw(&served).await;
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    let (size, part) = body.split_once("\r\n").unwrap();
    assert!(usize::from_str_radix(size, 16).unwrap() > 5, "{body}");
    assert_eq!((part.len(), end.as_str()), (5, "closed"), "{body}");
    done(&served, "DELETE", "/faults", json!(null)).await;
    arm(&served, json!({ "truncate": { "after": 5, "chunked": true } })).await;
    let error = customer(&served, "a").await.unwrap_err();
    assert!(error.is_decode() || error.is_body(), "{error:?}");
}

#[tokio::test]
async fn interim_responses_come_before_the_true_one() {
    let served = both();
    arm(&served, json!({ "interim": [100, 103, 102] })).await;
    let (text, end) = raw(&served).await;
    let heads: Vec<&str> = text.split("\r\n\r\n").filter_map(|h| h.lines().next()).collect();
    let expected =
        ["HTTP/1.1 100 Continue", "HTTP/1.1 103 Early Hints", "HTTP/1.1 102 Processing", "HTTP/1.1 200 OK"];
    assert_eq!(&heads[..4], expected, "{text}");
    // The connection stays in use.
    assert_eq!(end, "open");
    done(&served, "DELETE", "/faults", json!(null)).await;
    arm(&served, json!({ "interim": [100, 103, 102] })).await;
    assert_eq!(customer(&served, "a").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_request_is_reset_before_its_body_is_read() {
    let served = both();
    arm(&served, json!("reset_request")).await;
    let (text, end) = raw(&served).await;
    assert_eq!((text.as_str(), end.as_str()), ("", "ConnectionReset"));
    done(&served, "DELETE", "/faults", json!(null)).await;
    arm(&served, json!("reset_request")).await;
    assert!(customer(&served, "a").await.unwrap_err().is_request());
    // The vendor never knew.
    assert!(customers(&served).await.is_empty());
    let trace = done(&served, "GET", "/trace?kind=request", json!(null)).await;
    assert_eq!(trace["events"], json!([]));
    assert_eq!(customer(&served, "a").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_connection_is_taken_up_late() {
    let served = both();
    let act = json!({ "on": "billing", "window": "0s..1h", "do": { "slow_accept": "500ms" } });
    done(&served, "POST", "/faults", act).await;
    let begun = Instant::now();
    assert_eq!(customer(&served, "a").await.unwrap().0, 200);
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    let authority = served.url("billing").trim_start_matches("http://").to_owned();
    // The handshake itself is not late.
    let begun = Instant::now();
    TcpStream::connect(&authority).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    let faults = done(&served, "GET", "/faults", json!(null)).await;
    assert!(faults["faults"][0]["bites"].as_u64().unwrap() >= 1, "{faults}");
}

#[tokio::test]
async fn each_fault_looks_to_a_raw_socket_as_its_name_says() {
    let served = both();
    let body = r#"{"object":"list","url":"/v1/customers","has_more":false,"data":[]}"#;
    for (act, answered, ends) in [
        (json!({ "reset": "before_applied" }), None, "ConnectionReset"),
        (json!({ "reset": "while_applying" }), None, "ConnectionReset"),
        (json!({ "reset": "after_applied" }), None, "ConnectionReset"),
        (json!({ "reset": "during_response" }), Some(body.len() / 2), "ConnectionReset"),
        (json!({ "close": "after_applied" }), None, "closed"),
        (json!({ "close": "during_response" }), Some(body.len() / 2), "closed"),
        (json!({ "hang": "before_applied" }), None, "open"),
        (json!({ "hang": "after_applied" }), None, "open"),
        (json!({ "truncate": { "after": 7 } }), Some(7), "closed"),
        (json!({ "stall": { "after": 7 } }), Some(7), "open"),
        (json!({ "slow_body": { "bytes": 10, "every": "10ms" } }), Some(body.len()), "open"),
        (json!({ "latency": "50ms" }), Some(body.len()), "open"),
    ] {
        arm(&served, act.clone()).await;
        let (text, end) = raw(&served).await;
        let came = text.split_once("\r\n\r\n").map(|(head, body)| {
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{act}: {text}");
            body.len()
        });
        assert_eq!((came, end.as_str()), (answered, ends), "{act}: {text}");
        if let Some((head, _)) = text.split_once("\r\n\r\n") {
            assert_eq!(length(head), body.len(), "{act}: {text}");
        }
        done(&served, "DELETE", "/faults", json!(null)).await;
    }
    arm(&served, json!("garbage")).await;
    let (text, end) = raw(&served).await;
    assert!(!text.contains("HTTP/") && !text.is_empty(), "{text}");
    assert_eq!(end, "closed");
}

#[tokio::test]
async fn a_kept_alive_connection_is_closed_as_it_is_used_again() {
    let served = both();
    arm(&served, json!("stale_keep_alive")).await;
    let mut socket = connected(&served).await;
    let (text, end) = over(&mut socket, &served).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && end == "open", "{end}: {text}");
    assert_eq!(over(&mut socket, &served).await, (String::new(), "closed".to_owned()));
    assert!(raw(&served).await.0.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_vendor_that_refuses_answers_no_connect_and_resets_what_is_open() {
    let served = both();
    let mut open = connected(&served).await;
    assert_eq!(over(&mut open, &served).await.1, "open");
    done(&served, "POST", "/faults", json!({ "on": "billing", "window": "0s..1h", "do": "refuse" })).await;
    // The door closes in the background, and the open connection with it.
    let read = tokio::time::timeout(Duration::from_secs(10), open.read(&mut [0; 16])).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let connect = TcpStream::connect(authority(&served)).await;
    assert_eq!(connect.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(customer(&served, "a").await.unwrap_err().is_connect());
}

#[tokio::test]
async fn in_a_black_hole_a_connect_is_never_answered() {
    let served = both();
    done(&served, "POST", "/faults", json!({ "on": "billing", "window": "0s..1h", "do": "black_hole" }))
        .await;
    let authority = served.url("billing").trim_start_matches("http://").to_owned();
    let mut met = String::new();
    // The hole opens in the background.
    for _ in 0..100 {
        let connect = TcpStream::connect(&authority);
        met = match tokio::time::timeout(Duration::from_millis(400), connect).await {
            Err(_) => "never answered".to_owned(),
            Ok(Ok(_)) => "connected".to_owned(),
            Ok(Err(e)) => e.to_string(),
        };
        if met == "never answered" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(met, "never answered");
    done(&served, "DELETE", "/faults", json!(null)).await;
    let back = tokio::time::timeout(Duration::from_secs(10), customer(&served, "a")).await;
    assert_eq!(back.unwrap().unwrap().0, 200);
}
