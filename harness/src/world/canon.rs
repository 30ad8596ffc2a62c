//! True addresses and the names they stand for.
//!
//! Knows: which loopback address plays which origin in this drill, and rewrites text either way.
//! Must not know: HTTP. What varies by machine (ports, folders) stops here, before the trace.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

use memchr::memmem::Finder;

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

/// The origin under which a vendor is known, and where it really is in this drill.
pub(crate) struct Origin {
    /// What both spellings of the name have in common.
    host: Finder<'static>,
    name: Finder<'static>,
    escaped: Finder<'static>,
    truth: String,
}

impl Origin {
    /// A vendor known as `name` that is really at `truth`.
    pub fn new(name: &str, truth: &str) -> Origin {
        let escaped = name.replace('/', "\\/");
        let host = name.split_once("://").map_or(name, |(_, rest)| rest);
        let host = host.split_once('/').map_or(host, |(host, _)| host);
        Origin {
            host: Finder::new(host).into_owned(),
            name: Finder::new(name).into_owned(),
            escaped: Finder::new(&escaped).into_owned(),
            truth: truth.to_owned(),
        }
    }

    /// `text` with the true address in place of the name, also where JSON escapes its slashes.
    pub fn truthful<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.seen_in(text.as_bytes()) {
            Some(seen) => Cow::Owned(self.replaced(text, seen)),
            None => Cow::Borrowed(text),
        }
    }

    /// The same of bytes; `None` if they stay as they are, as all do that are no text.
    pub fn truthful_bytes(&self, bytes: &[u8]) -> Option<String> {
        let seen = self.seen_in(bytes)?;
        Some(self.replaced(std::str::from_utf8(bytes).ok()?, seen))
    }

    /// Where the name first stands, and whether its slashes are escaped.
    fn seen_in(&self, bytes: &[u8]) -> Option<(usize, bool)> {
        // Most texts hold neither, and are looked through once.
        self.host.find(bytes)?;
        let plain = self.name.find(bytes).map(|at| (at, false));
        plain.or_else(|| self.escaped.find(bytes).map(|at| (at, true)))
    }

    fn replaced(&self, text: &str, (first, escaped): (usize, bool)) -> String {
        if escaped {
            return replace_origin(text, first, &self.escaped, &self.truth.replace('/', "\\/"));
        }
        replace_origin(text, first, &self.name, &self.truth)
    }
}

/// Replaces an origin from where it `first` stands, but not where it is only the beginning of a longer
/// host name (`https://api.vendor.com.example`).
fn replace_origin(text: &str, first: usize, name: &Finder<'_>, truth: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut next) = (text, Some(first));
    while let Some(at) = next {
        let end = at + name.needle().len();
        let longer =
            rest[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'));
        out.push_str(&rest[..at]);
        out.push_str(if longer { &rest[at..end] } else { truth });
        rest = &rest[end..];
        next = name.find(rest.as_bytes());
    }
    out.push_str(rest);
    out
}

const HOST: &str = "127.0.0.1:";

/// Whether there is anything in `text` that varies by machine.
pub(crate) fn shows_a_port(text: &[u8]) -> bool {
    static LOOPBACK: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(HOST));
    // Most texts have no colon at all, which is told in less time.
    text.len() > HOST.len() && memchr::memchr(b':', text).is_some() && LOOPBACK.find(text).is_some()
}

/// Any other loopback port is one the kernel drew: it says nothing.
fn without_ports(text: Cow<'_, str>) -> Cow<'_, str> {
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
        let origin = Origin::new("https://api.vendor.test", "http://127.0.0.1:1");
        let to = |t: &str| {
            let text = origin.truthful(t).into_owned();
            assert_eq!(origin.truthful_bytes(t.as_bytes()).unwrap_or_else(|| t.to_owned()), text);
            text
        };
        assert_eq!(
            to(r#"{"next":"https://api.vendor.test/v1?a=1"}"#),
            r#"{"next":"http://127.0.0.1:1/v1?a=1"}"#
        );
        assert_eq!(to("https://api.vendor.test.evil/"), "https://api.vendor.test.evil/");
        assert_eq!(to(r#""https:\/\/api.vendor.test\/a""#), r#""http:\/\/127.0.0.1:1\/a""#);
    }
}
