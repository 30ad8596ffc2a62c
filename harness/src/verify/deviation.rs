//! One thing in which a vendor, or whoever calls it, parts from the contract, however often seen.
//!
//! Knows: what makes two sightings the same. Must not know: how it is found or shown.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Source;
use crate::contract::{Severity, Violation};

/// Which way the message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the vendor: the vendor has parted from its contract, or the contract is of another day.
    Response,
    /// To the vendor: whoever was recorded sends what the contract does not allow.
    Request,
}

/// Where something was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The file, or the address of a live vendor.
    pub from: String,
    /// Which exchange in it, from 1.
    pub exchange: usize,
    /// The day it was recorded; absent for live ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
}

/// A finding over any number of exchanges.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// A stable name for this very deviation: the rule and ten digits that follow from vendor,
    /// operation, status, direction and place.
    pub id: String,
    /// What is broken: `contract/required`.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// Which way the message went.
    pub direction: Way,
    /// The vendor.
    pub vendor: String,
    /// The operation: `GET /v1/invoices/{invoice}`.
    pub operation: String,
    /// The status of the response; absent for requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The documented media type that it was judged by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
    /// The place in the message, with indices, where it was seen first.
    pub pointer: String,
    /// The place with `*` for each index.
    pub wild: String,
    /// The place of the rule in the raw contract.
    pub schema: String,
    /// What the contract expects.
    pub expected: String,
    /// What was there first, masked.
    pub got: String,
    /// Of a schema with branches, which is the closest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Where the field may have gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved: Option<String>,
    /// The contract: its file, the version it gives itself, and of which day it is.
    pub contract: String,
    /// The day whose state of the API the contract describes; null if it does not say, or if this is
    /// no matter of the contract.
    pub contract_dated: Option<String>,
    /// How often it was seen.
    pub count: u32,
    /// In how many exchanges.
    pub exchanges: u32,
    /// Where it was seen first.
    pub first: Sighting,
    /// The earliest and the latest day of a recording that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<(String, String)>,
    /// The command that shows it again.
    pub reproduce: String,
    /// Whether a file of accepted findings lists it.
    pub accepted: bool,
    /// The files, or the address of a live vendor, in which it was seen.
    #[serde(skip)]
    pub seen_in: BTreeSet<String>,
    #[serde(skip)]
    last: (String, usize),
}

impl Deviation {
    #[expect(clippy::too_many_arguments, reason = "each is a column of the finding")]
    pub(super) fn of(
        source: &Source<'_>,
        (contract, dated): (&str, Option<Date>),
        sighting: &Sighting,
        way: Way,
        operation: &str,
        status: Option<u16>,
        media: Option<&str>,
        violation: &Violation,
    ) -> Deviation {
        let vendor = source.vendor;
        let key = format!(
            "{vendor}\n{operation}\n{status:?}\n{way:?}\n{:?}\n{}\n{}",
            violation.part, violation.wild, violation.schema
        );
        let digest = hex::encode(Sha256::digest(key.as_bytes()));
        Deviation {
            id: format!("{}-{}", violation.rule, &digest[..10]),
            rule: violation.rule.clone(),
            severity: violation.severity,
            direction: way,
            vendor: vendor.to_owned(),
            operation: operation.to_owned(),
            status,
            media: media.map(str::to_owned),
            pointer: violation.pointer.clone(),
            wild: violation.wild.clone(),
            schema: violation.schema.clone(),
            expected: violation.expected.clone(),
            got: violation.got.clone(),
            branch: violation.branch.clone(),
            moved: violation.moved.clone(),
            contract: contract.to_owned(),
            contract_dated: dated.map(|day| day.to_string()),
            count: 1,
            exchanges: 1,
            recorded: sighting.recorded.clone().map(|day| (day.clone(), day)),
            reproduce: source.again.to_owned(),
            accepted: false,
            seen_in: BTreeSet::from([sighting.from.clone()]),
            last: (sighting.from.clone(), sighting.exchange),
            first: sighting.clone(),
        }
    }

    pub(super) fn seen_again(&mut self, sighting: &Sighting) {
        self.count += 1;
        if !self.seen_in.contains(&sighting.from) {
            self.seen_in.insert(sighting.from.clone());
        }
        let at = (sighting.from.clone(), sighting.exchange);
        if self.last != at {
            self.exchanges += 1;
            self.last = at;
        }
        if let (Some((from, to)), Some(day)) = (&mut self.recorded, &sighting.recorded) {
            if day < from {
                from.clone_from(day);
            }
            if day > to {
                to.clone_from(day);
            }
        }
    }
}

/// The worst first; then by vendor, operation and place.
pub(super) fn sort(deviations: &mut [Deviation]) {
    deviations.sort_by(|a, b| {
        let key = |d: &Deviation| {
            (d.vendor.clone(), d.operation.clone(), d.status, d.direction, d.wild.clone(), d.id.clone())
        };
        b.severity.cmp(&a.severity).then_with(|| key(a).cmp(&key(b)))
    });
}
