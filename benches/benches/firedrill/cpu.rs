//! What an exchange costs in CPU time: exact where the machine is shared and the wall clock lies.
//! Drills are set beside the least that the virtual world could cost: a plain reqwest client and a
//! bare hyper server on one paused runtime.

use firedrill_benches::drills::{exchanges, ordinary, run};
use firedrill_benches::least;

/// Clock ticks a second in which Linux counts CPU time (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Measures `drills` drills, or 200, on one thread and on two.
pub fn cpu(drills: Option<u64>) {
    let drills = drills.unwrap_or(200);
    let plan = ordinary(20);
    // Whatever is made once a process is made here.
    run(&plan, 0);
    measure("ceiling", || least::exchanges(20_000));
    measure("drills, 1 thread", || (1..=drills).map(|seed| exchanges(&run(&plan, seed).trace)).sum());
    measure("drills, 2 threads", || {
        let half = |from: u64| (0..drills / 2).map(move |n| from + 2 * n);
        std::thread::scope(|scope| {
            let threads: Vec<_> = [1, 2]
                .map(|from| {
                    let plan = &plan;
                    scope.spawn(move || half(from).map(|seed| exchanges(&run(plan, seed).trace)).sum::<u64>())
                })
                .into();
            threads.into_iter().map(|thread| thread.join().expect("drills pass")).sum()
        })
    });
}

#[allow(clippy::disallowed_methods, reason = "a benchmark measures the machine's own time")]
fn measure(name: &str, work: impl FnOnce() -> u64) {
    let (before, started) = (spent(), std::time::Instant::now());
    let done = work() as f64;
    let (after, took) = (spent(), started.elapsed().as_secs_f64());
    let (user, system) = (after.0 - before.0, after.1 - before.1);
    println!(
        "{name:<18} {done:>7.0} exchanges  {:>6.1} µs user  {:>6.1} µs system  {:>7.0} per CPU second  {:>7.0}/s",
        user / done * 1e6,
        system / done * 1e6,
        done / (user + system),
        done / took
    );
}

/// CPU seconds of this process so far, as user and as system; not numbers where the system does not say.
fn spent() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field, the name in parentheses, may hold blanks; utime and stime are the 14th and 15th.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut ticks = rest.split_whitespace().skip(11).map(|t| t.parse::<f64>().unwrap_or(f64::NAN) / TICKS);
    (ticks.next().unwrap_or(f64::NAN), ticks.next().unwrap_or(f64::NAN))
}
