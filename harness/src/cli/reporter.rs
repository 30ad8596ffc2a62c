//! What becomes of each drill once it is over: printed, and written to the files that were asked
//! for.
//!
//! Knows: which outputs there are, and their files. Must not know: threads, or how a drill reads.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::args::{Format, Run};
use super::console::Console;
use crate::drill::{DrillError, Drilled};
use crate::plan::Loaded;
use crate::report::html::Site;
use crate::report::junit::Suites;
use crate::report::terminal::Summary;
use crate::report::{Ran, file, jsonl, replay, terminal};
use crate::seed::Seed;

/// What became of one drill.
pub(super) struct Outcome {
    /// Its trace and verdict, or the fault of firedrill.
    pub drilled: Result<Drilled, DrillError>,
    /// How long it took.
    pub real: Duration,
    /// How often it had failed before this.
    pub failed_before: u32,
}

/// Reports drills in the order in which it is handed them.
pub(super) struct Reporter<'r, 'c> {
    args: &'r Run,
    pub console: &'r mut Console<'c>,
    pub summary: Summary,
    junit: Option<Suites>,
    site: Option<Site>,
    /// A file that was asked for and cannot be written.
    pub unwritten: Option<String>,
}

impl<'r, 'c> Reporter<'r, 'c> {
    /// Nothing reported yet.
    pub fn new(args: &'r Run, console: &'r mut Console<'c>) -> Reporter<'r, 'c> {
        let junit = args.junit.as_ref().map(|_| Suites::new(args.drilling.seeds.seeds.get() > 1));
        let site = args.html.as_ref().map(|_| Site::default());
        Reporter { args, console, summary: Summary::default(), junit, site, unwritten: None }
    }

    /// The command that runs a drill again as it was run now.
    fn again(&self, loaded: &Loaded, seed: Seed) -> String {
        let planted = self.args.defect.as_deref().map(|d| format!(" --defect {d}")).unwrap_or_default();
        let subject = self.args.subject.as_deref().map(|file| format!(" --subject {}", file.display()));
        replay(&loaded.file, seed) + &planted + &subject.unwrap_or_default() + &self.args.pace.as_words()
    }

    /// Reports one drill.
    ///
    /// # Errors
    /// If standard output cannot be written; other files that cannot are kept in `unwritten`.
    pub fn report(&mut self, loaded: &Loaded, seed: Seed, outcome: &Outcome) -> io::Result<()> {
        let again = self.again(loaded, seed);
        let text = match &outcome.drilled {
            Ok(drilled) => {
                let real = self.console.real_times.then_some(outcome.real);
                let failed_before = outcome.failed_before;
                let ran = Ran { loaded, seed, drilled, real, failed_before, replay: again };
                self.summary.add(&ran);
                self.keep(&ran);
                match self.args.format {
                    Format::Terminal => terminal::drill(&ran, self.args.verbose),
                    Format::Jsonl => jsonl::drill(&ran),
                }
            }
            Err(error) => {
                self.summary.add_error(error, again.clone());
                if let Some(junit) = &mut self.junit {
                    junit.no_verdict(loaded, seed, error, &again);
                }
                if let Some(site) = &mut self.site {
                    site.no_verdict(loaded, seed, error, &again);
                }
                match self.args.format {
                    Format::Terminal => terminal::no_verdict(loaded, error, &again),
                    Format::Jsonl => jsonl::no_verdict(loaded, seed, error, &again),
                }
            }
        };
        self.console.print(&text)
    }

    /// Writes the files of one drill that was run.
    fn keep(&mut self, ran: &Ran<'_>) {
        if let Some(folder) = &self.args.trace {
            let path = folder.join(ran.trace_file());
            let written = file::write(&path, |out| ran.drilled.trace.write_jsonl(out));
            self.note(written, &path);
        }
        if let Some(junit) = &mut self.junit {
            junit.drill(ran);
        }
        if let (Some(site), Some(folder)) = (&mut self.site, &self.args.html) {
            let page = site.drill(ran);
            let path = folder.join(&page.path);
            let written = file::write(&path, |out| out.write_all(page.html.as_bytes()));
            self.note(written, &path);
        }
    }

    /// Writes what is known only once all drills are over.
    pub fn finish(&mut self) {
        if let (Some(site), Some(folder)) = (self.site.take(), &self.args.html) {
            let path = folder.join("index.html");
            let written = file::write(&path, |out| out.write_all(site.index().as_bytes()));
            self.note(written, &path);
        }
        if let (Some(junit), Some(path)) = (self.junit.take(), &self.args.junit) {
            let written = junit.xml().and_then(|xml| file::write(path, |out| out.write_all(xml.as_bytes())));
            self.note(written, path);
        }
    }

    fn note(&mut self, written: io::Result<()>, path: &Path) {
        if let Err(e) = written {
            self.unwritten.get_or_insert_with(|| format!("{} cannot be written: {e}", path.display()));
        }
    }
}
