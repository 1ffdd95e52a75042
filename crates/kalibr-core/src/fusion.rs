//! From what was heard of a path to a Beta over its quality.
//!
//! Exact observations (a user used the answer, or threw it away) add to a Beta as they always do. A soft observation is
//! worth a likelihood ratio `L = P(it | good) / P(it | bad)`, and the likelihood of the quality `p` is then
//!
//! ```text
//! ln f(p) = (α−1) ln p + (β−1) ln(1−p) + Σ n ln(1 + p (L − 1))
//! ```
//!
//! It is integrated on a grid over the log-odds of `p`, and matched by the Beta of the same mean and variance. An
//! observation that says nothing has `L = 1` and drops out of the sum; with no soft observations the Beta is exact.
//! Turning a doubtful verdict into "+q successes, +(1−q) failures" instead would make even a coin that is tossed often
//! enough look like knowledge.

use crate::posterior::Beta;

/// Soft observations of one kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Soft {
    /// `ln(P(it | good) / P(it | bad))`, finite.
    pub ln_ratio: f64,
    /// How many, >= 0; discounted ones count less than one.
    pub n: f64,
}

/// Nodes of the grid; the matched mean is then off by less than 1e-4 (see the tests).
const NODES: usize = 48;
/// Standard deviations of the log-odds that the grid reaches on both sides.
const REACH: f64 = 7.0;
/// Log-odds beyond which nothing is looked at: 3e-7 from 0 and 1.
const FURTHEST: f64 = 15.0;

/// The Beta that has the mean and variance of the posterior of `base` and the soft observations.
///
/// ```
/// use kalibr_core::fusion::{Soft, fuse};
/// use kalibr_core::posterior::Beta;
///
/// let base = Beta { alpha: 3.0, beta: 2.0 };
/// assert_eq!(fuse(base, &[Soft { ln_ratio: 0.0, n: 1e6 }]), base);
/// let praised = fuse(base, &[Soft { ln_ratio: 2.0, n: 20.0 }]);
/// assert!(praised.mean() > base.mean() && praised.variance() < base.variance());
/// ```
pub fn fuse(base: Beta, soft: &[Soft]) -> Beta {
    let density = LogDensity::new(base, soft);
    if density.pulls.is_empty() {
        return base;
    }
    let (mode, curvature) = density.mode();
    // The curvature at the mode is only a first guess at the spread: a long tail shows in the moments, and the grid is
    // laid once more around those.
    let (centre, variance) = density.moments(mode, curvature.powf(-0.5), |t| t);
    let (mean, variance) = density.moments(centre, variance.sqrt(), |t| 1.0 / (1.0 + (-t).exp()));
    let most = mean * (1.0 - mean);
    Beta::from_moments(mean, variance.clamp(most * 1e-12, most * (1.0 - 1e-9)))
}

/// The quality in (0, 1) at which the posterior of `base` and the soft observations peaks, on the scale of log-odds:
/// near the mean of [`fuse`], and much cheaper. With no soft observations it is the mean of `base`.
pub fn peak(base: Beta, soft: &[Soft]) -> f64 {
    let density = LogDensity::new(base, soft);
    if density.pulls.is_empty() { base.mean() } else { 1.0 / (1.0 + (-density.mode().0).exp()) }
}

/// `ln f` over the log-odds `t` of the quality, up to a constant.
struct LogDensity {
    base: Beta,
    /// `(L − 1, n)` of each soft observation that says anything.
    pulls: Vec<(f64, f64)>,
}

impl LogDensity {
    fn new(base: Beta, soft: &[Soft]) -> Self {
        let pulls = soft
            .iter()
            .filter(|s| s.ln_ratio != 0.0 && s.n > 0.0)
            .map(|s| (s.ln_ratio.exp_m1(), s.n))
            .collect();
        Self { base, pulls }
    }

    fn at(&self, t: f64) -> f64 {
        let p = 1.0 / (1.0 + (-t).exp());
        let pulled: f64 = self.pulls.iter().map(|&(pull, n)| n * (p * pull).ln_1p()).sum();
        // The Jacobian p (1 − p) makes the exponents α and β instead of α − 1 and β − 1.
        pulled - self.base.alpha * softplus(-t) - self.base.beta * softplus(t)
    }

    /// The derivative by `t`, and the information at `t`: the expected curvature, which is never negative.
    fn slope(&self, t: f64) -> (f64, f64) {
        let p = 1.0 / (1.0 + (-t).exp());
        let spread = p * (1.0 - p);
        let mut slope = self.base.alpha * (1.0 - p) - self.base.beta * p;
        let mut information = (self.base.alpha + self.base.beta) * spread;
        for &(pull, n) in &self.pulls {
            let score = spread * pull / (1.0 + p * pull);
            slope += n * score;
            information += n * score * score;
        }
        (slope, information)
    }

