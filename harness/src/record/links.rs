//! The vendor's address turned into the proxy's, in text that passes.
//!
//! Knows: two origins and bytes. Must not know: HTTP. It holds back only what could be the
//! beginning of the vendor's address, so that a stream flows on.

/// Replaces an origin in a text that comes in pieces, also as JSON with escaped slashes.
#[derive(Clone, Debug)]
pub(super) struct Links {
    pairs: [(Vec<u8>, Vec<u8>); 2],
    held: Vec<u8>,
}

impl Links {
    pub fn new(vendor: &str, own: &str) -> Links {
        let escaped = |s: &str| s.replace('/', "\\/").into_bytes();
        let plain = |s: &str| s.as_bytes().to_vec();
        let pairs = [(plain(vendor), plain(own)), (escaped(vendor), escaped(own))];
        Links { pairs, held: Vec::new() }
    }

    /// A text that is here as a whole.
    pub fn whole(&self, text: &str) -> String {
        let mut links = Links { pairs: self.pairs.clone(), held: Vec::new() };
        let mut out = links.push(text.as_bytes());
        out.extend(links.end());
        String::from_utf8_lossy(&out).into_owned()
    }

    /// What can be passed on once `bytes` have come.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.replaced(false)
    }

    /// The rest.
    pub fn end(&mut self) -> Vec<u8> {
        self.replaced(true)
    }

    fn replaced(&mut self, last: bool) -> Vec<u8> {
        let text = std::mem::take(&mut self.held);
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            // Both spellings begin with the scheme.
            let Some(next) = rest.iter().position(|b| *b == self.pairs[0].0[0]) else {
                out.extend_from_slice(rest);
                return out;
            };
            out.extend_from_slice(&rest[..next]);
            at += next;
            let rest = &text[at..];
            let hit = self.pairs.iter().find(|(from, _)| rest.starts_with(from));
            match hit {
                Some((from, to)) => match rest.get(from.len()) {
                    // The address may only be the beginning of a longer host name.
                    Some(b) if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':') => {
                        out.extend_from_slice(from);
                        at += from.len();
                    }
                    None if !last => {
                        self.held = rest.to_vec();
                        return out;
                    }
                    _ => {
                        out.extend_from_slice(to);
                        at += from.len();
                    }
                },
                None if !last && self.pairs.iter().any(|(from, _)| from.starts_with(rest)) => {
                    self.held = rest.to_vec();
                    return out;
                }
                None => {
                    out.push(rest[0]);
                    at += 1;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links::new("https://api.x.test", "http://127.0.0.1:9")
    }

    #[test]
    fn the_vendors_address_becomes_the_proxys_and_no_other_does() {
        let said = |text: &str| links().whole(text);
        assert_eq!(said("<https://api.x.test/a?p=2>; rel=next"), "<http://127.0.0.1:9/a?p=2>; rel=next");
        assert_eq!(said("https://api.x.test"), "http://127.0.0.1:9");
        assert_eq!(said(r#"{"a":"https:\/\/api.x.test\/b"}"#), r#"{"a":"http:\/\/127.0.0.1:9\/b"}"#);
        for other in
            ["https://api.x.test.evil/a", "https://api.x.test:8443/", "http://api.x.test/", "hhttps:/"]
        {
            assert_eq!(said(other), other);
        }
    }

    #[test]
    fn a_stream_is_held_back_only_where_an_address_may_begin() {
        let mut links = links();
        assert_eq!(links.push(b"data: 1\n\n"), b"data: 1\n\n");
        assert_eq!(links.push(b"see https://api.x"), b"see ");
        assert_eq!(links.push(b".test/a"), b"http://127.0.0.1:9/a");
        assert_eq!(links.push(b" http"), b" ");
        assert_eq!(links.end(), b"http");
    }

    proptest::proptest! {
        #[test]
        fn pieces_make_no_difference(text in r"(https://api\.x\.test|https:|[htps:/. a]|\.x\.test){0,20}", cuts: Vec<u8>) {
            let mut pieces = links();
            let mut out = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, more) = rest.split_at(usize::from(cut % 7).min(rest.len()));
                out.extend(pieces.push(piece));
                rest = more;
            }
            out.extend(pieces.push(rest));
            out.extend(pieces.end());
            proptest::prop_assert_eq!(String::from_utf8(out).unwrap(), links().whole(&text));
        }
    }
}
