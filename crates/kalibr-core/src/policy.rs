//! The policy table: with which probability each path is chosen, and the draw.
//!
//! Tables are built off the hot path and swapped in whole; choosing from one is a look-up, and the probability of the
//! choice is known exactly.

use crate::best::p_best;
use crate::counters::Counters;
use crate::ids::PathId;
use crate::posterior::{LearnerConfig, Posterior, Subject, posteriors};
use crate::reliability::Reliability;

/// The exact choice probabilities of one goal, pipeline and bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyTable {
    /// The number of the ledger's last change that is in it; logged with each decision, so that a replay knows from
    /// what it was drawn.
    pub version: u64,
    entries: Vec<Entry>,
    floor: f64,
}

/// One path in a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Which path.
    pub path: PathId,
    /// What is known of it.
    pub posterior: Posterior,
    /// The probability that it is the best of all paths of the table.
    pub p_best: f64,
}

/// A path chosen from a table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The path.
    pub path: PathId,
    /// The exact probability with which this draw chose it.
    pub propensity: f64,
}

impl PolicyTable {
    /// The table for `paths`, in that order, from what was counted, while nothing is known beyond it.
    pub fn build(counters: &Counters, paths: &[PathId], config: &LearnerConfig, version: u64) -> Self {
        let subjects: Vec<Subject> = paths.iter().map(|path| Subject::unknown(*path)).collect();
        let posteriors = posteriors(counters, &subjects, &Reliability::default(), config);
        Self::of(paths.iter().copied().zip(posteriors), config, version)
    }

    /// The table of these paths, in that order, of which this is known.
    pub fn of(
        paths: impl IntoIterator<Item = (PathId, Posterior)>,
        config: &LearnerConfig,
        version: u64,
    ) -> Self {
        let paths: Vec<(PathId, Posterior)> = paths.into_iter().collect();
        let best = p_best(&paths.iter().map(|(_, posterior)| posterior.success).collect::<Vec<_>>());
        let entries = paths
            .into_iter()
            .zip(best)
            .map(|((path, posterior), p_best)| Entry { path, posterior, p_best })
            .collect();
        Self { version, entries, floor: config.floor }
    }

    /// The paths, in the goal's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The probability of each path when only those that pass `eligible` may be chosen: their P(best), renormalised,
    /// with the floor applied. In the table's order, 0 for the others; all 0 when none is eligible.
    ///
    /// When the eligible paths together have no weight left (they were all beaten by one that may not be chosen now),
    /// P(best) is computed among them alone.
    pub fn propensities(&self, eligible: impl Fn(PathId) -> bool) -> Vec<f64> {
        let mask: Vec<bool> = self.entries.iter().map(|entry| eligible(entry.path)).collect();
        let count = mask.iter().filter(|is| **is).count();
        if count == 0 {
            return vec![0.0; self.entries.len()];
        }
        let mut weights: Vec<f64> =
            self.entries.iter().zip(&mask).map(|(entry, &is)| if is { entry.p_best } else { 0.0 }).collect();
        let mut total: f64 = weights.iter().sum();
        if total < 1e-9 {
            let betas: Vec<_> = self
                .entries
                .iter()
                .zip(&mask)
                .filter(|(_, is)| **is)
                .map(|(e, _)| e.posterior.success)
                .collect();
            let mut best = p_best(&betas).into_iter();
            for (weight, &is) in weights.iter_mut().zip(&mask) {
                *weight = if is { best.next().unwrap_or(0.0) } else { 0.0 };
            }
            total = weights.iter().sum();
        }
        // An additive floor keeps the order and the spacing of the paths; with many paths it shrinks, so that all
        // floors together never take more than half.
        let floor = self.floor.clamp(0.0, 0.5 / count as f64);
        for (weight, &is) in weights.iter_mut().zip(&mask) {
            if is {
                *weight = floor + (1.0 - floor * count as f64) * (*weight / total);
            }
        }
        weights
    }

    /// Chooses a path by `draw`, a number that is uniform in [0, 1).
    ///
    /// `None` when no path is eligible.
    pub fn choose(&self, eligible: impl Fn(PathId) -> bool, draw: f64) -> Option<Choice> {
        let propensities = self.propensities(eligible);
        pick(&propensities, draw)
            .map(|index| Choice { path: self.entries[index].path, propensity: propensities[index] })
    }
}

