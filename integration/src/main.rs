//! The `integration-core` binary. Knows the process: arguments, environment, signals; must not know the business.
//!
//! Exit codes: 0 stopped gracefully, 64 bad usage or configuration, 70 the core failed.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use integration_core::{CancellationToken, Config, Core, CoreError, Policies, SystemClock};
use rand::SeedableRng as _;

const HELP: &str = "\
integration-core: HubSpot deals that reach closedwon become Stripe invoices

Usage: integration-core serve

Required environment:
  STATE_DIR                      directory of the SQLite store
  HUBSPOT_CLIENT_ID              OAuth client id
  HUBSPOT_CLIENT_SECRET          OAuth client secret
  HUBSPOT_REFRESH_TOKEN[_FILE]   OAuth refresh token, or a file that holds it
  STRIPE_API_KEY[_FILE]          Stripe secret key, or a file that holds it (re-read on rotation)

Optional environment:
  LISTEN                         address of webhooks, admin and metrics   [127.0.0.1:8080]
  HUBSPOT_BASE_URL               [https://api.hubapi.com]
  STRIPE_BASE_URL                [https://api.stripe.com]
  STRIPE_VERSION                 pinned API version                       [2024-06-20]
  WEBHOOK_PUBLIC_URL             full URI that HubSpot posts to, as signed
  HUBSPOT_WEBHOOK_SECRETS_FILE   accepted webhook secrets, one a line     [the client secret]
  ALERT_URL                      where alerts are posted as JSON
  CA_FILE                        authorities that vouch for the vendors,
                                 a PEM file                               [the platform's]
  ADMIN_TOKEN                    bearer token for /admin and /metrics
  SYNC_INTERVAL_SECONDS          0 for off                                [300]
  RECONCILE_INTERVAL_SECONDS     0 for off                                [3600]
  WORKERS                        jobs at once                             [4]
  VENDOR_CONCURRENCY             requests at once, per vendor             [8]
  SQLITE_SYNCHRONOUS             full or normal                           [full]
  SQLITE_LOCKING                 shared, or exclusive: nobody else may
                                 open the store, and it is faster         [shared]
  SHUTDOWN_SECONDS               longest graceful stop                    [20]
  DAYS_UNTIL_DUE                 payment terms of an invoice              [30]
  TEMPO                          the core's own waits go this many times as fast: for a
                                 staging system beside fast sandboxes     [1]
  RUST_LOG                       log filter                               [info]

SIGTERM and SIGINT stop gracefully: work in flight is finished or given back to the queue.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("serve"), None) => {}
        (Some("--help" | "-h" | "help"), _) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        (Some("--version" | "-V"), _) => {
            println!("integration-core {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        (Some("serve"), Some(more)) if more == "--help" || more == "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(64);
        }
    }
    let env: BTreeMap<String, String> = std::env::vars().collect();
    let config = match Config::from_env(&env) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("configuration: {error}");
            return ExitCode::from(64);
        }
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();

    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("runtime: {error}");
            return ExitCode::from(70);
        }
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(70)
        }
    }
}

async fn serve(config: Config) -> Result<(), CoreError> {
    let signalled = signalled();
    let entropy = rand::rngs::StdRng::try_from_rng(&mut rand::rngs::SysRng)
        .map_err(|error| CoreError::Credential { name: "entropy", source: std::io::Error::other(error) })?;
    let policies = Policies::default().at_tempo(config.tempo);
    let core = Core::open(config, Arc::new(SystemClock), Box::new(entropy), policies)?;
    let bound = core.bind().await?;
    tracing::info!(addr = %bound.local_addr(), "listening");
    let shutdown = CancellationToken::new();
    let running = bound.run(shutdown.clone());
    tokio::pin!(running);
    tokio::select! {
        biased;
        outcome = &mut running => return outcome,
        () = signalled => tracing::info!("stopping"),
    }
    shutdown.cancel();
    running.await
}

/// Hears of SIGTERM and SIGINT from now on; resolves at the first.
fn signalled() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut term), Ok(mut int)) = signals else { return std::future::pending().await };
        tokio::select! {
            biased;
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
}
