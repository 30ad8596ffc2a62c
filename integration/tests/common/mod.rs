//! A tiny loopback fake of both vendors. Knows just enough of them to be written to; must not know the core.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use integration_core::{
    Bound, CancellationToken, Clock, Config, Core, CoreError, CredentialSource, HubSpotConfig, Policies,
    StripeConfig, Synchronous,
};
use rand::SeedableRng as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The wall clock of a test: an epoch plus tokio's paused clock.
pub struct TestClock(pub Instant);

impl Clock for TestClock {
    fn now(&self) -> jiff::Timestamp {
        let epoch: jiff::Timestamp = "2026-03-01T09:00:00Z".parse().unwrap();
        epoch + self.0.elapsed()
    }
}

/// What to do with the next matching request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Apply it, and never answer.
    HangAfterApplying,
    /// Answer this instead, applying nothing.
    Answer(u16, String, Vec<(&'static str, String)>),
    /// Save and answer a 500 under its key, applying it all the same.
    SavedFailure,
}

#[derive(Default)]
pub struct World {
    pub deals: BTreeMap<String, Value>,
    pub customers: Vec<Value>,
    pub invoices: Vec<Value>,
    pub saved: BTreeMap<String, (String, u16, Value)>,
    /// Method, path, key.
    pub log: Vec<(String, String, Option<String>)>,
    pub faults: Vec<(Method, &'static str, Fault)>,
    pub refreshes: u32,
    pub revoked: bool,
    pub access: String,
    pub alerts: Vec<Value>,
}

pub type Shared = Arc<Mutex<World>>;

impl World {
    pub fn deal(&mut self, id: &str, amount: &str, stage: &str, updated: &str) {
        let properties = json!({"dealname": format!("Deal {id}"), "amount": amount, "deal_currency_code": "USD",
            "closedate": "2026-02-28T00:00:00Z", "dealstage": stage, "billing_email": format!("buyer{id}@example.com"),
            "billing_name": "Buyer", "hs_lastmodifieddate": updated});
        let deal = json!({"id": id, "properties": properties, "createdAt": "2026-01-01T00:00:00Z", "updatedAt": updated, "archived": false});
        self.deals.insert(id.into(), deal);
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.log.iter().filter(|(m, p, _)| m == method && p == path).count()
    }

    pub fn live(&self) -> Vec<&Value> {
        self.invoices.iter().filter(|invoice| invoice["status"] != "void").collect()
    }

    fn fault(&mut self, method: &Method, path: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|(m, p, _)| m == method && path.starts_with(p))?;
        Some(self.faults.remove(at).2)
    }
}

fn reply(status: u16, value: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), [("content-type", "application/json")], value.to_string())
        .into_response()
}

