//! A failure that needs a person is said in time, and not so often that nobody listens.
//!
//! Knows: what came where alerts go, and when. Must not know: any subject's kinds of alerts; the
//! scenario gives the words to look for.

use super::evidence::{Evidence, Unread};
use super::say::{Findings, Say, brief, count};
use crate::scenario::Alert;
use crate::time::{At, Span};
use crate::trace::EventId;

/// Something that came where alerts go.
struct Said {
    at: At,
    event: EventId,
    text: String,
    /// The text in lower case, in which words are looked for.
    lower: String,
}

/// Judges `expect.alerts`.
pub(super) fn alerts(e: &Evidence<'_>, found: &mut Findings) {
    let said: Vec<Said> = e
        .alerts
        .iter()
        .map(|(at, event, body)| {
            let text = body.to_string();
            Said { at: *at, event: *event, lower: text.to_lowercase(), text }
        })
        .collect();
    for alert in &e.scenario.expect.alerts {
        let judge = Judge::new(e, alert, &said);
        if alert.never {
            judge.never(found);
        } else if judge.once(found)
            && let Some(most) = alert.at_most
        {
            judge.at_most(most, found);
        }
    }
}

/// One promise, and what came that bears on it.
struct Judge<'j> {
    e: &'j Evidence<'j>,
    alert: &'j Alert,
    from: At,
    due: At,
    all: &'j [Said],
    /// What says the word, at whatever moment.
    about: Vec<&'j Said>,
    /// What says it between the two moments, in order.
    hits: Vec<&'j Said>,
    /// What came between the two moments and cannot be read.
    unread: Vec<&'j Unread<'j>>,
}

impl<'j> Judge<'j> {
    fn new(e: &'j Evidence<'j>, alert: &'j Alert, all: &'j [Said]) -> Self {
        let word = alert.about.to_lowercase();
        let from = At(alert.from.0);
        let due = from + alert.within;
        let within = |at: At| at >= from && at <= due;
        let about: Vec<&Said> = all.iter().filter(|s| s.lower.contains(&word)).collect();
        let hits = about.iter().copied().filter(|s| within(s.at)).collect();
        let known = |event: EventId| about.iter().any(|s| s.event == event);
        let may_be = |u: &&Unread<'_>| u.at >= from && u.began <= due && !known(u.id);
        let unread = e.unread_alerts.iter().filter(may_be).collect();
        Judge { e, alert, from, due, all, about, hits, unread }
    }

    /// Says that what cannot be read may be the alert in question, if there is any such thing.
    fn may_be_unread(&self, found: &mut Findings) -> bool {
        let Some(Unread { began, id, why, .. }) = self.unread.first() else { return false };
        let about = &self.alert.about;
        found.unknown(Say {
            rule: "observability/unread_alert",
            group: about,
            message: format!(
                "what came at {began} where alerts go cannot be read as one: {why}; it may be one about `{about}`"
            ),
            expected: "alerts that are posted whole over HTTP/1.1 or HTTP/2, as JSON, a form or text".into(),
            hint: "the trace shows what came",
            evidence: vec![*id],
        });
        true
    }

    fn ended_early(&self, found: &mut Findings) -> bool {
        let early = self.e.ends_at < self.due;
        if early {
            found.unknown(Say {
                rule: "observability/ended_early",
                group: &self.alert.about,
                message: format!(
                    "the drill ended at {}, before the time in which alerts about `{}` are looked for was over",
                    self.e.ends_at, self.alert.about
                ),
                expected: format!("a drill that lasts until {}", self.due),
                hint: "raise `ends_at`",
                evidence: Vec::new(),
            });
        }
        early
    }

    fn never(&self, found: &mut Findings) {
        let Some(hit) = self.hits.first() else {
            self.may_be_unread(found);
            return;
        };
        found.fail(Say {
            rule: "observability/false_alarm",
            group: &self.alert.about,
            message: format!(
                "an alert about `{}` came at {}: {}",
                self.alert.about,
                hit.at,
                brief(&hit.text)
            ),
            expected: format!("no such alert between {} and {}", self.from, self.due),
            hint: "people stop reading alerts that cry wolf",
            evidence: vec![hit.event],
        });
    }

    /// Whether it was said at all.
    fn once(&self, found: &mut Findings) -> bool {
        if !self.hits.is_empty() {
            return true;
        }
        if self.may_be_unread(found) || self.ended_early(found) {
            return false;
        }
        let (about, from, due) = (&self.alert.about, self.from, self.due);
        let other = self.about.first();
        found.fail(Say {
            rule: "observability/no_alert",
            group: about,
            message: match other {
                Some(other) => {
                    format!(
                        "an alert about `{about}` came only at {}, not between {from} and {due}",
                        other.at
                    )
                }
                None => format!(
                    "no alert about `{about}` came between {from} and {due} ({} others in all)",
                    self.all.len()
                ),
            },
            expected: format!("an alert that says `{about}` by {due}"),
            hint: "a failure that nobody hears of is found by the customer",
            evidence: other.map(|s| s.event).into_iter().collect(),
        });
        false
    }

