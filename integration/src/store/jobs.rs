//! The queue: at most one queued and one leased job a deal. Knows leases and due times; must not know what a job does.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::{Store, Stored, count};
use crate::policy::{Completion, QueueOrder, QueueRule};

/// A wish to have a deal looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Enqueue {
    pub deal_id: String,
    pub due_ms: i64,
    /// Look at the invoice itself, too, instead of trusting the ledger.
    pub verify: bool,
    /// Property values to lay over the fetched deal (only under policies that trust them).
    pub overlay: Map<String, Value>,
}

impl Enqueue {
    pub(crate) fn deal(deal_id: &str, due_ms: i64) -> Self {
        Self { deal_id: deal_id.to_owned(), due_ms, verify: false, overlay: Map::new() }
    }
}

/// A job that is ours until its lease ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Claimed {
    pub id: i64,
    pub deal_id: String,
    /// Failed attempts so far.
    pub attempts: u32,
    pub verify: bool,
    pub overlay: Map<String, Value>,
    pub created_ms: i64,
}

/// Adds a job, or joins the one already queued for the deal. A job that waits for its retry keeps waiting.
pub(super) fn enqueue(conn: &Connection, job: &Enqueue, now: i64) -> Stored<()> {
    conn.prepare_cached("DELETE FROM jobs WHERE deal_id = ?1 AND state = 'parked'")?
        .execute([&job.deal_id])?;
    conn.prepare_cached(
        "INSERT INTO jobs(deal_id, state, due_ms, verify, overlay, created_ms) VALUES (?1, 'queued', ?2, ?3, ?4, ?5)
         ON CONFLICT(deal_id) WHERE state = 'queued' DO UPDATE SET
           due_ms = CASE WHEN attempts = 0 THEN min(due_ms, excluded.due_ms) ELSE due_ms END,
           verify = max(verify, excluded.verify),
           overlay = json_patch(overlay, excluded.overlay)",
    )?
    .execute(params![job.deal_id, job.due_ms, job.verify, overlay_text(&job.overlay), now])?;
    Ok(())
}

fn overlay_text(overlay: &Map<String, Value>) -> String {
    if overlay.is_empty() {
        "{}".to_owned()
    } else {
        serde_json::to_string(overlay).unwrap_or_else(|_| "{}".into())
    }
}

fn claimed(row: &rusqlite::Row<'_>) -> Stored<Claimed> {
    let overlay: String = row.get(4)?;
    Ok(Claimed {
        id: row.get(0)?,
        deal_id: row.get(1)?,
        attempts: row.get(2)?,
        verify: row.get(3)?,
        overlay: if overlay == "{}" {
            Map::new()
        } else {
            serde_json::from_str(&overlay).unwrap_or_default()
        },
        created_ms: row.get(5)?,
    })
}

/// Puts a leased job back into the queue, joining what was queued for the deal meanwhile.
fn requeue(conn: &Connection, id: i64, due_ms: i64, failed: u32, reason: Option<&str>) -> Stored<()> {
    let later: Option<(i64, bool, String)> = conn
        .prepare_cached(
            "SELECT id, verify, overlay FROM jobs
             WHERE state = 'queued' AND deal_id = (SELECT deal_id FROM jobs WHERE id = ?1)",
        )?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (verify, overlay) = match later {
        Some((other, verify, overlay)) => {
            conn.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([other])?;
            (verify, overlay)
        }
        None => (false, "{}".to_owned()),
    };
    conn.prepare_cached(
        "UPDATE jobs SET state = 'queued', due_ms = ?2, attempts = attempts + ?3, owner = NULL, lease_ms = NULL,
           verify = max(verify, ?4), overlay = json_patch(overlay, ?5), reason = coalesce(?6, reason)
         WHERE id = ?1",
    )?
    .execute(params![id, due_ms, failed, verify, overlay, reason])?;
    Ok(())
}

