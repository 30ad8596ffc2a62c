//! The state of served vendors in a file.
//!
//! Knows: what is kept, and how a file is read and replaced without harm. Must not know: what any of
//! it means to a vendor.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Control, Held, Setup, Trouble, Vendors};
use crate::fault::Rule;
use crate::schedule::Counted;
use crate::seed::Seed;
use crate::time::{At, Span};
use crate::utf8;
use crate::world::Pending;

/// By which a state is recognised, and its version.
const FORMAT: &str = "firedrill served vendors, version 1";

/// How soon what happened is on disk.
const SOON: Duration = Duration::from_millis(50);

/// All that is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    format: String,
    pub epoch: jiff::Timestamp,
    pub seed: Seed,
    saved: jiff::Timestamp,
    at: At,
    pub advanced: Span,
    vendors: BTreeMap<String, KeptVendor>,
    pub faults: Vec<KeptFault>,
    pub next_fault: u32,
    pub targets: BTreeMap<String, String>,
    pub pending: Vec<Pending>,
}

#[derive(Serialize, Deserialize)]
struct KeptVendor {
    vendor: String,
    memory: Value,
}

/// A rule, as it was armed and with what it counted.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptFault {
    pub armed_at: At,
    pub rule: Rule,
    pub counted: Counted,
}

impl Kept {
    /// How much of the vendors' time has passed at `now`, that of the pause included.
    pub fn passed(&self, now: jiff::Timestamp) -> Span {
        let pause = now.duration_since(self.saved).as_micros();
        Span(self.at.0.saturating_add(u64::try_from(pause).unwrap_or(0)))
    }

    /// The vendors as they were, and what they hold.
    pub fn vendors(&self, setup: &Setup) -> Result<(Vendors, Held), Trouble> {
        let mut vendors = Vendors::new();
        let mut held = Held::new();
        for (alias, kept) in &self.vendors {
            let open = setup.open.get(alias);
            let open = open.ok_or_else(|| Trouble::Internal(format!("nothing opens `{alias}`")))?;
            let mut vendor = open(self.epoch, self.seed.derive(&format!("vendor/{alias}")));
            let changes = vendor.restore(kept.memory.clone());
            let changes =
                changes.map_err(|why| unfit(setup, format!("what it keeps of `{alias}`: {why}")))?;
            held.extend(changes.into_iter().map(|c| (alias.clone(), c)));
            vendors.insert(alias.clone(), vendor);
        }
        Ok((vendors, held))
    }
}

/// Holds a state for one server alone, by a file beside it, which goes with it. Should the server be killed,
/// the system lets go of the lock, and the next one takes over the file.
pub(super) struct Lock {
    /// Locked for as long as it is open.
    _file: File,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is locked: whoever opened it before finds that it is gone.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Takes the state, if one is kept, for this server alone.
pub(super) fn lock(setup: &Setup) -> Result<Option<Lock>, Trouble> {
    let Some(state) = &setup.state else { return Ok(None) };
    let Some(name) = state.file_name() else { return Err(unfit(setup, "it is no file".to_owned())) };
    let path = folder(state).join(format!(".{}.lock", name.to_string_lossy()));
    let cannot = |e: io::Error| unfit(setup, format!("it cannot be written: {e}"));
    loop {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) if is_at(&file, &path) => return Ok(Some(Lock { _file: file, path })),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Trouble::Usage(format!(
                    "another `firedrill serve` keeps its state in {}\nhelp: end that one, or name another file",
                    state.display()
                )));
            }
            Err(TryLockError::Error(e)) => return Err(cannot(e)),
        }
    }
}

/// Whether an open file is still the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (Ok(open), Ok(there)) = (file.metadata(), path.metadata()) else { return false };
        (open.dev(), open.ino()) == (there.dev(), there.ino())
    }
    #[cfg(not(unix))]
    {
        file.metadata().is_ok() && path.exists()
    }
}

/// Reads the state, if there is one.
pub(super) fn load(setup: &Setup) -> Result<Option<Kept>, Trouble> {
    let Some(path) = &setup.state else { return Ok(None) };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return begin(setup, path).map(|()| None),
        Err(e) => return Err(unfit(setup, format!("it cannot be read: {e}"))),
    };
    let text = utf8::text(&bytes)
        .map_err(|e| unfit(setup, format!("{e} (line {}, column {})", e.line, e.column)))?;
    let value: Value = serde_json::from_str(text).map_err(|e| {
        let what = if e.is_eof() { "it ends too soon" } else { "it is not JSON" };
        unfit(setup, format!("{what} ({e})"))
    })?;
    match value.get("format").and_then(Value::as_str) {
        Some(FORMAT) => {}
        Some(other) => return Err(unfit(setup, format!("its format is `{other}`, and not `{FORMAT}`"))),
        None => return Err(unfit(setup, "it was not written by `firedrill serve`".to_owned())),
    }
    let kept: Kept = serde_json::from_value(value).map_err(|e| unfit(setup, e.to_string()))?;
    let names = |of: &mut dyn Iterator<Item = (&String, &str)>| {
        of.map(|(alias, vendor)| format!("{alias}={vendor}")).collect::<Vec<_>>().join(", ")
    };
    let was = names(&mut kept.vendors.iter().map(|(a, k)| (a, k.vendor.as_str())));
    let is = names(&mut setup.vendors.iter().map(|(a, v)| (a, v.name())));
    if was != is {
        return Err(unfit(setup, format!("it is of other vendors ({was}) than are to be served ({is})")));
    }
    if kept.seed != setup.seed {
        let Seed(seed) = kept.seed;
        return Err(unfit(setup, format!("it began under seed {seed}; serve with `--seed {seed}`")));
    }
    Ok(Some(kept))
}

