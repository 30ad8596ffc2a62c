//! What `record` and `import` have in common: names, rules, and what is said of what was held back.
//!
//! Knows: the folders of fixtures. Must not know: where exchanges come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::Keep;
use super::console::Console;
use crate::fixture::{Doubt, Rules, Suspect};
use crate::report::count;
use crate::scenario::Mistake;

impl Keep {
    /// Why a file cannot be called so.
    pub(super) fn mistake(&self) -> Option<String> {
        let bad = |name: &str| {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            name.is_empty() || name.starts_with('.') || !name.chars().all(good)
        };
        let what = [("--vendor", Some(&self.vendor)), ("--name", self.name.as_ref())];
        what.into_iter().filter_map(|(option, name)| Some((option, name?))).find(|(_, name)| bad(name)).map(
            |(option, name)| {
                format!("`{option} {name}` cannot name a file: use letters, digits, `.`, `-` and `_`")
            },
        )
    }

    /// The project's rules, and the file that a new rule belongs into.
    pub(super) fn rules(&self) -> Result<(Rules, PathBuf), Mistake> {
        if let Some(file) = &self.redact {
            return Ok((Rules::read(file)?, file.clone()));
        }
        let files = [self.out.join("redact.yaml"), self.out.join(&self.vendor).join("redact.yaml")];
        let mut rules = Rules::default();
        let mut last = files[0].clone();
        for file in files {
            if file.exists() {
                rules = rules.and(Rules::read(&file)?);
                last = file;
            }
        }
        Ok((rules, last))
    }
}

/// Says why an exchange was held back, and what to do.
pub(super) fn held_back(console: &mut Console<'_>, what: &str, suspects: &[Suspect], rules: &Path) {
    const SHOWN: usize = 5;
    let mut text = format!("HELD BACK  {what}\n");
    for suspect in suspects.iter().take(SHOWN) {
        text += &format!("    {}: looks like {}\n", suspect.at, suspect.looks_like);
        text += &format!("        take it out with      {}\n", suspect.rule);
        text += &format!("        or let it stay with   {}\n", suspect.keep);
    }
    if suspects.len() > SHOWN {
        text += &format!("    and {} more\n", suspects.len() - SHOWN);
    }
    text += &format!("    in {}\n", rules.display());
    console.say(&text);
}

/// Says what looks random and was kept all the same, and how to have such held back.
pub(super) fn kept_in_doubt(console: &mut Console<'_>, doubts: &BTreeMap<Doubt, usize>, rules: &Path) {
    const SHOWN: usize = 5;
    let all: usize = doubts.values().sum();
    if all == 0 {
        return;
    }
    let (were, they) = match all {
        1 => ("was", "it may be an id or a hash, or a key"),
        _ => ("were", "they may be ids or hashes, or keys"),
    };
    let random = count(all, "random-looking value");
    let mut text = format!("note: {random} {were} kept: {they}\n");
    for (Doubt { at, looks_like }, times) in doubts.iter().take(SHOWN) {
        let times = if *times > 1 { format!(", {times} times") } else { String::new() };
        text += &format!("    {at}: {looks_like}{times}\n");
    }
    if doubts.len() > SHOWN {
        text += &format!("    and {}\n", count(doubts.len() - SHOWN, "more place"));
    }
    text += &format!(
        "    `strict: true` in {} holds such back; a line of `keep` there lets one stay\n",
        rules.display()
    );
    console.say(&text);
}
