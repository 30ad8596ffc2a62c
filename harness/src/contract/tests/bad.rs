//! Bad input: a clear error with a place, or a bounded answer; never a panic, never a fetch.

use std::fmt::Write as _;
use std::path::Path;

use super::*;

fn refused(name: &str, text: &[u8]) -> String {
    Contract::parse(Path::new(name), text).unwrap_err().to_string()
}

#[test]
fn errors_name_file_line_column_and_the_next_step() {
    let head = "openapi: 3.0.3\ninfo: { title: t, version: '1' }\n";
    let cases: [(&str, String); 14] = [
        ("empty.json", " ".to_owned()),
        ("truncated.json", "{\n  \"openapi\": \"3.0.0\",\n  \"paths\": {".to_owned()),
        ("comma.json", "{\n  \"openapi\": \"3.0.0\",,\n}".to_owned()),
        ("list.json", "[]".to_owned()),
        ("swagger.yaml", "# a comment\nswagger: '2.0'\npaths: {}\n".to_owned()),
        ("schema.json", "{ \"type\": \"object\" }".to_owned()),
        ("future.yaml", "openapi: 4.0.0\npaths: {}\n".to_owned()),
        ("no_paths.yaml", head.to_owned()),
        (
            "typo.yaml",
            format!(
                "{head}paths:\n  /a: {{ $ref: '#/components/pathItems/iten' }}\ncomponents: {{ pathItems: {{ item: {{}} }} }}\n"
            ),
        ),
        ("host.yaml", format!("{head}paths:\n  /a: {{ $ref: 'https://example.com/a.yaml#/a' }}\n")),
        ("file.yaml", format!("{head}paths:\n  /a: {{ $ref: 'gone.yaml#/a' }}\n")),
        ("anchor.yaml", format!("{head}paths:\n  /a: {{ $ref: '#anchor' }}\n")),
        ("twice.yaml", format!("{head}paths: {{}}\npaths: {{}}\n")),
        ("deep.json", "{\"openapi\":".to_owned() + &"[".repeat(500)),
    ];
    let said: Vec<String> = cases.iter().map(|(name, text)| refused(name, text.as_bytes())).collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn bytes_that_are_not_utf8_are_pointed_at() {
    let said = refused("openapi.yaml", b"openapi: 3.0.0\ninfo: { title: \xff }\n");
    assert_eq!(said, "openapi.yaml:2:16: the byte 0xff is not UTF-8\n  help: save the file as UTF-8");
}

#[test]
fn aliases_that_unfold_without_end_are_refused() {
    let mut text = "openapi: 3.0.3\npaths: {}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let before = n - 1;
        let _ = writeln!(text, "a{n}: &a{n} [{}]", vec![format!("*a{before}"); 10].join(", "));
    }
    let said = refused("bomb.yaml", text.as_bytes());
    assert!(said.contains("unfolds into more than a contract can hold"), "{said}");
}

#[test]
fn a_description_over_several_files_is_read_and_nothing_outside_it() {
    let root = "openapi: 3.0.3\npaths:\n  /a: { $ref: 'paths/a.yaml' }\n";
    let part = "get: { responses: { '200': { description: a, content: { application/json: { schema: { $ref: '../schemas.yaml#/deal' } } } } } }\n";
    let schemas = "deal: { type: object, required: [id], properties: { id: { type: integer }, next: { $ref: '#/deal' } } }\n";
    let mut asked = Vec::new();
    let contract = Contract::parse_with("api/openapi.yaml".as_ref(), root.as_bytes(), &mut |path| {
        asked.push(path.display().to_string());
        match path.to_str() {
            Some("api/paths/a.yaml") => Ok(part.into()),
            Some("api/schemas.yaml") => Ok(schemas.into()),
            _ => Err("there is no such file".to_owned()),
        }
    })
    .unwrap();
    assert_eq!(asked, ["api/paths/a.yaml", "api/schemas.yaml"]);
    let operation = contract.find("GET", "/a").unwrap().operation;
    let said = contract.check_response(
        operation,
        &crate::wire::Response::json(200, &json!({ "id": 1, "next": { "id": "x" } })),
    );
    assert_eq!(said.breaking().map(|v| v.pointer.as_str()).collect::<Vec<_>>(), ["/next/id"]);
}

