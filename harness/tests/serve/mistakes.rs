//! What is asked for wrongly is refused with its reason, the exit code and a way on.

use std::net::TcpListener;

use firedrill::cli::ExitCode;
use serde_json::json;

use crate::served::command;
use crate::{ask, both};

fn refused(options: &[&str]) -> String {
    let output = command(options).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(ExitCode::Usage as i32), "{options:?}: {said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{options:?}");
    said
}

#[test]
fn a_command_line_that_cannot_be_is_refused() {
    for (options, says) in [
        (vec![], "there is nothing to serve"),
        (vec!["--vendor", "strip"], "did you mean `stripe`?"),
        (vec!["--vendor", "stripe:99999"], "a number from 1 to 65535"),
        (vec!["--vendor", "stripe", "--vendor", "stripe"], "two vendors are called `stripe`"),
        (vec!["--vendor", "stripe", "--webhooks", "crm=http://127.0.0.1:1"], "no vendor is called `crm`"),
        (vec!["--vendor", "stripe", "--webhooks", "stripe=https://x"], "plain HTTP"),
        (vec!["--scenario", "nowhere.yaml"], "nowhere.yaml"),
        (vec!["--scenario", "scenarios/idempotency"], "name one file"),
        (vec!["--vendor", "stripe", "--port", "65535"], "too few ports after 65535"),
        (vec!["--vendor", "stripe", "--tls", "Cargo.toml"], "cannot be written into Cargo.toml"),
        (vec!["--vendor", "stripe", "--journal", "Cargo.toml"], "cannot be kept in Cargo.toml"),
        (vec!["--vendor", "stripe", "--state", "/nowhere/at/all.json"], "cannot be written"),
    ] {
        let said = refused(&options);
        assert!(said.contains(says), "{options:?}: {said}");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = refused(&["--vendor", "stripe", "--port", &port]);
    assert!(said.contains(&format!("port {port} for the control API")), "{said}");
    let said = refused(&["--vendor", &format!("billing=stripe:{port}")]);
    assert!(said.contains(&format!("port {port} for `billing`")), "{said}");
}

#[tokio::test]
async fn a_wrong_rule_is_shown_with_a_caret() {
    let served = both();
    let (status, answer) =
        ask(&served, "POST", "/faults", "on: billing\ndo: { rest: after_applied }\n").await;
    assert_eq!(status, 400);
    let error = &answer["errors"][0];
    assert_eq!((&error["line"], &error["column"]), (&json!(2), &json!(7)));
    assert!(error["help"].as_str().unwrap().contains("reset"), "{answer}");
    let shown = error["shown"].as_str().unwrap();
    assert!(shown.contains("do: { rest: after_applied }") && shown.contains("^^^^"), "{shown}");
    let (status, answer) =
        ask(&served, "POST", "/faults", r#"[{"on":"billing POST /v1/invoice","do":"garbage"}]"#).await;
    assert_eq!(status, 400);
    assert!(answer["errors"][0]["help"].as_str().unwrap().contains("/v1/invoices"), "{answer}");
}

#[tokio::test]
async fn what_is_not_there_names_what_is() {
    let served = both();
    let (status, answer) = ask(&served, "GET", "/fault", "").await;
    assert_eq!(status, 404);
    assert!(answer["errors"][0]["help"].as_str().unwrap().contains("did you mean `/faults`?"), "{answer}");
    let (status, answer) = ask(&served, "PATCH", "/faults", "").await;
    assert_eq!(status, 405);
    assert!(answer["errors"][0]["help"].as_str().unwrap().contains("GET, POST, DELETE"), "{answer}");
    let (status, answer) = ask(&served, "POST", "/faults", "").await;
    assert_eq!((status, answer["errors"][0]["message"].as_str()), (400, Some("the body is empty")));
    let (status, _) = ask(&served, "POST", "/faults", &"x".repeat(2 << 20)).await;
    assert_eq!(status, 413);
    let (status, _) = ask(&served, "POST", "/time/advance", "by: 90000d").await;
    assert_eq!(status, 400);
}
