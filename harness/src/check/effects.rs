//! Effects: which records each call changed, and when the subject read of them.
//!
//! Knows: the ledgers, and what read calls brought back. Must not know: whether anybody was to look.

use std::collections::BTreeMap;

use super::call::Call;
use super::evidence::{Evidence, words};
use crate::time::At;
use crate::trace::{Cause, EventId};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The records that a call changed, by the event of its request.
    records: BTreeMap<EventId, Vec<String>>,
    /// When answers that showed a record reached the subject, and from which vendor.
    shown: BTreeMap<String, Vec<(At, String)>>,
}

impl Effects {
    /// Reads the ledgers and the answers once.
    pub fn of(e: &Evidence<'_>) -> Effects {
        let mut this = Effects::default();
        for changed in e.ledgers.values().flat_map(|collections| collections.values().flatten()) {
            if let Cause::Call(id) = changed.by
                && let Some(call) = e.call(id)
            {
                this.records.entry(call.asked).or_default().push(changed.id.to_owned());
                this.shown.entry(changed.id.to_owned()).or_default();
            }
        }
        for call in e.calls.iter().filter(|c| c.reads() && c.succeeded()) {
            let body = call.response.and_then(|r| std::str::from_utf8(&r.body).ok());
            for word in body.into_iter().flat_map(words) {
                if let Some(shown) = this.shown.get_mut(word) {
                    shown.push((call.ended, call.vendor.to_owned()));
                }
            }
        }
        this
    }

    /// Whether the subject has read, between two moments, of a record that one of these calls changed.
    pub fn seen<'c, 't: 'c>(
        &self,
        writes: impl IntoIterator<Item = &'c Call<'t>>,
        from: At,
        until: At,
    ) -> bool {
        let shows = |write: &Call<'_>, id: &String| {
            let fits = |(at, vendor): &(At, String)| vendor == write.vendor && *at >= from && *at <= until;
            self.shown.get(id).is_some_and(|shown| shown.iter().any(fits))
        };
        writes.into_iter().any(|write| {
            self.records.get(&write.asked).is_some_and(|records| records.iter().any(|id| shows(write, id)))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::check::testing::*;
    use crate::trace::{ChangeKind, Outcome};

    const GIVEN_UP: &str = "retries/given_up";

    fn create(at: u64) -> Exchange {
        call("billing", "POST /invoices", at).key("k1").body("deal=d1").outcome(Outcome::Reset)
    }

    /// Work whose only effect is the record `in_1`, and whose answer was lost.
    fn lost() -> Builder {
        let made = json!({ "id": "in_1" });
        drill().call(create(0).takes(500)).change(0, "billing.invoices", ChangeKind::Created, made, Some(0))
    }

    fn look(at: u64, id: &str) -> Exchange {
        call("billing", "GET /invoices", at).answers(200, json!([{ "id": id }]))
    }

    #[test]
    fn work_whose_effect_was_found_is_not_given_up() {
        lost().call(look(900, "in_1")).passes(&scenario(""), "retries");
        lost().call(look(900, "in_2")).fails(&scenario(""), GIVEN_UP);
    }

    #[test]
    fn an_effect_of_any_attempt_is_one_of_the_work() {
        let repeated = || lost().call(create(1_000).replayed());
        repeated().call(look(2_000, "in_1")).passes(&scenario(""), "retries");
        repeated().fails(&scenario(""), GIVEN_UP);
    }

    #[test]
    fn an_effect_is_found_by_a_read_at_its_vendor_that_succeeds_once_the_work_is_over() {
        let mut elsewhere = look(900, "in_1");
        elsewhere.vendor = "crm";
        let failed = look(900, "in_1").answers(500, json!([{ "id": "in_1" }]));
        for found in [elsewhere, failed, look(100, "in_1")] {
            lost().call(found).call(look(2_000, "in_2")).fails(&scenario(""), GIVEN_UP);
        }
    }
}
