//! What is still to be told to somebody. Knows its order and its bound; must not know what it says.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, Stored};

/// The most that is kept for a receiver that accepts nothing; the oldest go first.
const KEPT: i64 = 1000;

impl Store {
    /// Keeps an alert until it is accepted.
    pub(crate) fn put_alert(&self, body: &str) -> Stored<()> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        tx.prepare_cached("INSERT INTO alerts(body) VALUES (?1)")?.execute([body])?;
        let oldest = tx.last_insert_rowid() - KEPT;
        tx.prepare_cached("DELETE FROM alerts WHERE id <= ?1")?.execute([oldest])?;
        tx.commit()
    }

    /// The alert that waits longest.
    pub(crate) fn next_alert(&self) -> Stored<Option<(i64, String)>> {
        let conn = self.lock();
        conn.prepare_cached("SELECT id, body FROM alerts ORDER BY id LIMIT 1")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }

    /// Forgets an alert.
    pub(crate) fn drop_alert(&self, id: i64) -> Stored<()> {
        self.lock().prepare_cached("DELETE FROM alerts WHERE id = ?1")?.execute(params![id])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::scratch;
    use super::*;

    #[test]
    fn alerts_wait_in_order_and_the_oldest_of_too_many_goes() {
        let (_dir, store) = scratch();
        for n in 0..=KEPT {
            store.put_alert(&n.to_string()).unwrap();
        }
        let (id, body) = store.next_alert().unwrap().unwrap();
        assert_eq!(body, "1");
        store.drop_alert(id).unwrap();
        assert_eq!(store.next_alert().unwrap().unwrap().1, "2");
    }
}
