//! What the subject shows of itself equals what the vendors hold.
//!
//! Knows: the answers that the subject gave at the end, the ledgers and the calls. Must not know:
//! what any of it means; the scenario's expressions say.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::exposed::is_set_aside;
use super::say::{self, last_name};
use crate::finding::{Finding, Judgement, Verdict};
use crate::scenario::{Exposed, Scenario};
use crate::trace::{CallId, ChangeKind, EventId, Trace, What};

/// Judges `expect.exposed`, and whether work set aside can be read; nothing if there is neither.
pub fn judge(scenario: &Scenario, trace: &Trace) -> Option<Judgement> {
    let expected = &scenario.expect.exposed;
    let mut findings: Vec<Finding> = unread(trace).collect();
    let judged = (expected.len() + findings.len()) as u64;
    if judged == 0 {
        return None;
    }
    if !expected.is_empty() {
        let variables = variables(scenario, trace);
        findings.extend(expected.iter().filter_map(|one| compare(one, &variables, trace)));
    }
    Some(Judgement::of("exposed", judged, findings))
}

/// Lists of work set aside that cannot be read: what was given up may stand there.
fn unread(trace: &Trace) -> impl Iterator<Item = Finding> + '_ {
    trace.iter().filter_map(|(id, event)| {
        let What::Exposed { what, response } = &event.what else { return None };
        let why = match response {
            _ if !is_set_aside(what) => return None,
            None => "did not answer".to_owned(),
            Some(response) if !response.is_success() => format!("answered {}", response.status),
            Some(response) => match serde_json::from_slice::<serde::de::IgnoredAny>(&response.body) {
                Ok(_) => return None,
                Err(error) => format!("answered with what is no JSON: {error}"),
            },
        };
        let message = format!("the subject shows its `{what}`, and the GET of it {why}");
        Some(Finding {
            hint: Some("work that it set aside counts as lost until this can be read".into()),
            ..finding("exposed/unreadable", Verdict::Unknown, message, "JSON: a list of entries", Some(id))
        })
    })
}

fn compare(one: &Exposed, variables: &BTreeMap<String, Value>, trace: &Trace) -> Option<Finding> {
    let what = &one.what;
    let answers = trace.iter().filter_map(|(id, event)| match &event.what {
        What::Exposed { what: name, response } if name == what => Some((id, response.as_ref())),
        _ => None,
    });
    let Some((id, Some(response))) = answers.last().filter(|(_, r)| r.is_some_and(|r| r.is_success())) else {
        let message = format!("the subject did not show `{what}` at the end");
        return Some(finding(
            "exposed/not_shown",
            Verdict::Unknown,
            message,
            "a successful answer to a GET",
            None,
        ));
    };
    let Ok(shown) = serde_json::from_slice::<Value>(&response.body) else {
        let message = format!("what the subject shows as `{what}` is not JSON");
        return Some(finding("exposed/not_json", Verdict::Fail, message, "JSON", Some(id)));
    };
    let mut bound: Vec<(&str, &Value)> = variables.iter().map(|(n, v)| (n.as_str(), v)).collect();
    bound.push(("exposed", &shown));
    let value = one.value.as_ref().map_or_else(|| Ok(shown.clone()), |value| value.evaluate(&bound));
    let (value, wanted) = match value.and_then(|v| one.equals.evaluate(&bound).map(|w| (v, w))) {
        Ok(both) => both,
        Err(why) => {
            let names: Vec<&str> = bound.iter().map(|(n, _)| *n).collect();
            let message = format!("`{what}` cannot be judged: {why}");
            let expected = format!("expressions over {}", names.join(", "));
            return Some(finding("exposed/bad_expression", Verdict::Unknown, message, &expected, Some(id)));
        }
    };
    let (at, shown, wanted) = first_difference(String::new(), &value, &wanted)?;
    let of = one.value.as_ref().map_or_else(|| what.clone(), |v| format!("{what}: {}", v.source()));
    let place = if at.is_empty() { String::new() } else { format!(" at `{at}`") };
    let named = if at.is_empty() { one.equals.source() } else { &at };
    let (shown, wanted) = (said(named, shown.as_ref()), said(named, wanted.as_ref()));
    let message = if shown == wanted {
        format!("`{of}` is {shown}{place}, and another is true: {wanted}")
    } else {
        format!("`{of}` is {shown}{place}, and {wanted} is true")
    };
    let expected = format!("{wanted} = `{}`", one.equals.source());
    Some(finding("exposed/differs", Verdict::Fail, message, &expected, Some(id)))
}

fn finding(rule: &str, verdict: Verdict, message: String, expected: &str, id: Option<EventId>) -> Finding {
    Finding {
        rule: rule.into(),
        verdict,
        message,
        expected: expected.to_owned(),
        hint: None,
        evidence: id.into_iter().collect(),
        more: 0,
    }
}

