//! Payloads of one shape, folded into one block.
//!
//! Knows: fields and values as text. Must not know: where they come from.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

/// Different values that are shown, each with how often it came.
const SHOWN: usize = 4;
/// Of more than those, how many stand for all.
const STAND_FOR_ALL: usize = 3;
/// The longest value, in characters.
const LONGEST: usize = 160;

/// Fields with their values, in the order they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Payload(Vec<(String, String)>);

impl Payload {
    /// Adds a field; one that is there already gets another value.
    pub fn add(&mut self, field: String, value: String) {
        match self.0.iter_mut().find(|(f, _)| *f == field) {
            Some((_, values)) => {
                values.push_str(" & ");
                values.push_str(&value);
            }
            None => self.0.push((field, value)),
        }
    }

    fn fields(&self) -> Vec<&str> {
        self.0.iter().map(|(field, _)| field.as_str()).collect()
    }
}

/// The payloads of one operation.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// Different payloads, with how often each was sent.
    payloads: BTreeMap<Payload, usize>,
}

impl Shapes {
    /// Takes in a payload.
    pub fn add(&mut self, payload: Payload) {
        *self.payloads.entry(payload).or_default() += 1;
    }

    /// A block for each shape, under `name`.
    pub fn text(&self, name: &str) -> String {
        let mut shapes: BTreeMap<Vec<&str>, Vec<(&Payload, usize)>> = BTreeMap::new();
        for (payload, sent) in &self.payloads {
            shapes.entry(payload.fields()).or_default().push((payload, *sent));
        }
        shapes
            .into_iter()
            .map(|(fields, payloads)| block(name, &fields, &payloads))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn block(name: &str, fields: &[&str], payloads: &[(&Payload, usize)]) -> String {
    let sent: usize = payloads.iter().map(|(_, sent)| sent).sum();
    let noun = if payloads.len() == 1 { "payload" } else { "payloads" };
    let again = if sent == payloads.len() { String::new() } else { format!(", sent {sent} times") };
    let mut text = format!("{name}  ({} {noun}{again})\n", payloads.len());
    let width = fields.iter().map(|f| f.chars().count()).max().unwrap_or(0);
    for (n, field) in fields.iter().enumerate() {
        let values = payloads.iter().map(|(p, _)| p.0[n].1.as_str());
        text.push_str(&format!("  {field:width$}  {}\n", column(values)).replace(" \n", "\n"));
    }
    if let Some(rows) = together(fields.len(), payloads) {
        text.push_str(&format!("  {:width$}  {rows}\n", "(which goes with which)"));
    }
    text
}

/// The values that a field had.
fn column<'v>(values: impl Iterator<Item = &'v str>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by(|(a, _), (b, _)| by_number(a, b));
    let show = |value: &str| clip(value);
    match counts.len() {
        1 => show(counts[0].0),
        2..=SHOWN => counts.iter().map(|(v, n)| format!("{} ×{n}", show(v))).collect::<Vec<_>>().join(", "),
        n => {
            let first =
                counts.iter().take(STAND_FOR_ALL).map(|(v, _)| show(v)).collect::<Vec<_>>().join(", ");
            let all = counts.iter().flat_map(|(v, n)| [v.to_string(), n.to_string()]);
            format!("{first}, … {n} different #{}", digest(all))
        }
    }
}

/// A digest of which names stand beside which, where that is not plain from the columns.
fn together(fields: usize, payloads: &[(&Payload, usize)]) -> Option<String> {
    let is_name = |value: &str| value.contains("#") && value.contains('[');
    let varies = |n: &usize| {
        let values: BTreeSet<&str> = payloads.iter().map(|(p, _)| p.0[*n].1.as_str()).collect();
        values.len() > 1 && values.iter().all(|v| is_name(v))
    };
    let columns: Vec<usize> = (0..fields).filter(varies).collect();
    if columns.len() < 2 {
        return None;
    }
    let row = |p: &Payload| columns.iter().map(|n| p.0[*n].1.as_str()).collect::<Vec<_>>().join(" ");
    let rows: BTreeSet<String> = payloads.iter().map(|(p, _)| row(p)).collect();
    Some(format!("#{}", digest(rows.into_iter())))
}

fn digest(parts: impl Iterator<Item = String>) -> String {
    let text = parts.collect::<Vec<_>>().join("\n");
    hex::encode(&Sha256::digest(text.as_bytes())[..4])
}

fn clip(value: &str) -> String {
    let clean: String = value.chars().map(|c| if c.is_control() { '·' } else { c }).collect();
    if clean.chars().count() <= LONGEST {
        return clean;
    }
    let start: String = clean.chars().take(LONGEST).collect();
    format!("{start}… #{}", digest(std::iter::once(value.to_owned())))
}

/// `[deal#2]` before `[deal#10]`.
fn by_number(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let end = text[start..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |n| start + n);
        (text[..start].to_owned(), text[start..end].parse::<u128>().unwrap_or(0))
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(rows: &[&[(&str, &str)]]) -> String {
        let mut shapes = Shapes::default();
        for row in rows {
            let mut payload = Payload::default();
            row.iter().for_each(|(f, v)| payload.add((*f).to_owned(), (*v).to_owned()));
            shapes.add(payload);
        }
        shapes.text("x")
    }

    #[test]
    fn equal_payloads_are_one_and_shapes_stand_apart() {
        let text = shapes(&[&[("a", "1")], &[("a", "1")], &[("a", "2"), ("b", "3")]]);
        assert_eq!(text, "x  (1 payload, sent 2 times)\n  a  1\n\nx  (1 payload)\n  a  2\n  b  3\n");
    }

    #[test]
    fn no_value_of_many_can_change_unseen() {
        let rows: Vec<Vec<(&str, String)>> = (1..=20).map(|n| vec![("a", format!("[deal#{n}]"))]).collect();
        let text = |rows: &[Vec<(&str, String)>]| {
            let rows: Vec<Vec<(&str, &str)>> =
                rows.iter().map(|r| r.iter().map(|(f, v)| (*f, v.as_str())).collect()).collect();
            shapes(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        let before = text(&rows);
        assert!(before.contains("[deal#1], [deal#2], [deal#3], … 20 different #"), "{before}");
        let mut other = rows.clone();
        other[16][0].1 = "[deal#99]".to_owned();
        assert_ne!(text(&other), before);
        other = rows.clone();
        other.reverse();
        assert_eq!(text(&other), before, "order shows");
    }

    #[test]
    fn a_swapped_relation_shows_although_no_column_changes() {
        let one: &[(&str, &str)] = &[("deal", "[deal#1]"), ("customer", "[customer#1]")];
        let two: &[(&str, &str)] = &[("deal", "[deal#2]"), ("customer", "[customer#2]")];
        let crossed: [&[(&str, &str)]; 2] = [
            &[("deal", "[deal#1]"), ("customer", "[customer#2]")],
            &[("deal", "[deal#2]"), ("customer", "[customer#1]")],
        ];
        assert_ne!(shapes(&[one, two]), shapes(&crossed));
    }
}
