//! httpmock, set up like the other servers. It stands here and not beside them, so that only who builds
//! the benchmarks builds it.

use firedrill_benches::servers::{ANSWER, Running, running};
use httpmock::{Method, MockServer};

/// httpmock with a stub on method and path. It serves from threads of its own, and keeps the last hundred
/// requests, as it does by default.
pub fn httpmock() -> Running {
    running(|ready, stopped| {
        let server = MockServer::start();
        server.mock(|when, then| {
            when.method(Method::GET).path("/v1/invoices/in_1NQfC2Fqk2XzVYcWnTzLdZQx");
            then.status(200).header("content-type", "application/json").body(ANSWER);
        });
        ready.send(*server.address()).expect("somebody waits");
        let _ = stopped.blocking_recv();
    })
}
