//! Calling a vendor. Knows attempts, waits and limits; must not know what a call is for.
//!
//! One [`VendorClient`] a vendor: every call goes through its breaker, limiter, retry budget and timeouts.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::alert::{AlertKind, Alerts};
use crate::clock::Clock;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::error::CoreError;
use crate::metrics::Metrics;
use crate::observer::{AttemptObserver, AttemptOutcome, Vendor};
use crate::policy::{
    Ambiguous, AttemptFacts, Counting, InUse, LimiterScope, OnUnauthorized, Policies, ReplayedFailure,
    Telling,
};
use crate::secret::Secret;

mod breaker;
mod budget;
mod failure;
mod gate;
mod limiter;
mod transport;

pub(crate) use breaker::{Breaker, Readiness};
pub(crate) use failure::{BoxFuture, Failure};
pub(crate) use gate::Gate;
pub(crate) use transport::{Reply, Tls, build_http};

use budget::Budget;
use limiter::{Limiter, Purpose};

/// What is sent after the head.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    None,
    Form(String),
    Json(String),
}

/// A credential as it was at the time of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    pub secret: Secret,
}

/// Where the `Authorization` of each attempt comes from.
pub(crate) trait Credentials: Send + Sync {
    /// The credential to use now.
    fn bearer(&self, slot: usize) -> BoxFuture<'_, Result<Bearer, Failure>>;
    /// The vendor answered 401: whether another attempt is worth it.
    fn refused<'a>(&'a self, slot: usize, bearer: &'a Bearer) -> BoxFuture<'a, Result<bool, Failure>>;
}

/// Where the `Idempotency-Key` of each attempt comes from.
pub(crate) trait KeySource: Send + Sync {
    /// The key; `renew` asks for one that was never used.
    fn key(&self, attempt: u32, renew: bool) -> Result<String, Failure>;
}

/// One logical call.
pub(crate) struct Call<'a> {
    pub method: Method,
    /// Path and query, from the first slash.
    pub path: String,
    /// The path with ids replaced, for metrics.
    pub endpoint: &'static str,
    pub body: Body,
    pub credentials: Option<&'a dyn Credentials>,
    pub key: Option<&'a dyn KeySource>,
    /// Repeating does no harm even without a key.
    pub read: bool,
    /// The worker on whose behalf.
    pub slot: usize,
}

/// The parts that a vendor's client shares with the rest of the core.
#[derive(Clone)]
pub(crate) struct Tools {
    pub policies: Arc<Policies>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<Entropy>,
    pub metrics: Arc<Metrics>,
    pub alerts: Arc<Alerts>,
    pub observer: Arc<OnceLock<Arc<dyn AttemptObserver>>>,
}

/// The one way to reach a vendor.
pub(crate) struct VendorClient {
    vendor: Vendor,
    base: String,
    version: Option<String>,
    http: reqwest::Client,
    tools: Tools,
    pub(crate) breaker: Breaker,
    pub(crate) gate: Gate,
    /// Slots from here on are no worker's.
    workers: usize,
    limiters: Vec<Limiter>,
    budget: Option<Budget>,
    in_flight: Semaphore,
}

impl VendorClient {
    pub(crate) fn new(vendor: Vendor, config: &Config, tools: Tools) -> Result<Self, CoreError> {
        let (base, version) = match vendor {
            Vendor::HubSpot => (config.hubspot.base_url.clone(), None),
            Vendor::Stripe => (config.stripe.base_url.clone(), Some(config.stripe.api_version.clone())),
        };
        let limiters = match tools.policies.limiter.scope {
            LimiterScope::Vendor => 1,
            // The last is for what is not a worker: sync, reconciliation, token refresh.
            LimiterScope::Worker => config.workers + 1,
        };
        let tls = Tls { ca_file: config.ca_file.as_deref(), trust: tools.policies.trust };
        let http = build_http(&base, tools.policies.timeouts.connect, tls)?;
        Ok(Self {
            vendor,
            base: base.trim_end_matches('/').to_owned(),
            version,
            http,
            breaker: Breaker::new(tools.policies.breaker),
            gate: Gate::default(),
            workers: config.workers,
            limiters: (0..limiters).map(|_| Limiter::new(vendor, tools.policies.limiter)).collect(),
            budget: tools.policies.patience.budget.map(Budget::new),
            in_flight: Semaphore::new(config.vendor_concurrency.max(1)),
            tools,
        })
    }

