//! `firedrill verify` from outside: files and a live vendor in, text and exit code out.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;

use serde_json::json;

const DEAL: &str = r#"
openapi: 3.0.3
info: { title: deals, version: '2024-01-01' }
paths:
  /deals/{id}:
    get:
      parameters: [{ name: id, in: path, required: true, schema: { type: string } }]
      responses:
        200:
          description: a deal
          content: { application/json: { schema: { type: object, required: [amount], properties: { amount: { type: string } } } } }
    delete:
      parameters: [{ name: id, in: path, required: true, schema: { type: string } }]
      responses: { 204: { description: gone } }
"#;

fn project(amount: serde_json::Value) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    };
    write("contracts/crm/openapi.yaml", DEAL);
    let run = json!({ "origin": "a test", "recorded": "2024-03-02", "exchanges": [
        { "request": { "method": "GET", "target": "/deals/1" },
          "response": { "status": 200, "headers": ["content-type: application/json"], "body": { "json": { "amount": amount } } } },
        { "request": { "method": "DELETE", "target": "/deals/1" }, "response": { "status": 204 } },
    ] });
    write("fixtures/crm/run.json", &run.to_string());
    folder
}

/// Exit code, standard output, standard error.
fn firedrill(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(words)
        .env("CRM_TOKEN", "t0ken")
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code().unwrap(), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn exit_codes_tell_what_holds_what_broke_and_what_could_not_be_judged() {
    let good = project(json!("12.00"));
    let (code, out, err) = firedrill(good.path(), &["verify"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("the contract holds"), "{out}");
    let bad = project(json!(12));
    let (code, out, _) = firedrill(bad.path(), &["verify"]);
    assert_eq!(code, 1);
    for needed in [
        "contract/type",
        "/amount",
        "expected    a string",
        "got         integer `12`",
        "2024-03-02",
        "2024-01-01",
        "firedrill verify fixtures/crm/run.json",
    ] {
        assert!(out.contains(needed), "{needed} is missing in {out}");
    }
    std::fs::remove_file(bad.path().join("contracts/crm/openapi.yaml")).unwrap();
    let (code, _, err) = firedrill(bad.path(), &["verify"]);
    assert_eq!(code, 2);
    assert!(err.contains("crm has no contract"), "{err}");
    let (code, _, err) = firedrill(bad.path(), &["verify", "nowhere"]);
    assert_eq!((code, err.as_str()), (64, "error: nowhere: there is no such file or folder\n"));
    std::fs::write(bad.path().join("contracts/crm/openapi.yaml"), "swagger: '2.0'\n").unwrap();
    let (code, _, err) = firedrill(bad.path(), &["verify"]);
    assert_eq!(code, 64);
    assert!(err.contains("contracts/crm/openapi.yaml:1:1: this is Swagger 2.0"), "{err}");
    let empty = tempfile::tempdir().unwrap();
    std::fs::create_dir(empty.path().join("fixtures")).unwrap();
    assert_eq!(firedrill(empty.path(), &["verify"]).0, 2);
}

#[test]
fn findings_are_accepted_and_pruned_in_a_file() {
    let bad = project(json!(12));
    let (code, _, err) = firedrill(bad.path(), &["verify", "--accept", "known.json"]);
    assert_eq!(code, 64, "a list that is not there accepts nothing: {err}");
    assert_eq!(firedrill(bad.path(), &["verify", "--accept", "known.json", "--add"]).0, 0);
    let (code, out, _) = firedrill(bad.path(), &["verify", "--accept", "known.json"]);
    assert_eq!(code, 0);
    assert!(out.contains("1 accepted"), "{out}");
    let good = project(json!("12"));
    std::fs::copy(bad.path().join("known.json"), good.path().join("known.json")).unwrap();
    let (code, _, err) = firedrill(good.path(), &["verify", "--accept", "known.json", "--prune"]);
    assert_eq!(code, 0);
    assert!(err.contains("pruned contract/type-"), "{err}");
    let left = std::fs::read_to_string(good.path().join("known.json")).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&left).unwrap(), json!({ "accepted": [] }));
}

