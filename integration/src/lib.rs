//! HubSpot deals that reach `closedwon` become Stripe invoices.
//!
//! Knows how its parts fit; must not know any test harness. Time comes from an injected [`Clock`] and tokio's timers,
//! chance from an injected random stream, and everything that runs is owned by the future of [`Bound::run`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod policy;

mod admin;
mod alert;
mod auth;
mod client;
mod clock;
mod config;
mod context;
mod core;
mod entropy;
mod error;
mod flow;
mod job;
mod mapping;
mod metrics;
mod observer;
mod reconcile;
mod routine;
mod secret;
mod server;
mod shape;
mod store;
mod sync;
mod vendor;
mod webhook;
mod worker;

pub use crate::alert::AlertKind;

pub use crate::clock::{Clock, SystemClock};
pub use crate::config::{
    Config, ConfigError, CredentialSource, HubSpotConfig, Locking, StripeConfig, Synchronous,
};
pub use crate::core::{Bound, Core};
pub use crate::error::CoreError;
pub use crate::observer::{AttemptObserver, AttemptOutcome, AttemptRecord, Vendor};
pub use crate::policy::Policies;
pub use crate::secret::Secret;
pub use tokio_util::sync::CancellationToken;
