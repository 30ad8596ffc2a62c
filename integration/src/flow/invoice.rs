//! From a ledger line to a finalised invoice. Knows each write and how to tell that it has happened; must not know deals.

use super::Flow;
use super::compare::wording;
use super::key::Ticket;
use crate::alert::AlertKind;
use crate::client::Failure;
use crate::policy::Pages;
use crate::store::{Ledger, Step};
use crate::vendor::{Customer, Invoice, PAGE};

/// Turns of the loop below; each makes progress or spends a key, so more would mean a vendor that contradicts itself.
const TURNS: u32 = 10;

impl Flow<'_> {
    /// Brings the line's invoice about, from whatever step it has reached.
    pub(super) async fn bring_about(&self, mut line: Ledger) -> Result<(), Failure> {
        let look_first = self.ctx.policies.writes.look_first;
        // What this very run has seen or made need not be looked at again.
        let mut seen = false;
        for _ in 0..TURNS {
            match line.step {
                Step::Begun => {
                    let customer = self.customer(&mut line).await?;
                    if look_first
                        && !seen
                        && let Some(found) = self.find(&line.deal_id, &customer).await?
                    {
                        self.adopt(&mut line, &found).await?;
                        continue;
                    }
                    match self.draft(&line, &customer).await {
                        Ok(invoice) => {
                            // A replayed answer shows how the invoice was, not how it is.
                            seen = !invoice.replayed;
                            line.invoice_id = Some(invoice.id);
                            line.step = Step::Drafted;
                            self.save(&line)?;
                        }
                        Err(Failure::Indeterminate) => seen = false,
                        Err(failure) => return Err(failure),
                    }
                }
                Step::Drafted | Step::Itemised if !seen => {
                    match self.current(&line).await? {
                        Some(invoice) => self.adopt(&mut line, &invoice).await?,
                        None => self.start_over(&mut line)?,
                    }
                    seen = line.step != Step::Begun;
                }
                Step::Drafted => match self.item(&line).await {
                    Ok(()) => {
                        line.step = Step::Itemised;
                        self.save(&line)?;
                    }
                    Err(Failure::Indeterminate) => seen = false,
                    // Somebody took the draft away.
                    Err(failure) if failure.is_missing() => seen = false,
                    Err(failure) => return Err(failure),
                },
                Step::Itemised => match self.finalise(&line).await {
                    Ok(()) => {
                        line.step = Step::Done;
                        self.save(&line)?;
                    }
                    Err(Failure::Indeterminate) => seen = false,
                    Err(failure) if failure.is_missing() => seen = false,
                    Err(failure) => return Err(failure),
                },
                Step::Done => return Ok(()),
                Step::Retracting | Step::Retracted => {
                    self.retract(&mut line).await?;
                    self.start_over(&mut line)?;
                }
            }
        }
        Err(Failure::Unavailable { why: "no progress".into() })
    }

    fn start_over(&self, line: &mut Ledger) -> Result<(), Failure> {
        line.revision += 1;
        line.step = Step::Begun;
        line.invoice_id = None;
        // It may have another name by now.
        line.customer_id = None;
        self.save(line)
    }

    async fn current(&self, line: &Ledger) -> Result<Option<Invoice>, Failure> {
        match &line.invoice_id {
            Some(id) => self.ctx.stripe.invoice(self.slot, id).await,
            None => Ok(None),
        }
    }

    /// Takes an invoice that exists for this line's own, at the step that it shows; one on other terms is retracted.
    async fn adopt(&self, line: &mut Ledger, invoice: &Invoice) -> Result<(), Failure> {
        line.invoice_id = Some(invoice.id.clone());
        line.revision = invoice.revision.unwrap_or(line.revision).max(line.revision);
        let due = invoice.amount_due;
        line.step = match invoice.status.as_str() {
            "void" => return self.start_over(line),
            _ if invoice.currency != line.terms.currency => Step::Retracting,
            _ if wording(invoice, &line.terms).is_some() => Step::Retracting,
            "draft" if due == 0 => Step::Drafted,
            "draft" if due == line.terms.amount => Step::Itemised,
            "open" | "paid" | "uncollectible" if due == line.terms.amount => Step::Done,
            _ => Step::Retracting,
        };
        self.save(line)?;
        Ok(())
    }

    async fn customer(&self, line: &mut Ledger) -> Result<String, Failure> {
        if let Some(id) = &line.customer_id {
            return Ok(id.clone());
        }
        let _one_at_a_time = self.ctx.email_lock(&line.terms.email).lock().await;
        let look_first = self.ctx.policies.writes.look_first;
        let mut found = match look_first {
            true => self.ctx.stripe.customer_by_email(self.slot, &line.terms.email).await?,
            false => None,
        };
        if look_first && found.is_none() {
            found = self.known_customer(&line.terms.email).await?;
        }
        if found.is_none() {
            let fields = [("email", line.terms.email.as_str()), ("name", line.terms.name.as_str())];
            let form = self.ctx.form("/v1/customers", fields);
            let ticket = Ticket::new(self.ctx, &line.terms.email, 0, "customer", &form);
            found = match self.ctx.stripe.create_customer(self.slot, form, &ticket).await {
                Ok(customer) => Some(customer),
                Err(Failure::Indeterminate) => {
                    ticket.spend()?;
                    self.ctx.stripe.customer_by_email(self.slot, &line.terms.email).await?
                }
                Err(failure) => return Err(failure),
            };
        }
        let found = found.ok_or_else(|| Failure::Unavailable { why: "customer: a saved failure".into() })?;
        self.rename(line, &found).await?;
        line.customer_id = Some(found.id.clone());
        Ok(found.id)
    }

    /// Gives a customer the deal's name, for an invoice takes it from there.
    async fn rename(&self, line: &Ledger, customer: &Customer) -> Result<(), Failure> {
        let name = line.terms.name.as_str();
        if customer.is_called(name) {
            return Ok(());
        }
        let id = &customer.id;
        let form = self.ctx.form("/v1/customers/{id}", [("name", name)]);
        let ticket = Ticket::new(self.ctx, &line.deal_id, line.revision, "rename", &format!("{id}&{form}"));
        let renamed = spent(&ticket, self.ctx.stripe.update_customer(self.slot, id, form, &ticket).await)?;
        let now = match renamed.replayed {
            // A replayed answer shows how it was, not how it is.
            true => self.ctx.stripe.customer(self.slot, id).await?,
            false => Some(renamed),
        };
        if now.is_some_and(|now| now.is_called(name)) {
            return Ok(());
        }
        ticket.spend()?;
        Err(Failure::Unavailable { why: format!("customer {id} was called otherwise meanwhile") })
    }

    /// The customer of an address by our own books: a listing that does not show it may be cut short.
    async fn known_customer(&self, email: &str) -> Result<Option<Customer>, Failure> {
        let Some(id) = self.ctx.store.customer_of(email)? else { return Ok(None) };
        let found = self.ctx.stripe.customer(self.slot, &id).await?;
        let Some(customer) =
            found.filter(|c| c.email.as_deref().is_some_and(|e| e.eq_ignore_ascii_case(email)))
        else {
            return Ok(None);
        };
        tracing::warn!(customer = %id, "not among the customers with its address, and there all the same");
        Ok(Some(customer))
    }

    /// The live invoice of a deal, among all of its customer's.
    pub(super) async fn find(&self, deal_id: &str, customer: &str) -> Result<Option<Invoice>, Failure> {
        let mut found: Option<Invoice> = None;
        let mut after: Option<String> = None;
        loop {
            let (page, more) = self.ctx.stripe.invoices(self.slot, Some(customer), after.as_deref()).await?;
            let last = page.last().map(|invoice| invoice.id.clone());
            let short = page.len() < PAGE;
            for invoice in page {
                if invoice.deal_id.as_deref() != Some(deal_id) || !invoice.is_live() {
                    continue;
                }
                match &found {
                    Some(other) => {
                        let message =
                            format!("invoices {} and {} are both for this deal", other.id, invoice.id);
                        self.ctx.alerts.raise(AlertKind::ReconcileMismatch, deal_id, &message);
                        if invoice.revision > other.revision {
                            found = Some(invoice);
                        }
                    }
                    None => found = Some(invoice),
                }
            }
            let enough = match self.ctx.policies.writes.lookup {
                Pages::All => false,
                Pages::First => true,
                Pages::UntilShort => short,
            };
            // A page that ends where the last one did would go on for ever.
            if !more || last.is_none() || last == after || enough {
                return Ok(found);
            }
            after = last;
        }
    }

    async fn draft(&self, line: &Ledger, customer: &str) -> Result<Invoice, Failure> {
        let revision = line.revision.to_string();
        let days = self.ctx.config.days_until_due.to_string();
        let closed = line.terms.closed_s.map(|seconds| seconds.to_string());
        let mut pairs = vec![
            ("customer", customer),
            ("auto_advance", "false"),
            ("collection_method", "send_invoice"),
            ("days_until_due", &days),
            ("currency", &line.terms.currency),
            ("pending_invoice_items_behavior", "exclude"),
            ("metadata[deal_id]", &line.deal_id),
            ("metadata[deal_revision]", &revision),
        ];
        if let Some(closed) = &closed {
            pairs.push(("metadata[deal_closed_at]", closed));
        }
        let form = self.ctx.form("/v1/invoices", pairs);
        let ticket = Ticket::new(self.ctx, &line.deal_id, line.revision, "draft", &form);
        let invoice = spent(&ticket, self.ctx.stripe.create_invoice(self.slot, form, &ticket).await)?;
        let of_deal = invoice.deal_id.as_deref() == Some(line.deal_id.as_str());
        if self.ctx.policies.validation.strict && !(of_deal && invoice.customer == customer) {
            let wrong = if of_deal { "customer" } else { "metadata.deal_id" };
            let reason = format!("the draft made for deal {} has another {wrong}", line.deal_id);
            return Err(Failure::Invalid {
                source: "/v1/invoices".into(),
                reason,
                payload: format!("{invoice:?}"),
            });
        }
        Ok(invoice)
    }

    async fn item(&self, line: &Ledger) -> Result<(), Failure> {
        let amount = line.terms.amount.to_string();
        let form = self.ctx.form(
            "/v1/invoiceitems",
            [
                ("customer", line.customer_id.as_deref().unwrap_or_default()),
                ("invoice", line.invoice_id.as_deref().unwrap_or_default()),
                ("amount", &amount),
                ("currency", &line.terms.currency),
                ("description", &line.terms.description),
                ("metadata[deal_id]", &line.deal_id),
            ],
        );
        let ticket = Ticket::new(self.ctx, &line.deal_id, line.revision, "item", &form);
        let made = self
            .ctx
            .stripe
            .create_item(self.slot, form, &ticket, line.terms.amount, &line.terms.currency)
            .await;
        spent(&ticket, made)
    }

    async fn finalise(&self, line: &Ledger) -> Result<(), Failure> {
        let id = line.invoice_id.as_deref().unwrap_or_default();
        let form = "auto_advance=false".to_owned();
        let ticket = Ticket::new(self.ctx, &line.deal_id, line.revision, "finalise", &format!("{id}&{form}"));
        let invoice = spent(&ticket, self.ctx.stripe.finalise(self.slot, id, form, &ticket).await)?;
        let right = matches!(invoice.status.as_str(), "open" | "paid")
            && invoice.amount_due == line.terms.amount
            && invoice.currency == line.terms.currency;
        if self.ctx.policies.validation.strict && !right {
            let reason = format!(
                "finalised as {} {} {}, expected open {} {}",
                invoice.status, invoice.amount_due, invoice.currency, line.terms.amount, line.terms.currency
            );
            return Err(Failure::Invalid {
                source: "finalize".into(),
                reason,
                payload: format!("{invoice:?}"),
            });
        }
        Ok(())
    }
}

/// A saved failure spends the key before anything else happens.
pub(super) fn spent<T>(ticket: &Ticket<'_>, outcome: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(Failure::Indeterminate) = outcome {
        ticket.spend()?;
    }
    outcome
}
