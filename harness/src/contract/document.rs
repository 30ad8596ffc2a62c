//! An OpenAPI description as raw JSON, whole: the truth that everything else is read from.
//!
//! Knows: versions, references, the files that a description is spread over. Must not know: what
//! an operation or a schema means; and it reads no file itself.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use jiff::civil::Date;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::ContractError;
use super::source::{MAX_BYTES, Source};

/// Where `info` says of which day a description is. Many a version is a date, and needs no other.
const DATED: &str = "x-firedrill-dated";
/// Where the contents of further files stand in the raw document.
const FILES: &str = "x-firedrill-files";
/// How many files a description may be spread over.
const MAX_FILES: usize = 1_000;

/// Which version of OpenAPI a description says it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 3.0.x: schemas in OpenAPI's own dialect.
    V30,
    /// 3.1.x: schemas in JSON Schema 2020-12.
    V31,
}

/// Gives the bytes of a file that a description refers to, or says why not.
pub type Fetch<'f> = dyn FnMut(&Path) -> Result<Vec<u8>, String> + 'f;

/// A description whose references all lead somewhere.
#[derive(Debug)]
pub(super) struct Document {
    pub raw: Value,
    pub version: Version,
    /// The day whose state of the API it describes, if it says.
    pub dated: Option<Date>,
}

impl Document {
    /// Reads a description, and through `fetch` the files it refers to.
    pub fn read(file: &Path, bytes: &[u8], fetch: &mut Fetch<'_>) -> Result<Document, ContractError> {
        let source = Source::of(file, bytes)?;
        let mut raw = source.value()?;
        let version = version(&source, &raw)?;
        let dated = dated(&source, &raw)?;
        gather(&source, &mut raw, fetch)?;
        Ok(Document { raw, version, dated })
    }

    /// Follows `$ref`s from the value at `pointer`: the pointer and value where it ends. A chain
    /// that never ends leads nowhere.
    pub fn follow<'v>(&'v self, pointer: String, value: &'v Value) -> Option<(String, &'v Value)> {
        let (mut pointer, mut value) = (pointer, value);
        for _ in 0..64 {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Some((pointer, value));
            };
            pointer = pointer_of(reference)?;
            value = self.raw.pointer(&pointer)?;
        }
        None
    }
}

/// The JSON Pointer of a reference into the same document.
pub(super) fn pointer_of(reference: &str) -> Option<String> {
    let pointer = reference.strip_prefix('#')?;
    let pointer = percent_decode_str(pointer).decode_utf8().ok()?;
    (pointer.is_empty() || pointer.starts_with('/')).then(|| pointer.into_owned())
}

/// A name as a segment of a JSON Pointer (RFC 6901 §3).
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A segment of a JSON Pointer as a name.
pub(super) fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

fn version(source: &Source<'_>, raw: &Value) -> Result<Version, ContractError> {
    if !raw.is_object() {
        let why = format!("this is {}, not an OpenAPI description", super::mask::kind(raw));
        return Err(ContractError::whole(
            source.file,
            why,
            "a description is an object with the key `openapi`",
        ));
    }
    if let Some(swagger) = raw.get("swagger") {
        let swagger = swagger.as_str().map_or_else(|| swagger.to_string(), str::to_owned);
        return Err(source.at(
            "swagger",
            format!("this is Swagger {swagger}; firedrill reads OpenAPI 3.0 and 3.1"),
            "convert it, for example with `npx swagger2openapi FILE -o openapi.json`",
        ));
    }
    let Some(said) = raw.get("openapi") else {
        return Err(ContractError::whole(
            source.file,
            "this is not an OpenAPI description: it has no key `openapi`",
            "the first line of a description reads `openapi: 3.0.3`",
        ));
    };
    let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
    let version = match said.split('.').collect::<Vec<_>>()[..] {
        ["3", "0", ..] => Version::V30,
        ["3", "1", ..] => Version::V31,
        _ => {
            return Err(source.at(
                "openapi",
                format!("`{said}` is not a version of OpenAPI that firedrill reads: 3.0.x or 3.1.x"),
                "",
            ));
        }
    };
    if version == Version::V30 && !raw.get("paths").is_some_and(Value::is_object) {
        return Err(ContractError::whole(source.file, "it has no `paths`", "every 3.0 description has them"));
    }
    Ok(version)
}

/// The day that a description gives itself, or that its version begins with (`2025-08-27.basil`).
fn dated(source: &Source<'_>, raw: &Value) -> Result<Option<Date>, ContractError> {
    let info = raw.get("info");
    let Some(said) = info.and_then(|info| info.get(DATED)) else {
        let version = info.and_then(|info| info.get("version")).and_then(Value::as_str);
        return Ok(version.and_then(|version| version.get(..10)?.parse().ok()));
    };
    match said.as_str().map(str::parse) {
        Some(Ok(date)) => Ok(Some(date)),
        _ => {
            let why = format!("`{DATED}` is {said}, which is no day");
            Err(source.at(DATED, why, "write the day whose state of the API this is: 2025-01-31"))
        }
    }
}

