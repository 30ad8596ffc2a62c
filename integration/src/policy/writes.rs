//! How a write is made safe to repeat. Knows keys and their lifetime; must not know the vendor's endpoints.

use sha2::{Digest, Sha256};

use super::Pages;

/// One intended write: everything its idempotency key may depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteIntent {
    /// What the write is about: the deal's id, or the e-mail address for a customer.
    pub subject: String,
    /// The deal's revision: 1 at first, one more after each amendment of what was invoiced.
    pub revision: u32,
    /// The step: `customer`, `rename`, `draft`, `item`, `finalise`, `void`.
    pub step: &'static str,
    /// Hex SHA-256 of the encoded parameters.
    pub digest: String,
    /// 0 at first, one more each time a key turned out to be spent.
    pub generation: u32,
    /// The attempt within the operation, from 1. Above 1 only under [`KeyScope::PerAttempt`] or [`InUse::FreshKey`].
    pub attempt: u32,
    /// 64 random bits, for a mint that wants them.
    pub nonce: u64,
}

/// Makes the idempotency key of a write.
pub trait KeyMint: Send + Sync {
    /// The key, at most 255 characters.
    fn mint(&self, intent: &WriteIntent) -> String;
}

/// The default: a hash of subject, revision, step, parameters and generation, so that the same intent
/// has the same key after any crash.
#[derive(Debug, Clone, Copy, Default)]
pub struct DerivedKeys;

impl KeyMint for DerivedKeys {
    fn mint(&self, intent: &WriteIntent) -> String {
        let text = format!(
            "{}\n{}\n{}\n{}\n{}",
            intent.subject, intent.revision, intent.step, intent.digest, intent.generation
        );
        format!("ic-{}-{}", intent.step, &hex::encode(Sha256::digest(text.as_bytes()))[..40])
    }
}

/// For how long one key stands for one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyScope {
    /// Minted once, used for every attempt, every job attempt and every replay.
    #[default]
    PerWrite,
    /// Minted anew for each attempt.
    PerAttempt,
}

/// Where keys are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyMemory {
    /// In the store, committed before the request is sent.
    #[default]
    Store,
    /// In this process only.
    Process,
}

/// What to do on 409 `idempotency_key_in_use`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum InUse {
    /// Wait, then ask again under the same key.
    #[default]
    WaitSameKey,
    /// Ask again under a fresh key.
    FreshKey,
}

/// What to do when the vendor replays a saved 5xx for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplayedFailure {
    /// Look whether the object exists; only if not, write under the key's next generation.
    #[default]
    LookThenNextGeneration,
    /// Go on asking under the same key.
    SameKey,
}

/// What a timeout or reset after the request was sent means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ambiguous {
    /// Unknown: ask again under the same key.
    #[default]
    RetrySameKey,
    /// A permanent failure: dead-letter the job.
    GiveUp,
}

/// What a job does about a deal whose writes were begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resume {
    /// Goes on at the step reached.
    #[default]
    AtStepReached,
    /// Takes a deal with an invoice, in whatever state, for done.
    TakeForDone,
}

/// What a job does about a deal that is already invoiced exactly as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unchanged {
    /// Nothing.
    #[default]
    Skip,
    /// Writes it again as a new revision, leaving the old invoice: each accepted event is a write.
    WriteAgain,
}

/// Which changes of an invoiced deal are an amendment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Amendment {
    /// Any of what is invoiced: what is owed, who owes it, what for and since when.
    #[default]
    AnyTerm,
    /// Its amount, its currency and its address.
    AmountOrAddress,
}

/// What happens to a job's keys when it is replayed from the dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplayKeys {
    /// They are kept.
    #[default]
    Keep,
    /// They are dropped: the replay mints new ones (of the next generation).
    Renew,
}

/// How writes are made safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteRule {
    /// For how long one key stands for one write.
    pub scope: KeyScope,
    /// Where keys are remembered.
    pub memory: KeyMemory,
    /// What to do on 409 `idempotency_key_in_use`.
    pub in_use: InUse,
    /// What to do when the vendor replays a saved 5xx.
    pub replayed_failure: ReplayedFailure,
    /// What a timeout or reset after the send means.
    pub ambiguous: Ambiguous,
    /// Whether begun writes are finished.
    pub resume: Resume,
    /// Whether an unchanged deal is left alone.
    pub unchanged: Unchanged,
    /// Which changes are billed anew.
    pub amendment: Amendment,
    /// What a dead-letter replay does to keys.
    pub replay_keys: ReplayKeys,
    /// Whether the customer and the invoice are searched for before they are created.
    pub look_first: bool,
    /// How many of a customer's invoices are read to find the one of a deal.
    pub lookup: Pages,
}

impl Default for WriteRule {
    fn default() -> Self {
        Self {
            scope: KeyScope::default(),
            memory: KeyMemory::default(),
            in_use: InUse::default(),
            replayed_failure: ReplayedFailure::default(),
            ambiguous: Ambiguous::default(),
            resume: Resume::default(),
            unchanged: Unchanged::default(),
            amendment: Amendment::default(),
            replay_keys: ReplayKeys::default(),
            look_first: true,
            lookup: Pages::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> WriteIntent {
        WriteIntent {
            subject: "7".into(),
            revision: 1,
            step: "draft",
            digest: "aa".into(),
            generation: 0,
            attempt: 1,
            nonce: 1,
        }
    }

    #[test]
    fn a_key_depends_on_the_intent_and_not_on_the_attempt_or_chance() {
        let key = DerivedKeys.mint(&intent());
        assert_eq!(key, DerivedKeys.mint(&WriteIntent { attempt: 3, nonce: 9, ..intent() }));
        assert_ne!(key, DerivedKeys.mint(&WriteIntent { revision: 2, ..intent() }));
        assert_ne!(key, DerivedKeys.mint(&WriteIntent { digest: "ab".into(), ..intent() }));
        assert_ne!(key, DerivedKeys.mint(&WriteIntent { generation: 1, ..intent() }));
    }
}
