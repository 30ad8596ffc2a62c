//! What could not be processed: dead letters and quarantine. Knows reasons and payloads; must not know how to repair them.

use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use super::jobs::{Enqueue, enqueue};
use super::{Store, Stored, count};
use crate::policy::ReplayKeys;

/// A job that was given up.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeadLetter {
    pub id: i64,
    pub deal_id: String,
    pub reason: String,
    pub payload: Value,
    pub attempts: u32,
    pub created_ms: i64,
    pub replayed_ms: Option<i64>,
}

/// Data that was refused, to be stored.
#[derive(Debug, Clone)]
pub(crate) struct Quarantined {
    /// Where it came from: `webhook`, or the vendor's endpoint.
    pub source: String,
    /// What it is about: a deal id, or the source again.
    pub subject: String,
    pub reason: String,
    pub payload: String,
}

/// Data that was refused, as stored.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct QuarantineEntry {
    pub id: i64,
    pub source: String,
    pub subject: String,
    pub reason: String,
    pub payload: String,
    pub created_ms: i64,
}

pub(super) fn quarantine(conn: &Connection, entry: &Quarantined, now: i64) -> Stored<()> {
    conn.prepare_cached(
        "INSERT INTO quarantine(source, subject, reason, payload, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![entry.source, entry.subject, entry.reason, entry.payload, now])?;
    Ok(())
}

impl Store {
    pub(crate) fn quarantine(&self, entry: &Quarantined, now: i64) -> Stored<()> {
        quarantine(&self.lock(), entry, now)
    }

    /// Dead letters that were not replayed yet, oldest first.
    pub(crate) fn dead_letters(&self) -> Stored<Vec<DeadLetter>> {
        let conn = self.lock();
        let mut rows = conn.prepare_cached(
            "SELECT id, deal_id, reason, payload, attempts, created_ms, replayed_ms
             FROM dead_letters WHERE replayed_ms IS NULL ORDER BY id LIMIT 1000",
        )?;
        rows.query_map([], |row| {
            let payload: String = row.get(3)?;
            Ok(DeadLetter {
                id: row.get(0)?,
                deal_id: row.get(1)?,
                reason: row.get(2)?,
                payload: serde_json::from_str(&payload).unwrap_or(Value::String(payload)),
                attempts: row.get(4)?,
                created_ms: row.get(5)?,
                replayed_ms: row.get(6)?,
            })
        })?
        .collect()
    }

    /// Puts dead letters back into the queue: the given ones, or all. Returns how many.
    pub(crate) fn replay_dead_letters(
        &self,
        ids: Option<&[i64]>,
        keys: ReplayKeys,
        now: i64,
    ) -> Stored<usize> {
        let letters = self.dead_letters()?;
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        let mut replayed = 0;
        for letter in letters.iter().filter(|letter| ids.is_none_or(|ids| ids.contains(&letter.id))) {
            let overlay =
                letter.payload.get("overlay").and_then(Value::as_object).cloned().unwrap_or_default();
            enqueue(&tx, &Enqueue { overlay, ..Enqueue::deal(&letter.deal_id, now) }, now)?;
            tx.execute("UPDATE dead_letters SET replayed_ms = ?2 WHERE id = ?1", params![letter.id, now])?;
            if keys == ReplayKeys::Renew {
                tx.execute(
                    "UPDATE write_keys SET generation = generation + 1, key = '' WHERE subject = ?1",
                    [&letter.deal_id],
                )?;
            }
            replayed += 1;
        }
        count(&tx, "dead_letters_replayed", replayed as u64)?;
        tx.commit()?;
        Ok(replayed)
    }

    /// The newest quarantined entries, newest first.
    pub(crate) fn quarantined(&self, limit: u32) -> Stored<Vec<QuarantineEntry>> {
        let conn = self.lock();
        let mut rows = conn.prepare_cached(
            "SELECT id, source, subject, reason, payload, created_ms FROM quarantine ORDER BY id DESC LIMIT ?1",
        )?;
        rows.query_map([limit], |row| {
            Ok(QuarantineEntry {
                id: row.get(0)?,
                source: row.get(1)?,
                subject: row.get(2)?,
                reason: row.get(3)?,
                payload: row.get(4)?,
                created_ms: row.get(5)?,
            })
        })?
        .collect()
    }

    /// How many dead letters wait, and how many entries are quarantined: those put there since `since_ms`. With
    /// `replayed`, dead letters that wait no more are counted as well.
    pub(crate) fn refused(&self, since_ms: i64, replayed: bool) -> Stored<(u64, u64)> {
        let conn = self.lock();
        let mut row = conn.prepare_cached(
            "SELECT (SELECT count(*) FROM dead_letters WHERE created_ms >= ?1 AND (?2 OR replayed_ms IS NULL)),
                    (SELECT count(*) FROM quarantine WHERE created_ms >= ?1)",
        )?;
        row.query_row(params![since_ms, replayed], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?.cast_unsigned()))
        })
    }
}
