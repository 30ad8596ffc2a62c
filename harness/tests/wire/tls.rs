//! Vendors over TLS, and certificates that a program must not accept.

use firedrill::drill::{Drilled, skip};
use firedrill::finding::Verdict;
use firedrill::pacing::Pacing;
use firedrill::time::Span;
use firedrill::trace::{Handshake, What};

use crate::common::*;

/// The poller with a bug, over TLS; it is told of the authority unless the bug is that it was not.
fn over_tls(bug: &str, faults: &str) -> Drilled {
    let (mut program, here) = poller(bug);
    program.tls = true;
    if bug != "untold" {
        program.env.insert("SSL_CERT_FILE".to_owned(), "{ca}".to_owned());
    }
    run(&drill_of(faults), &(program, here), 1)
}

fn shows(certificate: &str) -> String {
    format!("faults: [{{ on: billing, window: 0s..1500ms, do: {{ certificate: {certificate} }} }}]\n")
}

fn handshakes(drilled: &Drilled) -> Vec<Handshake> {
    let all = drilled.trace.events.iter();
    all.filter_map(|e| match &e.what {
        What::Handshake { ended, .. } => Some(*ended),
        _ => None,
    })
    .collect()
}

pub fn a_program_that_trusts_the_authority_is_served_over_tls() {
    if !there("python3") {
        return;
    }
    let drilled = over_tls("", "");
    passes(&drilled);
    assert_eq!(handshakes(&drilled), []);
    let untold = over_tls("untold", "");
    let message = told(&untold, Verdict::Unknown, "tls/authority_not_trusted");
    assert!(message.contains("alert"), "{message}");
}

pub fn a_program_that_verifies_refuses_a_bad_certificate_and_goes_on_after_it() {
    if !there("python3") {
        return;
    }
    for certificate in ["expired", "wrong_host"] {
        let drilled = over_tls("", &shows(certificate));
        passes(&drilled);
        let seen = handshakes(&drilled);
        assert!(!seen.is_empty() && seen.iter().all(|h| *h == Handshake::Refused), "{certificate}: {seen:?}");
        assert!(drilled.judgements.iter().any(|j| &*j.check == "tls" && j.verdict == Verdict::Pass));
    }
}

pub fn a_program_that_does_not_verify_is_found_with_the_credential_it_gave_away() {
    if !there("python3") {
        return;
    }
    for (bug, certificate) in [("blind", "expired"), ("nameless", "wrong_host")] {
        let drilled = over_tls(bug, &shows(certificate));
        let message = told(&drilled, Verdict::Fail, "tls/bad_certificate_trusted");
        assert!(
            message.contains("billing POST /v1/customers") && message.contains("credential"),
            "{message}"
        );
        assert!(handshakes(&drilled).contains(&Handshake::Done));
    }
    // It looks at the chain and its dates, and only forgets the name.
    passes(&over_tls("nameless", &shows("expired")));
}

pub fn a_drill_of_certificates_is_skipped_for_a_program_that_is_met_in_clear() {
    let (mut program, _) = poller("");
    let drill = drill_of(&shows("expired"));
    let why = |program: &_| skip::reason(&drill.scenario, program, &Pacing::new(program, 1), Span::mins(5));
    let said = why(&program).unwrap();
    assert!(said.contains("does not say `tls: true`"), "{said}");
    program.tls = true;
    assert_eq!(why(&program), None);
}
