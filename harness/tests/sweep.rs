//! The drift sweep over a few fields: the bundled core, sound and with defects planted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use firedrill::drill::{self, DrillError, Drilled, Judge, Plan, Script};
use firedrill::fault::{Mutation, Target};
use firedrill::finding::Verdict;
use firedrill::prove::defects;
use firedrill::report::sweep::{Example, Report, json, terminal, yaml};
use firedrill::report::timeline::Timeline;
use firedrill::scenario::{Scenario, parse};
use firedrill::seed::Seed;
use firedrill::subject::bundled::{Bundled, Plant};
use firedrill::sweep::{Cell, Grade, Graded, Sweep, SweepError};
use firedrill::trace::{FaultRef, What};
use firedrill::{casting, plan};
use integration_core::Policies;

const DEAL: &str = "crm GET /crm/v3/objects/deals/{id}";

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn swept() -> Plan {
    let contracts = folder("contracts");
    let files = [folder("scenarios/drift/_sweep.yaml")];
    let facts = |vendor: &_| casting::facts(vendor, &contracts).map(Some);
    let drill = plan::load(&files, &facts).expect("the swept drill is good").remove(0);
    casting::plan(&drill, &contracts).expect("its vendors are good")
}

fn planted(name: &str) -> Plant {
    defects().into_iter().find(|d| d.name == name).unwrap_or_else(|| panic!("no defect `{name}`")).plant
}

/// Hands a sweep of a core to `then`, with what plays it.
fn with<R>(defect: Option<&str>, then: impl FnOnce(&Plan, firedrill::sweep::Play<'_>) -> R) -> R {
    let plan = swept();
    let core = || defect.map_or_else(Bundled::sound, |name| Bundled::with_defect(name, planted(name)));
    let play = |scenario: &Scenario, most_calls: u32, judge: Judge<'_>| -> Result<Drilled, DrillError> {
        drill::run_script(&plan, &Script { scenario, most_calls }, Seed(1), &core(), judge)
    };
    then(&plan, &play)
}

fn cell(on: &str, mutation: &str) -> Cell {
    Cell { on: on.parse().unwrap(), mutation: serde_saphyr::from_str::<Mutation>(mutation).unwrap() }
}

fn graded(defect: Option<&str>, on: &str, mutations: &[&str]) -> Vec<Graded> {
    with(defect, |plan, play| {
        let target: Target = on.parse().unwrap();
        let sweep = Sweep::prepare(&plan.scenario, &[target], play).unwrap();
        mutations.iter().map(|m| sweep.run(&cell(on, m), play)).collect()
    })
}

#[test]
fn an_undisturbed_run_teaches_every_field_that_is_read() {
    with(None, |plan, play| {
        let sweep = Sweep::prepare(&plan.scenario, &[], play).unwrap();
        let cells: Vec<String> = sweep.cells().iter().map(|c| format!("{} {}", c.on, c.mutation)).collect();
        for wanted in [
            "crm GET /crm/v3/objects/deals/{id} remove /properties/amount",
            "crm POST /oauth/v1/token to_string /expires_in",
            "crm POST /crm/v3/objects/deals/search empty_list /results",
            "crm POST /crm/v3/objects/deals/search cap_page 1",
            "billing POST /v1/invoices require /required_since_drift",
            "billing GET /v1/invoices nullify /data/*/metadata/deal_id",
            "webhook crm deal.propertyChange rename /objectId to objectId_v2",
            "webhook crm deal.propertyChange wrap data",
        ] {
            assert!(cells.iter().any(|c| c == wanted), "{wanted} is not among {} cells", cells.len());
        }
        assert!(cells.len() > 2_000, "{} cells", cells.len());
    });
}

#[test]
fn the_sound_core_refuses_a_drifted_amount_by_name() {
    let grades = graded(
        None,
        DEAL,
        &[
            "remove: /properties/amount",
            "nullify: /properties/amount",
            "to_object: /properties/amount",
            "decimal_comma: /properties/amount",
            "deeper: /properties/amount",
        ],
    );
    for graded in &grades {
        assert_eq!(graded.grade, Grade::RefusedLoudly, "{graded:?}");
        assert!(graded.field_named && graded.fired > 0, "{graded:?}");
    }
}

