//! Reading scenario files, and saying what is wrong with them.
//!
//! Knows: documents, and how to point at a mistake. Must not know: what a scenario means; `review`
//! does.

use serde::de::DeserializeOwned;

use super::program::Program;
use super::yaml::{self, Data, Holds, Key, Node, Place};
use super::{Base, Misfit, Scenario, located, review, schema, several};
use crate::utf8::{self, NotUtf8};

/// A mistake in a file, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    /// The file, as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The line of the file.
    pub source_line: String,
    /// Where it is in the changes that a drill makes to a vendor (`with`), if that is where: the drill's
    /// file is then the one to point at.
    pub in_changes: Option<Box<Misfit>>,
}

impl Mistake {
    pub(super) fn at(file: &str, text: &str, place: Place, message: impl Into<String>) -> Mistake {
        Mistake {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            message: message.into(),
            help: None,
            source_line: text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default().to_owned(),
            in_changes: None,
        }
    }

    /// The text of the file called `file`.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub(crate) fn unless_text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Mistake> {
        utf8::text(bytes).map_err(|NotUtf8 { line, column, .. }| {
            let text = String::from_utf8_lossy(bytes);
            Mistake::at(file, &text, Place { line, column }, "this byte is not UTF-8")
                .help("save the file as UTF-8")
        })
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help = Some(help.into());
        self
    }

    /// The key that is missing, if that is what is wrong.
    pub(super) fn lacks(&self) -> Option<&str> {
        self.message.rsplit_once(" lacks `").map(|(_, key)| key.trim_end_matches('`'))
    }

    /// A mistake about a file as a whole, such as one that cannot be read.
    pub fn whole(file: &str, message: impl Into<String>, help: Option<String>) -> Mistake {
        Mistake { help, ..Mistake::at(file, "", Place::START, message) }
    }

    /// The columns (in characters, from 0, end exclusive) of the source line that are meant: the
    /// key, or the value, that stands at [`Mistake::column`].
    pub fn extent(&self) -> std::ops::Range<usize> {
        let line: Vec<char> = self.source_line.chars().collect();
        let from = self.column.saturating_sub(1).min(line.len());
        let rest = &line[from..];
        let length = match rest.first() {
            None => 0,
            Some(&quote @ ('"' | '\'')) => {
                rest[1..].iter().position(|c| *c == quote).map_or(rest.len(), |n| n + 2)
            }
            Some(_) => {
                let open = |c: char| line[..from].iter().filter(|x| **x == c).count();
                let flow = open('{') > open('}') || open('[') > open(']');
                let ends = |i: usize| match rest[i] {
                    ':' => rest.get(i + 1).is_none_or(|c| c.is_whitespace()),
                    '#' => i > 0 && rest[i - 1].is_whitespace(),
                    ',' | '}' | ']' => flow,
                    _ => false,
                };
                let end = (0..rest.len()).find(|i| ends(*i)).unwrap_or(rest.len());
                rest[..end].iter().rposition(|c| !c.is_whitespace()).map_or(0, |n| n + 1)
            }
        };
        from..from + length.max(1)
    }
}

/// A file that was read as YAML, with the places of all it says.
#[derive(Debug)]
pub struct Document {
    file: String,
    text: String,
    root: Node,
}

