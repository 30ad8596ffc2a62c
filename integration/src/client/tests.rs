//! The client against vendors that misbehave, over real sockets on a paused clock.

use std::sync::Mutex;

use rand::SeedableRng as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::{CredentialSource, HubSpotConfig, StripeConfig};
use crate::observer::AttemptRecord;
use crate::policy::{AlertRule, Patience, Timeouts};

struct Fixed(Instant);

impl Clock for Fixed {
    fn now(&self) -> jiff::Timestamp {
        "2026-03-01T09:00:00Z".parse::<jiff::Timestamp>().unwrap() + self.0.elapsed()
    }
}

/// What the vendor does with one connection.
#[derive(Clone)]
enum Act {
    Say(String),
    /// Say this, then keep the connection open in silence.
    SayAndHang(String),
    Reset,
    Hang,
}

fn status(line: &str, headers: &str, body: &str) -> Act {
    Act::Say(format!(
        "HTTP/1.1 {line}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    ))
}

fn ok() -> Act {
    status("200 OK", "", "{}")
}

async fn perform(mut stream: TcpStream, act: Act) {
    let mut head = vec![0; 16 * 1024];
    let _ = stream.read(&mut head).await;
    match act {
        Act::Say(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Act::SayAndHang(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            std::future::pending::<()>().await;
        }
        Act::Reset => {}
        Act::Hang => std::future::pending::<()>().await,
    }
}

#[derive(Default)]
struct Seen(Mutex<Vec<(Duration, AttemptOutcome)>>, Mutex<Option<Instant>>);

impl AttemptObserver for Seen {
    fn attempt(&self, record: &AttemptRecord) {
        let start = self.1.lock().unwrap().unwrap();
        let at = Instant::now().duration_since(start).saturating_sub(record.took);
        self.0.lock().unwrap().push((at, record.outcome));
    }
}

struct Key;

impl KeySource for Key {
    fn key(&self, _attempt: u32, _renew: bool) -> Result<String, Failure> {
        Ok("k".into())
    }
}

/// Runs one keyed write against the acts in turn; the last act repeats.
async fn write(
    policies: Policies,
    acts: Vec<Act>,
) -> (Result<Reply, Failure>, Vec<(Duration, AttemptOutcome)>, Duration) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    if acts.is_empty() {
        drop(listener);
    } else {
        tokio::spawn(async move {
            let mut turn = 0;
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(perform(stream, acts[turn.min(acts.len() - 1)].clone()));
                turn += 1;
            }
        });
    }
    let literal = || CredentialSource::Literal("x".into());
    let hubspot = HubSpotConfig {
        base_url: base.clone(),
        client_id: "x".into(),
        client_secret: "x".into(),
        refresh_token: literal(),
        webhook_secrets: literal(),
        webhook_public_url: None,
    };
    let stripe = StripeConfig { base_url: base, api_key: literal(), api_version: "v".into() };
    let config = Config::new("/nowhere", hubspot, stripe);
    let clock: Arc<dyn Clock> = Arc::new(Fixed(Instant::now()));
    let metrics = Arc::new(Metrics::new());
    let alerts = Alerts::new(clock.clone(), metrics.clone(), AlertRule::default(), None);
    let seen = Arc::new(Seen::default());
    *seen.1.lock().unwrap() = Some(Instant::now());
    let observer: Arc<OnceLock<Arc<dyn AttemptObserver>>> = Arc::new(OnceLock::new());
    let _ = observer.set(seen.clone());
    let tools = Tools {
        policies: Arc::new(policies),
        clock,
        entropy: Arc::new(Entropy::new(Box::new(rand::rngs::StdRng::seed_from_u64(1)))),
        metrics,
        alerts: Arc::new(alerts),
        observer,
    };
    let client = VendorClient::new(Vendor::Stripe, &config, tools).unwrap();
    let call = Call {
        method: Method::POST,
        path: "/v1/invoices".into(),
        endpoint: "/v1/invoices",
        body: Body::Form("a=b".into()),
        credentials: None,
        key: Some(&Key),
        read: false,
        slot: 0,
    };
    let start = Instant::now();
    let outcome = client.call(&call).await;
    let attempts = seen.0.lock().unwrap().clone();
    (outcome, attempts, start.elapsed())
}

fn outcomes(attempts: &[(Duration, AttemptOutcome)]) -> Vec<AttemptOutcome> {
    attempts.iter().map(|(_, outcome)| *outcome).collect()
}

#[tokio::test(start_paused = true)]
async fn each_failure_of_transport_has_its_name_and_is_tried_again() {
    let truncated = Act::Say("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".into());
    let garbage = Act::Say("I am not HTTP\r\n\r\n".into());
    let (reply, attempts, _) =
        write(Policies::default(), vec![Act::Reset, truncated, garbage, Act::Hang, ok()]).await;
    assert!(reply.is_ok());
    use AttemptOutcome::{Garbage, Reset, Status, Timeout, Truncated};
    assert_eq!(outcomes(&attempts), [Reset, Truncated, Garbage, Timeout, Status(200)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_gives_up_after_five_attempts() {
    let (reply, attempts, _) = write(Policies::default(), vec![]).await;
    assert!(matches!(reply, Err(Failure::Unavailable { .. } | Failure::Held { .. })), "{reply:?}");
    assert_eq!(outcomes(&attempts), [AttemptOutcome::ConnectRefused; 5]);
}

#[tokio::test(start_paused = true)]
async fn own_mistakes_are_asked_once() {
    for line in ["400 Bad Request", "404 Not Found", "422 Unprocessable"] {
        let (reply, attempts, _) = write(Policies::default(), vec![status(line, "", "{}")]).await;
        assert!(matches!(reply, Err(Failure::Rejected { .. })));
        assert_eq!(attempts.len(), 1, "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_out_in_both_forms() {
    for header in ["retry-after: 30\r\n", "retry-after: Sun, 01 Mar 2026 09:00:30 GMT\r\n"] {
        let (reply, _, took) = write(Policies::default(), vec![status("429 Slow", header, "{}"), ok()]).await;
        assert!(reply.is_ok());
        assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(32), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_the_deadline_gives_the_job_back_capped() {
    for (seconds, capped) in [(200, 200), (999_999, 300)] {
        let header = format!("retry-after: {seconds}\r\n");
        let start = Instant::now();
        let (reply, attempts, took) = write(Policies::default(), vec![status("503 No", &header, "{}")]).await;
        let Err(Failure::Held { until: Some(until), .. }) = reply else { panic!("{reply:?}") };
        assert!(until.duration_since(start).abs_diff(Duration::from_secs(capped)) < Duration::from_secs(1));
        assert_eq!(attempts.len(), 1);
        assert!(took < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_dripping_body_ends_with_the_body_timeout() {
    let drip = Act::SayAndHang("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".into());
    let mut policies = Policies::default();
    policies.patience = Patience { attempts: 1, ..policies.patience };
    policies.timeouts = Timeouts { body: Some(Duration::from_secs(3)), ..policies.timeouts };
    let (_, attempts, took) = write(policies, vec![drip]).await;
    assert_eq!(outcomes(&attempts), [AttemptOutcome::Timeout]);
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn hangs_do_not_outlast_the_deadline() {
    let mut policies = Policies::default();
    policies.breaker.failures = None;
    let (reply, _, took) = write(policies, vec![Act::Hang]).await;
    assert!(reply.is_err());
    assert!(took <= Duration::from_secs(90), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_in_use_is_asked_for_again() {
    let busy = status("409 Conflict", "", r#"{"error":{"code":"idempotency_key_in_use"}}"#);
    let (reply, attempts, _) = write(Policies::default(), vec![busy, ok()]).await;
    assert!(reply.is_ok());
    assert_eq!(attempts.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_replayed_failure_is_not_repeated() {
    let saved = status("500 Oops", "idempotent-replayed: true\r\n", "{}");
    let (reply, attempts, _) = write(Policies::default(), vec![saved]).await;
    assert!(matches!(reply, Err(Failure::Indeterminate)));
    assert_eq!(attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_vendor_has_the_last_word_on_retries() {
    let no = status("503 No", "stripe-should-retry: false\r\n", "{}");
    let (_, attempts, _) = write(Policies::default(), vec![no]).await;
    assert_eq!(attempts.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_not_followed() {
    let away = status("302 Found", "location: http://127.0.0.1:1/\r\n", "");
    let (reply, attempts, _) = write(Policies::default(), vec![away]).await;
    assert!(matches!(reply, Err(Failure::Rejected { status: 302, .. })), "{reply:?}");
    assert_eq!(attempts.len(), 1);
}

#[cfg(feature = "tls")]
#[test]
fn authorities_that_cannot_be_read_are_named() {
    let build = |file: &std::path::Path| {
        let tls = Tls { ca_file: Some(file), ..Tls::default() };
        build_http("https://vendor.test", None, tls).map(drop).map_err(|e| e.to_string())
    };
    let none = build("/no/such.pem".as_ref()).unwrap_err();
    assert!(none.starts_with("CA_FILE /no/such.pem: No such file"), "{none}");
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(build(file.path()).unwrap_err().ends_with("there is no PEM certificate in it"));
}
