//! A vendor small enough to read at a glance, for tests of what wraps a vendor: it counts notes.
//!
//! `GET /notes` lists, `POST /notes` adds (and honours no idempotency key), all else is unknown.

use std::collections::BTreeMap;
use std::sync::Arc;

use firedrill::fault::{BadSignature, ErrorReply, Moment};
use firedrill::scenario::Given;
use firedrill::time::{At, Span};
use firedrill::trace::{ChangeKind, Operation, OperationKind, Told, WebhookEvent};
use firedrill::vendor::{Change, Profile, Reaction, Vendor};
use firedrill::wire::{Request, Response};
use serde_json::{Value, json};

/// The vendor; its state is its list of notes.
pub struct Notes {
    profile: Profile,
    notes: Vec<Arc<Value>>,
}

impl Notes {
    /// With no notes yet.
    pub fn new() -> Notes {
        let profile = Profile {
            name: "notes".into(),
            origin: "https://api.notes.test".into(),
            idempotency_header: None,
            idempotency_kept: None,
            collections: BTreeMap::from([("notes".into(), "note".into())]),
            webhooks: None,
            contract: None,
        };
        Notes { profile, notes: Vec::new() }
    }
}

impl Vendor for Notes {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn operation(&self, request: &Request) -> Option<Operation> {
        let kind = match (request.method.as_str(), request.path()) {
            ("GET" | "HEAD", "/notes") => OperationKind::List,
            ("POST", "/notes") => OperationKind::Create,
            _ => return None,
        };
        let name = format!("{} {}", request.method, request.path()).into();
        Some(Operation { name, kind, collection: Some("notes".into()) })
    }

    fn step(&mut self, _now: At, request: &Request, _takes: Span) -> Reaction {
        let (status, body) = match request.method.as_str() {
            "POST" => {
                let id = self.notes.len() + 1;
                self.notes.push(Arc::new(json!({ "id": id })));
                (201, json!({ "id": id, "url": format!("{}/notes/{id}", self.profile.origin) }))
            }
            _ => (200, json!(self.notes)),
        };
        Reaction { response: Some(Response::json(status, &body)), applied: true, ..Reaction::default() }
    }

    fn fail(&mut self, now: At, request: &Request, error: &ErrorReply) -> Reaction {
        let applied = error.moment == Some(Moment::AfterApplied);
        if applied {
            self.step(now, request, Span::ZERO);
        }
        let mut response = Response::json(error.status.unwrap_or(500), &json!({ "oops": error.kind }));
        if let Some(after) = &error.retry_after {
            response.headers.set("retry-after", after.trim_end_matches('s'));
        }
        let told = Told { error: Some(error.kind), ..Told::default() };
        Reaction { response: Some(response), applied, told, ..Reaction::default() }
    }

    fn give(&mut self, _: &str, _: &Given) -> Result<Vec<Change>, String> {
        let record = Arc::new(json!({ "id": 1 }));
        self.notes.push(record.clone());
        Ok(vec![Change { collection: "notes".into(), id: "1".into(), change: ChangeKind::Given, record }])
    }

    fn act(
        &mut self,
        _: At,
        noun: &str,
        _: &str,
        _: &[Arc<str>],
        _: &BTreeMap<String, Value>,
    ) -> Result<Reaction, String> {
        Err(format!("notes has no `{noun}`"))
    }

    fn records(&self, collection: &str) -> Option<Vec<Arc<Value>>> {
        (collection == "notes").then(|| self.notes.clone())
    }

    fn credentials(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("api_key".into(), "k".into())])
    }

    fn delivery(&mut self, _: At, _: &[WebhookEvent], _: u32, url: &str, _: Option<BadSignature>) -> Request {
        Request {
            method: "POST".into(),
            target: url.into(),
            headers: Default::default(),
            body: Default::default(),
        }
    }

    fn redelivery(&mut self, _: u32, _: Option<&Response>) -> Option<Span> {
        None
    }

    fn unknown_event(&mut self, like: &WebhookEvent) -> WebhookEvent {
        like.clone()
    }

    fn poison_event(&mut self, like: &WebhookEvent) -> WebhookEvent {
        like.clone()
    }
}
