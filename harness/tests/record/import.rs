//! `firedrill import`, as a user calls it.

use std::path::{Path, PathBuf};
use std::process::Command;

use firedrill::fixture::{Body, Fixture, Omitted};
use serde_json::{Value, json};

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn import(folder: &Path, words: &[&str]) -> Said {
    let done = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .current_dir(folder)
        .args(["import", "--vendor", "shop"])
        .args(words)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: done.status.code(), out: text(&done.stdout), err: text(&done.stderr) }
}

fn folder(files: &[(&str, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn entry(url: &str, extra: Value) -> Value {
    let mut entry = json!({
        "startedDateTime": "2026-03-01T23:30:00.000-05:00",
        "request": { "method": "GET", "url": url, "httpVersion": "h2", "headers": [{ "name": ":path", "value": "/" }] },
        "response": { "status": 200, "headers": [{ "name": "Content-Type", "value": "application/json" }],
                      "content": { "size": 7, "mimeType": "application/json", "text": "{\"a\":1}" } },
        "timings": { "wait": -1 }
    });
    for (part, value) in extra.as_object().unwrap() {
        let target = &mut entry[part.as_str()];
        match value {
            Value::Object(members) => {
                for (k, v) in members {
                    target[k.as_str()] = v.clone();
                }
            }
            other => *target = other.clone(),
        }
    }
    entry
}

fn har(entries: &[Value]) -> String {
    let log =
        json!({ "version": "1.2", "creator": { "name": "Firefox", "version": "140.0" }, "entries": entries });
    serde_json::to_string_pretty(&json!({ "log": log })).unwrap()
}

fn run(folder: &Path, name: &str) -> Fixture {
    Fixture::read(&folder.join(format!("fixtures/shop/{name}.json"))).unwrap()
}

#[test]
fn a_browsers_export_becomes_a_run_and_what_is_no_exchange_is_named() {
    let at = "https://api.shop.test";
    let entries = [
        entry(&format!("{at}/items?token=abcdefgh1234#top"), json!({})),
        entry(
            &format!("{at}/image"),
            json!({ "response": { "headers": [{ "name": "content-encoding", "value": "gzip" }],
            "content": { "size": 3, "mimeType": "image/png", "text": "//79", "encoding": "base64" } } }),
        ),
        entry(&format!("{at}/live"), json!({ "_webSocketMessages": [], "response": { "status": 101 } })),
        entry(
            &format!("{at}/gone?secret=abcdefgh1234"),
            json!({ "response": { "status": 0, "_error": "net::ERR_ABORTED" } }),
        ),
        entry("data:text/plain,hello", json!({})),
        entry(
            &format!("{at}/lost"),
            json!({ "response": { "content": { "size": 5312, "mimeType": "text/html", "text": null } } }),
        ),
        entry(&format!("{at}/cached"), json!({ "response": { "status": 304 } })),
        entry(
            &format!("{at}/form"),
            json!({ "request": { "method": "POST", "postData": {
            "mimeType": "application/x-www-form-urlencoded", "params": [{ "name": "a", "value": "b c" }, { "name": "password", "value": "pw" }] } } }),
        ),
    ];
    let folder = folder(&[("shop.har", format!("\u{feff}{}", har(&entries)))]);
    let said = import(folder.path(), &["shop.har"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    insta::assert_snapshot!(said.err + &said.out);
    let run = run(folder.path(), "shop");
    assert_eq!(
        run.origin,
        "imported from HAR written by Firefox 140.0 (shop.har), recorded from https://api.shop.test"
    );
    assert_eq!(run.recorded.to_string(), "2026-03-02", "the day in UTC");
    let targets: Vec<&str> = run.exchanges.iter().map(|e| e.request.target.as_str()).collect();
    assert_eq!(targets, ["/items?token=REDACTED-1", "/image", "/cached", "/form"]);
    assert_eq!(run.exchanges[1].response.body.as_ref().unwrap().bytes().as_ref(), [0xff, 0xfe, 0xfd]);
    assert_eq!(
        run.exchanges[1].response.headers.get("content-encoding"),
        None,
        "its bytes are not coded any more"
    );
    assert_eq!(run.exchanges[2].response.body, None);
    assert_eq!(run.exchanges[3].request.body, Some(Body::Text("a=b+c&password=REDACTED-2".into())));
    assert_eq!(run.notes.len(), 4);
}

#[test]
fn several_origins_are_chosen_from_and_nothing_is_written_over() {
    let entries =
        [entry("https://api.shop.test:443/a", json!({})), entry("https://tracker.test/b", json!({}))];
    let folder = folder(&[("shop.har", har(&entries))]);
    let said = import(folder.path(), &["shop.har"]);
    assert_eq!(said.code, Some(64));
    assert!(
        said.err.contains("https://api.shop.test (1), https://tracker.test (1); choose with --origin"),
        "{}",
        said.err
    );
    let words = ["shop.har", "--origin", "https://api.shop.test"];
    assert_eq!(import(folder.path(), &words).code, Some(0));
    assert_eq!(run(folder.path(), "shop").exchanges.len(), 1);
    let again = import(folder.path(), &words);
    assert!(again.code == Some(64) && again.err.contains("exists already"), "{}", again.err);
    assert_eq!(import(folder.path(), &[&words[..], &["--replace"]].concat()).code, Some(0));
}

#[test]
fn a_recording_that_cannot_be_written_is_refused_and_nothing_is() {
    let good = har(&[entry("https://api.shop.test/a", json!({}))]);
    let folder = folder(&[("a.har", good), ("out/file", String::new())]);
    let said = import(folder.path(), &["a.har", "--out", "out/file"]);
    assert_eq!(said.code, Some(64), "{}", said.err);
    assert!(said.err.contains("out/file/shop/a.json: cannot be written: "), "{}", said.err);
    assert!(said.err.ends_with("nothing was written\n"), "{}", said.err);
}

#[test]
fn a_secret_nobody_knows_is_held_back_until_a_rule_is_written() {
    let text = json!({ "shop_credential": "k9J2mQ7xR4tV8wZ1bN6cL3" }).to_string();
    let odd = entry("https://api.shop.test/b", json!({ "response": { "content": { "text": text } } }));
    let folder = folder(&[("shop.har", har(&[entry("https://api.shop.test/a", json!({})), odd]))]);
    let said = import(folder.path(), &["shop.har"]);
    assert_eq!(said.code, Some(1), "{}", said.err);
    insta::assert_snapshot!(said.err + &said.out);
    assert_eq!(run(folder.path(), "shop").exchanges.len(), 1);
    std::fs::write(folder.path().join("fixtures/redact.yaml"), "fields: ['shop_credential']\n").unwrap();
    assert_eq!(import(folder.path(), &["shop.har", "--replace"]).code, Some(0));
    assert_eq!(run(folder.path(), "shop").exchanges.len(), 2);
}

#[test]
fn a_body_that_is_too_large_is_kept_as_length_and_hash_as_the_recorder_keeps_it() {
    let large = "x".repeat(5 << 20);
    let at = "https://api.shop.test/export";
    let sent =
        json!({ "method": "POST", "postData": { "mimeType": "text/plain", "text": "y".repeat(2000) } });
    let entries = [
        entry(at, json!({ "response": { "content": { "text": large } } })),
        entry(at, json!({ "request": sent })),
    ];
    let nock = json!([{ "scope": "https://api.shop.test", "method": "get", "path": "/export", "response": { "a": large } }]);
    let folder = folder(&[("shop.har", har(&entries)), ("nock.json", nock.to_string())]);
    let omitted = |name: &str, nth: usize| {
        let exchange = run(folder.path(), name).exchanges.remove(nth);
        match (exchange.request.body, exchange.response.body) {
            (_, Some(Body::Omitted(omitted))) | (Some(Body::Omitted(omitted)), _) => Some(omitted),
            _ => None,
        }
    };

    let said = import(folder.path(), &["shop.har"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(
        said.err,
        "note: shop.har: entry 1, GET /export: the body of the answer, 5242880 bytes, is too large to be kept; length and SHA-256 are\n"
    );
    assert!(said.out.contains("1 with a body that was not kept"), "{}", said.out);
    assert_eq!(omitted("shop", 0), Some(Omitted::of(large.as_bytes())));
    assert_eq!(omitted("shop", 1), None);
    assert_eq!(run(folder.path(), "shop").notes.len(), 1);

    let words = ["shop.har", "--replace", "--largest-body", "1000"];
    assert_eq!(import(folder.path(), &words).code, Some(0));
    assert_eq!(omitted("shop", 1), Some(Omitted::of("y".repeat(2000).as_bytes())));

    assert_eq!(import(folder.path(), &["nock.json", "--recorded", "2026-03-01"]).code, Some(0));
    assert_eq!(omitted("nock", 0).map(|o| o.length), Some((5 << 20) + 8));
}

#[test]
fn a_mistake_in_the_rules_is_pointed_at() {
    let folder = folder(&[
        ("shop.har", har(&[entry("https://api.shop.test/a", json!({}))])),
        ("fixtures/redact.yaml", "# ours\nkeep: [page]\npatterns: ['(']\n".to_owned()),
    ]);
    let said = import(folder.path(), &["shop.har"]);
    assert_eq!(said.code, Some(64));
    insta::assert_snapshot!(said.err);
}

#[test]
fn nock_is_told_by_its_content_and_namesakes_by_their_folders() {
    let nock = |path: &str| {
        json!([{ "scope": "https://api.shop.test:443", "method": "get", "path": path, "status": 200,
            "response": { "a": 1 }, "rawHeaders": ["Date", "Tue, 19 Jul 2022 04:39:16 GMT"] }])
        .to_string()
    };
    let folder = folder(&[("one/raw.json", nock("/1")), ("two/raw.json", nock("/2"))]);
    let said = import(folder.path(), &["one/raw.json", "two/raw.json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let run = run(folder.path(), "two-raw");
    assert_eq!(
        (run.exchanges[0].request.target.as_str(), run.recorded.to_string().as_str()),
        ("/2", "2022-07-19")
    );
}

/// What a command says of a bad file, for the golden text.
fn mistake(name: &str, bytes: &[u8]) -> String {
    let folder = folder(&[]);
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let said = import(folder.path(), &[name]);
    assert_eq!(said.code, Some(64), "{name}: {}", said.err);
    assert!(!PathBuf::from(folder.path()).join("fixtures").exists(), "{name}: something was written");
    said.err.replace("nothing was written\n", "")
}

#[test]
fn a_bad_file_is_refused_with_its_place_and_nothing_is_written() {
    let whole =
        har(&[entry("https://api.shop.test/a", json!({})), entry("https://api.shop.test/b", json!({}))]);
    let with = |extra: Value| {
        har(&[entry("https://api.shop.test/a", json!({})), entry("https://api.shop.test/b", extra)])
    };
    let no_method = whole.replacen("\"method\": \"GET\",", "", 1);
    let mut bad_utf8 = whole.clone().into_bytes();
    bad_utf8[100] = 0xff;
    let nock = |exchange: Value| json!([exchange]).to_string();
    let deep = format!("{{\"log\": {}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("truncated.har", whole[..whole.len() / 2].into()),
        ("empty.har", Vec::new()),
        ("number.har", b"12".to_vec()),
        ("no_entries.har", b"{\"log\": {}}".to_vec()),
        ("no_method.har", no_method.into()),
        ("status_999.har", with(json!({ "response": { "status": 999 } })).into()),
        ("status_negative.har", with(json!({ "response": { "status": -1 } })).into()),
        ("version_2.har", whole.replacen("\"1.2\"", "\"2.0\"", 1).into()),
        ("version_number.har", whole.replacen("\"1.2\"", "1.2", 1).into()),
        ("version_none.har", whole.replacen("\"version\": \"1.2\"", "\"comment\": \"\"", 1).into()),
        ("status_text.har", with(json!({ "response": { "status": "ok" } })).into()),
        (
            "field_name.har",
            with(json!({ "response": { "headers": [{ "name": "a b", "value": "x" }] } })).into(),
        ),
        (
            "field_value.har",
            with(json!({ "response": { "headers": [{ "name": "a", "value": "x\u{0}y" }] } })).into(),
        ),
        (
            "base64.har",
            with(json!({ "response": { "content": { "text": "!", "encoding": "base64" } } })).into(),
        ),
        (
            "base64_cut.har",
            with(json!({ "response": { "content": { "text": "aGVsbG8", "encoding": "base64" } } })).into(),
        ),
        ("not_utf8.har", bad_utf8),
        ("deep.har", deep.into()),
        ("method_number.har", with(json!({ "request": { "method": 7 } })).into()),
        (
            "headers_text.har",
            with(json!({ "response": { "headers": "authorization: Bearer sk_live_0123456789abcdef" } }))
                .into(),
        ),
        ("typo_required.har", whole.replacen("\"url\"", "\"ulr\"", 1).into()),
        ("typo_optional.har", whole.replacen("\"content\"", "\"contents\"", 1).into()),
        ("typo_log.har", whole.replacen("\"entries\"", "\"entires\"", 1).into()),
        (
            "one_line.har",
            serde_json::from_str::<Value>(&with(json!({ "request": { "url": [1] } })))
                .unwrap()
                .to_string()
                .into(),
        ),
        ("nock_typo.json", nock(json!({ "method": "get", "path": "/", "respones": { "a": 1 } })).into()),
        (
            "nock_header.json",
            nock(json!({ "method": "get", "path": "/", "rawHeaders": ["a", "b", "c"] })).into(),
        ),
        ("nock_status.json", nock(json!({ "method": "get", "path": "/", "status": 70000 })).into()),
        ("nock_method.json", nock(json!({ "method": "g t", "path": "/" })).into()),
        ("nock_path.json", nock(json!({ "method": "get", "path": "a" })).into()),
        ("nock_undated.json", nock(json!({ "method": "get", "path": "/a" })).into()),
    ];
    let said: Vec<String> = cases.iter().map(|(name, bytes)| mistake(name, bytes)).collect();
    insta::assert_snapshot!(said.concat());
}

#[test]
fn json_of_too_many_values_is_measured_and_not_taken_apart() {
    let many = format!("[{}1]", "1,".repeat(10_000_000));
    let content = json!({ "size": many.len(), "mimeType": "application/json", "text": many });
    let har = har(&[entry("https://api.shop.test/jobs", json!({ "response": { "content": content } }))]);
    let nock = format!(
        r#"[{{"scope": "https://api.shop.test:443", "method": "get", "path": "/jobs", "response": {many}}}]"#
    );
    let folder = folder(&[("shop.har", har), ("shop.json", nock)]);
    let limits = ["--largest-body", "100000000", "--recorded", "2026-03-01"];
    for (file, limits, why) in [
        (
            "shop.har",
            &limits[..],
            "is JSON of more than 10000000 values, which are too many to be looked through",
        ),
        ("shop.json", &limits[2..], "is too large to be kept"),
    ] {
        let name = &["--name", &file[5..], file][..];
        let said = import(folder.path(), &[limits, name].concat());
        assert_eq!(said.code, Some(0), "{file}: {}", said.err);
        assert!(said.err.contains(why), "{file}: {}", said.err);
        let kept = run(folder.path(), &file[5..]).exchanges.remove(0).response.body;
        assert_eq!(kept, Some(Body::Omitted(Omitted::of(many.as_bytes()))), "{file}");
    }
    let written = folder.path().join("fixtures/shop/many.json");
    let head = r#"{"origin": "x", "recorded": "2026-03-01", "exchanges": [{"request": {"method": "GET", "target": "/a"},"#;
    let run = format!(r#"{head} "response": {{"status": 200, "body": {{"json": {many}}}}}}}]}}"#);
    std::fs::write(&written, run).unwrap();
    let refused = Fixture::read(&written).unwrap_err().to_string();
    assert!(
        refused.contains("more than 10000000 JSON values") && refused.contains("--largest-body"),
        "{refused}"
    );
}

#[test]
fn what_may_be_a_key_or_an_id_is_kept_and_counted_unless_that_is_forbidden() {
    let doubtful = r#"{"items":[{"ref":"V1StGXR8Z5jdHi6BmyT4a"},{"ref":"9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"}],"id":"V1StGXR8Z5jdHi6BmyT4a"}"#;
    let content = json!({ "size": doubtful.len(), "mimeType": "application/json", "text": doubtful });
    let one = entry("https://api.shop.test/jobs", json!({ "response": { "content": content } }));
    let folder = folder(&[
        ("shop.har", har(&[one])),
        ("strict.yaml", "strict: true\n".into()),
        ("kept.yaml", "strict: true\nkeep: [ref]\n".into()),
    ]);
    let said = import(folder.path(), &["shop.har"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    insta::assert_snapshot!("kept_in_doubt", said.err);
    assert!(
        std::fs::read_to_string(folder.path().join("fixtures/shop/shop.json")).unwrap().contains("V1StGXR8")
    );
    let held = import(folder.path(), &["--name", "held", "--redact", "strict.yaml", "shop.har"]);
    assert_eq!(held.code, Some(1), "{}", held.err);
    insta::assert_snapshot!("held_in_doubt", held.err);
    assert!(!folder.path().join("fixtures/shop/held.json").exists());
    let kept = import(folder.path(), &["--name", "kept", "--redact", "kept.yaml", "shop.har"]);
    assert_eq!((kept.code, kept.err.as_str()), (Some(0), ""));
}
