//! The subject's lives: started, ready, stopped, killed at once, started again on the same state.
//!
//! Knows: lifecycles. Must not know: why a life ends.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;

use super::{World, spawn};
use crate::fault::{Outage, Rest, Skew};
use crate::subject::{Endpoints, Ready, WallClock};
use crate::time::{At, Span};
use crate::trace::{Outcome, SubjectEvent, What};

/// How long a subject may take to stop if nothing else is said (a Kubernetes pod's default).
pub(crate) const STOP_DEADLINE: Span = Span::secs(30);

type Life = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// What a life is told from outside.
pub(crate) struct Signals {
    /// Turns true when it shall stop.
    pub stop: watch::Receiver<bool>,
    /// True while it shall stand still.
    pub paused: watch::Receiver<bool>,
}

/// How a life ends from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGKILL.
    Killed,
    /// It did not stop in time.
    Overstayed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Down,
    Up,
    Stopping,
}

/// Holds the subject's future, so that it can be dropped from wherever a fault bites.
pub(crate) struct Supervisor {
    /// The subject's wall clock; skew survives a restart.
    pub clock: WallClock,
    /// Told when the subject should be launched.
    pub launch: Notify,
    life: RefCell<Option<Life>>,
    polled: Cell<bool>,
    condemned: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    phase: Cell<Phase>,
    incarnation: Cell<u32>,
    gone_at: Cell<Option<At>>,
    ready: RefCell<Ready>,
    endpoints: RefCell<Option<Endpoints>>,
    stop: RefCell<watch::Sender<bool>>,
    changed: watch::Sender<u64>,
    restart_after: Cell<Option<Span>>,
    returns: Cell<bool>,
    paused: RefCell<watch::Sender<bool>>,
    /// How long after its end what it sent may still be under way.
    under_way: Cell<Span>,
}

impl Supervisor {
    /// A subject that was never started.
    pub fn new(clock: WallClock) -> Supervisor {
        Supervisor {
            clock,
            launch: Notify::new(),
            life: RefCell::default(),
            polled: Cell::new(false),
            condemned: Cell::new(false),
            waker: RefCell::default(),
            phase: Cell::new(Phase::Down),
            incarnation: Cell::new(0),
            gone_at: Cell::new(None),
            ready: RefCell::default(),
            endpoints: RefCell::default(),
            stop: RefCell::new(watch::Sender::new(false)),
            changed: watch::Sender::new(0),
            restart_after: Cell::new(None),
            returns: Cell::new(false),
            paused: RefCell::new(watch::Sender::new(false)),
            under_way: Cell::new(Span::ZERO),
        }
    }

    /// Which life this is, from 1; 0 before the first.
    pub fn incarnation(&self) -> u32 {
        self.incarnation.get()
    }

    /// Begins the next life: what it is told of readiness and of stopping.
    pub fn begin(&self) -> (u32, Ready, Signals) {
        let incarnation = self.incarnation.get() + 1;
        self.incarnation.set(incarnation);
        self.returns.set(false);
        let ready = Ready::new();
        *self.ready.borrow_mut() = ready.clone();
        let (stop, told) = watch::channel(false);
        *self.stop.borrow_mut() = stop;
        let (pause, paused) = watch::channel(false);
        *self.paused.borrow_mut() = pause;
        (incarnation, ready, Signals { stop: told, paused })
    }

    /// Runs `life` from now on.
    pub fn run(&self, world: &Rc<World>, life: Life) {
        // What it spawns locally ends with it.
        let life = Box::pin(async move { LocalSet::new().run_until(life).await });
        *self.life.borrow_mut() = Some(life);
        self.phase.set(Phase::Up);
        self.gone_at.set(None);
        let incarnation = self.incarnation.get();
        let tasks = unended_tasks();
        if tasks > 0 {
            world.recorder.note(What::Subject(SubjectEvent::Outlived { tasks }));
        }
        world.recorder.note(What::Subject(SubjectEvent::Started { incarnation }));
        self.wake();
        let (own, ready) = (world.clone(), self.ready.borrow().clone());
        spawn(world, async move {
            let endpoints = ready.wait().await;
            if own.subject.incarnation.get() == incarnation && own.subject.is_up() {
                own.learn(&endpoints);
                *own.subject.endpoints.borrow_mut() = Some(endpoints);
                own.recorder.note(What::Subject(SubjectEvent::Ready));
                own.tell_of_missing_webhooks();
                own.subject.tell();
            }
        });
    }

