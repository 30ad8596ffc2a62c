//! Files that were cut, damaged or tampered with, by the thousand: each command says what is wrong,
//! or judges what is left; none panics, none calls it a fault of firedrill itself.
//!
//! The damage is the same each time. `FIREDRILL_DAMAGE=N` begins elsewhere, `PROPTEST_CASES=N`
//! does more of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use firedrill::cli::{Bundled, Console, ExitCode, command};
use firedrill::contract::Contract;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// One damage; places are shares of the file.
#[derive(Clone, Debug)]
enum Damage {
    Truncated(f64),
    BitFlipped(f64, u8),
    Lost(f64, usize),
    Repeated(f64, usize),
    Put(f64, &'static [u8]),
}

/// What a file is not prepared for.
const ODD: [&[u8]; 20] = [
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"\0",
    b"\xff\xfe",
    b"*a",
    b"&a ",
    b"\"",
    b"'",
    b"\n",
    b"\t",
    b": ",
    b"- ",
    b",",
    b"\xe2\x80\xa8",
    b"\"$ref\":\"#/a\",",
    b"99999999999999999999999999",
    b"[[[[[[[[[[[[[[[[",
];

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let place = || 0.0..1.0f64;
    let one = prop_oneof![
        place().prop_map(Damage::Truncated),
        (place(), 0..8u8).prop_map(|(at, bit)| Damage::BitFlipped(at, bit)),
        (place(), 1..40usize).prop_map(|(at, n)| Damage::Lost(at, n)),
        (place(), 1..200usize).prop_map(|(at, n)| Damage::Repeated(at, n)),
        (place(), select(&ODD[..])).prop_map(|(at, odd)| Damage::Put(at, odd)),
    ];
    proptest::collection::vec(one, 1..4)
}

fn damaged(bytes: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for damage in damages {
        let place = |at: &f64| (bytes.len() as f64 * at) as usize;
        match damage {
            Damage::Truncated(at) => bytes.truncate(place(at)),
            Damage::BitFlipped(at, bit) => {
                let at = place(at);
                bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << bit);
            }
            Damage::Lost(at, n) => drop(bytes.drain(place(at)..(place(at) + n).min(bytes.len()))),
            Damage::Repeated(at, n) => {
                let from = place(at);
                let piece = bytes[from..(from + n).min(bytes.len())].to_vec();
                bytes.splice(from..from, piece);
            }
            Damage::Put(at, odd) => drop(bytes.splice(place(at)..place(at), odd.iter().copied())),
        }
    }
    bytes
}

fn project(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(part)
}

/// Exit code and what was said.
fn firedrill(words: &[&str]) -> (ExitCode, String) {
    firedrill_with(&project("contracts"), words)
}

fn firedrill_with(contracts: &Path, words: &[&str]) -> (ExitCode, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console { out: &mut out, err: &mut err, progress: false, real_times: false };
    let contracts = contracts.display().to_string();
    let first = ["firedrill", "--contracts", &contracts];
    let words = first.iter().chain(words).map(OsString::from);
    let code = command(words, &Bundled::default(), &mut console);
    out.extend(err);
    (code, String::from_utf8_lossy(&out).into_owned())
}

