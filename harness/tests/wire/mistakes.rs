//! Every mistake that a user can make in a subject file, and what they are told, word by word.

use std::path::{Path, PathBuf};

use firedrill::{casting, report};

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir("tests/wire/mistakes").unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    files
}

fn told(file: &Path) -> String {
    let mistake = casting::subject_file(file).expect_err("a mistake");
    anstream::adapter::strip_str(&report::mistake::render(&mistake))
        .to_string()
        .replace(&std::fs::canonicalize(".").unwrap().display().to_string(), "HARNESS")
}

pub fn each_mistake_in_a_subject_file_is_told_with_its_place_and_a_way_out() {
    for file in files() {
        let name = format!("subject_{}", file.file_stem().unwrap().to_string_lossy());
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("# purpose: "), "{name}");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots" }, {
            insta::assert_snapshot!(name, told(&file));
        });
    }
}

fn firedrill(subject: &str, drill: &str) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill"))
        .args(["run", drill, "--subject", subject, "--contracts", "../contracts"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code(), text)
}

pub fn exit_codes_tell_a_bad_file_from_a_subject_that_cannot_be_judged() {
    let drill = "../scenarios/webhook/duplicates_have_one_effect.yaml";
    let (code, text) = firedrill("tests/wire/mistakes/a_key_mistyped.yaml", drill);
    assert_eq!(code, Some(64), "{text}");
    assert!(text.contains("did you mean `command`?") && text.contains("nothing was run"), "{text}");
    let (code, text) = firedrill("tests/wire/no-such-file.yaml", drill);
    assert_eq!(code, Some(64), "{text}");
    // It is skipped: it takes longer than a minute, and takes no webhooks.
    let (code, text) = firedrill("tests/wire/cron.yaml", drill);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("SKIP") && text.contains("1 skipped"), "{text}");
}

/// Whoever runs it stands beside it, or elsewhere.
pub fn a_drill_may_name_its_own_program() {
    let folder = tempfile::tempdir().unwrap();
    let program = |says: &str| format!("command: [sh, -c, 'echo {says}; exit 3']");
    std::fs::write(folder.path().join("it.yaml"), program("in a file") + "\nready: { line: ready }\n")
        .unwrap();
    let here = format!("{{ program: {{ {}, ready: {{ line: ready }} }} }}", program("in the drill"));
    for (subject, says) in [(here.as_str(), "in the drill"), ("{ file: it.yaml }", "in a file")] {
        let drill = format!(
            "drill: d\nwhy: w\nfamily: other\nvendors: {{ crm: hubspot }}\nends_at: 1s\nsubject: {subject}\n"
        );
        std::fs::write(folder.path().join("drill.yaml"), drill).unwrap();
        for (at, name) in
            [(folder.path(), "drill.yaml".into()), (Path::new("."), folder.path().join("drill.yaml"))]
        {
            let output = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill"))
                .arg("run")
                .arg::<PathBuf>(name)
                .current_dir(at)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(text.contains(says), "{text}");
        }
    }
}

