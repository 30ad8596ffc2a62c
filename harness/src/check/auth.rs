//! Auth: tokens are refreshed once and in time, rotation is kept, and refusals are respected.
//!
//! Knows: token requests and answers (RFC 6749 §5, §6) and which credential each call presented.
//! Must not know: any one vendor. That no credential reaches another vendor: see `secrets`.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::call::{Call, Ending};
use super::credentials::{field, presented};
use super::evidence::{Credential, Evidence};
use super::refresh::{early, expired, issues, stampede};
use super::say::{Findings, Say, count};
use crate::fault::ErrorKind;
use crate::finding::Judgement;
use crate::scenario::{Auth, Family};
use crate::time::{At, Span};

/// What a subject may need to put an answer on disk before it is killed.
const TO_DISK: Span = Span::secs(1);

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    let promise = e.scenario.expect.auth;
    let mut judged = 0u64;
    let mut tried = Tried::default();
    for vendor in e.by_vendor.keys() {
        let requests: Vec<&Call<'_>> = e.calls_of(vendor).filter(|c| c.is_token()).collect();
        judged += requests.len() as u64;
        superseded(e, &requests, &mut found);
        let Some(auth) = &promise else { continue };
        let issues = issues(&requests);
        tried.requests = tried.requests.max(requests.len());
        tried.expiries += issues.iter().filter(|i| i.expires.is_some_and(|t| t < e.ends_at)).count() as u64;
        stampede(vendor, &requests, auth, &mut found);
        early(e, vendor, &issues, auth, &mut found);
        if auth.proactive {
            expired(e, vendor, &issues, &mut found);
        }
        tried.invalid_grants += after_invalid_grant(e, &requests, auth, &mut found);
        tried.refusals += refused(e, vendor, auth, &mut found);
        tried.handed_over += super::rotation::handed_over(e, vendor, &requests, auth, &mut found);
    }
    judged += tried.refusals + tried.handed_over;
    let Some(auth) = promise else {
        return (judged > 0).then(|| found.judgement("auth", judged));
    };
    if found.is_empty() && e.says("auth") {
        tried.complain(e, &auth, &mut found);
    }
    let unproven = judged == 0 || (auth.proactive && tried.expiries == 0);
    if unproven && found.is_empty() && e.owes("auth", &[Family::Auth]) {
        found.unknown(Say {
            rule: "auth/nothing_expired",
            group: "",
            message: format!("{judged} of token requests and credential events, {} expiries", tried.expiries),
            expected: "at least 1 token that expires, or a credential that changes, within the drill".into(),
            hint: "a longer drill, or a shorter-lived token",
            evidence: Vec::new(),
        });
    }
    if judged == 0 && found.is_empty() { None } else { Some(found.judgement("auth", judged)) }
}

/// What put the promises to the test.
#[derive(Default)]
struct Tried {
    /// Token requests at one vendor.
    requests: usize,
    expiries: u64,
    invalid_grants: u64,
    refusals: u64,
    handed_over: u64,
}

impl Tried {
    /// Says which promises nothing could have broken.
    fn complain(&self, e: &Evidence<'_>, auth: &Auth, found: &mut Findings) {
        let refused = e.calls.iter().any(|c| c.ending == Ending::Unauthorized);
        // Whoever learns of a change in time is never refused, and has kept the promise.
        let changed =
            e.credentials.iter().any(|c| !c.of_webhooks && !matches!(c.change, "issued" | "rotated"));
        let promises = [
            (
                "refreshes_per_expiry",
                auth.refreshes_per_expiry.is_none() || self.expiries > 0 || self.requests > 1 || refused,
                "a token that expires within the drill, or is refused",
            ),
            ("proactive", !auth.proactive || self.expiries > 0, "a token that expires within the drill"),
            (
                "calls_after_invalid_grant",
                auth.calls_after_invalid_grant.is_none() || self.invalid_grants > 0 || changed,
                "a token request that is answered `invalid_grant`",
            ),
            (
                "rotation_within",
                auth.rotation_within.is_none() || self.handed_over > 0,
                "a credential that the operator hands over",
            ),
            (
                "calls_after_refusal",
                auth.calls_after_refusal.is_none() || self.refusals > 0 || changed,
                "a call that is refused for its credential",
            ),
        ];
        for (promise, _, expected) in promises.iter().filter(|(_, tested, _)| !tested) {
            found.unknown(Say {
                rule: "auth/nothing_expired",
                group: promise,
                message: format!("nothing in the drill put `auth.{promise}` to the test"),
                expected: format!("at least 1: {expected}"),
                hint: "let it happen (a longer drill, a shorter-lived token, a step of the workload), or leave \
                       the promise out",
                evidence: Vec::new(),
            });
        }
    }
}

