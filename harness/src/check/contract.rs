//! Contract: what the subject sends is what the vendor's description allows.
//!
//! Knows: which messages are held against which part of a description, and whose fault a breach
//! is. Must not know: how a message is judged by a description.
//!
//! A request that breaks the description, or is for an operation that the API does not have, is the
//! subject's fault. An answer or webhook that breaks it although no fault touched it is the fault of
//! whoever wrote the vendor's file: the drill then proves nothing (`unknown`). What a fault touched,
//! what was saved before a fault, and what a recording answered are not judged. Without a
//! description the check is silent.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::call::Call;
use super::evidence::{Delivery, Evidence};
use super::say::{Findings, Say};
use crate::contract::{Checked, Contract, Direction, Found, NotFound, Operation, Severity, Violation};
use crate::fault::ErrorKind;
use crate::finding::Judgement;
use crate::fixture::{displayable, displayable_target};
use crate::scenario::VendorUse;
use crate::trace::{EventId, What};
use crate::wire::Response;

/// What a fault may do to an event without changing what it says.
const HARMLESS: [&str; 5] = ["drop", "delay", "reorder", "burst", "duplicate"];

pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut judge =
        Judge { found: Findings::default(), judged: 0, known: BTreeMap::new(), plain: BTreeSet::new() };
    for call in &e.calls {
        let Some(contract) = described(e, call.vendor) else { continue };
        let recorded = is_recorded(e, call.vendor);
        if let Some(operation) = judge.operation(contract, call, recorded) {
            judge.request(contract, operation, call);
            if !recorded {
                judge.answer(contract, operation, call);
            }
        }
    }
    let changed = changed_events(e);
    for delivery in &e.deliveries {
        let touched = delivery.fault.is_some() || delivery.must_be_refused;
        if let Some(contract) = described(e, delivery.vendor).filter(|_| !touched)
            && !delivery.events.iter().any(|id| changed.contains(&**id))
        {
            judge.delivery(e, contract, delivery);
        }
    }
    (judge.judged > 0 || !judge.found.is_empty()).then(|| judge.found.judgement("contract", judge.judged))
}

fn described<'t>(e: &Evidence<'t>, vendor: &str) -> Option<&'t Contract> {
    e.profiles.get(vendor)?.contract.as_deref()
}

/// Whether recordings answer in the vendor's place: how old they are is `verify`'s business.
fn is_recorded(e: &Evidence<'_>, vendor: &str) -> bool {
    matches!(e.scenario.vendors.get(vendor), Some(VendorUse::Changed(c)) if c.fixtures.is_some())
}

/// Events whose payload a fault has changed.
fn changed_events<'t>(e: &Evidence<'t>) -> BTreeSet<&'t str> {
    let mut changed = BTreeSet::new();
    for event in &e.trace.events {
        if let What::Emission { event, fault: Some(fault), .. } = &event.what
            && !HARMLESS.contains(&&*fault.act)
        {
            changed.insert(&*event.id);
        }
    }
    changed
}

/// An operation of a vendor, by the vendor and its name there; none if the description lacks it.
type Known<'t> = BTreeMap<(&'t str, &'t str), Option<&'t Operation>>;

struct Judge<'t> {
    found: Findings,
    judged: u64,
    known: Known<'t>,
    /// Bodies that were found plainly valid, each under its vendor and its schema's place there: one
    /// answer is often given again, to each sync or each look at the same record.
    plain: BTreeSet<(&'t str, &'t str, &'t [u8])>,
}

