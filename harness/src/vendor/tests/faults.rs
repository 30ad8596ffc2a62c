//! Keys, credentials, limits, and errors that a fault rule asks for.

use super::*;

#[test]
fn what_others_spend_of_a_quota_is_gone_and_comes_back_with_the_window() {
    let limit = json!({ "rate_limit": { "limit": 20, "window": "1m" } });
    let mut desk = Desk::patched("hubspot", limit);
    let left = |desk: &mut Desk| {
        let answer = desk.send("GET", "/crm/v3/objects/deals", "", &[]);
        let left = answer.response.as_ref().unwrap().headers.get("x-hubspot-ratelimit-remaining");
        (status(&answer), left.unwrap().to_owned())
    };
    assert_eq!(left(&mut desk), (200, "19".to_owned()));
    desk.act("quota.spend", &[], json!({ "calls": 15 }));
    assert_eq!(left(&mut desk), (200, "3".to_owned()));
    desk.act("quota.spend", &[], json!({ "calls": 99 }));
    assert_eq!(left(&mut desk), (429, "0".to_owned()));
    desk.wait(Span::mins(2));
    assert_eq!(left(&mut desk), (200, "19".to_owned()));
    let now = desk.now;
    let set = BTreeMap::from([("call".to_owned(), json!(3))]);
    assert!(desk.vendor.act(now, "quota", "spend", &[], &set).unwrap_err().contains("calls: 20"));
}
use crate::fault::{ErrorKind, Moment};

fn error(kind: ErrorKind, moment: Option<Moment>) -> ErrorReply {
    ErrorReply { kind, status: None, retry_after: None, headers: BTreeMap::new(), moment }
}

#[test]
fn a_replayed_key_returns_the_first_response() {
    let mut desk = Desk::new("stripe");
    let first = desk.keyed("/v1/customers", "email=a@b.c&name=A", "k");
    desk.wait(Span::secs(60));
    let again = desk.keyed("/v1/customers", "name=A&email=a@b.c", "k");
    assert_eq!(body(&first), body(&again));
    assert_eq!(header(&again, "idempotent-replayed"), Some("true"));
    assert!(again.replayed && !again.applied && again.changes.is_empty());
    assert!(first.applied && !first.replayed && header(&first, "idempotent-replayed").is_none());
    assert_eq!(desk.vendor.records("customers").unwrap().len(), 1);
}

#[test]
fn a_key_with_other_parameters_is_an_error() {
    let mut desk = Desk::new("stripe");
    desk.keyed("/v1/customers", "email=a@b.c", "k");
    for (path, form) in [("/v1/customers", "email=other"), ("/v1/invoices", "email=a@b.c")] {
        let other = desk.keyed(path, form, "k");
        assert_eq!((status(&other), other.told.error), (400, Some(ErrorKind::IdempotencyMismatch)));
        assert_eq!(body(&other)["error"]["type"], "idempotency_error");
    }
}

#[test]
fn a_key_in_use_is_a_conflict_until_the_first_request_is_done() {
    let mut desk = Desk::new("stripe");
    let key = [("idempotency-key", "k")];
    let first = desk.send_for("POST", "/v1/customers", "email=a@b.c", &key, Span::secs(2));
    desk.wait(Span::millis(1999));
    let early = desk.keyed("/v1/customers", "email=a@b.c", "k");
    assert_eq!((status(&early), early.told.error), (409, Some(ErrorKind::IdempotencyInUse)));
    assert_eq!(body(&early)["error"]["code"], "idempotency_key_in_use");
    assert_eq!(early.told.should_retry, Some(true));
    desk.wait(Span::millis(1));
    assert_eq!(body(&desk.keyed("/v1/customers", "email=a@b.c", "k")), body(&first));
}

#[test]
fn a_key_is_forgotten_after_a_day() {
    let mut desk = Desk::new("stripe");
    desk.keyed("/v1/customers", "email=a@b.c", "k");
    desk.wait(Span::mins(24 * 60 - 1));
    assert!(desk.keyed("/v1/customers", "email=a@b.c", "k").replayed);
    desk.wait(Span::mins(1));
    assert!(desk.keyed("/v1/customers", "email=a@b.c", "k").applied);
    assert_eq!(desk.vendor.records("customers").unwrap().len(), 2);
}

