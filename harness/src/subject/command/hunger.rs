//! How long a program's threads were kept from the processor while they could have run.
//!
//! Knows: the kernel's own account of it (Linux, `/proc/PID/task/TID/schedstat`: time on a
//! processor, time waiting for one; Documentation/scheduler/sched-stats.rst). Must not know: what a
//! wait may have brought about. Where the kernel keeps no such account, nothing is seen.
//!
//! The kernel adds a wait to its account only when it is over. A thread that could run at two looks,
//! and whose account stood still between them, waited from the one to the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::Instant;

use crate::time::Span;

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// The stretch of time over which waits add up.
const STRETCH: Duration = Duration::from_secs(1);
/// The most that one thread may wait in a stretch without being starved: a fifth of it.
const BEARABLE: Span = Span::millis(200);
/// Tenths of the machine's processors that a program may use and still be starved by others: one
/// that uses more waits for itself.
const OWN_TENTHS: u64 = 7;

/// Watches the threads of one process group.
pub(super) struct Hunger {
    group: i32,
    processors: u64,
    members: BTreeSet<i32>,
    threads: BTreeMap<i32, Thread>,
    looks: VecDeque<Look>,
    due: Instant,
}

/// What is known of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Thread {
    account: Account,
    /// Since when it was seen to wait.
    waits: Option<Instant>,
    /// Waits, that of a thread that still waits included.
    waited: Span,
}

/// The kernel's account of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Account {
    ran: Span,
    waited: Span,
}

/// All threads at one moment.
struct Look {
    at: Instant,
    threads: BTreeMap<i32, (Span, Span)>,
}

impl Hunger {
    /// Watches the group that `leader` leads.
    pub fn of(leader: Option<Pid>) -> Hunger {
        let group = leader.map_or(0, |id| id.as_raw_nonzero().get());
        Hunger {
            group,
            processors: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            members: BTreeSet::from([group]),
            threads: BTreeMap::new(),
            looks: VecDeque::new(),
            due: Instant::now(),
        }
    }

    /// The next time that some thread was starved: how long it waited within a second.
    pub async fn next(&mut self) -> Span {
        loop {
            tokio::time::sleep_until(self.due).await;
            let now = Instant::now();
            self.due = now + LOOK;
            let accounts = self.accounts();
            if let Some(waited) = self.look(now, accounts) {
                return waited;
            }
        }
    }

    /// Takes in what the kernel says, with whether each thread could run; gives the longest wait of
    /// a stretch if it was more than bearable, and begins another stretch.
    fn look(&mut self, now: Instant, accounts: BTreeMap<i32, (Account, bool)>) -> Option<Span> {
        self.threads.retain(|id, _| accounts.contains_key(id));
        for (id, (account, runnable)) in accounts {
            let fresh = Thread { account, waits: None, waited: account.waited };
            let thread = self.threads.entry(id).or_insert(fresh);
            if thread.account != account {
                *thread = Thread { waited: thread.waited.max(account.waited), ..fresh };
            } else if !runnable {
                thread.waits = None;
            } else {
                let still = Span::from(now - *thread.waits.get_or_insert(now));
                thread.waited = thread.waited.max(Span(account.waited.0.saturating_add(still.0)));
            }
        }
        let threads = self.threads.iter().map(|(id, t)| (*id, (t.account.ran, t.waited))).collect();
        self.looks.push_back(Look { at: now, threads });
        while self.looks.get(1).is_some_and(|second| now - second.at >= STRETCH) {
            self.looks.pop_front();
        }
        let (first, last) = (self.looks.front()?, self.looks.back()?);
        let mut longest = Span::ZERO;
        let mut ran = 0;
        for (id, (ran_now, waited_now)) in &last.threads {
            // A thread that was not there before had waited for nothing.
            let (ran_then, waited_then) = first.threads.get(id).copied().unwrap_or_default();
            longest = longest.max(Span(waited_now.0.saturating_sub(waited_then.0)));
            ran += ran_now.0.saturating_sub(ran_then.0);
        }
        let own = Span::from(last.at - first.at).0 * self.processors * OWN_TENTHS / 10;
        if longest <= BEARABLE || ran > own {
            return None;
        }
        self.looks.drain(..self.looks.len() - 1);
        Some(longest)
    }

    /// The accounts of all threads of the group, and whether each could run.
    fn accounts(&mut self) -> BTreeMap<i32, (Account, bool)> {
        let mut accounts = BTreeMap::new();
        let mut known = self.members.clone();
        let mut to_visit: Vec<i32> = known.iter().copied().collect();
        self.members.clear();
        while let Some(process) = to_visit.pop() {
            let folder = PathBuf::from(format!("/proc/{process}"));
            // Another may have its number by now.
            let stat = std::fs::read_to_string(folder.join("stat")).unwrap_or_default();
            if status(&stat).is_none_or(|(_, group)| group != self.group) {
                continue;
            }
            self.members.insert(process);
            for thread in std::fs::read_dir(folder.join("task")).into_iter().flatten().flatten() {
                let path = thread.path();
                let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_default();
                let Some(id) = thread.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
                if let Some(account) = account(&read("schedstat")) {
                    // Looked at only where the account alone does not tell.
                    let stands = self.threads.get(&id).is_some_and(|t| t.account == account);
                    let runnable = stands && status(&read("stat")).is_some_and(|(state, _)| state == 'R');
                    accounts.insert(id, (account, runnable));
                }
                let children = read("children");
                let children = children.split_ascii_whitespace().filter_map(|word| word.parse().ok());
                to_visit.extend(children.filter(|child| known.insert(*child)));
            }
        }
        accounts
    }
}

