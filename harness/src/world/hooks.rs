//! Webhooks on their way from the vendors to the subject.
//!
//! Knows: gathering, sending, retrying, and the faults that hit events and deliveries. Must not
//! know: how a vendor signs or spaces its retries.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::host::Host;
use super::supervisor::End;
use super::{PUBLIC, World, client, shown, webhook_url};
use crate::fault::Act;
use crate::schedule::Bite;
use crate::time::{At, Span};
use crate::trace::{Alias, FaultRef, Outcome, WebhookEvent, What};
use crate::wire::Response;

/// Events that wait to be gathered into a delivery.
#[derive(Default)]
pub(crate) struct Hooks(RefCell<BTreeMap<Alias, Gathering>>);

#[derive(Default)]
struct Gathering {
    events: Vec<WebhookEvent>,
    due: bool,
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
                let (world, host, events) = (world.clone(), host.clone(), vec![event.clone()]);
                tokio::task::spawn_local(async move {
                    world.recorder.until(at).await;
                    deliver(world, host, events).await;
                });
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
    let (world, host) = (world.clone(), host.clone());
    tokio::task::spawn_local(async move {
        world.recorder.until(at).await;
        gather(&world, &host, event);
    });
}

/// Puts an event with others of its moment.
fn gather(world: &Rc<World>, host: &Rc<Host>, event: WebhookEvent) {
    let Some(profile) = &host.profile.webhooks else { return };
    let mut gathered = world.hooks.0.borrow_mut();
    let waiting = gathered.entry(host.alias.clone()).or_default();
    waiting.events.push(event);
    if waiting.events.len() >= profile.batch.max(1) {
        let events = std::mem::take(&mut waiting.events);
        tokio::task::spawn_local(deliver(world.clone(), host.clone(), events));
    } else if !waiting.due {
        waiting.due = true;
        let (world, host, gather) = (world.clone(), host.clone(), profile.gather);
        tokio::task::spawn_local(async move {
            if gather > Span::ZERO {
                tokio::time::sleep(gather.duration()).await;
            }
            let events = {
                let mut gathered = world.hooks.0.borrow_mut();
                let waiting = gathered.entry(host.alias.clone()).or_default();
                waiting.due = false;
                std::mem::take(&mut waiting.events)
            };
            if !events.is_empty() {
                deliver(world, host, events).await;
            }
        });
    }
}

/// Delivers events until the subject takes them or the vendor gives up.
async fn deliver(world: Rc<World>, host: Rc<Host>, events: Vec<WebhookEvent>) {
    if !world.subscribed.borrow().contains(&*host.alias) {
        return;
    }
    let mut attempt = 1;
    loop {
        let (outcome, response) = attempt_once(&world, &host, &events, attempt).await;
        let accepted = response.as_ref().is_some_and(Response::is_success);
        let wait =
            if accepted { None } else { host.vendor.borrow_mut().redelivery(attempt, response.as_ref()) };
        let now = world.recorder.now();
        outcome.note(&world, response, wait.map(|w| now + w));
        if accepted {
            acknowledged(&world, &host, &events, attempt);
            return;
        }
        let Some(wait) = wait else {
            for event in events {
                world.recorder.note(What::GivenUp { vendor: host.alias.clone(), event_id: event.id });
            }
            return;
        };
        tokio::time::sleep(wait.duration()).await;
        attempt += 1;
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

async fn attempt_once(
    world: &Rc<World>,
    host: &Rc<Host>,
    events: &[WebhookEvent],
    attempt: u32,
) -> (Ended, Option<Response>) {
    let now = world.recorder.now();
    let patience = host.profile.webhooks.as_ref().map_or(Span::secs(10), |w| w.timeout);
    let bite = world.schedule.borrow_mut().delivery(now, &host.alias, events, attempt);
    let signature = match bite.as_ref().map(|b| &b.act) {
        Some(Act::Signature(s)) => Some(*s),
        _ => None,
    };
    let url = webhook_url(&host.alias);
    let mut request = host.vendor.borrow_mut().delivery(now, events, attempt, &url, signature);
    if request.headers.get("host").is_none() {
        let host = PUBLIC.trim_start_matches("https://").to_owned();
        request.headers.0.insert(0, ("host".to_owned(), host));
    }
    let delivery = world.recorder.next_delivery();
    world.recorder.note(What::Delivery {
        delivery,
        vendor: host.alias.clone(),
        attempt,
        events: events.iter().map(|e| e.id.clone()).collect(),
        request: request.clone(),
        fault: bite.as_ref().map(|b| b.fault.clone()),
        must_be_refused: signature.is_some_and(|s| s.must_be_refused()),
    });
    if let Some(bite) = &bite {
        world.recorder.fault(&bite.fault);
    }
    if matches!(bite.as_ref().map(|b| &b.act), Some(Act::Unreachable)) {
        tokio::time::sleep(patience.duration()).await;
        return (Ended(delivery, Outcome::ConnectTimeout), None);
    }
    let life = world.subject.incarnation();
    let endpoint = world.subject.endpoints().and_then(|e| e.webhooks.get(&*host.alias).cloned());
    let answer = match &endpoint {
        Some(endpoint) => {
            request.target = client::target(endpoint).to_owned();
            client::call(endpoint, &request, patience.duration()).await
        }
        None => Err(Outcome::Refused),
    };
    match answer {
        Ok(_) if matches!(bite.as_ref().map(|b| &b.act), Some(Act::LostAck)) => {
            tokio::time::sleep(patience.duration()).await;
            (Ended(delivery, Outcome::TimedOut), None)
        }
        Ok(response) => (Ended(delivery, Outcome::Answered), Some(shown(world, response))),
        Err(_) if endpoint.is_some() && (world.subject.incarnation() != life || !world.subject.is_up()) => {
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
