//! The workload: what happens at the vendors and to the subject, and when.
//!
//! Knows: when a step is due, whether it must wait, and whose turn it is. Must not know: what an
//! action does.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::{Text, World, call, plain};
use crate::expr::Expr;
use crate::scenario::{Action, Step};
use crate::time::{At, Span};
use crate::trace::{Cause, SubjectEvent, What};

/// How long a trigger waits for its answer: a job may well run as long as it likes, but whether
/// it was there to be triggered is known by then.
const TRIGGER_PATIENCE: Duration = Duration::from_secs(30);

/// A step with what it did so far.
struct Progress {
    number: u32,
    step: Step,
    /// Waits for its condition.
    gated: bool,
    due: Option<At>,
    done: u32,
    turned: BTreeSet<Text>,
}

/// When the last step that is known beforehand happens; `count` tells how many records a
/// collection holds at the start.
pub(crate) fn last_step(steps: &[Step], count: impl Fn(&str, &str) -> usize) -> At {
    let last = |step: &Step| {
        let times = match (&step.action, step.times, step.every) {
            (_, Some(times), _) => u64::from(times),
            (Action::Vendor { vendor, noun, .. }, None, Some(_)) => {
                (count(vendor, noun) as u64).div_ceil(u64::from(step.each.unwrap_or(1).max(1)))
            }
            _ => 1,
        };
        At(step.at.0) + step.every.unwrap_or(Span::ZERO).times(times.saturating_sub(1))
    };
    steps.iter().map(last).max().unwrap_or(At::START)
}

/// Carries out the steps; gives those that never came to be done, with the reason.
///
/// `undone` holds at every moment what would have to be said if the drill ended there.
pub(crate) async fn run(world: Rc<World>, undone: Rc<std::cell::RefCell<Vec<String>>>) {
    let mut steps: Vec<Progress> = (0u32..)
        .zip(&world.scenario.workload)
        .map(|(number, step)| Progress {
            number,
            step: step.clone(),
            gated: step.when.is_some(),
            due: Some(At(step.at.0)),
            done: 0,
            turned: BTreeSet::new(),
        })
        .collect();
    let mut changes = world.ledgers.hear();
    loop {
        let now = world.recorder.now();
        open_gates(&world, &mut steps, now);
        *undone.borrow_mut() = steps.iter().filter_map(Progress::complaint).collect();
        let next = steps.iter().filter(|s| !s.gated).filter_map(|s| Some((s.due?, s.number))).min();
        if let Some((due, number)) = next
            && due <= now
        {
            if let Some(step) = steps.get_mut(number as usize) {
                carry_out(&world, step, due);
            }
            continue;
        }
        let sooner = steps.iter().filter(|s| s.gated).filter_map(|s| s.due).filter(|d| *d > now).min();
        let wake = next.map(|(due, _)| due).into_iter().chain(sooner).min();
        let gated = steps.iter().any(|s| s.gated);
        match wake {
            None if !gated => return,
            None => {
                if changes.changed().await.is_err() {
                    return;
                }
            }
            Some(at) => {
                tokio::select! {
                    biased;
                    changed = changes.changed(), if gated => if changed.is_err() { return },
                    () = world.recorder.until(at) => {}
                }
            }
        }
    }
}

impl Progress {
    fn complaint(&self) -> Option<String> {
        self.due?;
        let (number, action) = (self.number + 1, &self.step.action);
        Some(match &self.step.when {
            Some(when) if self.gated => {
                format!("step {number}, `{action}`, still waits for `{}`", when.source())
            }
            _ => format!("step {number}, `{action}`, was done {} times and not to its end", self.done),
        })
    }
}

