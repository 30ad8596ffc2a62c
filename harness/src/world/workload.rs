//! The workload: what happens at the vendors and to the subject, and when.
//!
//! Knows: when a step is due, whether it must wait, and whose turn it is. Must not know: what an
//! action does.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::{Text, World, call, plain, spawn};
use crate::expr::Expr;
use crate::scenario::{Action, Step, or_nearest};
use crate::subject::{Asker, Reply};
use crate::time::{At, Span};
use crate::trace::{Cause, ChangeKind, Outcome, SubjectEvent, What};
use crate::vendor::Reaction;

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
    /// Goes on for as long as the drill lasts: it has a pause, no count, and no records to run out of.
    endless: bool,
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
        .zip(&world.scenario.borrow().workload)
        .map(|(number, step)| Progress {
            number,
            step: step.clone(),
            gated: step.when.is_some(),
            due: Some(At(step.at.0)),
            done: 0,
            endless: step.every.is_some() && step.times.is_none() && !takes_records(&world, &step.action),
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
                // What the vendor says against it is in the trace.
                let _ = carry_out(&world, step, due);
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
        if self.endless && !self.gated && self.done > 0 {
            return None;
        }
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

fn takes_records(world: &World, action: &Action) -> bool {
    let Action::Vendor { vendor, noun, verb } = action else { return false };
    let makes = |host: &Rc<super::Host>| host.vendor.borrow().makes_records(noun, verb);
    world.ledgers.has(vendor, noun) && !world.hosts.get(vendor).is_some_and(makes)
}

/// Whose turn it is.
enum Turn {
    /// An account's action or a job concerns no record.
    Nobodys,
    /// These records', and whether others still wait.
    Of(Vec<Text>, bool),
}

/// Does a step once, outside of any order; `turned` are the records that had their turn. Gives the
/// records that it touched.
///
/// # Errors
/// What the vendor says against it.
#[cfg(feature = "cli")]
pub(crate) fn carry_out_once(
    world: &Rc<World>,
    step: Step,
    turned: &mut BTreeSet<Text>,
) -> Result<Vec<Text>, String> {
    let now = world.recorder.now();
    let mut progress = Progress {
        number: 0,
        step: Step { times: Some(1), ..step },
        gated: false,
        due: None,
        done: 0,
        endless: false,
        turned: std::mem::take(turned),
    };
    let done = carry_out(world, &mut progress, now);
    *turned = progress.turned;
    done
}

/// Does a step once, and says when it is due again.
fn carry_out(world: &Rc<World>, progress: &mut Progress, due: At) -> Result<Vec<Text>, String> {
    let step = progress.step.clone();
    let turn = match &step.action {
        action @ Action::Vendor { vendor, noun, .. } if takes_records(world, action) => {
            next_turn(world, progress, &step, vendor, noun)
        }
        _ => Turn::Nobodys,
    };
    let (records, more) = match turn {
        Turn::Nobodys => (Vec::new(), true),
        Turn::Of(records, _) if records.is_empty() && step.times.is_none() && progress.done > 0 => {
            // Everybody had a turn: this round is none.
            progress.due = None;
            return Ok(Vec::new());
        }
        Turn::Of(records, more) => (records, more),
    };
    progress.done += 1;
    let again = match (step.times, step.every) {
        (Some(times), _) => progress.done < times,
        (None, Some(_)) => more,
        (None, None) => false,
    };
    progress.due = again.then(|| due + step.every.unwrap_or(Span::ZERO));
    let (done, error) = match &step.action {
        Action::Job(name) => {
            spawn(world, trigger(world.clone(), progress.number, name.clone()));
            (None, None)
        }
        Action::Vendor { vendor, noun, verb } => match world.hosts.get(vendor) {
            None => (None, Some(format!("there is no vendor called `{vendor}`"))),
            Some(host) => {
                let now = world.recorder.now();
                // What is made from nothing is made as often as records would have had their turn.
                let makes = host.vendor.borrow().makes_records(noun, verb);
                let times = if makes { step.each.unwrap_or(1).max(1) } else { 1 };
                let mut done = None::<Reaction>;
                let mut error = None;
                for _ in 0..times {
                    // Where nobody fits, the vendor says whether that matters: a record can be made
                    // from nothing.
                    match (host.vendor.borrow_mut().act(now, noun, verb, &records, &step.set), &mut done) {
                        (Ok(reaction), None) => done = Some(reaction),
                        (Ok(reaction), Some(done)) => done.follow(reaction),
                        (Err(why), _) => {
                            error = Some(why);
                            break;
                        }
                    }
                }
                (done.map(|reaction| (host, reaction)), error)
            }
        },
    };
    let action = step.action.to_string();
    let records = made(done.as_ref().map(|(_, r)| r), &step.action).unwrap_or(records);
    let told = match &error {
        None => Ok(records.clone()),
        Some(why) => Err(why.clone()),
    };
    world.recorder.note(What::Step { step: progress.number, action, records, error });
    if let Some((host, reaction)) = done {
        world.absorb(host, reaction, Cause::Scenario);
    }
    told
}

/// The records that an action made, if it made any: it concerns them, whoever had the turn.
fn made(reaction: Option<&Reaction>, action: &Action) -> Option<Vec<Text>> {
    let Action::Vendor { noun, .. } = action else { return None };
    let made: Vec<Text> = reaction?
        .changes
        .iter()
        .filter(|c| c.change == ChangeKind::Created && *c.collection == **noun)
        .map(|c| c.id.clone())
        .collect();
    (!made.is_empty()).then_some(made)
}

/// The next records that a step takes, each in its turn, in the order of the collection.
fn next_turn(world: &World, progress: &mut Progress, step: &Step, vendor: &str, noun: &str) -> Turn {
    let name = world.hosts.get(vendor).and_then(|h| h.profile.collections.get(noun));
    let name = name.map_or(noun, String::as_str);
    let all = world.ledgers.records(vendor, noun);
    let mut fitting: Vec<Text> =
        all.into_iter().filter(|(_, r)| fits(step.only.as_ref(), name, r)).map(|(id, _)| id).collect();
    if step.times.is_some() && fitting.iter().all(|id| progress.turned.contains(id)) {
        progress.turned.clear();
    }
    fitting.retain(|id| !progress.turned.contains(id));
    let each = step.each.unwrap_or(1) as usize;
    let more = fitting.len() > each;
    fitting.truncate(each);
    progress.turned.extend(fitting.iter().cloned());
    Turn::Of(fitting, more)
}

fn fits(only: Option<&Expr>, name: &str, record: &serde_json::Value) -> bool {
    only.is_none_or(|e| e.holds(&[(name, record)]).unwrap_or(false))
}

/// What became of a trigger.
enum Put {
    Taken,
    /// The subject was asked, and did not do it for reasons of its own.
    Declined(String),
    /// It could not be asked.
    Unasked(String),
}

async fn trigger(world: Rc<World>, step: u32, job: String) {
    let put = put(&world, &job).await;
    let (accepted, unasked, failed) = match put {
        Put::Taken => (true, None, None),
        Put::Unasked(why) => (false, Some(why), None),
        Put::Declined(why) => (false, None, Some(why)),
    };
    let canonical = |why: Option<String>| why.map(|text| world.canon.canonical(&text).into_owned());
    let (unasked, failed) = (canonical(unasked), canonical(failed));
    world.recorder.note(What::Subject(SubjectEvent::Triggered { job, step, accepted, unasked, failed }));
}

async fn put(world: &World, job: &str) -> Put {
    let away = || Put::Unasked("the subject was down, or not ready yet".to_owned());
    let Some(endpoints) = world.subject.endpoints() else { return away() };
    let life = world.subject.incarnation();
    if let Some(url) = endpoints.jobs.get(job) {
        return match call(url, &plain("POST", url), TRIGGER_PATIENCE).await {
            Ok(response) if response.is_success() => Put::Taken,
            Ok(response) => refused(response.status),
            Err(Outcome::TimedOut) => Put::Taken,
            Err(Outcome::Refused) => Put::Unasked(format!("POST {url}: the connection was refused")),
            Err(Outcome::Garbage) => Put::Unasked(format!("POST {url}: what answers speaks no HTTP/1")),
            Err(_) => Put::Declined(format!("POST {url}: the connection broke off without an answer")),
        };
    }
    let Some(asker) = endpoints.asker.as_ref().filter(|asker| asker.knows(job)) else {
        let known = endpoints.jobs.keys().map(String::as_str);
        let known = known.chain(endpoints.asker.iter().flat_map(Asker::names));
        return Put::Unasked(format!("the subject has no job `{job}`{}", or_nearest(job, known)));
    };
    match tokio::time::timeout(TRIGGER_PATIENCE, asker.put(job)).await {
        Err(_) | Ok(Some(Reply::Done)) => Put::Taken,
        Ok(Some(Reply::Failed(why))) => Put::Declined(why),
        Ok(Some(Reply::Impossible(why))) => Put::Unasked(why),
        // Whoever ends while it is asked had been there.
        Ok(None) if life != world.subject.incarnation() || !world.subject.is_up() => {
            Put::Declined("it ended meanwhile".to_owned())
        }
        Ok(None) => away(),
    }
}

/// An answer that says no: of a 4xx the trigger itself is wrong, unless it only comes at a bad time.
fn refused(status: u16) -> Put {
    match status {
        408 | 409 | 423 | 425 | 429 => Put::Declined(format!("the subject answers {status}")),
        404 | 410 => Put::Unasked(format!("the subject answers {status}: there is no such job")),
        ..=499 | 501 => Put::Unasked(format!("the subject answers the trigger with {status}")),
        _ => Put::Declined(format!("the subject answers {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_is_busy_or_fails_was_asked_for_and_one_that_is_not_there_was_not() {
        let asked = |status| matches!(refused(status), Put::Declined(_));
        assert!([409, 429, 500, 503].into_iter().all(asked));
        assert!(![302, 400, 401, 404, 405, 501].into_iter().any(asked));
    }
}
