//! The books of a drill: independent counts of the same thing, which must agree.
//!
//! Knows: what the vendors, their connections and the subject counted. Must not know: verdicts.

use std::collections::{BTreeMap, BTreeSet};

use crate::subject::AttemptOutcome;
use crate::time::At;
use crate::trace::{Event, Outcome, SubjectEvent, What};
use crate::world::World;

/// Compares independent counts of the same thing; where they differ, nothing can be trusted.
pub(super) fn close_the_books(world: &World) {
    let counts = world.attempts.counts();
    let unnoted = unnoted_calls(world);
    for (alias, host) in &world.hosts {
        let (tapped, traced, unseen) = (host.tapped(), host.requests.get(), host.unseen.get());
        if tapped < traced || tapped > traced + unseen {
            world.recorder.harness_fault(format!(
                "{alias}: {tapped} requests came over its connections, {traced} are in the trace"
            ));
        }
        let of = |o| counts.get(&(alias.clone(), o)).copied().unwrap_or(0);
        let noted = of(AttemptOutcome::Answered) + of(AttemptOutcome::NoAnswer);
        let open = unnoted.get(alias.as_str()).copied().unwrap_or(0);
        if counts.keys().any(|(a, _)| a == alias) && (noted + open < traced || noted > traced + unseen) {
            world.recorder.harness_fault(format!(
                "{alias}: the subject counts {noted} attempts, {traced} are in the trace, of which {open} may \
                 be uncounted; {unseen} more may never have been read"
            ));
        }
    }
    if !counts.is_empty() {
        let counts =
            counts.into_iter().map(|((alias, o), n)| (format!("{alias} {}", spelled(o)), n)).collect();
        world.recorder.note(What::Attempts { counts });
    }
}

/// Calls that the subject may have had no chance to count: it went away before they ended, or at
/// the very moment at which they did.
fn unnoted_calls(world: &World) -> BTreeMap<String, u64> {
    world.recorder.with(|events| {
        let gone: BTreeSet<At> = events.iter().filter(|e| ends_a_life(&e.what)).map(|e| e.at).collect();
        let mut vendors = BTreeMap::new();
        let mut unnoted: BTreeMap<String, u64> = BTreeMap::new();
        for Event { at, what } in events {
            match what {
                What::Request { call, vendor, .. } => {
                    vendors.insert(*call, vendor.clone());
                }
                What::Answer { call, outcome, .. } => {
                    // What was not processed, many an HTTP library sends again by itself.
                    let cut = matches!(
                        outcome,
                        Outcome::SubjectGone | Outcome::Open | Outcome::Abandoned | Outcome::Unprocessed
                    );
                    if let Some(vendor) = vendors.get(call).filter(|_| cut || gone.contains(at)) {
                        *unnoted.entry(vendor.to_string()).or_default() += 1;
                    }
                }
                _ => {}
            }
        }
        unnoted
    })
}

fn ends_a_life(what: &What) -> bool {
    use SubjectEvent::{Exited, Killed, Overstayed, Stopped};
    matches!(what, What::Subject(Killed | Stopped | Overstayed | Exited { .. }))
}

fn spelled(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Answered => "answered",
        AttemptOutcome::Refused => "refused",
        AttemptOutcome::ConnectTimeout => "connect_timeout",
        AttemptOutcome::NoAnswer => "no_answer",
    }
}
