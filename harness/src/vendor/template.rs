//! Templates: JSON with placeholders, compiled once, filled in many times.
//!
//! `"{params.customer|record.customer|'none'}"` takes the first that is not null; a text that is
//! one placeholder keeps the value's type. `{now.epoch}`, `{now.ms}`, `{now.iso}`, `{now.date}`
//! tell the time (a span may be added: `{now.epoch+30d}`); `{chars:alnum:24}` (`hex`, `digits`,
//! `uuid`), `{int:1..9}`, `{days:3..60}` and `{amount:1000..99999:record.currency}` draw from the
//! seed. `{$pick: […]}` draws one of a list; `{$when: {that: record.amount_due, is: 0, then: …,
//! else: …}}` chooses; `{$in_days: "{record.days}"}` is that many days from now in epoch seconds;
//! `{$cel: "…"}` computes what the others cannot, more slowly. `{{` is a brace.
//!
//! Knows: placeholders and chance. Must not know: which scope a place offers.

use std::fmt::Write as _;

use rand::Rng;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::expr::{Expr, currency_decimals};
use crate::seed::Stream;
use crate::time::{At, Span};

use super::value::{Path, text_of};

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template(Node);

#[derive(Clone, Debug)]
enum Node {
    Fixed(Value),
    Whole(Vec<Term>),
    Text(Vec<Piece>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
    Pick(Vec<Node>),
    When(Box<Choice>),
    InDays(Box<Node>),
    Cel(Expr),
}

/// A choice by the value of a field.
#[derive(Clone, Debug)]
struct Choice {
    root: String,
    path: Path,
    is: Value,
    then: Node,
    otherwise: Node,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Hole(Vec<Term>),
}

#[derive(Clone, Debug)]
enum Term {
    Literal(Value),
    Path(String, Path),
    Now(TimeForm, Span),
    Chars(Alphabet, usize),
    Int(i64, i64),
    Days(i64, i64),
    Amount(i64, i64, String, Path),
}

/// How a moment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeForm {
    Epoch,
    Millis,
    Iso,
    Date,
}

/// What random text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Letters of both cases and digits.
    Alnum,
    /// Lower-case hexadecimal digits.
    Hex,
    /// Decimal digits, the first not zero.
    Digits,
    /// A version 4 UUID.
    Uuid,
}

/// What a template is filled in from.
pub struct Scope<'a> {
    /// The moment.
    pub now: At,
    /// The wall-clock time at which the drill pretends to start.
    pub epoch: jiff::Timestamp,
    /// Values by name.
    pub roots: &'a [(&'a str, &'a Value)],
    /// The stream to draw from.
    pub chance: &'a mut Stream,
}

