//! The nearest known word to one that is not known.
//!
//! Knows: how people mistype. Must not know: what the words mean.

/// The known word that `word` was most likely meant to be, if any is near.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = normal(word);
    let likeness = |k: &'a str| {
        let plain = normal(k);
        let begins = plain.chars().next() == wanted.chars().next();
        (strsim::normalized_damerau_levenshtein(&wanted, &plain), begins, k)
    };
    known
        .into_iter()
        .map(likeness)
        .filter(|(score, ..)| *score >= 0.55)
        // Of equally near ones, that which begins alike: first letters are seldom mistyped.
        .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then_with(|| b.2.cmp(a.2)))
        .map(|(.., k)| k)
}

/// Case and the choice between `-`, `_` and space are never what was meant.
fn normal(word: &str) -> String {
    word.to_lowercase().replace(['-', ' '], "_")
}

/// The end of a message about a word that is not known: the nearest one, or else the first few.
pub fn or_nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 5;
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(word, known.iter().copied()) {
        return format!("; did you mean `{near}`?");
    }
    let shown = known.iter().take(SHOWN).map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => String::new(),
        1..=SHOWN => format!("; known: {shown}"),
        n => format!("; known: {shown} and {} more", n - SHOWN),
    }
}

/// "did you mean", and the list of what there is.
pub(super) fn advice<S: AsRef<str>>(word: &str, known: &[S], what: &str) -> String {
    let all = known.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    let all = if all.is_empty() { format!("{what}: none") } else { format!("{what}: {all}") };
    match nearest(word, known.iter().map(AsRef::<str>::as_ref)) {
        Some(near) => format!("did you mean `{near}`? {all}"),
        None => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["faults", "family", "heal_at", "retry_after"];
        assert_eq!(nearest("fautls", known), Some("faults"));
        assert_eq!(nearest("Retry-After", known), Some("retry_after"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("rst", ["burst", "reset"]), Some("reset"));
    }

    #[test]
    fn what_is_near_nothing_is_told_what_there_is() {
        assert_eq!(or_nearest("cloze", ["amend", "close"]), "; did you mean `close`?");
        assert_eq!(or_nearest("7", ["18", "19"]), "; known: `18`, `19`");
        assert_eq!(
            or_nearest("x", ["1", "2", "3", "4", "5", "6", "7"]),
            "; known: `1`, `2`, `3`, `4`, `5` and 2 more"
        );
        assert_eq!(or_nearest("x", []), "");
    }
}
