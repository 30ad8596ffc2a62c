//! Liveness: the subject stays up, gives up on calls that hang, and stops when asked.
//!
//! Knows: lives of the subject and how long calls were held. Must not know: why.

use super::call::Call;
use super::evidence::Evidence;
use super::lives::Mishap;
use super::say::{Findings, Say};
use crate::finding::Judgement;
use crate::time::Span;
use crate::trace::Outcome;

/// What closing a connection may take after the subject gave up.
const SLACK: Span = Span::millis(500);

/// How long a call may be held where nothing is promised: more is a hang.
const HANG: Span = Span::mins(10);
/// What a start may take before it counts as one that never ends.
const STARTING: Span = Span::secs(30);

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    lives(e, &mut found);
    endless(e, &mut found);
    let judged = held(e, &mut found);
    Some(found.judgement("liveness", e.lives.starts.len() as u64 + judged))
}

fn lives(e: &Evidence<'_>, found: &mut Findings) {
    if e.lives.starts.is_empty() {
        found.unknown(Say {
            rule: "liveness/never_started",
            group: "",
            message: "the subject was never started".into(),
            expected: "at least 1 start".into(),
            hint: "does its command exist, and is it on the path?",
            evidence: Vec::new(),
        });
        return;
    }
    for (at, event, mishap) in &e.lives.mishaps {
        let (rule, message, expected, hint) = match mishap {
            Mishap::Exited(error) => (
                "liveness/exited",
                match error {
                    Some(error) => format!("the subject ended by itself at {at}: {error}"),
                    None => format!("the subject ended by itself at {at}, without an error"),
                },
                "it runs until it is stopped",
                "no failure of a vendor may take the process down",
            ),
            Mishap::Overstayed => (
                "liveness/overstayed",
                format!("the subject was asked to stop and was still running at {at}, when it was killed"),
                "it winds up within the deadline of the stop",
                "what waits without a limit: a call without a timeout, a sleep that ignores the stop?",
            ),
            Mishap::Spinning => (
                "liveness/spinning",
                format!(
                    "at {at} the subject was busy without ever waiting: seconds of processor time went by, \
                     and neither a call nor a moment of the drill"
                ),
                "whoever has nothing to do sleeps, or waits for I/O",
                "look for a loop whose wait comes out as zero: a moment that has passed, a lock that is polled; \
                 the drill ended here, and what else it says may follow from that",
            ),
            Mishap::Straggler => (
                "liveness/straggler",
                format!("a call came at {at} although the subject was gone"),
                "nothing of it runs on after its end",
                "keep spawned tasks in a JoinSet inside the future that `run` returns",
            ),
        };
        found.fail(Say { rule, group: "", message, expected: expected.into(), hint, evidence: vec![*event] });
    }
    for (at, event, tasks) in &e.lives.outlived {
        found.unknown(Say {
            rule: "liveness/outlived",
            group: "",
            message: format!(
                "{tasks} tasks of the subject's earlier life were still there when it started again at {at}: \
                 what they do from here on looks like the new life's doing"
            ),
            expected: "whatever runs ends with the future that `run` returned, as a process ends".into(),
            hint: "`tokio::spawn` alone lets a task go on: keep its handle in a JoinSet inside that future, \
                   or spawn it with `spawn_local`; no crash can be judged that ends only half of what runs",
            evidence: vec![*event],
        });
    }
    for (event, from, to) in e.lives.never_ready.iter().filter(|(_, from, to)| to.since(*from) > STARTING) {
        found.fail(Say {
            rule: "liveness/never_ready",
            group: "",
            message: format!("the subject was started at {from} and was not ready by {to}"),
            expected: "it takes webhooks and triggers soon after its start".into(),
            hint: "a start must not wait for a vendor that may be down",
            evidence: vec![*event],
        });
    }
}

/// A run of a job that began while the faults were on, or earlier, comes to its end after them.
fn endless(e: &Evidence<'_>, found: &mut Findings) {
    let Some((began, event)) = e.lives.run.filter(|(began, _)| *began <= e.heals_at) else { return };
    let had = e.ends_at.since(e.heals_at);
    let within = e.scenario.expect.converges.map(|c| c.within);
    let promised = e.trace.head.real.and_then(|real| real.promised).or(within);
    let mut say = Say {
        rule: "liveness/endless_run",
        group: "",
        message: format!(
            "the run of the job that began at {began} was still going at {}, {had} after healing at {}",
            e.ends_at, e.heals_at
        ),
        expected: promised
            .map_or_else(|| "each run comes to its end".into(), |p| format!("it ends within {p} of healing")),
        hint: "what waits without a limit: a call without a timeout, a retry without an end, a lock?",
        evidence: vec![event],
    };
    match promised {
        Some(promised) if had >= promised => found.fail(say),
        _ => {
            say.hint = "what the run would have done was not seen: let the drill last longer after healing";
            found.unknown(say);
        }
    }
}