/// What the expressions may speak of: each vendor alias with its collections as they were at the
/// end, and `calls`.
fn variables(scenario: &Scenario, trace: &Trace) -> BTreeMap<String, Value> {
    // Records by collection and id, in the order in which they came to be.
    type Ledger<'t> = BTreeMap<&'t str, Vec<(&'t str, &'t Value)>>;
    let mut ledgers: BTreeMap<&str, Ledger<'_>> =
        scenario.vendors.keys().map(|alias| (alias.as_str(), Ledger::new())).collect();
    let mut calls: Vec<(CallId, Value)> = Vec::new();
    for event in &trace.events {
        match &event.what {
            What::Change { vendor, collection, id, change, record, .. } => {
                let records = ledgers.entry(vendor).or_default().entry(collection).or_default();
                match (records.iter().position(|(known, _)| *known == &**id), change) {
                    (Some(n), ChangeKind::Deleted) => drop(records.remove(n)),
                    (Some(n), _) => records[n].1 = record,
                    (None, ChangeKind::Deleted) => {}
                    (None, _) => records.push((id, record)),
                }
            }
            What::Request { call, vendor, request, .. } => calls.push((
                *call,
                json!({ "vendor": vendor, "method": request.method, "path": request.path(), "status": 0, "outcome": "open" }),
            )),
            What::Answer { call, outcome, response, .. } => {
                if let Some((_, seen)) = calls.iter_mut().rev().find(|(id, _)| id == call) {
                    seen["status"] = json!(response.as_ref().map_or(0, |r| r.status));
                    seen["outcome"] = json!(outcome);
                }
            }
            _ => {}
        }
    }
    let collections = |ledger: Ledger<'_>| -> Map<String, Value> {
        let list = |records: Vec<(&str, &Value)>| records.into_iter().map(|(_, r)| r.clone()).collect();
        ledger.into_iter().map(|(name, records)| (name.to_owned(), list(records))).collect()
    };
    let mut all: BTreeMap<String, Value> =
        ledgers.into_iter().map(|(alias, l)| (alias.to_owned(), Value::Object(collections(l)))).collect();
    all.insert("calls".to_owned(), calls.into_iter().map(|(_, call)| call).collect());
    all
}

/// The first place at which two values differ, with both values there; `None` where one is absent.
fn first_difference(
    at: String,
    shown: &Value,
    wanted: &Value,
) -> Option<(String, Option<Value>, Option<Value>)> {
    match (shown, wanted) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let absent = theirs.iter().filter(|(name, _)| !ours.contains_key(*name));
            if let Some((name, value)) = absent.into_iter().next() {
                return Some((format!("{at}/{name}"), None, Some(value.clone())));
            }
            ours.iter().find_map(|(name, value)| match theirs.get(name) {
                Some(wanted) => first_difference(format!("{at}/{name}"), value, wanted),
                None => Some((format!("{at}/{name}"), Some(value.clone()), None)),
            })
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            (0..ours.len().max(theirs.len())).find_map(|n| match (ours.get(n), theirs.get(n)) {
                (Some(shown), Some(wanted)) => first_difference(format!("{at}/{n}"), shown, wanted),
                (shown, wanted) => Some((format!("{at}/{n}"), shown.cloned(), wanted.cloned())),
            })
        }
        // CEL and JSON do not agree on when a whole number is a float.
        (Value::Number(a), Value::Number(b)) if a == b || a.as_f64() == b.as_f64() => None,
        (a, b) if a == b => None,
        (a, b) => Some((at, Some(a.clone()), Some(b.clone()))),
    }
}

