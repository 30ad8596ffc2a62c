//! Vendors over TLS, as a client that insists on https meets them.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::done;
use crate::served::Served;

/// What a client gets that trusts the authority, or nobody.
async fn get(served: &Served, trusts: bool) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    if trusts {
        let ca = CertificateDer::from_pem_file(served.overview["ca"].as_str().unwrap()).unwrap();
        roots.add(ca).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let authority = served.url("billing").trim_start_matches("https://");
    let socket = TcpStream::connect(authority).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
    let mut stream = connected.map_err(|e| e.to_string())?;
    let key = served.vendor("billing")["credentials"]["api_key"].as_str().unwrap();
    let request = format!(
        "GET /v1/customers HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut text = Vec::new();
    let read = stream.read_to_end(&mut text).await;
    let text = String::from_utf8_lossy(&text).into_owned();
    // An end without a farewell (close_notify) is an error of its own; what came before it counts.
    match read {
        Err(e) if text.is_empty() => Err(format!("{:?} {e}", e.kind())),
        _ => Ok(text),
    }
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_is_served_and_bad_certificates_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_string_lossy();
    let served = Served::start(&["--vendor", "billing=stripe", "--tls", &path]);
    assert!(served.url("billing").starts_with("https://127.0.0.1:"));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["ca.pem"]);
    let pem = std::fs::read_to_string(folder.path().join("ca.pem")).unwrap();
    assert!(pem.contains("BEGIN CERTIFICATE") && !pem.contains("PRIVATE"), "{pem}");

    let whole = get(&served, true).await.unwrap();
    assert!(whole.starts_with("HTTP/1.1 200 OK\r\n") && whole.ends_with('}'), "{whole}");
    assert!(get(&served, false).await.unwrap_err().contains("UnknownIssuer"));
    for (certificate, says) in [("expired", "expired"), ("wrong_host", "not valid for name")] {
        let rule = json!({ "on": "billing", "window": "0s..1h", "do": { "certificate": certificate } });
        done(&served, "POST", "/faults", rule).await;
        let refused = get(&served, true).await.unwrap_err();
        assert!(refused.contains(says), "{certificate}: {refused}");
        done(&served, "DELETE", "/faults", json!(null)).await;
    }
    let cited = done(&served, "GET", "/trace?kind=fault", json!(null)).await;
    let by: Vec<_> = cited["events"].as_array().unwrap().iter().map(|e| e["act"].clone()).collect();
    assert_eq!(by, [json!("certificate"), json!("certificate")], "{cited}");

    // Faults below HTTP are as true over TLS.
    let rule = |act| json!({ "on": "billing", "calls": "1", "do": act });
    done(&served, "POST", "/faults", rule(json!({ "reset": "after_applied" }))).await;
    let reset = get(&served, true).await.unwrap_err();
    assert!(reset.contains("ConnectionReset"), "{reset}");
    done(&served, "DELETE", "/faults", json!(null)).await;
    done(&served, "POST", "/faults", rule(json!({ "truncate": { "after": 3 } }))).await;
    let cut = get(&served, true).await.unwrap();
    assert_eq!(cut.split_once("\r\n\r\n").unwrap().1.len(), 3, "{cut}");
}
