//! Asking a live vendor: the nightly contract test.
//!
//! Knows: HTTP, which operations are safe to call, and that credentials come from the environment.
//! Must not know: how answers are judged.

use std::time::Duration;

use rustls::pki_types::CertificateDer;

use super::args::Verify;
use crate::contract::{Contract, Operation, Place};
use crate::fixture::{Body, Exchange, RecordedRequest, RecordedResponse};
use crate::record::{advice, certificates};
use crate::wire::Headers;

/// The largest answer that is read; the rest is not judged.
const LARGEST: usize = 32 << 20;

/// What became of the calls.
pub(super) struct Called {
    pub exchanges: Vec<Exchange>,
    /// Calls that brought no answer, in words.
    pub failures: Vec<String>,
}

/// A call to make.
struct Call {
    method: String,
    target: String,
    body: Option<(String, Vec<u8>)>,
}

/// Calls the vendor: what was recorded, and each GET that needs nothing but what `--with` gives.
pub(super) fn call(
    args: &Verify,
    url: &str,
    contract: &Contract,
    recorded: &[&Exchange],
) -> Result<Called, String> {
    let base = url.trim_end_matches('/');
    if !base.starts_with("http://") && !base.starts_with("https://") {
        return Err(format!("`{url}` is not the address of a vendor; it begins with https:// or http://"));
    }
    let headers = headers(&args.header, base)?;
    let roots = args.ca.as_deref().map_or(Ok(Vec::new()), certificates).map_err(|e| e.to_string())?;
    let calls = calls(args, contract, recorded)?;
    if calls.is_empty() {
        return Err("there is nothing to call: no recorded GET, and every GET of the contract needs a parameter; give it with --with NAME=VALUE".to_owned());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("no runtime to call from: {e}"))?;
    runtime.block_on(all(args, base, &headers, calls, &roots))
}

async fn all(
    args: &Verify,
    base: &str,
    headers: &Headers,
    calls: Vec<Call>,
    roots: &[CertificateDer<'_>],
) -> Result<Called, String> {
    let patience = Duration::from_secs(args.timeout.get());
    // Without a provider of its own reqwest has none; that another was installed before is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots: Result<Vec<_>, _> = roots.iter().map(|root| reqwest::Certificate::from_der(root)).collect();
    let client = reqwest::Client::builder()
        .tls_certs_merge(roots.map_err(|e| format!("--ca: {e}"))?)
        .timeout(patience)
        .connect_timeout(patience)
        // A redirect could carry the credentials to another host.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("firedrill/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| format!("no client: {e}"))?;
    let mut called = Called { exchanges: Vec::new(), failures: Vec::new() };
    let most = args.max_requests.get() as usize;
    for call in calls.iter().take(most) {
        match one(&client, base, headers, call).await {
            Ok(exchange) => called.exchanges.push(exchange),
            Err(why) => called.failures.push(format!("{} {}: {why}", call.method, call.target)),
        }
    }
    if calls.len() > most {
        called
            .failures
            .push(format!("{} more calls were not made; --max-requests allows {most}", calls.len() - most));
    }
    Ok(called)
}

async fn one(
    client: &reqwest::Client,
    base: &str,
    headers: &Headers,
    call: &Call,
) -> Result<Exchange, String> {
    let method: http::Method = call.method.parse().map_err(|_| "no method".to_owned())?;
    let mut request = client.request(method, format!("{base}{}", call.target));
    for (name, value) in &headers.0 {
        request = request.header(name.as_str(), value.as_str());
    }
    if let Some((kind, body)) = &call.body {
        request = request.header("content-type", kind).body(body.clone());
    }
    let mut answer = request.send().await.map_err(|e| cause(&e))?;
    let status = answer.status().as_u16();
    let fields = answer.headers().iter();
    let fields: Vec<(String, String)> = fields
        .map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
        .collect();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| cause(&e))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("the answer has more than {} MB", LARGEST >> 20));
        }
        body.extend_from_slice(&chunk);
    }
    let json = fields.iter().any(|(n, v)| n == "content-type" && v.contains("json"));
    Ok(Exchange {
        request: RecordedRequest {
            method: call.method.clone(),
            target: call.target.clone(),
            // Not the credentials: nothing about them is judged.
            headers: Headers::default(),
            body: call.body.as_ref().and_then(|(_, b)| Body::of(&b.clone().into(), true)),
        },
        response: RecordedResponse {
            status,
            headers: Headers::of(fields),
            body: Body::of(&body.into(), json),
        },
    })
}

