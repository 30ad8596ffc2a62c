//! What an acknowledged event sets off: work, if it is news; nothing, if it is a copy.
//!
//! Knows: which deliveries and calls name a record, and when the ledgers disagreed. Must not know: by
//! what a subject tells copies.
//!
//! A call is laid to a copy only where nothing else can have led to it: no other news, job, restart,
//! failed call or sweep of the subject's own. Where that is never so, the promise is not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::call::Call;
use super::evidence::{Delivery, Evidence, words};
use super::say::{Findings, Say};
use crate::time::{At, Span};
use crate::trace::EventId;

/// Judges `webhook.acts_within` and `webhook.knows_copies`.
pub(super) fn judge(e: &Evidence<'_>, found: &mut Findings) {
    let Some(promise) = e.scenario.expect.webhook else { return };
    if promise.acts_within.is_none() && !promise.knows_copies {
        return;
    }
    let tidings = Tidings::of(e);
    if let Some(within) = promise.acts_within {
        let judged = tidings.news(e.slack(within), found);
        if judged == 0 {
            nothing(found, "webhook/no_news_judged", "new event about a record that was due for work", e);
        }
    }
    if promise.knows_copies {
        let judged = tidings.copies(found);
        if judged == 0 {
            nothing(found, "webhook/no_copy_judged", "copy of an event whose work was done", e);
        }
    }
}

fn nothing(found: &mut Findings, rule: &'static str, what: &str, e: &Evidence<'_>) {
    found.unknown(Say {
        rule,
        group: "",
        message: format!(
            "of {} deliveries none brought a {what} while calls succeeded and nothing else asked for work",
            e.deliveries.len()
        ),
        expected: format!("at least 1 {what}"),
        hint: "give the promise its own drill, without faults on calls, kills and jobs",
        evidence: e.deliveries.iter().take(3).map(|d| d.asked).collect(),
    });
}

/// What was told of which record, and which calls name one.
struct Tidings<'e> {
    e: &'e Evidence<'e>,
    /// When the subject first took each event.
    taken: BTreeMap<&'e str, At>,
    /// Calls that name a record, by their index.
    named: BTreeMap<&'e str, Vec<usize>>,
    /// When calls that failed arrived.
    failed: Vec<At>,
}

/// Whether the subject took responsibility for it, also where its word was lost on the way.
fn took(delivery: &Delivery<'_>) -> bool {
    !delivery.must_be_refused && delivery.response.is_some_and(|r| r.is_success())
}

fn between(moments: &[At], from: At, to: At) -> bool {
    moments[moments.partition_point(|t| *t < from)..].first().is_some_and(|t| *t <= to)
}

