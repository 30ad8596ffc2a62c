//! The evidence: one pass over a trace, indexed for every check.
//!
//! Knows: how events of a trace belong together. Must not know: what any of them proves, or any
//! vendor or subject by name.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use sha2::{Digest, Sha256};

use super::agreement::Agreement;
use super::call::{Call, ending};
use super::chain::{Chain, chains};
use super::effects::Effects;
use super::exposed::Exposed;
use super::lives::{Lives, Mishap};
use super::sameness::{Numbers, Sameness};
use crate::scenario::{Family, Scenario};
use crate::time::{At, Span};
use crate::trace::{
    CallId, Cause, ChangeKind, DeliveryId, EventId, FaultRef, Outcome, SubjectEvent, Trace, WebhookEvent,
    What,
};
use crate::vendor::Profile;
use crate::wire::{Request, Response};

/// A pause that ends a chain of attempts where the scenario does not say.
const REST: Span = Span::secs(60);

/// What a subject may still do, in real time, after the last that was seen of its work.
const AT_WORK: Span = Span::millis(100);

/// One webhook delivery attempt.
#[derive(Clone, Debug)]
pub(super) struct Delivery<'t> {
    pub vendor: &'t str,
    pub attempt: u32,
    pub events: &'t [std::sync::Arc<str>],
    pub request: &'t Request,
    pub fault: Option<&'t FaultRef>,
    pub must_be_refused: bool,
    pub sent: At,
    pub asked: EventId,
    pub ended: At,
    pub answered: Option<EventId>,
    pub outcome: Outcome,
    pub response: Option<&'t Response>,
}

impl Delivery<'_> {
    /// The status that the vendor saw.
    pub fn status(&self) -> Option<u16> {
        if self.outcome == Outcome::Answered { self.response.map(|r| r.status) } else { None }
    }

    /// Whether the subject took responsibility for it.
    pub fn acknowledged(&self) -> bool {
        self.status().is_some_and(|s| (200..300).contains(&s))
    }

    /// Its events.
    pub fn cite(&self) -> Vec<EventId> {
        std::iter::once(self.asked).chain(self.answered).collect()
    }
}

/// One change in a ledger.
#[derive(Clone, Debug)]
pub(super) struct Changed<'t> {
    pub at: At,
    pub event: EventId,
    pub id: &'t str,
    pub change: ChangeKind,
    pub record: &'t serde_json::Value,
    pub by: Cause,
}

/// A change of a vendor's credentials.
#[derive(Clone, Debug)]
pub(super) struct Credential<'t> {
    pub at: At,
    pub event: EventId,
    pub vendor: &'t str,
    pub change: &'t str,
    pub handed_over: bool,
    /// Whether it is the secret that webhooks are signed with, as the step that changed it says.
    pub of_webhooks: bool,
}

/// The moment at which a call arrived or ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub event: EventId,
    /// Its index.
    pub call: usize,
    pub begins: bool,
}

/// Something that came where alerts go and cannot be read as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread<'t> {
    /// When it began to come.
    pub began: At,
    /// When that was over.
    pub at: At,
    pub id: EventId,
    pub why: &'t str,
}

