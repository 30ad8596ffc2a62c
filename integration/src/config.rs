//! The configuration. Knows every setting, its unit and its environment variable; must not know how a setting is used.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Where a credential comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialSource {
    /// Given once, for the life of the process.
    Literal(Secret),
    /// A file, read again whenever the credential is needed, so that a rotation needs no restart.
    File(PathBuf),
}

impl CredentialSource {
    /// The credential as it is now, without surrounding white space.
    pub fn read(&self) -> std::io::Result<Secret> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::File(path) => Ok(Secret::new(std::fs::read_to_string(path)?.trim())),
        }
    }

    /// Every non-empty line as one credential.
    pub fn read_lines(&self) -> std::io::Result<Vec<Secret>> {
        let text = self.read()?;
        let lines = text.expose().lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(Secret::from).collect())
    }
}

/// How hard SQLite pushes a commit to the disk (`PRAGMA synchronous`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Survives a power cut.
    #[default]
    Full,
    /// Survives a killed process, not always a power cut.
    Normal,
}

/// Who may open the store while the core runs (`PRAGMA locking_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Locking {
    /// Others may: a backup, or somebody who looks with the `sqlite3` shell.
    #[default]
    Shared,
    /// Nobody may: a second core on the same state is refused, and a transaction costs fewer system calls.
    Exclusive,
}

/// Settings of the HubSpot side.
#[derive(Debug, Clone)]
pub struct HubSpotConfig {
    /// Scheme, host and port, without a trailing slash. `HUBSPOT_BASE_URL`.
    pub base_url: String,
    /// OAuth client id. `HUBSPOT_CLIENT_ID`.
    pub client_id: String,
    /// OAuth client secret, also the default webhook secret. `HUBSPOT_CLIENT_SECRET`.
    pub client_secret: Secret,
    /// The refresh token first granted. `HUBSPOT_REFRESH_TOKEN` or `HUBSPOT_REFRESH_TOKEN_FILE`.
    /// A rotated successor lives in the store, until this source changes.
    pub refresh_token: CredentialSource,
    /// Webhook secrets, one a line; all are accepted. `HUBSPOT_WEBHOOK_SECRETS_FILE`, else the client secret.
    pub webhook_secrets: CredentialSource,
    /// The full URI that HubSpot posts to, as it signs it. `WEBHOOK_PUBLIC_URL`.
    /// Without it, `http://` + the `Host` header + the path.
    pub webhook_public_url: Option<String>,
}

/// Settings of the Stripe side.
#[derive(Debug, Clone)]
pub struct StripeConfig {
    /// Scheme, host and port, without a trailing slash. `STRIPE_BASE_URL`.
    pub base_url: String,
    /// The API key. `STRIPE_API_KEY` or `STRIPE_API_KEY_FILE`.
    pub api_key: CredentialSource,
    /// The pinned `Stripe-Version`. `STRIPE_VERSION`.
    pub api_version: String,
}

/// Everything that an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Directory of the SQLite store; created when absent. `STATE_DIR`.
    pub state_dir: PathBuf,
    /// Where webhooks, admin and metrics are served. `LISTEN`.
    pub listen: SocketAddr,
    /// The CRM.
    pub hubspot: HubSpotConfig,
    /// Billing.
    pub stripe: StripeConfig,
    /// Where alerts are posted as JSON. `ALERT_URL`.
    pub alert_url: Option<String>,
    /// The authorities that vouch for the vendors' hosts, a PEM file; the platform's, if unset. `CA_FILE`.
    pub ca_file: Option<PathBuf>,
    /// Bearer token that `/admin` and `/metrics` ask for. `ADMIN_TOKEN`.
    pub admin_token: Option<Secret>,
    /// Time between two syncs; `None` turns the schedule off. `SYNC_INTERVAL_SECONDS`, 0 for off.
    pub sync_interval: Option<Duration>,
    /// Time between two reconciliations; `None` turns the schedule off. `RECONCILE_INTERVAL_SECONDS`, 0 for off.
    pub reconcile_interval: Option<Duration>,
    /// Jobs worked on at once. `WORKERS`.
    pub workers: usize,
    /// HTTP requests in flight at once, per vendor. `VENDOR_CONCURRENCY`.
    pub vendor_concurrency: usize,
    /// Durability of a commit. `SQLITE_SYNCHRONOUS`: `full` or `normal`.
    pub synchronous: Synchronous,
    /// Who else may open the store meanwhile. `SQLITE_LOCKING`: `shared` or `exclusive`.
    pub locking: Locking,
    /// How long a graceful stop may take before what is in flight is given back to the queue. `SHUTDOWN_SECONDS`.
    pub shutdown_deadline: Duration,
    /// Days that a customer has to pay. `DAYS_UNTIL_DUE`.
    pub days_until_due: u32,
    /// The stages that a deal may be in; one in any other is quarantined, as nobody knows whether it is won. Empty for
    /// any. `DEAL_STAGES`, comma-separated, `*` for any; those of HubSpot's default pipeline if unset.
    pub deal_stages: Vec<String>,
    /// How many times as fast as in production the core's own waits go (schedules, backoff,
    /// timeouts, leases, rates): for a staging system whose vendors are sandboxes that go as fast. `TEMPO`.
    pub tempo: u32,
}

