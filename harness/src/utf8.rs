//! Bytes that a person wrote as text, and where they are none.
//!
//! Knows: UTF-8, lines and columns. Must not know: files, or what the text says.

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
    std::str::from_utf8(bytes).map_err(|e| {
        let (before, rest) = bytes.split_at(e.valid_up_to());
        let before = String::from_utf8_lossy(before);
        NotUtf8 {
            byte: rest.first().copied().unwrap_or_default(),
            line: before.matches('\n').count() + 1,
            column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        }
    })
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
    }
}