/// Damages `whole` in many ways, writes it to `file`, and calls `commands` each time: what they say
/// must be a verdict, or a mistake with the file's name.
fn survives(folder: &Path, file: &str, whole: &[u8], commands: &[&[&str]]) {
    let seed: u8 = std::env::var("FIREDRILL_DAMAGE").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut refused = 0;
    runner
        .run(&damage(), |damages| {
            std::fs::write(&path, damaged(whole, &damages)).unwrap();
            for words in commands {
                let words: Vec<String> =
                    words.iter().map(|w| w.replace("FILE", &path.display().to_string())).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let (code, said) = firedrill(&words);
                if code == ExitCode::Internal {
                    return Err(TestCaseError::fail(format!(
                        "{words:?} calls it a fault of its own: {said}"
                    )));
                }
                if code == ExitCode::Usage && !said.contains(file) {
                    return Err(TestCaseError::fail(format!("{words:?} does not name the file: {said}")));
                }
            }
            Ok(())
        })
        .unwrap();
    // The damage is bad enough to be noticed, and not so bad that all of it is.
    for damages in (0..100).map(|n| vec![Damage::Truncated(f64::from(n) / 100.0)]) {
        std::fs::write(&path, damaged(whole, &damages)).unwrap();
        let words: Vec<String> =
            commands[0].iter().map(|w| w.replace("FILE", &path.display().to_string())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        refused += usize::from(firedrill(&words).0 == ExitCode::Usage);
    }
    assert!(refused > 0, "no truncation of {file} was refused");
    std::fs::write(&path, whole).unwrap();
}

const HAR: &str = r#"{"log":{"version":"1.2","creator":{"name":"Firefox","version":"140"},"entries":[
 {"startedDateTime":"2026-03-01T23:30:00.000-05:00","request":{"method":"POST","url":"https://api.shop.test/a?x=1&token=abcdefgh1234",
  "headers":[{"name":"accept","value":"*/*"}],"postData":{"mimeType":"application/json","text":"{\"a\":[1,2.5,null]}"}},
  "response":{"status":200,"headers":[{"name":"Content-Type","value":"application/json"}],"content":{"size":7,"mimeType":"application/json","text":"{\"a\":1}"}}},
 {"startedDateTime":"2026-03-01T23:31:00Z","request":{"method":"GET","url":"https://api.shop.test/image","headers":[]},
  "response":{"status":200,"headers":[{"name":"content-type","value":"image/png"}],"content":{"size":3,"text":"//79","encoding":"base64"}}}]}}"#;

const NOCK: &str = r#"[{"scope":"https://api.shop.test:443","method":"GET","path":"/a?b=c","body":"","status":200,
 "response":{"a":[1,{"b":null}]},"rawHeaders":["Date","Tue, 19 Jul 2022 04:39:16 GMT","Content-Type","application/json; charset=utf-8"]},
 {"scope":"https://api.shop.test:443","method":"POST","path":"/z","body":{"q":1},"status":201,"response":["1f8b08000000000000034b04004333d3fc01000000"],
 "rawHeaders":["Content-Encoding","gzip","Date","Tue, 19 Jul 2022 04:39:17 GMT"]}]"#;

const RUN: &str = r#"{"origin":"a test","recorded":"2024-03-02","noise":{"query":["t"],"body":["/a/*/b"]},"exchanges":[
 {"request":{"method":"GET","target":"/crm/v3/objects/deals/7?properties=amount","headers":["accept: application/json"]},
  "response":{"status":200,"headers":["content-type: application/json"],"body":{"json":{"id":"7","properties":{"amount":"12.50"},"createdAt":"2024-01-01T00:00:00Z","updatedAt":"2024-01-01T00:00:00Z","archived":false}}}},
 {"request":{"method":"POST","target":"/oauth/v1/token","headers":["content-type: application/x-www-form-urlencoded"],"body":{"text":"grant_type=refresh_token&client_id=a"}},
  "response":{"status":200,"headers":["content-type: application/json"],"body":{"base64":"H4sIAAA="}}}]}"#;

#[test]
fn a_file_of_any_kind_that_is_no_text_is_refused_with_the_place_of_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (run, har) = (write("good.json", RUN.as_bytes()), write("good.har", HAR.as_bytes()));
    let out = folder.path().join("fixtures").display().to_string();
    let drill = write(
        "shop.yaml",
        b"drill: It goes\nwhy: It must.\nfamily: retry\nvendors: { shop: shop }\nends_at: 1m\n",
    );
    let sound = project("scenarios/drift/_sweep.yaml").display().to_string();
    let cases: [(&str, &[&str]); 10] = [
        ("drill.yaml", &["check", "FILE"]),
        ("subject.yaml", &["run", "--subject", "FILE", &sound]),
        ("contracts/shop/vendor.yaml", &["check", &drill]),
        ("openapi.yaml", &["diff", "FILE", "FILE"]),
        ("shop.har", &["import", "--vendor", "shop", "--out", &out, "FILE"]),
        ("run.json", &["verify", "--vendor", "hubspot", "FILE"]),
        ("usual.json", &["verify", "--vendor", "hubspot", &run, "--baseline", "FILE"]),
        ("known.json", &["verify", "--vendor", "hubspot", &run, "--accept", "FILE"]),
        ("redact.yaml", &["import", "--vendor", "shop", "--out", &out, "--redact", "FILE", &har]),
        ("trace.jsonl", &["diff", "CONTRACT", "CONTRACT", "--only-used", "FILE"]),
    ];
    let contract = project("contracts/hubspot/openapi.yaml").display().to_string();
    for (name, words) in cases {
        let file = write(name, b"\n  \xe9t\xe9\n");
        let words: Vec<String> =
            words.iter().map(|w| w.replace("FILE", &file).replace("CONTRACT", &contract)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, said) = firedrill_with(&folder.path().join("contracts"), &words);
        assert_eq!(code, ExitCode::Usage, "{name}: {said}");
        let placed = [":2:3", "line 2 column 3"].iter().any(|place| said.contains(place));
        assert!(placed && said.contains("not UTF-8") && said.contains(name), "{name}: {said}");
    }
    assert!(!folder.path().join("fixtures").exists(), "something was written");
    write("contracts/shop/vendor.yaml", b"");
    let (code, said) = firedrill_with(&folder.path().join("contracts"), &["check", &drill]);
    assert!(code == ExitCode::Usage && said.contains("this file is empty"), "{said}");
}

