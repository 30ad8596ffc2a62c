//! A program in any language as subject: one life is one process group.
//!
//! Knows: how a life is filled in, started, found ready, triggered and ended. Must not know:
//! scenarios, faults or checks.
//!
//! No process survives: the group is killed when its life is dropped, and, should firedrill itself
//! be killed, by a keeper inside the group (see [`group`]).

mod fill;
mod group;
mod hunger;
mod output;
mod ports;
mod ready;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::fill::Surroundings;
use self::group::{Ended, Group, Order};
use self::hunger::Hunger;
use self::output::{Kept, Output};
use self::ready::Awaiting;
use super::{Ask, Asker, Endpoints, Hindsight, Readiness, Reply, Said, Start, Subject, Voice};
use crate::scenario::{Program, Runs, Signal, Trigger};
use crate::time::Span;

pub use self::group::executable;
pub use self::ports::Ports;

/// The job that every program has that runs to its end: another run, now.
const RUN: &str = "run";

/// The shortest pause between two runs of a job.
const SHORTEST: Duration = Duration::from_millis(10);

/// A program as subject, for one drill: its lives share ports and state.
pub struct Command {
    program: Rc<Program>,
    here: PathBuf,
    name: String,
    scale: u32,
    ports: Rc<Ports>,
    /// The life before, until it is truly gone.
    before: Rc<RefCell<Option<Group>>>,
    seen: Rc<Seen>,
}

/// What was seen of a program over its lives.
#[derive(Default)]
struct Seen {
    /// How the last life was found ready.
    awaited: RefCell<Option<Awaiting>>,
    /// Where it logs to, once it was started.
    log: RefCell<Option<PathBuf>>,
    /// Whether there was ever a file.
    logged: Rc<Cell<bool>>,
}

impl Command {
    /// The program that a file in the folder `here` describes, in a world that is `scale` times as
    /// fast as its scenario says.
    pub fn new(program: &Program, here: &Path, scale: u32) -> Command {
        Command {
            name: name(program),
            program: Rc::new(program.clone()),
            here: here.to_owned(),
            scale,
            ports: Rc::new(Ports::default()),
            before: Rc::default(),
            seen: Rc::default(),
        }
    }
}

/// What reports call a program.
pub fn name(program: &Program) -> String {
    let file = || program.command.first().map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
    program.name.clone().or_else(file).unwrap_or_default()
}

impl Subject for Command {
    fn run(&self, start: Start) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        let life = Life {
            program: self.program.clone(),
            around: Surroundings::new(&start, &self.here, self.scale, self.ports.clone()),
            start,
            scale: self.scale,
            before: self.before.clone(),
            seen: self.seen.clone(),
        };
        Box::pin(life.live())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn ready_within(&self) -> Span {
        self.program.ready_within
    }

    fn hindsight(&self) -> Hindsight {
        let awaited = self.seen.awaited.borrow().as_ref().and_then(Awaiting::told);
        Hindsight {
            readiness: awaited.map_or(Readiness::Assumed, Readiness::Awaited),
            lost_log: self.seen.log.borrow().clone().filter(|_| !self.seen.logged.get()),
        }
    }
}

/// One life of the program.
struct Life {
    program: Rc<Program>,
    around: Surroundings,
    start: Start,
    scale: u32,
    before: Rc<RefCell<Option<Group>>>,
    seen: Rc<Seen>,
}

/// Why a life came to a bad end.
enum Woe {
    /// It never began.
    NotStarted(String),
    /// It failed.
    Failed(String),
}

/// What goes wrong before the program runs is about its start.
impl From<String> for Woe {
    fn from(why: String) -> Woe {
        Woe::NotStarted(why)
    }
}

impl Life {
    async fn live(self) -> Result<(), String> {
        let voice = self.start.voice.clone();
        self.lived().await.map_err(|woe| match woe {
            Woe::Failed(why) => why,
            Woe::NotStarted(why) => {
                voice(Said::NotStarted);
                why
            }
        })
    }

