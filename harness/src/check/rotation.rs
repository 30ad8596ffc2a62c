//! Rotated credentials: what the operator hands over is used soon, and the old one no more.
//!
//! Knows: moments of handing over, and which credential each call presented. Must not know: what
//! was handed over; the new one is the one that was never seen before.

use std::collections::BTreeSet;

use super::call::{Call, Ending};
use super::credentials::{field, presented};
use super::evidence::Evidence;
use super::say::{Findings, Say};
use crate::scenario::Auth;
use crate::time::At;

/// Judges each handing over at a vendor; gives their number.
pub(super) fn handed_over(
    e: &Evidence<'_>,
    vendor: &str,
    requests: &[&Call<'_>],
    auth: &Auth,
    found: &mut Findings,
) -> u64 {
    let Some(within) = auth.rotation_within else { return 0 };
    let by_grant = !requests.is_empty();
    let uses: Vec<(&Call<'_>, String)> = if by_grant {
        requests.iter().filter_map(|c| Some((*c, grant(c)?))).collect()
    } else {
        e.calls_of(vendor).filter_map(|c| Some((c, presented(c.request)?.to_owned()))).collect()
    };
    let mut judged = 0;
    for change in e.credentials.iter().filter(|c| c.vendor == vendor && c.handed_over) {
        if change.of_webhooks {
            continue;
        }
        judged += 1;
        let due = change.at + within;
        let before: BTreeSet<&str> =
            uses.iter().take_while(|(c, _)| c.arrived < change.at).map(|(_, v)| v.as_str()).collect();
        let new_used = uses
            .iter()
            .any(|(c, v)| c.arrived >= change.at && c.arrived <= due && !before.contains(v.as_str()));
        let old = uses.iter().find(|(c, v)| c.arrived > due && before.contains(v.as_str()));
        if let Some((call, _)) = old {
            found.fail(Say {
                rule: "auth/old_credential",
                group: vendor,
                message: format!(
                    "{} at {} still used the credential that was replaced at {} ({}), and got {}",
                    call.name(),
                    call.arrived,
                    change.at,
                    change.change,
                    call.got()
                ),
                expected: format!("only the new one from {due} on"),
                hint: "read credentials from where the operator puts them, not once at the start",
                evidence: vec![change.event, call.asked],
            });
        } else if !new_used && due <= e.ends_at && needed(e, vendor, requests, change.at, due) {
            found.fail(Say {
                rule: "auth/new_credential_unused",
                group: vendor,
                message: format!(
                    "a new credential for {vendor} was in place at {} ({}), and no call had used it by {due}",
                    change.at, change.change
                ),
                expected: format!("its first use within {within}"),
                hint: "who stopped for a refused credential must notice the new one without a restart",
                evidence: vec![change.event],
            });
        }
    }
    judged
}

/// What identifies a grant in a token request.
fn grant(call: &Call<'_>) -> Option<String> {
    let part = |name| field(&call.request.body, name).unwrap_or_default();
    let grant = format!("{}\n{}", part("refresh_token"), part("client_secret"));
    (grant.len() > 1).then_some(grant)
}

/// Whether the new credential was called for: the last grant was refused, or work was waiting
/// while the last call had been refused.
fn needed(e: &Evidence<'_>, vendor: &str, requests: &[&Call<'_>], from: At, to: At) -> bool {
    let refused = |c: &Call<'_>| matches!(c.ending, Ending::Unauthorized | Ending::Caller);
    let last = match requests.iter().take_while(|c| c.arrived < from).last() {
        Some(request) => refused(request),
        None => e.calls_of(vendor).take_while(|c| c.arrived < from).last().is_some_and(refused),
    };
    let pending = e.agreement().is_none_or(|a| a.pending_throughout(from, to));
    last && pending && e.lives.up_throughout(from, to)
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::fault::ErrorKind;
    use crate::trace::What;

    const AUTH: &str = "auth: { rotation_within: 1m }";

    fn rolled() -> What {
        What::Credential { vendor: "billing".into(), change: "rolled".into(), handed_over: true }
    }

    fn with(key: &str, at: u64) -> Exchange {
        call("billing", "GET /invoices", at).header("authorization", &format!("Bearer {key}"))
    }

    fn refused(key: &str, at: u64) -> Exchange {
        with(key, at).error(401, ErrorKind::Unauthorized)
    }

    #[test]
    fn a_new_key_used_in_time_is_sound() {
        drill()
            .calls([with("old", 0), refused("old", 15_000), with("new", 60_000), with("new", 90_000)])
            .event(10_000, rolled())
            .passes(&scenario(AUTH), "auth");
    }

    #[test]
    fn an_old_key_kept_is_found() {
        drill()
            .calls([with("old", 0), with("old", 80_000)])
            .event(10_000, rolled())
            .fails(&scenario(AUTH), "auth/old_credential");
    }

    #[test]
    fn a_roll_of_the_webhook_secret_is_no_roll_of_the_key() {
        let step = What::Step {
            step: 0,
            action: "billing.webhooks.roll_secret".into(),
            records: vec![],
            error: None,
        };
        drill()
            .calls([with("old", 0), with("old", 80_000)])
            .event(10_000, step)
            .event(10_000, rolled())
            .unknown(&scenario(AUTH), "auth/nothing_expired");
    }

    #[test]
    fn a_new_key_never_used_is_found() {
        drill()
            .calls([with("old", 0), refused("old", 5_000)])
            .event(10_000, rolled())
            .fails(&scenario(AUTH), "auth/new_credential_unused");
    }
}
