//! The durable state. Knows SQLite, migrations and transactions; must not know vendors or HTTP.
//!
//! One connection in this process, behind a mutex that is never held over an await. All instants are
//! milliseconds since the Unix epoch.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::config::{Locking, Synchronous};
use crate::error::CoreError;

mod dead;
mod inbox;
mod jobs;
mod ledger;
mod outbox;
mod tokens;
mod view;

pub(crate) use dead::Quarantined;
pub(crate) use inbox::NewEvent;
pub(crate) use jobs::{Claimed, Enqueue};
pub(crate) use ledger::{Ledger, Step, StoredKey};
pub(crate) use tokens::StoredToken;

/// Schema changes, oldest first; `PRAGMA user_version` counts those applied.
const MIGRATIONS: &[&str] = &[include_str!("v1.sql"), include_str!("v2.sql"), include_str!("v3.sql")];

pub(crate) type Stored<T> = rusqlite::Result<T>;

/// The store of one core.
pub(crate) struct Store(Mutex<Connection>);

impl Store {
    pub(crate) fn open(dir: &Path, synchronous: Synchronous, locking: Locking) -> Result<Self, CoreError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| CoreError::StateDir { path: dir.to_owned(), source })?;
        let path = dir.join("core.sqlite");
        match connect(&path, synchronous, locking) {
            Err(CoreError::Store(error))
                if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) =>
            {
                Err(CoreError::InUse { path })
            }
            connected => Ok(Self(Mutex::new(connected?))),
        }
    }

    /// A store that is gone with the process.
    pub(crate) fn in_memory() -> Result<Self, CoreError> {
        let mut conn = Connection::open_in_memory()?;
        migrate(&mut conn)?;
        Ok(Self(Mutex::new(conn)))
    }

    /// Lets go of the store at once, whoever still holds this: what they do from now on comes to nothing.
    pub(crate) fn close(&self) {
        if let Ok(nothing) = Connection::open_in_memory() {
            *self.lock() = nothing;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every surviving counter, by name.
    pub(crate) fn counters(&self) -> Stored<Vec<(String, u64)>> {
        let conn = self.lock();
        let mut rows = conn.prepare_cached("SELECT name, value FROM counters ORDER BY name")?;
        rows.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?.collect()
    }

    /// The position of a named cursor.
    pub(crate) fn cursor(&self, name: &str) -> Stored<Option<i64>> {
        use rusqlite::OptionalExtension as _;
        let conn = self.lock();
        let mut row = conn.prepare_cached("SELECT position_ms FROM cursors WHERE name = ?1")?;
        row.query_row([name], |row| row.get(0)).optional()
    }

    /// Moves a cursor together with the jobs that it covers, in one transaction.
    pub(crate) fn move_cursor(&self, name: &str, position_ms: i64, jobs: &[Enqueue], now: i64) -> Stored<()> {
        let conn = self.lock();
        let tx = conn.unchecked_transaction()?;
        for job in jobs {
            jobs::enqueue(&tx, job, now)?;
        }
        tx.prepare_cached(
            "INSERT INTO cursors(name, position_ms) VALUES (?1, ?2)
             ON CONFLICT(name) DO UPDATE SET position_ms = max(position_ms, excluded.position_ms)",
        )?
        .execute(params![name, position_ms])?;
        tx.commit()
    }
}

/// Adds to a counter that survives restarts.
fn count(conn: &Connection, name: &str, by: u64) -> Stored<()> {
    conn.prepare_cached(
        "INSERT INTO counters(name, value) VALUES (?1, ?2)
         ON CONFLICT(name) DO UPDATE SET value = value + excluded.value",
    )?
    .execute(params![name, i64::try_from(by).unwrap_or(i64::MAX)])?;
    Ok(())
}

fn connect(path: &Path, synchronous: Synchronous, locking: Locking) -> Result<Connection, CoreError> {
    let mut conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(96);
    if locking == Locking::Exclusive {
        // Before WAL mode is entered: its index then needs no memory shared with other processes.
        conn.pragma_update(None, "locking_mode", "exclusive")?;
    }
    conn.pragma_update(None, "journal_mode", "wal")?;
    let level = match synchronous {
        Synchronous::Full => "full",
        Synchronous::Normal => "normal",
    };
    conn.pragma_update(None, "synchronous", level)?;
    migrate(&mut conn)?;
    Ok(conn)
}

fn migrate(conn: &mut Connection) -> Result<(), CoreError> {
    let found: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(CoreError::NewerStore { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    if done < MIGRATIONS.len() {
        let tx = conn.transaction()?;
        for step in &MIGRATIONS[done..] {
            tx.execute_batch(step)?;
        }
        tx.pragma_update(None, "user_version", known)?;
        tx.commit()?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) fn scratch() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Synchronous::Normal, Locking::Exclusive).unwrap();
    (dir, store)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_of_a_newer_version_is_refused() {
        let (dir, store) = scratch();
        store.lock().pragma_update(None, "user_version", 99).unwrap();
        drop(store);
        assert!(matches!(
            Store::open(dir.path(), Synchronous::Full, Locking::Shared),
            Err(CoreError::NewerStore { found: 99, .. })
        ));
    }

    #[test]
    fn a_store_of_each_earlier_version_is_brought_up_with_what_is_in_it() {
        for version in 1..MIGRATIONS.len() {
            let dir = tempfile::tempdir().unwrap();
            let old = Connection::open(dir.path().join("core.sqlite")).unwrap();
            for step in &MIGRATIONS[..version] {
                old.execute_batch(step).unwrap();
            }
            old.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            old.execute_batch(
                "INSERT INTO deals VALUES ('7', 2, 'done', 'a@b.c', 'Ada', 'Bikes', 1250, 'usd', 5, 'cus_1', 'in_1', 9, 9);
                 INSERT INTO jobs(deal_id, state, due_ms, created_ms) VALUES ('8', 'queued', 0, 0);
                 INSERT INTO cursors VALUES ('deals', 50);",
            )
            .unwrap();
            drop(old);
            let store = Store::open(dir.path(), Synchronous::Normal, Locking::Exclusive).unwrap();
            let line = store.ledger("7").unwrap().unwrap();
            assert_eq!((line.revision, line.step, line.terms.amount), (2, Step::Done, 1250));
            assert_eq!(store.customer_of("a@b.c").unwrap().as_deref(), Some("cus_1"));
            assert_eq!((store.depth().unwrap().queued, store.cursor("deals").unwrap()), (1, Some(50)));
            let found: i64 = store.lock().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(found, i64::try_from(MIGRATIONS.len()).unwrap(), "from version {version}");
        }
    }

    #[test]
    fn a_cursor_and_its_jobs_are_committed_together_and_survive() {
        let (dir, store) = scratch();
        store.move_cursor("sync", 50, &[Enqueue::deal("7", 0)], 10).unwrap();
        drop(store);
        let store = Store::open(dir.path(), Synchronous::Normal, Locking::Exclusive).unwrap();
        assert_eq!(store.cursor("sync").unwrap(), Some(50));
        assert_eq!(store.depth().unwrap().queued, 1);
    }

    #[test]
    fn a_store_that_is_closed_can_be_opened_again_while_the_old_one_is_still_held() {
        let (dir, old) = scratch();
        old.move_cursor("sync", 50, &[], 10).unwrap();
        old.close();
        let new = Store::open(dir.path(), Synchronous::Normal, Locking::Exclusive).unwrap();
        assert!(old.move_cursor("sync", 60, &[], 10).is_err());
        assert_eq!(new.cursor("sync").unwrap(), Some(50));
    }

    #[test]
    fn an_exclusive_store_admits_nobody_else() {
        let (dir, store) = scratch();
        let path = dir.path().join("core.sqlite");
        let other = Connection::open(&path).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        let asked = || other.query_row("SELECT count(*) FROM jobs", [], |row| row.get::<_, i64>(0));
        assert_eq!(asked().unwrap_err().sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy));
        drop(store);
        assert_eq!(asked().unwrap(), 0);
    }
}
