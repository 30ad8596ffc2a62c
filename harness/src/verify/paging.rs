//! What a page of a list says of itself: how many items were asked for, and whether there are more.
//!
//! Knows: the names that vendors have for it. Must not know: what a baseline makes of it.

use serde_json::Value;

use crate::wire::{Headers, Request};

/// What a request calls the number of items that it asks for.
const NUMBERS: [&str; 10] = [
    "limit",
    "per_page",
    "perPage",
    "page_size",
    "pageSize",
    "max_results",
    "maxResults",
    "first",
    "size",
    "count",
];
/// What an answer calls it that there is more: true, or where it is.
const MORE: [&str; 10] = [
    "has_more",
    "hasMore",
    "next",
    "next_page",
    "nextPage",
    "next_cursor",
    "nextCursor",
    "next_page_token",
    "nextPageToken",
    "next_url",
];
/// Where in an answer that stands, if not at the top.
const WITHIN: [&str; 6] = ["paging", "pagination", "meta", "links", "_links", "response_metadata"];

/// What a page says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// How many items were asked for, if a number was.
    pub asked: Option<usize>,
    /// Whether it says that there are more.
    pub more: bool,
}

impl Page {
    pub fn of(request: &Request, headers: &Headers, answer: &Value) -> Page {
        Page { asked: asked(request), more: linked(headers) || says_more(answer) }
    }
}

fn asked(request: &Request) -> Option<usize> {
    let in_query = request.query().find(|(name, _)| NUMBERS.contains(&name.as_ref()));
    if let Some((_, number)) = in_query {
        return number.parse().ok();
    }
    let body: Value = serde_json::from_slice(&request.body).ok()?;
    let number = NUMBERS.iter().find_map(|name| body.get(*name))?;
    number.as_u64().and_then(|n| usize::try_from(n).ok())
}

/// RFC 8288: a link to the next page.
fn linked(headers: &Headers) -> bool {
    headers.get("link").is_some_and(|link| {
        let parameters = link.split([',', ';']).map(str::trim);
        parameters.filter_map(|p| p.strip_prefix("rel=")).any(|rel| rel.trim_matches('"') == "next")
    })
}

fn says_more(answer: &Value) -> bool {
    let here = |value: &Value| {
        MORE.iter().filter_map(|name| value.get(*name)).any(|said| match said {
            Value::Null => false,
            Value::Bool(more) => *more,
            Value::String(text) => !text.is_empty(),
            _ => true,
        })
    };
    here(answer) || WITHIN.iter().filter_map(|name| answer.get(*name)).any(here)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(target: &str, body: &str) -> Request {
        let (target, body) = (target.to_owned(), body.to_owned().into());
        Request { method: "GET".into(), target, headers: Headers::default(), body }
    }

    #[test]
    fn a_number_is_asked_for_in_the_query_or_the_body() {
        assert_eq!(asked(&request("/a?limit=10", "")), Some(10));
        assert_eq!(asked(&request("/a?x=1&per_page=7", "")), Some(7));
        assert_eq!(asked(&request("/search", r#"{"limit": 5}"#)), Some(5));
        for nothing in ["/a", "/a?limit=all", "/a?limit=-1", "/a?limits=3"] {
            assert_eq!(asked(&request(nothing, "")), None, "{nothing}");
        }
    }

    #[test]
    fn a_page_says_in_its_body_or_by_a_link_that_there_is_more() {
        let says = |answer: Value| says_more(&answer);
        for more in [
            json!({ "has_more": true }),
            json!({ "paging": { "next": { "after": "5" } } }),
            json!({ "next_cursor": "abc" }),
            json!({ "links": { "next": "/a?page=2" } }),
        ] {
            assert!(says(more.clone()), "{more}");
        }
        for last in [
            json!({ "has_more": false }),
            json!({ "paging": {} }),
            json!({ "next_cursor": "" }),
            json!({ "next": null }),
            json!([1, 2]),
        ] {
            assert!(!says(last.clone()), "{last}");
        }
        let link = |text: &str| linked(&Headers::of([("link", text)]));
        assert!(link(r#"<https://a/?page=2>; rel="next", <https://a/?page=9>; rel="last""#));
        assert!(!link(r#"<https://a/?page=1>; rel="prev""#));
    }
}
