//! A vendor of few words, and subjects made of closures.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use firedrill::drill::{DrillError, Drilled, Plan};
use firedrill::fault::{BadSignature, ErrorKind, ErrorReply, Moment};
use firedrill::scenario::{Given, parse};
use firedrill::seed::Seed;
use firedrill::subject::{Start, Subject};
use firedrill::time::{At, Span};
use firedrill::trace::{
    ChangeKind, Operation, OperationKind, Outcome, SubjectEvent, Told, Trace, WebhookEvent, What,
};
use firedrill::vendor::{Change, CredentialChange, Profile, Reaction, Vendor, WebhookProfile};
use firedrill::wire::{Headers, Request, Response};
use serde_json::{Value, json};

pub const ORIGIN: &str = "https://api.toy.test";

/// `POST /items` makes an item, `GET /ping` answers, `GET /kept` by a field of HTTP/1.1, `HEAD /large` says
/// how long a body would be that the toy does not have, anything else is 404.
pub struct Toy {
    profile: Profile,
    items: BTreeMap<u64, Arc<Value>>,
    saved: BTreeMap<String, Response>,
    events: u64,
    key: u64,
}

impl Toy {
    pub fn new(batch: usize, gather: Span) -> Toy {
        Toy {
            profile: Profile {
                name: "toy".into(),
                origin: ORIGIN.into(),
                idempotency_header: Some("idempotency-key".into()),
                idempotency_kept: None,
                collections: [("items".to_owned(), "item".to_owned())].into(),
                webhooks: Some(WebhookProfile {
                    timeout: Span::secs(5),
                    batch,
                    gather,
                    id_pointer: "/id".into(),
                    dated: false,
                }),
                contract: None,
            },
            items: BTreeMap::new(),
            saved: BTreeMap::new(),
            events: 0,
            key: 1,
        }
    }

    fn make(&mut self, change: ChangeKind, record: Value) -> Change {
        let id = self.items.len() as u64 + 1;
        let mut record = record;
        record["id"] = json!(id.to_string());
        let record = Arc::new(record);
        self.items.insert(id, record.clone());
        Change { collection: "items".into(), id: id.to_string().into(), change, record }
    }

    fn tell(&mut self, now: At, kind: &str, change: &Change) -> WebhookEvent {
        self.events += 1;
        let id: Arc<str> = format!("evt_{}", self.events).into();
        WebhookEvent {
            id: id.clone(),
            kind: kind.into(),
            collection: Some("items".into()),
            record: Some(change.id.clone()),
            occurred: now,
            payload: Arc::new(json!({ "id": &*id, "type": kind, "item": *change.record })),
        }
    }
}

impl Vendor for Toy {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn operation(&self, request: &Request) -> Option<Operation> {
        let kind = match request.method.as_str() {
            "POST" => OperationKind::Create,
            _ => OperationKind::Read,
        };
        let name = format!("{} {}", request.method, request.path());
        Some(Operation { name: name.into(), kind, collection: Some("items".into()) })
    }

    fn step(&mut self, now: At, request: &Request, _: Span) -> Reaction {
        let answer = |status, body: &Value| Some(Response::json(status, body));
        match (request.method.as_str(), request.path()) {
            ("GET" | "HEAD", "/ping") => Reaction {
                response: answer(200, &json!({ "ok": true, "next": format!("{ORIGIN}/ping?page=2") })),
                applied: true,
                ..Reaction::default()
            },
            ("HEAD", "/large") => bare(&[("content-length", "5120"), ("content-encoding", "gzip")]),
            ("HEAD", "/unsaid") => bare(&[]),
            ("GET", "/breaks") => panic!("the toy broke"),
            ("GET", "/kept") => {
                let mut response = Response::json(200, &json!({}));
                response.headers.set("keep-alive", "timeout=5");
                Reaction { response: Some(response), applied: true, ..Reaction::default() }
            }
            ("POST", "/items") => {
                let key = request.headers.get("idempotency-key").map(str::to_owned);
                if let Some(saved) = key.as_ref().and_then(|k| self.saved.get(k)) {
                    let response = Some(saved.clone());
                    return Reaction { response, applied: true, replayed: true, ..Reaction::default() };
                }
                let record = serde_json::from_slice(&request.body).unwrap_or(json!({}));
                let change = self.make(ChangeKind::Created, record);
                let event = self.tell(now, "item.created", &change);
                let response = Response::json(201, &change.record);
                if let Some(key) = key {
                    self.saved.insert(key, response.clone());
                }
                Reaction {
                    response: Some(response),
                    applied: true,
                    changes: vec![change],
                    emissions: vec![event],
                    ..Reaction::default()
                }
            }
            _ => Reaction { response: answer(404, &json!({ "error": "no" })), ..Reaction::default() },
        }
    }

