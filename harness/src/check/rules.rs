//! What the rule of a finding means: one entry for each rule, and one for each check.
//!
//! Knows: the properties, why they matter and where they are written down. Must not know: how
//! they are judged.

mod a_to_b;
mod c_to_i;
mod contract;
mod l_to_q;
mod r_to_s;
mod t_to_w;

/// An explanation of a rule, or of all the rules of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The rule, or the check that it belongs to.
    pub rule: &'static str,
    /// What it says, why it matters, what usually breaks it, and the source.
    pub text: &'static str,
}

/// The explanation of `rule`, which may also be the name of a check; none if there is no such rule.
pub fn explain(rule: &str) -> Option<&'static Explanation> {
    let find = |name: &str| all().find(|e| e.rule == name);
    // Each check can fail.
    let crashed = |check: &str| find(check).and_then(|_| find(CRASHED));
    find(rule)
        .or_else(|| rule.split_once('/').filter(|(_, rest)| *rest == CRASHED).and_then(|(c, _)| crashed(c)))
}

const CRASHED: &str = "crashed";

/// All explanations, by name.
pub fn all() -> impl Iterator<Item = &'static Explanation> {
    [a_to_b::RULES, contract::RULES, c_to_i::RULES, l_to_q::RULES, r_to_s::RULES, t_to_w::RULES]
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::contract::diff::RULES;

    #[test]
    fn a_rule_has_a_text_of_its_own_and_nonsense_has_none() {
        assert_eq!(explain("idempotency/second_effect").map(|e| e.rule), Some("idempotency/second_effect"));
        assert_eq!(explain("idempotency/no_key").map(|e| e.rule), Some("idempotency/no_key"));
        assert_eq!(explain("backoff/crashed").map(|e| e.rule), Some("crashed"));
        assert_eq!(explain("idempotency/no_kye"), None);
        assert_eq!(explain("nonsense/crashed"), None);
        assert_eq!(explain("nonsense/x"), None);
    }

    #[test]
    fn explanations_are_in_order_and_say_enough() {
        let all: Vec<&Explanation> = all().collect();
        assert!(all.windows(2).all(|w| w[0].rule < w[1].rule));
        assert!(all.iter().all(|e| e.text.len() > 100 && !e.text.contains("  ")));
    }

    /// Names in the source that look like rules and are none: drills and rules that tests make up.
    const MADE_UP: [&str; 6] = [
        "auth/a",
        "idempotency/lost_answer",
        "idempotency/no_kei",
        "idempotency/no_kye",
        "retries/no_key",
        "tls/zebra",
    ];

    #[test]
    fn each_rule_that_is_emitted_is_explained() {
        let checks: BTreeSet<&str> = all().filter_map(|e| Some(e.rule.split_once('/')?.0)).collect();
        let mut emitted = BTreeSet::new();
        emitted_under(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &checks, &mut emitted);
        assert!(emitted.len() > 100, "{emitted:?}");
        let of_diff = |rule: &String| RULES.iter().any(|r| r.id == rule);
        let unexplained: Vec<&String> = emitted
            .iter()
            .filter(|rule| explain(rule).is_none() && !of_diff(rule) && !MADE_UP.contains(&rule.as_str()))
            .collect();
        assert!(unexplained.is_empty(), "without an explanation: {unexplained:?}");
        let idle: Vec<&str> =
            all().map(|e| e.rule).filter(|r| r.contains('/') && !emitted.contains(*r)).collect();
        assert!(idle.is_empty(), "explained, and emitted nowhere: {idle:?}");
    }

    /// Texts of the form `check/rule` in the sources below `folder`, but for those that name drills.
    fn emitted_under(folder: &Path, checks: &BTreeSet<&str>, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("src/prove")
                || path.ends_with("check/rules")
                || path.ends_with("check/rules.rs")
            {
                continue;
            }
            if path.is_dir() {
                emitted_under(&path, checks, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let rule = |text: &&str| {
                    let (check, rest) = text.split_once('/').unwrap_or_default();
                    let plain = !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
                    checks.contains(check) && plain
                };
                found.extend(text.split('"').filter(rule).map(str::to_owned));
            }
        }
    }
}
