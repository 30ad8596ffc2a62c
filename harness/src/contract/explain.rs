//! From what `jsonschema` reports to what a person needs: rule, place, expected, got; and for a
//! schema with branches the closest branch instead of "anyOf failed".
//!
//! Knows: the errors of `jsonschema`. Must not know: messages, operations.

use std::collections::BTreeSet;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

use super::convert::{below, raw_pointer};
use super::document::{escape, unescape};
use super::mask::{chosen, masked};
use super::violation::{Part, Severity, Violation};

/// What stays the same for all errors of one value.
pub(super) struct Scene<'s> {
    /// The raw description, into which schema pointers lead.
    pub raw: &'s Value,
    /// Where the validated schema stands in it.
    pub entry: &'s str,
    pub part: Part,
    /// What pointers begin with: the name of a parameter, or nothing.
    pub prefix: String,
    /// What a value without a name of its own is called, for masking.
    pub name: &'s str,
}

impl Scene<'_> {
    /// The violations that `errors` mean.
    pub fn explain<'e>(&self, errors: impl IntoIterator<Item = ValidationError<'e>>) -> Vec<Violation> {
        let mut out = Vec::new();
        for error in errors {
            self.one(&error, None, 0, &mut out);
        }
        // A value of another type is not one of the listed values either: once is enough.
        let retyped: BTreeSet<String> =
            out.iter().filter(|v| v.rule == "contract/type").map(|v| v.pointer.clone()).collect();
        out.retain(|v| v.rule != "contract/enum" || !retyped.contains(&v.pointer));
        out
    }

    fn one(&self, error: &ValidationError<'_>, branch: Option<&str>, depth: usize, out: &mut Vec<Violation>) {
        let instance = error.instance();
        let at = error.instance_path().as_str();
        let name = unescape(at.rsplit_once('/').map_or(self.name, |(_, last)| last));
        let got = || masked(&name, instance);
        let mut say = |rule: &str, expected: String, got: String| {
            out.push(self.violation(error, rule, Severity::Breaking, at, expected, got, branch));
        };
        match error.kind() {
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                let Some((index, closest)) = closest(context, at).filter(|_| depth < 32) else {
                    say("contract/any_of", "a value that one of the branches takes".to_owned(), got());
                    return;
                };
                if context.len() > 1 && closest.iter().all(|e| e.instance_path().as_str() == at && is_type(e))
                {
                    // No branch is closer than another: say what all of them take.
                    let mut kinds: Vec<String> =
                        context.iter().flatten().filter_map(expected_types).collect();
                    kinds.sort();
                    kinds.dedup();
                    say("contract/type", kinds.join(" or "), got());
                    return;
                }
                let label = self.label(error, index, context.len(), closest);
                let branch = if context.len() > 1 { Some(label.as_str()) } else { branch };
                for inner in closest {
                    self.one(inner, branch, depth + 1, out);
                }
            }
            Kind::OneOfMultipleValid { context } => {
                let valid = context.iter().filter(|errors| errors.is_empty()).count();
                say(
                    "contract/one_of",
                    format!("exactly one of {} branches to take it", context.len()),
                    format!("{valid} take {}", got()),
                );
            }
            Kind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let pointer = below(at, name);
                let mut violation = self.violation(
                    error,
                    "contract/required",
                    Severity::Breaking,
                    &pointer,
                    format!("the field `{name}`"),
                    "it is missing".to_owned(),
                    branch,
                );
                violation.wild = format!("{}/{}", violation.wild, escape(name));
                out.push(violation);
            }
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    let pointer = below(at, name);
                    let value = instance.get(name).unwrap_or(&Value::Null);
                    let mut violation = self.violation(
                        error,
                        "contract/forbidden_field",
                        Severity::Breaking,
                        &pointer,
                        format!("no field `{name}`: the contract lists all there are"),
                        masked(name, value),
                        branch,
                    );
                    violation.wild = format!("{}/{}", violation.wild, escape(name));
                    out.push(violation);
                }
            }
            Kind::Type { .. } => say("contract/type", expected_types(error).unwrap_or_default(), got()),
            Kind::Enum { options } => {
                say("contract/enum", format!("one of {}", listed(options)), chosen(&name, instance));
            }
            Kind::Constant { expected_value } => {
                say("contract/enum", listed(expected_value), chosen(&name, instance));
            }
            Kind::Format { format } => {
                say("contract/format", format!("a text of the format `{format}`"), got())
            }
            Kind::Pattern { pattern } => say("contract/pattern", format!("a text like `{pattern}`"), got()),
            Kind::Minimum { limit } => say("contract/range", format!("at least {limit}"), got()),
            Kind::Maximum { limit } => say("contract/range", format!("at most {limit}"), got()),
            Kind::ExclusiveMinimum { limit } => say("contract/range", format!("more than {limit}"), got()),
            Kind::ExclusiveMaximum { limit } => say("contract/range", format!("less than {limit}"), got()),
            Kind::MultipleOf { multiple_of } => {
                say("contract/range", format!("a multiple of {multiple_of}"), got());
            }
            Kind::MinLength { limit } => {
                say("contract/length", format!("at least {limit} characters"), got())
            }
            Kind::MaxLength { limit } => {
                let length = instance.as_str().map_or(0, |text| text.chars().count());
                say("contract/length", format!("at most {limit} characters"), format!("{length}: {}", got()));
            }
            Kind::MinItems { limit } => say("contract/items", format!("at least {limit} items"), got()),
            Kind::MaxItems { limit } => say("contract/items", format!("at most {limit} items"), got()),
            Kind::AdditionalItems { limit } => {
                say("contract/items", format!("no more than {limit} items"), got())
            }
            Kind::UniqueItems => say("contract/items", "items that differ".to_owned(), got()),
            Kind::MinProperties { limit } => say("contract/items", format!("at least {limit} fields"), got()),
            Kind::MaxProperties { limit } => say("contract/items", format!("at most {limit} fields"), got()),
            Kind::FalseSchema => say("contract/forbidden_field", "nothing here".to_owned(), got()),
            Kind::Not { .. } => {
                say("contract/not", "a value that the schema under `not` refuses".to_owned(), got())
            }
            Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } | Kind::Referencing(_) => {
                out.push(self.violation(
                    error,
                    "contract/not_judged",
                    Severity::Unknown,
                    at,
                    "a schema that can be checked".to_owned(),
                    format!("{}", error.masked()),
                    branch,
                ));
            }
            other => {
                let keyword = other.keyword().to_owned();
                say("contract/other", format!("`{keyword}` to hold"), got());
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a finding has that many parts; a builder would hide none")]
    fn violation(
        &self,
        error: &ValidationError<'_>,
        rule: &str,
        severity: Severity,
        pointer: &str,
        expected: String,
        got: String,
        branch: Option<&str>,
    ) -> Violation {
        Violation {
            rule: rule.to_owned(),
            severity,
            part: self.part,
            pointer: format!("{}{pointer}", self.prefix),
            wild: format!(
                "{}{}",
                self.prefix,
                wild(error.instance_path().as_str(), error.evaluation_path().as_str())
            ),
            schema: self.schema_of(error),
            expected,
            got,
            branch: branch.map(str::to_owned),
            moved: None,
        }
    }

    /// Where the broken keyword stands in the raw description.
    fn schema_of(&self, error: &ValidationError<'_>) -> String {
        let absolute = error.absolute_keyword_location().map(|uri| uri.as_str());
        match absolute.and_then(|uri| uri.strip_prefix("firedrill:contract#")) {
            Some(fragment) => {
                let pointer = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
                raw_pointer(self.raw, &pointer)
            }
            None => format!("{}{}", self.entry, error.schema_path().as_str()),
        }
    }

    /// What a branch is called: `branch 2 of 3 (invoice)`.
    fn label(
        &self,
        error: &ValidationError<'_>,
        index: usize,
        of: usize,
        errors: &[ValidationError<'_>],
    ) -> String {
        let here = format!("{}/{index}", self.schema_of(error));
        let schema = self.raw.pointer(&here);
        let title = schema.and_then(|s| s.get("title").and_then(Value::as_str).map(str::to_owned));
        let reference = schema.and_then(|s| s.get("$ref")?.as_str()?.rsplit('/').next().map(unescape));
        let called = title.or(reference).map(|name| format!(" ({name})")).unwrap_or_default();
        let more = if errors.len() > 1 {
            format!(", which {} things keep from fitting", errors.len())
        } else {
            String::new()
        };
        format!("closest is branch {} of {of}{called}{more}", index + 1)
    }
}

fn is_type(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), Kind::Type { .. })
}

