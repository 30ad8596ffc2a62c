//! A vendor at work: from request to reaction.
//!
//! Knows: the order in which a vendor looks at a request: route, credential, limits, idempotency,
//! parameters, and only then the records. Must not know: any vendor by name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::fault::{BadSignature, ErrorKind, ErrorReply, Moment};
use crate::scenario::Given;
use crate::seed::{Seed, Stream};
use crate::time::{At, Span};
use crate::trace::{Operation, Told, WebhookEvent};
use crate::wire::{Headers, Request, Response};

use super::auth::Auth;
use super::encoding::{check, form, query};
use super::errors::{Case, Refusal, override_error, retry_after};
use super::file::{Route, VendorFile};
use super::hooks::{Hooks, Written};
use super::idempotency::{Fingerprint, KeyDialect, Keys, Verdict};
use super::rate_limit::Limiter;
use super::spec::{Does, Encoding, UnknownParameters};
use super::store::Ledger;
use super::template::Scope;
use super::{Change, CredentialChange, DeliveryDrift, Profile, Reaction, Uncapped, Vendor};

/// A vendor with its state.
pub(super) struct Model {
    pub file: Arc<VendorFile>,
    pub epoch: jiff::Timestamp,
    pub seed: Seed,
    pub auth: Auth,
    pub limiter: Limiter,
    pub keys: Keys,
    pub ledgers: BTreeMap<Arc<str>, Holding>,
    pub hooks: Option<Hooks>,
    pub values: Stream,
    pub page_cap: PageCap,
    pub requests: Stream,
}

/// A bound on pages that was put on without notice.
#[derive(Debug, Default)]
pub(super) struct PageCap {
    pub most: Option<u64>,
    /// The page from which it left something out, as it would have been.
    pub bit: RefCell<Option<Uncapped>>,
}

/// A ledger with what it takes to make ids for it.
pub(super) struct Holding {
    pub ledger: Ledger,
    pub number: u64,
    pub ids: Option<Stream>,
}

/// A success, before it becomes a response.
pub(super) struct Done {
    pub status: u16,
    /// JSON.
    pub body: Option<Bytes>,
    pub headers: Headers,
}

/// What an operation is carried out with.
pub(super) struct Job<'a> {
    pub now: At,
    pub route: &'a Route,
    pub path: &'a [(&'a str, String)],
    pub request: &'a Request,
}

impl Model {
    pub fn new(file: Arc<VendorFile>, epoch: jiff::Timestamp, seed: Seed) -> Model {
        let ledgers = file
            .collections
            .values()
            .map(|c| (c.name.clone(), Holding { ledger: Ledger::new(&c.indexed), number: 0, ids: None }))
            .collect();
        Model {
            auth: Auth::new(&file.spec.auth, seed.stream("auth")),
            limiter: Limiter::new(&file.spec.rate_limit),
            keys: Keys::default(),
            hooks: file.spec.webhooks.as_ref().map(|spec| Hooks::new(spec, seed)),
            values: seed.stream("values"),
            page_cap: PageCap::default(),
            requests: seed.stream("requests"),
            ledgers,
            file,
            epoch,
            seed,
        }
    }

