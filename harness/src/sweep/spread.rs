//! The cells of a sweep, spread over threads.
//!
//! Knows: threads and order. Must not know: how a cell is run, graded or shown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{Cell, Graded, Play, Sweep};

impl Sweep {
    /// Runs `cells` on as many as `jobs` threads; the grades come in the order of the cells. `each` is
    /// told, on the caller's thread, of every cell as it is done.
    pub fn run_all(
        &self,
        cells: &[Cell],
        jobs: usize,
        play: Play<'_>,
        mut each: impl FnMut(&Graded),
    ) -> Vec<Graded> {
        let next = AtomicUsize::new(0);
        let (send, receive) = mpsc::channel();
        let mut grades: Vec<Option<Graded>> = vec![None; cells.len()];
        std::thread::scope(|scope| {
            for _ in 0..jobs.clamp(1, cells.len().max(1)) {
                let (send, next) = (send.clone(), &next);
                scope.spawn(move || {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(cell) = cells.get(index) else { break };
                        if send.send((index, self.run(cell, play))).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(send);
            for (index, graded) in receive {
                each(&graded);
                grades[index] = Some(graded);
            }
        });
        let lost = || Graded::unknown("the thread that ran it ended".to_owned());
        grades.into_iter().map(|g| g.unwrap_or_else(lost)).collect()
    }
}