#[test]
fn pruning_keeps_what_was_not_looked_for() {
    let folder = project(json!(12));
    let run = std::fs::read_to_string(folder.path().join("fixtures/crm/run.json")).unwrap();
    let file = |name: &str| folder.path().join("fixtures/crm").join(name);
    std::fs::write(file("good.json"), run.replace("12", "\"12\"")).unwrap();
    let prune = |more: &[&str]| {
        let words = [&["verify", "--accept", "known.json", "--prune"], more].concat();
        let (_, _, err) = firedrill(folder.path(), &words);
        let known = std::fs::read_to_string(folder.path().join("known.json")).unwrap();
        (err, known.matches("\"id\"").count())
    };
    let usual = ["--learn", "usual.json", "fixtures/crm/good.json"];
    assert_eq!(firedrill(folder.path(), &[&["verify"], &usual[..]].concat()).0, 0);
    let add = ["verify", "--accept", "known.json", "--add", "--baseline", "usual.json"];
    assert_eq!(firedrill(folder.path(), &add).0, 0);
    let kept = "kept 3 accepted findings of which not all was looked at that it was seen in";
    let (err, known) = prune(&["fixtures/crm/good.json"]);
    assert!(err.starts_with(kept), "{err}");
    assert_eq!(known, 3);
    std::fs::write(file("run.json"), run.replace("12", "\"12\"")).unwrap();
    let (err, known) = prune(&[]);
    assert!(err.contains("pruned contract/type-"), "{err}");
    assert!(err.contains("kept 2 accepted findings "), "no baseline was looked at: {err}");
    assert_eq!(known, 2);
    let again = ["--learn", "usual.json"];
    std::fs::write(file("third.json"), run.replace("12", "\"12\"")).unwrap();
    assert_eq!(firedrill(folder.path(), &[&["verify"], &again[..]].concat()).0, 0);
    let (err, known) = prune(&["--baseline", "usual.json"]);
    assert!(err.contains("pruned baseline/too_few-"), "{err}");
    assert_eq!(known, 0);
}

#[test]
fn a_list_that_cannot_be_read_or_written_accepts_nothing() {
    let folder = project(json!(12));
    let (code, _, err) = firedrill(folder.path(), &["verify", "--accept", "contracts", "--add"]);
    assert_eq!(code, 64);
    assert!(err.contains("contracts: cannot be read: ") && !err.contains("accepted"), "{err}");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let (code, _, err) = firedrill(folder.path(), &["verify", "--accept", "file/known.json", "--add"]);
    assert_eq!(code, 64);
    assert!(err.contains("file/known.json: cannot be ") && !err.contains("accepted"), "{err}");
}

#[test]
fn what_was_learned_is_compared_with_later() {
    let good = project(json!("12"));
    let (code, _, err) = firedrill(good.path(), &["verify", "--learn", "usual.json"]);
    assert_eq!((code, err.as_str()), (0, "learned 1 answer into usual.json\n"));
    let (code, out, _) = firedrill(good.path(), &["verify", "--baseline", "usual.json"]);
    assert_eq!(code, 2, "{out}");
    for needed in ["? baseline/too_few", "it has 1: record 2 more", "not all could be judged"] {
        assert!(out.contains(needed), "{needed} is missing in {out}");
    }
    let run = std::fs::read_to_string(good.path().join("fixtures/crm/run.json")).unwrap();
    for more in ["second", "third"] {
        std::fs::write(good.path().join(format!("fixtures/crm/{more}.json")), &run).unwrap();
    }
    assert_eq!(firedrill(good.path(), &["verify", "--learn", "usual.json"]).0, 0);
    let (code, out, _) = firedrill(good.path(), &["verify", "--baseline", "usual.json"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("compared  3 answers with the baseline"), "{out}");
    std::fs::write(good.path().join("fixtures/crm/third.json"), run.replace("\"amount\"", "\"total\""))
        .unwrap();
    let (code, out, _) = firedrill(good.path(), &["verify", "--baseline", "usual.json"]);
    assert_eq!(code, 1, "{out}");
    let absent = out.split("baseline/absent").nth(1).unwrap();
    assert!(absent.contains("seen        once, first in fixtures/crm/third.json exchange 1"), "{absent}");
    assert!(absent.contains("again       firedrill verify --baseline usual.json\n"), "{absent}");
    std::fs::remove_dir_all(good.path().join("contracts")).unwrap();
    std::fs::write(good.path().join("fixtures/crm/third.json"), &run).unwrap();
    assert_eq!(firedrill(good.path(), &["verify", "--learn", "usual.json"]).0, 0);
    let (code, out, _) =
        firedrill(good.path(), &["verify", "--baseline", "usual.json", "fixtures/crm/run.json"]);
    assert_eq!((code, out.contains("all is as in the baseline")), (0, true), "{out}");
    std::fs::write(good.path().join("usual.json"), "{ \"answers\": 3 }").unwrap();
    let (code, _, err) = firedrill(good.path(), &["verify", "--baseline", "usual.json"]);
    assert_eq!(code, 64);
    assert!(err.starts_with("error: usual.json:1:14: "), "{err}");
}

/// A vendor that answers `answers` requests with `body`, and says what it was asked.
fn vendor(body: &'static str, answers: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let one = |_| {
            let (mut socket, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&head).to_lowercase()
        };
        (0..answers).map(one).collect()
    });
    (url, asked)
}

