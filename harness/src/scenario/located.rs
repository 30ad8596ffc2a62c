//! From a located tree to typed data, with each mistake at its exact place.
//!
//! Knows: how serde asks for values, and how to say what it did not get. Must not know: which
//! types it is asked for.

use std::fmt::{self, Display};

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::nearest::advice;
use super::text::Mistake;
use super::yaml::{Data, Key, Node, Place};

/// Reads a `T` out of `root`; `whole` is what the file is called in messages (`the drill`).
pub(super) fn read<T: DeserializeOwned>(
    file: &str,
    text: &str,
    whole: &str,
    root: &Node,
) -> Result<T, Mistake> {
    T::deserialize(Reader { node: root, owner: Owner::File(whole) }).map_err(|trouble| {
        let at = trouble.place.unwrap_or(Place::START);
        Mistake { help: trouble.help, ..Mistake::at(file, text, at, trouble.message) }
    })
}

/// What stands in the way, and where.
#[derive(Debug)]
struct Trouble {
    place: Option<Place>,
    message: String,
    help: Option<String>,
    /// A key that is missing; who lacks it is known one level up.
    missing: Option<&'static str>,
}

impl Trouble {
    fn new(message: impl Into<String>) -> Trouble {
        Trouble { place: None, message: message.into(), help: None, missing: None }
    }

    fn help(mut self, help: impl Into<String>) -> Trouble {
        self.help = Some(help.into());
        self
    }

    /// Gives it a place, unless something further in already has one.
    fn or_at(mut self, place: Place) -> Trouble {
        self.place.get_or_insert(place);
        self
    }
}

impl Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Trouble {}

