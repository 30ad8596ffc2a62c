//! The other commands that call a vendor, over https: `verify --live` and `record`.

use std::path::Path;
use std::process::Command;

use firedrill::fixture::{Body, Fixture};
use serde_json::json;

use crate::recorder::Recorder;
use crate::served::Served;
use crate::{client, done};

/// Stripe over TLS; its authority is in `ca.pem` of the folder.
fn stripe(folder: &Path) -> Served {
    Served::start(&["--vendor", "billing=stripe", "--tls", &folder.to_string_lossy()])
}

/// Exit code and all that is said.
fn verify(served: &Served, folder: &Path, more: &[&str], trusted: Option<&Path>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("STRIPE_KEY", served.vendor("billing")["credentials"]["api_key"].as_str().unwrap())
        .args(["verify", "--vendor", "stripe", "--live", served.url("billing")])
        .args(["--header", "authorization: Bearer ${STRIPE_KEY}"])
        .arg(folder)
        .args(more);
    if let Some(file) = trusted {
        command.env("SSL_CERT_FILE", file);
    }
    let ran = command.output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn a_live_vendor_is_verified_over_https_when_its_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let served = stripe(folder.path());
    let ca = folder.path().join("ca.pem");
    let name = ca.display().to_string();
    let trusting = ["--ca", name.as_str()];
    let (code, said) = verify(&served, folder.path(), &trusting, None);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the contract holds"), "{said}");
    let (code, said) = verify(&served, folder.path(), &[], Some(&ca));
    assert_eq!(code, Some(0), "the system's roots are those of SSL_CERT_FILE: {said}");

    let (code, said) = verify(&served, folder.path(), &[], None);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("UnknownIssuer") && said.contains("--ca FILE"), "{said}");
    for (certificate, says) in [("expired", "has run out"), ("wrong_host", "is the address right?")] {
        let rule = json!({ "on": "billing", "window": "0s..1h", "do": { "certificate": certificate } });
        done(&served, "POST", "/faults", rule).await;
        let (code, said) = verify(&served, folder.path(), &trusting, None);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(says), "{certificate}: {said}");
        done(&served, "DELETE", "/faults", json!(null)).await;
    }
    let (code, said) = verify(&served, folder.path(), &["--ca", "nowhere.pem"], None);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("nowhere.pem: no PEM certificate could be read"), "{said}");
}

#[tokio::test]
async fn a_vendor_is_recorded_over_https_when_its_authority_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let served = stripe(folder.path());
    let key = served.vendor("billing")["credentials"]["api_key"].as_str().unwrap();
    let ca = folder.path().join("ca.pem");
    let recorder = Recorder::start(served.url("billing"), folder.path(), &["--ca", &ca.to_string_lossy()]);
    let url = format!("{}/v1/customers?email=a@b.test", recorder.own);
    let answer = client().get(url).bearer_auth(key).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.bytes().await.unwrap();
    let (code, said) = recorder.interrupt();
    assert_eq!(code, Some(0), "{said}");
    let run = Fixture::read(&folder.path().join("notes/run.json")).unwrap();
    assert_eq!(run.origin, format!("recorded from {}", served.url("billing")));
    let exchange = &run.exchanges[0];
    assert_eq!(exchange.request.headers.get("authorization"), Some("Bearer REDACTED-1"));
    assert!(matches!(&exchange.response.body, Some(Body::Json(list)) if list["object"] == "list"));

    let strict = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(served.url("billing"), strict.path(), &[]);
    let answer = client().get(format!("{}/v1/customers", recorder.own)).send().await.unwrap();
    assert_eq!(answer.status(), 502);
    let text = answer.text().await.unwrap();
    assert!(text.contains("UnknownIssuer") && text.contains("--ca FILE"), "{text}");
    let (code, said) = recorder.interrupt();
    assert_eq!(code, Some(2), "nothing was recorded: {said}");
}
