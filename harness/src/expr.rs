//! Conditions and values written in CEL, the Common Expression Language (cel.dev).
//!
//! Beside the standard functions there are `minor_units(amount, currency)` (decimal text to whole
//! minor units, as Stripe counts them), `epoch_seconds(text)` (RFC 3339) and `lower(text)`.
//!
//! Knows: how to compile an expression once and evaluate it over JSON. Must not know: which
//! variables a place offers; its caller binds them.

mod reads;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use reads::Reads;

/// A compiled CEL expression with the text it came from.
#[derive(Clone)]
pub struct Expr {
    source: Arc<str>,
    program: Arc<cel::Program>,
    names: Arc<[String]>,
    reads: Arc<BTreeMap<String, Reads>>,
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
            why: in_words(&e.to_string()),
        })?;
        let mut names: Vec<String> =
            program.references().variables().iter().map(|v| (*v).to_owned()).collect();
        names.sort();
        let reads = Arc::new(reads::of(program.expression()));
        Ok(Expr { source: source.into(), program: Arc::new(program), names: names.into(), reads })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Names of the variables that the expression reads.
    pub fn variables(&self) -> Vec<String> {
        self.names.to_vec()
    }

    /// What it reads of `name`, each part by its path (`deal.properties.amount`) with its value; `null`
    /// stands for what is not there.
    pub fn inputs(&self, name: &str, value: &Value) -> Vec<(String, Value)> {
        let mut parts = Vec::new();
        if let Some(reads) = self.reads.get(name) {
            reads.parts(name, value, &mut parts);
        }
        parts
    }

    /// Evaluates over `variables` and gives the value as JSON.
    ///
    /// # Errors
    /// [`ExprError::Evaluation`] if a variable or key is missing, or types do not fit.
    pub fn evaluate(&self, variables: &[(&str, &Value)]) -> Result<Value, ExprError> {
        let failed = |why: String| ExprError::Evaluation { source_text: self.source.to_string(), why };
        ROOT.with(|root| {
            let mut context = root.new_inner_scope();
            for (name, value) in variables.iter().filter(|(name, _)| self.names.iter().any(|n| n == name)) {
                let reads = self.reads.get(*name).unwrap_or(&Reads::Whole);
                let value = cel::to_value(Signed(value, reads)).map_err(|e| failed(e.to_string()))?;
                context.add_variable_from_value(*name, value);
            }
            let value = self.program.execute(&context).map_err(|e| failed(e.to_string()))?;
            value.json().map(ordered).map_err(|e| failed(e.to_string()))
        })
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

/// The first line of what the parser said, with its `ERROR: <input>:1:27: Syntax error: …` told as
/// `at column 27: …`.
fn in_words(said: &str) -> String {
    let first = said.lines().next().unwrap_or_default();
    let told = first.strip_prefix("ERROR: <input>:").and_then(|rest| {
        let (line, rest) = rest.split_once(':')?;
        let (column, rest) = rest.split_once(':')?;
        let why = rest.trim().trim_start_matches("Syntax error:").trim();
        let column: u32 = column.parse().ok()?;
        Some(if line == "1" {
            format!("at column {column}: {why}")
        } else {
            format!("in line {line}: {why}")
        })
    });
    told.unwrap_or_else(|| first.to_owned())
}

/// With the keys of every object in order: a map that CEL built has them in the order of a hash,
/// which differs from run to run.
fn ordered(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().map(|(k, v)| (k, ordered(v))).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(ordered).collect()),
        other => other,
    }
}

/// JSON for CEL, as far as it is read: whole numbers are signed wherever they fit, so that they add
/// up with literals.
struct Signed<'v>(&'v Value, &'v Reads);

impl Serialize for Signed<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(n) => match n.as_i64() {
                Some(n) => s.serialize_i64(n),
                None => n.serialize(s),
            },
            // Members of a list have no names: it is all or nothing.
            Value::Array(list) => s.collect_seq(list.iter().map(|v| Signed(v, &Reads::Whole))),
            Value::Object(map) => match self.1 {
                Reads::Whole => s.collect_map(map.iter().map(|(k, v)| (k, Signed(v, &Reads::Whole)))),
                Reads::Members(of) => {
                    s.collect_map(of.iter().filter_map(|(k, reads)| Some((k, Signed(map.get(k)?, reads)))))
                }
            },
            other => other.serialize(s),
        }
    }
}

