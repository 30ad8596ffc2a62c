//! Media types, and which documented range speaks for one (RFC 9110 §8.3.1, RFC 6839).
//!
//! Knows: how media types are spelt and compared. Must not know: bodies.

use super::operation::Media;

/// Type and subtype, lower case, without parameters.
pub(super) fn essence(text: &str) -> String {
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a body of this type is JSON.
pub(super) fn is_json(essence: &str) -> bool {
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Whether a body of this type is a form of names and values.
pub(super) fn is_form(essence: &str) -> bool {
    essence == "application/x-www-form-urlencoded"
}

/// The documented media type that speaks for `given`: itself, then the one without its suffix's
/// refinement (`application/vnd.github.v3+json` is JSON), then ranges, the narrower first.
pub(super) fn choose<'m>(content: &'m [Media], given: &str) -> Option<&'m Media> {
    let given = essence(given);
    let ranked = content.iter().filter_map(|media| {
        let range = essence(&media.range);
        let rank = if range == given {
            0
        } else if is_json(&given) && range == "application/json" {
            1
        } else if range.strip_suffix("/*").is_some_and(|kind| given.split('/').next() == Some(kind)) {
            2
        } else if range == "*/*" || range == "*" || range == "application/octet-stream" {
            // RFC 2046 §4.5.1: an octet stream is bytes of any kind; GitHub documents uploads so.
            3
        } else {
            return None;
        };
        Some((rank, media))
    });
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, media)| media)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_documented_range_speaks() {
        let content: Vec<Media> = ["*/*", "text/*", "application/json", "text/csv; charset=utf-8"]
            .into_iter()
            .map(|range| Media { range: range.to_owned(), schema: None })
            .collect();
        let chosen = |given: &str| choose(&content, given).map(|m| m.range.as_str());
        assert_eq!(chosen("Application/JSON; charset=utf-8"), Some("application/json"));
        assert_eq!(chosen("application/vnd.github.v3+json"), Some("application/json"));
        assert_eq!(chosen("text/csv"), Some("text/csv; charset=utf-8"));
        assert_eq!(chosen("text/html"), Some("text/*"));
        assert_eq!(chosen("image/png"), Some("*/*"));
        assert_eq!(choose(&content[2..3], "text/html"), None);
    }
}
