//! Where the command prints.
//!
//! Knows: two streams, and that a reader may leave before the end. Must not know: what is printed.

use std::io::{self, Write};

/// Standard output and standard error, or stand-ins for them.
pub struct Console<'a> {
    /// Results.
    pub out: &'a mut dyn Write,
    /// Everything about the run itself.
    pub err: &'a mut dyn Write,
    /// Whether progress may be drawn on standard error.
    pub progress: bool,
    /// Whether real times are shown; off where output must repeat.
    pub real_times: bool,
}

impl Console<'_> {
    /// Prints results. A closed pipe (`firedrill run | head`) is no error: the run goes on, and
    /// its exit code stays true.
    ///
    /// # Errors
    /// Whatever else standard output says.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// Prints something about the run itself. What cannot be said there cannot be said anywhere.
    pub fn say(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }
}
