//! Finding records: equality filters of lists, HubSpot's filter groups, Stripe's query language.
//!
//! Knows: operators and how values compare. Must not know: paging, envelopes.

use std::cmp::Ordering;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::time::Span;

use super::errors::{Case, Refusal};
use super::value::{Path, same_text, text_of};

/// How a search is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SearchDialect {
    /// `filterGroups` of filters, `sorts`, in a JSON body.
    FilterGroups {
        /// The object that holds the properties.
        under: String,
    },
    /// `query=metadata['k']:'v' AND created>1`.
    Query {
        /// How long a new record stays out of sight: searches may lag behind.
        #[serde(default)]
        lag: Span,
    },
}

/// Values compared: numbers as numbers, times as times, the rest as text.
#[derive(Debug, PartialEq)]
enum Key {
    Number(Decimal),
    Text(String),
}

fn key(value: &Value) -> Option<Key> {
    let text = text_of(value)?;
    if let Ok(number) = text.parse::<Decimal>() {
        return Some(Key::Number(number));
    }
    if text.len() >= 20
        && let Ok(time) = text.parse::<jiff::Timestamp>()
    {
        return Some(Key::Number(Decimal::from(time.as_millisecond())));
    }
    Some(Key::Text(text))
}

/// Compares two values; `None` if one is missing or they do not compare.
pub fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (key(a)?, key(b)?) {
        (Key::Number(a), Key::Number(b)) => Some(a.cmp(&b)),
        (Key::Text(a), Key::Text(b)) => Some(a.cmp(&b)),
        _ => None,
    }
}

/// Whether a list's filter lets a record through: equality, or `{gte, gt, lte, lt}`.
pub fn passes(field: &Path, wanted: &Value, record: &Value) -> bool {
    let value = field.get(record).unwrap_or(&Value::Null);
    match wanted {
        Value::Object(bounds) => bounds.iter().all(|(op, bound)| {
            let order = compare(value, bound);
            match op.as_str() {
                "gt" => order.is_some_and(Ordering::is_gt),
                "gte" => order.is_some_and(Ordering::is_ge),
                "lt" => order.is_some_and(Ordering::is_lt),
                "lte" => order.is_some_and(Ordering::is_le),
                _ => false,
            }
        }),
        wanted => same_text(value, wanted),
    }
}

/// A compiled search.
#[derive(Debug, Default)]
pub struct Search {
    /// Any group must hold.
    groups: Vec<Vec<Test>>,
    /// Fields to sort by, and whether downwards.
    pub sorts: Vec<(Path, bool)>,
}

#[derive(Debug)]
struct Test {
    path: Path,
    op: Op,
    negated: bool,
}

#[derive(Debug)]
enum Op {
    Is(Value),
    Less(Value),
    AtMost(Value),
    More(Value),
    AtLeast(Value),
    Between(Value, Value),
    In(Vec<Value>),
    Has,
    Contains(String),
}

impl Test {
    fn holds(&self, record: &Value) -> bool {
        let value = self.path.get(record).filter(|v| !v.is_null());
        let against = |bound: &Value| value.and_then(|v| compare(v, bound));
        let holds = match &self.op {
            Op::Is(wanted) => against(wanted) == Some(Ordering::Equal),
            Op::Less(bound) => against(bound).is_some_and(Ordering::is_lt),
            Op::AtMost(bound) => against(bound).is_some_and(Ordering::is_le),
            Op::More(bound) => against(bound).is_some_and(Ordering::is_gt),
            Op::AtLeast(bound) => against(bound).is_some_and(Ordering::is_ge),
            Op::Between(low, high) => {
                against(low).is_some_and(Ordering::is_ge) && against(high).is_some_and(Ordering::is_le)
            }
            Op::In(list) => list.iter().any(|w| against(w) == Some(Ordering::Equal)),
            Op::Has => value.is_some_and(|v| v != ""),
            Op::Contains(part) => {
                value.and_then(text_of).is_some_and(|t| t.to_lowercase().contains(&part.to_lowercase()))
            }
        };
        holds != self.negated
    }
}