fn expected_types(error: &ValidationError<'_>) -> Option<String> {
    let Kind::Type { kind } = error.kind() else { return None };
    let article = |name: String| match name.as_str() {
        "null" => name,
        "integer" | "array" | "object" => format!("an {name}"),
        _ => format!("a {name}"),
    };
    Some(match kind {
        TypeKind::Single(one) => article(one.to_string()),
        TypeKind::Multiple(set) => {
            set.iter().map(|t| article(t.to_string())).collect::<Vec<_>>().join(" or ")
        }
    })
}

/// The values of an enum, the first few of many.
fn listed(options: &Value) -> String {
    const SHOWN: usize = 8;
    let Value::Array(options) = options else { return format!("`{options}`") };
    let shown: Vec<String> =
        options.iter().take(SHOWN).map(|o| format!("`{}`", o.to_string().trim_matches('"'))).collect();
    let more = options.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// The branch whose errors say most about the value: one that takes its type, whose tags (fixed
/// values such as `object: invoice`) fit, and that has the fewest other errors.
fn closest<'c>(
    context: &'c [Vec<ValidationError<'static>>],
    at: &str,
) -> Option<(usize, &'c [ValidationError<'static>])> {
    context
        .iter()
        .enumerate()
        .filter(|(_, errors)| !errors.is_empty())
        .min_by_key(|(index, errors)| (distance(errors, at, 0), *index))
        .map(|(index, errors)| (index, errors.as_slice()))
}

