//! Traces by hand, for the tests of checks.
//!
//! Knows: how a sound trace is made up. Must not know: what any check thinks of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::fault::ErrorKind;
use crate::finding::{Judgement, Verdict};
use crate::scenario::{Base, Scenario, parse};
use crate::seed::Seed;
use crate::time::{At, Span};
use crate::trace::*;
use crate::vendor::{Profile, WebhookProfile};
use crate::wire::{Headers, Protocol, Request, Response};

/// A scenario with this `expect` section (YAML, indented by two) and family `other`.
pub(super) fn scenario(expect: &str) -> Scenario {
    scenario_of("other", expect, "")
}

/// A scenario of this family, with more top-level YAML.
pub(super) fn scenario_of(family: &str, expect: &str, more: &str) -> Scenario {
    let expect = if expect.trim().is_empty() { "{}" } else { expect };
    let vendors = "vendors: { crm: hubspot, billing: stripe }";
    let text = format!("drill: d\nwhy: w\nfamily: {family}\n{vendors}\n{more}\nexpect:\n  {expect}\n");
    parse("test.yaml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The same drill, as if what it expects stood in a base file that it extends.
pub(super) fn shared(mut drill: Scenario) -> Scenario {
    let expect = std::mem::take(&mut drill.expect);
    drill.inherit(Base { expect, ..Base::default() });
    drill
}

/// Two vendors: `crm` with deals, and `billing` with invoices and idempotency keys.
pub(super) fn profiles() -> BTreeMap<String, Profile> {
    let profile = |name: &str, header: Option<&str>, collection: (&str, &str)| Profile {
        name: name.into(),
        origin: format!("https://{name}.test"),
        idempotency_header: header.map(str::to_owned),
        idempotency_kept: Some(Span::mins(24 * 60)),
        collections: BTreeMap::from([(collection.0.to_owned(), collection.1.to_owned())]),
        webhooks: Some(WebhookProfile {
            timeout: Span::secs(10),
            batch: 100,
            gather: Span::ZERO,
            id_pointer: "/eventId".into(),
            dated: true,
        }),
        contract: None,
    };
    BTreeMap::from([
        ("crm".to_owned(), profile("crm", None, ("deals", "deal"))),
        ("billing".to_owned(), profile("billing", Some("idempotency-key"), ("invoices", "invoice"))),
    ])
}

/// A request with its answer, in the making.
#[derive(Clone)]
pub(super) struct Exchange {
    pub vendor: &'static str,
    pub request: Request,
    pub operation: Operation,
    pub at: u64,
    pub takes: u64,
    pub outcome: Outcome,
    pub response: Option<Response>,
    pub applied: bool,
    pub replayed: bool,
    pub told: Told,
    pub fault: Option<FaultRef>,
    /// Whether the vendor has no such operation.
    pub no_operation: bool,
}

/// A call `METHOD /path` to `vendor` at `at` milliseconds, answered 200 after 10 ms.
pub(super) fn call(vendor: &'static str, line: &str, at: u64) -> Exchange {
    let (method, target) = line.split_once(' ').unwrap();
    let kind = match (method, target) {
        (_, t) if t.contains("token") => OperationKind::Token,
        ("GET", t) if t.matches('/').count() == 1 => OperationKind::List,
        ("GET", _) => OperationKind::Read,
        ("POST", t) if t.matches('/').count() == 1 => OperationKind::Create,
        ("POST", _) => OperationKind::Transition,
        ("DELETE", _) => OperationKind::Delete,
        _ => OperationKind::Update,
    };
    let path = target.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let name = if parts.len() > 2 { format!("/{}/{{id}}", parts[1]) } else { path.to_owned() };
    Exchange {
        vendor,
        request: Request {
            method: method.into(),
            target: target.into(),
            headers: Headers::default(),
            body: Default::default(),
        },
        operation: Operation { name: format!("{method} {name}").into(), kind, collection: None },
        at,
        takes: 10,
        outcome: Outcome::Answered,
        response: Some(Response::json(200, &json!({}))),
        applied: true,
        replayed: false,
        told: Told::default(),
        fault: None,
        no_operation: false,
    }
}

impl Exchange {
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.set(name, value);
        self
    }
    pub fn body(mut self, body: &str) -> Self {
        self.request.body = body.to_owned().into();
        self
    }
    pub fn takes(mut self, ms: u64) -> Self {
        self.takes = ms;
        self
    }
    pub fn status(mut self, status: u16) -> Self {
        self.response = Some(Response::json(status, &json!({})));
        self.applied = status < 400;
        self
    }
    pub fn answers(mut self, status: u16, body: Value) -> Self {
        self.response = Some(Response::json(status, &body));
        self
    }
    pub fn error(mut self, status: u16, kind: ErrorKind) -> Self {
        self = self.status(status);
        self.told.error = Some(kind);
        self
    }
    pub fn replayed(mut self) -> Self {
        self.replayed = true;
        self
    }
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }
    pub fn told(mut self, change: impl FnOnce(&mut Told)) -> Self {
        change(&mut self.told);
        self
    }
    pub fn retry_at(self, ms: u64) -> Self {
        self.told(|t| t.retry_at = Some(ms_at(ms)))
    }
    pub fn quota(self, remaining: u64, limit: u64, resets_ms: u64) -> Self {
        let window = Span::secs(10);
        self.told(|t| t.quotas.push(Quota { limit, remaining, resets_at: ms_at(resets_ms), window }))
    }
    pub fn fault(mut self, rule: u32, act: &str) -> Self {
        self.fault = Some(FaultRef { rule, act: act.into(), moment: None, drift: None });
        self
    }
}

