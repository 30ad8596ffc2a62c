//! The `Link` header field, as far as paging needs it (RFC 8288 §3).
//!
//! Knows: where the next page is. Must not know: whether to go there.

/// The target of `rel="next"`, if there is one.
pub(crate) fn next(field: &str) -> Option<&str> {
    let mut rest = field;
    while let Some((_, tail)) = rest.split_once('<') {
        let (target, tail) = tail.split_once('>')?;
        // Parameters end where the next link begins.
        let parameters = tail.split('<').next().unwrap_or_default();
        if parameters.split([';', ',']).any(|p| matches!(p.trim(), r#"rel="next""# | "rel=next")) {
            return Some(target);
        }
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_next_page_is_found_among_others() {
        let field = r#"<https://h/a?page=1>; rel="prev", <https://h/a?x=1,2&page=3>; rel="next", <https://h/z>; rel="last""#;
        assert_eq!(next(field), Some("https://h/a?x=1,2&page=3"));
        assert_eq!(next(r#"<https://h/a>; rel="last""#), None);
        assert_eq!(next("nonsense"), None);
    }
}