    /// Where the density peaks, and the information there.
    fn mode(&self) -> (f64, f64) {
        let (mut low, mut high) = (-FURTHEST, FURTHEST);
        let mut t = (self.base.alpha / self.base.beta).ln().clamp(low, high);
        let mut information = 1.0;
        // Scoring steps, kept inside a bracket that halves when one of them leaves it.
        for _ in 0..40 {
            let (slope, here) = self.slope(t);
            information = here.max(1e-12);
            if slope > 0.0 {
                low = t;
            } else {
                high = t;
            }
            let step = slope / information;
            if step.abs() < 1e-6 {
                break;
            }
            t = if (low..=high).contains(&(t + step)) { t + step } else { 0.5 * (low + high) };
        }
        (t, information)
    }

    /// Mean and variance of `value` over a grid of log-odds.
    fn moments(&self, centre: f64, spread: f64, value: impl Fn(f64) -> f64) -> (f64, f64) {
        let low = (centre - REACH * spread).max(-FURTHEST - 5.0);
        let high = (centre + REACH * spread).min(FURTHEST + 5.0);
        let nodes: [f64; NODES] =
            std::array::from_fn(|i| low + (high - low) * (i as f64 + 0.5) / NODES as f64);
        let logs = nodes.map(|t| self.at(t));
        let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let masses = logs.map(|ln| (ln - top).exp());
        let values = nodes.map(value);
        let total: f64 = masses.iter().sum();
        let mean = masses.iter().zip(&values).map(|(m, v)| m * v).sum::<f64>() / total;
        let second = masses.iter().zip(&values).map(|(m, v)| m * (v - mean).powi(2)).sum::<f64>();
        (mean, second / total)
    }
}

fn softplus(t: f64) -> f64 {
    t.max(0.0) + (-t.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_source_that_says_nothing_changes_nothing(alpha in 0.5f64..1e4, beta in 0.5f64..1e4, n in 0f64..1e9) {
            let base = Beta { alpha, beta };
            prop_assert_eq!(fuse(base, &[Soft { ln_ratio: 0.0, n }, Soft { ln_ratio: 2.0, n: 0.0 }]), base);
        }

        #[test]
        fn nearly_perfect_observations_are_nearly_exact(
            alpha in 0.5f64..500.0, beta in 0.5f64..500.0, good in 0u32..500, bad in 0u32..500,
        ) {
            let soft = [Soft { ln_ratio: 16.0, n: good.into() }, Soft { ln_ratio: -16.0, n: bad.into() }];
            let fused = fuse(Beta { alpha, beta }, &soft);
            // A ratio of e^16 in favour scales the density by p up to a constant, one against by 1 - p up to 1e-7.
            let exact = Beta { alpha: alpha + f64::from(good), beta: beta + f64::from(bad) };
            prop_assert!((fused.mean() - exact.mean()).abs() < 1e-4, "{fused:?} {exact:?}");
            prop_assert!((fused.variance() / exact.variance() - 1.0).abs() < 0.01, "{fused:?} {exact:?}");
        }

        #[test]
        fn whatever_was_heard_the_beta_is_finite_and_proper(
            alpha in 1e-2f64..1e6, beta in 1e-2f64..1e6,
            soft in prop::collection::vec((-20f64..20.0, 0f64..1e7), 0..12),
        ) {
            let soft: Vec<Soft> = soft.into_iter().map(|(ln_ratio, n)| Soft { ln_ratio, n }).collect();
            let Beta { alpha, beta } = fuse(Beta { alpha, beta }, &soft);
            prop_assert!(alpha.is_finite() && beta.is_finite() && alpha > 0.0 && beta > 0.0, "{alpha} {beta}");
        }
    }

    #[test]
    fn symmetric_noise_is_seen_through() {
        // A source that is right four times out of five praised 68 % of 10,000 answers: the quality is .8.
        let ratio = 4f64.ln();
        let soft = [Soft { ln_ratio: ratio, n: 6_800.0 }, Soft { ln_ratio: -ratio, n: 3_200.0 }];
        let fused = fuse(Beta::UNIFORM, &soft);
        assert!((fused.mean() - 0.8).abs() < 1e-3, "{fused:?}");
        let sd = (0.68 * 0.32 / 10_000.0f64).sqrt() / 0.6;
        assert!((fused.variance().sqrt() / sd - 1.0).abs() < 0.01, "{} {sd}", fused.variance().sqrt());
    }
}
