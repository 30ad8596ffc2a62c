//! Drills a second: the bundled core in the virtual world, with SQLite, trace and checks at work.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use firedrill_benches::drills::{exchanges, ordinary, run};

/// So many seeds are gone through, round and round: each is a drill of its own.
const SEEDS: u64 = 8;

/// Measures it.
pub fn drills(c: &mut Criterion) {
    let plan = ordinary(20);
    let all: u64 = (1..=SEEDS).map(|seed| exchanges(&run(&plan, seed).trace)).sum();
    let mut group = c.benchmark_group("drills");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(5));
    for threads in [1u64, 2] {
        // One iteration is a drill under each seed on each thread.
        let seeds = move |thread: u64| (1..=SEEDS).map(move |n| thread * SEEDS + n);
        let total: u64 = if threads == 1 {
            all
        } else {
            (0..threads).flat_map(seeds).map(|seed| exchanges(&run(&plan, seed).trace)).sum()
        };
        eprintln!("{} drills of {} exchanges on average", SEEDS * threads, total / (SEEDS * threads));
        group.throughput(Throughput::Elements(total));
        group.bench_function(format!("exchanges/{threads}-thread"), |b| {
            b.iter(|| {
                std::thread::scope(|scope| {
                    for thread in 0..threads {
                        let plan = &plan;
                        scope.spawn(move || seeds(thread).for_each(|seed| drop(black_box(run(plan, seed)))));
                    }
                });
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("one", |b| b.iter(|| black_box(run(&plan, 1)).trace.events.len()));
    group.finish();
}