    /// Until when every call would be turned away or made to wait, as far as is known now.
    pub(crate) fn paused_until(&self) -> Option<Instant> {
        match self.tools.policies.limiter.scope {
            LimiterScope::Vendor => self.limiters[0].paused_until(),
            LimiterScope::Worker => None,
        }
    }

    /// Whether calls wait for a quota whose end is far, of which somebody was told.
    pub(crate) fn is_out_of_quota(&self) -> bool {
        self.limiters.iter().any(|limiter| limiter.scarce_until().is_some())
    }

    /// Makes the call, with as many attempts as policy allows.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let mut repeats = self.tools.policies.patience.repeats;
        let outcome = loop {
            match self.operation(call).await {
                Err(Failure::Unavailable { .. }) if repeats > 0 => repeats -= 1,
                outcome => break outcome,
            }
        };
        let label = match &outcome {
            Ok(reply) => reply.status.to_string(),
            Err(failure) => failure.label(),
        };
        self.tools.metrics.operation(self.vendor, call.endpoint, &label);
        if self.tools.policies.counting == Counting::OperationsOnly {
            self.tools.metrics.operation_as_request(self.vendor, call.endpoint, &label);
        }
        outcome
    }

    async fn operation(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let policies = &*self.tools.policies;
        let deadline = policies.patience.deadline.map(|limit| Instant::now() + limit);
        let request_id = self.tools.entropy.id();
        let mut attempt = 0u32;
        let mut authorised_again = false;
        let mut renew_key = false;
        if let Some(budget) = &self.budget {
            budget.earn();
        }
        loop {
            attempt += 1;
            self.gate.check()?;
            self.breaker.check()?;
            let bearer = match call.credentials {
                Some(credentials) => Some(credentials.bearer(call.slot).await?),
                None => None,
            };
            self.wait_for_turn(call, deadline).await?;
            let place = self.place(deadline).await?;
            let key = match call.key {
                Some(source) => Some(source.key(attempt, std::mem::take(&mut renew_key))?),
                None => None,
            };
            let permit = self.breaker.admit()?;
            let tried =
                self.attempt(call, attempt, &request_id, bearer.as_ref(), key.as_deref(), deadline).await;
            permit.settle(tried.outcome);
            let Some(facts) = self.learn(call, &tried) else { return Ok(tried.reply()) };
            if let AttemptOutcome::Status(status @ (401 | 403)) = tried.outcome
                && let (Some(credentials), Some(bearer)) = (call.credentials, &bearer)
            {
                let always = policies.refresh.on_unauthorized == OnUnauthorized::RefreshAlways;
                // A rotated Stripe key is 401 or 403; for HubSpot a 403 is a missing scope, which no refresh cures.
                if status == 403 && self.vendor == Vendor::HubSpot {
                    return Err(self.turned_away(policies.refresh.unauthorized_rest));
                }
                if (authorised_again && !always) || attempt >= policies.patience.attempts {
                    return Err(self.turned_away(policies.refresh.unauthorized_rest));
                }
                authorised_again = true;
                drop(place);
                if !credentials.refused(call.slot, bearer).await? {
                    return Err(self.turned_away(policies.refresh.unauthorized_rest));
                }
                continue;
            }
            if let AttemptOutcome::Status(500..) = tried.outcome
                && tried.replayed
                && policies.writes.replayed_failure == ReplayedFailure::LookThenNextGeneration
            {
                return Err(Failure::Indeterminate);
            }
            if call.key.is_some()
                && tried.outcome.is_ambiguous()
                && policies.writes.ambiguous == Ambiguous::GiveUp
            {
                return Err(Failure::Rejected {
                    status: 0,
                    code: "ambiguous".into(),
                    message: tried.outcome.label(),
                });
            }
            let again = policies.retry.again(&AttemptFacts { attempt, ..facts.as_facts(self.vendor, call) });
            if !again {
                return Err(tried.into_failure(&facts));
            }
            // Not the job's failure: it waits for the quota like all others.
            if tried.outcome == AttemptOutcome::Status(429)
                && let until @ Some(_) = self.limiter(call.slot).scarce_until()
                && until >= deadline
                && deadline.is_some()
            {
                return Err(Failure::Held { until, why: "quota" });
            }
            if attempt >= policies.patience.attempts {
                return Err(Failure::Unavailable { why: tried.outcome.label() });
            }
            if facts.code.as_deref() == Some("idempotency_key_in_use")
                && policies.writes.in_use == InUse::FreshKey
            {
                renew_key = true;
            }
            drop(place);
            let own = policies.backoff.delay(attempt, self.tools.entropy.unit());
            let delay = facts.retry_after.map_or(own, |told| told.max(own));
            let resume = Instant::now()
                .checked_add(delay)
                .unwrap_or_else(|| Instant::now() + Duration::from_secs(86_400 * 365));
            if deadline.is_some_and(|deadline| resume >= deadline) {
                return Err(match facts.retry_after {
                    Some(told) if told > own => Failure::Held { until: Some(resume), why: "retry-after" },
                    _ => Failure::Unavailable { why: tried.outcome.label() },
                });
            }
            if self.budget.as_ref().is_some_and(|budget| !budget.spend()) {
                return Err(Failure::Unavailable { why: "retry budget".into() });
            }
            tokio::time::sleep_until(resume).await;
        }
    }

    fn limiter(&self, slot: usize) -> &Limiter {
        &self.limiters[slot.min(self.limiters.len() - 1)]
    }

    async fn wait_for_turn(&self, call: &Call<'_>, deadline: Option<Instant>) -> Result<(), Failure> {
        let limiter = self.limiter(call.slot);
        let purpose = match call.credentials {
            None => Purpose::Token,
            Some(_) if call.slot < self.workers => Purpose::Job,
            Some(_) => Purpose::Upkeep,
        };
        // A wait can be overtaken by a `Retry-After` or by a quota that another answer brings: ask again after it.
        loop {
            match limiter.turn(purpose, deadline)? {
                None => return Ok(()),
                Some(at) => tokio::time::sleep_until(at).await,
            }
        }
    }

    async fn place(&self, deadline: Option<Instant>) -> Result<tokio::sync::SemaphorePermit<'_>, Failure> {
        let held =
            || Failure::Held { until: Some(Instant::now() + Duration::from_secs(1)), why: "concurrency" };
        if let Ok(place) = self.in_flight.try_acquire() {
            return Ok(place);
        }
        let acquired = match deadline {
            Some(deadline) => {
                tokio::time::timeout_at(deadline, self.in_flight.acquire()).await.map_err(|_| held())?
            }
            None => self.in_flight.acquire().await,
        };
        acquired.map_err(|_| held())
    }

    /// Takes in what an attempt tells of quota and waits; `None` for success.
    fn learn(&self, call: &Call<'_>, tried: &transport::Tried) -> Option<transport::Lesson> {
        let policies = &*self.tools.policies;
        let now = self.tools.clock.now();
        let limiter = self.limiter(call.slot);
        if let AttemptOutcome::Status(status) = tried.outcome {
            let mut quotas = policies.quota.read(self.vendor, &tried.headers, now);
            if status == 429
                && let Some(spent) = policies.quota.spent(self.vendor, &tried.body)
            {
                quotas.retain(|quota| quota.name != spent.name);
                quotas.push(spent);
            }
            if let Some(scarce) = limiter.learn(quotas) {
                self.tools.alerts.raise(AlertKind::Quota, self.vendor.name(), &scarce.to_string());
            }
        }
        if matches!(tried.outcome, AttemptOutcome::Status(200..=299)) {
            return None;
        }
        if policies.alerts.telling == Telling::EachFailure {
            let message = format!("{} {}: {}", call.method, call.endpoint, tried.outcome.label());
            self.tools.alerts.raise(AlertKind::FailedAttempt, self.vendor.name(), &message);
        }
        let told = match tried.outcome {
            AttemptOutcome::Status(408 | 429 | 500..=599) => policies.retry_after.read(&tried.headers, now),
            _ => None,
        };
        let told = told.map(|told| policies.patience.retry_after_cap.map_or(told, |cap| told.min(cap)));
        if let Some(told) = told {
            limiter.pause(told);
        }
        Some(tried.lesson(told))
    }

    fn turned_away(&self, rest: Duration) -> Failure {
        let message = match self.vendor {
            Vendor::HubSpot => "the access_token is refused, and a refresh did not cure it",
            Vendor::Stripe => "the API key is refused, and reading it again did not cure it",
        };
        self.tools.alerts.raise(AlertKind::Unauthorized, self.vendor.name(), message);
        let until = Instant::now() + rest;
        self.gate.close(Some(until), "unauthorized");
        // The gate holds the whole queue, and opens early when the credentials change: the job itself is due at once.
        Failure::Held { until: None, why: "unauthorized" }
    }
}

/// The body as bytes, for readers.
impl Reply {
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.body
    }
}

#[cfg(test)]
mod tests;
