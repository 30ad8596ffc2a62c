//! How much memory a long recording takes: resident size of a process that serves 300,000 requests, and
//! what a request costs the server in CPU time, which a busy machine bends less than its rate.
//! Each server is measured in a process of its own, so that none inherits another's heap.

use std::process::Command;

use firedrill_benches::load::load;
use firedrill_benches::servers::{self, Keep, REQUEST};

const SERVERS: [&str; 7] = [
    "hyper",
    "firedrill-keep-10k",
    "firedrill-spill-1000",
    "firedrill-spill-10000",
    "firedrill-keep-all",
    "wiremock",
    "httpmock",
];
const STEPS: usize = 3;
const REQUESTS: usize = 100_032;

/// Measures the server called `name`, or all of them, with so many requests a step.
pub fn memory(name: Option<&str>, requests: Option<usize>) {
    if let Some(name) = name {
        return measure(name, requests.unwrap_or(REQUESTS));
    }
    let this = std::env::current_exe().expect("this program has a path");
    for name in SERVERS {
        let status = Command::new(&this).args(["memory", name]).status().expect("it can be started again");
        assert!(status.success(), "{name} failed");
    }
}

fn measure(name: &str, requests: usize) {
    let server = match name {
        "hyper" => servers::bare(),
        "wiremock" => servers::wiremock(),
        "httpmock" => crate::mocked::httpmock(),
        "firedrill-keep-all" => servers::firedrill(Keep::Whole, servers::stub),
        "firedrill-keep-10k" => servers::firedrill(Keep::Last(10_000), servers::stub),
        _ => {
            let kept = name.strip_prefix("firedrill-spill-").and_then(|n| n.parse().ok());
            let kept = kept.unwrap_or_else(|| panic!("{name} is not among {}", SERVERS.join(", ")));
            servers::firedrill(Keep::Spilled(kept), servers::stub)
        }
    };
    load(server.addr, 64, 6_400, REQUEST);
    print!("{name:<20} {:>7.1} MiB", resident());
    for step in 1..=STEPS {
        let before = serving();
        let took = load(server.addr, 64, requests, REQUEST);
        print!(
            "  after {:>3}k: {:>7.1} MiB ({:.0} requests/s, {:.2} µs CPU)",
            step * requests / 1_000,
            resident(),
            requests as f64 / took.as_secs_f64(),
            (serving() - before) / requests as f64 / 1_000.0
        );
    }
    println!();
}

/// Resident memory of this process in MiB; not a number where the system does not say.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok())
        .map_or(f64::NAN, |kb| kb / 1024.0)
}

/// CPU time in ns of all threads but the first, which asks; not a number where the system does not say.
fn serving() -> f64 {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return f64::NAN };
    let first = std::process::id().to_string();
    let others = threads.flatten().filter(|thread| *thread.file_name() != *first);
    let spent = |thread: std::fs::DirEntry| {
        let said = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        said.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN)
    };
    others.map(spent).sum()
}
