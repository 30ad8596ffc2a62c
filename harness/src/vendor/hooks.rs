//! The vendor's webhook office: secrets, events, letters.
//!
//! Knows: how a change becomes events and events become a signed request. Must not know: when
//! anything is sent, or whether it arrives.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::drift;
use crate::fault::{BadSignature, Field, Mutation};
use crate::seed::{Seed, Stream};
use crate::time::{At, Span};
use crate::trace::WebhookEvent;
use crate::wire::{Headers, Request, Response};

use super::DeliveryDrift;
use super::template::{Scope, Template};
use super::value::{Path, text_of};
use super::webhook::sign::{Letter, late, too_old};
use super::webhook::spelling::{tampered, unusual};
use super::webhook::{EventSpec, WebhookSpec, changed_fields};

/// The state of a vendor's webhooks.
#[derive(Serialize, Deserialize)]
pub(super) struct Hooks {
    /// Good secrets, the newest last.
    secrets: Vec<String>,
    forger: String,
    made: u64,
    /// Events that were given up on.
    #[serde(default)]
    given_up: u32,
    /// Whether the endpoint itself was given up on.
    #[serde(default)]
    pub disabled: bool,
    chance: Stream,
    events: Stream,
    retries: Stream,
}

/// A change that events are made of.
pub(super) struct News<'a> {
    /// `created`, `changed`, `deleted`.
    pub what: &'a str,
    /// The operation or action behind it, if it has a name.
    pub named: Option<&'a str>,
    /// The collection.
    pub collection: &'a Arc<str>,
    /// The record's id.
    pub id: &'a Arc<str>,
    /// The record before, if there was one.
    pub before: Option<&'a Value>,
    /// The record now.
    pub after: &'a Value,
    /// Whether it came through the API.
    pub by_api: bool,
}

impl Hooks {
    pub fn new(spec: &WebhookSpec, seed: Seed) -> Hooks {
        let mut chance = seed.stream("webhook secrets");
        let secret = secret(&spec.sign.secret, &mut chance);
        let forger = self::secret(&spec.sign.secret, &mut seed.stream("webhook forger"));
        Hooks {
            secrets: vec![secret],
            forger,
            made: 0,
            given_up: 0,
            disabled: false,
            chance,
            events: seed.stream("webhook events"),
            retries: seed.stream("webhook retries"),
        }
    }

