//! The JSON log at its usual level: what belongs together shares an id, and a failed attempt names the vendor's.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use common::{Fault, Rig, changed};
use serde_json::{Value, json};
use tracing::Level;

/// Where the lines of this thread go.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    /// As the binary writes it.
    fn start(&self) -> tracing::subscriber::DefaultGuard {
        let paper = self.clone();
        let writer = tracing_subscriber::fmt().json().with_max_level(Level::INFO);
        tracing::subscriber::set_default(writer.with_writer(move || paper.clone()).finish())
    }

    /// The lines with this message.
    fn lines(&self, message: &str) -> Vec<Value> {
        self.all().into_iter().filter(|line| line["fields"]["message"] == message).collect()
    }

    fn all(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn the_lines_of_a_job_share_an_id_and_a_failed_attempt_names_the_vendors_own() {
    let paper = Paper::default();
    let _written = paper.start();
    let rig = Rig::new().await;
    let core = rig.start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let refused = json!({"error": {"code": "parameter_invalid", "message": "no"}}).to_string();
    {
        let mut world = rig.world.lock().unwrap();
        world.deal("7", "12", "closedwon", "2026-03-01T09:00:10Z");
        let id = |name, value: &str| vec![(name, value.to_owned())];
        let busy = Fault::Answer(503, String::new(), id("x-hubspot-correlation-id", "4f1c-77"));
        world.faults.push((Method::GET, "/crm/v3/objects/deals/7", busy));
        let refused = Fault::Answer(400, refused, id("request-id", "req_k2"));
        world.faults.push((Method::POST, "/v1/invoices", refused));
    }
    rig.deliver(&core.url, &changed(1, 7), "hush").await;
    tokio::time::sleep(Duration::from_secs(10)).await;

    let failed = paper.lines("attempt failed");
    let ids: Vec<_> = failed.iter().map(|line| line["fields"]["vendor_request_id"].clone()).collect();
    assert_eq!(ids, ["4f1c-77", "req_k2"]);
    let run = &failed[0]["span"]["run"];
    assert!(run.is_string(), "{}", failed[0]);
    let alerts: Vec<_> = paper.all().into_iter().filter(|line| line["fields"]["alert"].is_string()).collect();
    assert_eq!((failed.len(), alerts.len()), (2, 1));
    for line in failed.iter().chain(&alerts).chain(&paper.lines("job not done")) {
        assert_eq!(line["span"], json!({"name": "job", "run": run, "deal": "7"}), "{line}");
    }
    let answered = paper.lines("webhook answered");
    assert_eq!(answered[0]["fields"]["status"], 200);
    assert_eq!(answered[0]["span"]["name"], "delivery");
    assert_ne!(&answered[0]["span"]["run"], run, "two runs of one process differ");
}

#[tokio::test(start_paused = true)]
async fn a_refused_delivery_and_a_failed_sync_have_ids_of_their_own() {
    let paper = Paper::default();
    let _written = paper.start();
    let rig = Rig::new().await;
    let down = || Fault::Answer(503, String::new(), vec![]);
    rig.world
        .lock()
        .unwrap()
        .faults
        .extend(std::iter::repeat_with(|| (Method::POST, "/crm/v3/objects/deals/search", down())).take(5));
    let core = rig.start().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.deliver(&core.url, &changed(1, 7), "wrong").await, 401);
    let refused = paper.lines("webhook refused");
    assert_eq!(refused[0]["span"]["name"], "delivery");
    let failed = paper.lines("not completed");
    assert_eq!(failed[0]["span"]["name"], "sync");
    assert!(failed[0]["span"]["run"].is_string() && refused[0]["span"]["run"] != failed[0]["span"]["run"]);
    assert_eq!(paper.lines("attempt failed")[0]["span"], failed[0]["span"]);
}
