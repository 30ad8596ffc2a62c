//! The operations of the control API: one table, by which requests are routed and from which the
//! description is made.
//!
//! Knows: methods, paths, and what each takes and gives. Must not know: how any is carried out.

use crate::fault::path_matches;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    Describe,
    Overview,
    Aim,
    Unaim,
    Time,
    Advance,
    Faults,
    Arm,
    DisarmAll,
    Disarm,
    Act,
    Emit,
    Ledgers,
    Records,
    Trace,
    Reset,
}

/// How an operation is called and described.
#[derive(Debug)]
pub(super) struct Route {
    pub deed: Deed,
    pub method: &'static str,
    pub path: &'static str,
    pub id: &'static str,
    pub summary: &'static str,
    /// More about it; may be empty.
    pub about: &'static str,
    /// The type of its body, and an example.
    pub takes: Option<(&'static str, &'static str)>,
    /// The status of its success, and the type of its answer.
    pub gives: (u16, Option<&'static str>),
    /// The statuses of its refusals.
    pub refuses: &'static [u16],
}

macro_rules! route {
    ($deed:ident, $method:literal $path:literal, $id:literal, $summary:literal, $about:literal,
     takes $takes:expr, gives $status:literal $gives:expr, refuses $refuses:expr) => {
        Route {
            deed: Deed::$deed,
            method: $method,
            path: $path,
            id: $id,
            summary: $summary,
            about: $about,
            takes: $takes,
            gives: ($status, $gives),
            refuses: $refuses,
        }
    };
}

/// All operations.
pub(super) const ROUTES: [Route; 16] = [
    route!(Describe, "GET" "/openapi.json", "describe", "This description", "",
        takes None, gives 200 Some("Description"), refuses &[]),
    route!(Overview, "GET" "/vendors", "vendors", "What is served, and where",
        "URLs and credentials of each vendor: the line that `firedrill serve --format json` begins with.",
        takes None, gives 200 Some("Overview"), refuses &[]),
    route!(Aim, "PUT" "/vendors/{alias}/webhooks", "aim", "Say where a vendor's webhooks go",
        "Deliveries that wait for another try go there too.",
        takes Some(("Target", r#"{"url":"http://127.0.0.1:3000/hooks/stripe"}"#)),
        gives 200 Some("Target"), refuses &[400, 404]),
    route!(Unaim, "DELETE" "/vendors/{alias}/webhooks", "unaim", "Let a vendor's webhooks go nowhere", "",
        takes None, gives 204 None, refuses &[404]),
    route!(Time, "GET" "/time", "time", "The vendors' time", "",
        takes None, gives 200 Some("Time"), refuses &[]),
    route!(Advance, "POST" "/time/advance", "advance", "Put the vendors' time forward",
        "Tokens expire, limits and windows pass, and what becomes due on the way (redeliveries, events that a \
         rule holds back) is sent in its order, each at its own time. Time never goes back.",
        takes Some(("Advance", r#"{"by":"1h30m"}"#)), gives 200 Some("Time"), refuses &[400]),
    route!(Faults, "GET" "/faults", "faults", "The fault rules that are armed", "",
        takes None, gives 200 Some("Faults"), refuses &[]),
    route!(Arm, "POST" "/faults", "arm", "Arm fault rules",
        "One rule or a list of them, as under `faults:` in a drill, in JSON or YAML. They are tried after those \
         that are armed already; windows count from now.",
        takes Some(("Rules",
            r#"{"on":"billing POST /v1/invoices","calls":"1","do":{"reset":"after_applied"}}"#)),
        gives 201 Some("Faults"), refuses &[400]),
    route!(DisarmAll, "DELETE" "/faults", "disarmAll", "Disarm all fault rules", "",
        takes None, gives 204 None, refuses &[]),
    route!(Disarm, "DELETE" "/faults/{id}", "disarm", "Disarm one fault rule", "",
        takes None, gives 204 None, refuses &[404]),
    route!(Act, "POST" "/actions", "act", "Make something happen at a vendor",
        "One step or a list of them, as under `workload:` in a drill but without `at`, `every`, `times` and \
         `when`: it is done at once. Without `where`, each record of the collection has its turn.",
        takes Some(("Steps", r#"{"do":"crm.deals.close","each":2}"#)),
        gives 200 Some("Done"), refuses &[400]),
    route!(Emit, "POST" "/webhooks", "emit", "Send a webhook about something that did not happen",
        "Signed, gathered, retried and disturbed by rules as any other.",
        takes Some(("Emit", r#"{"vendor":"billing","event":"customer.updated","record":"cus_1"}"#)),
        gives 202 Some("Emitted"), refuses &[400, 404]),
    route!(Ledgers, "GET" "/ledgers", "ledgers", "How many records there are", "",
        takes None, gives 200 Some("Ledgers"), refuses &[]),
    route!(Records, "GET" "/ledgers/{alias}/{collection}", "records", "The records of a collection", "",
        takes None, gives 200 Some("Records"), refuses &[404]),
    route!(Trace, "GET" "/trace", "trace", "What happened",
        "In order, a part at a time. Filters narrow it; `next` goes on where a part ended.",
        takes None, gives 200 Some("Page"), refuses &[400]),
    route!(Reset, "POST" "/reset", "reset", "Begin anew",
        "Vendors hold and know what they did at the start, with the same credentials; rules and targets of \
         webhooks are those of the start; the trace is empty. Time goes on.",
        takes None, gives 200 Some("Overview"), refuses &[]),
];

/// The operation that a request asks for; else the methods that its path has, if it has any.
pub(super) fn find(method: &str, path: &str) -> Result<&'static Route, Vec<&'static str>> {
    let fits = |r: &&Route| path_matches(r.path, path);
    let called = ROUTES.iter().filter(fits).find(|r| r.method == method);
    called.ok_or_else(|| ROUTES.iter().filter(fits).map(|r| r.method).collect())
}

/// The segment of `path` that stands for `{name}` in the route's.
pub(super) fn segment<'p>(route: &Route, path: &'p str, name: &str) -> &'p str {
    let wanted = format!("{{{name}}}");
    let at = route.path.split('/').position(|s| s == wanted);
    at.and_then(|at| path.split('/').nth(at)).unwrap_or_default()
}