thread_local! {
    /// The standard functions and ours, built once a thread: building them costs far more than
    /// evaluating most expressions.
    static ROOT: cel::Context<'static, 'static> = {
        let mut root = cel::Context::default();
        let declared = [
            root.add_function("lower", |text: Arc<String>| -> String { text.to_lowercase() }),
            root.add_function("minor_units", |amount: Arc<String>, currency: Arc<String>| {
                minor_units(&amount, &currency)
                    .map_err(|why| cel::ExecutionError::function_error("minor_units", why))
            }),
            root.add_function("epoch_seconds", |text: Arc<String>| {
                text.parse::<jiff::Timestamp>()
                    .map(|t| t.as_second())
                    .map_err(|why| cel::ExecutionError::function_error("epoch_seconds", why))
            }),
        ];
        debug_assert!(declared.iter().all(Result::is_ok), "a standard function has the same name");
        root
    };
}

/// How many decimals Stripe counts a currency in (docs.stripe.com/currencies: zero-decimal and
/// three-decimal currencies); `code` in any case.
pub fn currency_decimals(code: &str) -> u32 {
    const NONE: [&str; 15] = [
        "BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF",
        "XPF",
    ];
    const THREE: [&str; 5] = ["BHD", "JOD", "KWD", "OMR", "TND"];
    let is = |list: &[&str]| list.iter().any(|c| c.eq_ignore_ascii_case(code));
    if is(&NONE) {
        0
    } else if is(&THREE) {
        3
    } else {
        2
    }
}

/// Decimal text as whole minor units: `"12.30"`, `"usd"` is 1230. Exact or not at all.
///
/// # Errors
/// If the text is no decimal number, or has more decimals than the currency.
pub fn minor_units(amount: &str, currency: &str) -> Result<i64, String> {
    let bad = |why: &str| format!("the amount `{amount}` {why}");
    let number = Decimal::from_str_exact(amount.trim()).map_err(|_| bad("is not a decimal number"))?;
    let scale = Decimal::from(10u32.pow(currency_decimals(currency)));
    let minor = number.checked_mul(scale).ok_or_else(|| bad("is too large"))?;
    if !minor.fract().is_zero() {
        return Err(bad(&format!("has more decimals than {currency}")));
    }
    minor.to_i64().ok_or_else(|| bad("is too large"))
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
    fn a_missing_key_is_an_error_not_false() {
        let e = Expr::compile("deal.stage == 'x'").unwrap();
        assert!(e.holds(&[("deal", &json!({}))]).is_err());
    }

    #[test]
    fn what_is_not_read_makes_no_difference() {
        let deal = json!({ "a": { "b": 1, "c": [1, 2] }, "d": { "e": "x" }, "f": null });
        for (source, value) in [
            ("deal.a.b + size(deal.a.c)", json!(3)),
            ("has(deal.a.x) || has(deal.f)", json!(true)),
            ("deal.d", json!({ "e": "x" })),
            ("deal.a.c.exists(n, n == deal.a.b + 1)", json!(true)),
            ("size(deal)", json!(3)),
            ("deal['d'].e + deal.d.e", json!("xx")),
        ] {
            assert_eq!(
                Expr::compile(source).unwrap().evaluate(&[("deal", &deal)]).unwrap(),
                value,
                "{source}"
            );
        }
    }

    #[test]
    fn money_is_counted_exactly_in_the_currencys_own_units() {
        for (amount, currency, minor) in [
            ("1.15", "USD", 115_i64),
            ("8.20", "eur", 820),
            ("1.005", "KWD", 1005),
            ("500", "JPY", 500),
            ("1234567.89", "USD", 123_456_789),
            ("90071992547409.93", "USD", 9_007_199_254_740_993),
        ] {
            let deal = json!({ "a": amount, "c": currency });
            let e = Expr::compile("minor_units(deal.a, deal.c)").unwrap();
            assert_eq!(e.evaluate(&[("deal", &deal)]).unwrap(), json!(minor), "{amount} {currency}");
        }
        assert!(minor_units("1.005", "USD").is_err());
        assert!(minor_units("twelve", "USD").is_err());
    }

    #[test]
    fn numbers_of_json_add_up_with_literals() {
        let e = Expr::compile("r.days * 86400 + 1").unwrap();
        assert_eq!(e.evaluate(&[("r", &json!({ "days": 2 }))]).unwrap(), json!(172_801));
    }

    #[test]
    fn times_and_case_can_be_compared() {
        let e = Expr::compile("epoch_seconds(t) == 1767323045 && lower('EUR') == 'eur'").unwrap();
        assert!(e.holds(&[("t", &json!("2026-01-02T03:04:05Z"))]).unwrap());
        assert!(e.holds(&[("t", &json!("yesterday"))]).is_err());
    }

    #[test]
    fn maps_come_out_in_the_order_of_their_keys() {
        let e = Expr::compile("[{'title': 'a', 'number': 1, 'kind': {'z': 1, 'y': 2}}]").unwrap();
        for _ in 0..50 {
            let text = e.evaluate(&[]).unwrap().to_string();
            assert_eq!(text, r#"[{"kind":{"y":2,"z":1},"number":1,"title":"a"}]"#);
        }
    }
}
