//! The little statistics that judging jitter needs.
//!
//! Knows: Kolmogorov–Smirnov distances and a bound on false alarms that holds for every sample
//! size. Must not know: what the samples are.

/// The chance of a false alarm that one judgement may have in all.
pub(super) const FALSE_ALARM: f64 = 1e-6;

/// How far an empirical distribution of `n` samples may stray to one side of the true one, but for
/// a chance of `alpha` (Dvoretzky–Kiefer–Wolfowitz inequality with Massart's constant, 1990).
pub(super) fn bound(n: usize, alpha: f64) -> f64 {
    ((1.0 / alpha).ln() / (2.0 * n.max(1) as f64)).sqrt()
}

/// How many samples make `bound` smaller than `distance`.
pub(super) fn needed(distance: f64, alpha: f64) -> usize {
    ((1.0 / alpha).ln() / (2.0 * distance * distance)).floor() as usize + 1
}

/// The largest distance by which the samples lie below the uniform distribution on
/// `(from, 1)`: large when there are too many small ones.
pub(super) fn too_small(samples: &mut [f64], from: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let n = samples.len() as f64;
    let gaps = samples.iter().enumerate().map(|(i, u)| (i as f64 + 1.0) / n - uniform(*u, from));
    gaps.fold(0.0, f64::max)
}

/// The largest distance by which they lie above it: large when there are too many large ones.
pub(super) fn too_large(samples: &mut [f64], from: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let n = samples.len() as f64;
    let gaps = samples.iter().enumerate().map(|(i, u)| uniform(*u, from) - i as f64 / n);
    gaps.fold(0.0, f64::max)
}

fn uniform(u: f64, from: f64) -> f64 {
    ((u - from) / (1.0 - from)).clamp(0.0, 1.0)
}

/// The middle of the samples; zero if there are none.
pub(super) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// The share of samples that lie within `width` of the most crowded place.
pub(super) fn crowding(samples: &[f64], width: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut from = 0;
    let mut most = 0;
    for to in 0..sorted.len() {
        while sorted[to] - sorted[from] > width {
            from += 1;
        }
        most = most.max(to + 1 - from);
    }
    most as f64 / sorted.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use rand::RngExt;

    #[test]
    fn uniform_samples_stay_within_the_bound() {
        for seed in 0..2_000 {
            let mut rng = Seed(seed).stream("stats");
            let n = 8 + (seed as usize % 200);
            let mut samples: Vec<f64> = (0..n).map(|_| rng.random::<f64>()).collect();
            let limit = bound(n, FALSE_ALARM);
            assert!(too_small(&mut samples, 0.0) < limit, "seed {seed}");
            assert!(too_large(&mut samples, 0.0) < limit, "seed {seed}");
        }
    }

    #[test]
    fn samples_at_one_end_leave_the_bound() {
        let mut zeros = vec![0.0; 10];
        assert!(too_small(&mut zeros, 0.0) > bound(10, FALSE_ALARM));
        let mut ones = vec![1.0; 10];
        assert!(too_large(&mut ones, 0.0) > bound(10, FALSE_ALARM));
        assert!(too_small(&mut ones, 0.0) <= 0.0 + f64::EPSILON);
    }

    #[test]
    fn the_number_needed_is_just_enough() {
        for distance in [0.3, 0.5, 0.9, 1.0] {
            let n = needed(distance, FALSE_ALARM);
            assert!(bound(n, FALSE_ALARM) < distance);
            assert!(bound(n - 1, FALSE_ALARM) >= distance);
        }
    }

    #[test]
    fn crowding_finds_the_fullest_place() {
        assert_eq!(crowding(&[0.1, 0.5, 0.51, 0.52, 0.9], 0.03), 0.6);
        assert_eq!(crowding(&[], 0.1), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
