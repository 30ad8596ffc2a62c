//! What rules mean: `tls` to `webhook/unreachable`, in order.

use super::Explanation;

pub(super) const RULES: &[Explanation] = &[
    Explanation {
        rule: "tls",
        text: "Who shows a certificate that has expired, or another host's, may be anybody: a client \
refuses it before it says a word (RFC 5280 §6 for the chain and the dates, RFC 9525 for the name). What was \
sent there all the same, credentials first of all, is known to whoever listens. Usual causes: verification \
switched off for a test and left so (`verify=False`, `rejectUnauthorized: false`, `InsecureSkipVerify`), or \
a check of the chain that forgets the host name.",
    },
    Explanation {
        rule: "tls/authority_not_trusted",
        text: "The drill's vendors are vouched for by an authority that was made for it, and the \
subject does not trust that: it never met its vendors. Hand it the file `{ca}` of the subject file by \
whatever its TLS library reads, such as SSL_CERT_FILE, NODE_EXTRA_CA_CERTS or REQUESTS_CA_BUNDLE.",
    },
    Explanation {
        rule: "tls/bad_certificate_trusted",
        text: "The subject spoke to a vendor under a certificate that nobody may accept (expired, or of \
another host), and sent it a request. Verification is switched off, or checks the chain and forgets the host \
name.",
    },
    Explanation {
        rule: "unique",
        text: "Two live records share a value that only one may have, such as two customers with one \
address. Usual faults: looking and making are not one step, so that two workers both find nothing and both \
make one; the idempotency key is made from more than what must be unique (a name as it is spelled); nobody \
looks at all. An idempotency key is forgotten after a day: look as well.",
    },
    Explanation {
        rule: "unique/no_records",
        text: "The collection never held a record of which the value can be told, so nothing was \
compared. Does the subject write there at all in this drill?",
    },
    Explanation {
        rule: "unique/twins",
        text: "Two live records share a value that only one may have. The finding shows both and what \
made the second. Looking and making must be one step: a lock for the value, or a unique key in the store, or \
an idempotency key made of it.",
    },
    Explanation {
        rule: "unique/unclear",
        text: "The value that must be unique could not be computed for a record, so that it was not \
compared. An expression on a member that may be absent needs `has(…)`.",
    },
    Explanation {
        rule: "webhook",
        text: "A delivery is verified over the raw bytes, with every signature it carries (a roll of \
the secret shows two), and with its timestamp inside the tolerance; it is stored before it is acknowledged, \
and acknowledged before it is worked on. Duplicates are known by the event's id, not the delivery's. Order \
is not promised: the older state must not win. An unknown type is acknowledged, and one bad event does not \
fail its batch.",
    },
    Explanation {
        rule: "webhook/copy_worked",
        text: "A copy of an event whose work was done set work off again. Vendors send an event again \
whenever an acknowledgement gets lost, for hours or days, and now and then for no reason. It is harmless \
only as long as everything behind it is; known copies cost nothing. Usual causes: the memory is kept in the \
process, or for minutes, or by the delivery's id, which each attempt renews.",
    },
    Explanation {
        rule: "webhook/durable_unjudged",
        text: "The drill promises that what is acknowledged is durable (`webhook.durable`), and has no \
`agree` section that says what the effect of an event is, or no acknowledged event about its records. Add \
one.",
    },
    Explanation {
        rule: "webhook/event_ignored",
        text: "A new event was acknowledged and no call about its record followed, although its effect \
was out of date. A sweep may have mended it later; until then the books were wrong. Usual cause: dedup that \
takes the record's id, or record and property, for the event's: the first change works, and every later one \
is dropped as a copy.",
    },
    Explanation {
        rule: "webhook/failed",
        text: "A sound delivery was answered with a 5xx by a subject that was up and ready. Vendors \
retry for a while and then disable the subscription. Store it and acknowledge; what cannot be understood is \
set aside alone.",
    },
    Explanation {
        rule: "webhook/forgery_accepted",
        text: "A delivery with a wrong, missing or outdated signature was acknowledged. Anybody who \
knows the address can then write into the ledgers. Verify the raw bytes, and the timestamp, before anything \
else.",
    },
    Explanation {
        rule: "webhook/forgery_had_effect",
        text: "A record of which only forged deliveries had spoken was acted upon. The forgery was \
refused too late, or only in the answer. Verify before anything of the body is read.",
    },
    Explanation {
        rule: "webhook/forgery_not_refused",
        text: "A forged delivery was neither accepted nor refused: it timed out or was answered with a \
5xx. A sender cannot tell it from a failure, and an attacker learns that it costs work. Answer 4xx at once.",
    },
    Explanation {
        rule: "webhook/lost",
        text: "A delivery was acknowledged, and its record shows no such effect in the end, although \
nothing but this event could have told of it. It was acknowledged before it was on disk, or marked as seen \
before its work was done.",
    },
    Explanation {
        rule: "webhook/no_copy_judged",
        text: "The drill promises that copies set nothing off, and no copy came that could be judged: \
its work must have been done, calls must succeed, and nothing else may ask for work at that time. Use a \
drill without other faults.",
    },
    Explanation {
        rule: "webhook/no_news_judged",
        text: "The drill promises that news is acted upon in time, and no new event came that could be \
judged: its record must be out of date, calls must succeed, and the subject must be up. Use a drill without \
other faults.",
    },
    Explanation {
        rule: "webhook/none_judged",
        text: "No delivery reached a subject that was ready, so that nothing of its reception could be \
judged. Let something happen that its vendor tells of, and the subject come up before that.",
    },
    Explanation {
        rule: "webhook/not_acknowledged",
        text: "A delivery was not answered within the vendor's own timeout. The vendor counts it as \
failed and sends it again; work that is done before the acknowledgement is then done twice. Store, \
acknowledge, then work.",
    },
    Explanation {
        rule: "webhook/refused",
        text: "A delivery that is truly signed was answered with a 4xx. Usual causes: the signature is \
computed over re-serialised JSON, only the first signature is tried while the secret is being rolled, the \
tolerance for the timestamp is too small, or one odd event fails its batch.",
    },
    Explanation {
        rule: "webhook/slow_ack",
        text: "A delivery was acknowledged later than promised. The vendor times out and sends it \
again, and disables the subscription in the end. Store it, acknowledge it, and only then work on it.",
    },
    Explanation {
        rule: "webhook/unreachable",
        text: "A delivery found no one although the subject was up and ready: the connection was \
closed, or refused. Does the receiver crash on this delivery, or close idle connections under the vendor?",
    },
];
