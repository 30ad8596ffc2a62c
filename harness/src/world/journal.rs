//! Events on disk, where they are too many for memory.
//!
//! Knows: a file of JSON lines, one event each, and where in it each stretch of events begins. Must
//! not know: what events mean.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::trace::Event;

/// A mark is kept for each stretch of so many events.
const STRETCH: u64 = 1024;

/// The file's name in the folder of a journal.
pub const FILE: &str = "trace.jsonl";

/// A file that takes over the older events, so that memory stays bounded.
pub struct Disk {
    out: BufWriter<File>,
    reads: File,
    keep: usize,
    events: u64,
    bytes: u64,
    marks: Vec<u64>,
}

impl Disk {
    /// Writes `trace.jsonl` in `folder`, which is made if it is not there; a file of that name that
    /// holds something is left alone. Memory keeps at most `keep` events.
    ///
    /// # Errors
    /// If the folder or the file cannot be made, or the file holds something.
    pub fn in_folder(folder: &Path, keep: usize) -> io::Result<Disk> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join(FILE);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        if file.metadata()?.len() > 0 {
            let why = format!("{} holds an earlier journal; move it away first", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        Disk::over(file, keep)
    }

    /// Writes a file without a name, gone when nobody holds it.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn nameless(keep: usize) -> io::Result<Disk> {
        Disk::over(tempfile::tempfile()?, keep)
    }

    fn over(file: File, keep: usize) -> io::Result<Disk> {
        let reads = file.try_clone()?;
        let out = BufWriter::with_capacity(64 * 1024, file);
        Ok(Disk { out, reads, keep, events: 0, bytes: 0, marks: Vec::new() })
    }

    /// How many events memory may keep.
    pub fn keep(&self) -> usize {
        self.keep
    }

    /// How many events lie on disk: these are the first ones.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Takes over these events.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn take(&mut self, events: impl Iterator<Item = Event>) -> io::Result<()> {
        let mut line = Vec::new();
        for event in events {
            line.clear();
            serde_json::to_writer(&mut line, &event)?;
            line.push(b'\n');
            self.out.write_all(&line)?;
            if self.events.is_multiple_of(STRETCH) {
                self.marks.push(self.bytes);
            }
            self.events += 1;
            self.bytes += line.len() as u64;
        }
        Ok(())
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn clear(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.reads.set_len(0)?;
        self.out.get_mut().seek(SeekFrom::Start(0))?;
        (self.events, self.bytes) = (0, 0);
        self.marks.clear();
        Ok(())
    }

    /// Writes down what is still buffered.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Shows the events on disk from number `from` on, until `each` has enough.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn read(
        &mut self,
        from: u64,
        mut each: impl FnMut(u64, Event) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        self.out.flush()?;
        let stretch = from / STRETCH;
        let Some(start) = usize::try_from(stretch).ok().and_then(|s| self.marks.get(s)) else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut reader = BufReader::with_capacity(64 * 1024, &self.reads);
        reader.seek(SeekFrom::Start(*start))?;
        let mut line = String::new();
        let mut flow = ControlFlow::Continue(());
        for number in stretch * STRETCH..self.events {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::Error::other("the journal on disk is shorter than it was written"));
            }
            if number >= from {
                flow = each(number, serde_json::from_str(&line)?);
                if flow.is_break() {
                    break;
                }
            }
        }
        // The two handles share one position; what is written next goes to the end.
        drop(reader);
        self.out.get_mut().seek(SeekFrom::End(0))?;
        Ok(flow)
    }
}
