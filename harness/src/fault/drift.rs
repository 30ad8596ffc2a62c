//! Drift as data: how a vendor's payloads can change without notice.
//!
//! Knows: the mutations and how each is written. Must not know: how a payload is changed; `drift`
//! does that.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One way in which a vendor's payload changes. A field that a payload does not have, or that
/// cannot change in this way, leaves the payload as it is: the fault did not fire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mutation {
    // -- presence and place ----------------------------------------------------------------
    /// The field is gone.
    Remove(Field),
    /// The field has another name.
    Rename(Rename),
    /// The field is `null`.
    Nullify(Field),
    /// The field lies one level deeper: `/properties/amount` → `/properties/attributes/amount`.
    Deeper(Field),
    /// The field lies one level higher: `/properties/amount` → `/amount`.
    Shallower(Field),

    // -- type ------------------------------------------------------------------------------
    /// A number or boolean becomes text.
    ToString(Field),
    /// A numeric text, or a boolean, becomes a number.
    ToNumber(Field),
    /// A number, or a text that says so, becomes a boolean.
    ToBoolean(Field),
    /// A plain value becomes `{ value: …, currency: USD }`.
    ToObject(Field),
    /// One value becomes a list of it.
    ToList(Field),
    /// A list becomes its first item.
    ToSingle(Field),
    /// An ISO 8601 date becomes seconds since the epoch.
    ToEpochSeconds(Field),
    /// An ISO 8601 date becomes milliseconds since the epoch.
    ToEpochMillis(Field),
    /// Seconds or milliseconds since the epoch become an ISO 8601 date.
    ToIsoDate(Field),

    // -- values ----------------------------------------------------------------------------
    /// A word becomes one of the same kind that nobody has seen before: `open` → `open_pending`.
    NewEnumValue(Field),
    /// A text becomes one that means nothing.
    UnknownText(Field),
    /// A text becomes 10,000 characters long.
    LongText(Field),
    /// A text becomes one of emoji, combining marks and right-to-left letters.
    UnicodeText(Field),
    /// A text becomes empty.
    EmptyText(Field),
    /// A number is written with grouped thousands: `1,234.50`, as text.
    GroupedNumber(Field),
    /// A number is written with a decimal comma: `1234,50`, as text.
    DecimalComma(Field),
    /// A number is written with an exponent: `1.2345e3`.
    Exponent(Field),
    /// A number becomes the text `NaN`.
    NotANumber(Field),
    /// The field becomes exactly this.
    Set(Set),

    // -- lists and pages -------------------------------------------------------------------
    /// A list is empty.
    EmptyList(Field),
    /// A list ends early, and nothing else in the payload says so.
    CutList(Cut),
    /// The vendor gives no page of more than this many items, whatever is asked for. Only on calls.
    CapPage(NonZeroU64),

    // -- the body as a whole ---------------------------------------------------------------
    /// The body is wrapped in an object under this name: `data` gives `{ "data": … }`.
    Wrap(String),
    /// The Content-Type is this; the body stays as it is.
    ContentType(String),
    /// The same text in another encoding; the Content-Type still says the old one.
    Encoding(Encoding),

    // -- requests --------------------------------------------------------------------------
    /// The vendor refuses requests without this field, in its own error dialect. Only on calls.
    Require(Field),

    // -- all of it -------------------------------------------------------------------------
    /// Every field beneath this one changes in every way that applies to it: another pair each
    /// time the rule bites, in an order drawn under the seed. `''` is the whole body.
    Systematic(Field),
}

/// A new name for a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The field.
    pub field: Field,
    /// Its new name, in the same object.
    pub to: String,
}

/// A value of its own for a field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// The field.
    pub field: Field,
    /// Its value.
    pub value: Value,
}

/// A list that ends early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// The list.
    pub field: Field,
    /// Items that are left.
    pub to: usize,
}

/// Encodings that are not the one promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// ISO 8859-1; what it lacks is written as JSON escapes.
    Latin1,
    /// UTF-16, little endian, with a byte order mark.
    Utf16,
    /// UTF-8 with a byte order mark, which JSON does not allow (RFC 8259 §8.1).
    Utf8Bom,
}

impl Encoding {
    /// The encoding as a drill spells it.
    pub fn word(self) -> &'static str {
        match self {
            Encoding::Latin1 => "latin1",
            Encoding::Utf16 => "utf16",
            Encoding::Utf8Bom => "utf8_bom",
        }
    }
}

/// A field of a payload: a JSON Pointer (RFC 6901) in which `*` stands for each item of a list,
/// or each value of an object. Empty, it is the body as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field(Vec<String>);

impl Field {
    /// The field at these steps from the top.
    pub fn of<S: Into<String>>(steps: impl IntoIterator<Item = S>) -> Field {
        Field(steps.into_iter().map(Into::into).collect())
    }

    /// Its steps, unescaped.
    pub fn steps(&self) -> &[String] {
        &self.0
    }

    /// Whether it is the body as a whole.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// Its name: the last step that is no `*` and no number.
    pub fn name(&self) -> Option<&str> {
        let is_name = |s: &&String| *s != "*" && s.parse::<usize>().is_err();
        self.0.iter().rev().find(is_name).map(String::as_str)
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Field, String> {
        if text.is_empty() {
            return Ok(Field::default());
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!(
                "`{text}` is not a field; write its path from the top of the body, such as `/{}` (`*` for \
                 each item of a list)",
                text.replace(['.', '['], "/").replace(']', "")
            ));
        };
        let unescape = |step: &str| {
            let stray = step.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
            if stray {
                return Err(format!(
                    "`{text}` has a `~` that is not `~0` or `~1` (RFC 6901): write `~0` for `~`, `~1` for `/`"
                ));
            }
            Ok(step.replace("~1", "/").replace("~0", "~"))
        };
        rest.split('/').map(unescape).collect::<Result<_, _>>().map(Field)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| write!(f, "/{}", step.replace('~', "~0").replace('/', "~1")))
    }
}

