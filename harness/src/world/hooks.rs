//! Webhooks on their way from the vendors to the subject.
//!
//! Knows: gathering, sending, retrying, and the faults that hit events and deliveries. Must not
//! know: how a vendor signs or spaces its retries.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::supervisor::End;
use super::{PUBLIC, World, client, shown, spawn, webhook_url};
use crate::fault::{Act, BadSignature, Target};
use crate::schedule::Bite;
use crate::time::{At, Span};
use crate::trace::{Alias, FaultRef, Outcome, WebhookEvent, What};
use crate::vendor::DeliveryDrift;
use crate::wire::Response;

/// Events on their way: those that wait to be gathered, and deliveries under way or due.
#[derive(Default)]
pub(crate) struct Hooks {
    gathering: RefCell<BTreeMap<Alias, Gathering>>,
    pending: RefCell<BTreeMap<u64, Pending>>,
    numbered: Cell<u64>,
}

/// Events that have still to be taken by whom they are for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// The vendor.
    pub alias: Alias,
    /// The events.
    pub events: Vec<WebhookEvent>,
    /// The attempt that comes next, from 1.
    pub attempt: u32,
    /// When it comes; nothing while it is under way.
    pub due: Option<At>,
}

#[cfg(feature = "cli")]
impl Hooks {
    /// What is still to be delivered, in the order in which it came up.
    pub fn pending(&self) -> Vec<Pending> {
        let gathered = |(alias, g): (&Alias, &Gathering)| Pending {
            alias: alias.clone(),
            events: g.events.clone(),
            attempt: 1,
            due: g.due,
        };
        let gathering = self.gathering.borrow();
        let gathering = gathering.iter().filter(|(_, g)| !g.events.is_empty()).map(gathered);
        gathering.chain(self.pending.borrow().values().cloned()).collect()
    }

    /// When the next of them is due that is not under way.
    pub fn next_due(&self) -> Option<At> {
        let gathering = self.gathering.borrow().values().filter_map(|g| g.due).min();
        let pending = self.pending.borrow().values().filter_map(|p| p.due).min();
        gathering.into_iter().chain(pending).min()
    }

    /// Whether an attempt is under way at this moment.
    pub fn busy(&self) -> bool {
        self.pending.borrow().values().any(|p| p.due.is_none())
    }

    /// Forgets all; what is under way comes to its end and is not repeated.
    pub fn clear(&self) {
        self.gathering.borrow_mut().clear();
        self.pending.borrow_mut().clear();
    }
}

impl Hooks {
    fn add(&self, pending: Pending) -> u64 {
        let number = self.numbered.replace(self.numbered.get() + 1);
        self.pending.borrow_mut().insert(number, pending);
        number
    }

    /// Says what comes next of a delivery; false if it was forgotten meanwhile.
    fn next(&self, number: u64, attempt: u32, due: Option<At>) -> bool {
        let mut pending = self.pending.borrow_mut();
        let Some(pending) = pending.get_mut(&number) else { return false };
        (pending.attempt, pending.due) = (attempt, due);
        true
    }

    fn over(&self, number: u64) -> bool {
        self.pending.borrow_mut().remove(&number).is_some()
    }
}

#[derive(Default)]
struct Gathering {
    events: Vec<WebhookEvent>,
    due: Option<At>,
}

/// Goes on with what was pending in an earlier run.
#[cfg(feature = "cli")]
pub(crate) fn resume(world: &Rc<World>, pending: Pending) {
    let Some(host) = world.hosts.get(&*pending.alias).cloned() else { return };
    spawn(world, deliver(world.clone(), host, pending));
}

/// Takes events from a vendor, lets the rules have their way with each, and sends them off.
pub(crate) fn emit(world: &Rc<World>, host: &Rc<Host>, events: Vec<WebhookEvent>) {
    if host.profile.webhooks.is_none() {
        return;
    }
    for event in events {
        let bite = world.schedule.borrow_mut().emission(world.recorder.now(), &host.alias, &event);
        match bite {
            Some(bite) => disturb(world, host, event, &bite),
            None => {
                note(world, host, &event, None);
                gather(world, host, event);
            }
        }
    }
}

fn note(world: &World, host: &Host, event: &WebhookEvent, fault: Option<&FaultRef>) {
    let (vendor, fault) = (host.alias.clone(), fault.cloned());
    world.recorder.note(What::Emission { vendor, event: event.clone(), fault });
}

