//! Back to the baseline when the router is shown to be worse than it.
//!
//! A share of decisions always takes the baseline (the holdout). Its successes and the router's are two sums of
//! integers. The verdict may be looked at after every decision, for ever: it is wrong at most once in 1/α goals.
//!
//! The lower bound of (baseline − router) is that of [`crate::anytime`].
//!
//! What it assumes: the rates of both sides stand still over the sums given. The router's moves as it learns, and its
//! sum then speaks of the mean; the test below shows that false alarms stay rare in this case too. Give matured,
//! undiscounted outcomes of a stretch that is not too long (a few thousand decisions).

use serde::{Deserialize, Serialize};

use crate::anytime::difference_lower_bound;
use crate::counters::Count;
use crate::evidence::Pattern;

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

/// Whether the holdout shows the baseline to be better than the router, with the error `alpha` (0..1) over all time.
pub fn rollback(baseline: Count, router: Count, alpha: f64) -> Verdict {
    let lower = difference_lower_bound(baseline, router, alpha);
    if lower > 0.0 { Verdict::RollBack { lower } } else { Verdict::Keep { lower } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anytime::{is_greater, split};
    use crate::evidence::Strength;
    use crate::policy::uniform;

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
                t % 10 == 9 && is_greater(split(held), 1.0, split(routed), 0.05)
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
}
