//! The drift sweep: one drill, run once for each field × mutation of all that its subject reads.
//!
//! Knows: how an undisturbed run teaches which payloads there are, and how each cell is put
//! together. Must not know: how it is shown.

mod grade;
mod learn;
mod smallest;
mod spread;

pub use grade::{Grade, Graded};
pub use learn::Lesson;

use std::collections::BTreeMap;

use grade::{Alarms, Loads};

use crate::check::{self, Standing};
use crate::drill::{DrillError, Drilled, Judge};
use crate::fault::{Act, Mutation, Rule, Target};
use crate::finding::{Judgement, Verdict};
use crate::scenario::Scenario;
use crate::time::{At, Span};
use crate::trace::Trace;
use crate::vendor::Profile;

/// Plays a scenario with the cast of the drill that is swept, within a bound of calls. Called from
/// many threads at once.
pub type Play<'a> = &'a (dyn Fn(&Scenario, u32, Judge<'_>) -> Result<Drilled, DrillError> + Sync);

/// The most calls of any run, as a multiple of those of the undisturbed one, and besides.
const MOST_CALLS: (u32, u32) = (50, 2_000);

/// One cell: what drifts, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// The calls or webhooks that drift.
    pub on: Target,
    /// How.
    pub mutation: Mutation,
}

/// Why a drill cannot be swept.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The drill does not hold even undisturbed, so that nothing could be told from a cell.
    #[error("undisturbed, the drill is not passed ({verdict}): {first}")]
    NotSound {
        /// What it came to.
        verdict: Verdict,
        /// The first finding.
        first: String,
    },
    /// Nothing is promised that a wrong write would break.
    #[error(
        "the drill promises nothing of the ledgers, so that a wrong write could not be told: it needs `expect.agree` or `expect.exposed`"
    )]
    NothingPromised,
    /// The subject reads nothing that could drift.
    #[error("{0}")]
    NothingToDrift(String),
    /// The run itself went wrong.
    #[error(transparent)]
    Drill(#[from] DrillError),
}

/// A drill that is ready to be swept.
pub struct Sweep {
    scenario: Scenario,
    lessons: Vec<Lesson>,
    clean: Clean,
}

/// What the undisturbed run showed.
struct Clean {
    standing: Option<Standing>,
    alarms: Alarms,
    loads: Loads,
    most_calls: u32,
}

impl Sweep {
    /// Runs `scenario` undisturbed (its own faults left out), and learns what its subject reads.
    /// Without `only`, all of it is swept.
    ///
    /// # Errors
    /// See [`SweepError`].
    pub fn prepare(scenario: &Scenario, only: &[Target], play: Play<'_>) -> Result<Sweep, SweepError> {
        let promises = scenario.expect.agree.is_some() || !scenario.expect.exposed.is_empty();
        if !promises {
            return Err(SweepError::NothingPromised);
        }
        let scenario = Scenario { faults: Vec::new(), ..scenario.clone() };
        let first = play(&scenario, u32::MAX, &check::judge)?;
        if first.verdict != Verdict::Pass {
            return Err(SweepError::NotSound { verdict: first.verdict, first: worst(&first.judgements) });
        }
        let scenario = lasting(scenario, first.trace.head.ends_at);
        let (clean, mut seen) = judged(&scenario, u32::MAX, play)?;
        let lessons = learn::lessons(&clean.trace, only);
        if lessons.is_empty() {
            let why = if only.is_empty() {
                "the subject reads nothing in this drill that could drift".to_owned()
            } else {
                let all = learn::lessons(&clean.trace, &[]);
                let all: Vec<String> = all.iter().map(|l| format!("`{}`", l.on)).collect();
                format!("nothing that `--on` names is read in this drill; it reads {}", all.join(", "))
            };
            return Err(SweepError::NothingToDrift(why));
        }
        let loads = Loads::of(&clean.trace);
        let most_calls = loads.all.saturating_mul(MOST_CALLS.0).saturating_add(MOST_CALLS.1);
        let clean = Clean { standing: seen.take(), alarms: Alarms::of(&clean.trace), loads, most_calls };
        Ok(Sweep { scenario, lessons, clean })
    }

    /// What the subject reads, in order.
    pub fn lessons(&self) -> &[Lesson] {
        &self.lessons
    }

    /// Every field × mutation, in the order of the lessons.
    pub fn cells(&self) -> Vec<Cell> {
        self.lessons.iter().flat_map(Lesson::cells).collect()
    }

