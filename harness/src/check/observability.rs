//! Observability: what the subject says of itself agrees with the wire, and failures are said
//! loudly and in time (for the latter see `alerts`).
//!
//! Knows: metrics and the wire. Must not know: any subject's metric names; the scenario
//! gives them.

use serde_json::{Value, json};

use super::alerts;
use super::evidence::Evidence;
use super::prometheus::{Exposition, matching, selector};
use super::say::{Findings, Say};
use crate::expr::Expr;
use crate::finding::Judgement;
use crate::scenario::{Metric, or_nearest};
use crate::trace::{ChangeKind, EventId};

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let expect = &e.scenario.expect;
    let judged = (expect.metrics.len() + expect.alerts.len()) as u64;
    if judged == 0 {
        return None;
    }
    let mut found = Findings::default();
    metrics(e, &mut found);
    alerts::alerts(e, &mut found);
    Some(found.judgement("observability", judged))
}

fn metrics(e: &Evidence<'_>, found: &mut Findings) {
    let expected = &e.scenario.expect.metrics;
    if expected.is_empty() {
        return;
    }
    let Some((event, response)) = e.exposed.answer("metrics").filter(|(_, r)| r.is_success()) else {
        found.unknown(Say {
            rule: "observability/no_metrics",
            group: "",
            message: "the subject showed no metrics at the end".into(),
            expected: format!("an answer with {} metrics to compare", expected.len()),
            hint: "the subject names the address of its metrics when it is ready, and must be up at the end",
            evidence: Vec::new(),
        });
        return;
    };
    let shown = Exposition::read(&String::from_utf8_lossy(&response.body));
    let mut variables = variables(e);
    let lists = lists(e);
    variables.extend(lists.iter().filter_map(|(n, l)| Some(((*n).to_owned(), json!(l.as_ref().ok()?.1)))));
    let bound: Vec<(&str, &Value)> = variables.iter().map(|(n, v)| (n.as_str(), v)).collect();
    for metric in expected {
        let read = metric.equals.variables();
        let unlisted = lists.iter().filter(|(name, _)| read.iter().any(|r| r == name));
        if let Some(why) = unlisted.filter_map(|(_, list)| list.as_ref().err()).next() {
            found.unknown(Say {
                rule: "observability/no_list",
                group: &metric.metric,
                message: format!("`{}` cannot be compared: {why}", metric.metric),
                expected: format!("`{}`", metric.equals.source()),
                hint: "the subject names the addresses of its lists when it is ready, and shows them whole",
                evidence: Vec::new(),
            });
            continue;
        }
        compare(metric, &shown, &bound, event, found);
    }
}

/// A list of work set aside, as the subject shows it, or why it cannot be compared with.
type List = Result<(EventId, Vec<Value>), String>;

/// Lists that metrics may be compared with. What was shown while the subject was still at work may differ
/// from the metrics although both were right.
fn lists(e: &Evidence<'_>) -> [(&'static str, List); 2] {
    let metrics = e.exposed.answer("metrics").map(|(event, _)| event);
    let still = |(event, list): (EventId, Vec<Value>)| match metrics.filter(|m| e.is_at_work(*m, event)) {
        Some(_) => Err("the subject was at work between the two answers".to_owned()),
        None => Ok((event, list)),
    };
    ["dead_letters", "quarantine"].map(|name| (name, e.exposed.list(name).and_then(still)))
}

