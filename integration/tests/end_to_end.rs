//! The core from outside: webhooks in, invoices out, over real sockets on a paused clock.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

mod common;

use std::time::Duration;

use axum::http::Method;
use common::{Fault, Rig, changed, get_text};
use integration_core::policy::{OnInvalidGrant, Resume};
use serde_json::json;

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_deal_becomes_one_finalised_invoice() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    pass(1).await;
    rig.world.lock().unwrap().deal("7", "1250.40", "closedwon", "2026-03-01T09:00:00.500Z");
    assert_eq!(rig.deliver(&core.url, &changed(1, 7), "hush").await, 200);
    assert_eq!(rig.deliver(&core.url, &changed(1, 7), "old").await, 200);
    assert_eq!(rig.deliver(&core.url, &changed(2, 7), "wrong").await, 401);
    pass(5).await;
    {
        let world = rig.world.lock().unwrap();
        let invoices = world.live();
        assert_eq!(invoices.len(), 1, "{:?}", world.log);
        assert_eq!(invoices[0]["status"], "open");
        assert_eq!(invoices[0]["amount_due"], 125_040);
        assert_eq!(invoices[0]["metadata"]["deal_id"], "7");
        assert_eq!(world.count("GET", "/crm/v3/objects/deals/7"), 1);
        assert_eq!(world.refreshes, 1);
    }
    let metrics = get_text(&format!("{}/metrics", core.url)).await;
    assert!(metrics.contains("integration_http_requests_total{vendor=\"stripe\",endpoint=\"/v1/invoiceitems\",outcome=\"200\"} 1"), "{metrics}");
    assert!(metrics.contains("webhook_events_duplicate"), "{metrics}");
    core.shutdown.cancel();
    core.task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_create_that_hung_after_it_was_applied_makes_one_invoice() {
    for path in ["/v1/customers", "/v1/invoices", "/v1/invoiceitems"] {
        let rig = Rig::new().await;
        let core = rig.start().await;
        rig.world.lock().unwrap().deal("7", "10", "closedwon", "2026-03-01T09:00:00.500Z");
        rig.world.lock().unwrap().faults.push((Method::POST, path, Fault::HangAfterApplying));
        rig.deliver(&core.url, &changed(1, 7), "hush").await;
        pass(60).await;
        let world = rig.world.lock().unwrap();
        assert_eq!((world.live().len(), world.customers.len()), (1, 1), "{path} {:?}", world.log);
        assert_eq!(world.live()[0]["amount_due"], 1000, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_saved_failure_is_looked_at_and_not_repeated_for_ever() {
    for path in ["/v1/customers", "/v1/invoices", "/v1/invoiceitems", "/v1/invoices/in_"] {
        let rig = Rig::new().await;
        let core = rig.start().await;
        rig.world.lock().unwrap().deal("7", "10", "closedwon", "2026-03-01T09:00:00.500Z");
        rig.world.lock().unwrap().faults.push((Method::POST, path, Fault::SavedFailure));
        rig.deliver(&core.url, &changed(1, 7), "hush").await;
        pass(60).await;
        let world = rig.world.lock().unwrap();
        assert_eq!((world.live().len(), world.customers.len()), (1, 1), "{path} {:?}", world.log);
        assert_eq!(world.live()[0]["amount_due"], 1000, "{path}");
        assert_eq!(world.live()[0]["status"], "open", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_step_is_resumed_without_a_second_invoice() {
    for path in ["/v1/customers", "/v1/invoices", "/v1/invoiceitems", "/v1/invoices/in_"] {
        let rig = Rig::new().await;
        let core = rig.start().await;
        rig.world.lock().unwrap().deal("7", "10", "closedwon", "2026-03-01T09:00:00.500Z");
        rig.world.lock().unwrap().faults.push((Method::POST, path, Fault::HangAfterApplying));
        assert_eq!(rig.deliver(&core.url, &changed(1, 7), "hush").await, 200);
        pass(2).await;
        core.task.abort();
        assert!(core.task.await.unwrap_err().is_cancelled());
        let before = rig.world.lock().unwrap().log.len();
        pass(30).await;
        assert_eq!(rig.world.lock().unwrap().log.len(), before, "something survived the kill");
        let _again = rig.start().await;
        pass(180).await;
        let world = rig.world.lock().unwrap();
        assert_eq!((world.live().len(), world.customers.len()), (1, 1), "{path} {:?}", world.log);
        assert_eq!(world.live()[0]["amount_due"], 1000, "{path}");
        assert_eq!(world.live()[0]["status"], "open", "{path}");
        assert_eq!(world.refreshes, 1, "the token was kept");
    }
}

#[tokio::test(start_paused = true)]
async fn an_amended_deal_is_invoiced_anew_and_a_deleted_one_is_voided() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", "2026-03-01T09:00:00.500Z");
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10.500Z");
    rig.deliver(&core.url, &changed(2, 7), "hush").await;
    pass(10).await;
    {
        let world = rig.world.lock().unwrap();
        assert_eq!(world.invoices.len(), 2);
        assert_eq!(world.live()[0]["amount_due"], 1200);
        assert_eq!(world.live()[0]["metadata"]["deal_revision"], "2");
    }
    rig.world.lock().unwrap().deals.clear();
    rig.deliver(&core.url, &changed(3, 7), "hush").await;
    pass(10).await;
    assert!(rig.world.lock().unwrap().live().is_empty());
}

#[tokio::test(start_paused = true)]
async fn state_older_than_what_was_applied_is_ignored() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", "2026-03-01T09:00:00Z");
    rig.deliver(&core.url, &changed(2, 7), "hush").await;
    pass(10).await;
    let world = rig.world.lock().unwrap();
    assert_eq!((world.invoices.len(), &world.invoices[0]["amount_due"]), (1, &json!(1200)));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_html_is_refused_kept_and_told() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    let html = Fault::Answer(200, "<html>maintenance</html>".into(), vec![]);
    rig.world.lock().unwrap().faults.push((Method::POST, "/v1/invoices", html));
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    let kept = get_text(&format!("{}/admin/quarantine", core.url)).await;
    assert!(kept.contains("maintenance"), "{kept}");
    assert_eq!(rig.world.lock().unwrap().alerts[0]["kind"], "quarantine");
    rig.deliver(&core.url, &changed(2, 7), "hush").await;
    pass(10).await;
    assert_eq!(rig.world.lock().unwrap().live()[0]["status"], "open");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_grant_is_told_at_once_and_asked_once() {
    let rig = Rig::new().await;
    rig.world.lock().unwrap().revoked = true;
    let core = rig.start().await;
    for event in 1..20 {
        assert_eq!(rig.deliver(&core.url, &changed(event, event), "hush").await, 200);
    }
    pass(3600).await;
    let world = rig.world.lock().unwrap();
    assert_eq!(world.count("POST", "/oauth/v1/token"), 1);
    assert_eq!(world.alerts[0]["kind"], "invalid_grant");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_refresh_token_opens_the_gate_without_a_restart() {
    let rig = Rig::new().await;
    rig.world.lock().unwrap().revoked = true;
    let file = rig.dir.path().join("refresh-token");
    std::fs::write(&file, "dead").unwrap();
    let mut config = rig.config();
    config.hubspot.refresh_token = integration_core::CredentialSource::File(file.clone());
    let core = rig.start_with(config).await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(120).await;
    rig.world.lock().unwrap().revoked = false;
    std::fs::write(&file, "alive").unwrap();
    pass(60).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_webhook_is_repaired_by_the_sync_and_a_lost_ledger_by_looking() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    pass(10).await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    pass(300).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 1);
    core.shutdown.cancel();
    core.task.await.unwrap().unwrap();
    for name in ["core.sqlite", "core.sqlite-wal", "core.sqlite-shm"] {
        let _ = std::fs::remove_file(rig.dir.path().join(name));
    }
    let _again = rig.start().await;
    pass(60).await;
    assert_eq!(rig.world.lock().unwrap().invoices.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_reconciliation_finds_an_invoice_that_somebody_voided() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    rig.world.lock().unwrap().invoices[0]["status"] = "void".into();
    pass(3700).await;
    let world = rig.world.lock().unwrap();
    assert_eq!(world.live().len(), 1);
    assert!(world.alerts.iter().any(|alert| alert["kind"] == "reconcile_mismatch"));
}

#[tokio::test(start_paused = true)]
async fn an_outage_opens_the_breaker_and_the_backlog_drains_after_it() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    pass(1).await;
    for id in 1..=10 {
        rig.world.lock().unwrap().deal(&id.to_string(), "12", "closedwon", "2026-03-01T09:00:10Z");
    }
    for _ in 0..12 {
        let down = Fault::Answer(503, String::new(), vec![]);
        rig.world.lock().unwrap().faults.push((Method::GET, "/v1/customers", down));
    }
    for id in 1..=10 {
        rig.deliver(&core.url, &changed(id, id), "hush").await;
    }
    pass(900).await;
    let world = rig.world.lock().unwrap();
    assert_eq!(world.live().len(), 10);
    assert!(world.alerts.iter().any(|alert| alert["kind"] == "breaker_open"), "{:?}", world.alerts);
}

#[tokio::test(start_paused = true)]
async fn one_malformed_event_does_not_fail_its_batch() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    let mut events = changed(1, 7);
    let all = events.as_array_mut().unwrap();
    all.insert(0, json!({"eventId": 2, "subscriptionType": "deal.propertyChange", "objectId": {"id": 9}}));
    all.insert(0, json!({"eventId": 3, "subscriptionType": "carrier_pigeon.landed", "objectId": 9}));
    assert_eq!(rig.deliver(&core.url, &events, "hush").await, 200);
    pass(10).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 1);
    let metrics = get_text(&format!("{}/metrics", core.url)).await;
    assert!(metrics.contains("integration_totals{kind=\"webhook_events_unknown\"} 1"), "{metrics}");
    assert!(metrics.contains("integration_quarantined 1"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_graceful_stop_finishes_what_is_in_flight() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    core.shutdown.cancel();
    core.task.await.unwrap().unwrap();
    let _again = rig.start().await;
    pass(10).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn defects_can_be_planted_by_policy() {
    let mut rig = Rig::new().await;
    rig.policies.writes.resume = Resume::TakeForDone;
    rig.policies.refresh.on_invalid_grant = OnInvalidGrant::HoldSilently;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    for _ in 0..5 {
        let down = Fault::Answer(503, String::new(), vec![]);
        rig.world.lock().unwrap().faults.push((Method::POST, "/v1/invoiceitems", down));
    }
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(3000).await;
    assert_eq!(rig.world.lock().unwrap().live()[0]["status"], "draft");
}

/// Run by hand: `cargo test --release -p integration-core -- --ignored --nocapture how_fast`.
#[tokio::test(start_paused = true)]
#[ignore = "a measurement"]
async fn how_fast() {
    let mut rig = Rig::new().await;
    rig.policies.drain.starts = None;
    rig.policies.limiter.hubspot = None;
    rig.policies.limiter.stripe = None;
    let core = rig.start().await;
    for id in 1..=1000 {
        rig.world.lock().unwrap().deal(&id.to_string(), "12", "closedwon", "2026-03-01T09:00:10Z");
    }
    #[allow(clippy::disallowed_methods, reason = "a measurement of the machine")]
    let start = std::time::Instant::now();
    for id in 1..=1000 {
        rig.deliver(&core.url, &changed(id, id), "hush").await;
    }
    pass(120).await;
    #[allow(clippy::disallowed_methods, reason = "a measurement of the machine")]
    let took = start.elapsed();
    let world = rig.world.lock().unwrap();
    let exchanges = world.log.len() + 1000;
    println!(
        "{} invoices, {exchanges} exchanges in {took:?}: {:.0}/s",
        world.live().len(),
        exchanges as f64 / took.as_secs_f64()
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_is_a_dead_letter_and_its_replay_keeps_the_key() {
    let rig = Rig::new().await;
    let core = rig.start().await;
    pass(1).await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    let refused =
        json!({"error": {"type": "invalid_request_error", "code": "parameter_invalid", "message": "no"}});
    let refused = Fault::Answer(400, refused.to_string(), vec![]);
    rig.world.lock().unwrap().faults.push((Method::POST, "/v1/invoices", refused));
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    let letters = get_text(&format!("{}/admin/dead-letters", core.url)).await;
    assert!(letters.contains("parameter_invalid"), "{letters}");
    assert_eq!(rig.world.lock().unwrap().alerts[0]["kind"], "dead_letter");
    let replay = rig.http.post(format!("{}/admin/dead-letters/replay", core.url)).send().await.unwrap();
    assert_eq!(replay.text().await.unwrap(), "{\"replayed\":1}");
    pass(10).await;
    let world = rig.world.lock().unwrap();
    let creates: Vec<_> = world.log.iter().filter(|(m, p, _)| m == "POST" && p == "/v1/invoices").collect();
    assert_eq!((creates.len(), world.live().len()), (2, 1));
    assert_eq!(creates[0].2, creates[1].2);
}

#[tokio::test(start_paused = true)]
async fn a_rotated_api_key_is_picked_up_without_a_restart() {
    let rig = Rig::new().await;
    let file = rig.dir.path().join("stripe-key");
    std::fs::write(&file, "sk_old").unwrap();
    let mut config = rig.config();
    config.stripe.api_key = integration_core::CredentialSource::File(file.clone());
    let core = rig.start_with(config).await;
    pass(1).await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
    for _ in 0..2 {
        let refused = Fault::Answer(401, "{\"error\":{\"type\":\"invalid_request_error\"}}".into(), vec![]);
        rig.world.lock().unwrap().faults.push((Method::GET, "/v1/customers", refused));
    }
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(60).await;
    assert_eq!(rig.world.lock().unwrap().count("GET", "/v1/customers"), 1, "one refusal is enough");
    assert_eq!(rig.world.lock().unwrap().alerts[0]["kind"], "unauthorized");
    rig.world.lock().unwrap().faults.clear();
    std::fs::write(&file, "sk_new").unwrap();
    pass(40).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 1);
}
