//! The Prometheus text format, as far as summing samples needs it.
//!
//! Knows: samples and selectors (prometheus.io, "Exposition formats" and "Querying: instant
//! vector selectors"). Must not know: what is measured.

use std::collections::{BTreeMap, BTreeSet};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// What a subject exposes.
#[derive(Clone, Debug, Default)]
pub(super) struct Exposition {
    /// Its samples.
    pub samples: Vec<Sample>,
    /// Names that a series can have by what is declared, though it may have no sample yet.
    declared: BTreeSet<String>,
}

impl Exposition {
    /// Reads an exposition; lines that are neither samples nor declare a type are passed over.
    pub fn read(text: &str) -> Exposition {
        let samples = text.lines().filter(|l| !l.starts_with('#')).filter_map(sample).collect();
        let declared = text.lines().filter_map(typed).flat_map(|(family, kind)| series(family, kind));
        Exposition { samples, declared: declared.collect() }
    }

    /// Whether series of this name are there, or are declared and only have not moved yet.
    pub fn knows(&self, name: &str) -> bool {
        self.declared.contains(name) || self.samples.iter().any(|s| s.name == name)
    }

    /// The names of all series that it knows, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|s| &s.name).chain(&self.declared).map(String::as_str).collect()
    }
}

/// The family and the kind that a line `# TYPE family kind` declares.
fn typed(line: &str) -> Option<(&str, &str)> {
    let mut words = line.strip_prefix('#')?.split_whitespace();
    (words.next() == Some("TYPE")).then_some(())?;
    Some((words.next()?, words.next()?))
}

/// What the series of a family are called (OpenMetrics 1.0, "Suffixes"; the text format 0.0.4 declares
/// counters under their whole name).
fn series(family: &str, kind: &str) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = match kind {
        "counter" if !family.ends_with("_total") => &["", "_total", "_created"],
        "histogram" => &["_bucket", "_sum", "_count", "_created"],
        "gaugehistogram" => &["_bucket", "_gsum", "_gcount"],
        "summary" => &["", "_sum", "_count", "_created"],
        "info" => &["", "_info"],
        _ => &[""],
    };
    suffixes.iter().map(move |suffix| format!("{family}{suffix}"))
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    let (head, rest) = match line.find('{') {
        Some(open) => {
            let close = closing(line, open)?;
            (&line[..=close], &line[close + 1..])
        }
        None => line.split_once(char::is_whitespace)?,
    };
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().ok()?,
    };
    let (name, matchers) = selector(head)?;
    let labels = matchers.into_iter().map(|m| (m.label, m.value)).collect();
    Some(Sample { name, labels, value })
}

/// The index of the brace that closes the one at `open`, outside quotes.
fn closing(text: &str, open: usize) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (i, c) in text.char_indices().skip_while(|(i, _)| *i <= open) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(i),
            _ => {}
        }
    }
    None
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matcher {
    label: String,
    equal: bool,
    value: String,
}

/// Reads `name` or `name{label="value", other!="value"}`; `None` if it is neither.
pub(super) fn selector(text: &str) -> Option<(String, Vec<Matcher>)> {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('{') else {
        return valid(text).then(|| (text.to_owned(), Vec::new()));
    };
    let name = name.trim();
    let mut rest = rest.strip_suffix('}')?.trim();
    let mut matchers = Vec::new();
    while !rest.is_empty() {
        let equals = rest.find('=')?;
        let negated = rest[..equals].ends_with('!');
        let label = rest[..equals].trim_end_matches('!').trim().to_owned();
        let quoted = rest[equals + 1..].trim_start().strip_prefix('"')?;
        let (value, after) = unquote(quoted)?;
        if !valid(&label) {
            return None;
        }
        matchers.push(Matcher { label, equal: !negated, value });
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    valid(name).then(|| (name.to_owned(), matchers))
}

fn valid(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// A quoted value up to its closing quote, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[i + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

/// The samples that a selector means.
pub(super) fn matching<'s>(
    samples: &'s [Sample],
    name: &'s str,
    matchers: &'s [Matcher],
) -> impl Iterator<Item = &'s Sample> {
    samples.iter().filter(move |s| {
        s.name == name
            && matchers
                .iter()
                .all(|m| (s.labels.get(&m.label).map_or("", String::as_str) == m.value) == m.equal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP calls_total Calls.\n# TYPE calls_total counter\n\
        calls_total{vendor=\"crm\",status=\"200\"} 17 1700000000\n\
        calls_total{vendor=\"crm\",status=\"5\\\"}03\"} 3\ncalls_total{vendor=\"billing\"} 2.5e1\nup 1\n# EOF\n";

    fn sum(query: &str) -> f64 {
        let all = Exposition::read(TEXT).samples;
        let (name, matchers) = selector(query).unwrap();
        matching(&all, &name, &matchers).map(|s| s.value).sum()
    }

    #[test]
    fn selectors_sum_what_they_mean() {
        assert_eq!(Exposition::read(TEXT).samples.len(), 4);
        assert_eq!(sum("calls_total"), 45.0);
        assert_eq!(sum("calls_total{vendor=\"crm\"}"), 20.0);
        assert_eq!(sum("calls_total{vendor=\"crm\", status!=\"200\"}"), 3.0);
        assert_eq!(sum("up"), 1.0);
        assert_eq!(sum("down"), 0.0);
    }

    #[test]
    fn a_series_is_known_by_a_sample_or_by_its_declared_family() {
        let text = "# HELP gone_total Only talked of.\n# TYPE late counter\n# TYPE wait histogram\n\
            # TYPE classic_total counter\n#TYPE depth gauge\nup 1\n";
        let shown = Exposition::read(text);
        for name in ["up", "late", "late_total", "wait_bucket", "wait_count", "classic_total", "depth"] {
            assert!(shown.knows(name), "{name}");
        }
        for name in ["down", "gone_total", "wait", "wait_total", "classic", "classic_total_total", ""] {
            assert!(!shown.knows(name), "{name}");
        }
        assert_eq!(shown.names().len(), 10, "{:?}", shown.names());
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["", "a b", "a{b}", "a{b=c}", "a{b=\"c\"", "a{b=\"c}"] {
            assert_eq!(selector(text), None, "{text}");
        }
    }
}