/// Another type, other tags, how many errors.
fn distance(errors: &[ValidationError<'_>], at: &str, depth: usize) -> (usize, usize, usize) {
    let mut total = (0, 0, 0);
    for error in errors {
        let path = error.instance_path().as_str();
        let here = path == at;
        let tag = path.strip_prefix(at).is_some_and(|rest| rest.matches('/').count() == 1);
        let add = match error.kind() {
            Kind::Type { .. } if here => (1, 0, 1),
            // It takes nothing, whatever is mended.
            Kind::FalseSchema if here => (2, 0, 1),
            Kind::Enum { .. } | Kind::Constant { .. } if tag => (0, 1, 1),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } if depth < 8 => {
                context.iter().map(|inner| distance(inner, at, depth + 1)).min().unwrap_or((0, 0, 1))
            }
            _ => (0, 0, 1),
        };
        total = (total.0 + add.0, total.1 + add.1, total.2 + add.2);
    }
    total
}

/// A pointer with `*` where the schema takes any index or key, read off the path that the
/// validator took through the schemas.
pub(super) fn wild(instance: &str, evaluation: &str) -> String {
    let mut names = instance.split('/').skip(1);
    let mut steps = evaluation.split('/').skip(1);
    let mut out = String::new();
    let mut push = |part: &str| {
        out.push('/');
        out.push_str(part);
    };
    while let Some(step) = steps.next() {
        match step {
            "properties" => {
                steps.next();
                match names.next() {
                    Some(name) => push(name),
                    None => return out,
                }
            }
            "patternProperties" | "prefixItems" => {
                steps.next();
                match names.next() {
                    Some(_) => push("*"),
                    None => return out,
                }
            }
            "items" | "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems" | "contains" => {
                match names.next() {
                    Some(_) => push("*"),
                    None => return out,
                }
            }
            "allOf" | "anyOf" | "oneOf" | "dependentSchemas" => {
                steps.next();
            }
            _ => {}
        }
    }
    for name in names {
        push(if name.bytes().all(|b| b.is_ascii_digit()) { "*" } else { name });
    }
    out
}