impl<'e> Tidings<'e> {
    fn of(e: &'e Evidence<'e>) -> Tidings<'e> {
        let mut taken: BTreeMap<&str, At> = BTreeMap::new();
        for delivery in e.deliveries.iter().filter(|d| took(d)) {
            for event in delivery.events {
                let first = taken.entry(event).or_insert(delivery.ended);
                *first = delivery.ended.min(*first);
            }
        }
        // A short number is found in any request.
        let telling = |id: &&str| id.len() > 4 || id.chars().any(|c| !c.is_ascii_digit());
        let sources = e.agreement().into_iter().flat_map(|a| a.sources.keys().map(String::as_str));
        let ids: BTreeSet<&str> = e.spoken_of.keys().copied().chain(sources).filter(telling).collect();
        let mut named: BTreeMap<&str, Vec<usize>> = ids.iter().map(|id| (*id, Vec::new())).collect();
        for (index, call) in e.calls.iter().enumerate() {
            let body = String::from_utf8_lossy(&call.request.body);
            let both = words(&call.request.target).chain(words(&body));
            for id in both.filter_map(|w| ids.get(w)).collect::<BTreeSet<_>>() {
                named.entry(id).or_default().push(index);
            }
        }
        let failed = e.calls.iter().filter(|c| !c.succeeded()).map(|c| c.arrived).collect();
        Tidings { e, taken, named, failed }
    }

    /// Calls that name `record` and arrive in `[from, to]`.
    fn about(&self, record: &str, from: At, to: At) -> impl DoubleEndedIterator<Item = &'e Call<'e>> {
        let calls = &self.e.calls;
        let all = self.named.get(record).map_or(&[][..], Vec::as_slice);
        let first = all.partition_point(|i| calls[*i].arrived < from);
        let end = all.partition_point(|i| calls[*i].arrived <= to);
        all[first..end.max(first)].iter().map(|i| &calls[*i])
    }

    /// Whether an answer that came of a call in `[from, to]` shows `record`.
    fn shown(&self, record: &str, from: At, to: At, but: Option<EventId>) -> bool {
        let calls = &self.e.calls;
        let first = calls.partition_point(|c| c.arrived < from);
        let finder = memchr::memmem::Finder::new(record);
        let within = calls[first..].iter().take_while(|c| c.arrived <= to);
        within
            .filter(|c| Some(c.asked) != but)
            .any(|c| c.response.is_some_and(|r| finder.find(&r.body).is_some()))
    }

    /// Whether calls failed in `[from, to]`, or may have failed unseen.
    fn troubled(&self, from: At, to: At) -> bool {
        let unseen = |vendor: &String| self.e.unseen_calls(vendor, from, to);
        between(&self.failed, from, to) || self.e.profiles.keys().any(unseen)
    }

    /// The records that a delivery tells of, each with the delivery's events about it.
    fn records(&self, delivery: &Delivery<'e>) -> BTreeMap<&'e str, Vec<&'e str>> {
        let mut records: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for event in delivery.events {
            let record = self.e.events.get(&**event).and_then(|(_, told)| told.record.as_deref());
            if let Some(record) = record.filter(|r| self.named.contains_key(r)) {
                records.entry(record).or_default().push(event);
            }
        }
        records
    }

    /// News about a record that disagrees with its effect is followed by a call about it. Returns how
    /// many events were judged.
    fn news(&self, within: Span, found: &mut Findings) -> u64 {
        let Some(agreement) = self.e.agreement() else { return 0 };
        let mut judged = 0;
        for delivery in self.e.deliveries.iter().filter(|d| took(d) && d.vendor == agreement.from.0) {
            let until = delivery.ended + within;
            if until > self.e.ends_at || !self.e.lives.ready_throughout(delivery.sent, until) {
                continue;
            }
            for (record, events) in self.records(delivery) {
                let new = |event: &&&str| self.taken.get(**event) == Some(&delivery.ended);
                let Some(event) = events.iter().find(new) else { continue };
                let occurred = self.e.events.get(*event).map_or(delivery.sent, |(_, told)| told.occurred);
                let key = agreement.sources.get(record).and_then(|h| h.key.as_deref());
                let raw = key.map_or(&[][..], |key| agreement.raw(key));
                // Whoever is quick has done the work by the time of the acknowledgement.
                let due = raw.iter().rfind(|(from, to)| *from <= delivery.ended && delivery.sent <= *to);
                let Some((since, settled)) = due.filter(|(since, _)| *since <= occurred) else { continue };
                if self.troubled(*since, until) {
                    continue;
                }
                judged += 1;
                let acted = *settled <= until
                    || self.about(record, *since, until).next().is_some()
                    || self.shown(record, *since, until, None);
                if !acted {
                    self.ignored(delivery, record, event, within, found);
                }
            }
        }
        judged
    }

    fn ignored(
        &self,
        delivery: &Delivery<'_>,
        record: &str,
        event: &str,
        within: Span,
        found: &mut Findings,
    ) {
        let e = self.e;
        let tells = |d: &&Delivery<'_>| {
            let of = |id: &str| e.events.get(id).and_then(|(_, told)| told.record.as_deref());
            took(d)
                && d.asked != delivery.asked
                && d.ended <= delivery.sent
                && d.events.iter().any(|id| of(id) == Some(record))
        };
        let earlier = e.deliveries.iter().rfind(tells);
        let later = self.about(record, delivery.ended, e.ends_at).next();
        let before = earlier.map_or(String::new(), |d| {
            format!("; other events about it were acknowledged before, last at {}", d.ended)
        });
        let then = later.map_or_else(
            || "no call about it followed".to_owned(),
            |c| format!("the next call about it came at {}", c.arrived),
        );
        let hint = match earlier {
            Some(_) => {
                "was it taken for a copy of the earlier one? What makes two events the same is the event's own \
                 id, not the record, its type or its property: a second change is news"
            }
            None => "was it dropped by a filter, or forgotten after its acknowledgement?",
        };
        found.fail(Say {
            rule: "webhook/event_ignored",
            group: delivery.vendor,
            message: format!(
                "event {event} about {record} was new and acknowledged at {}, and {then}, although its effect was out \
                 of date{before}",
                delivery.ended
            ),
            expected: format!("a call about {record} within {within} of the acknowledgement"),
            hint,
            evidence: earlier
                .into_iter()
                .flat_map(Delivery::cite)
                .chain(delivery.cite())
                .chain(later.into_iter().flat_map(Call::cite))
                .collect(),
        });
    }

    /// A copy of what was taken before, and done, sets nothing off. Returns how many were judged.
    fn copies(&self, found: &mut Findings) -> u64 {
        let mut judged = 0;
        for delivery in self.e.deliveries.iter().filter(|d| took(d)) {
            for (record, events) in self.records(delivery) {
                let before = |event: &&str| self.taken.get(*event).filter(|first| **first <= delivery.sent);
                let firsts: Vec<At> = events.iter().filter_map(before).copied().collect();
                let Some(first) = firsts.iter().min().filter(|_| firsts.len() == events.len()) else {
                    continue;
                };
                judged += u64::from(self.copy(delivery, record, events[0], *first, found));
            }
        }
        judged
    }

    /// Judges one copy; whether that was possible.
    fn copy(
        &self,
        delivery: &Delivery<'_>,
        record: &'e str,
        event: &str,
        first: At,
        found: &mut Findings,
    ) -> bool {
        let e = self.e;
        let rest = e.slack(e.rest);
        let quiet = delivery.sent - rest;
        let limit = (delivery.ended + rest).min(e.ends_at);
        let fresh = |id: &str| self.taken.get(id).is_none_or(|first| *first > quiet);
        let of = |id: &str| e.events.get(id).and_then(|(_, told)| told.record.as_deref());
        let elsewhere = |d: &Delivery<'_>| d.events.iter().any(|id| of(id) == Some(record) && fresh(id));
        let sent = &e.deliveries[e.deliveries.partition_point(|d| d.sent < quiet - rest)..];
        let told = sent.iter().take_while(|d| d.sent <= limit).any(elsewhere);
        let collection = e.events.get(event).and_then(|(_, told)| told.collection.as_deref());
        let ledger = e.ledger(delivery.vendor, collection.unwrap_or_default());
        let since = &ledger[ledger.partition_point(|c| c.at < quiet)..];
        let changed = since.iter().take_while(|c| c.at <= limit).any(|c| c.id == record);
        let settled = match e.agreement().filter(|a| a.from.0 == delivery.vendor) {
            None => true,
            Some(a) => {
                let key = a.sources.get(record).and_then(|h| h.key.as_deref());
                key.is_some_and(|key| !a.raw(key).iter().any(|(from, to)| *from <= limit && *to >= quiet))
            }
        };
        let worked = self.about(record, At::START, quiet).next_back().is_some_and(|c| c.ended < quiet);
        if told
            || !settled
            || !worked
            || changed
            || self.of_itself(record, first + rest, quiet)
            || between(&e.jobs, quiet, limit)
            || !e.lives.ready_throughout(first, delivery.ended)
            || self.troubled(first, limit)
            || self.about(record, quiet, delivery.sent).any(|c| c.arrived < delivery.sent)
        {
            return false;
        }
        let Some(call) = self.about(record, delivery.sent, limit).next() else { return true };
        if self.swept(record, quiet, call) {
            return false;
        }
        found.fail(Say {
            rule: "webhook/copy_worked",
            group: delivery.vendor,
            message: format!(
                "event {event} about {record} had been taken at {first} and its work was done; a copy of it came at {}, \
                 and {} at {} works on it again, with nothing else that asked for it",
                delivery.sent,
                call.name(),
                call.arrived
            ),
            expected: "a copy is acknowledged and sets nothing off".into(),
            hint: "remember the event's own id, not the delivery's or the attempt's, for as long as the vendor may \
                   send it again: days, not minutes, and over restarts",
            evidence: delivery.cite().into_iter().chain(call.cite()).collect(),
        });
        true
    }

    /// Whether the subject works on `record` in `[from, to]` without being told of it: on a timer of its own.
    fn of_itself(&self, record: &str, from: At, to: At) -> bool {
        let told = self.e.spoken_of.get(record).map_or(&[][..], Vec::as_slice);
        let rest = self.e.slack(self.e.rest);
        self.about(record, from, to).any(|c| !between(told, c.arrived - rest, c.arrived))
    }

    /// Whether `call` may belong to a sweep: something listed the record, or others of which nothing was
    /// told are asked for as well.
    fn swept(&self, record: &str, quiet: At, call: &Call<'_>) -> bool {
        let end = call.arrived + self.e.slack(self.e.rest);
        let untold = |id: &str| {
            !self.e.spoken_of.get(id).is_some_and(|moments| between(moments, quiet, end))
                && self.about(id, quiet, end).next().is_some()
        };
        self.shown(record, quiet, call.arrived, Some(call.asked))
            || self.named.keys().any(|id| *id != record && untold(id))
    }
}

