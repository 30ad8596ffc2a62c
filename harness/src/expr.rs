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
            why: in_words(&e.to_string()),
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
}
