//! How long a path takes: histograms of integers, forgotten when they are read.
//!
//! Buckets are eighths of an octave, so a quantile is known to 9 % from a millisecond to hours. Counts are integers:
//! a row can be taken back exactly and two processes' histograms add up. Forgetting is a weight per epoch at reading,
//! as for everything else that is learned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::function::beta::beta_reg;

/// Buckets per doubling.
const PER_OCTAVE: f64 = 8.0;
/// The last bucket: 2^24 ms is 4.7 hours.
const LAST: u8 = 24 * 8;

/// How often calls took how long.
///
/// ```
/// use kalibr_core::objective::Latencies;
///
/// let mut seen = Latencies::default();
/// (1..=100).for_each(|i| seen.add(10 * i));
/// let median = seen.quantile(0.5).unwrap();
/// assert!((450.0..550.0).contains(&median));
/// assert!(seen.probability_below(2_000).unwrap() == 1.0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latencies(BTreeMap<u8, i64>);

impl Latencies {
    /// Counts a call that took this many milliseconds. A call that timed out took its timeout.
    pub fn add(&mut self, millis: u64) {
        self.count(bucket(millis), 1);
    }

    /// Takes back a call that was added.
    pub fn remove(&mut self, millis: u64) {
        self.count(bucket(millis), -1);
    }

    /// Adds all calls of another.
    pub fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(&bucket, &n)| self.count(bucket, n));
    }

    fn count(&mut self, bucket: u8, n: i64) {
        let count = self.0.entry(bucket).or_default();
        *count += n;
        if *count == 0 {
            self.0.remove(&bucket);
        }
    }

    /// Calls that were counted.
    pub fn calls(&self) -> i64 {
        self.0.values().sum()
    }

    /// The milliseconds that this share of calls (in 0..=1) stay below; `None` before any call.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        LatencySummary::of([(self, 1.0)]).quantile(share)
    }

    /// The share of calls that took at most this many milliseconds; `None` before any call.
    pub fn probability_below(&self, millis: u64) -> Option<f64> {
        LatencySummary::of([(self, 1.0)]).probability_below(millis)
    }
}

/// Several histograms, each with the weight that its age leaves it: see [`LatencySummary::of`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatencySummary {
    weights: Vec<(u8, f64)>,
}

impl LatencySummary {
    /// The summary of these histograms (one per epoch) at these weights (2^(−age / half-life)). Weights that are
    /// negative or not finite count as 0.
    pub fn of<'a>(epochs: impl IntoIterator<Item = (&'a Latencies, f64)>) -> Self {
        let mut weights: BTreeMap<u8, f64> = BTreeMap::new();
        for (latencies, weight) in epochs {
            for (&bucket, &n) in &latencies.0 {
                if weight.is_finite() && weight > 0.0 && n > 0 {
                    *weights.entry(bucket).or_default() += weight * n as f64;
                }
            }
        }
        Self { weights: weights.into_iter().collect() }
    }

    /// Calls' worth of evidence that is left.
    pub fn total(&self) -> f64 {
        self.weights.iter().map(|(_, weight)| weight).sum()
    }

    /// The milliseconds that this share of calls (in 0..=1) stay below; `None` before any call.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total = self.total();
        let mut left = share.clamp(0.0, 1.0) * total;
        for &(bucket, weight) in &self.weights {
            if left <= weight {
                return Some(((f64::from(bucket) + left / weight) / PER_OCTAVE).exp2());
            }
            left -= weight;
        }
        self.weights.last().map(|(bucket, _)| ((f64::from(*bucket) + 1.0) / PER_OCTAVE).exp2())
    }

    /// The share of calls that took at most this many milliseconds; `None` before any call.
    pub fn probability_below(&self, millis: u64) -> Option<f64> {
        let total = self.total();
        (total > 0.0).then(|| (self.below(millis) / total).clamp(0.0, 1.0))
    }

    fn below(&self, millis: u64) -> f64 {
        let at = PER_OCTAVE * (millis.max(1) as f64).log2();
        self.weights.iter().map(|&(bucket, weight)| weight * (at - f64::from(bucket)).clamp(0.0, 1.0)).sum()
    }

    /// The probability that less than `required` of the path's calls stay within `millis`, given what was seen and
    /// Jeffreys' prior: 0 is "surely fast enough". Unknown latency gives a middling number and never a sure one.
    pub fn probability_too_slow(&self, millis: u64, required: f64) -> f64 {
        let below = self.below(millis);
        beta_reg(0.5 + below, 0.5 + (self.total() - below).max(0.0), required.clamp(0.0, 1.0))
    }
}

fn bucket(millis: u64) -> u8 {
    ((PER_OCTAVE * (millis.max(1) as f64).log2()) as u64).min(LAST.into()) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(millis: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        millis.iter().for_each(|&ms| latencies.add(ms));
        latencies
    }

    proptest! {
        #[test]
        fn taking_back_what_was_added_and_merging_in_any_order_are_exact(
            a in prop::collection::vec(any::<u64>(), 0..30), b in prop::collection::vec(0u64..100_000, 0..30),
        ) {
            let (mut ab, mut ba) = (of(&a), of(&b));
            ab.merge(&of(&b));
            ba.merge(&of(&a));
            prop_assert_eq!(&ab, &ba);
            b.iter().for_each(|&ms| ab.remove(ms));
            prop_assert_eq!(ab, of(&a));
        }

        #[test]
        fn a_quantile_is_within_a_tenth_of_the_true_one(mut millis in prop::collection::vec(2u64..1_000_000, 1..200), share in 0f64..1.0) {
            let seen = of(&millis).quantile(share).unwrap();
            millis.sort_unstable();
            let at = ((share * millis.len() as f64) as usize).min(millis.len() - 1);
            // Between the neighbours of the rank, give or take a bucket.
            let (low, high) = (millis[at.saturating_sub(1)] as f64, millis[(at + 1).min(millis.len() - 1)] as f64);
            prop_assert!(seen >= low / 1.1 && seen <= high * 1.1, "{} {} {}", seen, low, high);
        }

        #[test]
        fn more_time_never_makes_a_call_less_likely_to_be_done(
            millis in prop::collection::vec(1u64..1_000_000, 1..50), a in 1u64..1_000_000, more in 0u64..1_000_000,
        ) {
            let seen = of(&millis);
            prop_assert!(seen.probability_below(a) <= seen.probability_below(a + more));
        }
    }

    #[test]
    fn old_calls_fade_and_then_say_nothing_for_sure() {
        let slow = of(&[9_000; 100]);
        let summary = |weight| LatencySummary::of([(&slow, weight)]);
        assert!(summary(1.0).probability_too_slow(1_000, 0.95) > 0.999);
        assert!(summary(0.001).probability_too_slow(1_000, 0.95) < 0.9);
        assert_eq!(summary(0.0).probability_below(1_000), None);
        assert_eq!(LatencySummary::default().quantile(0.5), None);
    }
}
