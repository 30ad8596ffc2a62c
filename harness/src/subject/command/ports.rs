//! Free ports for programs that want to be told where to listen.
//!
//! Knows: which ports this process handed out. Must not know: who listens there.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Ports that the kernel does not draw for outgoing connections (Linux: from 32768 on), so that
/// none is lost between its choice and its use.
const RANGE: std::ops::Range<u32> = 20_000..32_000;

/// Those in use by some drill of this process.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// The ports of one subject, by name; given back when it is dropped.
#[derive(Default)]
pub struct Ports(RefCell<BTreeMap<String, u16>>);

impl Ports {
    /// The port called `name`, free when first asked for and the same ever after.
    ///
    /// # Errors
    /// If none is free.
    pub fn get(&self, name: &str) -> Result<u16, String> {
        if let Some(port) = self.0.borrow().get(name) {
            return Ok(*port);
        }
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let width = RANGE.end - RANGE.start;
        // Processes begin at places of their own.
        let first = std::process::id().wrapping_mul(61) % width;
        let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let port = (0..width)
            .filter_map(|n| u16::try_from(RANGE.start + (first + n) % width).ok())
            .find(|port| !taken.contains(port) && free(port))
            .ok_or_else(|| format!("no port from {} to {} is free", RANGE.start, RANGE.end - 1))?;
        taken.insert(port);
        self.0.borrow_mut().insert(name.to_owned(), port);
        Ok(port)
    }
}

impl Drop for Ports {
    fn drop(&mut self) {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        for port in self.0.borrow().values() {
            taken.remove(port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_keeps_its_name_and_is_nobody_elses() {
        let (a, b) = (Ports::default(), Ports::default());
        let first = a.get("").unwrap();
        assert_eq!(a.get(""), Ok(first));
        assert_ne!(a.get("admin"), Ok(first));
        assert_ne!(b.get(""), Ok(first));
    }

    #[test]
    fn a_busy_port_is_passed_over() {
        let ports = Ports::default();
        let first = ports.get("").unwrap();
        drop(ports);
        let _busy = TcpListener::bind((Ipv4Addr::LOCALHOST, first)).unwrap();
        assert_ne!(Ports::default().get(""), Ok(first));
    }
}
