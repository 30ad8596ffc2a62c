//! The seed of a drill, and the streams of chance derived from it.
//!
//! Knows: how one number becomes many independent, stable streams. Must not know: what they are
//! for. Every use of chance in a drill names a stream of its own, so that adding one does not
//! shift the others.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One number from which everything random in a drill follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// A stream of chance. ChaCha8 is specified, so it stays the same over releases and machines.
pub type Stream = ChaCha8Rng;

impl Seed {
    /// The stream called `name`. Equal seed and name, equal stream.
    pub fn stream(self, name: &str) -> Stream {
        let mut hash = Sha256::new();
        hash.update(self.0.to_le_bytes());
        hash.update(name.as_bytes());
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// A seed derived from this one, for a part of the drill that derives streams of its own.
    pub fn derive(self, name: &str) -> Seed {
        use rand::Rng;
        Seed(self.stream(name).next_u64())
    }
}

impl std::fmt::Display for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_of_one_seed_differ_by_name_and_repeat() {
        let a = Seed(7).stream("faults").next_u64();
        assert_eq!(a, Seed(7).stream("faults").next_u64());
        assert_ne!(a, Seed(7).stream("workload").next_u64());
        assert_ne!(a, Seed(8).stream("faults").next_u64());
    }
}
