//! What rules mean: `crashed` to `idempotency/second_effect`, in order.

use super::Explanation;

pub(super) const RULES: &[Explanation] = &[
    Explanation {
        rule: "crashed",
        text: "A check itself failed while it judged. That is a fault of firedrill, and the drill \
proves nothing about this property. Please report it with the command and the seed.",
    },
    Explanation {
        rule: "exposed",
        text: "What the subject shows of itself at the end (a GET of its own store, as JSON) equals \
what the vendors hold: the promise of an integration that keeps a copy of its own instead of writing to \
another vendor. It must answer, with JSON, and the values must agree.",
    },
    Explanation {
        rule: "exposed/bad_expression",
        text: "An expression of `expect.exposed` could not be evaluated over what the subject showed, \
so nothing was compared. A member that may be absent needs `has(…)`.",
    },
    Explanation {
        rule: "exposed/differs",
        text: "What the subject shows of its own store differs from what the vendors hold. The finding \
names the first place where they part, with both values: a record that was missed, one that was never \
removed, a field that was not updated.",
    },
    Explanation {
        rule: "exposed/not_json",
        text: "What the subject shows under this name is no JSON, so that its store cannot be compared. \
Is it an error page, or another address than meant?",
    },
    Explanation {
        rule: "exposed/not_shown",
        text: "The subject did not show this at the end: it names no address for it, was down, or \
answered with an error. Nothing is known of what it holds.",
    },
    Explanation {
        rule: "exposed/unreadable",
        text: "The subject shows its dead letters or its quarantine, and what came at the end is no \
list: no answer, an error, or no JSON. Work that it set aside may stand there, so what is missing cannot be \
told from what was put away. Answer with JSON, a list of entries that name their record and a reason, or \
leave the address out.",
    },
    Explanation {
        rule: "faults",
        text: "Each fault rule of the drill must bite at least once. One that never did makes the drill \
unknown: the promise was not put to the test. Either the subject never made such a call, or the rule's \
window, attempts or condition exclude what it did.",
    },
    Explanation {
        rule: "faults/harness",
        text: "firedrill itself went wrong: two independent counts of the same thing disagree, or a \
part of it failed. No verdict of this drill can be trusted, whatever the other checks say. Please report it \
with the command and the seed.",
    },
    Explanation {
        rule: "faults/never_fired",
        text: "A fault rule of the drill did not bite even once, so the promise was not put to the \
test, and the drill is unknown. Look at the rule's target, window, attempts and condition, and at what the \
subject called instead (`--verbose`).",
    },
    Explanation {
        rule: "faults/no_address",
        text: "A fault rule acts on webhooks, and the subject gave no address for them: nothing was \
delivered and nothing disturbed. Name the address in the subject (`Endpoints`) or in its subject file \
(`webhooks`).",
    },
    Explanation {
        rule: "faults/step_failed",
        text: "A step of the workload could not be carried out: no record was left for it, the \
subject was not there for a job, or has no job of that name. What comes after it was not what the drill describes, so the drill is \
unknown.",
    },
    Explanation {
        rule: "faults/unfit",
        text: "A rule chose a call to which its fault cannot be done: a cut of a body that is not \
there, something that the protocol has no word for. Nothing was done to the call, so the drill tested less \
than it says.",
    },
    Explanation {
        rule: "fixture",
        text: "Vendors that answer from recordings answer every request of the drill. What no recording \
fits is not made up: the drill is then unknown.",
    },
    Explanation {
        rule: "fixture/no_recording",
        text: "A request came that no recording of the run answers. The finding says what is closest \
and where they part. Record the exchange (`firedrill record`), or declare what may differ as noise.",
    },
    Explanation {
        rule: "idempotency",
        text: "All attempts of one write carry one idempotency key, and the key is stored before the \
first attempt is sent, so that a crash between sending and saving makes no second effect. The key belongs to \
the operation, not to the record: an amended record is another operation. On 409 (in use) the same key \
waits; a replayed answer, errors included, is final (docs.stripe.com/api/idempotent_requests; \
draft-ietf-httpapi-idempotency-key-header).",
    },
    Explanation {
        rule: "idempotency/applied_twice",
        text: "The same create took effect twice: the answer to the first was lost, and it was sent \
again under no key or another one, before the subject had learned of the first. Repeat it with the same key; \
where the vendor honours none, look before writing.",
    },
    Explanation {
        rule: "idempotency/fresh_key",
        text: "Two attempts of one write carried different idempotency keys: to the vendor they are two \
writes. Make the key once for each operation, store it before the first attempt is sent, and read it back \
for every retry and after every restart.",
    },
    Explanation {
        rule: "idempotency/fresh_key_after_in_use",
        text: "The vendor said that a request with this key is still at work (409), and the subject \
sent the same body under a fresh key: a second request beside the first. Wait, and ask again with the same \
key.",
    },
    Explanation {
        rule: "idempotency/key_reused",
        text: "One idempotency key was used for two different requests, and the vendor refused the \
second. It will on every attempt. A key made from the record's id alone is wrong as soon as the record is \
amended: make it from the id and the intended state.",
    },
    Explanation {
        rule: "idempotency/no_key",
        text: "A create carries no idempotency key although the vendor honours one. When its answer is \
lost, nobody can tell whether it took effect, and a repeat may make a second record. An integration that \
looks before it writes may waive this rule.",
    },
    Explanation {
        rule: "idempotency/raced",
        text: "Two requests with one key were under way at the same time. Two workers are at the same \
job: its lease is shorter than the work, is not renewed, or the job was queued twice.",
    },
    Explanation {
        rule: "idempotency/replayed_failure",
        text: "The vendor had saved a 5xx as the answer to a key and gave it back on every further \
attempt. It will never change. Look whether the write took effect, and only if not, write under a new key.",
    },
    Explanation {
        rule: "idempotency/second_effect",
        text: "One source record had two live effects. This is the duplicate invoice itself, whatever \
led to it: a fresh key for a retry, a key that outlived the vendor's memory of it, or a write that was never \
looked up before it was repeated.",
    },
];
