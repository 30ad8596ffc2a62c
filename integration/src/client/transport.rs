//! One attempt on the wire. Knows bytes, timeouts and how they fail; must not know whether there will be another.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use tokio::time::{Instant, timeout};

use super::{Bearer, Body, Call, Failure, VendorClient};
use crate::error::CoreError;
use crate::observer::{AttemptOutcome, AttemptRecord, Vendor};
use crate::policy::{AttemptFacts, Counting, Disclosure, Trust};

/// The largest answer that is read.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// The longest id of a vendor's that is logged.
const LONGEST_ID: usize = 128;

/// A whole answer with a 2xx status.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub status: u16,
    pub body: Bytes,
    /// The vendor says that it has answered this before.
    pub replayed: bool,
}

/// How one attempt ended, with what it brought.
#[derive(Debug)]
pub(crate) struct Tried {
    pub outcome: AttemptOutcome,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub replayed: bool,
}

/// What a failed attempt teaches.
#[derive(Debug)]
pub(crate) struct Lesson {
    pub outcome: AttemptOutcome,
    pub code: Option<String>,
    pub message: String,
    pub should_retry: Option<bool>,
    pub retry_after: Option<Duration>,
}

impl Lesson {
    pub(crate) fn as_facts<'a>(&'a self, vendor: Vendor, call: &Call<'_>) -> AttemptFacts<'a> {
        AttemptFacts {
            vendor,
            outcome: self.outcome,
            safe: call.read || call.key.is_some(),
            code: self.code.as_deref(),
            should_retry: self.should_retry,
            attempt: 0,
        }
    }
}

impl Tried {
    fn failed(outcome: AttemptOutcome) -> Self {
        Self { outcome, headers: HeaderMap::new(), body: Bytes::new(), replayed: false }
    }

    pub(crate) fn reply(self) -> Reply {
        let AttemptOutcome::Status(status) = self.outcome else { unreachable!("only a status is a reply") };
        Reply { status, body: self.body, replayed: self.replayed }
    }

    pub(crate) fn lesson(&self, retry_after: Option<Duration>) -> Lesson {
        let (code, message) = error_of(&self.body);
        let should_retry = match self.headers.get("stripe-should-retry").map(HeaderValue::as_bytes) {
            Some(b"true") => Some(true),
            Some(b"false") => Some(false),
            _ => None,
        };
        Lesson { outcome: self.outcome, code, message, should_retry, retry_after }
    }

    pub(crate) fn into_failure(self, lesson: &Lesson) -> Failure {
        match self.outcome {
            AttemptOutcome::Status(status) if status < 500 && status != 429 && status != 408 => {
                Failure::Rejected {
                    status,
                    code: lesson.code.clone().unwrap_or_default(),
                    message: lesson.message.clone(),
                }
            }
            outcome => Failure::Unavailable { why: outcome.label() },
        }
    }
}

/// What the vendor calls this request: Stripe's or HubSpot's own id, or a proxy's.
fn vendor_request_id(headers: &HeaderMap) -> Option<&str> {
    let names = ["request-id", "x-hubspot-correlation-id", "x-request-id"];
    let id = names.iter().find_map(|name| headers.get(*name)?.to_str().ok())?;
    id.get(..id.len().min(LONGEST_ID))
}

/// The code and message of an error body, in Stripe's, HubSpot's or RFC 6749's form.
fn error_of(body: &[u8]) -> (Option<String>, String) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return (None, String::new()) };
    let text = |value: Option<&serde_json::Value>| value.and_then(|v| v.as_str()).map(str::to_owned);
    let (code, message) = match value.get("error") {
        Some(error @ serde_json::Value::Object(_)) => {
            (text(error.get("code")).or_else(|| text(error.get("type"))), text(error.get("message")))
        }
        Some(serde_json::Value::String(code)) => (Some(code.clone()), text(value.get("error_description"))),
        _ => {
            let code = text(value.get("category")).or_else(|| text(value.get("errorType")));
            let status = text(value.get("status")).filter(|status| status != "error");
            (status.or(code), text(value.get("message")))
        }
    };
    (code, message.unwrap_or_default().chars().take(300).collect())
}

