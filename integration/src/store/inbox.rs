//! Events as they came in. Knows identities and retention; must not know signatures.

use rusqlite::{OptionalExtension as _, params};

use super::jobs::{Enqueue, enqueue};
use super::{Quarantined, Store, Stored, count};

/// An event to be stored, and the job that it asks for.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// What makes it the same as another; empty for an event that is always new.
    pub identity: String,
    pub kind: String,
    pub payload: String,
    pub occurred_ms: i64,
    pub job: Enqueue,
}

/// What became of a stored delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Intake {
    pub fresh: u64,
    pub duplicates: u64,
}

impl Store {
    /// Stores a delivery: its new events with their jobs, its malformed ones in quarantine, all in one transaction.
    pub(crate) fn take_in(
        &self,
        events: &[NewEvent],
        malformed: &[Quarantined],
        unknown: u64,
        now: i64,
        retention_ms: i64,
    ) -> Stored<Intake> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        let mut intake = Intake::default();
        for event in events {
            let known = !event.identity.is_empty() && {
                let seen: Option<i64> = tx
                    .prepare_cached("SELECT received_ms FROM events WHERE identity = ?1")?
                    .query_row([&event.identity], |row| row.get(0))
                    .optional()?;
                seen.is_some_and(|seen| seen > now.saturating_sub(retention_ms))
            };
            if known {
                intake.duplicates += 1;
                continue;
            }
            intake.fresh += 1;
            if !event.identity.is_empty() {
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO events(identity, deal_id, kind, payload, occurred_ms, received_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    event.identity,
                    event.job.deal_id,
                    event.kind,
                    event.payload,
                    event.occurred_ms,
                    now
                ])?;
            }
            enqueue(&tx, &event.job, now)?;
        }
        for entry in malformed {
            super::dead::quarantine(&tx, entry, now)?;
        }
        for (name, by) in [
            ("webhook_events_stored", intake.fresh),
            ("webhook_events_duplicate", intake.duplicates),
            ("webhook_events_unknown", unknown),
            ("webhook_events_malformed", malformed.len() as u64),
        ] {
            if by > 0 {
                count(&tx, name, by)?;
            }
        }
        tx.commit()?;
        Ok(intake)
    }

    /// Forgets events received before `before_ms`; returns how many.
    pub(crate) fn forget_events(&self, before_ms: i64) -> Stored<usize> {
        self.lock().execute("DELETE FROM events WHERE received_ms < ?1", [before_ms])
    }

    /// Whether anything was ever heard of a deal.
    pub(crate) fn knows_deal(&self, deal_id: &str) -> Stored<bool> {
        self.lock()
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM deals WHERE deal_id = ?1)
                     OR EXISTS (SELECT 1 FROM jobs WHERE deal_id = ?1)
                     OR EXISTS (SELECT 1 FROM events WHERE deal_id = ?1)",
            )?
            .query_row([deal_id], |row| row.get(0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch;
    use super::*;

    fn event(identity: &str) -> NewEvent {
        NewEvent {
            identity: identity.into(),
            kind: "deal.propertyChange".into(),
            payload: "{}".into(),
            occurred_ms: 0,
            job: Enqueue::deal("7", 0),
        }
    }

    #[test]
    fn an_event_is_taken_in_once_within_the_retention() {
        let (_dir, store) = scratch();
        let once = Intake { fresh: 1, duplicates: 0 };
        assert_eq!(store.take_in(&[event("e1")], &[], 0, 1_000, 500).unwrap(), once);
        let again = store.take_in(&[event("e1")], &[], 0, 1_400, 500).unwrap();
        assert_eq!(again, Intake { fresh: 0, duplicates: 1 });
        assert_eq!(store.take_in(&[event("e1")], &[], 0, 2_000, 500).unwrap(), once);
    }
}
