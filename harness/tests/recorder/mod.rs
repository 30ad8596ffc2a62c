//! `firedrill record` as a program of its own, for the tests that call through it.

#![allow(dead_code)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

/// A recorder at work; killed when this is dropped.
pub struct Recorder {
    /// Where it listens.
    pub own: String,
    pub child: Child,
    said: BufReader<ChildStderr>,
}

impl Recorder {
    /// Records `upstream` as the run `run` of the vendor `notes`.
    ///
    /// # Panics
    /// If it does not listen.
    pub fn start(upstream: &str, out: &Path, more: &[&str]) -> Recorder {
        let mut child = Command::new(env!("CARGO_BIN_EXE_firedrill"))
            .args(["record", "--vendor", "notes", "--name", "run", "--upstream", upstream, "--out"])
            .arg(out)
            .args(more)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut own = String::new();
        while !own.trim_start().starts_with("http://") {
            own.clear();
            assert!(said.read_line(&mut own).unwrap() > 0, "it ended before it said its address");
        }
        Recorder { own: own.trim().to_owned(), child, said }
    }

    /// Ends it as Ctrl-C does; gives its exit code and what it said.
    ///
    /// # Panics
    /// If it cannot be told.
    pub fn interrupt(mut self) -> (Option<i32>, String) {
        let stopped = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(stopped.success());
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code(), said)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
