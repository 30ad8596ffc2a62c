//! The binary from outside: arguments, configuration errors and signals.
#![allow(clippy::unwrap_used, reason = "a test says what it expects by panicking")]

use std::process::{Command, Output};

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_integration-core"));
    command.env_clear().args(args).envs(env.iter().copied()).output().unwrap()
}

#[test]
fn help_names_every_required_variable() {
    let output = run(&["--help"], &[]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for name in
        ["STATE_DIR", "HUBSPOT_CLIENT_ID", "HUBSPOT_CLIENT_SECRET", "HUBSPOT_REFRESH_TOKEN", "STRIPE_API_KEY"]
    {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn a_bad_configuration_is_exit_64_and_names_the_variable() {
    let output = run(&["serve"], &[("HUBSPOT_CLIENT_SECRET", "s"), ("HUBSPOT_CLIENT_ID", "i")]);
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text, "configuration: HUBSPOT_REFRESH_TOKEN is required and not set\n");
}

#[test]
fn unknown_arguments_are_exit_64() {
    assert_eq!(run(&["dance"], &[]).status.code(), Some(64));
}

#[test]
fn sigterm_stops_it_with_exit_0() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_integration-core"))
        .env_clear()
        .arg("serve")
        .env("STATE_DIR", dir.path())
        .env("HUBSPOT_CLIENT_ID", "i")
        .env("HUBSPOT_CLIENT_SECRET", "s")
        .env("HUBSPOT_REFRESH_TOKEN", "r")
        .env("STRIPE_API_KEY", "k")
        .env("HUBSPOT_BASE_URL", "http://127.0.0.1:1")
        .env("STRIPE_BASE_URL", "http://127.0.0.1:1")
        .env("LISTEN", "127.0.0.1:0")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    use std::io::BufRead as _;
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("listening"));
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
    std::thread::spawn(move || lines.for_each(drop));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
