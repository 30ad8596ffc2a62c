//! Reconciliation: the ledgers agree in the end, in time, and newer data is never overwritten.
//!
//! Knows: the replay of `expect.agree`. Must not know: how the subject reconciles.

use indexmap::IndexMap;

use super::agreement::{Agreement, Field, History, Version, Wrong, same};
use super::evidence::Evidence;
use super::inputs::computed;
use super::lives::Stretch;
use super::say::{self, Findings, Say, brief, count, last_name};
use super::trail::{Trail, trail};
use crate::finding::Judgement;
use crate::time::{At, Span};
use crate::trace::{Cause, EventId};

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let agreement = e.agreement()?;
    let mut found = Findings::default();
    for broken in &agreement.broken {
        found.unknown(Say {
            rule: "reconciliation/bad_expression",
            group: broken,
            message: format!("a field of `expect.agree` cannot be read: {broken}"),
            expected: "an expression in CEL".into(),
            hint: "both sides of `fields` are expressions",
            evidence: Vec::new(),
        });
    }
    let judged = agreement.keys().count();
    if judged == 0 {
        found.unknown(Say {
            rule: "reconciliation/nothing_to_compare",
            group: "",
            message: format!(
                "neither {} nor {} ever held a record",
                place(&agreement.from),
                place(&agreement.to)
            ),
            expected: "at least 1 source record".into(),
            hint: "does `given` or the workload name these collections?",
            evidence: Vec::new(),
        });
    }
    if judged > 0 && e.says("agree") {
        nothing_wanted(e, agreement, &mut found);
    }
    if !ended_early(e, agreement, &mut found) {
        disagreements(e, agreement, &mut found);
    }
    orphans(agreement, &mut found);
    in_time(e, agreement, &mut found);
    stale(agreement, &mut found);
    Some(found.judgement("reconciliation", judged as u64))
}

/// Nothing was to be done, nothing was done, and by a subject that saw none of the records: it may as well
/// not have run. One that was shown them, and rightly left them alone, has kept the promise.
fn nothing_wanted(e: &Evidence<'_>, a: &Agreement, found: &mut Findings) {
    let counted = |h: &History| h.versions.iter().any(|v| v.counts);
    if a.sources.values().chain(a.targets.values()).any(counted) {
        return;
    }
    let seen = |(id, h): (&String, &History)| {
        let since = h.versions.first().map_or(At::START, |v| v.at);
        matches!(trail(e, &a.from.0, id, since), Trail::Seen | Trail::Acknowledged(..))
    };
    if a.sources.iter().any(seen) {
        return;
    }
    found.unknown(Say {
        rule: "reconciliation/nothing_wanted",
        group: "",
        message: format!(
            "`agree.where` held for none of {} of {} at any time, and the subject saw none of them",
            count(a.sources.len() as u64, "record"),
            place(&a.from)
        ),
        expected: "at least 1 record that must have an effect, or that the subject sees and leaves alone"
            .into(),
        hint: "is `where` spelt as the records are, and does the workload bring one to it?",
        evidence: a.sources.values().filter_map(History::event).take(3).collect(),
    });
}

fn place((vendor, collection): &(String, String)) -> String {
    format!("{vendor}.{collection}")
}

fn shown(name: &str, field: &Field) -> String {
    field.as_ref().map_or_else(|why| format!("an error ({why})"), |value| say::value(last_name(name), value))
}

/// What a field is and what it should be; in outline, two values may look the same.
fn parted(name: &str, found: &Field, wanted: &Field) -> String {
    let (found, wanted) = (shown(name, found), shown(name, wanted));
    let another = if found == wanted { "another: " } else { "" };
    format!("`{name}` is {found} where the source says {another}{wanted}")
}

