//! What rules mean: `contract` to `contract/vendor_invalid`, in order.

use super::Explanation;

pub(super) const RULES: &[Explanation] = &[
    Explanation {
        rule: "contract",
        text: "Each request is one that the vendor's own description (OpenAPI, beside its vendor.yaml) \
allows: the operation exists, required fields are there, types, enums and bounds are kept, and no field is \
sent that the description forbids. Some vendors refuse such a request; others take it, guess, or ignore the \
field, and the books are wrong without an alarm. What the vendor itself answers, as long as no fault touched \
it, is held against the same description: a breach there makes the drill unknown, since its vendor is then \
not the one that was described. `verify` holds recordings and live vendors against it. A message parts from \
the vendor's own OpenAPI description. Look at both dates first: an old recording against a new contract \
means recording again; a new answer against an old contract means that the vendor has changed. A finding \
about a request means that whoever sent it does what the vendor never promised to take. Places are JSON \
Pointers (RFC 6901) into the message and into the description.",
    },
    Explanation {
        rule: "contract/any_of",
        text: "A value fits none of the forms that the contract offers for it (`anyOf`). The finding \
tells what was closest. Nothing that reads it by its contract can understand it.",
    },
    Explanation {
        rule: "contract/body",
        text: "The contract promises a body here, and there is none. A client that parses it fails; one \
that is lenient takes nothing for an empty record.",
    },
    Explanation {
        rule: "contract/enum",
        text: "A value that the contract does not list. Vendors add values without calling it a break; \
an integration must refuse what it does not know loudly, and never fall through to a default.",
    },
    Explanation {
        rule: "contract/forbidden_field",
        text: "A field came that the contract forbids (`additionalProperties: false`, or `not`). In a \
request, a strict vendor refuses it and a lenient one ignores it; in an answer, the vendor has moved on from \
its description.",
    },
    Explanation {
        rule: "contract/format",
        text: "A text is not in the format that the contract names: a date, an address, a UUID. What \
reads it may refuse it, or worse, read it as another value.",
    },
    Explanation {
        rule: "contract/items",
        text: "A list has fewer or more items than the contract allows, or the same one twice where \
they must differ. Look at what cut or joined it.",
    },
    Explanation {
        rule: "contract/length",
        text: "A text is shorter or longer than the contract allows. Too long ones are cut off by some \
readers without a word, and two of them may then be the same.",
    },
    Explanation {
        rule: "contract/media_type",
        text: "A body came under a content type that the contract does not list for it. Whatever \
chooses its parser by the header cannot read it; an HTML page from a proxy is the usual case.",
    },
    Explanation {
        rule: "contract/no_operation",
        text: "The contract has no operation for this request: the path was removed, was never \
documented, or the contract is another vendor's. Nothing could be judged.",
    },
    Explanation {
        rule: "contract/not",
        text: "A value is one that the contract rules out (`not`). Read the schema at the place that \
the finding names: what it forbids there is exactly what came.",
    },
    Explanation {
        rule: "contract/not_a_form",
        text: "A body that the contract describes as a form cannot be read as one: a stray `%`, \
brackets that do not close, a name used both for a value and for a group.",
    },
    Explanation {
        rule: "contract/not_json",
        text: "A body that the contract describes as JSON is none: an HTML page, an empty body, or JSON \
that was cut off. Nothing of it may be written anywhere.",
    },
    Explanation {
        rule: "contract/not_judged",
        text: "A message could not be held against the vendor's description: no part of it speaks of \
such a body, or its schema cannot be compiled, or leads to so many schemas for this value that judging it \
would not end, or the body is in a form that is not read (XML, multipart). Nothing is known of it, so the \
drill is unknown. Complete the description.",
    },
    Explanation {
        rule: "contract/not_played",
        text: "The subject called an operation that the vendor's description has and its model \
(vendor.yaml) does not. The 404 it got says nothing of the real vendor. Add the operation to vendor.yaml, or \
let a recording answer it (`fixtures:`).",
    },
    Explanation {
        rule: "contract/one_of",
        text: "A value fits none, or more than one, of the forms of which the contract demands exactly \
one (`oneOf`). A reader cannot know which is meant.",
    },
    Explanation {
        rule: "contract/other",
        text: "A keyword of the schema was broken that has no rule of its own. The finding names the \
keyword, and the places in the message and in the description.",
    },
    Explanation {
        rule: "contract/pattern",
        text: "A text does not match the pattern that the contract gives for it, such as an id with the \
wrong prefix. It is usually an id of another kind, or one that was put together by hand.",
    },
    Explanation {
        rule: "contract/range",
        text: "A number lies outside the bounds of the contract, or is no multiple of what it must be. \
In amounts, look for major units where minor ones are counted, and for a sign.",
    },
    Explanation {
        rule: "contract/refused",
        text: "The schema refuses the value, that is certain; but so much is wrong, or its branches \
come back to the same schemas so often, that to say all of it would take more time and memory than there is. \
Of each list the first items are told where that helps. Mend those and run it again; and if the schema \
refers to itself through several branches that mean the same, keep one of them.",
    },
    Explanation {
        rule: "contract/request_invalid",
        text: "A request broke the vendor's description: a field of the wrong type (a decimal string \
where minor units are counted), a value outside its enum or bounds, a required field missing, or a field \
that the vendor does not know. The finding names the place in the request and what was expected there.",
    },
    Explanation {
        rule: "contract/required",
        text: "A field that the contract requires is missing. If the finding names a field of the same \
shape it was possibly renamed or moved there: that is a guess. An integration that reads it as null or zero \
writes wrong data; it must refuse the payload and keep it.",
    },
    Explanation {
        rule: "contract/status",
        text: "The vendor answered with a status that its contract does not list for this operation. A \
client that handles what is described will fall through to its default.",
    },
    Explanation {
        rule: "contract/type",
        text: "A value has another JSON type than the contract says: text for a number, a list for a \
record, null for a value that cannot be null. Loosely typed readers turn it into something else instead of \
refusing it.",
    },
    Explanation {
        rule: "contract/undescribed",
        text: "The vendor's model (vendor.yaml) plays an operation that its description (openapi.yaml, \
beside it) does not have, so that calls of it cannot be judged. Describe it there, or take it out of the \
model.",
    },
    Explanation {
        rule: "contract/unknown_field",
        text: "A field that the contract does not list and does not forbid. It breaks nothing; new \
fields are counted so that they do not hide what does.",
    },
    Explanation {
        rule: "contract/unknown_operation",
        text: "The subject called an operation that the vendor does not have: a misspelt path, a wrong \
method, a version that is gone. The vendor answered 404, and will in production. A 404 of this kind is \
easily taken for a record that does not exist, and then nobody hears of it.",
    },
    Explanation {
        rule: "contract/unknown_parameter",
        text: "A request carries a query parameter that the contract does not have for this operation. \
Most vendors ignore such a parameter: a filter with a misspelt name returns everything.",
    },
    Explanation {
        rule: "contract/vendor_invalid",
        text: "The fake vendor's own answer or webhook broke the vendor's description although no fault \
had touched it. That is no fault of the subject: vendor.yaml, the scenario's `with:` or the description is \
wrong, and what the drill shows may not hold for the real vendor.",
    },
];
