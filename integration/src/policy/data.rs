//! What data is good enough to write. Knows validation and money; must not know where data goes.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// What happens to an answer or event that does not have the shape we rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnInvalid {
    /// It is kept with its reason, somebody is told, and the job is put aside.
    #[default]
    Quarantine,
    /// It is dropped, and the job with it.
    Drop,
}

/// How vendor data is checked before anything is written from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidationRule {
    /// Whether answers are checked against our JSON Schemas. `false`: what can be read is used, the rest is a default.
    pub strict: bool,
    /// What happens to what fails.
    pub on_invalid: OnInvalid,
    /// Whether quarantine keeps the offending payload.
    pub keep_payload: bool,
}

impl Default for ValidationRule {
    fn default() -> Self {
        Self { strict: true, on_invalid: OnInvalid::default(), keep_payload: true }
    }
}

/// An amount that cannot be invoiced.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("amount {0:?} is not a decimal number")]
    NotDecimal(String),
    /// More decimals than the currency has.
    #[error("amount {amount} has more decimals than {currency} has")]
    TooPrecise {
        /// The amount.
        amount: String,
        /// The currency.
        currency: String,
    },
    /// Zero or less.
    #[error("amount {0} is not above zero")]
    NotPositive(String),
    /// Not three letters.
    #[error("currency {0:?} is not an ISO 4217 code")]
    BadCurrency(String),
    /// Beyond 64 bits.
    #[error("amount {0} is too large")]
    TooLarge(String),
}

/// Turns a decimal amount into the currency's minor units, as Stripe counts.
pub trait MoneyRule: Send + Sync {
    /// `"12.34"`, `"USD"` → `1234`.
    fn minor_units(&self, amount: &str, currency: &str) -> Result<i64, MoneyError>;
}

/// Exact decimal arithmetic; never a float.
#[derive(Debug, Clone, Copy, Default)]
pub struct DecimalMoney;

/// Decimals that Stripe counts in for a currency (<https://docs.stripe.com/currencies>, zero- and three-decimal currencies).
pub fn currency_decimals(currency: &str) -> u32 {
    match currency.to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

impl MoneyRule for DecimalMoney {
    fn minor_units(&self, amount: &str, currency: &str) -> Result<i64, MoneyError> {
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(MoneyError::BadCurrency(currency.to_owned()));
        }
        let text = amount.trim();
        let number: Decimal =
            Decimal::from_str_exact(text).map_err(|_| MoneyError::NotDecimal(amount.to_owned()))?;
        if number <= Decimal::ZERO {
            return Err(MoneyError::NotPositive(amount.to_owned()));
        }
        let too_large = || MoneyError::TooLarge(amount.to_owned());
        let scale = Decimal::from(10u32.pow(currency_decimals(currency)));
        let minor = number.checked_mul(scale).ok_or_else(too_large)?;
        if !minor.fract().is_zero() {
            return Err(MoneyError::TooPrecise { amount: amount.to_owned(), currency: currency.to_owned() });
        }
        minor.to_i64().ok_or_else(too_large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_is_exact() {
        assert_eq!(DecimalMoney.minor_units("1.15", "USD"), Ok(115));
        assert_eq!(DecimalMoney.minor_units("8.20", "eur"), Ok(820));
        assert_eq!(DecimalMoney.minor_units("90071992547409.93", "USD"), Ok(9_007_199_254_740_993));
    }

    #[test]
    fn currencies_have_their_own_decimals() {
        assert_eq!(DecimalMoney.minor_units("500", "JPY"), Ok(500));
        assert_eq!(DecimalMoney.minor_units("500.00", "JPY"), Ok(500));
        assert_eq!(DecimalMoney.minor_units("1.234", "KWD"), Ok(1234));
        assert!(matches!(DecimalMoney.minor_units("5.5", "JPY"), Err(MoneyError::TooPrecise { .. })));
    }

    #[test]
    fn what_is_not_money_is_refused() {
        for (amount, currency) in [
            ("", "USD"),
            ("abc", "USD"),
            ("1,5", "USD"),
            ("0", "USD"),
            ("-3", "USD"),
            ("1", "US"),
            ("NaN", "USD"),
        ] {
            assert!(DecimalMoney.minor_units(amount, currency).is_err(), "{amount} {currency}");
        }
    }

    proptest! {
        #[test]
        fn cents_survive_the_round_trip(cents in 1i64..9_000_000_000_000_000) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(DecimalMoney.minor_units(&text, "USD"), Ok(cents));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = DecimalMoney.minor_units(&text, "USD");
        }
    }
}