/// What can be wrong around a command although its words are right: ports, programs, certificates.
pub fn what_is_wrong_around_a_command_is_told_with_its_exit_code() {
    if !super::common::there("python3") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::create_dir(at("a-folder.pem")).unwrap();
    std::fs::write(at("no-certificate.pem"), "a note to myself\n").unwrap();
    std::fs::write(at("cut-short.pem"), "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    std::fs::write(at("notes.txt"), "not a program\n").unwrap();
    std::fs::write(
        at("drill.yaml"),
        "drill: d\nwhy: w\nfamily: other\nvendors: { crm: hubspot }\nends_at: 1s\n",
    )
    .unwrap();
    for (name, command) in [
        ("late.yaml", "command: [\"{here}/notes.txt\"]"),
        ("gone.yaml", "command: [\"{state}/app\"]"),
        (
            "busy.yaml",
            "command: [python3, -m, http.server, PORT, --bind, 127.0.0.1]\nready: { tcp: \"127.0.0.1:1\" }",
        ),
        ("elsewhere.yaml", "command: [sh, -c, 'sleep 9']\nfolder: nowhere"),
        ("credential.yaml", "command: [sh, -c, 'sleep 9']\nenv: { KEY: \"{vendors.crm.refresh_tokn}\" }"),
        ("alias.yaml", "command: [sh, -c, 'sleep 9']\nwebhooks: { cmr: \"http://127.0.0.1:{port}/hooks\" }"),
    ] {
        std::fs::write(at(name), format!("{}\n", command.replace("PORT", &port))).unwrap();
    }
    for (name, subject) in [
        ("lost.yaml", "{ file: nosuch.yaml }"),
        ("inline.yaml", "{ program: { command: [sh, '{vendors.crm.token}'] } }"),
        ("setting.yaml", "{ settings: { 'A=B': x } }"),
    ] {
        let drill = std::fs::read_to_string(at("drill.yaml")).unwrap();
        std::fs::write(at(name), format!("{drill}subject: {subject}\n")).unwrap();
    }
    let record = |more: &[&str]| {
        let common = ["record", "--vendor", "stripe", "--upstream", "https://api.stripe.com", "--out"];
        common.iter().chain(&[&*at("kept")]).chain(more).map(|w| (*w).to_owned()).collect::<Vec<_>>()
    };
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let run = |subject: &str| {
        let mut all = words("run --format jsonl --subject");
        all.extend([at(subject), at("drill.yaml")]);
        all
    };
    let mut told = String::new();
    for (expected, command) in [
        (64, record(&["--ca", &at("missing.pem")])),
        (64, record(&["--ca", &at("a-folder.pem")])),
        (64, record(&["--ca", &at("no-certificate.pem")])),
        (64, record(&["--ca", &at("cut-short.pem")])),
        (64, record(&["--listen", &format!("127.0.0.1:{port}")])),
        (64, words(&format!("serve --vendor stripe --port {port}"))),
        (64, words(&format!("serve --vendor billing=stripe:{port}"))),
        (64, words("serve --vendor stripe --tls Cargo.toml")),
        (64, run("missing.yaml")),
        (2, run("late.yaml")),
        (2, run("gone.yaml")),
        (2, run("busy.yaml")),
        (64, run("elsewhere.yaml")),
        (64, run("credential.yaml")),
        (64, run("alias.yaml")),
        (64, words(&format!("check {}", at("lost.yaml")))),
        (64, words(&format!("run {}", at("lost.yaml")))),
        (64, words(&format!("check {}", at("inline.yaml")))),
        (64, words(&format!("check {}", at("setting.yaml")))),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_firedrill"))
            .args(&command)
            .args(["--contracts", "../contracts"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        told += &format!(
            "$ firedrill {}\n{}exit code {}\n\n",
            command.join(" "),
            said(&text),
            output.status.code().unwrap_or(-1)
        );
        assert_eq!(output.status.code(), Some(expected), "{told}");
    }
    let told = told.replace(&port, "PORT").replace(&folder.path().display().to_string(), "FOLDER");
    insta::with_settings!({
        prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots",
        // This Python's own places.
        filters => vec![(r"wrote: .* ⏎ (\w+Error)", "wrote: … $1")],
    }, {
        insta::assert_snapshot!("what_is_wrong_around_a_command", told);
    });
}

/// The words of a report: of a line of JSON, those of its findings.
fn said(text: &str) -> String {
    let Ok(line) = serde_json::from_str::<serde_json::Value>(text) else {
        return anstream::adapter::strip_str(text).to_string();
    };
    let judgements = line["judgements"].as_array().into_iter().flatten();
    let findings = judgements.flat_map(|j| j["findings"].as_array().into_iter().flatten());
    findings
        .filter(|f| f["verdict"] != "pass")
        .map(|f| {
            let word = |key: &str| f[key].as_str().unwrap_or("nothing").to_owned();
            format!(
                "{} {}\n  {}\n  expected {}\n",
                word("verdict"),
                word("rule"),
                word("message"),
                word("expected")
            )
        })
        .collect()
}
