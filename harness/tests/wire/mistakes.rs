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

#[test]
fn each_mistake_in_a_subject_file_is_told_with_its_place_and_a_way_out() {
    for file in files() {
        let name = format!("subject_{}", file.file_stem().unwrap().to_string_lossy());
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("# purpose: "), "{name}");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots" }, {
            insta::assert_snapshot!(name, told(&file));
        });
    }
}
