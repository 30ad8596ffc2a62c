//! What rules mean: `auth` to `breaker/opened_on_own_errors`, in order.

use super::Explanation;

pub(super) const RULES: &[Explanation] = &[
    Explanation {
        rule: "auth",
        text: "Credentials expire, are revoked, and are rotated, and data keeps flowing. One expiry \
costs one refresh, however many workers notice it (single flight). A rotated refresh token is kept before it \
is used, or the vendor takes its reuse for theft and revokes the whole family (RFC 9700 §4.14.2). \
`invalid_grant` (RFC 6749 §5.2) is final: no loop, but an alert, since only a person can help. A key that \
was rolled is taken up from where its operator put it.",
    },
    Explanation {
        rule: "auth/expired_token_used",
        text: "A call went out with an access token that the subject knew to have expired, and was \
refused with 401. With `proactive: true` the drill promises a refresh before expiry: an expiry that costs a \
401 costs a call each time, and some vendors count them as attacks. Refresh at a margin before `expires_in` \
is over.",
    },
    Explanation {
        rule: "auth/invalid_grant_loop",
        text: "`invalid_grant` (RFC 6749 §5.2) came, and the subject asked again. No retry can help: \
stop, keep the work, and raise an alert for the person who can grant access anew.",
    },
    Explanation {
        rule: "auth/needless_refresh",
        text: "Tokens were refreshed although nothing had refused the one at hand and it was not due. \
Each refresh rotates a grant and counts against a limit of its own. Usual causes: `expires_in` read in the \
wrong unit, or a margin as long as the token's life.",
    },
    Explanation {
        rule: "auth/new_credential_unused",
        text: "A new credential was put in place and no call used it within the promised time. Usual \
cause: it is read once at the start, or whoever stopped after a refusal waits for a restart to look again.",
    },
    Explanation {
        rule: "auth/nothing_expired",
        text: "The drill promises something about credentials, and in it nothing happened that could break \
it: no token expired, none was refused, none was changed. Let it last longer than a token, or give the vendor shorter-lived ones (`with:`).",
    },
    Explanation {
        rule: "auth/old_credential",
        text: "A call still used a credential that had been replaced longer ago than promised. The \
grace in which both work ends without a word. Read it where its operator puts it, at each use or on a short \
timer, not once at the start.",
    },
    Explanation {
        rule: "auth/refresh_storm",
        text: "Tokens were refreshed again and again, each time after a 401 that the new token did not \
cure. Another refresh cannot cure it either. Look whether the token is due or was just renewed; if it was, \
stop and say so.",
    },
    Explanation {
        rule: "auth/refused_credential_used",
        text: "A vendor had refused a credential, and calls went on with it. Nothing but a new \
credential can change the answer; meanwhile the calls look like an attack and may lock the account. Stop, \
keep the work, raise an alert, and go on when the credential changes.",
    },
    Explanation {
        rule: "auth/stampede",
        text: "One expiry set off several refreshes at once: each worker noticed it and none knew of \
the others. With rotating refresh tokens they revoke each other. Let one refresh at a time run (single \
flight), and let the rest wait for its token.",
    },
    Explanation {
        rule: "auth/superseded_refresh_token",
        text: "A refresh token was used that a later answer had replaced. The vendor may take it for \
theft and revoke the whole family (RFC 9700 §4.14.2). Store the new one, durably, before the new access \
token is used.",
    },
    Explanation {
        rule: "backoff",
        text: "The waits between attempts of one operation lie inside the promised envelope: base × \
factor^n, up to the cap, drawn with jitter. Clients without jitter come back together, as one herd, and keep \
a vendor down that could have recovered (Brooker, \"Exponential Backoff and Jitter\", AWS Architecture Blog, \
2015).",
    },
    Explanation {
        rule: "backoff/attempts",
        text: "One operation was attempted more often than promised. Usually two layers retry: the HTTP \
client library (its default is often two or three) inside a job that is retried by its queue, and the \
attempts multiply. Let one layer retry.",
    },
    Explanation {
        rule: "backoff/deadline",
        text: "An operation was still being attempted after the time promised for all its attempts. A \
deadline over attempts and waits together keeps a stuck operation from holding its worker; limits on single \
attempts do not.",
    },
    Explanation {
        rule: "backoff/no_jitter",
        text: "The waits of many operations fall together more closely than chance allows. Clients that \
fail together then come back together. Draw each wait from the whole envelope (full jitter).",
    },
    Explanation {
        rule: "backoff/over_cap",
        text: "The waits are longer than the promised cap allows. Usual cause: the envelope goes on \
doubling because it is capped before the jitter is added, or not at all; after ten failures the subject then \
sleeps for hours past the recovery.",
    },
    Explanation {
        rule: "backoff/too_few_waits",
        text: "Too few waits between attempts were free to follow the envelope, so that jitter, growth \
and cap could not be told from chance, and the drill is unknown. Waits that Retry-After, a quota, a breaker \
or a restart governed do not count. Let more operations fail more than once.",
    },
    Explanation {
        rule: "backoff/too_long",
        text: "The waits are longer than the promised envelope allows, more often than chance explains. \
The finding lists the median wait after each attempt beside what it may be: if all are too long by the same \
factor the base is off, if later ones are, the growth.",
    },
    Explanation {
        rule: "backoff/too_short",
        text: "The waits are shorter than the promised envelope allows, more often than chance \
explains. Usual cause: the wait does not grow with the attempts of the operation, since the counter starts \
anew at each failure or is shared.",
    },
    Explanation {
        rule: "baseline",
        text: "An answer parts from what earlier recordings of the same answer showed, although its \
contract allows it: a field that was always there is missing, a new type or value came, lists are empty or \
end earlier. Schemas leave such changes silent. If the change is right, learn anew: `firedrill verify \
--learn FILE`.",
    },
    Explanation {
        rule: "baseline/absent",
        text: "A field that every earlier recording of this answer had is missing from some. The schema \
calls it optional, so nothing else complains; an integration that has always seen it may read nothing as \
zero.",
    },
    Explanation {
        rule: "baseline/capped",
        text: "A page has fewer items than were asked for and says that there are more, although all \
pages of the baseline were full; or several lists end at the very same length, below what was once seen: the \
vendor has, or may have, capped its pages. An integration that reads one page and stops loses the rest. \
Follow the cursor until there is none.",
    },
    Explanation {
        rule: "baseline/emptied",
        text: "Lists that always had items in earlier recordings are all empty now. It may be true; \
more often a filter, a permission or a default has changed at the vendor, and an integration takes it for \
`nothing to do`.",
    },
    Explanation {
        rule: "baseline/rarer",
        text: "A field that at least half of the earlier recordings of this answer had is in none of \
those at hand. It may be chance, so nothing is known; record more, or ask the vendor whether it is gone.",
    },
    Explanation {
        rule: "baseline/too_few",
        text: "The baseline has fewer than three samples of this answer, or none: what is usual cannot \
be told from them, and so nothing was compared. Record more of the same call and have all the recordings \
learned, old and new: `firedrill verify RECORDINGS --learn FILE`.",
    },
    Explanation {
        rule: "baseline/type",
        text: "A field came with a JSON type that no earlier recording had, although its schema allows \
it: a number where there was a text, null where there was a value. Look at how the integration reads it.",
    },
    Explanation {
        rule: "baseline/value",
        text: "A field that had a few known values in earlier recordings came with a new one, although \
its schema allows it. Usually harmless; an integration that switches over these values must refuse what it \
does not know.",
    },
    Explanation {
        rule: "breaker",
        text: "After so many failures in a row the circuit opens and calls stop; after a while one \
probe goes out, and only its success closes it (Nygard, \"Release It!\"). Usual faults: it never opens; it \
opens on the caller's own 4xx; it never half-opens; a burst of probes instead of one; a probe that hangs \
keeps it open for ever.",
    },
    Explanation {
        rule: "breaker/burst_of_probes",
        text: "After the breaker had been open, more calls went out at once than promised before one \
had succeeded. A vendor that has just come back is pushed over again. Let one probe through, and close only \
when it has succeeded.",
    },
    Explanation {
        rule: "breaker/calls_while_open",
        text: "Calls went out while the circuit should have been open. Either it never opened, or some \
path to the vendor goes around it: a second client, a token refresh, a retry loop that holds its own permit.",
    },
    Explanation {
        rule: "breaker/never_tripped",
        text: "No run of failures was long enough to open the breaker that the drill promises, so that \
nothing of it could be judged. Make the outage longer or total, or let more work wait for it.",
    },
    Explanation {
        rule: "breaker/no_recovery",
        text: "The vendor was well again, work was waiting, and no call succeeded within the promised \
time. The breaker never half-opened, or its probe hung, or was answered by a 4xx and counted as neither \
success nor failure.",
    },
    Explanation {
        rule: "breaker/opened_on_own_errors",
        text: "Calls stopped after answers that say that the caller is wrong (4xx). One bad record then \
takes the whole vendor away from all others. Only what says that the vendor suffers counts: 5xx, timeouts, \
resets.",
    },
];