#[test]
fn what_is_refused_before_execution_is_not_saved() {
    let mut desk = Desk::patched("stripe", json!({ "rate_limit": { "limit": 1, "window": "10s" } }));
    let token = std::mem::replace(&mut desk.token, "sk_test_wrong".into());
    assert_eq!(status(&desk.keyed("/v1/customers", "email=a", "k")), 401);
    desk.token = token;
    assert_eq!(status(&desk.keyed("/v1/customers", "colour=red", "k")), 400);
    assert_eq!(status(&desk.keyed("/v1/customers", "email=a", "k")), 429);
    desk.wait(Span::secs(10));
    let made = desk.keyed("/v1/customers", "email=a", "k");
    assert!(made.applied && status(&made) == 200);
    desk.wait(Span::secs(10));
    let long = desk.keyed("/v1/customers", "email=a", &"k".repeat(256));
    assert_eq!(status(&long), 400);
}

#[test]
fn an_error_raised_by_the_endpoint_is_replayed() {
    let mut desk = Desk::new("stripe");
    let first = desk.keyed("/v1/invoices", "customer=cus_none", "k");
    let again = desk.keyed("/v1/invoices", "customer=cus_none", "k");
    assert_eq!((status(&first), status(&again), again.replayed), (400, 400, true));
    assert_eq!(again.told.error, Some(ErrorKind::InvalidRequest));
}

#[test]
fn a_500_after_it_was_applied_is_what_the_key_remembers() {
    let mut desk = Desk::new("stripe");
    let request = desk.request("POST", "/v1/customers", "email=a@b.c", &[("idempotency-key", "k")]);
    let broken =
        desk.vendor.fail(At(0), &request, &error(ErrorKind::ServerError, Some(Moment::AfterApplied)));
    assert_eq!((status(&broken), broken.applied, broken.changes.len()), (500, true, 1));
    assert_eq!(broken.told.error, Some(ErrorKind::ServerError));
    let again = desk.keyed("/v1/customers", "email=a@b.c", "k");
    assert_eq!((status(&again), again.replayed), (500, true));
    assert_eq!(body(&again), body(&broken));
    assert_eq!(
        (header(&again, "stripe-should-retry"), again.told.should_retry),
        (Some("false"), Some(false))
    );
    assert_eq!(desk.vendor.records("customers").unwrap().len(), 1);
}

#[test]
fn an_error_before_anything_was_applied_leaves_no_trace() {
    let mut desk = Desk::new("stripe");
    let request = desk.request("POST", "/v1/customers", "email=a@b.c", &[("idempotency-key", "k")]);
    let broken = desk.vendor.fail(At(0), &request, &error(ErrorKind::ServerError, None));
    assert_eq!((status(&broken), broken.applied, broken.changes.len()), (500, false, 0));
    let made = desk.keyed("/v1/customers", "email=a@b.c", "k");
    assert!(made.applied && !made.replayed);
}

#[test]
fn every_error_is_said_in_the_vendors_own_dialect() {
    let kinds = [
        ErrorKind::RateLimited,
        ErrorKind::SecondaryRateLimited,
        ErrorKind::LockTimeout,
        ErrorKind::Unauthorized,
        ErrorKind::Forbidden,
        ErrorKind::InvalidGrant,
        ErrorKind::InvalidRequest,
        ErrorKind::Unprocessable,
        ErrorKind::NotFound,
        ErrorKind::IdempotencyInUse,
        ErrorKind::IdempotencyMismatch,
        ErrorKind::ServerError,
        ErrorKind::BadGateway,
        ErrorKind::Unavailable,
        ErrorKind::GatewayTimeout,
    ];
    let statuses = |name: &str| -> Vec<u16> {
        let mut desk = Desk::new(name);
        let request = desk.request("GET", "/x", "", &[]);
        kinds
            .iter()
            .map(|kind| {
                let reaction = desk.vendor.fail(At(0), &request, &error(*kind, None));
                assert_eq!(reaction.told.error, Some(*kind));
                let said = body(&reaction);
                let message = match name {
                    "stripe" => &said["error"]["message"],
                    _ => &said["message"],
                };
                assert!(message.is_string() || said.is_string(), "{name} {kind:?}: {said}");
                status(&reaction)
            })
            .collect()
    };
    assert_eq!(
        statuses("stripe"),
        [429, 429, 429, 401, 403, 400, 400, 400, 404, 409, 400, 500, 502, 503, 504]
    );
    assert_eq!(
        statuses("hubspot"),
        [429, 429, 423, 401, 403, 400, 400, 400, 404, 409, 422, 500, 502, 503, 504]
    );
    assert_eq!(
        statuses("github"),
        [403, 403, 429, 401, 403, 400, 400, 422, 404, 409, 422, 500, 502, 503, 504]
    );
}

