//! The mapping: which field of a deal becomes which field of an invoice. Knows both vocabularies; must not know I/O.
//!
//! | deal (HubSpot) | invoice (Stripe) | how |
//! |---|---|---|
//! | `id` | `metadata[deal_id]` | as it is |
//! | `properties.dealname` | item `description` | trimmed |
//! | `properties.amount` | item `amount` | decimal → minor units, exactly ([`MoneyRule`]) |
//! | `properties.deal_currency_code` | `currency` | lower case |
//! | `properties.billing_email` | customer `email` | trimmed, lower case |
//! | `properties.billing_name` | customer `name` | trimmed |
//! | `properties.closedate` | `metadata[deal_closed_at]` | ISO 8601 → seconds since the epoch |
//! | `updatedAt` | (ledger) | ISO 8601 → milliseconds since the epoch: which state is newer |
//!
//! Nothing stands in for what is missing, and nothing is left out: a customer named after a deal, an
//! item called "Deal" or an invoice without its date is what a vendor that emptied the field would
//! have us write for weeks. HubSpot dates a deal when it is won, so a won deal without a date is none.

use jiff::Timestamp;
use serde_json::Value;

use crate::policy::{MoneyError, MoneyRule};

/// The stage in which a deal is invoiced.
pub(crate) const CLOSED_WON: &str = "closedwon";

/// The properties that are asked for, comma-separated.
pub(crate) const PROPERTIES: &str =
    "dealname,amount,deal_currency_code,closedate,dealstage,billing_email,billing_name,hs_lastmodifieddate";

/// A deal, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deal {
    pub id: String,
    pub won: bool,
    pub updated_ms: i64,
    /// `hs_lastmodifieddate`, for the sync cursor.
    pub modified_ms: i64,
}

/// What is to be invoiced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub email: String,
    pub name: String,
    pub description: String,
    pub amount: i64,
    pub currency: String,
    /// `None` only of terms that were guessed.
    pub closed_s: Option<i64>,
}

