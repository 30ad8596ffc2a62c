//! All the mistakes of a file that are independent of each other, not only the first.
//!
//! Knows: how to take a mistake out of a tree, so that the rest of it can be read. Must not know: what the
//! tree is read as.
//!
//! A misspelt key is read as the key that it was most likely meant to be, since what it says may be needed;
//! what is wrong under such a guess is not told. Nor is what is missing because it was taken out.

use super::nearest;
use super::text::Mistake;
use super::yaml::{Data, Node, Place};

/// Mistakes that are told at once: who made more will run it again anyhow.
const MOST: usize = 10;

/// The mistakes in `root`, of which `first` is the first that `read` meets, in the order of the file.
pub(super) fn of<T>(root: &Node, first: Mistake, read: impl Fn(&Node) -> Result<T, Mistake>) -> Vec<Mistake> {
    let mut root = root.clone();
    let mut told = vec![first];
    let mut guesses: Vec<Place> = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    let mut at = mend(&mut root, &told[0], &mut guesses, &mut taken);
    while at && told.len() < MOST {
        let Err(mistake) = read(&root) else { break };
        let place = place(&mistake);
        if let Some(guess) =
            guesses.iter().position(|key| under(&root, *key).is_some_and(|n| holds(n, place)))
        {
            at = take(&mut root, guesses.remove(guess), Meant::Innermost, &mut taken);
            continue;
        }
        let known = told.iter().any(|m| (m.line, m.column) == (mistake.line, mistake.column));
        let follows = mistake.lacks().is_some_and(|key| taken.iter().any(|t| nearest(t, [key]).is_some()));
        if known {
            break;
        }
        // What it was taken out of cannot be read without it.
        if follows {
            at = place != root.place && take(&mut root, place, Meant::Outermost, &mut taken);
            continue;
        }
        // Of a whole map or list nothing is said any more: it may well follow from what was mended.
        let plain = is_key(&mistake) || is_scalar(&root, place);
        at = mend(&mut root, &mistake, &mut guesses, &mut taken);
        told.extend(plain.then_some(mistake));
    }
    told.sort_by_key(|m| (m.line, m.column));
    told
}

/// Whether it is a key that is wrong.
fn is_key(mistake: &Mistake) -> bool {
    mistake.message.ends_with(" is not a key here")
}

/// Whether a text, a number or the like stands at `at`, and nothing else.
fn is_scalar(node: &Node, at: Place) -> bool {
    match &node.data {
        Data::Map(pairs) => {
            node.place != at
                && pairs.iter().all(|(key, _)| key.place != at)
                && pairs.iter().any(|(_, value)| is_scalar(value, at))
        }
        Data::List(items) => node.place != at && items.iter().any(|item| is_scalar(item, at)),
        _ => is_at(node, at),
    }
}

fn place(mistake: &Mistake) -> Place {
    Place { line: mistake.line, column: mistake.column }
}

/// Mends what `mistake` is about, or takes it out; whether there was such a thing.
fn mend(root: &mut Node, mistake: &Mistake, guesses: &mut Vec<Place>, taken: &mut Vec<String>) -> bool {
    let at = place(mistake);
    let meant =
        mistake.help.as_deref().and_then(|help| help.strip_prefix("did you mean `")?.split('`').next());
    if let Some(meant) = meant.filter(|_| is_key(mistake))
        && rename(root, at, meant)
    {
        guesses.push(at);
        return true;
    }
    // What lacks something is pointed at where it begins, as its first key is.
    let meant = if mistake.lacks().is_some() { Meant::Outermost } else { Meant::Innermost };
    take(root, at, meant, taken)
}

fn children(node: &mut Node) -> Vec<&mut Node> {
    match &mut node.data {
        Data::Map(pairs) => pairs.iter_mut().map(|(_, value)| value).collect(),
        Data::List(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    }
}

/// Gives the key at `at` another name, unless that is there already.
fn rename(node: &mut Node, at: Place, meant: &str) -> bool {
    if let Data::Map(pairs) = &mut node.data
        && let Some(n) = pairs.iter().position(|(key, _)| key.place == at)
    {
        let free = pairs.iter().all(|(key, _)| key.name != meant);
        if free {
            pairs[n].0.name = meant.to_owned();
        }
        return free;
    }
    children(node).into_iter().any(|child| rename(child, at, meant))
}

/// Which of the values that begin at one place is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meant {
    Innermost,
    Outermost,
}

