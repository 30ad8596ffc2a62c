//! What becomes of a value, and of the object around it.
//!
//! Knows: each mutation of a field. Must not know: bytes, header fields, requests.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use serde_json::{Number, Value, json};

use super::place::{Place, at, places};
use crate::fault::{Cut, Mutation, Rename, Set};

/// Where a field that moves deeper goes.
const DEEPER: &str = "attributes";
/// Marks a text that stands for a number as it is to be spelled; a private-use character.
pub(super) const RAW: char = '\u{e0f1}';
/// A text of every kind of trouble: emoji, a joined one, combining marks, right-to-left, a
/// full-width letter, the replacement character.
const UNICODE: &str = "🍮👩‍🚒 Z͑ͫ̓ä̃ ‏שלום‎ Ａ ﷽ �";

/// Changes every place that the mutation's field means; true if any changed.
pub(super) fn at_each_place(mutation: &Mutation, doc: &mut Value) -> bool {
    let Some(field) = mutation.field() else { return false };
    let mut changed = false;
    // From the end, so that what goes does not move what is still to be found.
    for place in places(doc, field).into_iter().rev() {
        changed |= match mutation {
            Mutation::Remove(_) => remove(doc, &place).is_some(),
            Mutation::Rename(rename) => renamed(doc, &place, rename),
            Mutation::Deeper(_) => deeper(doc, &place),
            Mutation::Shallower(_) => shallower(doc, &place),
            _ => at(doc, &place).is_some_and(|value| match becomes(mutation, value) {
                Some(new) => {
                    *value = new;
                    true
                }
                None => false,
            }),
        };
    }
    changed
}

fn holder<'v, 'p>(doc: &'v mut Value, place: &'p Place) -> Option<(&'v mut Value, &'p str)> {
    let (name, above) = place.split_last()?;
    Some((at(doc, above)?, name))
}

fn remove(doc: &mut Value, place: &Place) -> Option<Value> {
    match holder(doc, place)? {
        (Value::Object(map), name) => map.shift_remove(name),
        (Value::Array(list), name) => {
            let n = name.parse::<usize>().ok().filter(|n| *n < list.len())?;
            Some(list.remove(n))
        }
        _ => None,
    }
}

fn renamed(doc: &mut Value, place: &Place, rename: &Rename) -> bool {
    let Some((Value::Object(map), name)) = holder(doc, place) else { return false };
    if map.contains_key(&rename.to) {
        return false;
    }
    // In its old place: the order of fields means nothing, but people read it.
    *map = std::mem::take(map)
        .into_iter()
        .map(|(key, value)| if key == name { (rename.to.clone(), value) } else { (key, value) })
        .collect();
    true
}

fn deeper(doc: &mut Value, place: &Place) -> bool {
    let Some((Value::Object(map), name)) = holder(doc, place) else { return false };
    let value = map.shift_remove(name).unwrap_or_default();
    if let Value::Object(inner) = map.entry(DEEPER).or_insert_with(|| json!({})) {
        inner.insert(name.to_owned(), value);
        return true;
    }
    map.insert(name.to_owned(), value);
    false
}

fn shallower(doc: &mut Value, place: &Place) -> bool {
    let [above @ .., _, name] = place.as_slice() else { return false };
    match at(doc, above) {
        Some(Value::Object(map)) if !map.contains_key(name) => {}
        _ => return false,
    }
    if !matches!(holder(doc, place), Some((Value::Object(_), _))) {
        return false;
    }
    let Some(value) = remove(doc, place) else { return false };
    if let Some(Value::Object(map)) = at(doc, above) {
        map.insert(name.clone(), value);
    }
    true
}