/// The stages of HubSpot's default sales pipeline, by internal name.
const DEFAULT_STAGES: [&str; 7] = [
    "appointmentscheduled",
    "qualifiedtobuy",
    "presentationscheduled",
    "decisionmakerboughtin",
    "contractsent",
    "closedwon",
    "closedlost",
];

/// A configuration that cannot be used, naming the variable at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A required variable is absent or empty.
    #[error("{0} is required and not set")]
    Missing(&'static str),
    /// A variable is set to something that cannot be used.
    #[error("{name} is {value:?}: expected {expected}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it was set to.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
}

impl Config {
    /// A configuration for the given vendors, with every default in place.
    pub fn new(state_dir: impl Into<PathBuf>, hubspot: HubSpotConfig, stripe: StripeConfig) -> Self {
        Self {
            state_dir: state_dir.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            hubspot,
            stripe,
            alert_url: None,
            ca_file: None,
            admin_token: None,
            sync_interval: Some(Duration::from_secs(300)),
            reconcile_interval: Some(Duration::from_secs(3600)),
            workers: 4,
            vendor_concurrency: 8,
            synchronous: Synchronous::Full,
            locking: Locking::Shared,
            shutdown_deadline: Duration::from_secs(20),
            days_until_due: 30,
            deal_stages: DEFAULT_STAGES.map(str::to_owned).to_vec(),
            tempo: 1,
        }
    }

