//! How credentials are kept fresh. Knows tokens' lifetimes; must not know their text.

use std::time::Duration;

/// What happens to a refresh token that came with a refreshed access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rotation {
    /// Stored, with the access token, before either is used.
    #[default]
    StoreBeforeUse,
    /// Kept in this process only.
    MemoryOnly,
    /// Thrown away: the first refresh token is used again.
    Discard,
}

/// What a 401 on a token that should be valid leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnauthorized {
    /// At most one forced refresh in [`RefreshRule::forced_every`]; after it the job is put aside, with an alert.
    #[default]
    RefreshOnce,
    /// A refresh each time.
    RefreshAlways,
}

/// What `invalid_grant` leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalidGrant {
    /// An alert at once, and no more calls until the credentials change.
    #[default]
    AlertAndHold,
    /// No more calls until the credentials change; nobody is told.
    HoldSilently,
    /// Taken for transient: tried again and again.
    TryAgain,
}

/// Whose certificate is good enough to be sent a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// A valid one for the host, from an authority that is trusted.
    #[default]
    Verified,
    /// Any from such an authority, whatever host it is for.
    AnyHost,
    /// Anyone's.
    Anyone,
}

/// How OAuth access tokens are refreshed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefreshRule {
    /// Refresh before expiry. `false`: only after a 401.
    pub proactive: bool,
    /// Least time left on a token that is still used.
    pub margin: Duration,
    /// Least share of its lifetime left on a token that is still used; the larger of the two margins holds.
    pub margin_share: f64,
    /// One refresh at a time; those who wait take its result.
    pub single_flight: bool,
    /// What happens to a rotated refresh token.
    pub rotation: Rotation,
    /// What a 401 leads to.
    pub on_unauthorized: OnUnauthorized,
    /// Least time between two forced refreshes.
    pub forced_every: Duration,
    /// What `invalid_grant` leads to.
    pub on_invalid_grant: OnInvalidGrant,
    /// How long a vendor rests after a 401 that a refresh or a re-read did not cure.
    pub unauthorized_rest: Duration,
    /// How often a held vendor's credential sources are looked at for a change.
    pub look_every: Duration,
}

impl Default for RefreshRule {
    fn default() -> Self {
        Self {
            proactive: true,
            margin: Duration::from_secs(60),
            margin_share: 0.1,
            single_flight: true,
            rotation: Rotation::default(),
            on_unauthorized: OnUnauthorized::default(),
            forced_every: Duration::from_secs(300),
            on_invalid_grant: OnInvalidGrant::default(),
            unauthorized_rest: Duration::from_secs(300),
            look_every: Duration::from_secs(30),
        }
    }
}

/// When an API key is read from its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeyReading {
    /// For every attempt.
    #[default]
    EveryAttempt,
    /// Once, at the start.
    AtStart,
}
