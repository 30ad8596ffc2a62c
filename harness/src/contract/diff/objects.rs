//! Properties: gone, new, renamed, no longer certain; and those that are not listed.
//!
//! Knows: what presence promises in each direction. Must not know: what a property's values are.

use super::rules::*;
use super::walk::{Side, Spot, Walk};
use crate::contract::Direction;
use crate::contract::schema::{Additional, Node, Shape};

/// How many pairs of names are looked at for new names of old properties of one object: an object
/// that lost and won thousands was not renamed field by field.
const PAIRS: usize = 20_000;
/// How alike two names must be for one to be taken for the other's new name.
const LIKE: f64 = 0.6;

impl<'d> Walk<'d> {
    pub fn objects(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let (mut gone, mut come) = (Vec::new(), Vec::new());
        for name in self.names(spot.direction, old, true) {
            let spot = spot.into(name, format!("`{name}`"));
            match (property(old, name), property(new, name)) {
                (Some(o), Some(n)) if self.shown(spot.direction, &n, false) => {
                    self.presence(&spot, name, old, new);
                    self.schemas(&spot, &o, &n);
                }
                (Some(o), None) => match &new.additional {
                    // A map that keeps to a schema holds it still.
                    Additional::Schema(nodes) => {
                        self.presence(&spot, name, old, new);
                        self.schemas(&spot, &o, &Side::of(nodes, &new.at));
                    }
                    _ => gone.push(name),
                },
                _ => gone.push(name),
            }
        }
        for name in self.names(spot.direction, new, false) {
            match (property(old, name), property(new, name)) {
                (Some(o), _) if self.shown(spot.direction, &o, true) => {}
                (None, Some(n)) => match &old.additional {
                    Additional::Schema(nodes) => {
                        let spot = spot.into(name, format!("`{name}`"));
                        self.presence(&spot, name, old, new);
                        self.schemas(&spot, &Side::of(nodes, &old.at), &n);
                    }
                    _ => come.push(name),
                },
                _ => come.push(name),
            }
        }
        self.gone(spot, old, new, &gone, &mut come);
        self.come(spot, old, new, &come);
        self.others(spot, old, new);
    }