impl Search {
    /// Whether a record is found.
    pub fn finds(&self, record: &Value) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|group| group.iter().all(|t| t.holds(record)))
    }

    /// The order of two records.
    pub fn order(&self, a: &Value, b: &Value) -> Ordering {
        for (path, down) in &self.sorts {
            let (x, y) = (path.get(a).unwrap_or(&Value::Null), path.get(b).unwrap_or(&Value::Null));
            let order = compare(x, y).unwrap_or_else(|| x.is_null().cmp(&y.is_null()).reverse());
            if order != Ordering::Equal {
                return if *down { order.reverse() } else { order };
            }
        }
        Ordering::Equal
    }

    /// Reads HubSpot's search body
    /// (developers.hubspot.com/docs/api-reference/search/guide: five groups, six filters a group).
    ///
    /// # Errors
    /// What cannot be read.
    pub fn filter_groups(body: &Map<String, Value>, under: &str) -> Result<Search, Refusal> {
        let bad = |why: String| Refusal::case(Case::BadQuery).with("why", why);
        let path = |name: &str| Path::new(&format!("{under}.{name}"));
        let empty = Vec::new();
        let list = |value: Option<&'_ Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut search = Search::default();
        let mut raw = list(body.get("filterGroups"));
        if raw.is_empty()
            && let Some(filters) = body.get("filters").and_then(Value::as_array)
        {
            raw.push(serde_json::json!({ "filters": filters }));
        }
        if raw.len() > 5 {
            return Err(bad(format!("{} filter groups; the most is 5", raw.len())));
        }
        for group in &raw {
            let filters = group.get("filters").and_then(Value::as_array).unwrap_or(&empty);
            if filters.len() > 6 {
                return Err(bad(format!("{} filters in a group; the most is 6", filters.len())));
            }
            let mut tests = Vec::new();
            for filter in filters {
                let name = filter
                    .get("propertyName")
                    .and_then(Value::as_str)
                    .ok_or_else(|| bad("a filter without propertyName".to_owned()))?;
                let operator = filter.get("operator").and_then(Value::as_str).unwrap_or_default();
                let value = || {
                    filter
                        .get("value")
                        .filter(|v| !v.is_null())
                        .cloned()
                        .ok_or_else(|| bad(format!("operator {operator} needs a value")))
                };
                let values = || {
                    let values = list(filter.get("values"));
                    if values.is_empty() {
                        return Err(bad(format!("operator {operator} needs values")));
                    }
                    Ok(values)
                };
                let text = || value().map(|v| text_of(&v).unwrap_or_default().trim_matches('*').to_owned());
                let (op, negated) = match operator {
                    "EQ" => (Op::Is(value()?), false),
                    "NEQ" => (Op::Is(value()?), true),
                    "LT" => (Op::Less(value()?), false),
                    "LTE" => (Op::AtMost(value()?), false),
                    "GT" => (Op::More(value()?), false),
                    "GTE" => (Op::AtLeast(value()?), false),
                    "BETWEEN" => {
                        let high = filter.get("highValue").cloned();
                        let high =
                            high.ok_or_else(|| bad("operator BETWEEN needs a highValue".to_owned()))?;
                        (Op::Between(value()?, high), false)
                    }
                    "IN" => (Op::In(values()?), false),
                    "NOT_IN" => (Op::In(values()?), true),
                    "HAS_PROPERTY" => (Op::Has, false),
                    "NOT_HAS_PROPERTY" => (Op::Has, true),
                    "CONTAINS_TOKEN" => (Op::Contains(text()?), false),
                    "NOT_CONTAINS_TOKEN" => (Op::Contains(text()?), true),
                    other => return Err(bad(format!("no operator {other}"))),
                };
                tests.push(Test { path: path(name), op, negated });
            }
            search.groups.push(tests);
        }
        for sort in list(body.get("sorts")) {
            let (name, down) = match &sort {
                Value::String(name) => (name.trim_start_matches('-').to_owned(), name.starts_with('-')),
                sort => {
                    let name = sort.get("propertyName").and_then(Value::as_str).unwrap_or_default();
                    (name.to_owned(), sort.get("direction").is_some_and(|d| d == "DESCENDING"))
                }
            };
            search.sorts.push((path(&name), down));
        }
        Ok(search)
    }

    /// Reads Stripe's search query language (docs.stripe.com/search#search-query-language).
    ///
    /// # Errors
    /// What cannot be read.
    pub fn query(text: &str) -> Result<Search, Refusal> {
        let bad = |why: &str| Refusal::case(Case::BadQuery).with("why", format!("{why} in `{text}`"));
        let mut tests = Vec::new();
        let mut rest = text.trim();
        let mut any = None;
        if rest.is_empty() {
            return Err(Refusal::case(Case::MissingParameter).with("param", "query"));
        }
        loop {
            let negated = rest.starts_with('-');
            rest = rest.strip_prefix('-').unwrap_or(rest).trim_start();
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
                .ok_or_else(|| bad("a field without a condition"))?;
            let mut field = rest[..end].to_owned();
            rest = &rest[end..];
            if let Some(inner) = rest.strip_prefix('[') {
                let (name, after) = quoted(inner).ok_or_else(|| bad("an unquoted metadata name"))?;
                rest = after.trim_start().strip_prefix(']').ok_or_else(|| bad("an open bracket"))?;
                field = format!("{field}.{name}");
            }
            rest = rest.trim_start();
            type Sign = (&'static str, fn(Value) -> Op);
            let ops: [Sign; 6] = [
                (">=", Op::AtLeast),
                ("<=", Op::AtMost),
                (":", Op::Is),
                ("~", |v| Op::Contains(text_of(&v).unwrap_or_default())),
                (">", Op::More),
                ("<", Op::Less),
            ];
            let (sign, make) = ops
                .into_iter()
                .find(|(sign, _)| rest.starts_with(sign))
                .ok_or_else(|| bad("a field without an operator"))?;
            rest = rest[sign.len()..].trim_start();
            let value = if let Some((value, after)) = quoted(rest) {
                rest = after;
                value
            } else {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let value = rest[..end].to_owned();
                rest = &rest[end..];
                value
            };
            if value.is_empty() && !text.contains("\"\"") && !text.contains("''") {
                return Err(bad("an operator without a value"));
            }
            let op = if sign == ":" && value == "null" { Op::Has } else { make(Value::String(value)) };
            let negated = negated != matches!(op, Op::Has);
            tests.push(Test { path: Path::new(&field), op, negated });
            rest = rest.trim_start();
            if rest.is_empty() {
                break;
            }
            let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            let or = match word {
                "AND" | "and" => false,
                "OR" | "or" => true,
                // Clauses side by side are joined by AND.
                _ => {
                    if any == Some(true) {
                        return Err(bad("AND and OR together"));
                    }
                    any = Some(false);
                    continue;
                }
            };
            if any.is_some_and(|any| any != or) {
                return Err(bad("AND and OR together"));
            }
            any = Some(or);
            rest = after.trim_start();
        }
        let groups =
            if any == Some(true) { tests.into_iter().map(|t| vec![t]).collect() } else { vec![tests] };
        Ok(Search { groups, sorts: Vec::new() })
    }
}