fn compare(
    metric: &Metric,
    exposition: &Exposition,
    bound: &[(&str, &Value)],
    event: EventId,
    found: &mut Findings,
) {
    let Some((name, matchers)) = selector(&metric.metric) else {
        found.unknown(Say {
            rule: "observability/bad_selector",
            group: &metric.metric,
            message: format!("`{}` is not a metric selector", metric.metric),
            expected: "`name` or `name{label=\"value\"}`".into(),
            hint: "",
            evidence: vec![event],
        });
        return;
    };
    let wanted = match number(&metric.equals, bound) {
        Ok(wanted) => wanted,
        Err(why) => {
            found.unknown(Say {
                rule: "observability/bad_expression",
                group: &metric.metric,
                message: format!("what `{}` must equal cannot be computed: {why}", metric.metric),
                expected: "an expression that gives a number".into(),
                hint: "variables: calls, deliveries, dead_letters, quarantine, and each vendor alias with its collections",
                evidence: Vec::new(),
            });
            return;
        }
    };
    // A scenario may leave out the suffix of a counter.
    let total = format!("{name}_total");
    let named = exposition.samples.iter().any(|s| s.name == name);
    if !exposition.knows(&name) && !exposition.knows(&total) {
        found.unknown(Say {
            rule: "observability/no_such_metric",
            group: &metric.metric,
            message: format!("the subject shows no metric `{name}`{}", or_nearest(&name, exposition.names())),
            expected: format!("a sample of `{name}`, or its `# TYPE` line, to compare with {wanted}"),
            hint: "correct the name; a metric that shows nothing until it first moves cannot be told from a \
                   misspelt one: let the subject show it from the start, or declare its type",
            evidence: vec![event],
        });
        return;
    }
    let name = if named { &name } else { &total };
    let shown: f64 = matching(&exposition.samples, name, &matchers).map(|s| s.value).sum();
    // A series that never moved need not be there.
    let same = (shown - wanted).abs() < 1e-6 * wanted.abs().max(1.0);
    if !same {
        let listed = metric.equals.variables().iter().any(|v| v == "dead_letters" || v == "quarantine");
        found.fail(Say {
            rule: "observability/metric_differs",
            group: &metric.metric,
            message: format!(
                "`{}` is {shown} where {} {wanted} (`{}`)",
                metric.metric,
                if listed { "the list that the subject shows gives" } else { "the wire shows" },
                metric.equals.source()
            ),
            expected: wanted.to_string(),
            hint: if listed {
                "count what is there, where it is kept: a counter in the process forgets it at a restart, and does \
                 not see what is taken out again"
            } else {
                "count where it happens, once for every attempt, also those that failed or were cut short"
            },
            evidence: vec![event],
        });
    }
}

fn number(expr: &Expr, bound: &[(&str, &Value)]) -> Result<f64, String> {
    let value = expr.evaluate(bound).map_err(|e| e.to_string())?;
    value.as_f64().ok_or_else(|| format!("`{}` gave {value}", expr.source()))
}

/// What expressions on metrics may speak of.
fn variables(e: &Evidence<'_>) -> Vec<(String, Value)> {
    let mut attempt_of = vec![1u32; e.calls.len()];
    for chain in &e.chains {
        for (n, index) in chain.calls.iter().enumerate() {
            attempt_of[*index] = u32::try_from(n + 1).unwrap_or(u32::MAX);
        }
    }
    let calls = e.calls.iter().zip(&attempt_of).map(|(c, attempt)| {
        json!({
            "vendor": c.vendor,
            "method": c.request.method,
            "path": c.request.path(),
            "operation": c.operation.map(|o| &*o.name).unwrap_or_default(),
            "operation_kind": c.operation.map(|o| json!(o.kind)).unwrap_or(json!("")),
            "status": c.status().unwrap_or(0),
            "outcome": c.outcome,
            "attempt": attempt,
        })
    });
    let mut seen = std::collections::BTreeSet::new();
    let deliveries: Vec<Value> = e
        .deliveries
        .iter()
        .map(|d| {
            let fresh = d.events.iter().filter(|id| seen.insert(id.to_string())).count();
            json!({
                "vendor": d.vendor,
                "status": d.status().unwrap_or(0),
                "attempt": d.attempt,
                "duplicate": fresh == 0,
                "events": d.events.len(),
            })
        })
        .collect();
    let calls: Vec<Value> = calls.collect();
    let mut variables =
        vec![("calls".to_owned(), json!(calls)), ("deliveries".to_owned(), json!(deliveries))];
    for (alias, profile) in e.profiles {
        let collections = profile.collections.keys().map(|c| (c.clone(), json!(records(e, alias, c))));
        variables.push((alias.clone(), Value::Object(collections.collect())));
    }
    variables
}

