//! A firedrill vendor inside a `wiremock::MockServer` that a test already has.
//!
//! Knows: wiremock's `Match` and `Respond`, and which faults a whole response can carry. Must not
//! know: sockets, or any one vendor.
//!
//! wiremock answers from a thread of its own, in real time, and only with whole responses: what
//! breaks a connection, webhooks and the subject's life need a drill of firedrill's own, and are
//! refused when they are asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::time::Instant;
use wiremock::{Match, Mock, MockServer, Request as Asked, Respond, ResponseTemplate};

use crate::drift;
use crate::fault::{Act, Reply, Rule, Target};
use crate::schedule::{Bite, Call, Schedule};
use crate::seed::Seed;
use crate::time::{At, Span};
use crate::vendor::{Reaction, Vendor};
use crate::wire::{Headers, Request, Response};

/// Why a rule cannot be carried out inside wiremock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The rule does what no whole response can do.
    #[error("rule {rule}: wiremock cannot carry out `{act}`; {instead}")]
    Unsupported {
        /// Which rule, from 1.
        rule: usize,
        /// What it does, as it is written.
        act: &'static str,
        /// What to use instead.
        instead: &'static str,
    },
    /// The rule is on another vendor than the one mounted.
    #[error("rule {rule}: it is on `{on}`, and the vendor mounted here is `{vendor}`")]
    OtherVendor {
        /// Which rule, from 1.
        rule: usize,
        /// What it is on.
        on: String,
        /// The vendor's name, which is its alias here.
        vendor: String,
    },
}

/// A vendor at work in a mock server: what became of it, for the test's own assertions.
#[derive(Clone)]
pub struct Mounted(Arc<Mutex<State>>);

struct State {
    vendor: Box<dyn Vendor + Send>,
    schedule: Schedule,
    /// How often each rule bit.
    fired: Vec<u32>,
    started: Instant,
    /// The server's address, which stands in for the vendor's origin in what it answers.
    here: String,
}

/// Mounts `vendor` on `server`. It answers every request of an operation that it knows; the rest
/// is left to the test's other mocks. `rules` name it by the vendor's own name (`github`), and
/// their windows count from now.
///
/// # Errors
/// [`MountError`] if a rule cannot be carried out here; nothing is mounted then.
pub async fn mount(
    server: &MockServer,
    vendor: Box<dyn Vendor + Send>,
    rules: Vec<Rule>,
) -> Result<Mounted, MountError> {
    let name = vendor.profile().name.clone();
    for (rule, of) in (1..).zip(&rules) {
        supported(rule, of, &name)?;
    }
    let state = State {
        // A mounted vendor never heals by itself, and nothing here is left to chance: see `supported`.
        schedule: Schedule::new(&rules, At(u64::MAX), Seed(0)),
        fired: vec![0; rules.len()],
        vendor,
        started: Instant::now(),
        here: server.uri(),
    };
    let mounted = Mounted(Arc::new(Mutex::new(state)));
    Mock::given(mounted.clone()).respond_with(mounted.clone()).mount(server).await;
    Ok(mounted)
}

impl Mounted {
    /// How often each rule bit, in their order. A rule that never did tested nothing.
    pub fn fired(&self) -> Vec<u32> {
        self.state().fired.clone()
    }

    /// The vendor's live records of a collection, oldest first; `None` if it has no such.
    pub fn records(&self, collection: &str) -> Option<Vec<Arc<Value>>> {
        self.state().vendor.records(collection)
    }