impl Document {
    /// Reads `bytes` as the YAML file called `file` in messages.
    ///
    /// # Errors
    /// If they are not UTF-8, or not one document of YAML.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Document, Mistake> {
        Document::read_as(file, bytes, Holds::Drill)
    }

    /// As [`Document::read`], for a subject file.
    ///
    /// # Errors
    /// As there.
    pub fn read_subject(file: &str, bytes: &[u8]) -> Result<Document, Mistake> {
        Document::read_as(file, bytes, Holds::Subject)
    }

    fn read_as(file: &str, bytes: &[u8], holds: Holds) -> Result<Document, Mistake> {
        let text = Mistake::unless_text(file, bytes)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = yaml::read(file, text, holds)?;
        Ok(Document { file: file.to_owned(), text: text.to_owned(), root })
    }

    /// The document as a drill; what it extends is not looked at.
    ///
    /// # Errors
    /// The first key or value that a drill cannot have.
    pub fn scenario(&self) -> Result<Scenario, Mistake> {
        self.scenario_in(&self.root)
    }

    fn scenario_in(&self, root: &Node) -> Result<Scenario, Mistake> {
        located::read(&self.file, &self.text, "the drill", root).map_err(|mut mistake: Mistake| {
            if mistake.help.is_none() {
                mistake.help =
                    mistake.lacks().and_then(|key| Some(format!("`{key}`: {}", schema::about(key)?)));
            }
            mistake
        })
    }

    /// The document as a drill.
    ///
    /// # Errors
    /// The keys and values that a drill cannot have, as far as they are independent of each other.
    pub fn whole_scenario(&self) -> Result<Scenario, Vec<Mistake>> {
        self.scenario().map_err(|first| several::of(&self.root, first, |root| self.scenario_in(root)))
    }

    /// The document as a file that drills extend.
    ///
    /// # Errors
    /// The first key or value that such a file cannot have.
    pub fn base(&self) -> Result<Base, Mistake> {
        if let Some((key, _)) = self.root.get("extends") {
            return Err(self
                .mistake(key.place, "a file that drills extend cannot extend another one")
                .help("put what the drills share into one base file"));
        }
        self.base_in(&self.root).map_err(|mistake| match self.root.get("drill") {
            Some((key, _)) => self
                .mistake(key.place, "a drill cannot be extended; only a base file can")
                .help("a base file has the keys vendors, subject and expect, and no others"),
            None => mistake,
        })
    }

    fn base_in(&self, root: &Node) -> Result<Base, Mistake> {
        located::read(&self.file, &self.text, "the base file", root)
    }

    /// The document as a file that drills extend.
    ///
    /// # Errors
    /// As [`Document::whole_scenario`].
    pub fn whole_base(&self) -> Result<Base, Vec<Mistake>> {
        let alone = self.root.get("extends").is_some() || self.root.get("drill").is_some();
        self.base().map_err(|first| match alone {
            true => vec![first],
            false => several::of(&self.root, first, |root| self.base_in(root)),
        })
    }

    /// The document as a subject file: a program, with each placeholder known.
    ///
    /// # Errors
    /// The first key or value that such a file cannot have.
    pub fn program(&self) -> Result<Program, Mistake> {
        let program: Program = located::read(&self.file, &self.text, "the subject file", &self.root)?;
        self.review_program(&program, &[])?;
        Ok(program)
    }

    /// The document as a `T`; `whole` is what it is called in messages.
    ///
    /// # Errors
    /// The first key or value that it cannot have.
    pub fn data<T: DeserializeOwned>(&self, whole: &str) -> Result<T, Mistake> {
        located::read(&self.file, &self.text, whole, &self.root)
    }

    /// The document as what a drill would say under `key`: a list, or a list of it alone.
    pub(super) fn under(mut self, key: &str) -> Document {
        let place = self.root.place;
        let list = match self.root.data {
            Data::List(_) => self.root,
            _ => Node { place, raw: String::new(), data: Data::List(vec![self.root]) },
        };
        let pair = (Key { place, name: key.to_owned() }, list);
        self.root = Node { place, raw: String::new(), data: Data::Map(vec![pair]) };
        self
    }

    /// Whether it has this key at its top.
    pub fn has(&self, key: &str) -> bool {
        self.root.get(key).is_some()
    }

    /// What is wrong with the value at `path` (keys, and indices of lists, from the top); points at
    /// the nearest part of the path that exists.
    pub fn mistake_at(&self, path: &[&str], message: impl Into<String>) -> Mistake {
        self.mistake(self.place(path), message)
    }

    /// What is wrong with the value at `path`, if the document has one there.
    pub fn mistake_at_value(&self, path: &[&str], message: impl Into<String>) -> Option<Mistake> {
        self.find(path).map(|(_, node)| self.mistake(node.place, message))
    }

    fn mistake(&self, place: Place, message: impl Into<String>) -> Mistake {
        Mistake::at(&self.file, &self.text, place, message)
    }

    fn place(&self, path: &[&str]) -> Place {
        let mut place = self.root.place;
        for depth in (1..=path.len()).rev() {
            if let Some((key, node)) = self.find(&path[..depth]) {
                place = match (key, &node.data, depth == path.len()) {
                    (_, Data::Text(_) | Data::Bool(_) | Data::Number(_), true) => node.place,
                    (Some(key), _, _) => key.place,
                    (None, _, _) => node.place,
                };
                break;
            }
        }
        place
    }

    /// Whether the path exists.
    pub(super) fn find(&self, path: &[&str]) -> Option<(Option<&Key>, &Node)> {
        let mut at = (None, &self.root);
        for step in path {
            at = match &at.1.data {
                Data::List(_) => (None, at.1.item(step.parse().ok()?)?),
                _ => at.1.get(step).map(|(k, v)| (Some(k), v))?,
            };
        }
        Some(at)
    }

    /// What is wrong with the key at the end of `path`, rather than its value.
    pub(crate) fn mistake_at_key(&self, path: &[&str], message: impl Into<String>) -> Mistake {
        match self.find(path) {
            Some((Some(key), _)) => self.mistake(key.place, message),
            _ => self.mistake_at(path, message),
        }
    }
}

