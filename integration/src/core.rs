//! The core as a whole: opened, bound, run. Knows how the parts are put together; must not know how any part decides.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::Rng;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alert::Alerts;
use crate::auth::{ApiKey, OAuth};
use crate::client::{Tls, Tools, VendorClient, build_http};
use crate::clock::Clock;
use crate::config::Config;
use crate::context::Context;
use crate::entropy::Entropy;
use crate::error::CoreError;
use crate::metrics::Metrics;
use crate::observer::{AttemptObserver, Vendor};
use crate::policy::{Outbox, Policies};
use crate::store::Store;
use crate::vendor::{HubSpot, Stripe};
use crate::webhook::Delivery;
use crate::{admin, reconcile, server, sync, webhook, worker};

/// How long a stop waits for alerts to be accepted.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The integration, opened on its state and not yet listening.
pub struct Core {
    ctx: Arc<Context>,
    observer: Arc<OnceLock<Arc<dyn AttemptObserver>>>,
    late: mpsc::UnboundedReceiver<Delivery>,
}

impl Core {
    /// Opens the store in `config.state_dir`, creating or migrating it, and resumes whatever is in it.
    pub fn open(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Box<dyn Rng + Send>,
        policies: Policies,
    ) -> Result<Self, CoreError> {
        let policies = Arc::new(policies);
        let entropy = Arc::new(Entropy::new(entropy));
        let metrics = Arc::new(Metrics::new());
        let observer = Arc::new(OnceLock::new());
        let store = Arc::new(Store::open(&config.state_dir, config.synchronous, config.locking)?);
        let outbox = match (&config.alert_url, policies.alerts.outbox) {
            (None, _) => None,
            (Some(_), Outbox::Store) => Some(store.clone()),
            (Some(_), Outbox::Process) => Some(Arc::new(Store::in_memory()?)),
        };
        let alerts = Arc::new(Alerts::new(clock.clone(), metrics.clone(), policies.alerts, outbox));
        let tools = Tools {
            policies: policies.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            metrics: metrics.clone(),
            alerts: alerts.clone(),
            observer: observer.clone(),
        };
        let strict = policies.validation.strict;
        let crm = Arc::new(VendorClient::new(Vendor::HubSpot, &config, tools.clone())?);
        let oauth = OAuth::new(crm.clone(), config.hubspot.clone(), store.clone(), tools.clone())?;
        let billing = Arc::new(VendorClient::new(Vendor::Stripe, &config, tools.clone())?);
        let key = ApiKey::new(config.stripe.api_key.clone(), tools);
        let (late_outbox, late) = mpsc::unbounded_channel();
        let hubspot = HubSpot { client: crm, oauth, strict, wording: policies.wording.clone() };
        let stripe = Stripe { client: billing, key, strict };
        let ctx = Context::new(
            config,
            policies,
            clock,
            entropy,
            metrics,
            alerts,
            store,
            hubspot,
            stripe,
            late_outbox,
        );
        Ok(Self { ctx: Arc::new(ctx), observer, late })
    }

    /// Lets `observer` hear of every HTTP attempt. The first one set stays.
    pub fn observed_by(self, observer: Arc<dyn AttemptObserver>) -> Self {
        let _ = self.observer.set(observer);
        self
    }

    /// Starts listening on `config.listen`; requests wait until [`Bound::run`].
    pub async fn bind(self) -> Result<Bound, CoreError> {
        let addr = self.ctx.config.listen;
        let listener = TcpListener::bind(addr).await.map_err(|source| CoreError::Listen { addr, source })?;
        self.bind_to(listener)
    }

    /// Takes a listener that is already bound, such as one kept across a restart.
    pub fn bind_to(self, listener: TcpListener) -> Result<Bound, CoreError> {
        let wanted = self.ctx.config.listen;
        let addr = listener.local_addr().map_err(|source| CoreError::Listen { addr: wanted, source })?;
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
        let Self { core: Core { ctx, late, .. }, listener, .. } = self;
        // Tasks that are told to end are dropped a little later: the store must be free before that.
        let _closing = Closing(ctx.clone());
        let mut background: JoinSet<Result<(), rusqlite::Error>> = JoinSet::new();
        if let Some(url) = ctx.config.alert_url.clone() {
            let post = build_http(&url, Some(Duration::from_secs(5)), Tls::default())?;
            let alerts = ctx.alerts.clone();
            background.spawn(async move { alerts.deliver(&url, &post).await });
        }
        background.spawn(sync::schedule(ctx.clone()));
        background.spawn(reconcile::schedule(ctx.clone()));
        background.spawn(forget_old_events(ctx.clone()));
        background.spawn(webhook::store_late(ctx.clone(), late));

        // Not spawned, so that dropping this future frees the port at once.
        let serving = server::serve(
            listener,
            admin::router(ctx.clone()),
            shutdown.clone(),
            ctx.config.shutdown_deadline,
        );
        let dispatching = worker::dispatch(ctx.clone(), shutdown);
        tokio::pin!(serving, dispatching);
        let (mut served, mut dispatched) = (false, false);
        while !(served && dispatched) {
            tokio::select! {
                biased;
                () = &mut serving, if !served => served = true,
                outcome = &mut dispatching, if !dispatched => {
                    outcome?;
                    dispatched = true;
                }
                Some(ended) = background.join_next() => match ended {
                    Ok(outcome) => outcome?,
                    Err(error) => rethrow(error),
                },
            }
        }
        // What was raised while stopping is told now; what is not accepted by then, after the next start.
        if ctx.policies.alerts.outbox == Outbox::Store {
            let told = tokio::time::timeout(LAST_WORDS / ctx.config.tempo.max(1), ctx.alerts.delivered());
            told.await.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// Closes the store when the core ends, in whatever way.
struct Closing(Arc<Context>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.store.close();
    }
}

/// A part that panicked takes the core with it: its supervisor starts it again from what was committed.
fn rethrow(error: tokio::task::JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

/// Forgets events that are older than duplicates can be, once at the start and then twice a retention.
async fn forget_old_events(ctx: Arc<Context>) -> Result<(), rusqlite::Error> {
    let retention = ctx.policies.dedup.retention;
    let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    loop {
        ctx.store.forget_events(ctx.now_ms().saturating_sub(retention_ms))?;
        tokio::time::sleep((retention / 2).max(Duration::from_secs(60))).await;
    }
}
