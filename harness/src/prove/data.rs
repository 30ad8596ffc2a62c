//! Defects in how data is read that a vendor changed without notice.

use std::sync::Arc;

use integration_core::policy::{
    Completion, MoneyError, MoneyRule, Pages, PoisonEvent, Policies, currency_decimals,
};

use super::Defect;

/// Money as the locale of its author writes it: commas are decoration.
struct CommasDropped;

impl MoneyRule for CommasDropped {
    fn minor_units(&self, amount: &str, currency: &str) -> Result<i64, MoneyError> {
        in_minor_units(&amount.replace(',', ""), amount, currency)
    }
}

/// Money up to the first character that is not part of a number, as C's `atof` reads it.
struct LeadingDigits;

impl MoneyRule for LeadingDigits {
    fn minor_units(&self, amount: &str, currency: &str) -> Result<i64, MoneyError> {
        let end = amount.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(amount.len());
        in_minor_units(&amount[..end], amount, currency)
    }
}

fn in_minor_units(digits: &str, amount: &str, currency: &str) -> Result<i64, MoneyError> {
    let bad = || MoneyError::NotDecimal(amount.to_owned());
    let number: rust_decimal::Decimal = digits.trim().parse().map_err(|_| bad())?;
    let minor = number * rust_decimal::Decimal::from(10u32.pow(currency_decimals(currency)));
    i64::try_from(minor.round()).map_err(|_| bad())
}

/// What can be read is used; the rest becomes a default.
fn lenient(policies: &mut Policies) {
    policies.validation.strict = false;
}

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "renamed_field_read_as_zero",
        bug: "a renamed field written as zero",
        drill: "drift/a_renamed_amount_is_not_billed_as_zero",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "null_read_as_zero",
        bug: "a null field written as zero",
        drill: "drift/a_null_amount_makes_no_free_invoice",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "object_read_as_text",
        bug: "string → {value, currency}: garbage written instead of refused loudly",
        drill: "drift/an_amount_that_became_an_object_is_refused",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "nested_field_defaulted",
        bug: "a newly nested field written as the default",
        drill: "drift/a_currency_that_moved_deeper_is_not_defaulted",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "list_read_as_empty_record",
        bug: "one record → array: nothing written as if it were data",
        drill: "drift/a_record_that_became_a_list_is_refused",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "wrapped_body_read_as_empty",
        bug: "a wrapped body read as an empty record",
        drill: "drift/a_wrapped_answer_is_not_an_empty_one",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "epoch_date_left_out",
        bug: "ISO date → epoch: the date is left out without a word",
        drill: "drift/a_date_that_became_a_number_is_refused",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "decimal_comma_dropped",
        bug: "decimal comma dropped: a hundred times the amount",
        drill: "drift/an_amount_with_a_decimal_comma_is_not_multiplied",
        check: "reconciliation",
        plant: |_, p| {
            lenient(p);
            p.money = Arc::new(CommasDropped);
        },
    },
    Defect {
        name: "grouped_number_cut_off",
        bug: "grouped thousands cut off at the first comma",
        drill: "drift/grouped_thousands_are_not_cut_off",
        check: "reconciliation",
        plant: |_, p| {
            lenient(p);
            p.money = Arc::new(LeadingDigits);
        },
    },
    Defect {
        name: "unknown_stage_passed_over",
        bug: "a new enum value passed over in silence",
        drill: "drift/a_stage_nobody_knows_is_not_passed_over",
        check: "reconciliation",
        plant: |c, _| c.deal_stages.clear(),
    },
    Defect {
        name: "any_text_is_an_address",
        bug: "an unknown text written as an e-mail address",
        drill: "drift/an_address_that_is_none_is_not_billed",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "short_page_taken_for_the_last",
        bug: "page capped: the first short page taken for the last one",
        drill: "drift/a_capped_page_is_not_the_last",
        check: "reconciliation",
        plant: |_, p| {
            p.sync.pages = Pages::UntilShort;
            p.reconcile.pages = Pages::UntilShort;
        },
    },
    Defect {
        name: "refusal_forgets_the_work",
        bug: "optional → required: the refusal is logged, and the work forgotten",
        drill: "drift/a_new_required_field_is_said_loudly",
        check: "reconciliation",
        plant: |_, p| p.queue.completion = Completion::WhenClaimed,
    },
    Defect {
        name: "changed_webhook_refused",
        bug: "a changed webhook body refused until the vendor gives up, and nobody told",
        drill: "drift/a_changed_webhook_is_kept_and_its_deal_billed",
        check: "observability",
        plant: |_, p| p.intake.poison = PoisonEvent::FailTheBatch,
    },
    Defect {
        name: "bytes_replaced",
        bug: "a body in another encoding read as nothing",
        drill: "drift/a_body_in_another_encoding_is_not_guessed",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
    Defect {
        name: "payload_not_kept",
        bug: "the offending payload is not kept",
        drill: "drift/what_was_refused_is_kept",
        check: "exposed",
        plant: |_, p| p.validation.keep_payload = false,
    },
    Defect {
        name: "any_drift_is_data",
        bug: "bad data written instead of refused loudly, whatever the field",
        drill: "drift/a_vendor_that_changes_everything_corrupts_nothing",
        check: "reconciliation",
        plant: |_, p| lenient(p),
    },
];
