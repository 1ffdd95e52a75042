//! A budget in dollars per request, kept on average: what was overspent is saved over the next calls.
//!
//! Weights are θ − λ·c̃ ([`super::utility`]) with the least λ at which the *expected* cost keeps the target, and the
//! target is the budget less what is owed, spread over the next 100 calls ([`REPAY`]):
//!
//! ```text
//! owed ← max(owed + c/B − 1, −20)        on every completed call
//! target = B · (1 − owed/100)            at a refresh
//! λ = min { λ in 0..=5 : Σ_a w_a(λ) c_a <= target }
//! ```
//!
//! Savings are forgotten beyond 20 calls' worth and debts never, so Σ (c/B − 1) over all time is at most `owed`, whatever
//! was called.
//!
//! The usual dual step, λ ← clip(λ + η(c̄/B − 1), 0, 5) with c̄ a moving mean (ParetoBandit, arXiv 2604.00136), was tried
//! first: with tables that are rebuilt every 25 calls and one call in twenty graded, the price swings from end to end
//! within one table: paths of .777, .732 and .453 at $15.1, $0.51 and $0.03 per 1000 earned .635 on a budget of $5, and a
//! budget of $1 was overspent by 8 % (one seed). Solving for λ has no step to choose: the same stream earns .726 to .739
//! (three seeds; .726 on the one above), .742 when every call is graded (the second path alone .732, the best
//! mixture that knows all rates .746), and spends 97 to 99 % of budgets from $1 to $10.
//! A mixture of the two sides of a jump keeps the target exactly where no single λ does.
//!
//! It watches every completed call, graded or not: cost is known at once, and a pacer that learns of a call only when a
//! user reacts sees one in twenty of them. It is control, not learning: a number of this process, that another
//! process's calls make right again.

use serde::{Deserialize, Serialize};

use super::{costs_or_dearest, utility};
use crate::posterior::Beta;

/// The greatest price of a unit of c̃: the dearest path then needs to be better by five whole successes.
const MOST: f64 = 5.0;
/// Calls over which a debt is repaid: long against a table's life (25 calls), so that it cannot swing; short against the
/// 10,000 calls over which one per cent counts.
const REPAY: f64 = 100.0;
/// Savings that are kept, in calls.
const SAVED: f64 = 20.0;
/// Halvings in the search for λ: to 5 / 2^8 = 0.02, the default delta for a thousandfold saving; the rest by mixing.
const HALVINGS: u32 = 8;

/// The state of the pacer of one goal. See the module's head.
///
/// ```
/// use kalibr_core::objective::Pacer;
///
/// let mut pacer = Pacer::default();
/// (0..10).for_each(|_| pacer.observe(0.02, 0.01));
/// assert!((pacer.target(0.01) - 0.009).abs() < 1e-12); // Ten calls' worth is owed.
/// (0..500).for_each(|_| pacer.observe(0.001, 0.01));
/// assert!((pacer.target(0.01) - 0.012).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Pacer {
    /// What was overspent, in budgets of a call; >= −20.
    owed: f64,
}

impl Pacer {
    /// A call was completed and cost this many dollars; `budget` is in dollars per request, > 0.
    ///
    /// A cost that is negative or not a number says nothing; a call whose cost is not known is not observed at all.
    pub fn observe(&mut self, dollars: f64, budget: f64) {
        if dollars.is_finite() && dollars >= 0.0 && budget.is_finite() && budget > 0.0 {
            self.owed = (self.owed + dollars / budget - 1.0).max(-SAVED);
        }
    }

    /// What was overspent since the start, in budgets of a call; at least −20, for greater savings are forgotten.
    pub fn owed(&self) -> f64 {
        self.owed
    }

    /// Dollars per request that the next calls may cost on average, in 0..=1.2 budgets.
    pub fn target(&self, budget: f64) -> f64 {
        budget * (1.0 - self.owed / REPAY).max(0.0)
    }

    /// Dollars per request that no path may be expected to exceed now: the budget, once so much is owed that the target
    /// is nothing. Then the price has failed (no path is cheap enough on average), and only cheap ones may be called.
    pub fn hard_cap(&self, budget: f64) -> Option<f64> {
        (self.owed >= REPAY).then_some(budget)
    }
}

/// The weights with the greatest success whose expected cost is at most `target` dollars per request; those of the
/// greatest price when none are so cheap.
pub(super) fn on_budget(paths: &[Beta], costs: &[Option<f64>], target: f64) -> Vec<f64> {
    let Some(dollars) = costs_or_dearest(paths.len(), costs) else {
        return utility(paths, costs, 0.0);
    };
    let spends = |weights: &[f64]| weights.iter().zip(&dollars).map(|(w, c)| w * c).sum::<f64>();
    let mut over = utility(paths, costs, 0.0);
    if spends(&over) <= target {
        return over;
    }
    let (mut low, mut high) = (0.0, MOST);
    let mut under = utility(paths, costs, MOST);
    if spends(&under) >= target {
        return under;
    }
    for _ in 0..HALVINGS {
        let price = 0.5 * (low + high);
        let weights = utility(paths, costs, price);
        if spends(&weights) > target {
            (low, over) = (price, weights);
        } else {
            (high, under) = (price, weights);
        }
    }
    let share = (target - spends(&under)) / (spends(&over) - spends(&under));
    over.iter().zip(&under).map(|(o, u)| share * o + (1.0 - share) * u).collect()
}

#[cfg(test)]
mod tests;