#[cfg(unix)]
#[test]
fn a_reference_out_of_the_folder_of_the_description_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (api, secret) = (root.join("api"), root.join("secret.json"));
    std::fs::create_dir_all(api.join("below")).unwrap();
    std::fs::write(&secret, r#"{"a": {"const": "s3cret"}}"#).unwrap();
    std::os::unix::fs::symlink(&secret, api.join("link.json")).unwrap();
    std::os::unix::fs::symlink(&root, api.join("up")).unwrap();
    let refused = |file: &Path, to: &str| {
        let document = described(json!({}), json!({ "it": { "$ref": format!("{to}#/a") } }));
        std::fs::write(file, document.to_string()).unwrap();
        Contract::load(file).err().map(|e| e.to_string().replace(root.to_str().unwrap(), "ROOT"))
    };
    let file = api.join("openapi.json");
    let absolute = secret.to_str().unwrap();
    for to in [
        "../secret.json",
        "below/../../secret.json",
        "%2e%2e/secret.json",
        "link.json",
        "up/secret.json",
        absolute,
    ] {
        let said = refused(&file, to).unwrap();
        assert!(
            said.contains("which cannot be read: it is ROOT/secret.json, outside of ROOT/api\n"),
            "{said}"
        );
        assert!(!said.contains("s3cret"), "{said}");
    }
    insta::assert_snapshot!(refused(&file, "../secret.json").unwrap(), @"
    ROOT/api/openapi.json:1:114: `../secret.json#/a` leads to ROOT/secret.json, which cannot be read: it is ROOT/secret.json, outside of ROOT/api
      help: the files of a description lie in its own folder or below (if it is in the working folder, there): put it there, or mend the reference
    ");
    // Through a file below, too.
    std::fs::write(api.join("below/part.json"), r#"{"a": {"$ref": "../../secret.json#/a"}}"#).unwrap();
    let said = refused(&file, "below/part.json").unwrap();
    assert!(
        said.starts_with("ROOT/api/below/part.json:1:") && said.contains("outside of ROOT/api"),
        "{said}"
    );
    // What truly lies in the folder is no way out: neither such a link, nor a description that is one itself.
    std::fs::write(api.join("below/part.json"), r#"{"a": {"type": "object"}}"#).unwrap();
    std::os::unix::fs::symlink("below/part.json", api.join("short.json")).unwrap();
    for to in ["below/part.json", "./below/../short.json", "up/api/short.json"] {
        assert_eq!(refused(&file, to), None, "{to}");
    }
    let elsewhere = root.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for name in ["openapi.json", "below"] {
        std::os::unix::fs::symlink(api.join(name), elsewhere.join(name)).unwrap();
    }
    assert_eq!(refused(&elsewhere.join("openapi.json"), "below/part.json"), None);
}

#[cfg(unix)]
#[test]
fn a_reference_into_what_never_ends_is_refused_and_so_is_a_description_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    let refused = |to: &str| {
        let document = described(json!({}), json!({ "it": { "$ref": format!("{to}#/a") } }));
        std::fs::write(&file, document.to_string()).unwrap();
        Contract::load(&file).unwrap_err().to_string()
    };
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
    let said = refused("socket");
    assert!(said.contains("/socket, which cannot be read: it is a device or a pipe"), "{said}");
    assert!(said.contains("openapi.json:1:"), "{said}");
    for device in ["/dev/zero", "/dev/stdin"] {
        let said = refused(device);
        assert!(said.contains(&format!("leads to {device}, which cannot be read: it is ")), "{said}");
    }
    let said = Contract::load(Path::new("/dev/zero")).unwrap_err().to_string();
    assert_eq!(said, "/dev/zero: cannot be read: it does not end; a contract has at most 64 MB");
}

/// What keeps a schema from being judged by.
fn unjudged(schemas: Value) -> String {
    let contract = contract(&described(json!({}), schemas));
    let said = contract.check_value_at(IT, Direction::Response, &json!({}));
    assert_eq!(said.verdict(), crate::finding::Verdict::Unknown, "{said:?}");
    said.violations[0].got.clone()
}

#[test]
fn a_schema_that_unfolds_into_billions_is_not_judged_by() {
    let mut schemas = json!({ "s30": { "type": "object" } });
    for n in 0..30 {
        let next = json!({ "$ref": format!("#/components/schemas/s{}", n + 1) });
        schemas[format!("s{n}")] = json!({ "oneOf": [next, next] });
    }
    schemas["it"] = json!({ "$ref": "#/components/schemas/s0" });
    assert!(unjudged(schemas).contains("unfolds into more than 100000 schemas"));
}

#[test]
fn a_circle_of_references_is_told_from_a_recursive_schema() {
    let circle = json!({ "it": { "$ref": "#/components/schemas/b" }, "b": { "allOf": [{ "$ref": "#/components/schemas/it" }] } });
    assert!(unjudged(circle).contains("refers to itself without ever looking into the value"));
    let tree = of_schema(
        "3.0.3",
        json!({ "type": "object", "properties": {
        "n": { "type": "integer" }, "next": { "$ref": IT_REF, "nullable": true }
    } }),
    );
    assert_eq!(
        broken(&tree, Direction::Response, &json!({ "next": { "next": { "n": "x" } } })),
        ["contract/type /next/next/n"]
    );
}

#[test]
fn a_schema_that_says_what_cannot_be_is_not_judged_by() {
    for it in [
        json!({ "required": "id" }),
        json!({ "type": "objekt" }),
        json!({ "minProperties": -1 }),
        json!({ "oneOf": {} }),
        json!({ "properties": { "a": { "pattern": "(" } } }),
        json!(5),
    ] {
        let said = unjudged(json!({ "it": it }));
        assert!(said.contains("cannot be compiled"), "{it}: {said}");
    }
}

const IT_REF: &str = "#/components/schemas/it";

#[test]
fn a_chain_of_thousands_of_schemas_does_not_overflow_the_stack() {
    let mut schemas = json!({});
    for n in 0..1_500 {
        schemas[format!("s{n}")] =
            json!({ "properties": { "x": { "$ref": format!("#/components/schemas/s{}", n + 1) } } });
    }
    schemas["s1500"] = json!({ "type": "object" });
    schemas["it"] = json!({ "$ref": "#/components/schemas/s0" });
    let contract = contract(&described(json!({}), schemas));
    assert_eq!(contract.fits(IT, Direction::Response, &json!({ "x": { "x": {} } })), Ok(true));
}

#[test]
fn a_pattern_that_backtracks_for_ever_is_not_judged_by() {
    let contract = of_schema("3.0.3", json!({ "type": "string", "pattern": "^(a|aa|(?=b)a)+$" }));
    let said = contract.check_value_at(IT, Direction::Response, &json!("a".repeat(60) + "!"));
    assert_ne!(said.verdict(), crate::finding::Verdict::Pass);
}

#[test]
fn a_body_that_is_huge_or_still_coded_is_unknown_and_one_that_is_no_json_is_broken() {
    let document = described(answering(json!({ "type": "object" })), json!({}));
    let contract = contract(&document);
    let operation = &contract.operations()[0];
    let judged = |headers: &[(&str, &str)], body: Vec<u8>| {
        let headers = crate::wire::Headers::of(headers.iter().copied());
        let response = crate::wire::Response { status: 200, headers, body: body.into() };
        let said = contract.check_response(operation, &response);
        (said.verdict(), said.violations.first().map(|v| v.got.clone()).unwrap_or_default())
    };
    use crate::finding::Verdict::{Fail, Unknown};
    let json = ("content-type", "application/json");
    assert_eq!(judged(&[json], vec![b' '; 33 << 20]).0, Unknown);
    assert_eq!(judged(&[json, ("content-encoding", "gzip")], vec![31, 139]).0, Unknown);
    assert_eq!(
        judged(&[json], b"{\n \"a\": ".to_vec()),
        (Fail, "line 2, column 6: EOF while parsing a value".to_owned())
    );
    assert_eq!(judged(&[("content-type", "text/html")], b"<html>".to_vec()), (Fail, "text/html".to_owned()));
}
