//! Text as vendors' records hold it: names, money, dates, and the awkward ones among them.
//!
//! Knows: what a field of some name or format usually holds. Must not know: schemas.

use proptest::prelude::*;
use proptest::sample::select;

/// Currencies of ISO 4217 with the number of their decimals: two, none, three.
pub(super) const CURRENCIES: [(&str, usize); 9] = [
    ("USD", 2),
    ("EUR", 2),
    ("GBP", 2),
    ("JPY", 0),
    ("KRW", 0),
    ("CLP", 0),
    ("KWD", 3),
    ("BHD", 3),
    ("TND", 3),
];

const NAMES: [&str; 14] = [
    "Northwind Traders",
    "O'Brien & Daughters Ltd",
    "Møller & Sønner ApS",
    "Łódź Logistics sp. z o.o.",
    "株式会社さくら商事",
    "Αθήνα Shipping SA",
    "Crème Brûlée 🍮 Oy",
    "شركة النور",
    "Zoe\u{301} (combining)",
    "Null",
    "0",
    "  padded  ",
    "\"quoted\", with comma; and = & %20",
    "<b>Bold</b>",
];

/// Text for a field of this name, if the name says what it is.
pub(super) fn named(name: &str) -> Option<BoxedStrategy<String>> {
    let name = name.to_lowercase();
    let has = |word: &str| name.contains(word);
    Some(if has("currency") {
        currency()
    } else if has("email") {
        email()
    } else if has("amount") || has("price") || has("total") {
        decimal()
    } else if has("name") || has("title") || has("description") {
        words()
    } else if has("date") || name.ends_with("at") && name.len() > 4 {
        instant()
    } else if has("url") {
        Just("https://example.com/a?b=1".to_owned()).boxed()
    } else {
        return None;
    })
}

/// Text of this format, if it is one that is known.
pub(super) fn formatted(format: &str) -> Option<BoxedStrategy<String>> {
    Some(match format {
        "date" => date(),
        "date-time" => instant(),
        "email" => email(),
        "uuid" => "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}".boxed(),
        "uri" | "url" => select(vec!["https://example.com/", "https://example.com/a%20b?c=d&e=1#f"])
            .prop_map(str::to_owned)
            .boxed(),
        "decimal" => decimal(),
        "hostname" => Just("api.example.com".to_owned()).boxed(),
        "ipv4" => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| format!("10.0.{a}.{b}")).boxed(),
        "time" => Just("23:59:59Z".to_owned()).boxed(),
        "byte" => "([A-Za-z0-9+/]{4}){0,8}".boxed(),
        _ => return None,
    })
}

/// Text that a pattern asks for, where what it asks for has a sense that the pattern cannot say: a
/// month has no more than 12.
pub(super) fn patterned(pattern: &str, name: &str) -> Option<BoxedStrategy<String>> {
    if pattern.contains(r"\d{4}-\d{2}-\d{2}T") {
        Some(instant())
    } else if pattern.contains(r"\d{4}-\d{2}-\d{2}") {
        Some(date())
    } else if pattern.contains("[A-Z]{3}") && name.to_lowercase().contains("currency") {
        Some(currency())
    } else if pattern.contains(r"\d+(\.\d+)?") {
        Some(decimal())
    } else {
        None
    }
}

/// Names: plain, of all scripts, long.
pub(super) fn words() -> BoxedStrategy<String> {
    let named = select(NAMES.to_vec()).prop_map(str::to_owned);
    let long = (30usize..120).prop_map(|n| "Ünïcödé Wörks ".repeat(n / 10));
    prop_oneof![2 => "[A-Z][a-z]{2,9}( [A-Z][a-z]{2,9})?", 6 => named, 1 => long].boxed()
}

/// Amounts as text: nothing, the least, the usual, the huge. The first hundredths that neither 32
/// bits nor a double can count are among them.
fn decimal() -> BoxedStrategy<String> {
    let of_digits = |digits: u32| 10u64.pow(digits - 1)..10u64.pow(digits);
    let huge = (7u32..=12).prop_flat_map(of_digits);
    let cents = |whole: BoxedStrategy<u64>| {
        (whole, 0u32..100).prop_map(|(whole, cents)| format!("{whole}.{cents:02}"))
    };
    prop_oneof![
        1 => Just("0".to_owned()),
        1 => Just("0.01".to_owned()),
        8 => cents((1u64..1_000_000).boxed()),
        2 => cents(huge.boxed()),
        1 => select(vec!["999999.99", "21474836.48", "90071992547409.93"]).prop_map(str::to_owned),
    ]
    .boxed()
}

fn currency() -> BoxedStrategy<String> {
    select(CURRENCIES.to_vec()).prop_map(|(code, _)| code.to_owned()).boxed()
}

fn email() -> BoxedStrategy<String> {
    prop_oneof![
        4 => "[a-z]{1,10}@example\\.com",
        1 => Just("first.last+tag@sub.example.co".to_owned()),
        1 => "[a-z]{30,40}@example\\.org",
    ]
    .boxed()
}

fn date() -> BoxedStrategy<String> {
    let day = (2000u16..2038, 1u8..13, 1u8..29).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    prop_oneof![6 => day, 1 => Just("2024-02-29".to_owned()), 1 => Just("1999-12-31".to_owned())].boxed()
}

fn instant() -> BoxedStrategy<String> {
    let time =
        prop_oneof![Just("00:00:00Z"), Just("23:59:59Z"), Just("12:30:00.500Z"), Just("09:15:30.001Z")];
    (date(), time).prop_map(|(date, time)| format!("{date}T{time}")).boxed()
}
