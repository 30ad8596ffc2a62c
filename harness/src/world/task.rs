//! Tasks of a drill, none of which ends by a panic unheard.
//!
//! Knows: futures and panics. Must not know: what a task does. The runtime keeps a task's panic for whoever
//! joins it, and nobody joins these: the drill would go on without, say, its workload, and could pass.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use super::World;
use super::supervisor::panic_text;

/// Runs a task on the drill's thread; should it panic, that is a fault of firedrill's in the trace.
pub(crate) fn spawn(world: &Rc<World>, task: impl Future<Output = ()> + 'static) {
    let world = Rc::downgrade(world);
    tokio::task::spawn_local(async move {
        let mut task = pin!(task);
        let ended =
            std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            });
        if let Err(panic) = ended.await
            && let Some(world) = world.upgrade()
        {
            world.recorder.harness_fault(format!("it panicked: {}", panic_text(&*panic)));
        }
    });
}
