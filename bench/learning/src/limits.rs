//! What no learner can beat, printed beside the results.

use kalibr_core::drift::kl;

/// The least regret per natural logarithm of the number of decisions in a world that stands still and is heard of
/// truly (Lai and Robbins 1985): Σ Δ / kl(p, p*). Asymptotic: at a few thousand decisions good learners are below it.
///
/// ```text
/// lai_robbins(&[0.8, 0.7, 0.6]) = 5.8
/// ```
pub(crate) fn lai_robbins(rates: &[f64]) -> f64 {
    slope(rates, |p| p)
}

/// By how much that slope grows when every verdict is wrong this often: regret stays in true units, and paths are told
/// apart by what is heard.
pub(crate) fn noise(rates: &[f64], wrong: f64) -> f64 {
    slope(rates, |p| p * (1.0 - wrong) + (1.0 - p) * wrong) / lai_robbins(rates)
}

fn slope(rates: &[f64], heard: impl Fn(f64) -> f64) -> f64 {
    let best = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    rates.iter().filter(|p| **p < best).map(|&p| (best - p) / kl(heard(p), heard(best))).sum()
}

/// The least mean number of plays of a path after it changed until that is known with this error (Lorden 1971).
pub(crate) fn detection(before: f64, after: f64, error: f64) -> f64 {
    (1.0 / error).ln() / kl(after, before)
}

/// About how many observations it takes to tell two paths apart with this error: 2 (σ₁ + σ₂)² / Δ² · ln(1/error).
pub(crate) fn identification(a: f64, b: f64, error: f64) -> f64 {
    let sd = |p: f64| (p * (1.0 - p)).sqrt();
    2.0 * (sd(a) + sd(b)).powi(2) / (a - b).powi(2) * (1.0 / error).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_the_real_prompts_are_those_that_were_computed_by_hand() {
        let rates = [0.7772, 0.7318, 0.4528];
        assert!((lai_robbins(&rates) - 9.29).abs() < 0.05, "{}", lai_robbins(&rates));
        for (wrong, times) in [(0.05, 1.32), (0.1, 1.76), (0.2, 3.40), (0.3, 8.10)] {
            assert!((noise(&rates, wrong) - times).abs() < 0.02 * times, "{wrong}: {}", noise(&rates, wrong));
        }
        assert!((detection(0.8, 0.4, 0.01) - 12.0).abs() < 1.0);
        assert!((detection(0.8, 0.62, 0.01) - 54.0).abs() < 1.0);
        assert!(identification(0.7772, 0.7318, 0.05) > 2_000.0);
    }
}
