//! From what is known of the paths to the probability of choosing each: objective, safety and floor in one place.
//!
//! At a refresh, off the hot path, [`ChoiceRules::prepare`] computes everything that does not depend on the request:
//! the objective's weights (quadrature), which limit each path breaks and by how much it misses a soft one, whether it was
//! shown to be as good as the baseline, and the share that the guarantee leaves to the router. A request then brings
//! only its mask and its risk, and [`Prepared::choices`] is a few passes over the paths, in this order:
//!
//! 1. *eligibility*: the request's mask, then hard caps and path risk, then soft limits (if they leave anything);
//! 2. *objective*: the weights, restricted to the eligible paths and scaled to 1 (if nothing is left of them, P(best)
//!    among the eligible: the only quadrature that a request can cause, and a rare one);
//! 3. *exploration cap*: lowered beforehand by what the floor will add, so that it holds after the floor;
//! 4. *floor*: an additive one, `f + (1 − K f) w`, of the task's risk; all floors together take at most half;
//! 5. *guarantee*, or after a rollback the baseline alone: a mixture with the baseline;
//! 6. *holdout*: a mixture with the baseline again, marked, so that its outcomes can be told apart.
//!
//! Each step is exact, so the propensity is. The guarantee and the holdout come after the floor: a guarantee outranks
//! the wish to explore. Where the baseline is not eligible, 5 and 6 have nothing to mix with and are left out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::best::p_best;
use crate::counters::Count;
use crate::objective::{Limits, NotEligible, Objective, Offer, SURE};
use crate::policy::pick;
use crate::posterior::Beta;
use crate::quadrature::to_one;
use crate::safety::{Guarantee, Risk, capped, leader, mixed, with_holdout};

mod prepare;

pub use prepare::Standing;

/// How a goal chooses; everything has a default.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChoiceRules {
    /// How success is weighed against cost.
    pub objective: Objective,
    /// What paths must keep to be chosen.
    pub limits: Limits,
    /// Least probability of each path, 0..=0.5. Default 0.01; a quarter of it at medium risk, 0 at high.
    pub floor: f64,
    /// Greatest share of decisions that takes another path than the leader, 0..=1. Default 1.
    pub exploration_cap: f64,
    /// Share of decisions that takes the baseline whatever was learned, 0..=0.5. Default 0; needs a baseline.
    pub holdout: f64,
    /// Never lose more than this share against the baseline. Default: not guaranteed; needs a baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guarantee: Option<Guarantee>,
    /// At high risk: how far below the baseline a path may be, 0..=1. Default 0.02.
    pub risk_delta: f64,
}

impl Default for ChoiceRules {
    fn default() -> Self {
        Self {
            objective: Objective::default(),
            limits: Limits::default(),
            floor: 0.01,
            exploration_cap: 1.0,
            holdout: 0.0,
            guarantee: None,
            risk_delta: 0.02,
        }
    }
}

/// One path of a goal, as [`ChoiceRules::prepare`] looks at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Success, cost and latency.
    pub offer: Offer,
    /// How little the path is trusted.
    pub risk: Risk,
    /// Its graded decisions and their scores, not discounted; only the guarantee looks at them.
    pub seen: Count,
}

impl Known {
    /// A trusted path of which only its success is known.
    pub fn of(success: Beta) -> Self {
        Self { offer: Offer::of(success), risk: Risk::Low, seen: Count::default() }
    }
}

/// What does not depend on the request, computed at a refresh: see the module's head.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    success: Vec<Beta>,
    weights: Vec<f64>,
    risk: Vec<Risk>,
    hard: Vec<Option<NotEligible>>,
    /// Soft limits that are missed, with how much.
    soft: Vec<Option<(NotEligible, f64)>>,
    /// P(as good as the baseline up to `risk_delta`).
    as_good: Vec<f64>,
    floor: f64,
    exploration_cap: f64,
    baseline: Option<usize>,
    /// Share of decisions that may follow the router.
    share: f64,
    holdout: f64,
}

/// Why no path may be chosen: what ruled out each.
#[derive(Debug, Clone, PartialEq)]
pub struct NoneEligible {
    /// The reason of each path, in the goal's order.
    pub reasons: Vec<NotEligible>,
}

impl fmt::Display for NoneEligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no path may be chosen")?;
        for (at, reason) in self.reasons.iter().enumerate() {
            write!(f, "; path {}: {reason}", at + 1)?;
        }
        f.write_str("; loosen the limit that is named, or add a path that keeps it")
    }
}

impl std::error::Error for NoneEligible {}

/// The probabilities of one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices {
    /// What the router would do: steps 1 to 5.
    routed: Vec<f64>,
    /// The exact probability of each path, with the holdout mixed in; sums to 1.
    pub propensities: Vec<f64>,
    /// Why each path was not eligible. A path that is kept in spite of a soft limit has none.
    pub not_eligible: Vec<Option<NotEligible>>,
    /// The baseline and its share, when there is a holdout.
    holdout: Option<(usize, f64)>,
}

/// A path that was drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// The index of the path.
    pub index: usize,
    /// The exact probability of the choice, by whichever way.
    pub propensity: f64,
    /// Whether the holdout chose it.
    pub held_out: bool,
}

