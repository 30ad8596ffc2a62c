//! Rate limits: how calls are counted, and what the client is told of it.
//!
//! Knows: windows, buckets, and the header fields of each dialect. Must not know: how a refusal
//! is worded, or which operation is which.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::time::{At, Span};
use crate::trace::Quota;
use crate::wire::Headers;

use super::errors::{Case, Refusal};

/// What a daily limit counts over.
const DAY: Span = Span::mins(24 * 60);

/// The rate limits of a vendor.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSpec {
    /// What the client is told.
    #[serde(default)]
    pub dialect: RateDialect,
    /// How calls are counted, if not as the dialect has it.
    #[serde(default)]
    pub counting: Option<Counting>,
    /// Calls a window, or the size of the bucket; no limit if absent.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The window; for a bucket, the time in which a full one drains. A second by default.
    #[serde(default)]
    pub window: Option<Span>,
    /// Calls a day, if they are limited too.
    #[serde(default)]
    pub daily: Option<u64>,
    /// How long a day is, where it is shortened with a drill.
    #[serde(skip)]
    pub day: Option<Span>,
    /// A limit on bursts, whose refusals are of the secondary kind.
    #[serde(default)]
    pub secondary: Option<PlainLimit>,
    /// Limits of their own that operations name.
    #[serde(default)]
    pub also: BTreeMap<String, PlainLimit>,
    /// Whether a refusal says Retry-After in whole seconds.
    #[serde(default)]
    pub retry_after: bool,
    /// Whether a 304 costs nothing.
    #[serde(default)]
    pub not_modified_is_free: bool,
}

/// A limit without header fields of its own.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainLimit {
    /// Calls a window.
    pub limit: u64,
    /// The window.
    pub window: Span,
    /// The least wait that a refusal names.
    #[serde(default)]
    pub wait: Option<Span>,
}

/// What the client is told of its quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateDialect {
    /// Nothing (Stripe).
    #[default]
    Plain,
    /// `X-HubSpot-RateLimit-*`.
    Hubspot,
    /// `x-ratelimit-*`, reset in epoch seconds.
    Github,
    /// `RateLimit: "default";r=50;t=30` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), with an item
    /// for each limit: `"burst"`, `"default"`, `"day"`.
    Ietf,
    /// `RateLimit: limit=100, remaining=80, reset=30`, its earlier form.
    IetfLegacy,
    /// `X-Shopify-Shop-Api-Call-Limit: 32/40`, a leaky bucket.
    Shopify,
    /// `Sforce-Limit-Info: api-usage=18/5000`.
    Salesforce,
}

/// How calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counting {
    /// No more than the limit in any window.
    Rolling,
    /// Windows that begin with the first call after the last one ended.
    Fixed,
    /// A bucket that drains steadily.
    Bucket,
}

/// The counters of a vendor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Limiter {
    main: Option<Counter>,
    daily: Option<Counter>,
    secondary: Option<Counter>,
    also: BTreeMap<String, Counter>,
}

/// A call refused for its rate.
#[derive(Debug)]
pub struct Spent {
    /// The refusal.
    pub refusal: Refusal,
    /// When a call would pass again.
    pub until: At,
    /// Whether the vendor says so in Retry-After.
    pub say: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Counter {
    counting: Counting,
    limit: u64,
    window: Span,
    calls: VecDeque<At>,
    count: u64,
    began: Option<At>,
    /// For a bucket: its level in units of a call times the window in microseconds.
    level: u128,
}

impl Counter {
    fn new(counting: Counting, limit: u64, window: Span) -> Counter {
        let window = Span(window.0.max(1));
        Counter { counting, limit, window, calls: VecDeque::new(), count: 0, began: None, level: 0 }
    }

    /// Brings the counter up to `now`.
    fn settle(&mut self, now: At) {
        match self.counting {
            Counting::Rolling => {
                while self.calls.front().is_some_and(|first| now.since(*first) >= self.window) {
                    self.calls.pop_front();
                }
            }
            Counting::Fixed => {
                if self.began.is_some_and(|began| now.since(began) >= self.window) {
                    self.began = None;
                    self.count = 0;
                }
            }
            Counting::Bucket => {
                let passed = now.since(self.began.unwrap_or(now)).0;
                self.level = self.level.saturating_sub(u128::from(passed) * u128::from(self.limit));
                self.began = Some(now);
            }
        }
    }

