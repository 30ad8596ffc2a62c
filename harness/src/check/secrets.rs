//! Secrets: none is logged, alerted, exposed, put in a URL, or sent to another vendor.
//!
//! Knows: every secret that the trace shows in its proper place. Must not know: what secrets look
//! like; a value is secret because of where it was seen.

use indexmap::IndexMap;

use super::credentials::{presented, secret_fields, secrets_of};
use super::evidence::Evidence;
use super::say::{Findings, Say, brief};
use crate::finding::Judgement;
use crate::trace::EventId;

/// Shorter values are not looked for: they would be found everywhere.
const SHORTEST: usize = 8;

/// A secret: whose it is, and where it was first seen.
#[derive(Clone, Debug)]
struct Secret<'t> {
    value: String,
    vendor: &'t str,
    seen: EventId,
    what: &'static str,
}

/// Secrets by their longest plain run of characters, so that a text is searched word by word.
#[derive(Debug, Default)]
struct Vault<'t> {
    by_run: IndexMap<Vec<u8>, Vec<Secret<'t>>>,
    lengths: Lengths,
    count: u64,
}

/// Which lengths the runs have: most words of a text have none of them and are not looked up.
#[derive(Debug, Default)]
struct Lengths([u64; 4]);

impl Lengths {
    /// Longer runs share the last place.
    fn place(length: usize) -> (usize, u64) {
        let length = length.min(255);
        (length / 64, 1 << (length % 64))
    }

    fn add(&mut self, length: usize) {
        let (word, bit) = Lengths::place(length);
        self.0[word] |= bit;
    }

    fn has(&self, length: usize) -> bool {
        let (word, bit) = Lengths::place(length);
        self.0[word] & bit != 0
    }
}

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let vault = Vault::of(e);
    if vault.count == 0 {
        return None;
    }
    let mut found = Findings::default();
    for (event, line) in &e.logs {
        vault.search(line, None, |s| leak(&mut found, "secrets/logged", s, "a log line", line, vec![*event]));
    }
    for (_, event, body) in &e.alerts {
        let text = body.to_string();
        vault
            .search(&text, None, |s| leak(&mut found, "secrets/alerted", s, "an alert", &text, vec![*event]));
    }
    for (event, what, response) in &e.exposed.answers {
        if let Some(response) = response {
            let text = String::from_utf8_lossy(&response.body);
            vault.search(&text, None, |s| leak(&mut found, "secrets/exposed", s, what, &text, vec![*event]));
        }
    }
    for delivery in &e.deliveries {
        if let (Some(event), Some(response)) = (delivery.answered, delivery.response) {
            let text = String::from_utf8_lossy(&response.body);
            let place = "the answer to a webhook";
            vault.search(&text, None, |s| leak(&mut found, "secrets/exposed", s, place, &text, vec![event]));
        }
    }
    requests(e, &vault, &mut found);
    Some(found.judgement("secrets", vault.count))
}

fn requests(e: &Evidence<'_>, vault: &Vault<'_>, found: &mut Findings) {
    for call in &e.calls {
        let target = &call.request.target;
        let decoded = percent_encoding::percent_decode_str(target).decode_utf8_lossy();
        vault.search(&decoded, None, |s| {
            leak(found, "secrets/in_url", s, &format!("the target of {}", call.name()), "", vec![call.asked]);
        });
        let profile = |vendor: &str| e.profiles.get(vendor).map(|p| &p.name);
        let mut foreign = |text: &str, place: &str| {
            vault.search(text, Some(call.vendor), |s| {
                // Two accounts at one vendor may share a credential: it is good at both.
                if call.succeeded() && profile(s.vendor) == profile(call.vendor) {
                    return;
                }
                found.fail(Say {
                    rule: "secrets/sent_elsewhere",
                    group: call.vendor,
                    message: format!("{} at {} carries the {} of {} in its {place}", call.name(), call.arrived, s.what, s.vendor),
                    expected: format!("only {} ever sees it", s.vendor),
                    hint: "a shared client, a redirect, or a default header carries credentials across hosts; roll this one",
                    evidence: vec![s.seen, call.asked],
                });
            });
        };
        for (name, value) in &call.request.headers.0 {
            foreign(value, name);
            let basic = name == "authorization" && value.to_ascii_lowercase().starts_with("basic ");
            if basic {
                secrets_of(&value[6..]).iter().skip(1).for_each(|s| foreign(s, name));
            }
        }
        let body = String::from_utf8_lossy(&call.request.body);
        foreign(&body, "body");
        if body.contains('%') {
            foreign(&percent_encoding::percent_decode(&call.request.body).decode_utf8_lossy(), "body");
        }
    }
}

fn leak(
    found: &mut Findings,
    rule: &'static str,
    secret: &Secret<'_>,
    place: &str,
    text: &str,
    evidence: Vec<EventId>,
) {
    let masked =
        if text.is_empty() { String::new() } else { format!(": {}", brief(&around(text, &secret.value))) };
    found.fail(Say {
        rule,
        group: "",
        message: format!("{place} shows the {} of {}{masked}", secret.what, secret.vendor),
        expected: "no secret leaves the requests that it is for".into(),
        hint: "redact by value before anything is written, and roll this credential",
        evidence: std::iter::once(secret.seen).chain(evidence).collect(),
    });
}

/// The text around a secret, with the secret masked: a report must not leak it again.
fn around(text: &str, secret: &str) -> String {
    let Some(at) = text.find(secret) else { return String::new() };
    let before: String = text[..at].chars().rev().take(50).collect::<Vec<_>>().into_iter().rev().collect();
    let after: String = text[at + secret.len()..].chars().take(30).collect();
    let shown: String = secret.chars().take(3).collect();
    format!("{before}{shown}…{after}")
}

