//! What a vendor says of our remaining quota. Knows the header dialects; must not know who slows down.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use crate::observer::Vendor;

/// One quota, as a vendor's answer states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Calls per window, when stated.
    pub limit: Option<u64>,
    /// Calls that remain in this window.
    pub remaining: u64,
    /// Time until the window ends; `None` for a quota without a stated end (a day's), which only raises an alert.
    pub resets_in: Option<Duration>,
}

/// Reads quotas from an answer's headers.
pub trait QuotaReader: Send + Sync {
    /// Every quota stated; nothing for headers that are missing or malformed.
    fn read(&self, vendor: Vendor, headers: &HeaderMap, now: Timestamp) -> Vec<Quota>;
}

/// Reads HubSpot's `X-HubSpot-RateLimit-*`, the IETF `RateLimit` drafts (both forms) and GitHub's `x-ratelimit-*`.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllDialects;

impl QuotaReader for AllDialects {
    fn read(&self, _vendor: Vendor, headers: &HeaderMap, now: Timestamp) -> Vec<Quota> {
        if headers.len() < 2 {
            return Vec::new();
        }
        let mut quotas = Vec::new();
        quotas.extend(hubspot_window(headers));
        quotas.extend(hubspot_day(headers));
        quotas.extend(ietf(headers));
        quotas.extend(github(headers, now));
        quotas
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.parse().ok()
}

/// The rolling window: its length is stated, not its end; what remains is spread over a whole window.
fn hubspot_window(headers: &HeaderMap) -> Option<Quota> {
    let remaining = number(headers, "x-hubspot-ratelimit-remaining")?;
    let window = number(headers, "x-hubspot-ratelimit-interval-milliseconds")?;
    let limit = number(headers, "x-hubspot-ratelimit-max");
    Some(Quota { limit, remaining, resets_in: Some(Duration::from_millis(window)) })
}

fn hubspot_day(headers: &HeaderMap) -> Option<Quota> {
    let remaining = number(headers, "x-hubspot-ratelimit-daily-remaining")?;
    let limit = number(headers, "x-hubspot-ratelimit-daily");
    Some(Quota { limit, remaining, resets_in: None })
}

/// `RateLimit: "p";r=50;t=30` with `RateLimit-Policy: "p";q=100;w=10`, or the older
/// `limit=100, remaining=80, reset=30`. `t` and `reset` are seconds from now.
fn ietf(headers: &HeaderMap) -> Option<Quota> {
    let value = text(headers, "ratelimit")?;
    let seconds = |found: Option<u64>| found.map(Duration::from_secs);
    if let Some(remaining) = parameter(value, ',', "remaining") {
        let resets_in = seconds(parameter(value, ',', "reset"));
        return resets_in.is_some().then_some(Quota {
            limit: parameter(value, ',', "limit"),
            remaining,
            resets_in,
        });
    }
    let item = value.split(',').next()?;
    let remaining = parameter(item, ';', "r")?;
    let policy = text(headers, "ratelimit-policy");
    let name = item.split(';').next()?.trim();
    let policy =
        policy.and_then(|all| all.split(',').find(|one| one.split(';').next().unwrap_or("").trim() == name));
    let limit = policy.and_then(|one| parameter(one, ';', "q"));
    let resets_in = seconds(parameter(item, ';', "t").or(policy.and_then(|one| parameter(one, ';', "w"))));
    resets_in.is_some().then_some(Quota { limit, remaining, resets_in })
}

fn parameter(value: &str, separator: char, name: &str) -> Option<u64> {
    value.split(separator).find_map(|part| {
        let (found, number) = part.trim().split_once('=')?;
        (found.trim() == name).then(|| number.trim().parse().ok())?
    })
}

/// GitHub's: `reset` is an epoch, in seconds.
fn github(headers: &HeaderMap, now: Timestamp) -> Option<Quota> {
    let remaining = number(headers, "x-ratelimit-remaining")?;
    let reset = number(headers, "x-ratelimit-reset")?;
    let now = u64::try_from(now.as_second()).ok()?;
    let resets_in = reset.checked_sub(now).filter(|wait| *wait > 0)?;
    let limit = number(headers, "x-ratelimit-limit");
    Some(Quota { limit, remaining, resets_in: Some(Duration::from_secs(resets_in)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pairs: &[(&'static str, &str)]) -> Vec<Quota> {
        let mut headers = HeaderMap::new();
        headers.insert("date", "x".parse().unwrap());
        headers.insert("server", "x".parse().unwrap());
        for (name, value) in pairs {
            if let Ok(value) = value.parse() {
                headers.insert(*name, value);
            }
        }
        AllDialects.read(Vendor::HubSpot, &headers, Timestamp::from_second(1_700_000_000).unwrap())
    }

    fn quota(limit: u64, remaining: u64, seconds: u64) -> Vec<Quota> {
        vec![Quota { limit: Some(limit), remaining, resets_in: Some(Duration::from_secs(seconds)) }]
    }

    #[test]
    fn every_dialect_is_read() {
        let hubspot = [
            ("x-hubspot-ratelimit-max", "100"),
            ("x-hubspot-ratelimit-remaining", "7"),
            ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
        ];
        assert_eq!(read(&hubspot), quota(100, 7, 10));
        assert_eq!(
            read(&[("ratelimit", "\"p\";r=50;t=30"), ("ratelimit-policy", "\"p\";q=100;w=10")]),
            quota(100, 50, 30)
        );
        assert_eq!(read(&[("ratelimit", "limit=100, remaining=80, reset=30")]), quota(100, 80, 30));
        let github = [
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "3"),
            ("x-ratelimit-reset", "1700000090"),
        ];
        assert_eq!(read(&github), quota(60, 3, 90));
    }

    #[test]
    fn malformed_fields_are_ignored() {
        for value in ["", "r=x", "\"p\";r=-1;t=5", "limit=100, remaining=many", "\"p\";r=5", ";;;,,,==="] {
            assert_eq!(read(&[("ratelimit", value)]), vec![], "{value}");
        }
        assert_eq!(read(&[("x-hubspot-ratelimit-remaining", "5")]), vec![]);
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,60}", policy in "[ -~]{0,60}") {
            let _ = read(&[("ratelimit", &value), ("ratelimit-policy", &policy), ("x-ratelimit-reset", &value)]);
        }
    }
}
