//! An independent count of the requests that came over a connection, from its raw bytes.
//!
//! Knows: where an HTTP/1.1 request ends (RFC 9112 §6). Must not know: what it says. It exists so
//! that a request the server lost, or counted twice, is noticed.

/// Counts whole requests in a stream of bytes.
#[derive(Default)]
pub(crate) struct Tap {
    state: State,
    line: Vec<u8>,
    /// Requests that have come whole.
    pub whole: u64,
    /// Request heads that have come.
    pub heads: u64,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    Trailers,
}

impl Tap {
    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.state {
                State::Head => bytes = self.head(bytes),
                State::Body(left) | State::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    bytes = &bytes[taken as usize..];
                    self.state = match (self.state, left - taken) {
                        (State::Body(_), 0) => self.end(),
                        (State::Body(_), left) => State::Body(left),
                        (_, 0) => State::ChunkSize,
                        (_, left) => State::Chunk(left),
                    };
                }
                State::ChunkSize | State::Trailers => bytes = self.chunk_line(bytes),
            }
        }
    }

    fn end(&mut self) -> State {
        self.whole += 1;
        State::Head
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        // Empty lines before a request line are skipped (RFC 9112 §2.2).
        let bytes = if self.line.is_empty() { bytes.trim_ascii_start() } else { bytes };
        let seen = self.line.len();
        self.line.extend_from_slice(bytes);
        let from = seen.saturating_sub(3);
        let Some(at) = self.line[from..].windows(4).position(|w| w == b"\r\n\r\n") else { return &[] };
        let end = from + at + 4;
        let rest = &bytes[end - seen..];
        self.heads += 1;
        self.state = match framing(&self.line[..end]) {
            State::Body(0) => self.end(),
            other => other,
        };
        self.line.clear();
        rest
    }

    fn chunk_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some(at) = bytes.iter().position(|b| *b == b'\n') else {
            self.line.extend_from_slice(bytes);
            return &[];
        };
        self.line.extend_from_slice(&bytes[..at]);
        let line = self.line.trim_ascii();
        self.state = match self.state {
            State::Trailers if line.is_empty() => self.end(),
            State::Trailers => State::Trailers,
            _ => {
                let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                let size = std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
                match size {
                    Some(0) | None => State::Trailers,
                    Some(n) => State::Chunk(n.saturating_add(2)),
                }
            }
        };
        self.line.clear();
        &bytes[at + 1..]
    }
}

fn framing(head: &[u8]) -> State {
    let mut length = 0;
    for line in head.split(|b| *b == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding")
            && value.to_ascii_lowercase().ends_with(b"chunked")
        {
            return State::ChunkSize;
        }
    }
    State::Body(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n\
        POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
        POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwi\r\n\r\n3;x=y\r\nabc\r\n0\r\nt: 1\r\n\r\n\
        PUT /d HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf";

    proptest::proptest! {
        #[test]
        fn requests_are_counted_however_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..40, 1..60)) {
            let mut tap = Tap::default();
            let mut rest = STREAM;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                tap.feed(now);
                rest = later;
            }
            proptest::prop_assert_eq!((tap.heads, tap.whole), (4, 3));
        }
    }
}