impl<'t> Vault<'t> {
    fn of(e: &Evidence<'t>) -> Vault<'t> {
        let mut vault = Vault::default();
        for call in &e.calls {
            if let Some(credential) = presented(call.request) {
                for secret in secrets_of(credential) {
                    vault.keep(secret, call.vendor, call.asked, "credential");
                }
            }
            if call.is_token() {
                for secret in secret_fields(&call.request.body) {
                    vault.keep(secret, call.vendor, call.asked, "client secret or refresh token");
                }
                if let (Some(response), Some(event)) = (call.response, call.answered) {
                    for secret in secret_fields(&response.body) {
                        vault.keep(secret, call.vendor, event, "token");
                    }
                }
            }
        }
        for delivery in e.deliveries.iter().filter(|d| !d.must_be_refused) {
            let signed = delivery
                .request
                .headers
                .0
                .iter()
                .filter(|(n, _)| n.contains("signature") || n.contains("hmac"));
            for (_, value) in signed {
                for part in value.split([',', ' ', '=', ';']).filter(|p| p.len() >= 32) {
                    vault.keep(part.to_owned(), delivery.vendor, delivery.asked, "webhook signature");
                }
            }
        }
        vault
    }

    fn keep(&mut self, value: String, vendor: &'t str, seen: EventId, what: &'static str) {
        if value.len() < SHORTEST {
            return;
        }
        let Some(run) = runs(&value).max_by_key(|r| r.len()).filter(|r| r.len() >= SHORTEST / 2) else {
            return;
        };
        self.lengths.add(run.len());
        let kept = self.by_run.entry(run.to_owned()).or_default();
        if !kept.iter().any(|s| s.value == value) {
            self.count += 1;
            kept.push(Secret { value: value.clone(), vendor, seen, what });
        }
    }

    /// Finds secrets in a text; with `at`, only those of other vendors.
    fn search(&self, text: &str, at: Option<&str>, mut hit: impl FnMut(&Secret<'t>)) {
        if self.by_run.is_empty() {
            return;
        }
        let known = runs(text).filter(|run| self.lengths.has(run.len()));
        for secret in known.filter_map(|run| self.by_run.get(run)).flatten() {
            if at != Some(secret.vendor) && text.contains(&secret.value) {
                hit(secret);
                return;
            }
        }
    }
}

/// Plain runs of characters: letters, digits, `_` and `-`.
fn runs(text: &str) -> impl Iterator<Item = &[u8]> {
    // Whatever is not ASCII ends a run: bytes say as much as characters.
    text.as_bytes()
        .split(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')))
        .filter(|run| !run.is_empty())
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::What;
    use serde_json::json;

    fn authorised() -> Builder {
        drill().call(call("billing", "GET /invoices", 0).header("authorization", "Bearer sk_live_abc123"))
    }

    fn log(b: Builder, line: &str) -> Builder {
        b.event(50, What::Log { level: "info".into(), line: line.into() })
    }

    #[test]
    fn a_secret_that_stays_in_its_place_is_sound() {
        log(authorised(), "calling billing with sk_live_…").passes(&scenario(""), "secrets");
    }

    #[test]
    fn a_secret_in_a_log_an_alert_or_an_answer_is_found_and_not_repeated() {
        log(authorised(), "auth=Bearer sk_live_abc123").fails(&scenario(""), "secrets/logged");
        let judged =
            log(authorised(), "auth=Bearer sk_live_abc123").judged(&scenario(""), "secrets").unwrap();
        assert!(!judged.findings[0].message.contains("sk_live_abc123"), "{judged:?}");
        authorised()
            .event(
                50,
                What::Alert { body: json!({ "m": "key sk_live_abc123 refused" }), unread: None, began: None },
            )
            .fails(&scenario(""), "secrets/alerted");
        authorised().exposed("health", r#"{"key":"sk_live_abc123"}"#).fails(&scenario(""), "secrets/exposed");
    }

    #[test]
    fn a_token_from_an_answer_is_secret_too() {
        let token = call("crm", "POST /token", 0)
            .body("grant_type=refresh_token&refresh_token=refresh-000001")
            .answers(200, json!({ "access_token": "access-000001", "refresh_token": "refresh-000002" }));
        for leaked in ["refresh-000001", "refresh-000002", "access-000001"] {
            log(drill().call(token.clone()), &format!("got {leaked}")).fails(&scenario(""), "secrets/logged");
        }
    }

    #[test]
    fn a_secret_in_a_url_or_at_another_vendor_is_found() {
        authorised()
            .call(call("billing", "GET /invoices?key=sk_live_abc123", 50))
            .fails(&scenario(""), "secrets/in_url");
        authorised()
            .call(call("crm", "GET /deals", 50).header("authorization", "Bearer sk_live_abc123"))
            .fails(&scenario(""), "secrets/sent_elsewhere");
        authorised()
            .call(call("crm", "POST /deals", 50).body("note=sk%5Flive%5Fabc123"))
            .fails(&scenario(""), "secrets/sent_elsewhere");
    }

    #[test]
    fn secrets_of_any_length_are_found_among_letters_of_any_alphabet() {
        for length in [8, 9, 63, 64, 65, 254, 255, 256, 400] {
            let secret = "s".repeat(length);
            let bearer = format!("Bearer {secret}");
            let b = drill().call(call("billing", "GET /invoices", 0).header("authorization", &bearer));
            log(b, &format!("Schlüssel‹{secret}›ключ")).fails(&scenario(""), "secrets/logged");
        }
    }

    #[test]
    fn a_drill_without_secrets_has_nothing_to_judge() {
        assert!(drill().call(call("crm", "GET /deals", 0)).judged(&scenario(""), "secrets").is_none());
    }
}