/// Brings the files that `raw` refers to into it, and checks that every reference leads somewhere.
fn gather(source: &Source<'_>, raw: &mut Value, fetch: &mut Fetch<'_>) -> Result<(), ContractError> {
    let mut gathering =
        Gathering { root: tidy(source.file), paths: IndexMap::new(), part: None, references: Vec::new() };
    gathering.rewrite(source, "", raw)?;
    let mut texts: Vec<String> = Vec::new();
    let mut parts = Map::new();
    let mut total = source.text.len();
    while let Some((path, referrer)) =
        gathering.paths.get_index(parts.len()).map(|(p, r)| (p.clone(), r.clone()))
    {
        let bytes = fetch(&path).map_err(|why| {
            let why =
                format!("`{}` leads to {}, which cannot be read: {why}", referrer.written, path.display());
            let text = referrer.part.map_or(source.text, |n| texts[n].as_str());
            Source { file: &referrer.file, text }.at(
                &referrer.written,
                why,
                "the files of a description lie in its own folder or below (if it is in the working folder, there): \
                 put it there, or mend the reference",
            )
        })?;
        total += bytes.len();
        if total > MAX_BYTES || parts.len() >= MAX_FILES {
            let why = format!(
                "with the files it refers to it has more than {} MB or {MAX_FILES} files",
                MAX_BYTES >> 20
            );
            return Err(ContractError::whole(source.file, why, ""));
        }
        let part = Source::of(&path, &bytes)?;
        let mut value = part.value()?;
        gathering.part = Some(parts.len());
        gathering.rewrite(&part, &format!("/{FILES}/{}", parts.len()), &mut value)?;
        parts.insert(parts.len().to_string(), value);
        texts.push(part.text.to_owned());
    }
    if !parts.is_empty() {
        raw[FILES] = Value::Object(parts);
    }
    let Some(lost) = gathering.references.iter().find(|r| raw.pointer(&r.pointer).is_none()) else {
        return Ok(());
    };
    let text = lost.part.map_or(source.text, |n| texts[n].as_str());
    let near = siblings(raw, &lost.pointer);
    let near = crate::scenario::nearest(last(&lost.pointer), near.iter().map(String::as_str));
    let help = near.map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
    // Quoted, so that `#/a` is not found in `#/ab`.
    let quoted = ['"', '\''].map(|q| format!("{q}{}{q}", lost.written));
    let needle = quoted.iter().find(|q| text.contains(q.as_str())).unwrap_or(&lost.written);
    let why = format!("the reference `{}` leads nowhere", lost.written);
    Err(Source { file: &lost.file, text }.at(needle, why, &help))
}

fn last(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or_default()
}

fn siblings(raw: &Value, pointer: &str) -> Vec<String> {
    let parent = pointer.rsplit_once('/').and_then(|(parent, _)| raw.pointer(parent));
    parent.and_then(Value::as_object).map(|m| m.keys().cloned().collect()).unwrap_or_default()
}

/// A reference as it was written, and the pointer in the whole document that it means.
#[derive(Clone)]
struct Reference {
    file: PathBuf,
    /// Which further file it stands in; none for the first.
    part: Option<usize>,
    written: String,
    pointer: String,
}

struct Gathering {
    root: PathBuf,
    /// The further file being read.
    part: Option<usize>,
    /// The further files, with who referred to them first.
    paths: IndexMap<PathBuf, Reference>,
    references: Vec<Reference>,
}

impl Gathering {
    /// Makes each reference of a file, whose contents will stand at `prefix`, one into the whole
    /// document.
    fn rewrite(&mut self, source: &Source<'_>, prefix: &str, value: &mut Value) -> Result<(), ContractError> {
        walk(value, &mut |written| {
            let (path, fragment) = written.split_once('#').unwrap_or((written, ""));
            let fragment = percent_decode_str(fragment).decode_utf8_lossy();
            if !fragment.is_empty() && !fragment.starts_with('/') {
                let why = format!("`{written}` refers to an anchor; firedrill follows only JSON Pointers");
                return Err(source.at(written, why, "write `#/components/schemas/NAME`"));
            }
            if path.contains("://") || path.starts_with("//") || path.starts_with("urn:") {
                let why =
                    format!("`{written}` refers to another host; no contract is fetched over the network");
                return Err(source.at(
                    written,
                    why,
                    "save what it refers to beside this file, and refer to that",
                ));
            }
            let mut reference = Reference {
                file: source.file.to_owned(),
                part: self.part,
                written: written.to_owned(),
                pointer: String::new(),
            };
            let before = if path.is_empty() {
                prefix.to_owned()
            } else {
                let path = percent_decode_str(path).decode_utf8_lossy();
                let path = tidy(&source.file.parent().unwrap_or(Path::new("")).join(&*path));
                if path == self.root {
                    String::new()
                } else {
                    let entry = self.paths.entry(path);
                    let index = entry.index();
                    entry.or_insert_with(|| reference.clone());
                    format!("/{FILES}/{index}")
                }
            };
            reference.pointer = format!("{before}{fragment}");
            let rewritten = format!("#{}", reference.pointer);
            self.references.push(reference);
            Ok(rewritten)
        })
    }
}

/// `a/b/../c` → `a/c`, so that one file has one name.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            std::path::Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// Visits every `$ref` but those inside examples and fixed values, which are data.
fn walk(
    value: &mut Value,
    visit: &mut dyn FnMut(&str) -> Result<String, ContractError>,
) -> Result<(), ContractError> {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                *reference = visit(reference)?;
            }
            for (name, member) in members.iter_mut() {
                if !matches!(name.as_str(), "example" | "default" | "enum" | "const") || holds_schemas(member)
                {
                    walk(member, visit)?;
                }
            }
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| walk(item, visit))?,
        _ => {}
    }
    Ok(())
}

/// Whether a member of such a name is a response or a property called so, and not data.
fn holds_schemas(member: &Value) -> bool {
    ["content", "headers", "schema", "type", "$ref", "anyOf", "oneOf", "allOf", "properties"]
        .iter()
        .any(|key| member.get(key).is_some())
}
