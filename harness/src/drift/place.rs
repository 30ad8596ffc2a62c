//! Finding the places that a field means in one payload.
//!
//! Knows: pointers with `*`. Must not know: what happens at a place.

use serde_json::Value;

use crate::fault::Field;

/// The steps to one value, without `*`.
pub(super) type Place = Vec<String>;

/// Every place in `doc` that `field` means, in the order of the payload.
pub(super) fn places(doc: &Value, field: &Field) -> Vec<Place> {
    let mut found = vec![(Vec::new(), doc)];
    for step in field.steps() {
        let mut next = Vec::new();
        for (place, value) in found {
            let mut go = |name: String, inner| {
                let mut place: Place = place.clone();
                place.push(name);
                next.push((place, inner));
            };
            match value {
                Value::Object(map) => match map.get_key_value(step.as_str()) {
                    Some((name, inner)) => go(name.clone(), inner),
                    None if step == "*" => map.iter().for_each(|(name, inner)| go(name.clone(), inner)),
                    None => {}
                },
                Value::Array(list) if step == "*" => {
                    list.iter().enumerate().for_each(|(n, inner)| go(n.to_string(), inner));
                }
                Value::Array(list) => {
                    if let Some(inner) = step.parse::<usize>().ok().and_then(|n| list.get(n)) {
                        go(step.clone(), inner);
                    }
                }
                _ => {}
            }
        }
        found = next;
    }
    found.into_iter().map(|(place, _)| place).collect()
}

/// How far `doc` goes along the way to `field`, and what it has there; `None` if it has the field.
pub fn missing<'d>(doc: &'d Value, field: &Field) -> Option<(usize, &'d Value)> {
    let steps = field.steps();
    let part = |n: usize| places(doc, &Field::of(steps[..n].iter().cloned())).into_iter().next();
    let (n, place) = (0..=steps.len()).rev().find_map(|n| Some((n, part(n)?)))?;
    let there = place.iter().try_fold(doc, |value, step| match value {
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    });
    there.filter(|_| n < steps.len()).map(|there| (n, there))
}

/// The value at a place.
pub(super) fn at<'v>(doc: &'v mut Value, place: &[String]) -> Option<&'v mut Value> {
    place.iter().try_fold(doc, |value, step| match value {
        Value::Object(map) => map.get_mut(step),
        Value::Array(list) => list.get_mut(step.parse::<usize>().ok()?),
        _ => None,
    })
}