/// What a value becomes; `None` if it cannot change in this way.
fn becomes(mutation: &Mutation, value: &Value) -> Option<Value> {
    match mutation {
        Mutation::Nullify(_) => Some(Value::Null),
        Mutation::Set(Set { value, .. }) => Some(value.clone()),
        Mutation::ToString(_) => match value {
            Value::Number(n) => Some(json!(n.to_string())),
            Value::Bool(b) => Some(json!(b.to_string())),
            _ => None,
        },
        Mutation::ToNumber(_) => match value {
            Value::String(text) => serde_json::from_str::<Number>(text).ok().map(Value::Number),
            Value::Bool(truth) => Some(json!(u8::from(*truth))),
            _ => None,
        },
        Mutation::ToBoolean(_) => match value {
            Value::String(text) => text.parse::<bool>().ok().map(Value::Bool),
            Value::Number(n) => Some(json!(n.as_f64() != Some(0.0))),
            _ => None,
        },
        Mutation::ToObject(_) if plain(value) => Some(json!({ "value": value, "currency": "USD" })),
        Mutation::ToList(_) if !value.is_array() => Some(json!([value])),
        Mutation::ToSingle(_) => value.as_array()?.first().cloned(),
        Mutation::ToEpochSeconds(_) => Some(json!(instant(value)?.as_second())),
        Mutation::ToEpochMillis(_) => Some(json!(instant(value)?.as_millisecond())),
        Mutation::ToIsoDate(_) => Some(json!(epoch(value)?.to_string())),
        Mutation::NewEnumValue(_) => {
            let word = value.as_str().filter(|t| is_word(t))?;
            let upper = word.chars().all(|c| !c.is_ascii_lowercase());
            Some(json!(format!("{word}{}", if upper { "_PENDING" } else { "_pending" })))
        }
        Mutation::UnknownText(_) => text(value).map(|_| json!("firedrill-unknown")),
        Mutation::LongText(_) => {
            // It ends in a letter: blanks at the end are anybody's to trim.
            text(value).map(|t| json!(t.chars().cycle().take(9_999).chain(['z']).collect::<String>()))
        }
        Mutation::UnicodeText(_) => text(value).map(|_| json!(UNICODE)),
        Mutation::EmptyText(_) => text(value).map(|_| json!("")),
        Mutation::GroupedNumber(_) => grouped(&numeric(value)?).map(Value::String),
        Mutation::DecimalComma(_) => {
            let number = numeric(value)?;
            let (whole, part) = number.split_once('.').unwrap_or((&number, "00"));
            Some(json!(format!("{whole},{part}")))
        }
        Mutation::Exponent(_) => {
            let spelled = exponent(&numeric(value)?)?;
            Some(if value.is_number() { json!(format!("{RAW}{spelled}")) } else { json!(spelled) })
        }
        Mutation::NotANumber(_) => numeric(value).map(|_| json!("NaN")),
        Mutation::EmptyList(_) => value.as_array().filter(|l| !l.is_empty()).map(|_| json!([])),
        Mutation::CutList(Cut { to, .. }) => {
            value.as_array().filter(|l| l.len() > *to).map(|l| json!(l[..*to]))
        }
        _ => None,
    }
}

fn plain(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_boolean()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|t| !t.is_empty())
}

/// A word of an enumeration, as APIs write them.
fn is_word(text: &str) -> bool {
    (2..=40).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '-'))
}

/// A plain decimal number, as its digits.
fn numeric(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => n.to_string(),
        _ => return None,
    };
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    (all(whole) && all(part)).then_some(text)
}

/// `1234.50` as `1,234.50`; `None` below a thousand.
fn grouped(number: &str) -> Option<String> {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(w, p)| (w, Some(p)));
    if whole.len() < 4 {
        return None;
    }
    let mut out = String::from(sign);
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out.extend(part.map(|p| format!(".{p}")));
    Some(out)
}

/// `1234.50` as `1.2345e3`: the same number. `None` for zero.
fn exponent(number: &str) -> Option<String> {
    let value: Decimal = number.parse().ok()?;
    if value.is_zero() {
        return None;
    }
    let digits = value.normalize().mantissa().unsigned_abs().to_string();
    let power = digits.len() as i64 - 1 - i64::from(value.normalize().scale());
    let digits = digits.trim_end_matches('0');
    let (first, rest) = digits.split_at(1);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let point = if rest.is_empty() { String::new() } else { format!(".{rest}") };
    Some(format!("{sign}{first}{point}e{power}"))
}

/// An ISO 8601 date, or date and time, as an instant; without a zone, in UTC.
fn instant(value: &Value) -> Option<Timestamp> {
    let text = value.as_str()?;
    if text.len() < 10 || !text.as_bytes()[..4].iter().all(u8::is_ascii_digit) || text.as_bytes()[4] != b'-' {
        return None;
    }
    let civil = |at: DateTime| at.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp());
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| text.parse::<DateTime>().ok().and_then(civil))
        .or_else(|| text.parse::<Date>().ok().and_then(|d| civil(d.at(0, 0, 0, 0))))
}

