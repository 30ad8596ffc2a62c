//! A process group that never outlives whoever started it.
//!
//! Knows: processes and signals. Must not know: what runs, or why it ends.
//!
//! A shell starts first, as leader of a group of its own. It leaves a *keeper* in the group, which
//! waits at the reading end of a pipe that only firedrill holds open, and then becomes the program.
//! When firedrill ends, however it ends, the pipe closes and the keeper kills the whole group,
//! itself included. Whoever leaves the group (`setsid`) is known by a mark in its environment, where
//! the system shows that (Linux), and goes with it. As the keeper is there before the program is,
//! there is no moment at which the program could be left behind. (`PR_SET_PDEATHSIG` would need
//! `unsafe`, and spares grandchildren; a copy of firedrill as keeper is not to be had where firedrill
//! is a library.) A stopped group wakes for it: the kernel continues a stopped group that is orphaned
//! (POSIX, `_Exit`).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal as Sig, kill_process, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};

use super::hunger::Hunger;
use crate::scenario::Signal;

/// What the shell is called, which stands before what it says of itself.
pub(super) const SHELL: &str = "firedrill-subject";

/// What the shell does; its arguments are the mark of the life, the program and the program's. The keeper
/// itself has no mark.
const KEPT: &str = r#"exec 3<&0 </dev/null
life=$1
shift
( trap '' HUP INT TERM QUIT USR1 USR2
read -r _ <&3
for one in $(grep -lsF "FIREDRILL_LIFE=$life" /proc/[0-9]*/environ); do
one=${one#/proc/}
kill -KILL "${one%/environ}"
done
kill -KILL 0 ) >/dev/null 2>&1 &
exec 3<&-
export FIREDRILL_LIFE="$life"
exec "$@"
"#;

/// The variable by which whatever a life starts is known, also where it left the group.
const LIFE: &str = "FIREDRILL_LIFE";

/// How often it is looked for who is left: whoever was found may just have started another.
const ROUNDS: u32 = 5;

/// The pause between two looks at who is left.
const LOOK: Duration = Duration::from_millis(20);

/// How long a killed process may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// What is to be run.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// The program and its arguments.
    pub words: Vec<String>,
    /// Where.
    pub folder: PathBuf,
    /// Environment variables on top of our own.
    pub env: BTreeMap<String, String>,
}

impl Order {
    /// The program.
    pub fn program(&self) -> &str {
        self.words.first().map(String::as_str).unwrap_or_default()
    }
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With this exit code.
    Code(i32),
    /// By a signal.
    Signal(String),
}

/// A running group; killed when it is dropped.
pub(super) struct Group {
    child: Child,
    id: Option<Pid>,
    /// By which all of its processes are known.
    mark: String,
    /// Held open for as long as the group may live.
    _pipe: Option<ChildStdin>,
}

impl Group {
    /// Starts a program; gives its outputs.
    ///
    /// # Errors
    /// Why it cannot be started, for a person.
    pub fn start(order: &Order) -> Result<(Group, ChildStdout, ChildStderr), String> {
        let program = order.program();
        executable(program, &order.folder)?;
        if !order.folder.is_dir() {
            return Err(format!("its working folder {} does not exist", order.folder.display()));
        }
        let mark = fresh_mark();
        let mut child = tokio::process::Command::new("/bin/sh")
            .args(["-c", KEPT, SHELL, &mark])
            .args(&order.words)
            .current_dir(&order.folder)
            .envs(&order.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| format!("`{program}` cannot be started: {e}"))?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let pipe = child.stdin.take();
        let group = Group { child, id, mark, _pipe: pipe };
        match (out, err) {
            (Some(out), Some(err)) => Ok((group, out, err)),
            _ => Err("the program's output could not be piped".to_owned()),
        }
    }

