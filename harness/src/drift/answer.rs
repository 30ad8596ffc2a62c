//! A call that is answered by a vendor that changed without notice.
//!
//! Knows: how each mutation bears on a request and its answer. Must not know: how the answer is
//! sent.

use bytes::Bytes;

use super::body::{Body, body};
use super::message::{body_of, joined, of_answer, of_body, of_header, record, unknown};
use super::place::places;
use crate::fault::{Field, Mutation};
use crate::schedule::request_json;
use crate::time::{At, Span};
use crate::trace::Drifted;
use crate::vendor::encoding::{form, lists};
use crate::vendor::{Reaction, Uncapped, Vendor};
use crate::wire::{Request, Response};

/// Puts a request to `vendor` as it is after the change, and says what differed; `None` if the
/// change made no difference to this call, which is then answered as ever.
pub fn answer(
    vendor: &mut dyn Vendor,
    mutation: &Mutation,
    turn: u64,
    now: At,
    request: &Request,
) -> (Reaction, Option<Drifted>) {
    match mutation {
        Mutation::Require(field) if !asks_for(request, field) => {
            let name = field.steps().join(".");
            let reaction = vendor.lacks(now, request, &name);
            // What the answer would have been is not to be had: to ask is to have it done.
            let refusal = reaction.response.as_ref().map_or_else(unknown, of_answer);
            (reaction, Some(record(mutation.to_string(), &unknown(), &refusal)))
        }
        Mutation::CapPage(most) => {
            vendor.cap_pages(Some(most.get()));
            let reaction = vendor.step(now, request, Span::ZERO);
            let whole = vendor.cap_pages(None);
            let drifted = reaction.response.as_ref().zip(whole).map(|(r, whole)| capped(mutation, whole, r));
            (reaction, drifted)
        }
        _ => {
            let mut reaction = vendor.step(now, request, Span::ZERO);
            let drifted = reaction.response.as_mut().and_then(|r| response(mutation, turn, r));
            if drifted.is_some() {
                // What the wire no longer says, the client was not told.
                reaction.told.token_expires = None;
            }
            (reaction, drifted)
        }
    }
}

/// The record of a page that was cut: what is gone, and how the rest is found.
fn capped(mutation: &Mutation, whole: Uncapped, response: &Response) -> Drifted {
    let before = joined(of_header("link", whole.link.as_deref()), of_body(whole.body));
    let after = joined(of_header("link", response.headers.get("link")), of_body(body_of(response)));
    record(mutation.to_string(), &before, &after)
}

/// Changes a response; `None` if nothing changed.
fn response(mutation: &Mutation, turn: u64, response: &mut Response) -> Option<Drifted> {
    let kind = response.headers.get("content-type").map(str::to_owned);
    let mut of = Body { content_type: kind.clone(), bytes: std::mem::take(&mut response.body) };
    let drifted = body(mutation, turn, &mut of);
    response.body = of.bytes;
    if of.content_type != kind {
        response.headers.set("content-type", of.content_type.unwrap_or_default());
    }
    drifted
}

/// Whether a request has a field, in its body or, without one, in its query.
fn asks_for(request: &Request, field: &Field) -> bool {
    let is_form = request
        .headers
        .get("content-type")
        .is_some_and(|t| t.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"));
    let given = match (&request.body, is_form) {
        (body, true) => lists(form(body)),
        (body, false) if *body == Bytes::new() => request_json(request)["query"].clone(),
        _ => request_json(request)["body"].clone(),
    };
    !places(&given, field).is_empty()
}
