//! The published JSON Schemas of drill and subject files.
//!
//! Knows: its title, its dialect. Must not know: what is in it; the types say that.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{Program, Scenario};

/// Where the schema says that it comes from.
pub const ID: &str = "urn:firedrill:scenario";

/// Where the schema of subject files says that it comes from.
pub const SUBJECT_ID: &str = "urn:firedrill:subject";

/// The JSON Schema (draft 2020-12) of a drill file.
pub fn schema() -> Value {
    of::<Scenario>(ID, "A firedrill drill")
}

/// The JSON Schema (draft 2020-12) of a subject file.
pub fn subject() -> Value {
    of::<Program>(SUBJECT_ID, "A firedrill subject")
}

fn of<T: JsonSchema>(id: &str, title: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    if let Value::Object(map) = &mut value {
        // What it is comes first, for people who open it.
        let dialect = map.remove("$schema").unwrap_or_default();
        map.shift_insert(0, "$schema".to_owned(), dialect);
        map.shift_insert(1, "$id".to_owned(), json!(id));
        map.remove("title");
        map.shift_insert(2, "title".to_owned(), json!(title));
    }
    value
}

/// The schema as it is published: indented, with a final newline.
pub fn pretty() -> String {
    format!("{:#}\n", schema())
}

/// The schema of subject files as it is published.
pub fn pretty_subject() -> String {
    format!("{:#}\n", subject())
}

/// What the schema says of a required key: of the drill itself, or of the one section that has it.
pub(super) fn about(key: &str) -> Option<String> {
    let schema = schema();
    let said = |section: &Value| {
        let required = section["required"].as_array().is_some_and(|r| r.iter().any(|k| k == key));
        section["properties"][key]["description"].as_str().filter(|_| required).map(str::to_owned)
    };
    let sections = schema["$defs"].as_object().into_iter().flat_map(|defs| defs.values());
    let mut all: Vec<String> = sections.filter_map(said).collect();
    all.dedup();
    said(&schema).or_else(|| if all.len() == 1 { all.pop() } else { None })
}

/// The sections of `expect` that `without` can name.
pub(super) fn sections() -> Vec<String> {
    let schema = schema();
    let sections = schema["$defs"]["Expect"]["properties"].as_object();
    sections.into_iter().flat_map(|all| all.keys()).filter(|key| *key != "without").cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    const GOOD: &str = "
drill: A lost answer makes one invoice
why: Two invoices are two angry calls
family: idempotency
vendors: { crm: hubspot, billing: { vendor: stripe, with: { limits: null } } }
given: { crm.deals: { count: 3 } }
workload: [{ at: 1s, do: crm.deals.close, every: 500ms }]
faults:
  - { on: billing POST /v1/invoices, attempts: 1..2, do: { reset: after_applied } }
  - { on: billing, window: 30s..5m, do: refuse }
  - { on: webhook crm, share: 30%, do: { duplicate: { times: 2, within: 10s } } }
expect: { converges: { within: 10m } }
";

    #[test]
    fn the_schema_accepts_a_good_drill_and_refuses_a_typo() {
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let good = yaml(GOOD);
        super::super::parse("good.yaml", GOOD).unwrap();
        assert!(validator.is_valid(&good), "{:?}", validator.iter_errors(&good).next());
        for (from, to) in [
            ("faults:", "fautls:"),
            ("family: idempotency", "family: idempotancy"),
            ("after_applied", "afterwards"),
            ("within: 10m", "within: 10"),
            ("do: refuse", "do: refuse_all"),
            ("vendor: stripe", "vendr: stripe"),
            ("30s..5m", "30s"),
            ("why:", "because:"),
        ] {
            let bad = GOOD.replace(from, to);
            assert_ne!(bad, GOOD);
            assert!(!validator.is_valid(&yaml(&bad)), "{to}");
            assert!(super::super::parse("bad.yaml", &bad).is_err(), "{to}");
        }
    }

    #[test]
    fn every_key_of_the_schema_says_what_it_is() {
        let schema = schema();
        for (key, property) in schema["properties"].as_object().unwrap() {
            assert!(property.get("description").is_some(), "{key}");
        }
    }

    #[test]
    fn the_drills_of_this_repository_are_good_by_schema_and_by_review() {
        fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    files(&entry.path(), found);
                } else if entry.path().extension().is_some_and(|e| e == "yaml") {
                    found.push(entry.path());
                }
            }
        }
        let validator = jsonschema::validator_for(&schema()).unwrap();
        let mut found = Vec::new();
        files(std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios")), &mut found);
        for file in found.iter().filter(|f| !f.file_name().unwrap().to_string_lossy().starts_with('_')) {
            let text = std::fs::read_to_string(file).unwrap();
            let drill = yaml(&text);
            let refusal = validator.iter_errors(&drill).next();
            assert!(refusal.is_none(), "{}: {}", file.display(), refusal.unwrap());
            assert!(super::super::parse("drill.yaml", &text).is_ok(), "{}", file.display());
            let hint = "# yaml-language-server: $schema=";
            assert!(text.starts_with(hint), "{} does not begin with `{hint}…`", file.display());
        }
    }

    #[test]
    fn the_committed_schema_of_subject_files_is_in_step() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/subject.schema.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == super::pretty_subject(),
            "scenarios/subject.schema.json is out of step; refresh it with\n\n    \
             cargo run -- schema subject > scenarios/subject.schema.json\n"
        );
    }

    #[test]
    fn the_committed_schema_is_in_step() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/scenario.schema.json");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == super::pretty(),
            "scenarios/scenario.schema.json is out of step; refresh it with\n\n    \
             cargo run -- schema > scenarios/scenario.schema.json\n"
        );
    }
}