/// No call is held for longer than promised.
fn held(e: &Evidence<'_>, found: &mut Findings) -> u64 {
    let limit = e.scenario.expect.timeout.map_or(HANG, |t| t.overall);
    let patience = Span(limit.0.saturating_add(e.slack(SLACK).0));
    let mut slow = 0u64;
    for call in &e.calls {
        let took = call.ended.since(call.arrived);
        slow += u64::from(took > Span(limit.0 / 2));
        if took <= patience {
            continue;
        }
        let (rule, how) = match call.outcome {
            Outcome::Open => ("liveness/held_open", "was still waiting when the drill ended"),
            Outcome::Abandoned => ("liveness/given_up_late", "gave up on it only after that"),
            Outcome::SubjectGone => ("liveness/held_open", "was still waiting when it was stopped"),
            _ => ("liveness/waited_too_long", "waited for it all the same"),
        };
        found.fail(Say {
            rule,
            group: call.vendor,
            message: message(call, took, how),
            expected: format!("the subject gives up {limit} after the request"),
            hint: "the timeout must cover the whole exchange, the last byte of the body included",
            evidence: call.cite(),
        });
    }
    slow
}

fn message(call: &Call<'_>, took: Span, how: &str) -> String {
    format!("{} at {} took {took} ({}), and the subject {how}", call.name(), call.arrived, call.got())
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::{Outcome, SubjectEvent};

    const TIMEOUT: &str = "timeout: { overall: 30s }";

    fn hung(takes: u64) -> Exchange {
        call("crm", "GET /deals/d1", 1_000).outcome(Outcome::Abandoned).takes(takes)
    }

    #[test]
    fn a_call_given_up_in_time_is_sound() {
        drill().call(hung(30_000)).passes(&scenario(TIMEOUT), "liveness");
    }

    #[test]
    fn a_call_held_too_long_is_found() {
        drill().call(hung(60_000)).fails(&scenario(TIMEOUT), "liveness/given_up_late");
        drill().call(hung(1).outcome(Outcome::Open)).fails(&scenario(TIMEOUT), "liveness/held_open");
        let dripping = call("crm", "GET /deals/d1", 1_000).takes(90_000);
        drill().call(dripping).fails(&scenario(TIMEOUT), "liveness/waited_too_long");
    }

    #[test]
    fn a_hang_is_found_even_if_nothing_is_promised() {
        drill().call(hung(1).outcome(Outcome::Open)).fails(&scenario(""), "liveness/held_open");
        drill().call(hung(300_000)).passes(&scenario(""), "liveness");
    }

    #[test]
    fn a_subject_that_ends_overstays_or_is_never_ready_is_found() {
        let exited = SubjectEvent::Exited { error: Some("boom".into()) };
        drill().subject(5_000, exited).fails(&scenario(""), "liveness/exited");
        drill().subject(5_000, SubjectEvent::Overstayed).fails(&scenario(""), "liveness/overstayed");
        drill()
            .subject(5_000, SubjectEvent::Outlived { tasks: 2 })
            .unknown(&scenario(""), "liveness/outlived");
        let straggler = SubjectEvent::Straggler { call: crate::trace::CallId(0) };
        drill().subject(5_000, straggler).fails(&scenario(""), "liveness/straggler");
        quiet()
            .subject(0, SubjectEvent::Started { incarnation: 1 })
            .fails(&scenario(""), "liveness/never_ready");
    }

    #[test]
    fn a_subject_killed_before_it_was_ready_is_not_to_blame() {
        quiet()
            .subject(0, SubjectEvent::Started { incarnation: 1 })
            .subject(5, SubjectEvent::Killed)
            .subject(10, SubjectEvent::Started { incarnation: 2 })
            .subject(20, SubjectEvent::Ready)
            .passes(&scenario(""), "liveness");
    }

    #[test]
    fn a_run_that_never_ends_is_found() {
        let promised = scenario("converges: { within: 1h }");
        let hung = || drill().subject(1_000, SubjectEvent::Runs);
        hung().fails(&promised, "liveness/endless_run");
        // A drill of two hours that heals after one has not seen how it ends.
        hung().unknown(&scenario("converges: { within: 61m }"), "liveness/endless_run");
        hung().unknown(&scenario(""), "liveness/endless_run");
        hung().subject(9_000, SubjectEvent::Ran { code: Some(1), last: None }).passes(&promised, "liveness");
        hung()
            .subject(8_000, SubjectEvent::Killed)
            .subject(9_000, SubjectEvent::Started { incarnation: 2 })
            .subject(9_000, SubjectEvent::Ready)
            .passes(&promised, "liveness");
        drill().subject(7_000_000, SubjectEvent::Runs).passes(&promised, "liveness");
    }

    #[test]
    fn a_subject_that_never_started_is_unknown() {
        quiet().unknown(&scenario(""), "liveness/never_started");
    }
}