/// The index that `draw`, uniform in [0, 1), falls on; `None` when all probabilities are 0.
pub fn pick(propensities: &[f64], draw: f64) -> Option<usize> {
    let mut left = draw;
    for (index, &p) in propensities.iter().enumerate() {
        if p > 0.0 && left < p {
            return Some(index);
        }
        left -= p;
    }
    // Rounding may leave a sliver at the top: it belongs to the last path that has a probability.
    propensities.iter().rposition(|&p| p > 0.0)
}

/// A number uniform in [0, 1) for the decision with this number: SplitMix64 of seed + counter (Steele, Lea and Flood
/// 2014), so that a draw can be replayed from what was logged.
pub fn uniform(seed: u64, counter: u64) -> f64 {
    let mut z = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posterior::Beta;
    use proptest::prelude::*;

    fn path(i: u8) -> PathId {
        PathId::from_bytes([i; 16])
    }

    fn table(betas: &[(f64, f64)], floor: f64) -> PolicyTable {
        let best = p_best(&betas.iter().map(|&(alpha, beta)| Beta { alpha, beta }).collect::<Vec<_>>());
        let entries = betas
            .iter()
            .zip(best)
            .enumerate()
            .map(|(i, (&(alpha, beta), p_best))| {
                let quality = Beta { alpha, beta };
                let posterior = Posterior {
                    success: quality,
                    quality,
                    own: quality,
                    available: None,
                    availability: 1.0,
                    graded: 0,
                    attempts: 0,
                };
                Entry { path: path(i as u8), posterior, p_best }
            })
            .collect();
        PolicyTable { version: 0, entries, floor }
    }

    proptest! {
        #[test]
        fn propensities_sum_to_one_and_respect_the_floor(
            betas in prop::collection::vec((1f64..500.0, 1f64..500.0), 1..20),
            mask in prop::collection::vec(any::<bool>(), 20),
            floor in 0f64..0.1,
        ) {
            let table = table(&betas, floor);
            let eligible = |p: PathId| mask[usize::from(p.as_bytes()[0])];
            let propensities = table.propensities(eligible);
            let count = (0..betas.len()).filter(|&i| mask[i]).count();
            prop_assert_eq!(propensities.iter().filter(|p| **p > 0.0).count() <= count, true);
            let sum: f64 = propensities.iter().sum();
            prop_assert!(if count == 0 { sum == 0.0 } else { (sum - 1.0).abs() < 1e-9 }, "{}", sum);
            for (i, p) in propensities.iter().enumerate() {
                let least = if mask[i] { floor.min(0.5 / count as f64) } else { 0.0 };
                prop_assert!(*p >= least - 1e-12 && (mask[i] || *p == 0.0));
            }
        }
    }

    #[test]
    fn how_often_a_path_is_drawn_matches_its_propensity() {
        let table = table(&[(8.0, 4.0), (6.0, 4.0), (3.0, 5.0), (1.0, 1.0)], 0.01);
        let expected = table.propensities(|_| true);
        let draws = 200_000u32;
        let mut seen = [0u32; 4];
        for counter in 0..draws {
            let choice = table.choose(|_| true, uniform(7, u64::from(counter))).unwrap();
            let index = usize::from(choice.path.as_bytes()[0]);
            assert_eq!(choice.propensity, expected[index]);
            seen[index] += 1;
        }
        let chi2: f64 = seen
            .iter()
            .zip(&expected)
            .map(|(&n, p)| (f64::from(n) - p * f64::from(draws)).powi(2) / (p * f64::from(draws)))
            .sum();
        // 99.9 % of a chi-square with three degrees of freedom.
        assert!(chi2 < 16.27, "chi-square {chi2}: {seen:?} {expected:?}");
    }

    #[test]
    fn when_the_only_good_path_is_not_eligible_the_others_are_compared_among_themselves() {
        let table = table(&[(9_000.0, 1_000.0), (50.0, 50.0), (10.0, 90.0)], 0.01);
        let rest = table.propensities(|p| p != path(0));
        assert_eq!(rest[0], 0.0);
        assert!(rest[1] > 0.98, "{rest:?}");
    }

    #[test]
    fn no_eligible_path_means_no_choice() {
        assert_eq!(table(&[(1.0, 1.0)], 0.01).choose(|_| false, 0.5), None);
    }

    #[test]
    fn the_greatest_draw_still_picks_a_path_that_can_be_chosen() {
        assert_eq!(pick(&[0.3, 0.7 - 1e-16, 0.0], 1.0 - 1e-17), Some(1));
        assert_eq!(pick(&[0.0, 0.0], 0.2), None);
    }
}