/// Everything a check reads.
pub(super) struct Evidence<'t> {
    pub scenario: &'t Scenario,
    pub profiles: &'t BTreeMap<String, Profile>,
    pub trace: &'t Trace,
    pub heals_at: At,
    pub ends_at: At,
    /// Exchanges in order of arrival.
    pub calls: Vec<Call<'t>>,
    /// Exchanges of each vendor, in order of arrival.
    pub by_vendor: BTreeMap<&'t str, Vec<usize>>,
    /// Attempts that belong together.
    pub chains: Vec<Chain>,
    pub deliveries: Vec<Delivery<'t>>,
    /// Events by id, with when they were emitted.
    pub events: IndexMap<&'t str, (At, &'t WebhookEvent)>,
    /// Changes by vendor and collection, in order.
    pub ledgers: BTreeMap<&'t str, BTreeMap<&'t str, Vec<Changed<'t>>>>,
    pub lives: Lives,
    pub credentials: Vec<Credential<'t>>,
    pub alerts: Vec<(At, EventId, &'t serde_json::Value)>,
    /// What came where alerts go and cannot be read as one, with why.
    pub unread_alerts: Vec<Unread<'t>>,
    pub logs: Vec<(EventId, &'t str)>,
    pub exposed: Exposed<'t>,
    /// The moments at which jobs were triggered.
    pub jobs: Vec<At>,
    /// Moments at which a delivery spoke of a record.
    pub spoken_of: IndexMap<&'t str, Vec<At>>,
    /// Rules that bit, with the first event of each.
    pub bitten: BTreeMap<u32, EventId>,
    /// Whether the subject counted its own attempts.
    pub counted: bool,
    /// A pause that starts a new operation.
    pub rest: Span,
    /// Which calls are the same.
    pub sameness: Sameness<'t>,
    by_id: Ids,
    edges: Vec<Edge>,
    steps: Vec<(At, &'t str)>,
    agreement: OnceCell<Option<Agreement>>,
    effects: OnceCell<Effects>,
}

/// The index of a call by its id.
type Ids = IndexMap<CallId, usize>;

impl<'t> Evidence<'t> {
    /// Reads a trace once.
    pub fn of(scenario: &'t Scenario, profiles: &'t BTreeMap<String, Profile>, trace: &'t Trace) -> Self {
        let ends_at = trace.events.last().map_or(trace.head.ends_at, |e| e.at.min(trace.head.ends_at));
        let mut e = Evidence {
            scenario,
            profiles,
            trace,
            heals_at: trace.head.heals_at,
            ends_at,
            calls: Vec::new(),
            by_vendor: BTreeMap::new(),
            chains: Vec::new(),
            deliveries: Vec::new(),
            events: IndexMap::new(),
            ledgers: BTreeMap::new(),
            lives: Lives::default(),
            credentials: Vec::new(),
            alerts: Vec::new(),
            unread_alerts: Vec::new(),
            logs: Vec::new(),
            exposed: Exposed::default(),
            jobs: Vec::new(),
            spoken_of: IndexMap::new(),
            bitten: BTreeMap::new(),
            counted: false,
            rest: scenario.expect.backoff.map_or(own(trace, REST), |b| b.rest),
            sameness: Sameness::default(),
            by_id: Ids::new(),
            edges: Vec::new(),
            steps: Vec::new(),
            agreement: OnceCell::new(),
            effects: OnceCell::new(),
        };
        let mut calls = Ids::new();
        let mut deliveries: IndexMap<DeliveryId, usize> = IndexMap::new();
        for (id, event) in trace.iter() {
            e.read(id, event.at, &event.what, &mut calls, &mut deliveries);
        }
        e.by_id = calls;
        e.lives.end(ends_at);
        e.hear();
        e.chains = chains(&e.calls, e.sameness.requests(), e.rest);
        e
    }

    fn read(
        &mut self,
        id: EventId,
        at: At,
        what: &'t What,
        calls: &mut Ids,
        deliveries: &mut IndexMap<DeliveryId, usize>,
    ) {
        match what {
            What::Request { call, vendor, connection: _, protocol: _, request, operation } => {
                let header = self.profiles.get(&**vendor).and_then(|p| p.idempotency_header.as_deref());
                calls.insert(*call, self.calls.len());
                self.by_vendor.entry(vendor).or_default().push(self.calls.len());
                let mut asked = Call {
                    vendor,
                    request,
                    operation: operation.as_ref(),
                    arrived: at,
                    asked: id,
                    ended: self.ends_at,
                    answered: None,
                    outcome: Outcome::Open,
                    response: None,
                    applied: false,
                    replayed: false,
                    told: None,
                    fault: None,
                    key: header.and_then(|h| request.headers.get(h)),
                    digest: digest(&request.body),
                    same: Numbers::default(),
                    ending: super::call::Ending::Open,
                };
                asked.same = self.sameness.of(&asked);
                self.edges.push(Edge { event: id, call: self.calls.len(), begins: true });
                self.calls.push(asked);
            }
            What::Answer { call, outcome, response, applied, replayed, told, fault } => {
                if let Some(index) = calls.get(call).copied() {
                    self.edges.push(Edge { event: id, call: index, begins: false });
                    let call = &mut self.calls[index];
                    call.ended = at;
                    call.answered = Some(id);
                    call.outcome = *outcome;
                    call.response = response.as_ref();
                    call.applied = *applied;
                    call.replayed = *replayed;
                    call.told = Some(told);
                    call.fault = fault.as_ref();
                    call.ending = ending(*outcome, response.as_ref(), Some(told));
                }
                self.bite(id, fault.as_ref());
            }
            What::Change { vendor, collection, id: record_id, change, record, by } => {
                self.ledgers.entry(vendor).or_default().entry(collection).or_default().push(Changed {
                    at,
                    event: id,
                    id: record_id,
                    change: *change,
                    record,
                    by: *by,
                });
            }
            What::Connection { fault, .. } | What::Handshake { fault, .. } => self.bite(id, fault.as_ref()),
            What::Emission { event, fault, .. } => {
                self.events.entry(&event.id).or_insert((at, event));
                self.bite(id, fault.as_ref());
            }
            What::Delivery { delivery, vendor, attempt, events, request, fault, must_be_refused } => {
                deliveries.insert(*delivery, self.deliveries.len());
                self.deliveries.push(Delivery {
                    vendor,
                    attempt: *attempt,
                    events,
                    request,
                    fault: fault.as_ref(),
                    must_be_refused: *must_be_refused,
                    sent: at,
                    asked: id,
                    ended: self.ends_at,
                    answered: None,
                    outcome: Outcome::Open,
                    response: None,
                });
                self.bite(id, fault.as_ref());
            }
            What::Delivered { delivery, outcome, response, .. } => {
                if let Some(d) = deliveries.get(delivery).and_then(|i| self.deliveries.get_mut(*i)) {
                    d.ended = at;
                    d.answered = Some(id);
                    d.outcome = *outcome;
                    d.response = response.as_ref();
                }
            }
            What::Fault(fault) => self.bite(id, Some(fault)),
            What::Subject(event) => {
                if let SubjectEvent::Triggered { .. } = event {
                    self.jobs.push(at);
                }
                if let SubjectEvent::Straggler { .. } = event {
                    self.lives.mishaps.push((at, id, Mishap::Straggler));
                }
                self.lives.note(at, id, event);
            }
            What::Credential { vendor, change, handed_over } => self.credentials.push(Credential {
                at,
                event: id,
                vendor,
                change,
                handed_over: *handed_over,
                of_webhooks: false,
            }),
            What::Alert { body, unread, began } => {
                self.alerts.push((at, id, body));
                let began = began.unwrap_or(at);
                self.unread_alerts.extend(unread.as_deref().map(|why| Unread { began, at, id, why }));
            }
            What::Log { line, .. } => self.logs.push((id, line)),
            What::Exposed { what, response } => self.exposed.note(id, what, response.as_ref()),
            // In real time the note is late by the machine's noise; the plan is not.
            What::Healed if self.trace.head.real.is_none() => self.heals_at = at,
            What::Healed => {}
            What::Step { action, .. } => self.steps.push((at, action)),
            What::Attempts { .. } => self.counted = true,
            What::GivenUp { .. }
            | What::Disabled { .. }
            | What::Unfit { .. }
            | What::Ended
            | What::HarnessFault { .. } => {}
        }
    }

    fn bite(&mut self, id: EventId, fault: Option<&FaultRef>) {
        if let Some(fault) = fault {
            self.bitten.entry(fault.rule).or_insert(id);
        }
    }

    /// Notes when deliveries spoke of which records, and which secrets a step changed.
    fn hear(&mut self) {
        for change in &mut self.credentials {
            let first = self.steps.partition_point(|(t, _)| *t < change.at);
            let mut now = self.steps[first..].iter().take_while(|(t, _)| *t == change.at);
            change.of_webhooks = now.any(|(_, action)| {
                action.strip_prefix(change.vendor).is_some_and(|rest| rest.starts_with(".webhooks."))
            });
        }
        for delivery in &self.deliveries {
            for event in delivery.events {
                let record = self.events.get(&**event).and_then(|(_, e)| e.record.as_deref());
                if let Some(record) = record {
                    let heard = self.spoken_of.entry(record).or_default();
                    // Several events of one delivery ask once.
                    if heard.last() != Some(&delivery.sent) {
                        heard.push(delivery.sent);
                    }
                }
            }
        }
    }

    /// How often something outside asked for work on what `call` names, between two moments:
    /// deliveries that spoke of it, and jobs.
    pub fn asked_for(&self, call: &Call<'_>, from: At, to: At) -> u64 {
        let within = |moments: &[At]| {
            (moments.partition_point(|t| *t <= to) - moments.partition_point(|t| *t < from)) as u64
        };
        let body = String::from_utf8_lossy(&call.request.body);
        let named: BTreeSet<&str> = words(&call.request.target).chain(words(&body)).collect();
        let spoken = named.iter().filter_map(|w| self.spoken_of.get(w)).map(|m| within(m)).max();
        spoken.unwrap_or(0) + within(&self.jobs)
    }

    /// What the machine's own scheduling may have added to any wait, on both sides of the wire:
    /// nothing in virtual time, twice the latest ring of a timer of firedrill's in real time.
    pub fn noise(&self) -> Span {
        self.trace.head.real.map_or(Span::ZERO, |real| real.noise.times(2))
    }

    /// A span that a check judges the subject's own waits by, as long as the subject's waits are.
    pub fn own(&self, span: Span) -> Span {
        own(self.trace, span)
    }

    /// What a check allows on top of a promise: its own allowance, and the machine's noise.
    pub fn slack(&self, span: Span) -> Span {
        Span(self.own(span).0.saturating_add(self.noise().0))
    }

    /// Whether this section of `expect` may not go unjudged: the drill says it itself, or is about one of
    /// these families.
    pub fn owes(&self, section: &str, families: &[Family]) -> bool {
        self.says(section) || self.about(families)
    }

    /// Whether the drill's own file says this section of `expect`, rather than one that it extends.
    pub fn says(&self, section: &str) -> bool {
        !self.scenario.expect.inherited.contains(section)
    }

    /// Whether the drill is about one of these families: a promise that it shares with others
    /// through a base file may then not go unjudged.
    pub fn about(&self, families: &[Family]) -> bool {
        self.scenario.family == Family::Other || families.contains(&self.scenario.family)
    }

    /// The replay of `expect.agree`, if it is promised.
    pub fn agreement(&self) -> Option<&Agreement> {
        self.agreement.get_or_init(|| Agreement::replay(self)).as_ref()
    }

    /// What each call changed, and when the subject read of it.
    pub fn effects(&self) -> &Effects {
        self.effects.get_or_init(|| Effects::of(self))
    }

    /// Whether calls or deliveries came or ended between two answers that the subject gave of itself, or
    /// so shortly before that it may still have been at them.
    pub fn is_at_work(&self, one: EventId, other: EventId) -> bool {
        let (first, last) = (one.min(other).0 as usize, one.max(other).0 as usize);
        let events = &self.trace.events;
        let margin =
            self.trace.head.real.map_or(Span::ZERO, |_| Span(self.noise().0.saturating_add(AT_WORK.0)));
        let Some(from) = events.get(first).map(|e| e.at - margin) else { return false };
        let since = &events[..=last.min(events.len() - 1)];
        let at_work = |what: &What| {
            let calls = matches!(what, What::Request { .. } | What::Answer { .. });
            calls || matches!(what, What::Delivery { .. } | What::Delivered { .. })
        };
        let recent = |(n, e): &(usize, &crate::trace::Event)| *n > first || e.at > from;
        since.iter().enumerate().rev().take_while(recent).any(|(_, e)| at_work(&e.what))
    }

    /// The call with this id.
    pub fn call(&self, id: CallId) -> Option<&Call<'t>> {
        self.by_id.get(&id).map(|i| &self.calls[*i])
    }

    /// The changes of one collection, in order.
    pub fn ledger(&self, vendor: &str, collection: &str) -> &[Changed<'t>] {
        self.ledgers.get(vendor).and_then(|v| v.get(collection)).map_or(&[], Vec::as_slice)
    }

    /// The name of one record of a collection, as its vendor file gives it.
    pub fn record_name(&self, vendor: &str, collection: &str) -> String {
        let given = self.profiles.get(vendor).and_then(|p| p.collections.get(collection));
        given.cloned().unwrap_or_else(|| collection.strip_suffix('s').unwrap_or(collection).to_owned())
    }

    /// Calls of a vendor, in order of arrival.
    pub fn calls_of(&self, vendor: &str) -> impl DoubleEndedIterator<Item = &Call<'t>> + Clone {
        self.by_vendor.get(vendor).map_or(&[][..], Vec::as_slice).iter().map(|i| &self.calls[*i])
    }

    /// Arrivals and ends of a vendor's calls in the order of the trace: in virtual time a call may
    /// end in the moment in which it came.
    pub fn edges_of(&self, vendor: &str) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| self.calls[edge.call].vendor == vendor)
    }

    /// The attempts of a chain.
    pub fn attempts<'e>(&'e self, chain: &'e Chain) -> impl DoubleEndedIterator<Item = &'e Call<'t>> + Clone {
        chain.calls.iter().map(|i| &self.calls[*i])
    }

    /// Whether a rule of the scenario makes calls to `vendor` vanish without a trace somewhere
    /// between two moments: neither refused connects nor requests reset half-read are seen by it.
    pub fn unseen_calls(&self, vendor: &str, from: At, to: At) -> bool {
        use crate::fault::Act;
        self.scenario.faults.iter().any(|rule| {
            matches!(rule.act, Act::Refuse | Act::BlackHole | Act::ResetRequest)
                && rule.on.vendor() == Some(vendor)
                && rule.window.is_none_or(|w| w.from <= to && w.to.is_none_or(|end| from < end))
                && from < self.heals_at
        })
    }
}

/// See [`Evidence::own`].
fn own(trace: &Trace, span: Span) -> Span {
    match trace.head.real {
        Some(real) if real.waits_scaled => Span(span.0 / u64::from(real.scale.max(1))),
        _ => span,
    }
}

/// Words that may be ids: runs of letters, digits, `_` and `-`.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).filter(|w| !w.is_empty())
}

fn digest(body: &[u8]) -> u128 {
    let hash = Sha256::digest(body);
    hash.iter().take(16).fold(0u128, |n, b| (n << 8) | u128::from(*b))
}
