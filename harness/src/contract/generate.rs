//! Values that a contract allows, drawn from its schemas: realistic, awkward, shrinkable.
//!
//! Knows: what a schema asks of a value, and how to draw one. Must not know: who uses it: vendors'
//! start data, a proptest of a user's own.
//!
//! A value is built by its schema and then held against it; what a schema asks for that cannot be
//! built (`not`, `if`) is left to that second look. A schema within itself is followed only where
//! it must be.

use std::cell::Cell;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::{Union, ValueTree};
use proptest::string::string_regex;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value, json};

use super::schema::{Additional, Doc, Effort, Node, Shape, Types, unfold};
use super::{Contract, Direction, realistic};
use crate::scenario::Given;

/// How many schemas a value may be made of before only what must be is added.
const WIDE: usize = 150;
/// How many schemas are looked at for one value.
const STEPS: usize = 20_000;
/// How many items or characters are made because there must be so many.
const LARGE: usize = 10_000;
/// How deep a value may nest before only what must be is added.
const DEEP: usize = 5;
/// How deep a value may nest at all.
const BOTTOM: usize = 24;

/// Values of the schema at `pointer` of the raw description, as they go in `direction`. Each is
/// valid: what the schema refuses after all is drawn again.
///
/// # Errors
/// In words, if there is no such schema, or it cannot be compiled.
pub fn values(
    contract: &Arc<Contract>,
    pointer: &str,
    direction: Direction,
) -> Result<BoxedStrategy<Value>, String> {
    let built = unchecked(contract, pointer, direction)?;
    contract.fits(pointer, direction, &Value::Null)?;
    let (contract, pointer) = (contract.clone(), pointer.to_owned());
    let fits = move |value: &Value| contract.fits(&pointer, direction, value).unwrap_or(false);
    Ok(built.prop_filter("the schema refuses it", fits).boxed())
}

/// As [`values`], without the second look: for the test that it is hardly needed.
///
/// # Errors
/// If there is no such schema.
#[doc(hidden)]
pub fn unchecked(
    contract: &Contract,
    pointer: &str,
    direction: Direction,
) -> Result<BoxedStrategy<Value>, String> {
    let doc = Doc::of(contract);
    let node =
        doc.find(&format!("#{pointer}")).ok_or_else(|| format!("there is no schema at `{pointer}`"))?;
    let maker = Maker::new(doc, direction, Effort::new(STEPS));
    maker.done(pointer, maker.value(&[node], "", 0))
}

/// Values of one field of the values at `pointer`; `path` names the properties that lead to it. One
/// in twenty is null where the contract lets it be: a record of six such fields lacks one of them
/// now and then, and is not empty.
///
/// # Errors
/// As [`values`], or if there is no such property.
pub fn field(
    contract: &Contract,
    pointer: &str,
    path: &[&str],
    direction: Direction,
) -> Result<BoxedStrategy<Value>, String> {
    let doc = Doc::of(contract);
    let root =
        doc.find(&format!("#{pointer}")).ok_or_else(|| format!("there is no schema at `{pointer}`"))?;
    let effort = Effort::new(STEPS);
    let mut nodes = vec![root];
    for name in path {
        let shape = Shape::of(&doc, &nodes, &effort);
        nodes = match (shape.properties.get(name), shape.additional) {
            (Some(nodes), _) => nodes.clone(),
            (None, Additional::Schema(nodes)) => nodes,
            _ => return Err(format!("{pointer} has no property `{}`", path.join("."))),
        };
    }
    let maker = Maker::new(doc, direction, effort);
    let shape = Shape::of(&doc, &nodes, &maker.effort);
    let (null, shape) = (shape.null, Shape { null: false, ..shape });
    let some = maker.done(pointer, maker.shape(&shape, path.last().copied().unwrap_or_default(), 0))?;
    Ok(if null { prop_oneof![1 => Just(Value::Null), 19 => some].boxed() } else { some })
}

/// Start data in which the nth record has the nth value of each of these fields (dotted paths): what
/// puts generated records before a drill, and shrinks with them.
pub fn given(records: &[Value], fields: &[&str]) -> Given {
    let at = |record: &Value, field: &str| {
        let pointer = format!("/{}", field.replace('.', "/"));
        record.pointer(&pointer).cloned().unwrap_or(Value::Null)
    };
    let values = |field: &&str| records.iter().map(|record| at(record, field)).collect::<Vec<_>>();
    let each = fields.iter().map(|field| ((*field).to_owned(), values(field)));
    let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
    Given { count, each: each.filter(|(_, values)| !values.is_empty()).collect(), ..Given::default() }
}

