//! What a request costs on a path: from integers that were counted, and a price that is configuration.
//!
//! Prices are never learned: a provider's list says them, and a change of price must act at once. What is learned is
//! how many tokens a request takes, per path and bucket (paths answer at different lengths, buckets ask for them).
//! A mean over few calls is shrunk to the path's mean over all buckets, and that to the goal's mean over all paths, so
//! that a path that was never called has an estimate as soon as it has a price.

use std::ops::{Add, AddAssign, Neg};

use serde::{Deserialize, Serialize};

/// Calls' worth of belief in the wider mean: after so many calls of its own a bucket's mean weighs half. Token counts
/// of one task vary by about their mean, so ten calls know it to a third.
const STRENGTH: f64 = 10.0;

/// Nano-dollars in a dollar.
const NANO: f64 = 1e9;

/// What a model's tokens cost, in dollars per million tokens.
///
/// ```
/// use kalibr_core::objective::Price;
///
/// let price = Price { input: 2.5, output: 10.0 };
/// assert_eq!(price.nano_dollars(1_000, 500), 7_500_000); // $0.0075
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Dollars per million tokens that are sent, >= 0.
    pub input: f64,
    /// Dollars per million tokens that come back, >= 0.
    pub output: f64,
}

impl Price {
    /// What is wrong with the price, if anything.
    pub fn problem(&self) -> Option<&'static str> {
        let fine = |dollars: f64| (0.0..=1e6).contains(&dollars);
        (!fine(self.input) || !fine(self.output)).then_some(
            "a price is a number of dollars per million tokens from 0 to 1e6, for input and for output",
        )
    }

    /// What a call with these tokens cost, in nano-dollars (10^-9 $), rounded to the nearest.
    pub fn nano_dollars(&self, input: i64, output: i64) -> i64 {
        ((self.input * input as f64 + self.output * output as f64) * 1e3).round() as i64
    }
}

/// Calls and their tokens, as integers: adding and taking away are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Calls whose tokens are known.
    pub calls: i64,
    /// Tokens sent.
    pub input: i64,
    /// Tokens that came back.
    pub output: i64,
}

impl Usage {
    /// One call.
    pub fn one(input: u32, output: u32) -> Self {
        Self { calls: 1, input: input.into(), output: output.into() }
    }
}

impl Add for Usage {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            calls: self.calls + other.calls,
            input: self.input + other.input,
            output: self.output + other.output,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Neg for Usage {
    type Output = Self;
    fn neg(self) -> Self {
        Self { calls: -self.calls, input: -self.input, output: -self.output }
    }
}

/// Calls and what they cost, for a caller who knows only the sum; integers like [`Usage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Spend {
    /// Calls whose cost is known.
    pub calls: i64,
    /// What they cost together, in nano-dollars (10^-9 $).
    pub nano_dollars: i64,
}

impl Add for Spend {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { calls: self.calls + other.calls, nano_dollars: self.nano_dollars + other.nano_dollars }
    }
}

impl Neg for Spend {
    type Output = Self;
    fn neg(self) -> Self {
        Self { calls: -self.calls, nano_dollars: -self.nano_dollars }
    }
}

/// Expected dollars per request of a path in a bucket, from tokens and price.
///
/// `bucket`, `path` and `goal` are what was counted for the path in this bucket, for the path in all buckets, and for
/// all paths of the goal. `None` (not known, which is never zero) without a price, or before any call of the goal.
///
/// ```
/// use kalibr_core::objective::{Price, Usage, expected_dollars};
///
/// let price = Some(Price { input: 1.0, output: 4.0 });
/// let goal = Usage { calls: 100, input: 100_000, output: 50_000 };
/// // Never called: the goal's 1,000 tokens in and 500 out, at this path's price.
/// let dollars = expected_dollars(price, Usage::default(), Usage::default(), goal).unwrap();
/// assert!((dollars - 0.003).abs() < 1e-9);
/// assert_eq!(expected_dollars(None, goal, goal, goal), None);
/// ```
pub fn expected_dollars(price: Option<Price>, bucket: Usage, path: Usage, goal: Usage) -> Option<f64> {
    let price = price.filter(|price| price.problem().is_none())?;
    let mean = |tokens: fn(Usage) -> i64| shrunk(&[goal, path, bucket].map(|u| (u.calls, tokens(u))));
    let (input, output) = (mean(|u| u.input)?, mean(|u| u.output)?);
    Some((price.input * input + price.output * output) / 1e6)
}

