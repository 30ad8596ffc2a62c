//! What a subject made of a payload that drifted.
//!
//! Knows: the drill's own promises of the ledgers, what the subject exposes and says, and how much
//! it asked. Must not know: any one subject or vendor.
//!
//! A cell is compared with the undisturbed run: an alarm is one that was not raised there, a wrong
//! write is a state of a record that it never passed through there.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Cell, Clean, spans};
use crate::check::{Lack, Novelty, Standing, is_set_aside, reasons};
use crate::drill::Drilled;
use crate::fault::Mutation;
use crate::finding::{Judgement, Verdict};
use crate::scenario::Scenario;
use crate::time::At;
use crate::trace::{Trace, What};

/// One identical call may be repeated this often for each minute of the drill, besides what the
/// undisturbed run does: a schedule is no loop.
const REPEATS_A_MINUTE: u64 = 2;

/// How a subject took a drift. The order is the order of badness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// The ledgers are right, nothing was lost, and nothing had to be said.
    Harmless,
    /// Quarantined, dead-lettered or alerted, and nothing wrong was written.
    RefusedLoudly,
    /// The drift never happened, or could not be graded.
    Unknown,
    /// It crashed, hung, leaked a secret, or asked without end.
    Broke,
    /// Something wrong was written, although an alarm went with it.
    NoticedCorruption,
    /// Something wrong was written, or records are missing, and nobody was told.
    SilentCorruption,
}

impl Grade {
    /// Whether a sweep with such a cell fails.
    pub fn is_bad(self) -> bool {
        matches!(self, Grade::Broke | Grade::NoticedCorruption | Grade::SilentCorruption)
    }
}

/// One cell's grade, with what it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Graded {
    /// The grade.
    pub grade: Grade,
    /// Why, in a sentence.
    pub why: String,
    /// Whether something was raised that the undisturbed run did not raise.
    pub alarm: bool,
    /// Whether what was raised or logged names the field that drifted.
    pub field_named: bool,
    /// Whether something was written otherwise because the vendor now says otherwise.
    pub as_told: bool,
    /// How often the drift happened.
    pub fired: usize,
}

impl Graded {
    /// What could not be graded.
    pub fn unknown(why: String) -> Graded {
        Graded { grade: Grade::Unknown, why, alarm: false, field_named: false, as_told: false, fired: 0 }
    }
}

/// What a subject raised in a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarms {
    /// Alerts, and the reasons of set-aside work.
    raised: BTreeMap<String, usize>,
    /// Warnings and errors of its log.
    logged: BTreeSet<String>,
}

impl Alarms {
    pub fn of(trace: &Trace) -> Alarms {
        let mut all = Alarms::default();
        for event in &trace.events {
            match &event.what {
                What::Alert { body, .. } => all.raise(words(body)),
                What::Exposed { what, response: Some(response) } if is_set_aside(what) => {
                    let body = serde_json::from_slice::<Value>(&response.body).unwrap_or(Value::Null);
                    reasons(&body).into_iter().for_each(|reason| all.raise(reason));
                }
                What::Log { level, line } if level == "warn" || level == "error" => {
                    all.logged.insert(line.clone());
                }
                _ => {}
            }
        }
        all
    }

    fn raise(&mut self, text: String) {
        *self.raised.entry(text).or_default() += 1;
    }

    /// What was raised here more often than in `clean`.
    fn besides<'a>(&'a self, clean: &Alarms) -> Vec<&'a str> {
        let known = |text: &str| clean.raised.get(text).copied().unwrap_or(0);
        self.raised.iter().filter(|(text, n)| **n > known(text)).map(|(text, _)| text.as_str()).collect()
    }

    /// Log lines that are not in `clean`.
    fn lines_besides<'a>(&'a self, clean: &'a Alarms) -> impl Iterator<Item = &'a str> {
        self.logged.difference(&clean.logged).map(String::as_str)
    }
}