fn open_gates(world: &World, steps: &mut [Progress], now: At) {
    if !steps.iter().any(|s| s.gated && s.due.is_some_and(|d| d <= now)) {
        return;
    }
    let shown = world.ledgers.variables();
    let variables: Vec<(&str, &serde_json::Value)> = shown.iter().map(|(n, v)| (&**n, v)).collect();
    for step in steps.iter_mut().filter(|s| s.gated && s.due.is_some_and(|d| d <= now)) {
        // What cannot be evaluated yet (no such field so far) does not hold yet.
        let holds = step.step.when.as_ref().is_none_or(|w| w.holds(&variables).unwrap_or(false));
        if holds {
            step.gated = false;
            step.due = Some(now);
        }
    }
}

/// Does a step once, and says when it is due again.
fn carry_out(world: &Rc<World>, progress: &mut Progress, due: At) {
    let step = progress.step.clone();
    let (records, error, more) = match &step.action {
        Action::Job(name) => {
            tokio::task::spawn_local(trigger(world.clone(), name.clone()));
            (Vec::new(), None, step.times.is_some())
        }
        Action::Vendor { vendor, noun, verb } => act(world, progress, &step, vendor, noun, verb),
    };
    progress.done += 1;
    let again = match (step.times, step.every) {
        (Some(times), _) => progress.done < times,
        (None, Some(_)) => more,
        (None, None) => false,
    };
    progress.due = again.then(|| due + step.every.unwrap_or(Span::ZERO));
    // A round in which nobody is left to have a turn is no step.
    if !(records.is_empty() && error.is_none() && step.times.is_none() && progress.done > 1 && !more)
        || matches!(step.action, Action::Job(_))
    {
        let action = step.action.to_string();
        world.recorder.note(What::Step { step: progress.number, action, records, error });
    }
}

/// Carries out a vendor's action; gives the records, what went wrong, and whether records are left.
fn act(
    world: &Rc<World>,
    progress: &mut Progress,
    step: &Step,
    vendor: &str,
    noun: &str,
    verb: &str,
) -> (Vec<Text>, Option<String>, bool) {
    let Some(host) = world.hosts.get(vendor) else {
        return (Vec::new(), Some(format!("there is no vendor called `{vendor}`")), false);
    };
    let collection = world.ledgers.has(vendor, noun);
    let mut ids = Vec::new();
    let mut more = !collection;
    if collection {
        let name = host.profile.collections.get(noun).map_or(noun, String::as_str);
        let all = world.ledgers.records(vendor, noun);
        let fits = |record: &serde_json::Value| fits(step.only.as_ref(), name, record);
        let mut fitting: Vec<Text> = all.into_iter().filter(|(_, r)| fits(r)).map(|(id, _)| id).collect();
        if step.times.is_some() && !fitting.is_empty() && fitting.iter().all(|i| progress.turned.contains(i))
        {
            progress.turned.clear();
        }
        fitting.retain(|id| !progress.turned.contains(id));
        let each = step.each.unwrap_or(1) as usize;
        more = fitting.len() > each;
        fitting.truncate(each);
        progress.turned.extend(fitting.iter().cloned());
        ids = fitting;
        if ids.is_empty() {
            let nobody = progress.done == 0 || step.times.is_some();
            return (ids, nobody.then(|| format!("no record of {vendor}.{noun} fits")), false);
        }
    }
    let done = host.vendor.borrow_mut().act(world.recorder.now(), noun, verb, &ids, &step.set);
    match done {
        Ok(reaction) => {
            world.absorb(host, reaction, Cause::Scenario);
            (ids, None, more)
        }
        Err(why) => (ids, Some(why), more),
    }
}

fn fits(only: Option<&Expr>, name: &str, record: &serde_json::Value) -> bool {
    only.is_none_or(|e| e.holds(&[(name, record)]).unwrap_or(false))
}

async fn trigger(world: Rc<World>, job: String) {
    let url = world.subject.endpoints().and_then(|e| e.jobs.get(&job).cloned());
    let accepted = match url {
        None => false,
        Some(url) => match call(&url, &plain("POST", &url), TRIGGER_PATIENCE).await {
            Ok(response) => response.is_success(),
            Err(outcome) => outcome == crate::trace::Outcome::TimedOut,
        },
    };
    world.recorder.note(What::Subject(SubjectEvent::Triggered { job, accepted }));
}
