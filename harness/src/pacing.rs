//! A drill that is shortened to be run in real time.
//!
//! Knows: which spans of a scenario are the drill's and its vendors', and which are promises about
//! the subject's own waits. Must not know: any clock.
//!
//! The data is scaled before the drill begins, so that wire, trace and checks speak of one time,
//! the real one. What a subject waits by itself (backoff, timeouts, leases) cannot be scaled from
//! outside: unless it scales it too ([`Waits::Scaled`]), promises about such waits, and faults
//! that are to outlast them, stay as they are.

use crate::fault::{Act, Rule, Window};
use crate::scenario::{Expect, Program, Scenario, Waits};
use crate::time::{At, Span};

/// The shortest that an acknowledgement may be promised within: it is work, and no wait that
/// anybody could scale.
const WORK: Span = Span::secs(1);

/// The least that a Retry-After date lies ahead: dates are in whole seconds.
const DATE_AHEAD: Span = Span::secs(2);

/// How a drill is shortened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// How much faster it goes than its scenario says; 1 for as it says.
    pub scale: u32,
    /// Whether the subject scales its own waits.
    pub waits: Waits,
    /// What the subject may need to catch up by waits of its own.
    pub recovers_within: Span,
}

impl Pacing {
    /// How drills with `program` are shortened by `scale`.
    pub fn new(program: &Program, scale: u32) -> Pacing {
        Pacing { scale: scale.max(1), waits: program.waits, recovers_within: program.recovers_within }
    }

    /// A span of the drill or its vendors.
    pub fn short(&self, span: Span) -> Span {
        Span(span.0.div_ceil(u64::from(self.scale)))
    }

    fn earlier(&self, at: At) -> At {
        At(self.short(Span(at.0)).0)
    }

    /// A span that the subject waits by itself, or that is to outlast such a wait.
    pub fn own(&self, span: Span) -> Span {
        match self.waits {
            Waits::Own => span,
            Waits::Scaled => self.short(span),
        }
    }

    /// A span of work: shortened, but not below what work takes.
    pub fn work(&self, span: Span) -> Span {
        self.own(span).max(span.min(WORK))
    }

    /// What follows the disturbance: shortened, but not below what the subject needs by itself.
    pub fn aftermath(&self, span: Span) -> Span {
        match self.waits {
            Waits::Own => self.short(span).max(span.min(self.recovers_within)),
            Waits::Scaled => self.short(span),
        }
    }

    /// The scenario as it is run, given when it heals and ends as it is written.
    pub fn scenario(&self, written: &Scenario, heals: At, ends: At) -> Scenario {
        let mut s = written.clone();
        for step in &mut s.workload {
            step.at = self.short(step.at);
            step.every = step.every.map(|e| self.short(e));
        }
        for rule in &mut s.faults {
            self.rule(rule);
        }
        let heals_at = self.earlier(heals);
        s.heal_at = Some(Span(heals_at.0));
        s.ends_at = Some(Span((heals_at + self.aftermath(ends.since(heals))).0));
        self.expect(&mut s.expect);
        s
    }

    fn rule(&self, rule: &mut Rule) {
        if let Some(Window { from, to }) = &mut rule.window {
            *from = self.earlier(*from);
            *to = to.map(|t| self.earlier(t));
        }
        match &mut rule.act {
            Act::Latency(span) | Act::SlowAccept(span) => *span = self.own(*span),
            Act::SlowBody(drip) => drip.every = self.own(drip.every),
            Act::Pause(rest) => rest.lasts = self.own(rest.lasts),
            Act::Delay(span) => *span = self.short(*span),
            Act::Reorder(held) => held.within = self.short(held.within),
            Act::Duplicate(copies) => copies.within = self.short(copies.within),
            Act::Kill(outage) | Act::Stop(outage) => {
                outage.restart_after = self.short(outage.restart_after);
                outage.deadline = outage.deadline.map(|d| self.work(d));
            }
            Act::Error(reply) => {
                reply.retry_after = reply.retry_after.take().map(|text| self.retry_after(text));
            }
            _ => {}
        }
    }

    /// A Retry-After as a rule writes it: seconds, a span, or a form of date with a span. Any other
    /// text is not a time, and stays.
    fn retry_after(&self, text: String) -> String {
        if let Ok(seconds) = text.parse::<u64>() {
            return seconds.div_ceil(u64::from(self.scale)).to_string();
        }
        if let Some((form, span)) = text.split_once('+')
            && let Ok(span) = span.parse::<Span>()
        {
            return format!("{form}+{}", self.short(span).max(span.min(DATE_AHEAD)));
        }
        match text.parse::<Span>() {
            Ok(span) => self.short(span).to_string(),
            Err(_) => text,
        }
    }