#[cfg(test)]
mod tests {
    use crate::check::testing::*;
    use crate::trace::{ChangeKind, SubjectEvent};
    use serde_json::json;

    const COPIES: &str = "webhook: { ack_within: 1s, knows_copies: true }";
    const NEWS: &str = "webhook: { ack_within: 1s, acts_within: 1m }\n  agree: { from: crm.deals, where: deal.won, \
                        to: billing.invoices, key: invoice.deal, fields: { invoice.due: deal.due } }";
    const MINUTE: u64 = 60_000;

    /// The event `e1` about `d1` was taken at 5 ms, and its work was done.
    fn done() -> Builder {
        let write = call("billing", "POST /invoices", 900).key("k").body("deal=d1");
        drill().ends(3_600_000).emitted(0, "e1", "d1").delivery(5, &["e1"], 200, 10).call(write)
    }

    #[test]
    fn a_copy_that_sets_nothing_off_is_sound_and_one_that_is_worked_on_is_found() {
        let s = scenario(COPIES);
        let copied = || done().delivery(10 * MINUTE, &["e1"], 200, 10);
        copied().passes(&s, "webhook");
        let again = |at| copied().call(call("crm", "GET /deals/d1", at));
        again(10 * MINUTE + 300).fails(&s, "webhook/copy_worked");
        again(12 * MINUTE).passes(&s, "webhook");
    }

