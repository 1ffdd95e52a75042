//! Means over seeds, and how sure of them one may be.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use serde::Serialize;

/// A number with its 95 % interval, by bootstrap over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Estimate {
    /// The number.
    pub(crate) mean: f64,
    /// Lower end.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
}

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2_000;

/// The mean.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The root of the mean square; NaN of nothing.
pub(crate) fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64).sqrt()
}

/// The median; the mean of the middle two.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// What `statistic` makes of the runs with these indices, with its interval: seeds are resampled whole, so what belongs to
/// one seed stays together and differences between policies are paired.
pub(crate) fn bootstrap(runs: usize, statistic: impl Fn(&[usize]) -> f64) -> Estimate {
    let all: Vec<usize> = (0..runs).collect();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut sample = all.clone();
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            sample.iter_mut().for_each(|index| *index = rng.random_range(0..runs.max(1)));
            statistic(&sample)
        })
        .filter(|value| value.is_finite())
        .collect();
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (share * resampled.len() as f64) as usize;
        resampled.get(index.min(resampled.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
    };
    Estimate { mean: statistic(&all), low: at(0.025), high: at(0.975) }
}

/// The mean with its interval.
pub(crate) fn mean_of(values: &[f64]) -> Estimate {
    bootstrap(values.len(), |runs| runs.iter().map(|&run| values[run]).sum::<f64>() / runs.len() as f64)
}

/// The median with its interval.
pub(crate) fn median_of(values: &[f64]) -> Estimate {
    bootstrap(values.len(), |runs| median(&runs.iter().map(|&run| values[run]).collect::<Vec<_>>()))
}

/// The ratio of two means over the same seeds, with its paired interval.
pub(crate) fn ratio(above: &[f64], below: &[f64]) -> Estimate {
    let sum = |values: &[f64], runs: &[usize]| runs.iter().map(|&run| values[run]).sum::<f64>();
    bootstrap(above.len(), |runs| sum(above, runs) / sum(below, runs))
}

/// The probability of a mean difference this far from 0 if there were none, two-sided, over the same seeds: a paired
/// z-test, which at the dozens of runs here is near enough to Student's.
pub(crate) fn paired_p(a: &[f64], b: &[f64]) -> f64 {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    let centre = mean(&differences);
    let squares: Vec<f64> = differences.iter().map(|d| (d - centre).powi(2)).collect();
    let error = (mean(&squares) / (differences.len().max(2) - 1) as f64).sqrt();
    if centre == 0.0 { 1.0 } else { erfc(centre.abs() / error / 2f64.sqrt()) }
}

/// The complementary error function, to 1.2e-7 (Numerical Recipes' Chebyshev fit).
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.5 * x);
    let coefficients = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let polynomial = coefficients.iter().rev().fold(0.0, |sum, c| sum * t + c);
    t * (polynomial - x * x).exp()
}

/// Probabilities that hold for all of them together (Holm 1979), in the given order.
pub(crate) fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let (mut adjusted, mut least) = (vec![1.0; p.len()], 0f64);
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_policies_share_is_not_in_the_interval_of_their_ratio() {
        let below: Vec<f64> = (1..=100).map(f64::from).collect();
        let above: Vec<f64> = below.iter().map(|x| 0.5 * x).collect();
        let found = ratio(&above, &below);
        assert!((found.mean - 0.5).abs() < 1e-12 && (found.high - found.low).abs() < 1e-12, "{found:?}");
        assert!(mean_of(&below).high - mean_of(&below).low > 8.0);
    }

    #[test]
    fn the_interval_of_a_mean_covers_it_about_as_often_as_it_says() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
        let covered = (0..300)
            .filter(|_| {
                let values: Vec<f64> = (0..60).map(|_| rng.random::<f64>()).collect();
                let found = mean_of(&values);
                found.low <= 0.5 && 0.5 <= found.high
            })
            .count();
        assert!((270..=296).contains(&covered), "{covered} of 300");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn holm_multiplies_the_least_by_all_and_never_decreases() {
        let adjusted = holm(&[0.04, 0.01, 0.03]);
        for (found, expected) in adjusted.iter().zip([0.06, 0.03, 0.06]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
    }

    #[test]
    fn differences_of_pure_luck_are_called_real_about_as_often_as_stated() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let mut draw = || (0..40).map(|_| rng.random::<f64>()).collect::<Vec<f64>>();
        let called = (0..1_000).filter(|_| paired_p(&draw(), &draw()) < 0.05).count();
        assert!((30..=80).contains(&called), "{called} of 1,000");
        let a = draw();
        assert!(paired_p(&a, &a.iter().map(|x| x + 0.1).collect::<Vec<_>>()) < 1e-6);
    }
}
