//! Mirrors the issues of a GitHub repository into a local file.
//!
//! Knows: GitHub's issue list, paging by `Link`, limits and conditional requests. Must not know:
//! who drills it; it is written as any user of the API would write it, twice: [`Policy::naive`]
//! works in the demo, [`Policy::mended`] at 2 am.

mod github;
mod link;
mod mirror;
mod policy;
mod retry;
mod store;

pub use github::CallError;
pub use mirror::{Mirror, Report, SyncError};
pub use policy::{Policy, Retries};
pub use store::{Issue, issues};