impl Store {
    /// Adds jobs in one transaction.
    pub(crate) fn enqueue(&self, jobs: &[Enqueue], now: i64) -> Stored<()> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        for job in jobs {
            enqueue(&tx, job, now)?;
        }
        tx.commit()
    }

    /// Claims the next job for `owner`, freeing expired leases first.
    pub(crate) fn claim(&self, owner: &str, rule: &QueueRule, now: i64) -> Stored<Option<Claimed>> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        let expired: Vec<i64> = tx
            .prepare_cached("SELECT id FROM jobs WHERE state = 'leased' AND lease_ms <= ?1")?
            .query_map([now], |row| row.get(0))?
            .collect::<Stored<_>>()?;
        for id in expired {
            requeue(&tx, id, now, 0, Some("lease expired"))?;
        }
        let next = match rule.order {
            QueueOrder::Due => {
                "SELECT id FROM jobs AS job WHERE state = 'queued' AND due_ms <= ?1
                   AND NOT EXISTS (SELECT 1 FROM jobs AS other
                                   WHERE other.deal_id = job.deal_id AND other.state = 'leased')
                 ORDER BY due_ms, id LIMIT 1"
            }
            QueueOrder::StrictlyOldest => {
                "SELECT id FROM jobs AS job WHERE due_ms <= ?1 AND state = 'queued'
                   AND id = (SELECT min(id) FROM jobs WHERE state = 'queued')
                   AND NOT EXISTS (SELECT 1 FROM jobs AS other
                                   WHERE other.deal_id = job.deal_id AND other.state = 'leased')"
            }
        };
        let id: Option<i64> = tx.prepare_cached(next)?.query_row([now], |row| row.get(0)).optional()?;
        let Some(id) = id else {
            tx.commit()?;
            return Ok(None);
        };
        let columns = "id, deal_id, attempts, verify, overlay, created_ms";
        let job = match rule.completion {
            Completion::AfterTheWork => {
                let lease = now.saturating_add(i64::try_from(rule.lease.as_millis()).unwrap_or(i64::MAX));
                tx.prepare_cached(&format!(
                    "UPDATE jobs SET state = 'leased', owner = ?2, lease_ms = ?3 WHERE id = ?1 RETURNING {columns}"
                ))?
                .query_row(params![id, owner, lease], claimed)?
            }
            Completion::WhenClaimed => tx
                .prepare_cached(&format!("DELETE FROM jobs WHERE id = ?1 RETURNING {columns}"))?
                .query_row(params![id], claimed)?,
        };
        tx.commit()?;
        Ok(Some(job))
    }

    /// Extends every lease of `owner`.
    pub(crate) fn renew(&self, owner: &str, until_ms: i64) -> Stored<()> {
        let conn = self.lock();
        conn.prepare_cached("UPDATE jobs SET lease_ms = ?2 WHERE state = 'leased' AND owner = ?1")?
            .execute(params![owner, until_ms])?;
        Ok(())
    }

    /// Takes a finished job off the queue.
    pub(crate) fn complete(&self, job: &Claimed, owner: &str) -> Stored<()> {
        let conn = self.lock();
        conn.prepare_cached("DELETE FROM jobs WHERE id = ?1 AND state = 'leased' AND owner = ?2")?
            .execute(params![job.id, owner])?;
        Ok(())
    }

    /// Gives a job back, to run not before `due_ms`; `failed` is 1 when this counts as a failed attempt.
    pub(crate) fn give_back(
        &self,
        job: &Claimed,
        owner: &str,
        due_ms: i64,
        failed: u32,
        reason: Option<&str>,
    ) -> Stored<()> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        if owns(&tx, job.id, owner)? {
            requeue(&tx, job.id, due_ms, failed, reason)?;
        }
        tx.commit()
    }

    /// Puts a job aside until something new is heard of its deal. What was queued meanwhile stays queued.
    pub(crate) fn park(&self, job: &Claimed, owner: &str, reason: &str, now: i64) -> Stored<()> {
        let conn = self.lock();
        conn.prepare_cached(
            "UPDATE jobs SET state = 'parked', owner = NULL, lease_ms = NULL, reason = ?3, due_ms = ?4
             WHERE id = ?1 AND state = 'leased' AND owner = ?2",
        )?
        .execute(params![job.id, owner, reason, now])?;
        Ok(())
    }

    /// Gives back every job of `owner` at once (graceful stop).
    pub(crate) fn release_all(&self, owner: &str, now: i64) -> Stored<()> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        let ours: Vec<i64> = tx
            .prepare_cached("SELECT id FROM jobs WHERE state = 'leased' AND owner = ?1")?
            .query_map([owner], |row| row.get(0))?
            .collect::<Stored<_>>()?;
        for id in ours {
            requeue(&tx, id, now, 0, Some("stopped"))?;
        }
        tx.commit()
    }

    /// Drops every job of `owner`.
    pub(crate) fn forget_all(&self, owner: &str) -> Stored<()> {
        self.lock().execute("DELETE FROM jobs WHERE state = 'leased' AND owner = ?1", [owner])?;
        Ok(())
    }

    /// Moves a job to the dead letters.
    pub(crate) fn bury(
        &self,
        job: &Claimed,
        owner: &str,
        reason: &str,
        payload: &Value,
        now: i64,
    ) -> Stored<()> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        tx.prepare_cached("DELETE FROM jobs WHERE id = ?1 AND state = 'leased' AND owner = ?2")?
            .execute(params![job.id, owner])?;
        tx.prepare_cached(
            "INSERT INTO dead_letters(deal_id, reason, payload, attempts, created_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![job.deal_id, reason, payload.to_string(), job.attempts + 1, now])?;
        count(&tx, "jobs_dead_lettered", 1)?;
        tx.commit()
    }
}