#[test]
fn recordings_of_other_tools_are_imported_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("fixtures").display().to_string();
    let words: &[&str] = &["import", "--vendor", "shop", "--replace", "--out", &out, "FILE"];
    survives(folder.path(), "shop.har", HAR.as_bytes(), &[words]);
    survives(folder.path(), "nock.json", NOCK.as_bytes(), &[words]);
    std::fs::write(folder.path().join("good.har"), HAR).unwrap();
    let good = folder.path().join("good.har").display().to_string();
    let rules = "headers: [x-shop]\nfields: [pin]\nbody: [/a/*/ssn]\npatterns: ['acme_[a-z]{20}', 'id-([0-9]+)']\nkeep: [t]\nallow: ['v']\nskip: ['GET /x/*']\n";
    let words: &[&str] =
        &["import", "--vendor", "shop", "--replace", "--out", &out, "--redact", "FILE", &good];
    survives(folder.path(), "redact.yaml", rules.as_bytes(), &[words]);
}

#[test]
fn runs_are_verified_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let words: &[&str] = &["verify", "--vendor", "hubspot", "FILE"];
    survives(folder.path(), "run.json", RUN.as_bytes(), &[words]);
    let run = folder.path().join("run.json").display().to_string();
    let learned = folder.path().join("usual.json");
    let name = learned.display().to_string();
    let (code, said) = firedrill(&["verify", "--vendor", "hubspot", &run, "--learn", &name]);
    assert!(code != ExitCode::Usage, "{said}");
    let whole = std::fs::read(&learned).unwrap();
    let words: &[&str] = &["verify", "--vendor", "hubspot", &run, "--baseline", "FILE"];
    survives(folder.path(), "usual.json", &whole, &[words]);
    let words: &[&str] = &["verify", "--vendor", "hubspot", &run, "--accept", "FILE"];
    let accepted =
        r#"{"accepted":[{"id":"contract/type-1a2b","vendor":"hubspot","what":"x","why":"it is known"}]}"#;
    survives(folder.path(), "known.json", accepted.as_bytes(), &[words]);
}

#[test]
fn descriptions_are_compared_and_judged_by_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = std::fs::read(project("contracts/hubspot/openapi.yaml")).unwrap();
    let contract = Contract::parse("openapi.yaml".as_ref(), &yaml).unwrap();
    let json = serde_json::to_vec_pretty(contract.raw()).unwrap();
    let good = folder.path().join("good.json").display().to_string();
    std::fs::write(&good, &json).unwrap();
    let run = folder.path().join("run.json").display().to_string();
    std::fs::write(&run, RUN).unwrap();
    let commands: [&[&str]; 3] = [
        &["diff", "FILE", &good],
        &["diff", &good, "FILE", "--format", "json"],
        &["verify", "--vendor", "hubspot", "--contract", "FILE", &run],
    ];
    survives(folder.path(), "damaged.json", &json, &commands);
    survives(folder.path(), "damaged.yaml", &yaml, &commands);
}

#[test]
fn drills_are_good_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(project("scenarios/_base.yaml"), folder.path().join("_base.yaml")).unwrap();
    for drill in ["drift/_sweep.yaml", "drift/a_renamed_amount_is_not_billed_as_zero.yaml"] {
        let whole = std::fs::read(project("scenarios").join(drill)).unwrap();
        survives(folder.path(), "family/drill.yaml", &whole, &[&["check", "FILE"]]);
    }
}
