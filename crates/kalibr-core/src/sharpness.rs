//! How greedily a probability of being best becomes a probability of being chosen.
//!
//! Probability matching chooses a path as often as it is probably the best, and so explores as if the goal were to live
//! for ever. Goals meet thousands of decisions, not millions, and what decides most of them is how often a path is taken
//! that is one in ten to be the best. So the weights are raised to a power `s` before they are scaled to 1:
//!
//! ```text
//! π_a = w_a^s / Σ_b w_b^s
//! ```
//!
//! `s` = 1 is matching itself, greater is greedier; an order is never turned round, and equals stay equal. The gain of
//! sampling from narrower posteriors was seen by Chapelle and Li ("An empirical evaluation of Thompson sampling", 2011,
//! there by scaling variances); a power of the weights leaves what is believed as it is, and keeps the propensity of each
//! choice exact. Its price is that a path that nobody uses is tried again later, which is paid by forgetting sooner what
//! was heard of it ([`crate::posterior::Fading`]): both were chosen together on tuning seeds (`bench/learning`).

/// `weights`, non-negative with a sum of 1, each to the power of `sharpness` (>= 1) and scaled to 1 again.
///
/// ```
/// use kalibr_core::sharpness::sharpened;
///
/// assert!((sharpened(&[0.75, 0.25], 2.0)[0] - 0.9).abs() < 1e-12);
/// assert_eq!(sharpened(&[0.75, 0.25], 1.0), [0.75, 0.25]);
/// ```
pub fn sharpened(weights: &[f64], sharpness: f64) -> Vec<f64> {
    if sharpness == 1.0 {
        return weights.to_vec();
    }
    let top = weights.iter().copied().fold(0.0, f64::max);
    if top <= 0.0 {
        return weights.to_vec();
    }
    // Relative to the greatest, so that no power of many small weights is lost altogether.
    let powers: Vec<f64> = weights.iter().map(|weight| (weight / top).powf(sharpness)).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

/// Availability from which on nothing fails that greed could put off.
const ANSWERS: f64 = 0.9;
/// Availability up to which paths are chosen as often as they are probably the best, and no greedier.
const FAILS: f64 = 0.6;

/// The sharpness, >= 1, that is left of `sharpness` while the least available path answers with probability `lowest`.
///
/// A request tries whether a failing provider is back when it falls on that path: greed must not put it off. All of it at
/// 0.9 and above, 1 at 0.6 and below, and linear between, so that a provider that stays near a bound does not turn
/// the choices of its goal round with each refresh.
///
/// ```
/// use kalibr_core::sharpness::while_available;
///
/// assert_eq!(while_available(2.0, 0.95), 2.0);
/// assert!((while_available(2.0, 0.75) - 1.5).abs() < 1e-12);
/// assert_eq!(while_available(2.0, 0.3), 1.0);
/// ```
pub fn while_available(sharpness: f64, lowest: f64) -> f64 {
    if lowest >= ANSWERS {
        return sharpness;
    }
    1.0 + (sharpness - 1.0) * ((lowest - FAILS) / (ANSWERS - FAILS)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn probabilities_stay_probabilities_and_keep_their_order(
            weights in prop::collection::vec(0f64..1.0, 1..40), sharpness in 1f64..20.0,
        ) {
            let total: f64 = weights.iter().sum();
            prop_assume!(total > 0.0);
            let weights: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
            let drawn = sharpened(&weights, sharpness);
            prop_assert!((drawn.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (a, p) in weights.iter().zip(&drawn) {
                for (b, q) in weights.iter().zip(&drawn) {
                    prop_assert!(*p >= 0.0 && (a <= b || p >= q), "{weights:?} {drawn:?}");
                }
            }
            // The leader never loses by it.
            let top = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
            prop_assert!(top(&drawn) >= top(&weights) - 1e-12);
        }
    }

    #[test]
    fn paths_of_which_nothing_is_known_are_tried_equally_often_whatever_the_sharpness() {
        for drawn in sharpened(&[1.0 / 32.0; 32], 8.0) {
            assert!((drawn - 1.0 / 32.0).abs() < 1e-15);
        }
    }

    #[test]
    fn greed_falls_with_availability_without_a_step() {
        let steps: Vec<f64> = (0..=1_000).map(|i| while_available(2.0, f64::from(i) / 1_000.0)).collect();
        assert!(steps.windows(2).all(|w| (0.0..0.004).contains(&(w[1] - w[0]))), "{steps:?}");
        assert_eq!((steps[0], steps[600], steps[900], steps[1_000]), (1.0, 1.0, 2.0, 2.0));
        assert!(while_available(2.0, 0.88) > 1.9);
        assert_eq!(while_available(1.0, 0.7), 1.0);
    }

    #[test]
    fn nothing_to_choose_from_stays_nothing() {
        assert_eq!(sharpened(&[0.0, 0.0], 2.0), [0.0, 0.0]);
        assert!(sharpened(&[], 2.0).is_empty());
    }
}
