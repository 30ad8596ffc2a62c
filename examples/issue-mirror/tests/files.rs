//! The drill files say what they mean: each reads, and inherits the promise of the base.

#[expect(dead_code, reason = "the drills use it; here it need only compile")]
mod subject;

use std::path::Path;

use firedrill::fixture::Fixture;
use firedrill::scenario::{VendorUse, parse, parse_base};

#[test]
fn each_drill_promises_a_true_mirror_and_names_its_recordings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("drills");
    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    let base = parse_base("_base.yaml", &read(&folder.join("_base.yaml"))).unwrap();
    let mut drills = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file.ends_with("_base.yaml") {
            continue;
        }
        let mut drill = parse(&file.to_string_lossy(), &read(&file)).unwrap_or_else(|e| panic!("{e}: {e:?}"));
        drill.inherit(base.clone());
        assert!(!drill.expect.exposed.is_empty(), "{}", file.display());
        assert!(drill.given.contains_key("github.issues"));
        assert!(drill.heal_at < drill.ends_at, "{}", file.display());
        let Some(VendorUse::Changed(vendor)) = drill.vendors.get("github") else { panic!("no recordings") };
        let run = Fixture::read(&folder.join(&vendor.fixtures.as_ref().unwrap().run)).unwrap();
        assert_eq!(run.holds.len(), 1);
        drills += 1;
    }
    assert_eq!(drills, 7);
}
