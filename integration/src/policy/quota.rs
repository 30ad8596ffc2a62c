//! What a vendor says of our remaining quota. Knows the header dialects; must not know who slows down.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

use crate::observer::Vendor;

/// HubSpot's names for its own quotas (`policyName` of a 429 names the same ones in other words).
const WINDOW: &str = "window";
const DAY: &str = "day";

/// One quota, as a vendor's answer states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// Which of the vendor's quotas: a later answer with this name speaks of the same one.
    pub name: Cow<'static, str>,
    /// Calls per window, when stated.
    pub limit: Option<u64>,
    /// Calls that remain in this window.
    pub remaining: u64,
    /// Time until the window ends; `None` for a day that ends at a midnight that the vendor does not tell.
    pub resets_in: Option<Duration>,
}

/// Reads quotas from an answer.
pub trait QuotaReader: Send + Sync {
    /// Every quota that the header fields state; nothing for fields that are missing or malformed.
    fn read(&self, vendor: Vendor, headers: &HeaderMap, now: Timestamp) -> Vec<Quota>;

    /// The quota that a 429 says is spent, where its body names one that outlasts a few seconds.
    fn spent(&self, vendor: Vendor, body: &[u8]) -> Option<Quota> {
        let _ = (vendor, body);
        None
    }
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
        ietf(headers, &mut quotas);
        quotas.extend(github(headers, now));
        quotas
    }

    fn spent(&self, vendor: Vendor, body: &[u8]) -> Option<Quota> {
        if vendor != Vendor::HubSpot {
            return None;
        }
        let body: serde_json::Value = serde_json::from_slice(body).ok()?;
        (body["policyName"] == "DAILY").then_some(Quota {
            name: DAY.into(),
            limit: None,
            remaining: 0,
            resets_in: None,
        })
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
    Some(Quota { name: WINDOW.into(), limit, remaining, resets_in: Some(Duration::from_millis(window)) })
}

/// The day: it ends at midnight in the account's time zone, which no answer tells.
fn hubspot_day(headers: &HeaderMap) -> Option<Quota> {
    let remaining = number(headers, "x-hubspot-ratelimit-daily-remaining")?;
    let limit = number(headers, "x-hubspot-ratelimit-daily");
    Some(Quota { name: DAY.into(), limit, remaining, resets_in: None })
}

/// `RateLimit: "a";r=50;t=30, "b";r=7;t=600` with `RateLimit-Policy: "a";q=100;w=10, "b";q=900;w=3600`, or the
/// older `limit=100, remaining=80, reset=30`. `t` and `reset` are seconds from now.
fn ietf(headers: &HeaderMap, quotas: &mut Vec<Quota>) {
    let Some(first) = text(headers, "ratelimit") else { return };
    if let Some(remaining) = parts(first, ',').find_map(|part| parameter(part, "remaining")) {
        let stated = |name| parts(first, ',').find_map(|part| parameter(part, name));
        let limit = stated("limit");
        if let Some(resets_in) = stated("reset").map(Duration::from_secs) {
            quotas.push(Quota { name: "ratelimit".into(), limit, remaining, resets_in: Some(resets_in) });
        }
        return;
    }
    // A list may come in several lines.
    let items =
        |name| headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| parts(v, ','));
    quotas.extend(items("ratelimit").filter_map(|item| {
        let remaining = stated(item, "r")?;
        let policy = items("ratelimit-policy").find(|policy| same_item(policy, item));
        // A unit other than requests (bytes, say) is nothing that counting calls could heed.
        if policy
            .is_some_and(|policy| parts(policy, ';').any(|p| p.starts_with("qu=") && p != "qu=\"requests\""))
        {
            return None;
        }
        let seconds = stated(item, "t").or_else(|| stated(policy?, "w"))?;
        let name = [Some(label(item)), partition(item)].into_iter().flatten().collect::<Vec<_>>().join(";");
        let limit = policy.and_then(|policy| stated(policy, "q"));
        Some(Quota { name: name.into(), limit, remaining, resets_in: Some(Duration::from_secs(seconds)) })
    }));
}

/// Whether a policy is the one of an item: the same name, and the same partition where it has one.
fn same_item(policy: &str, item: &str) -> bool {
    label(policy) == label(item) && partition(policy).is_none_or(|p| partition(item) == Some(p))
}

fn label(item: &str) -> &str {
    parts(item, ';').next().unwrap_or_default()
}

fn partition(item: &str) -> Option<&str> {
    parts(item, ';').skip(1).find(|part| part.starts_with("pk="))
}

fn stated(item: &str, name: &str) -> Option<u64> {
    parts(item, ';').skip(1).find_map(|part| parameter(part, name))
}

fn parameter(part: &str, name: &str) -> Option<u64> {
    let (found, number) = part.split_once('=')?;
    (found.trim() == name).then(|| number.trim().parse().ok())?
}

/// The parts of a value between separators that stand outside of quotes.
fn parts(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value
        .split(move |c: char| {
            let plain = !std::mem::take(&mut escaped);
            match c {
                '"' if plain => quoted = !quoted,
                '\\' if quoted && plain => escaped = true,
                _ => {}
            }
            c == separator && !quoted
        })
        .map(str::trim)
}

