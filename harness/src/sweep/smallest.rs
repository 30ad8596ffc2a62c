//! Making a scenario smaller while it still shows the same.
//!
//! Knows: which parts of a scenario can go. Must not know: what it is to show.

use super::Cell;
use crate::fault::Target;
use crate::scenario::{Family, Scenario};

/// The smallest scenario that still `shows` it, by taking parts away one at a time.
pub(super) fn shrink(scenario: Scenario, shows: impl Fn(&Scenario) -> bool) -> Scenario {
    let mut small = scenario;
    // Records first: they are what a run costs.
    let places: Vec<String> = small.given.keys().cloned().collect();
    for place in &places {
        for count in [1, 2] {
            let mut fewer = small.clone();
            let Some(given) = fewer.given.get_mut(place).filter(|g| g.count > count) else { continue };
            given.count = count;
            for values in given.each.values_mut() {
                values.truncate(count as usize);
            }
            if shows(&fewer) {
                small = fewer;
                break;
            }
        }
    }
    let mut index = small.workload.len();
    while index > 0 && small.workload.len() > 1 {
        index -= 1;
        let mut fewer = small.clone();
        fewer.workload.remove(index);
        if shows(&fewer) {
            small = fewer;
        }
    }
    small
}

/// The scenario with a story of its own.
pub(super) fn told(scenario: Scenario, cell: &Cell) -> Scenario {
    let what = match &cell.on {
        Target::Webhook { .. } => "webhooks",
        _ => "answers",
    };
    Scenario {
        drill: format!("Nothing wrong is written when `{}` drifts: {}", cell.on, cell.mutation),
        why: format!(
            "The vendor's {what} changed without notice, and the drift sweep found that it goes wrong."
        ),
        family: Family::Drift,
        ..scenario
    }
}
