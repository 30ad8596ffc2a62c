//! Where the frames of HTTP/2 begin and end in a stream of bytes (RFC 9113 §4.1).
//!
//! Knows: frame headers. Must not know: what a frame carries, or who reads it.

/// What a server reads first on a connection that speaks HTTP/2 (RFC 9113 §3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 §6).
pub(crate) mod kind {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
}

/// Flag of DATA and HEADERS: the sender has no more to say on this stream.
pub(crate) const END_STREAM: u8 = 0x1;

/// Flag of HEADERS and CONTINUATION: the fields are whole.
pub(crate) const END_HEADERS: u8 = 0x4;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Bytes that follow the header.
    pub length: u32,
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream it is on; zero for the connection.
    pub stream: u32,
}

impl Frame {
    fn read(header: [u8; 9]) -> Frame {
        let [a, b, c, kind, flags, stream @ ..] = header;
        let length = u32::from_be_bytes([0, a, b, c]);
        Frame { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff }
    }

    /// Whether its sender has no more to say on the stream once the fields are whole.
    pub fn ends_stream(self) -> bool {
        matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0
    }

    /// Whether it is HEADERS or CONTINUATION, and the fields go on in another frame.
    pub fn is_unfinished(self) -> bool {
        matches!(self.kind, kind::HEADERS | kind::CONTINUATION) && self.flags & END_HEADERS == 0
    }
}

/// GOAWAY (RFC 9113 §6.8) without an error: streams after `last` were not, and will not be,
/// processed.
pub(crate) fn goaway(last: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, 8, kind::GOAWAY, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&last.to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; 9],
    have: usize,
    left: u32,
}

impl Frames {
    /// Takes the next bytes; tells `each` of a frame when its last byte has come.
    pub fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.have < self.header.len() {
                let taken = (self.header.len() - self.have).min(bytes.len());
                self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
                self.have += taken;
                bytes = &bytes[taken..];
                if self.have < self.header.len() {
                    return;
                }
                self.left = Frame::read(self.header).length;
            }
            let taken = (self.left as usize).min(bytes.len());
            bytes = &bytes[taken..];
            self.left -= taken as u32;
            if self.left == 0 {
                self.have = 0;
                each(Frame::read(self.header));
            }
        }
    }

    /// Whether no frame is begun.
    pub fn is_between(&self) -> bool {
        self.have == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes
    }

    proptest::proptest! {
        #[test]
        fn frames_are_found_however_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..40, 1..60)) {
            let bytes = [
                frame(4, 0, 0, b""),
                frame(kind::HEADERS, END_HEADERS, 1, &[7; 33]),
                // The highest bit is reserved, and says nothing.
                frame(kind::DATA, END_STREAM, 0x8000_0001, &[9; 300]),
                goaway(1),
            ]
            .concat();
            let (mut frames, mut seen, mut rest) = (Frames::default(), Vec::new(), &bytes[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                frames.feed(now, |f| seen.push((f.kind, f.length, f.stream, f.ends_stream())));
                rest = later;
            }
            let whole = [(4, 0, 0, false), (1, 33, 1, false), (0, 300, 1, true), (7, 8, 0, false)];
            proptest::prop_assert_eq!(seen, whole);
            proptest::prop_assert!(frames.is_between());
        }
    }
}
