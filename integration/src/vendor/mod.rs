//! The two vendors' endpoints that we use. Knows their requests and answers; must not know when to call them.

mod hubspot;
mod stripe;

/// Records that are asked for at a time: the most that either vendor gives.
pub(crate) const PAGE: usize = 100;

pub(crate) use hubspot::HubSpot;
pub(crate) use stripe::{Customer, Invoice, Stripe, form};
