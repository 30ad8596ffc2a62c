//! Conditions and values written in CEL, the Common Expression Language (cel.dev).
//!
//! Knows: how to compile an expression once and evaluate it over JSON. Must not know: which
//! variables a place offers; its caller binds them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A compiled CEL expression with the text it came from.
#[derive(Clone)]
pub struct Expr {
    source: Arc<str>,
    program: Arc<cel::Program>,
}

/// Why an expression could not be compiled or evaluated.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExprError {
    /// The text is not CEL.
    #[error("`{source_text}` is not a CEL expression: {why}")]
    Syntax {
        /// The text.
        source_text: String,
        /// What the parser said.
        why: String,
    },
    /// It compiled, but could not be evaluated over these variables.
    #[error("`{source_text}` could not be evaluated: {why}")]
    Evaluation {
        /// The text.
        source_text: String,
        /// What the interpreter said.
        why: String,
    },
}

impl Expr {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`ExprError::Syntax`] if it is not CEL.
    pub fn compile(source: &str) -> Result<Expr, ExprError> {
        let program = cel::Program::compile(source).map_err(|e| ExprError::Syntax {
            source_text: source.to_owned(),
            why: e.to_string().lines().next().unwrap_or_default().to_owned(),
        })?;
        Ok(Expr { source: source.into(), program: Arc::new(program) })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Names of the variables that the expression reads.
    pub fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.program.references().variables().iter().map(|v| (*v).to_owned()).collect();
        names.sort();
        names
    }

    /// Evaluates over `variables` and gives the value as JSON.
    ///
    /// # Errors
    /// [`ExprError::Evaluation`] if a variable or key is missing, or types do not fit.
    pub fn evaluate(&self, variables: &[(&str, &Value)]) -> Result<Value, ExprError> {
        let failed = |why: String| ExprError::Evaluation { source_text: self.source.to_string(), why };
        let mut context = cel::Context::default();
        functions(&mut context).map_err(|e| failed(e.to_string()))?;
        for (name, value) in variables {
            let value = cel::to_value(value).map_err(|e| failed(e.to_string()))?;
            context.add_variable_from_value(*name, value);
        }
        let value = self.program.execute(&context).map_err(|e| failed(e.to_string()))?;
        value.json().map_err(|e| failed(e.to_string()))
    }

    /// Evaluates to a truth value.
    ///
    /// # Errors
    /// As [`Expr::evaluate`], and when the result is not a boolean.
    pub fn holds(&self, variables: &[(&str, &Value)]) -> Result<bool, ExprError> {
        match self.evaluate(variables)? {
            Value::Bool(b) => Ok(b),
            other => Err(ExprError::Evaluation {
                source_text: self.source.to_string(),
                why: format!("expected true or false, got {other}"),
            }),
        }
    }
}

/// What expressions may call beside CEL's own: `minor_units(amount, currency)`,
/// `epoch_seconds(iso)` and `lower(text)`.
fn functions(context: &mut cel::Context<'_, '_>) -> Result<(), String> {
    context
        .add_function("minor_units", |amount: cel::Value, currency: Arc<String>| {
            minor_units(&amount, &currency)
                .ok_or_else(|| refused("minor_units", format!("{amount:?} is no amount of {currency}")))
        })
        .map_err(|e| format!("{e:?}"))?;
    context
        .add_function("epoch_seconds", |moment: Arc<String>| {
            epoch_seconds(&moment)
                .ok_or_else(|| refused("epoch_seconds", format!("`{moment}` is no moment in ISO 8601")))
        })
        .map_err(|e| format!("{e:?}"))?;
    context
        .add_function("lower", |text: Arc<String>| Arc::new(text.to_lowercase()))
        .map_err(|e| format!("{e:?}"))
}

fn refused(function: &str, why: String) -> cel::ExecutionError {
    cel::ExecutionError::function_error(function, why)
}

/// `amount` in the smallest unit of `currency`, exactly; ISO 4217 gives the decimals.
fn minor_units(amount: &cel::Value, currency: &str) -> Option<i64> {
    use rust_decimal::Decimal;
    use rust_decimal::prelude::ToPrimitive;
    let amount: Decimal = match amount {
        cel::Value::Int(i) => Decimal::from(*i),
        cel::Value::UInt(u) => Decimal::from(*u),
        cel::Value::Float(f) => f.to_string().parse().ok()?,
        cel::Value::String(s) => s.trim().parse().ok()?,
        _ => return None,
    };
    let decimals = match currency.to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let minor = amount.checked_mul(Decimal::from(10i64.pow(decimals)))?;
    if minor.fract().is_zero() { minor.to_i64() } else { None }
}

/// The moment `iso` (RFC 3339, or a date, which means its midnight UTC) in seconds of Unix time.
fn epoch_seconds(iso: &str) -> Option<i64> {
    if let Ok(moment) = iso.parse::<jiff::Timestamp>() {
        return Some(moment.as_second());
    }
    let date: jiff::civil::Date = iso.parse().ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|z| z.timestamp().as_second())
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expr({:?})", self.source)
    }
}

impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        self.source == other.source
    }
}

impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for Expr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Expr, D::Error> {
        Expr::compile(&Cow::<str>::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Expr {
    fn schema_name() -> Cow<'static, str> {
        "Cel".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "An expression in CEL (cel.dev)." })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_read_nested_json() {
        let deal = json!({ "stage": "closedwon", "amount": { "cents": 1200 } });
        let e = Expr::compile("deal.stage == 'closedwon' && deal.amount.cents > 1000").unwrap();
        assert!(e.holds(&[("deal", &deal)]).unwrap());
        assert_eq!(e.variables(), ["deal"]);
    }

    #[test]
    fn amounts_and_moments_convert_exactly() {
        let deal = json!({ "amount": "12.30", "yen": "1230", "half": "1.005", "at": "2026-01-01T00:00:10Z" });
        let eval = |text: &str| Expr::compile(text).unwrap().evaluate(&[("deal", &deal)]);
        assert_eq!(eval("minor_units(deal.amount, 'usd')").unwrap(), json!(1230));
        assert_eq!(eval("minor_units(deal.yen, 'JPY')").unwrap(), json!(1230));
        assert!(eval("minor_units(deal.half, 'EUR')").is_err());
        assert_eq!(eval("epoch_seconds(deal.at)").unwrap(), json!(1_767_225_610));
        assert_eq!(eval("epoch_seconds('2026-01-01')").unwrap(), json!(1_767_225_600));
        assert_eq!(eval("lower('ABC')").unwrap(), json!("abc"));
    }

    #[test]
    fn a_missing_key_is_an_error_not_false() {
        let e = Expr::compile("deal.stage == 'x'").unwrap();
        assert!(e.holds(&[("deal", &json!({}))]).is_err());
    }
}
