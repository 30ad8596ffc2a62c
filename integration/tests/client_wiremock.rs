//! The core against wiremock servers in real time: what other people's mock sees of its calls.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Rig, Running, changed, get_text};
use integration_core::policy::FullJitter;
use serde_json::{Value, json};
use tokio::time::Instant;
use wiremock::matchers::{body_string_contains, header, method, path, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, Times};

/// Both vendors as mock servers, and the core between them.
struct Stand {
    hubspot: MockServer,
    stripe: MockServer,
    rig: Rig,
    core: Running,
}

fn form(request: &Request) -> Vec<(String, String)> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

fn field(request: &Request, name: &str) -> String {
    form(request).into_iter().find(|(n, _)| n == name).map(|(_, v)| v).unwrap_or_default()
}

fn invoice(status: &str, amount: i64, metadata: Value) -> Value {
    json!({"id": "in_1", "object": "invoice", "customer": "cus_1", "status": status, "currency": "usd",
        "amount_due": amount, "metadata": metadata})
}

async fn on(server: &MockServer, verb: &str, at: &str, answer: impl Respond + 'static) {
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

/// What the vendor says to the first calls, before anything that is mounted later.
async fn first(server: &MockServer, verb: &str, at: &str, answer: impl Respond + 'static, calls: u64) {
    let mock = Mock::given(method(verb)).and(path(at)).respond_with(answer);
    mock.up_to_n_times(calls).with_priority(1).expect(Times::from(calls)).mount(server).await;
}

fn ok(body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

impl Stand {
    async fn new() -> Stand {
        let (hubspot, stripe) = (MockServer::start().await, MockServer::start().await);
        Mock::given(method("POST"))
            .and(path("/oauth/v1/token"))
            .and(body_string_contains("grant_type=refresh_token"))
            .respond_with(ok(
                &json!({"token_type": "bearer", "access_token": "access-1", "expires_in": 1800}),
            ))
            .expect(1)
            .mount(&hubspot)
            .await;
        let properties = json!({"dealname": "Deal 7", "amount": "1250.40", "deal_currency_code": "USD",
            "closedate": "2026-02-28T00:00:00Z", "dealstage": "closedwon", "billing_email": "buyer7@example.com",
            "billing_name": "Buyer", "hs_lastmodifieddate": "2026-03-01T09:00:00.500Z"});
        let deal = json!({"id": "7", "properties": properties, "createdAt": "2026-01-01T00:00:00Z",
            "updatedAt": "2026-03-01T09:00:00.500Z", "archived": false});
        Mock::given(method("GET"))
            .and(path("/crm/v3/objects/deals/7"))
            .and(header("authorization", "Bearer access-1"))
            .respond_with(ok(&deal))
            .mount(&hubspot)
            .await;

        let none = json!({"object": "list", "data": [], "has_more": false});
        on(&stripe, "GET", "/v1/customers", ok(&none)).await;
        on(&stripe, "GET", "/v1/invoices", ok(&none)).await;
        let customer =
            json!({"id": "cus_1", "object": "customer", "email": "buyer7@example.com", "created": 1});
        on(&stripe, "POST", "/v1/customers", ok(&customer)).await;
        let made: Arc<Mutex<Value>> = Arc::default();
        let kept = made.clone();
        on(&stripe, "POST", "/v1/invoices", move |request: &Request| {
            let metadata = json!({"deal_id": field(request, "metadata[deal_id]"),
                "deal_revision": field(request, "metadata[deal_revision]")});
            *kept.lock().unwrap() = metadata.clone();
            ok(&invoice("draft", 0, metadata))
        })
        .await;
        on(&stripe, "POST", "/v1/invoiceitems", |request: &Request| {
            let amount: i64 = field(request, "amount").parse().unwrap();
            ok(&json!({"id": "ii_1", "object": "invoiceitem", "amount": amount, "currency": "usd"}))
        })
        .await;
        Mock::given(method("POST"))
            .and(path_regex("^/v1/invoices/in_1/finalize$"))
            .respond_with(move |_: &Request| ok(&invoice("open", 125_040, made.lock().unwrap().clone())))
            .mount(&stripe)
            .await;

        let mut rig = Rig::new().await;
        rig.policies.backoff =
            Arc::new(FullJitter { base: Duration::from_millis(20), cap: Duration::from_millis(100) });
        let mut config = rig.config();
        config.hubspot.base_url = hubspot.uri();
        config.stripe.base_url = stripe.uri();
        (config.sync_interval, config.reconcile_interval) = (None, None);
        let core = rig.start_with(config).await;
        Stand { hubspot, stripe, rig, core }
    }

    /// Closes the deal and waits until its job is over, one way or another.
    async fn close_the_deal(&self) {
        assert_eq!(self.rig.deliver(&self.core.url, &changed(1, 7), "hush").await, 200);
        let patience = Instant::now() + Duration::from_secs(20);
        while !self.over().await {
            assert!(Instant::now() < patience, "{}", self.metrics().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn over(&self) -> bool {
        let finalised = self.stripe.received_requests().await.unwrap();
        let ended = finalised.iter().any(|r| r.url.path().ends_with("/finalize"))
            || !self.dead_letters().await.is_empty();
        // Counted once the job is written off, a moment after its last call.
        ended && self.metrics().await.contains("integration_jobs_total{")
    }

    async fn dead_letters(&self) -> Vec<Value> {
        let text = get_text(&format!("{}/admin/dead-letters", self.core.url)).await;
        let value: Value = serde_json::from_str(&text).unwrap();
        value["dead_letters"].as_array().unwrap().clone()
    }

    async fn metrics(&self) -> String {
        get_text(&format!("{}/metrics", self.core.url)).await
    }

    /// Stops the core, so that nothing more is asked, and lets the mocks check what they expect.
    async fn stop(self) {
        self.core.shutdown.cancel();
        self.core.task.await.unwrap().unwrap();
        self.hubspot.verify().await;
        self.stripe.verify().await;
    }
}

async fn requests(server: &MockServer, verb: &str, at: &str) -> Vec<Request> {
    let all = server.received_requests().await.unwrap();
    all.into_iter().filter(|r| r.method.as_str() == verb && r.url.path() == at).collect()
}

fn keys(requests: &[Request]) -> Vec<&str> {
    requests.iter().map(|r| r.headers["idempotency-key"].to_str().unwrap()).collect()
}

#[tokio::test]
async fn a_503_is_retried_under_the_same_key_with_the_same_body() {
    let stand = Stand::new().await;
    first(&stand.stripe, "POST", "/v1/invoices", ResponseTemplate::new(503), 2).await;
    stand.close_the_deal().await;
    let creates = requests(&stand.stripe, "POST", "/v1/invoices").await;
    assert_eq!(creates.len(), 3);
    let keys_of_creates = keys(&creates);
    assert!(
        keys_of_creates.iter().all(|key| *key == keys_of_creates[0] && !key.is_empty()),
        "{keys_of_creates:?}"
    );
    assert!(creates.iter().all(|r| r.body == creates[0].body));
    for other in ["/v1/customers", "/v1/invoiceitems", "/v1/invoices/in_1/finalize"] {
        let once = requests(&stand.stripe, "POST", other).await;
        assert_eq!(once.len(), 1, "{other}");
        assert_ne!(keys(&once)[0], keys_of_creates[0], "{other} shares a key with the invoice");
    }
    // Stripe's form dialect, as it goes over the wire.
    let written: Vec<String> = form(&creates[0]).into_iter().map(|(n, v)| format!("{n} = {v}")).collect();
    insta::assert_snapshot!(written.join("\n"), @r"
    customer = cus_1
    auto_advance = false
    collection_method = send_invoice
    days_until_due = 30
    currency = usd
    pending_invoice_items_behavior = exclude
    metadata[deal_id] = 7
    metadata[deal_revision] = 1
    metadata[deal_closed_at] = 1772236800
    ");
    stand.stop().await;
}

#[tokio::test]
async fn a_read_that_met_a_503_is_repeated_with_the_same_token() {
    let stand = Stand::new().await;
    first(&stand.hubspot, "GET", "/crm/v3/objects/deals/7", ResponseTemplate::new(503), 1).await;
    stand.close_the_deal().await;
    let reads = requests(&stand.hubspot, "GET", "/crm/v3/objects/deals/7").await;
    assert_eq!(reads.len(), 2);
    assert!(reads.iter().all(|r| r.headers["authorization"] == "Bearer access-1"));
    assert!(reads.iter().all(|r| !r.headers.contains_key("idempotency-key")));
    // Verifies that one token was fetched.
    stand.stop().await;
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let stand = Stand::new().await;
    let told: Arc<Mutex<Option<Instant>>> = Arc::default();
    let again: Arc<Mutex<Option<Instant>>> = Arc::default();
    let (note, note_again) = (told.clone(), again.clone());
    let busy = move |_: &Request| {
        *note.lock().unwrap() = Some(Instant::now());
        ResponseTemplate::new(429).insert_header("retry-after", "1")
    };
    first(&stand.stripe, "POST", "/v1/customers", busy, 1).await;
    let customer = json!({"id": "cus_1", "object": "customer", "email": "buyer7@example.com", "created": 1});
    let answer = move |_: &Request| {
        *note_again.lock().unwrap() = Some(Instant::now());
        ok(&customer)
    };
    let mock = Mock::given(method("POST")).and(path("/v1/customers")).respond_with(answer);
    mock.with_priority(2).mount(&stand.stripe).await;
    stand.close_the_deal().await;
    let waited = again.lock().unwrap().unwrap() - told.lock().unwrap().unwrap();
    assert!(waited >= Duration::from_secs(1), "came back after {waited:?}");
    assert!(waited < Duration::from_secs(3), "came back after {waited:?}");
    let creates = requests(&stand.stripe, "POST", "/v1/customers").await;
    assert_eq!(keys(&creates)[0], keys(&creates)[1]);
    stand.stop().await;
}

#[tokio::test]
async fn a_400_is_not_repeated_and_leaves_a_dead_letter() {
    let stand = Stand::new().await;
    let error = json!({"error": {"type": "invalid_request_error", "code": "parameter_invalid_empty",
        "param": "customer", "message": "You passed an empty string for 'customer'."}});
    first(&stand.stripe, "POST", "/v1/invoices", ResponseTemplate::new(400).set_body_json(error), 1).await;
    stand.close_the_deal().await;
    // A retry would have come within the backoff of at most 100 ms.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(requests(&stand.stripe, "POST", "/v1/invoices").await.len(), 1);
    assert_eq!(requests(&stand.stripe, "POST", "/v1/invoiceitems").await.len(), 0);
    let letters = stand.dead_letters().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].to_string().contains("You passed an empty string"), "{letters:?}");
    stand.stop().await;
}

#[tokio::test]
async fn the_metrics_page_keeps_its_names() {
    let stand = Stand::new().await;
    stand.close_the_deal().await;
    let page = stand.metrics().await;
    let names: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    integration_http_requests counter
    integration_http_operations counter
    integration_http_request_duration_seconds histogram
    integration_webhook_deliveries counter
    integration_jobs counter
    integration_queue_depth gauge
    integration_totals gauge
    integration_breaker_state gauge
    integration_oldest_job_age_seconds gauge
    integration_token_expiry_seconds gauge
    integration_dead_letters gauge
    integration_quarantined gauge
    integration_reconcile_expected gauge
    integration_reconcile_reconciled gauge
    ");
    stand.stop().await;
}
