//! What the control API does when it is asked.
//!
//! Knows: vendors, rules, ledgers and the trace of a world. Must not know: sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::rc::Rc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::api::{
    Advance, Armed, Done, Emit, Emitted, Entry, Faults, Ledgers, Overview, Page, Records, Served, StepDone,
    Target, Time,
};
use super::refusal::Refusal;
use super::routes::{Deed, Route, segment};
use super::{Control, describe, opened};
use crate::fault::Act;
use crate::scenario::{self, Document};
use crate::schedule::Schedule;
use crate::time::At;
use crate::trace::{Event, What};
use crate::world::{self, Host};

/// What the body is called in messages.
const BODY: &str = "body";

/// The most events in one part of the trace.
const LONGEST_PAGE: usize = 10_000;

/// How many there are if nobody says.
const USUAL_PAGE: usize = 1_000;

/// The longest leap: vendors' dates stay within what they can be written as.
const LONGEST_LEAP: crate::time::Span = crate::time::Span::mins(366 * 24 * 60);

/// A request.
pub(super) struct Asked {
    pub route: &'static Route,
    pub path: String,
    pub query: String,
    pub body: Bytes,
}

/// An answer; its body is JSON, or nothing.
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// `value` as JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Answer {
        match serde_json::to_string(value) {
            Ok(body) => Answer { status, body },
            Err(e) => Answer {
                status: 500,
                body: serde_json::json!({ "errors": [{ "message": e.to_string() }] }).to_string(),
            },
        }
    }

    fn nothing() -> Answer {
        Answer { status: 204, body: String::new() }
    }
}

impl Asked {
    fn segment(&self, name: &str) -> String {
        let text = segment(self.route, &self.path, name);
        percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
    }

    /// The body as a `T`.
    fn data<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let bytes = self.full()?;
        Ok(Document::read(BODY, bytes)?.data("the body")?)
    }

    fn full(&self) -> Result<&[u8], Refusal> {
        if self.body.trim_ascii().is_empty() {
            let help = self.route.takes.map(|(_, example)| format!("send something like {example}"));
            return Err(Refusal::new(400, "the body is empty", help));
        }
        Ok(&self.body)
    }
}

impl Control {
    /// Does what was asked.
    ///
    /// # Errors
    /// Why it does not.
    pub(super) async fn answer(self: &Rc<Self>, asked: &Asked) -> Result<Answer, Refusal> {
        let status = asked.route.gives.0;
        Ok(match asked.route.deed {
            Deed::Describe => Answer::json(status, &describe::document()),
            Deed::Overview => Answer::json(status, &self.overview()),
            Deed::Aim => Answer::json(status, &self.aim(asked)?),
            Deed::Unaim => {
                let host = self.host(&asked.segment("alias"))?;
                self.world.targets.borrow_mut().remove(&*host.alias);
                self.touch();
                Answer::nothing()
            }
            Deed::Time => Answer::json(status, &self.time()),
            Deed::Advance => {
                let Advance { by } = asked.data()?;
                if by > LONGEST_LEAP {
                    let help = "leap at most 366d at a time".to_owned();
                    return Err(Refusal::new(400, format!("{by} is too far"), Some(help)));
                }
                self.advance(by).await;
                Answer::json(status, &self.time())
            }
            Deed::Faults => Answer::json(status, &self.faults(|_| true)),
            Deed::Arm => {
                let rules = scenario::rules(BODY, asked.full()?, &self.setup.vendors, &self.setup.facts)?;
                let numbers: BTreeSet<u32> = rules.into_iter().map(|rule| self.arm(rule)).collect();
                Answer::json(status, &self.faults(|n| numbers.contains(&n)))
            }
            Deed::DisarmAll => {
                let numbers: Vec<u32> = self.armed.borrow().keys().copied().collect();
                for number in numbers {
                    self.disarm(number);
                }
                Answer::nothing()
            }
            Deed::Disarm => {
                let id = asked.segment("id");
                let gone = id.parse().is_ok_and(|n| self.disarm(n));
                if !gone {
                    let known: Vec<String> = self.armed.borrow().keys().map(u32::to_string).collect();
                    let known: Vec<&str> = known.iter().map(String::as_str).collect();
                    return Err(Refusal::unknown("rule", &id, &known));
                }
                Answer::nothing()
            }
            Deed::Act => Answer::json(status, &self.act(asked)?),
            Deed::Emit => Answer::json(status, &self.emit(&asked.data()?)?),
            Deed::Ledgers => Answer::json(status, &self.ledgers()),
            Deed::Records => Answer::json(status, &self.records(asked)?),
            Deed::Trace => Answer::json(status, &self.trace(&Filter::read(&asked.query)?)?),
            Deed::Reset => {
                self.reset()?;
                Answer::json(status, &self.overview())
            }
        })
    }

