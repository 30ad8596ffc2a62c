//! What differs from what a baseline has learned.
//!
//! Knows: which difference is worth a finding, and which sample shows it. Must not know: schemas,
//! files, or how a baseline learns.
//!
//! A schema leaves a removed optional field, an emptied list and a capped page silent. A vendor
//! that always sent a field and no longer does has changed, whatever its contract allows.

use std::collections::BTreeSet;

use super::baseline::{Baseline, ENOUGH, Pages, Seen, Stat};
use crate::contract::{Part, Severity, Violation};
use crate::personal::hidden;

/// A difference.
pub(super) struct Change {
    /// The key of the answer.
    pub answer: String,
    pub violation: Violation,
    /// How often it was seen: fields that are missing, lists that are short.
    pub count: u32,
    shown: Shown,
}

/// What a sample must have to show a difference.
enum Shown {
    /// Anything: it is no difference of a field.
    Always,
    Absent,
    Type(String),
    Value(String),
    Length(usize),
    ShortPage,
    /// A page for which no number was asked, with fewer items.
    Fewer(usize),
}

impl Change {
    /// Whether one sample shows it.
    pub fn shown_by(&self, seen: &Seen) -> bool {
        let pointer = self.violation.wild.as_str();
        let stat = seen.fields.get(pointer);
        let holds = |test: &dyn Fn(&Stat) -> bool| stat.is_some_and(test);
        match &self.shown {
            Shown::Always => true,
            Shown::Absent => match stat {
                Some(stat) => stat.present < stat.parents,
                None => holders(pointer, seen) > 0,
            },
            Shown::Type(kind) => holds(&|stat| stat.types.contains_key(kind)),
            Shown::Value(value) => holds(&|stat| stat.values.contains_key(value)),
            Shown::Length(items) => holds(&|stat| stat.lengths.contains_key(items)),
            Shown::ShortPage => holds(&|stat| !stat.pages.short.is_empty()),
            Shown::Fewer(items) => holds(&|stat| stat.pages.unasked.keys().any(|n| n < items)),
        }
    }
}

/// How many objects could have held a field.
fn holders(pointer: &str, seen: &Seen) -> u32 {
    let parent = pointer.rsplit_once('/').and_then(|(parent, _)| seen.fields.get(parent));
    parent.and_then(|parent| parent.types.get("object")).copied().unwrap_or(0)
}

impl Baseline {
    /// What `now` shows that this baseline has never seen, or no longer shows that it always saw;
    /// and of which answers it knows too little to say.
    pub(super) fn compare(&self, now: &Baseline) -> Vec<Change> {
        let mut found = Vec::new();
        for (answer, seen) in &now.answers {
            let before = self.answers.get(answer);
            let mut say = |shown: Shown, count: u32, violation: Violation| {
                found.push(Change { answer: answer.clone(), violation, count, shown });
            };
            let samples = before.map_or(0, |before| before.samples);
            if samples < ENOUGH {
                say(Shown::Always, seen.samples, too_few(samples));
            }
            for (pointer, old) in before.iter().flat_map(|before| &before.fields) {
                match seen.fields.get(pointer) {
                    Some(new) => compare(pointer, old, new, &mut say),
                    None => gone(pointer, old, seen, &mut say),
                }
            }
        }
        found
    }

    /// How many of the samples of `now` this baseline knows enough of to judge them.
    pub(super) fn judges(&self, now: &Baseline) -> u32 {
        let known = |answer: &String| self.answers.get(answer).is_some_and(|before| before.samples >= ENOUGH);
        now.answers.iter().filter(|(answer, _)| known(answer)).map(|(_, seen)| seen.samples).sum()
    }
}

fn too_few(samples: u32) -> Violation {
    let more = ENOUGH - samples;
    let expected = format!("at least {ENOUGH} samples of this answer in the baseline, to know what is usual");
    let got = format!("it has {samples}: record {more} more, and have all of them learned with --learn");
    finding("baseline/too_few", Severity::Unknown, "", expected, got)
}

fn finding(rule: &str, severity: Severity, pointer: &str, expected: String, got: String) -> Violation {
    Violation {
        rule: rule.to_owned(),
        severity,
        part: Part::Body,
        pointer: pointer.to_owned(),
        wild: pointer.to_owned(),
        schema: String::new(),
        expected: hidden(&expected).into_owned(),
        got: hidden(&got).into_owned(),
        branch: None,
        moved: None,
    }
}

/// A field that the baseline knows and nothing now shows.
fn gone(pointer: &str, old: &Stat, now: &Seen, say: &mut dyn FnMut(Shown, u32, Violation)) {
    // Without a parent there was nowhere for it to be; the parent's own finding says so.
    let parents = holders(pointer, now);
    if pointer.ends_with("/*") || parents == 0 {
        return;
    }
    let got = format!("none of {parents} has it");
    if old.always() {
        let expected = format!("the field, which all {} samples of the baseline had", old.parents);
        say(Shown::Absent, parents, finding("baseline/absent", Severity::Breaking, pointer, expected, got));
    } else if old.parents >= 2 * ENOUGH && old.present * 2 >= old.parents && parents >= 2 * ENOUGH {
        let expected = format!("the field, which {} of {} had", old.present, old.parents);
        say(Shown::Absent, parents, finding("baseline/rarer", Severity::Unknown, pointer, expected, got));
    }
}