/// A refresh token that had already been exchanged for another.
fn superseded(e: &Evidence<'_>, requests: &[&Call<'_>], found: &mut Findings) {
    let mut gone: BTreeMap<String, &Call<'_>> = BTreeMap::new();
    let mut rotations: Vec<(At, String, &Call<'_>)> = Vec::new();
    for call in requests.iter().filter(|c| c.succeeded()) {
        let used = field(&call.request.body, "refresh_token");
        let next = call.response.and_then(|r| field(&r.body, "refresh_token"));
        if let (Some(used), Some(next)) = (used, next)
            && used != next
        {
            rotations.push((call.ended, used.into_owned(), call));
        }
    }
    rotations.sort_by_key(|(at, ..)| *at);
    let mut rotations = rotations.into_iter().peekable();
    for call in requests {
        while let Some((_, used, by)) = rotations.next_if(|(at, ..)| *at < call.arrived) {
            gone.insert(used, by);
        }
        let Some(used) = field(&call.request.body, "refresh_token") else { continue };
        let Some(by) = gone.get(used.as_ref()) else { continue };
        if e.lives.killed_between(by.ended, by.ended + e.slack(TO_DISK)) {
            continue;
        }
        found.fail(Say {
            rule: "auth/superseded_refresh_token",
            group: call.vendor,
            message: format!(
                "{} at {} used the refresh token that the answer at {} had replaced, and got {}",
                call.name(),
                call.arrived,
                by.ended,
                call.got()
            ),
            expected: "the refresh token of the latest answer".into(),
            hint: "store the new refresh token on disk before the new access token is used: reuse of the old one may revoke the whole family",
            evidence: by.cite().into_iter().chain(call.cite()).collect(),
        });
    }
}

/// Token requests after `invalid_grant`, until the operator hands over something new; gives how often
/// that was said to one who did not know.
fn after_invalid_grant(e: &Evidence<'_>, requests: &[&Call<'_>], auth: &Auth, found: &mut Findings) -> u64 {
    let Some(allowed) = auth.calls_after_invalid_grant else { return 0 };
    let mut said = 0;
    let mut refused: Option<&Call<'_>> = None;
    let mut after: Vec<&Call<'_>> = Vec::new();
    for call in requests {
        if let Some(first) = refused {
            let new = |c: &Credential<'_>| {
                c.vendor == call.vendor && c.handed_over && c.at >= first.ended && c.at <= call.arrived
            };
            if e.credentials.iter().any(new) {
                too_many(first, &std::mem::take(&mut after), allowed, found);
                refused = None;
            } else if call.arrived >= first.ended {
                after.push(call);
            }
        }
        let says_so = || {
            call.error() == Some(ErrorKind::InvalidGrant)
                || call.response.is_some_and(|r| field(&r.body, "error").as_deref() == Some("invalid_grant"))
        };
        if refused.is_none() && call.status().is_some() && says_so() {
            refused = Some(call);
            said += 1;
        }
    }
    if let Some(first) = refused {
        too_many(first, &after, allowed, found);
    }
    said
}

/// One finding, however many token requests came `after` the one that was refused.
fn too_many(refused: &Call<'_>, after: &[&Call<'_>], allowed: u32, found: &mut Findings) {
    let Some(last) = after.last().filter(|_| after.len() as u64 > u64::from(allowed)) else { return };
    found.fail(Say {
        rule: "auth/invalid_grant_loop",
        group: last.vendor,
        message: format!(
            "{} came by {} after `invalid_grant` at {}",
            count(after.len() as u64, "more token request"),
            last.arrived,
            refused.ended
        ),
        expected: format!("at most {allowed} until the operator hands over a new grant"),
        hint: "a revoked grant never comes back by itself: stop, alert, and wait for the new one",
        evidence: refused.cite().into_iter().chain(after.iter().map(|c| c.asked).take(6)).collect(),
    });
}

