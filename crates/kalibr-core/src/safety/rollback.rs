//! Back to the baseline when the router is shown to be worse than it.
//!
//! A share of decisions always takes the baseline (the holdout). Its successes and the router's are two sums of
//! integers. The verdict may be looked at after every decision, for ever: it is wrong at most once in 1/α goals.
//!
//! With L the likelihood of both sums and M their mixture over uniform priors, M/L is a non-negative martingale at the
//! true rates, so by Ville's inequality it ever exceeds 1/α with probability α at most. All pairs of rates that it has not
//! exceeded are the confidence region; the least difference (baseline − router) in it is the lower bound. (One
//! fixed-prior mixture per side is the textbook interval; over both sides together the bound is sharper than two
//! intervals at α/2.) Scores between 0 and 1 may be counted as fractions: the likelihood ratio is convex in the score,
//! so the martingale becomes a supermartingale.
//!
//! What it assumes: the rates of both sides stand still over the sums given. The router's moves as it learns, and its
//! sum then speaks of the mean; the test below shows that false alarms stay rare in this case too. Give matured,
//! undiscounted outcomes of a stretch that is not too long (a few thousand decisions).

use serde::{Deserialize, Serialize};
use statrs::function::beta::ln_beta;

use crate::counters::Count;
use crate::evidence::{Pattern, Strength};

/// By whom a decision was made where a share of decisions is held out. A decision that the caller forced, or that nobody
/// routed, is on no side, nor is one that was made while nothing was held out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Side {
    /// By the router.
    Router = 1,
    /// By the holdout: it took the baseline whatever was learned.
    HeldOut = 2,
}

impl Side {
    /// The side with this number, as patterns and ledgers keep it; 0 is no side.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Router, Self::HeldOut].into_iter().find(|side| *side as u8 == code)
    }
}

/// The graded decisions of both sides and their scores, not discounted. Integers: they follow revisions exactly.
///
/// ```
/// use kalibr_core::counters::Count;
/// use kalibr_core::evidence::{Register, Strength};
/// use kalibr_core::safety::{Side, Sides};
///
/// let mut sides = Sides::default();
/// let pending = Register::default().pattern().on(Some(Side::HeldOut));
/// sides.add(pending, Count::one(0));
/// assert_eq!(sides, Sides::default()); // Nobody graded it.
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sides {
    /// Of the holdout.
    pub baseline: Count,
    /// Of the router.
    pub router: Count,
}

impl Sides {
    /// Adds what was counted under this pattern, if it is graded and on a side.
    pub fn add(&mut self, pattern: Pattern, count: Count) {
        if pattern.winner().is_none() {
            return;
        }
        match pattern.side() {
            Some(Side::Router) => self.router += count,
            Some(Side::HeldOut) => self.baseline += count,
            None => {}
        }
    }

    /// [`rollback`] of both.
    pub fn verdict(&self, alpha: f64) -> Verdict {
        rollback(self.baseline, self.router, alpha)
    }
}

/// What the holdout says of the router.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The router was not shown to be worse.
    Keep {
        /// Lower bound of (baseline − router), <= 0.
        lower: f64,
    },
    /// The baseline is better: take it for everything until a person says otherwise.
    RollBack {
        /// Lower bound of (baseline − router), > 0.
        lower: f64,
    },
}

/// Successes and failures, not necessarily whole.
fn split(count: Count) -> (f64, f64) {
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
/// use kalibr_core::safety::difference_lower_bound;
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

/// Whether the lower bound is above 0, without computing it: equal rates are then outside of the region. Some hundred
/// times cheaper than [`rollback`], for who looks often.
pub fn exceeds(baseline: Count, router: Count, alpha: f64) -> bool {
    let (b, r) = (split(baseline), split(router));
    let ahead = b.0 * (r.0 + r.1) > r.0 * (b.0 + b.1);
    let pooled = (b.0 + r.0) / (b.0 + b.1 + r.0 + r.1);
    ahead
        && ln_likelihood(b, pooled) + ln_likelihood(r, pooled)
            < ln_mixture(b) + ln_mixture(r) + alpha.clamp(1e-12, 1.0).ln()
}

/// Whether the holdout shows the baseline to be better than the router, with the error `alpha` (0..1) over all time.
pub fn rollback(baseline: Count, router: Count, alpha: f64) -> Verdict {
    let lower = difference_lower_bound(baseline, router, alpha);
    if lower > 0.0 { Verdict::RollBack { lower } } else { Verdict::Keep { lower } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::uniform;
    use proptest::prelude::*;

    fn of(good: i64, n: i64) -> Count {
        Count { n, score: good * i64::from(Strength::UNITS) }
    }

    /// The share of 300 runs of 3,000 decisions, 10 % of them held out, that is ever rolled back.
    fn rolled_back(baseline: f64, router: impl Fn(u64) -> f64) -> f64 {
        let runs = 300;
        let bad = (0..runs).filter(|&seed| {
            let (mut held, mut routed) = (of(0, 0), of(0, 0));
            (0..3_000u64).any(|t| {
                let (side, p) =
                    if uniform(seed, 2 * t) < 0.1 { (&mut held, baseline) } else { (&mut routed, router(t)) };
                let good = uniform(seed, 2 * t + 1) < p;
                *side += of(good.into(), 1);
                t % 10 == 9 && exceeds(held, routed, 0.05)
            })
        });
        bad.count() as f64 / runs as f64
    }

    #[test]
    fn a_router_as_good_as_the_baseline_is_rolled_back_at_most_once_in_twenty_though_always_watched() {
        assert!(rolled_back(0.7, |_| 0.7) <= 0.05);
        // A router that learns: worse at first, better later, the same in the mean.
        assert!(rolled_back(0.7, |t| if t % 1_000 < 500 { 0.75 } else { 0.65 }) <= 0.05);
    }

    #[test]
    fn a_router_that_is_much_worse_is_rolled_back() {
        assert!(rolled_back(0.8, |_| 0.5) > 0.99);
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
            let verdict = rollback(of(b, bn), of(r, rn), 0.05);
            prop_assert_eq!(matches!(verdict, Verdict::RollBack { .. }), lower > 0.0);
            // And the quick form of the other tests is the same verdict.
            prop_assert!(lower.abs() < 1e-6 || exceeds(of(b, bn), of(r, rn), 0.05) == (lower > 0.0));
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
