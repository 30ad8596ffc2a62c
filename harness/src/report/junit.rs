//! The report that CI systems read: JUnit XML, as GitHub, GitLab and Jenkins take it.
//!
//! Knows: which verdict is which kind of test result there. Must not know: terminals, or files.
//!
//! A family is a test suite, a drill is a test case. JUnit has no word for a drill that could not
//! be judged: it is an `error`, so that no dashboard shows it as passed. One that was not put to the
//! subject is `skipped`.

use std::collections::BTreeMap;
use std::io;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestRerun, TestSuite};

use super::{Ran, terminal};
use crate::drill::DrillError;
use crate::finding::{Finding, Verdict};
use crate::plan::Loaded;
use crate::seed::Seed;

/// Results so far, by family.
pub struct Suites {
    families: BTreeMap<String, Vec<TestCase>>,
    /// Whether drills are run under several seeds, so that a name needs its seed.
    many_seeds: bool,
}

impl Suites {
    /// No results yet.
    pub fn new(many_seeds: bool) -> Suites {
        Suites { families: BTreeMap::new(), many_seeds }
    }

    /// Takes in a drill that was run.
    pub fn drill(&mut self, ran: &Ran<'_>) {
        let mut status = match ran.drilled.verdict {
            Verdict::Pass => TestCaseStatus::success(),
            Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Verdict::Unknown => TestCaseStatus::non_success(NonSuccessKind::Error),
        };
        if let Some(finding) = worst(ran) {
            status.set_type(finding.rule.to_string());
            status.set_message(format!("{} (expected {})", finding.message, finding.expected));
        } else if ran.drilled.verdict != Verdict::Pass {
            status.set_type(ran.drilled.verdict.to_string());
        }
        if ran.drilled.verdict != Verdict::Pass {
            status.set_description(plain(&terminal::why(ran, false)));
        }
        for _ in 0..ran.failed_before {
            status.add_rerun(TestRerun::new(NonSuccessKind::Failure));
        }
        let mut case = self.case(ran.loaded, ran.seed, &ran.replay, status);
        if let Some(real) = ran.real {
            case.set_time(real);
        }
        case.set_assertions(ran.drilled.judgements.len());
        let spanned = ran.spanned().to_string();
        match &ran.drilled.trace.head.real {
            None => {
                case.add_property(("virtual_time", spanned.as_str()));
            }
            Some(real) => {
                case.add_property(("real_time", spanned.as_str()));
                case.add_property(("scale", real.scale.to_string().as_str()));
                case.add_property(("noise", real.noise.to_string().as_str()));
            }
        }
        case.add_property(("exchanges", ran.exchanges().to_string().as_str()));
        self.families.entry(ran.loaded.family()).or_default().push(case);
    }

    /// Takes in a drill that gave no verdict.
    pub fn no_verdict(&mut self, loaded: &Loaded, seed: Seed, error: &DrillError, replay: &str) {
        let mut status = match error {
            DrillError::Skipped(_) => TestCaseStatus::skipped(),
            _ => TestCaseStatus::non_success(NonSuccessKind::Error),
        };
        match error {
            DrillError::Skipped(_) => {}
            DrillError::Scenario(_) => {
                status.set_type("refused");
            }
            _ => {
                status.set_type("firedrill");
            }
        }
        status.set_message(error.to_string());
        if !matches!(error, DrillError::Skipped(_)) {
            status.set_description(plain(&terminal::no_verdict(loaded, error, replay)));
        }
        let case = self.case(loaded, seed, replay, status);
        self.families.entry(loaded.family()).or_default().push(case);
    }

    fn case(&self, loaded: &Loaded, seed: Seed, replay: &str, status: TestCaseStatus) -> TestCase {
        let name = loaded.name();
        let (family, stem) = name.split_once('/').unwrap_or(("", &name));
        let shown = if self.many_seeds { format!("{stem} (seed {seed})") } else { stem.to_owned() };
        let mut case = TestCase::new(shown, status);
        case.set_classname(format!("firedrill.{family}"));
        case.extra.insert("file".into(), loaded.file.as_str().into());
        case.add_property(("promise", loaded.scenario.drill.as_str()));
        case.add_property(("seed", seed.to_string().as_str()));
        case.add_property(("replay", replay));
        case
    }

    /// The report.
    ///
    /// # Errors
    /// If it cannot be written as XML.
    pub fn xml(self) -> io::Result<String> {
        let mut report = Report::new("firedrill");
        let mut whole = std::time::Duration::ZERO;
        for (family, cases) in self.families {
            let mut suite = TestSuite::new(family);
            let time = cases.iter().filter_map(|c| c.time).sum();
            whole += time;
            suite.set_time(time);
            suite.add_test_cases(cases);
            report.add_test_suite(suite);
        }
        report.set_time(whole);
        report.to_string().map_err(io::Error::other)
    }
}

/// The finding that decided the verdict.
fn worst<'r>(ran: &'r Ran<'_>) -> Option<&'r Finding> {
    let verdict = ran.drilled.verdict;
    let mut all = ran.drilled.judgements.iter().flat_map(|j| &j.findings);
    all.find(|f| f.verdict == verdict && verdict != Verdict::Pass)
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}
