//! Types, listed values, formats, patterns and limits.
//!
//! Knows: when one scalar constraint includes another. Must not know: where the schema stands.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rules::*;
use super::walk::{Spot, Walk};
use crate::contract::Direction;
use crate::contract::schema::{Bound, LIMITS, Listed, Shape, Types, stricter};

impl<'d> Walk<'d> {
    /// Compares the types; false if none is left in common, so that nothing below can be compared.
    pub fn types(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) -> bool {
        let (o, n) = (old.types, new.types);
        if o == n {
            return true;
        }
        let message = format!("{} is {n} (was {o})", spot.noun);
        if !o.meets(n) {
            let rule = Self::rule(spot, &TYPE_CHANGED, &SENT_TYPE_CHANGED);
            let hint = if n == Types::ARRAY {
                ": one became a list"
            } else if o == Types::ARRAY {
                ": a list became one"
            } else {
                ""
            };
            self.find(spot, rule, &old.at, &new.at, format!("{message}{hint}"));
            return false;
        }
        let rule = match spot.direction {
            Direction::Response if n.within(o) => &TYPE_NARROWED,
            Direction::Response => &TYPE_WIDENED,
            Direction::Request if o.within(n) => &SENT_TYPE_WIDENED,
            Direction::Request => &SENT_TYPE_NARROWED,
        };
        self.find(spot, rule, &old.at, &new.at, message);
        true
    }

