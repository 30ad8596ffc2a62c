//! Gates: stretches in which something other than backoff governed calls to a vendor.
//!
//! Knows: Retry-After, exhausted quotas, and when a promised breaker may have been open. Must not
//! know: how waits are judged.

use std::collections::BTreeMap;

use super::call::{Call, Ending};
use super::evidence::Evidence;
use crate::time::At;

/// Moments at which something other than the envelope governed calls to a vendor.
pub(super) struct Gates<'t> {
    told: BTreeMap<&'t str, Vec<(At, At)>>,
}

impl<'t> Gates<'t> {
    /// Reads them off the answers.
    pub fn of(e: &Evidence<'t>) -> Gates<'t> {
        let mut told: BTreeMap<&str, Vec<(At, At)>> = BTreeMap::new();
        let mut failures: BTreeMap<&str, u32> = BTreeMap::new();
        let breaker = e.scenario.expect.breaker;
        let mut by_end: Vec<&Call<'t>> = e.calls.iter().collect();
        by_end.sort_by_key(|c| c.ended);
        for call in by_end {
            let gates = told.entry(call.vendor).or_default();
            if let Some(until) = call.retry_at().into_iter().chain(call.spent_until()).max() {
                gates.push((call.ended, until));
            }
            let run = failures.entry(call.vendor).or_default();
            match call.ending {
                Ending::Success => *run = 0,
                Ending::Broken | Ending::Lost => *run += 1,
                _ => {}
            }
            if let Some(b) = breaker.filter(|b| *run >= b.opens_after) {
                gates.push((call.ended, call.ended + b.open_for.times(2)));
            }
        }
        // Sorted by start; the end is made the latest so far, so that one look back is enough.
        for gates in told.values_mut() {
            let mut latest = At::START;
            for gate in gates.iter_mut() {
                latest = latest.max(gate.1);
                gate.1 = latest;
            }
        }
        Gates { told }
    }

    /// Whether a gate stood anywhere between two moments.
    pub fn closed(&self, vendor: &str, from: At, to: At) -> bool {
        let Some(gates) = self.told.get(vendor) else { return false };
        let n = gates.partition_point(|(start, _)| *start <= to);
        n > 0 && gates[n - 1].1 > from
    }
}
