//! The lives of the subject: when it ran, and when it took webhooks and triggers.
//!
//! Knows: starts, readiness, ends, clock skew. Must not know: what the subject does.

use crate::time::At;
use crate::trace::{EventId, SubjectEvent};

/// A stretch of time, its end exclusive.
pub(super) type Stretch = (At, At);

/// How a life ended other than by the drill's own hand.
#[derive(Clone, Debug)]
pub(super) enum Mishap {
    /// By itself, with this error.
    Exited(Option<String>),
    /// It was asked to stop and had to be killed.
    Overstayed,
    /// Something of it outlived it.
    Straggler,
    /// It was busy without ever waiting.
    Spinning,
}

/// All lives of the subject.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives {
    /// When it ran.
    pub up: Vec<Stretch>,
    /// When it was ready.
    pub ready: Vec<Stretch>,
    /// Each start.
    pub starts: Vec<(At, EventId)>,
    /// Each kill.
    pub kills: Vec<At>,
    /// Lives that ended without becoming ready: their start, and when it was and they ended.
    pub never_ready: Vec<(EventId, At, At)>,
    pub mishaps: Vec<(At, EventId, Mishap)>,
    /// Starts at which tasks of earlier lives were still there, and how many.
    pub outlived: Vec<(At, EventId, u64)>,
    /// Moments at which its clock was moved, with the whole skew.
    pub skews: Vec<(At, i64)>,
    /// For a job: the run that went on until it was stopped for good.
    pub run: Option<(At, EventId)>,
    open_up: Option<At>,
    open_ready: Option<At>,
    awaiting: Option<(EventId, At)>,
}

impl Lives {
    /// Takes in one event.
    pub fn note(&mut self, at: At, id: EventId, event: &SubjectEvent) {
        match event {
            SubjectEvent::Started { .. } => {
                self.close(at);
                self.run = None;
                self.open_up = Some(at);
                self.awaiting = Some((id, at));
                self.starts.push((at, id));
            }
            SubjectEvent::Ready => {
                self.awaiting = None;
                self.open_ready.get_or_insert(at);
            }
            SubjectEvent::Stopping => {
                self.give_up_awaiting(at);
                self.close_ready(at);
            }
            SubjectEvent::Killed => {
                self.kills.push(at);
                self.run = None;
                self.close(at);
            }
            SubjectEvent::Stopped => self.close(at),
            SubjectEvent::Straggler { .. } => {}
            SubjectEvent::Overstayed => {
                self.kills.push(at);
                self.mishaps.push((at, id, Mishap::Overstayed));
                self.close(at);
            }
            SubjectEvent::Exited { error } => {
                self.mishaps.push((at, id, Mishap::Exited(error.clone())));
                self.close(at);
            }
            SubjectEvent::Outlived { tasks } => self.outlived.push((at, id, *tasks)),
            SubjectEvent::Spinning => self.mishaps.push((at, id, Mishap::Spinning)),
            SubjectEvent::ClockSkewed { micros } => self.skews.push((at, *micros)),
            SubjectEvent::TakesNoWebhooks { .. }
            | SubjectEvent::Triggered { .. }
            | SubjectEvent::Paused
            | SubjectEvent::Resumed
            | SubjectEvent::NotStarted
            | SubjectEvent::Starved { .. }
            | SubjectEvent::Flooded { .. } => {}
            SubjectEvent::Runs => self.run = Some((at, id)),
            SubjectEvent::Ran { .. } => self.run = None,
        }
    }

    /// Ends what is still open.
    pub fn end(&mut self, at: At) {
        self.close(At(at.0.saturating_add(1)));
    }

    fn close(&mut self, at: At) {
        self.give_up_awaiting(at);
        self.close_ready(at);
        if let Some(from) = self.open_up.take() {
            self.up.push((from, at));
        }
    }

    fn give_up_awaiting(&mut self, at: At) {
        self.never_ready.extend(self.awaiting.take().map(|(id, from)| (id, from, at)));
    }

    fn close_ready(&mut self, at: At) {
        if let Some(from) = self.open_ready.take() {
            self.ready.push((from, at));
        }
    }

    /// Whether it ran from `from` to `to` without a break; it may have ended in that last moment.
    pub fn up_throughout(&self, from: At, to: At) -> bool {
        stretch(&self.up, from).is_some_and(|(_, end)| to <= end)
    }

    /// Whether it was ready from `from` to `to` without a break.
    pub fn ready_throughout(&self, from: At, to: At) -> bool {
        stretch(&self.ready, from).is_some_and(|(_, end)| to < end)
    }

    /// Whether it was started in `(from, to]`.
    pub fn started_between(&self, from: At, to: At) -> bool {
        let at = self.starts.partition_point(|(t, _)| *t <= from);
        self.starts.get(at).is_some_and(|(t, _)| *t <= to)
    }

    /// Whether its clock was wrong at `at`.
    pub fn skewed_at(&self, at: At) -> bool {
        let n = self.skews.partition_point(|(t, _)| *t <= at);
        n > 0 && self.skews[n - 1].1 != 0
    }

    /// Whether it was killed in `[from, to]`.
    pub fn killed_between(&self, from: At, to: At) -> bool {
        let at = self.kills.partition_point(|t| *t < from);
        self.kills.get(at).is_some_and(|t| *t <= to)
    }
}

/// The last stretch that begins by `from`.
fn stretch(stretches: &[Stretch], from: At) -> Option<Stretch> {
    let at = stretches.partition_point(|(start, _)| *start <= from);
    at.checked_sub(1).map(|n| stretches[n])
}