#[test]
fn whatever_changes_in_a_message_is_recorded_in_the_trace() {
    let mut plan = swept();
    plan.scenario.faults = serde_saphyr::from_str(
        "
        - { on: crm POST /crm/v3/objects/deals/search, do: { drift: { cap_page: 1 } } }
        - { on: billing POST /v1/invoices, do: { drift: { require: /account_tax_ids } } }
        - { on: 'crm GET /crm/v3/objects/deals/{id}', calls: 1, do: { drift: { content_type: text/plain } } }
        - { on: billing POST /v1/customers, calls: 1, do: { drift: { encoding: utf8_bom } } }
        - { on: webhook crm, do: { drift: { content_type: text/plain } } }",
    )
    .unwrap();
    let trace = drill::run(&plan, Seed(1), &Bundled::sound()).unwrap().trace;
    let mut paths: BTreeMap<u32, String> = BTreeMap::new();
    for event in &trace.events {
        if let What::Fault(FaultRef { rule, drift: Some(drift), .. }) = &event.what {
            let steps = drift.patch.as_array().unwrap().iter();
            let steps: Vec<&str> = steps.filter_map(|step| step["path"].as_str()).collect();
            paths.entry(*rule).or_insert_with(|| format!("{}: {}", drift.change, steps.join(" ")));
        }
    }
    let paths: Vec<&str> = paths.values().map(String::as_str).collect();
    insta::assert_snapshot!(paths.join("\n"), @r"
    cap_page 1: /body/results/1 /body/results/1 /body/paging
    require /account_tax_ids: /status /body
    content_type text/plain: /headers/content-type
    encoding utf8_bom: /encoding
    content_type text/plain: /headers/content-type
    ");
    let shown = Timeline::new(&trace).whole(0);
    for change in ["cap_page 1", "require /account_tax_ids", "content_type text/plain", "encoding utf8_bom"] {
        assert!(shown.contains(&format!("[fault: drift {change}]")), "{change} is not shown");
    }
}

#[test]
fn a_field_that_nobody_reads_may_go() {
    let graded = &graded(None, DEAL, &["remove: /createdAt"])[0];
    assert_eq!(graded.grade, Grade::Harmless, "{graded:?}");
    assert!(!graded.alarm, "{graded:?}");
}

/// All of it, as `firedrill sweep` does it.
#[test]
fn whatever_drifts_the_sound_core_writes_nothing_wrong_and_keeps_going() {
    with(None, |plan, play| {
        let sweep = Sweep::prepare(&plan.scenario, &[], play).unwrap();
        let cells = sweep.cells();
        let jobs = available_parallelism().map_or(1, |n| n.get());
        let grades = sweep.run_all(&cells, jobs, play, |_| {});
        let bad = cells.iter().zip(&grades);
        let bad = bad.filter(|(_, g)| !matches!(g.grade, Grade::Harmless | Grade::RefusedLoudly));
        let bad: Vec<String> =
            bad.map(|(c, g)| format!("{} {}: {:?}, {}", c.on, c.mutation, g.grade, g.why)).collect();
        assert!(bad.is_empty(), "{} of {} cells:\n{}", bad.len(), cells.len(), bad.join("\n"));
    });
}

#[test]
fn what_is_written_as_the_vendor_now_says_is_no_corruption() {
    let one = "unicode_text: /properties/dealname";
    let alone = &graded(Some("compares_money_only"), DEAL, &[one])[0];
    assert_eq!((alone.grade, alone.as_told), (Grade::Harmless, true), "{alone:?}");
    // Who compares every field is told otherwise by the list, and says so.
    let compared = &graded(None, DEAL, &[one])[0];
    assert_eq!((compared.grade, compared.as_told), (Grade::RefusedLoudly, true), "{compared:?}");
    assert!(compared.why.starts_with("reconcile_mismatch"), "{compared:?}");
}

#[test]
fn what_only_one_record_may_have_is_promised_of_every_cell() {
    with(Some("compares_money_only"), |plan, play| {
        let mut scenario = plan.scenario.clone();
        scenario.expect.unique = serde_saphyr::from_str(
            "- of: billing.invoices\n  by: 'invoice.lines.data[0].description'\n  \
             live: invoice.status != \"void\" && has(invoice.lines) && size(invoice.lines.data) > 0\n",
        )
        .unwrap();
        let sweep = Sweep::prepare(&scenario, &[DEAL.parse().unwrap()], play).unwrap();
        // The vendor gives all deals one name.
        let graded = sweep.run(&cell(DEAL, "unicode_text: /properties/dealname"), play);
        assert_eq!(graded.grade, Grade::SilentCorruption, "{graded:?}");
        assert!(graded.why.starts_with("unique/twins: "), "{graded:?}");
    });
}

#[test]
fn a_core_that_reads_a_missing_amount_as_zero_corrupts_in_silence() {
    let plan = swept();
    let play = |core: Bundled| {
        let play = |scenario: &Scenario, most_calls: u32, judge: Judge<'_>| {
            drill::run_script(&plan, &Script { scenario, most_calls }, Seed(1), &core, judge)
        };
        let sweep = Sweep::prepare(&plan.scenario, &[DEAL.parse().unwrap()], &play).unwrap();
        sweep.run(&cell(DEAL, "remove: /properties/amount"), &play)
    };
    // Its own reconciliation sees that the ledgers differ, too late.
    let noticed = play(Bundled::with_defect("lenient", planted("renamed_field_read_as_zero")));
    assert_eq!((noticed.grade, noticed.alarm), (Grade::NoticedCorruption, true), "{noticed:?}");
    assert!(noticed.why.contains("which it never has undisturbed"), "{noticed:?}");
    let silent = play(Bundled::with_defect("lenient and blind", |_, p| {
        p.validation.strict = false;
        p.reconcile.enabled = false;
    }));
    assert_eq!((silent.grade, silent.alarm), (Grade::SilentCorruption, false), "{silent:?}");
}

