//! Cells a second of the drift sweep: each a drill of its own, graded against the undisturbed run.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use firedrill::drill::{self, DrillError, Drilled, Judge, Script};
use firedrill::scenario::Scenario;
use firedrill::seed::Seed;
use firedrill::subject::bundled::Bundled;
use firedrill::sweep::Sweep;
use firedrill_benches::drills::swept;

/// One cell of so many is run in each iteration: a sample of all operations.
const ONE_OF: usize = 60;

/// Measures it.
pub fn sweep(c: &mut Criterion) {
    let plan = swept();
    let play = |scenario: &Scenario, most_calls: u32, judge: Judge<'_>| -> Result<Drilled, DrillError> {
        drill::run_script(&plan, &Script { scenario, most_calls }, Seed(1), &Bundled::sound(), judge)
    };
    let sweep = Sweep::prepare(&plan.scenario, &[], &play).unwrap_or_else(|e| panic!("{e}"));
    let all = sweep.cells();
    let sample: Vec<_> = all.iter().step_by(ONE_OF).collect();
    eprintln!("{} cells in all, {} in the sample", all.len(), sample.len());
    let mut group = c.benchmark_group("sweep");
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(8));
    group.throughput(Throughput::Elements(sample.len() as u64));
    group.bench_function("cells", |b| {
        b.iter(|| {
            for cell in &sample {
                let graded = sweep.run(black_box(cell), &play);
                assert!(!graded.grade.is_bad(), "{} {}: {}", cell.on, cell.mutation, graded.why);
            }
        });
    });
    group.finish();
}