/// Takes the key or value at `at` out, and with it what would be left empty.
fn take(node: &mut Node, at: Place, meant: Meant, taken: &mut Vec<String>) -> bool {
    if meant == Meant::Outermost && take_here(node, at, taken) {
        return true;
    }
    match &mut node.data {
        Data::Map(pairs) => {
            if let Some(n) = pairs.iter_mut().position(|(_, value)| take(value, at, meant, taken)) {
                if is_empty(&pairs[n].1) {
                    taken.push(pairs.remove(n).0.name);
                }
                return true;
            }
        }
        Data::List(items) => {
            if let Some(n) = items.iter_mut().position(|item| take(item, at, meant, taken)) {
                if is_empty(&items[n]) {
                    items.remove(n);
                }
                return true;
            }
        }
        _ => {}
    }
    take_here(node, at, taken)
}

fn is_empty(node: &Node) -> bool {
    match &node.data {
        Data::Map(pairs) => pairs.is_empty(),
        Data::List(items) => items.is_empty(),
        _ => false,
    }
}

fn take_here(node: &mut Node, at: Place, taken: &mut Vec<String>) -> bool {
    match &mut node.data {
        Data::Map(pairs) => {
            let found = pairs.iter().position(|(key, value)| key.place == at || is_at(value, at));
            if let Some(n) = found {
                taken.push(pairs.remove(n).0.name);
            }
            found.is_some()
        }
        Data::List(items) => {
            let found = items.iter().position(|item| is_at(item, at));
            if let Some(n) = found {
                items.remove(n);
            }
            found.is_some()
        }
        _ => false,
    }
}

/// Whether `at` is where the value begins, or lies in its text.
fn is_at(value: &Node, at: Place) -> bool {
    let inside = value.place.line == at.line
        && (value.place.column..value.place.column + value.raw.chars().count()).contains(&at.column);
    value.place == at || inside
}

/// The value of the key at `key`.
fn under(node: &Node, key: Place) -> Option<&Node> {
    match &node.data {
        Data::Map(pairs) => {
            let here = pairs.iter().find(|(k, _)| k.place == key).map(|(_, value)| value);
            here.or_else(|| pairs.iter().find_map(|(_, value)| under(value, key)))
        }
        Data::List(items) => items.iter().find_map(|item| under(item, key)),
        _ => None,
    }
}

/// Whether `at` is a place in `node`.
fn holds(node: &Node, at: Place) -> bool {
    let within = match &node.data {
        Data::Map(pairs) => pairs.iter().any(|(key, value)| key.place == at || holds(value, at)),
        Data::List(items) => items.iter().any(|item| holds(item, at)),
        _ => false,
    };
    within || is_at(node, at)
}

#[cfg(test)]
mod tests {
    use crate::scenario::Document;

    fn told(text: &str) -> Vec<String> {
        let document = Document::read("x.yaml", text.as_bytes()).unwrap();
        let Err(mistakes) = document.whole_scenario() else { return Vec::new() };
        mistakes.iter().map(|m| format!("{}:{} {}", m.line, m.column, m.message)).collect()
    }

    const STORY: &str = "drill: d\nwhy: w\nfamily: other\nvendors: { crm: hubspot }\n";

    #[test]
    fn what_is_missing_because_it_was_misspelt_is_told_once() {
        let text = STORY.replace("family", "famliy") + "heel_at: 1m\n";
        assert_eq!(told(&text), ["3:1 `famliy` is not a key here", "5:1 `heel_at` is not a key here"]);
    }

    #[test]
    fn what_is_wrong_under_a_guess_is_not_told() {
        let text = STORY.to_owned() + "expcet: { webhook: 7 }\nends: 1m\n";
        assert_eq!(told(&text), ["5:1 `expcet` is not a key here", "6:1 `ends` is not a key here"]);
    }

    #[test]
    fn what_needs_a_wrong_value_is_left_out_with_it() {
        let text = STORY.to_owned() + "expect:\n  converges: { within: soon }\n  timeout: { overal: 1s }\n";
        let told = told(&text);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("6:24 ") && told[1].starts_with("7:14 `overal`"), "{told:?}");
    }

    #[test]
    fn of_what_may_follow_from_a_first_mistake_nothing_is_told() {
        let text = STORY.to_owned()
            + "faults:\n  - on: crm\n    share: lots\n    do: { error: [1], drift: { remove: x } }\n  - do: garbage\n";
        let told = told(&text);
        assert!(told.len() == 1 && told[0].starts_with("7:12 "), "{told:?}");
    }

    #[test]
    fn a_flood_of_mistakes_is_cut_off() {
        let text: String = (0..30).map(|n| format!("zzz{n}: 1\n")).collect();
        assert_eq!(told(&(STORY.to_owned() + &text)).len(), super::MOST);
    }
}