/// The text of a quoted string, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => out.push(chars.next()?.1),
            c if c == quote => return Some((out, &text[at + c.len_utf8()..])),
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(body: Value) -> Vec<usize> {
        let records = [
            json!({ "properties": { "stage": "won", "amount": "9.5", "at": "2026-01-01T00:00:00.000Z" } }),
            json!({ "properties": { "stage": "lost", "amount": "10", "at": "2026-01-02T00:00:00.000Z" } }),
            json!({ "properties": { "stage": "won", "amount": null, "at": "2026-01-03T00:00:00.000Z" } }),
        ];
        let search = Search::filter_groups(body.as_object().unwrap(), "properties").unwrap();
        let mut hits: Vec<usize> = (0..3).filter(|i| search.finds(&records[*i])).collect();
        hits.sort_by(|a, b| search.order(&records[*a], &records[*b]));
        hits
    }

    fn one(filter: Value) -> Vec<usize> {
        found(json!({ "filterGroups": [{ "filters": [filter] }] }))
    }

    #[test]
    fn every_operator_finds_what_it_says() {
        let f = |op: &str, value: Value| json!({ "propertyName": "amount", "operator": op, "value": value });
        assert_eq!(one(json!({ "propertyName": "stage", "operator": "EQ", "value": "won" })), [0, 2]);
        assert_eq!(one(json!({ "propertyName": "stage", "operator": "NEQ", "value": "won" })), [1]);
        assert_eq!(one(f("LT", json!("10"))), [0], "numbers compare as numbers");
        assert_eq!(one(f("LTE", json!("10.00"))), [0, 1]);
        assert_eq!(one(f("GT", json!(9))), [0, 1]);
        assert_eq!(one(f("GTE", json!("10"))), [1]);
        assert_eq!(one(f("HAS_PROPERTY", Value::Null)), [0, 1]);
        assert_eq!(one(f("NOT_HAS_PROPERTY", Value::Null)), [2]);
        let between =
            json!({ "propertyName": "amount", "operator": "BETWEEN", "value": "9", "highValue": "9.9" });
        assert_eq!(one(between), [0]);
        assert_eq!(one(json!({ "propertyName": "stage", "operator": "IN", "values": ["lost", "x"] })), [1]);
        assert_eq!(one(json!({ "propertyName": "stage", "operator": "NOT_IN", "values": ["lost"] })), [0, 2]);
        assert_eq!(
            one(json!({ "propertyName": "stage", "operator": "CONTAINS_TOKEN", "value": "LO*" })),
            [1]
        );
    }

    #[test]
    fn times_compare_with_epoch_milliseconds() {
        let from = json!({ "propertyName": "at", "operator": "GTE", "value": "1767312000000" });
        assert_eq!(one(from), [1, 2]);
    }

    #[test]
    fn groups_are_alternatives_and_sorts_order() {
        let eq = |v: &str| json!({ "filters": [{ "propertyName": "stage", "operator": "EQ", "value": v }] });
        let sorts = json!([{ "propertyName": "at", "direction": "DESCENDING" }]);
        assert_eq!(found(json!({ "filterGroups": [eq("won"), eq("lost")], "sorts": sorts })), [2, 1, 0]);
        assert_eq!(found(json!({})), [0, 1, 2]);
    }

    #[test]
    fn a_search_that_cannot_be_read_is_refused() {
        for filter in [
            json!({ "operator": "EQ", "value": 1 }),
            json!({ "propertyName": "a", "operator": "LIKE", "value": 1 }),
            json!({ "propertyName": "a", "operator": "EQ" }),
            json!({ "propertyName": "a", "operator": "IN" }),
        ] {
            let body = json!({ "filterGroups": [{ "filters": [filter] }] });
            assert!(Search::filter_groups(body.as_object().unwrap(), "p").is_err());
        }
    }

    #[test]
    fn queries_read_fields_metadata_and_joins() {
        let record = json!({ "email": "a@b.c", "created": 100, "metadata": { "deal_id": "7", "it's": "x" } });
        for (query, finds) in [
            ("metadata['deal_id']:'7'", true),
            ("metadata[\"deal_id\"]:\"8\"", false),
            ("email:'a@b.c' AND metadata['deal_id']:'7'", true),
            ("email:'x' OR created>=100", true),
            ("created>100", false),
            ("-email:'x'", true),
            ("email~'B.C'", true),
            ("metadata['none']:null", true),
            ("-metadata['deal_id']:null", true),
            ("metadata['it\\'s']:'x'", true),
        ] {
            assert_eq!(Search::query(query).unwrap().finds(&record), finds, "{query}");
        }
        for query in ["", "email", "email:", "a:'1' AND b:'2' OR c:'3'", "metadata[x]:'1'"] {
            assert!(Search::query(query).is_err(), "{query}");
        }
    }
}
