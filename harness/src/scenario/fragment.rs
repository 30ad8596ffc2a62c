//! Parts of a drill that come alone: rules and steps for vendors that are served.
//!
//! Knows: that they are read and reviewed as in a drill file, with mistakes as exact. Must not know:
//! who sent them, or what becomes of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::text::{Document, Mistake};
use super::{Scenario, Sources, Step, VendorFacts, VendorUse, review};
use crate::fault::{Act, Rule, Target};

#[derive(Deserialize)]
struct Faults {
    faults: Vec<Rule>,
}

#[derive(Deserialize)]
struct Workload {
    workload: Vec<Step>,
}

/// Reads one fault rule or a list of them, for these vendors.
///
/// # Errors
/// Everything that is wrong with them, in their order.
pub fn rules(
    file: &str,
    bytes: &[u8],
    vendors: &BTreeMap<String, VendorUse>,
    facts: &BTreeMap<String, VendorFacts>,
) -> Result<Vec<Rule>, Vec<Mistake>> {
    let document = Document::read(file, bytes).map_err(|m| vec![m])?.under("faults");
    let Faults { faults } = document.data("the request").map_err(|m| vec![m])?;
    let subjects = |rule: &Rule| {
        rule.on == Target::Subject
            || matches!(rule.act, Act::Kill(_) | Act::Stop(_) | Act::Pause(_) | Act::ClockSkew(_))
    };
    let no_subject = |(n, _): (usize, &Rule)| {
        let key = if faults[n].on == Target::Subject { "on" } else { "do" };
        document
            .mistake_at(&["faults", &n.to_string(), key], "no subject runs here, so nothing can befall it")
            .help("what can be disturbed are calls (`on: billing`) and webhooks (`on: webhook billing`)")
    };
    let alone: Vec<Mistake> =
        faults.iter().enumerate().filter(|(_, r)| subjects(r)).map(no_subject).collect();
    if !alone.is_empty() {
        return Err(alone);
    }
    let scenario = Scenario { faults, ..Scenario::of(vendors.clone()) };
    let mistakes = review(&scenario, &Sources::alone(&document), Some(facts));
    if mistakes.is_empty() { Ok(scenario.faults) } else { Err(mistakes) }
}

/// Reads one workload step or a list of them, for these vendors, to be done at once.
///
/// # Errors
/// Everything that is wrong with them, in their order.
pub fn steps(
    file: &str,
    bytes: &[u8],
    vendors: &BTreeMap<String, VendorUse>,
    facts: &BTreeMap<String, VendorFacts>,
) -> Result<Vec<Step>, Vec<Mistake>> {
    let document = Document::read(file, bytes).map_err(|m| vec![m])?.under("workload");
    let Workload { workload } = document.data("the request").map_err(|m| vec![m])?;
    let mut mistakes = Vec::new();
    for (n, step) in workload.iter().enumerate() {
        let n = n.to_string();
        for key in ["at", "every", "times", "when"] {
            let path = ["workload", &n, key];
            if document.find(&path).is_some() {
                let mistake = document.mistake_at_key(&path, format!("`{key}` has no place here"));
                mistakes.push(mistake.help("a step that is sent is done at once and once; remove it"));
            }
        }
        if matches!(step.action, super::Action::Job(_)) {
            let mistake = document.mistake_at(&["workload", &n, "do"], "no subject runs here to do a job");
            mistakes.push(mistake.help("name something that happens at a vendor: `crm.deals.close`"));
        }
    }
    let scenario = Scenario { workload, ..Scenario::of(vendors.clone()) };
    mistakes.extend(review(&scenario, &Sources::alone(&document), Some(facts)));
    if mistakes.is_empty() { Ok(scenario.workload) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> (BTreeMap<String, VendorUse>, BTreeMap<String, VendorFacts>) {
        let billing = VendorFacts {
            collections: [("invoices".to_owned(), "invoice".to_owned())].into(),
            actions: [("invoices".to_owned(), vec!["pay".to_owned()])].into(),
            operations: vec!["POST /v1/invoices".to_owned()],
            events: vec!["invoice.paid".to_owned()],
        };
        (
            [("billing".to_owned(), VendorUse::Named("stripe".to_owned()))].into(),
            [("billing".to_owned(), billing)].into(),
        )
    }

    #[test]
    fn one_rule_or_a_list_as_yaml_or_json_read_alike() {
        let (vendors, facts) = facts();
        let one = "on: billing POST /v1/invoices\ndo: { reset: after_applied }\n";
        let list = r#"[{"on":"billing POST /v1/invoices","do":{"reset":"after_applied"}}]"#;
        let of = |text: &str| rules("body", text.as_bytes(), &vendors, &facts).unwrap();
        assert_eq!(of(one), of(list));
    }

    #[test]
    fn a_wrong_rule_is_pointed_at_as_in_a_drill() {
        let (vendors, facts) = facts();
        for (text, line, says) in [
            ("on: billng\ndo: garbage\n", 1, "no vendor of this drill is called `billng`"),
            ("on: billing\ndo: garbge\n", 2, "`garbge` is not known here"),
            ("- on: billing\n  do: garbage\n- on: subject\n  do: garbage\n", 3, "no subject runs here"),
            ("on: billing\ndo: refuse\n", 2, "lasts for the window"),
        ] {
            let found = rules("body", text.as_bytes(), &vendors, &facts).unwrap_err();
            assert_eq!(found[0].line, line, "{found:?}");
            assert!(found[0].message.contains(says), "{found:?}");
        }
    }

    #[test]
    fn a_step_is_done_at_once() {
        let (vendors, facts) = facts();
        let of = |text: &str| steps("body", text.as_bytes(), &vendors, &facts);
        assert_eq!(of("do: billing.invoices.pay").unwrap().len(), 1);
        assert!(of("do: billing.invoices.pay\nat: 3s").unwrap_err()[0].message.contains("`at`"));
        assert!(of("do: job sync").unwrap_err()[0].message.contains("no subject"));
        assert!(of("do: billing.invoices.pays").unwrap_err()[0].help.as_deref().unwrap().contains("pay"));
    }
}