    fn used(&self) -> u64 {
        match self.counting {
            Counting::Rolling => self.calls.len() as u64,
            Counting::Fixed => self.count,
            Counting::Bucket => self.level.div_ceil(u128::from(self.window.0)) as u64,
        }
    }

    fn has_room(&self) -> bool {
        self.used() < self.limit
    }

    fn take(&mut self, now: At) {
        match self.counting {
            Counting::Rolling => self.calls.push_back(now),
            Counting::Fixed => {
                self.began.get_or_insert(now);
                self.count += 1;
            }
            Counting::Bucket => self.level += u128::from(self.window.0),
        }
    }

    fn give_back(&mut self) {
        match self.counting {
            Counting::Rolling => {
                self.calls.pop_back();
            }
            Counting::Fixed => self.count = self.count.saturating_sub(1),
            Counting::Bucket => self.level = self.level.saturating_sub(u128::from(self.window.0)),
        }
    }

    /// When the window ends, or for a rolling one and a bucket, when there is room for one more.
    fn resets(&self, now: At) -> At {
        match self.counting {
            Counting::Rolling => self.calls.front().map_or(now, |first| *first) + self.window,
            Counting::Fixed => self.began.unwrap_or(now) + self.window,
            Counting::Bucket => {
                let room = u128::from(self.limit.saturating_sub(1)) * u128::from(self.window.0);
                let over = self.level.saturating_sub(room);
                let micros = over.div_ceil(u128::from(self.limit.max(1)));
                now + Span(u64::try_from(micros).unwrap_or(u64::MAX))
            }
        }
    }

    fn quota(&self, now: At) -> Quota {
        Quota {
            limit: self.limit,
            remaining: self.limit.saturating_sub(self.used()),
            resets_at: self.resets(now),
            window: self.window,
        }
    }
}

impl Limiter {
    /// Counters at zero.
    pub fn new(spec: &RateSpec) -> Limiter {
        let counting = spec.counting.unwrap_or(match spec.dialect {
            RateDialect::Plain | RateDialect::Hubspot => Counting::Rolling,
            RateDialect::Shopify => Counting::Bucket,
            _ => Counting::Fixed,
        });
        let window = spec.window.unwrap_or(Span::secs(1));
        let plain = |p: &PlainLimit| Counter::new(Counting::Rolling, p.limit, p.window);
        Limiter {
            main: spec.limit.map(|limit| Counter::new(counting, limit, window)),
            daily: spec.daily.map(|limit| Counter::new(Counting::Fixed, limit, spec.day.unwrap_or(DAY))),
            secondary: spec.secondary.as_ref().map(plain),
            also: spec.also.iter().map(|(name, p)| (name.clone(), plain(p))).collect(),
        }
    }

    /// Counts a call in, or refuses it. `group` is the limit that the operation names.
    ///
    /// # Errors
    /// The limit that is spent.
    pub fn admit(&mut self, spec: &RateSpec, now: At, group: Option<&str>) -> Result<(), Box<Spent>> {
        if group == Some("none") {
            return Ok(());
        }
        if let Some(name) = group
            && let Some(counter) = self.also.get_mut(name)
        {
            counter.settle(now);
            if !counter.has_room() {
                let refusal = Refusal::case(Case::Burst).with("limit", name);
                let until = counter.resets(now);
                return Err(Box::new(Spent { refusal, until, say: spec.retry_after }));
            }
            counter.take(now);
            return Ok(());
        }
        let order = [
            (self.daily.as_mut(), Case::DaySpent),
            (self.main.as_mut(), Case::WindowSpent),
            (self.secondary.as_mut(), Case::Burst),
        ];
        for (counter, case) in order.into_iter().filter_map(|(c, case)| Some((c?, case))) {
            counter.settle(now);
            if !counter.has_room() {
                let wait = spec.secondary.and_then(|s| s.wait).filter(|_| case == Case::Burst);
                let until = wait.map_or_else(|| counter.resets(now), |wait| now + wait);
                let say = spec.retry_after || wait.is_some();
                return Err(Box::new(Spent { refusal: Refusal::case(case), until, say }));
            }
        }
        for counter in [&mut self.daily, &mut self.main, &mut self.secondary].into_iter().flatten() {
            counter.take(now);
        }
        Ok(())
    }

