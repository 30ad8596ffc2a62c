//! A part of all drills, so that several machines share them.
//!
//! Knows: arithmetic. Must not know: drills.

use std::num::NonZeroUsize;
use std::str::FromStr;

/// The `part`th of `parts`, counted from one: every drill is in exactly one part, and neighbours
/// (which are of one family, and alike in length) fall into different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    part: NonZeroUsize,
    parts: NonZeroUsize,
}

impl Partition {
    /// What of `all` is in this part, in order.
    pub fn of<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.part.get() - 1).step_by(self.parts.get()).collect()
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Partition, String> {
        let bad = || format!("`{text}` is not a part; write `2/8` for the second of eight");
        let (part, parts) = text.split_once('/').ok_or_else(bad)?;
        let number = |t: &str| t.trim().parse::<NonZeroUsize>().map_err(|_| bad());
        let (part, parts) = (number(part)?, number(parts)?);
        if part > parts {
            return Err(format!("there is no part {part} of {parts}; parts count from 1 to {parts}"));
        }
        Ok(Partition { part, parts })
    }
}

impl std::fmt::Display for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.part, self.parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_parts_are_told_apart() {
        assert!("0/3".parse::<Partition>().unwrap_err().contains("write `2/8`"));
        assert!("4/3".parse::<Partition>().unwrap_err().contains("from 1 to 3"));
        assert!("2".parse::<Partition>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn every_drill_is_in_exactly_one_part(drills in 0usize..200, parts in 1usize..20) {
            let mut all = Vec::new();
            for part in 1..=parts {
                all.extend(format!("{part}/{parts}").parse::<Partition>().unwrap().of((0..drills).collect()));
            }
            all.sort_unstable();
            proptest::prop_assert_eq!(all, (0..drills).collect::<Vec<_>>());
        }
    }
}
