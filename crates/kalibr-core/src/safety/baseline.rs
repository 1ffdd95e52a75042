//! The conservative guarantee: never more than a set share worse than the baseline, from the first decision on.
//!
//! Wu, Shariff, Lattimore and Szepesvári, "Conservative Bandits" (ICML 2016): leave the baseline only while
//!
//! ```text
//! Σ_i N_i·LCB_i + next·LCB_J + N_0·μ_0 >= (1 − α)·t·μ_0
//! ```
//!
//! that is, while even the least that the other paths may have earned, and the least that the next decisions may earn,
//! leave (1 − α) of what the baseline would have. Theirs is asked before every play; here at a check-point, for the next
//! stretch of decisions at once, and the answer is the share of them that may follow the router. A share keeps the
//! propensities exact: decisions are a mixture of the router and the baseline ([`mixed`]).
//!
//! All of it is a function of integers (graded decisions and their scores per path). Bounds are the anytime-valid
//! intervals of [`crate::anytime::interval`], each at `error` / number of paths, so the guarantee holds at all check-points
//! together with probability 1 − `error`. The baseline's rate is not known either: of its interval the worse end counts.

use serde::{Deserialize, Serialize};

use crate::anytime::interval;
use crate::counters::Count;

/// What is guaranteed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guarantee {
    /// Share of the baseline's success that may be lost (α), 0..=1. Default 0.1.
    pub loss: f64,
    /// The probability that the guarantee fails, 0..1. Default 0.05.
    pub error: f64,
    /// Decisions until the next check-point, > 0. Default 25, an epoch.
    pub stretch: u32,
}

impl Default for Guarantee {
    fn default() -> Self {
        Self { loss: 0.1, error: 0.05, stretch: 25 }
    }
}

impl Guarantee {
    /// What is wrong with the settings, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        if !(0.0..=1.0).contains(&self.loss) {
            return Some("the guarantee's loss is a share of the baseline's success from 0 to 1");
        }
        if !(self.error > 0.0 && self.error < 1.0) {
            return Some("the guarantee's error is a probability between 0 and 1");
        }
        (self.stretch == 0).then_some("the guarantee's stretch is at least one decision")
    }
}

/// The share (0..=1) of the next decisions that may follow the router, with `weights`, and not the path at `baseline`.
///
/// `seen` are the graded decisions and scores of each path, not discounted, in the order of the weights. 0 where there
/// is no such path; 1 when the router would take the baseline anyway.
///
/// ```
/// use kalibr_core::counters::Count;
/// use kalibr_core::evidence::Strength;
/// use kalibr_core::safety::{Guarantee, guaranteed_share};
///
/// let of = |good: i64, n: i64| Count { n, score: good * i64::from(Strength::UNITS) };
/// let half = [0.5, 0.5];
/// // Nothing is known yet: a fifth of the decisions, half of them with the other path, risks the tenth that may be lost.
/// // After 1,000 good decisions of the baseline, all of them may.
/// let first = guaranteed_share(&[of(0, 0), of(0, 0)], &half, 0, Guarantee::default());
/// assert!((first - 0.2).abs() < 1e-9);
/// assert_eq!(guaranteed_share(&[of(800, 1_000), of(0, 0)], &half, 0, Guarantee::default()), 1.0);
/// ```
pub fn guaranteed_share(seen: &[Count], weights: &[f64], baseline: usize, guarantee: Guarantee) -> f64 {
    let Some(&own) = seen.get(baseline) else { return 0.0 };
    let error = guarantee.error / seen.len() as f64;
    let (low, high) = interval(own, error);
    let next = f64::from(guarantee.stretch);
    let lower = |i: usize| if seen[i].n > 0 { interval(seen[i], error).0 } else { 0.0 };
    let others = || (0..seen.len()).filter(|&i| i != baseline);
    let earned: f64 = others().map(|i| seen[i].n.max(0) as f64 * lower(i)).sum();
    let total: f64 = seen.iter().map(|count| count.n.max(0) as f64).sum();
    let away: f64 = others().filter_map(|i| weights.get(i)).sum();
    let least: f64 = others().map(|i| weights.get(i).map_or(0.0, |w| w * lower(i))).sum();
    // What is left over at a share ρ and a baseline's rate μ is linear in both: the worse end of μ, and the greatest ρ.
    let keep = 1.0 - guarantee.loss;
    let share = [low, high]
        .into_iter()
        .map(|rate| {
            let spare = earned + (own.n.max(0) as f64 + next) * rate - keep * (total + next) * rate;
            let risk = next * (away * rate - least);
            if risk <= 0.0 {
                return if spare >= 0.0 || away <= 0.0 { 1.0 } else { 0.0 };
            }
            (spare / risk).clamp(0.0, 1.0)
        })
        .fold(1.0, f64::min);
    if share.is_finite() { share } else { 0.0 }
}

/// These probabilities when only a share (0..=1) of decisions follows them and the others take the path at `baseline`.
pub fn mixed(probabilities: &[f64], baseline: usize, share: f64) -> Vec<f64> {
    let mut mixed: Vec<f64> = probabilities.iter().map(|p| share * p).collect();
    if let Some(p) = mixed.get_mut(baseline) {
        *p += 1.0 - share;
        return mixed;
    }
    probabilities.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Strength;
    use crate::policy::{pick, uniform};
    use proptest::prelude::*;

    fn of(good: i64, n: i64) -> Count {
        Count { n, score: good * i64::from(Strength::UNITS) }
    }

    proptest! {
        #[test]
        fn the_share_is_a_share_and_grows_with_the_loss_allowed(
            seen in prop::collection::vec((0i64..400).prop_flat_map(|n| (0..=n, Just(n))), 1..6),
            low in 0f64..1.0, more in 0f64..1.0, baseline in 0usize..7,
        ) {
            let seen: Vec<Count> = seen.into_iter().map(|(s, n)| of(s, n)).collect();
            let weights = vec![1.0 / seen.len() as f64; seen.len()];
            let share = |loss: f64| {
                guaranteed_share(&seen, &weights, baseline, Guarantee { loss, ..Guarantee::default() })
            };
            let (narrow, wide) = (share(low), share((low + more).min(1.0)));
            prop_assert!((0.0..=1.0).contains(&narrow) && (0.0..=1.0).contains(&wide));
            prop_assert!(narrow <= wide + 1e-9);
            let mixed = mixed(&weights, baseline, narrow);
            prop_assert!((mixed.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn a_router_that_wants_the_worst_path_never_loses_more_than_the_loss_allowed() {
        for seed in 0..20 {
            let rates = [0.8, 0.1];
            let mut seen = [of(0, 0); 2];
            let (mut earned, mut away) = (0.0, 0);
            let mut propensities = vec![1.0, 0.0];
            for t in 0..4_000u64 {
                if t % 25 == 0 {
                    let share = guaranteed_share(&seen, &[0.0, 1.0], 0, Guarantee::default());
                    propensities = mixed(&[0.0, 1.0], 0, share);
                }
                let path = pick(&propensities, uniform(seed, 2 * t)).unwrap();
                seen[path] += of((uniform(seed, 2 * t + 1) < rates[path]).into(), 1);
                earned += rates[path];
                away += path;
                // One stretch is drawn and not counted out: it may exceed its share by chance.
                assert!(earned >= 0.9 * 0.8 * (t + 1) as f64 - 5.0, "after {t}: {earned}");
            }
            assert!(away > 50, "the guarantee must leave room to explore: {away}");
        }
    }
}
