//! Data of persons and of their money, and what is said of it in its place.
//!
//! Knows: how e-mail addresses, card numbers, account numbers, telephone numbers and US social
//! security numbers are written, and what fields of such data are called. Must not know: where it
//! stood, or credentials.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use iban::Iban;
use regex::Regex;
use serde_json::Value;

/// The longest outline that is shown whole, in characters.
const OUTLINED: usize = 48;

/// A number of more digits may be one of a telephone or an account.
const TELLING_DIGITS: usize = 5;

/// A kind of such data.
struct Kind {
    called: &'static str,
    /// What may be one.
    candidate: Regex,
    /// How much of a candidate is one.
    judged: fn(&str) -> Option<usize>,
}

static KINDS: LazyLock<[Kind; 6]> = LazyLock::new(|| {
    let kind = |called, pattern: &str, judged| Kind {
        called,
        candidate: Regex::new(pattern).expect("a constant pattern that the tests compile"),
        judged,
    };
    [
        kind(
            "e-mail address",
            r#"[^\s@"'`<>(),;:/\\=&?{}\[\]|‹›]+(?:@|%40)[\p{L}\p{N}][\p{L}\p{N}-]*(?:\.[\p{L}\p{N}-]*[\p{L}\p{N}])+"#,
            |text| (!text.contains("REDACTED") && !is_nobodys(text)).then_some(text.len()),
        ),
        kind("IBAN", r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}", account),
        kind("card number", r"[2-6](?:[ -]?[0-9]){12,18}", |text| is_card(text).then_some(text.len())),
        kind("US social security number", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", |text| {
            is_social_security(text).then_some(text.len())
        }),
        kind("telephone number", r"(?:\+|%2[Bb])[1-9](?:[ .()/-]{0,2}[0-9]){6,14}", |text| Some(text.len())),
        // As North America writes it.
        kind(
            "telephone number",
            r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[.-][0-9]{4}",
            |text| Some(text.len()),
        ),
    ]
});

/// `text` with each e-mail address, card number and so on replaced by what it is:
/// `‹e-mail address, 18 characters›`.
pub(crate) fn hidden(text: &str) -> Cow<'_, str> {
    let may_be = |b: u8| b == b'@' || b.is_ascii_digit();
    if !text.bytes().any(may_be) {
        return text.into();
    }
    let mut found: Vec<(Range<usize>, &str)> = Vec::new();
    for kind in KINDS.iter() {
        for candidate in kind.candidate.find_iter(text) {
            let Some(length) = (kind.judged)(candidate.as_str()) else { continue };
            let place = candidate.start()..candidate.start() + length;
            let overlaps = found.iter().any(|(known, _)| known.start < place.end && place.start < known.end);
            if !overlaps && stands_alone(text, &place) {
                found.push((place, kind.called));
            }
        }
    }
    if found.is_empty() {
        return text.into();
    }
    found.sort_by_key(|(place, _)| place.start);
    let mut out = String::new();
    let mut done = 0;
    for (place, called) in found {
        let characters = text[place.clone()].chars().count();
        out.push_str(&text[done..place.start]);
        out.push_str(&format!("‹{called}, {characters} characters›"));
        done = place.end;
    }
    out.push_str(&text[done..]);
    out.into()
}

/// Whether it is no part of a longer word or number: base64, a fraction, a moment.
fn stands_alone(text: &str, place: &Range<usize>) -> bool {
    let (before, after) = (text[..place.start].chars().next_back(), text[place.end..].chars().next());
    let goes_on = |c: char| c.is_alphanumeric() || matches!(c, '_' | '+');
    let before_free = before.is_none_or(|c| !goes_on(c) && !matches!(c, '.' | '-'));
    let fraction =
        text[place.end..].strip_prefix(['.', '-']).is_some_and(|t| t.starts_with(char::is_numeric));
    before_free && after.is_none_or(|c| !goes_on(c)) && !fraction
}

/// Whether an address is in a domain that can be nobody's (RFC 2606 §2 and §3): one of made-up data, which
/// says more as it is.
fn is_nobodys(address: &str) -> bool {
    let domain = address.to_ascii_lowercase();
    let labels: Vec<&str> = domain.rsplit(['.', '@']).take(2).collect();
    match labels[..] {
        ["test" | "example" | "invalid" | "localhost", ..] => true,
        ["com" | "net" | "org", second] => second == "example" || second.ends_with("%40example"),
        _ => false,
    }
}

/// How much of a text is an IBAN (ISO 13616); words may follow it.
fn account(text: &str) -> Option<usize> {
    let ends = text.match_indices(' ').map(|(n, _)| n).chain([text.len()]);
    let ends: Vec<usize> = ends.collect();
    ends.into_iter().rev().find(|end| text[..*end].replace(' ', "").parse::<Iban>().is_ok())
}

