//! What judging costs by the length of the trace. It must be linear: the time per exchange stays.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use firedrill::check;
use firedrill::drill::EPOCH;
use firedrill::seed::Seed;
use firedrill::vendor::Profile;
use firedrill_benches::drills::{exchanges, ordinary, run};

/// Measures it.
pub fn checks(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    for deals in [15, 150, 1_500] {
        let plan = ordinary(deals);
        let trace = run(&plan, 1).trace;
        let profiles: BTreeMap<String, Profile> = plan
            .vendors
            .iter()
            .map(|(alias, open)| (alias.clone(), open(EPOCH, Seed(1)).profile().clone()))
            .collect();
        let length = exchanges(&trace);
        group.throughput(Throughput::Elements(length));
        group.bench_with_input(
            BenchmarkId::from_parameter(format!("{length}-exchanges")),
            &trace,
            |b, trace| {
                b.iter(|| black_box(check::judge(&plan.scenario, &profiles, trace)));
            },
        );
    }
    group.finish();
}