impl Scope<'_> {
    fn find(&self, root: &str, path: &Path) -> Option<&Value> {
        self.roots.iter().find(|(name, _)| *name == root).and_then(|(_, value)| path.get(value))
    }
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// If a placeholder or a CEL expression in it cannot be read.
    pub fn compile(value: &Value) -> Result<Template, String> {
        compile(value).map(Template)
    }

    /// Whether it is the same however often it is filled in.
    pub fn is_fixed(&self) -> bool {
        matches!(self.0, Node::Fixed(_))
    }

    /// Fills it in.
    pub fn fill(&self, scope: &mut Scope<'_>) -> Value {
        fill(&self.0, scope)
    }

    /// Fills it in as text; nothing where the value is null.
    pub fn text(&self, scope: &mut Scope<'_>) -> Option<String> {
        match &self.0 {
            Node::Fixed(Value::String(text)) => Some(text.clone()),
            node => text_of(&fill(node, scope)),
        }
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Template, D::Error> {
        Template::compile(&Value::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A number below `n`, drawn.
pub fn below(chance: &mut Stream, n: u64) -> u64 {
    ((u128::from(chance.next_u64()) * u128::from(n.max(1))) >> 64) as u64
}

/// Random text.
pub fn chars(chance: &mut Stream, alphabet: Alphabet, count: usize) -> String {
    const ALNUM: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut draw = |set: &[u8]| set[below(chance, set.len() as u64) as usize] as char;
    match alphabet {
        Alphabet::Alnum => (0..count).map(|_| draw(ALNUM)).collect(),
        Alphabet::Hex => (0..count).map(|_| draw(HEX)).collect(),
        Alphabet::Digits => (0..count).map(|i| draw(if i == 0 { &HEX[1..10] } else { &HEX[..10] })).collect(),
        Alphabet::Uuid => {
            let mut bytes = [0u8; 16];
            chance.fill_bytes(&mut bytes);
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            let code = hex::encode(bytes);
            format!("{}-{}-{}-{}-{}", &code[..8], &code[8..12], &code[12..16], &code[16..20], &code[20..])
        }
    }
}

/// A moment as ISO 8601 with milliseconds, in UTC.
pub fn iso(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn compile(value: &Value) -> Result<Node, String> {
    match value {
        Value::String(text) => compile_text(text),
        Value::Array(list) => {
            let nodes = list.iter().map(compile).collect::<Result<Vec<_>, _>>()?;
            Ok(if nodes.iter().all(|n| matches!(n, Node::Fixed(_))) {
                Node::Fixed(value.clone())
            } else {
                Node::List(nodes)
            })
        }
        Value::Object(map) => {
            if let (1, Some((key, inner))) = (map.len(), map.iter().next()) {
                match (key.as_str(), inner) {
                    ("$pick", Value::Array(list)) if !list.is_empty() => {
                        return Ok(Node::Pick(list.iter().map(compile).collect::<Result<_, _>>()?));
                    }
                    ("$when", Value::Object(choice)) => return compile_choice(choice),
                    ("$in_days", days) => return Ok(Node::InDays(Box::new(compile(days)?))),
                    ("$cel", Value::String(source)) => {
                        return Expr::compile(source).map(Node::Cel).map_err(|e| e.to_string());
                    }
                    _ => {}
                }
            }
            let fields = map
                .iter()
                .map(|(key, inner)| Ok((key.clone(), compile(inner)?)))
                .collect::<Result<Vec<_>, String>>()?;
            Ok(if fields.iter().all(|(_, n)| matches!(n, Node::Fixed(_))) {
                Node::Fixed(value.clone())
            } else {
                Node::Object(fields)
            })
        }
        other => Ok(Node::Fixed(other.clone())),
    }
}

fn compile_choice(choice: &Map<String, Value>) -> Result<Node, String> {
    let known = ["that", "is", "then", "else"];
    let (Some(that), true) =
        (choice.get("that").and_then(Value::as_str), choice.keys().all(|k| known.contains(&k.as_str())))
    else {
        return Err("`$when` needs `that`, `is`, `then` and `else`".to_owned());
    };
    let part = |name: &str| choice.get(name).cloned().unwrap_or(Value::Null);
    let (root, path) = that.split_once('.').unwrap_or((that, ""));
    Ok(Node::When(Box::new(Choice {
        root: root.to_owned(),
        path: Path::new(path),
        is: part("is"),
        then: compile(&part("then"))?,
        otherwise: compile(&part("else"))?,
    })))
}

fn compile_text(text: &str) -> Result<Node, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        literal.push_str(&rest[..open]);
        rest = &rest[open + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            literal.push('{');
            rest = after;
            continue;
        }
        let close =
            rest.find('}').ok_or_else(|| format!("`{text}` opens a placeholder and never closes it"))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Hole(rest[..close].split('|').map(term).collect::<Result<_, _>>()?));
        rest = &rest[close + 1..];
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(match pieces.as_mut_slice() {
        [] => Node::Fixed(json!("")),
        [Piece::Literal(text)] => Node::Fixed(Value::String(std::mem::take(text))),
        [Piece::Hole(terms)] => Node::Whole(std::mem::take(terms)),
        _ => Node::Text(pieces),
    })
}

fn term(text: &str) -> Result<Term, String> {
    let text = text.trim();
    let bad = || format!("`{{{text}}}` is not a placeholder");
    if let Some(quoted) = text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        return Ok(Term::Literal(json!(quoted)));
    }
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Term::Literal(json!(number)));
    }
    if let Some((kind, rest)) = text.split_once(':') {
        let range = |t: &str| -> Option<(i64, i64)> {
            let (low, high) = t.split_once("..")?;
            let (low, high) = (low.parse().ok()?, high.parse().ok()?);
            (low <= high).then_some((low, high))
        };
        return match kind {
            "chars" => {
                let (set, count) = rest.split_once(':').unwrap_or((rest, "0"));
                let alphabet = match set {
                    "alnum" => Alphabet::Alnum,
                    "hex" => Alphabet::Hex,
                    "digits" => Alphabet::Digits,
                    "uuid" => Alphabet::Uuid,
                    _ => return Err(bad()),
                };
                Ok(Term::Chars(alphabet, count.parse().map_err(|_| bad())?))
            }
            "int" => range(rest).map(|(a, b)| Term::Int(a, b)).ok_or_else(bad),
            "days" => range(rest).map(|(a, b)| Term::Days(a, b)).ok_or_else(bad),
            "amount" => {
                let (span, place) = rest.split_once(':').ok_or_else(bad)?;
                let (low, high) = range(span).ok_or_else(bad)?;
                let (root, path) = place.split_once('.').unwrap_or((place, ""));
                Ok(Term::Amount(low, high, root.to_owned(), Path::new(path)))
            }
            _ => Err(bad()),
        };
    }
    let (root, path) = text.split_once('.').unwrap_or((text, ""));
    if root == "now" {
        let (form, plus) = path.split_once('+').unwrap_or((path, "0s"));
        let form = match form {
            "epoch" => TimeForm::Epoch,
            "ms" => TimeForm::Millis,
            "iso" => TimeForm::Iso,
            "date" => TimeForm::Date,
            _ => return Err(bad()),
        };
        return Ok(Term::Now(form, plus.parse().map_err(|_| bad())?));
    }
    if root.is_empty() || root.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        return Err(bad());
    }
    Ok(Term::Path(root.to_owned(), Path::new(path)))
}