fn owns(conn: &Connection, id: i64, owner: &str) -> Stored<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND state = 'leased' AND owner = ?2)",
    )?
    .query_row(params![id, owner], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::super::scratch;
    use super::*;

    #[test]
    fn a_deal_has_one_job_at_a_time_and_later_wishes_wait_for_it() {
        let (_dir, store) = scratch();
        let rule = QueueRule::default();
        store.enqueue(&[Enqueue::deal("7", 0), Enqueue::deal("7", 0)], 0).unwrap();
        let job = store.claim("a", &rule, 0).unwrap().unwrap();
        store.enqueue(&[Enqueue::deal("7", 1)], 1).unwrap();
        assert_eq!(store.claim("b", &rule, 1).unwrap(), None);
        store.complete(&job, "a").unwrap();
        assert!(store.claim("b", &rule, 1).unwrap().is_some());
    }

    #[test]
    fn a_lease_that_ends_frees_the_job_and_its_late_owner_changes_nothing() {
        let (_dir, store) = scratch();
        let rule = QueueRule::default();
        store.enqueue(&[Enqueue::deal("7", 0)], 0).unwrap();
        let late = store.claim("a", &rule, 0).unwrap().unwrap();
        assert_eq!(store.next_due(&rule).unwrap(), Some(120_000));
        let again = store.claim("b", &rule, 120_000).unwrap().unwrap();
        store.complete(&late, "a").unwrap();
        assert!(store.is_busy("7").unwrap());
        store.complete(&again, "b").unwrap();
        assert!(!store.is_busy("7").unwrap());
    }

    #[test]
    fn a_failed_job_joins_what_was_queued_meanwhile() {
        let (_dir, store) = scratch();
        let rule = QueueRule::default();
        store.enqueue(&[Enqueue::deal("7", 0)], 0).unwrap();
        let job = store.claim("a", &rule, 0).unwrap().unwrap();
        let more = Enqueue { verify: true, ..Enqueue::deal("7", 5) };
        store.enqueue(&[more], 5).unwrap();
        store.give_back(&job, "a", 900, 1, Some("503")).unwrap();
        assert_eq!(store.depth().unwrap().queued, 1);
        let job = store.claim("a", &rule, 900).unwrap().unwrap();
        assert_eq!((job.attempts, job.verify), (1, true));
    }

    #[test]
    fn news_wake_a_parked_job() {
        let (_dir, store) = scratch();
        let rule = QueueRule::default();
        store.enqueue(&[Enqueue::deal("7", 0)], 0).unwrap();
        let job = store.claim("a", &rule, 0).unwrap().unwrap();
        store.park(&job, "a", "bad answer", 5).unwrap();
        assert_eq!(store.claim("a", &rule, 10).unwrap(), None);
        store.enqueue(&[Enqueue::deal("7", 10)], 10).unwrap();
        assert!(store.claim("a", &rule, 10).unwrap().is_some());
        assert_eq!(store.depth().unwrap().parked, 0);
    }
}
