//! When a failed delivery is tried again.
//!
//! Knows: fixed and drawn schedules. Must not know: what was delivered.

use serde::Deserialize;

use crate::seed::Stream;
use crate::time::Span;
use crate::vendor::template::below;
use crate::wire::Response;

/// When failed deliveries are tried again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrySpec {
    /// The pauses, in order: as many retries as there are pauses.
    #[serde(default)]
    pub after: Vec<Span>,
    /// Or: this many retries ...
    #[serde(default)]
    pub count: u32,
    /// ... spread over this span, the pauses growing and drawn.
    #[serde(default)]
    pub over: Span,
    /// Statuses that stop the retries of an event at once.
    #[serde(default)]
    pub stop_on: Vec<u16>,
}

impl RetrySpec {
    /// The pause after failed attempt number `attempt` (from 1), if there is another attempt.
    pub fn pause(&self, attempt: u32, response: Option<&Response>, chance: &mut Stream) -> Option<Span> {
        if response.is_some_and(|r| self.stop_on.contains(&r.status)) {
            return None;
        }
        if !self.after.is_empty() {
            return self.after.get(attempt.checked_sub(1)? as usize).copied();
        }
        if attempt == 0 || attempt > self.count {
            return None;
        }
        // Pauses grow by half from one to the next and fill the span: p, 1.5p, 2.25p, …; each is
        // drawn between a half and the whole of its share, so the sum never passes the span.
        let growth = |n: u32| 1.5f64.powi(n as i32);
        let unit = self.over.0 as f64 * 0.5 / (growth(self.count) - 1.0);
        let share = (unit * growth(attempt - 1)) as u64;
        Some(Span(share / 2 + below(chance, share / 2 + 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use serde_json::json;

    #[test]
    fn a_fixed_schedule_ends_after_its_last_pause() {
        let spec: RetrySpec =
            serde_json::from_value(json!({ "after": ["5s", "5m"], "stop_on": [410] })).unwrap();
        let mut chance = Seed(1).stream("t");
        assert_eq!(spec.pause(1, None, &mut chance), Some(Span::secs(5)));
        assert_eq!(spec.pause(2, None, &mut chance), Some(Span::mins(5)));
        assert_eq!(spec.pause(3, None, &mut chance), None);
        let gone = Response::json(410, &json!({}));
        assert_eq!(spec.pause(1, Some(&gone), &mut chance), None);
        assert_eq!(RetrySpec::default().pause(1, None, &mut chance), None);
    }

    proptest::proptest! {
        #[test]
        fn drawn_retries_stay_within_their_span(seed: u64) {
            let spec: RetrySpec = serde_json::from_value(json!({ "count": 10, "over": "24h" })).unwrap();
            let mut chance = Seed(seed).stream("t");
            let pauses: Vec<Span> = (1..=11).map_while(|n| spec.pause(n, None, &mut chance)).collect();
            proptest::prop_assert_eq!(pauses.len(), 10);
            let sum: u64 = pauses.iter().map(|p| p.0).sum();
            proptest::prop_assert!(sum <= Span::mins(24 * 60).0 && sum >= Span::mins(11 * 60).0, "{}", sum);
        }
    }
}