impl<'t> Judge<'t> {
    /// What the call is for, as the description has it. Calls for what is not there are findings,
    /// unless a recording answered: it shows that the vendor had it, and may hold a true 404.
    fn operation(
        &mut self,
        contract: &'t Contract,
        call: &Call<'t>,
        recorded: bool,
    ) -> Option<&'t Operation> {
        if let Some(operation) = call.operation {
            // The model's own name, `GET /v1/invoices/{id}`, is a path that the template fits.
            let known = self.known.entry((call.vendor, &operation.name)).or_insert_with(|| {
                let (method, path) = operation.name.split_once(' ')?;
                contract.find(method, path).ok().map(|found| found.operation)
            });
            if known.is_none() {
                self.found.unknown(Say {
                    rule: "contract/undescribed",
                    group: &call.name(),
                    message: format!(
                        "{}: the vendor plays it, its description does not have it",
                        call.name()
                    ),
                    expected: format!("`{}` in {}", operation.name, contract.file().display()),
                    hint: "describe the operation, or take it out of the vendor's file",
                    evidence: vec![call.asked],
                });
            }
            return *known;
        }
        let refused =
            !recorded && call.fault.is_none() && call.told.and_then(|t| t.error) == Some(ErrorKind::NotFound);
        match contract.find(&call.request.method, &call.request.target) {
            Ok(Found { operation, .. }) => {
                if refused {
                    self.found.unknown(Say {
                        rule: "contract/not_played",
                        group: &operation.name(),
                        message: format!(
                            "{} {} {} is in the vendor's description, but its model does not play it and answered 404",
                            call.vendor, call.request.method, operation.path
                        ),
                        expected: format!("`{}` in the vendor's file", operation.name()),
                        hint: "the drill shows nothing of how the real vendor would answer: add the operation \
                               to vendor.yaml, or let a recording answer it",
                        evidence: call.cite(),
                    });
                }
                Some(operation)
            }
            Err(why) => {
                if refused {
                    self.unknown_operation(call, &why);
                }
                None
            }
        }
    }

    fn unknown_operation(&mut self, call: &Call<'_>, why: &NotFound) {
        self.judged += 1;
        let (method, path) = (&call.request.method, displayable_target(call.request.path()));
        self.found.fail(Say {
            rule: "contract/unknown_operation",
            group: &format!("{} {method}", call.vendor),
            message: format!(
                "{} {method} {path} is no operation of the vendor: {}",
                call.vendor,
                displayable(&why.to_string())
            ),
            expected: match why {
                NotFound::Method { allowed, path, .. } => format!("{} {path}", allowed.join(" or ")),
                NotFound::Path { near: Some(near), .. } => near.clone(),
                NotFound::Path { near: None, .. } => "a documented path".to_owned(),
            },
            hint: "the vendor answers 404 to it, as it will in production: look at how the path is put together",
            evidence: call.cite(),
        });
    }

    fn request(&mut self, contract: &Contract, operation: &Operation, call: &Call<'_>) {
        self.judged += 1;
        if contract.request_fits(operation, call.request) {
            return;
        }
        let checked = contract.check_request(operation, call.request);
        for violation in &checked.violations {
            match violation.severity {
                Severity::Additive => {}
                Severity::Breaking => self.found.fail(Say {
                    rule: "contract/request_invalid",
                    group: &format!("{} {} {}", call.name(), violation.rule, violation.wild),
                    message: format!("{} sent {}", call.name(), sentence(violation)),
                    expected: expected(violation),
                    hint: "the vendor's description does not allow it: look at where this field is filled",
                    evidence: call.cite(),
                }),
                Severity::Unknown => self.unjudged(&call.name(), violation, vec![call.asked]),
            }
        }
    }

    fn answer(&mut self, contract: &'t Contract, operation: &'t Operation, call: &Call<'t>) {
        // What the description says of a GET's answer is not said of a HEAD's: that has no body.
        let has_body = call.request.method != "HEAD" || operation.method == "HEAD";
        let untouched = call.fault.is_none() && !call.replayed && has_body;
        let Some(response) = call.response.filter(|_| untouched) else { return };
        self.judged += 1;
        if self.is_plainly_valid(contract, operation, call.vendor, response) {
            return;
        }
        let checked = contract.check_response(operation, response);
        let what = format!("{}: its own answer, {},", call.name(), response.status);
        self.vendor(&call.name(), &what, &checked, call.answered.into_iter().collect());
    }

    /// The fast answer for the plain case, which is nearly every one: JSON, documented as JSON, and
    /// valid. Anything else is left to the whole judgement.
    fn is_plainly_valid(
        &mut self,
        contract: &Contract,
        operation: &'t Operation,
        vendor: &'t str,
        response: &'t Response,
    ) -> bool {
        let kind = response.headers.get("content-type").and_then(|t| t.split(';').next());
        if kind != Some("application/json") {
            return false;
        }
        let content = operation.answer(response.status).map(|a| a.content.as_slice()).unwrap_or_default();
        let json = content.iter().find(|m| m.range == "application/json");
        let Some(at) = json.and_then(|m| m.schema.as_deref()) else { return false };
        let body = (vendor, at, &*response.body);
        if self.plain.contains(&body) {
            return true;
        }
        let value = serde_json::from_slice::<Value>(&response.body).ok();
        let valid = value.is_some_and(|v| contract.fits(at, Direction::Response, &v) == Ok(true));
        if valid {
            self.plain.insert(body);
        }
        valid
    }

    fn delivery(&mut self, e: &Evidence<'_>, contract: &Contract, delivery: &Delivery<'_>) {
        let Some(kind) =
            delivery.events.first().and_then(|id| e.events.get(&**id)).map(|(_, event)| &event.kind)
        else {
            return;
        };
        let payload = serde_json::from_slice::<Value>(&delivery.request.body).unwrap_or_default();
        if let Some(checked) = contract.check_webhook(kind, &payload) {
            self.judged += 1;
            let name = format!("{} webhook {kind}", delivery.vendor);
            self.vendor(&name, &format!("{name}: its own payload"), &checked, vec![delivery.asked]);
        }
    }

    /// A breach of the vendor's own: nothing that the drill shows of this can be trusted.
    fn vendor(&mut self, name: &str, what: &str, checked: &Checked, evidence: Vec<EventId>) {
        for violation in &checked.violations {
            match violation.severity {
                Severity::Breaking => self.found.unknown(Say {
                    rule: "contract/vendor_invalid",
                    group: &format!("{name} {} {}", violation.rule, violation.wild),
                    message: format!("{what} has {}", sentence(violation)),
                    expected: expected(violation),
                    hint: "no fault touched it, so the vendor's file and its description disagree: this is not \
                           the subject's fault; correct vendor.yaml, the scenario's `with`, or the description",
                    evidence: evidence.clone(),
                }),
                Severity::Unknown if violation.rule == "contract/not_judged" => {
                    self.unjudged(name, violation, evidence.clone());
                }
                // Vendors seldom list every error status.
                Severity::Unknown | Severity::Additive => {}
            }
        }
    }

    fn unjudged(&mut self, name: &str, violation: &Violation, evidence: Vec<EventId>) {
        self.found.unknown(Say {
            rule: "contract/not_judged",
            group: &format!("{name} {}", violation.wild),
            message: format!("{name} could not be judged: {}", sentence(violation)),
            expected: expected(violation),
            hint: "the description does not say enough, or more than can be read",
            evidence,
        });
    }
}

