//! What it costs to read drills and vendor files: paid once a run, before the first drill.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use firedrill::{casting, plan, vendor::VendorFile};
use firedrill_benches::drills::folder;

/// Measures it.
pub fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("reading");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.bench_function("stripe", |b| {
        b.iter(|| VendorFile::load("stripe", None, &serde_json::Value::Null).map_err(|m| m.to_string()));
    });
    let (scenarios, contracts) = (folder("scenarios"), folder("contracts"));
    let all = || {
        plan::load(std::slice::from_ref(&scenarios), &|vendor| casting::facts(vendor, &contracts).map(Some))
            .unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
    };
    group.throughput(Throughput::Elements(all().len() as u64));
    group.bench_function("all-scenarios", |b| b.iter(|| black_box(all())));
    group.finish();
}
