//! Text into a JSON value: JSON or YAML, within bounds, with the place of a mistake.
//!
//! Knows: encodings, syntax, bounds against bombs. Must not know: OpenAPI.

use std::path::Path;

use serde_json::Value;

use super::ContractError;
use crate::utf8;

/// The largest description that is read. GitHub's, the largest known public one, has 13 MB.
pub const MAX_BYTES: usize = 64 << 20;
/// How many values a YAML file may unfold into: aliases make a few lines a billion.
const MAX_NODES: usize = 4_000_000;
/// How deep values may be nested; serde_json stops at the same depth.
const MAX_DEPTH: usize = 128;

/// One file's text, already known to be UTF-8 and of bearable size.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

impl<'a> Source<'a> {
    /// Checks size and encoding.
    pub fn of(file: &'a Path, bytes: &'a [u8]) -> Result<Source<'a>, ContractError> {
        if bytes.len() > MAX_BYTES {
            let why = format!(
                "this file has {} MB; a contract has at most {} MB",
                bytes.len() >> 20,
                MAX_BYTES >> 20
            );
            return Err(ContractError::whole(file, why, ""));
        }
        match utf8::text(bytes) {
            Ok(text) => Ok(Source { file, text: text.strip_prefix('\u{feff}').unwrap_or(text) }),
            Err(e) => Err(ContractError::At {
                file: file.to_owned(),
                line: e.line,
                column: e.column,
                why: e.to_string(),
                help: "save the file as UTF-8".to_owned(),
            }),
        }
    }

    /// The value that the text says. JSON is told from YAML by how it begins: JSON is YAML too,
    /// but its own reader is ten times as fast and points better.
    pub fn value(&self) -> Result<Value, ContractError> {
        match self.text.trim_start().as_bytes().first() {
            None => Err(ContractError::whole(
                self.file,
                "this file is empty",
                "an OpenAPI description or a JSON Schema was expected",
            )),
            Some(b'{' | b'[') => self.json(),
            Some(_) => self.yaml(),
        }
    }

    fn json(&self) -> Result<Value, ContractError> {
        let read = serde_json::from_str::<Value>(self.text);
        let Err(e) = read else { return read.map_err(|_| unreachable!("checked above")) };
        // `{a: 1}` and `[a, b]` are YAML in flow style.
        if !e.is_eof()
            && !self.file.extension().is_some_and(|x| x.eq_ignore_ascii_case("json"))
            && let Ok(value) = self.yaml()
        {
            return Ok(value);
        }
        let text = e.to_string();
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        let (why, help) = if e.is_eof() {
            (format!("the file ends too early: {what}"), "it was cut off: fetch or write it again")
        } else if what.starts_with("recursion limit") {
            (format!("values are nested more than {MAX_DEPTH} deep"), "no description of an API is that deep")
        } else {
            (format!("this is not JSON: {what}"), "")
        };
        let (line, column) = utf8::json_place(self.text, &e);
        Err(ContractError::At { file: self.file.to_owned(), line, column, why, help: help.to_owned() })
    }

    fn yaml(&self) -> Result<Value, ContractError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_nodes: MAX_NODES,
                max_events: 2 * MAX_NODES,
                max_depth: MAX_DEPTH,
                max_documents: 2,
                max_total_scalar_bytes: MAX_BYTES,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 1_000_000 },
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
            with_snippet: false,
        };
        let read: Result<Yaml, _> = serde_saphyr::from_str_with_options(self.text, options);
        read.map(|yaml| yaml.0).map_err(|e| {
            let e = e.without_snippet();
            let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
            let (line, column) = e.location().map_or((1, 1), |l| (number(l.line()), number(l.column())));
            let said = e.to_string();
            let said = said.lines().next().unwrap_or_default();
            let said = said.split(" at line ").next().unwrap_or(said).trim_start_matches("error: ");
            // Advice to whoever programs the reader.
            let said = said.split(", set DuplicateKeyPolicy").next().unwrap_or(said);
            let budget = unfolds(e);
            let (why, help) = if budget {
                (
                    format!("this file unfolds into more than a contract can hold: {said}"),
                    "too large, too deep, or too many aliases",
                )
            } else {
                (format!("this is not YAML: {said}"), "look at this line and the one before it")
            };
            ContractError::At { file: self.file.to_owned(), line, column, why, help: help.to_owned() }
        })
    }

    /// An error at the first place where `needle` stands; about the whole file if it stands nowhere.
    pub fn at(&self, needle: &str, why: impl Into<String>, help: &str) -> ContractError {
        match self.text.find(needle) {
            Some(offset) => {
                let (line, column) = utf8::place(self.text, offset);
                ContractError::At {
                    file: self.file.to_owned(),
                    line,
                    column,
                    why: why.into(),
                    help: help.to_owned(),
                }
            }
            None => ContractError::whole(self.file, why, help),
        }
    }
}

/// Whether the reader gave up because the file is a bomb, be it inside an alias.
fn unfolds(error: &serde_saphyr::Error) -> bool {
    use serde_saphyr::Error;
    match error {
        Error::AliasError { error, .. } => unfolds(error),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => true,
        _ => false,
    }
}

/// A JSON value read from YAML: keys that YAML takes for numbers (`200:`) are names.
struct Yaml(Value);

impl<'de> serde::Deserialize<'de> for Yaml {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Yaml, D::Error> {
        d.deserialize_any(Visitor).map(Yaml)
    }
}

struct Visitor;

impl<'de> serde::de::Visitor<'de> for Visitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: serde::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(Visitor)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Value, E> {
        Ok(Value::Bool(b))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }
    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }
    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(n).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Yaml(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = serde_json::Map::new();
        while let Some((name, Yaml(value))) = map.next_entry::<String, Yaml>()? {
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}
