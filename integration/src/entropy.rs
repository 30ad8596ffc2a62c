//! Chance. Knows one injected stream of random bits; must not know the machine's own entropy.

use std::sync::{Mutex, PoisonError};

use rand::{Rng, RngExt as _};

/// The random stream behind jitter, request ids and lease owners.
pub(crate) struct Entropy(Mutex<Box<dyn Rng + Send>>);

impl Entropy {
    pub(crate) fn new(stream: Box<dyn Rng + Send>) -> Self {
        Self(Mutex::new(stream))
    }

    /// A uniform number in `0.0..1.0`.
    pub(crate) fn unit(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>()
    }

    /// 64 random bits.
    pub(crate) fn bits(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// 16 random hex digits.
    pub(crate) fn id(&self) -> String {
        format!("{:016x}", self.bits())
    }
}
