//! Whether a fault rule bites.
//!
//! Knows: rules, what was counted so far, and the streams of chance drawn from the seed. Must not
//! know: sockets, clocks (its caller says what time it is), or how a fault is carried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::expr::Expr;
use crate::fault::{Act, Kind, Moment, Point, Rule, Target, Window};
use crate::seed::{Seed, Stream};
use crate::time::{At, Span};
use crate::trace::{FaultRef, WebhookEvent};
use crate::wire::Request;

/// How long after the last workload step a rule without a window may still bite, if the scenario
/// does not say when it heals: the calls that a step causes come after it, never with it.
pub const GRACE: Span = Span::mins(1);

/// A rule that bites.
#[derive(Clone, Debug, PartialEq)]
pub struct Bite {
    /// What it does.
    pub act: Act,
    /// How the trace cites it.
    pub fault: FaultRef,
    /// When the rule's window, bounded by healing, ends.
    pub until: At,
    /// A number of its own for each bite of the rule: drawn under the seed for the first, one more
    /// for each that follows.
    pub turn: u64,
}

/// A call of the subject, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The vendor's alias.
    pub vendor: &'a str,
    /// The idempotency header of the vendor, lower case, if it has one.
    pub key_header: Option<&'a str>,
    /// The request.
    pub request: &'a Request,
    /// Whether the connection carried a request before.
    pub reused: bool,
}

/// What the condition of a rule is asked about, by the name that it goes by there; nothing for a rule
/// without one.
type Shown = Option<(&'static str, Arc<Value>)>;

/// The rules of a drill with their counters.
pub struct Schedule {
    rules: Vec<Counted>,
    attempts: BTreeMap<[u8; 32], u32>,
    counts_attempts: bool,
    heals_at: At,
    seed: Seed,
    next: u32,
}

/// A rule with what it counted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// By which the trace cites it, from zero in the order in which rules came.
    pub number: u32,
    /// The rule; its window counts from the start.
    pub rule: Rule,
    /// The calls, events or deliveries that it is about and met so far.
    pub calls: u32,
    /// How often it bit.
    pub bites: u32,
    turn: u64,
    shares: Stream,
    draws: Stream,
}

impl Counted {
    fn new(number: u32, rule: Rule, seed: Seed) -> Counted {
        Counted {
            number,
            rule,
            calls: 0,
            bites: 0,
            turn: seed.stream(&format!("fault/{number}/turn")).next_u64(),
            shares: seed.stream(&format!("fault/{number}/share")),
            draws: seed.stream(&format!("fault/{number}/draw")),
        }
    }
}

/// A fault that lasts for a window of time instead of hitting single calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// The rule, with the end of its window.
    pub bite: Bite,
    /// What it is on.
    pub on: Target,
    /// When it begins.
    pub from: At,
}

impl Schedule {
    /// Rules with fresh counters, for a drill that heals at `heals_at`.
    pub fn new(rules: &[Rule], heals_at: At, seed: Seed) -> Schedule {
        let rules: Vec<Counted> =
            (0u32..).zip(rules).map(|(n, rule)| Counted::new(n, rule.clone(), seed)).collect();
        Schedule::again(rules, heals_at, seed, 0)
    }

    /// Rules that have counted already; the next new one gets a number not below `next`.
    pub fn again(rules: Vec<Counted>, heals_at: At, seed: Seed, next: u32) -> Schedule {
        let counts_attempts = rules.iter().any(|r| r.rule.attempts.is_some());
        let next = rules.iter().map(|r| r.number + 1).max().unwrap_or(0).max(next);
        Schedule { rules, attempts: BTreeMap::new(), counts_attempts, heals_at, seed, next }
    }

    /// Adds a rule after all others; gives its number.
    pub fn arm(&mut self, rule: Rule) -> u32 {
        let number = self.next;
        self.next += 1;
        self.counts_attempts |= rule.attempts.is_some();
        self.rules.push(Counted::new(number, rule, self.seed));
        number
    }

    /// Takes a rule away; false if there is none of this number.
    pub fn disarm(&mut self, number: u32) -> bool {
        let before = self.rules.len();
        self.rules.retain(|r| r.number != number);
        before != self.rules.len()
    }

    /// The rules that are armed, in the order in which they are tried.
    pub fn rules(&self) -> &[Counted] {
        &self.rules
    }

    /// The rule of this number.
    pub fn rule(&self, number: u32) -> Option<&Rule> {
        self.rules.iter().find(|c| c.number == number).map(|c| &c.rule)
    }

    /// The number that the next rule gets.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The fault that hits a call, if any. Counts the call.
    pub fn call(&mut self, now: At, call: Call<'_>) -> Option<Bite> {
        if self.rules.is_empty() || now >= self.heals_at {
            return None;
        }
        let attempt = if self.counts_attempts {
            let seen = self.attempts.entry(fingerprint(call)).or_default();
            *seen += 1;
            *seen
        } else {
            1
        };
        let mut shown = None;
        self.first(now, Point::Call, attempt, |rule| {
            if matches!(rule.act, Act::StaleKeepAlive) && !call.reused {
                return None;
            }
            let mut show = || shown.get_or_insert_with(|| Arc::new(request_json(call.request))).clone();
            rule.on
                .matches_call(call.vendor, &call.request.method, call.request.path())
                .then(|| rule.when.is_some().then(|| ("request", show())))
        })
    }

