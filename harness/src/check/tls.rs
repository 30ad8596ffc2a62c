//! TLS: nothing is said to a vendor whose certificate does not vouch for it.
//!
//! Knows: the handshakes of note, and what was sent after them (RFC 5280 §6, RFC 9525). Must not
//! know: how a client verifies.

use std::collections::{BTreeMap, BTreeSet};

use super::credentials::{presented, secret_fields};
use super::evidence::Evidence;
use super::say::{Findings, Say, count};
use crate::fault::BadCertificate;
use crate::finding::Judgement;
use crate::trace::{EventId, Handshake, What};

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    let mut judged = 0;
    // Connections that were left without a request although nothing was wrong with the certificate.
    let mut left: BTreeMap<&str, Vec<EventId>> = BTreeMap::new();
    // By vendor and connection: what was wrong with the certificate, and where that was shown.
    let mut bad: BTreeMap<(&str, u32), (BadCertificate, EventId)> = BTreeMap::new();
    let mut met = BTreeSet::new();
    for (id, event) in e.trace.iter() {
        match &event.what {
            What::Handshake { vendor, ended, certificate, connection, error, .. } => {
                match (certificate, ended) {
                    (Some(certificate), Handshake::Done) => {
                        judged += 1;
                        if let Some(n) = connection {
                            bad.insert((vendor, *n), (*certificate, id));
                        }
                    }
                    // It was counted when it was done.
                    (Some(_), _) if connection.is_some() => {}
                    (None, Handshake::Left) => left.entry(vendor).or_default().push(id),
                    (None, Handshake::Refused) => {
                        judged += 1;
                        let why = error.as_deref().unwrap_or("no reason given");
                        found.unknown(Say {
                            message: format!(
                                "the subject refused the good certificate of {vendor} at {}: {why}",
                                event.at
                            ),
                            ..not_trusted(vendor, vec![id])
                        });
                    }
                    _ => judged += 1,
                }
            }
            What::Request { call, vendor, connection, .. } => {
                met.insert(&**vendor);
                let Some((certificate, shown)) = bad.get(&(&**vendor, *connection)) else { continue };
                let Some(call) = e.call(*call) else { continue };
                let secret =
                    presented(call.request).is_some() || !secret_fields(&call.request.body).is_empty();
                found.fail(Say {
                    rule: "tls/bad_certificate_trusted",
                    group: vendor,
                    message: format!(
                        "{} was sent at {} to a host that showed {}{}",
                        call.name(),
                        event.at,
                        called(*certificate),
                        if secret { ", with the credential that is for the vendor alone" } else { "" }
                    ),
                    expected: "no request: whoever shows such a certificate may be anybody".into(),
                    hint: "verification is switched off, or done for the chain without the host name; switch it \
                           on, and roll the credentials that were sent",
                    evidence: vec![*shown, id],
                });
            }
            _ => {}
        }
    }
    for (vendor, ids) in left.into_iter().filter(|(vendor, _)| !met.contains(vendor)) {
        let n = ids.len() as u64;
        judged += n;
        found.unknown(Say {
            message: format!(
                "the subject left {} to {vendor} after the TLS handshake and sent no request at all, although \
                 the certificate was good",
                count(n, "connection")
            ),
            ..not_trusted(vendor, ids)
        });
    }
    (judged > 0).then(|| found.judgement("tls", judged))
}

/// A subject that trusts no certificate of a vendor's was put to no test there: then only this is said, and
/// nothing of what follows from it.
pub(super) fn alone(e: &Evidence<'_>, mut judgements: Vec<Judgement>) -> Vec<Judgement> {
    let (mut refused, mut met) = (BTreeSet::new(), BTreeSet::new());
    for (_, event) in e.trace.iter() {
        match &event.what {
            What::Handshake {
                certificate: None,
                ended: Handshake::Refused | Handshake::Left,
                vendor,
                ..
            } => {
                refused.insert(&**vendor);
            }
            // Whom it saw show a bad one, it may have given up for good: that is its own doing.
            What::Handshake { certificate: Some(_), vendor, .. } | What::Request { vendor, .. } => {
                met.insert(&**vendor);
            }
            _ => {}
        }
    }
    if !refused.is_subset(&met) {
        judgements.retain(|judgement| &*judgement.check == "tls");
    }
    judgements
}

/// What is said, but for the message, of a subject that does not trust what it has to.
fn not_trusted(vendor: &str, evidence: Vec<EventId>) -> Say<'_> {
    Say {
        rule: "tls/authority_not_trusted",
        group: vendor,
        message: String::new(),
        expected: "the subject trusts the authority of the drill, and meets its vendors".into(),
        hint: "hand the file `{ca}` to it: by SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE, or a \
               setting of its own",
        evidence,
    }
}

