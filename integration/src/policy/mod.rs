//! Every decision that could have been taken otherwise. Knows strategies and their sound defaults; must not know
//! the machinery that follows them.
//!
//! A deployment changes one by assigning a field of [`Policies`]; the rest stays sound.
//!
//! | decision | field | type |
//! |---|---|---|
//! | what an idempotency key is made of | `keys` | [`KeyMint`] |
//! | key lifetime and memory, 409 in use, replayed 500, ambiguous outcome, resume, look first, dead-letter replay | `writes` | [`WriteRule`] |
//! | which failures are worth another attempt | `retry` | [`RetryRule`] |
//! | the wait between attempts | `backoff` | [`Backoff`] |
//! | attempts, deadline, `Retry-After` cap, repeats in an outer layer, retry budget | `patience` | [`Patience`] |
//! | how `Retry-After` is read | `retry_after` | [`RetryAfterReader`] |
//! | timeouts of each stage | `timeouts` | [`Timeouts`] |
//! | how quota headers are read | `quota` | [`QuotaReader`] |
//! | who shares a limiter, own ceilings, slowing down, missing headers | `limiter` | [`LimiterRule`] |
//! | the rate at which a backlog is started | `drain` | [`DrainRule`] |
//! | OAuth refresh, rotation, 401, `invalid_grant` | `refresh` | [`RefreshRule`] |
//! | whose certificate is trusted | `trust` | [`Trust`] |
//! | when the API key is read | `api_key` | [`KeyReading`] |
//! | the circuit breaker | `breaker` | [`BreakerRule`] |
//! | webhook signature | `signature` | [`SignatureRule`] |
//! | acknowledgement, unknown and malformed events, unseen deals | `intake` | [`IntakeRule`] |
//! | duplicate events | `dedup` | [`DedupRule`] |
//! | which state of a deal wins | `freshness` | [`FreshnessRule`] |
//! | scheduled sync | `sync` | [`SyncRule`] |
//! | reconciliation | `reconcile` | [`ReconcileRule`] |
//! | validation and quarantine | `validation` | [`ValidationRule`] |
//! | amounts | `money` | [`MoneyRule`] |
//! | how the fields of a request are written | `wording` | [`Wording`] |
//! | leases, order, completion, job retries, shutdown | `queue` | [`QueueRule`] |
//! | what metrics count | `counting` | [`Counting`] |
//! | what the gauges of dead letters and quarantine count | `tally` | [`Tally`] |
//! | what is worth an alert, and how often | `alerts` | [`AlertRule`] |
//! | where secrets may appear | `disclosure` | [`Disclosure`] |

use std::sync::Arc;

mod auth;
mod breaker;
mod data;
mod limits;
mod quota;
mod retry;
mod tempo;
mod webhook;
mod wording;
mod work;
mod writes;

pub use auth::{KeyReading, OnInvalidGrant, OnUnauthorized, RefreshRule, Rotation, Trust};
pub use breaker::{BreakerRule, Counts, ProbeRelease};
pub use data::{DecimalMoney, MoneyError, MoneyRule, OnInvalid, ValidationRule, currency_decimals};
pub use limits::{DrainRule, LimiterRule, LimiterScope, MissingQuota, Rate};
pub use quota::{AllDialects, Quota, QuotaReader};
pub use retry::{
    AttemptFacts, Backoff, FullJitter, Patience, RetryAfterReader, RetryBudget, RetryRule, Rfc9110RetryAfter,
    Timeouts, TransientOnly,
};
pub use webhook::{
    Acknowledge, DealSource, DedupRule, EventIdentity, FreshnessRule, IntakeRule, Order, PoisonEvent,
    SecretsTried, SignatureCheck, SignatureRule, UnknownEvent, UnseenDeal,
};
pub use wording::{AsDocumented, Wording};
pub use work::{
    AlertRule, Comparison, Completion, Counting, CursorCommit, Disclosure, OnShutdown, Pages, QueueOrder,
    QueueRule, ReconcileRule, Renewal, Repair, SyncRule, Tally, Telling,
};
pub use writes::{
    Ambiguous, Amendment, DerivedKeys, InUse, KeyMemory, KeyMint, KeyScope, ReplayKeys, ReplayedFailure,
    Resume, Unchanged, WriteIntent, WriteRule,
};

/// All decisions, each replaceable; see the module's table.
#[derive(Clone)]
#[allow(missing_docs, reason = "each field is a row of the module's table")]
pub struct Policies {
    pub keys: Arc<dyn KeyMint>,
    pub writes: WriteRule,
    pub retry: Arc<dyn RetryRule>,
    pub backoff: Arc<dyn Backoff>,
    pub patience: Patience,
    pub retry_after: Arc<dyn RetryAfterReader>,
    pub timeouts: Timeouts,
    pub quota: Arc<dyn QuotaReader>,
    pub limiter: LimiterRule,
    pub drain: DrainRule,
    pub refresh: RefreshRule,
    pub trust: Trust,
    pub api_key: KeyReading,
    pub breaker: BreakerRule,
    pub signature: SignatureRule,
    pub intake: IntakeRule,
    pub dedup: DedupRule,
    pub freshness: FreshnessRule,
    pub sync: SyncRule,
    pub reconcile: ReconcileRule,
    pub validation: ValidationRule,
    pub money: Arc<dyn MoneyRule>,
    pub wording: Arc<dyn Wording>,
    pub queue: QueueRule,
    pub counting: Counting,
    pub tally: Tally,
    pub alerts: AlertRule,
    pub disclosure: Disclosure,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            keys: Arc::new(DerivedKeys),
            writes: WriteRule::default(),
            retry: Arc::new(TransientOnly),
            backoff: Arc::new(FullJitter::default()),
            patience: Patience::default(),
            retry_after: Arc::new(Rfc9110RetryAfter),
            timeouts: Timeouts::default(),
            quota: Arc::new(AllDialects),
            limiter: LimiterRule::default(),
            drain: DrainRule::default(),
            refresh: RefreshRule::default(),
            trust: Trust::default(),
            api_key: KeyReading::default(),
            breaker: BreakerRule::default(),
            signature: SignatureRule::default(),
            intake: IntakeRule::default(),
            dedup: DedupRule::default(),
            freshness: FreshnessRule::default(),
            sync: SyncRule::default(),
            reconcile: ReconcileRule::default(),
            validation: ValidationRule::default(),
            money: Arc::new(DecimalMoney),
            wording: Arc::new(AsDocumented),
            queue: QueueRule::default(),
            counting: Counting::default(),
            tally: Tally::default(),
            alerts: AlertRule::default(),
            disclosure: Disclosure::default(),
        }
    }
}
