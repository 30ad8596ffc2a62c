//! Chains: the attempts of one logical operation.
//!
//! Knows: when a call repeats an earlier one. Must not know: how repeats should be spaced.

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

/// Groups calls into chains; `end` is more than any number of an attempt. A call joins the chain of
/// the same operation while that has not succeeded and its last attempt ended less than `rest` ago.
pub(super) fn chains(calls: &[Call<'_>], end: usize, rest: Span) -> Vec<Chain> {
    let mut chains: Vec<Chain> = Vec::new();
    let mut latest: Vec<Option<usize>> = vec![None; end];
    for (index, call) in calls.iter().enumerate() {
        let latest = &mut latest[call.same.attempt];
        match latest.filter(|at| joins(calls, &chains[*at], call, rest)) {
            Some(at) => {
                let chain = &mut chains[at];
                chain.overlapped |= chain.calls.last().is_some_and(|i| calls[*i].ended > call.arrived);
                chain.calls.push(index);
            }
            None => {
                *latest = Some(chains.len());
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
