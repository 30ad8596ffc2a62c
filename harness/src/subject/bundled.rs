//! The bundled integration core as a subject: HubSpot under the alias `crm`, Stripe under `billing`.
//!
//! Knows: how the core is configured and where it can be reached. Must not know: scenarios, faults
//! or checks. The core itself knows nothing of drills; everything here uses its public interface.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use integration_core::{
    AttemptObserver, AttemptOutcome as Attempted, AttemptRecord, CancellationToken, Clock, Config, Core,
    Policies, Vendor,
};

use super::{AttemptLog, AttemptOutcome, Endpoints, Start, Subject, WallClock};

/// The alias under which the core's CRM appears in a scenario.
pub const CRM: &str = "crm";
/// The alias under which the core's billing vendor appears in a scenario.
pub const BILLING: &str = "billing";

/// Changes what the core decides before it starts; how defects are planted, and other decisions taken.
pub type Plant = fn(&mut Config, &mut Policies);

/// The bundled core, sound or with a defect planted.
pub struct Bundled {
    name: String,
    plant: Option<Plant>,
}

impl Bundled {
    /// The core as it ships.
    pub fn sound() -> Bundled {
        Bundled { name: "integration-core".into(), plant: None }
    }

    /// The core with one of its decisions swapped, for worse or for as good.
    pub fn with_defect(name: &str, plant: Plant) -> Bundled {
        Bundled { name: format!("integration-core + {name}"), plant: Some(plant) }
    }
}

impl Subject for Bundled {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, start: Start) -> Pin<Box<dyn Future<Output = Result<(), String>>>> {
        Box::pin(live(start, self.plant))
    }
}

async fn live(mut start: Start, plant: Option<Plant>) -> Result<(), String> {
    let mut config = Config::from_env(&environment(&start)?).map_err(|e| e.to_string())?;
    let mut policies = Policies::default();
    if let Some(plant) = plant {
        plant(&mut config, &mut policies);
    }
    let core = Core::open(
        config,
        Arc::new(DrillClock(start.clock.clone())),
        Box::new(start.seed.stream("integration-core")),
        policies,
    )
    .map_err(|e| e.to_string())?
    .observed_by(Arc::new(Attempts(start.attempts.clone())));
    let bound = core.bind().await.map_err(|e| e.to_string())?;
    start.ready.set(endpoints(&format!("http://{}", bound.local_addr())));

    let shutdown = CancellationToken::new();
    let running = bound.run(shutdown.clone());
    tokio::pin!(running);
    let stopped = async {
        if start.stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        ended = &mut running => return ended.map_err(|e| e.to_string()),
        () = stopped => shutdown.cancel(),
    }
    running.await.map_err(|e| e.to_string())
}

/// The environment that an operator would set, then the scenario's settings over it.
fn environment(start: &Start) -> Result<BTreeMap<String, String>, String> {
    let vendor = |alias: &str| {
        start.vendors.get(alias).ok_or_else(|| {
            format!("the bundled core needs a vendor under the alias `{alias}`; the scenario has none")
        })
    };
    let (crm, billing) = (vendor(CRM)?, vendor(BILLING)?);
    let secret = |alias: &str, name: &str| path(&start.secrets_dir.join(format!("{alias}.{name}")));
    let given = |name: &str| {
        let found = crm.credentials.get(name).cloned();
        found.ok_or_else(|| format!("the vendor behind `{CRM}` hands over no `{name}`"))
    };
    let mut env = BTreeMap::from([
        ("STATE_DIR".to_owned(), path(&start.state_dir)),
        ("LISTEN".to_owned(), "127.0.0.1:0".to_owned()),
        ("SQLITE_SYNCHRONOUS".to_owned(), "normal".to_owned()),
        // Nobody else opens a drill's store; its transactions then need no lock calls.
        ("SQLITE_LOCKING".to_owned(), "exclusive".to_owned()),
        ("ALERT_URL".to_owned(), start.alert_url.clone()),
        ("HUBSPOT_BASE_URL".to_owned(), crm.base_url.clone()),
        ("HUBSPOT_CLIENT_ID".to_owned(), given("client_id")?),
        ("HUBSPOT_CLIENT_SECRET".to_owned(), given("client_secret")?),
        ("HUBSPOT_REFRESH_TOKEN_FILE".to_owned(), secret(CRM, "refresh_token")),
        ("HUBSPOT_WEBHOOK_SECRETS_FILE".to_owned(), secret(CRM, "webhook_secret")),
        ("STRIPE_BASE_URL".to_owned(), billing.base_url.clone()),
        ("STRIPE_API_KEY_FILE".to_owned(), secret(BILLING, "api_key")),
    ]);
    if let Some(file) = &start.authority {
        env.insert("CA_FILE".to_owned(), path(file));
    }
    if let Some(url) = start.webhook_urls.get(CRM) {
        env.insert("WEBHOOK_PUBLIC_URL".to_owned(), url.clone());
    }
    env.extend(start.settings.iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(env)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn endpoints(base: &str) -> Endpoints {
    let at = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, path)| ((*name).to_owned(), format!("{base}{path}"))).collect()
    };
    Endpoints {
        webhooks: at(&[(CRM, "/webhooks/hubspot")]),
        jobs: at(&[
            ("sync", "/admin/jobs/sync"),
            ("reconcile", "/admin/jobs/reconcile"),
            ("replay_dead_letters", "/admin/dead-letters/replay"),
        ]),
        exposed: at(&[
            ("metrics", "/metrics"),
            ("health", "/healthz"),
            ("dead_letters", "/admin/dead-letters"),
            ("quarantine", "/admin/quarantine"),
        ]),
        ..Endpoints::default()
    }
}

struct DrillClock(WallClock);

impl Clock for DrillClock {
    fn now(&self) -> jiff::Timestamp {
        self.0.now()
    }
}

struct Attempts(AttemptLog);

impl AttemptObserver for Attempts {
    fn attempt(&self, record: &AttemptRecord) {
        let vendor = match record.vendor {
            Vendor::HubSpot => CRM,
            Vendor::Stripe => BILLING,
        };
        let outcome = match record.outcome {
            Attempted::ConnectRefused => AttemptOutcome::Refused,
            Attempted::ConnectTimeout => AttemptOutcome::ConnectTimeout,
            Attempted::Status(_) | Attempted::Truncated => AttemptOutcome::Answered,
            Attempted::Reset | Attempted::Timeout | Attempted::Garbage => AttemptOutcome::NoAnswer,
        };
        self.0.note(vendor, outcome);
    }
}