impl de::Error for Trouble {
    fn custom<T: Display>(message: T) -> Trouble {
        Trouble::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Trouble {
        Trouble::new(format!("expected {}, found {}", human(&expected.to_string()), seen(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Trouble {
        de::Error::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Trouble {
        Trouble::new(format!("`{variant}` is not known here")).help(advice(variant, expected, "known"))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Trouble {
        Trouble::new(format!("`{field}` is not a key here")).help(advice(field, expected, "keys"))
    }

    fn missing_field(field: &'static str) -> Trouble {
        Trouble { missing: Some(field), ..Trouble::new(format!("`{field}` is missing")) }
    }
}

/// Rust's names of types in words.
fn human(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0".into(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "`true` or `false`".into(),
        "a string" => "a text".into(),
        "a sequence" => "a list".into(),
        other => other.to_owned(),
    }
}

fn seen(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Unsigned(n) => format!("`{n}`"),
        Unexpected::Signed(n) => format!("`{n}`"),
        Unexpected::Float(n) => format!("`{n}`"),
        Unexpected::Bool(b) => format!("`{b}`"),
        Unexpected::Str(s) => format!("`{s}`"),
        Unexpected::Unit | Unexpected::Option => "nothing".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a map".into(),
        other => other.to_string(),
    }
}

/// Whose value it is.
#[derive(Clone, Copy)]
enum Owner<'a> {
    File(&'a str),
    Key(&'a Key),
    Item(&'a str),
}

impl Owner<'_> {
    fn called(&self) -> String {
        match self {
            Owner::File(name) => (*name).to_owned(),
            Owner::Key(key) => format!("`{}`", key.name),
            Owner::Item(list) => format!("this item of `{list}`"),
        }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    owner: Owner<'a>,
}

impl<'a> Reader<'a> {
    fn mismatch(&self, expected: &str) -> Trouble {
        let found = self.node.data.describe(&self.node.raw);
        // Nothing has no extent of its own: point at the key instead.
        let place = match (&self.node.data, self.owner) {
            (Data::Null, Owner::Key(key)) => key.place,
            _ => self.node.place,
        };
        Trouble::new(format!("{}: expected {expected}, found {found}", self.owner.called())).or_at(place)
    }

    fn at<T>(&self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        result.map_err(|trouble| self.settle(trouble))
    }

    /// Gives the trouble its place in this value, unless something further in already has one.
    fn settle(&self, trouble: Trouble) -> Trouble {
        let place = self.inside(&trouble.message);
        trouble.or_at(place)
    }

    fn read_map<V: Visitor<'a>>(self, visitor: V, pairs: &'a [(Key, Node)]) -> Result<V::Value, Trouble> {
        let result = visitor.visit_map(Pairs { rest: pairs.iter(), value: None });
        result.map_err(|mut trouble| {
            if trouble.place.is_none()
                && let Some(field) = trouble.missing
            {
                trouble.message = format!("{} lacks `{field}`", self.owner.called());
                trouble.place = Some(match self.owner {
                    Owner::Key(key) => key.place,
                    _ => self.node.place,
                });
            }
            trouble.or_at(self.node.place)
        })
    }

    /// Where a text that was refused is wrong: at its start, unless the message, such as the CEL
    /// parser's, names a column of it.
    fn inside(&self, message: &str) -> Place {
        let place = self.node.place;
        let named = message.rsplit_once(": at column ").and_then(|(_, rest)| rest.split_once(':'));
        match named.and_then(|(column, _)| column.parse::<usize>().ok()) {
            // Escapes and line breaks would shift it: such a text is pointed at whole.
            Some(column) if column > 0 && !self.node.raw.contains(['\\', '\n']) => {
                let quote = usize::from(self.node.raw.starts_with(['"', '\'']));
                Place { column: place.column + quote + column - 1, ..place }
            }
            _ => place,
        }
    }

    /// The text of a scalar, as it stands in the file: `attempts: 1` is as good as `attempts: "1"`.
    fn scalar(&self) -> Option<&'a str> {
        match &self.node.data {
            Data::Text(text) => Some(text),
            Data::Bool(_) | Data::Number(_) => Some(&self.node.raw),
            _ => None,
        }
    }
}

macro_rules! numbers {
    ($($method:ident: $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
            match &self.node.data {
                Data::Number(_) => self.deserialize_any(visitor),
                _ => Err(self.mismatch($expected)),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = Trouble;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match &self.node.data {
            Data::Null => self.at(visitor.visit_unit()),
            Data::Bool(b) => self.at(visitor.visit_bool(*b)),
            Data::Number(n) => self.at(match (n.as_u64(), n.as_i64(), n.as_f64()) {
                (Some(u), _, _) => visitor.visit_u64(u),
                (_, Some(i), _) => visitor.visit_i64(i),
                (_, _, Some(f)) => visitor.visit_f64(f),
                _ => Err(self.mismatch("a number")),
            }),
            Data::Text(text) => self.at(visitor.visit_borrowed_str(text)),
            Data::List(_) => self.deserialize_seq(visitor),
            Data::Map(pairs) => self.read_map(visitor, pairs),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match self.node.data {
            Data::Bool(b) => self.at(visitor.visit_bool(b)),
            _ => Err(self.mismatch("`true` or `false`")),
        }
    }

    numbers! {
        deserialize_i8: "a whole number"; deserialize_i16: "a whole number";
        deserialize_i32: "a whole number"; deserialize_i64: "a whole number";
        deserialize_u8: "a whole number"; deserialize_u16: "a whole number";
        deserialize_u32: "a whole number"; deserialize_u64: "a whole number";
        deserialize_f32: "a number"; deserialize_f64: "a number";
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match self.scalar() {
            Some(text) => self.at(visitor.visit_borrowed_str(text)),
            None => Err(self.mismatch("a text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match (&self.node.data, self.owner) {
            // An empty key would silently promise nothing.
            (Data::Null, Owner::Key(key)) if self.node.raw.is_empty() => {
                Err(Trouble::new(format!("`{}` says nothing", key.name))
                    .or_at(key.place)
                    .help("give it a value, or remove the line"))
            }
            (Data::Null, _) => self.at(visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match &self.node.data {
            Data::List(items) => {
                let list = match self.owner {
                    Owner::Key(key) => &key.name,
                    Owner::File(name) | Owner::Item(name) => name,
                };
                self.at(visitor.visit_seq(Items { rest: items.iter(), list }))
            }
            _ => Err(self.mismatch("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Trouble> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        match &self.node.data {
            Data::Map(pairs) => self.read_map(visitor, pairs),
            _ => Err(self.mismatch("a map (`name: value`)")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        match &self.node.data {
            Data::Map(pairs) => self.read_map(visitor, pairs),
            _ => {
                let expected = match fields {
                    [only] => format!("a map with the key `{only}`"),
                    _ => "a map".to_owned(),
                };
                Err(self.mismatch(&expected).help(format!("keys: {}", fields.join(", "))))
            }
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let known = || format!("known: {}", variants.join(", "));
        match &self.node.data {
            Data::Text(_) => self.at(visitor.visit_enum(Variant { key: None, reader: self })),
            Data::Map(pairs) => match pairs.as_slice() {
                [(key, value)] => self.at(visitor.visit_enum(Variant {
                    key: Some(key),
                    reader: Reader { node: value, owner: Owner::Key(key) },
                })),
                [_, (second, _), ..] => {
                    let owner = self.owner.called();
                    Err(Trouble::new(format!("{owner} takes one thing; `{}` is a second one", second.name))
                        .or_at(second.place)
                        .help(known()))
                }
                [] => Err(self.mismatch("one thing").help(known())),
            },
            _ => Err(self.mismatch("one of the words it knows").help(known())),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple_struct }
}

struct Pairs<'a> {
    rest: std::slice::Iter<'a, (Key, Node)>,
    value: Option<Reader<'a>>,
}

impl<'a> MapAccess<'a> for Pairs<'a> {
    type Error = Trouble;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Trouble> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.value = Some(Reader { node, owner: Owner::Key(key) });
        let name: de::value::BorrowedStrDeserializer<'a, Trouble> =
            de::value::BorrowedStrDeserializer::new(&key.name);
        seed.deserialize(name).map(Some).map_err(|t| t.or_at(key.place))
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        let reader = self.value.take().ok_or_else(|| Trouble::new("a value without its key"))?;
        seed.deserialize(reader).map_err(|t| reader.settle(t))
    }
}

struct Items<'a> {
    rest: std::slice::Iter<'a, Node>,
    list: &'a str,
}

impl<'a> SeqAccess<'a> for Items<'a> {
    type Error = Trouble;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Trouble> {
        let Some(node) = self.rest.next() else { return Ok(None) };
        let reader = Reader { node, owner: Owner::Item(self.list) };
        seed.deserialize(reader).map(Some).map_err(|t| reader.settle(t))
    }
}

struct Variant<'a> {
    key: Option<&'a Key>,
    reader: Reader<'a>,
}

impl<'a> EnumAccess<'a> for Variant<'a> {
    type Error = Trouble;
    type Variant = Variant<'a>;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Variant<'a>), Trouble> {
        let (name, place) = match self.key {
            Some(key) => (key.name.as_str(), key.place),
            None => (self.reader.scalar().unwrap_or_default(), self.reader.node.place),
        };
        let word: de::value::StrDeserializer<'_, Trouble> = name.into_deserializer();
        seed.deserialize(word).map(|value| (value, self)).map_err(|t| t.or_at(place))
    }
}

impl<'a> Variant<'a> {
    /// The refusal of a bare word where a value is needed; `value` is asked what it would take.
    fn bare(&self, value: impl FnOnce(Reader<'a>) -> Option<Trouble>) -> Trouble {
        static NOTHING: Node = Node { place: Place::START, raw: String::new(), data: Data::Null };
        let word = self.reader.scalar().unwrap_or_default();
        let takes = value(Reader { node: &NOTHING, owner: Owner::File("it") });
        let takes =
            takes.and_then(|t| t.help.or_else(|| Some(t.message.split(", found").next()?.to_owned())));
        Trouble::new(format!("`{word}` needs a value"))
            .or_at(self.reader.node.place)
            .help(format!("write `{{ {word}: … }}`; {}", takes.unwrap_or_default()))
    }
}

impl<'a> VariantAccess<'a> for Variant<'a> {
    type Error = Trouble;

    fn unit_variant(self) -> Result<(), Trouble> {
        match self.key {
            Some(key) if !matches!(self.reader.node.data, Data::Null) => {
                Err(Trouble::new(format!("`{}` takes no value", key.name))
                    .or_at(key.place)
                    .help(format!("write the word alone: `{}`", key.name)))
            }
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, Trouble> {
        if self.key.is_none() {
            return Err(self.bare(|nothing| seed.deserialize(nothing).err()));
        }
        seed.deserialize(self.reader).map_err(|t| self.reader.settle(t))
    }

    fn tuple_variant<V: Visitor<'a>>(self, len: usize, visitor: V) -> Result<V::Value, Trouble> {
        if self.key.is_none() {
            return Err(self.bare(|nothing| de::Deserializer::deserialize_tuple(nothing, len, visitor).err()));
        }
        de::Deserializer::deserialize_tuple(self.reader, len, visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        if self.key.is_none() {
            return Err(
                self.bare(|nothing| de::Deserializer::deserialize_struct(nothing, "", fields, visitor).err())
            );
        }
        de::Deserializer::deserialize_struct(self.reader, "", fields, visitor)
    }
}
