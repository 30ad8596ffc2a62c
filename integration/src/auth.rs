//! Credentials of both vendors. Knows refresh, rotation and refusal; must not know what calls they are for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use tokio::time::Instant;

use crate::alert::AlertKind;
use crate::client::{Bearer, Body, BoxFuture, Call, Credentials, Failure, Tools, VendorClient};
use crate::clock::now_ms;
use crate::config::{CredentialSource, HubSpotConfig};
use crate::policy::{KeyReading, OnInvalidGrant, OnUnauthorized, Rotation};
use crate::secret::Secret;
use crate::shape::{self, Shape};
use crate::store::{Store, StoredToken};

/// The name that HubSpot's tokens are stored under.
const HUBSPOT: &str = "hubspot";

/// Stripe's API key.
pub(crate) struct ApiKey {
    source: CredentialSource,
    at_start: Option<Secret>,
    refused: Mutex<Option<String>>,
    tools: Tools,
}

impl ApiKey {
    pub(crate) fn new(source: CredentialSource, tools: Tools) -> Self {
        let at_start = match tools.policies.api_key {
            KeyReading::AtStart => source.read().ok(),
            KeyReading::EveryAttempt => None,
        };
        Self { source, at_start, refused: Mutex::default(), tools }
    }

    fn read(&self) -> Result<Secret, Failure> {
        match &self.at_start {
            Some(secret) => Ok(secret.clone()),
            None => self.source.read().map_err(|error| unreadable(&self.tools, "stripe", &error)),
        }
    }

    /// Whether the key differs from the one that was refused.
    pub(crate) fn changed(&self) -> bool {
        let refused = lock(&self.refused).clone();
        refused.is_some_and(|refused| self.read().is_ok_and(|now| now.fingerprint() != refused))
    }
}

impl Credentials for ApiKey {
    fn bearer(&self, _slot: usize) -> BoxFuture<'_, Result<Bearer, Failure>> {
        Box::pin(std::future::ready(self.read().map(|secret| Bearer { secret })))
    }

    fn refused<'a>(&'a self, _slot: usize, bearer: &'a Bearer) -> BoxFuture<'a, Result<bool, Failure>> {
        *lock(&self.refused) = Some(bearer.secret.fingerprint());
        Box::pin(std::future::ready(self.read().map(|now| now != bearer.secret)))
    }
}

