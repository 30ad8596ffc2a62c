//! Events on disk, where they are too many for memory.
//!
//! Knows: how events lie in a file one after the other, and where in it each stretch of them begins. Must
//! not know: what events mean.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::time::At;
use crate::trace::{Event, What};

/// A mark is kept for each stretch of so many events.
const STRETCH: u64 = 1024;

/// The file's name in the folder of a journal.
pub const FILE: &str = "trace.jsonl";

/// A file that takes over the older events, so that memory stays bounded.
pub struct Disk {
    out: BufWriter<File>,
    reads: File,
    form: Form,
    line: Vec<u8>,
    keep: usize,
    events: u64,
    bytes: u64,
    marks: Vec<u64>,
    /// The first thing that went wrong in writing. Nothing is written after it: the number of an event
    /// is its place in the file.
    broken: Option<io::Error>,
}

/// How an event lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// One line of JSON, for whoever reads the file.
    Line,
    /// MessagePack behind its length, for nobody but us: bodies need no escapes.
    Packed,
}

impl Form {
    fn put(self, event: &Event, into: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Form::Line => {
                serde_json::to_writer(&mut *into, event)?;
                into.push(b'\n');
            }
            Form::Packed => {
                const LENGTH: usize = size_of::<u32>();
                let from = into.len();
                into.extend_from_slice(&[0; LENGTH]);
                let mut packer =
                    rmp_serde::Serializer::new(&mut *into).with_struct_map().with_human_readable();
                (event.at, &event.what).serialize(&mut packer).map_err(io::Error::other)?;
                let length = u32::try_from(into.len() - from - LENGTH).map_err(io::Error::other)?;
                into[from..from + LENGTH].copy_from_slice(&length.to_le_bytes());
            }
        }
        Ok(())
    }

    /// The next event; `buffer` is whatever it was.
    fn get(self, from: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Event> {
        buffer.clear();
        match self {
            Form::Line => {
                from.read_until(b'\n', buffer)?;
                Ok(serde_json::from_slice(buffer)?)
            }
            Form::Packed => {
                let mut length = [0; size_of::<u32>()];
                from.read_exact(&mut length)?;
                from.take(u32::from_le_bytes(length).into()).read_to_end(buffer)?;
                let mut packed = rmp_serde::Deserializer::from_read_ref(&*buffer).with_human_readable();
                let (at, what) = <(At, What)>::deserialize(&mut packed).map_err(io::Error::other)?;
                Ok(Event { at, what })
            }
        }
    }
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
        Disk::over(file, Form::Line, keep)
    }

    /// As [`Disk::in_folder`], where what is written goes on from an earlier journal there: that one is called
    /// `trace.1.jsonl`, or by the next number that is free, from now on.
    ///
    /// # Errors
    /// If the folder or the file cannot be made, or the earlier one not be renamed.
    pub fn after_another(folder: &Path, keep: usize) -> io::Result<Disk> {
        let path = folder.join(FILE);
        if path.metadata().is_ok_and(|m| m.len() > 0) {
            let names = (1u32..).map(|n| folder.join(format!("trace.{n}.jsonl")));
            if let Some(free) = names.into_iter().find(|name| !name.exists()) {
                std::fs::rename(&path, free)?;
            }
        }
        Disk::in_folder(folder, keep)
    }

    /// Writes a file without a name, gone when nobody holds it.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn nameless(keep: usize) -> io::Result<Disk> {
        Disk::over(tempfile::tempfile()?, Form::Packed, keep)
    }

    fn over(file: File, form: Form, keep: usize) -> io::Result<Disk> {
        let reads = file.try_clone()?;
        let out = BufWriter::with_capacity(64 * 1024, file);
        let (line, marks) = (Vec::new(), Vec::new());
        Ok(Disk { out, reads, form, line, keep, events: 0, bytes: 0, marks, broken: None })
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
    /// If they, or earlier ones, cannot be written.
    pub fn take(&mut self, events: impl Iterator<Item = Event>) -> io::Result<()> {
        self.told()?;
        for event in events {
            let written = self.write(&event);
            self.note(written)?;
        }
        Ok(())
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        self.line.clear();
        self.form.put(event, &mut self.line)?;
        self.out.write_all(&self.line)?;
        if self.events.is_multiple_of(STRETCH) {
            self.marks.push(self.bytes);
        }
        self.events += 1;
        self.bytes += self.line.len() as u64;
        Ok(())
    }

    fn note(&mut self, written: io::Result<()>) -> io::Result<()> {
        if let Err(e) = written {
            self.broken.get_or_insert(e);
        }
        self.told()
    }

    /// An error again for whoever asks, if there was one.
    fn told(&self) -> io::Result<()> {
        self.broken.as_ref().map_or(Ok(()), |e| Err(io::Error::new(e.kind(), e.to_string())))
    }

    /// What went wrong in writing, if anything did.
    pub fn trouble(&self) -> Option<String> {
        self.broken.as_ref().map(io::Error::to_string)
    }

    /// Forgets everything, also what went wrong.
    ///
    /// # Errors
    /// If the file cannot be cut.
    pub fn clear(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.out.get_mut().set_len(0)?;
        self.out.get_mut().seek(SeekFrom::Start(0))?;
        (self.events, self.bytes, self.broken) = (0, 0, None);
        self.marks.clear();
        Ok(())
    }

    /// Writes down what is still buffered.
    ///
    /// # Errors
    /// If it, or anything before it, could not be written.
    pub fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
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
        self.flush()?;
        let stretch = from / STRETCH;
        let Some(start) = usize::try_from(stretch).ok().and_then(|s| self.marks.get(s)) else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut reader = BufReader::with_capacity(64 * 1024, &self.reads);
        reader.seek(SeekFrom::Start(*start))?;
        let mut buffer = Vec::new();
        let mut flow = ControlFlow::Continue(());
        for number in stretch * STRETCH..self.events {
            let event = self.form.get(&mut reader, &mut buffer).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::other("the journal on disk is shorter than it was written")
                }
                _ => e,
            })?;
            if number >= from {
                flow = each(number, event);
                if flow.is_break() {
                    break;
                }
            }
        }
        // The two handles share one position; what is written next goes to the end.
        drop(reader);
        self.reads.seek(SeekFrom::End(0))?;
        Ok(flow)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fault::Moment;
    use crate::trace::{CallId, FaultRef, Outcome, SubjectEvent, Told};
    use crate::wire::{Headers, Response};

    fn event(n: u64) -> Event {
        Event { at: At(n), what: What::Log { level: "info".to_owned(), line: format!("line {n}") } }
    }

    /// The moments of the events from number `from` on.
    fn read(disk: &mut Disk, from: u64) -> Vec<u64> {
        let mut seen = Vec::new();
        let flow = disk.read(from, |number, event| {
            assert_eq!(event.at.0, number);
            seen.push(number);
            ControlFlow::Continue(())
        });
        assert!(flow.unwrap().is_continue());
        seen
    }

    #[test]
    fn what_was_taken_over_can_be_read_from_anywhere_and_written_on() {
        let mut disk = Disk::nameless(4).unwrap();
        let mut next = 0;
        for batch in [1, 1023, 1, 3000, 0, 7] {
            disk.take((next..next + batch).map(event)).unwrap();
            next += batch;
            assert_eq!((read(&mut disk, 0).len() as u64, disk.events()), (next, next));
        }
        for from in [1, 1023, 1024, 1025, 4031, 4032, 9000] {
            assert_eq!(read(&mut disk, from), (from..next).collect::<Vec<_>>(), "from {from}");
        }
        disk.clear().unwrap();
        assert_eq!(read(&mut disk, 0), [] as [u64; 0]);
        let other = |n| Event { at: At(n), what: What::Healed };
        disk.take((0..1500).map(other)).unwrap();
        assert_eq!(read(&mut disk, 1400), (1400..1500).collect::<Vec<_>>());
    }

    #[test]
    fn an_event_is_the_same_in_either_form() {
        let bodies: [&[u8]; 4] = [br#"{"name":"Zo\u00eb \\ \"a\""}"#, b"", b"\xff\x00\n", b"base64:no"];
        let wire = |body: &[u8]| Response {
            status: 200,
            headers: Headers::of([("etag", "\"\u{eb}\"")]),
            body: body.to_vec().into(),
        };
        let fault =
            FaultRef { rule: 7, act: "drift".into(), moment: Some(Moment::AfterApplied), drift: None };
        let answers = bodies.map(|body| What::Answer {
            call: CallId(u32::MAX),
            outcome: Outcome::Answered,
            response: Some(wire(body)),
            applied: true,
            replayed: false,
            told: Told { retry_at: Some(At(u64::MAX)), ..Told::default() },
            fault: Some(fault.clone()),
        });
        let numbers = json!({ "a": [i64::MIN, u64::MAX, 0.1, 1e300, -0.0, null, true], "": { "b": {} } });
        let others = [
            What::Healed,
            What::Fault(fault.clone()),
            What::Subject(SubjectEvent::Exited { error: None }),
            What::Subject(SubjectEvent::Flooded { lines: 1, bytes: u64::MAX }),
            What::Alert { body: numbers, unread: None, began: None },
        ];
        for what in answers.into_iter().chain(others) {
            let event = Event { at: At(u64::MAX), what };
            for form in [Form::Line, Form::Packed] {
                let (mut written, next) = (Vec::new(), Event { at: At(0), what: What::Ended });
                form.put(&event, &mut written).unwrap();
                form.put(&next, &mut written).unwrap();
                let (mut rest, mut buffer) = (&written[..], Vec::new());
                assert_eq!(form.get(&mut rest, &mut buffer).unwrap(), event, "{form:?}");
                assert_eq!(form.get(&mut rest, &mut buffer).unwrap(), next, "{form:?}");
                let end = form.get(&mut rest, &mut buffer).unwrap_err();
                assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof, "{form:?}");
            }
        }
    }

    #[test]
    fn what_is_buffered_is_in_the_file_when_nobody_holds_it_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Disk::in_folder(folder.path(), 4).unwrap();
        disk.take([event(0), event(1)].into_iter()).unwrap();
        drop(disk);
        assert_eq!(std::fs::read_to_string(folder.path().join(FILE)).unwrap().lines().count(), 2);
        assert!(Disk::in_folder(folder.path(), 4).is_err(), "it holds an earlier journal");
    }

    #[test]
    fn what_could_not_be_written_is_told_at_the_next_call() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut disk = Disk::over(File::open(file.path()).unwrap(), Form::Line, 4).unwrap();
        disk.take([event(0)].into_iter()).unwrap();
        for again in 0..2 {
            assert!(disk.flush().is_err(), "the file is not open for writing: {again}");
        }
        assert!(disk.take([event(1)].into_iter()).is_err());
    }
}