/// The texts of an alert, without the moments in it.
fn words(body: &Value) -> String {
    let mut texts = Vec::new();
    fn leaves(value: &Value, texts: &mut Vec<String>) {
        match value {
            Value::String(text) if text.parse::<jiff::Timestamp>().is_err() => texts.push(text.clone()),
            Value::Array(list) => list.iter().for_each(|v| leaves(v, texts)),
            Value::Object(map) => map.values().for_each(|v| leaves(v, texts)),
            _ => {}
        }
    }
    leaves(body, &mut texts);
    texts.join(" · ")
}

/// How much a subject asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Loads {
    pub all: u32,
    /// How often each identical call was made.
    same: BTreeMap<[u8; 32], (u32, String)>,
}

impl Loads {
    pub fn of(trace: &Trace) -> Loads {
        let mut loads = Loads::default();
        for event in &trace.events {
            let What::Request { vendor, request, .. } = &event.what else { continue };
            let mut hash = Sha256::new();
            for part in
                [vendor.as_bytes(), request.method.as_bytes(), request.target.as_bytes(), &request.body]
            {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            loads.all += 1;
            let name = || format!("{vendor} {} {}", request.method, request.path());
            loads.same.entry(hash.finalize().into()).or_insert_with(|| (0, name())).0 += 1;
        }
        loads
    }

    /// The call that is repeated most, and how often.
    fn most(&self) -> (u32, &str) {
        self.same.values().max_by_key(|(n, _)| *n).map_or((0, ""), |(n, name)| (*n, name))
    }
}

/// Grades a run in which `cell` drifted.
pub(super) fn grade(
    clean: &Clean,
    cell: &Cell,
    scenario: &Scenario,
    drilled: &Drilled,
    standing: Option<Standing>,
) -> Graded {
    let trace = &drilled.trace;
    let fired = trace.events.iter().filter(|e| matches!(e.what, What::Fault(_))).count();
    let alarms = Alarms::of(trace);
    let raised = alarms.besides(&clean.alarms);
    let mut logged = alarms.lines_besides(&clean.alarms);
    let named = names(&cell.mutation);
    let field_named = raised.iter().any(|text| says(text, &named)) || logged.any(|line| says(line, &named));
    let alarm = !raised.is_empty();
    let graded = |grade, why: String, as_told| Graded { grade, why, alarm, field_named, as_told, fired };
    if fired == 0 {
        return graded(Grade::Unknown, "the drift never happened: no such payload came".into(), false);
    }
    if let Some(why) = broke(clean, scenario, drilled) {
        return graded(Grade::Broke, why, false);
    }
    let ledgers = match (&standing, &clean.standing) {
        (Some(standing), Some(clean)) => of_ledgers(standing, clean),
        _ => Ledgers::default(),
    };
    let judged = |check: &str| drilled.judgements.iter().find(|j| &*j.check == check);
    let (exposed, unique) = (judged("exposed"), judged("unique"));
    let told = ledgers.as_told;
    let twins = unique.filter(|j| j.verdict == Verdict::Fail).and_then(first);
    if let Some(why) = ledgers.wrong.or(twins) {
        let grade = if alarm { Grade::NoticedCorruption } else { Grade::SilentCorruption };
        return graded(grade, why, told);
    }
    // That there are no records is no doubt: a subject that refuses what drifted writes none.
    let unclear = unique.and_then(|j| j.findings.iter().find(|f| &*f.rule == "unique/unclear"));
    if let Some(why) = ledgers.unclear.or(unclear.map(|f| format!("{}: {}", f.rule, f.message))) {
        return graded(Grade::Unknown, why, told);
    }
    if let Some(why) = exposed.filter(|j| j.verdict == Verdict::Unknown).and_then(first) {
        return graded(Grade::Unknown, why, told);
    }
    let differs = exposed.filter(|j| j.verdict == Verdict::Fail).and_then(first);
    match (ledgers.unfinished.or(differs), raised.first()) {
        (Some(why), None) => graded(Grade::SilentCorruption, format!("{why}, and nobody was told"), told),
        (_, Some(said)) => graded(Grade::RefusedLoudly, brief(said), told),
        (None, None) if told => graded(Grade::Harmless, "it is written as the vendor now says".into(), told),
        (None, None) => graded(Grade::Harmless, "the ledgers are right".into(), told),
    }
}

fn first(judgement: &Judgement) -> Option<String> {
    let worst = judgement.findings.iter().find(|f| f.verdict == judgement.verdict)?;
    Some(format!("{}: {}", worst.rule, worst.message))
}

/// Whether the subject itself broke.
fn broke(clean: &Clean, scenario: &Scenario, drilled: &Drilled) -> Option<String> {
    let trace = &drilled.trace;
    let loads = Loads::of(trace);
    let ended = trace.events.last().map_or(At::START, |e| e.at);
    if loads.all >= clean.most_calls {
        let (most, name) = loads.most();
        return Some(format!(
            "it asked without end: {} calls by {ended}, where {} do; `{name}` came {most} times",
            loads.all, clean.loads.all
        ));
    }
    let failed = |j: &&Judgement| {
        j.verdict == Verdict::Fail && matches!(&*j.check, "liveness" | "load" | "secrets" | "subject")
    };
    if let Some(why) = drilled.judgements.iter().find(failed).and_then(first) {
        return Some(why);
    }
    let minutes = spans(scenario).0 / 60_000_000;
    for (call, (n, name)) in &loads.same {
        let usual = clean.loads.same.get(call).map_or(0, |(n, _)| *n);
        let most = u64::from(usual) + REPEATS_A_MINUTE * minutes.max(5);
        if u64::from(*n) > most {
            return Some(format!(
                "it asked the same again and again: `{name}` came {n} times, usually {usual}"
            ));
        }
    }
    None
}

/// What the ledgers say.
#[derive(Default)]
struct Ledgers {
    wrong: Option<String>,
    unfinished: Option<String>,
    unclear: Option<String>,
    as_told: bool,
}

fn of_ledgers(standing: &Standing, clean: &Standing) -> Ledgers {
    let mut found = Ledgers::default();
    for novelty in standing.novelties(clean) {
        if novelty.as_told {
            found.as_told = true;
        } else {
            found.wrong.get_or_insert_with(|| {
                let Novelty { key, shown, .. } = &novelty;
                format!("{} of {key} got {shown}, which it never has undisturbed", standing.to)
            });
        }
    }
    if standing.doubles > clean.doubles {
        found.wrong.get_or_insert_with(|| "one source had two live targets at a time".to_owned());
    }
    for (call, n) in standing.twins.iter().filter(|(call, n)| *n > clean.twins.get(*call).unwrap_or(&0)) {
        found.wrong.get_or_insert_with(|| {
            format!("`{call}` was repeated word for word, and made {n} more than undisturbed")
        });
    }
    for (key, lack) in standing.lacks.iter().filter(|(key, _)| !clean.lacks.contains_key(*key)) {
        let place = match lack {
            Lack::Excess(_) => &mut found.wrong,
            // What is written as the vendor says differs from the ledger, and is not unfinished.
            Lack::Unfinished(_) if standing.is_as_told(key, clean) => continue,
            Lack::Unfinished(_) => &mut found.unfinished,
            Lack::Unclear(_) => &mut found.unclear,
        };
        let (Lack::Excess(why) | Lack::Unfinished(why) | Lack::Unclear(why)) = lack;
        place.get_or_insert_with(|| why.clone());
    }
    found
}

/// The words by which an alarm may name what drifted.
fn names(mutation: &Mutation) -> Vec<String> {
    let field = mutation.field().and_then(|f| f.name()).map(str::to_owned);
    // What happens to a body as a whole has no field to be named.
    field.into_iter().collect()
}

fn says(text: &str, names: &[String]) -> bool {
    let text = text.to_lowercase();
    names.is_empty() || names.iter().any(|name| text.contains(&name.to_lowercase()))
}

fn brief(text: &str) -> String {
    text.chars().take(300).collect()
}
