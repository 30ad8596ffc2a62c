//! What a program writes, line by line, as much of it as can be kept.
//!
//! Knows: pipes, files that grow, and limits. Must not know: what a line means.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::Notify;

use super::group::SHELL;
use crate::subject::{Said, Voice};

/// Lines of one life that are kept.
const LINES: u64 = 20_000;
/// Bytes of one life that are kept.
const BYTES: u64 = 4 << 20;
/// Bytes of one line that are kept.
const LINE: usize = 8 << 10;
/// The last lines that an error quotes.
const QUOTED: usize = 5;
/// How often a log file is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What was written so far.
pub(super) struct Kept {
    voice: Voice,
    lines: Cell<u64>,
    bytes: Cell<u64>,
    flooded: Cell<bool>,
    never_became: Cell<bool>,
    last: RefCell<VecDeque<String>>,
    wanted: RefCell<Option<String>>,
    seen: Notify,
}

impl Kept {
    pub fn new(voice: Voice) -> Kept {
        Kept {
            voice,
            lines: Cell::new(0),
            bytes: Cell::new(0),
            flooded: Cell::new(false),
            never_became: Cell::new(false),
            last: RefCell::default(),
            wanted: RefCell::default(),
            seen: Notify::new(),
        }
    }

    /// Waits for a line that contains `text`; to be called before anything is read.
    pub fn contains(self: &Rc<Kept>, text: &str) -> impl Future<Output = ()> + use<> {
        *self.wanted.borrow_mut() = Some(text.to_owned());
        let kept = self.clone();
        async move { kept.seen.notified().await }
    }

    fn line(&self, bytes: &[u8], level: &str) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return;
        }
        if text.strip_prefix(SHELL).is_some_and(|rest| rest.starts_with(": ")) {
            self.never_became.set(true);
            return;
        }
        if self.wanted.borrow().as_deref().is_some_and(|wanted| text.contains(wanted)) {
            self.wanted.borrow_mut().take();
            self.seen.notify_one();
        }
        self.lines.set(self.lines.get() + 1);
        {
            let mut last = self.last.borrow_mut();
            if last.len() == QUOTED {
                last.pop_front();
            }
            last.push_back(text.chars().take(200).collect());
        }
        if self.is_too_much() {
            return;
        }
        (self.voice)(Said::Line {
            level: self::level(text).unwrap_or(level).to_owned(),
            line: text.to_owned(),
        });
    }

    /// Counts bytes as they come: who never ends a line floods too.
    fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes as u64);
        self.is_too_much();
    }

    fn is_too_much(&self) -> bool {
        let too_much = self.lines.get() > LINES || self.bytes.get() > BYTES;
        if too_much && !self.flooded.replace(true) {
            (self.voice)(Said::Flooded { lines: self.lines.get(), bytes: self.bytes.get() });
        }
        too_much
    }

    /// `what`, with the last lines of the output.
    pub fn quoted(&self, what: &str) -> String {
        match self.last.borrow().is_empty() {
            true => format!("{what}, and {}", self.last_words()),
            false => format!("{what}; {}", self.last_words()),
        }
    }

    /// The last lines of the output.
    pub fn last_words(&self) -> String {
        let last = self.last.borrow();
        if last.is_empty() {
            return "it wrote nothing".to_owned();
        }
        let lines: Vec<&str> = last.iter().map(String::as_str).collect();
        format!("the last that it wrote: {}", lines.join(" ⏎ "))
    }

    /// Whether the shell that should have become the program said that it could not.
    pub fn never_became(&self) -> bool {
        self.never_became.get()
    }
}

/// The level that a line of a JSON log names.
fn level(line: &str) -> Option<&'static str> {
    if !line.starts_with('{') {
        return None;
    }
    let json: serde_json::Value = serde_json::from_str(line).ok()?;
    let word = json.get("level").or_else(|| json.get("severity"))?.as_str()?.to_ascii_lowercase();
    ["trace", "debug", "info", "warn", "error"].into_iter().find(|known| word.starts_with(known))
}

/// Bytes that are not a whole line yet.
#[derive(Default)]
struct Partial {
    bytes: Vec<u8>,
    over: usize,
}

impl Partial {
    fn feed(&mut self, mut new: &[u8], kept: &Kept, level: &str) {
        kept.count(new.len());
        while let Some(at) = new.iter().position(|b| *b == b'\n') {
            self.push(&new[..at]);
            self.flush(kept, level);
            new = &new[at + 1..];
        }
        self.push(new);
    }

    fn push(&mut self, more: &[u8]) {
        let room = LINE.saturating_sub(self.bytes.len()).min(more.len());
        self.bytes.extend_from_slice(&more[..room]);
        self.over += more.len() - room;
    }

    fn flush(&mut self, kept: &Kept, level: &str) {
        if self.over > 0 {
            self.bytes.extend_from_slice(format!("… ({} bytes more)", self.over).as_bytes());
        }
        if !self.bytes.is_empty() {
            kept.line(&self.bytes, level);
        }
        *self = Partial::default();
    }
}

struct Source<R> {
    from: Option<R>,
    partial: Partial,
    level: &'static str,
}

impl<R: AsyncRead + Unpin> Source<R> {
    fn new(from: R, level: &'static str) -> Source<R> {
        Source { from: Some(from), partial: Partial::default(), level }
    }