fn fill(node: &Node, scope: &mut Scope<'_>) -> Value {
    match node {
        Node::Fixed(value) => value.clone(),
        Node::Whole(terms) => first(terms, scope),
        Node::Text(pieces) => {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Literal(literal) => text.push_str(literal),
                    Piece::Hole(terms) => match first(terms, scope) {
                        Value::String(s) => text.push_str(&s),
                        Value::Null => {}
                        other => {
                            let _ = write!(text, "{other}");
                        }
                    },
                }
            }
            Value::String(text)
        }
        Node::List(nodes) => nodes.iter().map(|n| fill(n, scope)).collect(),
        Node::Object(fields) => {
            let mut map = Map::with_capacity(fields.len());
            for (key, node) in fields {
                map.insert(key.clone(), fill(node, scope));
            }
            Value::Object(map)
        }
        Node::Pick(nodes) => {
            let at = below(scope.chance, nodes.len() as u64) as usize;
            fill(&nodes[at], scope)
        }
        Node::When(choice) => {
            let value = scope.find(&choice.root, &choice.path).unwrap_or(&Value::Null);
            let branch = if *value == choice.is { &choice.then } else { &choice.otherwise };
            fill(branch, scope)
        }
        Node::InDays(days) => match fill(days, scope).as_i64() {
            Some(days) => json!(scope.now.on_wall(scope.epoch).as_second() + days.saturating_mul(86_400)),
            None => Value::Null,
        },
        Node::Cel(expr) => {
            let now = json!(scope.now.on_wall(scope.epoch).as_second());
            let mut variables: Vec<(&str, &Value)> = scope.roots.to_vec();
            variables.push(("now", &now));
            expr.evaluate(&variables).unwrap_or(Value::Null)
        }
    }
}

fn first(terms: &[Term], scope: &mut Scope<'_>) -> Value {
    for term in terms {
        let value = one(term, scope);
        if !value.is_null() {
            return value;
        }
    }
    Value::Null
}

