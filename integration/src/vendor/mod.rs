//! The two vendors' endpoints that we use. Knows their requests and answers; must not know when to call them.

mod hubspot;
mod stripe;

pub(crate) use hubspot::HubSpot;
pub(crate) use stripe::{Invoice, Stripe, form};