    /// Reads once; never ends once the source has.
    async fn next(&mut self, kept: &Kept) {
        let Some(from) = &mut self.from else { return std::future::pending().await };
        let mut bytes = [0; 16 << 10];
        match from.read(&mut bytes).await {
            Ok(0) | Err(_) => {
                self.from = None;
                self.partial.flush(kept, self.level);
            }
            Ok(n) => self.partial.feed(&bytes[..n], kept, self.level),
        }
    }
}

/// The outputs of a running program.
pub(super) struct Output {
    out: Source<ChildStdout>,
    err: Source<ChildStderr>,
    log: Option<Log>,
    kept: Rc<Kept>,
}

/// A file that grows.
struct Log {
    path: PathBuf,
    seen: u64,
    partial: Partial,
    /// Told whether it could ever be read.
    found: Rc<Cell<bool>>,
}

impl Output {
    /// With `log`, the file that it logs to, and who is told once it is found.
    pub fn new(
        out: ChildStdout,
        err: ChildStderr,
        log: Option<(PathBuf, Rc<Cell<bool>>)>,
        kept: Rc<Kept>,
    ) -> Output {
        // What a former life logged was read then.
        let log = log.map(|(path, found)| {
            let seen = path.metadata().map_or(0, |m| m.len());
            Log { path, seen, partial: Partial::default(), found }
        });
        Output { out: Source::new(out, "info"), err: Source::new(err, "info"), log, kept }
    }

    /// Takes in the next that comes.
    pub async fn next(&mut self) {
        let Output { out, err, log, kept } = self;
        tokio::select! {
            biased;
            () = out.next(kept) => {}
            () = err.next(kept) => {}
            () = tokio::time::sleep(LOOK), if log.is_some() => {
                Output::look(log, kept);
            }
        }
    }

    /// Reads on in the log; gives whether there was more.
    fn look(log: &mut Option<Log>, kept: &Kept) -> bool {
        use std::io::{Read as _, Seek as _};
        let Some(Log { path, seen, partial, found }) = log else { return false };
        let Ok(mut file) = std::fs::File::open(path) else { return false };
        if file.metadata().is_ok_and(|m| m.len() < *seen) {
            // It was begun anew.
            *seen = 0;
        }
        let mut bytes = Vec::new();
        if file.seek(std::io::SeekFrom::Start(*seen)).is_err()
            || file.take(1 << 20).read_to_end(&mut bytes).is_err()
        {
            return false;
        }
        found.set(true);
        *seen += bytes.len() as u64;
        partial.feed(&bytes, kept, "info");
        !bytes.is_empty()
    }

    /// Takes in what is still in the pipes of a program that has ended. What it left running may
    /// hold them open: that is not waited for.
    pub async fn rest(&mut self) {
        let all = async {
            while self.out.from.is_some() || self.err.from.is_some() {
                let Output { out, err, kept, .. } = &mut *self;
                tokio::select! {
                    biased;
                    () = out.next(kept) => {}
                    () = err.next(kept) => {}
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(200), all).await;
        while Output::look(&mut self.log, &self.kept) && !self.kept.flooded.get() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard() -> (Rc<RefCell<Vec<Said>>>, Kept) {
        let said: Rc<RefCell<Vec<Said>>> = Rc::default();
        let heard = said.clone();
        (said, Kept::new(Rc::new(move |s| heard.borrow_mut().push(s))))
    }

    #[test]
    fn lines_are_told_however_the_bytes_are_cut() {
        let (said, kept) = heard();
        let mut partial = Partial::default();
        for piece in ["one\ntw", "o\r\n", "{\"level\":\"WARN\"}\nrest"] {
            partial.feed(piece.as_bytes(), &kept, "info");
        }
        partial.flush(&kept, "info");
        let line = |level: &str, line: &str| Said::Line { level: level.into(), line: line.into() };
        let wanted = [
            line("info", "one"),
            line("info", "two"),
            line("warn", "{\"level\":\"WARN\"}"),
            line("info", "rest"),
        ];
        assert_eq!(*said.borrow(), wanted);
    }

    #[test]
    fn a_flood_is_told_once_and_kept_within_its_limits() {
        let (said, kept) = heard();
        for n in 0..LINES + 500 {
            kept.line(format!("line {n}").as_bytes(), "info");
        }
        assert_eq!(said.borrow().len() as u64, LINES + 1);
        assert!(matches!(said.borrow().last(), Some(Said::Flooded { .. })));
        let mut partial = Partial::default();
        let (said, kept) = heard();
        partial.feed(&vec![b'x'; LINE + 10], &kept, "info");
        partial.flush(&kept, "info");
        let Said::Line { line, .. } = &said.borrow()[0] else { panic!("no line") };
        assert!(line.ends_with("… (10 bytes more)"));
    }

    #[test]
    fn a_flood_that_never_ends_a_line_is_told_too() {
        let (said, kept) = heard();
        let mut partial = Partial::default();
        for _ in 0..=BYTES >> 20 {
            partial.feed(&[0; 1 << 20], &kept, "info");
        }
        assert_eq!(*said.borrow(), [Said::Flooded { lines: 0, bytes: BYTES + (1 << 20) }]);
    }
}