    /// Takes the last call back, which cost nothing after all.
    pub fn give_back(&mut self) {
        for counter in [&mut self.daily, &mut self.main, &mut self.secondary].into_iter().flatten() {
            counter.give_back();
        }
    }

    /// Writes what the dialect tells of the quotas, and gives those; `spent` writes as if nothing were left of
    /// the main one.
    pub fn tell(
        &mut self,
        spec: &RateSpec,
        now: At,
        epoch: jiff::Timestamp,
        spent: bool,
        headers: &mut Headers,
    ) -> Vec<Quota> {
        let state = |counter: &mut Counter| {
            counter.settle(now);
            counter.quota(now)
        };
        let Some(mut quota) = self.main.as_mut().map(state) else { return Vec::new() };
        if spent {
            quota.remaining = 0;
        }
        let Quota { limit, remaining, resets_at, window } = quota;
        let used = limit - remaining;
        let mut told = vec![quota];
        let mut set = |name: &str, value: String| headers.0.push((name.into(), value.into()));
        match spec.dialect {
            RateDialect::Plain => return Vec::new(),
            RateDialect::Hubspot => {
                set("x-hubspot-ratelimit-max", limit.to_string());
                set("x-hubspot-ratelimit-remaining", remaining.to_string());
                set("x-hubspot-ratelimit-interval-milliseconds", (window.0 / 1_000).to_string());
                if let Some(daily) = self.daily.as_mut().map(state) {
                    set("x-hubspot-ratelimit-daily", daily.limit.to_string());
                    set("x-hubspot-ratelimit-daily-remaining", daily.remaining.to_string());
                    told.push(daily);
                }
            }
            RateDialect::Github => {
                let micros = resets_at.on_wall(epoch).as_microsecond();
                let reset = micros.div_euclid(1_000_000) + i64::from(micros.rem_euclid(1_000_000) > 0);
                set("x-ratelimit-limit", limit.to_string());
                set("x-ratelimit-remaining", remaining.to_string());
                set("x-ratelimit-used", used.to_string());
                set("x-ratelimit-reset", reset.to_string());
                set("x-ratelimit-resource", "core".to_owned());
            }
            RateDialect::Ietf => {
                let mut named = vec![("default", quota)];
                if let Some(burst) = self.secondary.as_mut().map(state) {
                    named.insert(0, ("burst", burst));
                }
                named.extend(self.daily.as_mut().map(|daily| ("day", state(daily))));
                let list = |item: &dyn Fn(&Quota) -> String| {
                    let items = named.iter().map(|(name, q)| format!("\"{name}\";{}", item(q)));
                    items.collect::<Vec<_>>().join(", ")
                };
                set("ratelimit-policy", list(&|q| format!("q={};w={}", q.limit, seconds(q.window))));
                set(
                    "ratelimit",
                    list(&|q| format!("r={};t={}", q.remaining, seconds(q.resets_at.since(now)))),
                );
                told = named.into_iter().map(|(_, q)| q).collect();
            }
            RateDialect::IetfLegacy => {
                set(
                    "ratelimit",
                    format!("limit={limit}, remaining={remaining}, reset={}", seconds(resets_at.since(now))),
                );
            }
            RateDialect::Shopify => set("x-shopify-shop-api-call-limit", format!("{used}/{limit}")),
            RateDialect::Salesforce => set("sforce-limit-info", format!("api-usage={used}/{limit}")),
        }
        told
    }
}

/// Whole seconds, rounded up: who waits them out is never too early.
fn seconds(span: Span) -> u64 {
    span.0.div_ceil(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn spec(text: serde_json::Value) -> RateSpec {
        serde_json::from_value(text).unwrap()
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_its_limit(
            gaps in prop::collection::vec(0u64..400_000, 1..200),
            limit in 1u64..8,
        ) {
            let spec = spec(json!({ "limit": limit, "window": "1s" }));
            let mut limiter = Limiter::new(&spec);
            let mut now = At::START;
            let mut passed = Vec::new();
            for gap in gaps {
                now = now + Span(gap);
                if limiter.admit(&spec, now, None).is_ok() {
                    passed.push(now);
                }
            }
            for (i, at) in passed.iter().enumerate() {
                let inside = passed[i..].iter().take_while(|t| t.since(*at) < Span::secs(1)).count();
                prop_assert!(inside as u64 <= limit);
            }
        }

        #[test]
        fn a_bucket_never_holds_more_than_its_size_and_says_when_there_is_room(
            gaps in prop::collection::vec(0u64..900_000, 1..200),
        ) {
            let spec = spec(json!({ "dialect": "shopify", "limit": 4, "window": "2s" }));
            let mut limiter = Limiter::new(&spec);
            let mut now = At::START;
            let mut passed = 0u64;
            for gap in gaps {
                now = now + Span(gap);
                match limiter.admit(&spec, now, None) {
                    Ok(()) => passed += 1,
                    Err(spent) => {
                        prop_assert!(spent.until > now);
                        let mut later = limiter.clone();
                        prop_assert!(later.admit(&spec, spent.until, None).is_ok());
                        prop_assert!(limiter.clone().admit(&spec, At(spent.until.0 - 1), None).is_err());
                    }
                }
                // Size, and what drained since the start: two calls a second.
                prop_assert!(passed <= 4 + now.0 * 2 / 1_000_000);
                prop_assert!(limiter.main.as_ref().unwrap().used() <= 4);
            }
        }
    }

    fn told(dialect: &str) -> (Headers, Vec<Quota>) {
        let spec = spec(json!({ "dialect": dialect, "limit": 10, "window": "10s", "daily": 100 }));
        let mut limiter = Limiter::new(&spec);
        limiter.admit(&spec, At(1_000_000), None).unwrap();
        let mut headers = Headers::default();
        let epoch = jiff::Timestamp::from_second(1_000).unwrap();
        let quotas = limiter.tell(&spec, At(2_500_000), epoch, false, &mut headers);
        (headers, quotas)
    }

    #[test]
    fn each_dialect_tells_the_quota_in_its_own_fields() {
        let text =
            |d| told(d).0.0.into_iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>().join("; ");
        assert_eq!(text("plain"), "");
        assert_eq!(
            text("hubspot"),
            "x-hubspot-ratelimit-max: 10; x-hubspot-ratelimit-remaining: 9; \
             x-hubspot-ratelimit-interval-milliseconds: 10000; x-hubspot-ratelimit-daily: 100; \
             x-hubspot-ratelimit-daily-remaining: 99"
        );
        assert_eq!(
            text("github"),
            "x-ratelimit-limit: 10; x-ratelimit-remaining: 9; x-ratelimit-used: 1; \
             x-ratelimit-reset: 1011; x-ratelimit-resource: core"
        );
        assert_eq!(
            text("ietf"),
            "ratelimit-policy: \"default\";q=10;w=10, \"day\";q=100;w=86400; \
             ratelimit: \"default\";r=9;t=9, \"day\";r=99;t=86399"
        );
        assert_eq!(text("ietf-legacy"), "ratelimit: limit=10, remaining=9, reset=9");
        assert_eq!(text("shopify"), "x-shopify-shop-api-call-limit: 0/10", "a bucket drains");
        assert_eq!(text("salesforce"), "sforce-limit-info: api-usage=1/10");
        assert_eq!(told("github").1[0].resets_at, At(11_000_000));
        assert_eq!(told("plain").1, []);
        let days = |d| told(d).1.iter().filter(|q| q.window == DAY).map(|q| q.remaining).collect::<Vec<_>>();
        assert_eq!((days("hubspot"), days("ietf"), days("github")), (vec![99], vec![99], vec![]));
    }

    #[test]
    fn a_spent_day_outlasts_the_window() {
        let spec = spec(json!({ "limit": 2, "window": "1s", "daily": 3 }));
        let mut limiter = Limiter::new(&spec);
        for (at, case) in [
            (0, None),
            (1, None),
            (2, Some(Case::WindowSpent)),
            (1_000_000, None),
            (9_000_000, Some(Case::DaySpent)),
            (86_400_000_000, None),
        ] {
            let got = limiter.admit(&spec, At(at), None).err().and_then(|s| s.refusal.case);
            assert_eq!(got, case, "at {at}");
        }
    }
}
