//! Findings as they are gathered: equal ones become one finding with a count.
//!
//! Knows: how many events a finding cites at most, and what of a payload is shown in one. Must not know:
//! any property.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::finding::{Finding, Judgement, Verdict};
use crate::fixture::{REDACTED, displayable, is_secret_name};
use crate::personal::{hidden, veiled};
use crate::trace::EventId;

/// Events that one finding cites at most.
const CITED: usize = 6;

/// The findings of one check while it judges.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    by_group: BTreeMap<(&'static str, String), usize>,
}

/// What to say of one thing that was found.
pub(super) struct Say<'s> {
    /// The stable name: `check/short_name`.
    pub rule: &'static str,
    /// What is counted together beside the rule: a vendor, or nothing.
    pub group: &'s str,
    /// One sentence with the values.
    pub message: String,
    /// What was expected.
    pub expected: String,
    /// What to look at next.
    pub hint: &'s str,
    /// The events that prove it.
    pub evidence: Vec<EventId>,
}

impl Findings {
    /// Notes a broken promise.
    pub fn fail(&mut self, say: Say<'_>) {
        self.note(Verdict::Fail, say);
    }

    /// Notes that something could not be judged.
    pub fn unknown(&mut self, say: Say<'_>) {
        self.note(Verdict::Unknown, say);
    }

    fn note(&mut self, verdict: Verdict, say: Say<'_>) {
        let key = (say.rule, say.group.to_owned());
        if let Some(at) = self.by_group.get(&key) {
            self.list[*at].more += 1;
            return;
        }
        self.by_group.insert(key, self.list.len());
        let mut evidence = say.evidence;
        evidence.sort_unstable();
        evidence.dedup();
        evidence.truncate(CITED);
        self.list.push(Finding {
            rule: say.rule.into(),
            verdict,
            message: say.message,
            expected: say.expected,
            hint: (!say.hint.is_empty()).then(|| say.hint.to_owned()),
            evidence,
            more: 0,
        });
    }

    /// Whether a finding with this rule was noted.
    pub fn has(&self, rule: &str) -> bool {
        self.list.iter().any(|f| &*f.rule == rule)
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The judgement: the worst first, otherwise in the order of discovery.
    pub fn judgement(mut self, check: &str, judged: u64) -> Judgement {
        self.list.sort_by_key(|f| std::cmp::Reverse(f.verdict));
        Judgement::of(check, judged, self.list)
    }
}

/// "1 call", "2 calls".
pub(super) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Text of a payload, fit to be shown, and shortened: what is cut would no longer be known for what it is.
pub(super) fn brief(text: &str) -> String {
    const LONGEST: usize = 120;
    clipped(&displayable(text), LONGEST)
}

/// A value as it is shown of the field `name`, shortened: without secrets, and of persons' data the outline.
pub(super) fn value(name: &str, value: &Value) -> String {
    const LONGEST: usize = 80;
    if is_secret_name(name) && !matches!(value, Value::Null | Value::Bool(_)) {
        return REDACTED.to_owned();
    }
    clipped(&displayable(&veiled(name, value).to_string()), LONGEST)
}

fn clipped(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// The last name in an expression or a pointer: `email` of `invoice.customer.email` and of `/0/email`.
pub(super) fn last_name(path: &str) -> &str {
    let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    path.rsplit(|c| !word(c)).find(|name| name.contains(char::is_alphabetic)).unwrap_or_default()
}

/// Takes out of findings what is a person's own, whatever check it comes from: e-mail addresses, card
/// numbers and so on, known by how they are written.
pub(super) fn veil(judgements: &mut [Judgement]) {
    for finding in judgements.iter_mut().flat_map(|j| &mut j.findings) {
        let Finding { message, expected, hint, .. } = finding;
        for text in [message, expected].into_iter().chain(hint) {
            if let Cow::Owned(clean) = hidden(text) {
                *text = clean;
            }
        }
    }
}
