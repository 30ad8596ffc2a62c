//! A vendor: requests a second of its model alone, and on a socket with recording on, beside
//! wiremock, httpmock and a bare hyper server with the same answer.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use firedrill::time::{At, Span};
use firedrill_benches::load::{load, load_http2};
use firedrill_benches::servers::{self, Keep, REQUEST, Running};

/// Keep-alive connections of the load.
const CONNECTIONS: usize = 64;
/// The same load over HTTP/2: connections, and exchanges at once on each.
const STREAMS: (usize, usize) = (8, CONNECTIONS / 8);
/// Requests of an iteration: enough for each connection to be used many times.
const REQUESTS: usize = 6_400;

fn brief(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
}

/// The model alone.
pub fn model(c: &mut Criterion) {
    let mut group = c.benchmark_group("model");
    brief(&mut group);
    group.throughput(Throughput::Elements(1));
    group.bench_function("read", |b| {
        let mut stripe = servers::stripe();
        let read = servers::customer(&mut *stripe);
        b.iter(|| black_box(stripe.step(At(1), &read, Span::ZERO)));
    });
    group.bench_function("create", |b| {
        let mut stripe = servers::stripe();
        let key = stripe.credentials().remove("api_key").expect("Stripe hands over a key");
        let mut n = 0;
        b.iter(|| {
            n += 1;
            // Keys are forgotten after a day: at this pace there are some 86,400 of them.
            black_box(stripe.step(At(n * 1_000_000), &servers::create(&key, n), Span::ZERO))
        });
    });
    group.finish();
}

/// On a socket.
pub fn socket(c: &mut Criterion) {
    let mut group = c.benchmark_group("socket");
    brief(&mut group);
    group.throughput(Throughput::Elements(REQUESTS as u64));
    let mut measure = |name: &str, start: &dyn Fn() -> Running| {
        group.bench_function(name, |b| {
            let server = start();
            b.iter_custom(|times| {
                (0..times).map(|_| load(server.addr, CONNECTIONS, REQUESTS, REQUEST)).sum()
            });
        });
    };
    measure("hyper", &servers::bare);
    measure("firedrill-stub-keep-10k", &|| servers::firedrill(Keep::Last(10_000), servers::stub));
    measure("firedrill-stub-keep-all", &|| servers::firedrill(Keep::Whole, servers::stub));
    measure("wiremock", &servers::wiremock);
    measure("httpmock", &crate::mocked::httpmock);
    let mut measure = |name: &str, start: &dyn Fn() -> Running| {
        group.bench_function(name, |b| {
            let server = start();
            let request = servers::request(server.addr);
            b.iter_custom(|times| {
                (0..times).map(|_| load_http2(server.addr, STREAMS.0, STREAMS.1, REQUESTS, &request)).sum()
            });
        });
    };
    measure("http2-hyper", &servers::bare_http2);
    measure("http2-firedrill-stub-keep-10k", &|| servers::firedrill(Keep::Last(10_000), servers::stub));
    measure("http2-firedrill-stub-keep-all", &|| servers::firedrill(Keep::Whole, servers::stub));
    group.finish();
}
