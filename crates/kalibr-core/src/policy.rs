//! The policy table: what is known of each path, and with which probability each is chosen.
//!
//! Tables are built off the hot path and swapped in whole; choosing from one is a look-up, and the probability of the
//! choice is known exactly ([`Prepared`]).

use crate::best::p_best;
use crate::ids::PathId;
use crate::objective::Offer;
use crate::posterior::Posterior;
use crate::rules::{ChoiceRules, Known, Prepared, Standing};

/// What is known of the paths of one goal, pipeline and bucket, and the exact probability of choosing each.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyTable {
    /// The number of the ledger's last change that is in it; logged with each decision, so that a replay knows from
    /// what it was drawn.
    pub version: u64,
    entries: Vec<Entry>,
    rules: Prepared,
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

impl PolicyTable {
    /// The table of these paths, in that order. What `known` says of a path's success is that of its posterior. While the
    /// provider of one of them fails, paths are chosen less greedily ([`crate::sharpness::while_available`]).
    pub fn new(
        version: u64,
        paths: &[(PathId, Posterior)],
        known: impl IntoIterator<Item = Known>,
        rules: &ChoiceRules,
        standing: &Standing,
    ) -> Self {
        let of_posterior = |(known, (_, posterior)): (Known, &(PathId, Posterior))| Known {
            offer: Offer { success: posterior.success, ..known.offer },
            ..known
        };
        let known: Vec<Known> = known.into_iter().zip(paths).map(of_posterior).collect();
        let availabilities = paths.iter().map(|(_, posterior)| posterior.availability);
        let rules = rules.while_available(availabilities).prepare(&known, standing);
        // Where cost has no say, the weights are just these, and one quadrature is enough.
        let best = rules
            .of_success_alone()
            .unwrap_or_else(|| p_best(&known.iter().map(|path| path.offer.success).collect::<Vec<_>>()));
        let entry =
            |(&(path, posterior), p_best): (&(PathId, Posterior), f64)| Entry { path, posterior, p_best };
        Self { version, entries: paths.iter().zip(best).map(entry).collect(), rules }
    }

    /// The paths, in the goal's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// With which probability each is chosen, in the same order.
    pub fn rules(&self) -> &Prepared {
        &self.rules
    }

    /// The share of each path in the requests that ask for nothing; all 0 where a limit rules out every path.
    pub fn shares(&self) -> Vec<f64> {
        self.rules.usual().map_or_else(|_| vec![0.0; self.entries.len()], |usual| usual.propensities.clone())
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
    use crate::rules::Asked;

    fn table(betas: &[(f64, f64)]) -> PolicyTable {
        let paths: Vec<_> = betas
            .iter()
            .enumerate()
            .map(|(i, &(alpha, beta))| {
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
                (PathId::from_bytes([i as u8; 16]), posterior)
            })
            .collect();
        let known = paths.iter().map(|_| Known::of(Beta::UNIFORM));
        PolicyTable::new(0, &paths, known, &ChoiceRules::default(), &Standing::default())
    }

    #[test]
    fn how_often_a_path_is_drawn_matches_its_propensity() {
        let table = table(&[(8.0, 4.0), (6.0, 4.0), (3.0, 5.0), (1.0, 1.0)]);
        let usual = table.rules().usual().unwrap();
        let draws = 200_000u32;
        let mut seen = [0u32; 4];
        for counter in 0..draws {
            let drawn = usual.draw(uniform(7, u64::from(counter)));
            assert_eq!(drawn.propensity, usual.propensities[drawn.index]);
            seen[drawn.index] += 1;
        }
        let chi2: f64 = seen
            .iter()
            .zip(&usual.propensities)
            .map(|(&n, p)| (f64::from(n) - p * f64::from(draws)).powi(2) / (p * f64::from(draws)))
            .sum();
        // 99.9 % of a chi-square with three degrees of freedom.
        assert!(chi2 < 16.27, "chi-square {chi2}: {seen:?} {:?}", usual.propensities);
    }

    #[test]
    fn when_the_only_good_path_is_not_eligible_the_others_are_compared_among_themselves() {
        use crate::objective::NotEligible;

        let table = table(&[(9_000.0, 1_000.0), (50.0, 50.0), (10.0, 90.0)]);
        let not_first = |at| (at == 0).then_some(NotEligible::NotACandidate);
        let rest = table.rules().choices(&Asked::default(), not_first).unwrap();
        assert_eq!(rest.propensities[0], 0.0);
        assert!(rest.propensities[1] > 0.98, "{rest:?}");
    }

    #[test]
    fn while_a_provider_fails_its_path_is_tried_as_often_as_it_is_probably_the_best() {
        let of = |availability: f64| {
            let paths: Vec<_> = table(&[(8.0, 2.0), (3.0, 3.0)])
                .entries()
                .iter()
                .map(|entry| (entry.path, Posterior { availability, ..entry.posterior }))
                .collect();
            let known = paths.iter().map(|_| Known::of(Beta::UNIFORM));
            PolicyTable::new(0, &paths, known, &ChoiceRules::default(), &Standing::default())
        };
        let (fails, answers) = (of(0.3), of(1.0));
        let floored = |p: f64| 0.002 + 0.996 * p;
        let best = fails.entries()[1].p_best;
        assert!(
            best > 0.02 && (fails.shares()[1] - floored(best)).abs() < 1e-9,
            "{best} {:?}",
            fails.shares()
        );
        assert!(answers.shares()[1] < 0.5 * fails.shares()[1], "{:?}", answers.shares());
    }

    #[test]
    fn a_path_of_which_little_is_known_gains_nothing_by_the_best_one_being_ruled_out() {
        use crate::objective::NotEligible;

        let all = table(&[(180.0, 20.0), (160.0, 40.0), (6.0, 4.0)]);
        let not_first = |at| (at == 0).then_some(NotEligible::NotACandidate);
        let ask = || all.rules().choices(&Asked::default(), not_first).unwrap();
        let (first, again) = (ask(), ask());
        let bits = |of: &[f64]| of.iter().map(|p| p.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&first.propensities), bits(&again.propensities));
        assert!((first.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        // As if the two were all that there is: matched 0.1, squared and scaled 0.012, floored 0.014.
        let two = table(&[(160.0, 40.0), (6.0, 4.0)]).shares();
        assert_eq!(bits(&first.propensities[1..]), bits(&two));
        assert!(two[1] > 0.005 && two[1] < 0.02, "{two:?}");
    }

    #[test]
    fn the_greatest_draw_still_picks_a_path_that_can_be_chosen() {
        assert_eq!(pick(&[0.3, 0.7 - 1e-16, 0.0], 1.0 - 1e-17), Some(1));
        assert_eq!(pick(&[0.0, 0.0], 0.2), None);
    }

    #[test]
    fn success_in_a_table_is_that_of_the_posterior() {
        let table = table(&[(90.0, 10.0), (10.0, 90.0)]);
        assert!(table.entries()[0].p_best > 0.999);
        assert!(table.shares()[0] > 0.98);
    }
}