    /// Whether any rule hits connections as they are made, other than by keeping them away.
    pub fn greets_badly(&self) -> bool {
        self.rules.iter().any(|c| matches!(c.rule.act, Act::SlowAccept(_) | Act::Certificate(_)))
    }

    /// Whether any rule bites before the body of a request is read.
    pub fn looks_at_heads(&self) -> bool {
        self.rules.iter().any(|c| c.rule.act.points().contains(&Point::Head))
    }

    /// The fault that hits a request of which only the head has come, if any. Attempts are counted
    /// with whole calls, so a rule that names some does not bite here.
    pub fn head(&mut self, now: At, call: Call<'_>) -> Option<Bite> {
        self.first(now, Point::Head, 0, |rule| {
            let meant = rule.on.matches_call(call.vendor, &call.request.method, call.request.path());
            let show = || Arc::new(request_json(call.request));
            meant.then(|| rule.when.is_some().then(|| ("request", show())))
        })
    }

    /// The fault of this kind that hits a connection to `vendor` as it is made, if any.
    pub fn connect(&mut self, now: At, vendor: &str, of: impl Fn(&Act) -> bool) -> Option<Bite> {
        if now >= self.heals_at {
            return None;
        }
        let heals_at = self.heals_at;
        let met = |c: &&mut Counted| {
            of(&c.rule.act)
                && c.rule.act.points().contains(&Point::Connect)
                && c.rule.on.vendor() == Some(vendor)
                && c.rule.window.is_none_or(|w| w.contains(now))
        };
        let counted = self.rules.iter_mut().find(met)?;
        counted.calls += 1;
        counted.bites += 1;
        Some(Bite {
            act: counted.rule.act.clone(),
            fault: fault_ref(counted.number, &counted.rule.act),
            until: end_of(counted.rule.window, heals_at),
            turn: counted.turn,
        })
    }

    /// The fault that hits an event before it is delivered, if any.
    pub fn emission(&mut self, now: At, vendor: &str, event: &WebhookEvent) -> Option<Bite> {
        self.webhook(now, Point::Emission, vendor, std::slice::from_ref(event), 1)
    }

    /// The fault that hits a delivery attempt (from 1), if any.
    pub fn delivery(&mut self, now: At, vendor: &str, events: &[WebhookEvent], attempt: u32) -> Option<Bite> {
        self.webhook(now, Point::Delivery, vendor, events, attempt)
    }

    /// The fault that hits once the subject acknowledged a delivery, if any.
    pub fn ack(&mut self, now: At, vendor: &str, events: &[WebhookEvent], attempt: u32) -> Option<Bite> {
        self.webhook(now, Point::Ack, vendor, events, attempt)
    }

    fn webhook(
        &mut self,
        now: At,
        point: Point,
        vendor: &str,
        events: &[WebhookEvent],
        attempt: u32,
    ) -> Option<Bite> {
        self.first(now, point, attempt, |rule| {
            let Target::Webhook { vendor: wanted, event: kind } = &rule.on else { return None };
            if wanted != vendor {
                return None;
            }
            let met = |e: &&WebhookEvent| {
                kind.as_deref().is_none_or(|k| k == &*e.kind)
                    && rule
                        .when
                        .as_ref()
                        .is_none_or(|w| w.holds(&[("event", &event_json(e))]).unwrap_or(false))
            };
            let show = |e| Arc::new(event_json(e));
            events.iter().find(met).map(|e| rule.when.is_some().then(|| ("event", show(e))))
        })
    }

    /// Asks every rule in order, so that counters and draws of one do not depend on another; the
    /// first that bites wins.
    fn first(
        &mut self,
        now: At,
        point: Point,
        attempt: u32,
        mut met: impl FnMut(&Rule) -> Option<Shown>,
    ) -> Option<Bite> {
        if now >= self.heals_at {
            return None;
        }
        let mut winner = None;
        for counted in &mut self.rules {
            let rule = &counted.rule;
            if !rule.act.points().contains(&point) || !rule.window.is_none_or(|w| w.contains(now)) {
                continue;
            }
            let Some(shown) = met(rule) else { continue };
            let holds = |when: &Expr| {
                shown.as_ref().is_some_and(|(name, shown)| when.holds(&[(name, shown)]).unwrap_or(false))
            };
            if !rule.when.as_ref().is_none_or(holds) || !rule.attempts.is_none_or(|a| a.contains(attempt)) {
                continue;
            }
            counted.calls += 1;
            if !rule.calls.is_none_or(|c| c.contains(counted.calls)) {
                continue;
            }
            let drawn = rule.share.is_none_or(|s| unit(&mut counted.shares) < s.0);
            if drawn && winner.is_none() {
                counted.bites += 1;
                winner = Some(Bite {
                    act: counted.rule.act.clone(),
                    fault: fault_ref(counted.number, &counted.rule.act),
                    until: end_of(counted.rule.window, self.heals_at),
                    turn: counted.turn,
                });
                counted.turn = counted.turn.wrapping_add(1);
            }
        }
        winner
    }