    async fn lived(self) -> Result<(), Woe> {
        let before = self.before.borrow_mut().take();
        if let Some(before) = before {
            before.gone().await;
        }
        let order = self.order()?;
        let (asker, asks) = self.asker();
        let endpoints = self.endpoints(asker)?;
        match self.program.runs {
            Runs::Service => self.serve(&order, endpoints, asks).await,
            Runs::Job(often) => {
                let every = (often.every.duration() / self.scale.max(1)).max(SHORTEST);
                self.start.ready.set(endpoints);
                self.over_and_over(&order, every, asks).await
            }
        }
    }

    fn order(&self) -> Result<Order, String> {
        let mut env = BTreeMap::new();
        for (name, text) in &self.program.env {
            env.insert(name.clone(), self.around.fill(text)?);
        }
        env.extend(self.start.settings.clone());
        let folder = match &self.program.folder {
            Some(folder) => self.around.here.join(self.around.fill(folder)?),
            None => self.around.here.clone(),
        };
        Ok(Order { words: self.words(&self.program.command)?, folder, env })
    }

    fn words(&self, words: &[String]) -> Result<Vec<String>, String> {
        let mut filled: Vec<String> = words.iter().map(|w| self.around.fill(w)).collect::<Result<_, _>>()?;
        // What names a file is found beside the subject file, whatever the working folder is.
        if let Some(first) = filled.first_mut().filter(|w| w.contains('/')) {
            *first = self.around.here.join(&*first).to_string_lossy().into_owned();
        }
        Ok(filled)
    }

    fn endpoints(&self, asker: Asker) -> Result<Endpoints, String> {
        let all = |map: &BTreeMap<String, String>| -> Result<BTreeMap<String, String>, String> {
            map.iter().map(|(name, text)| Ok((name.clone(), self.around.fill(text)?))).collect()
        };
        let mut jobs = BTreeMap::new();
        for (name, trigger) in &self.program.jobs {
            if let Trigger::Post(url) = trigger {
                jobs.insert(name.clone(), self.around.fill(url)?);
            }
        }
        Ok(Endpoints {
            webhooks: all(&self.program.webhooks)?,
            jobs,
            exposed: all(&self.program.exposes)?,
            asker: Some(asker),
        })
    }

    fn asker(&self) -> (Asker, mpsc::UnboundedReceiver<Ask>) {
        let (send, asks) = mpsc::unbounded_channel();
        let mut names: std::collections::BTreeSet<String> = self
            .program
            .jobs
            .iter()
            .filter(|(_, t)| !matches!(t, Trigger::Post(_)))
            .map(|(name, _)| name.clone())
            .collect();
        if matches!(self.program.runs, Runs::Job(_)) {
            names.insert(RUN.to_owned());
        }
        (Asker::new(names, send), asks)
    }

    /// A service: up until it is stopped.
    async fn serve(
        self,
        order: &Order,
        endpoints: Endpoints,
        mut asks: mpsc::UnboundedReceiver<Ask>,
    ) -> Result<(), Woe> {
        let kept = Rc::new(Kept::new(self.start.voice.clone()));
        let (mut ready, awaiting) = ready::wait(self.program.ready.as_ref(), &self.around, &kept)?;
        let vacant = awaiting.vacant();
        self.seen.awaited.replace(Some(awaiting));
        vacant.await?;
        let Running { mut group, mut output, mut hunger } = self.started(order, &kept)?;
        let mut found_ready = false;
        let mut errands = JoinSet::new();
        let mut stopping = self.start.stop.clone();
        let mut paused = self.start.paused.clone();
        loop {
            tokio::select! {
                biased;
                ended = group.ended() => {
                    output.rest().await;
                    return verdict(ended, false, order, &kept);
                }
                () = told(&mut stopping) => break,
                () = turned(&mut paused) => group.pause(*paused.borrow()),
                () = &mut ready, if !found_ready => {
                    found_ready = true;
                    self.start.ready.set(endpoints.clone());
                }
                Some(ask) = asks.recv() => self.errand(ask, &group, &mut errands),
                Some(_) = errands.join_next() => {}
                waited = hunger.next() => (self.start.voice)(Said::Starved { waited }),
                () = output.next() => {}
            }
        }
        let ended = group.wind_up(&mut output, &mut hunger, &self.start.voice).await;
        verdict(ended, true, order, &kept)
    }