/// What is wrong at the end, key by key.
fn disagreements(e: &Evidence<'_>, a: &Agreement, found: &mut Findings) {
    let to = place(&a.to);
    for key in a.keys() {
        let Some(wrong) = a.wrong(key) else { continue };
        if a.excused(key, &wrong) {
            continue;
        }
        if not_due(e, a, key) {
            found.unknown(Say {
                rule: "reconciliation/not_due",
                group: "",
                message: format!(
                    "{key} came to disagree too shortly before the end at {} to be due",
                    e.ends_at
                ),
                expected: "a workload that ends `converges.within` before the drill does".into(),
                hint: "raise `ends_at`",
                evidence: a.cite(key),
            });
            continue;
        }
        let aside = e.exposed.set_aside(key);
        let mut evidence = a.cite(key);
        evidence.extend(aside.map(|s| s.event));
        let allowed = e.scenario.expect.agree.as_ref().is_some_and(|a| a.may_set_aside);
        let (rule, message, hint) = match &wrong {
            Wrong::Missing if aside.is_some() => (
                "reconciliation/set_aside",
                match aside.and_then(|a| a.reason.as_deref()).filter(|_| !allowed) {
                    Some(reason) => format!(
                        "{key} has no live {to}: the subject set it aside, though this drill gives no cause to: {}",
                        brief(reason)
                    ),
                    None => format!("{key} has no live {to}: the subject set it aside without a reason"),
                },
                "what is set aside must say why, and only what cannot be done belongs there",
            ),
            Wrong::Missing => (
                "reconciliation/missing",
                format!("{key} has no live {to} at the end, and was not set aside"),
                "follow its last call: was an ambiguous failure taken for a final one, or a dropped webhook never repaired?",
            ),
            Wrong::Doubled(ids) => (
                "reconciliation/doubled",
                format!("{key} has {} live {to} at the end: {}", ids.len(), ids.join(", ")),
                "look for a fresh idempotency key, a lost mapping, or an event handled twice",
            ),
            Wrong::Differs { field, wanted: Err(why), .. } => (
                "reconciliation/unclear",
                format!("what `{field}` should be for {key} cannot be computed: {why}"),
                "the source record is impossible, or the expression does not allow for it",
            ),
            Wrong::Differs { field, found, wanted } => (
                "reconciliation/differs",
                format!("{key}: {}{}", parted(field, found, wanted), computed(e, a, key, field)),
                "compare the last change of the source with the last write: was an update dropped, overtaken, or converted wrongly?",
            ),
            Wrong::Unwanted(ids) => (
                "reconciliation/unwanted",
                format!("{key} must have no live {to} at the end, and has {}", ids.join(", ")),
                "was a record acted upon that did not qualify, or an undone one never undone here?",
            ),
            Wrong::Unclear(why) => (
                "reconciliation/unclear",
                format!("{} {key} cannot be judged: {why}", place(&a.from)),
                "a condition that can fail needs `has(…)`, or the record is broken",
            ),
        };
        let follows =
            matches!(rule, "reconciliation/missing" | "reconciliation/differs" | "reconciliation/unwanted");
        let undone = (follows && !found.has(rule)).then(|| undone(e, a, key)).flatten();
        let (message, hint) = match undone {
            None => (message, hint),
            Some((told, cited, look)) => {
                evidence.extend(cited);
                (format!("{message}: {told}"), look)
            }
        };
        let expected = match &wrong {
            Wrong::Differs { field, wanted, .. } => format!("`{field}` = {}", shown(field, wanted)),
            Wrong::Unwanted(_) => format!("no live {to}"),
            _ => format!("exactly 1 live {to}"),
        };
        // A run in real time that gave less than the promise cannot say that it was broken.
        if let Some(promised) = cut_short(e)
            && matches!(wrong, Wrong::Missing | Wrong::Differs { .. } | Wrong::Unwanted(_))
        {
            found.unknown(Say {
                rule: "reconciliation/cut_short",
                group: "",
                message: format!(
                    "{message}: but this run ended {} after healing, and the promise allows {promised}",
                    e.ends_at.since(e.heals_at)
                ),
                expected,
                hint: "raise `recovers_within` in the subject file, or let the subject scale its waits",
                evidence,
            });
            continue;
        }
        let say = Say { rule, group: "", message, expected, hint, evidence };
        // What is right cannot be told: no fault of the subject, as long as it left the source alone.
        if rule == "reconciliation/unclear" && !a.touched(key) {
            found.unknown(say);
        } else {
            found.fail(say);
        }
    }
}

/// Why nothing was done about the last change of a key's record, if the wire tells: in words, with the
/// event that shows it and where to look.
fn undone(e: &Evidence<'_>, a: &Agreement, key: &str) -> Option<(String, Option<EventId>, &'static str)> {
    let (id, changed) = a.last_change(key)?;
    let vendor = &a.from.0;
    match trail(e, vendor, id, changed) {
        Trail::Seen => None,
        Trail::Acknowledged(at, delivery) => Some((
            format!(
                "the webhook about its change at {changed} was acknowledged at {at}, and no call followed"
            ),
            Some(delivery),
            "was the event taken for a duplicate or for old news, or forgotten after its acknowledgement?",
        )),
        Trail::Overlooked(at, call) => Some((
            format!("no answer showed its change at {changed}, though {vendor} was asked until {at}"),
            Some(call),
            "does a cursor, a filter or a page pass it over?",
        )),
        Trail::NeverAsked => Some((
            format!("{vendor} was never asked after its change at {changed}"),
            None,
            "what tells of a change when no webhook does: a sync on a schedule, a reconciliation?",
        )),
    }
}

/// What the scenario promises for convergence, where the run allowed less.
fn cut_short(e: &Evidence<'_>) -> Option<Span> {
    e.trace.head.real.and_then(|real| real.promised)
}

/// Live targets that name no source.
fn orphans(a: &Agreement, found: &mut Findings) {
    for (id, history) in &a.targets {
        let Some(why) = &history.error else { continue };
        found.fail(Say {
            rule: "reconciliation/orphan",
            group: "",
            message: format!("{} {id} cannot be traced to a source: {why}", place(&a.to)),
            expected: "every live effect names its source".into(),
            hint: "write the source's id into the record when it is made, or leave this record out with `live`",
            evidence: history.event().into_iter().collect(),
        });
    }
}

