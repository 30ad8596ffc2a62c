//! YAML as a tree in which every key and value knows its place.
//!
//! Knows: YAML, its traps (tabs, second documents, keys written twice, bombs) and positions. Must
//! not know: what any key means.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::{DuplicateKeyPolicy, Error, Spanned};

use super::text::Mistake;

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// The start of the file.
    pub const START: Place = Place { line: 1, column: 1 };
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub place: Place,
    /// The text as it stands in the file, for scalars.
    pub raw: String,
    pub data: Data,
}

/// A key with its place.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub place: Place,
    pub name: String,
}

/// What a value holds.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl Data {
    /// What it is, for a message.
    pub fn describe(&self, raw: &str) -> String {
        match self {
            Data::Null => "nothing".into(),
            Data::Bool(_) | Data::Number(_) => format!("`{raw}`"),
            Data::Text(text) if text.len() <= 40 && !text.contains('\n') => format!("`{text}`"),
            Data::Text(_) => "a text".into(),
            Data::List(_) => "a list".into(),
            Data::Map(_) => "a map".into(),
        }
    }
}

impl Node {
    /// The value under `key`, with the key.
    pub fn get(&self, key: &str) -> Option<(&Key, &Node)> {
        match &self.data {
            Data::Map(pairs) => pairs.iter().find(|(k, _)| k.name == key).map(|(k, v)| (k, v)),
            _ => None,
        }
    }

    /// The item number `index` of a list.
    pub fn item(&self, index: usize) -> Option<&Node> {
        match &self.data {
            Data::List(items) => items.get(index),
            _ => None,
        }
    }
}

/// What a file is to hold, for what is said of one that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// A drill, or a part of one.
    Drill,
    /// A subject.
    Subject,
}

impl Holds {
    fn word(self) -> &'static str {
        match self {
            Holds::Drill => "drill",
            Holds::Subject => "subject",
        }
    }

    fn begin(self) -> &'static str {
        match self {
            Holds::Drill => "`firedrill new PATH` writes a drill to start from",
            Holds::Subject => {
                "a subject file names at least the program: `command: [python3, app.py]`; `firedrill schema \
                 subject` says what else it may hold"
            }
        }
    }
}

/// Reads one YAML document.
pub(super) fn read(file: &str, text: &str, holds: Holds) -> Result<Node, Mistake> {
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#') || l.trim() == "---") {
        return Err(Mistake::at(file, text, Place::START, "this file is empty").help(holds.begin()));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: 20_000, max_depth: 32, max_documents: 4 },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 20_000 },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    let tree: Spanned<Tree> =
        serde_saphyr::from_str_with_options(text, options).map_err(|e| explain(file, text, &e, holds))?;
    Ok(node(tree, text))
}

fn place(line: u64, column: u64) -> Place {
    let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
    Place { line: number(line), column: number(column) }
}

/// The tree as the YAML reader hands it over, before raw texts are looked up.
enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

fn node(tree: Spanned<Tree>, text: &str) -> Node {
    let span = tree.defined.span();
    let raw = span
        .byte_offset()
        .zip(span.byte_len())
        .and_then(|(from, len)| {
            let from = usize::try_from(from).ok()?;
            text.get(from..from.checked_add(usize::try_from(len).ok()?)?)
        })
        .unwrap_or_default();
    let place = place(tree.referenced.line(), tree.referenced.column());
    let (raw, data) = match tree.value {
        Tree::Null => (raw, Data::Null),
        Tree::Bool(b) => (raw, Data::Bool(b)),
        Tree::Number(n) => (raw, Data::Number(n)),
        Tree::Text(t) => (raw, Data::Text(t)),
        Tree::List(items) => ("", Data::List(items.into_iter().map(|n| node(n, text)).collect())),
        Tree::Map(pairs) => {
            let pairs = pairs.into_iter().map(|(k, v)| {
                let place = self::place(k.referenced.line(), k.referenced.column());
                (Key { place, name: k.value }, node(v, text))
            });
            ("", Data::Map(pairs.collect()))
        }
    };
    Node { place, raw: raw.trim().to_owned(), data }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Tree, D::Error> {
        d.deserialize_any(Planter)
    }
}

struct Planter;

impl<'de> Visitor<'de> for Planter {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }
    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }
    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Tree, D::Error> {
        Tree::deserialize(d)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(b))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Tree, E> {
        Ok(Tree::Number(n.into()))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Tree, E> {
        Ok(Tree::Number(n.into()))
    }
    fn visit_f64<E: serde::de::Error>(self, n: f64) -> Result<Tree, E> {
        Number::from_f64(n).map(Tree::Number).ok_or_else(|| E::custom("not a finite number"))
    }
    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Tree::Map(pairs))
    }
}

/// Says in our words what the YAML reader refused.
fn explain(file: &str, text: &str, error: &Error, holds: Holds) -> Mistake {
    let error = error.without_snippet();
    let at = error.location().map_or(Place::START, |l| place(l.line(), l.column()));
    if let Some(tab) = indented_by_tab(text, at.line) {
        return Mistake::at(file, text, tab, "this line is indented by a tab; YAML allows only spaces")
            .help("replace the tab by spaces");
    }
    let mistake = |message: &str| Mistake::at(file, text, at, message);
    match error {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("this key");
            mistake(&format!("`{key}` is written twice here")).help("keep one of the two")
        }
        Error::MultipleDocuments { .. } => {
            mistake(&format!("a second document (`---`) begins here; a file holds one {}", holds.word()))
                .help("move it to a file of its own")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => mistake(&format!(
            "this file unfolds into more than a {} can hold (too large, too deep, or too many aliases)",
            holds.word()
        ))
        .help(format!("a {} has at most 20000 values, 32 levels deep", holds.word())),
        // Whatever went wrong inside an alias is told at the alias.
        Error::AliasError { error: inner, .. } => {
            let told = explain(file, text, inner, holds);
            Mistake { help: told.help, ..mistake(&told.message) }
        }
        Error::UnknownAnchor { .. } => mistake("this alias refers to no anchor before it")
            .help("quote the text if `*` is meant literally"),
        other if other.to_string().contains("mapping values are not allowed") => {
            mistake("this colon begins a value where none can be")
                .help("a text with `: ` in it needs quotes around it")
        }
        other => mistake(&format!("this is not YAML: {}", plain(&other.to_string())))
            .help("look at this line and the one before it: quotes, brackets, colons, indentation"),
    }
}

/// The message without the place that the reader put into it: we show the place ourselves.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    first.split(" at line ").next().unwrap_or(first).trim_start_matches("error: ").to_owned()
}

/// The first line up to just after `line` whose indentation holds a tab.
fn indented_by_tab(text: &str, line: usize) -> Option<Place> {
    text.lines().take(line.saturating_add(1)).enumerate().find_map(|(i, l)| {
        let indent = &l[..l.len() - l.trim_start().len()];
        indent.find('\t').filter(|_| !l.trim().is_empty()).map(|c| Place { line: i + 1, column: c + 1 })
    })
}
