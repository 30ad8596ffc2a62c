//! TLS for vendors, under an authority made for one run.
//!
//! Knows: certificates, good and bad, and how a connection is greeted. Must not know: HTTP, or when
//! a certificate shall be bad. Private keys live in memory and end with the run.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{AlertDescription, Error, ServerConfig};

use crate::fault::BadCertificate;
use crate::trace::Handshake;

/// The names under which a vendor is called.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A name under which it never is.
const OTHER_HOST: &str = "another-vendor.invalid";

/// What vendors speak, best first, by its names in ALPN (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// A certificate authority, with what it issued to the vendors.
pub struct Authority {
    pem: String,
    good: TlsAcceptor,
    expired: TlsAcceptor,
    wrong_host: TlsAcceptor,
}

impl Authority {
    /// A fresh authority.
    ///
    /// # Errors
    /// If keys or certificates cannot be made.
    pub fn new() -> io::Result<Authority> {
        let made = || -> Result<Authority, rcgen::Error> {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "firedrill, a local authority for tests");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let pem = params.self_signed(&key)?.pem();
            let issuer = Issuer::new(params, key);
            Ok(Authority {
                pem,
                good: issued(&issuer, &HOSTS, false)?,
                expired: issued(&issuer, &HOSTS, true)?,
                wrong_host: issued(&issuer, &[OTHER_HOST], false)?,
            })
        };
        made().map_err(io::Error::other)
    }

    /// Its certificate, for clients to trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Greets a client.
    ///
    /// # Errors
    /// If the client does not like the certificate, or speaks no TLS.
    pub(crate) async fn greet(
        &self,
        socket: TcpStream,
        bad: Option<BadCertificate>,
    ) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
        let acceptor = match bad {
            None => &self.good,
            Some(BadCertificate::Expired) => &self.expired,
            Some(BadCertificate::WrongHost) => &self.wrong_host,
        };
        acceptor.accept(socket).await
    }
}

/// How a handshake ended that failed by `error`.
pub(super) fn ended(error: &io::Error) -> Handshake {
    use AlertDescription as Alert;
    match error.get_ref().and_then(|e| e.downcast_ref::<Error>()) {
        Some(Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA,
        )) => Handshake::Refused,
        _ => Handshake::BrokenOff,
    }
}

fn issued(issuer: &Issuer<'_, KeyPair>, hosts: &[&str], expired: bool) -> Result<TlsAcceptor, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name.push(DnType::CommonName, "a vendor, played by firedrill");
    params.use_authority_key_identifier_extension = true;
    if expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let certificate = params.signed_by(&key, issuer)?;
    let chain = vec![CertificateDer::from(certificate)];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(TlsAcceptor::from(Arc::new(config)))
}