/// Without the breaks of lines.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn the_command_that_shows_a_finding_again_is_whole() {
    let project = project(json!(12));
    let root = project.path();
    std::fs::rename(root.join("fixtures"), root.join("what we saw")).unwrap();
    std::fs::rename(root.join("contracts"), root.join("apis")).unwrap();
    let again = "verify 'what we saw/crm/run.json' --vendor crm --contracts apis";
    let (code, out, err) = firedrill(root, &["verify", "what we saw", "--contracts", "apis"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(squeezed(&out).contains(&squeezed(&format!("again firedrill {again}"))), "{out}");

    let (url, asked) = vendor(r#"{"amount": 12}"#, 1);
    let token = "authorization: Bearer ${CRM_TOKEN}";
    let words = [
        "verify",
        "what we saw/crm/run.json",
        "--vendor",
        "crm",
        "--contract",
        "apis/crm/openapi.yaml",
        "--live",
        &url,
        "--header",
        token,
        "--header",
        "x-key: s3cret",
        "--with",
        "id=7",
        "--with",
        "api_key=s3cret",
    ];
    let (code, out, err) = firedrill(root, &words);
    assert_eq!(code, 1, "{out}{err}");
    let again = format!(
        "again firedrill verify 'what we saw/crm/run.json' --live {url} --vendor crm --header '{token}' \
         --header 'x-key: …' --with id=7 --with 'api_key=…' --contract apis/crm/openapi.yaml"
    );
    assert!(squeezed(&out).contains(&squeezed(&again)), "{out}");
    assert!(!out.contains("s3cret"), "{out}");
    asked.join().unwrap();
}

#[test]
fn a_live_vendor_is_asked_only_what_is_safe() {
    let project = project(json!("12"));
    let (url, asked) = vendor(r#"{"amount": 12}"#, 1);
    let words =
        ["verify", "--vendor", "crm", "--live", &url, "--header", "authorization: Bearer ${CRM_TOKEN}"];
    let (code, out, err) = firedrill(project.path(), &words);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("got         integer `12`") && out.contains("(live)"), "{out}");
    assert!(!out.contains("t0ken"), "{out}");
    let again =
        format!("firedrill verify --live {url} --vendor crm --header 'authorization: Bearer ${{CRM_TOKEN}}'");
    assert!(squeezed(&out).contains(&squeezed(&again)), "{out}");
    let asked = asked.join().unwrap();
    assert!(
        asked[0].starts_with("get /deals/1 http/1.1") && asked[0].contains("authorization: bearer t0ken"),
        "{asked:?}"
    );
}

#[test]
fn a_live_vendor_that_cannot_be_reached_is_unknown_and_credentials_stay_at_home() {
    let project = project(json!("12"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let (code, _, err) = firedrill(project.path(), &["verify", "--vendor", "crm", "--live", &url]);
    assert_eq!(code, 2, "{err}");
    let refused = |url: &str, header: &str| {
        let words = ["verify", "--vendor", "crm", "--live", url, "--header", header];
        let (code, _, err) = firedrill(project.path(), &words);
        assert_eq!(code, 64);
        err
    };
    let missing = refused(&url, "authorization: Bearer ${NO_SUCH_TOKEN}");
    assert!(missing.contains("no variable NO_SUCH_TOKEN"), "{missing}");
    let plain = refused("http://api.example.com", "authorization: Bearer ${CRM_TOKEN}");
    assert!(plain.contains("not encrypted") && !plain.contains("t0ken"), "{plain}");
    assert!(refused("ftp://x", "a: b").contains("is not the address of a vendor"));
}
