//! The idempotency layer: keys, saved answers, and when they are given back.
//!
//! Knows: the dialects (docs.stripe.com/api/idempotent_requests;
//! draft-ietf-httpapi-idempotency-key-header-07). Must not know: what a request does.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::{At, Span};
use crate::trace::Told;
use crate::wire::{Request, Response};

use super::errors::{Case, Refusal};

/// The idempotency layer of a vendor.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencySpec {
    /// The dialect.
    #[serde(default)]
    pub dialect: KeyDialect,
    /// The header field, lower case; `idempotency-key` by default.
    #[serde(default)]
    pub header: Option<String>,
    /// How long a key is remembered; a day by default.
    #[serde(default)]
    pub kept: Option<Span>,
    /// The longest key; 255 characters by default.
    #[serde(default)]
    pub longest: Option<usize>,
    /// Methods on which keys work; POST by default.
    #[serde(default)]
    pub methods: Option<Vec<String>>,
    /// Header fields of a replayed answer.
    #[serde(default)]
    pub replayed: IndexMap<String, String>,
    /// Header fields of a replayed answer that was a 5xx, beside those.
    #[serde(default)]
    pub replayed_5xx: IndexMap<String, String>,
}

/// Ways of handling keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyDialect {
    /// The header field is ignored.
    #[default]
    None,
    /// Whatever the first execution answered is saved, errors included.
    StripeV1,
    /// A quoted structured-field string, required; a completed answer is saved.
    Ietf,
    /// Only successes are saved.
    SuccessOnly,
    /// What failed is taken up where it stopped instead of being replayed: the same key carries a
    /// request to its completion, and what had taken effect does not take effect twice.
    StripeV2,
}

impl KeyDialect {
    /// Whether a failure is forgotten, so that the same key executes anew.
    fn forgets_failures(self) -> bool {
        matches!(self, KeyDialect::SuccessOnly | KeyDialect::StripeV2)
    }
}

/// What to do with a keyed request.
#[derive(Debug)]
pub enum Verdict {
    /// Carry it out; there is no key to save it under.
    Unkeyed,
    /// Carry it out and save the answer under this key.
    First(String),
    /// Give this saved answer back.
    Replay(Box<Saved>),
    /// Refuse it.
    Refuse(Refusal),
}

/// A saved answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    fingerprint: Fingerprint,
    since: At,
    busy_until: At,
    /// The answer.
    pub response: Response,
    /// What it told.
    pub told: Told,
}

/// What makes two requests the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The parameters, as read.
    pub params: Value,
}

/// Saved answers by key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keys {
    saved: BTreeMap<String, Saved>,
}

impl IdempotencySpec {
    /// The header field, if there is a layer at all.
    pub fn header(&self) -> Option<&str> {
        (self.dialect != KeyDialect::None).then(|| self.header.as_deref().unwrap_or("idempotency-key"))
    }

    /// Whether the answer to an execution is saved; `lasting` if it stays in progress for a while.
    pub fn saves(&self, response: &Response, lasting: bool) -> bool {
        !self.dialect.forgets_failures() || response.is_success() || lasting
    }

    /// How long a key is remembered.
    pub fn kept(&self) -> Span {
        self.kept.unwrap_or(Span::mins(24 * 60))
    }

    fn applies(&self, method: &str) -> bool {
        match &self.methods {
            Some(methods) => methods.iter().any(|m| m == method),
            None => method == "POST",
        }
    }
}

impl Keys {
    /// What to do with a request.
    pub fn look(&mut self, spec: &IdempotencySpec, now: At, request: &Request, params: &Value) -> Verdict {
        let Some(header) = spec.header().filter(|_| spec.applies(&request.method)) else {
            return Verdict::Unkeyed;
        };
        let Some(text) = request.headers.get(header).filter(|t| !t.is_empty()) else {
            return if spec.dialect == KeyDialect::Ietf {
                Verdict::Refuse(Refusal::case(Case::KeyMissing).with("header", header))
            } else {
                Verdict::Unkeyed
            };
        };
        let key = if spec.dialect == KeyDialect::Ietf { sf_string(text) } else { Some(text.to_owned()) };
        let longest = spec.longest.unwrap_or(255);
        let Some(key) = key.filter(|k| k.chars().count() <= longest) else {
            return Verdict::Refuse(Refusal::case(Case::KeyInvalid).with("key", text));
        };
        let Some(saved) = self.saved.get(&key) else { return Verdict::First(key) };
        if now.since(saved.since) >= spec.kept() && now >= saved.busy_until {
            self.saved.remove(&key);
            return Verdict::First(key);
        }
        let same = saved.fingerprint.method == request.method
            && saved.fingerprint.path == request.path()
            && saved.fingerprint.params == *params;
        if !same {
            return Verdict::Refuse(
                Refusal::case(Case::KeyMismatch)
                    .with("key", key)
                    .with("path", saved.fingerprint.path.as_str()),
            );
        }
        if now < saved.busy_until {
            return Verdict::Refuse(Refusal::case(Case::KeyInUse).with("key", key));
        }
        if spec.dialect.forgets_failures() && !saved.response.is_success() {
            self.saved.remove(&key);
            return Verdict::First(key);
        }
        let mut saved = saved.clone();
        let server_error = saved.response.status >= 500;
        for (name, value) in spec.replayed.iter().chain(spec.replayed_5xx.iter().filter(|_| server_error)) {
            saved.response.headers.set(name, value.as_str());
        }
        Verdict::Replay(Box::new(saved))
    }

    /// Saves the answer of an execution that began at `now` and stays in progress for `takes`.
    pub fn save(
        &mut self,
        key: String,
        fingerprint: Fingerprint,
        now: At,
        takes: Span,
        answer: (&Response, &Told),
    ) {
        let (response, told) = (answer.0.clone(), answer.1.clone());
        self.saved.insert(key, Saved { fingerprint, since: now, busy_until: now + takes, response, told });
    }
}

/// The content of a quoted string (RFC 8941 §3.3.3).
fn sf_string(text: &str) -> Option<String> {
    let inner = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(rest.next().filter(|c| matches!(c, '"' | '\\'))?),
            '"' => return None,
            c if (' '..='~').contains(&c) => out.push(c),
            _ => return None,
        }
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_structured_string_must_be_quoted() {
        assert_eq!(sf_string("\"abc\""), Some("abc".into()));
        assert_eq!(sf_string(r#""a\"b\\c""#), Some(r#"a"b\c"#.into()));
        for bad in ["abc", "\"", "\"a\"b\"", r#""a\n""#, "\"é\"", "\"\""] {
            assert_eq!(sf_string(bad), None, "{bad}");
        }
    }
}
