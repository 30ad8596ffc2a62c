//! The rules of `firedrill diff`: each change it can tell, how bad it is, and why.
//!
//! Knows: names, severities and reasons. Must not know: how a change is found.
//!
//! The measure is a consumer that does only what the old document promised: reads answers by
//! their type and presence, sends requests that were valid. **Breaking**: such a consumer fails,
//! or reads something wrong. **Risky**: only one that also relies on a limit fails (a column's
//! width, an exhaustive match, a field that was never certain), or the end is announced.
//! **Undecidable**: whether the new schema includes the old cannot be told. **Safe**: it notices
//! nothing. Where oasdiff's catalogue judges differently, `catalogue.txt` says so.

use serde::Serialize;

/// How bad a change is for a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A consumer that keeps to the old document notices nothing.
    Safe,
    /// It fails if it relies on a limit, or the end of something is announced.
    Risky,
    /// It cannot be told; never counted safe.
    Undecidable,
    /// It fails, or reads something wrong.
    Breaking,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its stable name: `response/property_removed`.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means and what to do, in a sentence or two.
    pub says: &'static str,
}

/// A rule by its name.
pub fn rule(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|r| r.id == id)
}

macro_rules! rules {
    ($($name:ident = $severity:ident $id:literal: $says:literal;)*) => {
        $(pub(super) static $name: Rule = Rule { id: $id, severity: Severity::$severity, says: $says };)*
        /// All rules, in the order of this file.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    // Operations.
    OPERATION_REMOVED = Breaking "operation/removed": "The operation is gone; calls to it get 404 or 405.";
    OPERATION_ADDED = Safe "operation/added": "There is a new operation.";
    OPERATION_DEPRECATED = Risky "operation/deprecated": "The operation works, and is announced to go. Plan the move before its sunset.";
    OPERATION_REACTIVATED = Safe "operation/reactivated": "The operation is no longer deprecated.";
    SUNSET_EARLIER = Risky "operation/sunset_earlier": "The operation now has an end, or an earlier one (`x-sunset`).";
    SUNSET_LATER = Safe "operation/sunset_later": "The operation's end was put off or called off.";
    SUNSET_UNREADABLE = Undecidable "operation/sunset_unreadable": "`x-sunset` changed and is no date, so it cannot be told which way.";
    OPERATION_ID = Safe "operation/id_changed": "`operationId` changed: nothing on the wire, but generated clients rename their method.";
    PATH_PARAMETER_RENAMED = Safe "operation/path_parameter_renamed": "A path parameter has another name; the path on the wire is the same.";
    SERVER_REMOVED = Risky "server/removed": "A base URL is no longer listed; a consumer configured with it may find nobody there.";
    SERVER_ADDED = Safe "server/added": "A base URL was added.";
    SECURITY_TIGHTENED = Breaking "security/tightened": "Credentials that sufficed no longer do: a scheme or scope was added, or an alternative removed.";
    SECURITY_RELAXED = Safe "security/relaxed": "There are more ways to authenticate; the old ones still do.";
    SCHEME_CHANGED = Breaking "security/scheme_changed": "The credential is sent in another way: its kind, place or name changed.";
    TOKEN_URL_CHANGED = Risky "security/token_url_changed": "Tokens come from another address; the old one may stop answering.";
    // Webhooks and callbacks: what the vendor sends to us.
    WEBHOOK_REMOVED = Breaking "webhook/removed": "The vendor no longer sends this event; work that waits for it waits for ever.";
    WEBHOOK_ADDED = Safe "webhook/added": "The vendor can send a new event.";
    // Parameters and bodies of requests.
    PARAMETER_REMOVED = Risky "parameter/removed": "The parameter is no longer known: it is ignored, or the request is refused.";
    PARAMETER_ADDED_REQUIRED = Breaking "parameter/added_required": "Requests without the new parameter are refused.";
    PARAMETER_ADDED = Safe "parameter/added": "There is a new optional parameter.";
    PARAMETER_MOVED = Breaking "parameter/moved": "The parameter must be sent in another place (query, header, path, cookie).";
    PARAMETER_REQUIRED = Breaking "parameter/became_required": "Requests without the parameter, valid until now, are refused.";
    PARAMETER_OPTIONAL = Safe "parameter/became_optional": "The parameter may be left out.";
    PARAMETER_STYLE = Breaking "parameter/style_changed": "Lists and objects in the parameter are written in another way (`style`, `explode`, media type).";
    PARAMETER_DEPRECATED = Risky "parameter/deprecated": "The parameter works, and is announced to go.";
    PARAMETER_REACTIVATED = Safe "parameter/reactivated": "The parameter is no longer deprecated.";
    BODY_ADDED_REQUIRED = Breaking "request/body_added_required": "Requests without a body are refused.";
    BODY_ADDED = Safe "request/body_added": "A body may be sent.";
    BODY_REMOVED = Breaking "request/body_removed": "The body is no longer read: it is ignored, or the request is refused.";
    BODY_REQUIRED = Breaking "request/body_became_required": "Requests without a body, valid until now, are refused.";
    BODY_OPTIONAL = Safe "request/body_became_optional": "The body may be left out.";
    REQUEST_MEDIA_REMOVED = Breaking "request/media_type_removed": "Bodies of this media type get 415.";
    REQUEST_MEDIA_ADDED = Safe "request/media_type_added": "Bodies of another media type are read, too.";
    // Responses.
    SUCCESS_REMOVED = Breaking "response/success_removed": "A success status is no longer given; a consumer that waits for it sees failure.";
    SUCCESS_ADDED = Risky "response/success_added": "A success status that the consumer does not know may come, with another body or none.";
    ERROR_REMOVED = Safe "response/error_removed": "An error status is no longer described.";
    ERROR_ADDED = Safe "response/error_added": "An error status is described that was not; its class says how to treat it.";
    RESPONSE_MEDIA_REMOVED = Breaking "response/media_type_removed": "Answers no longer come in this media type.";
    RESPONSE_MEDIA_ADDED = Safe "response/media_type_added": "Answers can come in another media type, to those who ask for it.";
    RESPONSE_BODY_REMOVED = Breaking "response/body_removed": "The answer has no body any more.";
    HEADER_REMOVED = Breaking "response/header_removed": "A header that was always sent is gone.";
    OPTIONAL_HEADER_REMOVED = Risky "response/optional_header_removed": "A header that was sometimes sent is gone.";
    HEADER_ADDED = Safe "response/header_added": "There is a new header.";
    HEADER_OPTIONAL = Breaking "response/header_became_optional": "A header that was always sent may be missing.";
    HEADER_REQUIRED = Safe "response/header_became_required": "A header that was sometimes sent is always sent.";
    // Schemas of what is received.
    PROPERTY_REMOVED = Breaking "response/property_removed": "A field that was always there is gone; who reads it reads nothing, and may write null.";
    OPTIONAL_REMOVED = Risky "response/optional_property_removed": "A field that was sometimes there is gone for ever.";
    PROPERTY_RENAMED = Breaking "response/property_renamed": "A field is gone, and one that looks like it under another name has come.";
    PROPERTY_ADDED = Safe "response/property_added": "There is a new field.";
    ADDED_TO_CLOSED = Risky "response/property_added_to_closed": "There is a new field in an object that promised to have no others (`additionalProperties: false`): a strict reader refuses it.";
    PROPERTY_OPTIONAL = Breaking "response/property_became_optional": "A field that was always there may be missing.";
    PROPERTY_REQUIRED = Safe "response/property_became_required": "A field that was sometimes there is always there.";
    PROPERTY_DEPRECATED = Risky "response/property_deprecated": "The field is there, and is announced to go.";
    PROPERTY_REACTIVATED = Safe "response/property_reactivated": "The field is no longer deprecated.";
    BECAME_NULLABLE = Breaking "response/became_nullable": "What was never null can be.";
    BECAME_NOT_NULL = Safe "response/became_not_nullable": "What could be null never is.";
    TYPE_CHANGED = Breaking "response/type_changed": "The value has another type: none of the old ones is left.";
    TYPE_WIDENED = Breaking "response/type_widened": "The value can have a type that it never had.";
    TYPE_NARROWED = Safe "response/type_narrowed": "The value no longer has some of its types.";
    ENUM_ADDED = Risky "response/enum_value_added": "A value may come that the consumer has never heard of; an exhaustive match fails.";
    ENUM_REMOVED = Safe "response/enum_value_removed": "A value no longer comes.";
    ENUM_REPLACED = Breaking "response/enum_replaced": "Not one of the old values is left: all that comes is unknown.";
    ENUM_DROPPED = Risky "response/enum_dropped": "The list of values is gone: anything of the type may come.";
    ENUM_INTRODUCED = Safe "response/enum_introduced": "Only listed values come.";
    FORMAT_CHANGED = Breaking "response/format_changed": "The value is written in another way (a date as a date and time, say).";
    FORMAT_WIDENED = Risky "response/format_widened": "The number has more bits: it may overflow the consumer's type.";
    FORMAT_REMOVED = Risky "response/format_removed": "The value no longer promises its format; a parser of it may fail.";
    FORMAT_ADDED = Safe "response/format_added": "The value promises a format.";
    PATTERN_REMOVED = Risky "response/pattern_removed": "The value no longer promises its pattern.";
    PATTERN_ADDED = Safe "response/pattern_added": "The value promises a pattern.";
    PATTERN_CHANGED = Undecidable "response/pattern_changed": "Whether the new pattern lies inside the old cannot be told.";
    LIMIT_LOOSENED = Risky "response/limit_loosened": "The value may exceed a limit that held: a longer text, a greater number, more items.";
    LIMIT_TIGHTENED = Safe "response/limit_tightened": "The value keeps to a narrower limit.";
    MAY_BE_EMPTY = Breaking "response/array_may_be_empty": "The list always had an item, and may have none now: who takes the first fails.";
    ADDITIONAL_ALLOWED = Risky "response/additional_properties_allowed": "An object that promised no other fields may have them: a strict reader refuses it.";
    ADDITIONAL_FORBIDDEN = Safe "response/additional_properties_forbidden": "The object has no other fields than those listed.";
    VARIANT_ADDED = Risky "response/variant_added": "Another kind of object may come (`oneOf`, `anyOf`) that the consumer has never heard of.";
    VARIANT_REMOVED = Safe "response/variant_removed": "One kind of object no longer comes.";
    DISCRIMINATOR_CHANGED = Breaking "response/discriminator_changed": "The field that tells variants apart is another, or its value means another variant.";
    DISCRIMINATOR_VALUE_ADDED = Risky "response/discriminator_value_added": "The field that tells variants apart may have a new value.";
    DISCRIMINATOR_VALUE_REMOVED = Safe "response/discriminator_value_removed": "The field that tells variants apart no longer has this value.";
    ENCODING_CHANGED = Breaking "response/encoding_changed": "The text inside is encoded in another way (`contentEncoding`, `contentMediaType`).";
    CONSTRAINT_ADDED = Safe "response/constraint_added": "A further condition holds for what comes (`not`, `if`, `contains`, `propertyNames`, …).";
    UNDECIDABLE = Undecidable "response/undecidable": "Whether what comes is still what the old document allowed cannot be told here; read both places.";
    // Schemas of what is sent.
    SENT_REMOVED = Risky "request/property_removed": "The field is no longer known: it is ignored, and what it did does not happen.";
    SENT_REFUSED = Breaking "request/property_refused": "The field is no longer known, and unknown fields are refused.";
    SENT_RENAMED = Breaking "request/property_renamed": "The field is no longer known; one that looks like it under another name is.";
    SENT_ADDED_REQUIRED = Breaking "request/required_property_added": "Requests without the new field are refused.";
    SENT_ADDED = Safe "request/property_added": "A new field may be sent.";
    SENT_REQUIRED = Breaking "request/property_became_required": "Requests without the field, valid until now, are refused.";
    SENT_OPTIONAL = Safe "request/property_became_optional": "The field may be left out.";
    SENT_DEPRECATED = Risky "request/property_deprecated": "The field works, and is announced to go.";
    SENT_REACTIVATED = Safe "request/property_reactivated": "The field is no longer deprecated.";
    SENT_NULLABLE = Safe "request/became_nullable": "Null may be sent.";
    SENT_NOT_NULL = Breaking "request/became_not_nullable": "Null, valid until now, is refused.";
    SENT_TYPE_CHANGED = Breaking "request/type_changed": "The value must have another type.";
    SENT_TYPE_NARROWED = Breaking "request/type_narrowed": "The value may no longer have some of its types.";
    SENT_TYPE_WIDENED = Safe "request/type_widened": "The value may have further types.";
    SENT_ENUM_REMOVED = Breaking "request/enum_value_removed": "A value that was valid is refused.";
    SENT_ENUM_ADDED = Safe "request/enum_value_added": "A further value may be sent.";
    SENT_ENUM_INTRODUCED = Breaking "request/enum_introduced": "Only listed values are accepted.";
    SENT_ENUM_DROPPED = Safe "request/enum_dropped": "Values are no longer limited to a list.";
    SENT_FORMAT_CHANGED = Breaking "request/format_changed": "The value must be written in another way.";
    SENT_FORMAT_NARROWED = Risky "request/format_narrowed": "The number has fewer bits: great ones are refused.";
    SENT_FORMAT_ADDED = Risky "request/format_added": "The value must have a format that nobody asked for until now.";
    SENT_FORMAT_REMOVED = Safe "request/format_removed": "The value need not have its format.";
    SENT_PATTERN_ADDED = Breaking "request/pattern_added": "The value must match a pattern that nobody asked for until now.";
    SENT_PATTERN_REMOVED = Safe "request/pattern_removed": "The value need not match its pattern.";
    SENT_PATTERN_CHANGED = Undecidable "request/pattern_changed": "Whether the old pattern lies inside the new cannot be told.";
    SENT_LIMIT_TIGHTENED = Breaking "request/limit_tightened": "Values inside the old limit are refused.";
    SENT_LIMIT_SET = Risky "request/limit_set": "There is a limit where there was none.";
    SENT_LIMIT_LOOSENED = Safe "request/limit_loosened": "The limit is wider.";
    SENT_DEFAULT = Risky "request/default_changed": "Who leaves the value out gets something else than before, without a word.";
    SENT_ADDITIONAL_FORBIDDEN = Breaking "request/additional_properties_forbidden": "Fields that are not listed, accepted until now, are refused.";
    SENT_ADDITIONAL_ALLOWED = Safe "request/additional_properties_allowed": "Fields that are not listed are accepted.";
    SENT_VARIANT_REMOVED = Breaking "request/variant_removed": "One kind of value (`oneOf`, `anyOf`) is no longer accepted.";
    SENT_VARIANT_ADDED = Safe "request/variant_added": "Another kind of value is accepted.";
    SENT_DISCRIMINATOR_CHANGED = Breaking "request/discriminator_changed": "The field that tells variants apart is another, or its value means another variant.";
    SENT_DISCRIMINATOR_VALUE_REMOVED = Breaking "request/discriminator_value_removed": "The field that tells variants apart may no longer have this value.";
    SENT_DISCRIMINATOR_VALUE_ADDED = Safe "request/discriminator_value_added": "The field that tells variants apart may have a further value.";
    SENT_ENCODING_CHANGED = Breaking "request/encoding_changed": "The text inside must be encoded in another way.";
    SENT_CONSTRAINT_REMOVED = Safe "request/constraint_removed": "A condition on what is sent is gone.";
    SENT_UNDECIDABLE = Undecidable "request/undecidable": "Whether what was valid to send still is cannot be told here; read both places.";
}