fn compare(pointer: &str, old: &Stat, new: &Stat, say: &mut dyn FnMut(Shown, u32, Violation)) {
    if old.always() && new.present < new.parents {
        let expected = format!("the field, which all {} samples of the baseline had", old.parents);
        let got = format!("{} of {} have it", new.present, new.parents);
        let absent = finding("baseline/absent", Severity::Breaking, pointer, expected, got);
        say(Shown::Absent, new.parents - new.present, absent);
    }
    let seen: u32 = old.types.values().sum();
    let known: BTreeSet<&str> = old.types.keys().map(String::as_str).collect();
    for (kind, count) in new.types.iter().filter(|(kind, _)| !known.contains(kind.as_str())) {
        let types = known.iter().copied().collect::<Vec<_>>().join(" or ");
        // A field of which only null was ever seen has no type yet.
        let severity = if types == "null" {
            Severity::Additive
        } else if seen < ENOUGH {
            Severity::Unknown
        } else {
            Severity::Breaking
        };
        let expected = format!("{types}, as in all {seen} samples of the baseline");
        let retyped = finding("baseline/type", severity, pointer, expected, format!("{kind}, {count} times"));
        say(Shown::Type(kind.clone()), *count, retyped);
    }
    if old.is_choice() && !new.free {
        for (value, count) in new.values.iter().filter(|(value, _)| !old.values.contains_key(*value)) {
            let known = old.values.keys().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", ");
            let expected = format!("one of {known}, as in the baseline");
            let added =
                finding("baseline/value", Severity::Additive, pointer, expected, format!("`{value}`"));
            say(Shown::Value(value.clone()), *count, added);
        }
    }
    lengths(pointer, old, new, say);
}

fn lengths(pointer: &str, old: &Stat, new: &Stat, say: &mut dyn FnMut(Shown, u32, Violation)) {
    if short_pages(pointer, &old.pages, &new.pages, say) {
        return;
    }
    let (Some((&least, _)), Some((&most, _))) = (old.lengths.first_key_value(), old.lengths.last_key_value())
    else {
        return;
    };
    let Some((&most_now, &times)) = new.lengths.last_key_value() else { return };
    let lists: u32 = old.lengths.values().sum();
    if lists < ENOUGH {
        return;
    }
    if most_now == 0 && least > 0 {
        let expected = format!("a list with items: all {lists} of the baseline had {least} to {most}");
        let got = "only empty lists".to_owned();
        let emptied = finding("baseline/emptied", Severity::Breaking, pointer, expected, got);
        say(Shown::Length(0), times, emptied);
    } else if most_now < most && times >= 2 && new.lengths.len() <= 2 && most_now > 0 {
        // Several lists end at the very same length, below what was once seen: a page was capped.
        let expected = format!("lists of up to {most}, as in the baseline");
        let got = format!("{times} lists end at {most_now}");
        say(
            Shown::Length(most_now),
            times,
            finding("baseline/capped", Severity::Unknown, pointer, expected, got),
        );
    }
}

/// Pages that could have been fuller, where the baseline knows none: one is enough.
fn short_pages(pointer: &str, old: &Pages, new: &Pages, say: &mut dyn FnMut(Shown, u32, Violation)) -> bool {
    let mut capped = |shown: Shown, count: u32, expected: String, got: String| {
        say(shown, count, finding("baseline/capped", Severity::Breaking, pointer, expected, got));
    };
    if let Some((first, _)) =
        new.short.first_key_value().filter(|_| old.full >= ENOUGH && old.short.is_empty())
    {
        let expected =
            format!("as many items as were asked for, as on all {} full pages of the baseline", old.full);
        let got = format!("{first}, on a page that says that there are more");
        capped(Shown::ShortPage, new.short.values().sum(), expected, got);
        return true;
    }
    let pages: u32 = old.unasked.values().sum();
    let usual = old.unasked.first_key_value().filter(|_| pages >= ENOUGH && old.unasked.len() == 1);
    if let Some((usual, _)) = usual
        && let Some((least, _)) = new.unasked.first_key_value().filter(|(least, _)| *least < usual)
    {
        let expected =
            format!("{usual} items while there are more, as on all {pages} such pages of the baseline");
        let count = new.unasked.range(..usual).map(|(_, count)| count).sum();
        capped(
            Shown::Fewer(*usual),
            count,
            expected,
            format!("{least}, on a page that says that there are more"),
        );
        return true;
    }
    false
}
