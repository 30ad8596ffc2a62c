//! True addresses and the names they stand for.
//!
//! Knows: which loopback address plays which origin in this drill, and rewrites text either way.
//! Must not know: HTTP. What varies by machine (ports, folders) stops here, before the trace.

use std::borrow::Cow;
use std::cell::RefCell;

/// Pairs of true and canonical text.
#[derive(Default)]
pub(crate) struct Canon {
    pairs: RefCell<Vec<(String, String)>>,
}

impl Canon {
    /// From now on `truth` is called `name`. Longer texts are replaced first.
    pub fn add(&self, truth: &str, name: &str) {
        let mut pairs = self.pairs.borrow_mut();
        pairs.retain(|(t, _)| t != truth);
        pairs.push((truth.to_owned(), name.to_owned()));
        pairs.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
    }

    /// `text` as the trace may show it.
    pub fn canonical<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for (truth, name) in self.pairs.borrow().iter() {
            if text.contains(truth.as_str()) {
                text = Cow::Owned(text.replace(truth.as_str(), name));
            }
        }
        without_ports(text)
    }

    /// `text` with every true address in place of its name.
    pub fn truthful<'a>(text: &'a str, name: &str, truth: &str) -> Cow<'a, str> {
        if text.contains(name) {
            return Cow::Owned(replace_origin(text, name, truth));
        }
        if !text.contains("\\/") {
            return Cow::Borrowed(text);
        }
        let escaped = name.replace('/', "\\/");
        if text.contains(&escaped) {
            return Cow::Owned(replace_origin(text, &escaped, &truth.replace('/', "\\/")));
        }
        Cow::Borrowed(text)
    }

    /// A JSON value as the trace may show it.
    pub fn canonical_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::String(s) => {
                if let Cow::Owned(other) = self.canonical(s) {
                    *s = other;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|v| self.canonical_json(v)),
            Value::Object(fields) => fields.values_mut().for_each(|v| self.canonical_json(v)),
            _ => {}
        }
    }
}

/// Replaces an origin, but not where it is only the beginning of a longer host name
/// (`https://api.vendor.com.example`).
fn replace_origin(text: &str, name: &str, truth: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let end = at + name.len();
        let longer =
            rest[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'));
        out.push_str(&rest[..at]);
        out.push_str(if longer { name } else { truth });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// Any other loopback port is one the kernel drew: it says nothing.
fn without_ports(text: Cow<'_, str>) -> Cow<'_, str> {
    const HOST: &str = "127.0.0.1:";
    if !text.contains(HOST) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find(HOST) {
        let end = at + HOST.len();
        out.push_str(&rest[..end]);
        rest = rest[end..].trim_start_matches(|c: char| c.is_ascii_digit());
        out.push_str("PORT");
        // A second look at what was written before is not needed: `PORT` holds no digit.
        rest = rest.strip_prefix("PORT").unwrap_or(rest);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn true_addresses_and_unknown_ports_leave_no_mark() {
        let canon = Canon::default();
        canon.add("http://127.0.0.1:4001", "https://api.vendor.test");
        canon.add("127.0.0.1:4001", "api.vendor.test");
        assert_eq!(
            canon.canonical("GET http://127.0.0.1:4001/v1 from 127.0.0.1:50122: reset"),
            "GET https://api.vendor.test/v1 from 127.0.0.1:PORT: reset"
        );
        assert_eq!(canon.canonical(&canon.canonical("127.0.0.1:77 x")), "127.0.0.1:PORT x");
    }

    #[test]
    fn an_origin_is_not_taken_out_of_a_longer_host() {
        let to = |t| Canon::truthful(t, "https://api.vendor.test", "http://127.0.0.1:1").into_owned();
        assert_eq!(
            to(r#"{"next":"https://api.vendor.test/v1?a=1"}"#),
            r#"{"next":"http://127.0.0.1:1/v1?a=1"}"#
        );
        assert_eq!(to("https://api.vendor.test.evil/"), "https://api.vendor.test.evil/");
        assert_eq!(to(r#""https:\/\/api.vendor.test\/a""#), r#""http:\/\/127.0.0.1:1\/a""#);
    }
}