#[test]
fn an_error_can_be_dressed_up() {
    let mut desk = Desk::new("stripe");
    let request = desk.request("GET", "/v1/customers", "", &[]);
    let mut reply = error(ErrorKind::RateLimited, None);
    reply.retry_after = Some("date+40s".into());
    reply.status = Some(420);
    reply.headers.insert("request-id".into(), None);
    reply.headers.insert("stripe-should-retry".into(), Some("false".into()));
    let got = desk.vendor.fail(At(2_000_000), &request, &reply);
    assert_eq!((status(&got), header(&got, "retry-after")), (420, Some("Mon, 02 Mar 2026 09:00:42 GMT")));
    assert_eq!((got.told.retry_at, got.told.should_retry), (Some(At(42_000_000)), Some(false)));
    reply.retry_after = Some("-5".into());
    assert_eq!(desk.vendor.fail(At(0), &request, &reply).told.retry_at, None);
}

#[test]
fn a_removed_header_field_stays_removed() {
    let mut desk = Desk::new("stripe");
    let request = desk.request("GET", "/v1/customers", "", &[]);
    let mut reply = error(ErrorKind::RateLimited, None);
    reply.headers.insert("request-id".into(), None);
    assert_eq!(header(&desk.vendor.fail(At(0), &request, &reply), "request-id"), None);
}

#[test]
fn hubspot_limits_calls_in_ten_rolling_seconds_and_says_so() {
    let mut desk = Desk::patched("hubspot", json!({ "rate_limit": { "limit": 3, "window": "10s" } }));
    for left in [2, 1, 0] {
        let ok = desk.send("GET", "/crm/v3/objects/deals", "", &[]);
        assert_eq!(header(&ok, "x-hubspot-ratelimit-remaining"), Some(left.to_string().as_str()));
        assert_eq!(ok.told.quotas[0].remaining, left);
        desk.wait(Span::secs(1));
    }
    let over = desk.send("GET", "/crm/v3/objects/deals", "", &[]);
    let said = body(&over);
    assert_eq!((status(&over), over.told.error), (429, Some(ErrorKind::RateLimited)));
    assert_eq!(
        (&said["errorType"], &said["policyName"]),
        (&json!("RATE_LIMIT"), &json!("TEN_SECONDLY_ROLLING"))
    );
    assert_eq!((header(&over, "retry-after"), over.told.retry_at), (None, None));
    assert_eq!(over.told.quotas[0].resets_at, At(10_000_000));
    desk.now = At(10_000_000);
    assert_eq!(status(&desk.send("GET", "/crm/v3/objects/deals", "", &[])), 200);
    assert_eq!(status(&desk.send("GET", "/crm/v3/objects/deals", "", &[])), 429);
}

#[test]
fn a_reset_in_epoch_seconds_is_a_promise() {
    let patch =
        json!({ "rate_limit": { "dialect": "github", "limit": 2, "window": "2m", "retry_after": true } });
    let mut desk = Desk::patched("hubspot", patch);
    desk.wait(Span::millis(500));
    for _ in 0..2 {
        desk.send("GET", "/crm/v3/objects/deals", "", &[]);
    }
    let over = desk.send("GET", "/crm/v3/objects/deals", "", &[]);
    assert_eq!(status(&over), 429);
    let reset: i64 = header(&over, "x-ratelimit-reset").unwrap().parse().unwrap();
    assert_eq!(reset, epoch().as_second() + 121, "rounded up");
    assert_eq!(header(&over, "retry-after"), Some("120"));
    assert_eq!(over.told.retry_at, Some(At(120_500_000)));
    desk.now = At(121_000_000);
    assert_eq!(status(&desk.send("GET", "/crm/v3/objects/deals", "", &[])), 200);
}

#[test]
fn a_secondary_limit_asks_for_a_wait() {
    let patch = json!({ "rate_limit": { "secondary": { "limit": 2, "window": "1m", "wait": "60s" } } });
    let mut desk = Desk::patched("github", patch);
    let path = "/repos/octo-org/octo-repo/issues";
    desk.get(path);
    desk.get(path);
    let over = desk.send("GET", path, "", &[]);
    assert_eq!((status(&over), over.told.error), (403, Some(ErrorKind::SecondaryRateLimited)));
    assert_eq!((header(&over, "retry-after"), over.told.retry_at), (Some("60"), Some(At(60_000_000))));
}

