//! What each drill is for: the naive policy fails every one of them, by the rule that the drill
//! was written to break.
//!
//! A drill that a careless integration passes tests nothing; one that nobody can judge tests
//! nothing either.

mod subject;

use std::collections::BTreeMap;
use std::path::PathBuf;

use firedrill::finding::Verdict;
use firedrill::plan::{self, Loaded};
use firedrill::seed::Seed;
use firedrill::{casting, drill};
use issue_mirror::Policy;

/// Each drill, with the rules that it is about, each of which the naive policy breaks. It may break
/// more: a check that sees further is no mistake here.
const BROKEN: [(&str, &[&str]); 7] = [
    ("rate_limit/rate-limited", &["exposed/differs"]),
    ("rate_limit/secondary-limit", &["exposed/differs"]),
    ("rate_limit/unchanged-costs-nothing", &["exposed/differs"]),
    ("retry/burst-of-503", &["exposed/differs"]),
    ("retry/hanging-page", &["exposed/differs", "liveness/held_open"]),
    ("retry/reset-on-page-two", &["exposed/differs"]),
    ("retry/truncated-page", &["exposed/differs"]),
];

fn contracts() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../contracts"))
}

fn drills() -> Vec<Loaded> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/drills"));
    plan::load(&[folder], &|vendor| casting::facts(vendor, &contracts()).map(Some))
        .unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

fn run(drill: &Loaded, seed: u64, policy: Policy) -> drill::Drilled {
    let plan = casting::plan(drill, &contracts()).unwrap_or_else(|mistake| panic!("{mistake:?}"));
    drill::run(&plan, Seed(seed), &subject::Drilled(policy))
        .unwrap_or_else(|e| panic!("{}: {e}", drill.name()))
}

/// The rules of all findings of `verdict`, each once, in order.
fn rules(drilled: &drill::Drilled, verdict: Verdict) -> Vec<String> {
    let mut rules: Vec<String> = drilled
        .judgements
        .iter()
        .flat_map(|j| &j.findings)
        .filter(|f| f.verdict == verdict)
        .map(|f| f.rule.to_string())
        .collect();
    rules.sort();
    rules.dedup();
    rules
}

#[test]
fn the_naive_policy_fails_every_drill_by_the_rule_it_is_about() {
    let expected: BTreeMap<&str, &[&str]> = BROKEN.into();
    let drills = drills();
    let names: Vec<String> = drills.iter().map(Loaded::name).collect();
    let mut listed: Vec<&str> = expected.keys().copied().collect();
    listed.sort_by_key(|name| names.iter().position(|n| n == name));
    assert_eq!(names, listed, "each drill is in the table, and nothing else");
    for drill in &drills {
        for seed in 1..=3 {
            let drilled = run(drill, seed, Policy::naive());
            let name = drill.name();
            assert_eq!(drilled.verdict, Verdict::Fail, "{name}, seed {seed}: {:?}", drilled.judgements);
            let broken = rules(&drilled, Verdict::Fail);
            for rule in expected[&*name] {
                assert!(broken.iter().any(|b| b == rule), "{name}, seed {seed}: {rule} is not in {broken:?}");
            }
            assert_eq!(rules(&drilled, Verdict::Unknown), [""; 0], "{name}, seed {seed}");
        }
    }
}

#[test]
fn the_mended_policy_passes_and_no_check_is_left_in_doubt() {
    for drill in &drills() {
        let drilled = run(drill, 1, Policy::mended());
        let doubts: Vec<_> = drilled.judgements.iter().filter(|j| j.verdict != Verdict::Pass).collect();
        assert!(doubts.is_empty() && drilled.verdict == Verdict::Pass, "{}: {doubts:?}", drill.name());
    }
}

#[test]
fn a_drill_under_one_seed_leaves_one_trace() {
    for drill in &drills() {
        let trace = || {
            let mut text = Vec::new();
            run(drill, 5, Policy::mended()).trace.write_jsonl(&mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert!(trace() == trace(), "{} differs from itself", drill.name());
    }
}
