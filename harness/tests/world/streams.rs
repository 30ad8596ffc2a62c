//! HTTP/2 below any library: which frames a vendor sends under a fault, with which numbers in them,
//! and that requests are counted as they come.

use std::cell::RefCell;
use std::rc::Rc;

use firedrill::drill::Drilled;
use firedrill::finding::Verdict;
use firedrill::subject::{AttemptOutcome, Start};
use firedrill::trace::{Outcome, What};

use crate::frames::{END, Framed, WHOLE, data, frame};
use crate::toy::*;

/// Runs `work` under these faults; gives what it heard.
fn heard<Fut>(faults: &str, work: impl Fn(Start) -> Fut + 'static) -> (Drilled, Vec<String>)
where
    Fut: Future<Output = Vec<String>> + 'static,
{
    let made = Rc::new(RefCell::new(Vec::new()));
    let (told, work) = (made.clone(), Rc::new(work));
    let lines = format!("faults: [ {faults} ]\nheal_at: 50s\nends_at: 60s");
    let drilled = drill(&lines, move |start| {
        let (told, work) = (told.clone(), work.clone());
        async move {
            let all = work(start).await;
            *told.borrow_mut() = all;
        }
    });
    let made = made.take();
    (drilled, made)
}

fn outcomes(drilled: &Drilled) -> Vec<Outcome> {
    answers(&drilled.trace).into_iter().map(|(_, outcome, _)| outcome).collect()
}

#[test]
fn goaway_names_the_last_call_that_is_answered_and_later_ones_are_refused() {
    let (drilled, heard) = heard("{ on: toy, calls: 1, do: { goaway: answered } }", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        // Whether the later one is whole makes no difference.
        let calls = [raw.asks(1, WHOLE | END, "GET", "/none"), raw.asks(3, WHOLE, "POST", "/items")];
        raw.send(&calls).await;
        raw.heard().await
    });
    let expected =
        ["go away after 1: NO_ERROR", "1: fields", "3: REFUSED_STREAM", "1: 14 bytes, end", "closed"];
    assert_eq!(heard, expected);
    assert_eq!((outcomes(&drilled), drilled.verdict), (vec![Outcome::Answered], Verdict::Pass));
}

#[test]
fn a_call_whose_body_ends_after_goaway_left_it_out_is_refused() {
    let (drilled, heard) = heard("{ on: toy, calls: 1, do: { goaway: answered } }", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        let heads = [raw.asks(1, WHOLE, "POST", "/items"), raw.asks(3, WHOLE, "POST", "/items")];
        raw.send(&heads).await;
        pause(100).await;
        raw.send(&[data(END, 1, b"{}")]).await;
        pause(100).await;
        raw.send(&[data(END, 3, b"{}")]).await;
        raw.heard().await
    });
    let expected =
        ["go away after 1: NO_ERROR", "1: fields", "1: 10 bytes, end", "3: REFUSED_STREAM", "closed"];
    assert_eq!(heard, expected);
    assert_eq!((outcomes(&drilled), drilled.verdict), (vec![Outcome::Answered], Verdict::Pass));
}

#[test]
fn a_second_goaway_never_takes_back_what_the_first_left_out() {
    let faults = "{ on: toy GET /slow, do: { latency: 2s } }, { on: toy GET /ping, do: { goaway: unprocessed } }, \
                  { on: toy POST /items, do: { goaway: answered } }";
    let (drilled, heard) = heard(faults, |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        let calls = [
            raw.asks(1, WHOLE, "POST", "/items"),
            raw.asks(3, WHOLE | END, "GET", "/slow"),
            raw.asks(5, WHOLE | END, "GET", "/ping"),
        ];
        raw.send(&calls).await;
        pause(100).await;
        raw.send(&[data(END, 1, b"{}")]).await;
        raw.heard().await
    });
    let away: Vec<&String> =
        heard.iter().filter(|h| h.starts_with("go away") || h.starts_with("5:")).collect();
    let once = "go away after 3: NO_ERROR";
    assert_eq!(away, [once, "5: REFUSED_STREAM", once], "{heard:?}");
    assert_eq!(outcomes(&drilled), [Outcome::Unprocessed, Outcome::Answered, Outcome::Answered]);
}