    /// All that is served, and where.
    pub(super) fn overview(&self) -> Overview {
        let shown = |path: &std::path::PathBuf| path.display().to_string();
        Overview {
            control: self.url.clone(),
            vendors: self
                .world
                .hosts
                .iter()
                .map(|(alias, host)| (alias.clone(), self.served(host)))
                .collect(),
            time: self.time(),
            ca: self.setup.tls.as_ref().map(|folder| shown(&folder.join(super::CA))),
            state: self.setup.state.as_ref().map(shown),
            journal: self.setup.journal.as_ref().map(shown),
            journal_trouble: self.world.recorder.trouble(),
        }
    }

    fn served(&self, host: &Host) -> Served {
        let facts = self.setup.facts.get(&*host.alias).cloned().unwrap_or_default();
        Served {
            vendor: host.profile.name.clone(),
            url: host.base_url.clone(),
            credentials: host.vendor.borrow().credentials(),
            webhooks: self.world.targets.borrow().get(&*host.alias).cloned(),
            collections: self.counts(host),
            actions: facts.actions,
            events: facts.events,
        }
    }

    fn counts(&self, host: &Host) -> BTreeMap<String, u64> {
        let count = |c: &String| self.world.ledgers.count(&host.alias, c) as u64;
        host.profile.collections.keys().map(|c| (c.clone(), count(c))).collect()
    }

    fn host(&self, alias: &str) -> Result<&Rc<Host>, Refusal> {
        let hosts = &self.world.hosts;
        hosts.get(alias).ok_or_else(|| {
            Refusal::unknown("vendor", alias, &hosts.keys().map(String::as_str).collect::<Vec<_>>())
        })
    }

    fn aim(&self, asked: &Asked) -> Result<Target, Refusal> {
        let host = self.host(&asked.segment("alias"))?;
        let target: Target = asked.data()?;
        check_target(&target.url)
            .map_err(|help| Refusal::new(400, "webhooks cannot go there", Some(help)))?;
        self.world.targets.borrow_mut().insert(host.alias.to_string(), target.url.clone());
        self.touch();
        Ok(target)
    }

    fn time(&self) -> Time {
        let now = self.world.recorder.now();
        Time { now: now.on_wall(self.epoch).to_string(), at: now.0, advanced: self.advanced.get() }
    }

    fn faults(&self, wanted: impl Fn(u32) -> bool) -> Faults {
        let armed = self.armed.borrow();
        let schedule = self.world.schedule.borrow();
        let shown = |counted: &crate::schedule::Counted| {
            let (at, rule) = armed.get(&counted.number)?;
            let unseen = matches!(rule.act, Act::Refuse | Act::BlackHole);
            Some(Armed {
                id: counted.number,
                rule: rule.clone(),
                armed_at: at.0,
                met: counted.calls,
                bites: (!unseen).then_some(counted.bites),
            })
        };
        Faults { faults: schedule.rules().iter().filter(|c| wanted(c.number)).filter_map(shown).collect() }
    }

    fn disarm(&self, number: u32) -> bool {
        let gone = self.world.schedule.borrow_mut().disarm(number);
        self.armed.borrow_mut().remove(&number);
        self.rearmed();
        gone
    }

