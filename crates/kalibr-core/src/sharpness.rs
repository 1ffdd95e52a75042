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
    fn nothing_to_choose_from_stays_nothing() {
        assert_eq!(sharpened(&[0.0, 0.0], 2.0), [0.0, 0.0]);
        assert!(sharpened(&[], 2.0).is_empty());
    }
}