/// Expected dollars per request of a path in a bucket, from what its calls cost: the bucket's mean, shrunk to the
/// path's. `None` before any call of the path.
pub fn expected_spend(bucket: Spend, path: Spend) -> Option<f64> {
    Some(shrunk(&[path, bucket].map(|s| (s.calls, s.nano_dollars)))? / NANO)
}

/// The mean of the last of these (calls, sum), each shrunk to the one before it.
fn shrunk(levels: &[(i64, i64)]) -> Option<f64> {
    levels.iter().fold(None, |wider, &(calls, sum)| match wider {
        _ if calls <= 0 => wider,
        None => Some(sum as f64 / calls as f64),
        Some(wider) => Some((sum as f64 + STRENGTH * wider) / (calls as f64 + STRENGTH)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_few_calls_of_a_bucket_move_the_estimate_only_so_far() {
        let price = Some(Price { input: 0.0, output: 1.0 });
        let path = Usage { calls: 1_000, input: 0, output: 100_000 };
        let dollars = |calls: i64| {
            let bucket = Usage { calls, input: 0, output: 1_000 * calls };
            expected_dollars(price, bucket, path, path).unwrap()
        };
        assert!((dollars(0) - 100e-6).abs() < 1e-12);
        assert!((dollars(10) - 550e-6).abs() < 1e-12);
        assert!(dollars(100_000) > 999e-6);
    }

    #[test]
    fn a_price_that_is_no_number_is_an_unknown_cost_and_never_a_free_one() {
        let usage = Usage { calls: 1, input: 1, output: 1 };
        for bad in [f64::NAN, -1.0, f64::INFINITY] {
            let price = Price { input: bad, output: 1.0 };
            assert!(price.problem().is_some());
            assert_eq!(expected_dollars(Some(price), usage, usage, usage), None);
        }
    }

    proptest! {
        #[test]
        fn a_call_that_is_taken_back_leaves_the_estimate_as_it_was(
            calls in prop::collection::vec((0u32..100_000, 0u32..100_000), 1..20), (i, o) in (any::<u32>(), any::<u32>()),
        ) {
            let sum = calls.iter().fold(Usage::default(), |sum, &(i, o)| sum + Usage::one(i, o));
            prop_assert_eq!(sum + Usage::one(i, o) + -Usage::one(i, o), sum);
            let price = Price { input: 1.5, output: 6.0 };
            prop_assert!(expected_dollars(Some(price), sum, sum, sum).unwrap() >= 0.0);
        }

        #[test]
        fn spend_from_the_same_calls_agrees_with_tokens_and_price(
            calls in prop::collection::vec((1u32..100_000, 1u32..100_000), 1..20),
        ) {
            let price = Price { input: 1.5, output: 6.0 };
            let usage = calls.iter().fold(Usage::default(), |sum, &(i, o)| sum + Usage::one(i, o));
            let spend = calls.iter().fold(Spend::default(), |sum, &(i, o)| {
                sum + Spend { calls: 1, nano_dollars: price.nano_dollars(i.into(), o.into()) }
            });
            let from_tokens = expected_dollars(Some(price), usage, usage, Usage::default()).unwrap();
            prop_assert!((expected_spend(spend, spend).unwrap() - from_tokens).abs() < 1e-8);
        }
    }
}
