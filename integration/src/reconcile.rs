//! The reconciliation: both sides read completely and compared deal by deal. Knows both ledgers; must not write to either
//! vendor itself: the CRM is the truth, and the normal job brings it about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::alert::AlertKind;
use crate::client::Failure;
use crate::context::Context;
use crate::flow::{LISTING, difference};
use crate::mapping::{Deal, MappingError, Terms};
use crate::policy::{Comparison, Pages, Repair};
use crate::routine::Routine;
use crate::shape::{self, Shape};
use crate::store::Enqueue;
use crate::vendor::{Invoice, PAGE};

/// Reconciles on schedule and on demand, for ever. The first run is one interval after the start.
pub(crate) async fn schedule(ctx: Arc<Context>) -> Result<(), rusqlite::Error> {
    let interval = ctx.config.reconcile_interval;
    let mut routine = Routine::new("reconcile", interval, interval.map(|interval| Instant::now() + interval));
    loop {
        routine.turn(&ctx.reconcile_now, ctx.policies.reconcile.enabled).await;
        let span = tracing::info_span!("reconcile", run = %ctx.run_id());
        let outcome = run(&ctx).instrument(span.clone()).await;
        ctx.wake.notify_one();
        span.in_scope(|| routine.ran(&ctx, outcome))?;
    }
}

/// One deal as it should be invoiced, or why it cannot be.
struct Expected {
    terms: Result<Terms, MappingError>,
    listing: Value,
}

impl Expected {
    fn difference(&self, invoice: &Invoice, by: Comparison) -> Option<String> {
        match &self.terms {
            Ok(terms) => difference(invoice, terms, by),
            Err(why) => Some(why.to_string()),
        }
    }
}

/// What a comparison found.
#[derive(Default)]
struct Findings {
    expected: u64,
    reconciled: u64,
    missing: BTreeSet<String>,
    /// Each with what differs.
    different: BTreeMap<String, String>,
    /// Invoices of deals that should have none.
    unwanted: BTreeSet<String>,
    orphans: Vec<String>,
    duplicates: Vec<String>,
}

impl Findings {
    /// A deal to repair, with why.
    fn told(&self, id: &str) -> String {
        let why = match self.different.get(id) {
            Some(difference) => difference,
            None if self.missing.contains(id) => "no invoice",
            None => "not to be invoiced",
        };
        format!("{id} ({why})")
    }
}

async fn run(ctx: &Context) -> Result<(), Failure> {
    let (won, known) = deals(ctx).await?;
    let invoices = invoices(ctx).await?;
    let findings = compare(ctx, &won, &known, &invoices)?;
    let differences = [
        ("missing", findings.missing.len() as u64),
        ("different", findings.different.len() as u64),
        ("unwanted", findings.unwanted.len() as u64),
        ("orphan", findings.orphans.len() as u64),
        ("duplicate", findings.duplicates.len() as u64),
    ];
    ctx.metrics.reconciled(findings.expected, findings.reconciled, &differences);
    tracing::info!(
        expected = findings.expected,
        reconciled = findings.reconciled,
        missing = findings.missing.len(),
        different = findings.different.len(),
        unwanted = findings.unwanted.len(),
        orphans = findings.orphans.len(),
        duplicates = findings.duplicates.len(),
        "reconciled"
    );
    let to_repair: BTreeSet<&String> =
        findings.missing.iter().chain(findings.different.keys()).chain(&findings.unwanted).collect();
    repair(ctx, &to_repair, &won, &invoices).await?;
    let unrepaired: Vec<&str> =
        findings.orphans.iter().chain(&findings.duplicates).map(String::as_str).collect();
    if !unrepaired.is_empty() {
        let message = format!(
            "{} not repaired: {}",
            unrepaired.len(),
            unrepaired[..unrepaired.len().min(20)].join("; ")
        );
        ctx.alerts.raise(AlertKind::ReconcileMismatch, "invoices", &message);
    } else if !to_repair.is_empty() {
        let some: Vec<String> = to_repair.iter().take(20).map(|id| findings.told(id)).collect();
        let message = format!("{} deals differ and are being repaired: {}", to_repair.len(), some.join(", "));
        ctx.alerts.raise(AlertKind::ReconcileMismatch, "deals", &message);
    }
    Ok(())
}

/// Every won deal by id, and the ids of all.
async fn deals(ctx: &Context) -> Result<(BTreeMap<String, Expected>, BTreeSet<String>), Failure> {
    let strict = ctx.policies.validation.strict;
    let mut won = BTreeMap::new();
    let mut known = BTreeSet::new();
    let mut after: Option<String> = None;
    loop {
        let page = ctx.hubspot.deals(ctx.background_slot(), after.as_deref()).await?;
        let short = ctx.policies.reconcile.pages == Pages::UntilShort && page.deals.len() < PAGE;
        for value in page.deals {
            let id = value["id"].as_str().unwrap_or("?").to_owned();
            known.insert(id.clone());
            if strict && let Err(reason) = shape::check(Shape::Deal, &value) {
                ctx.quarantine("/crm/v3/objects/deals", &id, &reason, &value.to_string())?;
                continue;
            }
            let deal = match Deal::read(&value, &ctx.config.deal_stages) {
                Err(error) if strict => {
                    ctx.quarantine("/crm/v3/objects/deals", &id, &error.to_string(), &value.to_string())?;
                    continue;
                }
                deal => deal,
            };
            if deal.is_ok_and(|deal| deal.won) {
                let terms = Terms::read(&value, &*ctx.policies.money);
                won.insert(id, Expected { terms, listing: value });
            }
        }
        let first = ctx.policies.reconcile.pages == Pages::First;
        if first || short || page.next.is_none() || page.next == after {
            return Ok((won, known));
        }
        after = page.next;
    }
}

