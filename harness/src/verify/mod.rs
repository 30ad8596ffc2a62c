//! Conformance: recorded or live exchanges held against a vendor's contract, and against what
//! earlier recordings showed.
//!
//! Knows: contracts, recordings, how what is found many times is said once. Must not know: files,
//! terminals, or where the exchanges come from.
//!
//! Three layers: the contract itself; fields and values that it does not know; and a baseline
//! learned from recordings, which sees what no schema forbids (an optional field that vanished).

pub mod accepted;
pub mod baseline;
mod change;
mod deviation;
mod paging;

use std::collections::BTreeSet;

use indexmap::IndexMap;
use jiff::civil::Date;

use baseline::Baseline;
pub use deviation::{Deviation, Sighting, Way};

use crate::contract::{Checked, Contract, NotFound, Part, Severity, Violation};
use crate::finding::Verdict;
use crate::fixture::{Body, Exchange, REDACTED, displayable, displayable_target};
use crate::wire::{Request, Response};

/// Exchanges with one vendor from one place.
#[derive(Clone, Debug)]
pub struct Source<'e> {
    /// The vendor.
    pub vendor: &'e str,
    /// The file they were read from, or the address they were had from.
    pub from: &'e str,
    /// The day they were recorded; none for live ones.
    pub recorded: Option<Date>,
    /// The exchanges, in order.
    pub exchanges: &'e [Exchange],
    /// The command that has them, or their like, judged again.
    pub again: &'e str,
}

impl Source<'_> {
    fn sighting(&self, exchange: usize) -> Sighting {
        let recorded = self.recorded.map(|day| day.to_string());
        Sighting { from: self.from.to_owned(), exchange, recorded }
    }
}

/// How many messages came to which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// The contract allows them.
    pub valid: u32,
    /// The contract forbids them.
    pub broken: u32,
    /// They could not be judged, or only in part.
    pub unknown: u32,
}

impl Counts {
    fn add(&mut self, checked: &Checked) {
        match checked.verdict() {
            Verdict::Pass => self.valid += 1,
            Verdict::Fail => self.broken += 1,
            Verdict::Unknown => self.unknown += 1,
        }
    }

    /// How many there were.
    pub fn all(&self) -> u32 {
        self.valid + self.broken + self.unknown
    }
}

/// What came of holding exchanges against a contract.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Exchanges looked at.
    pub exchanges: u32,
    /// Exchanges for which the contract has no operation.
    pub unlisted: u32,
    /// The requests of the others.
    pub requests: Counts,
    /// The responses of the others.
    pub responses: Counts,
    /// The answers that could be compared with a baseline.
    pub compared: u32,
    /// The operations that were looked at, by vendor.
    pub operations: BTreeSet<(String, String)>,
    /// What was found, each once, the worst first.
    pub deviations: Vec<Deviation>,
}

impl Report {
    /// The verdict: nothing judged, or something that could not be, is no pass.
    pub fn verdict(&self) -> Verdict {
        let worst = self.deviations.iter().filter(|d| !d.accepted).map(|d| d.severity).max();
        match worst {
            Some(Severity::Breaking) => Verdict::Fail,
            Some(Severity::Unknown) => Verdict::Unknown,
            _ if self.requests.all() + self.responses.all() + self.compared == 0 => Verdict::Unknown,
            _ => Verdict::Pass,
        }
    }

    /// Adds what another contract or layer had to say.
    pub fn merge(&mut self, other: Report) {
        self.exchanges += other.exchanges;
        self.unlisted += other.unlisted;
        self.compared += other.compared;
        self.operations.extend(other.operations);
        for (mine, theirs) in [(&mut self.requests, other.requests), (&mut self.responses, other.responses)] {
            mine.valid += theirs.valid;
            mine.broken += theirs.broken;
            mine.unknown += theirs.unknown;
        }
        self.deviations.extend(other.deviations);
        deviation::sort(&mut self.deviations);
    }
}