fn one(term: &Term, scope: &mut Scope<'_>) -> Value {
    match term {
        Term::Literal(value) => value.clone(),
        Term::Path(root, path) => scope.find(root, path).cloned().unwrap_or(Value::Null),
        Term::Now(form, plus) => {
            let at = (scope.now + *plus).on_wall(scope.epoch);
            match form {
                TimeForm::Epoch => json!(at.as_second()),
                TimeForm::Millis => json!(at.as_millisecond()),
                TimeForm::Iso => json!(iso(at)),
                TimeForm::Date => json!(at.strftime("%Y-%m-%d").to_string()),
            }
        }
        Term::Chars(alphabet, count) => Value::String(chars(scope.chance, *alphabet, *count)),
        Term::Int(low, high) => json!(low + below(scope.chance, (high - low + 1) as u64) as i64),
        Term::Days(low, high) => {
            let days = low + below(scope.chance, (high - low + 1) as u64) as i64;
            let hours = jiff::SignedDuration::from_hours(24 * days);
            let at = scope.now.on_wall(scope.epoch).checked_add(hours).unwrap_or(jiff::Timestamp::MAX);
            json!(iso(at))
        }
        Term::Amount(low, high, root, path) => {
            let decimals = currency_decimals(scope.find(root, path).and_then(Value::as_str).unwrap_or("usd"));
            let hundredths = low + below(scope.chance, (high - low + 1) as u64) as i64;
            json!(match decimals {
                0 => hundredths.to_string(),
                3 => format!("{}.{:02}0", hundredths / 100, hundredths % 100),
                _ => format!("{}.{:02}", hundredths / 100, hundredths % 100),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn filled(template: Value, roots: &[(&str, &Value)]) -> Value {
        let epoch = "2026-01-02T03:04:05Z".parse().unwrap();
        let mut chance = Seed(1).stream("t");
        let mut scope = Scope { now: At(1_500_000), epoch, roots, chance: &mut chance };
        Template::compile(&template).unwrap().fill(&mut scope)
    }

    #[test]
    fn one_placeholder_keeps_its_type_and_several_make_text() {
        let record = json!({ "n": 7, "deep": { "list": [1, 2] } });
        let roots = [("record", &record)];
        assert_eq!(filled(json!("{record.n}"), &roots), json!(7));
        assert_eq!(filled(json!("{record.deep.list}"), &roots), json!([1, 2]));
        assert_eq!(filled(json!("n={record.n}!"), &roots), json!("n=7!"));
        assert_eq!(filled(json!("{record.x|record.n}"), &roots), json!(7));
        assert_eq!(filled(json!("{record.x|'none'}"), &roots), json!("none"));
        assert_eq!(filled(json!("a {{b}"), &roots), json!("a {b}"));
    }

    #[test]
    fn time_is_the_drills_own() {
        let out = filled(json!(["{now.epoch}", "{now.ms}", "{now.iso}", "{now.epoch+1h}"]), &[]);
        assert_eq!(out, json!([1767323046, 1767323046500i64, "2026-01-02T03:04:06.500Z", 1767326646]));
    }

    #[test]
    fn amounts_have_the_decimals_of_their_currency() {
        for (currency, decimals) in [("USD", Some(2)), ("jpy", None), ("KWD", Some(3))] {
            let record = json!({ "c": currency });
            let out = filled(json!("{amount:1000..99999:record.c}"), &[("record", &record)]);
            let text = out.as_str().unwrap();
            assert_eq!(text.split_once('.').map(|(_, d)| d.len()), decimals, "{text}");
        }
    }

    #[test]
    fn cel_computes_where_a_placeholder_cannot() {
        let record = json!({ "days": 30 });
        let out = filled(json!({ "$cel": "now + record.days * 86400" }), &[("record", &record)]);
        assert_eq!(out, json!(1767323046 + 30 * 86400));
    }

    #[test]
    fn choices_and_days_need_no_cel() {
        let record = json!({ "due": 0, "days": 2 });
        let roots = [("record", &record)];
        let when = |is: i64| json!({ "$when": { "that": "record.due", "is": is, "then": "paid", "else": "{record.days}" } });
        assert_eq!(filled(when(0), &roots), json!("paid"));
        assert_eq!(filled(when(1), &roots), json!(2));
        assert_eq!(filled(json!({ "$in_days": "{record.days}" }), &roots), json!(1767323046 + 2 * 86400));
        assert_eq!(filled(json!({ "$in_days": "{record.none}" }), &roots), Value::Null);
        assert!(Template::compile(&json!({ "$when": { "is": 1 } })).is_err());
    }

    #[test]
    fn a_broken_placeholder_is_refused_when_it_is_compiled() {
        for text in ["{open", "{chars:greek:3}", "{int:9..1}", "{now.stardate}", "{a b}"] {
            assert!(Template::compile(&json!(text)).is_err(), "{text}");
        }
        assert!(Template::compile(&json!({ "$cel": "1 +" })).is_err());
    }
}
