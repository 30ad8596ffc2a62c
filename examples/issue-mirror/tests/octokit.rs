//! The mirror against what GitHub itself said: five pages of issues that others recorded with the
//! live API, replayed by exact match, with and without a fault.
//!
//! The data is no part of the project. Without it (`../shared/data`, or `FIREDRILL_SHARED_DATA`)
//! each test says so and is counted as ignored.

#[path = "../../../harness/tests/data/mod.rs"]
mod data;
mod subject;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use firedrill::drill::{self, Drilled};
use firedrill::finding::Verdict;
use firedrill::fixture::{Fixture, Held, Noise, nock};
use firedrill::seed::Seed;
use firedrill::trace::What;
use firedrill::{casting, plan};
use issue_mirror::Policy;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

const REPOSITORY: &str = "octokit-fixture-org/tmp-scenario-paginate-issues-20220719043836917-izyoe";

/// What goes wrong: nothing, or something once on the third page.
const TROUBLES: [(&str, &str); 4] = [
    ("undisturbed", ""),
    (
        "a_403_of_the_secondary_limit",
        "error: { kind: secondary_rate_limited, status: 403, retry_after: 60s }",
    ),
    ("a_reset", "reset: after_applied"),
    ("a_truncated_page", "truncate: { after: 2000 }"),
];

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for (name, act) in TROUBLES {
        trials.push(trial(format!("mended::{name}"), move |folder| mended(folder, act)));
        trials.push(trial(format!("naive::{name}"), move |folder| naive(folder, act)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: String, check: impl Fn(&Path) -> Result<(), Failed> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || match data::shared(&format!("{}/paginate-issues", data::OCTOKIT)) {
        Err(absent) => Ok(Completion::ignored_with(absent)),
        Ok(folder) => check(&folder).map(|()| Completion::Completed),
    })
}

fn mended(folder: &Path, act: &str) -> Result<(), Failed> {
    let (drilled, titles) = run(folder, act, Policy::mended())?;
    let doubts: Vec<_> = drilled.judgements.iter().filter(|j| j.verdict != Verdict::Pass).collect();
    ensure(drilled.verdict == Verdict::Pass, &format!("{doubts:?}"))?;
    // GitHub lists the newest first.
    let all: Vec<String> = (1..=13).rev().map(|n| format!("Test issue {n}")).collect();
    ensure(titles == all, &format!("mirrored: {titles:?}"))
}

fn naive(folder: &Path, act: &str) -> Result<(), Failed> {
    let (drilled, titles) = run(folder, act, Policy::naive())?;
    let sound = act.is_empty();
    let verdict = if sound { Verdict::Pass } else { Verdict::Fail };
    ensure(drilled.verdict == verdict, &format!("{:?}", drilled.judgements))?;
    ensure((titles.len() == 13) == sound, &format!("mirrored: {titles:?}"))
}

fn ensure(holds: bool, otherwise: &str) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// Drills the mirror on the recording; gives also the titles that it shows at the end.
fn run(recorded: &Path, act: &str, policy: Policy) -> Result<(Drilled, Vec<String>), Failed> {
    let folder = tempfile::tempdir()?;
    let exchanges = nock::import(&std::fs::read_to_string(recorded.join("raw-fixture.json"))?)?;
    let fixture = Fixture {
        origin: "octokit/fixtures".to_owned(),
        recorded: jiff::civil::date(2022, 7, 19),
        // The recording asked for the default order; the mirror names one.
        noise: Noise { query: ["state", "sort", "direction"].map(str::to_owned).into(), body: Vec::new() },
        holds: BTreeMap::from([(
            "issues".to_owned(),
            Held {
                paths: ["/repos/{owner}/{repo}/issues", "/repositories/{id}/issues"]
                    .map(str::to_owned)
                    .into(),
                records: String::new(),
                id: "/number".to_owned(),
            },
        )]),
        exchanges,
        ..Fixture::default()
    };
    fixture.write(&folder.path().join("run.json"))?;
    let faults = match act {
        "" => String::new(),
        act => format!("  - {{ on: github, calls: 3, do: {{ {act} }} }}\n"),
    };
    let file = folder.path().join("drill.yaml");
    std::fs::write(
        &file,
        format!(
            "drill: A repository of thirteen issues is mirrored\nwhy: It is what GitHub said\nfamily: other\n\
             vendors: {{ github: {{ vendor: github, fixtures: {{ run: run.json, mode: exact }} }} }}\n\
             subject: {{ settings: {{ repository: {REPOSITORY}, per_page: '3', every: 1h }} }}\n\
             given: {{ github.issues: {{ count: 13 }} }}\n\
             faults:\n{}\
             expect:\n  exposed:\n  - what: mirror\n    equals: >-\n      github.issues.map(i, \
             {{'number': i.number, 'title': i.title, 'state': i.state, 'updated_at': i.updated_at}})\n\
             heal_at: 2m\nends_at: 5m\n",
            if faults.is_empty() { "  []\n".to_owned() } else { faults }
        ),
    )?;
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts");
    let loaded = plan::load(&[file], &|vendor| casting::facts(vendor, &contracts).map(Some))
        .map_err(|mistakes| format!("{mistakes:?}"))?;
    let plan = casting::plan(&loaded[0], &contracts).map_err(|mistake| format!("{mistake:?}"))?;
    let drilled = drill::run(&plan, Seed(1), &subject::Drilled(policy))?;
    let shown = drilled.trace.events.iter().find_map(|e| match &e.what {
        What::Exposed { what, response: Some(response) } if what == "mirror" => Some(response.body.clone()),
        _ => None,
    });
    let issues: Vec<issue_mirror::Issue> = serde_json::from_slice(&shown.ok_or("nothing is shown")?)?;
    let titles = issues.into_iter().map(|i| i.title).collect();
    Ok((drilled, titles))
}