    /// Runs one cell and grades it. A run of which no verdict comes is `unknown`.
    pub fn run(&self, cell: &Cell, play: Play<'_>) -> Graded {
        self.grade(&with(&self.scenario, cell), cell, play)
    }

    fn grade(&self, scenario: &Scenario, cell: &Cell, play: Play<'_>) -> Graded {
        match judged(scenario, self.clean.most_calls, play) {
            Ok((drilled, standing)) => grade::grade(&self.clean, cell, scenario, &drilled, standing),
            Err(error) => Graded::unknown(format!("no verdict: {error}")),
        }
    }

    /// The smallest scenario found in which the subject still does as badly in this cell, and what
    /// a plain run of it comes to.
    pub fn smallest(&self, cell: &Cell, grade: Grade, play: Play<'_>) -> (Scenario, Option<Verdict>) {
        let small = smallest::shrink(with(&self.scenario, cell), |candidate| {
            self.undisturbed(candidate, play)
                .is_some_and(|sweep| sweep.grade(candidate, cell, play).grade == grade)
        });
        let small = smallest::told(small, cell);
        let verdict = play(&small, self.clean.most_calls, &check::judge).ok().map(|d| d.verdict);
        (small, verdict)
    }

    /// The same sweep over a smaller drill; `None` if that does not hold undisturbed.
    fn undisturbed(&self, candidate: &Scenario, play: Play<'_>) -> Option<Sweep> {
        let scenario = Scenario { faults: Vec::new(), ..candidate.clone() };
        let (drilled, standing) = judged(&scenario, self.clean.most_calls, play).ok()?;
        if drilled.verdict == Verdict::Fail || standing.as_ref().is_some_and(|s| !s.lacks.is_empty()) {
            return None;
        }
        let clean = Clean {
            standing,
            alarms: Alarms::of(&drilled.trace),
            loads: Loads::of(&drilled.trace),
            most_calls: self.clean.most_calls,
        };
        Some(Sweep { scenario, lessons: Vec::new(), clean })
    }
}

/// The scenario as every cell plays it: what drifts stays so until the end, work that cannot be
/// done may be set aside, and what has nothing to do with data is not promised.
fn lasting(scenario: Scenario, ends: At) -> Scenario {
    let mut scenario = scenario;
    let end = ends.since(At::START);
    scenario.heal_at = Some(end);
    scenario.ends_at = Some(end);
    scenario.extends = None;
    let expect = std::mem::take(&mut scenario.expect);
    scenario.expect.agree = expect.agree.map(|agree| crate::scenario::Agree { may_set_aside: true, ..agree });
    scenario.expect.unique = expect.unique;
    scenario.expect.exposed = expect.exposed;
    scenario.expect.timeout = expect.timeout;
    scenario.expect.load = expect.load;
    scenario
}

/// The scenario in which a cell's vendor changes, from the first moment on.
fn with(scenario: &Scenario, cell: &Cell) -> Scenario {
    let rule = Rule {
        on: cell.on.clone(),
        act: Act::Drift(cell.mutation.clone()),
        window: None,
        attempts: None,
        calls: None,
        share: None,
        when: None,
    };
    Scenario { faults: vec![rule], ..scenario.clone() }
}

/// Plays a scenario; gives how its ledgers stand beside the verdict.
fn judged(
    scenario: &Scenario,
    most_calls: u32,
    play: Play<'_>,
) -> Result<(Drilled, Option<Standing>), DrillError> {
    let standing = std::cell::RefCell::new(None);
    let judge = |scenario: &Scenario, profiles: &BTreeMap<String, Profile>, trace: &Trace| {
        *standing.borrow_mut() = check::standing(scenario, profiles, trace);
        check::judge(scenario, profiles, trace)
    };
    let drilled = play(scenario, most_calls, &judge)?;
    Ok((drilled, standing.into_inner()))
}

fn worst(judgements: &[Judgement]) -> String {
    let all = || judgements.iter().flat_map(|j| &j.findings);
    let worst = all().map(|f| f.verdict).max();
    all()
        .find(|f| Some(f.verdict) == worst)
        .map_or_else(String::new, |f| format!("{}: {}", f.rule, f.message))
}

/// The time that a cell's run spans.
pub(crate) fn spans(scenario: &Scenario) -> Span {
    scenario.ends_at.unwrap_or(Span::ZERO)
}
