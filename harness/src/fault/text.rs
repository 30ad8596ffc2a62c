//! Parts of a rule that are written as one text: targets, windows, counts, shares, skews, fields.
//!
//! Knows: how each is read and spelled. Must not know: what a rule does with it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::drift::Field;
use crate::time::{At, Span};

/// A signed offset of the subject's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// True if the subject's clock runs behind.
    pub behind: bool,
    /// By how much.
    pub by: Span,
}

/// What a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Calls to a vendor, of one operation or all.
    Calls {
        /// The vendor's alias in the scenario.
        vendor: String,
        /// The method; any if absent.
        method: Option<String>,
        /// The path pattern, with `{name}` for one segment and a final `*` for the rest; any if absent.
        path: Option<String>,
    },
    /// Webhook events of a vendor, of one type or all.
    Webhook {
        /// The vendor's alias in the scenario.
        vendor: String,
        /// The event type; any if absent.
        event: Option<String>,
    },
    /// The subject itself.
    Subject,
}

impl Target {
    /// The vendor it names, if any.
    pub fn vendor(&self) -> Option<&str> {
        match self {
            Target::Calls { vendor, .. } | Target::Webhook { vendor, .. } => Some(vendor),
            Target::Subject => None,
        }
    }

    /// Whether a call with this method and path is meant.
    pub fn matches_call(&self, alias: &str, called: &str, at: &str) -> bool {
        let Target::Calls { vendor, method, path } = self else { return false };
        vendor == alias
            && method.as_deref().is_none_or(|m| m == called)
            && path.as_deref().is_none_or(|p| path_matches(p, at))
    }
}

/// Whether `path` fits `pattern`: `{name}` stands for one segment, a final `*` for any rest.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some("*"), _) => return true,
            (Some(w), Some(g)) if w == g || (w.starts_with('{') && w.ends_with('}') && !g.is_empty()) => {}
            _ => return false,
        }
    }
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["subject"] => Ok(Target::Subject),
            ["webhook", vendor] => Ok(Target::Webhook { vendor: (*vendor).into(), event: None }),
            ["webhook", vendor, event] => {
                Ok(Target::Webhook { vendor: (*vendor).into(), event: Some((*event).into()) })
            }
            [vendor] => Ok(Target::Calls { vendor: (*vendor).into(), method: None, path: None }),
            [vendor, method, path] if METHODS.contains(method) && path.starts_with('/') => {
                Ok(Target::Calls {
                    vendor: (*vendor).into(),
                    method: Some((*method).into()),
                    path: Some((*path).into()),
                })
            }
            [vendor, path] if path.starts_with('/') => {
                Ok(Target::Calls { vendor: (*vendor).into(), method: None, path: Some((*path).into()) })
            }
            _ => Err(format!(
                "`{text}` names nothing a fault can be on; write a vendor's alias, `ALIAS METHOD /path`, \
                 `webhook ALIAS [event.type]`, or `subject`"
            )),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Calls { vendor, method, path } => {
                f.write_str(vendor)?;
                for part in [method, path].into_iter().flatten() {
                    write!(f, " {part}")?;
                }
                Ok(())
            }
            Target::Webhook { vendor, event } => {
                write!(f, "webhook {vendor}")?;
                event.iter().try_for_each(|e| write!(f, " {e}"))
            }
            Target::Subject => f.write_str("subject"),
        }
    }
}

/// A window of drill time; the end is exclusive, an absent end is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first moment inside.
    pub from: At,
    /// The first moment after it.
    pub to: Option<At>,
}

impl Window {
    /// Whether `at` lies inside.
    pub fn contains(&self, at: At) -> bool {
        at >= self.from && self.to.is_none_or(|to| at < to)
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Window, String> {
        let bad = || format!("`{text}` is not a window of time; write `30s..10m`, `10m..` or `..5m`");
        let (from, to) = text.split_once("..").ok_or_else(bad)?;
        let end = |t: &str| t.trim().parse::<Span>().map(|s| At(s.0)).map_err(|_| bad());
        let from = if from.trim().is_empty() { At::START } else { end(from)? };
        let to = if to.trim().is_empty() { None } else { Some(end(to)?) };
        if to.is_some_and(|to| to <= from) {
            return Err(format!("the window `{text}` ends before it begins"));
        }
        Ok(Window { from, to })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.from)?;
        self.to.iter().try_for_each(|to| write!(f, "{to}"))
    }
}

/// A range of counts from one, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The first.
    pub first: u32,
    /// The last; open if absent.
    pub last: Option<u32>,
}

impl Counts {
    /// Whether the `n`th (from one) is meant.
    pub fn contains(&self, n: u32) -> bool {
        n >= self.first && self.last.is_none_or(|l| n <= l)
    }
}