    fn started(&self, order: &Order, kept: &Rc<Kept>) -> Result<Running, String> {
        let log = self.program.log.as_ref().map(|path| self.around.fill(path)).transpose()?;
        let log = log.map(PathBuf::from);
        self.seen.log.replace(log.clone());
        let log = log.map(|path| (path, self.seen.logged.clone()));
        let (group, out, err) = Group::start(order)?;
        let output = Output::new(out, err, log, kept.clone());
        let hunger = group.hunger();
        Ok(Running { group: Held { group: Some(group), before: self.before.clone() }, output, hunger })
    }

    /// A job: run to its end, and again after a pause or when asked.
    async fn over_and_over(
        self,
        order: &Order,
        every: Duration,
        mut asks: mpsc::UnboundedReceiver<Ask>,
    ) -> Result<(), Woe> {
        let mut stopping = self.start.stop.clone();
        let mut errands = JoinSet::new();
        loop {
            let kept = Rc::new(Kept::new(self.start.voice.clone()));
            (self.start.voice)(Said::Runs);
            let Running { mut group, mut output, mut hunger } = self.started(order, &kept)?;
            let mut paused = self.start.paused.clone();
            // Who asks while it runs is served by the run after this one.
            let mut asked = Vec::new();
            let ended = loop {
                tokio::select! {
                    biased;
                    ended = group.ended() => break ended,
                    () = told(&mut stopping) => {
                        let ended = group.wind_up(&mut output, &mut hunger, &self.start.voice).await;
                        return verdict(ended, true, order, &kept);
                    }
                    () = turned(&mut paused) => group.pause(*paused.borrow()),
                    Some(ask) = asks.recv() => match ask.job == RUN {
                        true => asked.push(ask.done),
                        false => self.errand(ask, &group, &mut errands),
                    },
                    Some(_) = errands.join_next() => {}
                    waited = hunger.next() => (self.start.voice)(Said::Starved { waited }),
                    () = output.next() => {}
                }
            };
            output.rest().await;
            let code = match ended {
                Ended::Code(code) => Some(code),
                Ended::Signal(_) => None,
            };
            let last = (code != Some(0)).then(|| kept.last_words());
            (self.start.voice)(Said::Ran { code, last });
            if kept.never_became() {
                return verdict(ended, false, order, &kept);
            }
            drop(group);
            let left = self.before.borrow_mut().take();
            if let Some(left) = left {
                left.gone().await;
            }
            let again = tokio::time::sleep(every);
            tokio::pin!(again);
            while asked.is_empty() {
                tokio::select! {
                    biased;
                    () = told(&mut stopping) => return Ok(()),
                    Some(ask) = asks.recv() => match ask.job == RUN {
                        true => asked.push(ask.done),
                        false => drop(ask),
                    },
                    () = &mut again => break,
                }
            }
            for done in asked {
                let _ = done.send(Reply::Done);
            }
        }
    }

