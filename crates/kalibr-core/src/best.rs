//! P(best): the exact probability that each path is the best of several, by quadrature.
//!
//! Thompson sampling draws once from each posterior and plays the greatest; a path is then chosen with the probability
//! that it is best (randomised probability matching, Scott 2010). Computing that probability instead of drawing makes
//! the propensity of every choice known exactly, and the draw a table look-up.
//!
//! ```text
//! P(a is best) = ∫ pdf_a(x) · Π_{b≠a} cdf_b(x) dx
//! ```
//!
//! How the integral is taken: see the module `quadrature`.

use crate::posterior::Beta;
use crate::quadrature::{Grid, Shifted, greatest, to_one};

/// The probability that each of `paths` has the greatest value; non-negative, sums to 1. Empty for no path.
///
/// ```
/// use kalibr_core::best::p_best;
/// use kalibr_core::posterior::Beta;
///
/// let even = p_best(&[Beta::UNIFORM, Beta::UNIFORM]);
/// assert!((even[0] - 0.5).abs() < 1e-9);
/// let clear = p_best(&[Beta { alpha: 90.0, beta: 10.0 }, Beta { alpha: 10.0, beta: 90.0 }]);
/// assert!(clear[0] > 0.999);
/// ```
pub fn p_best(paths: &[Beta]) -> Vec<f64> {
    let shifted: Vec<Shifted> = paths.iter().map(|&path| path.into()).collect();
    p_best_shifted(&shifted)
}

/// [`p_best`], and how much each path is expected to be worse than the best, E[max q − q_a], in 0..=1: what choosing it for
/// good would cost per request. 0 for a single path.
///
/// ```text
/// E[max q − q_a] = ∫ (1 − Π_{b≠a} cdf_b(x)) · cdf_a(x) dx
/// ```
///
/// ```
/// use kalibr_core::best::p_best_and_loss;
/// use kalibr_core::posterior::Beta;
///
/// let (_, loss) = p_best_and_loss(&[Beta { alpha: 80.0, beta: 20.0 }, Beta { alpha: 30.0, beta: 70.0 }]);
/// assert!(loss[0] < 1e-6 && (loss[1] - 0.5).abs() < 1e-3);
/// ```
pub fn p_best_and_loss(paths: &[Beta]) -> (Vec<f64>, Vec<f64>) {
    if paths.len() < 2 {
        return (vec![1.0; paths.len()], vec![0.0; paths.len()]);
    }
    let shifted: Vec<Shifted> = paths.iter().map(|&path| path.into()).collect();
    let grid = Grid::new(&shifted, 0.0);
    let densities: Vec<_> = shifted.iter().map(|&path| grid.density(path)).collect();
    let best = greatest(&densities.iter().collect::<Vec<_>>(), grid.len());
    // All cdfs before a path, cell by cell; those after it are multiplied in from the other end. No difference of two
    // nearly equal expectations is taken, so a loss of one in a million is as exact as one of a tenth.
    let mut before = vec![vec![1.0; grid.len()]; 1];
    for density in &densities[..densities.len() - 1] {
        let product = &before[before.len() - 1];
        before.push(product.iter().zip(&density.cdf).map(|(product, cdf)| product * cdf).collect());
    }
    let mut after = vec![1.0; grid.len()];
    let mut loss = vec![0.0; paths.len()];
    for ((loss, density), before) in loss.iter_mut().zip(&densities).zip(&before).rev() {
        for ((width, cdf), (before, after)) in
            grid.widths().zip(&density.cdf).zip(before.iter().zip(after.iter_mut()))
        {
            // Sums of masses may be a rounding above 1.
            *loss += width * (1.0 - before * *after).max(0.0) * cdf;
            *after *= cdf;
        }
    }
    (to_one(best.iter().map(|mass| mass.iter().sum()).collect()), loss)
}

