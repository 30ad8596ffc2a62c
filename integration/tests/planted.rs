//! That defects can be planted by policy alone, a few of each kind, and that they show.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

mod common;

use std::time::Duration;

use axum::http::Method;
use common::{Fault, Rig, changed};
use integration_core::policy::{
    Acknowledge, Completion, DealSource, EventIdentity, InUse, KeyScope, MoneyError, MoneyRule, Order,
    Rotation, SignatureCheck, Unchanged,
};
use serde_json::json;

const WON: &str = "2026-03-01T09:00:00.500Z";

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn down() -> Fault {
    Fault::Answer(503, String::new(), vec![])
}

#[tokio::test(start_paused = true)]
async fn a_key_per_attempt_makes_two_invoices() {
    let mut rig = Rig::new().await;
    rig.policies.writes.scope = KeyScope::PerAttempt;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", WON);
    rig.world.lock().unwrap().faults.push((Method::POST, "/v1/invoices", Fault::HangAfterApplying));
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(60).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_key_on_409_is_a_second_key() {
    let mut rig = Rig::new().await;
    rig.policies.writes.in_use = InUse::FreshKey;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", WON);
    let busy = json!({"error": {"type": "invalid_request_error", "code": "idempotency_key_in_use"}});
    let busy = Fault::Answer(409, busy.to_string(), vec![]);
    rig.world.lock().unwrap().faults.push((Method::POST, "/v1/invoices", busy));
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(60).await;
    let world = rig.world.lock().unwrap();
    let keys: Vec<_> = world.log.iter().filter(|(m, p, _)| m == "POST" && p == "/v1/invoices").collect();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0].2, keys[1].2);
}

#[tokio::test(start_paused = true)]
async fn no_signature_check_believes_anyone() {
    let mut rig = Rig::new().await;
    rig.policies.signature.check = SignatureCheck::Off;
    let core = rig.start().await;
    assert_eq!(rig.deliver(&core.url, &changed(1, 7), "wrong").await, 200);
}

#[tokio::test(start_paused = true)]
async fn acknowledged_before_stored_is_lost_by_a_kill() {
    let mut rig = Rig::new().await;
    rig.policies.intake.acknowledge = Acknowledge::BeforeStoring;
    rig.policies.sync.enabled = false;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", WON);
    assert_eq!(rig.deliver(&core.url, &changed(1, 7), "hush").await, 200);
    core.task.abort();
    let _again = rig.start().await;
    pass(600).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_taken_off_when_claimed_is_lost_when_it_fails() {
    let mut rig = Rig::new().await;
    rig.policies.queue.completion = Completion::WhenClaimed;
    rig.policies.sync.enabled = false;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", WON);
    for _ in 0..5 {
        rig.world.lock().unwrap().faults.push((Method::GET, "/v1/customers", down()));
    }
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(1800).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_is_processed_twice_without_dedup() {
    let mut rig = Rig::new().await;
    rig.policies.dedup.identity = EventIdentity::None;
    rig.policies.sync.enabled = false;
    rig.policies.writes.unchanged = Unchanged::WriteAgain;
    rig.policies.writes.look_first = false;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", WON);
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    assert_eq!(rig.world.lock().unwrap().live().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_older_event_wins_when_payloads_are_believed() {
    let mut rig = Rig::new().await;
    rig.policies.freshness.source = DealSource::EventPayload;
    rig.policies.freshness.order = Order::Arrival;
    rig.policies.sync.enabled = false;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "12", "closedwon", WON);
    let mut late = changed(1, 7);
    late[0]["propertyName"] = "amount".into();
    late[0]["propertyValue"] = "10".into();
    rig.deliver(&core.url, &late, "hush").await;
    pass(10).await;
    assert_eq!(rig.world.lock().unwrap().live()[0]["amount_due"], 1000);
}

struct Floats;

impl MoneyRule for Floats {
    fn minor_units(&self, amount: &str, _currency: &str) -> Result<i64, MoneyError> {
        Ok((amount.parse::<f64>().unwrap_or(0.0) * 100.0) as i64)
    }
}

#[tokio::test(start_paused = true)]
async fn floats_lose_a_cent() {
    let mut rig = Rig::new().await;
    rig.policies.money = std::sync::Arc::new(Floats);
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "1.15", "closedwon", WON);
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    assert_eq!(rig.world.lock().unwrap().live()[0]["amount_due"], 114);
}

#[tokio::test(start_paused = true)]
async fn validation_off_writes_garbage() {
    let mut rig = Rig::new().await;
    rig.policies.validation.strict = false;
    let core = rig.start().await;
    rig.world.lock().unwrap().deal("7", "10", "closedwon", WON);
    rig.world.lock().unwrap().deals.get_mut("7").unwrap()["properties"]["amount"] = json!({"value": "10"});
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    pass(10).await;
    assert_eq!(rig.world.lock().unwrap().live()[0]["amount_due"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_kept_in_memory_is_asked_for_again_after_a_restart() {
    let mut rig = Rig::new().await;
    rig.policies.refresh.rotation = Rotation::MemoryOnly;
    let core = rig.start().await;
    pass(5).await;
    core.task.abort();
    let _again = rig.start().await;
    pass(5).await;
    assert_eq!(rig.world.lock().unwrap().refreshes, 2);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_makes_the_same_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let rig = Rig::new().await;
        let core = rig.start().await;
        for id in 1..=5 {
            rig.world.lock().unwrap().deal(&id.to_string(), "10", "closedwon", WON);
            rig.world.lock().unwrap().faults.push((Method::GET, "/v1/customers", down()));
            rig.deliver(&core.url, &changed(id, id), "hush").await;
        }
        pass(600).await;
        runs.push(rig.world.lock().unwrap().log.clone());
    }
    assert_eq!(runs[0], runs[1]);
}
