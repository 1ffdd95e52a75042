//! Bounds that may be looked at after every decision, for ever: they are wrong at most once in 1/α goals, however often
//! and whenever somebody looks, and whatever chose the moment to look or the paths to play.
//!
//! With L the likelihood of what was counted and M its mixture over uniform priors, M/L is a non-negative martingale at
//! the true rate, so by Ville's inequality it ever exceeds 1/α with probability α at most (Robbins 1970). All rates at
//! which it has not exceeded are the confidence region. For two rates the mixture runs over both at once: the region is
//! then sharper than two intervals at α/2. Scores between 0 and 1 may be counted as fractions: the likelihood ratio is
//! convex in the score, so the martingale becomes a supermartingale.
//!
//! What they assume: the rates stand still over the sums given. Give matured, undiscounted outcomes.

use statrs::function::beta::ln_beta;

use crate::counters::Count;
use crate::evidence::Strength;

/// Successes and failures, not necessarily whole.
pub(crate) fn split(count: Count) -> (f64, f64) {
    let n = count.n.max(0) as f64;
    let good = (count.score as f64 / f64::from(Strength::UNITS)).clamp(0.0, n);
    (good, n - good)
}

fn ln_likelihood((good, bad): (f64, f64), p: f64) -> f64 {
    let term = |n: f64, p: f64| if n > 0.0 { n * p.max(1e-300).ln() } else { 0.0 };
    term(good, p) + term(bad, 1.0 - p)
}

fn ln_mixture((good, bad): (f64, f64)) -> f64 {
    ln_beta(1.0 + good, 1.0 + bad)
}

/// The anytime-valid interval of a success rate: it holds at all times together with probability 1 − `alpha`.
///
/// {p : ln B(1+S, 1+F) − S ln p − F ln(1−p) < ln(1/α)}, a mixture over the uniform prior (Robbins 1970). (0, 1) before
/// any outcome.
///
/// ```
/// use kalibr_core::anytime::interval;
/// use kalibr_core::counters::Count;
/// use kalibr_core::evidence::Strength;
///
/// let (low, high) = interval(Count { n: 100, score: 80 * i64::from(Strength::UNITS) }, 0.05);
/// assert!((0.65..0.66).contains(&low) && (0.90..0.91).contains(&high));
/// ```
pub fn interval(count: Count, alpha: f64) -> (f64, f64) {
    let both = split(count);
    let limit = ln_mixture(both) + alpha.clamp(1e-12, 1.0).ln();
    let mode = if count.n > 0 { both.0 / (both.0 + both.1) } else { 0.5 };
    let inside = |p: f64| ln_likelihood(both, p) > limit;
    let edge = |mut outer: f64| {
        if inside(outer) {
            return outer;
        }
        let mut inner = mode;
        for _ in 0..50 {
            let middle = 0.5 * (inner + outer);
            if inside(middle) { inner = middle } else { outer = middle }
        }
        outer
    };
    (edge(0.0), edge(1.0))
}

/// The anytime-valid lower bound, at 1 − `alpha`, of (rate of `baseline` − rate of `router`), in −1..=1.
///
/// ```
/// use kalibr_core::counters::Count;
/// use kalibr_core::evidence::Strength;
/// use kalibr_core::anytime::difference_lower_bound;
///
/// let of = |good: i64, n: i64| Count { n, score: good * i64::from(Strength::UNITS) };
/// assert!(difference_lower_bound(of(90, 100), of(400, 800), 0.05) > 0.1);
/// assert!(difference_lower_bound(of(55, 100), of(400, 800), 0.05) < 0.0);
/// ```
pub fn difference_lower_bound(baseline: Count, router: Count, alpha: f64) -> f64 {
    let (b, r) = (split(baseline), split(router));
    if baseline.n <= 0 || router.n <= 0 {
        return -1.0;
    }
    let limit = ln_mixture(b) + ln_mixture(r) + alpha.clamp(1e-12, 1.0).ln();
    let seen = b.0 / (b.0 + b.1) - r.0 / (r.0 + r.1);
    // The greatest likelihood of any two rates that differ by d: concave in the rate, so thirds find it.
    let best = |d: f64| {
        let (mut low, mut high) = ((-d).max(0.0), (1.0 - d).min(1.0));
        let at = |p: f64| ln_likelihood(b, (p + d).clamp(0.0, 1.0)) + ln_likelihood(r, p);
        for _ in 0..80 {
            let (one, two) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if at(one) < at(two) { low = one } else { high = two }
        }
        at(0.5 * (low + high))
    };
    if best(-1.0) > limit {
        return -1.0;
    }
    let (mut outside, mut inside) = (-1.0, seen);
    for _ in 0..40 {
        let middle = 0.5 * (outside + inside);
        if best(middle) > limit { inside = middle } else { outside = middle }
    }
    outside
}