#[test]
fn a_core_that_passes_over_an_unknown_stage_loses_records_in_silence() {
    let plan = swept();
    let core = Bundled::with_defect("blind", |c, p| {
        c.deal_stages.clear();
        // Without a second way to the data, what is passed over stays lost.
        p.reconcile.enabled = false;
        p.sync.enabled = false;
    });
    let play = |scenario: &Scenario, most_calls: u32, judge: Judge<'_>| {
        drill::run_script(&plan, &Script { scenario, most_calls }, Seed(1), &core, judge)
    };
    let sweep = Sweep::prepare(&plan.scenario, &[], &play).unwrap();
    let graded = sweep.run(&cell(DEAL, "new_enum_value: /properties/dealstage"), &play);
    assert_eq!((graded.grade, graded.alarm), (Grade::SilentCorruption, false), "{graded:?}");
}

#[test]
fn a_core_that_asks_without_end_is_broke() {
    let plan = swept();
    let core = Bundled::with_defect("stubborn", |_, p| stubborn(p));
    let play = |scenario: &Scenario, most_calls: u32, judge: Judge<'_>| {
        drill::run_script(&plan, &Script { scenario, most_calls }, Seed(1), &core, judge)
    };
    let sweep = Sweep::prepare(&plan.scenario, &[], &play).unwrap();
    let graded = sweep.run(&cell("billing POST /v1/invoices", "require: /account_tax_ids"), &play);
    assert_eq!(graded.grade, Grade::Broke, "{graded:?}");
}

fn stubborn(p: &mut Policies) {
    p.retry = std::sync::Arc::new(Always);
    p.patience.attempts = u32::MAX;
    p.patience.deadline = None;
    p.patience.budget = None;
    p.backoff = std::sync::Arc::new(AtOnce);
}