/// Whether the drill ended before the ledgers were due to agree, and do not.
fn ended_early(e: &Evidence<'_>, a: &Agreement, found: &mut Findings) -> bool {
    let Some(within) = e.scenario.expect.converges.map(|c| c.within) else { return false };
    let due = e.heals_at + within;
    let early = e.ends_at < due && !a.settled();
    if early {
        found.unknown(Say {
            rule: "reconciliation/ended_early",
            group: "",
            message: format!(
                "the drill ended at {}, before the ledgers were due to agree at {due}",
                e.ends_at
            ),
            expected: format!("a drill of at least {}", due.since(At::START)),
            hint: "raise `ends_at`",
            evidence: Vec::new(),
        });
    }
    early
}

/// Whether what is wrong with a key came up too shortly before the end to be due.
fn not_due(e: &Evidence<'_>, a: &Agreement, key: &str) -> bool {
    let Some(within) = e.scenario.expect.converges.map(|c| c.within) else { return false };
    let since = a.stretches(key).last().map(|(from, _)| *from);
    since.is_some_and(|from| from > e.heals_at && from + within > e.ends_at)
}

/// How soon after healing the ledgers agreed for good.
fn in_time(e: &Evidence<'_>, a: &Agreement, found: &mut Findings) {
    if cut_short(e).is_some() {
        return;
    }
    let Some(within) = e.scenario.expect.converges.map(|c| c.within) else { return };
    let due = e.heals_at + within;
    let Some(&(since, until)) = a.pending.last() else { return };
    // What the workload itself stirred up after healing is given its own time.
    let is_late = |(from, to): &Stretch| *to > due.max(*from + within) && to.since(*from) > within;
    let late: Vec<&str> = a.keys().filter(|k| a.stretches(k).iter().any(is_late) && !a.is_aside(k)).collect();
    if late.is_empty() || !a.settled() {
        return;
    }
    let took = until.since(e.heals_at);
    found.fail(Say {
        rule: "reconciliation/late",
        group: "",
        message: format!(
            "the ledgers agreed only at {until}, {took} after healing at {} (in disagreement since {since}; {}: {})",
            e.heals_at,
            count(late.len() as u64, "late record"),
            late.iter().take(5).copied().collect::<Vec<_>>().join(", "),
        ),
        expected: format!("agreement within {within} of healing"),
        hint: "what held the work up: a long pause, an open breaker, a queue behind a poison job?",
        evidence: late.iter().take(3).flat_map(|k| a.cite(k)).collect(),
    });
}

/// A target never goes back to an older state of its source, and the source is not overwritten.
fn stale(a: &Agreement, found: &mut Findings) {
    let mut by_key: IndexMap<&str, &History> = IndexMap::new();
    for history in a.sources.values() {
        if let Some(key) = &history.key {
            by_key.insert(key, history);
        }
        overwritten(a, history, found);
    }
    for (id, target) in &a.targets {
        let Some(source) = target.key.as_deref().and_then(|k| by_key.get(k)) else { continue };
        let sources: Vec<&Version> = source.versions.iter().filter(|v| v.counts).collect();
        let mut reached = 0;
        for version in target.versions.iter().filter(|v| v.counts) {
            let known = sources.partition_point(|s| s.event < version.event);
            let matches = |s: &&Version| {
                !s.fields.is_empty() && s.fields.iter().zip(&version.fields).all(|(s, t)| same(s, t))
            };
            let newer = (reached..known).find(|i| matches(&sources[*i]));
            match newer {
                Some(i) => reached = i,
                None => {
                    let Some(older) = (0..reached.min(known)).rev().find(|i| matches(&sources[*i])) else {
                        continue;
                    };
                    let (old, new) = (sources[older], sources[reached]);
                    found.fail(Say {
                        rule: "reconciliation/stale_overwrite",
                        group: "",
                        message: format!(
                            "{} {id} went back at {} to the state its source had at {}, after it had shown that of {}",
                            place(&a.to),
                            version.at,
                            old.at,
                            new.at,
                        ),
                        expected: "newer data is never overwritten by older".into(),
                        hint: "an update that was overtaken must be dropped: compare versions, or read the source anew",
                        evidence: vec![old.event, new.event, version.event],
                    });
                }
            }
        }
    }
}

/// The subject must not change a source in a way that changes what its effect should be.
fn overwritten(a: &Agreement, history: &History, found: &mut Findings) {
    for pair in history.versions.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        let changed = before.counts
            && after.counts
            && before.fields.iter().zip(&after.fields).any(|(b, n)| b.is_ok() && !same(b, n));
        if matches!(after.by, Cause::Call(_)) && changed {
            found.fail(Say {
                rule: "reconciliation/source_overwritten",
                group: "",
                message: format!(
                    "the subject changed {} {} at {} so that other values follow from it than before",
                    place(&a.from),
                    history.key.as_deref().unwrap_or_default(),
                    after.at
                ),
                expected: format!("{} is the truth and keeps its values", place(&a.from)),
                hint: "a repair must write the side that is wrong, and look which one is newer",
                evidence: vec![before.event, after.event],
            });
        }
    }
}

#[cfg(test)]
mod tests;