/// GitHub's: `reset` is an epoch, in seconds.
fn github(headers: &HeaderMap, now: Timestamp) -> Option<Quota> {
    let remaining = number(headers, "x-ratelimit-remaining")?;
    let reset = number(headers, "x-ratelimit-reset")?;
    let now = u64::try_from(now.as_second()).ok()?;
    let resets_in = reset.checked_sub(now).filter(|wait| *wait > 0)?;
    let limit = number(headers, "x-ratelimit-limit");
    let name = match text(headers, "x-ratelimit-resource") {
        Some(resource) => Cow::Owned(resource.to_owned()),
        None => Cow::Borrowed("x-ratelimit"),
    };
    Some(Quota { name, limit, remaining, resets_in: Some(Duration::from_secs(resets_in)) })
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
                headers.append(*name, value);
            }
        }
        AllDialects.read(Vendor::HubSpot, &headers, Timestamp::from_second(1_700_000_000).unwrap())
    }

    fn quota(name: &'static str, limit: u64, remaining: u64, seconds: u64) -> Quota {
        let resets_in = Some(Duration::from_secs(seconds));
        Quota { name: name.into(), limit: Some(limit), remaining, resets_in }
    }

    #[test]
    fn every_dialect_is_read() {
        let hubspot = [
            ("x-hubspot-ratelimit-max", "100"),
            ("x-hubspot-ratelimit-remaining", "7"),
            ("x-hubspot-ratelimit-interval-milliseconds", "10000"),
        ];
        assert_eq!(read(&hubspot), [quota("window", 100, 7, 10)]);
        assert_eq!(
            read(&[("ratelimit", "\"p\";r=50;t=30"), ("ratelimit-policy", "\"p\";q=100;w=10")]),
            [quota("\"p\"", 100, 50, 30)]
        );
        assert_eq!(
            read(&[("ratelimit", "limit=100, remaining=80, reset=30")]),
            [quota("ratelimit", 100, 80, 30)]
        );
        let github = [
            ("x-ratelimit-limit", "60"),
            ("x-ratelimit-remaining", "3"),
            ("x-ratelimit-reset", "1700000090"),
        ];
        assert_eq!(read(&github), [quota("x-ratelimit", 60, 3, 90)]);
    }

    #[test]
    fn a_day_has_no_stated_end_and_a_429_may_name_it() {
        let day = [("x-hubspot-ratelimit-daily", "250000"), ("x-hubspot-ratelimit-daily-remaining", "12")];
        let unknown = |limit, remaining| Quota { name: "day".into(), limit, remaining, resets_in: None };
        assert_eq!(read(&day), [unknown(Some(250_000), 12)]);
        let said = |vendor, policy: &str| {
            AllDialects.spent(vendor, format!(r#"{{"status":"error","policyName":"{policy}"}}"#).as_bytes())
        };
        assert_eq!(said(Vendor::HubSpot, "DAILY"), Some(unknown(None, 0)));
        assert_eq!(said(Vendor::HubSpot, "TEN_SECONDLY_ROLLING"), None);
        assert_eq!(said(Vendor::Stripe, "DAILY"), None);
        assert_eq!(AllDialects.spent(Vendor::HubSpot, b"<html>"), None);
    }

    #[test]
    fn every_item_of_a_list_is_read_with_the_policy_of_its_name() {
        let policy = ("ratelimit-policy", r#""burst";q=100;w=1, "hour";q=1000;w=3600"#);
        let (burst, hour) = (r#""burst";r=95;t=1"#, r#""hour";r=0;t=600"#);
        let both = [quota("\"burst\"", 100, 95, 1), quota("\"hour\"", 1000, 0, 600)];
        assert_eq!(read(&[("ratelimit", &format!("{burst}, {hour}")), policy]), both);
        assert_eq!(read(&[("ratelimit", burst), ("ratelimit", hour), policy]), both, "in two lines");
        assert_eq!(read(&[("ratelimit", &format!("{burst}, \"bad\";r=x, {hour}")), policy]), both);
        let odd = [("ratelimit", r#""a,b;r=1";r=5;t=3"#), ("ratelimit-policy", r#""x", "a,b;r=1";q=9;w=9"#)];
        assert_eq!(read(&odd), [quota("\"a,b;r=1\"", 9, 5, 3)], "a name in quotes may hold anything");
    }

    #[test]
    fn partitions_are_quotas_of_their_own_and_bytes_are_no_calls() {
        let partitions = [
            ("ratelimit", r#""p";r=5;t=3;pk=:YQ==:, "p";r=0;t=9;pk=:Yg==:"#),
            ("ratelimit-policy", r#""p";q=8;w=60;pk=:YQ==:, "p";q=4;w=60;pk=:Yg==:"#),
        ];
        assert_eq!(read(&partitions), [quota("\"p\";pk=:YQ==:", 8, 5, 3), quota("\"p\";pk=:Yg==:", 4, 0, 9)]);
        let bytes = [
            ("ratelimit", r#""p";r=5;t=3, "volume";r=0;t=60"#),
            ("ratelimit-policy", r#""p";q=8;w=60, "volume";q=4096;w=60;qu="content-bytes""#),
        ];
        assert_eq!(read(&bytes), [quota("\"p\"", 8, 5, 3)]);
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
            let _ = AllDialects.spent(Vendor::HubSpot, value.as_bytes());
            let _ = read(&[("ratelimit", &value), ("ratelimit-policy", &policy), ("x-ratelimit-reset", &value)]);
        }
    }
}
