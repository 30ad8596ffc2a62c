//! What has been done for each deal, and under which keys. Knows steps and revisions; must not know requests.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Store, Stored, count};
use crate::mapping::Terms;

/// How far the invoice of a deal's revision has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Decided upon; an invoice may or may not exist.
    Begun,
    /// A draft exists.
    Drafted,
    /// The draft has its item.
    Itemised,
    /// Finalised.
    Done,
    /// To be voided or deleted, then redone or left.
    Retracting,
    /// No live invoice: voided or deleted.
    Retracted,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Drafted => "drafted",
            Self::Itemised => "itemised",
            Self::Done => "done",
            Self::Retracting => "retracting",
            Self::Retracted => "retracted",
        }
    }

    fn parse(name: &str) -> Self {
        match name {
            "drafted" => Self::Drafted,
            "itemised" => Self::Itemised,
            "done" => Self::Done,
            "retracting" => Self::Retracting,
            "retracted" => Self::Retracted,
            _ => Self::Begun,
        }
    }
}

/// One deal's line in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub deal_id: String,
    pub revision: u32,
    pub step: Step,
    pub terms: Terms,
    pub customer_id: Option<String>,
    pub invoice_id: Option<String>,
    /// `updatedAt` of the deal's state last acted upon.
    pub source_ms: i64,
}

/// An idempotency key as remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredKey {
    pub generation: u32,
    pub key: String,
    pub created_ms: i64,
}

const COLUMNS: &str = "deal_id, revision, step, email, name, description, amount, currency, closed_s, \
                       customer_id, invoice_id, source_ms";

fn ledger(row: &Row<'_>) -> Stored<Ledger> {
    Ok(Ledger {
        deal_id: row.get(0)?,
        revision: row.get(1)?,
        step: Step::parse(row.get_ref(2)?.as_str()?),
        terms: Terms {
            email: row.get(3)?,
            name: row.get(4)?,
            description: row.get(5)?,
            amount: row.get(6)?,
            currency: row.get(7)?,
            closed_s: row.get(8)?,
        },
        customer_id: row.get(9)?,
        invoice_id: row.get(10)?,
        source_ms: row.get(11)?,
    })
}

impl Store {
    pub(crate) fn ledger(&self, deal_id: &str) -> Stored<Option<Ledger>> {
        let conn = self.lock();
        conn.prepare_cached(&format!("SELECT {COLUMNS} FROM deals WHERE deal_id = ?1"))?
            .query_row([deal_id], ledger)
            .optional()
    }

    /// How far a deal's invoice has come, and the `updatedAt` of the state last acted upon.
    pub(crate) fn progress(&self, deal_id: &str) -> Stored<Option<(Step, i64)>> {
        let conn = self.lock();
        conn.prepare_cached("SELECT step, source_ms FROM deals WHERE deal_id = ?1")?
            .query_row([deal_id], |row| Ok((Step::parse(row.get_ref(0)?.as_str()?), row.get(1)?)))
            .optional()
    }

    /// The customer that an address was last invoiced as.
    pub(crate) fn customer_of(&self, email: &str) -> Stored<Option<String>> {
        let conn = self.lock();
        conn.prepare_cached(
            "SELECT customer_id FROM deals WHERE email = ?1 AND customer_id IS NOT NULL
             ORDER BY changed_ms DESC, deal_id LIMIT 1",
        )?
        .query_row([email], |row| row.get(0))
        .optional()
    }

    /// Saves a line, and counts it if it has come to its end, in one transaction.
    pub(crate) fn save_ledger(&self, line: &Ledger, now: i64) -> Stored<()> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        let mut write = tx.prepare_cached(&format!(
            "INSERT OR REPLACE INTO deals({COLUMNS}, changed_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
        ))?;
        write.execute(params![
            line.deal_id,
            line.revision,
            line.step.name(),
            line.terms.email,
            line.terms.name,
            line.terms.description,
            line.terms.amount,
            line.terms.currency,
            line.terms.closed_s,
            line.customer_id,
            line.invoice_id,
            line.source_ms,
            now
        ])?;
        match line.step {
            Step::Done => count(&tx, "invoices_finalised", 1)?,
            Step::Retracted => count(&tx, "invoices_retracted", 1)?,
            _ => {}
        }
        drop(write);
        tx.commit()
    }

    /// A newer state of the deal changed nothing that matters.
    pub(crate) fn touch_ledger(&self, deal_id: &str, source_ms: i64) -> Stored<()> {
        let conn = self.lock();
        conn.prepare_cached("UPDATE deals SET source_ms = max(source_ms, ?2) WHERE deal_id = ?1")?
            .execute(params![deal_id, source_ms])?;
        Ok(())
    }

    pub(crate) fn key(
        &self,
        subject: &str,
        revision: u32,
        step: &str,
        digest: &str,
    ) -> Stored<Option<StoredKey>> {
        let conn = self.lock();
        conn.prepare_cached(
            "SELECT generation, key, created_ms FROM write_keys
             WHERE subject = ?1 AND revision = ?2 AND step = ?3 AND digest = ?4",
        )?
        .query_row(params![subject, revision, step, digest], |row| {
            Ok(StoredKey { generation: row.get(0)?, key: row.get(1)?, created_ms: row.get(2)? })
        })
        .optional()
    }

    pub(crate) fn save_key(
        &self,
        subject: &str,
        revision: u32,
        step: &str,
        digest: &str,
        key: &StoredKey,
    ) -> Stored<()> {
        let conn = self.lock();
        conn.prepare_cached(
            "INSERT OR REPLACE INTO write_keys(subject, revision, step, digest, generation, key, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            subject,
            revision,
            step,
            digest,
            key.generation,
            key.key,
            key.created_ms
        ])?;
        Ok(())
    }
}
