//! OAuth tokens at rest. Knows that a refresh token and its access token are one thing; must not know how they are got.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, Stored};
use crate::secret::Secret;

/// A vendor's tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredToken {
    /// Fingerprint of the configured refresh token that these descend from.
    pub seed: String,
    pub refresh: Secret,
    pub access: Option<Secret>,
    pub expires_ms: i64,
    pub lifetime_ms: i64,
    /// Fingerprint of the configured refresh token whose grant the vendor has refused.
    pub refused: Option<String>,
}

impl Store {
    pub(crate) fn token(&self, vendor: &str) -> Stored<Option<StoredToken>> {
        let conn = self.lock();
        conn.prepare_cached(
            "SELECT seed, refresh, access, expires_ms, lifetime_ms, refused FROM tokens WHERE vendor = ?1",
        )?
        .query_row([vendor], |row| {
            Ok(StoredToken {
                seed: row.get(0)?,
                refresh: Secret::from(row.get::<_, String>(1)?),
                access: row.get::<_, Option<String>>(2)?.map(Secret::from),
                expires_ms: row.get(3)?,
                lifetime_ms: row.get(4)?,
                refused: row.get(5)?,
            })
        })
        .optional()
    }

    pub(crate) fn save_token(&self, vendor: &str, token: &StoredToken) -> Stored<()> {
        let conn = self.lock();
        conn.prepare_cached(
            "INSERT OR REPLACE INTO tokens(vendor, seed, refresh, access, expires_ms, lifetime_ms, refused)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            vendor,
            token.seed,
            token.refresh.expose(),
            token.access.as_ref().map(Secret::expose),
            token.expires_ms,
            token.lifetime_ms,
            token.refused
        ])?;
        Ok(())
    }
}
