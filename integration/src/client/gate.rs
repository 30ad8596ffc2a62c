//! A vendor whose credentials are refused. Knows until when to stay away; must not know why.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::Failure;

#[derive(Debug, Clone, Copy)]
struct Closed {
    until: Option<Instant>,
    why: &'static str,
}

/// Open, or closed until a moment or until somebody opens it.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<Option<Closed>>);

impl Gate {
    /// Refuses while closed.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let mut closed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *closed {
            Some(Closed { until: Some(until), .. }) if until <= Instant::now() => {
                *closed = None;
                Ok(())
            }
            Some(Closed { until, why }) => Err(Failure::Held { until, why }),
            None => Ok(()),
        }
    }

    pub(crate) fn close(&self, until: Option<Instant>, why: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Closed { until, why });
    }

    pub(crate) fn open(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.check().is_err()
    }
}