/// A deal that is well-formed and cannot be invoiced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MappingError {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("dealstage {0:?} is none of the stages that we know")]
    Stage(String),
    #[error("{0} is not a date: {1:?}")]
    Date(&'static str, String),
    #[error("{0} has {1} characters; the billing vendor takes at most {2}")]
    TooLong(&'static str, usize, usize),
    #[error("billing_email is not an address: {0:?}")]
    Email(String),
    #[error(transparent)]
    Money(#[from] MoneyError),
}

fn property<'a>(deal: &'a Value, name: &str) -> Option<&'a str> {
    deal["properties"][name].as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn instant(name: &'static str, text: &str) -> Result<Timestamp, MappingError> {
    text.parse().map_err(|_| MappingError::Date(name, text.to_owned()))
}

impl Deal {
    /// Reads a deal of the right shape, in one of the stages that are known; any stage will do if none is.
    pub(crate) fn read(deal: &Value, stages: &[String]) -> Result<Self, MappingError> {
        let stage = property(deal, "dealstage").unwrap_or_default();
        if !stages.is_empty() && !stages.iter().any(|known| known == stage) {
            return Err(MappingError::Stage(stage.to_owned()));
        }
        let updated = instant("updatedAt", deal["updatedAt"].as_str().unwrap_or_default())?.as_millisecond();
        let modified = match property(deal, "hs_lastmodifieddate") {
            Some(text) => instant("hs_lastmodifieddate", text)?.as_millisecond(),
            None => updated,
        };
        Ok(Self {
            id: deal["id"].as_str().unwrap_or_default().to_owned(),
            won: stage == CLOSED_WON && deal["archived"].as_bool() != Some(true),
            updated_ms: updated,
            modified_ms: modified,
        })
    }
}

/// Stripe's limits, in characters: on a customer, and on the description of an invoice's item
/// (its OpenAPI description, `maxLength`).
const LONGEST_DESCRIPTION: usize = 5000;
const LONGEST_NAME: usize = 256;
const LONGEST_EMAIL: usize = 512;

fn at_most(text: &str, name: &'static str, longest: usize) -> Result<(), MappingError> {
    match text.chars().count() {
        n if n > longest => Err(MappingError::TooLong(name, n, longest)),
        _ => Ok(()),
    }
}

impl Terms {
    /// Maps a deal by the table above.
    pub(crate) fn read(deal: &Value, money: &dyn MoneyRule) -> Result<Self, MappingError> {
        let required = |name: &'static str| property(deal, name).ok_or(MappingError::Missing(name));
        let currency = required("deal_currency_code")?;
        let email = required("billing_email")?.to_lowercase();
        if email.split_once('@').is_none_or(|(user, host)| user.is_empty() || host.is_empty()) {
            return Err(MappingError::Email(email));
        }
        at_most(&email, "billing_email", LONGEST_EMAIL)?;
        let description = required("dealname")?.to_owned();
        at_most(&description, "dealname", LONGEST_DESCRIPTION)?;
        let name = required("billing_name")?.to_owned();
        at_most(&name, "billing_name", LONGEST_NAME)?;
        let closed = instant("closedate", required("closedate")?)?;
        Ok(Self {
            email,
            name,
            amount: money.minor_units(required("amount")?, currency)?,
            currency: currency.to_ascii_lowercase(),
            closed_s: Some(closed.as_second()),
            description,
        })
    }

    /// Makes do with whatever is there: zero for no amount, nothing for no address. Only where validation is off.
    pub(crate) fn guess(deal: &Value, money: &dyn MoneyRule) -> Self {
        let text = |name: &str| match &deal["properties"][name] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let currency = text("deal_currency_code").to_ascii_lowercase();
        Self {
            email: text("billing_email"),
            name: text("billing_name"),
            description: text("dealname"),
            amount: money.minor_units(&text("amount"), &currency).unwrap_or(0),
            currency: if currency.is_empty() { "usd".into() } else { currency },
            closed_s: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DecimalMoney;
    use serde_json::json;

    fn deal() -> Value {
        json!({"id": "7", "updatedAt": "2026-01-01T00:00:00.250Z", "properties": {
            "dealname": "Bikes", "amount": "12.50", "deal_currency_code": "USD", "closedate": "2026-01-01T00:00:00Z",
            "dealstage": "closedwon", "billing_email": " A@b.c ", "billing_name": " Ada Ltd "}})
    }

    #[test]
    fn a_won_deal_maps_by_the_table() {
        let terms = Terms::read(&deal(), &DecimalMoney).unwrap();
        assert_eq!((terms.amount, terms.currency.as_str(), terms.email.as_str()), (1250, "usd", "a@b.c"));
        assert_eq!((terms.name.as_str(), terms.description.as_str()), ("Ada Ltd", "Bikes"));
        assert_eq!(terms.closed_s, Some(1_767_225_600));
        assert_eq!(Deal::read(&deal(), &[]).unwrap().updated_ms, 1_767_225_600_250);
    }

    #[test]
    fn a_stage_that_nobody_knows_is_no_stage() {
        let known = ["contractsent".to_owned(), CLOSED_WON.to_owned()];
        assert!(Deal::read(&deal(), &known).unwrap().won);
        let mut renamed = deal();
        renamed["properties"]["dealstage"] = json!("closed_won");
        assert_eq!(Deal::read(&renamed, &known), Err(MappingError::Stage("closed_won".into())));
        assert!(!Deal::read(&renamed, &[]).unwrap().won);
    }

    #[test]
    fn a_name_that_the_billing_vendor_would_refuse_is_refused_here() {
        let mut deal = deal();
        deal["properties"]["billing_name"] = json!("ł".repeat(256));
        assert!(Terms::read(&deal, &DecimalMoney).is_ok());
        deal["properties"]["billing_name"] = json!("ł".repeat(257));
        let refused = Terms::read(&deal, &DecimalMoney).unwrap_err();
        assert_eq!(refused, MappingError::TooLong("billing_name", 257, 256));
    }

    #[test]
    fn nothing_is_guessed() {
        for name in ["amount", "deal_currency_code", "billing_email", "billing_name", "dealname", "closedate"]
        {
            for nothing in [Value::Null, json!(""), json!("  ")] {
                let mut deal = deal();
                deal["properties"][name] = nothing;
                assert_eq!(Terms::read(&deal, &DecimalMoney), Err(MappingError::Missing(name)));
            }
        }
    }
}