pub(super) fn ms_at(ms: u64) -> At {
    At(ms * 1_000)
}

/// Gathers events in any order and sorts them by time.
pub(super) struct Builder {
    events: Vec<(u64, What)>,
    calls: u32,
    deliveries: u32,
    heals: u64,
    ends: u64,
}

/// A drill in which the subject runs from the start, heals at one hour and ends at two.
pub(super) fn drill() -> Builder {
    let mut b = quiet();
    b.events.push((0, What::Subject(SubjectEvent::Started { incarnation: 1 })));
    b.events.push((0, What::Subject(SubjectEvent::Ready)));
    b
}

/// The same without a subject.
pub(super) fn quiet() -> Builder {
    Builder { events: Vec::new(), calls: 0, deliveries: 0, heals: 3_600_000, ends: 7_200_000 }
}

impl Builder {
    pub fn ends(mut self, ms: u64) -> Self {
        self.ends = ms;
        self
    }
    pub fn event(mut self, at: u64, what: What) -> Self {
        self.events.push((at, what));
        self
    }
    pub fn subject(self, at: u64, event: SubjectEvent) -> Self {
        self.event(at, What::Subject(event))
    }
    pub fn call(mut self, x: Exchange) -> Self {
        let id = CallId(self.calls);
        self.calls += 1;
        let open = x.outcome == Outcome::Open;
        self.events.push((
            x.at,
            What::Request {
                call: id,
                vendor: x.vendor.into(),
                connection: 0,
                protocol: Protocol::Http1,
                request: x.request,
                operation: Some(x.operation).filter(|_| !x.no_operation),
            },
        ));
        if !open {
            self.events.push((
                x.at + x.takes,
                What::Answer {
                    call: id,
                    outcome: x.outcome,
                    response: x.response,
                    applied: x.applied,
                    replayed: x.replayed,
                    told: x.told,
                    fault: x.fault,
                },
            ));
        }
        self
    }
    pub fn calls(self, list: impl IntoIterator<Item = Exchange>) -> Self {
        list.into_iter().fold(self, Builder::call)
    }
    /// A change of a record, by the scenario or by the nth call.
    pub fn change(self, at: u64, place: &str, kind: ChangeKind, record: Value, by: Option<u32>) -> Self {
        let (vendor, collection) = place.split_once('.').unwrap();
        let id: Arc<str> = record["id"].as_str().unwrap().into();
        let by = by.map_or(Cause::Scenario, |n| Cause::Call(CallId(n)));
        let (vendor, collection) = (vendor.into(), collection.into());
        self.event(at, What::Change { vendor, collection, id, change: kind, record: record.into(), by })
    }
    /// The event `id` of `crm` about `record`, emitted.
    pub fn emitted(self, at: u64, id: &str, record: &str) -> Self {
        let event = WebhookEvent {
            id: id.into(),
            kind: "deal.propertyChange".into(),
            collection: Some("deals".into()),
            record: Some(record.into()),
            occurred: ms_at(at),
            payload: json!({ "eventId": id, "objectId": record }).into(),
        };
        self.event(at, What::Emission { vendor: "crm".into(), event, fault: None })
    }
    /// A delivery of events, answered with `status` after `takes` ms.
    pub fn delivery(self, at: u64, events: &[&str], status: u16, takes: u64) -> Self {
        self.delivery_as(at, events, Some(status), takes, false)
    }
    pub fn delivery_as(
        mut self,
        at: u64,
        events: &[&str],
        status: Option<u16>,
        takes: u64,
        bad: bool,
    ) -> Self {
        let id = DeliveryId(self.deliveries);
        self.deliveries += 1;
        let delivery = What::Delivery {
            delivery: id,
            vendor: "crm".into(),
            attempt: 1,
            events: events.iter().map(|e| Arc::from(*e)).collect(),
            request: call("crm", "POST /hooks", at).request,
            fault: None,
            must_be_refused: bad,
        };
        let delivered = What::Delivered {
            delivery: id,
            outcome: if status.is_some() { Outcome::Answered } else { Outcome::TimedOut },
            response: status.map(|s| Response::json(s, &json!({}))),
            retry_at: None,
        };
        self.event(at, delivery).event(at + takes, delivered)
    }
    pub fn exposed(self, what: &str, body: &str) -> Self {
        let at = self.ends;
        let response = Response { status: 200, headers: Headers::default(), body: body.to_owned().into() };
        self.event(at, What::Exposed { what: what.into(), response: Some(response) })
    }
    pub fn build(mut self) -> Trace {
        self.events.push((self.heals, What::Healed));
        // As the world does it: the subject is stopped at the end, and a moment later all is over.
        self.events.push((self.ends, What::Subject(SubjectEvent::Stopping)));
        self.events.push((self.ends, What::Subject(SubjectEvent::Stopped)));
        self.events.push((self.ends + 1, What::Ended));
        self.events.sort_by_key(|(at, _)| *at);
        Trace {
            head: Head {
                drill: "d".into(),
                seed: Seed(1),
                epoch: "2026-01-01T00:00:00Z".parse().unwrap(),
                heals_at: ms_at(self.heals),
                ends_at: ms_at(self.ends),
                real: None,
            },
            events: self.events.into_iter().map(|(at, what)| Event { at: ms_at(at), what }).collect(),
        }
    }
    /// What the check called `name` says.
    pub fn judged(self, scenario: &Scenario, name: &str) -> Option<Judgement> {
        let trace = self.build();
        super::judge(scenario, &profiles(), &trace).into_iter().find(|j| &*j.check == name)
    }
    pub fn passes(self, scenario: &Scenario, name: &str) {
        let judgement = self.judged(scenario, name).unwrap_or_else(|| panic!("{name} had nothing to judge"));
        assert_eq!(judgement.verdict, Verdict::Pass, "{:#?}", judgement.findings);
        assert!(judgement.judged > 0, "{name} passed without judging anything");
    }
    pub fn fails(self, scenario: &Scenario, rule: &str) {
        self.says(scenario, rule, Verdict::Fail);
    }
    pub fn unknown(self, scenario: &Scenario, rule: &str) {
        self.says(scenario, rule, Verdict::Unknown);
    }
    fn says(self, scenario: &Scenario, rule: &str, verdict: Verdict) {
        let name = rule.split('/').next().unwrap().to_owned();
        let judgement = self.judged(scenario, &name).unwrap_or_else(|| panic!("{name} had nothing to judge"));
        let said: Vec<_> = judgement.findings.iter().map(|f| (&*f.rule, f.verdict)).collect();
        assert!(said.contains(&(rule, verdict)), "{:#?}", judgement.findings);
        assert_eq!(judgement.verdict, verdict, "{:#?}", judgement.findings);
    }
}

/// A trigger of the first step's job; `unasked` is why it could not be put.
pub(crate) fn triggered(job: &str, unasked: Option<&str>) -> SubjectEvent {
    let accepted = unasked.is_none();
    SubjectEvent::Triggered {
        job: job.into(),
        step: 0,
        accepted,
        unasked: unasked.map(str::to_owned),
        failed: None,
    }
}