impl VendorClient {
    pub(super) async fn attempt(
        &self,
        call: &Call<'_>,
        attempt: u32,
        request_id: &str,
        bearer: Option<&Bearer>,
        key: Option<&str>,
        deadline: Option<Instant>,
    ) -> Tried {
        let policies = &*self.tools.policies;
        let started = self.tools.clock.now();
        let begun = Instant::now();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(begun));
        let limit = match (policies.timeouts.attempt, left) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other.filter(|_| policies.timeouts.body.is_some())),
        };
        let exchange = self.exchange(call, bearer, key);
        let tried = match limit {
            Some(limit) => {
                timeout(limit, exchange).await.unwrap_or_else(|_| Tried::failed(AttemptOutcome::Timeout))
            }
            None => exchange.await,
        };
        let took = begun.elapsed();
        let counted = match policies.counting {
            Counting::EveryAttempt => Some(attempt),
            Counting::FirstAsRetry => Some(attempt + 1),
            Counting::OperationsOnly => None,
        };
        if let Some(attempt) = counted {
            self.tools.metrics.attempt(self.vendor, call.endpoint, tried.outcome, attempt, took);
        }
        let path = call.path.split('?').next().unwrap_or_default();
        // By its own id for the request a vendor finds what it did, if anybody asks.
        let vendor_request_id = vendor_request_id(&tried.headers);
        macro_rules! tell {
            ($level:ident, $line:literal) => {
                tracing::$level!(
                    request_id, vendor = self.vendor.name(), method = %call.method, path, attempt,
                    outcome = %tried.outcome.label(), vendor_request_id, took_ms = took.as_millis() as u64, $line
                )
            };
        }
        match tried.outcome {
            AttemptOutcome::Status(200..=299) => tell!(debug, "attempt"),
            _ => tell!(info, "attempt failed"),
        }
        match (policies.disclosure, bearer) {
            (Disclosure::Never, _) | (_, None) => {}
            (Disclosure::InDebugLogs, Some(bearer)) => {
                tracing::debug!(request_id, "authorization: Bearer {}", bearer.secret.expose());
            }
            (_, Some(bearer)) => {
                tracing::info!(request_id, "authorization: Bearer {}", bearer.secret.expose());
            }
        }
        if let Some(observer) = self.tools.observer.get() {
            observer.attempt(&AttemptRecord {
                vendor: self.vendor,
                method: call.method.to_string(),
                path: path.to_owned(),
                endpoint: call.endpoint,
                attempt,
                started,
                took,
                outcome: tried.outcome,
            });
        }
        tried
    }

    async fn exchange(&self, call: &Call<'_>, bearer: Option<&Bearer>, key: Option<&str>) -> Tried {
        let timeouts = self.tools.policies.timeouts;
        let mut url = format!("{}{}", self.base, call.path);
        if let (Disclosure::InUrls, Some(bearer)) = (self.tools.policies.disclosure, bearer) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str("access_token=");
            url.extend(form_urlencoded::byte_serialize(bearer.secret.expose().as_bytes()));
        }
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(bearer) = bearer {
            let value = HeaderValue::from_str(&format!("Bearer {}", bearer.secret.expose()));
            let Ok(mut value) = value else { return Tried::failed(AttemptOutcome::ConnectRefused) };
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(version) = &self.version {
            request = request.header("stripe-version", version);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        request = match &call.body {
            Body::None => request,
            Body::Form(text) => {
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(text.clone())
            }
            Body::Json(text) => request.header(CONTENT_TYPE, "application/json").body(text.clone()),
        };
        let sent = match timeouts.head {
            Some(limit) => match timeout(limit, request.send()).await {
                Ok(sent) => sent,
                Err(_) => return Tried::failed(AttemptOutcome::Timeout),
            },
            None => request.send().await,
        };
        match sent {
            Ok(response) => self.read(response).await,
            Err(error) => Tried::failed(transport_outcome(&error)),
        }
    }

    async fn read(&self, mut response: reqwest::Response) -> Tried {
        let timeouts = self.tools.policies.timeouts;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let whole = timeouts.body.map(|limit| Instant::now() + limit);
        let mut body = BytesMut::new();
        let outcome = loop {
            let limit =
                match (timeouts.body_idle, whole.map(|end| end.saturating_duration_since(Instant::now()))) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
            let piece = match limit {
                Some(limit) => match timeout(limit, response.chunk()).await {
                    Ok(piece) => piece,
                    Err(_) => break AttemptOutcome::Timeout,
                },
                None => response.chunk().await,
            };
            match piece {
                Ok(Some(piece)) if body.len() + piece.len() <= LARGEST_BODY => body.extend_from_slice(&piece),
                Ok(None) => break AttemptOutcome::Status(status),
                Ok(Some(_)) | Err(_) => break AttemptOutcome::Truncated,
            }
        };
        let replayed = headers.get("idempotent-replayed").is_some_and(|value| value.as_bytes() == b"true");
        Tried { outcome, headers, body: body.freeze(), replayed }
    }
}