async fn invoices(ctx: &Context) -> Result<BTreeMap<String, Vec<Invoice>>, Failure> {
    let mut invoices: BTreeMap<String, Vec<Invoice>> = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let (page, more) = ctx.stripe.invoices(ctx.background_slot(), None, after.as_deref()).await?;
        let short = ctx.policies.reconcile.pages == Pages::UntilShort && page.len() < PAGE;
        let last = page.last().map(|invoice| invoice.id.clone());
        for invoice in page.into_iter().filter(Invoice::is_live) {
            // An invoice without a deal is none of ours.
            if let Some(deal_id) = invoice.deal_id.clone() {
                invoices.entry(deal_id).or_default().push(invoice);
            }
        }
        let first = ctx.policies.reconcile.pages == Pages::First;
        if first || short || !more || last.is_none() || last == after {
            return Ok(invoices);
        }
        after = last;
    }
}

fn compare(
    ctx: &Context,
    won: &BTreeMap<String, Expected>,
    known: &BTreeSet<String>,
    invoices: &BTreeMap<String, Vec<Invoice>>,
) -> Result<Findings, Failure> {
    let mut found = Findings { expected: won.len() as u64, ..Findings::default() };
    if ctx.policies.reconcile.comparison == Comparison::CountsOnly {
        let there: usize = invoices.values().map(Vec::len).sum();
        found.reconciled = found.expected.min(there as u64);
        if there < won.len() {
            found.missing = won.keys().filter(|id| !invoices.contains_key(*id)).cloned().collect();
        }
        return Ok(found);
    }
    for (id, expected) in won {
        // What is being worked on is not yet to be judged.
        let busy = ctx.store.is_busy(id)?;
        match invoices.get(id).map(Vec::as_slice) {
            None | Some([]) if !busy => {
                found.missing.insert(id.clone());
            }
            Some([invoice]) => match expected.difference(invoice, ctx.policies.reconcile.comparison) {
                None => found.reconciled += 1,
                Some(what) if !busy => {
                    found.different.insert(id.clone(), what);
                }
                Some(_) => {}
            },
            Some([first, rest @ ..]) if !busy && !rest.is_empty() => {
                found.duplicates.push(format!(
                    "deal {id} has {} invoices, {} among them",
                    rest.len() + 1,
                    first.id
                ));
            }
            _ => {}
        }
    }
    for (id, theirs) in invoices.iter().filter(|(id, _)| !won.contains_key(*id)) {
        if ctx.store.is_busy(id)? {
            continue;
        }
        if known.contains(id) || ctx.store.ledger(id)?.is_some_and(|line| line.invoice_id.is_some()) {
            found.unwanted.insert(id.clone());
        }
        if ctx.store.ledger(id)?.is_none() {
            found.orphans.push(format!(
                "invoice {} has the metadata.deal_id {id:?}, which is no deal that is won",
                theirs[0].id
            ));
        }
    }
    Ok(found)
}

async fn repair(
    ctx: &Context,
    ids: &BTreeSet<&String>,
    won: &BTreeMap<String, Expected>,
    invoices: &BTreeMap<String, Vec<Invoice>>,
) -> Result<(), Failure> {
    let now = ctx.now_ms();
    match ctx.policies.reconcile.repair {
        Repair::EnqueueJob | Repair::ApplyListing => {
            let listing = ctx.policies.reconcile.repair == Repair::ApplyListing;
            let jobs: Vec<Enqueue> = ids
                .iter()
                .map(|id| {
                    let mut overlay = Map::new();
                    if let Some(expected) = won.get(*id).filter(|_| listing) {
                        overlay = expected.listing["properties"].as_object().cloned().unwrap_or_default();
                        overlay.insert(LISTING.into(), true.into());
                    }
                    Enqueue { verify: true, overlay, ..Enqueue::deal(id, now) }
                })
                .collect();
            ctx.store.enqueue(&jobs, now)?;
        }
        Repair::OverwriteTheCrm => {
            for id in ids {
                if let Some(invoice) = invoices.get(*id).and_then(|all| all.first()) {
                    let decimals = crate::policy::currency_decimals(&invoice.currency);
                    let amount = rust_decimal::Decimal::new(invoice.amount_due, decimals).to_string();
                    ctx.hubspot.overwrite_amount(ctx.background_slot(), id, &amount).await?;
                }
            }
        }
    }
    Ok(())
}