    /// Whether it runs (stopping included).
    pub fn is_up(&self) -> bool {
        self.phase.get() != Phase::Down
    }

    /// Whether it is down for good.
    pub fn is_over(&self) -> bool {
        !self.is_up() && !self.returns.get()
    }

    /// Whether the subject went away before `now` and has not come back: what still calls is no
    /// packet under way, but a task that outlived it.
    pub fn is_gone_before(&self, now: At) -> bool {
        self.gone_at.get().is_some_and(|gone| gone + self.under_way.get() < now)
    }

    /// From now on what the subject sent may be under way for this long after its end: in real
    /// time, a dead process' last bytes are read after its death.
    pub fn allow_under_way(&self, span: Span) {
        self.under_way.set(span);
    }

    /// Where it can be reached; nothing while it is down.
    pub fn endpoints(&self) -> Option<Endpoints> {
        self.endpoints.borrow().clone()
    }

    /// Waits until something about its life changes and `until` holds.
    pub async fn wait(&self, until: impl Fn(&Supervisor) -> bool) {
        let mut changes = self.changed.subscribe();
        while !until(self) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends this life at once. With `restart_after`, another follows.
    pub fn end(&self, world: &Rc<World>, how: End, restart_after: Option<Span>) {
        if !self.is_up() {
            return;
        }
        if self.polled.get() {
            self.condemned.set(true);
        }
        let life = self.life.borrow_mut().take();
        drop(life);
        self.gone(
            world,
            match how {
                End::Killed => SubjectEvent::Killed,
                End::Overstayed => SubjectEvent::Overstayed,
            },
        );
        self.restart(world, restart_after);
    }

    /// Asks it to stop, and kills it if it does not by the deadline; then it starts again.
    pub fn stop(&self, world: &Rc<World>, outage: &Outage) {
        if self.phase.get() != Phase::Up {
            return;
        }
        self.restart_after.set(Some(outage.restart_after));
        self.ask_to_stop(world);
        let (own, incarnation) = (world.clone(), self.incarnation.get());
        let deadline = outage.deadline.unwrap_or(STOP_DEADLINE);
        spawn(world, async move {
            tokio::time::sleep(deadline.duration()).await;
            let subject = &own.subject;
            if subject.incarnation.get() == incarnation && subject.phase.get() == Phase::Stopping {
                let after = subject.restart_after.take();
                subject.end(&own, End::Overstayed, after);
            }
        });
    }

    /// Stops it for good.
    pub async fn stop_for_good(&self, world: &Rc<World>) {
        self.restart_after.set(None);
        if !self.is_up() {
            return;
        }
        if self.phase.get() == Phase::Up {
            self.ask_to_stop(world);
        }
        let stopped = self.wait(|s| !s.is_up());
        if tokio::time::timeout(STOP_DEADLINE.duration(), stopped).await.is_err() {
            self.end(world, End::Overstayed, None);
        }
    }

    fn ask_to_stop(&self, world: &World) {
        self.phase.set(Phase::Stopping);
        world.recorder.note(What::Subject(SubjectEvent::Stopping));
        self.stop.borrow().send_replace(true);
    }

    /// Makes it stand still for a while.
    pub fn pause(&self, world: &Rc<World>, rest: Rest) {
        if self.phase.get() != Phase::Up || *self.paused.borrow().borrow() {
            return;
        }
        self.paused.borrow().send_replace(true);
        world.recorder.note(What::Subject(SubjectEvent::Paused));
        let (own, incarnation) = (world.clone(), self.incarnation.get());
        spawn(world, async move {
            tokio::time::sleep(rest.lasts.duration()).await;
            let subject = &own.subject;
            if subject.incarnation.get() == incarnation && subject.is_up() {
                subject.paused.borrow().send_replace(false);
                own.recorder.note(What::Subject(SubjectEvent::Resumed));
            }
        });
    }

    /// Moves the subject's clock until `until`.
    pub fn skew(&self, world: &Rc<World>, skew: Skew, until: At) {
        let by = i64::try_from(skew.by.0).unwrap_or(i64::MAX);
        let by = if skew.behind { -by } else { by };
        let micros = self.clock.skew(by);
        world.recorder.note(What::Subject(SubjectEvent::ClockSkewed { micros }));
        let own = world.clone();
        spawn(world, async move {
            own.recorder.until(until).await;
            let micros = own.subject.clock.skew(-by);
            own.recorder.note(What::Subject(SubjectEvent::ClockSkewed { micros }));
        });
    }

    /// Says that it is gone, and starts it again if it shall return.
    fn restart(&self, world: &Rc<World>, after: Option<Span>) {
        self.returns.set(after.is_some());
        self.tell();
        let Some(after) = after else { return };
        let own = world.clone();
        spawn(world, async move {
            tokio::time::sleep(after.duration()).await;
            own.subject.launch.notify_one();
        });
    }

    fn gone(&self, world: &World, event: SubjectEvent) {
        self.phase.set(Phase::Down);
        self.gone_at.set(Some(world.recorder.now()));
        *self.endpoints.borrow_mut() = None;
        world.recorder.note(What::Subject(event));
        world.end_open_calls(Outcome::SubjectGone);
    }

    fn tell(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn poll_life(&self, world: &Rc<World>, cx: &mut Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        let Some(mut life) = self.life.borrow_mut().take() else { return };
        self.polled.set(true);
        let polled = catch_unwind(AssertUnwindSafe(|| life.as_mut().poll(cx)));
        self.polled.set(false);
        let ended = match polled {
            _ if self.condemned.take() => return,
            Ok(Poll::Pending) => {
                *self.life.borrow_mut() = Some(life);
                return;
            }
            Ok(Poll::Ready(ended)) => ended,
            Err(panic) => Err(format!("panicked: {}", panic_text(&*panic))),
        };
        drop(life);
        if self.phase.get() == Phase::Stopping && ended.is_ok() {
            self.gone(world, SubjectEvent::Stopped);
        } else {
            let error = ended.err().map(|e| world.canon.canonical(&e).into_owned());
            self.gone(world, SubjectEvent::Exited { error });
        }
        let after = self.restart_after.take();
        self.restart(world, after);
    }
}

/// Tasks of earlier lives that run on: firedrill has none of its own on the runtime itself.
fn unended_tasks() -> u64 {
    tokio::runtime::Handle::current().metrics().num_alive_tasks() as u64
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("with no message")
}

/// Polls the subject for as long as the drill lasts.
pub(crate) async fn drive(world: Rc<World>) {
    std::future::poll_fn(|cx| {
        world.subject.poll_life(&world, cx);
        Poll::<()>::Pending
    })
    .await;
}

/// Carries out the faults that befall the subject by themselves.
pub(crate) async fn afflict(world: Rc<World>) {
    use crate::fault::{Act, Target};
    let mut outages: Vec<_> =
        world.outages.borrow().iter().filter(|o| matches!(o.on, Target::Subject)).cloned().collect();
    outages.sort_by_key(|o| o.from);
    for outage in outages {
        world.recorder.until(outage.from).await;
        if !world.subject.is_up() {
            continue;
        }
        world.recorder.fault(&outage.bite.fault);
        match &outage.bite.act {
            Act::Kill(o) => world.subject.end(&world, End::Killed, Some(o.restart_after)),
            Act::Stop(o) => world.subject.stop(&world, o),
            Act::Pause(rest) => world.subject.pause(&world, *rest),
            Act::ClockSkew(s) => world.subject.skew(&world, *s, outage.bite.until),
            _ => {}
        }
    }
}