fn disturb(world: &Rc<World>, host: &Rc<Host>, event: WebhookEvent, bite: &Bite) {
    let fault = Some(&bite.fault);
    let now = world.recorder.now();
    let draw = |within| world.schedule.borrow_mut().draw(bite.fault.rule, within);
    world.recorder.fault(&bite.fault);
    match &bite.act {
        Act::Drop => note(world, host, &event, fault),
        Act::Delay(span) => {
            note(world, host, &event, fault);
            later(world, host, event, now + *span);
        }
        Act::Reorder(r) => {
            note(world, host, &event, fault);
            let held = draw(r.within);
            later(world, host, event, now + held);
        }
        Act::Burst => {
            note(world, host, &event, fault);
            later(world, host, event, bite.until);
        }
        Act::Duplicate(copies) => {
            note(world, host, &event, fault);
            for _ in 1..copies.times {
                let at = now + draw(copies.within);
                let events = vec![event.clone()];
                let copy = Pending { alias: host.alias.clone(), events, attempt: 1, due: Some(at) };
                spawn(world, deliver(world.clone(), host.clone(), copy));
            }
            gather(world, host, event);
        }
        Act::UnknownType => {
            let unknown = host.vendor.borrow_mut().unknown_event(&event);
            note(world, host, &unknown, fault);
            gather(world, host, unknown);
        }
        Act::Poison => {
            let poison = host.vendor.borrow_mut().poison_event(&event);
            note(world, host, &poison, fault);
            note(world, host, &event, None);
            // The poison comes first: it must not keep its neighbours from being handled.
            gather(world, host, poison);
            gather(world, host, event);
        }
        _ => {
            note(world, host, &event, None);
            gather(world, host, event);
        }
    }
}

fn later(world: &Rc<World>, host: &Rc<Host>, event: WebhookEvent, at: At) {
    let pending = Pending { alias: host.alias.clone(), events: vec![event], attempt: 0, due: Some(at) };
    spawn(world, deliver(world.clone(), host.clone(), pending));
}

/// Puts an event with others of its moment.
fn gather(world: &Rc<World>, host: &Rc<Host>, event: WebhookEvent) {
    let Some(profile) = &host.profile.webhooks else { return };
    let mut gathered = world.hooks.gathering.borrow_mut();
    let waiting = gathered.entry(host.alias.clone()).or_default();
    waiting.events.push(event);
    let together = |events| Pending { alias: host.alias.clone(), events, attempt: 1, due: None };
    if waiting.events.len() >= profile.batch.max(1) {
        let events = std::mem::take(&mut waiting.events);
        spawn(world, deliver(world.clone(), host.clone(), together(events)));
    } else if waiting.due.is_none() {
        waiting.due = Some(world.recorder.now() + profile.gather);
        let (own, host, gather) = (world.clone(), host.clone(), profile.gather);
        spawn(world, async move {
            if gather > Span::ZERO {
                tokio::time::sleep(gather.duration()).await;
            }
            let events = {
                let mut gathered = own.hooks.gathering.borrow_mut();
                let waiting = gathered.entry(host.alias.clone()).or_default();
                waiting.due = None;
                std::mem::take(&mut waiting.events)
            };
            if !events.is_empty() {
                let together = Pending { alias: host.alias.clone(), events, attempt: 1, due: None };
                deliver(own, host, together).await;
            }
        });
    }
}

/// Delivers events, when they are due, until the subject takes them or the vendor gives up.
async fn deliver(world: Rc<World>, host: Rc<Host>, pending: Pending) {
    let Pending { events, mut attempt, due, .. } = pending.clone();
    let number = world.hooks.add(pending);
    if let Some(due) = due {
        world.recorder.until(due).await;
        if attempt == 0 {
            if world.hooks.over(number) {
                events.into_iter().for_each(|event| gather(&world, &host, event));
            }
            return;
        }
    }
    if !world.is_told(&host.alias) {
        world.hooks.over(number);
        return;
    }
    let disabled = || host.vendor.borrow().has_disabled_webhooks();
    while world.hooks.next(number, attempt, None) {
        if disabled() {
            return give_up(&world, &host, number, events);
        }
        let (outcome, response) = attempt_once(&world, &host, &events, attempt).await;
        let seen = response.as_ref().filter(|_| outcome.1 == Outcome::Answered);
        let accepted = seen.is_some_and(Response::is_success);
        let wait = if accepted { None } else { host.vendor.borrow_mut().redelivery(attempt, seen) };
        let now = world.recorder.now();
        outcome.note(&world, response, wait.map(|w| now + w));
        if accepted {
            world.hooks.over(number);
            acknowledged(&world, &host, &events, attempt);
            return;
        }
        let Some(wait) = wait else {
            give_up(&world, &host, number, events);
            if disabled() {
                world.recorder.note(What::Disabled { vendor: host.alias.clone() });
            }
            return;
        };
        attempt += 1;
        world.hooks.next(number, attempt, Some(now + wait));
        tokio::time::sleep(wait.duration()).await;
    }
}

fn give_up(world: &World, host: &Host, number: u64, events: Vec<WebhookEvent>) {
    world.hooks.over(number);
    for event in events {
        world.recorder.note(What::GivenUp { vendor: host.alias.clone(), event_id: event.id });
    }
}

/// How an attempt ended, not yet written.
struct Ended(crate::trace::DeliveryId, Outcome);

