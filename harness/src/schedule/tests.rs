//! Facts about rules: when they bite, and that chance is reproducible.

use super::*;
use crate::wire::Headers;
use proptest::prelude::*;

fn rules(text: &str) -> Vec<Rule> {
    serde_saphyr::from_str(text).unwrap()
}

fn schedule(text: &str) -> Schedule {
    Schedule::new(&rules(text), At(3_600_000_000), Seed(1))
}

fn post(key: Option<&str>, body: &str) -> Request {
    Request {
        method: "POST".into(),
        target: "/v1/invoices".into(),
        headers: Headers::of(key.map(|k| ("idempotency-key", k))),
        body: body.to_owned().into(),
    }
}

fn ask(schedule: &mut Schedule, at: u64, request: &Request) -> Option<u32> {
    let call = Call { vendor: "billing", key_header: Some("idempotency-key"), request, reused: false };
    schedule.call(At(at * 1_000_000), call).map(|b| b.fault.rule)
}

#[test]
fn the_first_rule_that_bites_wins_and_each_counts_for_itself() {
    let mut s = schedule("[{on: billing, calls: 2, do: garbage}, {on: billing, calls: 2..3, do: garbage}]");
    let asked: Vec<_> = (0..4).map(|_| ask(&mut s, 0, &post(None, ""))).collect();
    assert_eq!(asked, [None, Some(0), Some(1), None]);
}

#[test]
fn attempts_are_counted_by_key_and_without_one_by_body() {
    let mut s = schedule("[{on: billing, attempts: 1..2, do: garbage}]");
    let (a, b) = (post(Some("a"), "1"), post(Some("b"), "1"));
    let asked = [&a, &b, &a, &a, &b, &b].map(|r| ask(&mut s, 0, r));
    assert_eq!(asked, [Some(0), Some(0), Some(0), None, Some(0), None]);
    let bare = ["x", "y", "x", "x"].map(|body| ask(&mut s, 0, &post(None, body)));
    assert_eq!(bare, [Some(0), Some(0), Some(0), None]);
}

#[test]
fn a_window_ends_before_its_end_and_nothing_bites_after_healing() {
    let mut s =
        schedule("[{on: billing, window: 2s..4s, do: garbage}, {on: billing, window: 5s.., do: garbage}]");
    let asked = [1, 2, 3, 4, 5, 3_599, 3_600].map(|at| ask(&mut s, at, &post(None, "")));
    assert_eq!(asked, [None, Some(0), Some(0), None, Some(1), Some(1), None]);
}

