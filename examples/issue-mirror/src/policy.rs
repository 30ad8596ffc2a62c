//! How careful the mirror is.
//!
//! Knows: the choices and their two bundles. Must not know: how they are carried out.

use std::time::Duration;

/// The choices that make the difference between a demo and a service.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How long one call may take, from the request to the last byte of the answer. None: for ever.
    pub timeout: Option<Duration>,
    /// Whether and how failed calls are repeated.
    pub retries: Option<Retries>,
    /// Whether pages are asked for by the ETag that is held, which costs no quota when unchanged.
    pub conditional: bool,
    /// Whether an answer must be what it claims: whole, JSON, a list of issues, links on the same
    /// host. Without it any 200 is the truth.
    pub verify: bool,
    /// Whether the store changes only as a whole, after a sync that succeeded. Without it pages
    /// are written as they come, and a failed sync leaves nothing.
    pub atomic: bool,
}

/// Exponential backoff with full jitter: each wait is uniform between zero and the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Attempts of one call in all.
    pub attempts: u32,
    /// The envelope of the first wait; it doubles with each attempt.
    pub base: Duration,
    /// The largest envelope.
    pub cap: Duration,
    /// The longest wait that GitHub may ask for; asked for more, the sync fails instead.
    pub patience: Duration,
}

impl Policy {
    /// No timeout, no retries, no doubts.
    pub fn naive() -> Policy {
        Policy { timeout: None, retries: None, conditional: false, verify: false, atomic: false }
    }

    /// What GitHub's "Best practices for using the REST API" asks of an integration.
    pub fn mended() -> Policy {
        Policy {
            timeout: Some(Duration::from_secs(10)),
            retries: Some(Retries {
                attempts: 6,
                base: Duration::from_secs(1),
                cap: Duration::from_secs(30),
                patience: Duration::from_secs(15 * 60),
            }),
            conditional: true,
            verify: true,
            atomic: true,
        }
    }
}