/// `string "12.50" at /amount in the body`.
fn sentence(violation: &Violation) -> String {
    let part = format!("{:?}", violation.part).to_lowercase();
    let at =
        if violation.pointer.is_empty() { String::new() } else { format!(" at `{}`", violation.pointer) };
    let moved = violation.moved.as_ref().map(|m| format!("; it may have moved to `{m}`")).unwrap_or_default();
    format!("{}{at} in its {part}{moved} ({})", violation.got, violation.rule)
}

fn expected(violation: &Violation) -> String {
    let branch = violation.branch.as_ref().map(|b| format!(" (of {b})")).unwrap_or_default();
    format!("{}{branch}", violation.expected)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::testing::{call, drill, profiles, scenario};
    use super::*;
    use crate::finding::Verdict;

    const DESCRIPTION: &str = r#"
openapi: 3.1.0
info: { title: billing, version: "1" }
paths:
  /invoices:
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              additionalProperties: false
              required: [amount]
              properties: { amount: { type: integer }, currency: { enum: [usd, eur] } }
      responses:
        "200":
          description: made
          content: { application/json: { schema: { type: object, required: [id] } } }
        default: { description: error, content: { application/json: { schema: { type: object } } } }
  /invoices/{invoice}/void:
    post: { responses: { "200": { description: voided } } }
"#;

    /// What the check says of one call: rule and verdict of each finding.
    fn said(x: super::super::testing::Exchange) -> Option<(Verdict, Vec<String>)> {
        said_by(DESCRIPTION, x)
    }

    fn said_by(description: &str, x: super::super::testing::Exchange) -> Option<(Verdict, Vec<String>)> {
        let contract = Contract::parse("openapi.yaml".as_ref(), description.as_bytes()).unwrap();
        let mut profiles = profiles();
        profiles.get_mut("billing").unwrap().contract = Some(Arc::new(contract));
        let trace = drill().call(x).build();
        let judgement = super::super::judge(&scenario("{}"), &profiles, &trace)
            .into_iter()
            .find(|j| &*j.check == "contract")?;
        assert!(judgement.findings.iter().all(|f| !f.evidence.is_empty()));
        Some((judgement.verdict, judgement.findings.iter().map(|f| f.rule.to_string()).collect()))
    }

    fn create(body: &str) -> super::super::testing::Exchange {
        call("billing", "POST /invoices", 0)
            .header("content-type", "application/json")
            .body(body)
            .answers(200, json!({ "id": "in_1" }))
    }

    #[test]
    fn a_sound_call_passes_and_a_vendor_without_description_is_silent() {
        assert_eq!(said(create(r#"{"amount":5}"#)), Some((Verdict::Pass, vec![])));
        assert_eq!(said(call("crm", "GET /deals", 0)), None);
    }

    #[test]
    fn each_breach_of_a_request_is_the_subjects() {
        for body in
            [r#"{"amount":"5.00"}"#, r#"{"amount":5,"currency":"gbp"}"#, r#"{"amount":5,"amonut":5}"#, "{}"]
        {
            assert_eq!(
                said(create(body)),
                Some((Verdict::Fail, vec!["contract/request_invalid".into()])),
                "{body}"
            );
        }
    }

    #[test]
    fn a_breach_of_the_vendors_own_is_not_the_subjects_and_a_fault_excuses_it() {
        let broken = create(r#"{"amount":5}"#).answers(200, json!({ "ident": 1 }));
        let expected = (Verdict::Unknown, vec!["contract/vendor_invalid".to_owned()]);
        assert_eq!(said(broken.clone()), Some(expected));
        assert_eq!(said(broken.clone().fault(0, "drift")), Some((Verdict::Pass, vec![])));
        assert_eq!(said(broken.replayed()), Some((Verdict::Pass, vec![])));
    }

    #[test]
    fn a_body_known_to_be_valid_is_so_where_the_same_schema_holds_and_nowhere_else() {
        let description = DESCRIPTION.replace(
            "        default:",
            "        \"201\": { description: new, content: { application/json: { schema: { required: [new] } } } }\n        default:",
        );
        let contract = Contract::parse("openapi.yaml".as_ref(), description.as_bytes()).unwrap();
        let mut profiles = profiles();
        profiles.get_mut("billing").unwrap().contract = Some(Arc::new(contract));
        let first = create(r#"{"amount":5}"#);
        let again = create(r#"{"amount":6}"#).answers(201, json!({ "id": "in_1" }));
        let trace = drill().call(first.clone()).call(first).call(again).build();
        let judged = super::super::judge(&scenario("{}"), &profiles, &trace);
        let contract = judged.into_iter().find(|j| &*j.check == "contract").unwrap();
        assert_eq!((contract.verdict, contract.findings.len()), (Verdict::Unknown, 1), "{contract:?}");
        assert_eq!(&*contract.findings[0].rule, "contract/vendor_invalid");
    }

    #[test]
    fn a_head_is_held_against_what_is_said_of_the_get_less_the_answers_body() {
        let description = DESCRIPTION.replace("    post:\n      requestBody", "    get: { parameters: [{ name: page, in: query, schema: { type: integer } }], responses: { \"200\": { description: all, content: { application/json: { schema: { type: object } } } } } }\n    post:\n      requestBody");
        let mut asks = call("billing", "HEAD /invoices", 0);
        asks.response.as_mut().unwrap().body = Default::default();
        asks.operation.name = "HEAD /invoices".into();
        assert_eq!(said_by(&description, asks.clone()), Some((Verdict::Pass, vec![])));
        asks.request.target = "/invoices?page=two".into();
        assert_eq!(said_by(&description, asks).map(|(verdict, _)| verdict), Some(Verdict::Fail));
    }

    #[test]
    fn a_call_for_what_the_api_does_not_have_is_the_subjects() {
        let mut stray = create("{}").error(404, ErrorKind::NotFound);
        stray.request.target = "/invoice".into();
        stray.no_operation = true;
        assert_eq!(said(stray), Some((Verdict::Fail, vec!["contract/unknown_operation".into()])));
    }

    #[test]
    fn what_the_model_lacks_or_the_description_lacks_is_unknown() {
        let mut void = call("billing", "POST /invoices/in_1/void", 0).error(404, ErrorKind::NotFound);
        void.no_operation = true;
        let (verdict, rules) = said(void).unwrap();
        assert_eq!((verdict, rules), (Verdict::Unknown, vec!["contract/not_played".into()]));
        let (verdict, rules) = said(call("billing", "GET /customers", 0)).unwrap();
        assert_eq!((verdict, rules), (Verdict::Unknown, vec!["contract/undescribed".into()]));
    }
}