/// The live records of a collection at the end.
fn records(e: &Evidence<'_>, vendor: &str, collection: &str) -> Vec<Value> {
    let mut live: indexmap::IndexMap<&str, &Value> = indexmap::IndexMap::new();
    for change in e.ledger(vendor, collection) {
        if change.change == ChangeKind::Deleted {
            live.shift_remove(change.id);
        } else {
            live.insert(change.id, change.record);
        }
    }
    live.into_values().cloned().collect()
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::finding::Verdict;
    use crate::trace::ChangeKind;
    use serde_json::json;

    const METRIC: &str = "metrics: [ { metric: 'calls_total{vendor=\"crm\"}', equals: 'calls.filter(c, c.vendor == \"crm\").size()' } ]";

    fn two_calls() -> Builder {
        drill()
            .call(call("crm", "GET /deals", 0))
            .call(call("crm", "GET /deals", 50))
            .call(call("billing", "GET /x", 0))
    }

    #[test]
    fn a_metric_that_agrees_with_the_wire_is_sound() {
        two_calls()
            .exposed("metrics", "calls_total{vendor=\"crm\"} 2\n")
            .passes(&scenario(METRIC), "observability");
    }

    #[test]
    fn a_metric_that_differs_is_found() {
        let rule = "observability/metric_differs";
        two_calls().exposed("metrics", "calls_total{vendor=\"crm\"} 3\n").fails(&scenario(METRIC), rule);
        let of_others = "calls_total{vendor=\"billing\"} 2\n";
        two_calls().exposed("metrics", of_others).fails(&scenario(METRIC), rule);
    }

    #[test]
    fn a_metric_that_the_subject_does_not_have_proves_nothing_whatever_it_must_equal() {
        for equals in ["0", "3"] {
            let s = scenario(&format!("metrics: [ {{ metric: dead_leters, equals: \"{equals}\" }} ]"));
            let judged = drill().exposed("metrics", "dead_letters 0\n").judged(&s, "observability").unwrap();
            let found = &judged.findings[0];
            assert_eq!((&*found.rule, found.verdict), ("observability/no_such_metric", Verdict::Unknown));
            assert!(found.message.contains("did you mean `dead_letters`?"), "{found:?}");
        }
    }

    #[test]
    fn a_series_that_never_moved_is_zero() {
        let zero = |metric: &str| scenario(&format!("metrics: [ {{ metric: '{metric}', equals: \"0\" }} ]"));
        let shown = "# TYPE differences gauge\n# TYPE calls counter\ncalls_total{vendor=\"crm\"} 2\n";
        for metric in ["differences{kind=\"missing\"}", "calls", "calls_total{vendor=\"billing\"}"] {
            let verdict = drill().exposed("metrics", shown).judged(&zero(metric), "observability").unwrap();
            let two = metric == "calls";
            assert_eq!(verdict.verdict, if two { Verdict::Fail } else { Verdict::Pass }, "{metric}");
        }
    }

    #[test]
    fn metrics_may_speak_of_ledgers() {
        let s = scenario("metrics: [ { metric: deals, equals: 'crm.deals.size()' } ]");
        drill()
            .change(0, "crm.deals", ChangeKind::Given, json!({ "id": "d1" }), None)
            .exposed("metrics", "deals 1\n")
            .passes(&s, "observability");
    }

    const LISTED: &str = "metrics: [ { metric: refused, equals: size(quarantine) } ]";

    #[test]
    fn a_gauge_says_what_its_list_shows() {
        let (s, list) = (scenario(LISTED), r#"{ "quarantine": [{ "id": 1 }, { "id": 2 }] }"#);
        let shown = |gauge: &str| drill().exposed("metrics", gauge).exposed("quarantine", list);
        shown("refused 2\n").passes(&s, "observability");
        shown("refused 0\n").fails(&s, "observability/metric_differs");
        shown("refused 3\n").fails(&s, "observability/metric_differs");
    }

    #[test]
    fn a_gauge_is_not_held_against_a_list_that_is_not_whole() {
        let (s, rule) = (scenario(LISTED), "observability/no_list");
        drill().exposed("metrics", "refused 2\n").unknown(&s, rule);
        for list in ["<h1>", r#"{ "data": [], "has_more": true }"#, r#"{ "data": [], "next": "/q?page=2" }"#]
        {
            drill().exposed("metrics", "refused 2\n").exposed("quarantine", list).unknown(&s, rule);
        }
        let busy =
            drill().ends(1_000).exposed("metrics", "refused 2\n").call(call("crm", "GET /deals", 1_000));
        busy.exposed("quarantine", "[]").unknown(&s, rule);
    }

    #[test]
    fn no_metrics_at_all_or_a_broken_expression_is_unknown() {
        two_calls().unknown(&scenario(METRIC), "observability/no_metrics");
        let broken = scenario("metrics: [ { metric: up, equals: 'calls[99].status' } ]");
        two_calls().exposed("metrics", "up 1\n").unknown(&broken, "observability/bad_expression");
    }
}