#[test]
fn a_body_goes_out_as_its_window_lets_it_through() {
    let (drilled, heard) = heard("", |start| async move {
        let mut raw = Framed::with_window(&base(&start), 4).await;
        raw.send(&[raw.asks(1, WHOLE | END, "GET", "/none")]).await;
        let mut heard = raw.heard().await;
        for more in [6_u32, 100] {
            raw.send(&[frame(8, 0, 1, &more.to_be_bytes())]).await;
            heard.extend(raw.heard().await);
        }
        heard
    });
    assert_eq!(heard, ["1: fields", "1: 4 bytes", "1: 6 bytes", "1: 4 bytes, end"]);
    assert_eq!(answers(&drilled.trace), [(14_000, Outcome::Answered, false)]);
}

#[test]
fn a_request_that_is_malformed_is_refused_and_no_request_of_the_count() {
    let (drilled, heard) = heard("", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        // Only `:scheme`.
        raw.send(&[frame(1, WHOLE | END, 1, &[0x86]), raw.asks(3, WHOLE | END, "GET", "/none")]).await;
        raw.heard().await
    });
    assert_eq!(heard, ["1: PROTOCOL_ERROR", "3: fields", "3: 14 bytes, end"]);
    assert_eq!((requests(&drilled.trace).len(), drilled.verdict), (1, Verdict::Pass));
}

#[test]
fn fields_that_only_http_1_has_are_left_out() {
    let (drilled, heard) = heard("", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        raw.send(&[raw.asks(1, WHOLE | END, "GET", "/kept")]).await;
        raw.heard().await
    });
    assert_eq!(heard, ["1: fields", "1: 2 bytes, end"]);
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn what_is_open_when_its_connection_falls_is_laid_to_the_fault_of_its_neighbour() {
    for (act, outcome) in [("{ close: before_applied }", Outcome::Closed), ("garbage", Outcome::Garbage)] {
        let faults = format!("{{ on: toy GET /ping, do: {act} }}");
        let (drilled, _) = heard(&faults, |start| async move {
            // Without a window no byte of the body comes: the call stays open by itself.
            let mut raw = Framed::with_window(&base(&start), 0).await;
            raw.send(&[raw.asks(1, WHOLE, "POST", "/items"), data(END, 1, b"{}")]).await;
            pause(100).await;
            raw.send(&[raw.asks(3, WHOLE | END, "GET", "/ping")]).await;
            raw.heard().await
        });
        let ends = pick(&drilled.trace, |_, w| match w {
            What::Answer { call, outcome, fault, .. } => {
                Some((call.0, *outcome, fault.as_ref().map(|f| (f.rule, f.moment))))
            }
            _ => None,
        });
        let [(1, hit, Some((0, _))), (0, Outcome::Closed, Some((0, None)))] = ends[..] else {
            panic!("{act}: {ends:?}")
        };
        assert_eq!(hit, outcome, "{act}");
    }
}

#[test]
fn a_black_hole_is_not_blamed_for_what_waits_for_its_client() {
    let faults = "{ on: toy GET /slow, do: { latency: 2s } }, { on: toy, window: 1s..20s, do: black_hole }";
    let (drilled, _) = heard(faults, |start| async move {
        let mut raw = Framed::with_window(&base(&start), 0).await;
        let post = [raw.asks(1, WHOLE, "POST", "/items"), data(END, 1, b"{}")];
        raw.send(&post).await;
        // Its answer is to be written while nothing is.
        raw.send(&[raw.asks(3, WHOLE | END, "GET", "/slow")]).await;
        raw.heard().await
    });
    let ends = pick(&drilled.trace, |_, w| match w {
        What::Answer { call, outcome, fault, .. } => {
            Some((call.0, *outcome, fault.as_ref().map(|f| f.act.to_string())))
        }
        _ => None,
    });
    let latency = Some("latency".to_owned());
    assert_eq!(ends, [(0, Outcome::Abandoned, None), (1, Outcome::Abandoned, latency)]);
}

#[test]
fn what_comes_late_on_a_stream_that_was_reset_does_no_harm_to_the_next() {
    let (drilled, heard) = heard("{ on: toy, calls: 1, do: reset_request }", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        raw.send(&[raw.asks(1, WHOLE, "POST", "/items")]).await;
        pause(100).await;
        raw.send(&[data(0, 1, b"{"), data(END, 1, b"}"), raw.asks(3, WHOLE | END, "GET", "/none")]).await;
        raw.heard().await
    });
    assert_eq!(heard, ["1: INTERNAL_ERROR", "3: fields", "3: 14 bytes, end"]);
    assert_eq!(drilled.verdict, Verdict::Pass);
}