/// Whether digits, perhaps in groups, have an issuer's beginning and a true check digit (ISO/IEC 7812-1).
fn is_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let begins = |n: usize| digits[..n].iter().fold(0, |all, digit| all * 10 + digit);
    let issued = match (digits[0], digits.len()) {
        (4, 13 | 16 | 19) => true,
        (5, 16) | (6, 16..=19) => true,
        (2, 16) => (2221..=2720).contains(&begins(4)),
        (3, 14..=19) => matches!(begins(2), 30 | 34..=39),
        _ => false,
    };
    let sum: u32 = (0..).zip(digits.iter().rev()).map(|(n, digit)| doubled(n, *digit)).sum();
    issued && sum.is_multiple_of(10)
}

fn doubled(place: usize, digit: u32) -> u32 {
    match place % 2 {
        0 => digit,
        _ => digit * 2 / 10 + digit * 2 % 10,
    }
}

/// Numbers that the Social Security Administration never assigns are none.
fn is_social_security(text: &str) -> bool {
    let never = text.starts_with("000") || text.starts_with("666") || text.starts_with('9');
    !never && &text[4..6] != "00" && &text[7..] != "0000"
}

/// What fields with data of persons are called, without case, `_` and `-`.
const CALLED: [&str; 40] = [
    "name",
    "login",
    "tel",
    "cell",
    "line1",
    "line2",
    "zip",
    "sin",
    "pan",
    "cvc",
    "cvv",
    "cvv2",
    "dob",
    "bic",
    "swift",
    "sortcode",
    "accountnumber",
    "routingnumber",
    "cardnumber",
    "securitycode",
    "nationalid",
    "idnumber",
    "taxid",
    "vatid",
    "vatnumber",
    "passport",
    "passportnumber",
    "birthdate",
    "dateofbirth",
    "birthday",
    "birthplace",
    "ip",
    "ipaddress",
    "latitude",
    "longitude",
    "city",
    "cardholder",
    "nickname",
    "msisdn",
    "socialsecuritynumber",
];

/// How such names end: `billing_email`, `homePhone`, `shipping_address`.
const ENDS: [&str; 19] = [
    "email",
    "emailaddress",
    "phone",
    "phonenumber",
    "telephone",
    "mobile",
    "fax",
    "firstname",
    "lastname",
    "middlename",
    "givenname",
    "familyname",
    "fullname",
    "surname",
    "username",
    "holdername",
    "address",
    "street",
    "postalcode",
];

/// Whether a field of this name holds data of a person.
pub(crate) fn is_personal_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    let is = |one: &str| CALLED.contains(&one) || ENDS.iter().any(|end| one.ends_with(end));
    is(&plain) || ["ssn", "iban", "postcode", "zipcode"].iter().any(|end| plain.ends_with(end))
}

/// A text by how long it is and the classes of its characters: `‹8 characters: Aaaaa 99›`.
pub(crate) fn outlined(text: &str) -> String {
    let class = |c: char| match c {
        _ if c.is_uppercase() => 'A',
        _ if c.is_alphabetic() => 'a',
        _ if c.is_numeric() => '9',
        _ if c.is_control() => '·',
        _ => c,
    };
    let length = text.chars().count();
    let mut shown: String = text.chars().take(OUTLINED).map(class).collect();
    if length > OUTLINED {
        shown.push('…');
    }
    format!("‹{length} characters: {shown}›")
}

/// What is said of a number in the field `name`, if it may be a person's own.
pub(crate) fn number_hidden(name: &str, digits: &str) -> Option<String> {
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    match hidden(digits) {
        hidden if hidden != digits => Some(hidden.into_owned()),
        _ if is_personal_name(name) && count >= TELLING_DIGITS => Some(format!("‹{count} digits›")),
        _ => None,
    }
}

