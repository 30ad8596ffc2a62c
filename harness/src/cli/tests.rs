//! The command line from outside: words in, text and exit code out, with a fake behind it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::drill::{DrillError, Drilled};
use crate::finding::Verdict;
use crate::report::table::Row;
use crate::report::tests as fake;
use crate::scenario::{Mistake, VendorFacts, VendorUse};
use crate::seed::Seed;

/// Gives each drill the verdict that its promise names.
#[derive(Default)]
struct Fake {
    ran: Mutex<Vec<(String, u64)>>,
    rows: Vec<Row>,
}

impl Backend for Fake {
    fn facts(&self, _: &Setting, vendor: &VendorUse) -> Result<Option<VendorFacts>, Mistake> {
        match vendor.name() {
            "hubspot" => Ok(Some(VendorFacts {
                collections: BTreeMap::from([("deals".into(), "deal".into())]),
                ..VendorFacts::default()
            })),
            _ => Ok(None),
        }
    }

    fn run(&self, _: &Setting, drill: &Loaded, seed: Seed) -> Result<Drilled, DrillError> {
        self.ran.lock().unwrap().push((drill.name(), seed.0));
        match drill.scenario.drill.as_str() {
            "pass" => Ok(fake::drilled(Verdict::Pass)),
            "fail" => Ok(fake::drilled(Verdict::Fail)),
            "unknown" => Ok(fake::drilled(Verdict::Unknown)),
            "skipped" => Err(DrillError::Skipped("it takes an hour".into())),
            "refused" => Err(DrillError::Scenario("this cannot be".into())),
            "flaky" => {
                let times = self.ran.lock().unwrap().iter().filter(|(n, _)| *n == drill.name()).count();
                Ok(fake::drilled(if times > 1 { Verdict::Pass } else { Verdict::Fail }))
            }
            "panic" => panic!("the world fell over"),
            _ => Err(DrillError::Harness("a port was taken".into())),
        }
    }

    fn defects(&self) -> Vec<&'static str> {
        vec!["key_not_persisted"]
    }

    fn unfit(&self, _: &Setting, drill: &Loaded) -> Option<String> {
        (drill.scenario.drill == "foreign").then(|| "it lacks `billing`".to_owned())
    }

    fn prove(&self, _: &Setting, _: &ProofRequest) -> Result<Vec<Row>, DrillError> {
        Ok(self.rows.clone())
    }
}

/// What a command said and how it ended.
struct Said {
    code: ExitCode,
    out: String,
    err: String,
}

fn firedrill(backend: &Fake, words: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { out: &mut out, err: &mut err, progress: false, real_times: false };
    let words = std::iter::once("firedrill").chain(words.iter().copied()).map(OsString::from);
    let code = command(words, backend, &mut console);
    let plain = |bytes: Vec<u8>| anstream::adapter::strip_str(&String::from_utf8(bytes).unwrap()).to_string();
    Said { code, out: plain(out), err: plain(err) }
}

/// A folder of drills, each called after the verdict it will get.
fn folder(verdicts: &[&str]) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for (n, verdict) in verdicts.iter().enumerate() {
        let text = format!("drill: {verdict}\nwhy: w\nfamily: retry\nvendors: {{ crm: hubspot }}\n");
        std::fs::write(folder.path().join(format!("{n}_{verdict}.yaml")), text).unwrap();
    }
    let path = folder.path().to_string_lossy().into_owned();
    (folder, path)
}

fn code(verdicts: &[&str]) -> ExitCode {
    let (_folder, path) = folder(verdicts);
    firedrill(&Fake::default(), &["run", &path]).code
}

#[test]
fn the_exit_code_is_that_of_the_worst_drill() {
    assert_eq!(code(&["pass"]), ExitCode::Passed);
    assert_eq!(code(&["pass", "unknown"]), ExitCode::Unknown);
    assert_eq!(code(&["unknown", "fail", "pass"]), ExitCode::Failed);
    assert_eq!(code(&["fail", "refused"]), ExitCode::Usage);
    assert_eq!(code(&["refused", "broken"]), ExitCode::Internal);
    assert_eq!(code(&["fail", "broken"]), ExitCode::Internal);
    assert_eq!(code(&["panic", "pass"]), ExitCode::Internal);
    assert_eq!(code(&[]), ExitCode::Usage, "nothing run is no pass");
}