fn transport_outcome(error: &reqwest::Error) -> AttemptOutcome {
    if error.is_connect() {
        return if error.is_timeout() {
            AttemptOutcome::ConnectTimeout
        } else {
            AttemptOutcome::ConnectRefused
        };
    }
    if error.is_timeout() {
        return AttemptOutcome::Timeout;
    }
    let mut cause = error.source();
    while let Some(inner) = cause {
        if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return AttemptOutcome::Garbage;
        }
        cause = inner.source();
    }
    AttemptOutcome::Reset
}

/// How a host is known to be the vendor's.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
pub(crate) struct Tls<'a> {
    /// The authorities; the platform's, if absent.
    pub ca_file: Option<&'a Path>,
    /// Whose certificate is good enough.
    pub trust: Trust,
}

/// A plain client: no proxy, no redirects (credentials stay with the configured host), roots only for https.
pub(crate) fn build_http(
    base: &str,
    connect: Option<Duration>,
    tls: Tls<'_>,
) -> Result<reqwest::Client, CoreError> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        // Whatever features a build with others turns on.
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("integration-core/", env!("CARGO_PKG_VERSION")));
    if let Some(connect) = connect {
        builder = builder.connect_timeout(connect);
    }
    #[cfg(feature = "tls")]
    {
        builder = with_tls(builder, base.starts_with("https:"), tls)?;
    }
    #[cfg(not(feature = "tls"))]
    let _ = (base, tls);
    Ok(builder.build()?)
}

/// Loading the platform's roots costs milliseconds: plain http gets a configuration without any.
#[cfg(feature = "tls")]
fn with_tls(
    builder: reqwest::ClientBuilder,
    https: bool,
    tls: Tls<'_>,
) -> Result<reqwest::ClientBuilder, CoreError> {
    use std::sync::LazyLock;
    static NO_ROOTS: LazyLock<rustls::ClientConfig> = LazyLock::new(|| {
        install_provider();
        rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth()
    });
    fn install_provider() {
        // Somebody else's provider is as good as ours.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    if !https {
        return Ok(builder.tls_backend_preconfigured(NO_ROOTS.clone()));
    }
    install_provider();
    let mut builder = builder.https_only(true);
    if let Some(path) = tls.ca_file {
        builder = builder.tls_certs_only(authorities(path)?);
    }
    Ok(match tls.trust {
        Trust::Verified => builder,
        Trust::AnyHost => builder.tls_danger_accept_invalid_hostnames(true),
        Trust::Anyone => builder.tls_danger_accept_invalid_certs(true),
    })
}

#[cfg(feature = "tls")]
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, CoreError> {
    let wrong = |why: String| CoreError::CaFile { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let all = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
    if all.is_empty() {
        return Err(wrong("there is no PEM certificate in it".to_owned()));
    }
    Ok(all)
}