#[test]
fn an_access_token_dies_after_half_an_hour() {
    let mut desk = Desk::new("hubspot");
    let path = "/crm/v3/objects/deals";
    assert_eq!(status(&desk.send("GET", path, "", &[])), 200);
    desk.wait(Span::mins(30));
    let dead = desk.send("GET", path, "", &[]);
    assert_eq!(
        (status(&dead), dead.told.error, dead.told.stale_credential),
        (401, Some(ErrorKind::Unauthorized), true)
    );
    assert_eq!(body(&dead)["category"], "EXPIRED_AUTHENTICATION");
    let none = desk.send("GET", path, "", &[("authorization", "")]);
    assert_eq!((status(&none), none.told.stale_credential), (401, false));
    let made_up = desk.send("GET", path, "", &[("authorization", "Bearer nonsense")]);
    assert_eq!((status(&made_up), made_up.told.stale_credential), (401, true));
}

#[test]
fn a_static_refresh_token_stays() {
    let mut desk = Desk::new("hubspot");
    let token = desk.vendor.credentials()["refresh_token"].clone();
    let answer = desk.refresh(&token);
    let got = body(&answer);
    assert_eq!((&got["refresh_token"], &got["expires_in"]), (&json!(token), &json!(1800)));
    assert_eq!(answer.told.token_expires, Some(At(1_800_000_000)));
    let mut quiet = Desk::patched("hubspot", json!({ "auth": { "repeats_refresh_token": false } }));
    let token = quiet.vendor.credentials()["refresh_token"].clone();
    assert!(body(&quiet.refresh(&token)).get("refresh_token").is_none());
    assert_eq!(status(&quiet.refresh(&token)), 200);
}