/// Holds exchanges against a contract.
pub fn verify(contract: &Contract, sources: &[Source<'_>]) -> Report {
    let mut report = Report::default();
    let label = label(contract);
    let mut found = Found {
        contract: (&label, contract.dated()),
        operations: BTreeSet::new(),
        deviations: IndexMap::new(),
    };
    for source in sources {
        for (number, exchange) in (1..).zip(source.exchanges) {
            report.exchanges += 1;
            let sighting = source.sighting(number);
            match contract.find(&exchange.request.method, &exchange.request.target) {
                Ok(operation) => {
                    let operation = operation.operation;
                    let mut asked = contract.check_request(operation, &request(exchange));
                    forgive_redacted(&mut asked);
                    let mut answered = contract.check_response(operation, &response(exchange));
                    forgive_redacted(&mut answered);
                    report.requests.add(&asked);
                    report.responses.add(&answered);
                    let name = operation.name();
                    found.operations.insert((source.vendor.to_owned(), name.clone()));
                    found.all(source, &sighting, Way::Request, &name, None, &asked);
                    found.all(
                        source,
                        &sighting,
                        Way::Response,
                        &name,
                        Some(exchange.response.status),
                        &answered,
                    );
                }
                Err(why) => {
                    report.unlisted += 1;
                    found.unlisted(source, &sighting, exchange, &why);
                }
            }
        }
    }
    report.deviations = found.deviations.into_values().collect();
    report.operations = found.operations;
    deviation::sort(&mut report.deviations);
    report
}

/// What a contract is called in findings: its file, the version it gives itself, and of which day it is.
fn label(contract: &Contract) -> String {
    let version = match contract.revision() {
        "" => String::new(),
        revision => format!("version {revision}, "),
    };
    let dated = contract.dated().map_or_else(|| "date unknown".to_owned(), |day| format!("dated {day}"));
    format!("{} ({version}{dated})", contract.file().display())
}

/// Holds exchanges of one vendor against what earlier recordings of the same answers showed; `again`
/// is the command that does so again, with all of them.
pub fn against(
    baseline: &Baseline,
    contract: Option<&Contract>,
    sources: &[Source<'_>],
    again: &str,
) -> Report {
    let learned = match &baseline.recorded {
        Some((from, to)) => format!("the baseline learned from recordings of {from} to {to}"),
        None => "the baseline".to_owned(),
    };
    let now = Baseline::learn(contract, sources);
    let mut report = Report { compared: baseline.judges(&now), ..Report::default() };
    let changes = baseline.compare(&now);
    if changes.is_empty() {
        return report;
    }
    let exchanges =
        || sources.iter().flat_map(|source| (1..).zip(source.exchanges).map(move |(n, e)| (source, n, e)));
    let samples: Vec<_> = exchanges()
        .filter_map(|(source, n, e)| Some((source, n, Baseline::of_one(contract, source.vendor, e)?)))
        .collect();
    for change in changes {
        let shows =
            samples.iter().filter(|(.., (answer, seen))| *answer == change.answer && change.shown_by(seen));
        let mut known: Option<Deviation> = None;
        for (source, number, _) in shows {
            let sighting = source.sighting(*number);
            match &mut known {
                Some(known) => known.seen_again(&sighting),
                None => {
                    let operation =
                        change.answer.strip_prefix(source.vendor).unwrap_or(&change.answer).trim();
                    let (operation, status) = operation.rsplit_once(' ').unwrap_or((operation, ""));
                    known = Some(Deviation::of(
                        source,
                        (&learned, None),
                        &sighting,
                        Way::Response,
                        operation,
                        status.parse().ok(),
                        None,
                        &change.violation,
                    ));
                }
            }
        }
        if let Some(mut deviation) = known {
            deviation.count = change.count;
            again.clone_into(&mut deviation.reproduce);
            report.deviations.push(deviation);
        }
    }
    deviation::sort(&mut report.deviations);
    report
}

struct Found<'c> {
    contract: (&'c str, Option<Date>),
    operations: BTreeSet<(String, String)>,
    deviations: IndexMap<String, Deviation>,
}

impl Found<'_> {
    fn all(
        &mut self,
        source: &Source<'_>,
        sighting: &Sighting,
        way: Way,
        operation: &str,
        status: Option<u16>,
        checked: &Checked,
    ) {
        for violation in &checked.violations {
            self.one(source, sighting, way, operation, status, checked.media.as_deref(), violation);
        }
    }

    fn unlisted(&mut self, source: &Source<'_>, sighting: &Sighting, exchange: &Exchange, why: &NotFound) {
        let path = exchange.request.target.split('?').next().unwrap_or_default();
        let name = format!("{} {}", exchange.request.method, displayable_target(path));
        self.operations.insert((source.vendor.to_owned(), name.clone()));
        let violation = Violation {
            rule: "contract/no_operation".to_owned(),
            severity: Severity::Unknown,
            part: Part::Line,
            pointer: String::new(),
            wild: String::new(),
            schema: "/paths".to_owned(),
            expected: "an operation of the contract".to_owned(),
            got: displayable(&why.to_string()),
            branch: None,
            moved: None,
        };
        self.one(source, sighting, Way::Request, &name, None, None, &violation);
    }

    #[expect(clippy::too_many_arguments, reason = "each is a column of the finding")]
    fn one(
        &mut self,
        source: &Source<'_>,
        sighting: &Sighting,
        way: Way,
        operation: &str,
        status: Option<u16>,
        media: Option<&str>,
        violation: &Violation,
    ) {
        let fresh = Deviation::of(source, self.contract, sighting, way, operation, status, media, violation);
        match self.deviations.get_mut(&fresh.id) {
            Some(known) => known.seen_again(sighting),
            None => {
                self.deviations.insert(fresh.id.clone(), fresh);
            }
        }
    }
}

/// A recorded value that was taken out says nothing about format, length or choice.
fn forgive_redacted(checked: &mut Checked) {
    let about_text = |rule: &str| {
        matches!(rule, "contract/format" | "contract/pattern" | "contract/length" | "contract/enum")
    };
    checked.violations.retain(|v| !(about_text(&v.rule) && v.got.contains(REDACTED)));
}

/// The request of a recorded exchange.
pub fn request(exchange: &Exchange) -> Request {
    Request {
        method: exchange.request.method.as_str().into(),
        target: exchange.request.target.clone(),
        headers: labelled(&exchange.request.headers, exchange.request.body.as_ref()),
        body: exchange.request.body.as_ref().map(Body::bytes).unwrap_or_default(),
    }
}

/// The response of a recorded exchange.
pub fn response(exchange: &Exchange) -> Response {
    Response {
        status: exchange.response.status,
        headers: labelled(&exchange.response.headers, exchange.response.body.as_ref()),
        body: exchange.response.body.as_ref().map(Body::bytes).unwrap_or_default(),
    }
}

/// Recorders leave header fields out; a body kept as JSON was JSON, and is no longer coded.
fn labelled(headers: &crate::wire::Headers, body: Option<&Body>) -> crate::wire::Headers {
    let mut headers = headers.clone();
    if let Some(Body::Json(_)) = body {
        if headers.get("content-type").is_none() {
            headers.set("content-type", "application/json");
        }
        headers.remove("content-encoding");
    }
    headers
}

#[cfg(test)]
mod tests;