    pub fn scalars(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        self.listed(spot, old, new);
        self.format(spot, old, new);
        self.patterns(spot, old, new);
        // Listed values keep to limits by themselves.
        let (from, to) = match spot.direction {
            Direction::Response => (new, old),
            Direction::Request => (old, new),
        };
        if !from.values.as_ref().is_some_and(|values| values.iter().all(|v| keeps(v, to))) {
            self.limits(spot, old, new);
        }
        if old.content != new.content {
            let rule = Self::rule(spot, &ENCODING_CHANGED, &SENT_ENCODING_CHANGED);
            let say = |s: &Shape<'_>| {
                let words: Vec<&str> = s.content.values().copied().collect();
                if words.is_empty() { "plain".to_owned() } else { words.join(" of ") }
            };
            let message = format!("{} is encoded as {} (was {})", spot.noun, say(new), say(old));
            self.find(spot, rule, &old.at, &new.at, message);
        }
    }

    fn listed(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let noun = &spot.noun;
        let (rule, message) = match (&old.values, &new.values) {
            (None, None) => return,
            (Some(_), None) => (
                Self::rule(spot, &ENUM_DROPPED, &SENT_ENUM_DROPPED),
                format!("{noun} is no longer limited to listed values"),
            ),
            (None, Some(values)) => (
                Self::rule(spot, &ENUM_INTRODUCED, &SENT_ENUM_INTRODUCED),
                format!("{noun} is limited to {}", list(values)),
            ),
            (Some(o), Some(n)) => {
                let lacks = |held: &[&'d Value], from: &[&'d Value]| -> Vec<&'d Value> {
                    let held = Listed::of(held);
                    from.iter().filter(|v| !held.has(v)).copied().collect()
                };
                let (gone, come) = (lacks(n, o), lacks(o, n));
                if spot.direction == Direction::Response
                    && gone.len() == o.len()
                    && !gone.is_empty()
                    && !come.is_empty()
                {
                    let message = format!("{noun} is {} (was {})", list(n), list(o));
                    return self.find(spot, &ENUM_REPLACED, &old.at, &new.at, message);
                }
                if !gone.is_empty() {
                    let rule = Self::rule(spot, &ENUM_REMOVED, &SENT_ENUM_REMOVED);
                    let message = format!("{noun} is no longer {}", list(&gone));
                    self.find(spot, rule, &old.at, &new.at, message);
                }
                if come.is_empty() {
                    return;
                }
                (
                    Self::rule(spot, &ENUM_ADDED, &SENT_ENUM_ADDED),
                    format!("{noun} may also be {}", list(&come)),
                )
            }
        };
        self.find(spot, rule, &old.at, &new.at, message);
    }

    fn format(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        // The more bits, the further on in its list.
        let bits = |format: &str| {
            let rank = |names: [&str; 2]| names.iter().position(|n| *n == format);
            rank(["int32", "int64"]).or_else(|| rank(["float", "double"]).map(|n| n + 10))
        };
        let rule = match (old.format, new.format) {
            (o, n) if o == n => return,
            (Some(_), None) => Self::rule(spot, &FORMAT_REMOVED, &SENT_FORMAT_REMOVED),
            (None, _) => Self::rule(spot, &FORMAT_ADDED, &SENT_FORMAT_ADDED),
            (Some(o), Some(n)) => match (bits(o), bits(n)) {
                (Some(o), Some(n)) if o + 1 == n => Self::rule(spot, &FORMAT_WIDENED, &SENT_LIMIT_LOOSENED),
                (Some(o), Some(n)) if n + 1 == o => Self::rule(spot, &LIMIT_TIGHTENED, &SENT_FORMAT_NARROWED),
                _ => Self::rule(spot, &FORMAT_CHANGED, &SENT_FORMAT_CHANGED),
            },
        };
        let say = |f: Option<&str>| f.map_or_else(|| "none".to_owned(), |f| format!("`{f}`"));
        let message = format!("the format of {} is {} (was {})", spot.noun, say(new.format), say(old.format));
        self.find(spot, rule, &old.at, &new.at, message);
    }

    fn patterns(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let (o, n) = (&old.patterns, &new.patterns);
        let rule = if o == n {
            return;
        } else if o.is_subset(n) {
            Self::rule(spot, &PATTERN_ADDED, &SENT_PATTERN_ADDED)
        } else if n.is_subset(o) {
            Self::rule(spot, &PATTERN_REMOVED, &SENT_PATTERN_REMOVED)
        } else {
            Self::rule(spot, &PATTERN_CHANGED, &SENT_PATTERN_CHANGED)
        };
        let say = |set: &BTreeSet<&str>| {
            let all: Vec<String> = set.iter().map(|p| format!("`{p}`")).collect();
            if all.is_empty() { "none".to_owned() } else { all.join(" and ") }
        };
        let message = format!("the pattern of {} is {} (was {})", spot.noun, say(n), say(o));
        self.find(spot, rule, &old.at, &new.at, message);
    }

    fn limits(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let both = old.types.and(new.types);
        for (keyword, types) in LIMITS {
            let (o, n) = (old.limits.get(keyword).copied(), new.limits.get(keyword).copied());
            if o == n || !types.meets(both) {
                continue;
            }
            let rule = match (o, n) {
                (Some(o), n)
                    if keyword == "minItems" && n.is_none_or(|n| n.value < 1.0) && o.value >= 1.0 =>
                {
                    Self::rule(spot, &MAY_BE_EMPTY, &SENT_LIMIT_LOOSENED)
                }
                (_, None) => Self::rule(spot, &LIMIT_LOOSENED, &SENT_LIMIT_LOOSENED),
                (None, _) => Self::rule(spot, &LIMIT_TIGHTENED, &SENT_LIMIT_SET),
                (Some(o), Some(n)) => match spot.direction {
                    Direction::Response if stricter(keyword, n, o) => &LIMIT_TIGHTENED,
                    Direction::Response => &LIMIT_LOOSENED,
                    Direction::Request if stricter(keyword, o, n) => &SENT_LIMIT_LOOSENED,
                    Direction::Request => &SENT_LIMIT_TIGHTENED,
                },
            };
            let say = |bound: Option<Bound>| match bound {
                None => "none".to_owned(),
                Some(b) => format!("{}{}", b.value, if b.exclusive { " (exclusive)" } else { "" }),
            };
            let message = format!("{keyword} of {} is {} (was {})", spot.noun, say(n), say(o));
            self.find(spot, rule, &old.at, &new.at, message);
        }
    }
}

/// Whether a value keeps to the limits of a shape.
fn keeps(value: &Value, shape: &Shape<'_>) -> bool {
    shape.limits.iter().all(|(keyword, bound)| {
        let held = match (*keyword, value) {
            ("maximum" | "minimum", Value::Number(n)) => n.as_f64(),
            ("maxLength" | "minLength", Value::String(text)) => Some(text.chars().count() as f64),
            ("multipleOf" | "maximum" | "minimum", Value::String(_)) => return true,
            _ => None,
        };
        let this = held.map(|value| Bound { value, exclusive: false });
        this.is_some_and(|this| this == *bound || stricter(keyword, this, *bound))
    })
}

/// Values in a message: the first few.
pub(super) fn list(values: &[&Value]) -> String {
    const MOST: usize = 6;
    let shown: Vec<String> = values.iter().take(MOST).map(|v| format!("`{v}`")).collect();
    let more = values.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") + &more }
}