impl Mutation {
    /// The mutation as a drill spells it: `to_number`.
    pub fn word(&self) -> &'static str {
        match self {
            Mutation::Remove(_) => "remove",
            Mutation::Rename(_) => "rename",
            Mutation::Nullify(_) => "nullify",
            Mutation::Deeper(_) => "deeper",
            Mutation::Shallower(_) => "shallower",
            Mutation::ToString(_) => "to_string",
            Mutation::ToNumber(_) => "to_number",
            Mutation::ToBoolean(_) => "to_boolean",
            Mutation::ToObject(_) => "to_object",
            Mutation::ToList(_) => "to_list",
            Mutation::ToSingle(_) => "to_single",
            Mutation::ToEpochSeconds(_) => "to_epoch_seconds",
            Mutation::ToEpochMillis(_) => "to_epoch_millis",
            Mutation::ToIsoDate(_) => "to_iso_date",
            Mutation::NewEnumValue(_) => "new_enum_value",
            Mutation::UnknownText(_) => "unknown_text",
            Mutation::LongText(_) => "long_text",
            Mutation::UnicodeText(_) => "unicode_text",
            Mutation::EmptyText(_) => "empty_text",
            Mutation::GroupedNumber(_) => "grouped_number",
            Mutation::DecimalComma(_) => "decimal_comma",
            Mutation::Exponent(_) => "exponent",
            Mutation::NotANumber(_) => "not_a_number",
            Mutation::Set(_) => "set",
            Mutation::EmptyList(_) => "empty_list",
            Mutation::CutList(_) => "cut_list",
            Mutation::CapPage(_) => "cap_page",
            Mutation::Wrap(_) => "wrap",
            Mutation::ContentType(_) => "content_type",
            Mutation::Encoding(_) => "encoding",
            Mutation::Require(_) => "require",
            Mutation::Systematic(_) => "systematic",
        }
    }

    /// The field that changes; `None` for what happens to a body or page as a whole.
    pub fn field(&self) -> Option<&Field> {
        match self {
            Mutation::Remove(f)
            | Mutation::Nullify(f)
            | Mutation::Deeper(f)
            | Mutation::Shallower(f)
            | Mutation::ToString(f)
            | Mutation::ToNumber(f)
            | Mutation::ToBoolean(f)
            | Mutation::ToObject(f)
            | Mutation::ToList(f)
            | Mutation::ToSingle(f)
            | Mutation::ToEpochSeconds(f)
            | Mutation::ToEpochMillis(f)
            | Mutation::ToIsoDate(f)
            | Mutation::NewEnumValue(f)
            | Mutation::UnknownText(f)
            | Mutation::LongText(f)
            | Mutation::UnicodeText(f)
            | Mutation::EmptyText(f)
            | Mutation::GroupedNumber(f)
            | Mutation::DecimalComma(f)
            | Mutation::Exponent(f)
            | Mutation::NotANumber(f)
            | Mutation::EmptyList(f)
            | Mutation::Require(f)
            | Mutation::Systematic(f) => Some(f),
            Mutation::Rename(r) => Some(&r.field),
            Mutation::Set(s) => Some(&s.field),
            Mutation::CutList(c) => Some(&c.field),
            Mutation::CapPage(_) | Mutation::Wrap(_) | Mutation::ContentType(_) | Mutation::Encoding(_) => {
                None
            }
        }
    }

    /// Whether it changes how requests are taken, and so makes no sense on a webhook.
    pub fn is_of_requests(&self) -> bool {
        matches!(self, Mutation::Require(_) | Mutation::CapPage(_))
    }
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self {
            Mutation::Rename(r) => write!(f, " {} to {}", r.field, r.to),
            Mutation::Set(s) => write!(f, " {} to {}", s.field, s.value),
            Mutation::CutList(c) => write!(f, " {} to {}", c.field, c.to),
            Mutation::CapPage(n) => write!(f, " {n}"),
            Mutation::Wrap(name) => write!(f, " {name}"),
            Mutation::ContentType(name) => write!(f, " {name}"),
            Mutation::Encoding(encoding) => write!(f, " {}", encoding.word()),
            _ => match self.field() {
                Some(field) if !field.is_whole() => write!(f, " {field}"),
                _ => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_read_back_as_written() {
        for text in ["", "/properties/amount", "/results/*/id", "/a~1b/~0c", "/0"] {
            assert_eq!(text.parse::<Field>().unwrap().to_string(), text);
        }
        let refusal = "results[0].amount".parse::<Field>().unwrap_err();
        assert!(refusal.contains("`/results/0/amount`"), "{refusal}");
        assert!("/a~b".parse::<Field>().is_err());
    }

    #[test]
    fn a_field_is_called_by_its_last_word() {
        let name = |text: &str| text.parse::<Field>().unwrap().name().map(str::to_owned);
        assert_eq!(name("/results/*/properties/amount").as_deref(), Some("amount"));
        assert_eq!(name("/results/*").as_deref(), Some("results"));
        assert_eq!(name(""), None);
    }

    #[test]
    fn the_word_of_a_mutation_is_the_one_that_drills_use() {
        for text in
            ["remove: /a", "rename: { field: /a, to: b }", "cap_page: 2", "wrap: data", "encoding: utf16"]
        {
            let mutation: Mutation = serde_saphyr::from_str(text).unwrap();
            assert!(text.starts_with(mutation.word()), "{mutation}");
        }
    }
}