/// Records: lists of values of one schema, such as a vendor's collection holds at the start. They
/// shrink to the fewest and plainest that still break a drill.
///
/// # Errors
/// As [`values`].
pub fn records(
    contract: &Arc<Contract>,
    pointer: &str,
    count: std::ops::Range<usize>,
) -> Result<BoxedStrategy<Vec<Value>>, String> {
    Ok(vec(values(contract, pointer, Direction::Response)?, count).boxed())
}

/// The value that `strategy` draws under a seed of 32 bytes: equal seeds, equal values. None if it
/// refuses too many in a row.
pub fn draw(strategy: &BoxedStrategy<Value>, seed: [u8; 32]) -> Option<Value> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    strategy.new_tree(&mut runner).ok().map(|tree| tree.current())
}

struct Maker<'d> {
    doc: Doc<'d>,
    direction: Direction,
    /// How many more schemas may be added freely.
    left: Cell<usize>,
    /// How many schemas may still be looked at.
    effort: Effort,
    /// How often what is made now must be there at least, in the lists around it.
    times: Cell<usize>,
    /// Whether it gave up at something that must be there.
    gave_up: Cell<bool>,
}

impl<'d> Maker<'d> {
    fn new(doc: Doc<'d>, direction: Direction, effort: Effort) -> Maker<'d> {
        let (left, times, gave_up) = (Cell::new(WIDE), Cell::new(1), Cell::new(false));
        Maker { doc, direction, left, effort, times, gave_up }
    }

    /// What was built for the schema at `pointer`, if nothing had to be left out.
    fn done(&self, pointer: &str, built: BoxedStrategy<Value>) -> Result<BoxedStrategy<Value>, String> {
        match self.gave_up.get() {
            false => Ok(built),
            true => Err(format!(
                "no value is made of {pointer}: it must be larger than {LARGE} items or characters, or hold more \
                 than {STEPS} schemas"
            )),
        }
    }

    /// As many as there must be, if so many can be.
    fn least(&self, must: usize, most: usize) -> usize {
        if must > most {
            self.gave_up.set(true);
        }
        must.min(most)
    }

    fn value(&self, nodes: &[Node<'d>], name: &str, depth: usize) -> BoxedStrategy<Value> {
        if nodes.is_empty() {
            return Just(json!("any")).boxed();
        }
        self.left.set(self.left.get().saturating_sub(1));
        self.shape(&Shape::of(&self.doc, nodes, &self.effort), name, depth)
    }

    /// Whether only what must be is added from here on.
    fn tight(&self, depth: usize) -> bool {
        depth > DEEP || self.left.get() == 0
    }

    fn shape(&self, shape: &Shape<'d>, name: &str, depth: usize) -> BoxedStrategy<Value> {
        if shape.tangled.is_some() {
            self.gave_up.set(true);
            return Just(Value::Null).boxed();
        }
        if depth > BOTTOM || shape.null && self.tight(depth) {
            return Just(Value::Null).boxed();
        }
        let mut branches = unfold(shape).unwrap_or_default();
        // Objects last: a tight value takes the first, which is the plainest.
        branches.sort_by_key(|b| b.types.meets(Types::OBJECT) && b.types != Types::ALL);
        if self.tight(depth) {
            branches.truncate(1);
        }
        let drawn: Vec<_> = branches.iter().map(|branch| self.plain(branch, name, depth)).collect();
        let some = match drawn.len() {
            0 => Just(Value::Null).boxed(),
            _ => Union::new(drawn).boxed(),
        };
        if shape.null { prop_oneof![1 => Just(Value::Null), 5 => some].boxed() } else { some }
    }

    fn plain(&self, shape: &Shape<'d>, name: &str, depth: usize) -> BoxedStrategy<Value> {
        if let Some(values) = &shape.values {
            let values: Vec<Value> = values.iter().map(|v| (*v).clone()).collect();
            return if values.is_empty() { Just(Value::Null).boxed() } else { select(values).boxed() };
        }
        if shape.types == Types::ALL {
            return prop_oneof![Just(json!("any")), Just(json!(1)), Just(json!(true)), Just(json!({}))]
                .boxed();
        }
        let is = |types: Types| shape.types.meets(types);
        let mut kinds: Vec<BoxedStrategy<Value>> = Vec::new();
        if is(Types::STRING) {
            let least = bound(shape, "minLength").map_or(0, |n| n as usize);
            kinds.push(text(shape, self.least(least, LARGE), name).prop_map(Value::String).boxed());
        }
        if is(Types::INTEGER) {
            kinds.push(integer(shape));
        }
        if Types::NUMBER.within(shape.types) {
            kinds.push(number(shape));
        }
        if is(Types::BOOLEAN) {
            kinds.push(any::<bool>().prop_map(Value::Bool).boxed());
        }
        if is(Types::ARRAY) {
            kinds.push(self.list(shape, name, depth));
        }
        if is(Types::OBJECT) {
            kinds.push(self.object(shape, depth));
        }
        if self.tight(depth) {
            kinds.truncate(1);
        }
        if kinds.is_empty() { Just(Value::Null).boxed() } else { Union::new(kinds).boxed() }
    }

    fn list(&self, shape: &Shape<'d>, name: &str, depth: usize) -> BoxedStrategy<Value> {
        let least = bound(shape, "minItems").map_or(0, |n| n as usize).max(shape.prefix.len());
        let times = self.times.get();
        let least = self.least(least, LARGE / times);
        let most = bound(shape, "maxItems").map_or(usize::MAX, |n| n as usize);
        if !shape.prefix.is_empty() {
            let items: Vec<_> =
                shape.prefix.iter().map(|n| self.value(std::slice::from_ref(n), name, depth + 1)).collect();
            return items.prop_map(Value::Array).boxed();
        }
        let most = most.min(if self.tight(depth) { least } else { least + 3 }).max(least);
        if most == 0 {
            return Just(json!([])).boxed();
        }
        let unique = shape.opaque.contains_key("uniqueItems");
        let tidy = move |mut items: Vec<Value>| {
            if unique {
                let mut seen: Vec<Value> = Vec::new();
                items.retain(|i| {
                    !seen.contains(i) && {
                        seen.push(i.clone());
                        true
                    }
                });
            }
            Value::Array(items)
        };
        self.times.set(times * least.max(1));
        let item = self.value(&shape.items, name, depth + 1);
        self.times.set(times);
        vec(item, least..=most).prop_map(tidy).boxed()
    }

    fn object(&self, shape: &Shape<'d>, depth: usize) -> BoxedStrategy<Value> {
        let hidden = match self.direction {
            Direction::Request => "readOnly",
            Direction::Response => "writeOnly",
        };
        let flagged = |n: &Node<'d>| n.flag(hidden) || self.doc.resolve(n).is_some_and(|n| n.flag(hidden));
        let mut fields: Vec<BoxedStrategy<Option<(String, Value)>>> = Vec::new();
        let unlisted = shape.required.iter().filter(|name| !shape.properties.contains_key(*name));
        let listed = shape.properties.iter().map(|(name, nodes)| (*name, nodes.clone()));
        let other = match &shape.additional {
            Additional::Schema(nodes) => nodes.clone(),
            _ => Vec::new(),
        };
        for (name, nodes) in listed.chain(unlisted.map(|name| (*name, other.clone()))) {
            if nodes.iter().any(flagged) {
                continue;
            }
            let required = shape.required.contains(name);
            if !required && self.tight(depth) {
                continue;
            }
            let key = name.to_owned();
            let field = self.value(&nodes, name, depth + 1).prop_map(move |value| (key.clone(), value));
            fields.push(if required { field.prop_map(Some).boxed() } else { weighted(0.6, field).boxed() });
        }
        if !other.is_empty() && !self.tight(depth) && shape.properties.is_empty() {
            let entry = ("[a-z]{1,8}", self.value(&other, "", depth + 1));
            for _ in 0..2 {
                fields.push(weighted(0.5, entry.clone()).boxed());
            }
        }
        fields
            .prop_map(|fields| {
                let object: Map<String, Value> = fields.into_iter().flatten().collect();
                let mut object = Value::Object(object);
                settle(&mut object);
                object
            })
            .boxed()
    }
}

/// Makes each amount as text fit the currency beside it: no yen has a hundredth.
pub fn settle(value: &mut Value) {
    let Value::Object(object) = value else { return };
    object.values_mut().for_each(settle);
    let code = |(name, value): (&String, &Value)| {
        let code = value.as_str().filter(|_| name.to_lowercase().contains("currency"))?;
        realistic::CURRENCIES
            .iter()
            .find(|(c, _)| c.eq_ignore_ascii_case(code))
            .map(|(_, decimals)| *decimals)
    };
    let Some(decimals) = object.iter().find_map(code) else { return };
    for (name, value) in object.iter_mut() {
        if let Value::String(text) = value
            && name.to_lowercase().contains("amount")
            && let Some((whole, part)) = text.split_once('.')
            && part.len() > decimals
        {
            *text = match decimals {
                0 => whole.to_owned(),
                n => format!("{whole}.{}", &part[..n]),
            };
        }
    }
}

fn bound(shape: &Shape<'_>, keyword: &str) -> Option<f64> {
    shape.limits.get(keyword).map(|b| b.value)
}

fn text(shape: &Shape<'_>, least: usize, name: &str) -> BoxedStrategy<String> {
    if let Some(pattern) = shape.patterns.first() {
        let exact = regex::Regex::new(pattern);
        if let (Some(sensible), Ok(exact)) = (realistic::patterned(pattern, name), exact) {
            return sensible.prop_filter("the pattern", move |text| exact.is_match(text)).boxed();
        }
        // What is generated is the whole text, so anchors say nothing more; and digits are ASCII.
        let bare = pattern.trim_start_matches('^').trim_end_matches('$');
        let bare = bare.replace(r"\d", "[0-9]").replace(r"\w", "[A-Za-z0-9_]");
        if let Ok(strategy) = string_regex(&bare) {
            return strategy.boxed();
        }
    }
    if let Some(formatted) = shape.format.and_then(realistic::formatted) {
        return formatted;
    }
    let most = bound(shape, "maxLength").map_or(usize::MAX, |n| n as usize);
    let usual = realistic::named(name).unwrap_or_else(|| {
        prop_oneof![1 => Just(String::new()), 4 => "[a-z0-9_]{1,16}", 3 => realistic::words()].boxed()
    });
    usual
        .prop_map(move |text| {
            let mut text: String = text.chars().take(most).collect();
            let short = least.saturating_sub(text.chars().count());
            text.extend(std::iter::repeat_n('x', short));
            text
        })
        .boxed()
}

fn integer(shape: &Shape<'_>) -> BoxedStrategy<Value> {
    let widest = if shape.format == Some("int32") { i64::from(i32::MAX) } else { 1 << 53 };
    let exclusive = |keyword: &str| i64::from(shape.limits.get(keyword).is_some_and(|b| b.exclusive));
    let least =
        bound(shape, "minimum").map_or(-widest, |n| (n.ceil() as i64).saturating_add(exclusive("minimum")));
    let most =
        bound(shape, "maximum").map_or(widest, |n| (n.floor() as i64).saturating_sub(exclusive("maximum")));
    let (least, most) = (least.max(-widest), most.min(widest).max(least.max(-widest)));
    let step = bound(shape, "multipleOf").map_or(1, |n| (n as i64).max(1));
    let usual =
        if shape.format == Some("unix-time") { 946_684_800..=2_145_916_800 } else { 0..=1_000_000i64 };
    let inside = move |n: i64| {
        let n = n.clamp(least, most);
        let down = n - n.rem_euclid(step);
        json!(if down < least { down + step } else { down })
    };
    prop_oneof![
        1 => Just(0),
        6 => usual,
        1 => Just(least),
        1 => Just(most),
        1 => Just(99_999_999),
    ]
    .prop_map(inside)
    .boxed()
}

fn number(shape: &Shape<'_>) -> BoxedStrategy<Value> {
    let least = bound(shape, "minimum").unwrap_or(-1e15);
    let most = bound(shape, "maximum").unwrap_or(1e15).max(least);
    prop_oneof![1 => Just(0.0), 5 => (0u32..100_000_000).prop_map(|n| f64::from(n) / 100.0), 1 => Just(most)]
        .prop_map(move |n: f64| json!(n.clamp(least, most)))
        .boxed()
}

#[cfg(test)]
mod tests;