impl Choices {
    /// The path that `draw`, uniform in [0, 1), falls on. The lowest share of the draws is the holdout.
    pub fn draw(&self, draw: f64) -> Drawn {
        let drawn = |index: usize, held_out| Drawn { index, propensity: self.propensities[index], held_out };
        let (baseline, share) = self.holdout.unwrap_or((0, 0.0));
        if draw < share {
            return drawn(baseline, true);
        }
        // There is a path with a probability: choices are only made of a mask that leaves one.
        drawn(pick(&self.routed, (draw - share) / (1.0 - share)).unwrap_or(baseline), false)
    }
}

impl Prepared {
    /// The probabilities when only the paths that pass `asked` (by index) may be chosen, for a task of this risk.
    ///
    /// # Errors
    /// [`NoneEligible`] when the mask, a hard cap or a path's risk rules out every path. Soft limits never do.
    pub fn choices(&self, task: Risk, asked: impl Fn(usize) -> bool) -> Result<Choices, NoneEligible> {
        let not_eligible = self.eligibility(task, asked)?;
        let mask: Vec<bool> = not_eligible.iter().map(Option::is_none).collect();
        let routed = self.routed(task, &mask);
        let holdout = self.baseline.filter(|&b| mask[b] && self.holdout > 0.0).map(|b| (b, self.holdout));
        let propensities = match holdout {
            Some((baseline, share)) => with_holdout(&routed, baseline, share),
            None => routed.clone(),
        };
        Ok(Choices { routed, propensities, not_eligible, holdout })
    }

    /// The objective's weight of each path when all may be chosen.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Whether hard limits or, if others are left, soft ones rule a path out, in step 1.
    fn eligibility(
        &self,
        task: Risk,
        asked: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<NotEligible>>, NoneEligible> {
        let mut reasons: Vec<Option<NotEligible>> = (0..self.weights.len())
            .map(|at| match self.hard[at] {
                _ if !asked(at) => Some(NotEligible::NotAsked),
                Some(reason) => Some(reason),
                None => (!self.risk[at].may_serve(task)).then_some(NotEligible::TooRisky),
            })
            .collect();
        let left: Vec<usize> = (0..reasons.len()).filter(|&at| reasons[at].is_none()).collect();
        if left.is_empty() {
            return Err(NoneEligible { reasons: reasons.into_iter().flatten().collect() });
        }
        // A task's risk outranks a wish for speed: if both cannot be had, the safe path is kept though it is slow.
        if task == Risk::High {
            let unsafe_by = |at: usize| {
                let short = self.as_good[at];
                (short < SURE).then_some((NotEligible::NotAsGoodAsBaseline, 1.0 - short))
            };
            keep_least(&mut reasons, unsafe_by);
        }
        keep_least(&mut reasons, |at| self.soft[at]);
        Ok(reasons)
    }

    /// Steps 2 to 5.
    fn routed(&self, task: Risk, mask: &[bool]) -> Vec<f64> {
        let count = mask.iter().filter(|is| **is).count() as f64;
        let mut weights = self.restricted(mask);
        let others = (count - 1.0).max(1.0);
        // All floors together take at most half of the traffic, and no more than may explore.
        let floor = task.floor(self.floor).clamp(0.0, 0.5 / count).min(self.exploration_cap / others);
        let spread = 1.0 - floor * count;
        weights = capped(&weights, (self.exploration_cap - floor * (count - 1.0)) / spread);
        for (weight, &is) in weights.iter_mut().zip(mask) {
            *weight = if is { floor + spread * *weight } else { 0.0 };
        }
        match self.baseline.filter(|&baseline| mask[baseline]) {
            Some(baseline) if self.share < 1.0 => mixed(&weights, baseline, self.share),
            _ => weights,
        }
    }

    /// Step 2: the weights of the eligible paths alone.
    fn restricted(&self, mask: &[bool]) -> Vec<f64> {
        let weights: Vec<f64> =
            self.weights.iter().zip(mask).map(|(w, &is)| if is { *w } else { 0.0 }).collect();
        if weights.iter().sum::<f64>() >= 1e-9 {
            return to_one(weights);
        }
        let left: Vec<Beta> = self.success.iter().zip(mask).filter(|(_, is)| **is).map(|(b, _)| *b).collect();
        let mut best = p_best(&left).into_iter();
        mask.iter().map(|&is| if is { best.next().unwrap_or(0.0) } else { 0.0 }).collect()
    }

    /// The path that the objective favours of all.
    pub fn leader(&self) -> Option<usize> {
        leader(&self.weights)
    }
}

/// Rules out the paths that miss a soft limit; if that is all that are left, all but the one that misses least.
fn keep_least(reasons: &mut [Option<NotEligible>], miss: impl Fn(usize) -> Option<(NotEligible, f64)>) {
    let left: Vec<usize> = (0..reasons.len()).filter(|&at| reasons[at].is_none()).collect();
    let by = |at: usize| miss(at).map_or(0.0, |(_, by)| by);
    let least = left.iter().copied().min_by(|&a, &b| by(a).total_cmp(&by(b)));
    let none_keeps = left.iter().all(|&at| miss(at).is_some());
    for at in left {
        if !(none_keeps && Some(at) == least) {
            reasons[at] = miss(at).map(|(reason, _)| reason);
        }
    }
}

#[cfg(test)]
mod tests;
