//! An independent count of the requests that came over a connection, from its raw bytes.
//!
//! Knows: where a request ends, over HTTP/1.1 (RFC 9112 §6) and over HTTP/2 (RFC 9113 §8.1). Must
//! not know: what it says. It exists so that a request the server lost, or counted twice, is noticed.

use super::frames::{Frame, Frames, PREFACE, kind};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Counts whole requests in a stream of bytes, once it is known which protocol they speak.
pub(crate) enum Tap {
    /// Nothing is known yet, and nothing counted.
    Closed,
    /// HTTP/1.1.
    Http1(Messages),
    /// HTTP/2.
    Http2(Streams),
}

impl Tap {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        match self {
            Tap::Closed => {}
            Tap::Http1(messages) => messages.feed(bytes),
            Tap::Http2(streams) => streams.feed(bytes),
        }
    }

    /// Requests that have come whole.
    pub fn whole(&self) -> u64 {
        match self {
            Tap::Closed => 0,
            Tap::Http1(messages) => messages.whole,
            Tap::Http2(streams) => streams.whole,
        }
    }

    /// Whether a request has begun to come and is not whole.
    pub fn is_midway(&self) -> bool {
        match self {
            Tap::Closed => false,
            Tap::Http1(messages) => !matches!(messages.state, State::Head) || !messages.line.is_empty(),
            Tap::Http2(streams) => streams.whole < streams.heads || streams.is_within_preface(),
        }
    }

    /// What there is of the head of a request over HTTP/1.1 that is not whole.
    pub fn part_of_a_head(&self) -> Option<&[u8]> {
        match self {
            Tap::Http1(Messages { state: State::Head, line, .. }) if !line.is_empty() => Some(line),
            _ => None,
        }
    }

    /// Request heads that have come.
    pub fn heads(&self) -> u64 {
        match self {
            Tap::Closed => 0,
            Tap::Http1(messages) => messages.heads,
            Tap::Http2(streams) => streams.heads,
        }
    }
}

/// Counts HTTP/2 requests: HEADERS open a stream, END_STREAM makes the request whole.
#[derive(Default)]
pub(crate) struct Streams {
    /// Bytes of the preface that have come.
    begun: usize,
    frames: Frames,
    last: u32,
    /// A request without a body whose fields go on in a CONTINUATION.
    ending: bool,
    whole: u64,
    heads: u64,
}

impl Streams {
    fn is_within_preface(&self) -> bool {
        (1..PREFACE.len()).contains(&self.begun)
    }

    fn feed(&mut self, bytes: &[u8]) {
        let preface = (PREFACE.len() - self.begun).min(bytes.len());
        self.begun += preface;
        let Streams { frames, last, ending, whole, heads, .. } = self;
        frames.feed(&bytes[preface..], |frame: Frame| {
            if frame.kind == kind::HEADERS && frame.stream > *last {
                *last = frame.stream;
                *heads += 1;
            }
            *ending |= frame.ends_stream();
            if *ending && !frame.is_unfinished() {
                *ending = false;
                *whole += 1;
            }
        });
    }
}

/// Counts HTTP/1.1 requests.
#[derive(Default)]
pub(crate) struct Messages {
    state: State,
    line: Vec<u8>,
    whole: u64,
    heads: u64,
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

impl Messages {
    fn feed(&mut self, mut bytes: &[u8]) {
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
        if self.line.is_empty()
            && let Some(at) = memchr::memmem::find(bytes, END_OF_HEAD)
        {
            let (head, rest) = bytes.split_at(at + END_OF_HEAD.len());
            self.head_came(framing(head));
            return rest;
        }
        let seen = self.line.len();
        self.line.extend_from_slice(bytes);
        let from = seen.saturating_sub(END_OF_HEAD.len() - 1);
        let Some(at) = memchr::memmem::find(&self.line[from..], END_OF_HEAD) else { return &[] };
        let end = from + at + END_OF_HEAD.len();
        let rest = &bytes[end - seen..];
        self.head_came(framing(&self.line[..end]));
        self.line.clear();
        rest
    }

