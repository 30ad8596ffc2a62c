//! Chains: the attempts of one logical operation.
//!
//! Knows: when a call repeats an earlier one. Must not know: how repeats should be spaced.

use std::collections::BTreeMap;

use super::call::Call;
use crate::time::Span;

/// Attempts of one operation, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// Indices into the calls.
    pub calls: Vec<usize>,
    /// Whether two of them were under way at once, so that they are not one caller's attempts.
    pub overlapped: bool,
}

/// What makes two calls the same request: vendor, method, target, and key or body.
pub(super) type Identity<'t> = (&'t str, &'t str, &'t str, Result<&'t str, u128>);

/// Groups calls into chains. A call joins the chain of the same request while that has not
/// succeeded and its last attempt ended less than `rest` ago.
pub(super) fn chains(calls: &[Call<'_>], rest: Span) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut latest: BTreeMap<Identity<'_>, usize> = BTreeMap::new();
    for (index, call) in calls.iter().enumerate() {
        let identity: Identity<'_> =
            (call.vendor, &call.request.method, &call.request.target, call.key.ok_or(call.digest));
        let open = latest.get(&identity).copied().filter(|at| joins(calls, &chains[*at], call, rest));
        match open {
            Some(at) => {
                let chain = &mut chains[at];
                chain.overlapped |= chain.calls.last().is_some_and(|i| calls[*i].ended > call.arrived);
                chain.calls.push(index);
            }
            None => {
                latest.insert(identity, chains.len());
                chains.push(Chain { calls: vec![index], overlapped: false });
            }
        }
    }
    chains
}

/// Only the last two attempts are looked at: enough to see a success, and constant time.
fn joins(calls: &[Call<'_>], chain: &Chain, call: &Call<'_>, rest: Span) -> bool {
    let recent = || chain.calls.iter().rev().take(2).map(|i| &calls[*i]);
    let done = recent().any(|c| c.succeeded() && c.ended <= call.arrived);
    let quiet_since = recent().map(|c| c.ended).max();
    !done && quiet_since.is_some_and(|t| call.arrived.since(t) < rest)
}
