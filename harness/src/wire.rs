//! HTTP messages as plain data (RFC 9110).
//!
//! Knows: methods, targets, header fields in their order, bodies. Must not know: sockets,
//! vendors, or which header means what.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Text of header fields: most names and values are short enough to need no memory of their own.
pub use compact_str::CompactString as FieldText;

/// Header fields in the order they were sent; names are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub Vec<(FieldText, FieldText)>);

impl Headers {
    /// The first value of the field `name` (any case).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Replaces every field called `name` by one with `value`.
    pub fn set(&mut self, name: &str, value: impl Into<FieldText>) {
        self.remove(name);
        self.0.push((lower_case(name.into()), value.into()));
    }

    /// Removes every field called `name`; true if there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.0.len() != before
    }

    /// Builds a list from pairs.
    pub fn of<N: Into<FieldText>, V: Into<FieldText>>(pairs: impl IntoIterator<Item = (N, V)>) -> Headers {
        Headers(pairs.into_iter().map(|(n, v)| (lower_case(n.into()), v.into())).collect())
    }
}

fn lower_case(mut name: FieldText) -> FieldText {
    name.make_ascii_lowercase();
    name
}

/// How a request came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1 (RFC 9112).
    #[default]
    #[serde(rename = "HTTP/1.1")]
    Http1,
    /// HTTP/2 (RFC 9113).
    #[serde(rename = "HTTP/2")]
    Http2,
}

impl Protocol {
    /// Whether it is HTTP/1.1, which need not be said.
    pub fn is_usual(&self) -> bool {
        *self == Protocol::Http1
    }
}

/// Header fields about an HTTP/1.1 connection, which HTTP/2 does not have (RFC 9113 §8.2.2).
pub const FIELDS_OF_HTTP1: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

/// A request as it reached a vendor, or as a vendor sends it (a webhook delivery).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The method, upper case.
    pub method: FieldText,
    /// The request target in origin form: path and query (RFC 9112 §3.2.1).
    pub target: String,
    /// Header fields.
    pub headers: Headers,
    /// The body, whole.
    #[serde(with = "body_text")]
    pub body: Bytes,
}

impl Request {
    /// The path, without the query.
    pub fn path(&self) -> &str {
        path(&self.target)
    }

    /// The query as decoded pairs.
    pub fn query(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let query = self.target.split_once('?').map_or("", |(_, q)| q);
        form_urlencoded::parse(query.as_bytes())
    }

    /// The first query parameter called `name`.
    pub fn query_get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.query().find(|(n, _)| n == name).map(|(_, v)| v)
    }
}

/// The path of a request target in origin form.
pub(crate) fn path(target: &str) -> &str {
    memchr::memchr(b'?', target.as_bytes()).map_or(target, |end| &target[..end])
}

/// A response as a vendor, or the subject's webhook receiver, gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header fields.
    pub headers: Headers,
    /// The body, whole.
    #[serde(with = "body_text")]
    pub body: Bytes,
}

impl Response {
    /// A JSON response.
    pub fn json(status: u16, value: &serde_json::Value) -> Response {
        Response {
            status,
            headers: Headers::of([("content-type", "application/json")]),
            // Cheaper than to write it as text, and a value without odd keys always can be written.
            body: serde_json::to_vec(value).unwrap_or_default().into(),
        }
    }

    /// True for 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Bodies as text where they are UTF-8, and as `base64:` where they are not.
mod body_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    const BINARY: &str = "base64:";

    pub fn serialize<S: Serializer>(body: &Bytes, s: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(body) {
            Ok(text) if !text.starts_with(BINARY) => s.serialize_str(text),
            _ => s.serialize_str(&format!("{BINARY}{}", STANDARD.encode(body))),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(d)?;
        match text.strip_prefix(BINARY) {
            Some(code) => STANDARD.decode(code).map(Bytes::from).map_err(serde::de::Error::custom),
            None => Ok(Bytes::from(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_body_survives_serialisation(body: Vec<u8>) {
            let sent = Response { status: 200, headers: Headers::default(), body: body.into() };
            let text = serde_json::to_string(&sent).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<Response>(&text).unwrap(), sent);
        }
    }

    #[test]
    fn header_names_are_compared_without_case() {
        let mut h = Headers::of([("Retry-After", "3")]);
        assert_eq!(h.get("retry-AFTER"), Some("3"));
        h.set("RETRY-after", "4");
        assert_eq!(h.0, vec![("retry-after".into(), "4".into())]);
    }
}
