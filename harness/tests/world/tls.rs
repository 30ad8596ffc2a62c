//! Certificates over TLS, met by clients that look at them only once the handshake is done.

use std::sync::Arc;

use firedrill::drill::Drilled;
use firedrill::finding::Verdict;
use firedrill::seed::Seed;
use firedrill::subject::{AttemptOutcome, Start};
use firedrill::trace::{Handshake, What};
use firedrill::wire::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::toy::*;

/// Takes any certificate during the handshake.
#[derive(Debug)]
struct Lenient(Arc<CryptoProvider>);

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A connection on which the handshake is done.
async fn shaken(start: &Start, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Lenient(provider)))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    let socket = TcpStream::connect(base(start).trim_start_matches("https://")).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

/// A drill over TLS, judged by all checks, whose subject is `work`.
fn judged<Fut>(faults: &str, work: impl Fn(Start) -> Fut + 'static) -> Drilled
where
    Fut: Future<Output = ()> + 'static,
{
    let mut plan = plan(&format!("faults: [ {faults} ]\nheal_at: 50s\nends_at: 60s"));
    plan.tls = true;
    firedrill::drill::run(&plan, Seed(7), &worker(work)).unwrap_or_else(|e| panic!("{e}"))
}

fn handshakes(drilled: &Drilled) -> Vec<(u64, Handshake, Option<u32>)> {
    pick(&drilled.trace, |at, w| match w {
        What::Handshake { ended, connection, .. } => Some((ms(at), *ended, *connection)),
        _ => None,
    })
}

fn findings(drilled: &Drilled) -> Vec<(Verdict, &str)> {
    let all = drilled.judgements.iter().flat_map(|j| &j.findings);
    all.map(|f| (f.verdict, &*f.rule)).collect()
}

#[test]
fn a_client_that_looks_at_the_certificate_after_the_handshake_and_leaves_refused_it() {
    for certificate in ["expired", "wrong_host"] {
        for (protocol, politely) in
            [(&b"http/1.1"[..], true), (b"http/1.1", false), (b"h2", true), (b"h2", false)]
        {
            let fault = format!("{{ on: toy, window: 0s..30s, do: {{ certificate: {certificate} }} }}");
            let drilled = judged(&fault, move |start| async move {
                let mut stream = shaken(&start, &[protocol]).await;
                start.attempts.note("toy", AttemptOutcome::NoAnswer);
                pause(20).await;
                if politely {
                    stream.shutdown().await.unwrap();
                }
                drop(stream);
            });
            let seen = handshakes(&drilled);
            assert_eq!(
                seen,
                [(0, Handshake::Done, Some(0)), (20, Handshake::Left, Some(0))],
                "{certificate}"
            );
            let tls = drilled.judgements.iter().find(|j| &*j.check == "tls").unwrap();
            assert_eq!((tls.verdict, tls.judged), (Verdict::Pass, 1), "{certificate}");
            assert_eq!((findings(&drilled), drilled.verdict), (vec![], Verdict::Pass), "{certificate}");
        }
    }
}

#[test]
fn what_was_agreed_on_in_the_handshake_is_spoken() {
    let drilled = judged("", |start| async move {
        let stream = shaken(&start, &[b"h2", b"http/1.1"]).await;
        let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn_local(connection);
        let request = http::Request::get("https://localhost/ping").body(()).unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), 200);
    });
    let spoken = pick(&drilled.trace, |_, w| match w {
        What::Request { protocol, .. } => Some(*protocol),
        _ => None,
    });
    assert_eq!((spoken, drilled.verdict), (vec![Protocol::Http2], Verdict::Pass));
}

#[test]
fn a_client_that_never_connects_under_a_bad_certificate_is_not_judged() {
    let drilled = judged("{ on: toy, window: 0s..30s, do: { certificate: expired } }", |_| async {});
    assert_eq!(handshakes(&drilled), []);
    assert_eq!(findings(&drilled), [(Verdict::Unknown, "faults/never_fired")]);
}

#[test]
fn a_client_that_leaves_a_good_certificate_each_time_does_not_trust_the_authority() {
    let drilled = judged("", |start| async move {
        for _ in 0..2 {
            drop(shaken(&start, &[b"http/1.1"]).await);
            pause(20).await;
        }
    });
    assert_eq!(findings(&drilled), [(Verdict::Unknown, "tls/authority_not_trusted")]);
    let seen: Vec<_> = handshakes(&drilled).into_iter().map(|(_, ended, n)| (ended, n)).collect();
    assert_eq!(seen, [(Handshake::Left, Some(0)), (Handshake::Left, Some(1))]);
}

#[test]
fn a_connection_that_was_never_needed_says_nothing_of_trust() {
    let drilled = judged("", |start| async move {
        let spare = shaken(&start, &[b"http/1.1"]).await;
        let mut used = shaken(&start, &[b"http/1.1"]).await;
        used.write_all(b"GET /ping HTTP/1.1\r\nhost: toy\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = used.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        drop(spare);
    });
    assert_eq!(handshakes(&drilled).len(), 1);
    assert_eq!((findings(&drilled), drilled.verdict), (vec![], Verdict::Pass));
}
