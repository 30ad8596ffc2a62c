//! Defects in what is written into requests.

use std::sync::Arc;

use integration_core::policy::Wording;
use serde_json::{Value, json};

use super::Defect;

/// Amounts in major units, as the CRM has them: `12.50` for `1250`.
struct MajorUnits;

impl Wording for MajorUnits {
    fn form(&self, endpoint: &str, fields: &mut Vec<(String, String)>) {
        let amount = fields.iter_mut().find(|(name, _)| endpoint == "/v1/invoiceitems" && name == "amount");
        if let Some((_, value)) = amount {
            let cents: i64 = value.parse().unwrap_or(0);
            *value = format!("{}.{:02}", cents / 100, cents % 100);
        }
    }
}

/// The deal's id as a field of the invoice, not only of its metadata.
struct OwnField;

impl Wording for OwnField {
    fn form(&self, endpoint: &str, fields: &mut Vec<(String, String)>) {
        let deal = fields.iter().find(|(name, _)| name == "metadata[deal_id]").map(|(_, id)| id.clone());
        if let Some(id) = deal.filter(|_| endpoint == "/v1/invoices") {
            fields.push(("deal_id".to_owned(), id));
        }
    }
}

/// A word of another API's for how an invoice is collected.
struct OtherWord;

impl Wording for OtherWord {
    fn form(&self, _endpoint: &str, fields: &mut Vec<(String, String)>) {
        for (_, value) in fields.iter_mut().filter(|(name, _)| name == "collection_method") {
            *value = "email".to_owned();
        }
    }
}

/// SQL's word for the order of a search; the fake vendor, like many a real one, takes it in silence.
struct ShortDirection;

impl Wording for ShortDirection {
    fn json(&self, _endpoint: &str, body: &mut Value) {
        body["sorts"] = json!([{ "propertyName": "hs_lastmodifieddate", "direction": "ASC" }]);
    }
}

/// A number where the vendor documents text.
struct NumberForText;

impl Wording for NumberForText {
    fn json(&self, _endpoint: &str, body: &mut Value) {
        let value = body.pointer_mut("/filterGroups/0/filters/0/value");
        if let Some((value, number)) =
            value.and_then(|v| v.as_str().and_then(|t| t.parse::<i64>().ok()).map(|n| (v, n)))
        {
            *value = json!(number);
        }
    }
}

pub(super) const DEFECTS: &[Defect] = &[
    Defect {
        name: "amount_in_major_units",
        bug: "an amount is sent as a decimal, not in minor units",
        drill: "reconciliation/amounts_are_exact",
        check: "contract",
        plant: |_, p| p.wording = Arc::new(MajorUnits),
    },
    Defect {
        name: "field_of_its_own",
        bug: "a field is sent that the vendor does not know",
        drill: "idempotency/a_lost_answer_makes_one_invoice",
        check: "contract",
        plant: |_, p| p.wording = Arc::new(OwnField),
    },
    Defect {
        name: "word_outside_the_enum",
        bug: "a word is sent that the field's enum does not have",
        drill: "idempotency/every_step_of_an_invoice_is_resumed",
        check: "contract",
        plant: |_, p| p.wording = Arc::new(OtherWord),
    },
    Defect {
        name: "sort_in_sqls_words",
        bug: "a search's direction is misspelt, and the vendor takes it in silence",
        drill: "reconciliation/every_page_is_read",
        check: "contract",
        plant: |_, p| p.wording = Arc::new(ShortDirection),
    },
    Defect {
        name: "number_for_text",
        bug: "a number is sent where the vendor documents text",
        drill: "reconciliation/every_page_is_read",
        check: "contract",
        plant: |_, p| p.wording = Arc::new(NumberForText),
    },
];