/// Says early that a new file cannot be written.
fn begin(setup: &Setup, path: &Path) -> Result<(), Trouble> {
    let tried = tempfile::NamedTempFile::new_in(folder(path));
    tried.map(drop).map_err(|e| unfit(setup, format!("it cannot be written: {e}")))
}

fn unfit(setup: &Setup, why: String) -> Trouble {
    let path = setup.state.as_deref().unwrap_or(Path::new("")).display();
    Trouble::Usage(format!(
        "the state in {path} cannot be used: {why}\nhelp: move the file away to begin anew, or name another one"
    ))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes the state down, if it is kept: whoever reads the file sees the old or the new one.
pub(super) fn save(control: &Control) -> Result<(), Trouble> {
    let Some(path) = &control.setup.state else { return Ok(()) };
    write(&state(control)?, path).map_err(|e| cannot_be_written(path, &e, String::new()))
}

/// As [`save`], for the last time: if the file cannot be written, the state goes where it is not lost.
pub(super) fn save_at_the_end(control: &Control) -> Result<(), Trouble> {
    let Some(path) = &control.setup.state else { return Ok(()) };
    let kept = state(control)?;
    write(&kept, path).map_err(|e| {
        let help = match put_aside(&kept) {
            Ok(aside) => {
                format!("\nhelp: the state is in {0}; go on from there with `--state {0}`", aside.display())
            }
            Err(again) => {
                format!("\nhelp: the state is lost; no other place could be written either: {again}")
            }
        };
        cannot_be_written(path, &e, help)
    })
}

fn cannot_be_written(path: &Path, why: &io::Error, help: String) -> Trouble {
    Trouble::Usage(format!("the state cannot be written to {}: {why}{help}", path.display()))
}

/// The state as it is now.
fn state(control: &Control) -> Result<Kept, Trouble> {
    let world = &control.world;
    let mut vendors = BTreeMap::new();
    for (alias, host) in &world.hosts {
        let memory = host.vendor.borrow().save();
        let memory =
            memory.ok_or_else(|| Trouble::Internal(format!("what `{alias}` remembers cannot be kept")))?;
        vendors.insert(alias.clone(), KeptVendor { vendor: host.profile.name.clone(), memory });
    }
    let schedule = world.schedule.borrow();
    let armed = control.armed.borrow();
    let faults = schedule.rules().iter().filter_map(|counted| {
        let (armed_at, rule) = armed.get(&counted.number)?.clone();
        Some(KeptFault { armed_at, rule, counted: counted.clone() })
    });
    let now = world.recorder.now();
    // An attempt that is cut off by the end is made again.
    let again = |p: Pending| Pending { due: Some(p.due.unwrap_or(now)), attempt: p.attempt.max(1), ..p };
    Ok(Kept {
        format: FORMAT.to_owned(),
        epoch: control.epoch,
        seed: control.setup.seed,
        saved: (control.setup.now)(),
        at: now,
        advanced: control.advanced.get(),
        vendors,
        faults: faults.collect(),
        next_fault: schedule.next(),
        targets: world.targets.borrow().clone(),
        pending: world.hooks.pending().into_iter().map(again).collect(),
    })
}

fn write(kept: &Kept, path: &Path) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder(path))?;
    put(kept, &mut file)?;
    file.persist(path).map(drop).map_err(|e| e.error)
}

fn put_aside(kept: &Kept) -> io::Result<PathBuf> {
    let mut file = tempfile::Builder::new().prefix("firedrill-state-").suffix(".json").tempfile()?;
    put(kept, &mut file)?;
    file.keep().map(|(_, path)| path).map_err(|e| e.error)
}

fn put(kept: &Kept, file: &mut tempfile::NamedTempFile) -> io::Result<()> {
    serde_json::to_writer(io::BufWriter::new(&mut *file), kept)?;
    file.write_all(b"\n")
}

/// Keeps the file up to date for as long as the vendors are served.
pub(super) async fn keep(control: Rc<Control>, warn: Rc<impl Fn(&str)>) {
    if control.setup.state.is_none() {
        return;
    }
    let mut seen = (control.world.recorder.count(), control.touched.get());
    let mut ill = false;
    loop {
        tokio::time::sleep(SOON).await;
        let now = (control.world.recorder.count(), control.touched.get());
        if now == seen {
            continue;
        }
        let begun = tokio::time::Instant::now();
        match save(&control) {
            Ok(()) => (seen, ill) = (now, false),
            // What is not written yet is tried again, and the vendors go on meanwhile.
            Err(trouble) => {
                if !std::mem::replace(&mut ill, true) {
                    warn(&trouble.to_string());
                }
            }
        }
        // A large state takes its time; the vendors come first.
        tokio::time::sleep(begun.elapsed() * 10).await;
    }
}
