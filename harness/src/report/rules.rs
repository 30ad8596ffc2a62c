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
        rule: "backoff",
        text: "The waits between attempts of one operation lie inside the promised envelope: base × \
factor^n, up to the cap, drawn with jitter. Clients without jitter come back together, as one \
herd, and keep a vendor down that could have recovered (Brooker, \"Exponential Backoff and \
Jitter\", AWS Architecture Blog, 2015).",
    },
    Explanation {
        rule: "breaker",
        text: "After so many failures in a row the circuit opens and calls stop; after a while one \
probe goes out, and only its success closes it (Nygard, \"Release It!\"). Usual faults: it never \
opens; it opens on the caller's own 4xx; it never half-opens; a burst of probes instead of one; a \
probe that hangs keeps it open for ever.",
    },
    Explanation {
        rule: "faults",
        text: "Each fault rule of the drill must bite at least once. One that never did makes the \
drill unknown: the promise was not put to the test. Either the subject never made such a call, or \
the rule's window, attempts or condition exclude what it did.",
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
        rule: "liveness",
        text: "Once the faults are over, work gets done within the promised time, and calls do not \
hang: each has a limit for the whole exchange, the body included, not only for its head. A job \
that cannot succeed does not keep the ones behind it from running.",
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
        rule: "retries",
        text: "What may succeed later is tried again (503, 429, a reset, a timeout); what cannot is \
not (400, 401 with the same credential, 404, 422). Attempts have a limit and a deadline, and only \
one layer retries.",
    },
    Explanation {
        rule: "retry_after",
        text: "A vendor that says when to come back is obeyed: whole seconds, or any of the three \
HTTP-date forms (RFC 9110 §10.2.3, §5.6.7). Absurd, negative and malformed values are bounded: they \
must neither stall the subject for days nor make it retry at once.",
    },
    Explanation {
        rule: "secrets",
        text: "No credential appears in clear where it does not belong: not in logs, alerts, metrics, \
dead letters, nor in requests to another vendor.",
    },
    Explanation {
        rule: "webhook",
        text: "A delivery is verified over the raw bytes, with every signature it carries (a roll of \
the secret shows two), and with its timestamp inside the tolerance; it is stored before it is \
acknowledged, and acknowledged before it is worked on. Duplicates are known by the event's id, not \
the delivery's. Order is not promised: the older state must not win. An unknown type is \
acknowledged, and one bad event does not fail its batch.",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_explained_by_its_check_where_it_has_no_text_of_its_own() {
        assert_eq!(explain("idempotency/second_effect").map(|e| e.rule), Some("idempotency"));
        assert_eq!(explain("nonsense/x"), None);
    }

    #[test]
    fn explanations_are_in_order_and_say_enough() {
        assert!(EXPLANATIONS.windows(2).all(|w| w[0].rule < w[1].rule));
        assert!(EXPLANATIONS.iter().all(|e| e.text.len() > 100 && !e.text.contains("  ")));
    }
}