    fn fail(&mut self, now: At, request: &Request, error: &ErrorReply) -> Reaction {
        let after = matches!(error.moment, Some(Moment::AfterApplied));
        let mut reaction = if after { self.step(now, request, Span::ZERO) } else { Reaction::default() };
        let status = error.status.unwrap_or(match error.kind {
            ErrorKind::RateLimited => 429,
            ErrorKind::Unavailable => 503,
            _ => 500,
        });
        reaction.response = Some(Response::json(status, &json!({ "error": status })));
        reaction.told = Told { error: Some(error.kind), ..Told::default() };
        reaction
    }

    fn give(&mut self, collection: &str, given: &Given) -> Result<Vec<Change>, String> {
        if collection != "items" {
            return Err(format!("there is no `{collection}`; did you mean `items`?"));
        }
        Ok((0..given.count).map(|_| self.make(ChangeKind::Given, json!({ "state": "new" }))).collect())
    }

    fn act(
        &mut self,
        now: At,
        noun: &str,
        verb: &str,
        ids: &[Arc<str>],
        _: &BTreeMap<String, Value>,
    ) -> Result<Reaction, String> {
        let mut reaction = Reaction::default();
        match (noun, verb) {
            ("items", "make") => {
                let change = self.make(ChangeKind::Created, json!({ "state": "new" }));
                reaction.emissions.push(self.tell(now, "item.created", &change));
                reaction.changes.push(change);
            }
            ("items", "touch") if ids.is_empty() => return Err("`touch` needs an item".into()),
            ("items", "touch") => {
                for id in ids {
                    let number: u64 = id.parse().map_err(|_| "no such item".to_owned())?;
                    let mut record =
                        self.items.get(&number).map(|r| Value::clone(r)).ok_or("no such item")?;
                    record["state"] = json!("touched");
                    let record = Arc::new(record);
                    self.items.insert(number, record.clone());
                    let change = Change {
                        collection: "items".into(),
                        id: id.clone(),
                        change: ChangeKind::Updated,
                        record,
                    };
                    reaction.emissions.push(self.tell(now, "item.updated", &change));
                    reaction.changes.push(change);
                }
            }
            ("items", "break") => panic!("the toy broke"),
            ("keys", "roll") => {
                self.key += 1;
                reaction.credentials.push(CredentialChange { change: "rolled".into(), handed_over: true });
            }
            _ => return Err(format!("`{noun}.{verb}` is nothing that can be done")),
        }
        Ok(reaction)
    }

    fn records(&self, collection: &str) -> Option<Vec<Arc<Value>>> {
        (collection == "items").then(|| self.items.values().cloned().collect())
    }

    fn credentials(&self) -> BTreeMap<String, String> {
        [("api_key".to_owned(), format!("key-{}", self.key))].into()
    }

    fn delivery(
        &mut self,
        _: At,
        events: &[WebhookEvent],
        attempt: u32,
        url: &str,
        signature: Option<BadSignature>,
    ) -> Request {
        let body: Vec<&Value> = events.iter().map(|e| &*e.payload).collect();
        let signature = if signature.is_some() { "bad" } else { "good" };
        let path = url.splitn(4, '/').nth(3).unwrap_or_default();
        Request {
            method: "POST".into(),
            target: format!("/{path}"),
            headers: Headers::of([
                ("content-type", "application/json".to_owned()),
                ("x-signature", signature.to_owned()),
                ("x-attempt", attempt.to_string()),
            ]),
            body: serde_json::to_vec(&body).unwrap().into(),
        }
    }

    fn redelivery(&mut self, attempt: u32, response: Option<&Response>) -> Option<Span> {
        (attempt < 4 && response.is_none_or(|r| r.status != 410)).then(|| Span::secs(10u64.pow(attempt)))
    }

    fn unknown_event(&mut self, like: &WebhookEvent) -> WebhookEvent {
        WebhookEvent { kind: "item.never_heard_of".into(), ..like.clone() }
    }

    fn poison_event(&mut self, like: &WebhookEvent) -> WebhookEvent {
        WebhookEvent { id: "evt_poison".into(), payload: Arc::new(json!("\u{0}")), ..like.clone() }
    }
}