    fn expect(&self, e: &mut Expect) {
        if let Some(c) = &mut e.converges {
            c.within = self.aftermath(c.within);
        }
        if let Some(b) = &mut e.backoff {
            for span in [&mut b.base, &mut b.cap, &mut b.rest] {
                *span = self.own(*span);
            }
            b.deadline = b.deadline.map(|d| self.own(d));
            b.slack = b.slack.map(|s| self.own(s));
        }
        if let Some(r) = &mut e.retry_after {
            r.obeyed_up_to = self.own(r.obeyed_up_to);
            r.never_idle_longer_than = r.never_idle_longer_than.map(|s| self.own(s));
        }
        if let Some(q) = &mut e.quota {
            q.never_idle_longer_than = q.never_idle_longer_than.map(|s| self.own(s));
        }
        if let Some(b) = &mut e.breaker {
            b.open_for = self.own(b.open_for);
            b.recovers_within = self.own(b.recovers_within);
        }
        if let Some(a) = &mut e.auth {
            a.rotation_within = a.rotation_within.map(|s| self.own(s));
        }
        if let Some(w) = &mut e.webhook {
            w.ack_within = self.work(w.ack_within);
            w.acts_within = w.acts_within.map(|span| self.work(span));
        }
        if let Some(l) = &mut e.load
            && self.waits == Waits::Scaled
        {
            l.catch_up = l.catch_up.map(|rate| rate * f64::from(self.scale));
        }
        if let Some(t) = &mut e.timeout {
            t.overall = self.own(t.overall);
        }
        for alert in &mut e.alerts {
            alert.from = self.short(alert.from);
            alert.within = self.own(alert.within);
        }
    }
}

/// The scenario with its moments counted from `by` on.
pub fn delayed(scenario: &Scenario, by: At) -> Scenario {
    let by = by.since(At::START);
    let later = |span: Span| Span(span.0.saturating_add(by.0));
    let mut s = scenario.clone();
    for step in &mut s.workload {
        step.at = later(step.at);
    }
    for window in s.faults.iter_mut().filter_map(|r| r.window.as_mut()) {
        window.from = window.from + by;
        window.to = window.to.map(|t| t + by);
    }
    s.heal_at = s.heal_at.map(later);
    s.ends_at = s.ends_at.map(later);
    for alert in &mut s.expect.alerts {
        alert.from = later(alert.from);
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRILL: &str = "
drill: d
why: w
family: retry
vendors: { crm: hubspot }
workload: [{ at: 10s, every: 1m, do: crm.deals.close }]
faults:
  - { on: crm, window: 1m..2m, do: { latency: 20s } }
  - { on: crm, do: { error: { kind: rate_limited, retry_after: \"90\" } } }
  - { on: crm, do: { error: { kind: rate_limited, retry_after: date+2m } } }
  - { on: crm, do: { error: { kind: rate_limited, retry_after: soon } } }
  - { on: subject, window: 1m..2m, do: { kill: { restart_after: 30s } } }
expect:
  converges: { within: 30m }
  timeout: { overall: 60s }
  webhook: { ack_within: 5s }
  alerts: [{ about: x, from: 5m, within: 10m }]
";

    fn run(waits: Waits, scale: u32) -> Scenario {
        let pacing = Pacing { scale, waits, recovers_within: Span::secs(45) };
        let written = crate::scenario::parse("d.yaml", DRILL).unwrap();
        pacing.scenario(&written, At(180_000_000), At(1_980_000_000))
    }

    fn retry_after(s: &Scenario, n: usize) -> &str {
        match &s.faults[n].act {
            Act::Error(e) => e.retry_after.as_deref().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subject_that_scales_its_waits_is_held_to_scaled_promises() {
        let s = run(Waits::Scaled, 60);
        assert_eq!((s.workload[0].at, s.workload[0].every), (Span(166_667), Some(Span::secs(1))));
        assert_eq!(s.faults[0].window.unwrap().to_string(), "1s..2s");
        assert_eq!(s.faults[0].act, Act::Latency(Span(333_334)));
        assert_eq!([retry_after(&s, 1), retry_after(&s, 2), retry_after(&s, 3)], ["2", "date+2s", "soon"]);
        assert_eq!(s.expect.timeout.unwrap().overall, Span::secs(1));
        assert_eq!(s.expect.webhook.unwrap().ack_within, Span::secs(1));
        assert_eq!((s.heal_at, s.ends_at), (Some(Span::secs(3)), Some(Span::secs(33))));
    }

    #[test]
    fn promises_about_waits_of_its_own_stay_as_they_are() {
        let s = run(Waits::Own, 60);
        assert_eq!(s.faults[0].window.unwrap().to_string(), "1s..2s");
        assert_eq!(s.faults[0].act, Act::Latency(Span::secs(20)));
        assert_eq!(s.expect.timeout.unwrap().overall, Span::secs(60));
        assert_eq!(s.expect.alerts[0].from, Span::secs(5));
        assert_eq!(s.expect.alerts[0].within, Span::mins(10));
        assert_eq!(s.expect.converges.unwrap().within, Span::secs(45));
        assert_eq!(s.ends_at, Some(Span::secs(48)));
    }

    #[test]
    fn a_scale_of_one_changes_nothing_but_names_the_end() {
        let s = run(Waits::Own, 1);
        let mut written = crate::scenario::parse("d.yaml", DRILL).unwrap();
        (written.heal_at, written.ends_at) = (Some(Span::mins(3)), Some(Span::mins(33)));
        assert_eq!(s, written);
    }

    #[test]
    fn a_scenario_begins_when_the_subject_is_ready() {
        let s = delayed(&run(Waits::Own, 60), At(1_000_000));
        assert_eq!(s.workload[0].at, Span(1_166_667));
        assert_eq!(s.faults[0].window.unwrap().to_string(), "2s..3s");
        assert_eq!((s.heal_at, s.expect.alerts[0].from), (Some(Span::secs(4)), Span::secs(6)));
    }
}