    /// The whole way of a request; `instead` is an error that takes the place of the answer.
    fn handle(&mut self, now: At, request: &Request, takes: Span, instead: Option<&ErrorReply>) -> Reaction {
        let file = self.file.clone();
        let mut reaction = Reaction::default();
        let Some((route, path)) = file.route(request) else {
            let refusal = Refusal::case(Case::NoRoute)
                .with("method", request.method.as_str())
                .with("path", request.path());
            return self.refuse(now, reaction, &refusal, None, instead);
        };
        if route.spec.auth
            && let Err(denied) = self.auth.admit(&file.spec.auth, now, request)
        {
            let stale = denied.stale;
            reaction = self.refuse(now, reaction, &denied.refusal, None, instead);
            reaction.told.stale_credential = stale;
            return reaction;
        }
        let group = route.spec.limit.as_deref();
        if let Err(spent) = self.limiter.admit(&file.spec.rate_limit, now, group) {
            let wait = spent.say.then(|| spent.until.since(now).0.div_ceil(1_000_000).max(1));
            return self.refuse(now, reaction, &spent.refusal, Some((group, wait)), instead);
        }
        let (raw, from_form) = match self.parameters(route, request) {
            Ok(read) => read,
            Err(refusal) => return self.refuse(now, reaction, &refusal, None, instead),
        };
        let key = match self.keys.look(&file.spec.idempotency, now, request, &raw) {
            Verdict::Unkeyed => None,
            Verdict::First(key) => Some(key),
            Verdict::Refuse(refusal) => return self.refuse(now, reaction, &refusal, None, instead),
            Verdict::Replay(saved) => {
                reaction.replayed = true;
                reaction.told = Told { quotas: Vec::new(), retry_at: None, ..saved.told };
                let header = file.spec.errors.should_retry_header.as_deref();
                if let Some(word) = header.and_then(|h| saved.response.headers.get(h)) {
                    reaction.told.should_retry = Some(word == "true");
                }
                return self.finish(now, reaction, saved.response, group);
            }
        };
        let strict = file.spec.unknown_parameters == UnknownParameters::Refuse && !route.spec.open;
        let pages = matches!(route.spec.does, Does::List | Does::Search | Does::BatchRead);
        let known_elsewhere =
            |name: &str| pages && (route.paging.knows(name) || route.spec.filters.contains_key(name));
        let (mut aside, mut rest) = (Map::new(), Map::new());
        match (&raw, pages) {
            (Value::Object(fields), true) => {
                for (name, value) in fields {
                    let place = if known_elsewhere(name) { &mut aside } else { &mut rest };
                    place.insert(name.clone(), value.clone());
                }
            }
            (Value::Object(fields), false) => rest.clone_from(fields),
            _ => {}
        }
        let partial = matches!(route.spec.does, Does::Update);
        let checked = check(&route.spec.params, Value::Object(rest), from_form, strict, partial);
        let mut params = match checked {
            Ok(params) => params,
            Err(refusal) => return self.refuse(now, reaction, &refusal, None, instead),
        };
        params.extend(aside);
        // From here on the endpoint executes: whatever comes of it, the key remembers.
        let job = Job { now, route, path: &path, request };
        let outcome = self.perform(&job, params, &mut reaction);
        let response = match outcome {
            Ok(done) => {
                reaction.applied = true;
                written(done)
            }
            Err(refusal) => {
                let (response, told) = self.put_error(now, &refusal);
                let dead = matches!(refusal.case, Some(Case::BadGrant | Case::BadClient));
                reaction.told = Told { stale_credential: dead, ..told };
                response
            }
        };
        // What a later request under the same key completes is the work, whatever was said of it.
        let completed = file.spec.idempotency.dialect == KeyDialect::StripeV2;
        let done = (completed && instead.is_some()).then(|| (response.clone(), reaction.told.clone()));
        let response = match instead {
            Some(error) => {
                let (response, told) = self.injected(now, error);
                let expires = reaction.told.token_expires;
                reaction.told = Told { token_expires: expires, ..told };
                response
            }
            None => response,
        };
        if let Some(key) = key {
            let saved = done.as_ref().map_or((&response, &reaction.told), |(r, t)| (r, t));
            if file.spec.idempotency.saves(saved.0, takes.0 > 0) {
                let print = Fingerprint {
                    method: request.method.to_string(),
                    path: request.path().to_owned(),
                    params: raw,
                };
                self.keys.save(key, print, now, takes, saved);
            }
        }
        let mut reaction = self.finish(now, reaction, response, group);
        self.conditional(request, &mut reaction, group);
        reaction
    }

    /// The parameters of a request, and whether they are text that wants coercion.
    fn parameters(&self, route: &Route, request: &Request) -> Result<(Value, bool), Refusal> {
        let asks = request.target.split_once('?').map_or("", |(_, q)| q);
        if matches!(request.method.as_str(), "GET" | "DELETE" | "HEAD") && request.body.is_empty() {
            return Ok((query(asks), true));
        }
        let kind = request.headers.get("content-type").unwrap_or_default();
        let is_form = kind.starts_with("application/x-www-form-urlencoded");
        let is_json = kind.starts_with("application/json");
        let wants_form = self.file.spec.encoding == Encoding::Form || route.spec.does == Does::Token;
        if wants_form {
            if is_json && !request.body.is_empty() {
                return Err(Refusal::case(Case::MalformedBody).with("why", "the body is not a form"));
            }
            return Ok((form(&request.body), true));
        }
        if is_form && !request.body.is_empty() {
            return Err(Refusal::case(Case::MalformedBody).with("why", "the body is not JSON"));
        }
        if request.body.is_empty() {
            return Ok((query(asks), true));
        }
        let value: Value = serde_json::from_slice(&request.body)
            .map_err(|e| Refusal::case(Case::MalformedBody).with("why", e.to_string()))?;
        match value {
            Value::Object(_) => Ok((value, false)),
            _ => Err(Refusal::case(Case::MalformedBody).with("why", "the body is not an object")),
        }
    }