/// [`p_best`] for probabilities that are each moved by a constant.
pub(crate) fn p_best_shifted(paths: &[Shifted]) -> Vec<f64> {
    if paths.len() < 2 {
        return vec![1.0; paths.len()];
    }
    let grid = Grid::new(paths, 0.0);
    let densities: Vec<_> = paths.iter().map(|&path| grid.density(path)).collect();
    let best = greatest(&densities.iter().collect::<Vec<_>>(), grid.len());
    to_one(best.iter().map(|mass| mass.iter().sum()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_distr::Distribution;
    use statrs::function::gamma::ln_gamma;

    /// P(a > b) for whole alphas, in closed form (Evan Miller, "Formulas for Bayesian A/B testing").
    fn exact_pair(a: Beta, b: Beta) -> f64 {
        let ln_beta = |x: f64, y: f64| ln_gamma(x) + ln_gamma(y) - ln_gamma(x + y);
        (0..a.alpha as u32)
            .map(|i| {
                let i = f64::from(i);
                (ln_beta(b.alpha + i, a.beta + b.beta)
                    - (a.beta + i).ln()
                    - ln_beta(1.0 + i, a.beta)
                    - ln_beta(b.alpha, b.beta))
                .exp()
            })
            .sum()
    }

    proptest! {
        #[test]
        fn two_paths_agree_with_the_closed_form(a in 1u32..400, b in 1u32..400, c in 1u32..400, d in 1u32..400) {
            let (x, y) = (Beta { alpha: a.into(), beta: b.into() }, Beta { alpha: c.into(), beta: d.into() });
            let error = (p_best(&[x, y])[0] - exact_pair(x, y)).abs();
            prop_assert!(error < 1e-3, "{x:?} {y:?}: off by {error}");
        }

        #[test]
        fn whatever_the_posteriors_the_probabilities_are_finite_and_sum_to_one(
            paths in prop::collection::vec((1e-3f64..1e6, 1e-3f64..1e6), 1..40),
        ) {
            let best = p_best(&paths.iter().map(|&(alpha, beta)| Beta { alpha, beta }).collect::<Vec<_>>());
            prop_assert!(best.iter().all(|p| p.is_finite() && *p >= 0.0));
            prop_assert!((best.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }

        #[test]
        fn a_loss_is_finite_and_differences_of_losses_are_those_of_the_means(
            paths in prop::collection::vec((0.5f64..2e3, 0.5f64..2e3), 1..12),
        ) {
            let paths: Vec<Beta> = paths.iter().map(|&(alpha, beta)| Beta { alpha, beta }).collect();
            let (best, loss) = p_best_and_loss(&paths);
            prop_assert_eq!(best, p_best(&paths));
            for (path, l) in paths.iter().zip(&loss) {
                prop_assert!((0.0..=1.0).contains(l), "{loss:?}");
                // E[max] is one number: each path's mean and loss add up to it.
                let most = paths[0].mean() + loss[0];
                prop_assert!((path.mean() + l - most).abs() < 2e-3, "{paths:?} {loss:?}");
            }
        }
    }

    #[test]
    fn a_path_known_a_hundred_times_better_than_another_is_not_missed() {
        let sure = Beta { alpha: 800_000.0, beta: 200_000.0 };
        let vague = Beta { alpha: 1.0, beta: 1.0 };
        assert!((p_best(&[sure, vague])[0] - 0.8).abs() < 2e-3, "{:?}", p_best(&[sure, vague]));
    }

    #[test]
    fn many_paths_agree_with_drawing_from_the_posteriors() {
        let paths: Vec<Beta> =
            (0..8u32).map(|i| Beta { alpha: 10.0 + f64::from(i), beta: 6.0 + f64::from(i % 3) }).collect();
        let draws: Vec<_> = paths.iter().map(|p| rand_distr::Beta::new(p.alpha, p.beta).unwrap()).collect();
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let (rounds, mut wins, mut lost) = (400_000, vec![0u32; paths.len()], vec![0.0; paths.len()]);
        for _ in 0..rounds {
            let sampled: Vec<f64> = draws.iter().map(|d| d.sample(&mut rng)).collect();
            let best = (0..sampled.len()).max_by(|&a, &b| sampled[a].total_cmp(&sampled[b])).unwrap();
            wins[best] += 1;
            lost.iter_mut().zip(&sampled).for_each(|(lost, q)| *lost += sampled[best] - q);
        }
        let (best, loss) = p_best_and_loss(&paths);
        for (at, won) in wins.into_iter().enumerate() {
            // Four standard errors of the draws, and the quadrature's own error.
            assert!((best[at] - f64::from(won) / f64::from(rounds)).abs() < 4e-3, "{best:?} {won}");
            assert!((loss[at] - lost[at] / f64::from(rounds)).abs() < 2e-3, "{loss:?} {lost:?}");
        }
    }
}
