//! What placeholders stand for in one life of a program.
//!
//! Knows: what a subject is handed. Must not know: what the texts are for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::ports::Ports;
use crate::scenario::{Piece, Slot, pieces};
use crate::subject::{Start, VendorAccess};

/// All that a text can be filled in with.
pub(super) struct Surroundings {
    /// The folder of the subject file.
    pub here: PathBuf,
    vendors: BTreeMap<String, VendorAccess>,
    webhooks: BTreeMap<String, String>,
    state: PathBuf,
    secrets: PathBuf,
    ca: Option<PathBuf>,
    alerts: String,
    seed: u64,
    scale: u32,
    ports: Rc<Ports>,
}

impl Surroundings {
    pub fn new(start: &Start, here: &Path, scale: u32, ports: Rc<Ports>) -> Surroundings {
        Surroundings {
            here: here.to_owned(),
            vendors: start.vendors.clone(),
            webhooks: start.webhook_urls.clone(),
            state: start.state_dir.clone(),
            secrets: start.secrets_dir.clone(),
            ca: start.authority.clone(),
            alerts: start.alert_url.clone(),
            seed: start.seed.0,
            scale,
            ports,
        }
    }

    /// `text` with its placeholders filled in.
    ///
    /// # Errors
    /// If one stands for nothing in this drill.
    pub fn fill(&self, text: &str) -> Result<String, String> {
        let mut filled = String::with_capacity(text.len());
        for piece in pieces(text).map_err(|e| e.to_string())? {
            match piece {
                Piece::Plain(plain) => filled.push_str(&plain),
                Piece::Slot(slot) => filled.push_str(&self.value(&slot)?),
            }
        }
        Ok(filled)
    }

    fn value(&self, slot: &Slot) -> Result<String, String> {
        let vendor = |alias: &str| {
            self.vendors
                .get(alias)
                .ok_or_else(|| format!("this drill has no vendor under the alias `{alias}`"))
        };
        let path = |p: &Path| p.to_string_lossy().into_owned();
        Ok(match slot {
            Slot::VendorUrl(alias) => vendor(alias)?.base_url.clone(),
            Slot::Credential(alias, name) => {
                let credentials = &vendor(alias)?.credentials;
                let found = credentials.get(name).cloned();
                found.ok_or_else(|| {
                    let all: Vec<&str> = credentials.keys().map(String::as_str).collect();
                    format!("the vendor `{alias}` hands over no `{name}`, only: {}", all.join(", "))
                })?
            }
            Slot::WebhookUrl(alias) => {
                let found = self.webhooks.get(alias).cloned();
                found.ok_or_else(|| format!("this drill has no vendor under the alias `{alias}`"))?
            }
            Slot::Port(name) => self.ports.get(name)?.to_string(),
            Slot::State => path(&self.state),
            Slot::Secrets => path(&self.secrets),
            Slot::Ca => {
                let ca = self.ca.as_deref().ok_or("the vendors of this drill are not met over TLS")?;
                path(ca)
            }
            Slot::Alerts => self.alerts.clone(),
            Slot::Seed => self.seed.to_string(),
            Slot::Scale => self.scale.to_string(),
            Slot::Here => path(&self.here),
            Slot::Millis(span) => self.scaled(span.0, 1_000),
            Slot::Seconds(span) => self.scaled(span.0, 1_000_000),
        })
    }

    /// Microseconds, scaled, in whole `unit`s; at least one, unless there was nothing.
    fn scaled(&self, micros: u64, unit: u64) -> String {
        (micros / u64::from(self.scale.max(1))).div_ceil(unit).max(u64::from(micros > 0)).to_string()
    }
}