    /// Reads the configuration from environment variables, given as a map.
    pub fn from_env(env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let env = Env(env);
        let client_secret = Secret::from(env.required("HUBSPOT_CLIENT_SECRET")?);
        let webhook_secrets = match env.get("HUBSPOT_WEBHOOK_SECRETS_FILE") {
            Some(path) => CredentialSource::File(path.into()),
            None => CredentialSource::Literal(client_secret.clone()),
        };
        let hubspot = HubSpotConfig {
            base_url: env.url("HUBSPOT_BASE_URL")?.unwrap_or_else(|| "https://api.hubapi.com".into()),
            client_id: env.required("HUBSPOT_CLIENT_ID")?.to_owned(),
            client_secret,
            refresh_token: env.credential("HUBSPOT_REFRESH_TOKEN", "HUBSPOT_REFRESH_TOKEN_FILE")?,
            webhook_secrets,
            webhook_public_url: env.url("WEBHOOK_PUBLIC_URL")?,
        };
        let stripe = StripeConfig {
            base_url: env.url("STRIPE_BASE_URL")?.unwrap_or_else(|| "https://api.stripe.com".into()),
            api_key: env.credential("STRIPE_API_KEY", "STRIPE_API_KEY_FILE")?,
            api_version: env.get("STRIPE_VERSION").unwrap_or("2024-06-20").to_owned(),
        };
        let mut config = Self::new(env.required("STATE_DIR")?, hubspot, stripe);
        if let Some(listen) = env.get("LISTEN") {
            config.listen =
                listen.parse().map_err(|_| invalid("LISTEN", listen, "an address such as 0.0.0.0:8080"))?;
        }
        config.alert_url = env.url("ALERT_URL")?;
        config.ca_file = env.get("CA_FILE").map(PathBuf::from);
        config.admin_token = env.get("ADMIN_TOKEN").map(Secret::from);
        if let Some(seconds) = env.number("SYNC_INTERVAL_SECONDS")? {
            config.sync_interval = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        if let Some(seconds) = env.number("RECONCILE_INTERVAL_SECONDS")? {
            config.reconcile_interval = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        if let Some(workers) = env.positive("WORKERS")? {
            config.workers = workers;
        }
        if let Some(requests) = env.positive("VENDOR_CONCURRENCY")? {
            config.vendor_concurrency = requests;
        }
        if let Some(text) = env.get("SQLITE_SYNCHRONOUS") {
            config.synchronous = match text.to_ascii_lowercase().as_str() {
                "full" => Synchronous::Full,
                "normal" => Synchronous::Normal,
                _ => return Err(invalid("SQLITE_SYNCHRONOUS", text, "full or normal")),
            };
        }
        if let Some(text) = env.get("SQLITE_LOCKING") {
            config.locking = match text.to_ascii_lowercase().as_str() {
                "shared" => Locking::Shared,
                "exclusive" => Locking::Exclusive,
                _ => return Err(invalid("SQLITE_LOCKING", text, "shared or exclusive")),
            };
        }
        if let Some(seconds) = env.number("SHUTDOWN_SECONDS")? {
            config.shutdown_deadline = Duration::from_secs(seconds);
        }
        if let Some(stages) = env.get("DEAL_STAGES") {
            let named = stages.split(',').map(str::trim).filter(|stage| !stage.is_empty());
            config.deal_stages =
                if stages.trim() == "*" { Vec::new() } else { named.map(str::to_owned).collect() };
            if stages.trim() != "*"
                && !config.deal_stages.iter().any(|stage| stage == crate::mapping::CLOSED_WON)
            {
                let expected = "stages, closedwon among them, or *";
                return Err(invalid("DEAL_STAGES", stages, expected));
            }
        }
        if let Some(tempo) = env.positive("TEMPO")? {
            let expected = "a whole number from 1 to 1000";
            let tempo = u32::try_from(tempo).ok().filter(|tempo| *tempo <= 1000);
            config.tempo = tempo.ok_or_else(|| invalid("TEMPO", env.get("TEMPO").unwrap_or(""), expected))?;
            config.shutdown_deadline /= config.tempo;
            config.sync_interval = config.sync_interval.map(|every| every / config.tempo);
            config.reconcile_interval = config.reconcile_interval.map(|every| every / config.tempo);
        }
        if let Some(days) = env.number("DAYS_UNTIL_DUE")? {
            let expected = "a number of days, at most 365";
            let days = u32::try_from(days).ok().filter(|days| *days <= 365);
            config.days_until_due = days.ok_or_else(|| {
                invalid("DAYS_UNTIL_DUE", env.get("DAYS_UNTIL_DUE").unwrap_or(""), expected)
            })?;
        }
        Ok(config)
    }
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::Invalid { name, value: value.to_owned(), expected }
}

struct Env<'a>(&'a BTreeMap<String, String>);

impl<'a> Env<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn required(&self, name: &'static str) -> Result<&'a str, ConfigError> {
        self.get(name).ok_or(ConfigError::Missing(name))
    }

    fn credential(&self, literal: &'static str, file: &'static str) -> Result<CredentialSource, ConfigError> {
        match (self.get(file), self.get(literal)) {
            (Some(path), _) => Ok(CredentialSource::File(path.into())),
            (None, Some(text)) => Ok(CredentialSource::Literal(text.into())),
            (None, None) => Err(ConfigError::Missing(literal)),
        }
    }

    fn url(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let uri: http::Uri = text.parse().map_err(|_| invalid(name, text, "an http or https URL"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(_)) => Ok(Some(text.trim_end_matches('/').to_owned())),
            _ => Err(invalid(name, text, "an http or https URL")),
        }
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, ConfigError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| invalid(name, text, "a whole number"))
    }

    fn positive(&self, name: &'static str) -> Result<Option<usize>, ConfigError> {
        match self.number(name)? {
            Some(0) => Err(invalid(name, "0", "a number above zero")),
            Some(n) => Ok(usize::try_from(n).ok()),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minimal() -> BTreeMap<String, String> {
        [
            ("STATE_DIR", "/var/lib/core"),
            ("HUBSPOT_CLIENT_ID", "id"),
            ("HUBSPOT_CLIENT_SECRET", "shh"),
            ("HUBSPOT_REFRESH_TOKEN", "r1"),
            ("STRIPE_API_KEY", "sk_test"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    #[test]
    fn the_minimum_is_enough() {
        let config = Config::from_env(&minimal()).unwrap();
        assert_eq!(config.hubspot.base_url, "https://api.hubapi.com");
        assert_eq!(config.workers, 4);
    }

    #[test]
    fn a_tempo_shortens_the_schedules() {
        let mut env = minimal();
        env.insert("TEMPO".into(), "60".into());
        let config = Config::from_env(&env).unwrap();
        assert_eq!(config.sync_interval, Some(Duration::from_secs(5)));
        assert_eq!(config.reconcile_interval, Some(Duration::from_secs(60)));
        env.insert("TEMPO".into(), "1e3".into());
        assert!(Config::from_env(&env).unwrap_err().to_string().starts_with("TEMPO is"));
    }

    #[test]
    fn a_missing_variable_is_named() {
        let mut env = minimal();
        env.remove("STRIPE_API_KEY");
        assert_eq!(Config::from_env(&env).unwrap_err().to_string(), "STRIPE_API_KEY is required and not set");
    }

    #[test]
    fn a_bad_value_is_named_with_what_was_expected() {
        let mut env = minimal();
        env.insert("STRIPE_BASE_URL".into(), "ftp://x".into());
        let message = Config::from_env(&env).unwrap_err().to_string();
        assert_eq!(message, "STRIPE_BASE_URL is \"ftp://x\": expected an http or https URL");
    }
}