#[test]
fn a_client_that_asks_whether_to_go_on_is_told_to_before_its_body_comes() {
    let (drilled, heard) = heard("", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        let fields = raw.fields("POST", "/items", &[("expect", "100-continue")]);
        raw.send(&[frame(1, WHOLE, 1, &fields)]).await;
        let mut heard = raw.heard().await;
        raw.send(&[data(END, 1, b"{}")]).await;
        heard.extend(raw.heard().await);
        heard
    });
    assert_eq!(heard, ["1: fields", "1: fields", "1: 10 bytes, end"]);
    assert_eq!(outcomes(&drilled), [Outcome::Answered]);
}

#[test]
fn fields_that_go_on_in_another_frame_and_trailers_are_of_one_request() {
    let (drilled, heard) = heard("", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        let fields = raw.fields("GET", "/none", &[]);
        let (first, rest) = fields.split_at(9);
        raw.send(&[frame(1, END, 1, first), frame(9, WHOLE, 1, rest)]).await;
        let mut trailer = vec![0, 3];
        trailer.extend_from_slice(b"x-t\x011");
        raw.send(&[
            raw.asks(3, WHOLE, "POST", "/items"),
            data(0, 3, b"{}"),
            frame(1, WHOLE | END, 3, &trailer),
        ])
        .await;
        raw.heard().await
    });
    assert_eq!(heard, ["1: fields", "3: fields", "1: 14 bytes, end", "3: 10 bytes, end"]);
    assert_eq!((outcomes(&drilled).len(), drilled.verdict), (2, Verdict::Pass));
}

#[test]
fn a_greeting_that_comes_in_pieces_is_one() {
    for first in [1, 3, 23] {
        let (_, heard) = heard("", move |start| async move {
            let mut raw = Framed::hesitating(&base(&start), first).await;
            raw.send(&[raw.asks(1, WHOLE | END, "GET", "/none")]).await;
            raw.heard().await
        });
        assert_eq!(heard, ["1: fields", "1: 14 bytes, end"], "{first}");
    }
}

#[test]
fn a_body_that_nobody_may_have_is_not_sent_and_not_cut() {
    let (_, heard) = heard("", |start| async move {
        let mut raw = Framed::connect(&base(&start)).await;
        raw.send(&[raw.asks(1, WHOLE | END, "HEAD", "/ping")]).await;
        raw.heard().await
    });
    assert_eq!(heard, ["1: fields, end"]);
    for act in ["{ truncate: { after: 3 } }", "{ stall: { after: 3 } }", "{ content_length: shorter }"] {
        let (drilled, heard) = self::heard(&format!("{{ on: toy, do: {act} }}"), |start| async move {
            let mut raw = Framed::connect(&base(&start)).await;
            raw.send(&[raw.asks(1, WHOLE | END, "HEAD", "/ping")]).await;
            raw.heard().await
        });
        assert_eq!(heard, ["1: fields, end"], "{act}");
        let why = pick(&drilled.trace, |_, w| match w {
            What::Unfit { why, .. } => Some(why.as_str()),
            _ => None,
        });
        assert_eq!(why, ["the response has no body that could be cut"], "{act}");
        assert_eq!((fired(&drilled.trace).len(), drilled.verdict), (0, Verdict::Unknown), "{act}");
    }
}

#[test]
fn a_request_that_breaks_off_in_its_body_is_one_that_its_client_may_count() {
    for resets in [false, true] {
        let (drilled, _) = heard("", move |start| async move {
            let mut raw = Framed::connect(&base(&start)).await;
            start.attempts.note("toy", AttemptOutcome::NoAnswer);
            raw.send(&[raw.asks(1, WHOLE, "POST", "/items"), data(0, 1, b"{")]).await;
            pause(100).await;
            if resets {
                raw.send(&[frame(3, 0, 1, &[0, 0, 0, 8])]).await;
            }
            pause(100).await;
            Vec::new()
        });
        assert_eq!((requests(&drilled.trace).len(), drilled.verdict), (0, Verdict::Pass), "{resets}");
    }
}

#[test]
fn a_subject_that_miscounts_is_noticed_over_http_2_too() {
    let subject = worker(|start| async move {
        for _ in 0..2 {
            start.attempts.note("toy", AttemptOutcome::Answered);
        }
        let mut raw = Framed::connect(&base(&start)).await;
        raw.send(&[raw.asks(1, WHOLE | END, "GET", "/ping")]).await;
        raw.heard().await;
    });
    let error = run(&plan("ends_at: 1m"), firedrill::seed::Seed(1), &subject).unwrap_err();
    assert!(error.to_string().contains("counts 2 attempts, 1 are in the trace"), "{error}");
}