async fn hubspot(
    State(world): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = {
        let mut world = world.lock().unwrap();
        world.log.push((method.to_string(), uri.path().into(), None));
        world.fault(&method, uri.path())
    };
    if let Some(Fault::Answer(status, body, headers)) = fault {
        return answer(status, body, headers);
    }
    let mut world = world.lock().unwrap();
    if uri.path() == "/oauth/v1/token" {
        if world.revoked {
            return reply(400, &json!({"status": "BAD_REFRESH_TOKEN", "message": "revoked"}));
        }
        world.refreshes += 1;
        world.access = format!("access-{}", world.refreshes);
        return reply(
            200,
            &json!({"token_type": "bearer", "access_token": world.access, "expires_in": 1800}),
        );
    }
    if headers["authorization"] != format!("Bearer {}", world.access) {
        return reply(401, &json!({"status": "error", "category": "EXPIRED_AUTHENTICATION"}));
    }
    let deals = || world.deals.values().cloned().collect::<Vec<Value>>();
    match (method.as_str(), uri.path()) {
        ("POST", "/crm/v3/objects/deals/search") => {
            let query: Value = serde_json::from_slice(&body).unwrap();
            let since: i64 =
                query["filterGroups"][0]["filters"][0]["value"].as_str().unwrap().parse().unwrap();
            let since = jiff::Timestamp::from_millisecond(since).unwrap();
            let newer = |deal: &Value| {
                deal["updatedAt"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() >= since
            };
            let deals: Vec<Value> = deals().into_iter().filter(newer).collect();
            reply(200, &json!({"total": deals.len(), "results": deals}))
        }
        ("GET", "/crm/v3/objects/deals") => reply(200, &json!({"results": deals()})),
        (_, path) => match world.deals.get(path.rsplit('/').next().unwrap()) {
            Some(deal) => reply(200, deal),
            None => reply(404, &json!({"status": "error", "message": "not found"})),
        },
    }
}

fn answer(status: u16, body: String, headers: Vec<(&'static str, String)>) -> Response {
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

async fn stripe_get(State(world): State<Shared>, uri: Uri) -> Response {
    let query: BTreeMap<String, String> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let fault = {
        let mut world = world.lock().unwrap();
        world.log.push(("GET".into(), uri.path().into(), None));
        world.fault(&Method::GET, uri.path())
    };
    if let Some(Fault::Answer(status, body, headers)) = fault {
        return answer(status, body, headers);
    }
    let world = world.lock().unwrap();
    let list = |all: &[Value], field: &str| {
        let wanted = query.get(field);
        let data: Vec<&Value> =
            all.iter().filter(|one| wanted.is_none_or(|wanted| one[field] == **wanted)).collect();
        reply(200, &json!({"object": "list", "data": data, "has_more": false}))
    };
    match uri.path() {
        "/v1/customers" => list(&world.customers, "email"),
        "/v1/invoices" => list(&world.invoices, "customer"),
        path => match world.invoices.iter().find(|one| path.ends_with(one["id"].as_str().unwrap())) {
            Some(invoice) => reply(200, invoice),
            None => {
                reply(404, &json!({"error": {"type": "invalid_request_error", "code": "resource_missing"}}))
            }
        },
    }
}

fn missing() -> (u16, Value) {
    (404, json!({"error": {"type": "invalid_request_error", "code": "resource_missing"}}))
}

fn apply(world: &mut World, path: &str, form: &BTreeMap<String, String>) -> (u16, Value) {
    let id = world.log.len();
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    match parts.as_slice() {
        ["customers"] => {
            let customer = json!({"id": format!("cus_{id}"), "object": "customer", "email": form["email"], "created": id});
            world.customers.push(customer.clone());
            (200, customer)
        }
        ["invoices"] => {
            let metadata: BTreeMap<&str, &String> = form
                .iter()
                .filter_map(|(name, value)| Some((name.strip_prefix("metadata[")?.strip_suffix(']')?, value)))
                .collect();
            let invoice = json!({"id": format!("in_{id}"), "object": "invoice", "customer": form["customer"],
                "status": "draft", "currency": form["currency"], "amount_due": 0, "metadata": metadata});
            world.invoices.push(invoice.clone());
            (200, invoice)
        }
        ["invoiceitems"] => {
            let amount: i64 = form["amount"].parse().unwrap();
            let Some(invoice) = world.invoices.iter_mut().find(|one| one["id"] == *form["invoice"]) else {
                return missing();
            };
            invoice["amount_due"] = (invoice["amount_due"].as_i64().unwrap() + amount).into();
            (
                200,
                json!({"id": format!("ii_{id}"), "object": "invoiceitem", "amount": amount, "currency": form["currency"]}),
            )
        }
        ["invoices", which, action] => {
            let Some(invoice) = world.invoices.iter_mut().find(|one| one["id"] == *which) else {
                return missing();
            };
            invoice["status"] = if *action == "void" { "void" } else { "open" }.into();
            (200, invoice.clone())
        }
        _ => missing(),
    }
}

async fn stripe_post(State(world): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("idempotency-key").unwrap().to_str().unwrap().to_owned();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let form: BTreeMap<String, String> = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
    let (status, value, fault, replayed) = {
        let mut world = world.lock().unwrap();
        world.log.push(("POST".into(), uri.path().into(), Some(key.clone())));
        let fault = world.fault(&Method::POST, uri.path());
        if let Some(Fault::Answer(status, body, headers)) = fault {
            return answer(status, body, headers);
        }
        match world.saved.get(&key).cloned() {
            Some((before, _, _)) if before != text => {
                return reply(
                    400,
                    &json!({"error": {"type": "idempotency_error", "message": "other parameters"}}),
                );
            }
            Some((_, status, value)) => (status, value, fault, true),
            None => {
                let (mut status, mut value) = apply(&mut world, uri.path(), &form);
                if fault == Some(Fault::SavedFailure) {
                    (status, value) = (500, json!({"error": {"type": "api_error"}}));
                }
                world.saved.insert(key, (text, status, value.clone()));
                (status, value, fault, false)
            }
        }
    };
    if fault == Some(Fault::HangAfterApplying) {
        std::future::pending::<()>().await;
    }
    let mut response = reply(status, &value);
    if replayed {
        response.headers_mut().insert("idempotent-replayed", "true".parse().unwrap());
    }
    response
}

async fn stripe_delete(State(world): State<Shared>, Path(id): Path<String>, uri: Uri) -> Response {
    let mut world = world.lock().unwrap();
    world.log.push(("DELETE".into(), uri.path().into(), None));
    world.invoices.retain(|invoice| invoice["id"] != *id);
    reply(200, &json!({"id": id, "object": "invoice", "deleted": true}))
}

async fn alerted(State(world): State<Shared>, body: Bytes) -> Response {
    world.lock().unwrap().alerts.push(serde_json::from_slice(&body).unwrap());
    reply(200, &json!({}))
}

/// Starts both vendors and the alert receiver on one port; returns the base URL.
pub async fn vendors(world: &Shared) -> String {
    let app = Router::new()
        .route("/oauth/v1/token", any(hubspot))
        .route("/crm/{*rest}", any(hubspot))
        .route("/v1/invoices/{id}", get(stripe_get).delete(stripe_delete))
        .route("/v1/{*rest}", get(stripe_get).post(stripe_post))
        .route("/alerts", post(alerted))
        .with_state(world.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    base
}

pub struct Rig {
    pub world: Shared,
    pub dir: tempfile::TempDir,
    pub clock: Arc<TestClock>,
    pub base: String,
    pub policies: Policies,
    pub http: reqwest::Client,
}

impl Rig {
    pub async fn new() -> Self {
        let world = Shared::default();
        let base = vendors(&world).await;
        let clock = Arc::new(TestClock(Instant::now()));
        Self {
            world,
            dir: tempfile::tempdir().unwrap(),
            clock,
            base,
            policies: Policies::default(),
            http: client(),
        }
    }

    pub fn config(&self) -> Config {
        let literal = |text: &str| CredentialSource::Literal(text.into());
        let hubspot = HubSpotConfig {
            base_url: self.base.clone(),
            client_id: "id".into(),
            client_secret: "hush".into(),
            refresh_token: literal("refresh-0"),
            webhook_secrets: literal("hush\nold"),
            webhook_public_url: Some("https://core.example/webhooks/hubspot".into()),
        };
        let stripe = StripeConfig {
            base_url: self.base.clone(),
            api_key: literal("sk_test"),
            api_version: "2024-06-20".into(),
        };
        let mut config = Config::new(self.dir.path(), hubspot, stripe);
        config.listen = "127.0.0.1:0".parse().unwrap();
        config.synchronous = Synchronous::Normal;
        config.alert_url = Some(format!("{}/alerts", self.base));
        config
    }

    pub async fn bound(&self, config: Config) -> Bound {
        let entropy = Box::new(rand::rngs::StdRng::seed_from_u64(7));
        let core = Core::open(config, self.clock.clone(), entropy, self.policies.clone()).unwrap();
        core.bind().await.unwrap()
    }

    /// Starts the core; aborting the handle is a kill.
    pub async fn start(&self) -> Running {
        self.start_with(self.config()).await
    }

    pub async fn start_with(&self, config: Config) -> Running {
        let bound = self.bound(config).await;
        let url = format!("http://{}", bound.local_addr());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(bound.run(shutdown.clone()));
        Running { url, shutdown, task }
    }

    /// Delivers webhook events, signed with `secret`.
    pub async fn deliver(&self, url: &str, events: &Value, secret: &str) -> u16 {
        let body = events.to_string();
        let timestamp = self.clock.now().as_millisecond().to_string();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("POSThttps://core.example/webhooks/hubspot{body}{timestamp}").as_bytes());
        let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
        let request = self.http.post(format!("{url}/webhooks/hubspot")).body(body);
        let request = request
            .header("x-hubspot-signature-v3", signature)
            .header("x-hubspot-request-timestamp", timestamp);
        request.send().await.unwrap().status().as_u16()
    }
}

/// One client a test: loading the platform's roots takes longer than the test.
pub fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().no_proxy();
    #[cfg(feature = "tls")]
    let builder = {
        let _ = rustls::crypto::ring::default_provider().install_default();
        builder.tls_certs_only([])
    };
    builder.build().unwrap()
}

pub async fn get_text(url: &str) -> String {
    client().get(url).send().await.unwrap().text().await.unwrap()
}

pub struct Running {
    pub url: String,
    pub shutdown: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<(), CoreError>>,
}

pub fn changed(event_id: u64, deal: u64) -> Value {
    json!([{"eventId": event_id, "subscriptionId": 1, "portalId": 1, "appId": 1, "occurredAt": 1_772_355_600_000_i64,
        "subscriptionType": "deal.propertyChange", "attemptNumber": 0, "objectId": deal,
        "propertyName": "dealstage", "propertyValue": "closedwon", "changeSource": "CRM"}])
}
