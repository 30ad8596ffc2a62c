//! Sameness: which calls ask for the same thing, told by a number.
//!
//! Knows: what makes two calls the same. Must not know: what repeating one means.
//!
//! Each call is looked up once; whoever compares calls then compares numbers and keeps what it
//! learns in lists, so that judging stays linear in the length of the trace.

use indexmap::IndexSet;

use super::call::Call;

/// Vendor, method, target, and either the idempotency key or the body.
type Asked<'t> = (&'t str, &'t str, &'t str, Result<&'t str, u128>);

/// The numbers that were given out. Each kind counts from 0, in order of arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Sameness<'t> {
    asked: IndexSet<Asked<'t>>,
    keys: IndexSet<(&'t str, &'t str)>,
}

/// What a call has in common with others; calls with equal numbers have it in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Vendor, method, target and body.
    pub request: usize,
    /// Vendor, method and target, and the key where there is one, else the body: the attempts of
    /// one operation.
    pub attempt: usize,
    /// Vendor and idempotency key.
    pub key: Option<usize>,
}

impl<'t> Sameness<'t> {
    /// The numbers of a call.
    pub fn of(&mut self, call: &Call<'t>) -> Numbers {
        let (vendor, method, target) = (call.vendor, &*call.request.method, &*call.request.target);
        let request = self.asked.insert_full((vendor, method, target, Err(call.digest))).0;
        let Some(key) = call.key else { return Numbers { request, attempt: request, key: None } };
        let attempt = self.asked.insert_full((vendor, method, target, Ok(key))).0;
        Numbers { request, attempt, key: Some(self.keys.insert_full((vendor, key)).0) }
    }

    /// More than any number of a request or an attempt.
    pub fn requests(&self) -> usize {
        self.asked.len()
    }

    /// More than any number of a key.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }
}

/// Calls that have a number below `end` in common, in order of arrival: each group of `least` or
/// more, in the order of their first calls.
pub(super) fn groups<'c, 't, I>(
    calls: I,
    end: usize,
    number: impl Fn(&Call<'t>) -> usize,
    least: usize,
) -> Vec<Vec<&'c Call<'t>>>
where
    I: Iterator<Item = &'c Call<'t>> + Clone,
    't: 'c,
{
    let mut sizes = vec![0usize; end];
    calls.clone().for_each(|call| sizes[number(call)] += 1);
    let mut places = vec![usize::MAX; end];
    let mut groups: Vec<Vec<&Call<'t>>> = Vec::new();
    for call in calls {
        let n = number(call);
        if sizes[n] < least {
            continue;
        }
        if places[n] == usize::MAX {
            places[n] = groups.len();
            groups.push(Vec::with_capacity(sizes[n]));
        }
        groups[places[n]].push(call);
    }
    groups
}
