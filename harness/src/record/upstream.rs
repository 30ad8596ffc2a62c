//! The vendor's end: where it is, and how it is reached.
//!
//! Knows: addresses, TLS. Must not know: what is asked there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};

use super::relay::Sent;

/// How long the vendor has to take a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Where the vendor is.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Scheme, host, and the port if it is not the scheme's own.
    origin: String,
    https: bool,
    roots: Vec<CertificateDer<'static>>,
}

/// Why an upstream cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// It is no origin.
    #[error("`{given}` is not an origin: {why}; write scheme and host, such as https://api.vendor.com")]
    Address {
        /// What was given, without its credentials.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file of roots cannot be used.
    #[error("{file}: no PEM certificate could be read: {why}")]
    Roots {
        /// The file.
        file: String,
        /// What the reader said.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

pub(super) type Http = Client<HttpsConnector<HttpConnector>, Sent>;

/// What is wrong with a PEM file; the reader itself shows lines as lists of numbers.
fn in_words(error: pem::Error) -> String {
    let text = |line: &[u8]| String::from_utf8_lossy(line).trim().to_owned();
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("the line `-----END {}-----` is missing", text(&end_marker))
        }
        pem::Error::IllegalSectionStart { line } => format!("`{}` begins no section", text(&line)),
        pem::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// The certificates of a PEM file, one at least.
///
/// # Errors
/// [`UpstreamError::Roots`].
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
    let bad = |why: String| UpstreamError::Roots { file: file.display().to_string(), why };
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(|e| bad(in_words(e)))?.collect();
    match all.map_err(|e| bad(in_words(e)))? {
        none if none.is_empty() => Err(bad("it holds none".to_owned())),
        some => Ok(some),
    }
}

/// What helps when TLS fails for this reason, if anything is known.
pub fn advice(why: &str) -> &'static str {
    if why.contains("UnknownIssuer") {
        "; if it is signed by an authority of your own, give that one's certificate with --ca FILE"
    } else if why.contains("not valid for name") || why.contains("NotValidForName") {
        "; the certificate is for another host: is the address right?"
    } else if why.contains("certificate expired") || why.contains("Expired") {
        "; the vendor's certificate has run out, or this machine's clock is wrong"
    } else {
        ""
    }
}

impl Upstream {
    /// The vendor at `address`; `roots`, a PEM file, are trusted besides the system's.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub fn new(address: &str, roots: Option<&Path>) -> Result<Upstream, UpstreamError> {
        let wrong = |why| UpstreamError::Address { given: crate::fixture::displayable(address), why };
        let uri: http::Uri = address.parse().map_err(|_| wrong("it cannot be read as an address"))?;
        let https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) => return Err(wrong("the scheme must be http or https")),
            None => return Err(wrong("the scheme is missing")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("it carries credentials, which belong into the client's requests"));
        }
        if uri.path_and_query().is_some_and(|p| p.as_str() != "/") {
            return Err(wrong("it has a path, which belongs into the client's base address"));
        }
        let own = if https { ":443" } else { ":80" };
        let host = authority.as_str().to_ascii_lowercase();
        let host = host.strip_suffix(own).unwrap_or(&host);
        let scheme = if https { "https" } else { "http" };
        let roots = roots.map_or(Ok(Vec::new()), certificates)?;
        Ok(Upstream { origin: format!("{scheme}://{host}"), https, roots })
    }

    /// Scheme, host, and the port if it is not the scheme's own.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn authority(&self) -> &str {
        self.origin.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Sees whether it can be asked: for https, whether there are roots to trust.
    ///
    /// # Errors
    /// [`UpstreamError::Tls`].
    pub fn check(&self) -> Result<(), UpstreamError> {
        self.client().map(drop)
    }

    pub(super) fn client(&self) -> Result<Http, UpstreamError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.tls()?);
        let connector = if self.https { builder.https_only() } else { builder.https_or_http() };
        Ok(Client::builder(TokioExecutor::new()).build(connector.enable_http1().wrap_connector(tcp)))
    }

    fn tls(&self) -> Result<rustls::ClientConfig, UpstreamError> {
        let failed = |e: rustls::Error| UpstreamError::Tls(e.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(failed)?;
        if !self.https {
            // Loading the system's roots costs milliseconds that plain http has no use for.
            return Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth());
        }
        let roots = self.roots.iter().cloned();
        let verifier =
            rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider).map_err(failed)?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }
}
