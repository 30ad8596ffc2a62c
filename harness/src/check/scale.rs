//! What judging costs: it must grow with the trace, not with its square.

use rand::RngExt;
use serde_json::json;

use super::testing::*;
use crate::fault::ErrorKind;
use crate::scenario::Scenario;
use crate::seed::Seed;
use crate::trace::ChangeKind::{Created, Given};
use crate::trace::{Trace, What};

fn everything() -> Scenario {
    scenario(
        "agree: { from: crm.deals, where: 'deal.won', to: billing.invoices, key: invoice.deal }\n  \
         converges: { within: 10m }\n  backoff: { base: 1s, cap: 8s, attempts: 6, rest: 60s }\n  \
         retry_after: { obeyed_up_to: 2m, never_idle_longer_than: 1h }\n  quota: { slow_at: 20%, rejections: 9999999 }\n  \
         breaker: { opens_after: 5, open_for: 30s, recovers_within: 1m }\n  \
         auth: { proactive: true, calls_after_refusal: 1 }\n  webhook: { ack_within: 1s, durable: true }\n  \
         load: { amplification: 9, catch_up: 999, concurrent: 9 }\n  timeout: { overall: 30s }",
    )
}

/// `n` deals, each with an event, a delivery, a read, a limited and a good create, and a log line.
fn busy(n: u64) -> Trace {
    let mut rng = Seed(3).stream("scale");
    let mut b = drill().ends(7_200_000 + n * 100);
    for i in 0..n {
        let (at, id, event) = (i * 100, format!("deal-{i}"), format!("event-{i}"));
        let wait = (rng.random::<f64>() * 1_000.0) as u64;
        let create = |at| call("billing", "POST /invoices", at).key(&id).body(&format!("deal={id}"));
        b = b
            .change(at, "crm.deals", Given, json!({ "id": id, "won": true }), None)
            .emitted(at, &event, &id)
            .delivery(at + 1, &[&event], 200, 2)
            .call(
                call("crm", &format!("GET /deals/{id}"), at + 3)
                    .header("authorization", &format!("Bearer token-{}", i / 10))
                    .quota(100 - i % 90, 100, at + 5_000),
            )
            .call(create(at + 20).error(503, ErrorKind::Unavailable))
            .call(create(at + 30 + wait))
            .change(
                at + 40 + wait,
                "billing.invoices",
                Created,
                json!({ "id": format!("in-{i}"), "deal": id }),
                None,
            )
            .event(at + 50, What::Log { level: "info".into(), line: format!("deal {id} invoiced, token=…") });
    }
    b.build()
}

/// Nanoseconds that this thread has spent on a processor, where the system counts them (proc(5)): a
/// clock on the wall would also count those that it spent waiting for one.
fn spent() -> Option<f64> {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    counted.split(' ').next()?.parse().ok()
}

#[test]
fn judging_grows_with_the_trace_and_not_with_its_square() {
    let scenario = everything();
    let cost = |n: u64| {
        let trace = busy(n);
        let once = || {
            let before = spent()?;
            let judged = super::judge(&scenario, &profiles(), &trace);
            assert_eq!(judged.len(), 12, "{:?}", judged.iter().map(|j| &j.check).collect::<Vec<_>>());
            Some(spent()? - before)
        };
        Some(once()?.min(once()?))
    };
    let Some((small, large)) = cost(1_000).zip(cost(8_000)) else {
        eprintln!("skipped: this system does not say what a thread has cost");
        return;
    };
    assert!(large / small < 24.0, "1,000 deals cost {small} ns, 8,000 cost {large} ns");
}

#[test]
fn the_same_trace_gets_the_same_judgement() {
    let (scenario, trace) = (everything(), busy(200));
    assert_eq!(super::judge(&scenario, &profiles(), &trace), super::judge(&scenario, &profiles(), &trace));
}