    fn head_came(&mut self, body: State) {
        self.heads += 1;
        self.state = match body {
            State::Body(0) => self.end(),
            other => other,
        };
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
    let mut lines = head;
    while let Some(end) = memchr::memchr(b'\n', lines) {
        let line = &lines[..end];
        lines = &lines[end + 1..];
        // Most lines are told apart by their first letter.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            continue;
        }
        if let Some(value) = value(line, b"content-length:") {
            length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok()).unwrap_or(0);
        } else if let Some(value) = value(line, b"transfer-encoding:")
            && value.to_ascii_lowercase().ends_with(b"chunked")
        {
            return State::ChunkSize;
        }
    }
    State::Body(length)
}

/// What follows `name` in a line that begins with it.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n\
        POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\na\r\n\r\n\
        POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwi\r\n\r\n3;x=y\r\nabc\r\n0\r\nt: 1\r\n\r\n\
        POST /e HTTP/1.1\r\ntransfer-encoding: gzip, Chunked\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n\
        PUT /d HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf";

    /// Feeds `stream` in pieces of these sizes, over and over.
    fn counted(mut tap: Tap, stream: &[u8], cuts: &[usize]) -> (u64, u64) {
        let mut rest = stream;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            tap.feed(now);
            rest = later;
        }
        (tap.heads(), tap.whole())
    }

    /// A frame of this kind, with these flags, on this stream, with some bytes in it.
    fn frame(kind: u8, flags: u8, stream: u8) -> Vec<u8> {
        vec![0, 0, 3, kind, flags, 0, 0, 0, stream, b'a', b'b', b'c']
    }

    fn streams() -> Vec<u8> {
        let frames = [
            frame(4, 0, 0),
            // A GET, and one whose fields go on.
            frame(1, 0x5, 1),
            frame(1, 0x1, 3),
            frame(9, 0x0, 3),
            frame(9, 0x4, 3),
            // A POST with two pieces of body, another with trailers, and one that never ends.
            frame(1, 0x4, 5),
            frame(1, 0x4, 7),
            frame(0, 0x0, 5),
            frame(0, 0x0, 7),
            frame(0, 0x1, 5),
            frame(1, 0x5, 7),
            frame(1, 0x4, 9),
            frame(0, 0x0, 9),
            frame(8, 0x1, 0),
            // And one whose fields never come to their end.
            frame(1, 0x1, 11),
        ];
        [PREFACE, &frames.concat()].concat()
    }

    proptest::proptest! {
        #[test]
        fn requests_are_counted_however_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..40, 1..60)) {
            let (one, two) = (Tap::Http1(Messages::default()), Tap::Http2(Streams::default()));
            proptest::prop_assert_eq!(counted(one, STREAM, &cuts), (5, 4));
            proptest::prop_assert_eq!(counted(two, &streams(), &cuts), (6, 4));
        }
    }

    #[test]
    fn a_request_whose_fields_go_on_is_whole_with_the_last_of_them() {
        let mut tap = Tap::Http2(Streams::default());
        tap.feed(PREFACE);
        let mut whole_after = |frame: Vec<u8>| {
            tap.feed(&frame);
            tap.whole()
        };
        assert_eq!(whole_after(frame(1, 0x1, 1)), 0);
        assert_eq!(whole_after(frame(9, 0x0, 1)), 0);
        assert_eq!(whole_after(frame(9, 0x4, 1)), 1);
        // Fields that go on, of a request with a body.
        assert_eq!(whole_after(frame(1, 0x0, 3)), 1);
        assert_eq!(whole_after(frame(9, 0x4, 3)), 1);
        assert_eq!(whole_after(frame(0, 0x1, 3)), 2);
    }
}