    /// Waits until the program (not what it may have left behind) has ended.
    pub async fn ended(&mut self) -> Ended {
        match self.child.wait().await {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Ended::Code(code),
                (None, Some(signal)) => Ended::Signal(name(signal)),
                (None, None) => Ended::Code(-1),
            },
            Err(_) => Ended::Code(-1),
        }
    }

    /// Watches how long it is kept from the processor.
    pub fn hunger(&self) -> Hunger {
        Hunger::of(self.id)
    }

    /// SIGKILL to the whole group, and to whoever left it. An error means that nobody is left.
    pub fn kill(&self) {
        if let Some(id) = self.id {
            let _ = kill_process_group(id, Sig::KILL);
        }
        for _ in 0..ROUNDS {
            if !self.tell_others(Sig::KILL) {
                return;
            }
        }
    }

    /// Sends a signal to all that this life started and that still run, except the program itself; false if
    /// there is nobody.
    fn tell_others(&self, signal: Sig) -> bool {
        let others = self.others();
        for id in &others {
            let _ = kill_process(*id, signal);
        }
        !others.is_empty()
    }

    /// Whoever this life started and still runs (Linux), except the program itself.
    fn others(&self) -> Vec<Pid> {
        let wanted = format!("{LIFE}={}", self.mark);
        let marked = |id: &Pid| {
            // What has ended and is not waited for yet has no environment any more.
            let environ = std::fs::read(format!("/proc/{}/environ", id.as_raw_nonzero())).unwrap_or_default();
            environ.split(|b| *b == 0).any(|pair| pair == wanted.as_bytes())
        };
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = all.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
        ids.filter(|id| Some(*id) != self.id).filter(marked).collect()
    }

    /// Asks whoever outlived the program to end, and waits for a while.
    pub async fn wind_up_others(&self) {
        if !self.tell_others(Sig::TERM) {
            return;
        }
        let all_gone = async {
            while !self.others().is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(GONE_WITHIN, all_gone).await;
    }

    /// SIGTERM to the program itself.
    pub fn terminate(&self) {
        if let Some(id) = self.id {
            let _ = kill_process(id, Sig::TERM);
        }
    }

    /// Stops the whole group, and whoever left it, where they stand, or lets them go on.
    pub fn pause(&self, on: bool) {
        let signal = if on { Sig::STOP } else { Sig::CONT };
        if let Some(id) = self.id {
            let _ = kill_process_group(id, signal);
        }
        self.tell_others(signal);
    }

    /// Sends a signal to the program itself; false if it is gone.
    pub fn signal(&self, signal: Signal) -> bool {
        let signal = match signal {
            Signal::Hup => Sig::HUP,
            Signal::Usr1 => Sig::USR1,
            Signal::Usr2 => Sig::USR2,
        };
        self.id.is_some_and(|id| kill_process(id, signal).is_ok())
    }

    /// Waits until a killed program is gone, so that its port and its files are free.
    pub async fn gone(mut self) {
        let all = async {
            let _ = self.child.wait().await;
            while self.tell_others(Sig::KILL) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(GONE_WITHIN, all).await;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        // What was killed is soon dead; a few looks spare most zombies.
        let _ = self.child.try_wait();
    }
}

/// A mark that no other life has, also of another firedrill: its process has its number only once at a time.
fn fresh_mark() -> String {
    static LIVES: AtomicU64 = AtomicU64::new(0);
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Field 22 of proc(5)'s `stat`, counted behind the name: when the process started.
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19));
    let life = LIVES.fetch_add(1, Ordering::Relaxed);
    format!("{}-{}-{life}.", std::process::id(), started.unwrap_or("0"))
}

fn name(signal: i32) -> String {
    let known = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (13, "SIGPIPE"),
        (15, "SIGTERM"),
    ];
    let found = known.iter().find(|(n, _)| *n == signal).map(|(_, name)| (*name).to_owned());
    found.unwrap_or_else(|| format!("signal {signal}"))
}

/// Finds `program` as a shell would.
///
/// # Errors
/// Why it cannot be run, for a person.
pub fn executable(program: &str, here: &Path) -> Result<PathBuf, String> {
    let runs = |path: &Path| {
        path.metadata().ok().map(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let path = here.join(program);
        return match runs(&path) {
            Some(true) => match interpreter(&path).filter(|it| !Path::new(it).exists()) {
                Some(it) => Err(format!("`{program}` is a script for {it}, which is not there")),
                None => Ok(path),
            },
            Some(false) if path.is_dir() => Err(format!("`{program}` is a folder, not a program")),
            Some(false) => Err(format!("`{program}` is not executable (chmod +x it)")),
            None => Err(format!("there is no program at {}", path.display())),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| runs(p) == Some(true));
    found.ok_or_else(|| format!("there is no program `{program}` on the PATH"))
}

/// What the first line of a script says runs it.
fn interpreter(script: &Path) -> Option<String> {
    let mut head = [0; 256];
    let length = std::fs::File::open(script).ok()?.read(&mut head).ok()?;
    let line = head[..length].strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let words = String::from_utf8_lossy(line);
    words.split_whitespace().next().filter(|word| word.starts_with('/')).map(str::to_owned)
}
