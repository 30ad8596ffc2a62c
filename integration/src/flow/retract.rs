//! Taking an invoice back. Knows that drafts are deleted and finalised invoices voided; must not know why.

use super::Flow;
use super::invoice::spent;
use super::key::Ticket;
use crate::client::Failure;
use crate::store::{Ledger, Step};

impl Flow<'_> {
    /// Voids or deletes the line's invoice, wherever it stands, and saves that.
    pub(super) async fn retract(&self, line: &mut Ledger) -> Result<(), Failure> {
        if line.step != Step::Retracting {
            line.step = Step::Retracting;
            self.save(line)?;
        }
        for _ in 0..4 {
            let Some(id) = self.whereabouts(line).await? else { break };
            let Some(invoice) = self.ctx.stripe.invoice(self.slot, &id).await? else { break };
            match invoice.status.as_str() {
                "void" => break,
                "draft" => {
                    self.ctx.stripe.delete_draft(self.slot, &id).await?;
                    break;
                }
                "paid" => {
                    let message =
                        format!("invoice {id} is paid and cannot be taken back; a refund is for people");
                    return Err(Failure::Rejected { status: 0, code: "invoice_paid".into(), message });
                }
                _ => {
                    let ticket = Ticket::new(self.ctx, &line.deal_id, line.revision, "void", &id);
                    match spent(&ticket, self.ctx.stripe.void(self.slot, &id, &ticket).await) {
                        Ok(_) | Err(Failure::Indeterminate) => {}
                        Err(failure) => return Err(failure),
                    }
                }
            }
        }
        line.step = Step::Retracted;
        line.invoice_id = None;
        self.save(line)
    }

    /// The line's invoice, looked for when a crash may have kept its id from us.
    async fn whereabouts(&self, line: &mut Ledger) -> Result<Option<String>, Failure> {
        if line.invoice_id.is_some() {
            return Ok(line.invoice_id.clone());
        }
        let customer = match line.customer_id.clone() {
            Some(customer) => Some(customer),
            None => self.ctx.stripe.customer_by_email(self.slot, &line.terms.email).await?.map(|c| c.id),
        };
        let Some(customer) = customer else { return Ok(None) };
        let found = self.find(&line.deal_id, &customer).await?;
        line.invoice_id = found.map(|invoice| invoice.id);
        Ok(line.invoice_id.clone())
    }
}