impl Ended {
    fn note(self, world: &World, response: Option<Response>, retry_at: Option<At>) {
        let Ended(delivery, outcome) = self;
        world.recorder.note(What::Delivered { delivery, outcome, response, retry_at });
    }
}

/// One attempt, with what the subject said; the vendor hears it only where the attempt was answered.
async fn attempt_once(
    world: &Rc<World>,
    host: &Rc<Host>,
    events: &[WebhookEvent],
    attempt: u32,
) -> (Ended, Option<Response>) {
    let now = world.recorder.now();
    let patience = host.profile.webhooks.as_ref().map_or(Span::secs(10), |w| w.timeout);
    let bite = world.schedule.borrow_mut().delivery(now, &host.alias, events, attempt);
    let dated = host.profile.webhooks.as_ref().is_some_and(|w| w.dated);
    // A signature that says no time cannot be late.
    let idle = |signature: &BadSignature| *signature == BadSignature::LateTimestamp && !dated;
    let bite = bite.filter(|b| !matches!(&b.act, Act::Signature(s) if idle(s)));
    let signature = match bite.as_ref().map(|b| &b.act) {
        Some(Act::Signature(s)) => Some(*s),
        _ => None,
    };
    let target = world.targets.borrow().get(&*host.alias).cloned();
    let url = target.clone().unwrap_or_else(|| webhook_url(&host.alias));
    let mut fault = bite.as_ref().map(|b| b.fault.clone());
    let mut request = match &bite {
        Some(bite @ Bite { act: Act::Drift(mutation), .. }) => {
            let on = world.schedule.borrow().rule(bite.fault.rule).map(|rule| rule.on.clone());
            let kind = match &on {
                Some(Target::Webhook { event, .. }) => event.as_deref(),
                _ => None,
            };
            let mut drift = DeliveryDrift { mutation, turn: bite.turn, kind, done: None };
            let request = host.vendor.borrow_mut().drifted_delivery(now, events, attempt, &url, &mut drift);
            // A change that made no difference to this delivery did not happen to it.
            fault = drift.done.and_then(|d| Some(FaultRef { drift: Some(d.into()), ..fault.take()? }));
            request
        }
        _ => host.vendor.borrow_mut().delivery(now, events, attempt, &url, signature),
    };
    if request.headers.get("host").is_none() {
        let host = PUBLIC.trim_start_matches("https://").to_owned();
        request.headers.0.insert(0, ("host".into(), host.into()));
    }
    let delivery = world.recorder.next_delivery();
    world.recorder.note(What::Delivery {
        delivery,
        vendor: host.alias.clone(),
        attempt,
        events: events.iter().map(|e| e.id.clone()).collect(),
        request: request.clone(),
        fault: fault.clone(),
        must_be_refused: signature.is_some_and(|s| s.must_be_refused()),
    });
    if let Some(fault) = &fault {
        world.recorder.fault(fault);
    }
    if matches!(bite.as_ref().map(|b| &b.act), Some(Act::Unreachable)) {
        tokio::time::sleep(patience.duration()).await;
        return (Ended(delivery, Outcome::ConnectTimeout), None);
    }
    let life = world.subject.incarnation();
    let subjects = || world.subject.endpoints().and_then(|e| e.webhooks.get(&*host.alias).cloned());
    let alone = target.is_some();
    let endpoint = target.or_else(subjects);
    let answer = match &endpoint {
        Some(endpoint) => {
            request.target = client::target(endpoint).to_owned();
            client::call(endpoint, &request, patience.duration()).await
        }
        None => Err(Outcome::Refused),
    };
    match answer {
        Ok(response) if matches!(bite.as_ref().map(|b| &b.act), Some(Act::LostAck)) => {
            let response = shown(world, response);
            tokio::time::sleep(patience.duration()).await;
            (Ended(delivery, Outcome::TimedOut), Some(response))
        }
        Ok(response) => (Ended(delivery, Outcome::Answered), Some(shown(world, response))),
        Err(_)
            if endpoint.is_some()
                && !alone
                && (world.subject.incarnation() != life || !world.subject.is_up()) =>
        {
            (Ended(delivery, Outcome::SubjectGone), None)
        }
        Err(outcome) => (Ended(delivery, outcome), None),
    }
}

/// The faults that wait for the subject's word that it has the events.
fn acknowledged(world: &Rc<World>, host: &Host, events: &[WebhookEvent], attempt: u32) {
    if !world.subject.is_up() {
        return;
    }
    let bite = world.schedule.borrow_mut().ack(world.recorder.now(), &host.alias, events, attempt);
    let Some(bite) = bite else { return };
    world.recorder.fault(&bite.fault);
    match &bite.act {
        Act::Kill(outage) => world.subject.end(world, End::Killed, Some(outage.restart_after)),
        Act::Stop(outage) => world.subject.stop(world, outage),
        Act::Pause(rest) => world.subject.pause(world, *rest),
        Act::ClockSkew(skew) => world.subject.skew(world, *skew, bite.until),
        _ => {}
    }
}