/// 200 with these fields and nothing else.
fn bare(fields: &[(&str, &str)]) -> Reaction {
    let headers = Headers::of(fields.iter().copied());
    let response = Response { status: 200, headers, body: bytes::Bytes::new() };
    Reaction { response: Some(response), applied: true, ..Reaction::default() }
}

type Life = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// A subject made of a closure.
pub struct Closure<F>(pub F);

impl<F: Fn(Start) -> Life> Subject for Closure<F> {
    fn run(&self, start: Start) -> Life {
        (self.0)(start)
    }
    fn name(&self) -> &str {
        "closure"
    }
}

/// A subject that is ready at once, does `work`, then waits to be stopped.
pub fn worker<F, Fut>(work: F) -> impl Subject
where
    F: Fn(Start) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    Closure(move |start: Start| -> Life {
        let mut stop = start.stop.clone();
        let ready = start.ready.clone();
        let work = work(start);
        Box::pin(async move {
            ready.set(firedrill::subject::Endpoints::default());
            work.await;
            let _ = stop.wait_for(|s| *s).await;
            Ok(())
        })
    })
}

/// Runs a drill in which no check speaks: these tests are about the world, and a toy that does not
/// try again would fail every promise that an integration owes.
pub fn run(plan: &Plan, seed: Seed, subject: &dyn Subject) -> Result<Drilled, DrillError> {
    firedrill::drill::run_with(plan, seed, subject, &|_, _, _| Vec::new())
}

/// A scenario from its interesting lines.
pub fn plan(lines: &str) -> Plan {
    plan_of(lines, || Toy::new(1, Span::ZERO))
}

pub fn plan_of(lines: &str, toy: impl Fn() -> Toy + Send + Sync + 'static) -> Plan {
    crate::provider::name();
    let text = format!("drill: a test\nwhy: to know\nfamily: other\nvendors: {{ toy: toy }}\n{lines}\n");
    let scenario = parse("test.yaml", &text).unwrap_or_else(|m| panic!("{}:{}: {m}", m.line, m.column));
    Plan {
        scenario,
        file: "test.yaml".into(),
        vendors: [("toy".to_owned(), Box::new(move |_, _| Box::new(toy()) as Box<dyn Vendor>) as _)].into(),
        tls: false,
        pacing: None,
    }
}

/// Runs a drill whose subject is `work`.
pub fn drill<F, Fut>(lines: &str, work: F) -> Drilled
where
    F: Fn(Start) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let drilled = run(&plan(lines), Seed(7), &worker(work)).unwrap_or_else(|e| panic!("{e}"));
    // What `work` asserts would otherwise be a crash of the subject, and pass.
    for error in pick(&drilled.trace, |_, w| match w {
        What::Subject(SubjectEvent::Exited { error: Some(error) }) => Some(error),
        _ => None,
    }) {
        assert!(!error.starts_with("panicked"), "{lines}: {error}");
    }
    drilled
}

pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

pub fn base(start: &Start) -> String {
    start.vendors["toy"].base_url.clone()
}

pub fn ms(at: At) -> u64 {
    assert_eq!(at.0 % 1_000, 0, "{at} is not a whole millisecond");
    at.0 / 1_000
}

pub async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// The events of a trace that `f` picks.
pub fn pick<'a, T>(trace: &'a Trace, f: impl Fn(At, &'a What) -> Option<T>) -> Vec<T> {
    trace.events.iter().filter_map(|e| f(e.at, &e.what)).collect()
}

/// When requests came, in milliseconds.
pub fn requests(trace: &Trace) -> Vec<u64> {
    pick(trace, |at, w| matches!(w, What::Request { .. }).then(|| ms(at)))
}

/// How exchanges ended, whether they were applied, and when.
pub fn answers(trace: &Trace) -> Vec<(u64, Outcome, bool)> {
    pick(trace, |at, w| match w {
        What::Answer { outcome, applied, .. } => Some((ms(at), *outcome, *applied)),
        _ => None,
    })
}

/// Rules that fired, from 0.
pub fn fired(trace: &Trace) -> Vec<u32> {
    pick(trace, |_, w| match w {
        What::Fault(f) => Some(f.rule),
        _ => None,
    })
}

pub fn jsonl(trace: &Trace) -> String {
    let mut out = Vec::new();
    trace.write_jsonl(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}
