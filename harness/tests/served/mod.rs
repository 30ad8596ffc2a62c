//! `firedrill serve` as a program of its own, for the tests that call it from outside.

#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};

use serde_json::Value;

/// Vendors that are served; killed when this is dropped.
pub struct Served {
    /// The first line that it printed.
    pub overview: Value,
    child: Child,
}

/// The program, with these options after `serve`.
pub fn command(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firedrill"));
    command.arg("serve").args(options).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

impl Served {
    /// Starts it and waits until it can be called.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn start(options: &[&str]) -> Served {
        let options: Vec<&str> = options.iter().copied().chain(["--format", "json"]).collect();
        let mut child = command(&options).spawn().expect("firedrill starts");
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("its output is ours");
        BufReader::new(out).read_line(&mut line).expect("a line of text");
        let overview = serde_json::from_str(&line).unwrap_or_else(|e| {
            let mut why = String::new();
            let _ = child.kill();
            let _ = child.stderr.take().map(|mut err| err.read_to_string(&mut why));
            panic!("{e}: {line:?}\n{why}")
        });
        Served { overview, child }
    }

    /// The base URL of the control API.
    pub fn control(&self) -> &str {
        self.overview["control"].as_str().expect("a URL")
    }

    /// What is said of a vendor.
    pub fn vendor(&self, alias: &str) -> &Value {
        &self.overview["vendors"][alias]
    }

    /// The base URL of a vendor.
    pub fn url(&self, alias: &str) -> &str {
        self.vendor(alias)["url"].as_str().expect("a URL")
    }

    /// Sends it a signal, as Ctrl-C does, and waits for its end.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn signal(self, name: &str) -> ExitStatus {
        self.ended_by(name).0
    }

    /// The same, with what it said on its error output.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn ended_by(mut self, name: &str) -> (ExitStatus, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs").success());
        let status = self.child.wait().expect("it ends");
        let mut said = String::new();
        let err = self.child.stderr.as_mut().expect("its error output is ours");
        err.read_to_string(&mut said).expect("text");
        (status, said)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
