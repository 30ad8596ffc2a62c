//! Defects in how webhooks are taken in.

use std::time::Duration;

use integration_core::policy::{
    Acknowledge, Completion, DealSource, EventIdentity, Order, PoisonEvent, SecretsTried, SignatureCheck,
    Unchanged, UnknownEvent, UnseenDeal,
};

use super::Defect;

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "signature_unchecked",
        bug: "signature unchecked",
        drill: "webhook/a_forged_delivery_is_refused",
        check: "webhook",
        plant: |_, p| p.signature.check = SignatureCheck::Off,
    },
    Defect {
        name: "signature_over_reserialised_json",
        bug: "signature checked over re-serialised JSON",
        drill: "webhook/a_body_is_verified_as_it_was_sent",
        check: "webhook",
        plant: |_, p| p.signature.check = SignatureCheck::ReserialisedJson,
    },
    Defect {
        name: "only_the_first_secret",
        bug: "only the first signature tried during a key roll",
        drill: "webhook/a_secret_roll_loses_nothing",
        check: "webhook",
        plant: |_, p| p.signature.secrets = SecretsTried::First,
    },
    Defect {
        name: "tolerance_in_the_wrong_unit",
        bug: "the tolerance of signatures, meant in seconds, taken for milliseconds",
        drill: "webhook/a_delivery_long_on_its_way_is_taken",
        check: "webhook",
        plant: |_, p| p.signature.tolerance = Some(Duration::from_millis(300)),
    },
    Defect {
        name: "old_timestamp_accepted",
        bug: "old timestamp with a valid MAC accepted",
        drill: "webhook/a_forged_delivery_is_refused",
        check: "webhook",
        plant: |_, p| p.signature.tolerance = None,
    },
    Defect {
        name: "duplicate_worked_on_again",
        bug: "a duplicate is worked on again, though other guards keep it from a second effect",
        drill: "webhook/duplicates_have_one_effect",
        check: "webhook",
        plant: |_, p| p.dedup.identity = EventIdentity::None,
    },
    Defect {
        name: "duplicate_processed_twice",
        bug: "duplicate processed twice",
        drill: "webhook/duplicates_have_one_effect",
        check: "idempotency",
        plant: |_, p| {
            p.dedup.identity = EventIdentity::None;
            p.writes.unchanged = Unchanged::WriteAgain;
            p.writes.look_first = false;
        },
    },
    Defect {
        name: "dedup_by_delivery",
        bug: "dedup on the delivery id, not the event id",
        drill: "webhook/a_redelivery_is_known_by_its_event",
        check: "webhook",
        plant: |_, p| p.dedup.identity = EventIdentity::Delivery,
    },
    Defect {
        name: "dedup_by_delivery_unguarded",
        bug: "dedup on the delivery id, not the event id, with nothing else to stop a second effect",
        drill: "webhook/a_redelivery_is_known_by_its_event",
        check: "idempotency",
        plant: |_, p| {
            p.dedup.identity = EventIdentity::Delivery;
            p.writes.unchanged = Unchanged::WriteAgain;
            p.writes.look_first = false;
        },
    },
    Defect {
        name: "dedup_forgets_in_minutes",
        bug: "dedup memory of minutes, where the vendor sends again for hours",
        drill: "webhook/a_redelivery_is_known_by_its_event",
        check: "webhook",
        plant: |_, p| p.dedup.retention = Duration::from_secs(600),
    },
    Defect {
        name: "dedup_memory_too_short",
        bug: "dedup memory shorter than the vendor's retries",
        drill: "webhook/a_duplicate_after_two_days_is_still_known",
        check: "webhook",
        plant: |_, p| p.dedup.retention = Duration::from_secs(12 * 3600),
    },
    Defect {
        name: "dedup_memory_too_short_unguarded",
        bug: "dedup memory shorter than the vendor's retries, with nothing else to stop a second effect",
        drill: "webhook/a_duplicate_after_two_days_is_still_known",
        check: "idempotency",
        plant: |_, p| {
            p.dedup.retention = Duration::from_secs(3600);
            p.writes.unchanged = Unchanged::WriteAgain;
            p.writes.look_first = false;
        },
    },
    Defect {
        name: "dedup_by_record",
        bug: "dedup on the record's id: every later event about it is dropped",
        drill: "webhook/a_second_change_of_a_record_is_news",
        check: "webhook",
        plant: |_, p| p.dedup.identity = EventIdentity::Deal,
    },
    Defect {
        name: "dedup_by_what_changed",
        bug: "dedup on record, type and property: the second change of a property is dropped",
        drill: "webhook/a_second_change_of_a_record_is_news",
        check: "webhook",
        plant: |_, p| p.dedup.identity = EventIdentity::Change,
    },
    Defect {
        name: "seen_before_done",
        bug: "marked as seen before the work is done: lost when it fails",
        drill: "crash/an_event_whose_work_failed_is_not_forgotten",
        check: "reconciliation",
        plant: |_, p| p.queue.completion = Completion::WhenClaimed,
    },
    Defect {
        name: "acknowledged_before_stored",
        bug: "acknowledged before it is stored: lost on SIGKILL",
        drill: "crash/an_acknowledged_event_survives_a_kill",
        check: "webhook",
        plant: |_, p| p.intake.acknowledge = Acknowledge::BeforeStoring,
    },
    Defect {
        name: "handled_before_acknowledged",
        bug: "handled before it is acknowledged: vendor times out and resends",
        drill: "webhook/an_acknowledgement_does_not_wait_for_the_work",
        check: "webhook",
        plant: |_, p| p.intake.acknowledge = Acknowledge::AfterTheWork,
    },
    Defect {
        name: "older_update_wins",
        bug: "the older update wins",
        drill: "webhook/late_news_does_not_win",
        check: "reconciliation",
        plant: |_, p| {
            p.freshness.source = DealSource::EventPayload;
            p.freshness.order = Order::Arrival;
        },
    },
    Defect {
        name: "update_before_creation_dropped",
        bug: "`updated` before `created` is dropped",
        drill: "webhook/an_update_before_its_creation_is_not_lost",
        check: "reconciliation",
        plant: |_, p| p.intake.unseen = UnseenDeal::Drop,
    },
    Defect {
        name: "poison_fails_the_batch",
        bug: "one poison event fails the batch of 100",
        drill: "webhook/one_bad_event_does_not_fail_its_batch",
        check: "webhook",
        plant: |_, p| p.intake.poison = PoisonEvent::FailTheBatch,
    },
    Defect {
        name: "unknown_type_is_an_error",
        bug: "an unknown event type answered 5xx: subscription disabled",
        drill: "webhook/an_unknown_event_is_acknowledged",
        check: "webhook",
        plant: |_, p| p.intake.unknown = UnknownEvent::ServerError,
    },
];
