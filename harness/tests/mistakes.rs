//! Every mistake that a user can make in a drill file, and what they are told: one file of
//! `mistakes/` each, pinned word by word.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use firedrill::report::mistake;
use firedrill::scenario::{Mistake, VendorFacts, VendorUse};
use firedrill::{casting, plan};

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// Two vendors as their files would describe them.
fn facts(vendor: &VendorUse) -> Result<Option<VendorFacts>, Mistake> {
    if let VendorUse::Changed(changed) = vendor
        && !changed.with.is_null()
    {
        return casting::facts(vendor, Path::new("no folder")).map(Some);
    }
    match vendor.name() {
        "hubspot" => Ok(Some(VendorFacts {
            collections: BTreeMap::from([("deals".into(), "deal".into())]),
            actions: BTreeMap::from([
                ("deals".into(), owned(&["close", "amend", "delete"])),
                ("oauth".into(), owned(&["revoke"])),
            ]),
            operations: owned(&["GET /crm/v3/objects/deals/{id}", "GET /crm/v3/objects/deals"]),
            events: owned(&["deal.creation", "deal.propertyChange", "deal.deletion"]),
        })),
        "stripe" => Ok(Some(VendorFacts {
            collections: BTreeMap::from([("invoices".into(), "invoice".into())]),
            actions: BTreeMap::from([("keys".into(), owned(&["roll"]))]),
            operations: owned(&["POST /v1/invoices", "POST /v1/invoices/{id}/finalize", "GET /v1/invoices"]),
            events: owned(&["invoice.created"]),
        })),
        other => Err(Mistake::whole(
            "contracts",
            format!("there is no vendor `{other}`"),
            Some("vendors: hubspot, stripe".to_owned()),
        )),
    }
}

/// What the user is told about a file, uncoloured.
fn told(file: &Path) -> String {
    match plan::load(&[file.to_owned()], &facts) {
        Ok(_) => "no mistake".to_owned(),
        Err(mistakes) => {
            let text: Vec<String> = mistakes.iter().map(mistake::render).collect();
            anstream::adapter::strip_str(&text.join("\n")).to_string()
        }
    }
}

fn files() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir("tests/mistakes").unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn each_mistake_is_told_with_its_place_and_a_way_out() {
    for file in files() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if name.starts_with('_') {
            continue;
        }
        let told = told(&file);
        assert_ne!(told, "no mistake", "{name}");
        assert!(told.contains("tests/mistakes/"), "{name} names no file:\n{told}");
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, told);
        });
    }
}

#[test]
fn each_file_says_its_purpose() {
    for file in files() {
        let bytes = std::fs::read(&file).unwrap();
        assert!(bytes.starts_with(b"# purpose: "), "{}", file.display());
    }
}

#[test]
fn a_vendor_that_does_not_exist_is_a_mistake_of_the_drill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drill.yaml");
    std::fs::write(&path, "drill: d\nwhy: w\nfamily: other\nvendors: { crm: hubspott }\n").unwrap();
    let told = told(&path);
    assert!(told.contains("there is no vendor `hubspott`") && told.contains("drill.yaml:4:17"), "{told}");
}
