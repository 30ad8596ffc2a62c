//! Sets of JSON types, without null.
//!
//! Knows: that each integer is a number. Must not know: where a type is written.

use std::fmt;

use serde_json::Value;

/// A set of JSON types. Null is kept apart, since the two dialects write it differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::contract) struct Types(u8);

impl Types {
    pub const NONE: Types = Types(0);
    pub const BOOLEAN: Types = Types(1);
    pub const INTEGER: Types = Types(2);
    pub const NUMBER: Types = Types(2 | 4);
    pub const STRING: Types = Types(8);
    pub const ARRAY: Types = Types(16);
    pub const OBJECT: Types = Types(32);
    pub const ALL: Types = Types(63);

    pub fn named(name: &str) -> Types {
        match name {
            "boolean" => Types::BOOLEAN,
            "integer" => Types::INTEGER,
            "number" => Types::NUMBER,
            "string" => Types::STRING,
            "array" => Types::ARRAY,
            "object" => Types::OBJECT,
            _ => Types::NONE,
        }
    }

    pub fn of(value: &Value) -> Types {
        match value {
            Value::Null => Types::NONE,
            Value::Bool(_) => Types::BOOLEAN,
            Value::Number(n) if n.is_i64() || n.is_u64() || n.as_f64().is_some_and(|f| f.fract() == 0.0) => {
                Types::INTEGER
            }
            Value::Number(_) => Types::NUMBER,
            Value::String(_) => Types::STRING,
            Value::Array(_) => Types::ARRAY,
            Value::Object(_) => Types::OBJECT,
        }
    }

    pub fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    pub fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    /// Whether every one of these is in `other`.
    pub fn within(self, other: Types) -> bool {
        self.0 & !other.0 == 0
    }

    pub fn meets(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Types::ALL {
            return f.write_str("anything");
        }
        let number =
            if Types::NUMBER.within(*self) { ("number", Types::NUMBER) } else { ("integer", Types::INTEGER) };
        let names = [
            ("boolean", Types::BOOLEAN),
            number,
            ("string", Types::STRING),
            ("array", Types::ARRAY),
            ("object", Types::OBJECT),
        ];
        let held: Vec<&str> = names.iter().filter(|(_, t)| t.within(*self)).map(|(n, _)| *n).collect();
        f.write_str(&if held.is_empty() { "nothing".to_owned() } else { held.join(" or ") })
    }
}
