//! Whether a fault rule bites.
//!
//! Knows: rules, what was counted so far, and the streams of chance drawn from the seed. Must not
//! know: sockets, clocks (its caller says what time it is), or how a fault is carried out.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::Rng;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::fault::{Act, Moment, Rule, Target, Window};
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

/// The points at which a rule may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    Call,
    Emission,
    Delivery,
    Ack,
}

/// The rules of a drill with their counters.
pub struct Schedule {
    rules: Vec<Counted>,
    attempts: BTreeMap<[u8; 32], u32>,
    counts_attempts: bool,
    heals_at: At,
}

struct Counted {
    rule: Rule,
    calls: u32,
    shares: Stream,
    draws: Stream,
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
        let rules: Vec<Counted> = (0u32..)
            .zip(rules)
            .map(|(n, rule)| Counted {
                rule: rule.clone(),
                calls: 0,
                shares: seed.stream(&format!("fault/{n}/share")),
                draws: seed.stream(&format!("fault/{n}/draw")),
            })
            .collect();
        let counts_attempts = rules.iter().any(|r| r.rule.attempts.is_some());
        Schedule { rules, attempts: BTreeMap::new(), counts_attempts, heals_at }
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
            rule.on.matches_call(call.vendor, &call.request.method, call.request.path()).then(|| {
                ("request", shown.get_or_insert_with(|| Arc::new(request_json(call.request))).clone())
            })
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
            events.iter().find(met).map(|e| ("event", Arc::new(event_json(e))))
        })
    }

    /// Asks every rule in order, so that counters and draws of one do not depend on another; the
    /// first that bites wins.
    fn first(
        &mut self,
        now: At,
        point: Point,
        attempt: u32,
        mut met: impl FnMut(&Rule) -> Option<(&'static str, Arc<Value>)>,
    ) -> Option<Bite> {
        if now >= self.heals_at {
            return None;
        }
        let mut winner = None;
        for (n, counted) in (0u32..).zip(&mut self.rules) {
            let rule = &counted.rule;
            if !at_point(&rule.act, point) || !rule.window.is_none_or(|w| w.contains(now)) {
                continue;
            }
            let Some((name, shown)) = met(rule) else { continue };
            if !rule.when.as_ref().is_none_or(|w| w.holds(&[(name, &shown)]).unwrap_or(false))
                || !rule.attempts.is_none_or(|a| a.contains(attempt))
            {
                continue;
            }
            counted.calls += 1;
            if !rule.calls.is_none_or(|c| c.contains(counted.calls)) {
                continue;
            }
            let drawn = rule.share.is_none_or(|s| unit(&mut counted.shares) < s.0);
            if drawn && winner.is_none() {
                winner = Some(Bite {
                    act: rule.act.clone(),
                    fault: fault_ref(n, &rule.act),
                    until: end_of(rule.window, self.heals_at),
                });
            }
        }
        winner
    }

    /// A span drawn evenly from zero to `within`, from the stream of one rule.
    pub fn draw(&mut self, rule: u32, within: Span) -> Span {
        match self.rules.get_mut(rule as usize) {
            Some(counted) => Span((unit(&mut counted.draws) * within.0 as f64) as u64),
            None => Span::ZERO,
        }
    }

    /// Rules that last for a window: connections refused or swallowed, and what befalls the
    /// subject by itself. In the order of the file.
    pub fn outages(&self) -> Vec<Outage> {
        (0u32..)
            .zip(&self.rules)
            .filter(|(_, c)| {
                matches!(c.rule.act, Act::Refuse | Act::BlackHole) || matches!(c.rule.on, Target::Subject)
            })
            .map(|(n, c)| Outage {
                bite: Bite {
                    act: c.rule.act.clone(),
                    fault: fault_ref(n, &c.rule.act),
                    until: end_of(c.rule.window, self.heals_at),
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
    let points: &[Point] = match &rule.on {
        Target::Calls { .. } => &[Point::Call],
        Target::Webhook { .. } => &[Point::Emission, Point::Delivery, Point::Ack],
        Target::Subject => &[],
    };
    let windowed = matches!(rule.act, Act::Refuse | Act::BlackHole);
    let fits = match &rule.on {
        Target::Subject => {
            matches!(rule.act, Act::Kill(_) | Act::Stop(_) | Act::Pause(_) | Act::ClockSkew(_))
        }
        Target::Calls { .. } if windowed => true,
        _ => points.iter().any(|p| at_point(&rule.act, *p)),
    };
    if !fits {
        return Some(format!("`{}` cannot be done on `{}`", name_of(&rule.act), rule.on));
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
            name_of(&rule.act),
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

fn at_point(act: &Act, point: Point) -> bool {
    match act {
        Act::Refuse | Act::BlackHole => false,
        Act::Reset(_)
        | Act::Close(_)
        | Act::Hang(_)
        | Act::Truncate(_)
        | Act::Stall(_)
        | Act::SlowBody(_)
        | Act::Garbage
        | Act::StaleKeepAlive
        | Act::Error(_)
        | Act::Reply(_)
        | Act::Latency(_)
        | Act::Headers(_) => point == Point::Call,
        Act::Duplicate(_)
        | Act::Reorder(_)
        | Act::Delay(_)
        | Act::Drop
        | Act::Burst
        | Act::UnknownType
        | Act::Poison => point == Point::Emission,
        Act::Signature(_) | Act::Unreachable | Act::LostAck => point == Point::Delivery,
        Act::Kill(_) | Act::Stop(_) | Act::Pause(_) | Act::ClockSkew(_) => {
            matches!(point, Point::Call | Point::Ack)
        }
    }
}

/// The name of an act as drills spell it.
pub fn name_of(act: &Act) -> &'static str {
    match act {
        Act::Refuse => "refuse",
        Act::BlackHole => "black_hole",
        Act::Reset(_) => "reset",
        Act::Close(_) => "close",
        Act::Hang(_) => "hang",
        Act::Truncate(_) => "truncate",
        Act::Stall(_) => "stall",
        Act::SlowBody(_) => "slow_body",
        Act::Garbage => "garbage",
        Act::StaleKeepAlive => "stale_keep_alive",
        Act::Error(_) => "error",
        Act::Reply(_) => "reply",
        Act::Latency(_) => "latency",
        Act::Headers(_) => "headers",
        Act::Duplicate(_) => "duplicate",
        Act::Reorder(_) => "reorder",
        Act::Delay(_) => "delay",
        Act::Drop => "drop",
        Act::Burst => "burst",
        Act::Signature(_) => "signature",
        Act::UnknownType => "unknown_type",
        Act::Poison => "poison",
        Act::Unreachable => "unreachable",
        Act::LostAck => "lost_ack",
        Act::Kill(_) => "kill",
        Act::Stop(_) => "stop",
        Act::Pause(_) => "pause",
        Act::ClockSkew(_) => "clock_skew",
    }
}

fn fault_ref(rule: u32, act: &Act) -> FaultRef {
    let moment = match act {
        Act::Reset(m) | Act::Close(m) | Act::Hang(m) => Some(*m),
        Act::Error(e) => e.moment,
        Act::Kill(o) | Act::Stop(o) => Some(o.moment.unwrap_or(Moment::AfterApplied)),
        _ => None,
    };
    FaultRef { rule, act: name_of(act).into(), moment }
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
        "headers": pairs(&mut request.headers.0.iter().cloned()),
        "query": pairs(&mut request.query().map(|(n, v)| (n.into_owned(), v.into_owned()))),
        "body": body,
    })
}

fn event_json(event: &WebhookEvent) -> Value {
    serde_json::to_value(event).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests;
