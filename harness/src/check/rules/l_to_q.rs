//! What rules mean: `liveness` to `quota/stalled`, in order.

use super::Explanation;

pub(super) const RULES: &[Explanation] = &[
    Explanation {
        rule: "liveness",
        text: "Once the faults are over, work gets done within the promised time, and calls do not \
hang: each has a limit for the whole exchange, the body included, not only for its head. A job that cannot \
succeed does not keep the ones behind it from running.",
    },
    Explanation {
        rule: "liveness/endless_run",
        text: "A job that is run to its end over and over was still in one run when the drill ended, \
long after the faults were over. What starts it (cron, a queue) either waits for it for ever or starts a \
second one beside it. Usual cause: a call without a timeout, a retry without an end, or a lock that its \
holder took along.",
    },
    Explanation {
        rule: "liveness/exited",
        text: "The subject ended by itself during the drill. No failure of a vendor may take the \
process down; in production a supervisor hides it by restarting, and what was in memory is lost each time.",
    },
    Explanation {
        rule: "liveness/given_up_late",
        text: "The subject gave up on a call, later than promised. Each stage may have its limit and \
their sum exceed the promise; a limit for the whole exchange, body included, is what holds.",
    },
    Explanation {
        rule: "liveness/held_open",
        text: "A call was still open when the drill ended or the subject was stopped, long after the \
promised patience. A worker sits on it for ever. Set a timeout for the whole exchange, not only for the \
connect.",
    },
    Explanation {
        rule: "liveness/never_ready",
        text: "A subject that was started again was not ready for webhooks and triggers in time. A \
start must not wait for a vendor that may be down: take work in first, and call afterwards.",
    },
    Explanation {
        rule: "liveness/never_started",
        text: "The subject was never started, so nothing was tested. Is its command there, can it be \
run, and is it on the path?",
    },
    Explanation {
        rule: "liveness/outlived",
        text: "Of an in-process subject, tasks were still running when it was started again after a \
kill or a stop: `tokio::spawn` puts a task on the runtime, where dropping the subject's future does not \
reach it. No process leaves such a task behind, so that the drill is not the crash that it says it is. Keep \
spawned tasks in a JoinSet inside that future.",
    },
    Explanation {
        rule: "liveness/overstayed",
        text: "The subject was asked to stop and had not ended by its deadline, so that it was killed. \
A deployment does the same: what a graceful stop was to finish or give back is then cut off.",
    },
    Explanation {
        rule: "liveness/spinning",
        text: "The subject kept the processor busy without ever waiting, for seconds, while no moment \
of the drill went by. Look for a loop whose wait comes out as zero: a moment that has passed, a lock that is \
polled. The drill ended there.",
    },
    Explanation {
        rule: "liveness/straggler",
        text: "A call came although the subject was gone. Of an in-process subject a spawned task ran \
on after its future was dropped, which no killed process does. Keep spawned tasks in a JoinSet inside that \
future.",
    },
    Explanation {
        rule: "liveness/waited_too_long",
        text: "A call was held open longer than the promised patience. Usual cause: a timeout that \
covers only the connect or the response head, so that a body that drips, or never ends, holds a worker for \
ever.",
    },
    Explanation {
        rule: "load",
        text: "What the subject asks of its vendors stays bounded while they suffer and while it \
catches up: retries that multiply over layers, and backlogs sent at full speed, turn a short outage into a \
long one. Amplification is calls made per call that the work needs.",
    },
    Explanation {
        rule: "load/amplification",
        text: "The vendor got more calls during the disturbance than the work needs, by more than the \
promised factor. Retries over several layers multiply; without a retry budget each failed call adds load to \
a vendor that already fails.",
    },
    Explanation {
        rule: "load/catch_up",
        text: "After the disturbance calls came faster than promised. A backlog sent at full speed \
brings a vendor that has just recovered down again, or runs into its limits. Start backlogged work at a \
bounded rate.",
    },
    Explanation {
        rule: "load/concurrent",
        text: "More calls were under way at one vendor at the same time than promised. The limit must \
be shared by all workers, jobs and replays of the process, and hold for reads too.",
    },
    Explanation {
        rule: "load/too_few_calls",
        text: "Too few calls came for the bound to be broken: needed before healing to tell amplification \
from chance, after it to catch up, or in all to be too many at once. Give the drill more work, or a disturbance \
that lets some of it through and holds the rest up.",
    },
    Explanation {
        rule: "observability",
        text: "What the subject says of itself (metrics, health, alerts) agrees with what happened on \
the wire, and a failure that needs a person is said loudly and in time. A counter that disagrees with the \
wire makes every dashboard built on it wrong.",
    },
    Explanation {
        rule: "observability/alert_storm",
        text: "More alerts about one trouble came than the drill allows. Whoever gets two hundred mails \
about one outage finds the one about something else among them too late, or not at all. Say it once when it \
begins to matter, again once in a while as long as it lasts, and not where each attempt fails.",
    },
    Explanation {
        rule: "observability/bad_expression",
        text: "What a metric must equal could not be computed, so it was not compared. The variables \
are `calls`, `deliveries`, `dead_letters`, `quarantine` and each vendor alias with its collections.",
    },
    Explanation {
        rule: "observability/bad_selector",
        text: "A metric of the drill is not a Prometheus selector, so nothing was compared. Write \
`name`, or `name{label=\"value\"}`; samples that match are summed.",
    },
    Explanation {
        rule: "observability/ended_early",
        text: "The drill ended before the time in which an alert is looked for was over: one may still \
have come. Raise `ends_at`, or shorten `within`.",
    },
    Explanation {
        rule: "observability/false_alarm",
        text: "An alert came that must not come in this drill. People stop reading alerts that cry \
wolf, and the one that matters goes unread with them.",
    },
    Explanation {
        rule: "observability/metric_differs",
        text: "A metric disagrees with what was on the wire, or with the list that the subject itself \
shows. Usual causes: operations are counted instead of attempts, attempts that failed before an answer are \
forgotten, a counter in the process forgets at a restart, or nothing takes out what was replayed.",
    },
    Explanation {
        rule: "observability/no_alert",
        text: "A failure lasted and nobody was told in time. What is not said loudly is found out by \
the customer, or when the backlog is a week old. Alert on what lasts: an open breaker, an old job, a refused \
grant.",
    },
    Explanation {
        rule: "observability/no_list",
        text: "A metric is to equal a list that the subject shows of itself, and that list could not be \
had whole: it is not shown, is no JSON, is one page of several, or the subject was at work between the two \
answers. Nothing was compared.",
    },
    Explanation {
        rule: "observability/no_metrics",
        text: "The subject showed no metrics at the end, so none could be compared. It names their \
address when it is ready (`Endpoints::exposed`, or `exposes` in a subject file), and must be up at the end.",
    },
    Explanation {
        rule: "observability/no_such_metric",
        text: "The subject shows neither a sample nor a `# TYPE` line of this metric, so nothing was \
compared: the name may be misspelt, or the subject shows it only once it has moved. A labelled series that \
is missing from a metric which is there counts as 0.",
    },
    Explanation {
        rule: "observability/unread_alert",
        text: "Something came where alerts go that cannot be read as one: cut off, no HTTP, or nothing \
in it. It may be the alert in question, so that its absence, or its number, cannot be judged.",
    },
    Explanation {
        rule: "quota",
        text: "Quota fields in responses (X-RateLimit-*, RateLimit) are read with the vendor's own \
meaning (delta or epoch seconds), calls slow down before the limit is hit, and a field that vanishes or is \
malformed stops nothing (draft-ietf-httpapi-ratelimit-headers).",
    },
    Explanation {
        rule: "quota/burst",
        text: "The vendor had said that little of the quota was left, and calls came at full speed all \
the same. Whoever reads the fields spreads what is left over the time until the reset, and leaves some for \
others who share the quota.",
    },
    Explanation {
        rule: "quota/never_low",
        text: "No answer told of a quota that was nearly used up, so that slowing down could not be \
judged. Give the drill more work, or the vendor a smaller quota (`with:`).",
    },
    Explanation {
        rule: "quota/rejections",
        text: "More calls ran into the limit than promised. Each is a call wasted and, with some \
vendors, a longer ban. Count your own calls where the vendor tells no quota, and share one limiter among all \
workers. A day that ends nobody knows when may be asked about every few minutes; that is no rejection.",
    },
    Explanation {
        rule: "quota/stalled",
        text: "Calls stood still for longer than promised although the quota was not used up. Usual \
causes: an epoch read as a number of seconds, a header that vanished taken for a quota of zero, a malformed \
one obeyed.",
    },
];
