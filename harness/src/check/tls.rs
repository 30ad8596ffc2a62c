//! TLS: nothing is said to a vendor whose certificate does not vouch for it.
//!
//! Knows: the handshakes of note, and what was sent after them (RFC 5280 §6, RFC 9525). Must not
//! know: how a client verifies.

use std::collections::BTreeMap;

use super::credentials::{presented, secret_fields};
use super::evidence::Evidence;
use super::say::{Findings, Say};
use crate::fault::BadCertificate;
use crate::finding::Judgement;
use crate::trace::{EventId, Handshake, What};

/// See the module.
pub(super) fn check(e: &Evidence<'_>) -> Option<Judgement> {
    let mut found = Findings::default();
    let mut judged = 0;
    // By vendor and connection: what was wrong with the certificate, and where that was shown.
    let mut bad: BTreeMap<(&str, u32), (BadCertificate, EventId)> = BTreeMap::new();
    for (id, event) in e.trace.iter() {
        match &event.what {
            What::Handshake { vendor, ended, certificate, connection, error, .. } => {
                judged += 1;
                match (certificate, connection) {
                    (Some(certificate), Some(n)) => {
                        bad.insert((vendor, *n), (*certificate, id));
                    }
                    (None, _) if *ended == Handshake::Refused => found.unknown(Say {
                        rule: "tls/authority_not_trusted",
                        group: vendor,
                        message: format!(
                            "the subject refused the good certificate of {vendor} at {}: {}",
                            event.at,
                            error.as_deref().unwrap_or("no reason given")
                        ),
                        expected: "the subject trusts the authority of the drill, and meets its vendors"
                            .into(),
                        hint: "hand the file `{ca}` to it: by SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, \
                               REQUESTS_CA_BUNDLE, or a setting of its own",
                        evidence: vec![id],
                    }),
                    _ => {}
                }
            }
            What::Request { call, vendor, connection, .. } => {
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
    (judged > 0).then(|| found.judgement("tls", judged))
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
        let left = handshake(drill(), Handshake::Done, Some(BadCertificate::WrongHost), Some(7));
        left.call(call("billing", "GET /invoices", 10)).passes(&scenario(""), "tls");
        let other = handshake(drill(), Handshake::Done, Some(BadCertificate::WrongHost), Some(0));
        other.call(call("crm", "GET /deals", 10)).passes(&scenario(""), "tls");
    }

    #[test]
    fn a_client_that_does_not_know_the_authority_cannot_be_judged() {
        let b = handshake(drill(), Handshake::Refused, None, None);
        b.unknown(&scenario(""), "tls/authority_not_trusted");
        handshake(drill(), Handshake::BrokenOff, None, None).passes(&scenario(""), "tls");
    }

    #[test]
    fn a_drill_without_handshakes_of_note_has_nothing_to_judge() {
        assert!(drill().call(call("billing", "GET /invoices", 10)).judged(&scenario(""), "tls").is_none());
    }
}