    fn act(&self, asked: &Asked) -> Result<Done, Refusal> {
        let steps = scenario::steps(BODY, asked.full()?, &self.setup.vendors, &self.setup.facts)?;
        let mut done = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            let action = step.action.to_string();
            let by = format!("{action} {}", step.only.as_ref().map_or("", |only| only.source()));
            let mut turned = self.turned.borrow_mut().remove(&by).unwrap_or_default();
            let records = world::carry_out_once(&self.world, step, &mut turned);
            self.turned.borrow_mut().insert(by, turned);
            let records = records.map_err(|why| {
                let help = format!("{n} of the steps before it were done");
                Refusal::new(400, format!("`{action}`: {why}"), (n > 0).then_some(help))
            })?;
            done.push(StepDone { action, records: records.iter().map(|r| r.to_string()).collect() });
        }
        Ok(Done { steps: done })
    }

    fn emit(&self, wanted: &Emit) -> Result<Emitted, Refusal> {
        let host = self.host(&wanted.vendor)?;
        let now = self.world.recorder.now();
        let has = |c: &&String| self.world.ledgers.holds(&host.alias, c, &wanted.record);
        let Some(collection) = host.profile.collections.keys().find(has) else {
            let why = format!("`{}` holds no record `{}`", host.alias, wanted.record);
            return Err(Refusal::new(404, why, Some("GET /ledgers tells what there is".to_owned())));
        };
        let event = host.vendor.borrow_mut().event(
            now,
            &wanted.event,
            collection,
            &wanted.record,
            wanted.property.as_deref(),
        );
        let event = event.map_err(|why| Refusal::new(400, why, None))?;
        let emitted = Emitted {
            id: event.id.to_string(),
            event: event.kind.to_string(),
            payload: event.payload.as_ref().clone(),
        };
        world::emit(&self.world, host, vec![event]);
        self.touch();
        Ok(emitted)
    }

    fn ledgers(&self) -> Ledgers {
        let of = |(alias, host): (&String, &Rc<Host>)| (alias.clone(), self.counts(host));
        Ledgers { ledgers: self.world.hosts.iter().map(of).collect() }
    }

    fn records(&self, asked: &Asked) -> Result<Records, Refusal> {
        let host = self.host(&asked.segment("alias"))?;
        let name = asked.segment("collection");
        let records = host.vendor.borrow().records(&name).ok_or_else(|| {
            let known: Vec<&str> = host.profile.collections.keys().map(String::as_str).collect();
            Refusal::unknown("collection", &name, &known)
        })?;
        Ok(Records { records: records.iter().map(|r| r.as_ref().clone()).collect() })
    }

    fn trace(&self, filter: &Filter) -> Result<Page, Refusal> {
        if let Some(alias) = &filter.vendor {
            // Not there is the vendor, and not what was asked for.
            self.host(alias).map_err(|refusal| Refusal { status: 400, ..refusal })?;
        }
        let mut page = Page { events: Vec::new(), next: filter.since, more: false };
        let mut owners = Owners::default();
        if filter.vendor.is_some() && filter.since > 0 {
            // Answers from here on may belong to requests from before.
            self.read(0, |number, event| {
                owners.learn(event);
                go_on(number + 1 < filter.since)
            })?;
        }
        self.read(filter.since, |number, event| {
            if page.events.len() == filter.limit {
                page.more = true;
                return ControlFlow::Break(());
            }
            owners.learn(event);
            page.next = number + 1;
            if filter.wants(event, &owners)
                && let Ok(Value::Object(rest)) = serde_json::to_value(event)
            {
                page.events.push(entry(number, rest));
            }
            ControlFlow::Continue(())
        })?;
        Ok(page)
    }

    fn read(&self, from: u64, each: impl FnMut(u64, &Event) -> ControlFlow<()>) -> Result<(), Refusal> {
        let read = self.world.recorder.read(from, each);
        read.map_err(|e| Refusal::new(500, format!("the trace cannot be read: {e}"), None))
    }

    fn reset(&self) -> Result<(), Refusal> {
        let (vendors, held) =
            opened(&self.setup, self.epoch).map_err(|e| Refusal::new(500, e.to_string(), None))?;
        let world = &self.world;
        for (alias, vendor) in vendors {
            if let Some(host) = world.hosts.get(&alias) {
                *host.vendor.borrow_mut() = vendor;
            }
        }
        world.ledgers.clear();
        world.hooks.clear();
        *world.schedule.borrow_mut() = Schedule::new(&[], At(u64::MAX), self.setup.seed);
        self.armed.borrow_mut().clear();
        self.turned.borrow_mut().clear();
        let cut = world.recorder.forget();
        cut.map_err(|e| Refusal::new(500, format!("the trace cannot be emptied: {e}"), None))?;
        self.hold(held, None);
        self.rearmed();
        Ok(())
    }
}

/// Whether webhooks can go to `url`.
///
/// # Errors
/// Why not.
pub fn check_target(url: &str) -> Result<(), String> {
    let uri: http::Uri = url.parse().map_err(|e| format!("`{url}` is no URL: {e}"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(authority)) if authority.port_u16().is_some() => Ok(()),
        (Some("http"), Some(_)) => {
            Err(format!("`{url}` names no port; write it as `http://127.0.0.1:3000/…`"))
        }
        (Some("https"), _) => Err("deliveries are plain HTTP; write `http://`".to_owned()),
        _ => Err(format!("`{url}` is not an http:// URL")),
    }
}

