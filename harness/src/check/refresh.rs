//! Refreshes: one for each expiry, ahead of it, and not for every 401.
//!
//! Knows: token requests, lifetimes and refusals. Must not know: any one vendor. Tests: see `auth`.

use indexmap::IndexMap;

use super::call::{Call, Ending};
use super::credentials::{issued, presented};
use super::evidence::{Credential, Evidence};
use super::say::{Findings, Say, count};
use crate::scenario::Auth;
use crate::time::At;

/// A token as it reached the subject.
pub(super) struct Issue<'e, 't> {
    pub at: At,
    pub expires: Option<At>,
    call: &'e Call<'t>,
    token: Option<String>,
}

/// The tokens that reached the subject, in order.
pub(super) fn issues<'e, 't>(requests: &[&'e Call<'t>]) -> Vec<Issue<'e, 't>> {
    let good = requests.iter().filter(|c| c.succeeded());
    let mut issues: Vec<Issue<'_, '_>> = good
        .map(|call| Issue {
            at: call.ended,
            expires: call.told.and_then(|t| t.token_expires),
            call,
            token: call.response.and_then(issued),
        })
        .collect();
    issues.sort_by_key(|i| i.at);
    issues
}

/// Token requests at once.
pub(super) fn stampede(vendor: &str, requests: &[&Call<'_>], auth: &Auth, found: &mut Findings) {
    let limit = auth.refreshes_per_expiry.unwrap_or(1) as usize;
    let mut open: Vec<&Call<'_>> = Vec::new();
    for request in requests {
        open.retain(|c| c.ended > request.arrived);
        open.push(request);
        if open.len() > limit {
            found.fail(Say {
                rule: "auth/stampede",
                group: vendor,
                message: format!(
                    "{} to {vendor} were under way at once at {}",
                    count(open.len() as u64, "token request"),
                    request.arrived
                ),
                expected: format!("at most {limit}: one refreshes, the others wait for its token"),
                hint: "single flight: hold a lock over the refresh, and look again whether it is still needed",
                evidence: open.iter().map(|c| c.asked).collect(),
            });
        }
    }
}

/// Refreshes while the token at hand was still good.
pub(super) fn early(
    e: &Evidence<'_>,
    vendor: &str,
    issues: &[Issue<'_, '_>],
    auth: &Auth,
    found: &mut Findings,
) {
    let limit = auth.refreshes_per_expiry.unwrap_or(1) as usize;
    let refusals: Vec<&Call<'_>> =
        e.calls_of(vendor).filter(|c| c.ending == Ending::Unauthorized && !c.is_token()).collect();
    // What the vendor issues in answer to a token request is no cause for another.
    let cause = |c: &&Credential<'_>| c.vendor == vendor && !matches!(c.change, "issued" | "rotated");
    let changes: Vec<At> = e.credentials.iter().filter(cause).map(|c| c.at).collect();
    let mut needless: Vec<&Issue<'_, '_>> = Vec::new();
    let mut provoked: Vec<&Issue<'_, '_>> = Vec::new();
    for pair in issues.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        let Some(expires) = old.expires else { continue };
        let life = expires.since(old.at);
        let asked = new.call.arrived;
        let used = asked.since(old.at);
        let changed = changes.iter().any(|t| *t >= old.at && *t <= asked);
        // By a clock that was moved, the token may well be over.
        let skewed = e.lives.skewed_at(old.at) || e.lives.skewed_at(asked);
        if used.0 >= life.0 / 2 || e.lives.started_between(old.at, asked) || changed || skewed {
            continue;
        }
        let first = refusals.partition_point(|c| c.ended < old.at);
        let mut refused =
            refusals[first..].iter().take_while(|c| c.arrived <= asked).filter(|c| c.ended <= asked);
        let bears = |c: &&&Call<'_>| old.token.as_deref().is_none_or(|t| presented(c.request) == Some(t));
        match refused.find(bears) {
            Some(c) if c.told.is_some_and(|t| t.stale_credential) => {}
            Some(_) => provoked.push(new),
            None => needless.push(new),
        }
        for (list, allowed, rule, why, hint) in [
            (
                &mut needless,
                limit - limit.min(1),
                "auth/needless_refresh",
                "though nothing had refused the token at hand",
                "is `expires_in` read as seconds, and is the margin less than the token's life?",
            ),
            (
                &mut provoked,
                limit,
                "auth/refresh_storm",
                "each after a 401 that a new token did not cure",
                "a 401 is not by itself a signal to refresh: look whether the token is due, or has just been renewed",
            ),
        ] {
            list.retain(|i| i.at + life >= new.at);
            if list.len() > allowed {
                found.fail(Say {
                    rule,
                    group: vendor,
                    message: format!(
                        "{} to {vendor} by {} came in the first half of the life of a token ({life}), {why}",
                        count(list.len() as u64, "refresh").replace("refreshs", "refreshes"),
                        new.at
                    ),
                    expected: match allowed {
                        0 => format!("none: the token got at {} is good until {expires}", old.at),
                        n => format!("at most {n} so early"),
                    },
                    hint,
                    evidence: old
                        .call
                        .cite()
                        .into_iter()
                        .chain(list.iter().flat_map(|i| i.call.cite()))
                        .collect(),
                });
                list.clear();
            }
        }
    }
}

/// Calls with a token past its expiry.
pub(super) fn expired(e: &Evidence<'_>, vendor: &str, issues: &[Issue<'_, '_>], found: &mut Findings) {
    let expiry: IndexMap<&str, At> =
        issues.iter().filter_map(|i| Some((i.token.as_deref()?, i.expires?))).collect();
    for call in e.calls_of(vendor).filter(|c| !c.is_token()) {
        let Some(expires) = presented(call.request).and_then(|t| expiry.get(t)) else { continue };
        let excused = e.lives.skewed_at(call.arrived) || !e.lives.up_throughout(*expires, call.arrived);
        if call.arrived >= *expires && call.ending == Ending::Unauthorized && !excused {
            found.fail(Say {
                rule: "auth/expired_token_used",
                group: vendor,
                message: format!(
                    "{} at {} used a token that had expired at {expires}, and got {}",
                    call.name(),
                    call.arrived,
                    call.got()
                ),
                expected: "a refresh before the expiry, so that it never costs a 401".into(),
                hint: "refresh ahead by `expires_in` less a margin, counted from the answer that brought the token",
                evidence: call.cite(),
            });
        }
    }
}