    /// More alerts than promised are too many, whatever else came; fewer are few enough only if all of
    /// them could be read and the time was over.
    fn at_most(&self, most: u32, found: &mut Findings) {
        let n = self.hits.len();
        let (Some(first), Some(last)) = (self.hits.first(), self.hits.last()) else { return };
        if n <= most as usize {
            if n + self.unread.len() > most as usize {
                self.may_be_unread(found);
            } else {
                self.ended_early(found);
            }
            return;
        }
        let about = &self.alert.about;
        let apart = Span(last.at.since(first.at).0 / (n as u64 - 1).max(1));
        found.fail(Say {
            rule: "observability/alert_storm",
            group: about,
            message: format!(
                "{} about `{about}` came between {} and {}, one every {apart} on average; the first: {}",
                count(n as u64, "alert"),
                first.at,
                last.at,
                brief(&first.text)
            ),
            expected: format!("at most {most} between {} and {}", self.from, self.due),
            hint: "one trouble is one alert, said again once in a while: not at each failed attempt, nor each time \
                   that somebody looks",
            evidence: self.hits.iter().take(3).chain([last]).map(|s| s.event).collect(),
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::What;
    use serde_json::json;

    const ALERT: &str = "alerts: [ { about: invalid_grant, from: 10s, within: 1m } ]";
    const FEW: &str = "alerts: [ { about: grant, from: 10s, within: 1m, at_most: 2 } ]";

    fn alert(at: u64, text: &str) -> Builder {
        drill().event(at, What::Alert { body: json!({ "kind": text }), unread: None, began: None })
    }

    fn unread(at: u64, text: &str) -> Builder {
        drill()
            .event(at, What::Alert { body: json!(text), unread: Some("it has no body".into()), began: None })
    }

    fn alerts_at(moments: &[u64]) -> Builder {
        let said = || What::Alert { body: json!({ "kind": "invalid_grant" }), unread: None, began: None };
        moments.iter().fold(drill(), |drill, at| drill.event(*at, said()))
    }

    #[test]
    fn an_alert_in_time_is_sound_and_a_late_or_missing_one_is_found() {
        alert(30_000, "Invalid_Grant at crm").passes(&scenario(ALERT), "observability");
        alert(80_000, "invalid_grant").fails(&scenario(ALERT), "observability/no_alert");
        alert(30_000, "breaker open").fails(&scenario(ALERT), "observability/no_alert");
    }

    #[test]
    fn an_alert_that_must_not_come_is_found() {
        let never = scenario("alerts: [ { about: grant, from: 0s, within: 1h, never: true } ]");
        alert(30_000, "invalid_grant").fails(&never, "observability/false_alarm");
        drill().passes(&never, "observability");
    }

    #[test]
    fn what_cannot_be_read_may_be_the_alert_that_is_missing_or_must_not_come() {
        let never = scenario("alerts: [ { about: grant, from: 10s, within: 1m, never: true } ]");
        for s in [&scenario(ALERT), &never] {
            unread(30_000, "GET /").unknown(s, "observability/unread_alert");
        }
        unread(80_000, "GET /").fails(&scenario(ALERT), "observability/no_alert");
        unread(80_000, "GET /").passes(&never, "observability");
        unread(30_000, "GET /?about=invalid_grant").passes(&scenario(ALERT), "observability");
    }

    #[test]
    fn a_storm_of_alerts_is_found_and_a_few_are_sound() {
        alerts_at(&[20_000, 40_000]).passes(&scenario(FEW), "observability");
        alerts_at(&[20_000, 40_000, 60_000]).fails(&scenario(FEW), "observability/alert_storm");
        alerts_at(&[0, 20_000, 40_000, 80_000]).passes(&scenario(FEW), "observability");
        alerts_at(&[80_000, 81_000, 82_000]).fails(&scenario(FEW), "observability/no_alert");
    }

    #[test]
    fn one_too_many_may_be_among_what_cannot_be_read() {
        let odd = || What::Alert { body: json!("GET /"), unread: Some("it has no body".into()), began: None };
        alerts_at(&[20_000, 40_000])
            .event(50_000, odd())
            .unknown(&scenario(FEW), "observability/unread_alert");
        alerts_at(&[20_000]).event(50_000, odd()).passes(&scenario(FEW), "observability");
        let three = alerts_at(&[20_000, 30_000, 40_000]).event(50_000, odd());
        three.fails(&scenario(FEW), "observability/alert_storm");
    }

    #[test]
    fn alerts_that_may_still_come_keep_few_from_being_few_enough() {
        alerts_at(&[20_000]).ends(40_000).unknown(&scenario(FEW), "observability/ended_early");
        alerts_at(&[20_000, 21_000, 22_000]).ends(40_000).fails(&scenario(FEW), "observability/alert_storm");
    }
}
