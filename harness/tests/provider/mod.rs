//! The TLS provider of a test process: where nobody's reqwest brings one of its own, each process has to
//! name one before it makes a client.

/// Names it, if nobody did yet.
pub fn name() {
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
}