    #[test]
    fn work_that_something_else_may_have_asked_for_is_not_laid_to_a_copy() {
        let s = scenario(COPIES);
        let rule = "webhook/no_copy_judged";
        let again = |b: Builder| {
            b.delivery(10 * MINUTE, &["e1"], 200, 10).call(call("crm", "GET /deals/d1", 10 * MINUTE + 900))
        };
        again(done().emitted(10 * MINUTE, "e2", "d1").delivery(10 * MINUTE, &["e2"], 200, 10))
            .unknown(&s, rule);
        again(done().subject(10 * MINUTE, triggered("sync", None))).unknown(&s, rule);
        again(done().call(call("billing", "GET /x", 5 * MINUTE).status(503))).unknown(&s, rule);
        again(done().call(call("crm", "GET /deals/d1", 6 * MINUTE))).unknown(&s, rule);
        let listed = call("crm", "GET /deals", 10 * MINUTE + 100).answers(200, json!([{ "id": "d1" }]));
        again(done().call(listed)).unknown(&s, rule);
        let other = call("crm", "GET /deals/d2", 10 * MINUTE + 500);
        let given = done().change(0, "crm.deals", ChangeKind::Given, json!({ "id": "d2" }), None);
        let agree = "agree: { from: crm.deals, where: 'false', to: billing.invoices, key: invoice.deal }";
        again(given.call(other)).unknown(&scenario(&format!("{COPIES}\n  {agree}")), rule);
    }

    #[test]
    fn a_promise_on_copies_without_a_copy_is_unknown() {
        done().unknown(&scenario(COPIES), "webhook/no_copy_judged");
    }

    /// The deal `d1` was invoiced, and is amended at ten minutes.
    fn amended() -> Builder {
        let deal = |due: u64| json!({ "id": "d1", "won": true, "due": due });
        done()
            .change(0, "crm.deals", ChangeKind::Given, deal(1), None)
            .change(
                901,
                "billing.invoices",
                ChangeKind::Created,
                json!({ "id": "i1", "deal": "d1", "due": 1 }),
                None,
            )
            .change(10 * MINUTE, "crm.deals", ChangeKind::Updated, deal(2), None)
            .emitted(10 * MINUTE, "e2", "d1")
            .delivery(10 * MINUTE + 100, &["e2"], 200, 10)
    }

    #[test]
    fn news_that_nothing_follows_is_found_although_a_sweep_mends_it_later() {
        let s = scenario(NEWS);
        let mended = |at| {
            let record = json!({ "id": "i1", "deal": "d1", "due": 2 });
            amended().call(call("crm", "GET /deals/d1", at)).change(
                at + 100,
                "billing.invoices",
                ChangeKind::Updated,
                record,
                None,
            )
        };
        mended(10 * MINUTE + 900).passes(&s, "webhook");
        mended(20 * MINUTE).fails(&s, "webhook/event_ignored");
        amended().fails(&s, "webhook/event_ignored");
    }

    #[test]
    fn work_that_is_done_by_the_time_of_the_acknowledgement_is_sound() {
        let record = json!({ "id": "i1", "deal": "d1", "due": 2 });
        for at in [10 * MINUTE + 105, 10 * MINUTE + 110] {
            amended()
                .call(call("crm", "GET /deals/d1", 10 * MINUTE + 101))
                .change(at, "billing.invoices", ChangeKind::Updated, record.clone(), None)
                .passes(&scenario(NEWS), "webhook");
        }
    }

    #[test]
    fn news_is_not_judged_while_calls_fail_or_the_subject_is_down() {
        let s = scenario(NEWS);
        amended().call(call("billing", "GET /x", 10 * MINUTE + 200).status(503)).passes(&s, "webhook");
        amended().subject(10 * MINUTE + 500, SubjectEvent::Killed).passes(&s, "webhook");
    }

    #[test]
    fn a_promise_on_news_without_any_is_unknown() {
        drill().delivery(5, &["e1"], 200, 10).unknown(&scenario(NEWS), "webhook/no_news_judged");
    }
}