fn called(certificate: BadCertificate) -> &'static str {
    match certificate {
        BadCertificate::Expired => "a certificate that has expired",
        BadCertificate::WrongHost => "the certificate of another host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::*;
    use crate::finding::Verdict;
    use crate::trace::FaultRef;

    fn handshake(
        b: Builder,
        ended: Handshake,
        bad: Option<BadCertificate>,
        connection: Option<u32>,
    ) -> Builder {
        let fault = bad.map(|_| FaultRef { rule: 0, act: "certificate".into(), moment: None, drift: None });
        let error = (ended != Handshake::Done).then(|| "received fatal alert: UnknownCA".to_owned());
        let vendor = "billing".into();
        b.event(5, What::Handshake { vendor, ended, certificate: bad, connection, error, fault })
    }

    #[test]
    fn a_request_after_a_bad_certificate_is_found_with_what_it_gave_away() {
        for bad in [BadCertificate::Expired, BadCertificate::WrongHost] {
            let sent = || {
                let asked = call("billing", "GET /invoices", 10);
                handshake(drill(), Handshake::Done, Some(bad), Some(0))
                    .call(asked.header("authorization", "Bearer sk_live_abc123"))
            };
            sent().fails(&scenario(""), "tls/bad_certificate_trusted");
            let judged = sent().judged(&scenario(""), "tls").unwrap();
            assert!(
                judged.findings[0].message.ends_with(", with the credential that is for the vendor alone")
            );
            assert_eq!(judged.findings[0].evidence.len(), 2);
        }
    }

    #[test]
    fn a_client_that_refuses_or_leaves_is_sound() {
        let refused = handshake(drill(), Handshake::Refused, Some(BadCertificate::Expired), None);
        refused.call(call("billing", "GET /invoices", 10)).passes(&scenario(""), "tls");
        // Some verify only after the handshake; and its number is not that of the next connection.
        for ended in [Handshake::Left, Handshake::Refused] {
            let done = handshake(drill(), Handshake::Done, Some(BadCertificate::WrongHost), Some(7));
            let left = handshake(done, ended, Some(BadCertificate::WrongHost), Some(7));
            let left = left.call(call("billing", "GET /invoices", 10));
            let judged = left.judged(&scenario(""), "tls").unwrap();
            assert_eq!((judged.verdict, judged.judged), (Verdict::Pass, 1), "one certificate was shown");
        }
        let other = handshake(drill(), Handshake::Done, Some(BadCertificate::WrongHost), Some(0));
        other.call(call("crm", "GET /deals", 10)).passes(&scenario(""), "tls");
    }

    #[test]
    fn a_client_that_does_not_know_the_authority_cannot_be_judged() {
        let b = handshake(drill(), Handshake::Refused, None, None);
        b.unknown(&scenario(""), "tls/authority_not_trusted");
        handshake(drill(), Handshake::BrokenOff, None, None).passes(&scenario(""), "tls");
        // Nor one that looks only after the handshake, unless it was in need of one connection less.
        let left = || handshake(drill(), Handshake::Left, None, Some(0));
        left().unknown(&scenario(""), "tls/authority_not_trusted");
        assert!(left().call(call("billing", "GET /invoices", 10)).judged(&scenario(""), "tls").is_none());
        left().call(call("crm", "GET /deals", 10)).unknown(&scenario(""), "tls/authority_not_trusted");
    }

    #[test]
    fn nothing_is_said_against_a_subject_that_never_met_a_vendor_for_want_of_trust() {
        let promised =
            scenario_of("other", "", "faults: [{ on: billing GET /nowhere, do: { latency: 1s } }]");
        let refused = || handshake(drill(), Handshake::Refused, None, None);
        assert!(refused().judged(&promised, "faults").is_none(), "it follows from the missing trust");
        // One that met it, or saw it show another's certificate, answers for what it did.
        let met = refused().call(call("billing", "GET /invoices", 10));
        assert!(met.judged(&promised, "faults").is_some());
        let warned = handshake(refused(), Handshake::Refused, Some(BadCertificate::Expired), None);
        assert!(warned.judged(&promised, "faults").is_some());
    }

    #[test]
    fn a_drill_without_handshakes_of_note_has_nothing_to_judge() {
        assert!(drill().call(call("billing", "GET /invoices", 10)).judged(&scenario(""), "tls").is_none());
    }
}