/// A `schedstat`: nanoseconds on a processor, nanoseconds waiting for one, turns.
fn account(text: &str) -> Option<Account> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse::<u64>().ok());
    let mut micros = || Some(Span(words.next()?? / 1_000));
    Some(Account { ran: micros()?, waited: micros()? })
}

/// A `stat`: the state and the process group. The name before them may hold anything.
fn status(text: &str) -> Option<(char, i32)> {
    let mut words = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, words.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunger() -> Hunger {
        Hunger { processors: 2, ..Hunger::of(None) }
    }

    /// Looks every 100 ms at one thread that ran and waited so many ms by then, runnable or not.
    fn looks(hunger: &mut Hunger, said: &[(u64, u64, bool)]) -> Vec<Option<Span>> {
        let start = hunger.due;
        (0u32..)
            .zip(said)
            .map(|(n, (ran, waited, runnable))| {
                let account = Account { ran: Span::millis(*ran), waited: Span::millis(*waited) };
                hunger.look(start + LOOK * n, BTreeMap::from([(7, (account, *runnable))]))
            })
            .collect()
    }

    #[tokio::test]
    async fn waits_add_up_within_a_second() {
        let said = looks(&mut hunger(), &[(0, 0, false), (1, 120, false), (2, 120, false), (3, 201, false)]);
        assert_eq!(said, [None, None, None, Some(Span::millis(201))]);
    }

    #[tokio::test]
    async fn the_same_waits_over_a_long_time_are_bearable() {
        let few: Vec<_> = (0..60).map(|n| (n, n * 19, false)).collect();
        assert!(looks(&mut hunger(), &few).iter().all(Option::is_none));
    }

    #[tokio::test]
    async fn a_wait_that_is_not_over_yet_counts() {
        let still = (0, 0, true);
        let waits = [(0, 0, false), still, still, still, still, (1, 390, false)];
        let said = looks(&mut hunger(), &waits);
        assert_eq!(said, [None, None, None, None, Some(Span::millis(300)), None]);
    }

    #[tokio::test]
    async fn who_has_just_woken_has_not_waited_since_the_last_look() {
        let wakes: Vec<_> = (0..30).map(|n| (0, 0, n % 2 == 0)).collect();
        assert!(looks(&mut hunger(), &wakes).iter().all(Option::is_none));
    }

    #[tokio::test]
    async fn who_sleeps_does_not_wait() {
        let said = looks(&mut hunger(), &[(5, 5, false); 30]);
        assert!(said.iter().all(Option::is_none));
    }

    #[tokio::test]
    async fn who_uses_the_whole_machine_waits_for_itself() {
        let start = Instant::now();
        let mut hunger = hunger();
        let many = |n: u64| {
            let account = Account { ran: Span::millis(50 * n), waited: Span::millis(50 * n) };
            (1..=4).map(|id| (id, (account, false))).collect::<BTreeMap<_, _>>()
        };
        let said = (0..20).map(|n| hunger.look(start + LOOK * n, many(n.into())));
        assert!(said.collect::<Vec<_>>().iter().all(Option::is_none));
    }

    #[test]
    fn the_kernels_words_are_understood() {
        assert_eq!(account("5000000 70000 12\n"), Some(Account { ran: Span::millis(5), waited: Span(70) }));
        assert_eq!(account(""), None);
        assert_eq!(status("12 (a) b) R 1 77 77 0 -1"), Some(('R', 77)));
        assert_eq!(status("12 (sh)"), None);
        assert_eq!(status(""), None);
    }

    /// Two threads on one processor, which the kernel lets run by turns.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_program_that_shares_a_processor_is_seen_to_wait() {
        use std::os::unix::process::CommandExt as _;
        let spin = "import os,threading\nos.sched_setaffinity(0,{min(os.sched_getaffinity(0))})\n\
                    if os.fork()==0:\n while 1: pass\nwhile 1: pass";
        let Ok(mut child) = std::process::Command::new("python3").args(["-c", spin]).process_group(0).spawn()
        else {
            eprintln!("skipped: there is no python3 here");
            return;
        };
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let mut hunger = Hunger { processors: 4, ..Hunger::of(id) };
        let with_its_child = async {
            loop {
                let waited = hunger.next().await;
                if hunger.members.len() == 2 {
                    return waited;
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), with_its_child).await;
        let _ = rustix::process::kill_process_group(id.unwrap(), rustix::process::Signal::KILL);
        child.wait().unwrap();
        assert!(waited.unwrap() > BEARABLE);
    }
}