/// A value of the field `name` without what is a person's own, by how it is written or by the names
/// that its members have.
pub(crate) fn veiled(name: &str, value: &Value) -> Value {
    match value {
        Value::String(text) => match hidden(text) {
            hidden if hidden != *text => hidden.into(),
            _ if is_personal_name(name) && !text.is_empty() && !is_outline(text) && !is_made_up(text) => {
                outlined(text).into()
            }
            _ => value.clone(),
        },
        Value::Number(number) => {
            number_hidden(name, &number.to_string()).map_or_else(|| value.clone(), Value::String)
        }
        Value::Array(items) => items.iter().map(|item| veiled(name, item)).collect(),
        Value::Object(members) => {
            let veil = |(name, value): (&String, &Value)| (hidden(name).into_owned(), veiled(name, value));
            Value::Object(members.iter().map(veil).collect())
        }
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

/// Whether a text is one address that is nobody's.
fn is_made_up(text: &str) -> bool {
    let [address, ..] = &*KINDS;
    let whole = |found: regex::Match<'_>| found.as_str() == text;
    address.candidate.find(text).is_some_and(whole) && is_nobodys(text)
}

fn is_outline(text: &str) -> bool {
    text.starts_with('‹') && text.ends_with('›')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_persons_own_is_named_and_not_shown() {
        for (text, shown) in [
            ("ap@contoso-ag.info", "‹e-mail address, 18 characters›"),
            ("to Jürgen.Groß@müller-ag.info, now", "to ‹e-mail address, 26 characters›, now"),
            (
                "/v1/customers?email=ap%40contoso-ag.info&x=1",
                "/v1/customers?email=‹e-mail address, 20 characters›&x=1",
            ),
            (
                "/people/ap@contoso-ag.info/cards/5555555555554444",
                "/people/‹e-mail address, 18 characters›/cards/‹card number, 16 characters›",
            ),
            ("4242424242424242", "‹card number, 16 characters›"),
            ("card 3782 822463 10005 was", "card ‹card number, 17 characters› was"),
            ("5555-5555-5555-4444", "‹card number, 19 characters›"),
            ("DE89370400440532013000", "‹IBAN, 22 characters›"),
            ("GB82 WEST 1234 5698 7654 32 IS MINE", "‹IBAN, 27 characters› IS MINE"),
            ("078-05-1120", "‹US social security number, 11 characters›"),
            ("+49 (0)30 901820", "‹telephone number, 16 characters›"),
            ("call +14155550123!", "call ‹telephone number, 12 characters›!"),
            ("(415) 555-0123", "‹telephone number, 14 characters›"),
            (
                "415-555-0123 or ap@contoso-ag.info",
                "‹telephone number, 12 characters› or ‹e-mail address, 18 characters›",
            ),
        ] {
            assert_eq!(hidden(text), shown);
            assert_eq!(hidden(&hidden(text)), shown, "hiding twice is hiding once");
        }
    }

    #[test]
    fn ids_moments_and_numbers_stay() {
        for text in [
            "4242424242424241",
            "18000000298",
            "1700000000000",
            "0.4242424242424242",
            "2024-01-24T00:00:00+02:00",
            "2024-01-24T00:00:00.123+0000000",
            "in_4242424242424242",
            "DE89370400440532013001",
            "000-12-3456",
            "2024-01-24",
            "1.2.3",
            "@media and x@y",
            "q83v+14155550123=",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "https://bob:REDACTED@hooks.test/x",
        ] {
            assert_eq!(hidden(text), text);
        }
    }

    #[test]
    fn an_address_that_can_be_nobodys_is_shown() {
        for text in [
            "to billing+eu@contoso.example, now",
            "ann@shop.test",
            "a@b.c.invalid",
            "jenny@EXAMPLE.com",
            "/v1/customers?email=ann%40example.org",
            "x@mail.example.net",
        ] {
            assert_eq!(hidden(text), text);
        }
        for text in ["ann@myexample.com", "ann@test.com", "ann@example.de", "ann@example.com.info"] {
            assert_ne!(hidden(text), text);
        }
        assert_eq!(veiled("email", &"ann@shop.test".into()), "ann@shop.test");
        assert_eq!(veiled("email", &"Ann ann@shop.test".into()), "‹17 characters: Aaa aaa@aaaa.aaaa›");
    }

    #[test]
    fn fields_of_persons_are_told_by_their_names() {
        for name in [
            "email",
            "billing_email",
            "homePhone",
            "last_name",
            "ssn",
            "account-number",
            "shipping_address",
            "name",
        ] {
            assert!(is_personal_name(name), "{name}");
        }
        for name in ["status", "amount", "currency", "type", "filename", "event_name", "email_verified", "id"]
        {
            assert!(!is_personal_name(name), "{name}");
        }
    }

    #[test]
    fn a_record_is_veiled_by_the_names_of_its_fields_and_keeps_what_tells_nothing() {
        let record = serde_json::json!({
            "id": "cus_1", "amount": 1250, "status": "open", "created": "2024-01-24",
            "email": "ap@contoso-ag.info", "last_name": "Smith", "ssn": 78051120, "phones": ["+1 415 555 0123"],
            "address": { "line1": "1 High St", "city": "", "country": "GB" },
        });
        let veil = veiled("", &record);
        assert_eq!(
            veil,
            serde_json::json!({
                "id": "cus_1", "amount": 1250, "status": "open", "created": "2024-01-24",
                "email": "‹e-mail address, 18 characters›", "last_name": "‹5 characters: Aaaaa›",
                "ssn": "‹8 digits›", "phones": ["‹telephone number, 15 characters›"],
                "address": { "line1": "‹9 characters: 9 Aaaa Aa›", "city": "", "country": "GB" },
            })
        );
        assert_eq!(veiled("", &veil), veil, "veiling twice is veiling once");
        assert_eq!(veiled("name", &"Smith".into()), "‹5 characters: Aaaaa›");
    }
}