    /// A span drawn evenly from zero to `within`, from the stream of one rule.
    pub fn draw(&mut self, rule: u32, within: Span) -> Span {
        match self.rules.iter_mut().find(|c| c.number == rule) {
            Some(counted) => Span((unit(&mut counted.draws) * within.0 as f64) as u64),
            None => Span::ZERO,
        }
    }

    /// Rules that last for a window: connections refused or swallowed, and what befalls the
    /// subject by itself. In the order of the file.
    pub fn outages(&self) -> Vec<Outage> {
        let lasts =
            |c: &&Counted| matches!(c.rule.act, Act::Refuse | Act::BlackHole) || c.rule.on == Target::Subject;
        self.rules
            .iter()
            .filter(lasts)
            .map(|c| Outage {
                bite: Bite {
                    act: c.rule.act.clone(),
                    fault: fault_ref(c.number, &c.rule.act),
                    until: end_of(c.rule.window, self.heals_at),
                    turn: c.turn,
                },
                on: c.rule.on.clone(),
                from: c.rule.window.map_or(At::START, |w| w.from),
            })
            .filter(|o| o.from < o.bite.until)
            .collect()
    }
}

/// What is wrong with a rule that could never bite whatever happens; `None` if nothing is.
pub fn objection(rule: &Rule) -> Option<String> {
    let windowed = rule.act.points().contains(&Point::Connect);
    let fits = rule.act.kinds().contains(&Kind::of(&rule.on));
    if !fits {
        return Some(format!("`{}` cannot be done on `{}`", rule.act.word(), rule.on));
    }
    let narrowed = rule.attempts.is_some()
        || rule.calls.is_some()
        || rule.share.is_some()
        || rule.when.is_some()
        || matches!(&rule.on, Target::Calls { method, path, .. } if method.is_some() || path.is_some());
    if (windowed || rule.on == Target::Subject) && narrowed {
        return Some(format!(
            "`{}` on `{}` lasts for a window of time; nothing is known yet of any one call, so it takes \
             only `window`",
            rule.act.word(),
            rule.on
        ));
    }
    None
}

/// When a drill heals that does not say so: at the end of its last finite window and workload
/// step; with a rule that has no end of its own, [`GRACE`] after that.
pub fn heals_at(rules: &[Rule], last_step: At) -> At {
    let end = rules.iter().filter_map(|r| r.window?.to).max().unwrap_or(At::START).max(last_step);
    let open_ended = rules.iter().any(|r| r.window.is_none_or(|w| w.to.is_none()));
    if open_ended {
        let from = rules.iter().filter_map(|r| r.window).map(|w| w.from).max().unwrap_or(At::START);
        end.max(from) + GRACE
    } else {
        end
    }
}

fn end_of(window: Option<Window>, heals_at: At) -> At {
    window.and_then(|w| w.to).map_or(heals_at, |to| to.min(heals_at))
}

fn fault_ref(rule: u32, act: &Act) -> FaultRef {
    let moment = match act {
        Act::Reset(m) | Act::Close(m) | Act::Hang(m) => Some(*m),
        Act::Error(e) => e.moment,
        Act::Kill(o) | Act::Stop(o) => Some(o.moment.unwrap_or(Moment::AfterApplied)),
        _ => None,
    };
    FaultRef { rule, act: act.word().into(), moment, drift: None }
}

/// What makes two calls attempts of one operation.
fn fingerprint(call: Call<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(call.vendor.as_bytes());
    part(call.request.method.as_bytes());
    part(call.request.target.as_bytes());
    match call.key_header.and_then(|name| call.request.headers.get(name)) {
        Some(key) => {
            part(b"key");
            part(key.as_bytes());
        }
        None => {
            part(b"body");
            part(&call.request.body);
        }
    }
    hash.finalize().into()
}

/// A number from 0 to 1, 1 excluded.
fn unit(stream: &mut Stream) -> f64 {
    (stream.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A request as conditions see it: `method`, `path`, `headers`, `query`, `body` (JSON or form
/// fields where it is such, else text).
pub fn request_json(request: &Request) -> Value {
    let pairs = |it: &mut dyn Iterator<Item = (String, String)>| -> Value {
        Value::Object(it.map(|(n, v)| (n, Value::String(v))).collect::<Map<_, _>>())
    };
    let form = request.headers.get("content-type").is_some_and(|t| t.starts_with("application/x-www-form"));
    let body = if form {
        pairs(&mut form_urlencoded::parse(&request.body).into_owned())
    } else {
        serde_json::from_slice(&request.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&request.body).into_owned()))
    };
    json!({
        "method": request.method,
        "path": request.path(),
        "headers": pairs(&mut request.headers.0.iter().map(|(n, v)| (n.to_string(), v.to_string()))),
        "query": pairs(&mut request.query().map(|(n, v)| (n.into_owned(), v.into_owned()))),
        "body": body,
    })
}

fn event_json(event: &WebhookEvent) -> Value {
    serde_json::to_value(event).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests;