    /// Does what a trigger asks for.
    fn errand(&self, ask: Ask, group: &Held, errands: &mut JoinSet<()>) {
        let Ask { job, done } = ask;
        match self.program.jobs.get(&job) {
            Some(Trigger::Own) => drop(done.send(Reply::Done)),
            Some(Trigger::Signal(signal)) if group.signal(*signal) => drop(done.send(Reply::Done)),
            Some(Trigger::Run(words)) => {
                let order = self.order().and_then(|o| Ok(Order { words: self.words(words)?, ..o }));
                let voice = self.start.voice.clone();
                errands.spawn_local(async move {
                    let _ = done.send(match order {
                        Ok(order) => to_its_end(&order, voice).await,
                        Err(why) => Reply::Impossible(why),
                    });
                });
            }
            Some(Trigger::Signal(_) | Trigger::Post(_)) | None => drop(done),
        }
    }
}

/// Runs a command that belongs to the subject; it was done if it ended with exit code 0.
async fn to_its_end(order: &Order, voice: Voice) -> Reply {
    let kept = Rc::new(Kept::new(voice));
    let (group, out, err) = match Group::start(order) {
        Ok(started) => started,
        Err(why) => return Reply::Impossible(why),
    };
    let mut group = Held { group: Some(group), before: Rc::default() };
    let mut output = Output::new(out, err, None, kept.clone());
    loop {
        tokio::select! {
            biased;
            ended = group.ended() => {
                output.rest().await;
                return match verdict(ended, false, order, &kept) {
                    Ok(()) => Reply::Done,
                    Err(Woe::Failed(why)) => Reply::Failed(why),
                    Err(Woe::NotStarted(why)) => Reply::Impossible(why),
                };
            }
            () = output.next() => {}
        }
    }
}

/// A process that runs, and what it says.
struct Running {
    group: Held,
    output: Output,
    hunger: Hunger,
}

/// A group whose end is awaited by the next life.
struct Held {
    group: Option<Group>,
    before: Rc<RefCell<Option<Group>>>,
}

impl Held {
    async fn ended(&mut self) -> Ended {
        match &mut self.group {
            Some(group) => group.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Asks it to end, and hears it out.
    async fn wind_up(&mut self, output: &mut Output, hunger: &mut Hunger, voice: &Voice) -> Ended {
        self.pause(false);
        if let Some(group) = &self.group {
            group.terminate();
        }
        let ended = loop {
            tokio::select! {
                biased;
                ended = self.ended() => break ended,
                waited = hunger.next() => voice(Said::Starved { waited }),
                () = output.next() => {}
            }
        };
        if let Some(group) = &self.group {
            let others = group.wind_up_others();
            tokio::pin!(others);
            loop {
                tokio::select! {
                    biased;
                    () = &mut others => break,
                    () = output.next() => {}
                }
            }
        }
        output.rest().await;
        ended
    }

    fn pause(&self, on: bool) {
        if let Some(group) = &self.group {
            group.pause(on);
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        self.group.as_ref().is_some_and(|group| group.signal(signal))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            group.kill();
            *self.before.borrow_mut() = Some(group);
        }
    }
}

/// Waits until the subject is told to stop.
async fn told(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until `paused` changes.
async fn turned(paused: &mut watch::Receiver<bool>) {
    if paused.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What the end of a service means.
fn verdict(ended: Ended, asked: bool, order: &Order, kept: &Kept) -> Result<(), Woe> {
    match ended {
        Ended::Code(127) if kept.never_became() => Err(Woe::NotStarted(format!(
            "`{}` could not be run: what it needs to be run itself is not there (the interpreter that its first \
             line names, or a loader or library of the system)",
            order.program()
        ))),
        Ended::Code(_) if kept.never_became() => Err(Woe::NotStarted(format!(
            "`{}` could not be run: the system refused it (is it a program for this machine?)",
            order.program()
        ))),
        // Without a handler of its own, SIGTERM ends a program: it did what it was asked to.
        Ended::Code(0) => Ok(()),
        Ended::Signal(name) if asked && name == "SIGTERM" => Ok(()),
        Ended::Code(code) => Err(Woe::Failed(kept.quoted(&format!("exit code {code}")))),
        Ended::Signal(name) => Err(Woe::Failed(kept.quoted(&format!("ended by {name}")))),
    }
}
