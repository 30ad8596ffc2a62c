//! Systematic drift: every field of a payload × every mutation that applies to it.
//!
//! Knows: how to list fields and mutations, always in the same order. Must not know: what a
//! subject makes of them.

use serde_json::Value;

use super::mutate;
use crate::fault::{Cut, Encoding, Field, Mutation, Rename};

/// The mutations of one field, in the order in which they are tried and shown.
const OF_A_FIELD: [fn(&Field) -> Mutation; 25] = [
    |f| Mutation::Remove(f.clone()),
    |f| Mutation::Rename(Rename { field: f.clone(), to: format!("{}_v2", f.name().unwrap_or("field")) }),
    |f| Mutation::Nullify(f.clone()),
    |f| Mutation::Deeper(f.clone()),
    |f| Mutation::Shallower(f.clone()),
    |f| Mutation::ToString(f.clone()),
    |f| Mutation::ToNumber(f.clone()),
    |f| Mutation::ToBoolean(f.clone()),
    |f| Mutation::ToObject(f.clone()),
    |f| Mutation::ToList(f.clone()),
    |f| Mutation::ToSingle(f.clone()),
    |f| Mutation::ToEpochSeconds(f.clone()),
    |f| Mutation::ToEpochMillis(f.clone()),
    |f| Mutation::ToIsoDate(f.clone()),
    |f| Mutation::NewEnumValue(f.clone()),
    |f| Mutation::UnknownText(f.clone()),
    |f| Mutation::LongText(f.clone()),
    |f| Mutation::UnicodeText(f.clone()),
    |f| Mutation::EmptyText(f.clone()),
    |f| Mutation::GroupedNumber(f.clone()),
    |f| Mutation::DecimalComma(f.clone()),
    |f| Mutation::Exponent(f.clone()),
    |f| Mutation::NotANumber(f.clone()),
    |f| Mutation::EmptyList(f.clone()),
    |f| Mutation::CutList(Cut { field: f.clone(), to: 1 }),
];

/// Every field beneath the top of `doc`, outer before inner, the items of a list as one `*`.
pub fn fields(doc: &Value) -> Vec<Field> {
    let mut found = Vec::new();
    list(doc, &mut Vec::new(), &mut found);
    found
}

fn list(value: &Value, above: &mut Vec<String>, found: &mut Vec<Field>) {
    let mut go = |name: &str, inner: &Value| {
        above.push(name.to_owned());
        let field = Field::of(above.clone());
        if !found.contains(&field) {
            found.push(field);
        }
        list(inner, above, found);
        above.pop();
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| go(name, inner)),
        // The items as such are not a field: what can happen to them happens to the list.
        Value::Array(items) => {
            items.iter().filter(|i| i.is_object() || i.is_array()).for_each(|i| go("*", i))
        }
        _ => {}
    }
}

/// The mutations of `field` that would change at least one of `bodies`.
pub fn applicable(field: &Field, bodies: &[Value]) -> Vec<Mutation> {
    let changes = |mutation: &Mutation| bodies.iter().any(|body| mutate(mutation, 0, &mut body.clone()));
    OF_A_FIELD.iter().map(|make| make(field)).filter(changes).collect()
}

/// The mutations of a body as a whole.
pub fn of_body() -> Vec<Mutation> {
    vec![
        Mutation::Wrap("data".to_owned()),
        Mutation::ToList(Field::default()),
        Mutation::ToSingle(Field::default()),
        Mutation::ContentType("text/html; charset=utf-8".to_owned()),
        Mutation::Encoding(Encoding::Latin1),
        Mutation::Encoding(Encoding::Utf16),
        Mutation::Encoding(Encoding::Utf8Bom),
    ]
}

/// The mutations of what a vendor wants of requests: a new required field, where there is a body
/// to hold it; and a smaller page, where there are pages.
pub fn of_requests(has_body: bool, has_pages: bool) -> Vec<Mutation> {
    let required = has_body.then(|| Mutation::Require(Field::of(["required_since_drift"])));
    let capped = has_pages.then_some(Mutation::CapPage(std::num::NonZeroU64::MIN));
    required.into_iter().chain(capped).collect()
}

/// The pair whose turn it is in this payload.
pub(super) fn pick(under: &Field, turn: u64, doc: &Value) -> Option<Mutation> {
    let beneath = |field: &Field| field.steps().starts_with(under.steps()) && field != under;
    let bodies = std::slice::from_ref(doc);
    let all: Vec<Mutation> =
        fields(doc).iter().filter(|f| beneath(f)).flat_map(|f| applicable(f, bodies)).collect();
    let len = u64::try_from(all.len()).ok().filter(|n| *n > 0)?;
    // A step without a factor in common with the number of pairs comes by each before it repeats.
    let step = (len / 2..len).rev().find(|s| coprime(*s, len)).unwrap_or(1);
    let index = (turn % len).wrapping_mul(step) % len;
    all.into_iter().nth(usize::try_from(index).ok()?)
}

fn coprime(a: u64, b: u64) -> bool {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn fields_are_listed_once_with_stars_for_items() {
        let doc =
            json!({ "results": [{ "id": 1 }, { "id": 2, "x": { "y": null } }], "total": 2, "tags": ["a"] });
        let all: Vec<String> = fields(&doc).iter().map(ToString::to_string).collect();
        assert_eq!(
            all,
            ["/results", "/results/*", "/results/*/id", "/results/*/x", "/results/*/x/y", "/total", "/tags"]
        );
    }

    #[test]
    fn only_what_changes_something_applies() {
        let words = |doc: Value| -> Vec<&str> {
            applicable(&Field::of(["x"]), &[doc]).iter().map(Mutation::word).collect()
        };
        assert!(words(json!({ "x": "open" })).contains(&"new_enum_value"));
        assert!(!words(json!({ "x": "open" })).contains(&"to_number"));
        assert!(words(json!({ "x": "12" })).contains(&"to_number"));
        assert!(!words(json!({ "x": null })).contains(&"nullify"));
        assert!(words(json!({ "y": 1 })).is_empty());
    }

    #[test]
    fn systematic_drift_comes_by_every_pair_before_it_repeats() {
        let doc = json!({ "id": "7", "properties": { "amount": "1.50", "stage": "open" } });
        let under = Field::default();
        let pairs: usize = fields(&doc).iter().map(|f| applicable(f, std::slice::from_ref(&doc)).len()).sum();
        let seen: BTreeSet<String> = (100..100 + pairs as u64)
            .filter_map(|turn| pick(&under, turn, &doc))
            .map(|m| m.to_string())
            .collect();
        assert_eq!(seen.len(), pairs);
        let only = pick(&Field::of(["properties"]), 5, &doc).unwrap();
        assert!(only.to_string().contains("/properties/"), "{only}");
    }
}