    /// What an operator hands to an integration: `api_key`, `refresh_token`, ….
    pub fn credentials(&self) -> BTreeMap<String, String> {
        self.state().vendor.credentials()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere is the test's own failure; the vendor's state is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Match for Mounted {
    fn matches(&self, asked: &Asked) -> bool {
        self.state().vendor.operation(&request(asked)).is_some()
    }
}

impl Respond for Mounted {
    fn respond(&self, asked: &Asked) -> ResponseTemplate {
        self.state().respond(&request(asked))
    }
}

impl State {
    /// What hits a request, if anything: decided as in a drill.
    fn bite(&mut self, now: At, request: &Request) -> Option<Bite> {
        let profile = self.vendor.profile();
        let call = Call {
            vendor: &profile.name,
            key_header: profile.idempotency_header.as_deref(),
            request,
            // wiremock does not say which connection a request came on; no rule here asks.
            reused: false,
        };
        self.schedule.call(now, call)
    }

    /// Counts a rule that bit.
    fn count(&mut self, rule: u32) {
        if let Some(fired) = usize::try_from(rule).ok().and_then(|n| self.fired.get_mut(n)) {
            *fired += 1;
        }
    }

    fn respond(&mut self, request: &Request) -> ResponseTemplate {
        let now = At::START + Span::from(self.started.elapsed());
        let mut delay = Span::ZERO;
        let bite = self.bite(now, request);
        let mut bit = bite.as_ref().map(|b| b.fault.rule);
        let turn = bite.as_ref().map_or(0, |b| b.turn);
        let act = bite.map(|b| b.act);
        let reaction = match &act {
            Some(Act::Drift(mutation)) => {
                let (reaction, drifted) = drift::answer(&mut *self.vendor, mutation, turn, now, request);
                // A change that made no difference to this call did not happen to it.
                bit = bit.filter(|_| drifted.is_some());
                reaction
            }
            Some(Act::Error(error)) => self.vendor.fail(now, request, error),
            Some(Act::Reply(reply)) => {
                if reply.applied {
                    self.vendor.step(now, request, Span::ZERO);
                }
                Reaction { response: Some(literal(reply)), ..Reaction::default() }
            }
            Some(Act::Latency(span)) => {
                delay = *span;
                self.vendor.step(now, request, *span)
            }
            _ => self.vendor.step(now, request, Span::ZERO),
        };
        bit.into_iter().for_each(|rule| self.count(rule));
        let origin = self.vendor.profile().origin.clone();
        let mut response = reaction.response.unwrap_or_else(|| Response {
            status: 500,
            headers: Headers::of([("content-type", "text/plain")]),
            body: "firedrill: the vendor gave no response".into(),
        });
        if let Some(Act::Headers(fields)) = &act {
            for (name, value) in fields {
                match value {
                    Some(value) => response.headers.set(name, value.clone()),
                    None => drop(response.headers.remove(name)),
                }
            }
        }
        template(response, &origin, &self.here, request.method == "HEAD").set_delay(delay.duration())
    }
}

/// Whether a rule can be carried out by a whole response of `vendor`.
fn supported(rule: usize, of: &Rule, vendor: &str) -> Result<(), MountError> {
    const DRILL: &str = "it breaks the connection: run it as a drill of firedrill's own, on real sockets";
    const WEBHOOK: &str = "wiremock sends no webhooks: run it as a drill of firedrill's own";
    const LIFE: &str = "wiremock does not run the subject: run it as a drill of firedrill's own";
    const HANG: &str = "a whole response cannot hang: use `latency` longer than the client's patience";
    let refused = |act, instead| Err(MountError::Unsupported { rule, act, instead });
    match &of.act {
        Act::Error(_) | Act::Reply(_) | Act::Latency(_) | Act::Headers(_) | Act::Drift(_) => {}
        Act::Hang(_) => return refused("hang", HANG),
        Act::Refuse => return refused("refuse", DRILL),
        Act::BlackHole => return refused("black_hole", DRILL),
        Act::SlowAccept(_) => return refused("slow_accept", DRILL),
        Act::Certificate(_) => return refused("certificate", DRILL),
        Act::ResetRequest => return refused("reset_request", DRILL),
        Act::ContentLength(_) => return refused("content_length", DRILL),
        Act::Interim(_) => return refused("interim", DRILL),
        Act::Reset(_) => return refused("reset", DRILL),
        Act::Close(_) => return refused("close", DRILL),
        Act::Truncate(_) => return refused("truncate", DRILL),
        Act::Stall(_) => return refused("stall", DRILL),
        Act::SlowBody(_) => return refused("slow_body", DRILL),
        Act::Garbage => return refused("garbage", DRILL),
        Act::StaleKeepAlive => return refused("stale_keep_alive", DRILL),
        Act::Goaway(_) => return refused("goaway", DRILL),
        Act::Duplicate(_) => return refused("duplicate", WEBHOOK),
        Act::Reorder(_) => return refused("reorder", WEBHOOK),
        Act::Delay(_) => return refused("delay", WEBHOOK),
        Act::Drop => return refused("drop", WEBHOOK),
        Act::Burst => return refused("burst", WEBHOOK),
        Act::Signature(_) => return refused("signature", WEBHOOK),
        Act::UnknownType => return refused("unknown_type", WEBHOOK),
        Act::Poison => return refused("poison", WEBHOOK),
        Act::Unreachable => return refused("unreachable", WEBHOOK),
        Act::LostAck => return refused("lost_ack", WEBHOOK),
        Act::Kill(_) => return refused("kill", LIFE),
        Act::Stop(_) => return refused("stop", LIFE),
        Act::Pause(_) => return refused("pause", LIFE),
        Act::ClockSkew(_) => return refused("clock_skew", LIFE),
    }
    match &of.on {
        Target::Calls { vendor: on, .. } if on == vendor => {}
        Target::Calls { vendor: on, .. } => {
            return Err(MountError::OtherVendor { rule, on: on.clone(), vendor: vendor.to_owned() });
        }
        Target::Webhook { .. } => return refused("webhook", WEBHOOK),
        Target::Subject => return refused("subject", LIFE),
    }
    if of.share.is_some() {
        return refused("share", "chance needs a drill's seed: name the `calls` or `attempts` instead");
    }
    Ok(())
}

fn request(asked: &Asked) -> Request {
    let target = match asked.url.query() {
        Some(query) => format!("{}?{query}", asked.url.path()),
        None => asked.url.path().to_owned(),
    };
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = asked.headers.iter().map(|(name, value)| (name.as_str(), text(value)));
    Request {
        method: asked.method.as_str().into(),
        target,
        headers: Headers::of(headers),
        body: asked.body.clone().into(),
    }
}

fn literal(reply: &Reply) -> Response {
    let (kind, body) = match (&reply.json, &reply.text) {
        (Some(json), _) => ("application/json", json.to_string()),
        (None, Some(text)) => ("text/html", text.clone()),
        (None, None) => ("", String::new()),
    };
    let mut headers = Headers::default();
    if !kind.is_empty() {
        headers.set("content-type", kind);
    }
    for (name, value) in &reply.headers {
        headers.set(name, value.clone());
    }
    Response { status: reply.status, headers, body: body.into() }
}

/// The response in wiremock's words, with the server's address in place of the vendor's origin,
/// so that links lead back here.
fn template(response: Response, origin: &str, here: &str, head_only: bool) -> ResponseTemplate {
    let mut template = ResponseTemplate::new(response.status);
    for (name, value) in &response.headers.0 {
        // The framing is the server's, but for what only the answer to a HEAD can say; a field that HTTP does not allow never leaves a vendor.
        let name = http::HeaderName::from_bytes(name.as_bytes());
        let value = http::HeaderValue::from_str(&value.replace(origin, here));
        if let (Ok(name), Ok(value)) = (name, value)
            && (name != http::header::CONTENT_LENGTH || (head_only && response.body.is_empty()))
        {
            template = template.append_header(name, value);
        }
    }
    // An empty type: the vendor's own field says it, as it is.
    match std::str::from_utf8(&response.body) {
        _ if response.body.is_empty() => template,
        Ok(text) => template.set_body_raw(text.replace(origin, here), ""),
        Err(_) => template.set_body_raw(response.body.to_vec(), ""),
    }
}