/// A value at `place`, of what the subject shows or of what is true.
fn said(place: &str, value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| say::value(last_name(place), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use crate::time::At;
    use crate::trace::{Cause, Event, Head, Outcome, Told};
    use crate::wire::{Headers, Protocol, Request, Response};

    const PROMISE: &str = "
drill: the mirror is true
why: a test
family: other
vendors: { github: github }
expect:
  exposed:
    - what: mirror
      equals: \"github.issues.filter(i, !has(i.pull_request)).map(i, {'number': i.number, 'title': i.title})\"
    - { what: mirror, value: 'calls.filter(c, c.status == 200).size()', equals: '1' }
";

    fn trace(mirror: Option<Response>, statuses: &[u16]) -> Trace {
        let mut events: Vec<What> =
            [json!({"number": 1, "title": "a"}), json!({"number": 2, "pull_request": {}})]
                .into_iter()
                .map(|record| What::Change {
                    vendor: "github".into(),
                    collection: "issues".into(),
                    id: record["number"].to_string().into(),
                    change: ChangeKind::Given,
                    record: record.into(),
                    by: Cause::Scenario,
                })
                .collect();
        for (n, status) in (0..).zip(statuses) {
            let request = Request {
                method: "GET".into(),
                target: "/a".into(),
                headers: Headers::default(),
                body: "".into(),
            };
            events.push(What::Request {
                call: CallId(n),
                vendor: "github".into(),
                connection: 0,
                protocol: Protocol::Http1,
                request,
                operation: None,
            });
            events.push(What::Answer {
                call: CallId(n),
                outcome: Outcome::Answered,
                response: Some(Response::json(*status, &json!([]))),
                applied: true,
                replayed: false,
                told: Told::default(),
                fault: None,
            });
        }
        events.push(What::Exposed { what: "mirror".into(), response: mirror });
        let head = Head {
            drill: String::new(),
            seed: Seed(0),
            epoch: jiff::Timestamp::UNIX_EPOCH,
            heals_at: At(0),
            ends_at: At(0),
            real: None,
        };
        Trace { head, events: events.into_iter().map(|what| Event { at: At(0), what }).collect() }
    }

    fn judged(mirror: Option<Response>, statuses: &[u16]) -> Judgement {
        let scenario = crate::scenario::parse("x.yaml", PROMISE).unwrap();
        judge(&scenario, &trace(mirror, statuses)).unwrap()
    }

    #[test]
    fn work_set_aside_that_cannot_be_read_is_unknown() {
        let scenario = crate::scenario::parse(
            "x.yaml",
            "drill: d\nwhy: a test\nfamily: other\nvendors: { github: github }\n",
        )
        .unwrap();
        let shows = |what: &str, response| {
            let mut trace = trace(None, &[]);
            trace.events.pop();
            trace.events.push(Event { at: At(0), what: What::Exposed { what: what.to_owned(), response } });
            judge(&scenario, &trace)
        };
        let text = |body: &'static str| {
            Some(Response { status: 200, headers: Headers::default(), body: body.into() })
        };
        assert!(shows("dead_letters", text("[]")).is_none());
        assert!(shows("metrics", text("up 1\n")).is_none());
        for unread in [text("<h1>none</h1>"), Some(Response::json(500, &json!([]))), None] {
            let judgement = shows("quarantine", unread).unwrap();
            assert_eq!(judgement.verdict, Verdict::Unknown, "{judgement:?}");
            assert_eq!(&*judgement.findings[0].rule, "exposed/unreadable");
        }
    }

    fn told(judgement: &Judgement) -> Vec<String> {
        judgement.findings.iter().map(|f| format!("{}: {}", f.rule, f.message)).collect()
    }

    #[test]
    fn a_mirror_that_equals_the_ledger_passes() {
        let mirror = Response::json(200, &json!([{ "title": "a", "number": 1 }]));
        let judgement = judged(Some(mirror), &[200, 304]);
        assert_eq!((judgement.verdict, judgement.judged), (Verdict::Pass, 2), "{:?}", judgement.findings);
    }

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let mirror = Response::json(200, &json!([{ "title": "b", "number": 1 }]));
        let judgement = judged(Some(mirror), &[200, 200]);
        assert_eq!(judgement.verdict, Verdict::Fail);
        insta::assert_snapshot!(told(&judgement).join("\n"), @r#"
        exposed/differs: `mirror` is "b" at `/0/title`, and "a" is true
        exposed/differs: `mirror: calls.filter(c, c.status == 200).size()` is 2, and 1 is true
        "#);
        let empty = judged(Some(Response::json(200, &json!([]))), &[200]);
        insta::assert_snapshot!(told(&empty).join("\n"), @r#"exposed/differs: `mirror` is nothing at `/0`, and {"number":1,"title":"a"} is true"#);
    }

    #[test]
    fn of_a_persons_own_the_outline_is_shown() {
        let scenario = PROMISE.replace("'title': i.title", "'email': 'ap@contoso-ag.info', 'name': 'Ann'");
        let scenario = crate::scenario::parse("x.yaml", &scenario).unwrap();
        let shows = |item: Value| {
            judge(&scenario, &trace(Some(Response::json(200, &json!([item]))), &[200])).unwrap()
        };
        let email = shows(json!({ "number": 1, "email": "bo@contoso-ag.info", "name": "Ann" }));
        let mail = "\"‹e-mail address, 18 characters›\"";
        let said = format!("exposed/differs: `mirror` is {mail} at `/0/email`, and another is true: {mail}");
        assert_eq!(told(&email), [said]);
        let name = shows(json!({ "number": 1, "email": "ap@contoso-ag.info", "name": "Bob" }));
        let ann = "\"‹3 characters: Aaa›\"";
        let said = format!("exposed/differs: `mirror` is {ann} at `/0/name`, and another is true: {ann}");
        assert_eq!(told(&name), [said]);
        let none = judge(&scenario, &trace(Some(Response::json(200, &json!([]))), &[200])).unwrap();
        let said = told(&none).concat();
        assert!(
            said.contains("\"email\":\"‹e-mail address, 18 characters›\"") && !said.contains("Ann"),
            "{said}"
        );
    }

    #[test]
    fn what_is_not_shown_is_unknown_and_what_is_not_json_fails() {
        assert_eq!(judged(None, &[200]).verdict, Verdict::Unknown);
        assert_eq!(judged(Some(Response::json(500, &json!([]))), &[200]).verdict, Verdict::Unknown);
        let html = Response { status: 200, headers: Headers::default(), body: "<h1>".into() };
        assert_eq!(judged(Some(html), &[200]).verdict, Verdict::Fail);
    }
}