    /// The properties that go in this direction, in the order of the document.
    fn names(&self, direction: Direction, shape: &Shape<'d>, old: bool) -> Vec<&'d str> {
        let mut names: Vec<&'d str> = shape.properties.keys().copied().collect();
        names.extend(shape.required.iter().filter(|name| !shape.properties.contains_key(*name)));
        names.retain(|name| property(shape, name).is_some_and(|p| self.shown(direction, &p, old)));
        names
    }

    fn shown(&self, direction: Direction, property: &Side<'d>, old: bool) -> bool {
        let doc = if old { &self.old } else { &self.new };
        let hidden = self.hidden(direction);
        let flagged = |n: &Node<'d>| n.flag(hidden) || doc.resolve(n).is_some_and(|n| n.flag(hidden));
        !property.nodes.iter().any(flagged)
    }

    fn presence(&mut self, spot: &Spot, name: &str, old: &Shape<'d>, new: &Shape<'d>) {
        let (rule, message) = match (old.required.contains(name), new.required.contains(name)) {
            (true, false) => (
                Self::rule(spot, &PROPERTY_OPTIONAL, &SENT_OPTIONAL),
                format!("{} may be missing (was required)", spot.noun),
            ),
            (false, true) => (
                Self::rule(spot, &PROPERTY_REQUIRED, &SENT_REQUIRED),
                format!("{} is required (was optional)", spot.noun),
            ),
            _ => return,
        };
        self.find(spot, rule, &old.at, &new.at, message);
    }

    /// Reports what is gone; takes out of `come` what is only renamed.
    fn gone(
        &mut self,
        spot: &Spot,
        old: &Shape<'d>,
        new: &Shape<'d>,
        gone: &[&'d str],
        come: &mut Vec<&'d str>,
    ) {
        let few = gone.len().saturating_mul(come.len()) <= PAIRS;
        for name in gone {
            let here = spot.into(name, format!("`{name}`"));
            let Some(o) = property(old, name) else { continue };
            if few && let Some(at) = self.renamed(name, &o, new, come, gone.len() == 1) {
                let now = come.remove(at);
                let n = property(new, now).map_or_else(|| new.at.clone(), |n| n.at);
                let rule = Self::rule(spot, &PROPERTY_RENAMED, &SENT_RENAMED);
                self.find(&here, rule, &o.at, &n, format!("{} seems to be called `{now}` now", here.noun));
                continue;
            }
            let required = old.required.contains(name);
            let rule = match spot.direction {
                Direction::Response if required => &PROPERTY_REMOVED,
                Direction::Response => &OPTIONAL_REMOVED,
                Direction::Request if matches!(new.additional, Additional::Forbidden) => &SENT_REFUSED,
                Direction::Request => &SENT_REMOVED,
            };
            let was = if required { "required" } else { "optional" };
            self.find(&here, rule, &o.at, &new.at, format!("{} is gone (was {was})", here.noun));
        }
    }

    /// Which of the new properties seems to be the old one under another name.
    fn renamed(
        &self,
        name: &str,
        old: &Side<'d>,
        new: &Shape<'d>,
        come: &[&'d str],
        only: bool,
    ) -> Option<usize> {
        let bare =
            |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
        let score = |candidate: &str| {
            let Some(side) = property(new, candidate) else { return 0.0 };
            let ([o], [n]) = (old.nodes.as_slice(), side.nodes.as_slice()) else { return 0.0 };
            let (was, is) = (bare(name), bare(candidate));
            if was == is {
                return 2.0;
            }
            let like = strsim::normalized_damerau_levenshtein(&was, &is);
            let within = is.contains(&was) || was.contains(&is);
            let alone = only && come.len() == 1;
            if (like >= LIKE || within || alone) && self.alike(o, n) { 1.0 + like } else { 0.0 }
        };
        let scores = come.iter().enumerate().map(|(n, candidate)| (n, score(candidate)));
        scores.filter(|(_, s)| *s > 0.0).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(n, _)| n)
    }

    fn come(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>, come: &[&'d str]) {
        for name in come {
            let here = spot.into(name, format!("`{name}`"));
            let Some(n) = property(new, name) else { continue };
            let required = new.required.contains(name);
            let rule = match spot.direction {
                Direction::Response if matches!(old.additional, Additional::Forbidden) => &ADDED_TO_CLOSED,
                Direction::Response => &PROPERTY_ADDED,
                Direction::Request if required => &SENT_ADDED_REQUIRED,
                Direction::Request => &SENT_ADDED,
            };
            let is = if required { "required" } else { "optional" };
            self.find(&here, rule, &old.at, &n.at, format!("{} is new ({is})", here.noun));
        }
    }

    /// Properties that are not listed.
    fn others(&mut self, spot: &Spot, old: &Shape<'d>, new: &Shape<'d>) {
        let none = Vec::new();
        let nodes = |a: &Additional<'d>| match a {
            Additional::Schema(nodes) => nodes.clone(),
            _ => none.clone(),
        };
        match (&old.additional, &new.additional) {
            (Additional::Forbidden, Additional::Forbidden) => {}
            (Additional::Forbidden, _) => {
                let rule = Self::rule(spot, &ADDITIONAL_ALLOWED, &SENT_ADDITIONAL_ALLOWED);
                let message = format!("{} may have properties that are not listed", spot.noun);
                self.find(spot, rule, &old.at, &new.at, message);
            }
            (_, Additional::Forbidden) => {
                let rule = Self::rule(spot, &ADDITIONAL_FORBIDDEN, &SENT_ADDITIONAL_FORBIDDEN);
                let message = format!("{} may have no properties but those listed", spot.noun);
                self.find(spot, rule, &old.at, &new.at, message);
            }
            (Additional::Anything, Additional::Anything) => {}
            (o, n) => {
                let spot = spot.into("*", format!("a value of {}", spot.noun));
                self.schemas(&spot, &Side::of(&nodes(o), &old.at), &Side::of(&nodes(n), &new.at));
            }
        }
    }
}

/// What a property must satisfy; `None` if it is neither described nor required.
fn property<'d>(shape: &Shape<'d>, name: &str) -> Option<Side<'d>> {
    match shape.properties.get(name) {
        Some(nodes) => Some(Side::of(nodes, &shape.at)),
        None => shape.required.contains(name).then(|| Side { nodes: Vec::new(), at: shape.at.clone() }),
    }
}
