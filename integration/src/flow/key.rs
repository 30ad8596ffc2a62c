//! The idempotency key of one write. Knows that it is committed before it is sent; must not know the endpoint.

use std::sync::PoisonError;

use sha2::{Digest, Sha256};

use crate::client::{Failure, KeySource};
use crate::context::Context;
use crate::policy::{KeyMemory, KeyScope, WriteIntent};
use crate::store::StoredKey;

/// Stripe may forget a key after 24 hours; before that we look and take the next generation.
const KEY_LIFE_MS: i64 = 23 * 3600 * 1000;

/// The key of one write, made on first use.
pub(crate) struct Ticket<'a> {
    ctx: &'a Context,
    subject: String,
    revision: u32,
    step: &'static str,
    digest: String,
}

impl<'a> Ticket<'a> {
    pub(crate) fn new(
        ctx: &'a Context,
        subject: &str,
        revision: u32,
        step: &'static str,
        params: &str,
    ) -> Self {
        let digest = hex::encode(Sha256::digest(params.as_bytes()));
        Self { ctx, subject: subject.to_owned(), revision, step, digest }
    }

    fn stored(&self) -> Result<Option<StoredKey>, Failure> {
        match self.ctx.policies.writes.memory {
            KeyMemory::Store => {
                Ok(self.ctx.store.key(&self.subject, self.revision, self.step, &self.digest)?)
            }
            KeyMemory::Process => {
                let keys = self.ctx.process_keys.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(keys.get(&(self.subject.clone(), self.revision, self.step, self.digest.clone())).cloned())
            }
        }
    }

    fn save(&self, key: &StoredKey) -> Result<(), Failure> {
        match self.ctx.policies.writes.memory {
            KeyMemory::Store => {
                self.ctx.store.save_key(&self.subject, self.revision, self.step, &self.digest, key)?;
            }
            KeyMemory::Process => {
                let mut keys = self.ctx.process_keys.lock().unwrap_or_else(PoisonError::into_inner);
                keys.insert(
                    (self.subject.clone(), self.revision, self.step, self.digest.clone()),
                    key.clone(),
                );
            }
        }
        Ok(())
    }

    fn mint(&self, generation: u32, attempt: u32) -> StoredKey {
        let intent = WriteIntent {
            subject: self.subject.clone(),
            revision: self.revision,
            step: self.step,
            digest: self.digest.clone(),
            generation,
            attempt,
            nonce: self.ctx.entropy.bits(),
        };
        let key = self.ctx.policies.keys.mint(&intent);
        StoredKey { generation, key, created_ms: self.ctx.now_ms() }
    }

    /// The key is spent: the next write goes under the next generation.
    pub(crate) fn spend(&self) -> Result<(), Failure> {
        let generation = self.stored()?.map_or(0, |key| key.generation).wrapping_add(1);
        self.save(&self.mint(generation, 1))
    }
}

impl KeySource for Ticket<'_> {
    fn key(&self, attempt: u32, renew: bool) -> Result<String, Failure> {
        let anew = self.ctx.policies.writes.scope == KeyScope::PerAttempt && attempt > 1;
        if anew || renew {
            let key = self.mint(self.ctx.entropy.bits() as u32, attempt);
            self.save(&key)?;
            return Ok(key.key);
        }
        let stored = self.stored()?;
        let generation = match &stored {
            Some(key) if key.key.is_empty() => key.generation,
            Some(key) if self.ctx.now_ms() - key.created_ms > KEY_LIFE_MS => key.generation.wrapping_add(1),
            Some(key) => return Ok(key.key.clone()),
            None => 0,
        };
        let key = self.mint(generation, attempt);
        self.save(&key)?;
        Ok(key.key)
    }
}