    /// An error in the vendor's words.
    pub fn put_error(&mut self, now: At, refusal: &Refusal) -> (Response, Told) {
        let file = self.file.clone();
        let id = self.request_id(now);
        let roots = [("request_id", &id)];
        let mut scope = Scope { now, epoch: self.epoch, roots: &roots, chance: &mut self.values };
        let (mut response, told) = file.spec.errors.put(refusal, &mut scope);
        if response.headers.get("content-type") == Some("application/json")
            && let Some(kind) = &file.spec.responses.content_type
        {
            response.headers.set("content-type", kind.as_str());
        }
        // The id is the one that the body may speak of; `finish` leaves it as it is.
        self.head(now, &mut response.headers, &id);
        (response, told)
    }

    fn request_id(&mut self, now: At) -> Value {
        let file = self.file.clone();
        let mut scope = Scope { now, epoch: self.epoch, roots: &[], chance: &mut self.requests };
        file.spec.responses.request_id.as_ref().map_or(Value::Null, |t| t.fill(&mut scope))
    }

    /// The header fields of every response, where they are not there yet.
    fn head(&mut self, now: At, headers: &mut Headers, id: &Value) {
        let file = self.file.clone();
        let roots = [("request_id", id)];
        let mut scope = Scope { now, epoch: self.epoch, roots: &roots, chance: &mut self.values };
        for (name, template) in &file.spec.responses.headers {
            if headers.get(name).is_none()
                && let Some(text) = template.text(&mut scope)
            {
                headers.0.push((name.as_str().into(), text.into()));
            }
        }
    }

    /// Repeats in the answer what the vendor repeats of the request's header fields.
    fn echo(&self, request: &Request, mut reaction: Reaction) -> Reaction {
        for name in &self.file.spec.responses.echo {
            if let (Some(asked), Some(response)) = (request.headers.get(name), &mut reaction.response)
                && response.headers.get(name).is_some()
            {
                response.headers.set(name, asked);
            }
        }
        reaction
    }

    fn refuse(
        &mut self,
        now: At,
        mut reaction: Reaction,
        refusal: &Refusal,
        spent: Option<(Option<&str>, Option<u64>)>,
        instead: Option<&ErrorReply>,
    ) -> Reaction {
        if let Some(error) = instead {
            let (response, told) = self.injected(now, error);
            reaction.told = told;
            return self.finish(now, reaction, response, None);
        }
        let (mut response, told) = self.put_error(now, refusal);
        reaction.told = told;
        if let Some((_, Some(seconds))) = spent {
            response.headers.set("retry-after", seconds.to_string());
        }
        let group = spent.map_or(Some("none"), |(group, _)| group);
        let counted = refusal.kind == ErrorKind::RateLimited && group.is_none();
        let mut reaction = self.finish(now, reaction, response, group);
        if counted && reaction.told.retry_at.is_none() {
            let spent = reaction.told.quotas.iter().filter(|q| q.remaining == 0);
            reaction.told.retry_at = spent.map(|q| q.resets_at).max().filter(|_| self.tells_reset());
        }
        reaction
    }

    /// Whether the header fields of the vendor's limits name the moment of the reset.
    fn tells_reset(&self) -> bool {
        use super::rate_limit::RateDialect::{Github, Ietf, IetfLegacy};
        matches!(self.file.spec.rate_limit.dialect, Github | Ietf | IetfLegacy)
    }

    /// An error that a fault rule asked for.
    fn injected(&mut self, now: At, error: &ErrorReply) -> (Response, Told) {
        let (mut response, mut told) = self.put_error(now, &Refusal::kind(error.kind));
        if error.kind == ErrorKind::RateLimited && self.tells_reset() {
            let file = self.file.clone();
            let headers = &mut response.headers;
            told.quotas = self.limiter.tell(&file.spec.rate_limit, now, self.epoch, true, headers);
            told.retry_at = told.quotas.iter().filter(|q| q.remaining == 0).map(|q| q.resets_at).max();
        }
        override_error(error, &mut response, now, self.epoch);
        if let Some(header) = self.file.spec.errors.should_retry_header.as_deref() {
            told.should_retry = response.headers.get(header).map(|word| word == "true");
        }
        (response, told)
    }

