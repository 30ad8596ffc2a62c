//! A line of somebody else's recording, pointed at.
//!
//! Knows: how a line of JSON, however long, is cut to what fits, and what of it may be shown: a recording
//! is full of secrets, so that of a text which is no name only the fewest characters are. Must not know:
//! what is wrong with it.

use std::ops::Range;

use super::clip;
use crate::fixture::displayable;
use crate::utf8;

/// Columns for the line itself.
const ROOM: usize = 72;

/// How many bytes about the place are looked at.
const AROUND: usize = 400;

/// The longest text that is shown, in characters; and the longest name.
const TEXT: usize = 12;
const NAME: usize = 40;

/// The line of `text` with a caret under the place, both counted from 1 and in characters.
pub(crate) fn pointed(text: &str, line: usize, column: usize) -> String {
    let Some(whole) = text.split('\n').nth(line.saturating_sub(1)) else { return String::new() };
    let whole = whole.strip_suffix('\r').unwrap_or(whole);
    let at = whole.char_indices().nth(column.saturating_sub(1)).map_or(whole.len(), |(at, _)| at);
    let (mut shown, mut caret) = (String::new(), 0..0);
    let mut after = 0;
    for (piece, kind) in pieces(whole) {
        let here = piece.contains(&at) || (at == whole.len() && piece.end == at);
        if piece.end + AROUND < at || piece.start > at + AROUND {
            continue;
        }
        let from = shown.chars().count();
        match kind {
            Kind::Between => {
                let raw = &whole[piece.clone()];
                let (before, rest) = if here { raw.split_at(at - piece.start) } else { (raw, "") };
                shown.push_str(&displayable(before));
                if here {
                    let begin = shown.chars().count();
                    let word =
                        rest.chars().take_while(|c| !c.is_whitespace() && !"{}[],:".contains(*c)).count();
                    caret = begin..begin + word.max(1);
                    shown.push_str(&displayable(rest));
                }
            }
            Kind::Name | Kind::Text => {
                shown.push_str(&quoted(&whole[piece.clone()], if kind == Kind::Name { NAME } else { TEXT }));
                if here {
                    caret = from..shown.chars().count();
                }
            }
        }
        after = piece.end;
    }
    if caret.is_empty() {
        let end = shown.chars().count();
        caret = end..end + 1;
    }
    let cut = after < whole.len();
    draw(&shown, caret, line, cut)
}

fn draw(shown: &str, caret: Range<usize>, line: usize, cut: bool) -> String {
    // What comes before the place is cut, if it leaves no room for it.
    let left = if caret.start > ROOM * 2 / 3 { caret.start - ROOM / 2 } else { 0 };
    let (lead, skipped) = if left > 0 { ("…", left) } else { ("", 0) };
    let mut visible: String = shown.chars().skip(skipped).collect();
    visible.push_str(if cut && visible.chars().count() < ROOM - 1 { "…" } else { "" });
    let start = caret.start - skipped + lead.len().min(1);
    let visible = clip(&format!("{lead}{visible}"), ROOM);
    let length = caret.len().min(ROOM.saturating_sub(start)).max(1);
    let number = line.to_string();
    format!("{0:1$} |\n{number} | {visible}\n{0:1$} | {0:start$}{2}\n", "", number.len(), "^".repeat(length))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The name of a member.
    Name,
    /// Any other text.
    Text,
    /// Numbers, words, brackets.
    Between,
}

/// A line of JSON by its texts and what stands between them; no text of JSON goes over a line's end.
fn pieces(line: &str) -> impl Iterator<Item = (Range<usize>, Kind)> {
    let bytes = line.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        if start == bytes.len() {
            return None;
        }
        if bytes[start] != b'"' {
            at += memchr::memchr(b'"', &bytes[start..]).unwrap_or(bytes.len() - start);
            return Some((start..at, Kind::Between));
        }
        at = utf8::json_text_end(bytes, start);
        let is_name = bytes[at..].trim_ascii_start().first() == Some(&b':');
        Some((start..at, if is_name { Kind::Name } else { Kind::Text }))
    })
}

/// A text with its quotes, if it is short and tells nothing.
fn quoted(text: &str, longest: usize) -> String {
    let shown = displayable(text);
    if text.chars().count() <= longest + 2 && shown == text { shown } else { "\"…\"".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_under_the_caret_however_long_the_line_and_no_value_is_shown() {
        let line = r#"  "request": { "method": 7, "url": "https://api.shop.test/a?token=abcdefgh1234" },"#;
        let column = |of: &str, line: &str| line[..line.find(of).unwrap()].chars().count() + 1;
        let long =
            format!("[{}{line}{}", "\"ü\", ".repeat(5_000), " \"sk_live_0123456789abcdef\",".repeat(5_000));
        let shown = [
            pointed(line, 1, column("7", line)),
            pointed(line, 1, column("https", line)),
            pointed(&long, 1, column("\"method", &long)),
            pointed("[1,\n [2, \"cut sho", 2, 14),
            pointed("{}\n", 2, 1),
        ];
        insta::assert_snapshot!(shown.concat());
        assert_eq!(pointed("{}", 7, 1), "");
    }
}
