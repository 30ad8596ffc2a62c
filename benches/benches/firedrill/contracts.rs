//! What contracts cost: Stripe's own description of 5 MB is loaded, a validator compiled, answers
//! judged. Without the public data (`../shared/data`) it says so and measures nothing.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{BatchSize, Criterion};
use firedrill::contract::{Contract, Direction};
use firedrill::wire::Response;

const OPERATION: (&str, &str) = ("GET", "/v1/invoices/in_1");

fn data() -> Option<(Vec<u8>, serde_json::Value)> {
    let root = std::env::var_os("FIREDRILL_SHARED_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let description = std::fs::read(root.join("stripe/spec3-2023-09-12.json")).ok()?;
    let samples = std::fs::read(root.join("stripe/fixtures3-2023-09-12.json")).ok()?;
    let samples: serde_json::Value = serde_json::from_slice(&samples).ok()?;
    Some((description, samples["resources"]["invoice"].clone()))
}

/// Measures it.
pub fn contracts(c: &mut Criterion) {
    let Some((description, invoice)) = data() else {
        eprintln!("contract: skipped, since ../shared/data/stripe is absent");
        return;
    };
    let load = || Contract::parse("spec3.json".as_ref(), &description).expect("Stripe's description is read");
    let answer = Response::json(200, &invoice);
    let judge = |contract: &Contract| {
        let found = contract.find(OPERATION.0, OPERATION.1).expect("Stripe has invoices");
        contract.check_response(found.operation, &answer)
    };
    assert!(judge(&load()).breaking().next().is_none(), "Stripe's own sample is valid");

    let mut group = c.benchmark_group("contract");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
    group.bench_function("load", |b| b.iter(|| black_box(load())));
    group.bench_function("load-and-judge-one", |b| b.iter(|| black_box(judge(&load()))));
    let contract = load();
    judge(&contract);
    // Another schema each time, so that none is at hand.
    let schemas: Vec<String> = contract.raw()["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| format!("/components/schemas/{name}"))
        .collect();
    let mut next = schemas.iter().cycle();
    group.bench_function("compile", |b| {
        b.iter_batched(
            || next.next().expect("a circle has no end"),
            |at| contract.fits(at, Direction::Response, &serde_json::Value::Null),
            BatchSize::PerIteration,
        );
    });
    let fits = || contract.fits("/components/schemas/invoice", Direction::Response, &invoice);
    assert_eq!(fits(), Ok(true));
    group.bench_function("valid", |b| b.iter(|| black_box(fits())));
    let unasked = || contract.fits_unasked("/components/schemas/invoice", Direction::Response, &invoice);
    assert_eq!(unasked(), Ok(true));
    // Without the question what the judgement may cost: the difference is its price.
    group.bench_function("valid-unasked", |b| b.iter(|| black_box(unasked())));
    group.bench_function("judge-response", |b| b.iter(|| black_box(judge(&contract))));
    group.finish();
}
