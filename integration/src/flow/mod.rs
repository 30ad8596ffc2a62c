//! One deal's way to its invoice. Knows the order of steps and what each crash leaves behind; must not know queues.
//!
//! Draft first, then the item attached to it by id (a pending item could be swept into another deal's invoice),
//! then finalise. Each step is saved before the next; a job that resumes looks before it writes.

use serde_json::Value;

use crate::client::Failure;
use crate::context::Context;
use crate::mapping::{Deal, MappingError, Terms};
use crate::policy::{Amendment, DealSource, Order, Resume, Unchanged};
use crate::store::{Claimed, Ledger, Step};

mod compare;
mod invoice;
mod key;
mod retract;

pub(crate) use compare::difference;

/// What a job did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// The invoice is finalised as the deal stands.
    Invoiced,
    /// There was nothing to do.
    Nothing,
    /// The invoice was voided or deleted.
    Retracted,
    /// The state fetched is older than what was acted upon.
    Stale,
}

impl Done {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Invoiced => "invoiced",
            Self::Nothing => "nothing",
            Self::Retracted => "retracted",
            Self::Stale => "stale",
        }
    }
}

/// One deal, on behalf of one worker.
struct Flow<'a> {
    ctx: &'a Context,
    slot: usize,
}

/// Does what a job asks for.
pub(crate) async fn run(ctx: &Context, slot: usize, job: &Claimed) -> Result<Done, Failure> {
    let flow = Flow { ctx, slot };
    let value = ctx.hubspot.deal(slot, &job.deal_id).await?;
    let ledger = ctx.store.ledger(&job.deal_id)?;
    let Some(mut value) = value else {
        return flow.leave_without_invoice(ledger, None).await;
    };
    if ctx.policies.freshness.source == DealSource::EventPayload || job.overlay.contains_key(LISTING) {
        overlay(&mut value, &job.overlay);
    }
    let strict = ctx.policies.validation.strict;
    let deal = match Deal::read(&value, &ctx.config.deal_stages) {
        Ok(deal) => deal,
        Err(error) if strict => return Err(unmappable(&value, &error)),
        Err(_) => Deal { id: job.deal_id.clone(), won: true, updated_ms: 0, modified_ms: 0 },
    };
    let stale = ledger.as_ref().is_some_and(|line| line.source_ms > deal.updated_ms);
    if stale && ctx.policies.freshness.order == Order::UpdatedAt {
        // Begun under a newer state than this one: wait for a read that shows it.
        return match ledger.is_some_and(|line| !matches!(line.step, Step::Done | Step::Retracted)) {
            true => Err(Failure::Unavailable { why: "the deal read is older than the one begun".into() }),
            false => Ok(Done::Stale),
        };
    }
    if !deal.won {
        return flow.leave_without_invoice(ledger, Some(deal.updated_ms)).await;
    }
    let terms = match Terms::read(&value, &*ctx.policies.money) {
        Ok(terms) => terms,
        Err(error) if strict => return Err(unmappable(&value, &error)),
        Err(_) => Terms::guess(&value, &*ctx.policies.money),
    };
    flow.settle(&deal, terms, ledger, job).await
}

/// The key under which a job's overlay says that it is a listing's state (see `Repair::ApplyListing`).
pub(crate) const LISTING: &str = "__listing";

fn overlay(deal: &mut Value, overlay: &serde_json::Map<String, Value>) {
    for (name, value) in overlay.iter().filter(|(name, _)| *name != LISTING) {
        deal["properties"][name] = value.clone();
    }
}

fn unmappable(deal: &Value, error: &MappingError) -> Failure {
    Failure::Invalid { source: "deal".into(), reason: error.to_string(), payload: deal.to_string() }
}

fn begun(deal: &Deal, terms: Terms, revision: u32, customer: Option<String>) -> Ledger {
    Ledger {
        deal_id: deal.id.clone(),
        revision,
        step: Step::Begun,
        terms,
        customer_id: customer,
        invoice_id: None,
        source_ms: deal.updated_ms,
    }
}

/// Whether a deal is still to be invoiced as its line has it.
fn same_terms(line: &Ledger, terms: &Terms, amendment: Amendment) -> bool {
    let owed = |terms: &Terms| (terms.amount, terms.currency.clone(), terms.email.clone());
    match amendment {
        Amendment::AnyTerm => line.terms == *terms,
        Amendment::AmountOrAddress => owed(&line.terms) == owed(terms),
    }
}

impl Flow<'_> {
    fn save(&self, line: &Ledger) -> Result<(), Failure> {
        Ok(self.ctx.store.save_ledger(line, self.ctx.now_ms())?)
    }

    /// The deal is to have no invoice.
    async fn leave_without_invoice(
        &self,
        ledger: Option<Ledger>,
        source_ms: Option<i64>,
    ) -> Result<Done, Failure> {
        let Some(mut line) = ledger else { return Ok(Done::Nothing) };
        if let Some(source_ms) = source_ms {
            line.source_ms = line.source_ms.max(source_ms);
        }
        if line.step == Step::Retracted {
            return Ok(Done::Nothing);
        }
        self.retract(&mut line).await?;
        Ok(Done::Retracted)
    }

    /// The deal is to have exactly one invoice, on these terms.
    async fn settle(
        &self,
        deal: &Deal,
        terms: Terms,
        ledger: Option<Ledger>,
        job: &Claimed,
    ) -> Result<Done, Failure> {
        let writes = self.ctx.policies.writes;
        let line = match ledger {
            None => begun(deal, terms, 1, None),
            Some(mut old) if old.step == Step::Done && same_terms(&old, &terms, writes.amendment) => {
                if writes.unchanged == Unchanged::WriteAgain {
                    begun(deal, terms, old.revision + 1, old.customer_id)
                } else if job.verify && !self.still_stands(&old).await? {
                    self.retract(&mut old).await?;
                    begun(deal, terms, old.revision + 1, None)
                } else {
                    if deal.updated_ms > old.source_ms {
                        old.source_ms = deal.updated_ms;
                        self.ctx.store.touch_ledger(&old.deal_id, old.source_ms)?;
                    }
                    return Ok(Done::Nothing);
                }
            }
            Some(old) if old.step < Step::Done && same_terms(&old, &terms, writes.amendment) => {
                if writes.resume == Resume::TakeForDone && old.invoice_id.is_some() {
                    return Ok(Done::Nothing);
                }
                Ledger { source_ms: deal.updated_ms, ..old }
            }
            Some(mut old) => {
                if old.step != Step::Retracted {
                    self.retract(&mut old).await?;
                }
                // Its customer may have another name by now.
                begun(deal, terms, old.revision + 1, None)
            }
        };
        self.save(&line)?;
        self.bring_about(line).await?;
        Ok(Done::Invoiced)
    }

    /// Whether a finished invoice is still there as the ledger has it.
    async fn still_stands(&self, line: &Ledger) -> Result<bool, Failure> {
        let Some(id) = &line.invoice_id else { return Ok(false) };
        let invoice = self.ctx.stripe.invoice(self.slot, id).await?;
        let by = self.ctx.policies.reconcile.comparison;
        Ok(invoice
            .is_some_and(|invoice| invoice.is_live() && difference(&invoice, &line.terms, by).is_none()))
    }
}
