//! Deliveries that are refused for long. Knows how many and since when; must not know why one is.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::alert::AlertKind;
use crate::context::Context;

/// Refusals that may be somebody's forgeries rather than a secret that is wrong.
const FEW: u32 = 3;

/// Deliveries refused since one was last accepted.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Option<(Instant, u32)>>);

impl Refusals {
    /// A delivery was accepted: those that are refused are not the vendor's.
    pub(crate) fn accepted(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A delivery was refused; tells somebody once that lasts with none accepted in between.
    pub(crate) fn refused(&self, ctx: &Context, reason: &str) {
        let now = Instant::now();
        let (since, count) = {
            let mut so_far = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (since, count) = so_far.map_or((now, 1), |(since, count)| (since, count + 1));
            *so_far = Some((since, count));
            (since, count)
        };
        let lasted = now.saturating_duration_since(since);
        if count > FEW && lasted >= ctx.policies.alerts.unheard {
            let message = format!(
                "{count} deliveries refused in {} min and none accepted ({reason}): are the webhook secret and \
                 this machine's clock right?",
                lasted.as_secs() / 60
            );
            ctx.alerts.raise(AlertKind::WebhooksRefused, "hubspot", &message);
        }
    }
}
