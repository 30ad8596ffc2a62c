//! Whether an invoice says what its deal says, row by row of the mapping's table. Knows the fields of both sides; must
//! not know what a difference leads to.

use crate::mapping::Terms;
use crate::policy::Comparison;
use crate::vendor::Invoice;

/// What an invoice says otherwise than it should, in words for an alert; texts, which may be a person's, are not
/// repeated there.
pub(crate) fn difference(invoice: &Invoice, terms: &Terms, by: Comparison) -> Option<String> {
    if invoice.amount_due != terms.amount {
        return Some(format!("amount_due is {} for {}", invoice.amount_due, terms.amount));
    }
    if invoice.currency != terms.currency {
        return Some(format!("currency is {} for {}", invoice.currency, terms.currency));
    }
    if invoice.status == "draft" {
        return Some("still a draft".to_owned());
    }
    if by == Comparison::MoneyOnly {
        return None;
    }
    wording(invoice, terms).map(|field| format!("{field} is another"))
}

/// The first field, of those that are not money, which an invoice has otherwise. What it does not say, as a draft
/// without items does not say what for, is no difference.
pub(super) fn wording(invoice: &Invoice, terms: &Terms) -> Option<&'static str> {
    let other = |said: &Option<String>, due: &str| said.as_deref().is_some_and(|said| said != due);
    let email = invoice.customer_email.as_deref();
    let closed = terms.closed_s.map(|seconds| seconds.to_string());
    let rows = [
        ("customer_email", email.is_some_and(|said| !said.eq_ignore_ascii_case(&terms.email))),
        ("customer_name", other(&invoice.customer_name, &terms.name)),
        ("lines.data[0].description", other(&invoice.description, &terms.description)),
        ("metadata.deal_closed_at", closed.is_some_and(|closed| other(&invoice.deal_closed_at, &closed))),
    ];
    rows.into_iter().find(|(_, other)| *other).map(|(field, _)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Invoice, Terms) {
        let terms = Terms {
            email: "a@b.c".into(),
            name: "Ada Ltd".into(),
            description: "Bikes".into(),
            amount: 1250,
            currency: "usd".into(),
            closed_s: Some(1_767_225_600),
        };
        let invoice = Invoice {
            id: "in_1".into(),
            customer: "cus_1".into(),
            status: "open".into(),
            currency: "usd".into(),
            amount_due: 1250,
            deal_id: Some("7".into()),
            revision: Some(1),
            customer_name: Some("Ada Ltd".into()),
            customer_email: Some("A@b.c".into()),
            description: Some("Bikes".into()),
            deal_closed_at: Some("1767225600".into()),
            replayed: false,
        };
        (invoice, terms)
    }

    #[test]
    fn each_field_of_the_table_is_compared() {
        let (invoice, terms) = pair();
        let found = |invoice: Invoice| difference(&invoice, &terms, Comparison::FieldByField);
        assert_eq!(found(invoice.clone()), None);
        let other = || Some("other".to_owned());
        let changes: [fn(&mut Invoice, Option<String>); 7] = [
            |i, _| i.amount_due = 125_000,
            |i, _| i.currency = "eur".into(),
            |i, _| i.status = "draft".into(),
            |i, other| i.customer_name = other,
            |i, other| i.customer_email = other,
            |i, other| i.description = other,
            |i, other| i.deal_closed_at = other,
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let mut changed = invoice.clone();
            change(&mut changed, other());
            let said = found(changed).unwrap_or_else(|| panic!("change {n} goes unseen"));
            assert!(!said.contains("other\"") && !said.contains("Ada"), "{said}");
        }
    }

    #[test]
    fn what_an_invoice_does_not_say_is_no_difference() {
        let (mut invoice, mut terms) = pair();
        (invoice.customer_name, invoice.customer_email) = (None, None);
        (invoice.description, invoice.deal_closed_at) = (None, None);
        assert_eq!(wording(&invoice, &terms), None);
        terms.closed_s = None;
        invoice.deal_closed_at = Some("5".into());
        assert_eq!(wording(&invoice, &terms), None);
    }
}
