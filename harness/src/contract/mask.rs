//! Values of vendors in messages: of a value its outline, and the value itself only where it can
//! tell nothing of a person and is no secret.
//!
//! Knows: how a value is shown to a person. Must not know: why it is shown.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::fixture::{REDACTED, displayable, is_secret_name};
use crate::personal::{hidden, is_personal_name, number_hidden, outlined};

/// The longest text that is shown whole, in characters.
const SHOWN: usize = 48;

/// Texts that are words of a vendor's and not of a person's: enums, ids, numbers, moments.
static PLAIN: LazyLock<Regex> = LazyLock::new(|| {
    let word = r"[A-Za-z]+[0-9]{0,4}(?:[_.:/+-][A-Za-z0-9]{1,12})*";
    let id = r"[a-z]{2,8}_[A-Za-z0-9]{8,40}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}";
    let number =
        r"[+-]?[0-9]{1,12}(?:[.,][0-9]{1,12})?(?:[eE][+-]?[0-9]{1,3})?%?|v?[0-9]{1,4}(?:\.[0-9]{1,6}){1,2}";
    let time = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?";
    let zone = r"(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?";
    let date = r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}";
    let day = r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4}";
    let moment = format!("(?:(?:{date}|{day})(?:[T ]{time}{zone})?|{time}{zone})");
    Regex::new(&format!("^(?:{word}|{id}|{number}|{moment})$"))
        .expect("a constant pattern that the tests compile")
});

/// The scheme and host of an address.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([a-z][a-z0-9+.-]*://)(?:[^/?#@\s]*@)?([A-Za-z0-9.-]+(?::[0-9]+)?)[/?#]\S+$")
        .expect("a constant pattern that the tests compile")
});

/// What a value is, for a person: `a string`, `null`.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A value as it is shown; `name` is the member that holds it, empty if there is none.
pub(super) fn masked(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "an empty string".to_owned(),
        Value::String(text) => format!("string {}", text_of(name, text)),
        Value::Number(_) | Value::Bool(_) if is_secret_name(name) => REDACTED.to_owned(),
        Value::Null => "null".to_owned(),
        Value::Bool(_) => format!("boolean `{value}`"),
        Value::Number(n) => {
            format!("{} {}", if n.is_f64() { "number" } else { "integer" }, number_of(name, &n.to_string()))
        }
        Value::Array(items) => match items.len() {
            0 => "an empty array".to_owned(),
            n => format!("an array of {n}, the first {}", kind(&items[0])),
        },
        Value::Object(members) => {
            let names: Vec<String> =
                members.keys().map(|name| hidden(&displayable(name)).into_owned()).collect();
            match names.len() {
                0 => "an empty object".to_owned(),
                n if n <= 6 => format!("an object with {}", names.join(", ")),
                n => format!("an object with {} and {} more", names[..5].join(", "), n - 5),
            }
        }
    }
}

/// As [`masked`], for a value that should be one of a few: a word is shown whatever its field is
/// called, since a field of a few words holds nothing of a person.
pub(super) fn chosen(name: &str, value: &Value) -> String {
    masked(if is_secret_name(name) { name } else { "" }, value)
}

fn number_of(name: &str, digits: &str) -> String {
    number_hidden(name, digits).unwrap_or_else(|| format!("`{digits}`"))
}

/// A text that tells nothing of a person as it is; of any other what it is, how long, and its outline.
fn text_of(name: &str, text: &str) -> String {
    if is_secret_name(name) || displayable(text) == REDACTED {
        return format!("`{REDACTED}`");
    }
    let length = text.chars().count();
    if let Some(whole) = whole(text) {
        return whole;
    }
    if !is_personal_name(name) && length <= SHOWN && PLAIN.is_match(text) && displayable(text) == text {
        return format!("`{text}`");
    }
    if let Some(address) = ADDRESS.captures(text) {
        return format!("‹address at {}{}, {length} characters›", &address[1], &address[2]);
    }
    outlined(text)
}

/// What a text is, if it is one e-mail address, card number and so on.
fn whole(text: &str) -> Option<String> {
    let hidden = hidden(text);
    let inner = hidden.strip_prefix('‹')?.strip_suffix('›')?;
    (hidden != text && !inner.contains(['‹', '›'])).then(|| hidden.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_finding_shows_the_outline_of_what_may_be_a_persons_and_the_words_of_a_vendor() {
        for (name, value, shown) in [
            ("state", json!("past_due"), "string `past_due`"),
            ("scope", json!("crm.objects.deals:read"), "string `crm.objects.deals:read`"),
            ("type", json!("application/json"), "string `application/json`"),
            ("amount", json!("12.50"), "string `12.50`"),
            ("created", json!("2024-01-24 10:11:12Z"), "string `2024-01-24 10:11:12Z`"),
            ("created", json!("Wed, 24 Jan 2024 10:11:12 GMT"), "string `Wed, 24 Jan 2024 10:11:12 GMT`"),
            ("customer", json!("cus_NffrFeUfNV2Hib"), "string `cus_NffrFeUfNV2Hib`"),
            ("note", json!(""), "an empty string"),
            ("note", json!("call John at noon"), "string ‹17 characters: aaaa Aaaa aa aaaa›"),
            ("note", json!("ap@contoso-ag.info"), "string ‹e-mail address, 18 characters›"),
            (
                "note",
                json!("write to ap@contoso-ag.info"),
                "string ‹27 characters: aaaaa aa aa@aaaaaaa-aa.aaaa›",
            ),
            ("note", json!("4242 4242 4242 4242"), "string ‹card number, 19 characters›"),
            ("note", json!("DE89370400440532013000"), "string ‹IBAN, 22 characters›"),
            ("note", json!("078-05-1120"), "string ‹US social security number, 11 characters›"),
            ("note", json!("+1 415 555 0123"), "string ‹telephone number, 15 characters›"),
            ("note", json!(4242424242424242u64), "integer ‹card number, 16 characters›"),
            ("ssn", json!(78051120), "integer ‹8 digits›"),
            ("phone", json!("030 901820"), "string ‹10 characters: 999 999999›"),
            ("last_name", json!("Smith"), "string ‹5 characters: Aaaaa›"),
            ("last_name", json!("グロス\n"), "string ‹4 characters: aaa·›"),
            ("amount", json!(1250), "integer `1250`"),
            (
                "url",
                json!("https://api.shop.example/people/john?q=1"),
                "string ‹address at https://api.shop.example, 40 characters›",
            ),
            ("api_key", json!("whatever"), "string `REDACTED`"),
            ("note", json!("sk_live_0123456789abcdef"), "string `REDACTED`"),
            (
                "note",
                json!("9f86d081884c7d659a2feaa0c55ad015"),
                "string ‹32 characters: 9a99a999999a9a999a9aaaa9a99aa999›",
            ),
            (
                "byMail",
                json!({ "ap@contoso-ag.info": 1, "b": 2 }),
                "an object with ‹e-mail address, 18 characters›, b",
            ),
        ] {
            assert_eq!(masked(name, &value), shown);
        }
        assert_eq!(chosen("name", &json!("paused")), "string `paused`");
        assert_eq!(chosen("token", &json!("paused")), "string `REDACTED`");
    }
}
