//! What of a passing body is kept, within bounds.
//!
//! Knows: bytes, a limit, a hash. Must not know: which message they are of.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::fixture::Omitted;

/// A body as it passes. Beyond the limit only its length and hash are kept.
#[derive(Debug)]
pub(super) struct Capture {
    kept: Vec<u8>,
    limit: usize,
    length: u64,
    hash: Sha256,
    /// Whether the end was seen.
    pub complete: bool,
}

/// What was kept of a body.
#[derive(Debug)]
pub(super) enum Captured {
    Whole(Bytes),
    TooLarge(Omitted),
}

impl Capture {
    pub fn new(limit: usize) -> Capture {
        Capture { kept: Vec::new(), limit, length: 0, hash: Sha256::new(), complete: false }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        self.hash.update(bytes);
        if self.length <= self.limit as u64 {
            self.kept.extend_from_slice(bytes);
        } else {
            self.kept = Vec::new();
        }
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    pub fn take(self) -> Captured {
        if self.length > self.limit as u64 {
            Captured::TooLarge(Omitted { length: self.length, sha256: hex::encode(self.hash.finalize()) })
        } else {
            Captured::Whole(self.kept.into())
        }
    }
}
