//! Why the control API does not do what it was asked.
//!
//! Knows: statuses and how mistakes are shown. Must not know: what was asked.

use super::api::{Problem, Refused};
use crate::report::mistake::render;
use crate::scenario::Mistake;

/// A refusal: its status, and what is wrong.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The status code.
    pub status: u16,
    /// What is wrong.
    pub body: Refused,
}

impl Refusal {
    /// A refusal for one reason.
    pub fn new(status: u16, message: impl Into<String>, help: Option<String>) -> Refusal {
        let problem = Problem { message: message.into(), help, line: None, column: None, shown: None };
        Refusal { status, body: Refused { errors: vec![problem] } }
    }

    /// There is no such thing; says what there is.
    pub fn unknown(what: &str, name: &str, known: &[&str]) -> Refusal {
        let near = crate::scenario::nearest(name, known.iter().copied());
        let near = near.map(|n| format!("did you mean `{n}`? ")).unwrap_or_default();
        let all = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
        Refusal::new(404, format!("there is no {what} `{name}`"), Some(format!("{near}known: {all}")))
    }
}

impl From<Vec<Mistake>> for Refusal {
    fn from(mistakes: Vec<Mistake>) -> Refusal {
        let problem = |m: Mistake| Problem {
            shown: Some(anstream::adapter::strip_str(&render(&m)).to_string()),
            message: m.message,
            help: m.help,
            line: Some(m.line),
            column: Some(m.column),
        };
        Refusal { status: 400, body: Refused { errors: mistakes.into_iter().map(problem).collect() } }
    }
}

impl From<Mistake> for Refusal {
    fn from(mistake: Mistake) -> Refusal {
        vec![mistake].into()
    }
}
