//! What the value that a field should have was computed from.
//!
//! Knows: the expressions of `expect.agree` and the source record as it is. Must not know: whether the
//! value is right.

use super::agreement::Agreement;
use super::evidence::Evidence;
use super::say;

/// The expression of `field` with its inputs for `key`, for the end of a message.
pub(super) fn computed(e: &Evidence<'_>, a: &Agreement, key: &str, field: &str) -> String {
    let expr = e.scenario.expect.agree.as_ref().and_then(|agree| agree.fields.get(field));
    let record = a.last_change(key).and_then(|(id, _)| {
        e.ledger(&a.from.0, &a.from.1).iter().rfind(|change| change.id == id).map(|change| change.record)
    });
    let (Some(expr), Some(record)) = (expr, record) else { return String::new() };
    let inputs = expr.inputs(&e.record_name(&a.from.0, &a.from.1), record);
    match &inputs[..] {
        [] => String::new(),
        // The value itself, under its name.
        [(path, _)] if path == expr.source() => format!(" (`{path}`)"),
        _ => {
            let inputs: Vec<String> = inputs
                .iter()
                .map(|(path, value)| format!("`{path}` {}", say::value(say::last_name(path), value)))
                .collect();
            format!(" (`{}`, of {})", expr.source(), inputs.join(" and "))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::ChangeKind;
    use serde_json::json;

    fn message(expr: &str) -> String {
        let s = scenario(&format!(
            "agree: {{ from: crm.deals, where: deal.won, to: billing.invoices, key: invoice.deal, \
             fields: {{ invoice.due: '{expr}' }} }}"
        ));
        let deal = json!({ "id": "d1", "won": true, "due": "2.50", "currency": "EUR" });
        let judged = drill()
            .change(0, "crm.deals", ChangeKind::Given, deal, None)
            .change(
                5,
                "billing.invoices",
                ChangeKind::Created,
                json!({ "id": "i1", "deal": "d1", "due": 2 }),
                Some(0),
            )
            .judged(&s, "reconciliation")
            .unwrap();
        judged.findings[0].message.clone()
    }

    #[test]
    fn a_value_is_shown_with_what_it_was_computed_from() {
        let computed = message("minor_units(deal.due, deal.currency)");
        assert!(
            computed.contains(
                "`invoice.due` is 2 where the source says 250 (`minor_units(deal.due, deal.currency)`, of \
                 `deal.currency` \"EUR\" and `deal.due` \"2.50\")"
            ),
            "{computed}"
        );
        assert!(message("deal.due").contains("says \"2.50\" (`deal.due`)"), "{}", message("deal.due"));
        assert!(message("7").contains("says 7: crm was never asked"), "{}", message("7"));
    }
}