fn go_on(on: bool) -> ControlFlow<()> {
    if on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

fn entry(n: u64, mut rest: serde_json::Map<String, Value>) -> Entry {
    let at = rest.remove("at").and_then(|at| at.as_u64()).unwrap_or_default();
    let kind = rest.remove("kind").and_then(|k| Some(k.as_str()?.to_owned())).unwrap_or_default();
    Entry { n, at, kind, rest }
}

/// Which vendor calls and deliveries belong to.
#[derive(Default)]
struct Owners {
    calls: BTreeMap<u32, crate::trace::Alias>,
    deliveries: BTreeMap<u32, crate::trace::Alias>,
}

impl Owners {
    fn learn(&mut self, event: &Event) {
        match &event.what {
            What::Request { call, vendor, .. } => drop(self.calls.insert(call.0, vendor.clone())),
            What::Delivery { delivery, vendor, .. } => {
                drop(self.deliveries.insert(delivery.0, vendor.clone()));
            }
            _ => {}
        }
    }

    fn of<'a>(&'a self, event: &'a Event) -> Option<&'a str> {
        match &event.what {
            What::Request { vendor, .. }
            | What::Change { vendor, .. }
            | What::Connection { vendor, .. }
            | What::Handshake { vendor, .. }
            | What::Emission { vendor, .. }
            | What::Delivery { vendor, .. }
            | What::GivenUp { vendor, .. }
            | What::Disabled { vendor }
            | What::Credential { vendor, .. } => Some(vendor),
            What::Answer { call, .. } | What::Unfit { call, .. } => self.calls.get(&call.0).map(|a| &**a),
            What::Delivered { delivery, .. } => self.deliveries.get(&delivery.0).map(|a| &**a),
            _ => None,
        }
    }
}

/// The kinds of events that a trace may hold: those that its reader says it knows when it meets another.
fn kinds() -> Vec<String> {
    let none = serde_json::from_value::<What>(serde_json::json!({ "kind": "" }));
    let said = none.err().map(|e| e.to_string()).unwrap_or_default();
    said.split('`').skip(1).step_by(2).filter(|kind| !kind.is_empty()).map(str::to_owned).collect()
}

/// Which events of the trace are wanted.
struct Filter {
    since: u64,
    limit: usize,
    vendor: Option<String>,
    kind: Option<String>,
    call: Option<u32>,
}

impl Filter {
    fn read(query: &str) -> Result<Filter, Refusal> {
        const KNOWN: [&str; 5] = ["since", "limit", "vendor", "kind", "call"];
        let mut filter = Filter { since: 0, limit: USUAL_PAGE, vendor: None, kind: None, call: None };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let bad =
                |wanted: &str| Refusal::new(400, format!("`{name}` is `{value}`, and takes {wanted}"), None);
            match &*name {
                "since" => filter.since = value.parse().map_err(|_| bad("the number of an event, from 0"))?,
                "limit" => {
                    let limit = value.parse().ok().filter(|n| (1..=LONGEST_PAGE).contains(n));
                    filter.limit = limit.ok_or_else(|| bad("a number from 1 to 10000"))?;
                }
                "vendor" => filter.vendor = Some(value.into_owned()),
                "kind" => {
                    let known = kinds();
                    if !known.iter().any(|kind| *kind == value) {
                        let known: Vec<&str> = known.iter().map(String::as_str).collect();
                        return Err(Refusal {
                            status: 400,
                            ..Refusal::unknown("kind of event", &value, &known)
                        });
                    }
                    filter.kind = Some(value.into_owned());
                }
                "call" => filter.call = Some(value.parse().map_err(|_| bad("the number of a call"))?),
                _ => return Err(Refusal { status: 400, ..Refusal::unknown("filter", &name, &KNOWN) }),
            }
        }
        Ok(filter)
    }

    fn wants(&self, event: &Event, owners: &Owners) -> bool {
        let call = match &event.what {
            What::Request { call, .. } | What::Answer { call, .. } | What::Unfit { call, .. } => Some(call.0),
            _ => None,
        };
        let kind = || match serde_json::to_value(event) {
            Ok(value) => value.get("kind").and_then(|k| Some(k.as_str()?.to_owned())),
            Err(_) => None,
        };
        (self.call.is_none() || self.call == call)
            && self.vendor.as_deref().is_none_or(|v| owners.of(event) == Some(v))
            && self.kind.as_deref().is_none_or(|k| kind().as_deref() == Some(k))
    }
}
