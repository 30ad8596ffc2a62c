//! The queue as seen from outside: what is due, busy, put aside. Knows how to ask; must not change anything.

use rusqlite::OptionalExtension as _;

use super::{Store, Stored};
use crate::policy::{QueueOrder, QueueRule};

/// How full the queue is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueDepth {
    pub queued: u64,
    pub leased: u64,
    pub parked: u64,
    /// When the oldest unfinished job was made.
    pub oldest_ms: Option<i64>,
}

impl Store {
    /// When the next job falls due, or the next lease of another owner (or a lease not renewed) expires.
    pub(crate) fn next_due(&self, rule: &QueueRule) -> Stored<Option<i64>> {
        let conn = self.lock();
        let queued = match rule.order {
            QueueOrder::Due => {
                "SELECT due_ms FROM jobs AS job WHERE state = 'queued'
                   AND NOT EXISTS (SELECT 1 FROM jobs AS other
                                   WHERE other.deal_id = job.deal_id AND other.state = 'leased')
                 ORDER BY due_ms, id LIMIT 1"
            }
            QueueOrder::StrictlyOldest => {
                "SELECT due_ms FROM jobs AS job WHERE state = 'queued'
                   AND id = (SELECT min(id) FROM jobs WHERE state = 'queued')
                   AND NOT EXISTS (SELECT 1 FROM jobs AS other
                                   WHERE other.deal_id = job.deal_id AND other.state = 'leased')"
            }
        };
        let queued: Option<i64> = conn.prepare_cached(queued)?.query_row([], |row| row.get(0)).optional()?;
        let leased: Option<i64> = conn
            .prepare_cached("SELECT min(lease_ms) FROM jobs WHERE state = 'leased'")?
            .query_row([], |row| row.get(0))?;
        Ok(queued.into_iter().chain(leased).min())
    }

    /// Whether a deal has unfinished work, parked work aside.
    pub(crate) fn is_busy(&self, deal_id: &str) -> Stored<bool> {
        let conn = self.lock();
        conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM jobs WHERE deal_id = ?1 AND state <> 'parked')")?
            .query_row([deal_id], |row| row.get(0))
    }

    /// When a deal's work was last put aside: parked, or dead-lettered and not replayed.
    pub(crate) fn put_aside_ms(&self, deal_id: &str) -> Stored<Option<i64>> {
        let conn = self.lock();
        conn.prepare_cached(
            "SELECT max(at) FROM (
               SELECT due_ms AS at FROM jobs WHERE deal_id = ?1 AND state = 'parked'
               UNION ALL SELECT created_ms FROM dead_letters WHERE deal_id = ?1 AND replayed_ms IS NULL)",
        )?
        .query_row([deal_id], |row| row.get(0))
    }

    /// How full the queue is. A job that is put off to the future counts from when it was made.
    pub(crate) fn depth(&self) -> Stored<QueueDepth> {
        let conn = self.lock();
        let mut depth = QueueDepth::default();
        let mut rows =
            conn.prepare_cached("SELECT state, count(*), min(created_ms) FROM jobs GROUP BY state")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (state, n, oldest): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let n = n.cast_unsigned();
            match state.as_str() {
                "queued" => depth.queued = n,
                "leased" => depth.leased = n,
                _ => {
                    depth.parked = n;
                    continue;
                }
            }
            depth.oldest_ms = Some(depth.oldest_ms.map_or(oldest, |so_far| so_far.min(oldest)));
        }
        Ok(depth)
    }

    /// When the oldest unfinished job was made.
    pub(crate) fn oldest_job(&self) -> Stored<Option<i64>> {
        let conn = self.lock();
        conn.prepare_cached("SELECT min(created_ms) FROM jobs WHERE state IN ('queued', 'leased')")?
            .query_row([], |row| row.get(0))
    }
}
