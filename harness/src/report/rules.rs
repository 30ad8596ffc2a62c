//! What the rule of a finding means: one entry a check, more exact ones where they help.
//!
//! Knows: the properties, why they matter and where they are written down. Must not know: how
//! they are judged.

/// An explanation of a rule, or of all the rules of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The rule, or the check that it belongs to.
    pub rule: &'static str,
    /// What it says, why it matters, what usually breaks it, and the source.
    pub text: &'static str,
}

/// The most exact explanation of `rule`: its own, or that of its check (before the `/`).
pub fn explain(rule: &str) -> Option<&'static Explanation> {
    let find = |name: &str| EXPLANATIONS.iter().find(|e| e.rule == name);
    find(rule).or_else(|| find(rule.split('/').next().unwrap_or(rule)))
}

/// All explanations, by name.
pub fn all() -> &'static [Explanation] {
    EXPLANATIONS
}

const EXPLANATIONS: &[Explanation] = &[
    Explanation {
        rule: "auth",
        text: "Credentials expire, are revoked, and are rotated, and data keeps flowing. One expiry \
costs one refresh, however many workers notice it (single flight). A rotated refresh token is kept \
before it is used, or the vendor takes its reuse for theft and revokes the whole family (RFC 9700 \
§4.14.2). `invalid_grant` (RFC 6749 §5.2) is final: no loop, but an alert, since only a person can \
help. A key that was rolled is taken up from where its operator put it.",
    },
    Explanation {
        rule: "auth/invalid_grant_loop",
        text: "`invalid_grant` (RFC 6749 §5.2) came, and the subject asked again. No retry can help: stop, \
keep the work, and raise an alert for the person who can grant access anew.",
    },
    Explanation {
        rule: "auth/stampede",
        text: "One expiry set off several refreshes at once: each worker noticed it and none knew of the \
others. With rotating refresh tokens they revoke each other. Let one refresh at a time run \
(single flight), and let the rest wait for its token.",
    },
    Explanation {
        rule: "auth/superseded_refresh_token",
        text: "A refresh token was used that a later answer had replaced. The vendor may take it for theft \
and revoke the whole family (RFC 9700 §4.14.2). Store the new one, durably, before the new \
access token is used.",
    },
    Explanation {
        rule: "backoff",
        text: "The waits between attempts of one operation lie inside the promised envelope: base × \
factor^n, up to the cap, drawn with jitter. Clients without jitter come back together, as one \
herd, and keep a vendor down that could have recovered (Brooker, \"Exponential Backoff and \
Jitter\", AWS Architecture Blog, 2015).",
    },
    Explanation {
        rule: "backoff/no_jitter",
        text: "The waits of many operations fall together more closely than chance allows. Clients that \
fail together then come back together. Draw each wait from the whole envelope (full jitter).",
    },
    Explanation {
        rule: "baseline",
        text: "An answer parts from what earlier recordings of the same answer showed, although its contract \
allows it: a field that was always there is missing, a new type or value came, lists are empty or \
end earlier. Schemas leave such changes silent. If the change is right, learn anew: \
`firedrill verify --learn FILE`.",
    },
    Explanation {
        rule: "baseline/capped",
        text: "A page has fewer items than were asked for and says that there are more, although all pages of \
the baseline were full; or several lists end at the very same length, below what was once seen: the vendor \
has, or may have, capped its pages. An integration that reads one page and stops loses the rest. Follow the cursor \
until there is none.",
    },
    Explanation {
        rule: "baseline/too_few",
        text: "The baseline has fewer than three samples of this answer, or none: what is usual cannot be told \
from them, and so nothing was compared. Record more of the same call and have all the recordings learned, \
old and new: `firedrill verify RECORDINGS --learn FILE`.",
    },
    Explanation {
        rule: "breaker",
        text: "After so many failures in a row the circuit opens and calls stop; after a while one \
probe goes out, and only its success closes it (Nygard, \"Release It!\"). Usual faults: it never \
opens; it opens on the caller's own 4xx; it never half-opens; a burst of probes instead of one; a \
probe that hangs keeps it open for ever.",
    },
    Explanation {
        rule: "breaker/calls_while_open",
        text: "Calls went out while the circuit should have been open. Either it never opened, or some path \
to the vendor goes around it: a second client, a token refresh, a retry loop that holds its \
own permit.",
    },
    Explanation {
        rule: "contract",
        text: "Each request is one that the vendor's own description (OpenAPI, beside its vendor.yaml) \
allows: the operation exists, required fields are there, types, enums and bounds are kept, and no field \
is sent that the description forbids. Some vendors refuse such a request; others take it, guess, or \
ignore the field, and the books are wrong without an alarm. What the vendor itself answers, as long as \
no fault touched it, is held against the same description: a breach there makes the drill unknown, \
since its vendor is then not the one that was described. \
`verify` holds recordings and live vendors against it. A message parts from the vendor's own OpenAPI description. Look at both dates first: an old \
recording against a new contract means recording again; a new answer against an old contract means \
that the vendor has changed. A finding about a request means that whoever sent it does what the \
vendor never promised to take. Places are JSON Pointers (RFC 6901) into the message and into the \
description.",
    },
    Explanation {
        rule: "contract/enum",
        text: "A value that the contract does not list. Vendors add values without calling it a break; an \
integration must refuse what it does not know loudly, and never fall through to a default.",
    },
    Explanation {
        rule: "contract/no_operation",
        text: "The contract has no operation for this request: the path was removed, was never documented, or \
the contract is another vendor's. Nothing could be judged.",
    },
    Explanation {
        rule: "contract/not_judged",
        text: "A message could not be held against the vendor's description: no part of it speaks of such a \
body, or its schema cannot be compiled, or leads to so many schemas for this value that judging it would \
not end, or the body is in a form that is not read (XML, multipart). \
Nothing is known of it, so the drill is unknown. Complete the description.",
    },
    Explanation {
        rule: "contract/not_played",
        text: "The subject called an operation that the vendor's description has and its model (vendor.yaml) \
does not. The 404 it got says nothing of the real vendor. Add the operation to vendor.yaml, or let a \
recording answer it (`fixtures:`).",
    },
    Explanation {
        rule: "contract/refused",
        text: "The schema refuses the value, that is certain; but so much is wrong, or its branches come back to \
the same schemas so often, that to say all of it would take more time and memory than there is. Of each list \
the first items are told where that helps. Mend those and run it again; and if the schema refers to itself \
through several branches that mean the same, keep one of them.",
    },
    Explanation {
        rule: "contract/request_invalid",
        text: "A request broke the vendor's description: a field of the wrong type (a decimal string where \
minor units are counted), a value outside its enum or bounds, a required field missing, or a field that \
the vendor does not know. The finding names the place in the request and what was expected there.",
    },
    Explanation {
        rule: "contract/required",
        text: "A field that the contract requires is missing. If the finding names a field of the same shape \
it was possibly renamed or moved there: that is a guess. An integration that reads it as null or \
zero writes wrong data; it must refuse the payload and keep it.",
    },
    Explanation {
        rule: "contract/undescribed",
        text: "The vendor's model (vendor.yaml) plays an operation that its description (openapi.yaml, beside \
it) does not have, so that calls of it cannot be judged. Describe it there, or take it out of the model.",
    },
    Explanation {
        rule: "contract/unknown_field",
        text: "A field that the contract does not list and does not forbid. It breaks nothing; new fields are \
counted so that they do not hide what does.",
    },
    Explanation {
        rule: "contract/unknown_operation",
        text: "The subject called an operation that the vendor does not have: a misspelt path, a wrong method, \
a version that is gone. The vendor answered 404, and will in production. A 404 of this kind is easily \
taken for a record that does not exist, and then nobody hears of it.",
    },
    Explanation {
        rule: "contract/vendor_invalid",
        text: "The fake vendor's own answer or webhook broke the vendor's description although no fault had \
touched it. That is no fault of the subject: vendor.yaml, the scenario's `with:` or the description is \
wrong, and what the drill shows may not hold for the real vendor.",
    },
    Explanation {
        rule: "exposed",
        text: "What the subject shows of itself at the end (a GET of its own store, as JSON) equals \
what the vendors hold: the promise of an integration that keeps a copy of its own instead of \
writing to another vendor. It must answer, with JSON, and the values must agree.",
    },
    Explanation {
        rule: "exposed/unreadable",
        text: "The subject shows its dead letters or its quarantine, and what came at the end is no list: no \
answer, an error, or no JSON. Work that it set aside may stand there, so what is missing cannot be told \
from what was put away. Answer with JSON, a list of entries that name their record and a reason, or \
leave the address out.",
    },
    Explanation {
        rule: "faults",
        text: "Each fault rule of the drill must bite at least once. One that never did makes the \
drill unknown: the promise was not put to the test. Either the subject never made such a call, or \
the rule's window, attempts or condition exclude what it did.",
    },
    Explanation {
        rule: "faults/never_fired",
        text: "A fault rule of the drill did not bite even once, so the promise was not put to the test, \
and the drill is unknown. Look at the rule's target, window, attempts and condition, and at \
what the subject called instead (`--verbose`).",
    },
    Explanation {
        rule: "idempotency",
        text: "All attempts of one write carry one idempotency key, and the key is stored before the \
first attempt is sent, so that a crash between sending and saving makes no second effect. The key \
belongs to the operation, not to the record: an amended record is another operation. On 409 (in \
use) the same key waits; a replayed answer, errors included, is final (docs.stripe.com/api/idempotent_requests; \
draft-ietf-httpapi-idempotency-key-header).",
    },
    Explanation {
        rule: "idempotency/fresh_key",
        text: "Two attempts of one write carried different idempotency keys: to the vendor they are two \
writes. Make the key once for each operation, store it before the first attempt is sent, and \
read it back for every retry and after every restart.",
    },
    Explanation {
        rule: "idempotency/second_effect",
        text: "One source record had two live effects. This is the duplicate invoice itself, whatever led \
to it: a fresh key for a retry, a key that outlived the vendor's memory of it, or a write \
that was never looked up before it was repeated.",
    },
    Explanation {
        rule: "liveness",
        text: "Once the faults are over, work gets done within the promised time, and calls do not \
hang: each has a limit for the whole exchange, the body included, not only for its head. A job \
that cannot succeed does not keep the ones behind it from running.",
    },
    Explanation {
        rule: "liveness/endless_run",
        text: "A job that is run to its end over and over was still in one run when the drill ended, long \
after the faults were over. What starts it (cron, a queue) either waits for it for ever or starts a second \
one beside it. Usual cause: a call without a timeout, a retry without an end, or a lock that its holder \
took along.",
    },
    Explanation {
        rule: "liveness/outlived",
        text: "Of an in-process subject, tasks were still running when it was started again after a kill or \
a stop: `tokio::spawn` puts a task on the runtime, where dropping the subject's future does not reach it. \
No process leaves such a task behind, so that the drill is not the crash that it says it is. Keep spawned \
tasks in a JoinSet inside that future.",
    },
    Explanation {
        rule: "liveness/waited_too_long",
        text: "A call was held open longer than the promised patience. Usual cause: a timeout that covers \
only the connect or the response head, so that a body that drips, or never ends, holds a \
worker for ever.",
    },
    Explanation {
        rule: "load",
        text: "What the subject asks of its vendors stays bounded while they suffer and while it \
catches up: retries that multiply over layers, and backlogs sent at full speed, turn a short outage \
into a long one. Amplification is calls made per call that the work needs.",
    },
    Explanation {
        rule: "observability",
        text: "What the subject says of itself (metrics, health, alerts) agrees with what happened on \
the wire, and a failure that needs a person is said loudly and in time. A counter that disagrees \
with the wire makes every dashboard built on it wrong.",
    },
    Explanation {
        rule: "observability/alert_storm",
        text: "More alerts about one trouble came than the drill allows. Whoever gets two hundred mails about one \
outage finds the one about something else among them too late, or not at all. Say it once when it begins \
to matter, again once in a while as long as it lasts, and not where each attempt fails.",
    },
    Explanation {
        rule: "quota",
        text: "Quota fields in responses (X-RateLimit-*, RateLimit) are read with the vendor's own \
meaning (delta or epoch seconds), calls slow down before the limit is hit, and a field that \
vanishes or is malformed stops nothing (draft-ietf-httpapi-ratelimit-headers).",
    },
    Explanation {
        rule: "reconciliation",
        text: "In the end the ledgers agree: each source record has exactly one live effect, field by \
field, and whatever could not be applied is set aside with its reason. At no moment has one record \
two live effects. Comparing counts is not enough, and repair must not overwrite newer data with \
older.",
    },
    Explanation {
        rule: "reconciliation/cut_short",
        text: "In real time, a subject that keeps its own waits was given less time to catch up than \
the scenario promises, and had not done so. Nothing is proven: raise `recovers_within` in its \
subject file, or let it scale its waits (`waits: scaled`).",
    },
    Explanation {
        rule: "reconciliation/missing",
        text: "A source record has no effect in the end, and nothing says that it was set aside. Usual \
causes: a dropped webhook that no sweep repairs, an ambiguous timeout taken for a refusal, \
work that was acknowledged before it was stored.",
    },
    Explanation {
        rule: "retries",
        text: "What may succeed later is tried again (503, 429, a reset, a timeout); what cannot is \
not (400, 401 with the same credential, 404, 422). Attempts have a limit and a deadline, and only \
one layer retries.",
    },
    Explanation {
        rule: "retries/tight_loop",
        text: "The same request, again and again, with no wait to speak of after its failures: ten within 50 ms \
of each other, or five within 5 ms. Full jitter draws such waits in a row once in ten million times; \
usually a wait came out as zero: a Retry-After that is missing, malformed or past, an overflow, a \
`continue` before the sleep.",
    },
    Explanation {
        rule: "retries/unretryable",
        text: "A request that the vendor refused as wrong (400, 404, 422) was sent again as it was. It \
cannot succeed; it spends quota, and it may hold up the work behind it. Set it aside with \
its reason.",
    },
    Explanation {
        rule: "retry_after",
        text: "A vendor that says when to come back is obeyed: whole seconds, or any of the three \
HTTP-date forms (RFC 9110 §10.2.3, §5.6.7). Absurd, negative and malformed values are bounded: they \
must neither stall the subject for days nor make it retry at once.",
    },
    Explanation {
        rule: "retry_after/too_early",
        text: "The subject came back before the moment that the vendor had named in Retry-After (RFC 9110 \
§10.2.3). Vendors lengthen the ban of clients that do. Check the date forms too: a value \
that cannot be parsed must not mean `at once`.",
    },
    Explanation {
        rule: "secrets",
        text: "No credential appears in clear where it does not belong: not in logs, alerts, metrics, \
dead letters, nor in requests to another vendor.",
    },
    Explanation {
        rule: "subject",
        text: "The subject itself could not be put to the test: it never got ready, ended before it \
was, or wrote more than is kept. That is no broken promise, and no pass either.",
    },
    Explanation {
        rule: "tls",
        text: "Who shows a certificate that has expired, or another host's, may be anybody: a client refuses \
it before it says a word (RFC 5280 §6 for the chain and the dates, RFC 9525 for the name). What was \
sent there all the same, credentials first of all, is known to whoever listens. Usual causes: \
verification switched off for a test and left so (`verify=False`, `rejectUnauthorized: false`, \
`InsecureSkipVerify`), or a check of the chain that forgets the host name.",
    },
    Explanation {
        rule: "tls/authority_not_trusted",
        text: "The drill's vendors are vouched for by an authority that was made for it, and the subject does \
not trust that: it never met its vendors. Hand it the file `{ca}` of the subject file by whatever \
its TLS library reads, such as SSL_CERT_FILE, NODE_EXTRA_CA_CERTS or REQUESTS_CA_BUNDLE.",
    },
    Explanation {
        rule: "unique",
        text: "Two live records share a value that only one may have, such as two customers with one address. \
Usual faults: looking and making are not one step, so that two workers both find nothing and both \
make one; the idempotency key is made from more than what must be unique (a name as it is spelled); \
nobody looks at all. An idempotency key is forgotten after a day: look as well.",
    },
    Explanation {
        rule: "webhook",
        text: "A delivery is verified over the raw bytes, with every signature it carries (a roll of \
the secret shows two), and with its timestamp inside the tolerance; it is stored before it is \
acknowledged, and acknowledged before it is worked on. Duplicates are known by the event's id, not \
the delivery's. Order is not promised: the older state must not win. An unknown type is \
acknowledged, and one bad event does not fail its batch.",
    },
    Explanation {
        rule: "webhook/copy_worked",
        text: "A copy of an event whose work was done set work off again. Vendors send an event again whenever an \
acknowledgement gets lost, for hours or days, and now and then for no reason. It is harmless only as long as \
everything behind it is; known copies cost nothing. Usual causes: the memory is kept in the process, or for \
minutes, or by the delivery's id, which each attempt renews.",
    },
    Explanation {
        rule: "webhook/event_ignored",
        text: "A new event was acknowledged and no call about its record followed, although its effect was out of \
date. A sweep may have mended it later; until then the books were wrong. Usual cause: dedup that takes the \
record's id, or record and property, for the event's: the first change works, and every later one is \
dropped as a copy.",
    },
    Explanation {
        rule: "webhook/forgery_accepted",
        text: "A delivery with a wrong, missing or outdated signature was acknowledged. Anybody who knows \
the address can then write into the ledgers. Verify the raw bytes, and the timestamp, before \
anything else.",
    },
    Explanation {
        rule: "webhook/slow_ack",
        text: "A delivery was acknowledged later than promised. The vendor times out and sends it again, \
and disables the subscription in the end. Store it, acknowledge it, and only then work on \
it.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_explained_by_its_check_where_it_has_no_text_of_its_own() {
        assert_eq!(explain("idempotency/second_effect").map(|e| e.rule), Some("idempotency/second_effect"));
        assert_eq!(explain("idempotency/no_key").map(|e| e.rule), Some("idempotency"));
        assert_eq!(explain("nonsense/x"), None);
    }

    #[test]
    fn explanations_are_in_order_and_say_enough() {
        assert!(EXPLANATIONS.windows(2).all(|w| w[0].rule < w[1].rule));
        assert!(EXPLANATIONS.iter().all(|e| e.text.len() > 100 && !e.text.contains("  ")));
    }
}