    /// Completes a response: the vendor's own header fields, its quota, and what it told.
    fn finish(
        &mut self,
        now: At,
        mut reaction: Reaction,
        mut response: Response,
        group: Option<&str>,
    ) -> Reaction {
        let file = self.file.clone();
        if let Some(kind) = &file.spec.responses.content_type
            && response.headers.get("content-type") == Some("application/json")
        {
            response.headers.set("content-type", kind.as_str());
        }
        // An error has its header fields already, less those that a fault rule took away.
        if reaction.told.error.is_none() && !file.spec.responses.headers.is_empty() {
            let id = self.request_id(now);
            self.head(now, &mut response.headers, &id);
        }
        if group.is_none() && reaction.told.quotas.is_empty() {
            let headers = &mut response.headers;
            reaction.told.quotas = self.limiter.tell(&file.spec.rate_limit, now, self.epoch, false, headers);
        }
        if response.headers.get("retry-after").is_some() {
            reaction.told.retry_at = retry_after(&response, now, self.epoch);
        }
        reaction.response = Some(response);
        reaction
    }

    /// ETag and If-None-Match (RFC 9110 §13.1.2), where the vendor has them.
    fn conditional(&mut self, request: &Request, reaction: &mut Reaction, group: Option<&str>) {
        let file = self.file.clone();
        let Some(response) = reaction.response.as_mut() else { return };
        let reads = matches!(request.method.as_str(), "GET" | "HEAD");
        if !file.spec.responses.etag || !reads || response.status != 200 {
            return;
        }
        let tag = format!("W/\"{}\"", hex::encode(&Sha256::digest(&response.body)[..16]));
        let strong = |t: &str| t.trim().trim_start_matches("W/").to_owned();
        let same = request
            .headers
            .get("if-none-match")
            .is_some_and(|tags| tags.split(',').any(|t| t.trim() == "*" || strong(t) == strong(&tag)));
        response.headers.set("etag", tag);
        if same {
            response.status = 304;
            response.body = Bytes::new();
            response.headers.remove("content-type");
            if file.spec.rate_limit.not_modified_is_free && group.is_none() {
                self.limiter.give_back();
            }
        }
    }

    /// The profile's alias for a credential that changed.
    pub fn credential(change: &str, handed_over: bool) -> CredentialChange {
        CredentialChange { change: change.to_owned(), handed_over }
    }
}

fn written(done: Done) -> Response {
    let headers = match &done.body {
        Some(_) => Headers::of([("content-type", "application/json")]),
        None => Headers::default(),
    };
    let mut response = Response { status: done.status, headers, body: done.body.unwrap_or_default() };
    for (name, value) in done.headers.0 {
        response.headers.set(&name, value);
    }
    response
}

impl Vendor for Model {
    fn profile(&self) -> &Profile {
        &self.file.profile
    }

    fn operation(&self, request: &Request) -> Option<Operation> {
        self.file.find_route(request).map(|route| route.operation_by(&request.method))
    }

    fn step(&mut self, now: At, request: &Request, takes: Span) -> Reaction {
        let reaction = self.handle(now, request, takes, None);
        self.echo(request, reaction)
    }

    fn fail(&mut self, now: At, request: &Request, error: &ErrorReply) -> Reaction {
        if !matches!(error.moment, None | Some(Moment::BeforeApplied)) {
            let reaction = self.handle(now, request, Span::ZERO, Some(error));
            return self.echo(request, reaction);
        }
        let (response, told) = self.injected(now, error);
        let reaction = Reaction { told, ..Reaction::default() };
        let reaction = self.finish(now, reaction, response, Some("none"));
        self.echo(request, reaction)
    }

    fn lacks(&mut self, now: At, _request: &Request, field: &str) -> Reaction {
        let refusal = Refusal::case(Case::MissingParameter).with("param", field);
        let (response, told) = self.put_error(now, &refusal);
        self.finish(now, Reaction { told, ..Reaction::default() }, response, Some("none"))
    }