/// A number of seconds or milliseconds that is a moment between 2001 and 2100.
fn epoch(value: &Value) -> Option<Timestamp> {
    let number: i64 = numeric(value)?.parse().ok()?;
    match number {
        978_307_200..=4_102_444_800 => Timestamp::from_second(number).ok(),
        978_307_200_000..=4_102_444_800_000 => Timestamp::from_millisecond(number).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::mutate;
    use super::*;

    fn becomes_of(yaml: &str, doc: Value) -> Option<Value> {
        let mutation: Mutation = serde_saphyr::from_str(yaml).unwrap();
        let mut doc = doc;
        mutate(&mutation, 0, &mut doc).then_some(doc)
    }

    #[test]
    fn every_mutation_changes_what_it_says() {
        let deal = || {
            json!({ "id": "7", "archived": false, "n": 1250, "at": "2026-03-02T09:00:00Z", "s": 1772442000,
            "properties": { "amount": "1234.50", "stage": "open" }, "list": [1, 2] })
        };
        for (yaml, pointer, expected) in [
            ("remove: /properties/amount", "/properties", json!({ "stage": "open" })),
            (
                "rename: { field: /properties/amount, to: total }",
                "/properties",
                json!({ "total": "1234.50", "stage": "open" }),
            ),
            ("nullify: /id", "/id", json!(null)),
            ("deeper: /properties/amount", "/properties/attributes/amount", json!("1234.50")),
            ("shallower: /properties/amount", "/amount", json!("1234.50")),
            ("to_string: /n", "/n", json!("1250")),
            ("to_string: /archived", "/archived", json!("false")),
            ("to_number: /properties/amount", "/properties/amount", json!(1234.5)),
            ("to_number: /archived", "/archived", json!(0)),
            ("to_boolean: /n", "/n", json!(true)),
            (
                "to_object: /properties/amount",
                "/properties/amount",
                json!({ "value": "1234.50", "currency": "USD" }),
            ),
            ("to_list: /properties", "/properties/0/stage", json!("open")),
            ("to_list: ''", "/0/id", json!("7")),
            ("to_single: /list", "/list", json!(1)),
            ("to_epoch_seconds: /at", "/at", json!(1_772_442_000)),
            ("to_epoch_millis: /at", "/at", json!(1_772_442_000_000_i64)),
            ("to_iso_date: /s", "/s", json!("2026-03-02T09:00:00Z")),
            ("new_enum_value: /properties/stage", "/properties/stage", json!("open_pending")),
            ("unknown_text: /id", "/id", json!("firedrill-unknown")),
            ("empty_text: /id", "/id", json!("")),
            ("grouped_number: /properties/amount", "/properties/amount", json!("1,234.50")),
            ("decimal_comma: /properties/amount", "/properties/amount", json!("1234,50")),
            ("exponent: /properties/amount", "/properties/amount", json!("1.2345e3")),
            ("not_a_number: /n", "/n", json!("NaN")),
            ("set: { field: /id, value: [1] }", "/id", json!([1])),
            ("empty_list: /list", "/list", json!([])),
            ("cut_list: { field: /list, to: 1 }", "/list", json!([1])),
            ("wrap: data", "/data/id", json!("7")),
        ] {
            let changed = becomes_of(yaml, deal()).unwrap_or_else(|| panic!("{yaml} changed nothing"));
            assert_eq!(changed.pointer(pointer), Some(&expected), "{yaml}: {changed}");
        }
    }

    #[test]
    fn what_does_not_apply_changes_nothing() {
        for yaml in [
            "remove: /nothing",
            "to_number: /name",
            "to_single: /name",
            "shallower: /name",
            "nullify: /null",
            "to_epoch_seconds: /name",
            "empty_list: /empty",
            "rename: { field: /name, to: \"null\" }",
            "grouped_number: /n",
            "new_enum_value: /n",
            "exponent: /zero",
        ] {
            let doc = json!({ "name": "Łódź 1", "null": null, "n": 999, "empty": [], "zero": 0 });
            assert_eq!(becomes_of(yaml, doc), None, "{yaml}");
        }
    }

    #[test]
    fn a_star_is_each_item() {
        let page = json!({ "results": [{ "id": 1, "x": 1 }, { "id": 2 }] });
        assert_eq!(
            becomes_of("remove: /results/*/id", page.clone()),
            Some(json!({ "results": [{ "x": 1 }, {}] }))
        );
        assert_eq!(becomes_of("remove: /results/*", page.clone()), Some(json!({ "results": [] })));
        assert_eq!(
            becomes_of("deeper: /results/*/id", page),
            Some(
                json!({ "results": [{ "x": 1, "attributes": { "id": 1 } }, { "attributes": { "id": 2 } }] })
            )
        );
    }

    proptest::proptest! {
        #[test]
        fn an_exponent_is_the_same_number(cents in 1i64..1_000_000_000_000) {
            let plain = Decimal::new(cents, 2);
            let spelled = exponent(&plain.to_string()).unwrap();
            proptest::prop_assert_eq!(Decimal::from_scientific(&spelled).unwrap(), plain);
        }

        #[test]
        fn grouping_loses_no_digit(n in 1000u64..) {
            proptest::prop_assert_eq!(grouped(&n.to_string()).unwrap().replace(',', ""), n.to_string());
        }
    }
}
