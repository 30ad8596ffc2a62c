//! The subject's time on stage: launched, disturbed, healed, and asked at the end.
//!
//! Knows: the order of things. Must not know: what the subject is.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::stage::Stage;
use super::watch::Watch;
use crate::subject::{Said, Start, Subject, VendorAccess, Voice};
use crate::time::At;
use crate::trace::{SubjectEvent, What};
use crate::world::{self, End, Host, World};

/// How long the subject may take to show what it exposes.
const EXPOSED_WITHIN: Duration = Duration::from_secs(30);

/// Lets the subject live until the drill ends; false if it never got ready.
pub(super) async fn live(
    stage: &mut Stage,
    subject: &dyn Subject,
    undone: &Rc<RefCell<Vec<String>>>,
) -> bool {
    let world = &stage.world.clone();
    let recorder = &world.recorder;
    // By the real clock, time goes on whatever the subject does.
    let watch = stage.head.real.is_none().then(Watch::over_this_thread);
    let mut seen = recorder.progress();
    launch(stage, subject);
    loop {
        tokio::select! {
            biased;
            () = stands_still(watch.as_ref(), world, &mut seen) => return true,
            () = world.subject.launch.notified() => launch(stage, subject),
            () = world.subject.wait(|s| s.endpoints().is_some() || s.is_over()) => break,
            () = recorder.until(At(subject.ready_within().0)) => break,
        }
    }
    if world.subject.endpoints().is_none() {
        return false;
    }
    stage.begin();
    let head = &stage.head;
    world::spawn(world, world::afflict(world.clone()));
    world::spawn(world, world::run_workload(world.clone(), undone.clone()));
    let mut healed = false;
    loop {
        let next = if healed { head.ends_at } else { head.heals_at.min(head.ends_at) };
        tokio::select! {
            biased;
            () = world.subject.launch.notified() => launch(stage, subject),
            () = recorder.runaway() => return true,
            () = stands_still(watch.as_ref(), world, &mut seen) => return true,
            () = recorder.until(next) => {
                if healed || head.ends_at < head.heals_at {
                    return true;
                }
                healed = true;
                recorder.note(What::Healed);
            }
        }
    }
}

/// Waits until the subject holds virtual time by being busy without end, and ends it then.
async fn stands_still(watch: Option<&Watch>, world: &Rc<World>, seen: &mut (At, usize)) {
    let Some(watch) = watch else { return std::future::pending().await };
    loop {
        watch.rings().await;
        let now = world.recorder.progress();
        if std::mem::replace(seen, now) == now {
            world.recorder.note(What::Subject(SubjectEvent::Spinning));
            world.subject.end(world, End::Killed, None);
            return;
        }
    }
}

fn launch(stage: &Stage, subject: &dyn Subject) {
    let Stage { world, alert_url, state, seed, authority, .. } = stage;
    if world.subject.is_up() {
        return;
    }
    let (incarnation, ready, signals) = world.subject.begin();
    let access = |host: &Rc<Host>| VendorAccess {
        base_url: host.base_url.clone(),
        credentials: host.vendor.borrow().credentials(),
    };
    let start = Start {
        vendors: world.hosts.iter().map(|(alias, host)| (alias.clone(), access(host))).collect(),
        settings: world.scenario.borrow().subject.settings.clone(),
        state_dir: state.path().join("state"),
        secrets_dir: world.secrets_dir.clone(),
        authority: authority.clone(),
        clock: world.subject.clock.clone(),
        seed: seed.derive(&format!("subject/{incarnation}")),
        webhook_urls: world.hosts.keys().map(|a| (a.clone(), world::webhook_url(a))).collect(),
        alert_url: alert_url.clone(),
        stop: signals.stop,
        paused: signals.paused,
        ready,
        attempts: world.attempts.clone(),
        voice: voice(world),
    };
    let life = subject.run(start);
    world.subject.run(world, life);
}

/// Writes what a program says to the trace.
fn voice(world: &Rc<World>) -> Voice {
    let world = Rc::downgrade(world);
    Rc::new(move |said| {
        let Some(world) = world.upgrade() else { return };
        match said {
            Said::Line { level, line } => world.log(&level, &line),
            Said::Flooded { lines, bytes } => {
                world.recorder.note(What::Subject(SubjectEvent::Flooded { lines, bytes }));
            }
            Said::Starved { waited } => {
                world.recorder.note(What::Subject(SubjectEvent::Starved { waited }));
            }
            Said::Runs => world.recorder.note(What::Subject(SubjectEvent::Runs)),
            Said::NotStarted => world.recorder.note(What::Subject(SubjectEvent::NotStarted)),
            Said::Ran { code, last } => {
                let last = last.map(|text| world.canon.canonical(&text).into_owned());
                world.recorder.note(What::Subject(SubjectEvent::Ran { code, last }));
            }
        }
    })
}

/// Reads what the subject says of itself.
pub(super) async fn expose(world: &Rc<World>) {
    for (what, url) in world.subject.endpoints().unwrap_or_default().exposed {
        let answer = world::call(&url, &world::plain("GET", &url), EXPOSED_WITHIN).await;
        let response = answer.ok().map(|r| world::shown(world, r));
        world.recorder.note(What::Exposed { what, response });
    }
}