#[test]
fn reuse_of_a_rotated_token_revokes_the_family() {
    let mut desk = Desk::patched("hubspot", json!({ "auth": { "mode": "rotating-strict" } }));
    let second = desk.latest.clone();
    let third = body(&desk.refresh(&second))["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(second, third);
    let reuse = desk.refresh(&second);
    assert_eq!((status(&reuse), reuse.told.error), (400, Some(ErrorKind::InvalidGrant)));
    assert_eq!(reuse.credentials[0].change, "revoked");
    assert_eq!(body(&reuse)["error"], "invalid_grant");
    assert_eq!(status(&desk.refresh(&third)), 400, "the family is gone");
    assert_eq!(status(&desk.send("GET", "/crm/v3/objects/deals", "", &[])), 401);
    desk.act("oauth.roll", &[], json!({}));
    let fresh = desk.vendor.credentials()["refresh_token"].clone();
    assert_eq!(status(&desk.refresh(&fresh)), 200);
}

#[test]
fn an_operator_knows_nothing_of_rotation() {
    let mut desk = Desk::patched("hubspot", json!({ "auth": { "mode": "rotating-strict" } }));
    let before = desk.vendor.credentials();
    assert_ne!(before["refresh_token"], desk.latest);
    let latest = desk.latest.clone();
    desk.refresh(&latest);
    assert_eq!(desk.vendor.credentials(), before);
    desk.act("oauth.roll", &[], json!({}));
    let rolled = desk.vendor.credentials()["refresh_token"].clone();
    assert_eq!(status(&desk.refresh(&rolled)), 200);
}

#[test]
fn grace_gives_the_same_successor_once() {
    let mut desk = Desk::patched("hubspot", json!({ "auth": { "mode": "rotating-grace" } }));
    let first = desk.latest.clone();
    let successor = body(&desk.refresh(&first))["refresh_token"].clone();
    assert_eq!(body(&desk.refresh(&first))["refresh_token"], successor);
    assert_eq!(status(&desk.refresh(&first)), 400);
    let next = body(&desk.refresh(successor.as_str().unwrap()));
    assert_ne!(next["refresh_token"], successor);
}

#[test]
fn a_made_up_refresh_token_or_client_gets_nothing() {
    let mut desk = Desk::patched("hubspot", json!({ "auth": { "mode": "rotating-strict" } }));
    assert_eq!(status(&desk.refresh("na1-none")), 400);
    let good = desk.latest.clone();
    assert_eq!(status(&desk.refresh(&good)), 200, "a guess revokes nothing");
    let form = format!("grant_type=refresh_token&client_id=x&client_secret=y&refresh_token={good}");
    assert_eq!(body(&desk.send("POST", "/oauth/v1/token", &form, &[]))["status"], "BAD_CLIENT_ID");
    let form = "grant_type=password";
    assert_eq!(body(&desk.send("POST", "/oauth/v1/token", form, &[]))["status"], "BAD_GRANT_TYPE");
}

#[test]
fn an_operator_revokes_expires_and_rolls() {
    let mut desk = Desk::new("hubspot");
    let expired = desk.act("oauth.expire", &[], json!({}));
    assert_eq!(
        (expired.credentials[0].change.as_str(), expired.credentials[0].handed_over),
        ("expired", false)
    );
    assert_eq!(status(&desk.send("GET", "/crm/v3/objects/deals", "", &[])), 401);
    let before = desk.vendor.credentials();
    assert_eq!(status(&desk.refresh(&before["refresh_token"])), 200);
    desk.act("oauth.revoke", &[], json!({}));
    assert_eq!(status(&desk.refresh(&before["refresh_token"])), 400);
    let rolled = desk.act("oauth.roll", &[], json!({}));
    assert!(rolled.credentials[0].handed_over);
    let after = desk.vendor.credentials();
    assert_eq!(before["client_secret"], after["client_secret"]);
    assert_eq!(status(&desk.refresh(&after["refresh_token"])), 200);
    assert_eq!(status(&desk.refresh(&before["refresh_token"])), 400);
}

#[test]
fn a_rolled_key_dies_at_once_unless_it_overlaps() {
    for (overlap, alive) in [("0s", false), ("1h", true)] {
        let mut desk = Desk::patched("stripe", json!({ "auth": { "overlap": overlap } }));
        desk.act("keys.roll", &[], json!({}));
        let old = desk.send("GET", "/v1/customers", "", &[]);
        assert_eq!((status(&old) == 200, old.told.stale_credential), (alive, !alive));
        desk.wait(Span::mins(60));
        assert_eq!(status(&desk.send("GET", "/v1/customers", "", &[])), 401);
        desk.token = desk.vendor.credentials()["api_key"].clone();
        assert_eq!(status(&desk.send("GET", "/v1/customers", "", &[])), 200);
        let revoked = desk.act("keys.revoke", &[], json!({}));
        assert!(!revoked.credentials[0].handed_over);
        let dead = desk.send("GET", "/v1/customers", "", &[]);
        assert_eq!((status(&dead), dead.told.stale_credential), (401, true));
    }
}

#[test]
fn an_action_that_is_not_there_names_the_nearest() {
    let mut desk = Desk::new("hubspot");
    let ids = desk.give("deals", 1);
    let none = BTreeMap::new();
    let mut why = |noun: &str, verb: &str, ids: &[Arc<str>]| {
        desk.vendor.act(At(0), noun, verb, ids, &none).unwrap_err()
    };
    assert!(why("deals", "cloze", &ids).contains("`close`"));
    assert!(why("deal", "close", &ids).contains("`deals`"));
    assert!(why("oauth", "revok", &[]).contains("`revoke`"));
    assert!(why("deals", "close", &["1".into()]).contains(ids[0].as_ref()));
}

#[test]
fn what_a_file_offers_can_be_listed() {
    let file = file("hubspot", Value::Null);
    assert_eq!(file.collections().collect::<Vec<_>>(), [("deals", "deal")]);
    assert_eq!(file.nouns(), ["deals", "oauth", "webhooks", "quota"]);
    assert_eq!(file.actions("deals"), ["create", "close", "amend", "reopen", "delete"]);
    assert_eq!(file.actions("webhooks"), ["roll_secret"]);
    assert!(file.operations().any(|o| o == ("PATCH", "/crm/v3/objects/deals/{id}")));
    assert_eq!(file.webhook_events(), ["deal.creation", "deal.propertyChange", "deal.deletion"]);
}

#[test]
fn a_mistake_in_a_vendor_file_has_its_place() {
    let text = bundled("stripe").unwrap().replace("unknown_parameters: refuse", "unknown_parametres: refuse");
    let mistake = VendorFile::read("v.yaml", &text, &Value::Null).unwrap_err();
    assert!(mistake.source_line.contains("unknown_parametres"), "{mistake:?}");
    let text = bundled("stripe").unwrap().replace("dialect: stripe-v1", "dialect: stripe-v9");
    let mistake = VendorFile::read("v.yaml", &text, &Value::Null).unwrap_err();
    assert!(
        mistake.source_line.contains("stripe-v9") && mistake.message.contains("stripe-v1"),
        "{mistake:?}"
    );
    let mistake = VendorFile::load("stripe", None, &json!({ "rate_limt": {} })).unwrap_err();
    assert!(mistake.message.contains("rate_limt"), "{mistake:?}");
    let mistake = VendorFile::load("strip", None, &Value::Null).unwrap_err();
    assert!(mistake.message.contains("`stripe`"), "{mistake:?}");
}
