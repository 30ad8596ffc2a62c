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
