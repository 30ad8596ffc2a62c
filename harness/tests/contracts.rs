//! The contracts that vendors publish, against what they really said: Stripe's and GitHub's own
//! OpenAPI descriptions with Stripe's own sample objects and recorded exchanges with GitHub.
//!
//! The data is no part of the project. Without it (`../shared/data`, or `FIREDRILL_SHARED_DATA`)
//! each test says so and is counted as ignored.

mod data;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use firedrill::contract::{Contract, Direction, Severity};
use firedrill::finding::Verdict;
use firedrill::fixture::{Body, Exchange, nock};
use firedrill::verify::{Source, verify};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (date, valid, broken) in SAMPLES {
        trials.push(trial(format!("stripe_{}_samples_fit_the_contract_of_their_day", &date[..4]), "stripe", move |folder| {
            stripe(folder, date, valid, broken)
        }));
    }
    trials.push(trial("github_recordings_of_2022_against_todays_contract".to_owned(), "", github));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: String, part: &'static str, check: impl Fn(&Path) -> Result<(), Failed> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match data::shared(part) {
        Err(absent) => Ok(Completion::ignored_with(absent)),
        Ok(path) => check(&path).map(|()| Completion::Completed),
    })
}

fn same<T: PartialEq + std::fmt::Debug>(found: T, expected: T) -> Result<(), Failed> {
    if found == expected { Ok(()) } else { Err(format!("found {found:?}, expected {expected:?}").into()) }
}

/// By date: how many samples are valid, and which is not.
///
/// shared/data's own README counts 115 for 2021-12 and 112 for 2022-04. The files hold 112 and 115
/// samples: the two labels are exchanged there, every sample is valid in both. The one of 2023-09
/// that is not lacks `billing_details`, which its contract requires: Stripe's own slip.
const SAMPLES: [(&str, usize, &[&str]); 3] = [
    ("2021-12-31", 112, &[]),
    ("2022-04-13", 115, &[]),
    ("2023-09-12", 130, &["treasury.outbound_payment /destination_payment_method_details/billing_details"]),
];

fn stripe(folder: &Path, date: &str, valid: usize, broken: &[&str]) -> Result<(), Failed> {
    let contract = Contract::load(&folder.join(format!("spec3-{date}.json")))?;
    let samples: Value = serde_json::from_slice(&std::fs::read(folder.join(format!("fixtures3-{date}.json")))?)?;
    let paths = contract.raw()["paths"].as_object().map_or(0, serde_json::Map::len);
    same(contract.typed_paths(), paths)?;
    let (mut fit, mut found) = (0, Vec::new());
    for (name, sample) in samples["resources"].as_object().into_iter().flatten() {
        let checked = contract.check_value_at(&format!("/components/schemas/{name}"), Direction::Response, sample);
        if checked.verdict() == Verdict::Pass {
            fit += 1;
        }
        found.extend(checked.violations.iter().filter(|v| v.severity != Severity::Additive).map(|v| format!("{name} {}", v.pointer)));
    }
    same(found, broken.iter().map(|b| (*b).to_owned()).collect())?;
    same(fit, valid)?;
    if contract.validators_kept() > 64 { Err("more validators are kept than the bound says".into()) } else { Ok(()) }
}

fn github(root: &Path) -> Result<(), Failed> {
    let contract = Contract::load(&root.join("github/api.github.com.json"))?;
    let folder = root.join("octokit-fixtures/scenarios/api.github.com");
    let mut files: BTreeMap<String, Vec<Exchange>> = BTreeMap::new();
    for entry in std::fs::read_dir(&folder)? {
        let entry = entry?;
        let text = std::fs::read_to_string(entry.path().join("raw-fixture.json"))?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), nock::import(&text)?);
    }
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|(name, exchanges)| Source {
            vendor: "github",
            from: name,
            recorded: Some(jiff::civil::date(2022, 7, 19)),
            exchanges,
        })
        .collect();
    let report = verify(&contract, &sources);
    println!("{:?} {:?} {} {}", report.requests, report.responses, report.exchanges, report.unlisted);
    let json = |e: &&Exchange| matches!(e.response.body, Some(Body::Json(_)));
    let mut c: BTreeMap<String, u32> = BTreeMap::new();
    for e in files.values().flatten().filter(json) {
        let k = match contract.find(&e.request.method, &e.request.target) {
            Ok(f) => format!("{:?}", contract.check_response(f.operation, &firedrill::verify::response(e)).verdict()),
            Err(_) => "none".into(),
        };
        *c.entry(k).or_default() += 1;
    }
    println!("{c:?}");
    for d in &report.deviations {
        if d.severity != Severity::Additive {
            println!("{:?} {} {:?} {} {:?} {} | {} | {} | {:?} {:?} x{} in {}", d.severity, d.rule, d.direction, d.operation, d.status, d.wild, d.expected, d.got, d.branch, d.moved, d.count, d.exchanges);
        }
    }
    Ok(())
}