/// Calls with a credential that the vendor had refused before.
fn refused(e: &Evidence<'_>, vendor: &str, auth: &Auth, found: &mut Findings) -> u64 {
    let Some(allowed) = auth.calls_after_refusal else { return 0 };
    let mut first: IndexMap<&str, &Call<'_>> = IndexMap::new();
    let mut after: IndexMap<&str, Vec<&Call<'_>>> = IndexMap::new();
    for call in e.calls_of(vendor).filter(|c| !c.is_token()) {
        let Some(credential) = presented(call.request) else { continue };
        match first.get(credential) {
            Some(refusal) if refusal.ended <= call.arrived => after.entry(credential).or_default().push(call),
            _ => {}
        }
        let stale = call.told.is_some_and(|t| t.stale_credential);
        let refusing = stale || (call.ending == Ending::Unauthorized && call.fault.is_none());
        if refusing && call.status().is_some() {
            let known = first.entry(credential).or_insert(call);
            if call.ended < known.ended {
                *known = call;
            }
        }
    }
    for (credential, calls) in &after {
        let refusal = first[credential];
        if calls.len() as u64 > u64::from(allowed) {
            found.fail(Say {
                rule: "auth/refused_credential_used",
                group: vendor,
                message: format!(
                    "{vendor} refused a credential at {} ({}), and {} used it again, until {}",
                    refusal.ended,
                    refusal.got(),
                    count(calls.len() as u64, "later call"),
                    calls[calls.len() - 1].arrived
                ),
                expected: format!("at most {allowed}"),
                hint: "after a refusal read the credential anew, and stop calling if it is the same",
                evidence: refusal.cite().into_iter().chain(calls.iter().map(|c| c.asked)).collect(),
            });
        }
    }
    first.len() as u64
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::fault::ErrorKind;
    use crate::trace::{SubjectEvent, What};
    use serde_json::json;

    const AUTH: &str = "auth: { refreshes_per_expiry: 1, proactive: true, calls_after_invalid_grant: 0, \
                        calls_after_refusal: 1 }";

    /// The nth refresh: uses refresh token n, brings access and refresh token n+1, good for a minute.
    fn refresh(n: u64, at: u64) -> Exchange {
        call("crm", "POST /token", at)
            .body(&format!("grant_type=refresh_token&refresh_token=refresh-{n}"))
            .answers(200, json!({ "access_token": format!("access-{}", n + 1), "refresh_token": format!("refresh-{}", n + 1) }))
            .told(|t| t.token_expires = Some(ms_at(at + 60_010)))
    }

    fn read(n: u64, at: u64) -> Exchange {
        call("crm", "GET /deals/d1", at).header("authorization", &format!("Bearer access-{n}"))
    }

    fn stale(n: u64, at: u64) -> Exchange {
        read(n, at).error(401, ErrorKind::Unauthorized).told(|t| t.stale_credential = true)
    }

    fn sound() -> Builder {
        drill().calls([refresh(0, 0), read(1, 100), read(1, 40_000), refresh(1, 50_000), read(2, 70_000)])
    }

    #[test]
    fn one_refresh_ahead_of_each_expiry_is_sound() {
        sound().passes(&shared(scenario(AUTH)), "auth");
    }

    #[test]
    fn refreshes_at_once_are_a_stampede() {
        sound()
            .call(refresh(2, 100_000).takes(50))
            .call(refresh(2, 100_020))
            .fails(&shared(scenario(AUTH)), "auth/stampede");
    }

    #[test]
    fn a_refresh_by_a_clock_that_was_moved_is_not_needless() {
        let skewed = What::Subject(SubjectEvent::ClockSkewed { micros: 1_680_000_000 });
        let early = || sound().call(refresh(2, 51_000));
        early().event(50_500, skewed).passes(&shared(scenario(AUTH)), "auth");
        early().fails(&shared(scenario(AUTH)), "auth/needless_refresh");
    }

    #[test]
    fn refreshes_one_after_another_are_needless() {
        sound().call(refresh(2, 51_000)).fails(&shared(scenario(AUTH)), "auth/needless_refresh");
        sound()
            .subject(50_500, SubjectEvent::Started { incarnation: 2 })
            .call(refresh(2, 51_000))
            .subject(50_600, SubjectEvent::Ready)
            .passes(&shared(scenario(AUTH)), "auth");
    }

    #[test]
    fn a_refresh_for_every_401_is_a_storm() {
        let odd = |n, at| read(n, at).error(401, ErrorKind::Unauthorized).fault(0, "error");
        drill()
            .calls([refresh(0, 0), odd(1, 100), refresh(1, 200), odd(2, 300), refresh(2, 400), odd(3, 500)])
            .fails(&shared(scenario(AUTH)), "auth/refresh_storm");
        drill()
            .calls([refresh(0, 0), odd(1, 100), refresh(1, 200), read(2, 300), refresh(2, 50_000)])
            .passes(&shared(scenario(AUTH)), "auth");
    }

    #[test]
    fn an_expiry_that_costs_a_401_is_found() {
        drill()
            .calls([refresh(0, 0), stale(1, 70_000), refresh(1, 70_100), read(2, 70_200)])
            .fails(&shared(scenario(AUTH)), "auth/expired_token_used");
    }

    #[test]
    fn a_superseded_refresh_token_is_found_even_if_nothing_is_promised() {
        sound().call(refresh(1, 110_000)).fails(&scenario(""), "auth/superseded_refresh_token");
    }

    #[test]
    fn a_refresh_token_lost_with_the_process_is_no_finding() {
        drill()
            .call(refresh(0, 0))
            .subject(100, SubjectEvent::Killed)
            .subject(5_000, SubjectEvent::Started { incarnation: 2 })
            .call(refresh(0, 6_000))
            .passes(&scenario(""), "auth");
    }

    #[test]
    fn token_requests_after_invalid_grant_are_found() {
        let revoked = |at| refresh(2, at).error(400, ErrorKind::InvalidGrant);
        sound().call(revoked(100_000)).passes(&shared(scenario(AUTH)), "auth");
        sound()
            .calls([revoked(100_000), revoked(130_000)])
            .fails(&shared(scenario(AUTH)), "auth/invalid_grant_loop");
        let loops = sound().calls((0..500).map(|n| revoked(100_000 + n * 1_000)));
        let judged = loops.judged(&shared(scenario(AUTH)), "auth").unwrap();
        let found = judged.findings.iter().find(|f| &*f.rule == "auth/invalid_grant_loop").unwrap();
        assert!(found.message.starts_with("499 more token requests came by "), "{}", found.message);
        assert_eq!(found.more, 0, "one loop is one finding");
        sound()
            .call(revoked(100_000))
            .event(
                120_000,
                What::Credential { vendor: "crm".into(), change: "issued".into(), handed_over: true },
            )
            .call(refresh(9, 130_000))
            .passes(&shared(scenario(AUTH)), "auth");
    }

    #[test]
    fn a_refused_credential_used_on_and_on_is_found() {
        let refused = |at| {
            call("billing", "GET /invoices", at)
                .header("authorization", "Bearer k")
                .error(401, ErrorKind::Unauthorized)
        };
        sound().calls([refused(0), refused(1_000)]).passes(&shared(scenario(AUTH)), "auth");
        sound()
            .calls([refused(0), refused(1_000), refused(100_000)])
            .fails(&shared(scenario(AUTH)), "auth/refused_credential_used");
    }

    #[test]
    fn a_drill_about_auth_in_which_nothing_expired_is_unknown() {
        drill()
            .call(refresh(0, 7_190_000))
            .unknown(&shared(scenario_of("auth", AUTH, "")), "auth/nothing_expired");
    }

    #[test]
    fn what_a_drill_itself_promises_about_credentials_must_be_put_to_the_test() {
        let says = |promise: &str| scenario_of("retry", &format!("auth: {{ {promise} }}"), "");
        let untested = |promise: &str, b: Builder| {
            let found = b.judged(&says(promise), "auth").unwrap().findings;
            found.iter().any(|f| {
                f.message == format!("nothing in the drill put `auth.{}` to the test", word(promise))
            })
        };
        let refused = call("billing", "GET /invoices", 0)
            .header("authorization", "Bearer k")
            .error(401, ErrorKind::Unauthorized);
        let revoked = refresh(2, 100_000).error(400, ErrorKind::InvalidGrant);
        let changed =
            |handed_over| What::Credential { vendor: "crm".into(), change: "rolled".into(), handed_over };
        for (promise, tested) in [
            ("proactive: true", sound()),
            ("refreshes_per_expiry: 1", sound()),
            ("calls_after_invalid_grant: 1", sound().call(revoked)),
            ("calls_after_refusal: 1", sound().call(refused)),
            ("calls_after_refusal: 1", sound().event(60_000, changed(false))),
            ("rotation_within: 2h", sound().event(60_000, changed(true))),
        ] {
            assert!(untested(promise, drill().call(refresh(0, 7_190_000))), "{promise}");
            assert!(!untested(promise, tested), "{promise}");
        }
        let idle = || drill().call(refresh(0, 7_190_000));
        idle().passes(&shared(says("proactive: true")), "auth");
    }

    fn word(promise: &str) -> &str {
        promise.split(':').next().unwrap()
    }
}
