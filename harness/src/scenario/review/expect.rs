//! What the promises of a drill may say by their schema and still cannot mean.
//!
//! Knows: which parameters of a promise no client could keep, and which names a promise speaks of. Must
//! not know: how a check judges it.

use super::super::nearest::advice;
use super::super::schema;
use super::Reviewer;
use crate::expr::Expr;

impl Reviewer<'_> {
    /// Everything under `expect`.
    pub(super) fn expect(&mut self) {
        self.agreement();
        self.clients();
        self.alerts();
        self.metrics();
        self.without();
    }
    fn agreement(&mut self) {
        let expect = &self.scenario.expect;
        for (index, unique) in expect.unique.iter().enumerate() {
            let index = index.to_string();
            self.collection(&["expect", "unique", &index, "of"], false, &unique.of);
            for (key, expr) in [("by", Some(&unique.by)), ("live", unique.live.as_ref())] {
                self.of_record(&["expect", "unique", &index, key], false, &unique.of, expr);
            }
        }
        if let Some(agree) = &expect.agree {
            self.collection(&["expect", "agree", "from"], false, &agree.from);
            self.collection(&["expect", "agree", "to"], false, &agree.to);
            for (key, of, expr) in [
                ("where", &agree.from, Some(&agree.only)),
                ("source_key", &agree.from, agree.source_key.as_ref()),
                ("key", &agree.to, Some(&agree.key)),
                ("live", &agree.to, agree.live.as_ref()),
            ] {
                self.of_record(&["expect", "agree", key], false, of, expr);
            }
            for (field, expr) in &agree.fields {
                self.of_record(&["expect", "agree", "fields", field], false, &agree.from, Some(expr));
            }
            for field in agree.fields.keys() {
                let path = ["expect", "agree", "fields", field];
                match Expr::compile(field) {
                    Ok(expr) => self.of_record(&path, true, &agree.to, Some(&expr)),
                    Err(error) => self.say_of_key(
                        &path,
                        error.to_string(),
                        "both sides of `fields` are CEL: value in the target → value of the source",
                    ),
                }
            }
        }
    }

    /// How calls are made.
    fn clients(&mut self) {
        let expect = &self.scenario.expect;
        if let Some(vendor) = expect.load.as_ref().and_then(|load| load.vendor.as_ref()) {
            self.knows(&["expect", "load", "vendor"], false, vendor);
        }
        if let Some(backoff) = &expect.backoff {
            for (key, wrong, help) in [
                ("cap", backoff.cap < backoff.base, "`cap` is the largest envelope, `base` the first"),
                ("attempts", backoff.attempts == 0, "the first attempt counts: write 1 or more"),
                ("factor", backoff.factor < 1.0, "the envelope cannot shrink: write 1 or more"),
            ] {
                if wrong {
                    self.say(&["expect", "backoff", key], format!("no client can keep this `{key}`"), help);
                }
            }
        }
        if expect.breaker.is_some_and(|b| b.opens_after == 0) {
            self.say(
                &["expect", "breaker", "opens_after"],
                "a breaker that opens after no failure is never closed",
                "write 1 or more",
            );
        }
    }

    fn alerts(&mut self) {
        for (index, alert) in self.scenario.expect.alerts.iter().enumerate() {
            let (message, help) = match alert.at_most {
                Some(0) => (
                    "`at_most: 0` leaves no alert to be said in time",
                    "for none at all, write `never: true`",
                ),
                Some(_) if alert.never => {
                    ("`never` and `at_most` say different things", "keep one of the two")
                }
                _ => continue,
            };
            self.say_of_key(&["expect", "alerts", &index.to_string(), "at_most"], message, help);
        }
    }

    fn metrics(&mut self) {
        for (index, metric) in self.scenario.expect.metrics.iter().enumerate() {
            let mut known = vec!["calls", "deliveries", "dead_letters", "quarantine"];
            known.extend(self.aliases());
            self.variables(&["expect", "metrics", &index.to_string(), "equals"], &metric.equals, &known);
        }
    }

    fn without(&mut self) {
        let expect = &self.scenario.expect;
        let sections = if expect.without.is_empty() { Vec::new() } else { schema::sections() };
        for (index, section) in expect.without.iter().enumerate() {
            if !sections.contains(section) {
                self.say(
                    &["expect", "without", &index.to_string()],
                    format!("`{section}` is not a section of `expect`"),
                    advice(section, &sections, "sections"),
                );
            }
        }
    }
}