/// Reads a drill file, and reviews it as far as it can be without the file it may extend and
/// without its vendors.
///
/// # Errors
/// The first [`Mistake`] in it.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Mistake> {
    let document = Document::read(file, text.as_bytes())?;
    let scenario = document.scenario()?;
    match review::review(&scenario, &review::Sources::alone(&document), None).into_iter().next() {
        Some(mistake) if scenario.extends.is_none() => Err(mistake),
        _ => Ok(scenario),
    }
}

/// Reads a file that drills extend.
///
/// # Errors
/// The first [`Mistake`] in it.
pub fn parse_base(file: &str, text: &str) -> Result<Base, Mistake> {
    Document::read(file, text.as_bytes())?.base()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "drill: A lost answer makes one invoice\nwhy: Two are billed\nfamily: idempotency\n\
        vendors: { crm: hubspot, billing: { vendor: stripe, with: { a: [1, 2.5, null] } } }\n\
        faults:\n  - on: billing POST /v1/invoices\n    attempts: 1\n    when: 'request.path != \"/\"'\n    \
        do: { reset: after_applied }\nexpect: { converges: { within: 10m } }\n";

    #[test]
    fn a_drill_reads_as_it_is_meant() {
        let drill = parse("good.yaml", GOOD).unwrap();
        let again: Scenario = serde_json::from_value(serde_json::to_value(&drill).unwrap()).unwrap();
        assert_eq!(drill, again);
        assert_eq!(drill, serde_saphyr::from_str(GOOD).unwrap());
        assert_eq!(drill.faults[0].attempts.unwrap().last, Some(1));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = parse("any.yaml", &text);
        }

        #[test]
        fn a_damaged_drill_is_read_or_refused_at_a_place_inside_it(
            at in 0..GOOD.len(), len in 0usize..12, with in "[ -~\\n\\t]{0,6}"
        ) {
            let end = (at + len).min(GOOD.len());
            let text = format!("{}{with}{}", &GOOD[..at], &GOOD[end..]);
            if let Err(mistake) = parse("damaged.yaml", &text) {
                let lines = text.lines().count();
                prop_assert!(mistake.line >= 1 && mistake.line <= lines + 1, "{mistake:?}");
                prop_assert!(mistake.column >= 1);
                prop_assert!(mistake.extent().start <= mistake.source_line.chars().count());
                prop_assert!(crate::report::mistake::render(&mistake).contains("damaged.yaml"));
            }
        }
    }
}