/// Whether [`difference_lower_bound`] is above 0, without computing it: some hundred times cheaper, for who looks often.
pub fn exceeds(baseline: Count, router: Count, alpha: f64) -> bool {
    is_greater(split(baseline), 1.0, split(router), alpha.clamp(1e-12, 1.0))
}

/// Whether the rate of `one` times `scale` is above the rate of `other`, with the error `alpha` over all time.
///
/// At a `scale` of 1 this is `difference_lower_bound(one, other, alpha) > 0`, at once: all pairs of rates of which the
/// first is not the greater are outside of the region if those at its edge are.
pub(crate) fn is_greater(one: (f64, f64), scale: f64, other: (f64, f64), alpha: f64) -> bool {
    let rate = |(good, bad): (f64, f64)| if good + bad > 0.0 { good / (good + bad) } else { f64::NAN };
    if !(scale > 0.0 && rate(one) * scale > rate(other)) {
        return false;
    }
    let at = |p: f64| ln_likelihood(one, (p / scale).min(1.0)) + ln_likelihood(other, p);
    let best = if scale == 1.0 {
        at((one.0 + other.0) / (one.0 + one.1 + other.0 + other.1))
    } else {
        let (mut low, mut high) = (0.0, scale.min(1.0));
        for _ in 0..60 {
            let (first, second) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
            if at(first) < at(second) { low = first } else { high = second }
        }
        at(0.5 * (low + high))
    };
    best < ln_mixture(one) + ln_mixture(other) + alpha.clamp(1e-12, 1.0).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(good: i64, n: i64) -> Count {
        Count { n, score: good * i64::from(Strength::UNITS) }
    }

    proptest! {
        #[test]
        fn the_bound_is_below_what_was_seen_and_falls_with_the_error_allowed(
            (b, bn) in (1i64..300).prop_flat_map(|n| (0..=n, Just(n))),
            (r, rn) in (1i64..300).prop_flat_map(|n| (0..=n, Just(n))),
        ) {
            let lower = difference_lower_bound(of(b, bn), of(r, rn), 0.05);
            let seen = b as f64 / bn as f64 - r as f64 / rn as f64;
            prop_assert!((-1.0..=1.0).contains(&lower) && lower <= seen + 1e-9);
            prop_assert!(difference_lower_bound(of(b, bn), of(r, rn), 0.01) <= lower + 1e-9);
            let greater = is_greater(split(of(b, bn)), 1.0, split(of(r, rn)), 0.05);
            prop_assert!(lower.abs() < 1e-6 || greater == (lower > 0.0));
        }

        #[test]
        fn a_rate_is_scaled_as_if_that_share_of_it_had_been_counted(
            (b, bn) in (1i64..300).prop_flat_map(|n| (0..=n, Just(n))),
            (r, rn) in (1i64..300).prop_flat_map(|n| (0..=n, Just(n))),
            scale in 0.2f64..3.0,
        ) {
            let (one, other) = (split(of(b, bn)), split(of(r, rn)));
            let near = |scale| is_greater(one, scale, other, 0.05);
            // A greater scale makes it greater, and near 1 the search agrees with the closed form.
            prop_assert!(near(scale + 0.05) || !near(scale));
            prop_assert!(near(1.0 + 1e-9) || !near(1.0));
            prop_assert!(near(1.0) || !near(1.0 - 1e-9));
            prop_assert!(!near(0.0) && !near(f64::NAN));
        }

        #[test]
        fn an_interval_holds_what_was_seen_and_narrows_as_alpha_grows((s, n) in (0i64..500).prop_flat_map(|n| (0..=n, Just(n)))) {
            let (low, high) = interval(of(s, n), 0.05);
            let (narrow_low, narrow_high) = interval(of(s, n), 0.2);
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high) && low < high);
            prop_assert!(low <= narrow_low + 1e-9 && narrow_high <= high + 1e-9);
            prop_assert!(n == 0 || (low..=high).contains(&(s as f64 / n as f64)));
        }
    }
}