    /// The secrets as the operator hands them over: one a line, the newest last, as an operator appends it.
    pub fn handed_over(&self) -> String {
        self.secrets.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    /// A new secret; the one before stays good, older ones do not.
    pub fn roll(&mut self, spec: &WebhookSpec) {
        let new = secret(&spec.sign.secret, &mut self.chance);
        self.secrets.push(new);
        if self.secrets.len() > 2 {
            self.secrets.remove(0);
        }
    }

    /// The events that a change makes.
    pub fn tell(
        &mut self,
        spec: &WebhookSpec,
        epoch: jiff::Timestamp,
        now: At,
        news: &News<'_>,
    ) -> Vec<WebhookEvent> {
        let mut out = Vec::new();
        if self.disabled || (news.by_api && !spec.own_changes) {
            return out;
        }
        for event in &spec.events {
            let fits = event.on == news.what || news.named == Some(event.on.as_str());
            if !fits || *event.of != **news.collection {
                continue;
            }
            match &event.each {
                None => out.push(self.event(spec, event, epoch, now, news, None)),
                Some(under) => {
                    let before = news.before.unwrap_or(&Value::Null);
                    for (name, value) in changed_fields(under, before, news.after) {
                        if !event.except.contains(&name) {
                            out.push(self.event(spec, event, epoch, now, news, Some((&name, value))));
                        }
                    }
                }
            }
        }
        out
    }

    /// The pause after failed attempt number `attempt`, if there is another; else the event is
    /// given up on, and perhaps the endpoint with it.
    pub fn after_failure(
        &mut self,
        spec: &WebhookSpec,
        attempt: u32,
        response: Option<&Response>,
    ) -> Option<Span> {
        self.disabled |= response.is_some_and(|r| spec.disable.on.contains(&r.status));
        let again = if self.disabled { None } else { spec.retry.pause(attempt, response, &mut self.retries) };
        if again.is_none() {
            self.given_up += 1;
            self.disabled |= spec.disable.after > 0 && self.given_up >= spec.disable.after;
        }
        again
    }

    fn event(
        &mut self,
        spec: &WebhookSpec,
        event: &EventSpec,
        epoch: jiff::Timestamp,
        now: At,
        news: &News<'_>,
        property: Option<(&str, &Value)>,
    ) -> WebhookEvent {
        let id = self.event_id(spec);
        let number = |text: &str| text.parse::<i64>().map_or(Value::Null, Value::from);
        let about = json!({ "id": id, "id_number": number(&id), "kind": event.kind, "seq": self.made });
        let property = property.map_or(Value::Null, |(name, value)| {
            json!({ "name": name, "value": text_of(value).unwrap_or_default(), "json": value })
        });
        let (record_id, record_number) = (json!(news.id.as_ref()), number(news.id));
        let source = json!(if news.by_api { "api" } else { "vendor" });
        let shown = super::shown::visible(news.after);
        let roots = [
            ("event", &about),
            ("record", &shown),
            ("record_id", &record_id),
            ("record_number", &record_number),
            ("property", &property),
            ("source", &source),
        ];
        let mut scope = Scope { now, epoch, roots: &roots, chance: &mut self.events };
        let payload = event.payload.as_ref().unwrap_or(&spec.payload).fill(&mut scope);
        WebhookEvent {
            id: id.as_str().into(),
            kind: event.kind.as_str().into(),
            collection: Some(news.collection.clone()),
            record: Some(news.id.clone()),
            occurred: now,
            payload: Arc::new(payload),
        }
    }

    /// An event of the type `kind` about a record as it is, though nothing happened to it.
    ///
    /// # Errors
    /// If there is no such type for records of `collection`.
    pub fn unprompted(
        &mut self,
        spec: &WebhookSpec,
        epoch: jiff::Timestamp,
        now: At,
        kind: &str,
        about: (&Arc<str>, &Arc<str>, &Value),
        property: Option<&str>,
    ) -> Result<WebhookEvent, String> {
        let (collection, id, record) = about;
        let of_it = spec.events.iter().filter(|e| *e.of == **collection);
        let Some(event) = of_it.clone().find(|e| e.kind == kind) else {
            let near = crate::scenario::or_nearest(kind, of_it.map(|e| e.kind.as_str()));
            return Err(format!("`{collection}` have no event `{kind}`{near}"));
        };
        let property = match &event.each {
            None => None,
            Some(under) => {
                let fields = under.get(record).and_then(Value::as_object);
                let told = |name: &&String| !event.except.contains(name);
                let name = match property {
                    Some(name) => Some(name),
                    None => fields.and_then(|f| f.keys().find(told)).map(String::as_str),
                };
                let name =
                    name.ok_or_else(|| format!("`{kind}` tells of a field, and the record has none"))?;
                let value = fields.and_then(|f| f.get(name)).ok_or_else(|| {
                    let known = fields.into_iter().flat_map(|f| f.keys()).map(String::as_str);
                    format!("the record has no field `{name}`{}", crate::scenario::or_nearest(name, known))
                })?;
                Some((name, value))
            }
        };
        let news =
            News { what: &event.on, named: None, collection, id, before: None, after: record, by_api: false };
        Ok(self.event(spec, event, epoch, now, &news, property))
    }

    fn event_id(&mut self, spec: &WebhookSpec) -> String {
        self.made += 1;
        let made = json!(self.made);
        let roots = [("seq", &made)];
        let mut scope = Scope {
            now: At::START,
            epoch: jiff::Timestamp::UNIX_EPOCH,
            roots: &roots,
            chance: &mut self.events,
        };
        spec.event_id.text(&mut scope).unwrap_or_else(|| self.made.to_string())
    }

    /// An event of a type that no subject knows, with an id of its own.
    pub fn unknown(&mut self, spec: &WebhookSpec, like: &WebhookEvent) -> WebhookEvent {
        let id = self.event_id(spec);
        let mut payload = like.payload.as_ref().clone();
        point(&spec.kind_pointer).set(&mut payload, json!(spec.unknown_kind));
        set_id(spec, &mut payload, &id);
        WebhookEvent {
            id: id.as_str().into(),
            kind: spec.unknown_kind.as_str().into(),
            payload: Arc::new(payload),
            ..like.clone()
        }
    }

    /// An event of a known type that says nothing but its id and type.
    pub fn poison(&mut self, spec: &WebhookSpec, like: &WebhookEvent) -> WebhookEvent {
        let id = self.event_id(spec);
        let mut payload = json!({});
        let kind = point(&spec.kind_pointer);
        kind.set(&mut payload, kind.get(&like.payload).cloned().unwrap_or_else(|| json!(like.kind.as_ref())));
        let number = like.payload.pointer(&spec.id_pointer).is_some_and(Value::is_number);
        point(&spec.id_pointer).set(&mut payload, id_value(&id, number));
        WebhookEvent { id: id.as_str().into(), record: None, payload: Arc::new(payload), ..like.clone() }
    }

    /// The signed request that delivers events.
    #[expect(clippy::too_many_arguments, reason = "the trait's own, and where to look things up")]
    pub fn letter(
        &mut self,
        spec: &WebhookSpec,
        epoch: jiff::Timestamp,
        now: At,
        events: &[WebhookEvent],
        attempt: u32,
        url: &str,
        how: Written<'_, '_>,
    ) -> Request {
        let dialect = spec.sign.dialect;
        let (signature, mut drift) = match how {
            Written::AsEver => (None, None),
            Written::Signed(signature) => (Some(signature), None),
            Written::Drifted(drift) => (None, Some(drift)),
        };
        let mut payloads: Vec<Value> = events.iter().map(|e| e.payload.as_ref().clone()).collect();
        if let Some(field) = &spec.attempt_field {
            for payload in &mut payloads {
                Path::new(field).set(payload, json!(attempt.saturating_sub(1)));
            }
        }
        if let Some(drift) = drift.as_mut().filter(|d| !acts_on_the_body(d.mutation)) {
            let meant: Vec<bool> = events.iter().map(|e| drift.means(e)).collect();
            drift.done = drift::letter(drift.mutation, drift.turn, &mut payloads, &meant, spec.list);
        }
        let value =
            if spec.list { Value::Array(payloads) } else { payloads.into_iter().next().unwrap_or_default() };
        let text = match signature {
            Some(BadSignature::UnusualSpelling) => unusual(&value),
            _ => drift::spelled(&value),
        };
        let mut written =
            drift::Body { content_type: Some("application/json".to_owned()), bytes: text.into() };
        if let Some(drift) = drift.as_mut().filter(|d| acts_on_the_body(d.mutation)) {
            drift.done = drift::body(drift.mutation, drift.turn, &mut written);
        }
        let id = events.first().map_or("", |e| e.id.as_ref());
        let mut headers = Headers::default();
        headers.set("host", host_of(url));
        headers.set("content-type", written.content_type.unwrap_or_default());
        let about = json!({
            "id": id,
            "kind": events.first().map_or("", |e| e.kind.as_ref()),
        });
        let attempt = json!(attempt);
        let roots = [("event", &about), ("attempt", &attempt)];
        let mut scope = Scope { now, epoch, roots: &roots, chance: &mut self.events };
        for (name, template) in &spec.headers {
            if let Some(text) = template.text(&mut scope) {
                headers.set(name, text);
            }
        }
        let good: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        let at = now.on_wall(epoch);
        let (at, secrets) = match signature {
            Some(BadSignature::WrongSecret) => (at, vec![self.forger.as_str()]),
            Some(BadSignature::Missing) => (at, vec![]),
            Some(BadSignature::OldTimestamp) if dialect.is_dated() => (too_old(&spec.sign, now, epoch), good),
            // Without a date there is none to be old; a false one must still be refused.
            Some(BadSignature::OldTimestamp) => (at, vec![self.forger.as_str()]),
            Some(BadSignature::LateTimestamp) => (late(&spec.sign, now, epoch), good),
            Some(BadSignature::RolledSecret) => match good.as_slice() {
                // No roll is under way: the good signature comes second, as in one.
                [only] if dialect.takes_several() => (at, vec![self.forger.as_str(), *only]),
                [.., newest] => (at, vec![*newest]),
                [] => (at, vec![]),
            },
            _ => (at, good),
        };
        dialect.sign(&Letter { at, id, url, body: &written.bytes }, &secrets, &mut headers);
        let body = match signature {
            Some(BadSignature::TamperedBody) => tampered(&value).to_string().into(),
            _ => written.bytes,
        };
        Request { method: "POST".into(), target: target_of(url).to_owned(), headers, body }
    }
}

/// How a delivery is written.
pub(super) enum Written<'d, 'm> {
    AsEver,
    Signed(BadSignature),
    Drifted(&'d mut DeliveryDrift<'m>),
}

/// Whether a change is one of the delivery's body rather than of each event in it.
fn acts_on_the_body(mutation: &Mutation) -> bool {
    mutation.field().is_none_or(Field::is_whole) && !matches!(mutation, Mutation::Systematic(_))
}

fn secret(template: &Template, chance: &mut Stream) -> String {
    let mut scope = Scope { now: At::START, epoch: jiff::Timestamp::UNIX_EPOCH, roots: &[], chance };
    template.text(&mut scope).unwrap_or_default()
}

/// A JSON pointer (RFC 6901) as a path.
fn point(pointer: &str) -> Path {
    Path::new(&pointer.trim_start_matches('/').replace('/', "."))
}

fn id_value(id: &str, number: bool) -> Value {
    match id.parse::<i64>() {
        Ok(n) if number => json!(n),
        _ => json!(id),
    }
}

fn set_id(spec: &WebhookSpec, payload: &mut Value, id: &str) {
    let number = payload.pointer(&spec.id_pointer).is_some_and(Value::is_number);
    point(&spec.id_pointer).set(payload, id_value(id, number));
}

/// The path and query of a URL.
pub(super) fn target_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or(rest, |at| &rest[..at])
}