#[test]
fn wrong_usage_is_64_and_never_2_which_means_unknown() {
    for words in [&["rnu"][..], &["run", "--seeds", "0"], &["run", "--jobs", "x"], &["explain", "zebra"], &[]]
    {
        assert_eq!(firedrill(&Fake::default(), words).code, ExitCode::Usage, "{words:?}");
    }
    assert_eq!(firedrill(&Fake::default(), &["run", "no/such/folder"]).code, ExitCode::Usage);
    assert_eq!(firedrill(&Fake::default(), &["--version"]).code, ExitCode::Passed);
}

#[test]
fn a_bad_file_runs_nothing() {
    let (dir, path) = folder(&["pass"]);
    std::fs::write(
        dir.path().join("bad.yaml"),
        "drill: d\nwhy: w\nfamily: retry\nvendors: { crm: hubspot }\ngiven: { crm.deal: { count: 1 } }\n",
    )
    .unwrap();
    let backend = Fake::default();
    let said = firedrill(&backend, &["run", &path]);
    assert_eq!(said.code, ExitCode::Usage);
    assert!(said.err.contains("did you mean `deals`?") && said.err.contains("bad.yaml:5:10"), "{}", said.err);
    assert!(backend.ran.lock().unwrap().is_empty());
}

#[test]
fn drills_are_reported_in_the_order_of_their_files_whatever_the_jobs() {
    let verdicts = ["pass", "unknown", "pass", "pass", "fail", "pass"];
    let (_dir, path) = folder(&verdicts);
    let one = firedrill(&Fake::default(), &["run", &path, "--jobs", "1", "--seeds", "3"]);
    let many = firedrill(&Fake::default(), &["run", &path, "--jobs", "6", "--seeds", "3"]);
    assert_eq!(one.out, many.out);
    assert_eq!(
        one.out.matches("\n    PASS").count()
            + one.out.matches("\n UNKNOWN").count()
            + one.out.matches("\n    FAIL").count(),
        18
    );
}

#[test]
fn each_drill_runs_under_each_seed() {
    let (_dir, path) = folder(&["pass"]);
    let backend = Fake::default();
    firedrill(&backend, &["run", &path, "--seed", "7", "--seeds", "3", "-j", "1"]);
    let seeds: Vec<u64> = backend.ran.lock().unwrap().iter().map(|(_, s)| *s).collect();
    assert_eq!(seeds, [7, 8, 9]);
}

#[test]
fn a_whole_run_reads_well() {
    let (_dir, path) = folder(&["pass", "fail", "unknown", "broken"]);
    let said = firedrill(&Fake::default(), &["run", &path]);
    insta::with_settings!({ filters => [(regex_lite(&path).as_str(), "scenarios/retry")] }, {
        insta::assert_snapshot!(said.out);
    });
}

/// `path` as a regular expression.
fn regex_lite(path: &str) -> String {
    path.replace('.', r"\.")
}

#[test]
fn fail_fast_begins_no_more_drills() {
    let (_dir, path) = folder(&["fail", "pass", "pass"]);
    let backend = Fake::default();
    let said = firedrill(&backend, &["run", &path, "--fail-fast", "-j", "1"]);
    assert_eq!(said.code, ExitCode::Failed);
    assert_eq!(backend.ran.lock().unwrap().len(), 1);
    assert!(said.out.contains("2 not run"), "{}", said.out);
}

#[test]
fn a_filter_looks_at_names_and_promises() {
    let (_dir, path) = folder(&["fail", "pass"]);
    assert_eq!(firedrill(&Fake::default(), &["run", &path, "--filter", "PASS"]).code, ExitCode::Passed);
    assert_eq!(firedrill(&Fake::default(), &["run", &path, "--filter", "zebra"]).code, ExitCode::Usage);
    let said = firedrill(&Fake::default(), &["run", &path, "--list"]);
    assert_eq!(said.out, "retry/0_fail  fail\nretry/1_pass  pass\n");
}

#[test]
fn json_lines_are_one_object_a_drill_and_nothing_else() {
    let (_dir, path) = folder(&["fail", "pass", "broken"]);
    let said = firedrill(&Fake::default(), &["run", &path, "--format", "jsonl"]);
    let lines: Vec<serde_json::Value> = said.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["verdict"], "fail");
    assert_eq!(lines[0]["judgements"][0]["findings"][0]["rule"], "idempotency/second_effect");
    assert_eq!(lines[2]["fault"], "a port was taken");
}

