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
        trials.push(trial(
            format!("stripe_{}_samples_fit_the_contract_of_their_day", &date[..4]),
            "stripe",
            move |folder| stripe(folder, date, valid, broken),
        ));
    }
    trials.push(trial("github_recordings_of_2022_against_todays_contract".to_owned(), "", github));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    name: String,
    part: &'static str,
    check: impl Fn(&Path) -> Result<(), Failed> + Send + 'static,
) -> Trial {
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
    let samples: Value =
        serde_json::from_slice(&std::fs::read(folder.join(format!("fixtures3-{date}.json")))?)?;
    let paths = contract.raw()["paths"].as_object().map_or(0, serde_json::Map::len);
    same(contract.typed_paths(), paths)?;
    let (mut fit, mut found) = (0, Vec::new());
    for (name, sample) in samples["resources"].as_object().into_iter().flatten() {
        let checked =
            contract.check_value_at(&format!("/components/schemas/{name}"), Direction::Response, sample);
        if checked.verdict() == Verdict::Pass {
            fit += 1;
        }
        found.extend(
            checked
                .violations
                .iter()
                .filter(|v| v.severity != Severity::Additive)
                .map(|v| format!("{name} {}", v.pointer)),
        );
    }
    same(found, broken.iter().map(|b| (*b).to_owned()).collect())?;
    same(fit, valid)?;
    if contract.validators_kept() > 64 {
        Err("more validators are kept than the bound says".into())
    } else {
        Ok(())
    }
}

fn github(root: &Path) -> Result<(), Failed> {
    let contract = Contract::load(&root.join("github/api.github.com.json"))?;
    let folder = root.join(data::OCTOKIT);
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
            again: "",
        })
        .collect();
    let report = verify(&contract, &sources);
    same((report.exchanges, report.unlisted), (132, UNLISTED))?;
    // A body kept as JSON that the contract has an operation for: 81. One of them is the answer
    // 422 to an upload, whose body no schema describes: not judged, which is no pass. The other 27
    // lack fields that became required since: the recording is old, not the vendor broken.
    let json = |e: &&Exchange| matches!(e.response.body, Some(Body::Json(_)));
    let mut verdicts: BTreeMap<String, u32> = BTreeMap::new();
    let mut asked: BTreeMap<String, u32> = BTreeMap::new();
    for exchange in files.values().flatten() {
        let Ok(found) = contract.find(&exchange.request.method, &exchange.request.target) else { continue };
        if json(&exchange) {
            let said = contract.check_response(found.operation, &firedrill::verify::response(exchange));
            let rules: std::collections::BTreeSet<&str> = said
                .violations
                .iter()
                .filter(|v| v.severity != Severity::Additive)
                .map(|v| v.rule.as_str())
                .collect();
            let rules: Vec<&str> = rules.into_iter().collect();
            *verdicts.entry(format!("{} {}", said.verdict(), rules.join(" "))).or_default() += 1;
        }
        if let Some(body) = &exchange.request.body {
            let kind = if matches!(body, Body::Json(_)) { "JSON" } else { "other" };
            let said = contract.check_request(found.operation, &firedrill::verify::request(exchange));
            *asked.entry(format!("{} {kind}", said.verdict())).or_default() += 1;
        }
    }
    same(verdicts, pairs(&[("fail contract/required", 27), ("pass ", 53), ("unknown contract/body", 1)]))?;
    // 58 in JSON; the other five are uploads and a text in Markdown.
    same(asked, pairs(&[("pass JSON", 58), ("pass other", 5)]))?;
    let breaks = report.deviations.iter().filter(|d| d.severity == Severity::Breaking).count();
    let added = report.deviations.iter().filter(|d| d.severity == Severity::Additive).count();
    let text = firedrill::report::verify::terminal(&report, false);
    // What GitHub once answered it still documents: nothing in the recordings is unknown today.
    same((breaks, added), (11, 0))?;
    let lines = text.lines().count();
    if lines > 400 { Err(format!("the report has {lines} lines").into()) } else { bites(&contract, &files) }
}

/// Exchanges whose path GitHub no longer documents: the classic projects, which it removed,
/// `/repositories/{id}`, `GET /git/refs/` and one address of another host.
const UNLISTED: u32 = 22;

fn pairs(of: &[(&str, u32)]) -> BTreeMap<String, u32> {
    of.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
}

/// Each recorded answer that is valid stops being so once one required field of its is retyped.
fn bites(contract: &Contract, files: &BTreeMap<String, Vec<Exchange>>) -> Result<(), Failed> {
    let mut bitten = 0;
    for exchange in files.values().flatten() {
        let Ok(found) = contract.find(&exchange.request.method, &exchange.request.target) else { continue };
        let mut response = firedrill::verify::response(exchange);
        let Ok(Value::Object(mut body)) = serde_json::from_slice(&response.body) else { continue };
        if contract.check_response(found.operation, &response).verdict() != Verdict::Pass {
            continue;
        }
        let fields = contract.fields(found.operation, response.status);
        let typed = |name: &String| {
            fields.iter().find(|f| f.pointer == format!("/{name}") && f.types == ["integer"] && !f.nullable)
        };
        let Some(name) = body.keys().find(|name| typed(name).is_some()).cloned() else { continue };
        body.insert(name.clone(), Value::String("12".to_owned()));
        response.body = Value::Object(body).to_string().into();
        let said = contract.check_response(found.operation, &response);
        let told = said.breaking().any(|v| v.pointer == format!("/{name}") && v.rule == "contract/type");
        if !told {
            return Err(format!("{}: `{name}` as a string passes: {said:?}", found.operation.name()).into());
        }
        bitten += 1;
    }
    if bitten >= 20 { Ok(()) } else { Err(format!("only {bitten} answers could be retyped").into()) }
}
