//! What rules mean: `reconciliation` to `subject/not_started`, in order.

use super::Explanation;

pub(super) const RULES: &[Explanation] = &[
    Explanation {
        rule: "reconciliation",
        text: "In the end the ledgers agree: each source record has exactly one live effect, field by \
field, and whatever could not be applied is set aside with its reason. At no moment has one record two live \
effects. Comparing counts is not enough, and repair must not overwrite newer data with older.",
    },
    Explanation {
        rule: "reconciliation/bad_expression",
        text: "A field of `expect.agree` is not a CEL expression, so it was not compared. Both sides \
are expressions: the value in the target, and the value computed from the source.",
    },
    Explanation {
        rule: "reconciliation/cut_short",
        text: "In real time, a subject that keeps its own waits was given less time to catch up than \
the scenario promises, and had not done so. Nothing is proven: raise `recovers_within` in its subject file, \
or let it scale its waits (`waits: scaled`).",
    },
    Explanation {
        rule: "reconciliation/differs",
        text: "A field of the effect differs from what the source says in the end. The finding shows \
the expression and the values it was computed from. Compare the last change of the source with the last \
write: an update was dropped, overtaken, or converted wrongly (floats, units, defaults).",
    },
    Explanation {
        rule: "reconciliation/doubled",
        text: "One source record has several live effects in the end: the customer is billed twice. \
Look for a fresh key, a lost mapping that was not looked up on every page, or an event that was handled \
twice, and for a reconciliation that does not see it.",
    },
    Explanation {
        rule: "reconciliation/ended_early",
        text: "The drill ended before the ledgers were due to agree, and they did not: neither kept nor \
broken. Raise `ends_at`, or leave it out, and the drill lasts as long as its promise.",
    },
    Explanation {
        rule: "reconciliation/late",
        text: "The ledgers came to agree, later than promised. Something held the work up after \
healing: a long pause between job attempts, an open breaker, a queue behind a poison job, a drain rate that \
is too low for the backlog.",
    },
    Explanation {
        rule: "reconciliation/missing",
        text: "A source record has no effect in the end, and nothing says that it was set aside. Usual \
causes: a dropped webhook that no sweep repairs, an ambiguous timeout taken for a refusal, work that was \
acknowledged before it was stored.",
    },
    Explanation {
        rule: "reconciliation/not_due",
        text: "A record came to disagree so shortly before the end that its promised time was not over: \
it can be called neither kept nor broken. Let the workload end `converges.within` before the drill does.",
    },
    Explanation {
        rule: "reconciliation/nothing_to_compare",
        text: "Neither collection of `expect.agree` ever held a record, so nothing was compared. Do \
`given` or the workload name the collections that are meant?",
    },
    Explanation {
        rule: "reconciliation/nothing_wanted",
        text: "The condition of `expect.agree` held for no record at any time, nothing was made, and the \
subject saw none of the records: it may as well not have run. Is `where` spelt as the records are, and does the \
workload bring one to it?",
    },
    Explanation {
        rule: "reconciliation/orphan",
        text: "A live effect names no source: nobody can tell whom it belongs to, and no reconciliation \
will ever find it. Write the source's id into the record when it is made, or leave such records out with \
`live`.",
    },
    Explanation {
        rule: "reconciliation/set_aside",
        text: "The subject put a record aside without a reason, or in a drill that gives no cause to. \
What lies in a dead-letter list is not done: somebody must read why, and only what cannot be done belongs \
there.",
    },
    Explanation {
        rule: "reconciliation/source_overwritten",
        text: "The subject changed a source record so that its effect should be another. Repair goes \
one way: the source is the truth, and whoever writes back from the effect overwrites what somebody has just \
entered.",
    },
    Explanation {
        rule: "reconciliation/stale_overwrite",
        text: "An effect went back to an older state of its source after it had shown a newer one. \
Events and jobs overtake each other: compare versions, or read the source anew before each write.",
    },
    Explanation {
        rule: "reconciliation/unclear",
        text: "What is right for a record cannot be told: a condition failed on it, or it is broken. \
Where the subject left it alone the drill is unknown; where it acted upon it, that is a finding. Expressions \
on members that may be absent need `has(…)`.",
    },
    Explanation {
        rule: "reconciliation/unwanted",
        text: "Something has an effect that must have none: a deal that was not won, or is no longer. A \
record was acted upon that did not qualify, or was undone at the source and never undone here.",
    },
    Explanation {
        rule: "retries",
        text: "What may succeed later is tried again (503, 429, a reset, a timeout); what cannot is not \
(400, 401 with the same credential, 404, 422). Attempts have a limit and a deadline, and only one layer \
retries.",
    },
    Explanation {
        rule: "retries/futile",
        text: "The same write, with the same body, was refused as wrong time and again: by a queue that \
takes the job up anew, or a sync that finds it undone. It can only be refused again; it spends quota and \
holds up the work behind it. Set it aside with the vendor's message, until the record changes.",
    },
    Explanation {
        rule: "retries/given_up",
        text: "Work was given up after a failure that may pass (503, 429, a reset, a timeout), and \
nothing took it up again. Retry it within limits, then leave it to the queue or the dead letters: never to \
nobody.",
    },
    Explanation {
        rule: "retries/tight_loop",
        text: "The same request, again and again, with no wait to speak of after its failures: ten \
within 50 ms of each other, or five within 5 ms. Full jitter draws such waits in a row once in ten million \
times; usually a wait came out as zero: a Retry-After that is missing, malformed or past, an overflow, a \
`continue` before the sleep.",
    },
    Explanation {
        rule: "retries/unauthorized_again",
        text: "A request was refused as unauthorized twice and tried again. One refresh may cure a 401; \
where the fresh token is refused too, nothing but a person can. Stop, keep the work, and raise an alert.",
    },
    Explanation {
        rule: "retries/unretryable",
        text: "A request that the vendor refused as wrong (400, 404, 422) was sent again as it was. It \
cannot succeed; it spends quota, and it may hold up the work behind it. Set it aside with its reason.",
    },
    Explanation {
        rule: "retry_after",
        text: "A vendor that says when to come back is obeyed: whole seconds, or any of the three \
HTTP-date forms (RFC 9110 §10.2.3, §5.6.7). Absurd, negative and malformed values are bounded: they must \
neither stall the subject for days nor make it retry at once.",
    },
    Explanation {
        rule: "retry_after/never_told",
        text: "No answer asked the subject to come back later, so that obeying could not be judged. Add \
a fault with `retry_after`, or a workload that runs into the vendor's limit.",
    },
    Explanation {
        rule: "retry_after/put_off",
        text: "A request was put off for as long as the vendor asked, far beyond what is to be obeyed, \
and its work waited. A misconfigured proxy may ask for a year: cap what you obey.",
    },
    Explanation {
        rule: "retry_after/stalled",
        text: "Calls stood still for longer than promised after an answer with a Retry-After that was \
absurd, negative or malformed. Read such a value as none, and cap what you obey.",
    },
    Explanation {
        rule: "retry_after/too_early",
        text: "The subject came back before the moment that the vendor had named in Retry-After (RFC \
9110 §10.2.3). Vendors lengthen the ban of clients that do. Check the date forms too: a value that cannot be \
parsed must not mean `at once`.",
    },
    Explanation {
        rule: "secrets",
        text: "No credential appears in clear where it does not belong: not in logs, alerts, metrics, \
dead letters, nor in requests to another vendor.",
    },
    Explanation {
        rule: "secrets/alerted",
        text: "A credential or signature appears in an alert. Alerts go to chat rooms and mailboxes \
that keep them for years. Build their text from names and ids, never from requests, headers or errors as \
they came; and roll this one.",
    },
    Explanation {
        rule: "secrets/exposed",
        text: "A credential or signature appears in what the subject shows: metrics, dead letters, \
quarantine, an answer to a webhook. Take headers and tokens out before a payload is kept, and roll this one.",
    },
    Explanation {
        rule: "secrets/in_url",
        text: "A credential appears in a URL. URLs are logged by every proxy on the way, and sent on as \
the referrer. Put it in a header or in the body, and roll this one.",
    },
    Explanation {
        rule: "secrets/logged",
        text: "A credential or signature appears in a log line. Logs are read by more people than the \
vault, and shipped to others. Errors are where it leaks: an HTTP client's error may carry the whole URL or \
request.",
    },
    Explanation {
        rule: "secrets/sent_elsewhere",
        text: "The credential of one vendor was sent to another. A shared client, a redirect that is \
followed with its headers, or a default header carries it across hosts. Bind credentials to hosts, and roll \
this one.",
    },
    Explanation {
        rule: "subject",
        text: "The subject itself could not be put to the test: it never got ready, ended before it \
was, or wrote more than is kept. That is no broken promise, and no pass either.",
    },
    Explanation {
        rule: "subject/flooded",
        text: "The subject wrote more lines than are kept of one life. What came after was not looked \
at for secrets, so that nothing can be said of it. Lower its log level.",
    },
    Explanation {
        rule: "subject/never_ran",
        text: "The subject is a job, and each of its runs failed before it called any vendor: nothing of \
what the drill puts to it was ever met, so that nothing can be said of it. The finding has the last lines of \
the last run. Most often a variable or an argument in the subject file is missing.",
    },
    Explanation {
        rule: "subject/never_ready",
        text: "The subject never got ready at the start of the drill, so that nothing could be put to \
it. It says so through `Start::ready`, or as its subject file tells (`ready`); the finding has the last \
lines of its log.",
    },
    Explanation {
        rule: "subject/no_log",
        text: "The subject file names a file as the subject's log (`log`), and there was never such a file. What \
is judged by the log, above all that it holds no secret, cannot be said. Correct the path, or leave `log` out if \
the subject writes to its output, which is read anyway.",
    },
    Explanation {
        rule: "subject/not_started",
        text: "A life of the subject could not begin: its program cannot be run, something else listens where it is to \
be met, or it ended before it had met any vendor although nothing else says when it is ready. What did not happen \
after that is no promise broken. With `ready` in the subject file, an end before the program is ready is told \
apart from one after it.",
    },
];