#[test]
fn traces_are_written_one_file_a_drill() {
    let (dir, path) = folder(&["pass"]);
    let traces = dir.path().join("out");
    firedrill(&Fake::default(), &["run", &path, "--trace", &traces.to_string_lossy()]);
    let text = std::fs::read_to_string(traces.join("retry/0_pass.seed-1.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 1 + fake::trace().events.len());
}

#[test]
fn a_new_drill_is_written_once_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("idempotency/mine.yaml");
    let word = path.to_string_lossy().into_owned();
    let said = firedrill(&Fake::default(), &["new", &word]);
    assert_eq!(said.code, ExitCode::Passed, "{}", said.err);
    assert!(said.out.contains(&format!("firedrill run {word}")));
    let text = std::fs::read_to_string(&path).unwrap();
    crate::scenario::parse(&word, &text).unwrap();

    std::fs::write(&path, "precious").unwrap();
    let again = firedrill(&Fake::default(), &["new", &word]);
    assert_eq!(again.code, ExitCode::Usage);
    assert!(again.err.contains("exists already"), "{}", again.err);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn the_commented_lines_of_the_starter_are_good_too() {
    let text = starter::text(Path::new("."));
    let all = text.replace("  # - {", "  - {");
    assert_ne!(all, text);
    let drill = crate::scenario::parse("starter.yaml", &all).unwrap();
    assert_eq!(drill.faults.len(), 6);
    let validator = jsonschema::validator_for(&crate::scenario::schema::schema()).unwrap();
    assert!(validator.is_valid(&serde_saphyr::from_str::<serde_json::Value>(&all).unwrap()));
}

#[test]
fn a_new_vendor_is_called_like_its_folder_and_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("contracts/shop/vendor.yaml");
    let said = firedrill(&Fake::default(), &["new", &path.to_string_lossy()]);
    assert_eq!(said.code, ExitCode::Passed, "{}", said.err);
    assert!(said.out.contains("vendors: { ALIAS: shop }"), "{}", said.out);
    let file = crate::vendor::VendorFile::load(
        "shop",
        Some(&dir.path().join("contracts")),
        &serde_json::Value::Null,
    );
    let mut vendor = crate::vendor::open(&std::sync::Arc::new(file.unwrap()), crate::drill::EPOCH, Seed(1));
    let given: crate::scenario::Given = serde_json::from_value(serde_json::json!({ "count": 3 })).unwrap();
    assert_eq!(vendor.give("orders", &given).unwrap().len(), 3);
}

#[test]
fn check_names_each_good_file() {
    let (_dir, path) = folder(&["pass", "fail"]);
    let backend = Fake::default();
    let said = firedrill(&backend, &["check", &path]);
    assert_eq!((said.code, said.out.lines().count()), (ExitCode::Passed, 2));
    assert!(backend.ran.lock().unwrap().is_empty());
}

#[test]
fn check_reads_the_recordings_that_vendors_answer_from() {
    let (dir, path) = folder(&[]);
    let file = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    file("passwd", "root:x:0:0:root:/root:/bin/bash\n");
    file("cut.json", "{\n  \"origin\": \"x\",\n  \"recorded\": \"2026-0");
    file("shop.har", r#"{"log": {"version": "1.2", "entries": []}}"#);
    file("empty.json", r#"{"origin": "x", "recorded": "2026-03-01", "exchanges": []}"#);
    file(
        "good.json",
        r#"{"origin": "x", "recorded": "2026-03-01", "exchanges": [{"request": {"method": "GET", "target": "/a"}, "response": {"status": 200}}]}"#,
    );
    let mut told = String::new();
    for run in ["missing.json", "passwd", "cut.json", "shop.har", "empty.json", "good.json"] {
        let drill = format!(
            "drill: it replays\nwhy: w\nfamily: retry\nvendors:\n  hub:\n    vendor: github\n    fixtures: {{ run: {run} }}\n"
        );
        file("drill.yaml", &drill);
        let said = firedrill(&Fake::default(), &["check", &path]);
        let good = run == "good.json";
        assert_eq!(said.code, if good { ExitCode::Passed } else { ExitCode::Usage }, "{run}: {}", said.out);
        assert_eq!(said.out.starts_with("ok"), good, "{run}: {}", said.out);
        told += &said.err.replace(&path, "drills");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_proof_fails_on_a_missed_defect_or_a_false_alarm() {
    let (_dir, path) = folder(&["pass"]);
    let row = |caught, alarms: &[&str]| Row {
        defect: "d".into(),
        failure: "f".into(),
        claimed_by: "retry/0_pass".into(),
        caught,
        by_rules: vec![],
        false_alarms: alarms.iter().map(|a| (*a).to_owned()).collect(),
    };
    for (row, code) in [
        (row(Caught::Yes, &[]), ExitCode::Passed),
        (row(Caught::No, &[]), ExitCode::Failed),
        (row(Caught::Unknown, &[]), ExitCode::Unknown),
        (row(Caught::Yes, &["x"]), ExitCode::Failed),
    ] {
        let backend = Fake { rows: vec![row], ..Fake::default() };
        assert_eq!(firedrill(&backend, &["prove", &path]).code, code);
    }
}

#[test]
fn help_documents_the_exit_codes() {
    let said = firedrill(&Fake::default(), &["--help"]);
    assert_eq!(said.code, ExitCode::Passed);
    insta::assert_snapshot!(said.out);
}

#[test]
fn an_explanation_answers_a_finding() {
    let said = firedrill(&Fake::default(), &["explain", "idempotency/no_key"]);
    assert_eq!(said.code, ExitCode::Passed);
    assert!(said.out.starts_with("idempotency/no_key\n\nA create carries no idempotency key"));
    let unknown = firedrill(&Fake::default(), &["explain", "idempotency/no_kye"]);
    assert_eq!(unknown.code, ExitCode::Usage);
    assert!(unknown.err.contains("did you mean `idempotency/no_key`?"), "{}", unknown.err);
    assert_eq!(unknown.err.lines().count(), 2, "no list hides what was meant: {}", unknown.err);
    assert!(firedrill(&Fake::default(), &["explain", "zebra"]).err.contains("rules:\n"));
    let acts = firedrill(&Fake::default(), &["explain", "acts"]).out;
    let one = firedrill(&Fake::default(), &["explain", "slow_accept"]).out;
    assert!(one.starts_with("do: { slow_accept: 500ms }\n    Connections") && acts.contains(&one), "{one}");
    assert!(firedrill(&Fake::default(), &["explain", "webhok"]).err.contains("did you mean `webhook`?"));
}

#[test]
fn a_drill_that_passes_only_when_tried_again_is_flaky_and_said_so() {
    let (_folder, path) = folder(&["flaky", "pass"]);
    let once = firedrill(&Fake::default(), &["run", &path]);
    assert_eq!(once.code, ExitCode::Failed);
    let again = firedrill(&Fake::default(), &["run", &path, "--retries", "1", "--format", "terminal"]);
    assert_eq!(again.code, ExitCode::Passed);
    assert!(again.out.contains("FLAKY") && again.out.contains("1 passed, 1 flaky"), "{}", again.out);
}

#[test]
fn a_drill_that_is_skipped_is_no_failure_and_not_tried_again() {
    let (_folder, path) = folder(&["skipped", "pass"]);
    let backend = Fake::default();
    let args = ["run", &path, "--retries", "2", "--fail-fast", "--jobs", "1", "--format", "terminal"];
    let said = firedrill(&backend, &args);
    assert_eq!(said.code, ExitCode::Passed);
    assert_eq!(backend.ran.lock().unwrap().len(), 2);
    assert!(said.out.contains("SKIP") && said.out.contains("1 passed, 1 skipped"), "{}", said.out);
    let (_folder, path) = folder(&["skipped"]);
    assert_eq!(firedrill(&backend, &["run", &path]).code, ExitCode::Unknown);
}

#[test]
fn a_failure_is_tried_again_only_as_often_as_asked() {
    let (_folder, path) = folder(&["fail"]);
    let backend = Fake::default();
    assert_eq!(firedrill(&backend, &["run", &path, "--retries", "2"]).code, ExitCode::Failed);
    assert_eq!(backend.ran.lock().unwrap().len(), 3);
}

#[test]
fn parts_share_the_drills_and_an_empty_part_is_no_failure() {
    let (_folder, path) = folder(&["pass", "fail", "unknown"]);
    let backend = Fake::default();
    assert_eq!(firedrill(&backend, &["run", &path, "--partition", "2/3"]).code, ExitCode::Failed);
    assert_eq!(*backend.ran.lock().unwrap(), [("retry/1_fail".to_owned(), 1)]);
    let listed = firedrill(&backend, &["run", &path, "--partition", "2/3", "--list"]);
    assert_eq!(listed.out, "retry/1_fail  fail\n");
    let empty = firedrill(&backend, &["run", &path, "--partition", "4/4"]);
    assert_eq!(empty.code, ExitCode::Passed);
    assert!(empty.err.contains("part 4/4 of 3 drills is empty"), "{}", empty.err);
    assert_eq!(firedrill(&backend, &["run", &path, "--partition", "5/4"]).code, ExitCode::Usage);
}

#[test]
fn the_junit_report_shows_every_outcome() {
    let (folder, path) = folder(&["pass", "fail", "unknown", "skipped", "refused", "broken"]);
    let file = folder.path().join("out/junit.xml");
    firedrill(&Fake::default(), &["run", &path, "--junit", &file.to_string_lossy()]);
    let xml = std::fs::read_to_string(&file).unwrap().replace(&path, "DRILLS");
    insta::assert_snapshot!(xml);
}

#[test]
fn pages_are_written_for_drills_with_a_trace_and_the_index_lists_all() {
    let (folder, path) = folder(&["pass", "fail", "broken", "skipped"]);
    let out = folder.path().join("html");
    firedrill(&Fake::default(), &["run", &path, "--html", &out.to_string_lossy()]);
    let index = std::fs::read_to_string(out.join("index.html")).unwrap();
    for page in ["retry/0_pass.seed-1.html", "retry/1_fail.seed-1.html"] {
        assert!(index.contains(&format!("href=\"{page}\"")) && out.join(page).is_file(), "{page}");
    }
    assert!(index.contains("a port was taken"));
    assert!(index.contains("1 skipped") && index.contains("it takes an hour"));
}

#[test]
fn a_report_that_cannot_be_written_is_said_and_not_a_pass() {
    let (folder, path) = folder(&["pass"]);
    std::fs::write(folder.path().join("file"), "").unwrap();
    let there = folder.path().join("file/junit.xml");
    let said = firedrill(&Fake::default(), &["run", &path, "--junit", &there.to_string_lossy()]);
    assert_eq!(said.code, ExitCode::Usage);
    assert!(said.err.contains("cannot be written"), "{}", said.err);
    let (folder, path) = self::folder(&["broken"]);
    let site = folder.path().join("site");
    std::fs::create_dir_all(site.join("index.html")).unwrap();
    let said = firedrill(&Fake::default(), &["run", &path, "--html", &site.to_string_lossy()]);
    assert!(said.err.contains("index.html cannot be written"), "{}", said.err);
    assert_eq!(said.code, ExitCode::Internal, "a fault of firedrill is the worse: {}", said.err);
}

#[test]
fn a_place_that_cannot_be_written_is_told_before_any_drill_is_run() {
    let (folder, path) = folder(&["pass"]);
    std::fs::write(folder.path().join("file"), "").unwrap();
    std::fs::create_dir(folder.path().join("folder.xml")).unwrap();
    for (option, place) in
        [("--junit", "file/x.xml"), ("--junit", "folder.xml"), ("--html", "file/site"), ("--trace", "file")]
    {
        let (backend, place) = (Fake::default(), folder.path().join(place));
        let said = firedrill(&backend, &["run", &path, option, &place.to_string_lossy()]);
        assert_eq!(said.code, ExitCode::Usage, "{option}: {}", said.err);
        assert!(
            said.err.contains("nothing was run") && backend.ran.lock().unwrap().is_empty(),
            "{}",
            said.err
        );
    }
}

#[test]
fn a_scale_that_shortens_nothing_is_refused() {
    let (_folder, path) = folder(&["pass"]);
    let said = firedrill(&Fake::default(), &["run", &path, "--scale", "10"]);
    assert_eq!(said.code, ExitCode::Usage);
    assert!(said.err.contains("`--subject FILE`"), "{}", said.err);
}

#[test]
fn the_readme_counts_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let nothing_known = |_: &VendorUse| Ok(None);
    let drills = crate::plan::load(&[root.join("scenarios")], &nothing_known).unwrap().len();
    let defects = crate::prove::defects().len();
    for said in [
        format!("drilled {drills} drills: {drills} passed"),
        format!("([all {drills}](scenarios))"),
        format!("plants {defects} defects"),
    ] {
        assert!(readme.contains(&said), "README.md should say: {said}");
    }
}

#[test]
fn a_defect_that_is_named_where_a_file_belongs_is_met_with_the_way_to_plant_it() {
    for word in ["key_not_persisted", "key_not", "key_not_persistd"] {
        let said = firedrill(&Fake::default(), &["prove", word]);
        assert_eq!(said.code, ExitCode::Usage);
        assert!(said.err.contains("`firedrill prove --filter key_not"), "{}", said.err);
    }
    assert!(!firedrill(&Fake::default(), &["prove", "drills/x.yaml"]).err.contains("--filter"));
}

#[test]
fn a_drill_that_the_bundled_core_cannot_meet_is_sound_and_says_so() {
    let (_folder, path) = folder(&["foreign", "pass"]);
    let said = firedrill(&Fake::default(), &["check", &path]);
    assert_eq!(said.code, ExitCode::Passed);
    assert_eq!(said.out.matches("it lacks `billing`").count(), 1, "{}", said.out);
}
