//! Observability: what the subject says of itself agrees with the wire, and failures are said
//! loudly and in time.
//!
//! Knows: metrics, alerts, and the wire. Must not know: any subject's metric names; the scenario
//! gives them.

use serde_json::{Value, json};

use super::evidence::{Evidence, Unread};
use super::prometheus::{Sample, matching, samples, selector};
use super::say::{Findings, Say, brief};
use crate::expr::Expr;
use crate::finding::Judgement;
use crate::scenario::Metric;
use crate::time::At;
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
    alerts(e, &mut found);
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
    let samples = samples(&String::from_utf8_lossy(&response.body));
    let variables = variables(e);
    let bound: Vec<(&str, &Value)> = variables.iter().map(|(n, v)| (n.as_str(), v)).collect();
    for metric in expected {
        compare(metric, &samples, &bound, event, found);
    }
}

fn compare(
    metric: &Metric,
    samples: &[Sample],
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
                hint: "variables: calls, deliveries, and each vendor alias with its collections",
                evidence: Vec::new(),
            });
            return;
        }
    };
    // Counters and histograms may be exposed with the suffix `_total` that a scenario left out.
    let total = format!("{name}_total");
    let named = samples.iter().any(|s| s.name == name);
    let name = if named { &name } else { &total };
    let known = named || samples.iter().any(|s| s.name == total);
    let shown: f64 = matching(samples, name, &matchers).map(|s| s.value).sum();
    // A series that never moved need not be there.
    let same = (shown - wanted).abs() < 1e-6 * wanted.abs().max(1.0);
    if !same {
        found.fail(Say {
            rule: "observability/metric_differs",
            group: &metric.metric,
            message: format!(
                "`{}` is {} where the wire shows {wanted} (`{}`)",
                metric.metric,
                if known { shown.to_string() } else { "not exposed".into() },
                metric.equals.source()
            ),
            expected: wanted.to_string(),
            hint: "count where it happens, once for every attempt, also those that failed or were cut short",
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

fn alerts(e: &Evidence<'_>, found: &mut Findings) {
    let texts: Vec<(At, EventId, String)> =
        e.alerts.iter().map(|(at, id, body)| (*at, *id, body.to_string().to_lowercase())).collect();
    for alert in &e.scenario.expect.alerts {
        let word = alert.about.to_lowercase();
        let from = At(alert.from.0);
        let due = from + alert.within;
        let said = || texts.iter().filter(|(_, _, text)| text.contains(&word));
        let hit = said().find(|(at, _, _)| *at >= from && *at <= due);
        let unread = e.unread_alerts.iter().find(|unread| unread.at >= from && unread.began <= due);
        if hit.is_none()
            && let Some(Unread { began, id, why, .. }) = unread
        {
            found.unknown(Say {
                rule: "observability/unread_alert",
                group: &alert.about,
                message: format!(
                    "what came at {began} where alerts go cannot be read as one: {why}; it may be the one about `{}`",
                    alert.about
                ),
                expected: "alerts that are posted whole over HTTP/1.1 or HTTP/2, as JSON, a form or text".into(),
                hint: "the trace shows what came",
                evidence: vec![*id],
            });
            continue;
        }
        match (alert.never, hit) {
            (true, Some((at, id, text))) => found.fail(Say {
                rule: "observability/false_alarm",
                group: &alert.about,
                message: format!("an alert about `{}` came at {at}: {}", alert.about, brief(text)),
                expected: format!("no such alert between {from} and {due}"),
                hint: "people stop reading alerts that cry wolf",
                evidence: vec![*id],
            }),
            (false, None) if e.ends_at < due => found.unknown(Say {
                rule: "observability/ended_early",
                group: &alert.about,
                message: format!(
                    "the drill ended at {}, before an alert about `{}` was due",
                    e.ends_at, alert.about
                ),
                expected: format!("a drill that lasts until {due}"),
                hint: "raise `ends_at`",
                evidence: Vec::new(),
            }),
            (false, None) => {
                let other = said().next();
                found.fail(Say {
                    rule: "observability/no_alert",
                    group: &alert.about,
                    message: match other {
                        Some((at, _, _)) => {
                            format!(
                                "an alert about `{}` came only at {at}, not between {from} and {due}",
                                alert.about
                            )
                        }
                        None => format!(
                            "no alert about `{}` came between {from} and {due} ({} others in all)",
                            alert.about,
                            texts.len()
                        ),
                    },
                    expected: format!("an alert that says `{}` by {due}", alert.about),
                    hint: "a failure that nobody hears of is found by the customer",
                    evidence: other.map(|(_, id, _)| *id).into_iter().collect(),
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::{ChangeKind, What};
    use serde_json::json;

    const METRIC: &str = "metrics: [ { metric: 'calls_total{vendor=\"crm\"}', equals: 'calls.filter(c, c.vendor == \"crm\").size()' } ]";
    const ALERT: &str = "alerts: [ { about: invalid_grant, from: 10s, within: 1m } ]";

    fn two_calls() -> Builder {
        drill()
            .call(call("crm", "GET /deals", 0))
            .call(call("crm", "GET /deals", 50))
            .call(call("billing", "GET /x", 0))
    }

    fn alert(at: u64, text: &str) -> Builder {
        drill().event(at, What::Alert { body: json!({ "kind": text }), unread: None, began: None })
    }

    fn unread(at: u64, text: &str) -> Builder {
        drill()
            .event(at, What::Alert { body: json!(text), unread: Some("it has no body".into()), began: None })
    }

    #[test]
    fn a_metric_that_agrees_with_the_wire_is_sound() {
        two_calls()
            .exposed("metrics", "calls_total{vendor=\"crm\"} 2\n")
            .passes(&scenario(METRIC), "observability");
    }

    #[test]
    fn a_metric_that_differs_or_is_missing_is_found() {
        let rule = "observability/metric_differs";
        two_calls().exposed("metrics", "calls_total{vendor=\"crm\"} 3\n").fails(&scenario(METRIC), rule);
        two_calls().exposed("metrics", "up 1\n").fails(&scenario(METRIC), rule);
    }

    #[test]
    fn metrics_may_speak_of_ledgers() {
        let s = scenario("metrics: [ { metric: deals, equals: 'crm.deals.size()' } ]");
        drill()
            .change(0, "crm.deals", ChangeKind::Given, json!({ "id": "d1" }), None)
            .exposed("metrics", "deals 1\n")
            .passes(&s, "observability");
    }

    #[test]
    fn no_metrics_at_all_or_a_broken_expression_is_unknown() {
        two_calls().unknown(&scenario(METRIC), "observability/no_metrics");
        let broken = scenario("metrics: [ { metric: up, equals: 'calls[99].status' } ]");
        two_calls().exposed("metrics", "up 1\n").unknown(&broken, "observability/bad_expression");
    }

    #[test]
    fn an_alert_in_time_is_sound_and_a_late_or_missing_one_is_found() {
        alert(30_000, "Invalid_Grant at crm").passes(&scenario(ALERT), "observability");
        alert(80_000, "invalid_grant").fails(&scenario(ALERT), "observability/no_alert");
        alert(30_000, "breaker open").fails(&scenario(ALERT), "observability/no_alert");
    }

    #[test]
    fn an_alert_that_must_not_come_is_found() {
        let never = scenario("alerts: [ { about: grant, from: 0s, within: 1h, never: true } ]");
        alert(30_000, "invalid_grant").fails(&never, "observability/false_alarm");
        drill().passes(&never, "observability");
    }

    #[test]
    fn what_cannot_be_read_may_be_the_alert_that_is_missing_or_must_not_come() {
        let never = scenario("alerts: [ { about: grant, from: 10s, within: 1m, never: true } ]");
        for s in [&scenario(ALERT), &never] {
            unread(30_000, "GET /").unknown(s, "observability/unread_alert");
        }
        unread(80_000, "GET /").fails(&scenario(ALERT), "observability/no_alert");
        unread(80_000, "GET /").passes(&never, "observability");
        unread(30_000, "GET /?about=invalid_grant").passes(&scenario(ALERT), "observability");
    }
}