impl FromStr for Counts {
    type Err = String;

    fn from_str(text: &str) -> Result<Counts, String> {
        let bad = || {
            format!("`{text}` is not a range of counts; write `1`, `1..2` or `3..` (from 1, ends included)")
        };
        let number = |t: &str| t.trim().parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(bad);
        let (first, last) = match text.split_once("..") {
            None => (number(text)?, Some(number(text)?)),
            Some((f, l)) => {
                let first = if f.trim().is_empty() { 1 } else { number(f)? };
                (first, if l.trim().is_empty() { None } else { Some(number(l)?) })
            }
        };
        if last.is_some_and(|l| l < first) {
            return Err(format!("the range `{text}` ends before it begins"));
        }
        Ok(Counts { first, last })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(l) if l == self.first => write!(f, "{l}"),
            Some(l) => write!(f, "{}..{l}", self.first),
            None => write!(f, "{}..", self.first),
        }
    }
}

/// A share, from 0 to 1, written in percent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        text.trim()
            .strip_suffix('%')
            .and_then(|n| n.trim().parse::<f64>().ok())
            .filter(|n| (0.0..=100.0).contains(n))
            .map(|n| Share(n / 100.0))
            .ok_or_else(|| format!("`{text}` is not a share; write it in percent, such as `30%`"))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0 * 100.0)
    }
}

impl FromStr for Skew {
    type Err = String;

    fn from_str(text: &str) -> Result<Skew, String> {
        let bad = || format!("`{text}` is not a clock skew; write `+10m` (ahead) or `-10m` (behind)");
        let (behind, rest) = match text.trim().split_at_checked(1) {
            Some(("+", rest)) => (false, rest),
            Some(("-", rest)) => (true, rest),
            _ => return Err(bad()),
        };
        Ok(Skew { behind, by: rest.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.behind { '-' } else { '+' }, self.by)
    }
}

/// Types written as text: serde and JSON Schema by way of `FromStr` and `Display`. A bare YAML
/// number is read as its text, so `attempts: 1` works.
macro_rules! written_as_text {
    ($($t:ident: $pattern:literal, $about:literal, $example:literal;)*) => {$(
        impl Serialize for $t {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<$t, D::Error> {
                Cow::<str>::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $t {
            fn schema_name() -> Cow<'static, str> { stringify!($t).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string", "integer"], "pattern": $pattern, "description": $about, "examples": [$example]
                })
            }
        }
    )*};
}

written_as_text! {
    Target: r"^\S+( \S+){0,2}$",
        "ALIAS, `ALIAS METHOD /path`, `webhook ALIAS [event.type]`, or `subject`.", "billing POST /v1/invoices";
    Window: r"^.*\.\..*$", "A window of drill time: `30s..10m`, `10m..`, `..5m`.", "30s..10m";
    Counts: r"^[0-9]*(\.\.[0-9]*)?$", "A range of counts from one, both ends included: `1`, `1..2`, `3..`.", "1..2";
    Share: r"^[0-9.]+ ?%$", "A share in percent: `30%`.", "30%";
    Skew: r"^[+-].+$", "A clock skew: `+10m` ahead, `-10m` behind.", "+10m";
    Field: r"^(/.*)?$",
        "A JSON Pointer (RFC 6901) from the top of the body, `*` for each item of a list: `/results/*/id`.",
        "/results/*/id";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_back_as_written() {
        for text in [
            "billing",
            "billing POST /v1/invoices",
            "billing /v1/invoices/{id}",
            "webhook crm",
            "webhook crm deal.creation",
            "subject",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert!("billing FETCH /v1".parse::<Target>().is_err());
    }

    #[test]
    fn a_path_pattern_matches_whole_segments() {
        assert!(path_matches("/v1/invoices/{id}/finalize", "/v1/invoices/in_1/finalize"));
        assert!(!path_matches("/v1/invoices/{id}", "/v1/invoices/in_1/finalize"));
        assert!(!path_matches("/v1/invoices/{id}", "/v1/invoices/"));
        assert!(path_matches("/v1/*", "/v1/a/b"));
        assert!(!path_matches("/v1/invoices", "/v1/invoice"));
    }

    #[test]
    fn windows_and_counts_include_what_they_say() {
        let w: Window = "30s..1m".parse().unwrap();
        assert!(w.contains(At(30_000_000)) && !w.contains(At(60_000_000)));
        let c: Counts = "2..".parse().unwrap();
        assert!(!c.contains(1) && c.contains(9));
        assert!("0".parse::<Counts>().is_err());
        assert!("5..2".parse::<Counts>().is_err());
    }
}