fn unreadable(tools: &Tools, vendor: &'static str, error: &std::io::Error) -> Failure {
    tools.alerts.raise(AlertKind::Unauthorized, vendor, &format!("credential cannot be read: {error}"));
    let until = Instant::now() + tools.policies.refresh.look_every;
    Failure::Held { until: Some(until), why: "credential unreadable" }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// HubSpot's access token and the refresh token behind it.
pub(crate) struct OAuth {
    client: Arc<VendorClient>,
    config: HubSpotConfig,
    store: Arc<Store>,
    tools: Tools,
    current: Mutex<Option<StoredToken>>,
    flight: tokio::sync::Mutex<()>,
    forced: Mutex<Option<Instant>>,
}

impl OAuth {
    pub(crate) fn new(
        client: Arc<VendorClient>,
        config: HubSpotConfig,
        store: Arc<Store>,
        tools: Tools,
    ) -> Result<Self, rusqlite::Error> {
        let stored = store.token(HUBSPOT)?;
        let seed = config.refresh_token.read().ok().map(|token| token.fingerprint());
        let current = stored.filter(|token| Some(&token.seed) == seed.as_ref());
        Ok(Self {
            client,
            config,
            store,
            tools,
            current: Mutex::new(current),
            flight: tokio::sync::Mutex::new(()),
            forced: Mutex::default(),
        })
    }

    /// When the access token expires, in milliseconds since the epoch; `None` without one.
    pub(crate) fn expires_ms(&self) -> Option<i64> {
        lock(&self.current).as_ref().filter(|token| token.access.is_some()).map(|token| token.expires_ms)
    }

    /// Whether the configured refresh token differs from the one that was refused.
    pub(crate) fn changed(&self) -> bool {
        let refused = lock(&self.current).as_ref().and_then(|token| token.refused.clone());
        let seed = lock(&self.current).as_ref().map(|token| token.seed.clone());
        let now = self.config.refresh_token.read().map(|token| token.fingerprint());
        now.is_ok_and(|now| refused.or(seed).is_some_and(|old| old != now))
    }

    /// The access token, if it will last for another while.
    fn usable(&self) -> Option<Secret> {
        let rule = &self.tools.policies.refresh;
        let current = lock(&self.current);
        let token = current.as_ref()?;
        let access = token.access.clone()?;
        if !rule.proactive {
            return Some(access);
        }
        let share = (token.lifetime_ms as f64 * rule.margin_share) as i64;
        // A token that lives shorter than the margin is used for half its life.
        let margin =
            i64::try_from(rule.margin.as_millis()).unwrap_or(i64::MAX).max(share).min(token.lifetime_ms / 2);
        (token.expires_ms - margin > now_ms(&*self.tools.clock)).then_some(access)
    }

    async fn token(&self, slot: usize) -> Result<Secret, Failure> {
        if let Some(access) = self.usable() {
            return Ok(access);
        }
        if !self.tools.policies.refresh.single_flight {
            return self.refresh(slot).await;
        }
        let _flight = self.flight.lock().await;
        match self.usable() {
            Some(access) => Ok(access),
            None => self.refresh(slot).await,
        }
    }

    async fn replace(&self, slot: usize, refused: &Secret) -> Result<bool, Failure> {
        let rule = &self.tools.policies.refresh;
        let _flight = match rule.single_flight {
            true => Some(self.flight.lock().await),
            false => None,
        };
        let newer = lock(&self.current)
            .as_ref()
            .and_then(|token| token.access.clone())
            .is_some_and(|now| now != *refused);
        if newer && rule.single_flight {
            return Ok(true);
        }
        if rule.on_unauthorized == OnUnauthorized::RefreshOnce {
            let mut forced = lock(&self.forced);
            if forced.is_some_and(|last| last.elapsed() < rule.forced_every) {
                return Ok(false);
            }
            *forced = Some(Instant::now());
        }
        self.refresh(slot).await.map(|_| true)
    }

    async fn refresh(&self, slot: usize) -> Result<Secret, Failure> {
        let rule = &self.tools.policies.refresh;
        let configured =
            self.config.refresh_token.read().map_err(|error| unreadable(&self.tools, HUBSPOT, &error))?;
        let seed = configured.fingerprint();
        let known = lock(&self.current).clone().filter(|token| token.seed == seed);
        let mut token = known.unwrap_or_else(|| StoredToken {
            seed: seed.clone(),
            refresh: configured.clone(),
            access: None,
            expires_ms: 0,
            lifetime_ms: 0,
            refused: None,
        });
        if token.refused.as_ref() == Some(&seed) && rule.on_invalid_grant != OnInvalidGrant::TryAgain {
            return Err(self.refused_grant(token));
        }
        let refresh = match rule.rotation {
            Rotation::Discard => configured,
            _ => token.refresh.clone(),
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("client_secret", self.config.client_secret.expose())
            .append_pair("refresh_token", refresh.expose())
            .finish();
        let asked_ms = now_ms(&*self.tools.clock);
        let call = Call {
            method: Method::POST,
            path: "/oauth/v1/token".into(),
            endpoint: "/oauth/v1/token",
            body: Body::Form(form),
            credentials: None,
            key: None,
            read: true,
            slot,
        };
        let reply = match self.client.call(&call).await {
            Ok(reply) => reply,
            Err(Failure::Rejected { code, .. })
                if matches!(code.as_str(), "BAD_REFRESH_TOKEN" | "invalid_grant") =>
            {
                token.refused = Some(seed);
                return Err(self.refused_grant(token));
            }
            Err(Failure::Rejected { status, code, message }) => {
                let message = format!("token request refused with {status} {code}: {message}");
                self.tools.alerts.raise(AlertKind::Unauthorized, HUBSPOT, &message);
                let until = Instant::now() + rule.unauthorized_rest;
                self.client.gate.close(Some(until), "unauthorized");
                return Err(Failure::Held { until: None, why: "unauthorized" });
            }
            Err(failure) => return Err(failure),
        };
        // The answer holds secrets: it is never quarantined with its payload.
        let answer =
            shape::read(&reply, Shape::Token, "/oauth/v1/token", self.tools.policies.validation.strict)
                .map_err(|failure| match failure {
                    Failure::Invalid { source, reason, .. } => {
                        Failure::Invalid { source, reason, payload: "(withheld: a token answer)".into() }
                    }
                    other => other,
                })?;
        let access = Secret::from(answer["access_token"].as_str().unwrap_or_default());
        let lifetime_ms = shape::whole(&answer["expires_in"]).unwrap_or_default().saturating_mul(1000);
        if let Some(rotated) = answer["refresh_token"].as_str().filter(|text| !text.is_empty()) {
            token.refresh = Secret::from(rotated);
        }
        token.access = Some(access.clone());
        token.expires_ms = asked_ms.saturating_add(lifetime_ms);
        token.lifetime_ms = lifetime_ms;
        token.refused = None;
        if rule.rotation == Rotation::StoreBeforeUse {
            self.store.save_token(HUBSPOT, &token)?;
        }
        *lock(&self.current) = Some(token);
        tracing::info!(vendor = HUBSPOT, lifetime_s = lifetime_ms / 1000, "access token refreshed");
        Ok(access)
    }

    fn refused_grant(&self, token: StoredToken) -> Failure {
        let rule = &self.tools.policies.refresh;
        if rule.on_invalid_grant == OnInvalidGrant::TryAgain {
            return Failure::Held {
                until: Some(Instant::now() + std::time::Duration::from_secs(1)),
                why: "invalid_grant",
            };
        }
        if rule.on_invalid_grant == OnInvalidGrant::AlertAndHold {
            let message = "HubSpot refuses the refresh_token; nothing is read until the credentials change";
            self.tools.alerts.raise(AlertKind::InvalidGrant, HUBSPOT, message);
        }
        if let Err(error) = self.store.save_token(HUBSPOT, &token) {
            return Failure::Store(error);
        }
        *lock(&self.current) = Some(token);
        self.client.gate.close(None, "invalid_grant");
        Failure::Held { until: None, why: "invalid_grant" }
    }
}

impl Credentials for OAuth {
    fn bearer(&self, slot: usize) -> BoxFuture<'_, Result<Bearer, Failure>> {
        Box::pin(async move { self.token(slot).await.map(|secret| Bearer { secret }) })
    }

    fn refused<'a>(&'a self, slot: usize, bearer: &'a Bearer) -> BoxFuture<'a, Result<bool, Failure>> {
        Box::pin(self.replace(slot, &bearer.secret))
    }
}
