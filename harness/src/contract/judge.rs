//! A validator within bounds: what would cost more than there is time and memory for is not begun.
//!
//! Knows: what a judgement may cost. Must not know: what becomes of it.

use std::sync::Arc;

use jsonschema::{Registry, ValidationError, Validator};
use serde_json::Value;

use super::compile::contents;
use super::cost::{Growth, NESTED, Size};

/// How many schemas may be visited to find out whether a value is valid; for each value that it
/// is made of some more, as a large one has a right to more.
const VISITS: u64 = 2_000_000;
const VISITS_EACH: u64 = 16;
/// How many schemas may be visited to say what is wrong: each may leave an error of a kilobyte.
const EXPLAINED: u64 = 100_000;

/// A compiled schema.
#[derive(Debug)]
pub(super) struct Judge {
    validator: Validator,
    source: Source,
    growth: Growth,
}

/// Where the schema that was compiled stands.
#[derive(Clone)]
pub(super) enum Source {
    /// At a pointer of the converted description.
    Contract(Arc<Registry<'static>>, String),
    Alone(Arc<Value>),
}

/// What a judgement would cost is out of all bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its branches come back to the same schemas, which doubles with each level of this value: more than {VISITS} \
     schemas would be visited, or more than {NESTED} inside each other"
)]
pub(super) struct TooMuch;

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Source {
    /// The whole, and the schema in it.
    fn schema(&self) -> (&Value, &Value) {
        match self {
            Source::Contract(registry, at) => {
                let root = contents(registry).unwrap_or(&Value::Null);
                (root, root.pointer(at).unwrap_or(&Value::Null))
            }
            Source::Alone(schema) => (schema, schema),
        }
    }
}

impl Judge {
    pub fn new(validator: Validator, source: Source) -> Judge {
        let (root, schema) = source.schema();
        let growth = Growth::of(root, schema, VISITS);
        Judge { validator, source, growth }
    }

    /// Whether the schema takes a value.
    ///
    /// # Errors
    /// If that is too much to ask.
    pub fn takes(&self, value: &Value) -> Result<bool, TooMuch> {
        let size = Size::of(value);
        let most = VISITS + VISITS_EACH * size.values;
        if !self.growth.takes_within(|| self.source.schema(), value, size, most) {
            return Err(TooMuch);
        }
        Ok(self.validator.is_valid(value))
    }

    /// As [`Judge::takes`], whatever it costs: for measuring what the question costs.
    pub fn takes_unasked(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// What is wrong with a value.
    ///
    /// # Errors
    /// If there may be too much of it.
    pub fn errors<'v>(
        &'v self,
        value: &'v Value,
    ) -> Result<impl Iterator<Item = ValidationError<'v>>, TooMuch> {
        if !self.growth.explained_within(|| self.source.schema(), value, Size::of(value), EXPLAINED) {
            return Err(TooMuch);
        }
        Ok(self.validator.iter_errors(value))
    }
}