#[test]
fn a_condition_sees_form_fields_and_what_it_cannot_read_does_not_hold() {
    let mut s = schedule("[{on: billing, when: 'request.body.currency == \"eur\"', do: garbage}]");
    let mut form = post(None, "currency=eur&amount=5");
    assert_eq!(ask(&mut s, 0, &form), None);
    form.headers.set("content-type", "application/x-www-form-urlencoded");
    assert_eq!(ask(&mut s, 0, &form), Some(0));
    assert_eq!(ask(&mut s, 0, &post(None, r#"{"currency":"eur"}"#)), Some(0));
    assert_eq!(ask(&mut s, 0, &post(None, r#"{"amount":1}"#)), None);
}

#[test]
fn kept_alive_connections_go_stale_only_when_used_again() {
    let mut s = schedule("[{on: billing, calls: 1, do: stale_keep_alive}]");
    let request = post(None, "");
    let call = |reused| Call { vendor: "billing", key_header: None, request: &request, reused };
    assert!(s.call(At(0), call(false)).is_none());
    assert!(s.call(At(0), call(true)).is_some());
    assert!(s.call(At(0), call(true)).is_none());
}

fn event(id: &str, kind: &str) -> WebhookEvent {
    WebhookEvent {
        id: id.into(),
        kind: kind.into(),
        collection: None,
        record: None,
        occurred: At(0),
        payload: Arc::new(json!({ "amount": 5 })),
    }
}

#[test]
fn webhook_faults_bite_where_they_belong() {
    let mut s = schedule(
        "[{on: webhook crm deal.creation, do: drop}, {on: webhook crm, attempts: 2, do: unreachable}, \
              {on: webhook crm, when: 'event.payload.amount > 4', do: {kill: {restart_after: 1s}}}]",
    );
    let (made, changed) = (event("1", "deal.creation"), event("2", "deal.change"));
    assert_eq!(s.emission(At(0), "crm", &made).unwrap().fault.rule, 0);
    assert!(s.emission(At(0), "crm", &changed).is_none());
    assert!(s.emission(At(0), "billing", &made).is_none());
    let batch = [changed, made];
    assert!(s.delivery(At(0), "crm", &batch, 1).is_none());
    assert_eq!(s.delivery(At(0), "crm", &batch, 2).unwrap().fault.rule, 1);
    assert_eq!(s.ack(At(0), "crm", &batch, 1).unwrap().fault.rule, 2);
}

#[test]
fn rules_that_can_never_bite_are_objected_to() {
    let said: Vec<Option<String>> = rules(
        "[{on: subject, do: drop}, {on: webhook crm, do: garbage}, {on: crm, do: poison}, \
              {on: crm GET /x, do: refuse}, {on: crm, share: 5%, do: black_hole}, \
              {on: subject, window: 1s..2s, do: {kill: {restart_after: 1s}}}, {on: crm, do: refuse}]",
    )
    .iter()
    .map(objection)
    .collect();
    assert!(said[..5].iter().all(Option::is_some), "{said:?}");
    assert_eq!(said[5..], [None, None]);
}

#[test]
fn a_drill_heals_after_its_last_window_and_step() {
    let r = rules("[{on: crm, window: 10s..90s, do: garbage}]");
    assert_eq!(heals_at(&r, At(5_000_000)), At(90_000_000));
    assert_eq!(heals_at(&r, At(95_000_000)), At(95_000_000));
    let open = rules("[{on: crm, attempts: 1, do: garbage}]");
    assert_eq!(heals_at(&open, At(5_000_000)), At(65_000_000));
}

proptest! {
    #[test]
    fn a_share_converges_on_what_was_asked(seed: u64, percent in 5u32..95) {
        let r = rules(&format!("[{{on: billing, share: {percent}%, do: garbage}}]"));
        let mut s = Schedule::new(&r, At(1_000_000), Seed(seed));
        let request = post(None, "");
        let bites = (0..4_000).filter(|_| ask(&mut s, 0, &request).is_some()).count();
        let share = bites as f64 / 4_000.0;
        // Six standard deviations of a binomial share.
        let p = f64::from(percent) / 100.0;
        prop_assert!((share - p).abs() < 6.0 * (p * (1.0 - p) / 4_000.0).sqrt(), "{share} for {p}");
    }

    #[test]
    fn equal_seeds_decide_equally_and_a_new_rule_shifts_no_other(seed: u64, n in 1usize..60) {
        let one = "{on: billing, share: 40%, do: garbage}";
        let two = format!("{one}, {{on: billing /other, share: 50%, do: garbage}}");
        let request = post(None, "");
        let run = |text: &str| {
            let mut s = Schedule::new(&rules(&format!("[{text}]")), At(1_000_000), Seed(seed));
            (0..n).map(|_| ask(&mut s, 0, &request)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(one), run(one));
        prop_assert_eq!(run(one), run(&two));
    }

    #[test]
    fn what_is_drawn_stays_within_its_bound(seed: u64, within in 0u64..10_000_000) {
        let r = rules("[{on: webhook crm, do: {reorder: {within: 1s}}}]");
        let mut s = Schedule::new(&r, At(1), Seed(seed));
        prop_assert!(s.draw(0, Span(within)).0 <= within);
    }
}

#[test]
fn each_bite_of_a_rule_has_a_turn_of_its_own() {
    let turns = |seed| {
        let mut s = Schedule::new(
            &rules("[{on: billing, do: { drift: { systematic: '' } }}]"),
            At(3_600_000_000),
            Seed(seed),
        );
        let request = post(None, "");
        let call = Call { vendor: "billing", key_header: None, request: &request, reused: false };
        [0, 1, 2].map(|at| s.call(At(at), call).unwrap().turn)
    };
    let [first, second, third] = turns(1);
    assert_eq!((first.wrapping_add(1), first.wrapping_add(2)), (second, third));
    assert_ne!(turns(2)[0], first, "another seed begins elsewhere");
}

#[test]
fn drift_of_requests_cannot_be_on_a_webhook() {
    let why = |text: &str| objection(&rules(text)[0]);
    assert!(why("[{on: webhook crm, do: { drift: { cap_page: 2 } }}]").is_some());
    assert!(why("[{on: webhook crm, do: { drift: { remove: /objectId } }}]").is_none());
    assert!(why("[{on: crm GET /deals, do: { drift: { require: /x } }}]").is_none());
    assert!(why("[{on: subject, do: { drift: { remove: /x } }}]").is_some());
}
