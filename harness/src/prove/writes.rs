//! Defects in how writes are made safe to repeat.

use std::sync::Arc;

use integration_core::policy::{
    Ambiguous, Amendment, InUse, KeyMemory, KeyMint, KeyScope, Pages, ReplayKeys, ReplayedFailure, Resume,
    WriteIntent,
};

use super::Defect;

/// A key of pure chance.
struct RandomKeys;

impl KeyMint for RandomKeys {
    fn mint(&self, intent: &WriteIntent) -> String {
        format!("random-{:016x}", intent.nonce)
    }
}

/// A key that knows the deal and nothing of what is asked.
struct DealKeys;

impl KeyMint for DealKeys {
    fn mint(&self, intent: &WriteIntent) -> String {
        format!("deal-{}-{}", intent.subject, intent.step)
    }
}

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "fresh_key_per_attempt",
        bug: "fresh idempotency key per attempt: two invoices",
        drill: "idempotency/a_lost_answer_makes_one_invoice",
        check: "idempotency",
        plant: |_, p| {
            p.keys = Arc::new(RandomKeys);
            p.writes.scope = KeyScope::PerAttempt;
        },
    },
    Defect {
        name: "key_not_persisted",
        bug: "key not persisted: duplicate after SIGKILL between send and save",
        drill: "crash/killed_between_send_and_save",
        check: "idempotency",
        plant: |_, p| {
            p.keys = Arc::new(RandomKeys);
            p.writes.memory = KeyMemory::Process;
            p.writes.look_first = false;
        },
    },
    Defect {
        name: "key_is_the_deal_id",
        bug: "key is the deal id alone: an amended deal is answered 400 for ever",
        drill: "idempotency/an_amended_deal_is_billed_as_amended",
        check: "idempotency",
        plant: |_, p| p.keys = Arc::new(DealKeys),
    },
    Defect {
        name: "fresh_key_on_409",
        bug: "on 409 in-use sends under a fresh key",
        drill: "idempotency/a_request_still_at_work_is_waited_for",
        check: "idempotency",
        plant: |_, p| {
            p.keys = Arc::new(RandomKeys);
            p.writes.in_use = InUse::FreshKey;
        },
    },
    Defect {
        name: "replayed_500_for_ever",
        bug: "replayed 500 retried for ever",
        drill: "idempotency/a_saved_500_is_not_asked_for_ever",
        check: "idempotency",
        plant: |_, p| {
            p.writes.replayed_failure = ReplayedFailure::SameKey;
            p.writes.look_first = false;
        },
    },
    Defect {
        name: "replay_mints_a_new_key",
        bug: "replay from the dead-letter queue mints a new key",
        drill: "idempotency/a_dead_letter_replayed_makes_no_second_invoice",
        check: "idempotency",
        plant: |_, p| {
            p.writes.replay_keys = ReplayKeys::Renew;
            p.writes.look_first = false;
        },
    },
    Defect {
        name: "timeout_is_final",
        bug: "ambiguous timeout taken for a permanent failure: missing invoice",
        drill: "idempotency/a_timeout_is_not_a_refusal",
        check: "reconciliation",
        plant: |_, p| p.writes.ambiguous = Ambiguous::GiveUp,
    },
    Defect {
        name: "first_write_is_all",
        bug: "only the first of several writes done, the rest never resumed",
        drill: "idempotency/every_step_of_an_invoice_is_resumed",
        check: "reconciliation",
        plant: |_, p| p.writes.resume = Resume::TakeForDone,
    },
    Defect {
        name: "amends_money_only",
        bug: "an amended name is no amendment: the invoice keeps the old one",
        drill: "idempotency/an_amended_name_is_billed_anew",
        check: "reconciliation",
        plant: |_, p| p.writes.amendment = Amendment::AmountOrAddress,
    },
    Defect {
        name: "creates_without_looking",
        bug: "creates without looking first: duplicate when the mapping was lost",
        drill: "idempotency/a_lost_mapping_is_looked_up",
        check: "idempotency",
        plant: |_, p| p.writes.look_first = false,
    },
    Defect {
        name: "looks_at_one_page",
        bug: "looks for the invoice on the first page only: duplicate when the mapping of an older one was lost",
        drill: "idempotency/a_lost_mapping_is_looked_up_on_every_page",
        check: "idempotency",
        plant: |_, p| p.writes.lookup = Pages::First,
    },
    Defect {
        name: "customer_for_each_spelling",
        bug: "makes a customer without looking for one: two accounts for two spellings of a name",
        drill: "idempotency/deals_of_one_customer_make_one_customer",
        check: "unique",
        plant: |_, p| p.writes.look_first = false,
    },
];
