//! Where alerts go: whatever comes there is in the trace, over whatever protocol it came.

use firedrill::subject::Start;
use firedrill::trace::What;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use firedrill::drill;
use firedrill::finding::Verdict;
use firedrill::seed::Seed;

use crate::toy::*;

/// What the trace shows of what `post` does: each alert, and why it could not be read.
fn alerts<F, Fut>(post: F) -> Vec<(Value, Option<String>)>
where
    F: Fn(Start) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let drilled = drill("ends_at: 1m", post);
    pick(&drilled.trace, |_, w| match w {
        What::Alert { body, unread, .. } => Some((body.clone(), unread.clone())),
        _ => None,
    })
}

/// What the trace shows of a request by each protocol, which is answered with `status`.
fn posted(
    status: u16,
    request: impl Fn(&reqwest::Client, &str) -> reqwest::RequestBuilder + Copy + 'static,
) -> (Value, Option<String>) {
    let both = [false, true].map(|two| {
        let seen = alerts(move |start| async move {
            let client = reqwest::Client::builder().no_proxy();
            let client = if two { client.http2_prior_knowledge() } else { client }.build().unwrap();
            let answer = request(&client, &start.alert_url).send().await.unwrap();
            assert_eq!(answer.status(), status);
            assert_eq!(answer.version() == reqwest::Version::HTTP_2, two);
            assert_eq!(answer.headers().contains_key("allow"), status == 405);
        });
        let [one] = &seen[..] else { panic!("HTTP/2: {two}: {seen:?}") };
        one.clone()
    });
    assert_eq!(both[0], both[1]);
    both[0].clone()
}

/// What the trace shows of bytes that are sent, after which the sender leaves.
fn sent(bytes: &'static [u8]) -> Vec<(Value, Option<String>)> {
    alerts(move |start| async move {
        let authority = start.alert_url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut socket = TcpStream::connect(authority).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
    })
}

#[test]
fn an_alert_arrives_over_either_protocol() {
    let alert = || json!({ "kind": "auth" });
    assert_eq!(posted(204, move |c, url| c.post(url).json(&alert())), (alert(), None));
    assert_eq!(posted(204, |c, url| c.post(url).body("it is down")), (json!("it is down"), None));
    let form = posted(204, |c, url| {
        let form = "application/x-www-form-urlencoded";
        c.post(url).header("content-type", form).body("text=breaker+open")
    });
    assert_eq!(form, (json!({ "text": "breaker open" }), None));
    // `down`, by gzip.
    let coded = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\x4b\xc9\x2f\xcf\x03\0\x3b\x90\xff\x1c\x04\0\0\0";
    let coded = posted(204, move |c, url| c.post(url).header("content-encoding", "gzip").body(&coded[..]));
    assert_eq!(coded, (json!("down"), None));
}

#[test]
fn a_request_that_says_no_alert_is_refused_and_written_down() {
    let unread = |text: &str, why: &str| (json!(text), Some(why.to_owned()));
    let get = posted(405, |c, url| c.get(format!("{url}?about=auth")));
    assert_eq!(get, unread("GET /?about=auth", "it has no body"));
    assert_eq!(posted(400, |c, url| c.post(url)), unread("POST /", "it has no body"));
    assert_eq!(
        posted(415, |c, url| c.post(url).body(&b"caf\xe9"[..])),
        unread("caf\u{fffd}", "its body is no UTF-8")
    );
    let (text, why) = posted(415, |c, url| c.post(url).header("content-encoding", "gzip").body("no gzip"));
    assert_eq!(text, json!("POST /"));
    assert!(why.unwrap().contains("labelled `gzip` and is not"));
}

#[test]
fn what_is_no_whole_request_is_written_down() {
    let no_http = Some("it is no whole request of HTTP".to_owned());
    assert_eq!(sent(b"auth: it is down\r\n\r\n"), [(json!("auth: it is down\r\n\r\n"), no_http.clone())]);
    assert_eq!(sent(b"\x16\x03\x01\xff\xfe\r\n\r\n"), [(json!("bytes that are no text"), no_http.clone())]);
    assert_eq!(sent(b"POST / HT"), [(json!("POST / HT"), no_http.clone())]);
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frames at all";
    assert_eq!(sent(preface), [(json!(std::str::from_utf8(preface).unwrap()), no_http)]);
    let kept_open = sent(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nupPOST / HTTP/1.1\r\nho");
    let part = json!("POST / HTTP/1.1\r\nho");
    assert_eq!(kept_open, [(json!("up"), None), (part, Some("it is no whole request of HTTP".to_owned()))]);
    let half = sent(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{");
    assert_eq!(half, [(json!("POST /a"), Some("it broke off".to_owned()))]);
    assert_eq!(sent(b""), []);
}

/// An alert in the trace: when it was written down, and when it began to come.
type Written = (u64, Value, Option<u64>);

/// What the checks say of an alert that is promised between 10 s and 20 s, and what comes after it began
/// to be sent at 15 s: rules, and the alerts in the trace with the moments at which they began.
fn judged(begin: &'static [u8], kill: bool) -> (Vec<String>, Vec<Written>) {
    let fault = if kill {
        "faults: [ { on: subject, window: 25s..26s, do: { kill: { restart_after: 600s } } } ]\n"
    } else {
        ""
    };
    let lines =
        format!("{fault}expect: {{ alerts: [ {{ about: down, from: 10s, within: 10s }} ] }}\nends_at: 1m");
    let subject = worker(move |start: Start| async move {
        pause(15_000).await;
        let authority = start.alert_url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let mut socket = TcpStream::connect(authority).await.unwrap();
        socket.write_all(begin).await.unwrap();
        std::future::pending::<()>().await;
    });
    let drilled = drill::run(&plan(&lines), Seed(7), &subject).unwrap();
    let said = drilled.judgements.iter().find(|j| &*j.check == "observability").unwrap();
    assert_eq!(said.verdict == Verdict::Fail, begin.is_empty());
    let alerts = pick(&drilled.trace, |at, w| match w {
        What::Alert { body, began, .. } => Some((ms(at), body.clone(), began.map(ms))),
        _ => None,
    });
    (said.findings.iter().map(|f| f.rule.to_string()).collect(), alerts)
}

#[test]
fn an_alert_of_which_half_came_is_no_silence() {
    let unread = || vec!["observability/unread_alert".to_owned()];
    let body = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{\"a";
    let head = b"POST /a HTTP/1.1\r\nho";
    let (body_text, head_text) = (json!("POST /a"), json!("POST /a HTTP/1.1\r\nho"));
    for (begin, text) in [(&body[..], &body_text), (&head[..], &head_text)] {
        // The subject stalls: it is told of at the end, as of when it began.
        assert_eq!(judged(begin, false), (unread(), vec![(60_000, text.clone(), Some(15_000))]));
        // The subject dies: at its death.
        assert_eq!(judged(begin, true), (unread(), vec![(25_000, text.clone(), Some(15_000))]));
    }
    assert_eq!(judged(b"", false), (vec!["observability/no_alert".to_owned()], vec![]));
}
