//! Uniqueness: no two live records share what only one may have.
//!
//! Knows: `expect.unique` and the ledgers. Must not know: how the subject looks before it writes.

use indexmap::{IndexMap, IndexSet};
use serde_json::Value;

use super::evidence::{Changed, Evidence};
use super::say::{Findings, Say};
use crate::finding::Judgement;
use crate::scenario::{Family, Unique};
use crate::trace::{Cause, ChangeKind, EventId};

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let promised = &e.scenario.expect.unique;
    let mut found = Findings::default();
    let mut judged = 0;
    for promise in promised {
        let records = twins(e, promise, &mut found);
        judged += records;
        if records == 0 && e.owes("unique", &[Family::Idempotency, Family::Reconciliation]) {
            found.unknown(Say {
                rule: "unique/no_records",
                group: &promise.of,
                message: format!(
                    "{} never held a record of which `{}` can be told",
                    promise.of,
                    promise.by.source()
                ),
                expected: "at least 1 record".into(),
                hint: "does the subject write there at all in this drill?",
                evidence: Vec::new(),
            });
        }
    }
    (judged > 0 || !found.is_empty()).then(|| found.judgement("unique", judged))
}

/// The records that have the value, and the event of the newest.
type Holders<'t> = IndexMap<&'t str, EventId>;

/// Walks the ledger of one promise; gives the number of records judged.
fn twins(e: &Evidence<'_>, promise: &Unique, found: &mut Findings) -> u64 {
    let (vendor, collection) = promise.of.split_once('.').unwrap_or((&promise.of, ""));
    let name = e.record_name(vendor, collection);
    let mut value_of: IndexMap<&str, String> = IndexMap::new();
    let mut holders: IndexMap<String, Holders<'_>> = IndexMap::new();
    let mut judged: IndexSet<&str> = IndexSet::new();
    for change in e.ledger(vendor, collection) {
        if let Some(old) = value_of.swap_remove(change.id)
            && let Some(of_old) = holders.get_mut(&old)
        {
            of_old.swap_remove(change.id);
        }
        let value = match value(promise, &name, change) {
            Ok(Some(value)) => value,
            Ok(None) => continue,
            Err(why) => {
                found.unknown(Say {
                    rule: "unique/unclear",
                    group: &promise.of,
                    message: format!("{} {} cannot be judged: {why}", promise.of, change.id),
                    expected: "expressions that fit every record".into(),
                    hint: "a field that may be missing needs `has(…)`",
                    evidence: vec![change.event],
                });
                continue;
            }
        };
        judged.insert(change.id);
        let of_value = holders.entry(value.clone()).or_default();
        if let Some((other, since)) = of_value.first() {
            found.fail(Say {
                rule: "unique/twins",
                group: &promise.of,
                message: format!(
                    "at {} {} {} came to have the same `{}` as {other}: {value}{}",
                    change.at,
                    promise.of,
                    change.id,
                    promise.by.source(),
                    how(e, change.by),
                ),
                expected: format!("at every moment one live record for each `{}`", promise.by.source()),
                hint: "look before making one, let only one worker look at a time, and send the same \
                       idempotency key for the same value",
                evidence: vec![*since, change.event],
            });
        }
        of_value.insert(change.id, change.event);
        value_of.insert(change.id, value);
    }
    judged.len() as u64
}

fn how(e: &Evidence<'_>, by: Cause) -> String {
    let Cause::Call(id) = by else { return String::new() };
    e.call(id).map_or(String::new(), |call| match call.key {
        Some(key) => format!(", by {} under key `{key}`", call.name()),
        None => format!(", by {} without an idempotency key", call.name()),
    })
}

/// What must be unique of a record as it is now; `None` if it is not live or has no such value.
fn value(promise: &Unique, name: &str, change: &Changed<'_>) -> Result<Option<String>, String> {
    if change.change == ChangeKind::Deleted {
        return Ok(None);
    }
    let bound = [(name, change.record)];
    if let Some(live) = &promise.live
        && !live.holds(&bound).map_err(|e| e.to_string())?
    {
        return Ok(None);
    }
    match promise.by.evaluate(&bound).map_err(|e| e.to_string())? {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        value => Ok(Some(value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::ChangeKind::{Created, Deleted, Given, Updated};
    use serde_json::{Value, json};

    const ONE: &str = "unique: [{ of: crm.deals, by: deal.email, live: '!has(deal.gone)' }]";

    fn deal(id: &str, email: Value) -> Value {
        json!({ "id": id, "email": email })
    }

    fn two(second: Value) -> Builder {
        drill().change(0, "crm.deals", Given, deal("d1", json!("a@x")), None).change(
            10,
            "crm.deals",
            Created,
            second,
            Some(0),
        )
    }

    #[test]
    fn records_that_differ_are_sound_and_so_are_those_without_a_value() {
        two(deal("d2", json!("b@x"))).passes(&scenario(ONE), "unique");
        two(deal("d2", Value::Null))
            .change(20, "crm.deals", Created, deal("d3", Value::Null), Some(0))
            .passes(&scenario(ONE), "unique");
    }

    #[test]
    fn a_second_live_record_is_found_even_if_it_goes_again() {
        two(deal("d2", json!("a@x"))).fails(&scenario(ONE), "unique/twins");
        two(deal("d2", json!("a@x")))
            .change(20, "crm.deals", Deleted, deal("d2", json!("a@x")), None)
            .fails(&scenario(ONE), "unique/twins");
    }

    #[test]
    fn a_record_that_changes_into_anothers_value_is_found() {
        two(deal("d2", json!("b@x")))
            .change(20, "crm.deals", Updated, deal("d2", json!("a@x")), None)
            .fails(&scenario(ONE), "unique/twins");
    }

    #[test]
    fn a_value_is_free_again_once_its_record_is_gone_or_not_live() {
        drill()
            .change(0, "crm.deals", Given, deal("d1", json!("a@x")), None)
            .change(5, "crm.deals", Deleted, deal("d1", json!("a@x")), None)
            .change(10, "crm.deals", Created, deal("d2", json!("a@x")), None)
            .passes(&scenario(ONE), "unique");
        two(json!({ "id": "d2", "email": "a@x", "gone": true })).passes(&scenario(ONE), "unique");
    }

    #[test]
    fn what_cannot_be_told_is_unknown() {
        two(json!({ "id": "d2" })).unknown(&scenario(ONE), "unique/unclear");
        drill().unknown(&scenario_of("idempotency", ONE, ""), "unique/no_records");
        drill().unknown(&scenario_of("auth", ONE, ""), "unique/no_records");
        assert!(drill().judged(&shared(scenario_of("auth", ONE, "")), "unique").is_none());
    }
}
