//! How a webhook is taken in. Knows the order of checks and acknowledgement; must not know what a deal is.

use std::time::Duration;

/// What the signature is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureCheck {
    /// The body's bytes as they came.
    #[default]
    RawBody,
    /// The body parsed and serialised again.
    ReserialisedJson,
    /// Nothing: every delivery is believed.
    Off,
}

/// Which of the configured secrets are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretsTried {
    /// All, so that a roll loses nothing.
    #[default]
    All,
    /// The first only.
    First,
}

/// How a delivery is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureRule {
    /// What the signature is compared with.
    pub check: SignatureCheck,
    /// Which secrets are tried.
    pub secrets: SecretsTried,
    /// The largest distance between the delivery's timestamp and now, both ways; `None` accepts any.
    /// HubSpot says five minutes.
    pub tolerance: Option<Duration>,
}

impl Default for SignatureRule {
    fn default() -> Self {
        Self {
            check: SignatureCheck::default(),
            secrets: SecretsTried::default(),
            tolerance: Some(Duration::from_secs(300)),
        }
    }
}

/// When a delivery is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acknowledge {
    /// Once its events are committed to the store.
    #[default]
    AfterStoring,
    /// At once; the events are stored a moment ([`IntakeRule::late_store`]) later.
    BeforeStoring,
    /// Once the work that its events ask for is done.
    AfterTheWork,
}

/// What an event of an unknown type gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownEvent {
    /// Acknowledged and counted.
    #[default]
    Acknowledge,
    /// 500 for the whole delivery.
    ServerError,
}

/// What one malformed event does to its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PoisonEvent {
    /// It is quarantined with its payload; the others go on.
    #[default]
    QuarantineIt,
    /// 400 for the whole delivery; nothing is stored.
    FailTheBatch,
}

/// What an update to a deal never seen before gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnseenDeal {
    /// It works like any other: the deal is fetched.
    #[default]
    Process,
    /// It is dropped: no `deal.creation`, nothing to update.
    Drop,
}

/// How a verified delivery is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeRule {
    /// When it is acknowledged.
    pub acknowledge: Acknowledge,
    /// The delay between acknowledging and storing under [`Acknowledge::BeforeStoring`].
    pub late_store: Duration,
    /// What unknown types get.
    pub unknown: UnknownEvent,
    /// What malformed events do.
    pub poison: PoisonEvent,
    /// What updates to unseen deals get.
    pub unseen: UnseenDeal,
}

impl Default for IntakeRule {
    fn default() -> Self {
        Self {
            acknowledge: Acknowledge::default(),
            late_store: Duration::from_millis(200),
            unknown: UnknownEvent::default(),
            poison: PoisonEvent::default(),
            unseen: UnseenDeal::default(),
        }
    }
}

/// What makes two events the same event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventIdentity {
    /// The vendor's `eventId`, which a redelivery keeps.
    #[default]
    EventId,
    /// `eventId` and `attemptNumber`: the identity of a delivery.
    Delivery,
    /// The deal, the type and the property: the identity of what changed, whatever it became.
    Change,
    /// The deal.
    Deal,
    /// Nothing: every event is new.
    None,
}

/// How duplicates are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupRule {
    /// What makes two events the same.
    pub identity: EventIdentity,
    /// How long an event is remembered. HubSpot retries for 24 hours.
    pub retention: Duration,
}

impl Default for DedupRule {
    fn default() -> Self {
        Self { identity: EventIdentity::default(), retention: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// Where a deal's state is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DealSource {
    /// The deal as it is now, fetched.
    #[default]
    CurrentDeal,
    /// The fetched deal, overwritten with the `propertyValue`s of its events in order of arrival.
    EventPayload,
}

/// Whether older state may replace newer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// State whose `updatedAt` is older than what was applied is ignored.
    #[default]
    UpdatedAt,
    /// Whatever came last wins.
    Arrival,
}

/// How a deal's newest state is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FreshnessRule {
    /// Where the state is taken from.
    pub source: DealSource,
    /// Which state wins.
    pub order: Order,
}
