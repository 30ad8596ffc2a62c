//! Moments and spans of drill time.
//!
//! Knows: how a drill counts time (microseconds since its start) and how people write it
//! (`500ms`, `10m`). Must not know: any clock. Whoever has one converts at the edge.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment of the drill, in microseconds since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct At(pub u64);

impl At {
    /// The start of the drill.
    pub const START: At = At(0);

    /// The span since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: At) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// This moment on the wall, for a drill that began at `epoch`.
    pub fn on_wall(self, epoch: jiff::Timestamp) -> jiff::Timestamp {
        let us = i64::try_from(self.0).unwrap_or(i64::MAX);
        epoch.checked_add(jiff::SignedDuration::from_micros(us)).unwrap_or(jiff::Timestamp::MAX)
    }
}

impl Add<Span> for At {
    type Output = At;
    fn add(self, span: Span) -> At {
        At(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for At {
    type Output = At;
    fn sub(self, span: Span) -> At {
        At(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Span(self.0).fmt(f)
    }
}

/// A length of drill time, in microseconds. Written `250us`, `500ms`, `1.5s`, `10m`, `2h`, `3d`,
/// or several of these joined (`1h30m`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// A span of whole milliseconds.
    pub const fn millis(ms: u64) -> Span {
        Span(ms * 1_000)
    }

    /// A span of whole seconds.
    pub const fn secs(s: u64) -> Span {
        Span(s * 1_000_000)
    }

    /// A span of whole minutes.
    pub const fn mins(m: u64) -> Span {
        Span(m * 60_000_000)
    }

    /// As the standard library's type.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// In seconds, for arithmetic that is not exact anyway.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// `self * n`, saturating.
    pub fn times(self, n: u64) -> Span {
        Span(self.0.saturating_mul(n))
    }
}

impl From<Duration> for Span {
    fn from(d: Duration) -> Span {
        Span(u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] =
            [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s")];
        let us = self.0;
        if us == 0 {
            return f.pad("0s");
        }
        if us < 1_000 {
            return f.pad(&format!("{us}us"));
        }
        if us < 1_000_000 {
            return f.pad(&format!("{}ms", us as f64 / 1e3));
        }
        let mut rest = us;
        let mut out = String::new();
        for (unit, name) in UNITS {
            if name == "s" {
                if rest > 0 {
                    out.push_str(&format!("{}s", (rest / 1_000) as f64 / 1e3));
                }
            } else if rest >= unit {
                out.push_str(&format!("{}{name}", rest / unit));
                rest %= unit;
            }
        }
        f.pad(&out)
    }
}

/// Why a span could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a span of time; write a number with a unit, such as 500ms, 30s, 10m, 2h, 3d")]
pub struct NotASpan(pub String);

impl std::str::FromStr for Span {
    type Err = NotASpan;

    fn from_str(s: &str) -> Result<Span, NotASpan> {
        let bad = || NotASpan(s.to_owned());
        let mut total = 0f64;
        let mut rest = s.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
            let tail = &rest[digits..];
            let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let unit = match &tail[..unit_end] {
                "us" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                "m" | "min" => 60e6,
                "h" => 3_600e6,
                "d" => 86_400e6,
                _ => return Err(bad()),
            };
            total += number * unit;
            rest = tail[unit_end..].trim_start();
        }
        if total > 3.2e15 {
            return Err(bad());
        }
        Ok(Span(total.round() as u64))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
        let text = Cow::<str>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A span of time: a number with a unit (us, ms, s, m, h, d), or several joined.",
            "pattern": r"^\s*([0-9]+(\.[0-9]+)?(us|ms|s|min|m|h|d)\s*)+$",
            "examples": ["500ms", "30s", "10m", "1h30m"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, us) in [
            ("500ms", 500_000),
            ("1.5s", 1_500_000),
            ("10m", 600_000_000),
            ("1h30m", 5_400_000_000),
            ("3d", 259_200_000_000),
            ("250us", 250),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Span(us)), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["5", "", "s", "5 parsecs", "1e9s", "-5s"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_printed_span_reads_back_to_the_millisecond(ms in 0u64..10_000_000_000) {
            let span = Span::millis(ms);
            proptest::prop_assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