    fn unrecorded(&mut self, now: At, _request: &Request, why: &str) -> Reaction {
        let mut refusal = Refusal::kind(ErrorKind::NotFound);
        refusal.status = Some(super::NOT_FOUND);
        refusal.words.insert("message".to_owned(), why.into());
        let (response, told) = self.put_error(now, &refusal);
        self.finish(now, Reaction { told, ..Reaction::default() }, response, Some("none"))
    }

    fn cap_pages(&mut self, most: Option<u64>) -> Option<Uncapped> {
        std::mem::replace(&mut self.page_cap, PageCap { most, bit: RefCell::default() }).bit.into_inner()
    }

    fn give(&mut self, collection: &str, given: &Given) -> Result<Vec<Change>, String> {
        self.make_up(collection, given)
    }

    fn act(
        &mut self,
        now: At,
        noun: &str,
        verb: &str,
        ids: &[Arc<str>],
        set: &BTreeMap<String, Value>,
    ) -> Result<Reaction, String> {
        self.carry_out(now, noun, verb, ids, set)
    }

    fn makes_records(&self, noun: &str, verb: &str) -> bool {
        let action = self.file.spec.actions.get(noun).and_then(|verbs| verbs.get(verb));
        action.is_some_and(|action| action.does == super::spec::Does::Create)
    }

    fn records(&self, collection: &str) -> Option<Vec<Arc<Value>>> {
        let holding = self.ledgers.get(collection)?;
        Some(holding.ledger.rows().map(|(_, row)| row.record.clone()).collect())
    }

    fn credentials(&self) -> BTreeMap<String, String> {
        let mut all = self.auth.credentials(&self.file.spec.auth);
        if let Some(hooks) = &self.hooks {
            all.insert("webhook_secret".to_owned(), hooks.handed_over());
        }
        all
    }

    fn delivery(
        &mut self,
        now: At,
        events: &[WebhookEvent],
        attempt: u32,
        url: &str,
        signature: Option<BadSignature>,
    ) -> Request {
        let file = self.file.clone();
        match (&mut self.hooks, &file.spec.webhooks) {
            (Some(hooks), Some(spec)) => {
                let how = signature.map_or(Written::AsEver, Written::Signed);
                hooks.letter(spec, self.epoch, now, events, attempt, url, how)
            }
            _ => Request {
                method: "POST".into(),
                target: super::hooks::target_of(url).to_owned(),
                headers: Headers::of([("content-type", "application/json")]),
                body: json!(events.iter().map(|e| e.payload.as_ref()).collect::<Vec<_>>()).to_string().into(),
            },
        }
    }

    fn drifted_delivery(
        &mut self,
        now: At,
        events: &[WebhookEvent],
        attempt: u32,
        url: &str,
        drift: &mut DeliveryDrift<'_>,
    ) -> Request {
        let file = self.file.clone();
        match (&mut self.hooks, &file.spec.webhooks) {
            (Some(hooks), Some(spec)) => {
                hooks.letter(spec, self.epoch, now, events, attempt, url, Written::Drifted(drift))
            }
            _ => self.delivery(now, events, attempt, url, None),
        }
    }

    fn redelivery(&mut self, attempt: u32, response: Option<&Response>) -> Option<Span> {
        let file = self.file.clone();
        let spec = file.spec.webhooks.as_ref()?;
        self.hooks.as_mut()?.after_failure(spec, attempt, response)
    }

    fn has_disabled_webhooks(&self) -> bool {
        self.hooks.as_ref().is_some_and(|hooks| hooks.disabled)
    }

    fn event(
        &mut self,
        now: At,
        kind: &str,
        collection: &str,
        id: &str,
        property: Option<&str>,
    ) -> Result<WebhookEvent, String> {
        self.unprompted(now, kind, collection, id, property)
    }

    fn save(&self) -> Option<Value> {
        self.kept()
    }

    fn restore(&mut self, saved: Value) -> Result<Vec<Change>, String> {
        self.take_up(saved)
    }

    fn unknown_event(&mut self, like: &WebhookEvent) -> WebhookEvent {
        let file = self.file.clone();
        match (&mut self.hooks, &file.spec.webhooks) {
            (Some(hooks), Some(spec)) => hooks.unknown(spec, like),
            _ => like.clone(),
        }
    }

    fn poison_event(&mut self, like: &WebhookEvent) -> WebhookEvent {
        let file = self.file.clone();
        match (&mut self.hooks, &file.spec.webhooks) {
            (Some(hooks), Some(spec)) => hooks.poison(spec, like),
            _ => like.clone(),
        }
    }
}
