//! HubSpot deals that reach `closedwon` become Stripe invoices.
//!
//! Knows how its parts fit; must not know any test harness. Time comes from an injected [`Clock`] and tokio's timers,
//! chance from an injected random stream, and everything that runs is owned by the future of [`Bound::run`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod policy;

mod clock;
mod config;
mod core;
mod entropy;
mod error;
mod observer;
mod secret;

pub use crate::clock::{Clock, SystemClock};
pub use crate::config::{Config, ConfigError, CredentialSource, HubSpotConfig, StripeConfig, Synchronous};
pub use crate::core::{Bound, Core};
pub use crate::error::CoreError;
pub use crate::observer::{AttemptObserver, AttemptOutcome, AttemptRecord, Vendor};
pub use crate::policy::Policies;
pub use crate::secret::Secret;
pub use tokio_util::sync::CancellationToken;