/// Why a call brought nothing: reqwest's own chain of causes, without the address, which can
/// carry a key.
fn cause(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(inner) = source.source() {
        source = inner;
    }
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let said = source.to_string();
    let advice = advice(&said);
    format!("{said}{advice}")
}

fn calls(args: &Verify, contract: &Contract, recorded: &[&Exchange]) -> Result<Vec<Call>, String> {
    let mut given: Vec<(&str, &str)> = Vec::new();
    for pair in &args.with {
        given.push(pair.split_once('=').ok_or_else(|| format!("`{pair}` is not NAME=VALUE"))?);
    }
    let safe = |method: &str| args.unsafe_calls || matches!(method, "GET" | "HEAD");
    let mut calls: Vec<Call> = Vec::new();
    for exchange in recorded.iter().filter(|e| safe(&e.request.method)) {
        let request = &exchange.request;
        let known = calls.iter().any(|c| c.method == request.method && c.target == request.target);
        // What was taken out of a recording cannot be sent.
        if (known && matches!(request.method.as_str(), "GET" | "HEAD"))
            || request.target.contains(crate::fixture::REDACTED)
        {
            continue;
        }
        let kind = request.headers.get("content-type").unwrap_or("application/json").to_owned();
        let body = request.body.as_ref().map(|b| (kind, b.bytes().to_vec()));
        calls.push(Call { method: request.method.clone(), target: request.target.clone(), body });
    }
    for operation in contract.operations().iter().filter(|o| o.method == "GET") {
        let seen = |c: &Call| contract.find(&c.method, &c.target).is_ok_and(|f| f.operation == operation);
        if calls.iter().any(seen) {
            continue;
        }
        if let Some(target) = target(operation, &given) {
            calls.push(Call { method: "GET".to_owned(), target, body: None });
        }
    }
    Ok(calls)
}

/// The target of an operation with the values that are given; none if one is missing.
fn target(operation: &Operation, given: &[(&str, &str)]) -> Option<String> {
    let mut path = operation.path.clone();
    let mut query = form_urlencoded::Serializer::new(String::new());
    for parameter in &operation.parameters {
        let value = given.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| *value);
        match (parameter.place, value) {
            (Place::Path, value) => {
                let value = percent_encoding::utf8_percent_encode(value?, percent_encoding::NON_ALPHANUMERIC);
                path = path.replace(&format!("{{{}}}", parameter.name), &value.to_string());
            }
            (Place::Query, Some(value)) => {
                query.append_pair(&parameter.name, value);
            }
            (_, None) if parameter.required => return None,
            _ => {}
        }
    }
    let query = query.finish();
    (!path.contains('{')).then(|| if query.is_empty() { path } else { format!("{path}?{query}") })
}

/// The header fields to send, with `${NAME}` taken from the environment.
fn headers(given: &[String], base: &str) -> Result<Headers, String> {
    let mut pairs = Vec::new();
    for line in given {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("`{}` is not a header field; write `name: value`", name_of(line)))?;
        let value = expand(value.trim())?;
        if http::HeaderName::from_bytes(name.trim().as_bytes()).is_err()
            || http::HeaderValue::from_str(&value).is_err()
        {
            return Err(format!("the header field `{name}` cannot be sent"));
        }
        let plain = base.starts_with("http://")
            && !["http://127.", "http://localhost", "http://[::1]"].iter().any(|l| base.starts_with(l));
        if plain && line.contains("${") {
            return Err(format!("`{name}` is a credential, and {base} is not encrypted; use https"));
        }
        pairs.push((name.trim().to_owned(), value));
    }
    Ok(Headers::of(pairs))
}

/// What may be shown of a header line that is not one: not its value.
fn name_of(line: &str) -> &str {
    line.split([' ', '=']).next().unwrap_or_default()
}

fn expand(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, tail) = after.split_once('}').ok_or("a `${` of a header field has no `}`")?;
        let value = std::env::var(name)
            .map_err(|_| format!("the environment has no variable {name}, which a header field needs"))?;
        out.push_str(before);
        out.push_str(&value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}