/// Seen by whoever changes how it looks: all four grades, of a core that passes over what it does not
/// know and asks without end.
#[test]
fn the_matrix_shows_each_grade_as_text_and_as_json() {
    const INVOICE: &str = "billing POST /v1/invoices";
    let plan = swept();
    let core = Bundled::with_defect("careless", |c, p| {
        c.deal_stages.clear();
        p.reconcile.enabled = false;
        p.sync.enabled = false;
        stubborn(p);
    });
    let play = |scenario: &Scenario, most_calls: u32, judge: Judge<'_>| {
        drill::run_script(&plan, &Script { scenario, most_calls }, Seed(1), &core, judge)
    };
    let only = [DEAL, INVOICE].map(|on| on.parse().unwrap());
    let sweep = Sweep::prepare(&plan.scenario, &only, &play).unwrap();
    let wanted = [
        format!("{DEAL} remove /createdAt"),
        format!("{DEAL} nullify /createdAt"),
        format!("{DEAL} remove /properties/amount"),
        format!("{DEAL} decimal_comma /properties/amount"),
        format!("{DEAL} new_enum_value /properties/dealstage"),
        format!("{DEAL} unicode_text /properties/dealname"),
        format!("{INVOICE} require /required_since_drift"),
    ];
    let mut cells = sweep.cells();
    cells.retain(|c| wanted.contains(&format!("{} {}", c.on, c.mutation)));
    assert_eq!(cells.len(), wanted.len());
    let mut done = 0;
    let grades = sweep.run_all(&cells, 2, &play, |_| done += 1);
    assert_eq!(done, cells.len());
    let worst = cells.iter().zip(&grades).max_by_key(|(_, graded)| graded.grade).unwrap();
    let (scenario, verdict) = sweep.smallest(worst.0, worst.1.grade, &play);
    let report = Report {
        file: "scenarios/drift/_sweep.yaml",
        seed: Seed(1),
        lessons: sweep.lessons(),
        cells: &cells,
        grades: &grades,
        example: Some(Example { cell: worst.0.clone(), scenario, verdict }),
        real: None,
        again: Some("careless"),
    };
    let text = terminal(&report, false);
    insta::assert_snapshot!("matrix_as_text", anstream::adapter::strip_str(&text).to_string());
    insta::assert_snapshot!("matrix_as_json", json(&report));
}

struct Always;

impl integration_core::policy::RetryRule for Always {
    fn again(&self, _: &integration_core::policy::AttemptFacts<'_>) -> bool {
        true
    }
}

struct AtOnce;

impl integration_core::policy::Backoff for AtOnce {
    fn delay(&self, _: u32, _: f64) -> std::time::Duration {
        std::time::Duration::from_millis(1)
    }
}

#[test]
fn a_drift_that_never_happens_is_unknown() {
    let graded = &graded(None, DEAL, &["remove: /properties/no_such_field"])[0];
    assert_eq!((graded.grade, graded.fired), (Grade::Unknown, 0), "{graded:?}");
}

#[test]
fn the_smallest_scenario_is_a_drill_of_its_own_that_fails() {
    with(Some("renamed_field_read_as_zero"), |plan, play| {
        let sweep = Sweep::prepare(&plan.scenario, &[DEAL.parse().unwrap()], play).unwrap();
        let cell = cell(DEAL, "nullify: /properties/amount");
        let grade = sweep.run(&cell, play).grade;
        assert!(grade.is_bad());
        let (small, verdict) = sweep.smallest(&cell, grade, play);
        assert_eq!(verdict, Some(Verdict::Fail));
        assert_eq!((small.given["crm.deals"].count, small.workload.len()), (1, 1));
        let text = yaml(&small);
        let read = parse("smallest.yaml", &text).unwrap_or_else(|m| panic!("{m}\n{text}"));
        assert_eq!(read, small, "{text}");
    });
}

#[test]
fn a_drill_that_promises_nothing_of_the_ledgers_cannot_be_swept() {
    with(None, |plan, play| {
        let silent = Scenario { expect: Default::default(), ..plan.scenario.clone() };
        let refusal = Sweep::prepare(&silent, &[], play).err();
        assert!(matches!(refusal, Some(SweepError::NothingPromised)), "{refusal:?}");
        let refusal = Sweep::prepare(&plan.scenario, &["crm GET /nothing".parse().unwrap()], play).err();
        assert!(refusal.unwrap().to_string().contains("it reads `crm POST /oauth/v1/token`"));
    });
}
