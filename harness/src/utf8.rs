//! Bytes that a person wrote as text, and where they are none.
//!
//! Knows: UTF-8, lines and columns. Must not know: files, or what the text says.

use std::str::Utf8Error;

/// The first byte that keeps bytes from being UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the byte {byte:#04x} is not UTF-8")]
pub(crate) struct NotUtf8 {
    /// The byte.
    pub byte: u8,
    /// Its line, from 1.
    pub line: usize,
    /// Its column in characters, from 1.
    pub column: usize,
}

/// The text that `bytes` are.
///
/// # Errors
/// Where they are not UTF-8.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, NotUtf8> {
    std::str::from_utf8(bytes).map_err(|e| not_utf8(bytes, e))
}

/// As [`text`], of bytes that nobody else needs.
///
/// # Errors
/// As [`text`].
pub(crate) fn owned(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    String::from_utf8(bytes).map_err(|e| not_utf8(e.as_bytes(), e.utf8_error()))
}

fn not_utf8(bytes: &[u8], error: Utf8Error) -> NotUtf8 {
    let (before, rest) = bytes.split_at(error.valid_up_to());
    let (line, column) = place(&String::from_utf8_lossy(before), before.len());
    NotUtf8 { byte: rest.first().copied().unwrap_or_default(), line, column }
}

/// Line, and column in characters, of the byte `offset` of a text, both from 1.
pub(crate) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    (line, characters(&before[start..]) + 1)
}

/// Line, and column in characters, of what serde_json found wrong in a text; it counts in bytes.
pub(crate) fn json_place(text: &str, error: &serde_json::Error) -> (usize, usize) {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default().as_bytes();
    // The column is that of the last byte that was read; 0 at the very beginning of a line.
    (error.line().max(1), characters(&line[..error.column().min(line.len())]).max(1))
}

/// The byte after the last that serde_json read of a text.
pub(crate) fn json_offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (before + error.column()).min(text.len())
}

/// The byte after the JSON text that begins at `start`; the end of all, if it is cut short.
pub(crate) fn json_text_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &bytes[at.min(bytes.len())..]) {
        at += found;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

/// How many characters begin in these bytes.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|b| **b & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_is_named_with_its_line_and_its_column_in_characters() {
        assert_eq!(text("é".as_bytes()), Ok("é"));
        let told = text(b"a: 1\nb: \xc3\xa9\xff\n").unwrap_err();
        assert_eq!((told.line, told.column), (2, 5));
        assert_eq!(told.to_string(), "the byte 0xff is not UTF-8");
        assert_eq!(text(b"\xe2\x82").unwrap_err(), NotUtf8 { byte: 0xe2, line: 1, column: 1 });
        assert_eq!(owned(b"\xc3\xa9\xff".to_vec()), Err(NotUtf8 { byte: 0xff, line: 1, column: 2 }));
        assert_eq!(owned("é".into()), Ok("é".to_owned()));
    }

    #[test]
    fn a_place_is_told_in_characters_whoever_counted() {
        let said = "é\né: ü";
        assert_eq!(place(said, 0), (1, 1));
        assert_eq!(place(said, said.find(':').unwrap()), (2, 2));
        assert_eq!(place(said, usize::MAX), (2, 5));
        let place =
            |text: &str| json_place(text, &serde_json::from_str::<serde_json::Value>(text).unwrap_err());
        assert_eq!(place("[\n \"é\" x]"), (2, 6));
        assert_eq!(place("[\"é\", ü]"), (1, 7));
        assert_eq!(place("[\n"), (2, 1));
        assert_eq!(place(""), (1, 1));
    }
}
