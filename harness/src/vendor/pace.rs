//! A vendor whose windows are shortened with a drill.
//!
//! Knows: which spans of a vendor file are waits on the wire. Must not know: why they are shortened.
//!
//! Dates that are business (an invoice due in 30 days) stay, and so does the tolerance of
//! signatures, which the receiver has and the vendor only knows of.

use super::VendorFile;
use crate::pacing::Pacing;
use crate::scenario::Waits;
use crate::time::Span;

/// The shortest that a token lives for a subject that cannot be told: a margin before expiry of its
/// own could otherwise be longer than the token's whole life.
const TOKEN: Span = Span::mins(10);

impl VendorFile {
    /// This vendor as it behaves in a drill that is shortened by `pacing`.
    ///
    /// # Errors
    /// What is wrong with the file; nothing, for one that was read.
    pub fn paced(&self, pacing: &Pacing) -> Result<VendorFile, String> {
        let mut spec = self.spec.clone();
        let short = |span: Span| pacing.short(span);
        spec.auth.overlap = short(spec.auth.overlap);
        let lifetime = spec.auth.lifetime.unwrap_or(Span::mins(30));
        spec.auth.lifetime = Some(match pacing.waits {
            Waits::Scaled => short(lifetime),
            Waits::Own => short(lifetime).max(lifetime.min(TOKEN)),
        });
        spec.idempotency.kept = Some(short(spec.idempotency.kept()));
        let rate = &mut spec.rate_limit;
        rate.window = Some(short(rate.window.unwrap_or(Span::secs(1))));
        rate.day = Some(short(Span::mins(24 * 60)));
        for limit in rate.secondary.iter_mut().chain(rate.also.values_mut()) {
            limit.window = short(limit.window);
            limit.wait = limit.wait.map(short);
        }
        if let Some(hooks) = &mut spec.webhooks {
            hooks.timeout = pacing.work(hooks.timeout);
            hooks.gather = short(hooks.gather);
            hooks.retry.after.iter_mut().for_each(|span| *span = short(*span));
            hooks.retry.over = short(hooks.retry.over);
        }
        Ok(VendorFile::compile(spec)?.with_contract(self.profile.contract.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_vendor_in_a_hurry_keeps_its_contract() {
        let vendor =
            VendorFile::load("stripe", Some(Path::new("../contracts")), &serde_json::Value::Null).unwrap();
        let pacing = Pacing { scale: 40, waits: Waits::Scaled, recovers_within: Span::mins(1) };
        let paced = vendor.paced(&pacing).unwrap();
        assert!(paced.profile.contract.is_some());
        assert_eq!(paced.spec.idempotency.kept(), pacing.short(vendor.spec.idempotency.kept()));
    }
}
